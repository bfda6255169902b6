package wholelife

import (
	"encoding/json"
	"flag"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"strings"
	"syscall"
	"testing"
	"time"

	"moneyer/assertion"
)

var rounds = flag.Int("wholelife-rounds", 1, "how often TestWholeLife lets everything happen")

// attempts of a revocation that is to be seen before the token ends anyway, which
// a machine that stands still for seconds can prevent.
const attempts = 5

// unknownKidEvery is how long a RemoteKeys takes an unknown kid for unknown,
// after it has fetched.
const unknownKidEvery = time.Minute

func TestWholeLife(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	w := newWalk(t)
	for round := range *rounds {
		w.round(round)
	}
	w.end()
	for _, complaint := range w.story.judge() {
		t.Error(complaint)
	}
	t.Log(w.story.figures())
}

// walk lets things happen, one after the other, while the partner calls the API.
type walk struct {
	*testing.T
	story
	diary        *diary
	mark         int // events from here on count for await
	server       *server
	operator     *operator
	api, partner *child
	clients      int // registered so far; the last one is the partner's
	keys         int // of the last client; the last one is the partner's
	announced    []string
}

// child is a process that is the test binary in another role.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	read  chan struct{} // closed when it has told everything
}

// newWalk starts everything. The signing keys of the first round are announced
// before the API fetches keys for the first time.
func newWalk(t *testing.T) *walk {
	w := &walk{T: t, diary: newDiary(), server: newServer(t)}
	w.began = time.Now()
	w.server.start(t)
	w.operator = newOperator(t, w.server)
	w.announce()
	w.api = w.spawn(role{Name: "api", Issuer: w.server.issuer})
	at := w.await("the API listens", func(e *event) bool { return e.Kind == listening })
	w.partner = w.spawn(role{Name: "partner", Issuer: w.server.issuer, API: at.URL})
	w.newClient()
	w.awaitToken(w.began)
	return w
}

// spawn starts a process and notes what it tells.
func (w *walk) spawn(r role) *child {
	w.Helper()
	self, err := os.Executable()
	if err != nil {
		w.Fatal(err)
	}
	text, err := json.Marshal(r)
	if err != nil {
		w.Fatal(err)
	}
	c := &child{cmd: exec.Command(self), read: make(chan struct{})}
	c.cmd.Env = append(os.Environ(), roleVariable+"="+string(text))
	c.cmd.Stderr = os.Stderr
	if c.stdin, err = c.cmd.StdinPipe(); err != nil {
		w.Fatal(err)
	}
	stdout, err := c.cmd.StdoutPipe()
	if err != nil {
		w.Fatal(err)
	}
	if err := c.cmd.Start(); err != nil {
		w.Fatal(err)
	}
	w.Cleanup(func() { _ = c.cmd.Process.Kill() })
	go func() {
		defer close(c.read)
		for lines := json.NewDecoder(stdout); ; {
			var e event
			if lines.Decode(&e) != nil {
				return
			}
			w.diary.add(e)
		}
	}()
	return c
}

// quit lets a process come to its end, which must be a good one.
func (w *walk) quit(c *child) {
	w.Helper()
	_ = c.stdin.Close()
	select {
	case <-c.read:
	case <-time.After(patience):
		w.Fatal("a process does not end")
	}
	if err := c.cmd.Wait(); err != nil {
		w.Errorf("a process ended with %v", err)
	}
}

// round lets everything happen once.
func (w *walk) round(n int) {
	w.Logf("round %d, %d events so far", n, len(w.diary.from(0)))
	if n > 0 {
		w.announce()
		w.outwaitUnknownKids()
	}
	w.rotateByRenewal()
	w.until("a revoked token was refused before its end", w.changeKeyAndRevokeToken)
	w.restart(syscall.SIGTERM)
	w.restart(syscall.SIGKILL)
	w.until("the tokens of a revoked client were refused before their end", w.replaceClient)
	w.cut(n%2 == 0)
}

