package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"strings"
	"time"

	"moneyer/internal/store/engine"
)

// Status returns the state of the file at path. It changes nothing, and another process may
// have it open.
func Status(ctx context.Context, path string) (s engine.Status, err error) {
	steps, err := steps()
	if err != nil {
		return s, err
	}
	if errors.Is(refuseName(path), engine.ErrUnfinished) {
		path, s.Unfinished = strings.TrimSuffix(path, PartSuffix)+PartSuffix, true
	}
	reads, err := readOnly(path)
	if err != nil {
		return s, err
	}
	defer func() { _ = reads.Close() }() // it only read
	s.Known, s.Oldest = len(steps), 1
	if s.Version, err = readVersion(ctx, reads); err != nil {
		return s, err
	}
	s.Oldest = s.Version
	marked, err := unfinished(ctx, reads)
	if err != nil {
		return s, err
	}
	s.Unfinished = s.Unfinished || marked
	heads, err := heads(ctx, engine.NewReader(reads, nil))
	for _, h := range heads {
		s.Chains = append(s.Chains, engine.ChainStatus{Head: h})
	}
	for _, suffix := range []string{"", "-wal"} {
		if info, err := os.Stat(path + suffix); err == nil {
			s.Bytes += info.Size()
		} else if !errors.Is(err, fs.ErrNotExist) {
			return s, err
		}
	}
	return s, err
}

// Check checks the file at path, and changes nothing in it. If no process has it open,
// SQLite checks every page. The MAC of the note beside it is not checked.
func Check(ctx context.Context, path string, now func() time.Time) ([]engine.Finding, error) {
	path, err := resolve(path)
	if err != nil {
		return nil, err
	}
	var f engine.Findings
	if err := refuseName(path); err != nil {
		f.Schema(&engine.Status{Unfinished: true})
		return f, nil
	}
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	found := fmt.Sprintf("%d bytes, mode %v", info.Size(), info.Mode().Perm())
	if err := guarded(path); err != nil {
		f.Add("file", engine.Bad, err.Error(), "a server does not open it")
	} else {
		f.Judge("file", info.Mode().Perm()&0o077 == 0, engine.Bad, found, "others can read it: chmod 600 "+path)
	}
	status, err := Status(ctx, path)
	if err != nil {
		f.Add("schema", engine.Bad, err.Error(), "restore a backup, if this was a store")
		return f, nil
	}
	f.Schema(&status)
	if status.Version == status.Known {
		if err := checkStanding(ctx, &f, path, now()); err != nil {
			f.Add("noted head", engine.Bad, err.Error(), "restore a backup")
		}
	}
	held, err := hold(path, false)
	switch {
	case errors.Is(err, errInUse):
		f.Add("pages", engine.Warn, "not looked at: "+err.Error(), "stop the process, or check a backup")
		return f, nil
	case err != nil:
		f.Add("pages", engine.Bad, "not looked at: "+err.Error(), "a server does not open it")
		return f, nil
	}
	return f, errors.Join(checkPages(ctx, &f, path), held.release())
}

// checkStanding compares what the file records of its past with the clock and with its note.
func checkStanding(ctx context.Context, f *engine.Findings, path string, now time.Time) error {
	note, err := ReadNote(path, nil) // first: the file only grows
	if err != nil {
		return err
	}
	db, err := readOnly(path)
	if err != nil {
		return err
	}
	defer func() { _ = db.Close() }() // it only read
	reads := engine.NewReader(db, nil)
	s, err := engine.ReadStanding(func(query string, dest ...any) error { return reads.Row(ctx, query, nil, dest) })
	if err != nil {
		return err
	}
	if err := JudgeNote(ctx, f, reads, &s, note); err != nil {
		return err
	}
	f.Clock(&s, now, engine.MaxHorizon)
	return nil
}

// checkPages runs SQLite's own checks, and adds their results as findings.
func checkPages(ctx context.Context, f *engine.Findings, path string) error {
	reads, err := readOnly(path)
	if err != nil {
		return err
	}
	defer func() { _ = reads.Close() }() // it only read
	for what, query := range map[string]string{
		"pages":      `SELECT group_concat(integrity_check, '; ') FROM (SELECT integrity_check FROM pragma_integrity_check LIMIT 10)`,
		"references": `SELECT CASE count(*) WHEN 0 THEN 'ok' ELSE count(*) || ' rows refer to others that are not there' END FROM pragma_foreign_key_check`,
	} {
		var found string
		if err := reads.QueryRowContext(ctx, query).Scan(&found); err != nil {
			found = err.Error()
		}
		f.Judge(what, found == "ok", engine.Bad, found, "restore a backup")
	}
	return nil
}
