package authority_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"reflect"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"moneyer/internal/authority"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/strictjson"
	"moneyer/profile"
)

// mint gets a token of the client by a secret, or by an API key for its account.
func (h *fixture) mint(t testing.TB, credential string) *authority.AccessToken {
	t.Helper()
	req := secretRequest(credential)
	if h.issuer.Profile.Name == "thales-etp" {
		req = apiKeyRequest(credential)
	}
	token, err := h.exchange(req)
	if err != nil {
		t.Fatal(err)
	}
	return token
}

func (h *fixture) plan(t testing.TB, target authority.Target) *revocation.Revocation {
	t.Helper()
	v, err := h.Revocations.Plan(t.Context(), h.issuer, target, h.now)
	if err != nil {
		t.Fatal(err)
	}
	return v
}

func (h *fixture) add(t testing.TB, v *revocation.Revocation) error {
	t.Helper()
	return h.Revocations.Add(t.Context(), v, &ledger.Entry{Kind: ledger.KindAdmin, Time: h.now, Issuer: v.Issuer, Action: "revoke"})
}

// put puts a revocation in force that ends in an hour.
func (h *fixture) put(t testing.TB, v revocation.Revocation) error {
	t.Helper()
	v.Issuer, v.ID = "d1", fmt.Sprint(h.Revocations.Version("d1"))
	if v.Until.IsZero() {
		v.Until = h.now.Add(time.Hour)
	}
	return h.add(t, &v)
}

// live reports whether a token is good.
func (h *fixture) live(t testing.TB, token *authority.AccessToken) bool {
	t.Helper()
	_, err := h.Introspect(t.Context(), h.issuer, token.Token, h.now)
	return err == nil
}

// TestPlan works out what each target means, to the second, and puts nothing in
// force.
func TestPlan(t *testing.T) {
	h := newFixture(t, "oauth2")
	h.now = noon.Add(300 * time.Millisecond)
	first := h.mint(t, h.newSecret(t, registry.ClientSecret))
	second := h.mint(t, h.newSecret(t, registry.ClientSecret))
	credential := h.client().Secrets[1].ID
	day := h.now.Add(24 * time.Hour)
	for name, row := range map[string]struct {
		target authority.Target
		want   revocation.Revocation
	}{
		"a token": {authority.Target{JTI: first.JTI},
			revocation.Revocation{JTIs: []string{first.JTI}, Until: first.Expires.Add(authority.VerifierLeeway), Reason: "token " + first.JTI}},
		"a client": {authority.Target{Client: clientID},
			revocation.Revocation{Claim: "client_id", Value: clientID, Before: noon.Add(time.Second), Until: day, Reason: "client " + clientID}},
		"a client before an instant": {authority.Target{Client: clientID, At: noon.Add(-time.Millisecond)},
			revocation.Revocation{Claim: "client_id", Value: clientID, Before: noon, Until: day, Reason: "client " + clientID + ", issued before 2026-11-02T12:00:00Z"}},
		"a client before now": {authority.Target{Client: clientID, At: h.now},
			revocation.Revocation{Claim: "client_id", Value: clientID, Before: noon.Add(time.Second), Until: day, Reason: "client " + clientID + ", issued before 2026-11-02T12:00:01Z"}},
		"a credential": {authority.Target{Client: clientID, Credential: credential},
			revocation.Revocation{JTIs: []string{second.JTI}, Until: second.Expires.Add(authority.VerifierLeeway), Reason: "client " + clientID + ", credential " + credential}},
		"a signing key": {authority.Target{SigningKid: "signing-1"},
			revocation.Revocation{SigningKid: "signing-1", Until: day, Reason: "signing key signing-1"}},
		"everything": {authority.Target{All: true},
			revocation.Revocation{All: true, Before: noon.Add(time.Second), Until: day, Reason: "everything issued before 2026-11-02T12:00:01Z"}},
	} {
		got := h.plan(t, row.target)
		want := row.want
		want.Issuer, want.ID, want.Created = "d1", got.ID, h.now
		if !reflect.DeepEqual(*got, want) || len(got.ID) != 21 {
			t.Errorf("%s:\n%+v, want\n%+v", name, *got, want)
		}
	}
	if !h.live(t, first) || !h.live(t, second) || h.Revocations.Version("d1") != 0 {
		t.Error("a plan changed something")
	}
}

