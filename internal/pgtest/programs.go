package pgtest

import (
	"fmt"
	"os"
	"os/user"
	"path/filepath"
	"strconv"
	"syscall"
)

// unprivileged is the user that runs the server if the tests run as root, which PostgreSQL refuses.
// Debian's package creates this user.
const unprivileged = "postgres"

// Programs returns the program folder of the newest PostgreSQL server of Debian, or [ErrMissing].
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

// Credential returns the user to run PostgreSQL as: nil for the current user, unless that is root.
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
