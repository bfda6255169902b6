package authority

import (
	"net/netip"
	"slices"
	"strings"
	"time"

	"moneyer/internal/clientcert"
	"moneyer/internal/evidence"
	"moneyer/internal/platform"
	"moneyer/internal/registry"
	"moneyer/oauth"
)

// Request is a token request with the wire shape removed.
type Request struct {
	GrantType oauth.GrantType
	// Credentials are what the client shows to authenticate, each method at most once.
	Credentials []Credential
	// Certificate that the connection shows, or a proxy that may name one; nil for none.
	// The profile's sets say whether it authenticates the client.
	Certificate *clientcert.Shown
	// CertificateIgnored is set where a header for a certificate came from a peer that may not send it.
	CertificateIgnored bool
	// ClientID is the client_id of the request, which proves nothing.
	ClientID string
	// Assertion is the grant of RFC 7523 §2.1.
	Assertion string
	// Scope as asked for; empty means none was.
	Scope string
	// Params are the platform's own parameters.
	Params []Param
	// Correlation ties what is logged and recorded to the request.
	Correlation string
	// Address is where the request came from.
	Address netip.Addr
}

// Credential is one way in which a request shows who asks. The fields that its
// method uses are set.
type Credential struct {
	Method oauth.ClientAuth
	// ID and Secret are of client_secret_basic and client_secret_post.
	ID, Secret string
	// APIKey is of api_key, which identifies its client.
	APIKey string
	// Assertion is of private_key_jwt (RFC 7523 §2.2). AssertionType is its
	// client_assertion_type; empty means that of any JWT.
	Assertion, AssertionType string
}

// Param is a parameter of the platform's own.
type Param struct {
	Name  string
	Value registry.Attribute
}

// Param finds a parameter of the platform's own; absent ones are empty.
func (r *Request) Param(name string) registry.Attribute {
	for i := range r.Params {
		if r.Params[i].Name == name {
			return r.Params[i].Value
		}
	}
	return registry.Attribute{}
}

// shows reports whether the request shows a credential of that method.
func (r *Request) shows(auth oauth.ClientAuth) bool {
	return slices.ContainsFunc(r.Credentials, func(c Credential) bool { return c.Method == auth })
}

// attempt is a request being processed. Its client is filled in on the way.
type attempt struct {
	issuer *registry.Issuer
	req    *Request
	now    time.Time
	// client is who asks. Until authentication has succeeded it is only named, and nil
	// when no known client was.
	client *registry.Client
	// credentials are the kids, and the ids of the others, that were shown.
	credentials []string
	// usual backs credentials where there is one, as in nearly every request.
	usual [1]string
	// byCertificate are the methods of mutual TLS one of which the request must show; nil
	// where it shows a whole set without.
	byCertificate platform.AuthSet
	// grantAssertion is the assertion that is the grant, clientAssertion the one that
	// authenticates the client; nil for none. use is what is to be consumed of both.
	grantAssertion, clientAssertion *evidence.Assertion
	use                             consumption
	// subject is whom the grant names beside the client, once that is verified; empty
	// means the client itself.
	subject string
	// asked is true once the registry had to ask its database for a client.
	asked bool
	// proven is true once the client is authenticated, and admitted once its rate was
	// taken, too.
	proven, admitted bool
}

// showsAssertion reports whether the request shows something signed, which others may have seen.
func (t *attempt) showsAssertion() bool { return t.grantAssertion != nil || t.clientAssertion != nil }

// clientName is the client's identifier, or "" when no known client was named.
func (t *attempt) clientName() string {
	if t.client == nil {
		return ""
	}
	return t.client.ID
}

// names notes whom a credential belongs to, before it is proven. All credentials of a
// request name the same client.
func (t *attempt) names(client *registry.Client) error {
	if t.client != nil && t.client.ID != client.ID {
		return evidence.BadClient(&evidence.Refusal{Rule: "one client", Expected: "credentials of one client", Found: "those of two"})
	}
	t.client = client
	return nil
}

// shows notes a credential for the ledger.
func (t *attempt) shows(credential string) {
	if t.credentials == nil {
		t.credentials = t.usual[:0]
	}
	t.credentials = append(t.credentials, credential)
}

// recorded is how the ledger records several credentials as one text, in which
// [Revocations.Plan] finds each again.
func recorded(credentials []string) string { return strings.Join(credentials, " ") }

// isRecorded reports whether a record holds a credential, alone or beside others. A kid may itself
// hold spaces.
func isRecorded(credential, record string) bool {
	return strings.Contains(" "+record+" ", " "+credential+" ")
}
