package store

import (
	"bufio"
	"context"
	"encoding/binary"
	"errors"
	"flag"
	"fmt"
	"os"
	"os/exec"
	"os/signal"
	"path/filepath"
	"runtime"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/pgtest"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
)

var killRounds = flag.Int("kill-rounds", 3, "how often TestKill kills a store that is being written")

// childTask and childPath tell the test binary that it is to be a child.
const (
	childTask = "MONEYER_STORE_TEST_TASK"
	childPath = "MONEYER_STORE_TEST_PATH"
)

// PostgresForTests is the server of this package's tests.
var PostgresForTests pgtest.Shared

func TestMain(m *testing.M) {
	path := os.Getenv(childPath)
	switch os.Getenv(childTask) {
	case "append":
		exit(appendForEver(path))
	case "limit":
		exit(appendOnAFullDisk(path))
	case "sync":
		exit(pingWithoutSync(path))
	}
	code := m.Run()
	if err := PostgresForTests.Close(); err != nil {
		exit(err)
	}
	if leaked := leakedGoroutine(); code == 0 && leaked != "" {
		exit(fmt.Errorf("a goroutine outlives its store:\n%s", leaked))
	}
	os.Exit(code)
}

// leakedGoroutine returns the stack of a goroutine of this package, other than
// the one that calls it.
func leakedGoroutine() (leaked string) {
	for range 1000 { // what was told to end may need its turn
		buffer := make([]byte, 1<<20)
		stacks := strings.Split(string(buffer[:runtime.Stack(buffer, true)]), "\n\n")
		i := slices.IndexFunc(stacks[1:], func(s string) bool { return strings.Contains(s, "moneyer/internal/store") })
		if i < 0 {
			return ""
		}
		leaked = stacks[1+i]
		runtime.Gosched()
	}
	return leaked
}

func exit(err error) {
	if errors.Is(err, errUnsupported) {
		os.Exit(exitUnsupported)
	}
	if err != nil {
		fmt.Fprintln(os.Stderr, err)
		os.Exit(1)
	}
	os.Exit(0)
}

func child(t *testing.T, task, path string) *exec.Cmd {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), os.Args[0])
	cmd.Env = append(os.Environ(), childTask+"="+task, childPath+"="+path)
	cmd.Stderr = os.Stderr
	return cmd
}

// numbered is the n-th entry, with two values that are consumed with it.
func numbered(n int64) (*ledger.Entry, []ledger.Consumed) {
	consumed := []ledger.Consumed{{Until: clock()}, {Until: clock()}}
	for i := range consumed {
		binary.BigEndian.PutUint64(consumed[i].Value[:], uint64(n))
		consumed[i].Value[8] = byte(i)
	}
	e := testEntry(int(n))
	e.Time = clock()
	return e, consumed
}

// appendForEver prints the number of each assertion once its append is
// acknowledged. Each number is offered once, also by later children.
func appendForEver(path string) error {
	d, err := Open(context.Background(), "sqlite:"+path, Options{Create: true, RowKey: rowauthtest.Key(), Now: clock})
	if err != nil {
		return err
	}
	var mu sync.Mutex
	next, failed := int64(os.Getpid())<<32, make(chan error)
	for range 32 {
		go func() {
			for {
				mu.Lock()
				next++
				n := next
				mu.Unlock()
				e, consumed := numbered(n)
				if err := d.Append(context.Background(), e, consumed...); err != nil {
					failed <- err
					return
				}
				// One write: a line is whole, or the pipe is broken.
				fmt.Fprintf(os.Stdout, "%d\n", n)
			}
		}()
	}
	return <-failed
}

// TestKill kills a process that writes and looks for each entry that it had
// acknowledged.
func TestKill(t *testing.T) {
	path := filepath.Join(t.TempDir(), "moneyer.db")
	acknowledged := map[string]bool{}
	for round := range *killRounds {
		cmd := child(t, "append", path)
		out, err := cmd.StdoutPipe()
		if err != nil {
			t.Fatal(err)
		}
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		lines := bufio.NewScanner(out)
		for n := 0; lines.Scan(); n++ {
			acknowledged[lines.Text()] = true
			if n == 500+137*round {
				if err := cmd.Process.Kill(); err != nil {
					t.Fatal(err)
				}
			}
		}
		if err := cmd.Wait(); err == nil || !strings.Contains(err.Error(), "killed") {
			t.Fatalf("the child ended by itself: %v", err)
		}
		checkSurvivors(t, path, acknowledged)
	}
}

