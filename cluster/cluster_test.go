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
	"moneyer/cluster/local"
	"moneyer/internal/pgtest"
)

var long = flag.Bool("long", false, "run as many rounds as `make test-cluster`")

var binary = flag.String("moneyer", "", "the moneyer binary to run instead of building one")

// often returns how many times something is done, in the short and in the long run.
func often(short, many int) int {
	if *long {
		return many
	}
	return short
}

const (
	// deadline is limits.request_timeout.
	deadline = 2 * time.Second
	// clientTimeout is the timeout of the tests' callers, long enough to recognize a hanging
	// request.
	clientTimeout = 20 * time.Second
)

// busy relaxes a promised time on a busy machine. The short run shares two processors with all
// other tests and the race detector, and only checks that nothing hangs; the long run checks the
// promise.
func busy(promised time.Duration) time.Duration {
	if *long {
		return promised + 750*time.Millisecond
	}
	return promised + 8*time.Second
}

// shared is the cluster that most tests use one after the other, since starting one takes seconds.
var shared struct {
	once    sync.Once
	folder  *pgtest.Folder
	binary  string
	cluster *local.Cluster
	err     error
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if shared.cluster != nil {
		if err := shared.cluster.Close(); err != nil {
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

// options are the options of the tests' clusters: without rate limits, and with a drain delay that
// is just long enough for HAProxy.
func options(binary string) local.Options {
	return local.Options{Binary: binary, Faults: true, Config: `
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
		shared.cluster, shared.err = local.Start(context.Background(), options(shared.binary))
	}
}

func build(folder string) (string, error) {
	path := filepath.Join(folder, "moneyer")
	if out, err := exec.Command("go", "build", "-C", "..", "-o", path, "./cmd/moneyer").CombinedOutput(); err != nil {
		return "", fmt.Errorf("build moneyer: %w\n%s", err, out)
	}
	return path, nil
}

// sharedCluster returns the shared cluster, complete. Tests need not repair what they break.
func sharedCluster(t *testing.T) *local.Cluster {
	t.Helper()
	if testing.Short() {
		t.Skip("-short")
	}
	shared.once.Do(bringUp)
	if errors.Is(shared.err, pgtest.ErrMissing) || errors.Is(shared.err, local.ErrNoHAProxy) {
		if os.Getenv("MONEYER_REQUIRE_ALL") == "1" {
			t.Fatal(shared.err)
		}
		t.Skip(shared.err)
	}
	if shared.err != nil {
		t.Fatal(shared.err)
	}
	s := shared.cluster
	if err := s.Complete(t.Context()); err != nil {
		t.Fatalf("the cluster is not complete: %v", err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			for _, r := range s.Replicas {
				t.Logf("log of %s:\n%s", r.Name, r.LogTail())
			}
		}
	})
	return s
}

// caller returns the registered client.
func caller(t *testing.T, s *local.Cluster) *load.Client {
	t.Helper()
	key, err := assertion.LoadKey(s.KeyFile())
	if err != nil {
		t.Fatal(err)
	}
	signer, err := assertion.NewSigner(key, "", local.Kid, "")
	if err != nil {
		t.Fatal(err)
	}
	c := &load.Client{Issuer: s.IssuerURL(), ID: local.Client, Signer: signer, HTTP: load.NewHTTP(clientTimeout)}
	t.Cleanup(c.HTTP.CloseIdleConnections)
	return c
}

// urls returns the issuer's URL on each replica.
func urls(s *local.Cluster) (list []string) {
	for _, r := range s.Replicas {
		list = append(list, r.IssuerURL())
	}
	return list
}

func administrator(t *testing.T, s *local.Cluster, through *local.Replica) *local.Admin {
	t.Helper()
	a, err := s.Admin(through)
	if err != nil {
		t.Fatal(err)
	}
	return a
}

// eventually polls until there is no error, at most for a time.
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
			t.Fatalf("timeout after %v: %v", most, err)
		}
	}
}

func atMost(n, most int) error {
	if n > most {
		return fmt.Errorf("%d, want at most %d", n, most)
	}
	return nil
}

// kidOf returns the kid of a token without verifying it.
func kidOf(token string) (string, error) {
	text, err := base64.RawURLEncoding.DecodeString(strings.Split(token, ".")[0])
	if err != nil {
		return "", err
	}
	var header struct{ Kid string }
	return header.Kid, json.Unmarshal(text, &header)
}

// pause lets the load continue for a while: the test is about how long something lasts.
func pause(t *testing.T, d time.Duration) {
	t.Helper()
	select {
	case <-time.After(d):
	case <-t.Context().Done():
	}
}

// stopped ends a run and fails the test on its errors.
func stopped(t *testing.T, r *load.Run) []load.Record {
	t.Helper()
	records, err := r.Stop()
	if err != nil {
		t.Fatal(err)
	}
	return records
}

// tally counts the answers by kind and text.
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

// harmed reports whether a caller that no fault should affect got anything but a token. A machine
// that is too busy sheds some requests before reading them, and grants their retries: that is not a
// failure.
func harmed(r *load.Record) bool {
	first, last := r.Answers[0], r.Answers[len(r.Answers)-1]
	turnedAway := first.Kind == load.Later && strings.Contains(first.Told, "too many requests at once")
	return first.Kind != load.Granted && (!turnedAway || last.Kind != load.Granted)
}

// inTime fails the test for each answer after the deadline of a request.
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

// checkLedger compares the records since then with the ledger: each issued token is in it, no
// assertion got two, and none was refused as replayed at its first use, or without a token in the
// ledger.
func checkLedger(t *testing.T, s *local.Cluster, since time.Time, records []load.Record) {
	t.Helper()
	var recorded, minted map[string]int
	a := administrator(t, s, nil)
	eventually(t, 10*time.Second, func(ctx context.Context) error { // a reader may have lost its connection
		recorded, minted = map[string]int{}, map[string]int{}
		return a.Tokens(ctx, since.Add(-2*time.Second), func(e local.Entry) {
			recorded[e.JTI]++
			minted[e.Correlation]++
		})
	})
	for i := range records {
		if fault := checkRecord(&records[i], recorded, minted[records[i].Correlation]); fault != "" {
			t.Errorf("%s: %s: %+v", records[i].Correlation, fault, records[i].Answers)
		}
	}
}

func checkRecord(r *load.Record, recorded map[string]int, minted int) string {
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
				return "refused as replayed, but no token is in the ledger"
			}
		case load.Wrong:
			return "a wrong answer"
		}
	}
	if granted > 1 || minted > 1 {
		return fmt.Sprintf("%d tokens issued, %d in the ledger", granted, minted)
	}
	return ""
}

// verifyLedger verifies all chains of the ledger.
func verifyLedger(t *testing.T, s *local.Cluster) {
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

// TestCheckRecord: each rule detects a violation.
func TestCheckRecord(t *testing.T) {
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
		if fault := checkRecord(c.record, c.ledger, c.minted); (fault == "") != c.good {
			t.Errorf("%+v with %d tokens in the ledger: %q", c.record.Answers, c.minted, fault)
		}
	}
}
