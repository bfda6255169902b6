package store

import (
	"bytes"
	"context"
	"crypto/ed25519"
	"crypto/sha256"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/internal/jose"
	"moneyer/internal/ledger"
	"moneyer/internal/registry"
	"moneyer/internal/revocation"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
	"moneyer/internal/store/transfer"
)

func must(tb testing.TB, err error) {
	tb.Helper()
	if err != nil {
		tb.Fatal(err)
	}
}

func openURL(tb testing.TB, url string) *DB {
	tb.Helper()
	d, err := Open(tb.Context(), url, Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now, TouchInterval: time.Hour}) // some flush by themselves
	must(tb, err)
	tb.Cleanup(func() { _ = d.Close() })
	return d
}

func newFile(tb testing.TB) string { return "sqlite:" + filepath.Join(tb.TempDir(), "moneyer.db") }

func changeEntry() *ledger.Entry {
	return &ledger.Entry{Kind: ledger.KindAdmin, Time: time.Now(), Actor: "test", Action: "fill"}
}

// soon is when assertions of these tests end.
func soon() time.Time { return time.Now().Add(time.Hour).Truncate(time.Second) }

// fill puts something into every table: n clients, and as many assertions or 200, of
// which one in three left something behind.
func fill(tb testing.TB, d *DB, n int) {
	tb.Helper()
	ctx := tb.Context()
	for from := 0; from < n; from += MaxBulk {
		var clients []*registry.Client
		for i := from; i < min(n, from+MaxBulk); i++ {
			clients = append(clients, testClient(tb, i))
		}
		must(tb, d.PutClients(ctx, clients, changeEntry()))
	}
	must(tb, d.PutAccounts(ctx, []registry.Account{{Issuer: "d1", ID: "shop ü", Client: "client-0"}, {Issuer: "d1", ID: "stall", Client: "client-1"}}, changeEntry()))
	must(tb, d.PutItems(ctx, []registry.Item{{Issuer: "d1", ID: "4711", Account: "stall", Kind: "visa"}}, changeEntry()))
	must(tb, d.PutSigningKeys(ctx, registry.SigningKeys{Issuer: "d1"}, changeEntry()))
	must(tb, d.PutRevocation(ctx, &revocation.Revocation{Issuer: "d1", ID: "r", All: true, Until: soon()}, changeEntry()))
	d.Touch("d1", "client-0", "k", time.Now())
	must(tb, d.flush(ctx, 1000))
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker; i < min(n, 200); i += 8 {
				if err := d.Append(ctx, testEntry(i), testUse(i)); err != nil {
					tb.Error(err)
				}
			}
		})
	}
	all.Wait()
}

func testClient(tb testing.TB, i int) *registry.Client {
	tb.Helper()
	public, _, err := ed25519.GenerateKey(nil)
	must(tb, err)
	key, err := jose.NewPublicKey(public, jose.EdDSA)
	must(tb, err)
	return &registry.Client{
		JWKSURI: "https://idp.example/keys", JWKSEnvironment: "prd",
		Issuer: "d1", ID: fmt.Sprint("client-", i), Name: "A bank",
		Keys:         []registry.Key{{Kid: "k", Environment: "prd", Public: key}},
		Secrets:      []registry.Secret{{ID: "s", Kind: registry.APIKey, Digest: sha256.Sum256(fmt.Append(nil, i))}},
		Certificates: []registry.Certificate{{ID: "c", Match: registry.MatchCertificate, Value: fmt.Sprint("digest ", i), Environment: "prd"}},
		Identities:   []registry.Identity{{ID: "i", Trusted: "sso", Claims: map[string]string{"azp": "a"}, Digest: sha256.Sum256(fmt.Append(nil, "azp", i))}},
	}
}

func testUse(i int) ledger.Consumed {
	u := ledger.Consumed{Value: sha256.Sum256(fmt.Append(nil, "use", i)), Until: soon().Add(time.Duration(i%5) * time.Minute)}
	if i%3 == 0 {
		u.Sealed = fmt.Append(nil, "left by ", i)
	}
	return u
}

