package store

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/postgres"
)

func putNamed(t *testing.T, d *DB, id string, revision int64, name string, disabled bool) {
	t.Helper()
	c := &registry.Client{Issuer: "d1", ID: id, Revision: revision, Name: name, Disabled: disabled}
	if err := d.PutClient(t.Context(), c, testEntry(0)); err != nil {
		t.Fatal(err)
	}
}

// clientName reads a client's name as requests do.
func clientName(t *testing.T, d *DB, id string) string {
	t.Helper()
	c, err := d.Client(t.Context(), "d1", id)
	if err != nil {
		t.Fatal(err)
	}
	return c.Name
}

// TestFeed tries the feed of one replica in several ways at once.
func TestFeed(t *testing.T) {
	t.Parallel() // most of the time it waits
	all := atOnce{T: t}
	defer all.wait()
	all.run("woken", func(t *testing.T) { changesArrive(t, false) })
	all.run("not woken", func(t *testing.T) { changesArrive(t, true) })
	all.run("blocked", feedBlocked)
	all.run("too much", func(t *testing.T) { cacheIsCleared(t, tooManyChanges) })
	all.run("gone", func(t *testing.T) { cacheIsCleared(t, forgottenChanges) })
	all.run("went back", func(t *testing.T) { cacheIsCleared(t, wentBack) })
	all.run("another server", func(t *testing.T) { cacheIsCleared(t, anotherServer) })
	all.run("reads of another server", readsFollow)
	all.run("callback has a deadline", callbackHasDeadline)
	all.run("interrupted heartbeat", interruptedHeartbeat)
	all.run("callback is retried", callbackIsRetried)
	all.run("callback for all", callbackForAll)
}

// changesArrive: other replicas see a change within a second, and much earlier if the
// database delivers notifications.
func changesArrive(t *testing.T, deaf bool) {
	const changes = 12
	url := PostgresForTests.NewDatabase(t)
	p, through := newProxy(t, url)
	p.set(func() { p.deaf = deaf })
	a, b := startReplica(t, url, Options{}), startReplica(t, through, Options{})
	putNamed(t, a, "bank", 0, "0", false)
	began := time.Now()
	for n := 1; n <= changes; n++ {
		_ = clientName(t, b, "bank") // which remembers it now
		name := fmt.Sprint(n)
		putNamed(t, a, "bank", int64(n), name, false)
		eventually(t, MaxStaleness, "the change is seen", func() bool { return clientName(t, b, "bank") == name })
	}
	took := time.Since(began)
	switch heard := p.notifications.Load(); {
	case heard < changes/2:
		t.Errorf("%d changes were notified of", heard)
	case deaf && took < changes*postgres.Heartbeat/2:
		t.Errorf("%d changes were heard within %v though nobody told of them", changes, took)
	case !deaf && took > changes*postgres.Heartbeat*9/10:
		t.Errorf("%d changes took %v: notifications wake nobody", changes, took)
	}
}

