package store

import (
	"context"
	"errors"
	"testing"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/rowauth/rowauthtest"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
)

// scripted is a session whose commits and look-ups come out as a test says.
type scripted struct {
	commits, settles []func() (bool, error) // the next first; all others succeed
	committed        int                    // transactions that were sent
	left             bool
}

var errPassing, errLasting = errors.New("it passes"), errors.New("it does not pass")

func next(script *[]func() (bool, error)) (bool, error) {
	if len(*script) == 0 {
		return true, nil
	}
	step := (*script)[0]
	*script = (*script)[1:]
	return step()
}

func (s *scripted) Begin(t *engine.Tx) error {
	t.Head = ledger.Head{Seq: int64(s.committed)}
	return nil
}
func (s *scripted) Exec(string, ...any) (int64, error) { return 0, nil }
func (s *scripted) Later(judge func(int64) error, _ string, _ ...any) error {
	return judge(0)
}
func (s *scripted) Row(string, []any, []any) error { return nil }
func (s *scripted) List(string, []any, func(func(...any) error) error) error {
	return nil
}
func (s *scripted) Changing(*engine.Tx) error            { return nil }
func (s *scripted) Record(*engine.Tx, *engine.Row) error { return nil }
func (s *scripted) Commit(*engine.Tx) error {
	s.committed++
	_, err := next(&s.commits)
	return err
}
func (s *scripted) Rollback()                       {}
func (s *scripted) Settle(*engine.Tx) (bool, error) { return next(&s.settles) }
func (s *scripted) Passing(err error) bool {
	doubtful := (*engine.Doubt)(nil)
	return !errors.As(err, &doubtful) && (errors.Is(err, errPassing) || errors.Is(err, engine.ErrLost))
}
func (s *scripted) Leave() { s.left = true }

func out(committed bool, err error) func() (bool, error) {
	return func() (bool, error) { return committed, err }
}

func scriptedWriter(t *testing.T, s *scripted) *writer {
	return scriptedWith(t, s, func([]engine.Change) {})
}

func scriptedWith(t *testing.T, s *scripted, changed func([]engine.Change)) *writer {
	t.Helper()
	packer, err := history.NewPacker()
	if err != nil {
		t.Fatal(err)
	}
	options := Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now}
	if err := options.setDefaults(); err != nil {
		t.Fatal(err)
	}
	return newWriter(s, true, options, packer, changed)
}

// TestOutcome: who appends is told what took place: that it is recorded, that it is not,
// or that nobody knows, when it is not tried again.
func TestOutcome(t *testing.T) {
	doubt := out(false, &engine.Doubt{Cause: errPassing})
	for name, test := range map[string]struct {
		commits, settles []func() (bool, error)
		want             string
		committed        int
	}{
		"committed":                  {nil, nil, "", 1},
		"refused":                    {[]func() (bool, error){out(false, errLasting)}, nil, "it does not pass", 1},
		"refused for a moment":       {[]func() (bool, error){out(false, errPassing), out(false, errPassing)}, nil, "", 3},
		"in doubt, and it did":       {[]func() (bool, error){doubt}, []func() (bool, error){out(true, nil)}, "", 1},
		"in doubt, and it did not":   {[]func() (bool, error){doubt}, []func() (bool, error){out(false, nil)}, "", 2},
		"in doubt for long":          {[]func() (bool, error){doubt}, []func() (bool, error){out(false, errPassing), out(false, errPassing), out(true, nil)}, "", 1},
		"in doubt for ever":          {[]func() (bool, error){doubt}, []func() (bool, error){out(false, errLasting)}, "unknown", 1},
		"in doubt once more":         {[]func() (bool, error){doubt, doubt}, []func() (bool, error){out(false, nil), out(true, nil)}, "", 2},
		"in doubt, then unknown":     {[]func() (bool, error){doubt, doubt}, []func() (bool, error){out(false, nil), out(false, errLasting)}, "unknown", 2},
		"in doubt, then refused":     {[]func() (bool, error){doubt, out(false, errLasting)}, []func() (bool, error){out(false, nil)}, "it does not pass", 2},
		"in doubt, then in passing":  {[]func() (bool, error){doubt, out(false, errPassing)}, []func() (bool, error){out(false, nil)}, "", 3},
		"a doubt that says not that": {[]func() (bool, error){out(false, errors.Join(errPassing, &engine.Doubt{Cause: errPassing}))}, []func() (bool, error){out(true, nil)}, "", 1},
	} {
		t.Run(name, func(t *testing.T) {
			s := &scripted{commits: test.commits, settles: test.settles}
			w := scriptedWriter(t, s)
			err := w.append(t.Context(), engine.Line{Text: []byte("{}")}, nil)
			w.stop()
			if test.want == "" && err != nil {
				t.Error(err)
			} else if test.want != "" {
				wantError(t, err, test.want)
			}
			doubtful := (*engine.Doubt)(nil)
			if errors.As(err, &doubtful) != (test.want == "unknown") || s.committed != test.committed || !s.left {
				t.Errorf("%v after %d commits, want %d", err, s.committed, test.committed)
			}
		})
	}
}