// TestRevocationAcrossClocks: what a replica whose clock is ahead minted before the revocation is
// revoked, although its iat is later.
func TestRevocationAcrossClocks(t *testing.T) {
	const ahead = 2500 * time.Millisecond
	for name, target := range map[string]authority.Target{
		"client": {Client: clientID}, "all": {All: true},
		"client, at": {Client: clientID, At: noon}, "all, at": {All: true, At: noon},
	} {
		h := newFixture(t, "oauth2")
		h.ledger.ahead = ahead
		key := h.newSecret(t, registry.ClientSecret)
		h.now = noon.Add(ahead - time.Millisecond) // the other replica's clock, just before noon
		theirs := h.mint(t, key)
		h.now = noon.Add(ahead + time.Second)
		later := h.mint(t, key)
		h.now = noon
		v := h.plan(t, target)
		if err := h.add(t, v); err != nil {
			t.Fatal(err)
		}
		h.now = noon.Add(ahead + time.Second)
		if h.live(t, theirs) || !h.live(t, later) {
			t.Errorf("%s: the other replica's token is good: %t, a later one: %t", name, h.live(t, theirs), h.live(t, later))
		}
		if want := noon.Add(ahead + 24*time.Hour); !v.Until.Equal(want) {
			t.Errorf("%s: until %v, want %v", name, v.Until, want)
		}
	}
}

// TestPlanOfUnnamedClient: where tokens do not name their client, those that live
// are named one by one.
func TestPlanOfUnnamedClient(t *testing.T) {
	h := newFixture(t, "thales-etp")
	h.addAccount()
	key := h.newSecret(t, registry.APIKey)
	over := h.mint(t, key)
	h.now = over.Expires.Add(-time.Second)
	early := h.mint(t, key)
	h.now = h.now.Add(time.Second)
	late := h.mint(t, key)
	if v := h.plan(t, authority.Target{Client: clientID}); !slices.Equal(v.JTIs, []string{early.JTI, late.JTI}) || !v.Until.Equal(late.Expires.Add(authority.VerifierLeeway)) || !v.Before.IsZero() {
		t.Errorf("planned %+v", v)
	}
	if v := h.plan(t, authority.Target{Client: clientID, At: h.now}); !slices.Equal(v.JTIs, []string{early.JTI}) || !v.Until.Equal(early.Expires.Add(authority.VerifierLeeway)) {
		t.Errorf("planned %+v", v)
	}
}

// TestPlanRefused says why nothing can be revoked.
func TestPlanRefused(t *testing.T) {
	h := newFixture(t, "oauth2")
	for name, row := range map[string]struct {
		target  authority.Target
		problem string
	}{
		"nothing":                    {authority.Target{}, "say what to revoke"},
		"a credential of nobody":     {authority.Target{Credential: "k"}, "say what to revoke"},
		"the future":                 {authority.Target{All: true, At: noon.Add(time.Nanosecond)}, "tokens of the future"},
		"a token that never was":     {authority.Target{JTI: "x"}, ""},
		"a credential never used":    {authority.Target{Client: clientID, Credential: "k"}, ""},
		"another issuer's or ended":  {authority.Target{JTI: "ended"}, ""},
		"everything before 1970":     {authority.Target{All: true, At: time.Unix(0, 0)}, "before 1970"},
		"a client's, of long ago":    {authority.Target{Client: clientID, At: time.Unix(-1, 1)}, "before 1970"},
		"a client's, of the future,": {authority.Target{Client: clientID, At: noon.Add(time.Second)}, "tokens of the future"},
	} {
		h.ledger.entries = []ledger.Entry{
			{Kind: ledger.KindToken, Time: noon, Issuer: "d2", JTI: "x", Expires: noon.Add(time.Hour)},
			{Kind: ledger.KindToken, Time: noon, Issuer: "d1", JTI: "ended", Expires: noon},
			{Kind: ledger.KindAdmin, Time: noon, Issuer: "d1", JTI: "x", Expires: noon.Add(time.Hour)},
		}
		v, err := h.Revocations.Plan(t.Context(), h.issuer, row.target, h.now)
		var refused *registry.InvalidError
		switch {
		case v != nil || err == nil:
			t.Errorf("%s: %+v, %v", name, v, err)
		case row.problem == "" && !errors.Is(err, registry.ErrNotFound):
			t.Errorf("%s: %v, want that nothing was found", name, err)
		case row.problem != "" && (!errors.As(err, &refused) || !strings.Contains(refused.Problem, row.problem)):
			t.Errorf("%s: %v, want %q", name, err, row.problem)
		}
	}
	down := errors.New("down")
	h.ledger.err = down
	if _, err := h.Revocations.Plan(t.Context(), h.issuer, authority.Target{JTI: "y"}, h.now); !errors.Is(err, down) {
		t.Errorf("a ledger that cannot tell: %v", err)
	}
}

