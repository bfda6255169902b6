package overload

import (
	"net/http"
	"net/http/httptest"
	"testing"
	"time"

	"moneyer/oauth"
)

func admission(limits Limits) *Admission {
	limits.AddressRate, limits.Addresses = Rate{PerSecond: 1, Burst: 3}, 64
	return NewAdmission(limits)
}

// admit asks for a permit and holds the answer to a code, "" for none.
func admit(t *testing.T, a *Admission, want oauth.Code) Permit {
	t.Helper()
	return admitFrom(t, a, "192.0.2.1", want)
}

func admitFrom(t *testing.T, a *Admission, address string, want oauth.Code) Permit {
	t.Helper()
	p, err := a.Admit(request(t, address), noon)
	wants(t, err, want)
	return p
}

// request comes from an address, with others in X-Forwarded-For.
func request(t *testing.T, address string, forwarded ...string) *http.Request {
	t.Helper()
	r := httptest.NewRequestWithContext(t.Context(), "POST", "/", nil)
	r.RemoteAddr = address + ":1"
	r.Header["X-Forwarded-For"] = forwarded
	return r
}

func wants(t *testing.T, err error, want oauth.Code) {
	t.Helper()
	code := oauth.Code("")
	if err != nil {
		code = oauth.AsError(err).Code
		if oauth.AsError(err).RetryAfter <= 0 {
			t.Errorf("%v without a time to come again", err)
		}
	}
	if code != want {
		t.Errorf("%v, want %q", err, want)
	}
}

// inUse holds the limits to what is in use of them.
func inUse(t *testing.T, a *Admission, readers, atWork int64) {
	t.Helper()
	if a.Readers.InUse() != readers || a.AtWork.InUse() != atWork {
		t.Errorf("%d read and %d at work, want %d and %d", a.Readers.InUse(), a.AtWork.InUse(), readers, atWork)
	}
}

// TestAdmit follows requests from one limit to the next: a reader takes no place of
// those at work, and what was taken is given back.
func TestAdmit(t *testing.T) {
	a := admission(Limits{Readers: 2, AtWork: 1, RequestTime: time.Minute})
	first, second := admit(t, a, ""), admitFrom(t, a, "192.0.2.2", "")
	third := admitFrom(t, a, "192.0.2.3", oauth.TemporarilyUnavailable)
	inUse(t, a, 2, 0)
	ctx, err := first.Work(t.Context())
	wants(t, err, "")
	if _, bounded := ctx.Deadline(); !bounded {
		t.Error("the work may take for ever")
	}
	_, err = second.Work(t.Context())
	wants(t, err, oauth.TemporarilyUnavailable)
	inUse(t, a, 0, 1)
	for _, p := range []*Permit{&third, &second, &first, &first} { // what is released twice is released once
		p.Release(false)
	}
	inUse(t, a, 0, 0)
	if ctx.Err() == nil {
		t.Error("the work goes on after its end")
	}
	(&Permit{}).Release(false)
}

// TestAddressPaysForItsFaults: good requests, and those that were refused for no
// fault of their own, cost an address nothing.
func TestAddressPaysForItsFaults(t *testing.T) {
	a := admission(Limits{Readers: 10, AtWork: 1, RequestTime: time.Minute})
	for range 10 {
		p := admit(t, a, "")
		p.Release(false)
	}
	full := admission(Limits{Readers: 0})
	for range 10 {
		p := admit(t, full, oauth.TemporarilyUnavailable)
		p.Release(false)
	}
	for range 3 {
		p := admit(t, a, "")
		p.Release(true)
		p.Release(false)
	}
	for range 10 {
		p := admit(t, a, oauth.RateLimited)
		p.Release(false) // it was charged nothing
	}
	inUse(t, a, 0, 0)
}

// tooLong finds the delay of a crowd too long.
func tooLong(t *testing.T) *QueueDelay {
	t.Helper()
	q := newQueueDelay(t)
	q.most = -time.Hour
	q.sent.Store(q.clock())
	q.reads.Store(minReads)
	return q
}

// TestQueueDelayKeepsOut: while requests wait too long to be read none is let in.
func TestQueueDelayKeepsOut(t *testing.T) {
	a := admission(Limits{Readers: 1, AtWork: 1})
	a.QueueDelay = tooLong(t)
	p := admit(t, a, oauth.TemporarilyUnavailable)
	inUse(t, a, 0, 0)
	p.Release(false)
}

// TestReadersOfAnAddress: an address that has its share of the readers keeps no other out.
func TestReadersOfAnAddress(t *testing.T) {
	a := admission(Limits{Readers: 16, AtWork: 1})
	first := admit(t, a, "")
	beyond := admit(t, a, oauth.TemporarilyUnavailable)
	other := admitFrom(t, a, "192.0.2.2", "")
	for _, p := range []*Permit{&first, &beyond, &other} {
		p.Release(false)
	}
	inUse(t, a, 0, 0)
}

// TestDefault: every limit is set, readers outnumber those at work, and an answer
// has time to be written.
func TestDefault(t *testing.T) {
	l := Default()
	if l.WriteTime <= l.ReadTime+time.Minute { // the longest limits.request_timeout
		t.Errorf("%v to read and answer", l.WriteTime)
	}
	if l.Readers <= l.AtWork || l.Checks <= 0 || l.Checks >= l.AtWork || l.BodyBytes <= 0 || l.Parameters <= 0 || l.AddressRate.PerSecond <= 0 || l.ClientRate.PerSecond <= 0 {
		t.Errorf("%+v", l)
	}
}
