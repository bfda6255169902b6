package main

import (
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"testing"
	"time"

	"moneyer/cluster/load"
	"moneyer/cluster/local"
	"moneyer/internal/pgtest"
)

// TestReadOnly makes the database read-only: no token is issued without its entry, requests get 503
// with Retry-After, and tokens are issued again afterwards without intervention.
func TestReadOnly(t *testing.T) {
	s := sharedCluster(t)
	for range often(2, 10) {
		withoutLedger(t, s, func() error {
			return errors.Join(s.Primary.Exec(t.Context(), "ALTER SYSTEM SET default_transaction_read_only = on"),
				s.Primary.Exec(t.Context(), "SELECT pg_reload_conf()"))
		}, func() error {
			// The setting applies to this session, too, but does not affect ALTER SYSTEM.
			return errors.Join(s.Primary.Exec(t.Context(), "ALTER SYSTEM RESET default_transaction_read_only"),
				s.Primary.Exec(t.Context(), "SELECT pg_reload_conf()"))
		})
	}
}

// TestDiskFull fills the disk of the database, and frees it again.
func TestDiskFull(t *testing.T) {
	sharedCluster(t) // skips if the cluster cannot run
	folder, err := pgtest.NewFolder("", "moneyer-disk-")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if err := folder.Remove(); err != nil {
			t.Error(err)
		}
	})
	disk := filepath.Join(folder.Path, "disk")
	if err := errors.Join(os.Chmod(folder.Path, 0o711), os.Mkdir(disk, 0o711)); err != nil {
		t.Fatal(err)
	}
	if out, err := exec.Command("mount", "-t", "tmpfs", "-o", "size=160m,mode=0711", "moneyer-test", disk).CombinedOutput(); err != nil {
		t.Skipf("a separate disk to fill needs root: %v\n%s", err, out)
	}
	o := options(shared.binary)
	o.Replicas, o.Standbys = 1, -1
	o.Database = pgtest.Options{Dir: disk, Settings: map[string]string{
		"min_wal_size": "32MB", "max_wal_size": "48MB", "wal_keep_size": "0"}}
	s, err := local.Start(t.Context(), o)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("log of the replica:\n%s", s.Replicas[0].LogTail())
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	ballast := filepath.Join(disk, "ballast")
	for round := range often(2, 10) {
		withoutLedger(t, s, func() error {
			if err := fill(ballast); err != nil || round%2 == 0 {
				return err
			}
			return panicked(t, s.Primary)
		}, func() error {
			if err := os.Remove(ballast); err != nil {
				return err
			}
			// PostgreSQL may have stopped if it found no space to recover.
			eventually(t, 30*time.Second, s.Complete)
			return nil
		})
	}
}

// panicked makes PostgreSQL start new WAL segments until the disk is full, which makes it panic.
func panicked(t *testing.T, server *pgtest.Server) error {
	t.Helper()
	for range 20 {
		if err := server.Exec(t.Context(), "CREATE TABLE IF NOT EXISTS room (n int); SELECT pg_switch_wal()"); err != nil {
			t.Logf("PostgreSQL has no space for its WAL: %v", err)
			return nil
		}
		if err := server.Exec(t.Context(), "SELECT pg_logical_emit_message(true, 'room', repeat('x', 100000))"); err != nil {
			t.Logf("PostgreSQL has no space for its WAL: %v", err)
			return nil
		}
	}
	return errors.New("PostgreSQL continues without space for its WAL")
}

// fill writes a file until the disk is full.
func fill(path string) error {
	file, err := os.Create(path)
	if err != nil {
		return err
	}
	block := make([]byte, 1<<20)
	for err == nil {
		_, err = file.Write(block)
	}
	for block = block[:4096]; ; {
		if _, err = file.Write(block); err != nil {
			return file.Close()
		}
	}
}

// withoutLedger makes the ledger unavailable and available again.
func withoutLedger(t *testing.T, s *local.Cluster, take, give func() error) {
	t.Helper()
	c := caller(t, s)
	since := time.Now()
	run := c.Start(8, urls(s)...)
	if err := run.Await(t.Context(), load.Granted, 100); err != nil {
		t.Fatalf("%v; %s", err, tally(stopped(t, run)))
	}
	if err := take(); err != nil {
		t.Fatal(err)
	}
	taken := time.Now()
	err := run.Await(t.Context(), load.Later, 8)
	without := time.Since(taken)
	if err := errors.Join(err, give()); err != nil {
		t.Fatalf("%v; %s", err, tally(stopped(t, run)))
	}
	given := time.Now()
	for _, r := range s.Replicas {
		if err := grantedAt(t.Context(), run, r, given); err != nil {
			t.Fatalf("%v; %s", err, tally(stopped(t, run)))
		}
	}
	again := time.Since(given)
	records := stopped(t, run)
	t.Logf("8 answers 'later' after %v; tokens again after %v; %s", without, again, tally(records))
	if again > busy(2*time.Second) {
		t.Errorf("tokens again after %v", again)
	}
	inTime(t, records)
	for _, r := range records {
		for _, a := range r.Answers {
			if a.Kind == load.Lost {
				t.Errorf("no response: %+v", a)
			}
		}
	}
	checkLedger(t, s, since, records)
}
