package store_test

import (
	"testing"
	"time"

	"moneyer/internal/rowauth/rowauthtest"
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
	db, err := store.Open(tb.Context(), url, store.Options{Create: true, RowKey: rowauthtest.Key(), Now: time.Now})
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

// openReplicas opens a new, empty database n times.
func openReplicas(tb testing.TB, n int) []storetest.Store {
	tb.Helper()
	url := store.PostgresForTests.NewDatabase(tb)
	stores := make([]storetest.Store, n)
	for i := range stores {
		stores[i] = openReplica(tb, url)
	}
	return stores
}

func TestReplicas(t *testing.T) {
	t.Parallel()
	storetest.RunReplicas(t, openReplicas)
}

func TestReplicaMutants(t *testing.T) {
	t.Parallel()
	storetest.RunReplicaMutants(t, openReplicas)
}
