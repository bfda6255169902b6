package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
)

func (o *onboarding) backupCommand() *cobra.Command {
	return o.noun(&cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store while the server runs",
		Long: `Take a consistent copy of the whole store, registry and ledger, while the server
serves requests, and verify its ledger. FILE must not exist; only its owner can
read it. It is a SQLite file, also where the store is a PostgreSQL database. The
server temporarily needs the same space: beside its store, or in TMPDIR where that
is a database. The master key is not in the copy: back it up separately.

To restore a file, stop the server, remove the store with its -wal and -shm, put
FILE in its place, and start. To restore a database, stop every replica, make a new
database, 'moneyer store copy --store FILE' to it, and start.

A restore loses all changes since the backup: assertions that were consumed since
then are accepted again until they expire, and a client that was disabled since
then is enabled again.`,
		Example: `  moneyer backup /backups/moneyer-2026-11-23.db
  moneyer ledger verify --store /backups/moneyer-2026-11-23.db`,
		RunE: func(c *cobra.Command, args []string) error { return o.backup(c.Context(), args[0]) },
	})
}

// backup writes a backup to path. An incomplete copy is removed. A complete copy of
// a broken ledger is kept, and the exit code is 1.
func (o *onboarding) backup(ctx context.Context, path string) error {
	api, err := o.open()
	if err != nil {
		return err
	}
	file, err := os.OpenFile(path, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if errors.Is(err, fs.ErrExist) {
		return usagef("%s exists and is not overwritten", path)
	}
	if err != nil {
		return usage(err)
	}
	size, err := copyTo(ctx, api, file)
	err = errors.Join(err, file.Close())
	var v adminapi.Verified
	if err == nil {
		v, err = verifyCopy(ctx, api, path)
	}
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return o.backedUp(path, size, &v)
}

// copyTo downloads the copy and syncs it to disk.
func copyTo(ctx context.Context, api *adminclient.Client, file *os.File) (int64, error) {
	size, err := api.Backup(ctx, file)
	if err != nil {
		return 0, err
	}
	if err := errors.Join(file.Sync(), syncFolder(filepath.Dir(file.Name()))); err != nil {
		return 0, unavailable(err)
	}
	return size, nil
}

// syncFolder makes a new directory entry durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (o *onboarding) backedUp(path string, size int64, v *adminapi.Verified) error {
	if !o.json {
		fmt.Fprintf(o.out, "%s holds the store: %d bytes\n", path, size)
		return o.verified(v)
	}
	if err := o.printJSON(map[string]any{"file": path, "size": size, "ledger": v}); err != nil || v.Whole {
		return err
	}
	return refused(errSilent)
}

// verifyCopy verifies the ledger of a backup with the server's checkpoint key.
func verifyCopy(ctx context.Context, api *adminclient.Client, path string) (v adminapi.Verified, err error) {
	told, err := api.CheckpointKey(ctx)
	if err != nil {
		return v, err
	}
	key, err := adminapi.ParseCheckpointKey(told.Key)
	if err != nil {
		return v, unavailable(err)
	}
	return verifyStore(ctx, path, key)
}
