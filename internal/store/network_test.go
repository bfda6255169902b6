package store

import (
	"context"
	"errors"
	"fmt"
	"runtime/pprof"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
)

// recovery is how long after its return a database is made use of again.
const recovery = 2 * time.Second

// requestPatience is how long a request waits, and with it what it asks of a store.
const requestPatience = 2 * time.Second

// load is what a store is asked all the time.
type load struct {
	d *DB
	// longest is what any call took, lastGood when one last succeeded, by what it was.
	longest  atomic.Int64
	mu       sync.Mutex
	lastGood map[string]time.Time
	granted  map[int]bool
	refused  []int // as used, though each was offered once
	n        atomic.Int64
	stop     func()
}

// startLoad asks a store until stop is called: appends of assertions from the given
// number on, changes and reads, with the patience of requests.
func startLoad(d *DB, from int64) *load {
	l := &load{d: d, lastGood: map[string]time.Time{}, granted: map[int]bool{}}
	l.n.Store(from)
	quit := make(chan struct{})
	var callers sync.WaitGroup
	call := func(what string, do func(ctx context.Context) error) {
		callers.Go(func() {
			again := time.NewTicker(10 * time.Millisecond)
			defer again.Stop()
			for {
				select {
				case <-quit:
					return
				case <-again.C:
				}
				l.try(what, do)
			}
		})
	}
	for range 4 {
		call("append", l.append)
	}
	call("change", l.change)
	call("read", func(ctx context.Context) error {
		_, err := d.Client(ctx, "d1", "bank")
		return err
	})
	call("uncached read", func(ctx context.Context) error {
		if _, err := d.Client(ctx, "d1", "nobody"); !errors.Is(err, registry.ErrNotFound) {
			return err
		}
		return nil
	})
	l.stop = sync.OnceFunc(func() {
		close(quit)
		callers.Wait()
	})
	return l
}

func (l *load) try(what string, do func(ctx context.Context) error) {
	ctx, cancel := context.WithTimeout(context.Background(), requestPatience)
	defer cancel()
	began := time.Now()
	err := do(ctx)
	l.mu.Lock()
	defer l.mu.Unlock()
	l.longest.Store(max(l.longest.Load(), int64(time.Since(began))))
	if err == nil {
		l.lastGood[what] = time.Now()
	}
}

func (l *load) append(ctx context.Context) error {
	n := int(l.n.Add(1))
	e := testEntry(n)
	e.Time = time.Now()
	err := l.d.Append(ctx, e, useOf(n, ""))
	l.mu.Lock()
	defer l.mu.Unlock()
	var used *ledger.ReplayedError
	switch {
	case err == nil:
		l.granted[n] = true
	case errors.As(err, &used):
		l.refused = append(l.refused, n)
	}
	return err
}

func (l *load) change(ctx context.Context) error {
	r := &revocation.Revocation{Issuer: "d1", ID: fmt.Sprint("r", l.n.Add(1)), Until: time.Now().Add(time.Hour)}
	l.d.Touch("d1", "bank", "key", time.Now())
	return l.d.PutRevocation(ctx, r, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now()})
}

// worksSince reports whether all that is asked has succeeded after a time.
func (l *load) worksSince(at time.Time) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	for _, what := range []string{"append", "change", "read", "uncached read"} {
		if !l.lastGood[what].After(at) {
			return false
		}
	}
	return true
}

