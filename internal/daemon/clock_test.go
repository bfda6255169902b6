package daemon

import (
	"context"
	"io"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/config"
	"moneyer/internal/ledger"
	"moneyer/internal/revocation"
)

var noon = time.Date(2026, 11, 23, 12, 0, 0, 0, time.UTC)

// rig drives a confirmedClock: the wall clock is ahead of the steady one by ahead.
type rig struct {
	clock  *confirmedClock
	steady time.Duration
	ahead  time.Duration
}

func newRig(earlier time.Time) *rig {
	r := &rig{clock: newConfirmedClock(noon, earlier)}
	r.clock.observe(noon, 0)
	return r
}

func (r *rig) wall() time.Time { return noon.Add(r.steady + r.ahead) }

// run lets time pass with a reading each minute.
func (r *rig) run(d time.Duration) (jumps int) {
	for end := r.steady + d; r.steady < end; {
		r.steady += time.Minute
		if _, jumped := r.clock.observe(r.wall(), r.steady); jumped {
			jumps++
		}
	}
	return jumps
}

// lag returns how far the confirmed time is behind the steady clock that began at noon.
func (r *rig) lag() time.Duration {
	return noon.Add(r.steady).Sub(r.clock.at(r.wall(), r.steady))
}

func TestConfirmedClock(t *testing.T) {
	const year = 365 * 24 * time.Hour
	for name, check := range map[string]func(r *rig) bool{
		"it follows the wall clock": func(r *rig) bool {
			return r.run(48*time.Hour) == 0 && r.lag() == 0
		},
		"a leap for a minute": func(r *rig) bool {
			r.ahead = year
			leapt := r.run(time.Minute) == 1 && r.lag() == 0
			r.ahead = 0
			return leapt && r.run(3*time.Hour) == 0 && r.lag() == 0
		},
		"a leap between two readings": func(r *rig) bool {
			r.ahead = year
			return r.lag() == 0
		},
		"a leap that lasts": func(r *rig) bool {
			r.ahead = year
			r.run(time.Hour)
			early := r.lag()
			r.run(time.Minute)
			return early == 0 && r.lag() == -year
		},
		"leaps in turns never add up to an hour": func(r *rig) bool {
			for range 10 {
				r.ahead = year
				r.run(50 * time.Minute)
				r.ahead = 0
				r.run(time.Minute)
			}
			return r.lag() == 0
		},
		"small steps that add up": func(r *rig) bool {
			for range 30 {
				r.ahead += 4 * time.Minute
				r.run(time.Minute)
			}
			return r.lag() == 0
		},
		"a clock that is set back": func(r *rig) bool {
			r.ahead = -time.Hour
			return r.lag() == time.Hour && r.run(time.Minute) == 0 && r.lag() == time.Hour
		},
		"set back and forward again": func(r *rig) bool {
			r.ahead = -time.Hour
			r.run(time.Minute)
			r.ahead = 0
			r.run(time.Minute)
			early := r.lag()
			r.run(time.Hour)
			return early == time.Hour && r.lag() == 0
		},
		"a process that was stopped": func(r *rig) bool {
			r.steady += 5 * time.Hour
			r.ahead = year
			r.clock.observe(r.wall(), r.steady)
			return r.lag() == 0
		},
		"a drift": func(r *rig) bool {
			for range 24 * 60 {
				r.ahead += 30 * time.Millisecond
				r.run(time.Minute)
			}
			return len(r.clock.readings) < 70 && r.lag() < 0 && r.lag() > -r.ahead
		},
	} {
		for start, r := range map[string]*rig{"": newRig(time.Time{}), ", after an entry of now": newRig(noon), ", after an entry of the future": newRig(noon.Add(year))} {
			if !check(r) {
				t.Errorf("%s%s: %v behind, %+v", name, start, r.lag(), r.clock.readings)
			}
		}
	}
}

// TestConfirmedClockAtStart: the newest entry of the ledger is the reading before the first.
func TestConfirmedClockAtStart(t *testing.T) {
	r := newRig(noon.Add(-48 * time.Hour))
	if got := r.lag(); got != 48*time.Hour {
		t.Errorf("at the start %v behind", got)
	}
	r.run(59 * time.Minute)
	if got := r.lag(); got != 48*time.Hour {
		t.Errorf("within the hour %v behind", got)
	}
	if r.run(time.Minute); r.lag() != 0 {
		t.Errorf("after an hour %v behind", r.lag())
	}
}

