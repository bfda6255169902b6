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
	"moneyer/cluster/local"
)

// bound is the documented staleness of a replica: a request may be answered as if it had arrived
// that much earlier.
const bound = time.Second

// A step is a query or a change of one switch.
type step struct {
	of switchName
	do action
}

// A switchName identifies something that can be off: a client, one of its keys, or one of its
// tokens. Each client only has switches of one kind that change, so that an answer depends on one
// switch.
type switchName struct {
	client int // in its history
	kind   switchKind
	number int // number of the key or token
}

type switchKind string

const (
	clientSwitch switchKind = "client"
	keySwitch    switchKind = "key"
	tokenSwitch  switchKind = "token"
	noSwitch     switchKind = "nothing" // something that never changes
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

// model says which answers are allowed: the output of a query is whether a token was issued, or is
// active, which is so while the switch is not off. An acknowledged change happened at some instant
// between its request and its response.
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

// TestModel: the model rejects histories that violate a promise.
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
		{"a change of unknown outcome", true, []porcupine.Operation{done(turnOff, 0, math.MaxInt64/ms), asked(5000, 5010, true), asked(8000, 8010, false)}},
		{"there and back", false, []porcupine.Operation{done(turnOff, 0, math.MaxInt64/ms), asked(5000, 5010, false), asked(8000, 8010, true)}},
		{"as of long ago, as the answer says", true, []porcupine.Operation{done(turnOff, 2000, 2010),
			question(step{do: introspect}, 9*time.Second, 9100*time.Millisecond, time.Second, true)}},
		{"of another switch", true, []porcupine.Operation{done(turnOff, 0, 10),
			question(step{of: switchName{client: 1}, do: mint}, 2*time.Second, 2100*time.Millisecond, now, true)}},
	} {
		if got := porcupine.CheckOperations(model, c.history); got != c.good {
			t.Errorf("%s: %v", c.name, got)
		}
	}
}

// now is the asOf of an answer that named no earlier time.
const now = time.Duration(math.MaxInt64)

// question returns an answered query: as of the time of the call minus the bound, or as of an
// earlier time that the answer named.
func question(in step, called, answered, asOf time.Duration, yes bool) porcupine.Operation {
	return porcupine.Operation{Input: in, Call: int64(min(called-bound, asOf)), Output: yes, Return: int64(answered)}
}

// TestHistories makes random requests and changes for many clients on all replicas, while replicas,
// their network and the primary fail, and checks that the answers are consistent.
func TestHistories(t *testing.T) {
	s := sharedCluster(t)
	const together = 20 // concurrent histories, under the same faults
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
		err := injectFaults(t, s)
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
	t.Logf("%d histories with %d steps, and %d more of unknown outcome; the slowest was checked in %v, %d switches were not decided",
		batches*together, asked, unknown, slowestCheck.Round(time.Millisecond), undecided)
	if undecided > batches*together/50 {
		t.Errorf("%d switches of %d histories were not decided", undecided, batches*together)
	}
}