// registryRows reads all that a store holds, at the URL of which nobody else writes.
func contents(tb testing.TB, url string) map[string]string {
	tb.Helper()
	s, err := openSource(tb.Context(), url)
	must(tb, err)
	defer s.Close()
	point := s.Point()
	all := map[string]string{"heads": fmt.Sprintf("%x", point.Heads), "forgotten": fmt.Sprint(point.Forgotten), "used": fmt.Sprint(point.Counts["use_up"])}
	for _, t := range append(transfer.RegistryTables(), transfer.LedgerTable()) {
		t.AtOnce = 1 << 30
		found, err := t.Read(tb.Context(), s.Querier(), nil)
		must(tb, err)
		if found.N == 0 {
			tb.Errorf("%s has no rows", t.Name)
		}
		for i := range found.N {
			all[fmt.Sprint(t.Name, found.Row(i, t.Key))] = fmt.Sprintf("%q", found.Row(i, len(found.Columns)))
		}
	}
	must(tb, s.EachUsed(tb.Context(), func(key engine.Key, until int64, sealed []byte) error {
		name := fmt.Sprintf("used %x", key)
		if len(sealed) > 0 || all[name] == "" {
			all[name] = fmt.Sprintf("%d %s", engine.CeilSecond(time.UnixMilli(until)), sealed)
		}
		return nil
	}))
	return all
}

func sameContents(tb testing.TB, want, got map[string]string) {
	tb.Helper()
	for name := range want {
		if got[name] != want[name] {
			tb.Errorf("%s is %.300s, want %.300s", name, got[name], want[name])
		}
	}
	if !maps.Equal(want, got) {
		tb.Errorf("%d values, want %d", len(got), len(want))
	}
}

func copied(tb testing.TB, from, to string) CopyReport {
	tb.Helper()
	report, err := Copy(tb.Context(), from, to, nil)
	if err != nil || report.Broken != "" {
		tb.Fatalf("%+v, %v", report, err)
	}
	return report
}

// TestCopyRoundTrip copies between all kinds of stores; each goes on as the
// first would.
func TestCopyRoundTrip(t *testing.T) {
	t.Parallel()
	first := newFile(t)
	d := openURL(t, first)
	fill(t, d, 1200)
	_, err := d.Forget(t.Context(), time.Now())
	must(t, err)
	must(t, d.Close())
	want := contents(t, first)

	from := first
	for _, to := range []string{PostgresForTests.NewDatabase(t), PostgresForTests.NewDatabase(t), newFile(t), newFile(t)} {
		report := copied(t, from, to)
		if len(report.Heads) != 1 || report.Rows[0] != (transfer.Copied{Table: "client", Rows: 1200}) || report.Resumed {
			t.Errorf("%+v", report)
		}
		sameContents(t, want, contents(t, to))
		from = to
	}
	for _, url := range []string{first, from} { // by the file that the last copy is
		goesOn(t, url, 5000)
	}
	database := PostgresForTests.NewDatabase(t)
	copied(t, from, database)
	goesOn(t, database, 6000)
}

// goesOn uses up what was and what was not, and follows the chain.
func goesOn(t *testing.T, url string, unused int) {
	t.Helper()
	d := openURL(t, url)
	defer d.Close()
	for _, i := range []int{0, 3, 4, 199} {
		var used *ledger.ReplayedError
		if err := d.Append(t.Context(), testEntry(i), testUse(i)); !errors.As(err, &used) || string(used.Sealed) != string(testUse(i).Sealed) {
			t.Errorf("%s: assertion %d: %v, %+v", url, i, err, used)
		}
	}
	must(t, d.Append(t.Context(), testEntry(1), testUse(unused)))
	report, err := d.Verify(t.Context(), nil)
	if err != nil || report.Broken != 0 {
		t.Errorf("%s: %+v, %v", url, report, err)
	}
	c, err := d.Client(t.Context(), "d1", "client-7")
	if err != nil || c.Name != "A bank" {
		t.Errorf("%s: %+v, %v", url, c, err)
	}
}

// TestCopyResumes cuts a copy at every place where it tells how far it is, and lets
// nobody open what there is.
func TestCopyResumes(t *testing.T) {
	t.Parallel()
	first := newFile(t)
	d := openURL(t, first)
	fill(t, d, 1100)
	must(t, d.Close())
	want := contents(t, first)
	for name, to := range map[string]string{"SQLite": newFile(t), "PostgreSQL": PostgresForTests.NewDatabase(t)} {
		t.Run(name, func(t *testing.T) {
			cuts := 0
			for stop := 1; ; stop += 3 {
				ctx, cancel := context.WithCancel(t.Context())
				told := 0
				report, err := Copy(ctx, first, to, func(string, int64, int64) {
					if told++; told == stop {
						cancel()
					}
				})
				cancel()
				if err == nil {
					if !report.Resumed || report.Broken != "" {
						t.Errorf("%+v", report)
					}
					break
				}
				if cuts++; !errors.Is(err, context.Canceled) {
					t.Fatal(err)
				}
				if _, err := Open(t.Context(), to, Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now}); !errors.Is(err, engine.ErrUnfinished) {
					t.Fatalf("half of a copy is opened: %v", err)
				}
				if _, err := Copy(t.Context(), to, newFile(t), nil); !errors.Is(err, engine.ErrUnfinished) {
					t.Fatalf("half of a copy is copied: %v", err)
				}
			}
			if cuts < 3 {
				t.Errorf("cut %d times", cuts)
			}
			sameContents(t, want, contents(t, to))
			openURL(t, to)
		})
	}
}

