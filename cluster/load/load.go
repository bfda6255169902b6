// Package load asks for tokens as many clients at once would, and tells the
// answers apart: what was granted, what was refused and why, what deserves another
// try, and what got no answer.
//
// It knows nothing of what answers.
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

// A Kind of answer.
type Kind string

// The kinds of answers.
const (
	// Granted: 200 with a token.
	Granted Kind = "granted"
	// Refused: 4xx but 429, which another try would not change.
	Refused Kind = "refused"
	// Later: 429 or 503 with Retry-After: nothing was used up, as far as anybody knows.
	Later Kind = "later"
	// Wrong: anything else that was answered.
	Wrong Kind = "wrong"
	// Lost: no answer; what became of the request is not known.
	Lost Kind = "lost"
)

// An Answer is what became of a request.
type Answer struct {
	Kind Kind
	// Status is 0 when there was none.
	Status int
	// Told is the error's code and description, or why there was no answer.
	Told string
	// Token is what was granted, and JTI its name.
	Token, JTI string
	// URL is the issuer's that was asked, and At when.
	URL  string
	At   time.Time
	Took time.Duration
}

// An Attempt is an assertion with the name of its requests.
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

// NewHTTP returns a client for many requests at once over connections that stay
// open. It follows no redirect and sends nothing twice.
func NewHTTP(timeout time.Duration) *http.Client {
	return &http.Client{Timeout: timeout, Transport: &http.Transport{MaxIdleConnsPerHost: 256, DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }}
}

// Attempt signs a new assertion that is good for ten minutes.
func (c *Client) Attempt() (Attempt, error) {
	signed, err := c.Signer.Sign(assertion.Assertion{Issuer: c.ID, Subject: c.ID, Audience: []string{c.Issuer},
		ID: assertion.NewID(), Expiry: time.Now().Add(10 * time.Minute)})
	// The prefix keeps it from looking like a JWT by chance, which the server refuses.
	return Attempt{Correlation: "load-" + assertion.NewID(), Assertion: signed}, err
}

// Send asks the token endpoint below an issuer's URL, once.
func (c *Client) Send(ctx context.Context, url string, a Attempt) Answer {
	began := time.Now()
	answer := c.send(ctx, url, a)
	answer.URL, answer.At, answer.Took = url, began, time.Since(began)
	return answer
}

func (c *Client) send(ctx context.Context, base string, a Attempt) Answer {
	form := url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {a.Assertion}}.Encode()
	// No GetBody: net/http would send the request once more on another connection.
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
	defer func() { _ = resp.Body.Close() }() // it was only read
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

// jti is the name of a token, whose signature is not looked at.
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

// A Run is load that goes on until it is stopped.
type Run struct {
	cancel context.CancelFunc
	wait   sync.WaitGroup

	mu      sync.Mutex // guards what follows
	records []Record
	counts  map[Kind]int
	failed  error
}

// Start begins a run of so many callers. Each makes an attempt, sends it to one of
// the issuer's URLs after the other, and makes the next one. What is lost or told
// to come later is sent once more, to the next URL.
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

// once makes an attempt and, where it makes sense, a second one. A request that
// is under way when the run is stopped is not cut off: its answer counts.
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

// Count is how many answers of a kind there have been.
func (r *Run) Count(k Kind) int {
	r.mu.Lock()
	defer r.mu.Unlock()
	return r.counts[k]
}

// patience is beyond everything that is waited for.
const patience = 30 * time.Second

// Await returns when there have been so many more answers of a kind, or with an
// error when that takes half a minute.
func (r *Run) Await(ctx context.Context, k Kind, more int) error {
	ctx, cancel := context.WithTimeout(ctx, patience)
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

// Seen calls visit with each record that there is by now.
func (r *Run) Seen(visit func(*Record)) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for n := range r.records {
		visit(&r.records[n])
	}
}

// Stop ends the run when its last requests are answered, and returns all.
func (r *Run) Stop() ([]Record, error) {
	r.cancel()
	r.wait.Wait()
	return r.records, r.failed
}
