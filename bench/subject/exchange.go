package subject

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/url"
	"time"
)

// Kind identifies equal exchanges of different servers.
type Kind string

// The kinds: requests for a token, each with its algorithm, and questions about one.
const (
	ClientCredentialsES256 Kind = "client_credentials ES256"
	ClientCredentialsRS256 Kind = "client_credentials RS256"
	JWTBearerES256         Kind = "jwt-bearer ES256"
	PrivateKeyJWTES256     Kind = "private_key_jwt ES256"
	// ReusedES256 is answered with a token that was issued before, so it has no ceiling that signs.
	ReusedES256 Kind = "reuse: client_credentials ES256"
	// Introspection is RFC 7662, by a client with its secret and of a live token.
	Introspection Kind = "introspection"
	// Check is the question of a proxy whether to let a request with a live token through.
	Check Kind = "/check"
)

// An Exchange is one kind of request and how its response is checked.
type Exchange struct {
	Kind Kind
	// Variant distinguishes exchanges of one kind, for example by profile; empty for the only one.
	Variant string
	// Note is a remark for readers of the table, such as "no replay check".
	Note string
	// URL of the endpoint.
	URL string
	// TLS, if not nil, says how each request gets a new connection.
	TLS *TLS
	// Header of each request, including Content-Type.
	Header http.Header
	// Before, if not nil, is called before the requests of a round are made, while the server runs:
	// it gets the token that they carry in Header or Body.
	Before func(ctx context.Context) error
	// Body returns the body of the n-th request. It is called from one goroutine, before the
	// measurement; each body is sent once.
	Body func(n int) ([]byte, error)
	// Token returns the access token in the body of a 200 response; nil reads the member
	// access_token.
	Token func(body []byte) (string, error)
	// Keys is the URL of the JWK set that verifies the tokens, and Alg their algorithm.
	// With an empty Alg the response has no token: its status and Check are all that is checked.
	Keys, Alg string
	// Check, if not nil, returns what is wrong with the body of a 200 response without a token.
	Check func(body []byte) error
	// Reused: a token comes more than once.
	Reused bool
}

// AccessToken returns the access token in the body of a 200 response.
func (e *Exchange) AccessToken(body []byte) (string, error) {
	if e.Token != nil {
		return e.Token(body)
	}
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return "", fmt.Errorf("not a token response: %w", err)
	}
	if answer.Token == "" {
		return "", errors.New("no access_token")
	}
	return answer.Token, nil
}

// Ask requests one token.
func (e *Exchange) Ask(ctx context.Context) (token string, err error) {
	body, err := e.Body(0)
	if err != nil {
		return "", err
	}
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, e.URL, bytes.NewReader(body))
	if err != nil {
		return "", err
	}
	request.Header = e.Header
	response, err := e.TLS.Client(10 * time.Second).Do(request)
	if err != nil {
		return "", err
	}
	defer func() { _ = response.Body.Close() }()
	const most = 1 << 20
	answer, err := io.ReadAll(io.LimitReader(response.Body, most))
	if err != nil {
		return "", err
	}
	if response.StatusCode != http.StatusOK {
		return "", fmt.Errorf("a token for the requests: %s: %.400s", response.Status, answer)
	}
	return e.AccessToken(answer)
}

// Introspect returns the exchange that asks endpoint about a live token of e (RFC 7662). form has
// the other parameters, such as those that authenticate the client.
func (e *Exchange) Introspect(endpoint string, form url.Values) Exchange {
	form = maps.Clone(form)
	var body []byte
	return Exchange{
		Kind: Introspection, URL: endpoint, TLS: e.TLS, Note: "one token a round",
		Header: http.Header{"Content-Type": {"application/x-www-form-urlencoded"}},
		Before: func(ctx context.Context) error {
			token, err := e.Ask(ctx)
			form["token"] = []string{token}
			body = []byte(form.Encode())
			return err
		},
		Body:  func(int) ([]byte, error) { return body, nil },
		Check: active,
	}
}

// active refuses the answer that a token is not active, which has status 200, too.
func active(body []byte) error {
	var answer struct{ Active bool }
	if err := json.Unmarshal(body, &answer); err != nil {
		return fmt.Errorf("not an introspection response: %w", err)
	}
	if !answer.Active {
		return errors.New("the token is not active")
	}
	return nil
}
