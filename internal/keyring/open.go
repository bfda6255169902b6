package keyring

import (
	"crypto"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"strings"
	"syscall"

	"moneyer/internal/jose"
)

// maxPrivateFile bounds a file with a key, in bytes.
const maxPrivateFile = 64 << 10

// FileError says why a file gives no private key: it is missing, cannot be read, or has something
// else in it. It is for the log: whoever administers a server from elsewhere must not learn what
// files it has.
type FileError struct{ Err error }

func (e *FileError) Error() string { return e.Err.Error() }
func (e *FileError) Unwrap() error { return e.Err }

// Open returns the signer at a URI outside the store:
//
//	file:PATH   a private key as PEM or JWK, in a regular file that only its owner and its group
//	            may read, and only its owner may write
//
// An error about the file is a *FileError; any other is about the URI.
//
// Errors name the scheme of an unknown URI but not the rest, which may hold a PIN (RFC 7512 section
// 2.4).
func Open(uri string) (crypto.Signer, error) {
	scheme, rest, ok := strings.Cut(uri, ":")
	if !ok {
		return nil, errors.New("a signing key is named by a URI such as file:PATH")
	}
	switch scheme {
	case "file":
		return openFile(rest)
	default:
		return nil, fmt.Errorf("no signer by scheme %.32q; known are: file", scheme)
	}
}

// openFile accepts file:PATH, and file:///PATH as in RFC 8089.
func openFile(path string) (crypto.Signer, error) {
	if local, ok := strings.CutPrefix(path, "//"); ok {
		if !strings.HasPrefix(local, "/") {
			return nil, fmt.Errorf("file:%s names another host; want file:PATH", path)
		}
		path = local
	}
	data, err := readPrivate(path, groupMayRead)
	if err != nil {
		return nil, &FileError{fmt.Errorf("private key: %w", err)}
	}
	key, err := jose.ParsePrivate(data)
	if err != nil {
		return nil, &FileError{fmt.Errorf("%s: %w", path, err)}
	}
	return key, nil
}

// The permissions that a file must not give. A private key may be read by the group, as where it
// is mounted for the group of a service.
const (
	ownerOnly    fs.FileMode = 0o077
	groupMayRead fs.FileMode = 0o037
)

// readPrivate reads a regular file that gives none of the forbidden permissions. The mode is read
// from the open file, so that the file cannot be replaced in between. Opening does not wait for the
// other end of a pipe.
func readPrivate(path string, forbidden fs.FileMode) ([]byte, error) {
	f, err := os.OpenFile(path, os.O_RDONLY|syscall.O_NONBLOCK, 0)
	if err != nil {
		return nil, err
	}
	defer func() { _ = f.Close() }() // read only
	info, err := f.Stat()
	if err != nil {
		return nil, err
	}
	if !info.Mode().IsRegular() {
		return nil, fmt.Errorf("%s is not a regular file", path)
	}
	if mode := info.Mode().Perm(); mode&forbidden != 0 {
		return nil, fmt.Errorf("%s is open to others than its owner (mode %04o); run: chmod 600 %[1]s", path, mode)
	}
	data, err := io.ReadAll(io.LimitReader(f, maxPrivateFile+1))
	if err != nil {
		return nil, err
	}
	if len(data) > maxPrivateFile {
		return nil, fmt.Errorf("%s is longer than %d bytes", path, maxPrivateFile)
	}
	return data, nil
}
