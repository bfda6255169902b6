package agent

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"time"

	"moneyer/internal/deadline"
	"moneyer/tokensource"
)

// tokenFile is a file that contains the current token and nothing else, not even a line end.
// Readers always see one complete token.
type tokenFile struct {
	name, path string
	mode       fs.FileMode

	written *tokensource.Token // the token in the file; nil if unknown
	rewrite bool               // write it even so: the mode may be another one now
	err     error              // error of the last attempt
}

// update writes a token unless the file has it. It reports whether something changed: a new token
// was written, or the error differs from the previous one.
func (f *tokenFile) update(token *tokensource.Token) bool {
	if f.written == token && !f.rewrite {
		return false
	}
	err := replace(f.path, f.mode, token.AccessToken)
	changed := err == nil || f.err == nil || err.Error() != f.err.Error()
	f.err = err
	if err == nil {
		f.written, f.rewrite = token, false
	}
	return changed
}

// removeEnded removes the file if the token in it has ended, and reports whether it had. Then a
// program that reads the file learns at once that there is no token. A file that somebody else has
// replaced is kept.
func (f *tokenFile) removeEnded(now time.Time) bool {
	if f.written == nil || !deadline.Passed(f.written.Expiry, now) {
		return false
	}
	if data, err := os.ReadFile(f.path); err == nil && string(data) == f.written.AccessToken {
		f.err = withoutPath(os.Remove(f.path))
	}
	f.written = nil
	return true
}

// replace writes text to path atomically: readers see the old or the new text, and so after a
// crash.
func replace(path string, mode fs.FileMode, text string) error {
	dir := filepath.Dir(path)
	temp, err := os.CreateTemp(dir, "."+filepath.Base(path)+".*") // 0600
	if err != nil {
		return unreplaceable(dir, err)
	}
	_, err = temp.WriteString(text)
	err = errors.Join(err, temp.Chmod(mode), temp.Sync(), temp.Close())
	if err == nil {
		err = os.Rename(temp.Name(), path)
	}
	if err != nil {
		_ = os.Remove(temp.Name())
		return unreplaceable(dir, err)
	}
	return syncFolder(dir)
}

// syncFolder makes a rename durable.
func syncFolder(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}

// withoutPath removes random file names from an error, so that it can be compared with the previous
// one.
func withoutPath(err error) error {
	var pathError *fs.PathError
	var linkError *os.LinkError
	switch {
	case errors.As(err, &pathError):
		return pathError.Err
	case errors.As(err, &linkError):
		return linkError.Err
	default:
		return err
	}
}