// await waits for an event after the mark, and puts the mark behind it.
func (w *walk) await(what string, is func(*event) bool) event {
	w.Helper()
	deadline := time.After(patience)
	for {
		for _, e := range w.diary.from(w.mark) {
			w.mark++
			if is(&e) {
				return e
			}
		}
		select {
		case <-w.diary.more:
		case <-deadline:
			w.Fatalf("waited for %s in vain", what)
		}
	}
}

// until tries something until it worked.
func (w *walk) until(what string, try func() bool) {
	w.Helper()
	for range attempts {
		if try() {
			return
		}
	}
	w.Fatalf("%d times it could not be seen that %s", attempts, what)
}

// awaitToken waits until the partner has a token that it asked for since then with
// the credential at hand, and the API has accepted it.
func (w *walk) awaitToken(since time.Time) event {
	w.Helper()
	token := w.await("a new token", func(e *event) bool {
		return e.Kind == asked && e.Status == http.StatusOK && e.Credential == w.client()+"/"+w.kid() && e.Start.After(since)
	})
	w.await("the API to accept it", func(e *event) bool { return e.Kind == accepted && e.JTI == token.JTI })
	return token
}

// announce publishes the signing keys of a round.
func (w *walk) announce() {
	w.announced = nil
	for range 2 {
		w.announced = append(w.announced, w.operator.do(http.MethodPost, "signing-keys", map[string]any{}))
	}
	w.fetches++
}

// outwaitUnknownKids lets the time pass in which the API does not fetch keys for a
// kid that it does not know.
func (w *walk) outwaitUnknownKids() {
	var last time.Time
	for _, e := range w.diary.from(0) {
		if e.isKeys() {
			last = e.End
		}
	}
	w.await("the API to ask for unknown kids again", func(e *event) bool { return e.Start.Sub(last) > unknownKidEvery })
}

// activate lets the next of the announced keys sign, at once: that the API knows
// it, or may ask for it, the server cannot see.
func (w *walk) activate() (kid string) {
	kid, w.announced = w.announced[0], w.announced[1:]
	w.operator.do(http.MethodPost, "signing-keys/"+kid+":activate", map[string]any{"at_once": true})
	return kid
}

// rotateByRenewal lets another key sign, which the partner meets by itself.
func (w *walk) rotateByRenewal() {
	kid := w.activate()
	w.await("a token under the new signing key", func(e *event) bool { return e.Kind == accepted && e.Kid == kid })
}

// newKey registers another key of the client, and lets the partner use it from
// now on.
func (w *walk) newKey() {
	w.keys++
	key, err := assertion.GenerateKey("ES256")
	if err != nil {
		w.Fatal(err)
	}
	public, err := assertion.PublicPEM(key)
	if err != nil {
		w.Fatal(err)
	}
	private, err := assertion.MarshalKey(key)
	if err != nil {
		w.Fatal(err)
	}
	w.operator.do(http.MethodPost, "clients/"+w.client()+"/keys", map[string]any{"key": string(public), "kid": w.kid()})
	if err := json.NewEncoder(w.partner.stdin).Encode(credential{w.client(), w.kid(), string(private)}); err != nil {
		w.Fatal(err)
	}
}

func (w *walk) client() string { return fmt.Sprintf("merchant%02d", w.clients) }
func (w *walk) kid() string    { return fmt.Sprintf("key-%d", w.keys) }

// newClient registers another client, and lets the partner be that from now on.
func (w *walk) newClient() {
	w.clients, w.keys = w.clients+1, 0
	w.operator.do(http.MethodPost, "clients", map[string]any{"id": w.client(), "scope": "d1-s2s:api:merchant-gtw"})
	w.newKey()
}

