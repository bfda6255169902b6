package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"math/rand/v2"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/anishathalye/porcupine"

	"moneyer/assertion"
	"moneyer/cluster/fault"
	"moneyer/cluster/load"
	"moneyer/cluster/stand"
)

// bound is how long a replica may go by what was so before: a question may be
// answered as if it had come so much earlier. It is what the documentation promises.
const bound = time.Second

// A step is a question or a change, and the one switch that it is about.
type step struct {
	of switchName
	do action
}

// A switchName names what can be off: a client, one of its keys, or one of its
// tokens. Each client has only switches of one kind that are ever turned, so that an
// answer tells of one.
type switchName struct {
	client int // in its history
	kind   switchKind
	number int // of the key or token
}

type switchKind string

const (
	clientSwitch switchKind = "client"
	keySwitch    switchKind = "key"
	tokenSwitch  switchKind = "token"
	noSwitch     switchKind = "nothing" // of what nobody turns off
)

type action string

const (
	mint       action = "mint"
	introspect action = "introspect"
	turnOff    action = "turn off" // disable or revoke
	turnOn     action = "turn on"
)

const (
	keysPerClient = 2
	mostTokens    = 64
)

// model tells what may be answered: the output of a question is whether a token was
// given, or is active, which is so while the switch is not off. A change that was
// acknowledged has happened at an instant between its request and its answer.
var model = porcupine.Model{
	Partition: func(history []porcupine.Operation) (parts [][]porcupine.Operation) {
		of := map[switchName][]porcupine.Operation{}
		for _, o := range history {
			name := o.Input.(step).of
			of[name] = append(of[name], o)
		}
		return slices.Collect(maps.Values(of))
	},
	Init: func() any { return false },
	Step: func(off, input, output any) (bool, any) {
		switch input.(step).do {
		case turnOff:
			return true, true
		case turnOn:
			return true, false
		default:
			return output.(bool) != off.(bool), off
		}
	},
	DescribeOperation: func(input, output any) string { return fmt.Sprintf("%s: %v", input.(step).do, output) },
}

