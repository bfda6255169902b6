package store

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/postgres"
	"moneyer/internal/store/sqlite"
)

var errURL = errors.New(`its URL is neither "sqlite:PATH" nor "postgres://HOST/DATABASE"`)

// parseURL parses the URL of a store: path is that of a file, and u is nil, or u is set.
func parseURL(url string) (path string, u *postgres.URL, err error) {
	path, file := strings.CutPrefix(url, "sqlite:")
	switch {
	case file && path != "":
		return path, nil, nil
	case IsPostgres(url):
		u, err = postgres.Parse(url)
		return "", u, err
	default:
		return "", nil, errURL
	}
}

// CheckURL returns the error of [Open] for a URL that no store can have: one that is malformed, that
// holds a password, or that would connect without a verified certificate. It opens nothing but the
// files that the URL of a database names.
func CheckURL(url string) error {
	if _, _, err := parseURL(url); err != nil {
		return fmt.Errorf("store %s: %w", nameOf(url), err)
	}
	return nil
}

// IsPostgres reports whether a store's URL names a PostgreSQL database.
func IsPostgres(text string) bool {
	return strings.HasPrefix(text, "postgres://") || strings.HasPrefix(text, "postgresql://")
}

// nameOf returns a store's URL without secrets.
func nameOf(url string) string {
	if path, file := strings.CutPrefix(url, "sqlite:"); file {
		return path
	}
	return postgres.Name(url)
}

// opened is an open engine, its backup function, and what a trial writes; file is set if it is
// a file.
type opened struct {
	engine engine.Engine
	backup func(ctx context.Context, path string) error
	trial  func(engine.Exec) error
	file   *sqlite.File
}

// openReadOnly opens a store for reading, which may be in use.
func openReadOnly(ctx context.Context, url string) (*engine.Reader, func() error, error) {
	path, u, err := parseURL(url)
	if err != nil {
		return nil, nil, err
	}
	if u == nil {
		return sqlite.OpenReadOnly(ctx, path)
	}
	return postgres.OpenReadOnly(ctx, u)
}

func openEngine(ctx context.Context, url string, options *Options) (opened, error) {
	path, u, err := parseURL(url)
	if err != nil {
		return opened{}, err
	}
	if u == nil {
		file, err := sqlite.Open(ctx, path, options.Create)
		if err != nil {
			return opened{}, err
		}
		return opened{engine: file, backup: file.Backup, trial: file.Trial, file: file}, nil
	}
	database, err := postgres.Open(ctx, u, options.Create, options.Process, options.Now)
	if err != nil {
		return opened{}, err
	}
	backup := func(ctx context.Context, path string) error { return backupDatabase(ctx, u, path) }
	return opened{engine: database, backup: backup, trial: database.Trial}, nil
}
