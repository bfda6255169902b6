package main

import (
	"context"
	"errors"
	"fmt"
	"io/fs"
	"os"

	"github.com/spf13/cobra"

	"moneyer/internal/adminapi"
	"moneyer/internal/adminclient"
	"moneyer/internal/store"
)

func (o *onboarding) backupCommand() *cobra.Command {
	return o.noun(&cobra.Command{
		Use:   "backup FILE",
		Short: "Copy the store while the server runs",
		Long: `Take a consistent copy of the whole store, registry and ledger, while the server
serves requests, and verify its ledger. FILE must not exist; only its owner can
read it. Until the copy is complete it is FILE.part. It is a SQLite file, also where
the store is a PostgreSQL database. The server temporarily needs the same space:
beside its store, or in TMPDIR where that is a database. The master key is not in
the copy: back it up separately.

To restore a file, stop the server, remove the store with its -wal and -shm, put
FILE in its place, and start. To restore a database, stop every replica, make a new
database, 'moneyer store copy --store FILE' to it, and start.

A restore loses all changes since the backup: a client that was disabled since then
is enabled again. The server of a file refuses every assertion that may have been
used since then, for about an hour: see 'moneyer store accept --help'. Nothing does
that for a database: start its replicas an hour after the last token, or later.`,
		Example: `  moneyer backup /backups/moneyer-2026-11-23.db
  moneyer ledger verify --store /backups/moneyer-2026-11-23.db`,
		RunE: func(c *cobra.Command, args []string) error { return o.backup(c.Context(), args[0]) },
	})
}

// backup writes a backup to path. An incomplete copy never has that name, and one that cannot be
// verified is removed. A complete copy of a broken ledger is kept, and the exit code is 1.
func (o *onboarding) backup(ctx context.Context, path string) error {
	api, err := o.open()
	if err != nil {
		return err
	}
	var size int64
	var failure error // of the download
	err = store.WriteFile(path, func(part string) error {
		size, failure = download(ctx, api, part)
		return failure
	})
	switch {
	case failure != nil:
		return failure
	case errors.Is(err, fs.ErrExist):
		return usagef("%s exists and is not overwritten", path)
	case err != nil:
		return usage(err)
	}
	v, err := verifyCopy(ctx, api, path)
	if err != nil {
		return errors.Join(err, os.Remove(path))
	}
	return o.backedUp(path, size, &v)
}

// download writes the copy that the server makes to the existing file at path.
func download(ctx context.Context, api *adminclient.Client, path string) (int64, error) {
	file, err := os.OpenFile(path, os.O_WRONLY, 0)
	if err != nil {
		return 0, unavailable(err)
	}
	size, err := api.Backup(ctx, file)
	if failed := file.Close(); failed != nil && err == nil {
		err = unavailable(failed)
	}
	return size, err
}

func (o *onboarding) backedUp(path string, size int64, v *adminapi.Verified) error {
	if !o.json {
		fmt.Fprintf(o.out, "%s holds the store: %d bytes\n", path, size)
		o.printVerifiedLedger(v)
	} else if err := o.printJSON(map[string]any{"file": path, "size": size, "ledger": v}); err != nil {
		return err
	}
	if !v.Whole {
		return refused(errSilent)
	}
	return nil // also if no checkpoint confirms it yet
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
