package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
	"moneyer/internal/store/transfer"
)

// OpenReadOnly opens the file at path, which must hold a whole store, read-only. Another process
// may have it open.
func OpenReadOnly(ctx context.Context, path string) (reads *engine.Reader, closeFile func() error, err error) {
	db, err := readOnly(path)
	if err != nil {
		return nil, nil, err
	}
	_, err = readVersion(ctx, db)
	if err == nil {
		err = refuseUnfinished(ctx, db)
	}
	if err != nil {
		return nil, nil, errors.Join(err, db.Close())
	}
	return engine.NewReader(db, nil), db.Close, nil
}

// readOnly opens the file at path, which must exist, read-only.
func readOnly(path string) (*sql.DB, error) {
	path, err := filepath.Abs(path)
	if err != nil {
		return nil, err
	}
	if info, err := os.Stat(path); err != nil {
		return nil, err
	} else if !info.Mode().IsRegular() {
		return nil, errors.New("it is not a file")
	}
	query := url.Values{"mode": {"ro"}, "_dqs": {"0"}, "_defensive": {"1"}, "_pragma": {"busy_timeout(5000)", "query_only(1)"}}
	connector, err := sqlite.NewConnector((&url.URL{Scheme: "file", Path: path, RawQuery: query.Encode()}).String())
	if err != nil {
		return nil, err
	}
	return sql.OpenDB(connector), nil
}

// unfinished reports whether a file is an incomplete copy.
func unfinished(ctx context.Context, q transfer.Querier) (there bool, err error) {
	err = q.QueryRowContext(ctx, `SELECT count(*) FROM sqlite_master WHERE name = $1`, transfer.Unfinished).Scan(&there)
	return there, err
}

func refuseUnfinished(ctx context.Context, q transfer.Querier) error {
	there, err := unfinished(ctx, q)
	if err == nil && there {
		err = engine.ErrUnfinished
	}
	return err
}

// heads reads the heads from the last batch of each chain.
func heads(ctx context.Context, reads *engine.Reader) (heads []ledger.Head, err error) {
	chains, err := history.Chains(ctx, reads)
	for i := range chains {
		heads = append(heads, chains[i].Head)
	}
	return heads, err
}