// leapingServer is a server whose wall clock is ahead of its steady clock by ahead.
type leapingServer struct {
	*Server
	t             *testing.T
	steady, ahead atomic.Int64
	log           testLog
}

func newLeapingServer(t *testing.T) *leapingServer {
	t.Helper()
	file := newFolder(t)
	f, err := os.OpenFile(file, os.O_APPEND|os.O_WRONLY, 0)
	if err == nil {
		_, err = io.WriteString(f, "[ledger]\nretention = \"9600h\"\n")
	}
	if err != nil || f.Close() != nil {
		t.Fatal(err)
	}
	l := &leapingServer{t: t}
	start := time.Now().Round(0)
	l.Server, err = Start(t.Context(), Options{
		Load: func() (*config.Config, error) { return config.Load(file) }, Log: &l.log, Version: "test",
		Now:    func() time.Time { return start.Add(time.Duration(l.steady.Load() + l.ahead.Load())) },
		Steady: func() time.Duration { return time.Duration(l.steady.Load()) },
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := l.Shutdown(context.Background()); err != nil {
			t.Error(err)
		}
	})
	return l
}

// minutes lets minutes pass, with the work of each.
func (l *leapingServer) minutes(n int) {
	for range n {
		l.steady.Add(int64(time.Minute))
		l.everyMinute(l.t.Context())
	}
}

// kept returns how much there is of what is forgotten in time: revocations in memory and in the
// store, entries of the ledger, and signing keys.
func (l *leapingServer) kept() (inMemory, stored, entries, keys int) {
	l.t.Helper()
	issuer := l.Config().Issuers["plain"].RegistryIssuer()
	inMemory = strings.Count(string(l.revocations.AppendList(nil, issuer, l.now())), `"stolen"`)
	list, err := l.db.Revocations(l.t.Context(), "plain")
	if err != nil {
		l.t.Fatal(err)
	}
	err = l.db.Entries(l.t.Context(), ledger.Query{}, func(*ledger.Record) error { entries++; return nil })
	if err != nil {
		l.t.Fatal(err)
	}
	known, err := l.snapshot.keys.Keys(l.t.Context(), "plain")
	if err != nil {
		l.t.Fatal(err)
	}
	return inMemory, len(list), entries, len(known)
}

// TestClockLeaps: a clock that leaps ahead for some minutes makes no revoked token good again,
// deletes nothing of the ledger, and rotates no key. When it stays, time has passed.
func TestClockLeaps(t *testing.T) {
	l := newLeapingServer(t)
	v := &revocation.Revocation{Issuer: "plain", ID: "one", JTIs: []string{"stolen"}, Until: l.now().Add(time.Hour)}
	err := l.revocations.Add(t.Context(), v, &ledger.Entry{Kind: ledger.KindAdmin, Time: l.now(), Issuer: "plain", Action: "revoke"})
	if err != nil {
		t.Fatal(err)
	}
	l.minutes(2)
	l.ahead.Store(int64(500 * 24 * time.Hour))
	l.minutes(5)
	if err := l.revocations.Load(t.Context(), []string{"plain"}); err != nil {
		t.Fatal(err)
	}
	if inMemory, stored, entries, keys := l.kept(); inMemory != 1 || stored != 1 || entries < 3 || keys != 1 {
		t.Errorf("in the leap: %d and %d revocations, %d entries, %d signing keys", inMemory, stored, entries, keys)
	}
	l.ahead.Store(0)
	l.minutes(2)
	if inMemory, stored, _, keys := l.kept(); inMemory != 1 || stored != 1 || keys != 1 {
		t.Errorf("after the leap: %d and %d revocations, %d signing keys", inMemory, stored, keys)
	}
	if n := strings.Count(l.log.String(), "the clock jumped forward"); n != 1 {
		t.Errorf("logged %d times: %s", n, l.log.String())
	}
	l.minutes(70)
	if inMemory, stored, _, _ := l.kept(); inMemory != 0 || stored != 0 {
		t.Errorf("when it is over: %d and %d revocations", inMemory, stored)
	}
	_, _, before, _ := l.kept()
	l.ahead.Store(int64(500 * 24 * time.Hour))
	l.minutes(62)
	if _, _, after, _ := l.kept(); after >= before {
		t.Errorf("a clock that stays removes nothing: %d entries, were %d", after, before)
	}
}