// TestCopyAfterKill: what stands in the file's log and not yet in the file is
// copied, too, and the source stays as it was.
func TestCopyAfterKill(t *testing.T) {
	store := newFile(t)
	d := openURL(t, store)
	fill(t, d, 50)
	killed := filepath.Join(t.TempDir(), "moneyer.db")
	read := func(path string) (text []byte) {
		for _, suffix := range []string{"", "-wal"} {
			part, err := os.ReadFile(path + suffix)
			must(t, err)
			text = append(text, part...)
			must(t, os.WriteFile(killed+suffix, part, 0o600))
		}
		return text
	}
	before := read(strings.TrimPrefix(store, "sqlite:"))
	must(t, d.Close())
	to := newFile(t)
	copied(t, "sqlite:"+killed, to)
	sameContents(t, contents(t, store), contents(t, to))
	if !bytes.Equal(before, read(killed)) {
		t.Error("the source was changed")
	}
}

func TestCopyRefuses(t *testing.T) {
	first, other := newFile(t), newFile(t)
	fill(t, openURL(t, other), 3)
	d := openURL(t, first)
	fill(t, d, 3)
	refused(t, first, newFile(t), "in use by process")
	must(t, d.Close())
	database := PostgresForTests.NewDatabase(t)
	served := PostgresForTests.NewDatabase(t)
	openURL(t, served)
	refused(t, first, served, "1 replicas serve it")
	openURL(t, served) // no mark is left in what was refused
	refused(t, first, other, "file already exists")
	refused(t, first, "sqlite:", "URL")
	refused(t, "mysql:x", first, "URL")
	refused(t, "sqlite:"+t.TempDir()+"/missing.db", database, "no such file")
	refused(t, first, first, "file already exists")
	refused(t, database, newFile(t), "holds no store")
	copied(t, first, database)
	refused(t, first, database, "it is not empty: client has rows")
	refused(t, database, first, "file already exists")

	d = openURL(t, first)
	tamper(t, d, `UPDATE schema_version SET version = version - 1`)
	must(t, d.Close())
	refused(t, first, newFile(t), "moneyer store migrate")
}

func refused(t *testing.T, from, to, want string) {
	t.Helper()
	if _, err := Copy(t.Context(), from, to, nil); err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%s to %s: %v, want %q", from, to, err, want)
	}
}

// TestCopyOfChangedSource resumes a copy after its source was changed.
func TestCopyOfChangedSource(t *testing.T) {
	for name, change := range map[string]func(*testing.T, *DB){
		"an entry": func(t *testing.T, d *DB) { must(t, d.Append(t.Context(), testEntry(9))) },
		"a time of last use": func(t *testing.T, d *DB) {
			d.Touch("d1", "client-0", "k", time.Now().Add(time.Minute))
			must(t, d.flush(t.Context(), 100))
		},
		"what was forgotten": func(t *testing.T, d *DB) {
			n, err := d.Forget(t.Context(), time.Now().Add(24*time.Hour))
			if must(t, err); n == 0 {
				t.Fatal("nothing was forgotten")
			}
		},
	} {
		for _, from := range []string{newFile(t), PostgresForTests.NewDatabase(t)} {
			t.Run(name+" in "+from[:6], func(t *testing.T) {
				d := openURL(t, from)
				fill(t, d, 5)
				must(t, d.Close())
				to := newFile(t)
				ctx, cancel := context.WithCancel(t.Context())
				if _, err := Copy(ctx, from, to, func(string, int64, int64) { cancel() }); err == nil {
					t.Fatal("not cut")
				}
				d = openURL(t, from)
				change(t, d)
				must(t, d.Close())
				refused(t, from, to, "before it changed")
			})
		}
	}
}

