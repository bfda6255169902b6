package moneyer

import (
	"crypto/sha256"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
)

// cacheVersion is incremented when the content of filled stores changes.
const cacheVersion = 1

// cacheFolder returns where filled stores are cached. A store of another schema is not reused.
func (o *Options) cacheFolder() (string, error) {
	migrations, err := filepath.Glob(filepath.Join(o.Root, "internal/store/*/migrations/*.sql"))
	if err != nil {
		return "", err
	}
	schema := sha256.New()
	for _, path := range migrations {
		text, err := os.ReadFile(path)
		if err != nil {
			return "", err
		}
		schema.Write(text)
	}
	name := fmt.Sprintf("%d-clients-%d-entries-v%d-%x", o.Clients, o.Entries, cacheVersion, schema.Sum(nil)[:4])
	folder := filepath.Join(o.Root, "bench/.cache", name)
	return folder, os.MkdirAll(folder, 0o700)
}

// memoryFolder returns a folder in memory, or "" for the default temporary folder.
func memoryFolder() string {
	const folder = "/dev/shm"
	if info, err := os.Stat(folder); err == nil && info.IsDir() {
		return folder
	}
	return ""
}

// move moves a file to another file system and syncs it.
func move(from, to string) error {
	source, err := os.Open(from)
	if err != nil {
		return err
	}
	defer func() { _ = source.Close() }() // read only
	target, err := os.OpenFile(to, os.O_CREATE|os.O_WRONLY|os.O_TRUNC, 0o600)
	if err != nil {
		return err
	}
	_, err = io.Copy(target, source)
	return errors.Join(err, target.Sync(), target.Close())
}