// check fails unless each entry that was granted is recorded once, and no other is
// there twice.
func (l *load) check(t *testing.T) {
	t.Helper()
	found := map[string]int{}
	err := l.d.Entries(t.Context(), ledger.Query{Kind: ledger.KindToken}, func(r *ledger.Record) error {
		e, err := r.Entry()
		if err == nil {
			found[e.JTI]++
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	for n := range l.granted {
		if found[testEntry(n).JTI] != 1 {
			t.Errorf("entry %d was granted and is there %d times", n, found[testEntry(n).JTI])
		}
	}
	for jti, times := range found {
		if times != 1 {
			t.Errorf("entry %s is there %d times", jti, times)
		}
	}
	if len(l.granted) == 0 || len(l.refused) > 0 {
		t.Errorf("%d assertions were granted; refused as used, but offered once: %v", len(l.granted), l.refused)
	}
}

// labelled runs a test with a label that the goroutines which it starts inherit, so
// that they can be counted while other tests run.
func labelled(t *testing.T, test func(running func() int)) {
	label := t.Name()
	pprof.Do(t.Context(), pprof.Labels("test", label), func(context.Context) {
		test(func() (n int) {
			var all strings.Builder
			if err := pprof.Lookup("goroutine").WriteTo(&all, 1); err != nil {
				t.Fatal(err)
			}
			for _, some := range strings.Split(all.String(), "\n\n") {
				if strings.Contains(some, fmt.Sprintf("%q", label)) {
					of := 0
					if _, err := fmt.Sscanf(strings.TrimSpace(some), "%d @", &of); err == nil {
						n += of
					}
				}
			}
			return n
		})
	})
}

// TestNetwork: whatever happens between a store and its database, no call takes
// longer than its caller waits, the store works again within two seconds of its end,
// and nothing is left of it.
func TestNetwork(t *testing.T) {
	t.Parallel() // most of the time it waits
	all := atOnce{T: t}
	defer all.wait()
	pass := func(p *proxy) { p.set(func() { p.held, p.down, p.delay = false, false, 0 }) }
	for _, fault := range []struct {
		name       string
		begin, end func(p *proxy)
		lasts      time.Duration
		within     time.Duration // it works again
	}{
		{"nothing goes through for a while", func(p *proxy) { p.set(func() { p.held = true }) }, pass, 3 * time.Second, recovery},
		{"nothing goes through, and then connections are reset", func(p *proxy) { p.set(func() { p.held = true }) },
			func(p *proxy) { p.reset(); pass(p) }, 3 * time.Second, recovery},
		{"connections die unnoticed", (*proxy).strand, pass, 0, 2500 * time.Millisecond},
		{"connections are reset", (*proxy).reset, pass, 0, recovery},
		{"500 ms away", func(p *proxy) { p.set(func() { p.delay = 250 * time.Millisecond }) }, pass, 3 * time.Second, recovery},
		{"nobody is there", func(p *proxy) { p.set(func() { p.down = true }); p.reset() }, pass, 3 * time.Second, recovery},
	} {
		all.run(fault.name, func(t *testing.T) {
			p, url := newProxy(t, PostgresForTests.NewDatabase(t))
			labelled(t, func(running func() int) {
				d := startReplica(t, url, Options{TouchInterval: 500 * time.Millisecond})
				runFault(t, d, running, func() { fault.begin(p) }, func() { fault.end(p) }, fault.lasts, fault.within)
			})
			if n := p.cancels.Load(); n != 0 {
				t.Errorf("%d statements were cancelled", n)
			}
		})
	}
	all.run("the server is restarted", func(t *testing.T) {
		server := ownServer(t, nil)
		labelled(t, func(running func() int) {
			d := startReplica(t, server.URL("postgres"), Options{TouchInterval: 500 * time.Millisecond})
			runFault(t, d, running, func() {
				if err := server.Restart(t.Context()); err != nil {
					t.Error(err)
				}
			}, func() {}, 0, recovery)
		})
	})
}

// runFault runs a store through a fault of that duration.
func runFault(t *testing.T, d *DB, running func() int, begin, end func(), lasts, within time.Duration) {
	putNamed(t, d, "bank", 0, "bank", false)
	mustSign(t, d, unsigned) // what follows has other times
	l := startLoad(d, 0)
	defer l.stop()
	eventually(t, patience, "all works", func() bool { return l.worksSince(time.Time{}) })
	before := running()
	begin()
	<-time.After(lasts)
	end()
	over := time.Now()
	eventually(t, within, "all works again", func() bool { return l.worksSince(over) })
	eventually(t, patience, "the feed is heard again", func() bool { return isFresh(d) && d.Ping(t.Context()) == nil })
	eventually(t, patience, fmt.Sprint("no more goroutines than before: ", before), func() bool { return running() <= before+4 })
	l.stop()
	if longest := time.Duration(l.longest.Load()); longest > requestPatience+500*time.Millisecond {
		t.Errorf("a call took %v", longest)
	}
	l.check(t)
	checkWhole(t, d, -1)
}

// TestCloseWithoutDatabase: a store can be closed whatever becomes of its database.
func TestCloseWithoutDatabase(t *testing.T) {
	t.Parallel() // most of the time it waits
	all := atOnce{T: t}
	defer all.wait()
	for name, begin := range map[string]func(p *proxy){
		"nothing goes through":      func(p *proxy) { p.set(func() { p.held = true }) },
		"connections die unnoticed": (*proxy).strand,
		"nobody is there":           func(p *proxy) { p.set(func() { p.down = true }); p.reset() },
	} {
		all.run(name, func(t *testing.T) {
			p, url := newProxy(t, PostgresForTests.NewDatabase(t))
			d := startReplica(t, url, Options{})
			putNamed(t, d, "bank", 0, "bank", false)
			begin(p)
			d.Touch("d1", "bank", "key", time.Now())
			answer := make(chan error, 2)
			go func() { answer <- d.Append(context.Background(), testEntry(1), useOf(1, "")) }()
			closed := make(chan struct{})
			go func() {
				_ = d.Close()
				close(closed)
			}()
			select {
			case <-closed:
			case <-time.After(patience):
				t.Fatal("the store is not closed after", patience)
			}
			<-answer
			if err := d.Append(t.Context(), testEntry(2)); !errors.Is(err, ErrClosed) {
				t.Errorf("append to a closed store: %v", err)
			}
		})
	}
}
