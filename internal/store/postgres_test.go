package store_test

import (
	"testing"
	"time"

	"moneyer/internal/store"
	"moneyer/internal/store/storetest"
)

// openPostgres opens a new, empty database.
func openPostgres(tb testing.TB) storetest.Store {
	tb.Helper()
	return openReplica(tb, store.PostgresForTests.NewDatabase(tb))
}

func openReplica(tb testing.TB, url string) *store.DB {
	tb.Helper()
	db, err := store.Open(tb.Context(), url, store.Options{Now: time.Now})
	if err != nil {
		tb.Fatal(err)
	}
	tb.Cleanup(func() {
		if err := db.Close(); err != nil {
			tb.Error(err)
		}
	})
	return db
}
