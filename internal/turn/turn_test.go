package turn

import (
	"errors"
	"io"
	"os"
	"testing"
)

func TestTurnComes(t *testing.T) {
	came := make(chan struct{}, 10)
	turn, err := New(func() { came <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if err := turn.Ask(); err != nil {
			t.Fatal(err)
		}
		<-came
	}
	if len(came) != 0 {
		t.Errorf("it came %d times unasked", len(came))
	}
}

// TestClose: what was asked before still comes, what is asked later fails, and the
// reader gives its end of the pipe back.
func TestClose(t *testing.T) {
	came := make(chan struct{}, 10)
	turn, err := New(func() { came <- struct{}{} })
	if err != nil {
		t.Fatal(err)
	}
	if err := turn.Ask(); err != nil {
		t.Fatal(err)
	}
	if err := turn.Close(); err != nil {
		t.Fatal(err)
	}
	<-came
	if err := turn.Ask(); !errors.Is(err, os.ErrClosed) {
		t.Errorf("asked after Close: %v", err)
	}
	for {
		if _, err := turn.reader.Read(make([]byte, 1)); errors.Is(err, os.ErrClosed) {
			return
		} else if err != nil && !errors.Is(err, io.EOF) {
			t.Fatal(err)
		}
	}
}
