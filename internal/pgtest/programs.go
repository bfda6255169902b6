package pgtest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// unprivileged runs the server when the tests are run by root, for whom PostgreSQL
// refuses to work. Debian's package makes this user.
const unprivileged = "postgres"

// Programs returns the folder of the newest PostgreSQL server of Debian's, or
// [ErrMissing].
func Programs() (string, error) {
	found, err := filepath.Glob("/usr/lib/postgresql/*/bin/postgres")
	if err != nil {
		return "", err
	}
	newest, folder := -1, ""
	for _, program := range found {
		version := filepath.Base(filepath.Dir(filepath.Dir(program)))
		if n, err := strconv.Atoi(version); err == nil && n > newest {
			newest, folder = n, filepath.Dir(program)
		}
	}
	if folder == "" {
		return "", ErrMissing
	}
	return folder, nil
}

// Credential is the user that PostgreSQL runs as: nil for the one of this program,
// but when that is root.
func Credential() (*syscall.Credential, error) {
	if os.Geteuid() != 0 {
		return nil, nil
	}
	who, err := user.Lookup(unprivileged)
	if err != nil {
		return nil, fmt.Errorf("root cannot run PostgreSQL itself: %w", err)
	}
	uid, err := strconv.ParseUint(who.Uid, 10, 32)
	if err != nil {
		return nil, err
	}
	gid, err := strconv.ParseUint(who.Gid, 10, 32)
	if err != nil {
		return nil, err
	}
	return &syscall.Credential{Uid: uint32(uid), Gid: uint32(gid)}, nil
}
