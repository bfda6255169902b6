package main

import (
	"bufio"
	"context"
	"encoding/base64"
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"math/rand/v2"
	"net"
	"net/http"
	"net/url"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/internal/ledger"
	"moneyer/internal/store"
	"moneyer/oauth"
)

var killRounds = flag.Int("kill-rounds", 6, "how often TestKill9 kills the server")

// TestKill9 kills the server under load repeatedly. Every token that a caller
// got must be in the ledger, the chain must hold, and no assertion may have
// been exchanged for two tokens, even if the first response was lost.
// `make test-counterparts` does 40 rounds. Before a change to the store or the
// writer lands, have it do more:
//
//	go test ./cmd/moneyer -run TestKill9 -kill-rounds 200 -timeout 30m -v
func TestKill9(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	f := newCrashFixture(t)
	lost := []*attempt{}
	for round := range *killRounds {
		f.start(t)
		for _, a := range lost {
			f.try(a) // again, with the same assertion
		}
		lost = f.loadUntilKilled(t, 1+rand.IntN(150))
		f.check(t, round)
	}
	t.Logf("%d rounds: %d tokens, %d assertions without an answer, slowest restart to the first token %v", *killRounds, f.tokens, f.unanswered, f.slowest)
}

type crashFixture struct {
	dir, address, admin string
	signer              *assertion.Signer
	client              *http.Client
	server              *exec.Cmd
	started             time.Time
	slowest             time.Duration
	attempts            []*attempt
	tokens, unanswered  int
}

// attempt is one assertion and its result.
type attempt struct {
	correlation, assertion string
	tokens                 int
	jti                    string
	answered               bool
}

func newCrashFixture(t *testing.T) *crashFixture {
	t.Helper()
	f := &crashFixture{dir: t.TempDir(), address: freeAddress(t), admin: freeAddress(t),
		client: &http.Client{Transport: &http.Transport{MaxIdleConnsPerHost: 64}, Timeout: 20 * time.Second}}
	f.start(t)
	key, err := assertion.LoadKey(filepath.Join(f.dir, "partners", "d1.pem"))
	if err != nil {
		t.Fatal(err)
	}
	if f.signer, err = assertion.NewSigner(key, "", "demo-1", ""); err != nil {
		t.Fatal(err)
	}
	f.kill(t)
	return f
}

func freeAddress(t *testing.T) string {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	return l.Addr().String()
}

// start runs the sandbox and waits until it says that it is ready.
func (f *crashFixture) start(t *testing.T) {
	t.Helper()
	f.started = time.Now()
	f.server = exec.Command("moneyer", "sandbox", "--dir", f.dir, "--listen", f.address, "--admin-listen", f.admin)
	out, err := f.server.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := f.server.Start(); err != nil {
		t.Fatal(err)
	}
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		if strings.Contains(lines.Text(), "sandbox is ready") {
			go func() { _, _ = io.Copy(io.Discard, out) }()
			return
		}
	}
	t.Fatal("the server ended before it was ready")
}

func (f *crashFixture) kill(t *testing.T) {
	t.Helper()
	if err := f.server.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = f.server.Wait()
	f.client.CloseIdleConnections()
}

// loadUntilKilled sends assertions from many callers, kills the server when
// enough of them had a token, and returns those that got no answer.
func (f *crashFixture) loadUntilKilled(t *testing.T, enough int) (lost []*attempt) {
	t.Helper()
	var mu sync.Mutex
	var callers sync.WaitGroup
	given := make(chan struct{}, 1<<16)
	dead := make(chan struct{})
	for range 16 {
		callers.Go(func() {
			for {
				select {
				case <-dead:
					return
				default:
				}
				a := f.newAttempt()
				f.try(a)
				mu.Lock()
				f.attempts = append(f.attempts, a)
				if !a.answered {
					lost = append(lost, a)
				}
				mu.Unlock()
				if a.tokens > 0 {
					given <- struct{}{}
				}
			}
		})
	}
	for range enough {
		<-given
		if took := time.Since(f.started); !f.started.IsZero() {
			f.slowest, f.started = max(f.slowest, took), time.Time{}
		}
	}
	f.kill(t)
	close(dead)
	callers.Wait()
	f.unanswered += len(lost)
	return lost
}