// changeKeyAndRevokeToken changes the client's key with an overlap, lets the next
// signing key take over, where there is one, and revokes the token that is in use.
// It tells whether the API refused that before its end.
func (w *walk) changeKeyAndRevokeToken() bool {
	old, now := w.kid(), time.Now()
	w.newKey()
	token := w.awaitToken(now)
	w.operator.do(http.MethodDelete, "clients/"+w.client()+"/keys/"+old, nil)
	kid := token.Kid
	if len(w.announced) > 0 {
		kid = w.activate()
	}
	now = w.revoke(revocation{JTI: token.JTI, Credential: token.Credential})
	if next := w.awaitToken(now); next.Kid != kid {
		w.Errorf("key %s signed the next token, want %s", next.Kid, kid)
	}
	return w.refused(func(e *event) bool { return e.JTI == token.JTI })
}

// replaceClient lets the partner be another client as soon as it has a new token,
// then disables and revokes the one that it was. It tells whether the API refused what was left of its tokens
// before their end.
func (w *walk) replaceClient() bool {
	old, now := w.client(), time.Now()
	w.newClient()
	w.awaitToken(now)
	w.operator.do(http.MethodPatch, "clients/"+old, map[string]any{"disabled": true})
	w.revoke(revocation{Client: old})
	return w.refused(func(e *event) bool { return e.Client == old })
}

// revoke revokes, notes when that was acknowledged, and returns when it began.
func (w *walk) revoke(r revocation) (began time.Time) {
	began = time.Now()
	w.mark = len(w.diary.from(0))
	target := map[string]any{"jti": r.JTI}
	if r.Client != "" {
		target = map[string]any{"client": r.Client}
	}
	w.operator.do(http.MethodPost, "revocations", target)
	r.Acknowledged = time.Now()
	w.revoked = append(w.revoked, r)
	return began
}

// refused waits until the API does not take a token any more, and tells whether
// it would have taken it for its time.
func (w *walk) refused(is func(*event) bool) bool {
	e := w.await("a token to be refused", func(e *event) bool {
		return e.Kind == probed && e.Status == http.StatusUnauthorized && is(e)
	})
	return e.early()
}

// restart ends the server by a signal and starts it again.
func (w *walk) restart(signal syscall.Signal) {
	up := w.outage(signal.String(), func() {
		err := w.server.stop(w.T, signal)
		if clean := err == nil; clean != (signal == syscall.SIGTERM) {
			w.Errorf("on %v the server ended with %v", signal, err)
		}
		w.server.start(w.T)
	})
	w.awaitToken(up)
}

// cut cuts the network for longer than a token lives: it hangs, and then, in a
// mixed cut, refuses.
func (w *walk) cut(mixed bool) {
	healed := w.outage("the network is cut", func() {
		began := time.Now()
		w.server.public.turn(hangs)
		w.await("the API to give up on the issuer", func(e *event) bool {
			return e.Kind == fetched && e.Error != "" && e.Start.After(began)
		})
		if mixed {
			w.server.public.turn(refusing)
		}
		w.await("the partner to run out of tokens", func(e *event) bool {
			return e.Kind == called && e.Error != "" && e.End.Sub(began) > lifetime
		})
		w.server.public.turn(whole)
	})
	ok := w.await("the partner to recover", func(e *event) bool {
		return e.Kind == called && e.Status == http.StatusOK && e.Start.After(healed)
	})
	w.recovery = max(w.recovery, ok.End.Sub(healed))
}

// outage notes that the server cannot be reached while something is done, and
// returns when that was over.
func (w *walk) outage(cause string, during func()) time.Time {
	began := time.Now()
	during()
	w.outages = append(w.outages, outage{cause, began, time.Now()})
	return w.outages[len(w.outages)-1].End
}

// end lets everybody come to an end and gathers what they told.
func (w *walk) end() {
	w.quit(w.partner)
	w.quit(w.api)
	w.ended = time.Now()
	w.ledger = w.server.ledger(w.T)
	w.server.quit(w.T)
	w.events = w.diary.from(0)
}

// isKeys tells whether the API asked for the issuer's keys.
func (e *event) isKeys() bool { return e.Kind == fetched && strings.HasSuffix(e.URL, "/jwks.json") }