// TestCopyBrokenLedger is made, and says so.
func TestCopyBrokenLedger(t *testing.T) {
	first := newFile(t)
	d := openURL(t, first)
	fill(t, d, 5)
	tamper(t, d, `UPDATE ledger_batch SET marks = zeroblob(length(marks)) WHERE first_seq = 2`)
	must(t, d.Close())
	database := PostgresForTests.NewDatabase(t)
	for _, c := range [][2]string{{first, database}, {database, newFile(t)}} {
		report, err := Copy(t.Context(), c[0], c[1], nil)
		if err != nil || !strings.Contains(report.Broken, "entry 2 is broken") {
			t.Errorf("%+v, %v", report, err)
		}
		openURL(t, c[1])
	}
}

// TestBackupUnderLoad backs a database up while two replicas write it: what was used
// up has its entry, and the other way round.
func TestBackupUnderLoad(t *testing.T) {
	database := PostgresForTests.NewDatabase(t)
	replicas := []*DB{openURL(t, database), openURL(t, database)}
	fill(t, replicas[0], 10)
	must(t, replicas[1].Append(t.Context(), testEntry(10), testUse(10)))
	ctx, stop := context.WithCancel(t.Context())
	written := make(chan int, 1000)
	var all sync.WaitGroup
	for worker := range 8 {
		all.Go(func() {
			for i := worker + 100; ctx.Err() == nil; i += 8 {
				if err := replicas[worker%2].Append(t.Context(), testEntry(i), testUse(i)); err != nil {
					t.Error(err)
				}
				select {
				case written <- i:
				default:
				}
			}
		})
	}
	for range 3 {
		<-written
		path := filepath.Join(t.TempDir(), "backup.db")
		must(t, replicas[1].Backup(t.Context(), path))
		checkBackup(t, path)
	}
	stop()
	all.Wait()
}

func checkBackup(t *testing.T, path string) {
	t.Helper()
	entries, err := filepath.Glob(path + "*")
	if err != nil || len(entries) != 1 {
		t.Errorf("there are %v", entries)
	}
	checkMode(t, path)
	d := openURL(t, "sqlite:"+path)
	tokens := map[int]bool{}
	must(t, d.Entries(t.Context(), ledger.Query{Kind: ledger.KindToken}, func(r *ledger.Record) error {
		e, err := r.Entry()
		if err != nil {
			return err
		}
		var i int
		_, err = fmt.Sscanf(e.JTI, "jti-%d", &i)
		tokens[i] = true
		return err
	}))
	chains, err := history.Chains(t.Context(), d.reads)
	if err != nil || len(chains) != 2 {
		t.Errorf("%d chains, %v", len(chains), err)
	}
	must(t, d.Close())
	values := consumedAt(t, "sqlite:"+path)
	if len(values) != len(tokens) {
		t.Errorf("%d values are consumed for %d tokens", len(values), len(tokens))
	}
	for i := range tokens {
		u := testUse(i)
		if !values[engine.KeyOf(&u)] {
			t.Errorf("token %d has no consumed value", i)
		}
	}
}

// TestPruneWaitsForCopy: what a copy is about to read stays until it is over.
func TestPruneWaitsForCopy(t *testing.T) {
	database := PostgresForTests.NewDatabase(t)
	d := openURL(t, database)
	fill(t, d, 10)
	source, err := openSource(t.Context(), database)
	must(t, err)
	if n, err := d.Prune(t.Context(), time.Now().AddDate(1, 0, 0), 0, unsigned); n != 0 || err != nil {
		t.Errorf("%d entries were removed, %v", n, err)
	}
	must(t, source.Close())
	if n, err := d.Prune(t.Context(), time.Now().AddDate(1, 0, 0), 0, unsigned); n == 0 || err != nil {
		t.Errorf("%d entries were removed, %v", n, err)
	}
	copied(t, database, newFile(t))
}

// TestCopyHasAnotherRevision: a replica that remembers the database that was here
// before must not believe that nothing changed.
func TestCopyHasAnotherRevision(t *testing.T) {
	from, to := PostgresForTests.NewDatabase(t), PostgresForTests.NewDatabase(t)
	d := openURL(t, from)
	fill(t, d, 3)
	must(t, d.Close())
	copied(t, from, to)
	d = openURL(t, to)
	var revision, gone int64
	must(t, d.reads.Row(t.Context(), `SELECT revision, gone FROM registry_revision`, nil, []any{&revision, &gone}))
	if began := time.Now().Add(-time.Minute).UnixMicro(); gone != revision || revision < began {
		t.Errorf("revision %d, and changes up to %d are gone: want both to be an instant of now", revision, gone)
	}
}
