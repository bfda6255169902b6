package main

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"moneyer/assertion"
	"moneyer/cluster/load"
	"moneyer/cluster/stand"
	"moneyer/internal/pgtest"
)

var long = flag.Bool("long", false, "break the cluster as often as `make test-cluster` does")

var binary = flag.String("moneyer", "", "the command to run instead of one built from here")

// often is how many times something is done: in the short run and in the long one.
func often(short, many int) int {
	if *long {
		return many
	}
	return short
}

const (
	// deadline is limits.request_timeout.
	deadline = 2 * time.Second
	// clientTimeout is how long the callers of tests wait: so long that it tells of a
	// request that hangs.
	clientTimeout = 20 * time.Second
)

// busy is what a busy machine may add to a time that is promised. The short run shares
// two processors with all other tests and the race detector, and shows that nothing
// hangs; the long run holds to the promise.
func busy(promised time.Duration) time.Duration {
	if *long {
		return promised + 750*time.Millisecond
	}
	return promised + 8*time.Second
}

// shared is the cluster that most tests use one after the other: to bring one up
// takes seconds.
var shared struct {
	once   sync.Once
	folder *pgtest.Folder
	binary string
	stand  *stand.Stand
	err    error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if shared.stand != nil {
		if err := shared.stand.Close(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	if shared.folder != nil {
		if err := shared.folder.Remove(); err != nil {
			fmt.Fprintln(os.Stderr, err)
			code = 1
		}
	}
	os.Exit(code)
}

// options are those of the clusters of tests: nobody is held to a rate, and a drain
// takes no longer than HAProxy needs to notice.
func options(binary string) stand.Options {
	return stand.Options{Binary: binary, Faults: true, Config: `
[limits]
client_rate = -1
address_rate = -1
drain_delay = "800ms"
`}
}

func bringUp() {
	if shared.folder, shared.err = pgtest.NewFolder("", "moneyer-cluster-test-"); shared.err != nil {
		return
	}
	shared.binary = *binary
	if *binary == "" {
		shared.binary, shared.err = build(shared.folder.Path)
	}
	if shared.err == nil {
		shared.stand, shared.err = stand.Start(context.Background(), options(shared.binary))
	}
}

func build(folder string) (string, error) {
	path := filepath.Join(folder, "moneyer")
	if out, err := exec.Command("go", "build", "-C", "..", "-o", path, "./cmd/moneyer").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build moneyer: %w\n%s", err, out)
	}
	return path, nil
}

// world returns the shared cluster, whole. What a test broke it need not mend.
func world(t *testing.T) *stand.Stand {
	t.Helper()
	if testing.Short() {
		t.Skip("-short")
	}
	shared.once.Do(bringUp)
	if errors.Is(shared.err, pgtest.ErrMissing) || errors.Is(shared.err, stand.ErrNoHAProxy) {
		if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
			t.Fatal(shared.err)
		}
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	s := shared.stand
	if err := s.Complete(t.Context()); err != nil {
		t.Fatalf("the cluster is not whole: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, r := range s.Replicas {
				t.Logf("%s said:\n%s", r.Name, r.Said())
			}
		}
	})
	return s
}

