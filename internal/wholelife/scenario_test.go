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

var rounds = flag.Int("wholelife-rounds", 1, "the number of rounds of TestWholeLife")

// attempts is how often a revocation is tried that must be seen before the token expires; a machine
// that stalls for seconds can prevent that.
const attempts = 5

// unknownKidEvery is how long RemoteKeys refuses unknown kids after a fetch.
const unknownKidEvery = time.Minute

func TestWholeLife(t *testing.T) {
	if testing.Short() {
		t.Skip("-short")
	}
	w := newScenario(t)
	for round := range *rounds {
		w.round(round)
	}
	w.end()
	for _, violation := range w.history.violations() {
		t.Error(violation)
	}
	t.Log(w.history.figures())
}

// scenario makes things happen, one after the other, while the partner calls the API.
type scenario struct {
	*testing.T
	history
	log          *eventLog
	mark         int // await considers events from here on
	server       *server
	operator     *operator
	api, partner *child
	clients      int // number of registered clients; the last one is the partner's
	keys         int // number of keys of the last client; the last one is the partner's
	announced    []string
}

// child is the test binary in another role.
type child struct {
	cmd   *exec.Cmd
	stdin io.WriteCloser
	read  chan struct{} // closed when its output has ended
}

// newScenario starts everything. The signing keys of the first round are announced before the API
// fetches keys for the first time.
func newScenario(t *testing.T) *scenario {
	w := &scenario{T: t, log: newEventLog(), server: newServer(t)}
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

// spawn starts a process and records its events.
func (w *scenario) spawn(r role) *child {
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
			w.log.add(e)
		}
	}()
	return c
}

// quit lets a process end, which must succeed.
func (w *scenario) quit(c *child) {
	w.Helper()
	_ = c.stdin.Close()
	select {
	case <-c.read:
	case <-time.After(waitTimeout):
		w.Fatal("a process does not end")
	}
	if err := c.cmd.Wait(); err != nil {
		w.Errorf("a process ended with %v", err)
	}
}

// round runs all steps once.
func (w *scenario) round(n int) {
	w.Logf("round %d, %d events so far", n, len(w.log.from(0)))
	if n > 0 {
		w.announce()
		w.outwaitUnknownKids()
	}
	w.rotateByRenewal()
	w.until("a revoked token was refused before its expiry", w.changeKeyAndRevokeToken)
	w.restart(syscall.SIGTERM)
	w.restart(syscall.SIGKILL)
	w.until("the tokens of a revoked client were refused before their expiry", w.replaceClient)
	w.cut(n%2 == 0)
}

// await waits for an event after the mark, and moves the mark behind it.
func (w *scenario) await(what string, is func(*event) bool) event {
	w.Helper()
	deadline := time.After(waitTimeout)
	for {
		for _, e := range w.log.from(w.mark) {
			w.mark++
			if is(&e) {
				return e
			}
		}
		select {
		case <-w.log.more:
		case <-deadline:
			w.Fatalf("timeout waiting for %s", what)
		}
	}
}

// until repeats a step until it succeeds.
func (w *scenario) until(what string, try func() bool) {
	w.Helper()
	for range attempts {
		if try() {
			return
		}
	}
	w.Fatalf("%d attempts did not show that %s", attempts, what)
}

// awaitToken waits until the partner has a token that it requested after since with the current
// credential, and the API has accepted it.
func (w *scenario) awaitToken(since time.Time) event {
	w.Helper()
	token := w.await("a new token", func(e *event) bool {
		return e.Kind == asked && e.Status == http.StatusOK && e.Credential == w.client()+"/"+w.kid() && e.Start.After(since)
	})
	w.await("the API to accept it", func(e *event) bool { return e.Kind == accepted && e.JTI == token.JTI })
	return token
}

// announce announces the signing keys of a round.
func (w *scenario) announce() {
	w.announced = nil
	for range 2 {
		w.announced = append(w.announced, w.operator.do(http.MethodPost, "signing-keys", map[string]any{}))
	}
	w.fetches++
}

// outwaitUnknownKids waits until the API fetches keys again for unknown kids.
func (w *scenario) outwaitUnknownKids() {
	var last time.Time
	for _, e := range w.log.from(0) {
		if e.isKeys() {
			last = e.End
		}
	}
	w.await("the API to ask for unknown kids again", func(e *event) bool { return e.Start.Sub(last) > unknownKidEvery })
}

// activate activates the next announced key at once: the server cannot know that the API knows it.
func (w *scenario) activate() (kid string) {
	kid, w.announced = w.announced[0], w.announced[1:]
	w.operator.do(http.MethodPost, "signing-keys/"+kid+":activate", map[string]any{"at_once": true})
	return kid
}

