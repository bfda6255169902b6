package overload

import (
	"net/netip"
	"testing"
	"time"

	"moneyer/oauth"
)

const proxy = "10.0.0.1"

// presenting is an Admission behind a trusted proxy with room for that many checks.
func presenting(checks int) *Admission {
	a := admission(Limits{Readers: 16, Checks: checks, AtWork: 4, RequestTime: time.Minute, GoodTokens: 1000})
	a.TrustedProxies = Proxies{netip.MustParsePrefix(proxy + "/32")}
	return a
}

// show asks for a permit for a token, from a peer or, through the proxy, from a caller.
func show(t *testing.T, a *Admission, token string, want oauth.Code, from ...string) Permit {
	t.Helper()
	p, err := a.AdmitToken(request(t, from[0], from[1:]...), token, noon)
	wants(t, err, want)
	return p
}

// TestUnknownTokensHaveAShare: tokens that nobody has found good, from callers that no trusted proxy names,
// have the places of Checks. One that was found good needs none.
func TestUnknownTokensHaveAShare(t *testing.T) {
	a := presenting(1)
	first := show(t, a, "good", "", "192.0.2.1")
	beyond := show(t, a, "other", oauth.TemporarilyUnavailable, "192.0.2.2")
	first.Good(noon.Add(time.Minute), noon)
	first.Release(false)
	beyond.Release(false)
	second := show(t, a, "bad", "", "192.0.2.1") // takes the only place
	unnamed := show(t, a, "other", oauth.TemporarilyUnavailable, proxy)
	unnamed.Release(false)
	for range 3 {
		p := show(t, a, "good", "", "192.0.2.3")
		_, err := p.Work(t.Context())
		wants(t, err, "")
		inUse(t, a, 0, 1)
		p.Release(false)
	}
	second.Bad(noon)
	second.Release(true)
	if a.Checks.InUse() != 0 {
		t.Errorf("%d checks in use", a.Checks.InUse())
	}
	inUse(t, a, 0, 0)
}

// TestBadTokensCountAgainstWhoIsNamed: no peer that may be a proxy pays for its callers. A caller
// that a trusted proxy names pays, apart from its other requests, by losing its precedence.
func TestBadTokensCountAgainstWhoIsNamed(t *testing.T) {
	a := presenting(1)
	refused := func(from ...string) {
		t.Helper()
		p := show(t, a, "bad", "", from...)
		p.Bad(noon)
		p.Release(true)
	}
	for range 10 {
		refused("192.0.2.9")
		refused(proxy) // names nobody
	}
	for range 3 { // the burst
		refused(proxy, "192.0.2.1")
	}
	busy := show(t, a, "bad", "", "192.0.2.9") // takes the only place
	over := show(t, a, "unknown", oauth.TemporarilyUnavailable, proxy, "192.0.2.1")
	within := show(t, a, "unknown", "", proxy, "192.0.2.2")
	same := admitFrom(t, a, "192.0.2.1", "") // to be read, as before
	within.Good(noon.Add(time.Minute), noon)
	known := show(t, a, "unknown", "", proxy, "192.0.2.1")
	for _, p := range []*Permit{&over, &within, &same, &known} {
		p.Release(false)
	}
	busy.Release(true)
	still := show(t, a, "new", "", proxy, "192.0.2.1") // judged all the same when there is room
	still.Release(false)
}

// TestGoodTokenIsForgotten once it expires or is found bad.
func TestGoodTokenIsForgotten(t *testing.T) {
	a := presenting(0)
	key := a.good.key("token")
	a.good.add(key, noon.Add(time.Minute), noon)
	if !a.good.has(key, noon.Add(time.Minute-1)) || a.good.has(key, noon.Add(time.Minute)) || a.good.has(a.good.key("other"), noon) {
		t.Error("not remembered until it expires")
	}
	a.good.add(key, noon.Add(time.Minute), noon)
	p := show(t, a, "token", "", "192.0.2.1")
	p.Bad(noon)
	p.Bad(noon)
	p.Release(true)
	show(t, a, "token", oauth.TemporarilyUnavailable, "192.0.2.1")
}

// TestBadTokensTakeNoRoom: a flood of bad tokens makes none forgotten that is good.
func TestBadTokensTakeNoRoom(t *testing.T) {
	a := presenting(1)
	p := show(t, a, "good", "", "192.0.2.1")
	p.Good(noon.Add(time.Minute), noon)
	p.Release(false)
	for n := range 100_000 {
		bad := Permit{admission: a, token: a.good.key("bad") + uint64(n)}
		bad.Bad(noon)
	}
	if !a.good.has(a.good.key("good"), noon) {
		t.Error("forgotten")
	}
}

// TestQueueDelayKeepsUnknownTokensOut while requests wait too long to be read.
func TestQueueDelayKeepsUnknownTokensOut(t *testing.T) {
	a := presenting(1)
	a.QueueDelay = tooLong(t)
	a.good.add(a.good.key("good"), noon.Add(time.Minute), noon)
	show(t, a, "unknown", oauth.TemporarilyUnavailable, "192.0.2.1")
	show(t, a, "good", "", "192.0.2.1")
	show(t, a, "unknown", "", proxy, "192.0.2.1")
	if a.Checks.InUse() != 0 {
		t.Error("a place was taken")
	}
}