// caller returns the registered client.
func caller(t *testing.T, s *stand.Stand) *load.Client {
	t.Helper()
	key, err := assertion.LoadKey(s.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := assertion.NewSigner(key, "", stand.Kid, "")
	if err != nil {
		t.Fatal(err)
	}
	c := &load.Client{Issuer: s.IssuerURL(), ID: stand.Client, Signer: signer, HTTP: load.NewHTTP(clientTimeout)}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

// urls are the issuer's on each replica.
func urls(s *stand.Stand) (list []string) {
	for _, r := range s.Replicas {
		list = append(list, r.IssuerURL())
	}
	return list
}

func administrator(t *testing.T, s *stand.Stand, through *stand.Replica) *stand.Admin {
	t.Helper()
	a, err := s.Admin(through)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// eventually asks until there is no error, for at most so long.
func eventually(t *testing.T, most time.Duration, ask func(context.Context) error) time.Duration {
	t.Helper()
	began := time.Now()
	ctx, cancel := context.WithTimeout(t.Context(), most)
	defer cancel()
	again := time.NewTicker(10 * time.Millisecond)
	defer again.Stop()
	for {
		err := ask(ctx)
		if err == nil {
			return time.Since(began)
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			t.Fatalf("still not so after %v: %v", most, err)
		}
	}
}

func atMost(n, most int) error {
	if n > most {
		return fmt.Errorf("%d, want at most %d", n, most)
	}
	return nil
}

// kidOf is the kid of a token's header, whose signature is not looked at.
func kidOf(token string) (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		return "", err
	}
	var header struct{ Kid string }
	return header.Kid, json.Unmarshal(text, &header)
}

// pause lets the load go on for a while: what is tested is how long something holds.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// stopped ends a run and fails the test by what it could not do.
func stopped(t *testing.T, r *load.Run) []load.Record {
	t.Helper()
	records, err := r.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// tally counts the answers by kind and what was told.
func tally(records []load.Record) string {
	counts := map[string]int{}
	for _, r := range records {
		for try, a := range r.Answers {
			text := string(a.Kind)
			if a.Kind != load.Granted {
				text = fmt.Sprintf("%s at try %d (%d %.80s)", a.Kind, try+1, a.Status, a.Told)
			}
			counts[text]++
		}
	}
	var lines []string
	for text, n := range counts {
		lines = append(lines, fmt.Sprintf("%d %s", n, text))
	}
	slices.Sort(lines)
	return strings.Join(lines, "; ")
}

// harmed tells whether a caller whom no fault should reach got something else than a
// token. A machine that is too busy to read requests in time turns some away unread,
// and grants them when they come again: that is no fault of what is tested.
func harmed(r *load.Record) bool {
	first, last := r.Answers[0], r.Answers[len(r.Answers)-1]
	turnedAway := first.Kind == load.Later && strings.Contains(first.Told, "too many requests at once")
	return first.Kind != load.Granted && (!turnedAway || last.Kind != load.Granted)
}

// inTime fails the test by each answer that came after the deadline of a request.
func inTime(t *testing.T, records []load.Record) {
	t.Helper()
	for _, r := range records {
		for _, a := range r.Answers {
			if a.Took > busy(deadline) {
				a.Token = ""
				t.Errorf("%s: late: %+v", r.Correlation, a)
			}
		}
	}
}

// checkLedger holds the records, which began at an instant, against the ledger: each
// token that was handed out is in it, no assertion bought two, and none was called
// used at its first try, or without a token to its name.
func checkLedger(t *testing.T, s *stand.Stand, since time.Time, records []load.Record) {
	t.Helper()
	var recorded, minted map[string]int
	a := administrator(t, s, nil)
	eventually(t, 10*time.Second, func(ctx context.Context) error { // a reader may have lost its connection
		recorded, minted = map[string]int{}, map[string]int{}
		return a.Tokens(ctx, since.Add(-2*time.Second), func(e stand.Entry) {
			recorded[e.JTI]++
			minted[e.Correlation]++
		})
	})
	for i := range records {
		if fault := judgeRecord(&records[i], recorded, minted[records[i].Correlation]); fault != "" {
			t.Errorf("%s: %s: %+v", records[i].Correlation, fault, records[i].Answers)
		}
	}
}

func judgeRecord(r *load.Record, recorded map[string]int, minted int) string {
	granted := 0
	for try, a := range r.Answers {
		switch a.Kind {
		case load.Granted:
			if granted++; recorded[a.JTI] != 1 {
				return fmt.Sprintf("token %s is %d times in the ledger", a.JTI, recorded[a.JTI])
			}
		case load.Refused:
			if try == 0 {
				return "refused at its first try"
			}
			if minted == 0 {
				return "called used, and no token is in the ledger"
			}
		case load.Wrong:
			return "a wrong answer"
		}
	}
	if granted > 1 || minted > 1 {
		return fmt.Sprintf("%d tokens handed out, %d in the ledger", granted, minted)
	}
	return ""
}

// verifyLedger follows all chains of the ledger.
func verifyLedger(t *testing.T, s *stand.Stand) {
	t.Helper()
	var v struct {
		Whole bool   `json:"whole"`
		How   string `json:"how"`
	}
	if err := administrator(t, s, nil).Call(t.Context(), http.MethodGet, "/ledger/verify", nil, &v); err != nil {
		t.Fatal(err)
	}
	if !v.Whole {
		t.Errorf("the ledger is broken: %s", v.How)
	}
}

// TestJudgeRecord shows that what the ledger is held against can fail.
func TestJudgeRecord(t *testing.T) {
	answers := func(kinds ...load.Kind) *load.Record {
		r := &load.Record{}
		for n, k := range kinds {
			r.Answers = append(r.Answers, load.Answer{Kind: k, JTI: fmt.Sprint("jti", n)})
		}
		return r
	}
	ledger := map[string]int{"jti0": 1, "jti1": 1}
	for _, c := range []struct {
		record *load.Record
		ledger map[string]int
		minted int
		good   bool
	}{
		{answers(load.Granted), ledger, 1, true},
		{answers(load.Granted), nil, 0, false},
		{answers(load.Granted, load.Granted), ledger, 2, false},
		{answers(load.Lost, load.Granted), ledger, 2, false},
		{answers(load.Lost, load.Granted), ledger, 1, true},
		{answers(load.Lost, load.Refused), ledger, 1, true},
		{answers(load.Later, load.Refused), ledger, 0, false},
		{answers(load.Refused), ledger, 1, false},
		{answers(load.Wrong), ledger, 0, false},
		{answers(load.Lost, load.Lost), ledger, 0, true},
	} {
		if fault := judgeRecord(c.record, c.ledger, c.minted); (fault == "") != c.good {
			t.Errorf("%+v with %d tokens in the ledger: %q", c.record.Answers, c.minted, fault)
		}
	}
}
