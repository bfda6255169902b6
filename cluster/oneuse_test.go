package main

import (
	"sync"
	"testing"
	"time"

	"moneyer/cluster/load"
)

// TestOneUse sends each assertion 64 times concurrently to all replicas: exactly one request is
// granted, all others are refused.
func TestOneUse(t *testing.T) {
	const copies = 64
	s := sharedCluster(t)
	c := caller(t, s)
	targets := urls(s)
	began := time.Now()
	assertions := often(100, 10_000)
	var records []load.Record
	for range assertions {
		a, err := c.Attempt()
		if err != nil {
			t.Fatal(err)
		}
		answers := make([]load.Answer, copies)
		var all sync.WaitGroup
		for n := range answers {
			all.Go(func() { answers[n] = c.Send(t.Context(), targets[n%len(targets)], a) })
		}
		all.Wait()
		records = append(records, load.Record{Attempt: a, Answers: winner(t, answers)})
		if t.Failed() {
			break
		}
	}
	checkLedger(t, s, began, records)
	t.Logf("%d assertions, %d times each: one token each, in %v", assertions, copies, time.Since(began).Round(time.Millisecond))
}

// winner checks the answers for one assertion and returns the granted ones.
func winner(t *testing.T, answers []load.Answer) (granted []load.Answer) {
	t.Helper()
	for _, a := range answers {
		switch {
		case a.Kind == load.Granted:
			granted = append(granted, a)
		case a.Kind != load.Refused || a.Status != 400:
			t.Errorf("an answer that is neither a token nor a refusal: %+v", a)
		}
	}
	if len(granted) != 1 {
		t.Errorf("%d of %d copies of an assertion were granted", len(granted), len(answers))
	}
	return granted
}