// blockHeartbeat locks the row that a replica writes at each heartbeat.
func blockHeartbeat(t *testing.T, url string, d *DB) (release func()) {
	t.Helper()
	conn := connectTo(t, url)
	held, err := conn.Begin(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if _, err := held.Exec(t.Context(), `SELECT FROM replica WHERE id = $1 FOR UPDATE`, replicaOf(t, d)); err != nil {
		t.Fatal(err)
	}
	return func() {
		t.Helper()
		if err := held.Rollback(t.Context()); err != nil {
			t.Error(err)
		}
	}
}

// replicaOf returns a replica's ID in the database.
func replicaOf(t *testing.T, d *DB) string {
	t.Helper()
	p, ok := d.engine.(*postgres.Database)
	if !ok {
		t.Fatal("the store is not on PostgreSQL")
	}
	return p.Replica()
}

// waitForFeed waits until a replica has read all earlier changes.
func waitForFeed(t *testing.T, d *DB) {
	t.Helper()
	now := time.Now()
	eventually(t, patience, "the feed is heard", func() bool { until, fresh := d.KnownUntil(); return fresh && until.After(now) })
}

// patience bounds the waits for events without a deadline.
const patience = 15 * time.Second

func isFresh(d *DB) bool {
	_, fresh := d.KnownUntil()
	return fresh
}

// feedBlocked: a replica whose heartbeat fails for a second does not use its cache, and
// Ping reports it. Stale still returns the cached objects.
func feedBlocked(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	a, b := startReplica(t, url, Options{}), startReplica(t, url, Options{})
	putNamed(t, a, "bank", 0, "before", false)
	putNamed(t, a, "shop", 0, "before", false)
	waitForFeed(t, b)
	for _, id := range []string{"bank", "shop"} {
		_ = clientName(t, b, id)
	}
	release := blockHeartbeat(t, url, b)
	putNamed(t, a, "bank", 1, "after", true)
	putNamed(t, a, "shop", 1, "after", true)
	eventually(t, patience, "memory is distrusted", func() bool { return !isFresh(b) })
	until, _ := b.KnownUntil()
	if c, err := b.Stale().Client(t.Context(), "d1", "bank"); err != nil || c.Disabled {
		t.Errorf("what was known last of a client: %+v, %v", c, err)
	}
	if _, err := b.Stale().Client(t.Context(), "d1", "nobody"); err == nil || errors.Is(err, registry.ErrNotFound) {
		t.Errorf("a client of whom nothing was known: %v", err)
	}
	for range 100 {
		if c, err := b.Client(t.Context(), "d1", "shop"); err != nil || !c.Disabled {
			t.Fatalf("a client that is disabled elsewhere: %+v, %v", c, err)
		}
	}
	eventually(t, patience, "Ping says why", func() bool {
		err := b.Ping(t.Context())
		return err != nil && strings.Contains(err.Error(), "the database has not answered") && strings.Contains(err.Error(), "lock timeout")
	})
	if err := a.Ping(t.Context()); err != nil {
		t.Errorf("the replica that hears: %v", err)
	}
	if later, _ := b.KnownUntil(); !later.Equal(until) {
		t.Error("the feed went on while it was held up")
	}
	release()
	eventually(t, patience, "the feed recovers", func() bool { return isFresh(b) && b.Ping(t.Context()) == nil })
	if c, err := b.Stale().Client(t.Context(), "d1", "bank"); err == nil && !c.Disabled {
		t.Error("what was heard of is still remembered as it was")
	}
	if name := clientName(t, b, "bank"); name != "after" {
		t.Errorf("the client is as it was %s", name)
	}
}

// cacheIsCleared: if single changes cannot be read, the whole cache is cleared. The test
// changes a client directly in the database, without recording a change.
func cacheIsCleared(t *testing.T, lose func(t *testing.T, url string, a, b *DB)) {
	url := ownFunctions(PostgresForTests.NewDatabase(t))
	a, b := startReplica(t, url, Options{}), startReplica(t, url, Options{})
	putNamed(t, a, "bank", 0, "before", false)
	putNamed(t, a, "other", 0, "before", false)
	waitForFeed(t, b)
	_ = clientName(t, b, "bank") // which remembers it now
	conn := connectTo(t, url)
	var document []byte
	must(t, conn.QueryRow(t.Context(), `SELECT document FROM client WHERE id = 'bank'`).Scan(&document))
	document = bytes.Replace(document, []byte("before"), []byte("after"), 1)
	mustExec(t, conn, `UPDATE client SET document = $1, mac = $2 WHERE id = 'bank'`, document, rowauthtest.Key().MAC(clientRow("d1", "bank", 1, document)))
	putNamed(t, a, "other", 1, "after", false)
	waitForFeed(t, b)
	if name := clientName(t, b, "bank"); name != "before" {
		t.Fatalf("b remembers nothing: the client is as it was %s", name)
	}
	release := blockHeartbeat(t, url, b)
	lose(t, url, a, b)
	release()
	eventually(t, patience, "nothing is remembered", func() bool {
		c, err := b.Stale().Client(t.Context(), "d1", "bank")
		return isFresh(b) && (err != nil || c.Name == "after")
	})
	if name := clientName(t, b, "bank"); name != "after" {
		t.Errorf("the client is as it was %s", name)
	}
}

func tooManyChanges(t *testing.T, url string, _, _ *DB) {
	mustExec(t, connectTo(t, url), `WITH now AS (UPDATE registry_revision SET revision = revision + 1 RETURNING revision)
		INSERT INTO registry_change (revision, at, kind, issuer, id)
		SELECT revision, now(), 'account', 'd1', n::text FROM now, generate_series(1, 10001) AS n`)
}

// forgottenChanges deletes changes that b has not read.
func forgottenChanges(t *testing.T, url string, a, _ *DB) {
	putNamed(t, a, "other", 2, "later", false)
	mustExec(t, connectTo(t, url), `UPDATE registry_change SET at = at - interval '11 minutes'`)
	if _, err := a.Forget(t.Context(), time.Now()); err != nil {
		t.Fatal(err)
	}
	conn := connectTo(t, url)
	var left, gone int64
	if err := conn.QueryRow(t.Context(), `SELECT (SELECT count(*) FROM registry_change), gone FROM registry_revision`).Scan(&left, &gone); err != nil {
		t.Fatal(err)
	}
	if left != 0 || gone != 4 {
		t.Errorf("%d changes are left, and those up to %d are gone", left, gone)
	}
}

func wentBack(t *testing.T, url string, _, _ *DB) {
	mustExec(t, connectTo(t, url), `UPDATE registry_revision SET revision = revision - 1`)
}

// anotherServer makes b connect to a server with another start time at the same revision.
// Its URL is by ownFunctions.
func anotherServer(t *testing.T, url string, _, b *DB) {
	conn := connectTo(t, url)
	mustExec(t, conn, `CREATE OR REPLACE FUNCTION public.pg_postmaster_start_time() RETURNS timestamptz LANGUAGE sql AS 'SELECT now()'`)
	feed := "moneyer feed " + replicaOf(t, b)
	var before int
	if err := conn.QueryRow(t.Context(), `SELECT pid FROM pg_stat_activity WHERE application_name = $1`, feed).Scan(&before); err != nil {
		t.Fatal(err)
	}
	mustExec(t, conn, `SELECT pg_terminate_backend($1)`, before)
	eventually(t, patience, "another server is met", func() bool {
		var met bool
		err := conn.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity
			WHERE application_name = $1 AND pid <> $2 AND query ILIKE '%replica%')`, feed, before).Scan(&met)
		if err != nil {
			t.Fatal(err)
		}
		return met
	})
}

// ownFunctions is a URL by which functions of the database hide the server's own.
func ownFunctions(url string) string { return url + "&search_path=public,pg_catalog" }

// readsFollow: after the feed has connected to another server, no read goes to the old one.
func readsFollow(t *testing.T) {
	url := ownFunctions(PostgresForTests.NewDatabase(t))
	d := startReplica(t, url, Options{})
	reader := func() (pid int) {
		if err := d.reads.Row(t.Context(), `SELECT pg_backend_pid()`, nil, []any{&pid}); err != nil {
			t.Fatal(err)
		}
		return pid
	}
	_ = reader()
	rows, err := connectTo(t, url).Query(t.Context(), `SELECT pid FROM pg_stat_activity WHERE datname = current_database()`)
	if err != nil {
		t.Fatal(err)
	}
	before, err := pgx.CollectRows(rows, pgx.RowTo[int])
	if err != nil {
		t.Fatal(err)
	}
	release := blockHeartbeat(t, url, d)
	anotherServer(t, url, nil, d)
	release()
	for range 20 {
		if pid := reader(); slices.Contains(before, pid) {
			t.Fatalf("it reads by session %d, of the server before", pid)
		}
	}
}

// interruptedHeartbeat: a session that lost its client during a heartbeat keeps the lock on
// the replica's row until the server notices; the next session does not wait for that.
func interruptedHeartbeat(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	d := startReplica(t, url, Options{})
	config, err := pgx.ParseConfig(url)
	if err != nil {
		t.Fatal(err)
	}
	config.RuntimeParams["application_name"] = "moneyer feed " + replicaOf(t, d)
	conn, err := pgx.ConnectConfig(t.Context(), config)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = conn.Close(context.Background()) })
	beat := conn.PgConn().StartPipeline(t.Context())
	beat.SendQueryParams(`SELECT FROM replica WHERE id = $1 FOR UPDATE`, [][]byte{[]byte(replicaOf(t, d))}, nil, nil, nil)
	if err := beat.Flush(); err != nil { // and no end of it
		t.Fatal(err)
	}
	held := connectTo(t, url)
	eventually(t, patience, "the row is held", func() bool {
		var waits bool
		err := held.QueryRow(t.Context(), `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE application_name = $1 AND wait_event_type = 'Lock')`,
			"moneyer feed "+replicaOf(t, d)).Scan(&waits)
		if err != nil {
			t.Fatal(err)
		}
		return waits
	})
	waitForFeed(t, d)
}

// callbackHasDeadline: a call of Options.Changed has a deadline.
func callbackHasDeadline(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	bounded := make(chan bool, 1)
	a := startReplica(t, url, Options{})
	_ = startReplica(t, url, Options{Changed: func(ctx context.Context, _ ChangeKind, _ string, _ []string) error {
		_, ok := ctx.Deadline()
		select {
		case bounded <- ok:
		default:
		}
		return nil
	}})
	r := &revocation.Revocation{Issuer: "d1", ID: "r", Until: time.Now().Add(time.Hour)}
	if err := a.PutRevocation(t.Context(), r, &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now()}); err != nil {
		t.Fatal(err)
	}
	if !<-bounded {
		t.Error("it may take for ever")
	}
}

// TestStaleness: staleness is by the clock that gives more, also after the clock was set back.
func TestStaleness(t *testing.T) {
	heard := time.Now()
	for _, test := range []struct {
		name string
		now  time.Time
		want time.Duration
	}{
		{"a moment later", heard.Add(time.Millisecond), time.Millisecond},
		{"two seconds later", heard.Add(2 * time.Second), 2 * time.Second},
		{"the clock was set back", heard.Round(0).Add(-time.Hour), time.Hour},
	} {
		if silent := engine.Staleness(test.now, heard); silent < test.want || silent > test.want+time.Minute {
			t.Errorf("%s: %v of silence, want %v", test.name, silent, test.want)
		}
	}
}

// told records the calls of Options.Changed; one without IDs is a change without an ID.
type told struct {
	mu      sync.Mutex
	changes []engine.Change
	failure error
}

func (c *told) changed(_ context.Context, kind ChangeKind, issuer string, ids []string) error {
	c.mu.Lock()
	defer c.mu.Unlock()
	if len(ids) == 0 {
		ids = []string{""}
	}
	for _, id := range ids {
		c.changes = append(c.changes, engine.Change{Kind: kind, Issuer: issuer, ID: id})
	}
	return c.failure
}

func (c *told) fail(err error) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.failure, c.changes = err, nil
}

func (c *told) times(change engine.Change) (n int) {
	c.mu.Lock()
	defer c.mu.Unlock()
	for _, known := range c.changes {
		if known == change {
			n++
		}
	}
	return n
}

// callbackIsRetried: Options.Changed is called for each change of signing keys and
// revocations, and again while it fails; meanwhile KnownUntil does not advance.
func callbackIsRetried(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	var heard told
	a, b := startReplica(t, url, Options{}), startReplica(t, url, Options{Changed: heard.changed})
	keys, revocations := engine.Change{Kind: ChangedSigningKeys, Issuer: "d1"}, engine.Change{Kind: ChangedRevocations, Issuer: "d2", ID: "r1"}
	if err := a.PutSigningKeys(t.Context(), registry.SigningKeys{Issuer: "d1"}, testEntry(0)); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "signing keys are told of", func() bool { return heard.times(keys) == 1 })

	heard.fail(errors.New("the keys cannot be read"))
	r := &revocation.Revocation{Issuer: "d2", ID: "r1", Until: time.Now().Add(time.Hour)}
	if err := a.PutRevocation(t.Context(), r, testEntry(1)); err != nil {
		t.Fatal(err)
	}
	eventually(t, patience, "revocations are told of", func() bool { return heard.times(revocations) >= 1 })
	until, _ := b.KnownUntil()
	eventually(t, patience, "it is told again, and memory is distrusted", func() bool {
		return heard.times(revocations) >= 3 && !isFresh(b)
	})
	if later, _ := b.KnownUntil(); !later.Equal(until) {
		t.Error("what could not be told counts as heard")
	}
	if err := b.Ping(t.Context()); err == nil || !strings.Contains(err.Error(), "the keys cannot be read") {
		t.Errorf("ping: %v", err)
	}
	heard.fail(nil)
	eventually(t, patience, "it recovers", func() bool { return isFresh(b) && b.Ping(t.Context()) == nil })
	if n := heard.times(revocations); n != 1 || heard.times(keys) != 0 {
		t.Errorf("revocations were told of %d times after it worked, keys %d times", n, heard.times(keys))
	}
}

// callbackForAll: if single changes cannot be read, Options.Changed is called for all.
func callbackForAll(t *testing.T) {
	url := PostgresForTests.NewDatabase(t)
	var heard told
	d := startReplica(t, url, Options{Changed: heard.changed})
	release := blockHeartbeat(t, url, d)
	tooManyChanges(t, url, nil, nil)
	release()
	eventually(t, patience, "all is told of", func() bool {
		return heard.times(engine.Change{Kind: ChangedSigningKeys}) == 1 && heard.times(engine.Change{Kind: ChangedRevocations}) == 1
	})
}
