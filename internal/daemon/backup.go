package daemon

import (
	"context"
	"errors"
	"io/fs"
	"os"
	"path/filepath"

	"moneyer/internal/config"
	"moneyer/internal/store"
)

// copyPath returns where to copy the store for a backup: beside its file, or "" for a temporary
// folder.
func copyPath(cfg *config.Config) string {
	if path, file := cfg.StoreFile(); file {
		return path + ".copy"
	}
	return ""
}

// removeCopy removes a copy that a killed process may have left, complete or not.
func removeCopy(path string) error {
	if path == "" {
		return nil
	}
	for _, left := range []string{path, path + store.PartSuffix} {
		if err := os.Remove(left); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return nil
}

// copyStore makes a consistent copy of the store and opens it. It removes the name of the copy
// before it returns, so that even a killed process leaves no file behind.
func (s *state) copyStore(ctx context.Context) (file *os.File, err error) {
	if !s.copying.TryLock() {
		return nil, fs.ErrExist
	}
	defer s.copying.Unlock()
	path := s.copyPath
	if path == "" {
		folder, err := os.MkdirTemp("", "moneyer-backup-") // with mode 0700
		if err != nil {
			return nil, err
		}
		defer func() { _ = os.RemoveAll(folder) }()
		path = filepath.Join(folder, "moneyer.db")
	}
	if err := s.db.Backup(ctx, path); err != nil {
		return nil, err
	}
	file, err = os.Open(path)
	if err := errors.Join(err, os.Remove(path)); err != nil {
		_ = file.Close()
		return nil, err
	}
	return file, nil
}
