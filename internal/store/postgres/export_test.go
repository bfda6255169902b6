package postgres

import "testing"

// For tests of a schema that a later program knows.
var (
	MigrateFiles = migrate
	PrepareFiles = prepare
	Migrations   = migrations
)

// Known is how many steps of the schema this program knows.
func Known(t *testing.T) int {
	t.Helper()
	steps, err := readSteps(migrations)
	if err != nil {
		t.Fatal(err)
	}
	return len(steps)
}

// NewDatabase makes a database on the server of this package's tests.
func NewDatabase(t *testing.T) string {
	t.Helper()
	return server.NewDatabase(t)
}
