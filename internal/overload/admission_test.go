package overload

import (
	"context"
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
	p, err := a.Admit(httptest.NewRequestWithContext(t.Context(), "POST", "/", nil), noon)
	wants(t, err, want)
	return p
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
	first, second := admit(t, a, ""), admit(t, a, "")
	third := admit(t, a, oauth.TemporarilyUnavailable)
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

// TestQueueDelayKeepsOut: while requests wait too long to be read none is let in.
func TestQueueDelayKeepsOut(t *testing.T) {
	a := admission(Limits{Readers: 1, AtWork: 1})
	a.QueueDelay = newQueueDelay(t)
	a.QueueDelay.most = -time.Hour
	a.QueueDelay.sent.Store(a.QueueDelay.clock())
	a.QueueDelay.reads.Store(minReads)
	p := admit(t, a, oauth.TemporarilyUnavailable)
	inUse(t, a, 0, 0)
	p.Release(false)
}

// TestAdmitUnread counts among those at work alone.
func TestAdmitUnread(t *testing.T) {
	a := admission(Limits{Readers: 0, AtWork: 1, RequestTime: time.Minute})
	p, other := a.AdmitUnread(), a.AdmitUnread()
	_, err := p.Work(context.Background())
	wants(t, err, "")
	_, err = other.Work(context.Background())
	wants(t, err, oauth.TemporarilyUnavailable)
	inUse(t, a, 0, 1)
	p.Release(true)
	other.Release(true)
	inUse(t, a, 0, 0)
}

// TestDefault: every limit is set, readers outnumber those at work, and an answer
// has time to be written.
func TestDefault(t *testing.T) {
	l := Default()
	if l.WriteTime <= l.ReadTime+time.Minute { // the longest limits.request_timeout
		t.Errorf("%v to read and answer", l.WriteTime)
	}
	if l.Readers <= l.AtWork || l.BodyBytes <= 0 || l.Parameters <= 0 || l.AddressRate.PerSecond <= 0 || l.ClientRate.PerSecond <= 0 {
		t.Errorf("%+v", l)
	}
}