// TestPlanTooMany names as many tokens one by one as are allowed, and one more not.
func TestPlanTooMany(t *testing.T) {
	h := newFixture(t, "oauth2")
	entry := ledger.Entry{Kind: ledger.KindToken, Time: noon, Issuer: "d1", Client: clientID, Credential: "s", Expires: noon.Add(time.Hour)}
	for i := range authority.MaxRevokedAtOnce {
		entry.JTI = fmt.Sprint(i)
		h.ledger.entries = append(h.ledger.entries, entry)
	}
	target := authority.Target{Client: clientID, Credential: "s"}
	if v := h.plan(t, target); len(v.JTIs) != authority.MaxRevokedAtOnce {
		t.Errorf("%d tokens", len(v.JTIs))
	}
	h.ledger.entries = append(h.ledger.entries, entry) // again the last one
	if v := h.plan(t, target); len(v.JTIs) != authority.MaxRevokedAtOnce {
		t.Errorf("%d tokens", len(v.JTIs))
	}
	entry.JTI = "one more"
	h.ledger.entries = append(h.ledger.entries, entry)
	_, err := h.Revocations.Plan(t.Context(), h.issuer, target, h.now)
	var refused *registry.InvalidError
	if !errors.As(err, &refused) || !strings.Contains(refused.Problem, "more than 50000 tokens") {
		t.Errorf("one more: %v", err)
	}
}

// TestNames holds each kind of revocation to the tokens that it names, and to no
// others.
func TestNames(t *testing.T) {
	all := []string{"first", "second", "another client's"}
	for name, row := range map[string]struct {
		revocation func(jti string) revocation.Revocation
		named      []string
	}{
		"a token":            {func(jti string) revocation.Revocation { return revocation.Revocation{JTIs: []string{jti}} }, all[:1]},
		"a client":           {func(string) revocation.Revocation { return byClaim("client_id", clientID, time.Minute) }, all[:2]},
		"up to an instant":   {func(string) revocation.Revocation { return byClaim("client_id", clientID, time.Second) }, all[:1]},
		"a claim of another": {func(string) revocation.Revocation { return byClaim("sub", otherID, time.Minute) }, all[2:]},
		"a claim of none":    {func(string) revocation.Revocation { return byClaim("client_id", "", time.Minute) }, nil},
		"no text":            {func(string) revocation.Revocation { return byClaim("iat", fmt.Sprint(noon.Unix()), time.Minute) }, nil},
		"a signing key":      {func(string) revocation.Revocation { return revocation.Revocation{SigningKid: "signing-1"} }, all},
		"another key":        {func(string) revocation.Revocation { return revocation.Revocation{SigningKid: "signing-2"} }, nil},
		"everything": {func(string) revocation.Revocation {
			return revocation.Revocation{All: true, Before: noon.Add(time.Second)}
		}, all[:1]},
		"nothing": {func(string) revocation.Revocation { return revocation.Revocation{Before: noon.Add(time.Hour)} }, nil},
	} {
		h := newFixture(t, "oauth2")
		secret := h.newSecret(t, registry.ClientSecret)
		h.registry.clients[otherID].Secrets = h.client().Secrets
		tokens := map[string]*authority.AccessToken{all[0]: h.mint(t, secret)}
		h.now = noon.Add(time.Second)
		tokens[all[1]] = h.mint(t, secret)
		other := secretRequest(secret)
		as(other, otherID)
		tokens[all[2]] = must(h.exchange(other))
		if err := h.put(t, row.revocation(tokens[all[0]].JTI)); err != nil {
			t.Fatal(err)
		}
		for _, which := range all {
			if named := !h.live(t, tokens[which]); named != slices.Contains(row.named, which) {
				t.Errorf("%s: the %s token is named: %v", name, which, named)
			}
		}
		elsewhere := *h.issuer
		elsewhere.Name = "d2"
		if withdrawn, err := h.Revoked(t.Context(), &elsewhere, "signing-1", []byte(`{"client_id":"x"}`)); err != nil || !withdrawn {
			t.Errorf("%s: a client that the other issuer has not: %v, %v", name, withdrawn, err)
		}
	}
}

