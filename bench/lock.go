package main

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"syscall"
	"time"

	"moneyer/bench/trial"
)

// lockMachine waits until no other benchmark runs on this machine, since they would disturb each
// other. The lock is released when the process ends.
func lockMachine(ctx context.Context, progress *trial.Progress) (end func() error, err error) {
	file, err := os.OpenFile(filepath.Join(os.TempDir(), "moneyer-bench.lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, err
	}
	for told := false; ; told = true {
		err := syscall.Flock(int(file.Fd()), syscall.LOCK_EX|syscall.LOCK_NB)
		if err == nil {
			return file.Close, nil
		}
		if !errors.Is(err, syscall.EWOULDBLOCK) {
			return nil, errors.Join(err, file.Close())
		}
		if !told {
			progress.Say("another benchmark runs on this machine: waiting for its end")
		}
		select {
		case <-ctx.Done():
			return nil, errors.Join(ctx.Err(), file.Close())
		case <-time.After(time.Second):
		}
	}
}
