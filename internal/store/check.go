package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"time"
)

// A Finding is what Check found of one thing.
type Finding struct {
	// What was looked at.
	What  string
	Level Level
	// Found is how it is, and Advice what to do where that is not good.
	Found, Advice string
}

// Level tells how good a finding is.
type Level string

// The levels. What is bad must be put right before anybody relies on the store.
const (
	Good Level = "good"
	Warn Level = "warn"
	Bad  Level = "bad"
)

// findings are gathered by the checks.
type findings []Finding

func (f *findings) add(what string, level Level, found, advice string) {
	*f = append(*f, Finding{what, level, found, advice})
}

// judge adds a finding that is good if ok.
func (f *findings) judge(what string, ok bool, otherwise Level, found, advice string) {
	if ok {
		otherwise, advice = Good, ""
	}
	f.add(what, otherwise, found, advice)
}

// Check looks at what must be so before a store can be relied on, and changes nothing
// in it. An error tells that the URL is wrong, and all else is a finding.
func Check(ctx context.Context, url string, now func() time.Time) ([]Finding, error) {
	path, u, err := whereOf(url)
	switch {
	case err != nil:
		return nil, err
	case u == nil:
		return checkFile(ctx, path)
	default:
		return checkDatabase(ctx, u, now), nil
	}
}

// checkFile has SQLite look at every page of a file that nobody has open.
func checkFile(ctx context.Context, path string) (f findings, err error) {
	info, err := os.Stat(path)
	if err != nil {
		return nil, err
	}
	f.judge("file", info.Mode().Perm()&0o077 == 0, Bad, fmt.Sprintf("%d octets, mode %v", info.Size(), info.Mode().Perm()),
		"others can read it: chmod 600 "+path)
	status, err := fileStatus(ctx, path)
	if err != nil {
		f.add("schema", Bad, err.Error(), "restore a backup, if this was a store")
		return f, nil
	}
	f.schema(&status)
	path, err = filepath.Abs(path)
	if err != nil {
		return f, err
	}
	unlock, err := hold(path + ".lock")
	if err != nil {
		f.add("pages", Warn, "not looked at: "+err.Error(), "stop the process, or check a backup")
		return f, nil
	}
	return f, errors.Join(f.pages(ctx, path), unlock())
}

// pages asks SQLite itself. What it says is a finding, good or bad.
func (f *findings) pages(ctx context.Context, path string) error {
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
		f.judge(what, found == "ok", Bad, found, "restore a backup")
	}
	return nil
}

// schema judges the version.
func (f *findings) schema(s *Status) {
	found := fmt.Sprintf("version %d, and this program knows %d", s.Version, s.Known)
	switch err := checkVersion(s.Version, min(s.Oldest, s.Version), s.Known); {
	case s.Unfinished:
		f.add("schema", Bad, errUnfinished.Error(), "make the copy again to its end")
	case s.Version == 0:
		f.add("schema", Good, "none yet: the first start makes it", "")
	case err != nil:
		f.add("schema", Bad, err.Error(), "bring the schema forward, or use the program that it is for")
	default:
		f.add("schema", Good, found, "")
	}
}