func byClaim(claim, value string, before time.Duration) revocation.Revocation {
	return revocation.Revocation{Claim: claim, Value: value, Before: noon.Add(before)}
}

// TestNamesInList: a claim that is a list is named by each of its items.
func TestNamesInList(t *testing.T) {
	h := newFixture(t, "thales-etp")
	h.addAccount()
	token := h.mint(t, h.newSecret(t, registry.APIKey))
	for _, value := range []string{"card", "card-2"} {
		if err := h.put(t, byClaim("tokens", value, time.Second)); err != nil {
			t.Fatal(err)
		}
		if h.live(t, token) != (value == "card") {
			t.Errorf("after %s: live is %v", value, value != "card")
		}
	}
}

// TestRevocationsMeet: the second of two revocations of one group takes nothing
// back, whichever came first, and it needs no room of its own.
func TestRevocationsMeet(t *testing.T) {
	early, late := byClaim("client_id", clientID, -time.Hour), byClaim("client_id", clientID, time.Second)
	early.Until, late.Until = noon.Add(2*time.Hour), noon.Add(time.Hour)
	for name, order := range map[string][]revocation.Revocation{"early first": {early, late}, "late first": {late, early}} {
		h := newFixture(t, "oauth2")
		token := h.mint(t, h.newSecret(t, registry.ClientSecret))
		for _, v := range order {
			if err := h.put(t, v); err != nil {
				t.Fatal(err)
			}
		}
		if h.live(t, token) {
			t.Errorf("%s: the token is good", name)
		}
		h.Revocations.Sweep(noon.Add(time.Hour))
		want := fmt.Sprintf(`"claim":[{"claim":"client_id","value":%q,"before":%d}]`, clientID, noon.Add(time.Second).Unix())
		if list := string(h.Revocations.AppendList(nil, h.issuer, noon)); !strings.Contains(list, want) {
			t.Errorf("%s: %s", name, list)
		}
		if h.Revocations.Sweep(noon.Add(2 * time.Hour)); !h.live(t, token) {
			t.Errorf("%s: what is over is in force", name)
		}
	}
}

// TestSweep lets go of what is over to the instant, and of nothing else, and is
// seen in the version.
func TestSweep(t *testing.T) {
	h := newFixture(t, "oauth2")
	for i, v := range []revocation.Revocation{{JTIs: []string{"a", "b"}}, {JTIs: []string{"c"}}, {SigningKid: "k"}, {SigningKid: "l"}, {All: true, Before: noon}} {
		v.Until = noon.Add(time.Duration(1+i%2) * time.Minute)
		if err := h.put(t, v); err != nil {
			t.Fatal(err)
		}
	}
	list := func() string { return string(h.Revocations.AppendList(nil, h.issuer, noon)) }
	version, before := h.Revocations.Version("d1"), list()
	h.Revocations.Sweep(noon.Add(time.Minute - time.Nanosecond))
	if h.Revocations.Version("d1") != version || list() != before {
		t.Errorf("too early: %s", list())
	}
	h.Revocations.Sweep(noon.Add(time.Minute))
	if h.Revocations.Version("d1") == version || !strings.HasSuffix(list(), `,"before":0,"jti":["c"],"kid":["l"],"claim":[]}`) {
		t.Errorf("after a minute: %s", list())
	}
	h.Revocations.Sweep(noon.Add(time.Hour))
	if !strings.HasSuffix(list(), `,"before":0,"jti":[],"kid":[],"claim":[]}`) {
		t.Errorf("after an hour: %s", list())
	}
}

