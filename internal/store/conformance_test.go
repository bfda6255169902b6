package store_test

import (
	"path/filepath"
	"testing"

	"moneyer/internal/store/storetest"
)

func openEmpty(tb testing.TB) storetest.Store {
	tb.Helper()
	db := open(tb, filepath.Join(tb.TempDir(), "moneyer.db"))
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}

func TestConformance(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) { storetest.Run(t, openEmpty) })
	t.Run("PostgreSQL", func(t *testing.T) { storetest.Run(t, openPostgres) })
}

func TestMutants(t *testing.T) {
	t.Parallel()
	t.Run("SQLite", func(t *testing.T) { storetest.RunMutants(t, openEmpty) })
	t.Run("PostgreSQL", func(t *testing.T) { storetest.RunMutants(t, openPostgres) })
}
