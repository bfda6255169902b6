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
		Short: "Take a copy of the store while the server goes on",
		Long: `Take a consistent copy of the whole store, registry and ledger, while the server
goes on minting, and verify its ledger. FILE must not exist; nobody but its owner
may read it. It is a SQLite file, also where the store is a PostgreSQL database. The
server needs as much room for a moment: beside its store, or in TMPDIR where that is
a database. The master key is not in the copy: keep one of it elsewhere.

To restore a file, stop the server, remove the store with its -wal and -shm, put
FILE in its place, and start. To restore a database, stop every replica, make a new
database, 'moneyer store copy --store FILE' to it, and start.

What happened after the backup is forgotten: assertions that were used up since
then are good once more until they expire, and a client that was disabled since
then is enabled again.`,
		Example: `  moneyer backup /backups/moneyer-2026-11-23.db
  moneyer ledger verify --store /backups/moneyer-2026-11-23.db`,
		RunE: func(c *cobra.Command, args []string) error { return o.backup(c.Context(), args[0]) },
	})
}

// backup takes one. A copy that is not whole is removed; a whole copy of a broken
// ledger stays, and is no success.
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

// copyTo asks for the copy and has it on the disk when it returns.
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

// syncFolder makes a new name in the folder durable.
func syncFolder(path string) error {
	folder, err := os.Open(path)
	if err != nil {
		return err
	}
	return errors.Join(folder.Sync(), folder.Close())
}

func (o *onboarding) backedUp(path string, size int64, v *adminapi.Verified) error {
	if !o.json {
		fmt.Fprintf(o.out, "%s holds the store: %d octets\n", path, size)
		return o.verified(v)
	}
	if err := o.printJSON(map[string]any{"file": path, "size": size, "ledger": v}); err != nil || v.Whole {
		return err
	}
	return refused(errSilent)
}

// verifyCopy verifies the ledger of a copy that the server made, with its key.
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