// rotateByRenewal activates another key, whose tokens the partner gets with its next renewal.
func (w *scenario) rotateByRenewal() {
	kid := w.activate()
	w.await("a token under the new signing key", func(e *event) bool { return e.Kind == accepted && e.Kid == kid })
}

// newKey registers another key of the client and makes the partner use it.
func (w *scenario) newKey() {
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

func (w *scenario) client() string { return fmt.Sprintf("merchant%02d", w.clients) }
func (w *scenario) kid() string    { return fmt.Sprintf("key-%d", w.keys) }

// newClient registers another client and makes the partner use it.
func (w *scenario) newClient() {
	w.clients, w.keys = w.clients+1, 0
	w.operator.do(http.MethodPost, "clients", map[string]any{"id": w.client(), "scope": "d1-s2s:api:merchant-gtw"})
	w.newKey()
}

// changeKeyAndRevokeToken changes the client's key with an overlap, activates the next signing key,
// if there is one, and revokes the token in use. It reports whether the API refused that before its
// expiry.
func (w *scenario) changeKeyAndRevokeToken() bool {
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

// replaceClient makes the partner use another client as soon as it has a new token, then disables
// and revokes the previous one. It reports whether the API refused the remaining tokens before
// their expiry.
func (w *scenario) replaceClient() bool {
	old, now := w.client(), time.Now()
	w.newClient()
	w.awaitToken(now)
	w.operator.do(http.MethodPatch, "clients/"+old, map[string]any{"disabled": true})
	w.revoke(revocation{Client: old})
	return w.refused(func(e *event) bool { return e.Client == old })
}

// revoke revokes, records when that was acknowledged, and returns when it began.
func (w *scenario) revoke(r revocation) (began time.Time) {
	began = time.Now()
	w.mark = len(w.log.from(0))
	target := map[string]any{"jti": r.JTI}
	if r.Client != "" {
		target = map[string]any{"client": r.Client}
	}
	w.operator.do(http.MethodPost, "revocations", target)
	r.Acknowledged = time.Now()
	w.revoked = append(w.revoked, r)
	return began
}

// refused waits until the API refuses a token, and reports whether the token had not expired.
func (w *scenario) refused(is func(*event) bool) bool {
	e := w.await("a token to be refused", func(e *event) bool {
		return e.Kind == probed && e.Status == http.StatusUnauthorized && is(e)
	})
	return e.unexpired()
}

// restart ends the server with a signal and starts it again.
func (w *scenario) restart(signal syscall.Signal) {
	up := w.outage(signal.String(), func() {
		err := w.server.stop(w.T, signal)
		if clean := err == nil; clean != (signal == syscall.SIGTERM) {
			w.Errorf("on %v the server ended with %v", signal, err)
		}
		w.server.start(w.T)
	})
	w.awaitToken(up)
}

// cut interrupts the network for longer than a token lives: it hangs and then, if mixed, refuses.
func (w *scenario) cut(mixed bool) {
	healed := w.outage("the network is interrupted", func() {
		began := time.Now()
		w.server.public.setState(hangs)
		w.await("the API to give up on the issuer", func(e *event) bool {
			return e.Kind == fetched && e.Error != "" && e.Start.After(began)
		})
		if mixed {
			w.server.public.setState(refusing)
		}
		w.await("the partner to run out of tokens", func(e *event) bool {
			return e.Kind == called && e.Error != "" && e.End.Sub(began) > lifetime
		})
		w.server.public.setState(whole)
	})
	ok := w.await("the partner to recover", func(e *event) bool {
		return e.Kind == called && e.Status == http.StatusOK && e.Start.After(healed)
	})
	w.recovery = max(w.recovery, ok.End.Sub(healed))
}

// outage records that the server is unreachable during a step, and returns when it ended.
func (w *scenario) outage(cause string, during func()) time.Time {
	began := time.Now()
	during()
	w.outages = append(w.outages, outage{cause, began, time.Now()})
	return w.outages[len(w.outages)-1].End
}

// end stops all processes and collects their events.
func (w *scenario) end() {
	w.quit(w.partner)
	w.quit(w.api)
	w.ended = time.Now()
	w.ledger = w.server.ledger(w.T)
	w.server.quit(w.T)
	w.events = w.log.from(0)
}

// isKeys reports whether the event is a fetch of the issuer's keys.
func (e *event) isKeys() bool { return e.Kind == fetched && strings.HasSuffix(e.URL, "/jwks.json") }