// checkSurvivors fails unless each acknowledged entry is recorded and its values are consumed.
func checkSurvivors(t *testing.T, path string, acknowledged map[string]bool) {
	t.Helper()
	d := openTest(t, path, Options{})
	found := map[string]bool{}
	err := d.Entries(t.Context(), ledger.Query{}, func(r *ledger.Record) error {
		e, err := r.Entry()
		if err == nil {
			found[strings.TrimPrefix(e.JTI, "jti-")] = true
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	verified(t, d, int64(len(found)))
	if err := d.Close(); err != nil {
		t.Fatal(err)
	}
	values := consumedAt(t, "sqlite:"+path)
	for text := range acknowledged {
		if !found[text] {
			t.Errorf("entry %s was acknowledged and is lost", text)
		}
		n, err := strconv.ParseInt(text, 10, 64)
		if err != nil {
			t.Fatal(err)
		}
		_, consumed := numbered(n)
		for i := range consumed {
			if !values[engine.KeyOf(&consumed[i])] {
				t.Errorf("entry %s was acknowledged and its value %d is not consumed", text, i)
			}
		}
	}
	if len(values) != 2*len(found) {
		t.Errorf("%d values are consumed for %d entries", len(values), len(found))
	}
}

// consumedAt returns what is remembered as consumed when the store at url is opened,
// which nobody has open.
func consumedAt(t *testing.T, url string) map[engine.Key]bool {
	t.Helper()
	source, err := openSource(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer func() { _ = source.Close() }()
	values := map[engine.Key]bool{}
	err = source.EachUsed(t.Context(), func(key engine.Key, _ int64, _ []byte) error {
		values[key] = true
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	return values
}

// useKey is ledger.Consumed.Value.
type useKey = [32]byte

func TestFullDisk(t *testing.T) {
	if out, err := child(t, "limit", filepath.Join(t.TempDir(), "moneyer.db")).Output(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// appendOnAFullDisk fills a store until its files may not grow, and goes on when
// they may again.
func appendOnAFullDisk(path string) error {
	signal.Ignore(syscall.SIGXFSZ)
	seconds := atomic.Int64{} // a second passes each time, so that Ping always tries
	now := func() time.Time { return clock().Add(time.Duration(seconds.Add(1)) * time.Second) }
	d, err := Open(context.Background(), "sqlite:"+path, Options{Create: true, RowKey: rowauthtest.Key(), Now: now})
	if err != nil {
		return err
	}
	var limit syscall.Rlimit
	if err := syscall.Getrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
		return err
	}
	n := int64(0)
	for _, size := range []uint64{150_000, 300_000, 301_000} {
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &syscall.Rlimit{Cur: size, Max: limit.Max}); err != nil {
			return err
		}
		for {
			e, consumed := numbered(n)
			if err := d.Append(context.Background(), e, consumed...); err != nil {
				break
			}
			n++
		}
		for range 3 { // each with a trial, as a second has passed
			if err := d.Ping(context.Background()); err == nil {
				return fmt.Errorf("the disk is full after %d entries, and the store says that it can be written", n)
			}
		}
		if err := syscall.Setrlimit(syscall.RLIMIT_FSIZE, &limit); err != nil {
			return err
		}
		if err := d.Ping(context.Background()); err != nil {
			return fmt.Errorf("the disk is free again after %d entries: %w", n, err)
		}
		e, consumed := numbered(n)
		if err := d.Append(context.Background(), e, consumed...); err != nil {
			return fmt.Errorf("entry %d, which was refused before: %w", n, err)
		}
		n++
	}
	report, err := d.Verify(context.Background(), nil)
	if err != nil || report.Broken != 0 || report.Last != n {
		return fmt.Errorf("%d entries: %+v, %w", n, report, err)
	}
	return d.Close()
}
