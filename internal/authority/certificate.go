package authority

import (
	"context"
	"errors"

	"moneyer/internal/clientcert"
	"moneyer/internal/registry"
	"moneyer/internal/strictjson"
	"moneyer/oauth"
)

// checkCertificate authenticates the client by its certificate where the set that was
// chosen has a method of mutual TLS (RFC 8705 §2): beside other credentials, or beside the
// assertion that is the grant, it must be one of the client that they name, alone of the
// one that client_id names.
func (a *Authority) checkCertificate(ctx context.Context, from Registry, t *attempt) error {
	if t.byCertificate == nil {
		return nil
	}
	if t.client == nil {
		if t.req.ClientID == "" {
			return badClient(&Refusal{Rule: "client_id", Expected: "the client_id of the certificate's client (RFC 8705 section 2)", Found: "none"})
		}
		client, asked, err := from.FindClient(ctx, t.issuer.Name, t.req.ClientID)
		t.asked = t.asked || asked
		if errors.Is(err, registry.ErrNotFound) {
			return badClient(&Refusal{Rule: "client", Expected: "a registered client_id", Found: registry.Excerpt(t.req.ClientID)})
		}
		if err != nil {
			return unavailable(err)
		}
		if err := t.names(client); err != nil {
			return err
		}
	}
	if t.client.Disabled {
		return badClient(&Refusal{Rule: "client enabled", Expected: "an enabled client", Found: "a disabled one"})
	}
	for i := range t.client.Certificates {
		c := &t.client.Certificates[i]
		if c.Match == registry.MatchCertificate && c.Value == t.req.Certificate.Thumbprint() && c.LiveAt(t.now) && t.byCertificate.Has(oauth.AuthSelfSignedTLS) {
			t.shows(c.ID)
			return nil
		}
	}
	return badClient(&Refusal{Rule: "client certificate", Expected: "one of the client's certificates", Found: "another"})
}

// confirmation is what the token is to be bound to (RFC 8705 §3): the certificate of the
// request, for a client whose tokens are bound.
func (t *attempt) confirmation() (string, error) {
	if t.client.BoundTokens != registry.BoundToTLS {
		return "", nil
	}
	if t.req.Certificate == nil {
		return "", oauth.Errorf(oauth.InvalidRequest, "this client's tokens are bound to its certificate, and the request shows none").
			Because(&Refusal{Rule: "bound tokens", Expected: "a client certificate", Found: "none"})
	}
	return t.req.Certificate.Thumbprint(), nil
}

// Confirm refuses a token that is bound (RFC 7800) unless the certificate to which it is bound came with
// it. What else it may be bound to cannot be checked, and is refused.
func (t *ActiveToken) Confirm(shown *clientcert.Shown) error {
	bound, thumbprint := false, ""
	err := strictjson.Object(t.Payload, strictjson.Limits{}, func(name string, v strictjson.Value) error {
		if name != "cnf" {
			return nil
		}
		bound = true
		return strictjson.Object(v.Raw(), strictjson.Limits{}, func(name string, v strictjson.Value) (err error) {
			if name != "x5t#S256" {
				return errors.New("cnf has a member that cannot be checked")
			}
			thumbprint, err = v.Text()
			return err
		})
	})
	if err == nil && (!bound || shown != nil && shown.Thumbprint() == thumbprint) {
		return nil
	}
	refusal := &Refusal{Rule: "confirmation", Expected: "the certificate that the token is bound to", Found: "another"}
	if err != nil {
		refusal.Found = err.Error()
	} else if shown == nil {
		refusal.Found, refusal.Hint = "none", "the proxy must forward its client's certificate: listen.client_cert_header and client_cert_proxies"
	}
	return inactive(refusal)
}
