package store

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/postgres"
	"moneyer/internal/store/sqlite"
)

// Guard describes how a store that went back is noticed: one that no longer has what was
// acknowledged, because its WAL was removed, or an older file was put back. Assertions that
// were consumed meanwhile would be accepted again.
type Guard struct {
	// Key authenticates the note of the ledger's head beside a file.
	Key []byte
	// Horizon is how far ahead the end of an accepted assertion may be, with its leeway.
	Horizon time.Duration
	// Noted, if not nil, is called with the outcome of each attempt to note the head, and
	// Refused with that of refusing assertions after a running database went back.
	Noted, Refused func(error)
}

const (
	// noteInterval is how often the head is noted, if it moved.
	noteInterval = time.Second
	// noteSlack is how long entries may be recorded after the last note: noteInterval, and
	// the time that a slow disk takes.
	noteSlack = time.Minute
)

// The reasons why [DB.Distrusted] says that a store is not to be served. An operator may
// accept it by [DB.Accept].
var (
	ErrAhead    = errors.New("the newest entry of the ledger is ahead of the clock: see `moneyer store check`")
	ErrNote     = errors.New("the note beside the store is not this store's: see `moneyer store accept`")
	ErrNotNoted = errors.New("the head of the ledger cannot be noted beside the store")
)

// guarded is the state of a guarded store.
type guarded struct {
	file *sqlite.File // nil for a database
	// spawn runs a function in a goroutine until Close.
	spawn func(func(context.Context))

	// guard, standing and foreign are set once, by Guard or Accept. foreign means that the note is another
	// store's, or forged: it is left as it is.
	guard    Guard
	standing atomic.Pointer[engine.Standing]
	foreign  atomic.Bool
	failing  atomic.Bool // whether the last note could not be written

	mu    sync.Mutex   // guards noted
	noted *ledger.Head // by this process
}

// doubts is what is wrong with a store.
type doubts struct {
	engine.Standing
	found engine.Findings
	// until is the time up to which consumed values may be missing for a reason that is not
	// yet recorded in the store, zero if there is none; reason says which.
	until  time.Time
	reason string
	// foreign means that the note is another store's, or forged.
	foreign bool
}

// Guard compares the store with the clock and, if it is a file, with the note of the head
// beside it, and returns what is wrong. If consumed assertions may be missing, it makes all
// of that time refused, and records that. From then on it notes the head within a second,
// and at Close. It is called once, when the master key is known to be that of the store.
func (d *DB) Guard(ctx context.Context, g Guard) ([]Finding, error) {
	now := d.now()
	found, err := d.doubts(ctx, &g, now)
	if err != nil {
		return nil, err
	}
	if !found.until.IsZero() {
		if err := d.distrust(ctx, found, now); err != nil {
			return nil, err
		}
	}
	d.guarded.guard = g
	d.guarded.standing.Store(&found.Standing)
	d.guarded.foreign.Store(found.foreign)
	if err := d.noteHead(ctx); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrNotNoted, err)
	}
	d.guarded.spawn(d.watch)
	return notGood(found.found), nil
}

// Doubts returns what is wrong with a store, as Guard does, and changes nothing.
func (d *DB) Doubts(ctx context.Context, g Guard) ([]Finding, error) {
	found, err := d.doubts(ctx, &g, d.now())
	if err != nil {
		return nil, err
	}
	return notGood(found.found), nil
}

func notGood(found []Finding) []Finding {
	var list []Finding
	for _, f := range found {
		if f.Level != Good {
			list = append(list, f)
		}
	}
	return list
}

// standing reads what the store records of its own past.
func (d *DB) standing(ctx context.Context) (engine.Standing, error) {
	return engine.ReadStanding(func(query string, dest ...any) error { return d.reads.Row(ctx, query, nil, dest) })
}

func (d *DB) doubts(ctx context.Context, g *Guard, now time.Time) (*doubts, error) {
	standing, err := d.standing(ctx)
	if err != nil {
		return nil, err
	}
	f := doubts{Standing: standing}
	if d.guarded.file != nil {
		if err := f.judgeNote(ctx, d.reads, d.guarded.file.Path(), g, now); err != nil {
			return nil, err
		}
	}
	f.found.Clock(&f.Standing, now, g.Horizon)
	return &f, nil
}

