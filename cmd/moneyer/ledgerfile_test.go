package main

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
	"moneyer/internal/ledger/ledgertest"
)

func TestVerifyExportOfSeveralChains(t *testing.T) {
	l := ledgertest.New(t)
	verify := func(text string) (file, pipe adminapi.Verified, pipeErr error) {
		name := filepath.Join(t.TempDir(), "ledger.ndjson")
		if err := os.WriteFile(name, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		o := &onboarding{app: &app{}}
		file, err := o.verifyFile(t.Context(), name, l.Key, nil)
		if err != nil {
			t.Fatal(err)
		}
		o.in = strings.NewReader(text)
		pipe, err = o.verifyFile(t.Context(), "-", l.Key, nil)
		return file, pipe, err
	}
	whole, pipe, err := verify(l.Export(0, 2, 5))
	if err != nil || !whole.Whole || len(whole.Chains) != 3 || whole.Checkpoints != 4 || whole.CheckpointKey != adminapi.ShowCheckpointKey(l.Key) || !pipe.Whole {
		t.Errorf("%+v, %+v, %v", whole, pipe, err)
	}
	broken, pipe, err := verify(l.Export(0, 5))
	if err != nil || broken.Whole || ledger.ShowSeq(broken.Broken) != "2-1" || !strings.Contains(broken.How, "whole chain is missing") || pipe.How != broken.How {
		t.Errorf("%+v, %+v, %v", broken, pipe, err)
	}
	l.Every = time.Millisecond
	l.Tokens(t, 0, 1000)
	l.Checkpoint(t, 5, l.At(0, 8))
	far, _, err := verify(l.Export(0, 2, 5))
	var f *failure
	if !far.Whole || !errors.As(err, &f) || f.code != exitUsage || !strings.Contains(err.Error(), "as a file") {
		t.Errorf("%+v; from standard input: %v", far, err)
	}
}

func TestNewestOfSeveralChains(t *testing.T) {
	l := &ledgertest.Ledger{Chains: map[int64][]ledger.Record{}}
	for i := range 30 {
		chain := int64(i%3) * 4
		l.Append(t, chain, &ledger.Entry{Kind: ledger.KindToken, Time: time.Unix(int64(1e9+i), 0), JTI: fmt.Sprint(i)})
	}
	var newest newestEntries
	newest.limit = 4
	if err := adminapi.EachLine(strings.NewReader(l.Export(0, 4, 8)), newest.line); err != nil {
		t.Fatal(err)
	}
	got := ""
	for _, d := range newest.sorted() {
		got += ledger.ShowSeq(d.record.Seq) + " " + d.entry.JTI + "; "
	}
	if got != "8-9 26; 10 27; 4-10 28; 8-10 29; " {
		t.Errorf("the newest are %s", got)
	}
}