// TestBounds: what was let go of, or is known already, takes no room.
func TestBounds(t *testing.T) {
	h := newFixture(t, "oauth2")
	put := func(what string, v revocation.Revocation) {
		t.Helper()
		if err := h.put(t, v); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	for n := 0; n < revocation.MaxTokens; n += authority.MaxRevokedAtOnce {
		v := revocation.Revocation{}
		for i := range authority.MaxRevokedAtOnce {
			v.JTIs = append(v.JTIs, strconv.Itoa(n+i))
		}
		put("within the bounds", v)
	}
	for i := range revocation.MaxGroups {
		put("within the bounds", revocation.Revocation{SigningKid: strconv.Itoa(i)})
	}
	put("a known token", revocation.Revocation{JTIs: []string{"0", "99999"}})
	put("a known key", revocation.Revocation{SigningKid: "0"})
	stored := len(h.ledger.revocations)
	for _, v := range []revocation.Revocation{{JTIs: []string{"0", "one more"}}, {SigningKid: "one more"}} {
		var refused *registry.InvalidError
		if err := h.put(t, v); !errors.As(err, &refused) || !strings.HasSuffix(refused.Problem, "everything before an instant") {
			t.Errorf("%+v: %v", v, err)
		}
	}
	if len(h.ledger.revocations) != stored {
		t.Error("what was refused is in the store")
	}
	put("everything, as the advice is,", revocation.Revocation{All: true, Before: noon})
	h.Revocations.Sweep(noon.Add(time.Hour))
	put("there is room again", revocation.Revocation{JTIs: []string{"one more"}})
	put("there is room again", revocation.Revocation{SigningKid: "one more"})
}

// TestAddNotStored: what is not durable is not in force.
func TestAddNotStored(t *testing.T) {
	h := newFixture(t, "oauth2")
	token := h.mint(t, h.newSecret(t, registry.ClientSecret))
	h.ledger.err = errors.New("down")
	if err := h.put(t, revocation.Revocation{JTIs: []string{token.JTI}}); !errors.Is(err, h.ledger.err) || !h.live(t, token) {
		t.Errorf("error %v", err)
	}
	if err := h.Revocations.Load(t.Context(), []string{"d1"}); !errors.Is(err, h.ledger.err) {
		t.Errorf("loading: %v", err)
	}
	h.ledger.err = nil
	if err := h.put(t, revocation.Revocation{JTIs: []string{token.JTI}}); err != nil || h.live(t, token) {
		t.Errorf("error %v", err)
	}
}

// TestLoad finds what another process put in force; its version is new.
func TestLoad(t *testing.T) {
	h := newFixture(t, "oauth2")
	token := h.mint(t, h.newSecret(t, registry.ClientSecret))
	for _, v := range []revocation.Revocation{{JTIs: []string{token.JTI, "b"}}, byClaim("client_id", "c", 0), {SigningKid: "k"}, {All: true, Before: noon}} {
		if err := h.put(t, v); err != nil {
			t.Fatal(err)
		}
	}
	want := string(h.Revocations.AppendList(nil, h.issuer, noon))
	next := authority.NewRevocations(h.ledger)
	for range 2 {
		version := next.Version("d1")
		if err := next.Load(t.Context(), []string{"d1", "d2"}); err != nil {
			t.Fatal(err)
		}
		if got := string(next.AppendList(nil, h.issuer, noon)); got != want || next.Version("d1") <= version {
			t.Errorf("version %d after %d, list\n%s, want\n%s", next.Version("d1"), version, got, want)
		}
	}
	if h.Revocations = next; h.live(t, token) {
		t.Error("the token is good")
	}
}

// TestLearn puts in force what it is told of, and keeps what was in force.
func TestLearn(t *testing.T) {
	h := newFixture(t, "oauth2")
	secret := h.newSecret(t, registry.ClientSecret)
	first, second := h.mint(t, secret), h.mint(t, secret)
	for id, token := range map[string]*authority.AccessToken{"1": first, "2": second} {
		v := &revocation.Revocation{Issuer: "d1", ID: id, JTIs: []string{token.JTI}, Until: token.Expires}
		if err := h.ledger.PutRevocation(t.Context(), v, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon}); err != nil {
			t.Fatal(err)
		}
	}
	if err := h.Revocations.Learn(t.Context(), "d1", []string{"1", "gone"}); err != nil {
		t.Fatal(err)
	}
	if h.live(t, first) || !h.live(t, second) {
		t.Error("after the first was told of, the first is good or the second is not")
	}
	if err := h.Revocations.Learn(t.Context(), "d1", []string{"2"}); err != nil {
		t.Fatal(err)
	}
	if h.live(t, first) || h.live(t, second) {
		t.Error("after both were told of, one of them is good")
	}
	h.ledger.err = errors.New("away")
	if err := h.Revocations.Learn(t.Context(), "d1", []string{"2"}); !errors.Is(err, h.ledger.err) {
		t.Errorf("of a store that is away it learned: %v", err)
	}
}

