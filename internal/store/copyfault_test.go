package store

import (
	"context"
	"errors"
	"slices"
	"strings"
	"testing"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// lossy is a target that loses the last row of one table, or a consumed value, or the
// connection once the consumed values are written.
type lossy struct {
	transfer.Target
	table            string
	loseUsed, cutOff bool
	lost             *engine.Key // the first that was put
}

var errCutOff = errors.New("the connection was cut")

func (l *lossy) Put(ctx context.Context, r *transfer.Rows) error {
	if r.Table.Name == l.table {
		r.N--
		for i := range r.Columns {
			v := &r.Columns[i]
			v.Texts, v.Numbers, v.Bytes = v.Texts[:min(len(v.Texts), r.N)], v.Numbers[:min(len(v.Numbers), r.N)], v.Bytes[:min(len(v.Bytes), r.N)]
		}
	}
	return l.Target.Put(ctx, r)
}

func (l *lossy) PutUsed(ctx context.Context, key engine.Key, until int64, sealed []byte) error {
	if l.lost == nil {
		l.lost = &key
	}
	if l.loseUsed && *l.lost == key { // a file visits some twice
		return nil
	}
	return l.Target.PutUsed(ctx, key, until, sealed)
}

func (l *lossy) FlushUsed(ctx context.Context) error {
	if err := l.Target.FlushUsed(ctx); err != nil || !l.cutOff {
		return err
	}
	return errCutOff
}

// elsewhere is a source that says to end elsewhere.
type elsewhere struct{ transfer.Source }

func (e elsewhere) Point() *transfer.Point {
	p := *e.Source.Point()
	p.Heads = slices.Clone(p.Heads)
	p.Heads[0].Hash = ledger.Hash{1}
	return &p
}

// TestCopyThatLosesRows is not taken for whole.
func TestCopyThatLosesRows(t *testing.T) {
	t.Parallel()
	first := newFile(t)
	d := openURL(t, first)
	fill(t, d, 20)
	must(t, d.Close())
	for name, test := range map[string]struct {
		target    lossy
		elsewhere bool
		want      string
	}{
		"a client's API keys": {lossy{table: "client_digest"}, false, "rows of client_digest"},
		"a time of last use":  {lossy{table: "last_used"}, false, "rows of last_used"},
		"an entry":            {lossy{table: "ledger_batch"}, false, "rows of ledger_batch"},
		"a consumed value":    {lossy{loseUsed: true}, false, "rows of use_up"},
		"the connection":      {lossy{cutOff: true}, false, errCutOff.Error()},
		"nothing":             {lossy{}, false, ""},
		"the end":             {lossy{}, true, "do not lead to its end"},
	} {
		for _, to := range []string{newFile(t), PostgresForTests.NewDatabase(t)} {
			t.Run(name+" in "+to[:6], func(t *testing.T) {
				try := func(lossy lossy) (string, error) {
					source, err := openSource(t.Context(), first)
					must(t, err)
					defer func() { must(t, source.Close()) }()
					target, err := openTarget(t.Context(), to)
					must(t, err)
					defer func() { must(t, target.Close(t.Context())) }()
					lossy.Target = target
					if test.elsewhere {
						source = elsewhere{source}
					}
					report, err := transfer.Copy(t.Context(), source, &lossy, transfer.Options{})
					return report.Broken, err
				}
				broken, err := try(test.target)
				switch {
				case test.elsewhere && err == nil && strings.Contains(broken, test.want):
					return
				case test.want == "":
					must(t, err)
					return
				case test.elsewhere:
					t.Fatalf("%q, %v", broken, err)
				}
				wantError(t, err, test.want)
				if _, err := Open(t.Context(), to, Options{Create: true, RowKey: rowauthtest.Key(), Now: clock}); !errors.Is(err, engine.ErrUnfinished) {
					t.Errorf("it is opened: %v", err)
				}
				if test.target.cutOff {
					if broken, err := try(lossy{}); err != nil || broken != "" {
						t.Errorf("gone on with: %q, %v", broken, err)
					}
				}
			})
		}
	}
}
