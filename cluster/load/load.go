// Package load requests tokens like many concurrent clients, and classifies the responses: granted,
// refused, to be retried, or lost.
//
// It does not depend on the server.
package load

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"moneyer/assertion"
	"moneyer/oauth"
)

// A Kind is the kind of an answer.
type Kind string

// The kinds of answers.
const (
	// Granted: 200 with a token.
	Granted Kind = "granted"
	// Refused: 4xx except 429; a retry would not help.
	Refused Kind = "refused"
	// Later: 429 or 503 with Retry-After: as far as known, the assertion was not consumed.
	Later Kind = "later"
	// Wrong: any other response.
	Wrong Kind = "wrong"
	// Lost: no response; whether the request was executed is unknown.
	Lost Kind = "lost"
)

// An Answer is the result of a request.
type Answer struct {
	Kind Kind
	// Status is 0 if there was no response.
	Status int
	// Told is the error code and description, or why there was no response.
	Told string
	// Token is the granted token, and JTI its jti.
	Token, JTI string
	// URL is the issuer URL that was called, and At when.
	URL  string
	At   time.Time
	Took time.Duration
}

// An Attempt is an assertion and the correlation id of its requests.
type Attempt struct {
	Correlation, Assertion string
}

// A Client signs assertions and sends them. It is safe for concurrent use.
type Client struct {
	// Issuer is the audience of assertions.
	Issuer string
	ID     string
	Signer *assertion.Signer
	HTTP   *http.Client
}

// NewHTTP returns an HTTP client for many concurrent requests over persistent connections. It
// follows no redirects and never retries.
func NewHTTP(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Attempt signs a new assertion that is valid for ten minutes.
func (c *Client) Attempt() (Attempt, error) {
	signed, err := c.Signer.Sign(assertion.Assertion{Issuer: c.ID, Subject: c.ID, Audience: []string{c.Issuer},
		ID: assertion.NewID(), Expiry: time.Now().Add(10 * time.Minute)})
	// The prefix keeps it from resembling a JWT by chance, which the server refuses.
	return Attempt{Correlation: "load-" + assertion.NewID(), Assertion: signed}, err
}

// Send calls the token endpoint of an issuer URL once.
func (c *Client) Send(ctx context.Context, url string, a Attempt) Answer {
	began := time.Now()
	answer := c.send(ctx, url, a)
	answer.URL, answer.At, answer.Took = url, began, time.Since(began)
	return answer
}

func (c *Client) send(ctx context.Context, base string, a Attempt) Answer {
	form := url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {a.Assertion}}.Encode()
	// No GetBody: net/http would retry the request on another connection.
	req, err := http.NewRequestWithContext(ctx, http.MethodPost, base+"/oauth2/token", io.NopCloser(strings.NewReader(form)))
	if err != nil {
		return Answer{Kind: Lost, Told: err.Error()}
	}
	req.ContentLength = int64(len(form))
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Correlation-Id", a.Correlation)
	resp, err := c.HTTP.Do(req)
	if err != nil {
		return Answer{Kind: Lost, Told: err.Error()}
	}
	defer func() { _ = resp.Body.Close() }() // read only
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return Answer{Kind: Lost, Status: resp.StatusCode, Told: err.Error()}
	}
	return judge(resp, text)
}

func judge(resp *http.Response, text []byte) Answer {
	answer := Answer{Kind: Wrong, Status: resp.StatusCode}
	var body struct {
		Token       string `json:"access_token"`
		Error       string `json:"error"`
		Description string `json:"error_description"`
	}
	if err := json.Unmarshal(text, &body); err != nil {
		answer.Told = string(text)
		return answer
	}
	answer.Token, answer.Told = body.Token, strings.TrimSpace(body.Error+" "+body.Description)
	switch status := resp.StatusCode; {
	case status == http.StatusOK:
		var err error
		if answer.JTI, err = jti(body.Token); err != nil {
			answer.Told = err.Error()
			return answer
		}
		answer.Kind = Granted
	case status == http.StatusTooManyRequests || status == http.StatusServiceUnavailable:
		if resp.Header.Get("Retry-After") != "" {
			answer.Kind = Later
		}
	case status >= 400 && status < 500:
		answer.Kind = Refused
	}
	return answer
}

// jti returns the jti of a token without verifying it.
func jti(token string) (string, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return "", fmt.Errorf("the token has %d parts", len(parts))
	}
	text, err := base64.RawURLEncoding.DecodeString(parts[1])
	if err != nil {
		return "", err
	}
	var claims struct {
		JTI string `json:"jti"`
	}
	err = json.Unmarshal(text, &claims)
	if err == nil && claims.JTI == "" {
		err = errors.New("the token has no jti")
	}
	return claims.JTI, err
}

// A Record is an attempt with all its answers.
type Record struct {
	Attempt
	Answers []Answer
}

// A Run is load that continues until it is stopped.
type Run struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex // guards the fields below
	records []Record
	counts  map[Kind]int
	failed  error
}

// Start starts a run with that many callers. Each makes an attempt, sends it to one of the issuer
// URLs in turn, and continues with the next. Lost and Later requests are sent once more, to the
// next URL.
func (c *Client) Start(callers int, urls ...string) *Run {
	ctx, cancel := context.WithCancel(context.Background())
	r := &Run{cancel: cancel, counts: map[Kind]int{}}
	for n := range callers {
		r.wait.Go(func() {
			for turn := n; ctx.Err() == nil; turn++ {
				if err := r.once(c, urls, turn); err != nil {
					r.fail(err)
					return
				}
			}
		})
	}
	return r
}

// once makes an attempt and, if useful, a second request. A request in progress when the run is
// stopped is completed and counted.
func (r *Run) once(c *Client, urls []string, turn int) error {
	a, err := c.Attempt()
	if err != nil {
		return err
	}
	record := Record{Attempt: a}
	for try := range 2 {
		answer := c.Send(context.Background(), urls[(turn+try)%len(urls)], a)
		record.Answers = append(record.Answers, answer)
		if answer.Kind != Lost && answer.Kind != Later {
			break
		}
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.records = append(r.records, record)
	for _, answer := range record.Answers {
		r.counts[answer.Kind]++
	}
	return nil
}

func (r *Run) fail(err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.failed = errors.Join(r.failed, err)
}

// Count returns the number of answers of a kind so far.
func (r *Run) Count(k Kind) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[k]
}

// waitTimeout is longer than any expected wait.
const waitTimeout = 30 * time.Second

// Await waits for that many more answers of a kind, at most for waitTimeout.
func (r *Run) Await(ctx context.Context, k Kind, more int) error {
	ctx, cancel := context.WithTimeout(ctx, waitTimeout)
	defer cancel()
	enough := r.Count(k) + more
	again := time.NewTicker(2 * time.Millisecond)
	defer again.Stop()
	for r.Count(k) < enough {
		select {
		case <-again.C:
		case <-ctx.Done():
			return fmt.Errorf("%d of %d answers are %s: %w", r.Count(k)-enough+more, more, k, ctx.Err())
		}
	}
	return nil
}

// Seen calls visit for each record so far.
func (r *Run) Seen(visit func(*Record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.records {
		visit(&r.records[n])
	}
}

// Stop ends the run after its last requests are answered, and returns all records.
func (r *Run) Stop() ([]Record, error) {
	r.cancel()
	r.wait.Wait()
	return r.records, r.failed
}
