package wholelife

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/assertion"
	"moneyer/internal/jose"
	"moneyer/oauth"
	"moneyer/profile"
	"moneyer/tokensource"
)

const (
	callers    = 6
	callPause  = 20 * time.Millisecond  // of each caller, between two calls
	probePause = 100 * time.Millisecond // between two probes of a token
)

// credential is the credential to use from now on. It is sent on standard input as JSON.
type credential struct{ Client, Kid, Key string }

// partner calls the API from many goroutines with the tokens of one Source. It also probes the API
// with every token that it ever got until well after its expiry.
type partner struct {
	role
	out    *reporter
	client atomic.Pointer[http.Client] // with the Transport of the current Source
	plain  http.Client                 // without a Transport
	done   chan struct{}

	mu   sync.Mutex
	held []heldToken
}

// heldToken is a token and its claims.
type heldToken struct {
	text, jti, kid, client string
	expiry                 time.Time
}

// runPartner runs until standard input ends.
func runPartner(r role, out *reporter) error {
	p := &partner{role: r, out: out, done: make(chan struct{}), plain: http.Client{Timeout: waitTimeout}}
	orders := json.NewDecoder(os.Stdin)
	if err := p.readCredential(orders); err != nil {
		return err
	}
	var work sync.WaitGroup
	for range callers {
		work.Go(func() { p.every(callPause, p.call) })
	}
	work.Go(func() { p.every(probePause, p.probe) })
	var err error
	for err == nil {
		err = p.readCredential(orders)
	}
	close(p.done)
	work.Wait()
	if errors.Is(err, io.EOF) {
		return nil
	}
	return err
}

// readCredential reads the next credential, or returns io.EOF.
func (p *partner) readCredential(orders *json.Decoder) error {
	var c credential
	if err := orders.Decode(&c); err != nil {
		return err
	}
	return p.use(c)
}

// use makes all later calls with another credential.
func (p *partner) use(c credential) error {
	key, err := assertion.ParseKey([]byte(c.Key))
	if err != nil {
		return err
	}
	d1, err := profile.Builtin("thales-d1")
	if err != nil {
		return err
	}
	requests := &recorder{partner: p, credential: c.Client + "/" + c.Kid, base: http.DefaultTransport.(*http.Transport).Clone()}
	source := &tokensource.Source{
		Profile: d1, Issuer: p.Issuer, Credential: tokensource.Credential{ClientID: c.Client, Kid: c.Kid, Key: key},
		HTTPClient: &http.Client{Transport: requests, Timeout: 1500 * time.Millisecond},
	}
	p.client.Store(&http.Client{Transport: &tokensource.Transport{Source: source}, Timeout: waitTimeout})
	return nil
}

// every calls a function periodically until the partner ends.
func (p *partner) every(pause time.Duration, do func()) {
	tick := time.NewTicker(pause)
	defer tick.Stop()
	for {
		do()
		select {
		case <-tick.C:
		case <-p.done:
			return
		}
	}
}

// call calls the API like an ordinary client.
func (p *partner) call() {
	e := event{Kind: called, Start: time.Now()}
	resp, err := p.client.Load().Get(p.API)
	if err == nil {
		e.Status = resp.StatusCode
		_, err = io.Copy(io.Discard, resp.Body)
		_ = resp.Body.Close()
	}
	if e.End = time.Now(); err != nil {
		e.Error, e.Unreachable = err.Error(), unreachable(err)
	}
	p.out.report(e)
}

// unreachable reports whether an error means only that the token endpoint could not be reached.
func unreachable(err error) bool {
	var refused *oauth.Error
	return strings.Contains(err.Error(), "tokensource: asking ") && !errors.As(err, &refused)
}

// probe sends each held token to the API, and drops expired ones.
func (p *partner) probe() {
	p.mu.Lock()
	held := p.held
	p.mu.Unlock()
	for _, token := range held {
		p.show(token)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	var live []heldToken
	for _, token := range p.held {
		if time.Since(token.expiry) < 2*leeway {
			live = append(live, token)
		}
	}
	p.held = live
}

func (p *partner) show(token heldToken) {
	req, err := http.NewRequest(http.MethodGet, p.API, nil)
	if err != nil {
		panic(err)
	}
	req.Header.Set("Authorization", "Bearer "+token.text)
	e := event{Kind: probed, Start: time.Now(), JTI: token.jti, Client: token.client, Expiry: token.expiry}
	resp, err := p.plain.Do(req)
	if err != nil {
		e.Error = err.Error()
	} else {
		_ = resp.Body.Close()
		e.Status = resp.StatusCode
	}
	e.End = time.Now()
	p.out.report(e)
}

// recorder is the RoundTripper of one Source. It reports each token request and keeps the tokens.
type recorder struct {
	partner    *partner
	credential string
	base       http.RoundTripper
	flights    atomic.Int64
}

func (c *recorder) RoundTrip(req *http.Request) (*http.Response, error) {
	e := event{Kind: asked, Start: time.Now(), Credential: c.credential, Flights: int(c.flights.Add(1))}
	defer c.flights.Add(-1)
	resp, err := c.base.RoundTrip(req)
	var body []byte
	if err == nil {
		body, err = io.ReadAll(resp.Body)
		_ = resp.Body.Close()
	}
	if e.End = time.Now(); err != nil {
		e.Error = err.Error()
		c.partner.out.report(e)
		return nil, err
	}
	resp.Body = io.NopCloser(bytes.NewReader(body))
	e.Status = resp.StatusCode
	if e.Status == http.StatusOK {
		token, err := readToken(body)
		if err != nil {
			return nil, fmt.Errorf("no token in a successful response: %w", err)
		}
		e.JTI, e.Kid, e.Client, e.Expiry = token.jti, token.kid, token.client, token.expiry
		c.partner.mu.Lock()
		c.partner.held = append(c.partner.held, token)
		c.partner.mu.Unlock()
	}
	c.partner.out.report(e)
	return resp, nil
}

// readToken reads the token in a response.
func readToken(body []byte) (heldToken, error) {
	var answer struct {
		Token string `json:"access_token"`
	}
	if err := json.Unmarshal(body, &answer); err != nil {
		return heldToken{}, err
	}
	jws, err := jose.Parse(answer.Token)
	if err != nil {
		return heldToken{}, err
	}
	claims, err := jose.ParseClaims(jws.Payload)
	if err != nil {
		return heldToken{}, err
	}
	return heldToken{text: answer.Token, jti: claims.ID, kid: jws.Header.Kid, client: claims.Subject, expiry: time.Unix(claims.Expiry, 0)}, nil
}
