package sqlite

import (
	"context"
	"database/sql"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"modernc.org/sqlite"
	sqlite3 "modernc.org/sqlite/lib"

	"moneyer/internal/ledger"
	"moneyer/internal/store/engine"
	"moneyer/internal/store/history"
	"moneyer/internal/store/transfer"
)

// OpenReadOnly opens the file at path, which must hold a whole store, read-only. Another process
// may have it open.
func OpenReadOnly(ctx context.Context, path string) (reads *engine.Reader, closeFile func() error, err error) {
	if err := refuseName(path); err != nil {
		return nil, nil, err
	}
	db, err := readOnly(path)
	if err != nil {
		return nil, nil, err
	}
	_, err = readVersion(ctx, db)
	if err == nil {
		err = refuseUnfinished(ctx, db)
	}
	if err == nil {
		err = refuseCut(ctx, db, path)
	}
	if err != nil {
		return nil, nil, errors.Join(explained(err), db.Close())
	}
	return engine.NewReader(db, nil), db.Close, nil
}

// explained adds to SQLite's error, which names no file, why a file that exists cannot be
// opened.
func explained(err error) error {
	var failure *sqlite.Error
	if errors.As(err, &failure) && failure.Code()&0xff == sqlite3.SQLITE_CANTOPEN {
		return fmt.Errorf("%w: SQLite must be able to write -wal and -shm beside the file: is the disk read-only, or the folder another user's?", err)
	}
	return err
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
	return connect(path, "ro", readCache, "query_only(1)")
}

// refuseCut refuses a file that lacks pages: SQLite notices only those that it reads.
func refuseCut(ctx context.Context, q transfer.Querier, path string) error {
	var pages, size int64
	if err := q.QueryRowContext(ctx, `SELECT page_count, page_size FROM pragma_page_count, pragma_page_size`).Scan(&pages, &size); err != nil {
		return err
	}
	info, err := os.Stat(path)
	if err != nil {
		return err
	}
	_, err = os.Stat(path + "-wal") // which may have the last pages
	if errors.Is(err, fs.ErrNotExist) && info.Size() != pages*size {
		return fmt.Errorf("it has %d bytes of %d: the copy is incomplete, make it again", info.Size(), pages*size)
	}
	var found string
	if err := q.QueryRowContext(ctx, `PRAGMA quick_check(1)`).Scan(&found); err != nil {
		return err
	}
	if found != "ok" {
		return fmt.Errorf("it is damaged, or an incomplete copy: %s", found)
	}
	return nil
}

// heads reads the heads from the last batch of each chain.
func heads(ctx context.Context, reads *engine.Reader) (heads []ledger.Head, err error) {
	chains, err := history.Chains(ctx, reads)
	for i := range chains {
		heads = append(heads, chains[i].Head)
	}
	return heads, err
}
