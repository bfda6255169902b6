package store

import (
	"context"
	"crypto/ed25519"
	"database/sql"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"

	"modernc.org/sqlite"

	"moneyer/internal/ledger"
)

// VerifyFile verifies, as Verify does, the ledger of the store in a file, a backup
// for instance, and changes nothing in it. A process that has the store open is not disturbed.
func VerifyFile(ctx context.Context, path string, key ed25519.PublicKey) (ledger.VerifyReport, error) {
	reads, err := readOnly(path)
	if err != nil {
		return ledger.VerifyReport{}, fmt.Errorf("store %s: %w", path, err)
	}
	packer, err := newPacker()
	if err != nil {
		return ledger.VerifyReport{}, errors.Join(err, reads.Close())
	}
	d := &DB{reads: newReader(reads, true), packer: packer, maintenance: make(chan struct{}, 1)}
	report, err := d.Verify(ctx, key)
	if err := errors.Join(err, reads.Close()); err != nil {
		return ledger.VerifyReport{}, fmt.Errorf("store %s: %w", path, err)
	}
	return report, nil
}

// readOnly opens the file at path, which must exist, for reading alone.
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