// judgeNote compares a file with its note.
func (f *doubts) judgeNote(ctx context.Context, reads *engine.Reader, path string, g *Guard, now time.Time) error {
	note, err := sqlite.ReadNote(path, g.Key)
	if err != nil {
		return fmt.Errorf("%s: %w", path+sqlite.NoteSuffix, err)
	}
	if err := sqlite.JudgeNote(ctx, &f.found, reads, &f.Standing, note); err != nil {
		return err
	}
	finding := f.found[len(f.found)-1]
	f.foreign = note != nil && (note.Forged || note.Store != f.ID)
	switch {
	case finding.Level == Good:
		return nil
	case f.foreign || note == nil: // nobody knows when the last assertion was consumed
		f.until = now.Add(g.Horizon)
	default:
		f.until = note.Time.Add(noteSlack + g.Horizon)
	}
	f.reason = finding.Found
	return nil
}

// distrust makes the store refuse the assertions that may have been consumed, and records
// why.
func (d *DB) distrust(ctx context.Context, f *doubts, now time.Time) error {
	if err := d.engine.Refuse(ctx, d.writer, f.until); err != nil {
		return err
	}
	return d.record(ctx, &ledger.Entry{Kind: ledger.KindAdmin, Time: now.UTC(), Actor: "moneyer", Action: "store.distrust", Object: "store",
		Found: f.reason, Expected: "assertions that end after " + f.until.UTC().Format(time.RFC3339)}, nil)
}

// record records an entry with a change, which may be nil.
func (d *DB) record(ctx context.Context, e *ledger.Entry, change func(*tx) error) error {
	return d.writer.do(ctx, func(t *tx) error {
		if change != nil {
			if err := change(t); err != nil {
				return err
			}
		}
		return t.recordEntries(e)
	})
}

// Accept accepts the store as it is, and records the entry with the change: assertions are
// refused only if they end by now, the times in the ledger count as right, and a file's note
// becomes that of its present head. An assertion that the store does not know, although it
// was consumed, is accepted again. No server may have the store open.
func (d *DB) Accept(ctx context.Context, g Guard, entry *ledger.Entry) error {
	now := d.now()
	f, err := d.doubts(ctx, &g, now)
	if err != nil {
		return err
	}
	err = d.record(ctx, entry, func(t *tx) error {
		if _, err := t.Exec(`UPDATE used_forgotten SET refused = 0, at = CASE WHEN at > $1 THEN $1 ELSE at END`, now.Unix()); err != nil {
			return err
		}
		_, err := t.Exec(`UPDATE store SET accepted = $1`, max(f.Newest.UnixMilli(), 0))
		return err
	})
	if err != nil {
		return err
	}
	d.guarded.guard = g
	d.guarded.standing.Store(&f.Standing)
	return d.noteHead(ctx)
}

// Distrusted returns why the store must not be served now, or nil: ErrAhead, ErrNote or
// ErrNotNoted. Before Guard it is nil.
func (d *DB) Distrusted() error {
	s := d.guarded.standing.Load()
	switch {
	case s == nil:
		return nil
	case d.guarded.foreign.Load():
		return ErrNote
	case s.IsAhead(d.now()):
		return ErrAhead
	case d.guarded.failing.Load():
		return ErrNotNoted
	}
	return nil
}

// watch notes the head of a file, and refuses assertions when a database went back, until
// the store is closed.
func (d *DB) watch(ctx context.Context) {
	ticker := time.NewTicker(noteInterval)
	defer ticker.Stop()
	g, refused := &d.guarded.guard, false
	for {
		select {
		case <-ctx.Done():
			return
		case <-ticker.C:
		}
		if d.guarded.file != nil {
			report(g.Noted, d.noteHead(ctx))
			continue
		}
		if wentBack, err := d.refuseAfterRollback(ctx, refused); wentBack {
			refused = err == nil
			report(g.Refused, err)
		}
	}
}

func report(to func(error), err error) {
	if to != nil {
		to(err)
	}
}

// refuseAfterRollback makes a database that lost what was acknowledged refuse the assertions
// that may have been consumed, also after the restart that it needs, unless that was done.
func (d *DB) refuseAfterRollback(ctx context.Context, done bool) (wentBack bool, err error) {
	now := d.now()
	if done || !errors.Is(d.engine.Healthy(now), postgres.ErrRolledBack) {
		return false, nil
	}
	return true, d.engine.Refuse(ctx, d.writer, now.Add(d.guarded.guard.Horizon))
}

// noteHead writes the note of a guarded file, if its head has moved since the last one.
func (d *DB) noteHead(ctx context.Context) error {
	g := &d.guarded
	standing := g.standing.Load()
	if g.file == nil || standing == nil || g.foreign.Load() {
		return nil
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	head, err := g.file.Head(ctx)
	if err == nil && (g.noted == nil || head != *g.noted) {
		err = g.file.WriteNote(&sqlite.Note{Store: standing.ID, Head: head, Time: d.now()}, g.guard.Key)
	}
	g.failing.Store(err != nil)
	if err == nil {
		g.noted = &head
	}
	return err
}