func (f *crashFixture) newAttempt() *attempt {
	a := assertion.Assertion{Issuer: "demo-gtw01", Subject: "demo-gtw01", Audience: []string{"stg"}, Expiry: time.Now().Add(10 * time.Minute)}
	if rand.IntN(2) == 0 {
		a.ID = assertion.NewID() // else the signature identifies the assertion
	}
	signed, err := f.signer.Sign(a)
	if err != nil {
		panic(err)
	}
	return &attempt{correlation: assertion.NewID(), assertion: signed}
}

// try sends the assertion once and records the result.
func (f *crashFixture) try(a *attempt) {
	body := url.Values{"grant_type": {string(oauth.JWTBearer)}, "assertion": {a.assertion}}
	req, err := http.NewRequest(http.MethodPost, "http://"+f.address+"/d1/authz/v1/oauth2/token", strings.NewReader(body.Encode()))
	if err != nil {
		panic(err)
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("X-Correlation-Id", a.correlation)
	resp, err := f.client.Do(req)
	if err != nil {
		return
	}
	defer resp.Body.Close()
	var answer struct {
		Token string `json:"access_token"`
	}
	if json.NewDecoder(resp.Body).Decode(&answer) != nil {
		return
	}
	a.answered = true
	if resp.StatusCode == http.StatusOK {
		a.tokens++
		a.jti = jtiOf(answer.Token)
	}
}

func jtiOf(token string) string {
	claims, err := decodePart(token, 1)
	if err != nil {
		return ""
	}
	jti, _ := claims["jti"].(string)
	return jti
}

// check verifies the store of the killed server.
func (f *crashFixture) check(t *testing.T, round int) {
	t.Helper()
	ctx := context.Background()
	db, err := store.Open(ctx, "sqlite:"+filepath.Join(f.dir, "moneyer.db"), store.Options{Create: true, Now: time.Now, RowKey: masterOf(t, f.dir).RowKey()})
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	defer db.Close()
	report, err := db.Verify(ctx, nil)
	if err != nil || report.Broken != 0 {
		t.Fatalf("round %d: the chain breaks at %d (%s), error %v", round, report.Broken, report.How, err)
	}
	recorded, minted := map[string]bool{}, map[string]int{}
	err = db.Entries(ctx, ledger.Query{Kind: ledger.KindToken, Issuer: "d1"}, func(r *ledger.Record) error {
		e, err := r.Entry()
		if err == nil {
			recorded[e.JTI] = true
			minted[e.Correlation]++
		}
		return err
	})
	if err != nil {
		t.Fatalf("round %d: %v", round, err)
	}
	f.tokens = len(recorded)
	for _, a := range f.attempts {
		switch {
		case a.tokens > 1 || minted[a.correlation] > 1:
			t.Fatalf("round %d: one assertion gave %d tokens, the ledger has %d", round, a.tokens, minted[a.correlation])
		case a.tokens == 1 && !recorded[a.jti]:
			t.Fatalf("round %d: token %s was handed out and is not in the ledger", round, a.jti)
		}
	}
}

// decodePart decodes a part of a JWT for a test.
func decodePart(token string, part int) (map[string]any, error) {
	parts := strings.Split(token, ".")
	if len(parts) != 3 {
		return nil, fmt.Errorf("%d parts", len(parts))
	}
	return decodeBase64JSON(parts[part])
}

func decodeBase64JSON(text string) (map[string]any, error) {
	var members map[string]any
	raw, err := base64.RawURLEncoding.DecodeString(text)
	if err != nil {
		return nil, err
	}
	return members, json.Unmarshal(raw, &members)
}
