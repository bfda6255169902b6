package store

import (
	"context"
	"fmt"

	"moneyer/internal/store/sqlite"
)

// PartSuffix follows the name of a file until it is complete.
const PartSuffix = sqlite.PartSuffix

// Backup writes a consistent copy of the store to path while the store is in use. The copy
// is on disk when Backup returns, has mode 0600, and can be opened as a store. It is written as
// [WriteFile] does.
func (d *DB) Backup(ctx context.Context, path string) error {
	err := WriteFile(path, func(part string) error { return d.backup(ctx, part) })
	if err != nil {
		return fmt.Errorf("backup %s: %w", path, err)
	}
	return nil
}

// WriteFile creates the file at path, with mode 0600. It has write fill the file path.part, which is
// there and empty, syncs that and renames it at the end, so that no incomplete file has the
// name. An existing file is an error that matches fs.ErrExist, and is not changed; what an
// interrupted run has left at path.part is discarded.
func WriteFile(path string, write func(part string) error) error {
	return sqlite.WriteFile(path, write)
}
