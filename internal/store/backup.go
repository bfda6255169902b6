package store

import (
	"context"
	"errors"
	"fmt"
	"os"
	"path/filepath"
)

// Backup writes a consistent copy of the store to path while the store is in use. The copy
// is on disk when Backup returns, has mode 0600, and can be opened as a store. An existing
// file is an error, and is not changed.
func (d *DB) Backup(ctx context.Context, path string) error {
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("backup: %w", err)
	}
	err = d.backup(ctx, path)
	if err == nil {
		err = errors.Join(file.Sync(), syncDirectory(filepath.Dir(path)))
	}
	if err = errors.Join(err, file.Close()); err != nil {
		return errors.Join(fmt.Errorf("backup %s: %w", path, err), os.Remove(path))
	}
	return nil
}

// syncDirectory makes a new name in the directory durable.
func syncDirectory(path string) error {
	directory, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(directory.Sync(), directory.Close())
}
