package store

import (
	"strings"
	"testing"
	"time"

	"moneyer/internal/pgtest"
	"moneyer/internal/rowauth/rowauthtest"
)

// TestFailover: a store whose URL names two servers writes to the primary, refuses to open
// on a standby alone, and continues with the standby after the primary fails. Acknowledged
// entries are there, and consumed values stay consumed.
func TestFailover(t *testing.T) {
	t.Parallel()
	primary := ownServer(t, nil)
	standby, err := primary.Standby(t.Context(), "s1")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := standby.Remove(); err != nil {
			t.Error(err)
		}
	})
	if err := primary.SetSync(t.Context(), 1, standby); err != nil {
		t.Fatal(err)
	}
	if _, err := Open(t.Context(), standby.URL("postgres"), Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now}); err == nil || !strings.Contains(err.Error(), "read only") {
		t.Errorf("a store on a standby alone: %v", err)
	}
	both := func(first, second *pgtest.Server) *DB {
		url := strings.Replace(first.URL("postgres"), first.Addr(), first.Addr()+","+second.Addr(), 1)
		return startReplica(t, url, Options{})
	}
	a, b := both(primary, standby), both(standby, primary)
	putNamed(t, a, "bank", 0, "bank", false)
	mustSign(t, a, unsigned) // what follows has other times
	loads := []*load{startLoad(a, 0), startLoad(b, 500_000)}
	for _, l := range loads {
		defer l.stop()
	}
	works := func(since time.Time) func() bool {
		return func() bool { return loads[0].worksSince(since) && loads[1].worksSince(since) }
	}
	eventually(t, patience, "both work", works(time.Now()))
	if err := primary.Kill(); err != nil {
		t.Fatal(err)
	}
	if err := standby.Promote(t.Context(), 0); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "both work with the other server", works(time.Now()))
	for _, l := range loads {
		l.stop()
	}
	for i, l := range loads {
		if longest := time.Duration(l.longest.Load()); longest > requestPatience+500*time.Millisecond {
			t.Errorf("replica %d took %v for a call", i, longest)
		}
		l.check(t)
		for n := range l.granted {
			if err := a.Append(t.Context(), testEntry(n), useOf(n, "")); err == nil {
				t.Errorf("assertion %d was used twice", n)
			}
		}
	}
	for _, d := range []*DB{a, b} {
		eventually(t, patience, "the feed is heard", func() bool { return isFresh(d) && d.Ping(t.Context()) == nil })
	}
	checkWhole(t, a, -1)
}