// injectFaults causes one fault after the other.
func injectFaults(t *testing.T, s *local.Cluster) error {
	t.Helper()
	faults := []func() error{
		func() error { return inject(t, s, fault.Blackhole, 1500*time.Millisecond) },
		func() error { return killOne(t, s) },
		func() error { return suspend(t, s, 1300*time.Millisecond) },
		func() error { return inject(t, s, fault.HalfOpen, 700*time.Millisecond) },
		func() error { return failOver(t, s) },
	}
	if *long {
		for _, kind := range []fault.Kind{fault.Reset, fault.Latency, fault.Loss} {
			faults = append(faults, func() error { return inject(t, s, kind, 1500*time.Millisecond) })
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

func someReplica(s *local.Cluster) *local.Replica { return s.Replicas[rand.IntN(len(s.Replicas))] }

func inject(t *testing.T, s *local.Cluster, kind fault.Kind, lasts time.Duration) error {
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

func killOne(t *testing.T, s *local.Cluster) error {
	r := someReplica(s)
	if err := r.Kill(); err != nil {
		return err
	}
	pause(t, 200*time.Millisecond)
	return errors.Join(r.Launch(), r.AwaitReady(t.Context()))
}

// suspend pauses a replica for a while.
func suspend(t *testing.T, s *local.Cluster, lasts time.Duration) error {
	r := someReplica(s)
	if err := r.Pause(); err != nil {
		return err
	}
	pause(t, lasts)
	return r.Resume()
}

func failOver(t *testing.T, s *local.Cluster) error {
	if err := s.Primary.Kill(); err != nil {
		return err
	}
	if err := s.FailOver(t.Context()); err != nil {
		return err
	}
	return s.Complete(t.Context())
}

// A history is what happens to three clients, one for each kind of switch.
type history struct {
	cluster *local.Cluster
	clients []*subject
	admins  []*local.Admin // one for each replica
	checker string         // Authorization of the introspecting client
	http    *http.Client
	began   time.Time

	mu         sync.Mutex // guards the fields below
	operations []porcupine.Operation
	unknown    int
	wrong      []string
}

// A subject is a client of a history.
type subject struct {
	id    string
	turns switchKind // which of its switches change
	keys  [keysPerClient]*load.Client

	mu     sync.Mutex
	tokens []load.Answer
}

func newHistory(t *testing.T, s *local.Cluster, name string) *history {
	t.Helper()
	h := &history{cluster: s, http: load.NewHTTP(clientTimeout), began: time.Now()}
	t.Cleanup(h.http.CloseIdleConnections)
	for _, r := range s.Replicas {
		h.admins = append(h.admins, administrator(t, s, r))
	}
	h.checker = registerChecker(t, s, name+"-checker")
	for n, turns := range []switchKind{clientSwitch, keySwitch, tokenSwitch} {
		c := &subject{id: fmt.Sprintf("%s-%d", name, n), turns: turns}
		change(t, s, http.MethodPost, "/clients", map[string]any{"id": c.id, "scope": local.Scope}, nil)
		for k := range c.keys {
			c.keys[k] = registerKey(t, s, c.id, fmt.Sprint("key-", k), h.http)
		}
		h.clients = append(h.clients, c)
	}
	return h
}

// change makes a change that must succeed, through the proxy.
func change(t *testing.T, s *local.Cluster, method, path string, in, out any) {
	t.Helper()
	if err := administrator(t, s, nil).Call(t.Context(), method, issuerPath+path, in, out); err != nil {
		t.Fatal(err)
	}
}

func registerKey(t *testing.T, s *local.Cluster, client, kid string, by *http.Client) *load.Client {
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

// registerChecker registers a client that may introspect others' tokens, and returns its
// Authorization.
func registerChecker(t *testing.T, s *local.Cluster, id string) string {
	t.Helper()
	change(t, s, http.MethodPost, "/clients", map[string]any{"id": id, "introspects": true}, nil)
	var secret struct{ Text string }
	change(t, s, http.MethodPost, "/clients/"+id+"/secrets", map[string]any{"kind": "secret"}, &secret)
	req := &http.Request{Header: http.Header{}}
	req.SetBasicAuth(url.QueryEscape(id), url.QueryEscape(secret.Text))
	return req.Header.Get("Authorization")
}

// work takes steps until ctx ends.
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
	n, replica := rand.IntN(len(h.clients)), rand.IntN(len(h.cluster.Replicas))
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

// about returns the switch that an answer about a key or a token depends on.
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

// lost records a step whose outcome is unknown, or outside of this model.
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
	answer := by.Send(context.Background(), h.cluster.Replicas[replica].IssuerURL(), a)
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
	active, asOf, err := h.ask(h.cluster.Replicas[replica].IssuerURL(), token.Token)
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

// change makes a change that is acknowledged, refused without effect because of a concurrent
// change, or of unknown outcome: it may take effect late.
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
		return // it is permanent
	}
	ctx, cancel := context.WithTimeout(context.Background(), clientTimeout)
	defer cancel()
	called := time.Since(h.began)
	err := h.admins[replica].Call(ctx, method, path, body, nil)
	o := porcupine.Operation{Input: in, Call: int64(called), Return: int64(time.Since(h.began))}
	var refusal *local.Refusal
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

// check fails the test if the answers are inconsistent. That is hard to decide if many changes have
// an unknown outcome: it returns the number of switches for which half a minute was not enough.
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
			t.Errorf("inconsistent answers for client %s, %s %d (a query begins %v before its request):\n%s",
				h.clients[of.client].id, of.kind, of.number, bound, tell(part))
		}
	}
	return undecided
}

// tell formats operations in the order of their answers.
func tell(part []porcupine.Operation) string {
	slices.SortFunc(part, func(a, b porcupine.Operation) int { return cmp.Compare(a.Return, b.Return) })
	var lines []string
	for _, o := range part {
		lines = append(lines, fmt.Sprintf("%8v to %8v by %d: %s", time.Duration(o.Call).Round(time.Millisecond),
			time.Duration(o.Return).Round(time.Millisecond), o.ClientId, model.DescribeOperation(o.Input, o.Output)))
	}
	return strings.Join(lines, "\n")
}