// TestRevocationsAtOnce asks while others revoke, sweep and publish: what Add
// returned for is refused from then on.
func TestRevocationsAtOnce(t *testing.T) {
	h := newFixture(t, "oauth2")
	secret := h.newSecret(t, registry.ClientSecret)
	var wg sync.WaitGroup
	for i := range 8 {
		token := h.mint(t, secret)
		wg.Go(func() {
			if err := h.Revocations.Add(t.Context(), &revocation.Revocation{Issuer: "d1", JTIs: []string{token.JTI}, Until: token.Expires}, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon}); err != nil {
				t.Error(err)
			}
			if err := h.Revocations.Add(t.Context(), &revocation.Revocation{Issuer: "d1", SigningKid: fmt.Sprint(i), Until: noon.Add(time.Second)}, &ledger.Entry{Kind: ledger.KindAdmin, Time: noon}); err != nil {
				t.Error(err)
			}
			h.Revocations.Sweep(noon)
			if h.live(t, token) || !strings.Contains(string(h.Revocations.AppendList(nil, h.issuer, noon)), token.JTI) {
				t.Error("the token is good, or not in the list")
			}
		})
	}
	wg.Wait()
}

// TestListIsJSON whatever clients and keys are called.
func TestListIsJSON(t *testing.T) {
	h := newFixture(t, "oauth2")
	hostile := "\"}],\"before\":99999999999,\\\x00<\u2028é"
	for _, v := range []revocation.Revocation{{JTIs: []string{hostile, "b", "a"}}, byClaim(hostile, hostile, 0), {SigningKid: hostile}, {All: true, Before: noon}} {
		if err := h.put(t, v); err != nil {
			t.Fatal(err)
		}
	}
	h.issuer.URL = "https://a.example/" + hostile
	list := h.Revocations.AppendList([]byte("x"), h.issuer, noon)
	if err := strictjson.Object(list[1:], strictjson.Limits{}, func(string, strictjson.Value) error { return nil }); err != nil || list[0] != 'x' {
		t.Fatalf("%s: %v", list, err)
	}
	var got map[string]any
	if err := json.Unmarshal(list[1:], &got); err != nil {
		t.Fatal(err)
	}
	want := map[string]any{"iss": h.issuer.URL, "iat": float64(noon.Unix()), "exp": float64(noon.Add(24 * time.Hour).Unix()), "before": float64(noon.Unix()),
		"jti": []any{hostile, "a", "b"}, "kid": []any{hostile},
		"claim": []any{map[string]any{"claim": hostile, "value": hostile, "before": float64(noon.Unix())}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("%v, want\n%v", got, want)
	}
}

// TestResourceAuth: how clients authenticate beside the token endpoint, each way
// once, and never not at all.
func TestResourceAuth(t *testing.T) {
	for _, name := range profile.BuiltinNames() {
		ways := (&registry.Issuer{Profile: must(profile.Builtin(name)).Definition()}).ResourceAuth()
		said := map[string]bool{}
		for _, way := range ways {
			said[way.String()] = true
		}
		if len(ways) == 0 || len(said) != len(ways) || said["none"] {
			t.Errorf("%s: %v", name, ways)
		}
	}
	for name, want := range map[string]string{
		"oauth2": "[client_secret_basic client_secret_post private_key_jwt tls_client_auth self_signed_tls_client_auth]", "boltpay": "[client_secret_post client_secret_basic]",
		"thales-d1": "[private_key_jwt]", "thales-d1-banking": "[private_key_jwt]", "thales-etp": "[api_key]",
	} {
		p := must(profile.Builtin(name)).Definition()
		if got := fmt.Sprint((&registry.Issuer{Profile: p}).ResourceAuth()); got != want {
			t.Errorf("%s: %s, want %s", name, got, want)
		}
	}
}

// TestLoadLosesNothing: what was added while a Load had read already, and had not
// put it in force yet, is in force afterwards.
func TestLoadLosesNothing(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t, "oauth2")
		token := h.mint(t, h.newSecret(t, registry.ClientSecret))
		read, goOn := make(chan struct{}), make(chan struct{})
		h.ledger.listed = func() {
			h.ledger.listed = nil
			close(read)
			<-goOn
		}
		loaded, added := make(chan error), make(chan error)
		go func() { loaded <- h.Revocations.Load(context.Background(), []string{"d1"}) }()
		<-read
		v := &revocation.Revocation{Issuer: "d1", JTIs: []string{token.JTI}, Until: h.now.Add(time.Hour)}
		go func() {
			added <- h.Revocations.Add(context.Background(), v, &ledger.Entry{Kind: ledger.KindAdmin})
		}()
		synctest.Wait()
		close(goOn)
		for _, done := range []chan error{loaded, added} {
			if err := <-done; err != nil {
				t.Error(err)
			}
		}
		if h.live(t, token) {
			t.Error("the revocation is lost")
		}
	})
}