// TestModel shows that histories which break a promise are found.
func TestModel(t *testing.T) {
	const ms = int64(time.Millisecond)
	done := func(do action, from, to int64) porcupine.Operation {
		return porcupine.Operation{Input: step{do: do}, Call: from * ms, Return: to * ms}
	}
	asked := func(from, to int64, yes bool) porcupine.Operation {
		return question(step{do: mint}, time.Duration(from*ms), time.Duration(to*ms), now, yes)
	}
	for _, c := range []struct {
		name    string
		good    bool
		history []porcupine.Operation
	}{
		{"refused at once", true, []porcupine.Operation{done(turnOff, 0, 10), asked(20, 30, false)}},
		{"granted within the bound", true, []porcupine.Operation{done(turnOff, 0, 10), asked(900, 910, true)}},
		{"granted beyond the bound", false, []porcupine.Operation{done(turnOff, 0, 10), asked(1020, 1030, true)}},
		{"refused before it was turned off", false, []porcupine.Operation{asked(0, 10, false), done(turnOff, 20, 30)}},
		{"refused while it was turned off", true, []porcupine.Operation{done(turnOff, 0, 50), asked(10, 20, false)}},
		{"refused long after it was turned on", false, []porcupine.Operation{done(turnOff, 0, 10), done(turnOn, 20, 30), asked(1200, 1210, false)}},
		{"refused without a cause", false, []porcupine.Operation{asked(2000, 2010, false)}},
		{"a change of which nobody knows", true, []porcupine.Operation{done(turnOff, 0, math.MaxInt64/ms), asked(5000, 5010, true), asked(8000, 8010, false)}},
		{"there and back", false, []porcupine.Operation{done(turnOff, 0, math.MaxInt64/ms), asked(5000, 5010, false), asked(8000, 8010, true)}},
		{"as of long ago, and it says so", true, []porcupine.Operation{done(turnOff, 2000, 2010),
			question(step{do: introspect}, 9*time.Second, 9100*time.Millisecond, time.Second, true)}},
		{"of another switch", true, []porcupine.Operation{done(turnOff, 0, 10),
			question(step{of: switchName{client: 1}, do: mint}, 2*time.Second, 2100*time.Millisecond, now, true)}},
	} {
		if got := porcupine.CheckOperations(model, c.history); got != c.good {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// now is the instant of an answer that named no earlier one.
const now = time.Duration(math.MaxInt64)

// question is a step that was answered: as of the time of the call less the bound,
// or as of an earlier one that the answer named.
func question(in step, called, answered, asOf time.Duration, yes bool) porcupine.Operation {
	return porcupine.Operation{Input: in, Call: int64(min(called-bound, asOf)), Output: yes, Return: int64(answered)}
}

// TestHistories does things at random to many clients, on all replicas, while
// replicas, their network and the primary fail, and checks that what was answered
// could have been so.
func TestHistories(t *testing.T) {
	s := world(t)
	const together = 20 // histories at once, under the same faults
	batches := often(1, 50)
	asked, unknown, undecided, slowestCheck := 0, 0, 0, time.Duration(0)
	for batch := range batches {
		var all []*history
		for n := range together {
			all = append(all, newHistory(t, s, fmt.Sprintf("h%d-%d-%d", time.Now().UnixNano(), batch, n)))
		}
		ctx, stop := context.WithCancel(t.Context())
		var workers sync.WaitGroup
		for _, h := range all {
			for worker := range 3 {
				workers.Go(func() { h.work(ctx, worker) })
			}
		}
		err := torment(t, s)
		stop()
		workers.Wait()
		if err := errors.Join(err, s.Complete(t.Context())); err != nil {
			t.Fatal(err)
		}
		for _, h := range all {
			began := time.Now()
			undecided += h.check(t)
			slowestCheck = max(slowestCheck, time.Since(began))
			asked, unknown = asked+len(h.operations), unknown+h.unknown
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	t.Logf("%d histories with %d steps, and %d more of which the outcome is not known; the slowest was checked in %v, %d switches were not decided",
		batches*together, asked, unknown, slowestCheck.Round(time.Millisecond), undecided)
	if undecided > batches*together/50 {
		t.Errorf("%d switches of %d histories were not decided", undecided, batches*together)
	}
}

// torment lets one fault follow the other.
func torment(t *testing.T, s *stand.Stand) error {
	t.Helper()
	faults := []func() error{
		func() error { return befall(t, s, fault.Blackhole, 1500*time.Millisecond) },
		func() error { return killOne(t, s) },
		func() error { return holdUp(t, s, 1300*time.Millisecond) },
		func() error { return befall(t, s, fault.HalfOpen, 700*time.Millisecond) },
		func() error { return failOver(t, s) },
	}
	if *long {
		for _, kind := range []fault.Kind{fault.Reset, fault.Latency, fault.Loss} {
			faults = append(faults, func() error { return befall(t, s, kind, 1500*time.Millisecond) })
		}
		rand.Shuffle(len(faults), func(i, j int) { faults[i], faults[j] = faults[j], faults[i] })
	}
	for _, f := range faults {
		pause(t, 300*time.Millisecond)
		if err := f(); err != nil {
			return err
		}
	}
	pause(t, 300*time.Millisecond)
	return nil
}

func someReplica(s *stand.Stand) *stand.Replica { return s.Replicas[rand.IntN(len(s.Replicas))] }

func befall(t *testing.T, s *stand.Stand, kind fault.Kind, lasts time.Duration) error {
	r := someReplica(s)
	for _, l := range r.Links {
		if err := l.Break(kind); err != nil {
			return err
		}
	}
	pause(t, lasts)
	for _, l := range r.Links {
		l.Heal(context.Background())
	}
	return nil
}

func killOne(t *testing.T, s *stand.Stand) error {
	r := someReplica(s)
	if err := r.Kill(); err != nil {
		return err
	}
	pause(t, 200*time.Millisecond)
	return errors.Join(r.Launch(), r.AwaitReady(t.Context()))
}

// holdUp lets a replica stand still, and wake without knowing of it.
func holdUp(t *testing.T, s *stand.Stand, lasts time.Duration) error {
	r := someReplica(s)
	if err := r.Pause(); err != nil {
		return err
	}
	pause(t, lasts)
	return r.Resume()
}

func failOver(t *testing.T, s *stand.Stand) error {
	if err := s.Primary.Kill(); err != nil {
		return err
	}
	if err := s.FailOver(t.Context()); err != nil {
		return err
	}
	return s.Complete(t.Context())
}

// A history is what is done to three clients, of each kind of switches one.
type history struct {
	stand   *stand.Stand
	clients []*subject
	admins  []*stand.Admin // one through each replica
	checker string         // Authorization of who asks about tokens
	http    *http.Client
	began   time.Time

	mu         sync.Mutex // guards what follows
	operations []porcupine.Operation
	unknown    int
	wrong      []string
}

// A subject is a client of a history.
type subject struct {
	id    string
	turns switchKind // what of it is turned off and on
	keys  [keysPerClient]*load.Client

	mu     sync.Mutex
	tokens []load.Answer
}

func newHistory(t *testing.T, s *stand.Stand, name string) *history {
	t.Helper()
	h := &history{stand: s, http: load.NewHTTP(clientTimeout), began: time.Now()}
	t.Cleanup(h.http.CloseIdleConnections)
	for _, r := range s.Replicas {
		h.admins = append(h.admins, administrator(t, s, r))
	}
	h.checker = registerChecker(t, s, name+"-checker")
	for n, turns := range []switchKind{clientSwitch, keySwitch, tokenSwitch} {
		c := &subject{id: fmt.Sprintf("%s-%d", name, n), turns: turns}
		change(t, s, http.MethodPost, "/clients", map[string]any{"id": c.id, "scope": stand.Scope}, nil)
		for k := range c.keys {
			c.keys[k] = registerKey(t, s, c.id, fmt.Sprint("key-", k), h.http)
		}
		h.clients = append(h.clients, c)
	}
	return h
}

// change makes a change that must succeed, through the proxy.
func change(t *testing.T, s *stand.Stand, method, path string, in, out any) {
	t.Helper()
	if err := administrator(t, s, nil).Call(t.Context(), method, issuerPath+path, in, out); err != nil {
		t.Fatal(err)
	}
}

func registerKey(t *testing.T, s *stand.Stand, client, kid string, by *http.Client) *load.Client {
	t.Helper()
	key, err := assertion.GenerateKey("")
	if err != nil {
		t.Fatal(err)
	}
	public, err := assertion.PublicPEM(key)
	if err != nil {
		t.Fatal(err)
	}
	signer, err := assertion.NewSigner(key, "", kid, "")
	if err != nil {
		t.Fatal(err)
	}
	change(t, s, http.MethodPost, "/clients/"+client+"/keys", map[string]any{"kid": kid, "key": string(public)}, nil)
	return &load.Client{Issuer: s.IssuerURL(), ID: client, Signer: signer, HTTP: by}
}

// registerChecker registers a client that may ask about others' tokens, and returns
// its Authorization.
func registerChecker(t *testing.T, s *stand.Stand, id string) string {
	t.Helper()
	change(t, s, http.MethodPost, "/clients", map[string]any{"id": id, "introspects": true}, nil)
	var secret struct{ Text string }
	change(t, s, http.MethodPost, "/clients/"+id+"/secrets", map[string]any{"kind": "secret"}, &secret)
	req := &http.Request{Header: http.Header{}}
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret.Text))
	return req.Header.Get("Authorization")
}

// work takes step after step until ctx ends.
func (h *history) work(ctx context.Context, worker int) {
	for ctx.Err() == nil {
		h.take(worker)
		select {
		case <-ctx.Done():
		case <-time.After(time.Duration(10+rand.IntN(40)) * time.Millisecond):
		}
	}
}

func (h *history) take(worker int) {
	n, replica := rand.IntN(len(h.clients)), rand.IntN(len(h.stand.Replicas))
	c := h.clients[n]
	key, do := rand.IntN(keysPerClient), someAction()
	c.mu.Lock()
	tokens := len(c.tokens)
	c.mu.Unlock()
	if tokens == 0 && (do == introspect || c.turns == tokenSwitch) {
		do = mint
	}
	token := rand.IntN(max(tokens, 1))
	switch do {
	case mint:
		h.mint(worker, step{c.about(n, keySwitch, key), mint}, key, replica)
	case introspect:
		h.introspect(worker, step{c.about(n, tokenSwitch, token), introspect}, token, replica)
	default:
		number := map[switchKind]int{keySwitch: key, tokenSwitch: token}[c.turns]
		h.change(worker, step{switchName{n, c.turns, number}, do}, replica)
	}
}

// about is the switch that an answer depends on, when the question is about a key or
// a token.
func (c *subject) about(client int, kind switchKind, number int) switchName {
	switch c.turns {
	case kind:
		return switchName{client, kind, number}
	case clientSwitch:
		return switchName{client, clientSwitch, 0}
	default:
		return switchName{client, noSwitch, 0}
	}
}

func someAction() action {
	switch n := rand.IntN(100); {
	case n < 40:
		return mint
	case n < 78:
		return introspect
	case n < 88:
		return turnOff
	default:
		return turnOn
	}
}

func (h *history) add(worker int, o porcupine.Operation) {
	h.mu.Lock()
	defer h.mu.Unlock()
	o.ClientId = worker
	h.operations = append(h.operations, o)
}

// lost notes a step of which the outcome is not known, or not of this model.
func (h *history) lost(wrong string) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.unknown++
	if wrong != "" {
		h.wrong = append(h.wrong, wrong)
	}
}

func (h *history) mint(worker int, in step, key, replica int) {
	c := h.clients[in.of.client]
	by := c.keys[key]
	a, err := by.Attempt()
	if err != nil {
		h.lost(err.Error())
		return
	}
	called := time.Since(h.began)
	answer := by.Send(context.Background(), h.stand.Replicas[replica].IssuerURL(), a)
	answered := time.Since(h.began)
	switch answer.Kind {
	case load.Granted, load.Refused:
		h.add(worker, question(in, called, answered, now, answer.Kind == load.Granted))
	case load.Wrong:
		h.lost(fmt.Sprintf("%+v", answer))
	default:
		h.lost("")
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	if answer.Kind == load.Granted && len(c.tokens) < mostTokens {
		c.tokens = append(c.tokens, answer)
	}
}

func (c *subject) token(n int) load.Answer {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.tokens[n]
}

func (h *history) introspect(worker int, in step, number, replica int) {
	token := h.clients[in.of.client].token(number)
	called := time.Since(h.began)
	active, asOf, err := h.ask(h.stand.Replicas[replica].IssuerURL(), token.Token)
	answered := time.Since(h.began)
	switch {
	case err != nil:
		h.lost("")
	case asOf == 0:
		h.add(worker, question(in, called, answered, now, active))
	default:
		h.add(worker, question(in, called, answered, time.Unix(asOf, 0).Sub(h.began), active))
	}
}

// ask introspects a token (RFC 7662).
func (h *history) ask(issuer, token string) (active bool, asOf int64, err error) {
	req, err := http.NewRequest(http.MethodPost, issuer+"/introspect", strings.NewReader(url.Values{"token": {token}}.Encode()))
	if err != nil {
		return false, 0, err
	}
	req.Header.Set("Content-Type", "application/x-www-form-urlencoded")
	req.Header.Set("Authorization", h.checker)
	resp, err := h.http.Do(req)
	if err != nil {
		return false, 0, err
	}
	defer resp.Body.Close()
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return false, 0, err
	}
	if resp.StatusCode != http.StatusOK {
		return false, 0, fmt.Errorf("%s: %s", resp.Status, text)
	}
	var answer struct {
		Active bool
		AsOf   int64 `json:"as_of"`
	}
	err = json.Unmarshal(text, &answer)
	return answer.Active, answer.AsOf, err
}

// change is acknowledged, refused without a trace because somebody else changed the
// client at the same moment, or its outcome is not known: it may come late.
func (h *history) change(worker int, in step, replica int) {
	c := h.clients[in.of.client]
	method, path := http.MethodPatch, issuerPath+"/clients/"+c.id
	body := map[string]any{"disabled": in.do == turnOff}
	switch {
	case in.of.kind == keySwitch:
		path += fmt.Sprint("/keys/key-", in.of.number)
	case in.of.kind == tokenSwitch && in.do == turnOff:
		method, path, body = http.MethodPost, issuerPath+"/revocations", map[string]any{"jti": c.token(in.of.number).JTI}
	case in.of.kind == tokenSwitch:
		return // it is for good
	}
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	called := time.Since(h.began)
	err := h.admins[replica].Call(ctx, method, path, body, nil)
	o := porcupine.Operation{Input: in, Call: int64(called), Return: int64(time.Since(h.began))}
	var refusal *stand.Refusal
	switch {
	case err == nil:
	case errors.As(err, &refusal) && refusal.Status == http.StatusConflict:
		return
	case errors.As(err, &refusal) && refusal.Status != http.StatusServiceUnavailable && refusal.Status != http.StatusUnauthorized:
		h.lost(err.Error())
		return
	default:
		o.Return = math.MaxInt64
		h.lost("")
	}
	h.add(worker, o)
}

// check fails the test when what was answered cannot have been so. Whether it can is
// hard to tell where many changes have no known outcome: it counts those switches of
// which that was not found out in half a minute.
func (h *history) check(t *testing.T) (undecided int) {
	t.Helper()
	if len(h.wrong) > 0 {
		t.Errorf("wrong answers: %v", h.wrong)
	}
	for _, part := range model.Partition(h.operations) {
		switch porcupine.CheckOperationsTimeout(model, part, 30*time.Second) {
		case porcupine.Ok:
		case porcupine.Unknown:
			undecided++
		case porcupine.Illegal:
			of := part[0].Input.(step).of
			t.Errorf("this cannot have been so of client %s, %s %d (a question begins %v before it was asked):\n%s",
				h.clients[of.client].id, of.kind, of.number, bound, tell(part))
		}
	}
	return undecided
}

// tell lists operations in the order of their answers.
func tell(part []porcupine.Operation) string {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	var lines []string
	for _, o := range part {
		lines = append(lines, fmt.Sprintf("%8v to %8v by %d: %s", time.Duration(o.Call).Round(time.Millisecond),
			time.Duration(o.Return).Round(time.Millisecond), o.ClientId, model.DescribeOperation(o.Input, o.Output)))
	}
	return strings.Join(lines, "\n")
}
