package admin

import (
	"errors"
	"io"
	"io/fs"
	"net/http"
	"strconv"

	"moneyer/internal/adminapi"
	"moneyer/internal/ledger"
	"moneyer/oauth"
)

// backup streams a consistent copy of the store. Its ledger entry is appended before
// the copy is made, so that the copy contains it. Content-Length is set, so that the
// caller detects a truncated copy.
func (a *API) backup(c *call) error {
	if err := c.query(parameters{}); err != nil {
		return err
	}
	if err := withoutDeadlines(http.NewResponseController(c.w)); err != nil {
		return err
	}
	ctx := c.r.Context()
	entry := &ledger.Entry{Kind: ledger.KindAdmin, Time: a.Now().UTC(), Actor: c.actor, Action: "store.backup", Object: "store"}
	if err := a.Authority.Ledger.Append(ctx, entry); err != nil {
		return err
	}
	file, err := a.Backup(ctx)
	if errors.Is(err, fs.ErrExist) {
		return oauth.Errorf(adminapi.CodeConflict, "another backup is in progress; try again when it is finished")
	}
	if err != nil {
		return err
	}
	defer func() { _ = file.Close() }() // it was only read
	info, err := file.Stat()
	if err != nil {
		return err
	}
	c.w.Header().Set("Content-Type", "application/vnd.sqlite3")
	c.w.Header().Set("Content-Length", strconv.FormatInt(info.Size(), 10))
	_, _ = io.Copy(c.w, file) // the caller detects a truncated copy by its length
	return nil
}
