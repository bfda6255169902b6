package sqlite

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// PartSuffix follows the name of a file until the file is complete.
const PartSuffix = ".part"

// part is a file that is written under another name, and has its own only when it is complete
// and on disk. The lock keeps other processes from writing it, too.
type part struct {
	*held
	name string
}

// openPart opens the unfinished file of the name path, which must not exist, or creates it.
func openPart(path string) (*part, error) {
	name, err := resolve(path)
	if err != nil {
		return nil, err
	}
	if err := vacant(name); err != nil {
		return nil, err
	}
	held, err := hold(name+PartSuffix, true)
	if err != nil {
		return nil, err
	}
	return &part{held, name}, nil
}

// vacant returns an error if there is a file, or a link, at path.
func vacant(path string) error {
	_, err := os.Lstat(path)
	if err == nil {
		err = &fs.PathError{Op: "create", Path: path, Err: fs.ErrExist}
	}
	if errors.Is(err, fs.ErrNotExist) {
		return nil
	}
	return err
}

// empty removes what an interrupted run has left.
func (p *part) empty() error {
	for _, suffix := range []string{"-wal", "-shm", "-journal"} {
		if err := os.Remove(p.path + suffix); err != nil && !errors.Is(err, fs.ErrNotExist) {
			return err
		}
	}
	return os.Truncate(p.path, 0)
}

// finish gives the complete file its name, and makes both durable. SQLite must have closed it.
func (p *part) finish() error {
	if err := syscall.Fsync(p.fd); err != nil {
		return fmt.Errorf("sync %s: %w", p.path, err)
	}
	if err := errors.Join(p.check(), vacant(p.name)); err != nil {
		return err
	}
	if err := os.Rename(p.path, p.name); err != nil {
		return err
	}
	folder, err := os.Open(filepath.Dir(p.name))
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

// WriteFile is store.WriteFile.
func WriteFile(path string, write func(part string) error) error {
	p, err := openPart(path)
	if err != nil {
		return err
	}
	if err = p.empty(); err == nil {
		err = write(p.path)
	}
	if err == nil {
		err = p.finish()
	}
	if err != nil {
		err = errors.Join(err, p.empty(), os.Remove(p.path))
	}
	return errors.Join(err, p.release())
}

// refuseName refuses the name of an unfinished file, and that of a file of which there is only an
// unfinished one.
func refuseName(path string) error {
	if strings.HasSuffix(path, PartSuffix) {
		return engine.ErrUnfinished
	}
	if _, err := os.Lstat(path + PartSuffix); err == nil && vacant(path) == nil {
		return engine.ErrUnfinished
	}
	return nil
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