// TestRevocationsHoldUpNobody: while the store hangs for one, others wait for as
// long as they have, nothing is said to be done, and questions are answered.
func TestRevocationsHoldUpNobody(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		h := newFixture(t, "oauth2")
		token := h.mint(t, h.newSecret(t, registry.ClientSecret))
		hangs, first := make(chan struct{}), make(chan error)
		h.ledger.puts = func() { <-hangs }
		v := &revocation.Revocation{Issuer: "d1", JTIs: []string{"other"}, Until: h.now.Add(time.Hour)}
		go func() {
			first <- h.Revocations.Add(context.Background(), v, &ledger.Entry{Kind: ledger.KindAdmin})
		}()
		synctest.Wait()
		ctx, cancel := context.WithTimeout(t.Context(), 2*time.Second)
		defer cancel()
		mine := &revocation.Revocation{Issuer: "d1", JTIs: []string{token.JTI}, Until: h.now.Add(time.Hour)}
		if err := h.Revocations.Add(ctx, mine, &ledger.Entry{Kind: ledger.KindAdmin}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("adding: %v", err)
		}
		if err := h.Revocations.Load(ctx, []string{"d1"}); !errors.Is(err, context.DeadlineExceeded) {
			t.Errorf("loading: %v", err)
		}
		h.Revocations.Sweep(h.now)
		if !h.live(t, token) || len(h.ledger.revocations) != 0 {
			t.Error("what was not stored is in force")
		}
		close(hangs)
		if err := <-first; err != nil {
			t.Error(err)
		}
		if err := h.put(t, *mine); err != nil || h.live(t, token) {
			t.Errorf("afterwards: %v", err)
		}
	})
}

// TestLoadAndAddTogether: each revocation is in force from when Add returns, however
// often others load and ask.
func TestLoadAndAddTogether(t *testing.T) {
	h := newFixture(t, "oauth2")
	done, others := make(chan struct{}), sync.WaitGroup{}
	for range 2 {
		others.Go(func() {
			for {
				select {
				case <-done:
					return
				default:
				}
				if err := h.Revocations.Load(context.Background(), []string{"d1", "d2"}); err != nil {
					t.Error(err)
				}
				h.Revocations.AppendList(nil, h.issuer, h.now)
				h.Revocations.Sweep(h.now)
			}
		})
	}
	var adders sync.WaitGroup
	for n := range 4 {
		adders.Go(func() {
			version := h.Revocations.Version("d1")
			for i := range 200 {
				jti := fmt.Sprint(n, "-", i)
				v := &revocation.Revocation{Issuer: "d1", JTIs: []string{jti}, Until: h.now.Add(time.Hour)}
				if err := h.Revocations.Add(context.Background(), v, &ledger.Entry{Kind: ledger.KindAdmin}); err != nil {
					t.Error(err)
				}
				named, err := h.Revoked(context.Background(), h.issuer, "k", fmt.Appendf(nil, `{"client_id":%q,"jti":%q}`, clientID, jti))
				if now := h.Revocations.Version("d1"); err != nil || !named || now <= version {
					t.Errorf("%s: %v, %v, version %d after %d", jti, named, err, now, version)
				} else {
					version = now
				}
			}
		})
	}
	adders.Wait()
	close(done)
	others.Wait()
}