// TestOutcomeWhenTheWriterStops: while nobody knows, and the store is closed, nobody is told
// that nothing was recorded; nor is a caller who goes meanwhile left without an answer,
// which would mean just that.
func TestOutcomeWhenTheWriterStops(t *testing.T) {
	for name, going := range map[string]bool{"the caller waits": false, "the caller goes": true} {
		t.Run(name, func(t *testing.T) {
			s := &scripted{}
			w := scriptedWriter(t, s)
			ctx, cancel := context.WithCancel(t.Context())
			defer cancel()
			s.commits = []func() (bool, error){out(false, &engine.Doubt{Cause: errPassing})}
			stopped, tries := make(chan struct{}), 0
			for range 100 {
				s.settles = append(s.settles, func() (bool, error) {
					if tries++; tries == 1 && going {
						cancel()
					} else if tries == 1 {
						go func() { w.stop(); close(stopped) }()
						<-w.quit
					}
					return false, errPassing
				})
			}
			a := &engine.Append{Line: engine.Line{Text: []byte("{}")}, Gone: ctx.Done(), Done: make(chan error, 1)}
			w.appends <- a
			if going {
				for range 2000 {
					if len(a.Done) > 0 {
						break
					}
					time.Sleep(time.Millisecond)
				}
				w.stop()
			} else {
				<-stopped
			}
			select {
			case err := <-a.Done:
				doubtful := (*engine.Doubt)(nil)
				if !going && !errors.As(err, &doubtful) || going && !errors.Is(err, context.Canceled) {
					t.Errorf("the caller is told: %v", err)
				}
			default:
				t.Error("the caller has no answer, and takes nothing for recorded")
			}
			if s.committed != 1 {
				t.Errorf("%d commits", s.committed)
			}
		})
	}
}

// TestStopCommitsWhatWaits, whichever the writer sees first.
func TestStopCommitsWhatWaits(t *testing.T) {
	for range 64 {
		s := &scripted{}
		w := scriptedWriter(t, s)
		resume := make(chan struct{})
		s.commits = []func() (bool, error){func() (bool, error) { <-resume; return true, nil }}
		appends := make([]*engine.Append, 3)
		for i := range appends {
			appends[i] = &engine.Append{Line: engine.Line{Text: []byte("{}")}, Done: make(chan error, 1)}
		}
		w.appends <- appends[0]
		for len(w.appends) > 0 {
			time.Sleep(time.Microsecond)
		}
		time.Sleep(100 * time.Microsecond) // until the first is on its way
		w.appends <- appends[1]
		w.appends <- appends[2]
		close(w.quit)
		close(resume)
		<-w.stopped
		for i, a := range appends {
			if len(a.Done) != 1 {
				t.Fatalf("append %d has no answer", i)
			}
		}
	}
}

// TestChangedIsForgotten: what a change that failed, or may have taken place, was about is
// forgotten in memory as well.
func TestChangedIsForgotten(t *testing.T) {
	for name, outcome := range map[string]error{"committed": nil, "failed": errLasting, "in doubt": &engine.Doubt{Cause: errLasting}} {
		s := &scripted{commits: []func() (bool, error){out(true, outcome)}, settles: []func() (bool, error){out(false, errLasting)}}
		forgotten := 0
		w := scriptedWith(t, s, func(changes []engine.Change) { forgotten += len(changes) })
		err := w.do(t.Context(), func(tx *tx) error {
			tx.changed(engine.ChangedClient, "d1", "bank")
			return nil
		})
		w.stop()
		if !errors.Is(err, outcome) && outcome != nil || forgotten != 1 {
			t.Errorf("%s: %v, and %d changes are forgotten", name, err, forgotten)
		}
	}
}
