package transfer

import (
	"context"
	"fmt"
	"strings"
)

// Table is a table that is copied row by row.
type Table struct {
	Name    string
	Columns []Column
	Key     int // the number of first columns that are the key
	AtOnce  int // the number of rows in memory
}

// Column is a column of a table.
type Column struct {
	Name string
	Kind Kind
}

// Kind is a type of PostgreSQL.
type Kind string

// The types that columns have.
const (
	Text   Kind = "text"
	Number Kind = "bigint"
	Bytes  Kind = "bytea"
)

// RegistryTables lists the tables that are the same in SQLite and PostgreSQL, each after
// those that it references.
func RegistryTables() []Table {
	issuer, mac := Column{"issuer", Text}, Column{"mac", Bytes}
	return []Table{
		{"client", []Column{issuer, {"id", Text}, {"revision", Number}, {"document", Bytes}, mac}, 2, 1000},
		{"client_key", []Column{issuer, {"client", Text}, {"kid", Text}, {"thumbprint", Text}, {"environment", Text}, {"not_after", Number}}, 3, 5000},
		{"client_digest", []Column{issuer, {"digest", Bytes}, {"client", Text}}, 2, 5000},
		{"client_jwks_uri", []Column{issuer, {"client", Text}, {"uri", Text}, {"environment", Text}}, 2, 5000},
		{"account", []Column{issuer, {"id", Text}, {"client", Text}, {"document", Bytes}, mac}, 2, 1000},
		{"item", []Column{issuer, {"id", Text}, {"account", Text}, {"kind", Text}, mac}, 2, 5000},
		{"signing_keys", []Column{issuer, {"revision", Number}, {"document", Bytes}, mac}, 1, 100},
		{"last_used", []Column{issuer, {"client", Text}, {"credential", Text}, {"at", Number}}, 3, 5000},
		{"registry_state", []Column{{"revision", Number}, {"sealed", Bytes}}, 1, 10},
		{"revocation", []Column{issuer, {"id", Text}, {"until", Number}, {"document", Bytes}, mac}, 2, 5000},
	}
}

// LedgerTable is copied last: it is far larger than all others.
func LedgerTable() Table {
	return Table{"ledger_batch", []Column{{"first_seq", Number}, {"count", Number}, {"time_min", Number}, {"time_max", Number},
		{"previous", Bytes}, {"last", Bytes}, {"marks", Bytes}, {"lines", Bytes}}, 1, 500}
}

// UsedTable is the table of consumed values. A file packs those without sealed data into
// another table.
func UsedTable() Table {
	return Table{"use_up", []Column{{"key", Bytes}, {"until", Number}, {"sealed", Bytes}}, 1, 5000}
}

// Names lists columns for a statement.
func Names(columns []Column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.Name
	}
	return strings.Join(names, ", ")
}

// Parameters lists $1 to $n.
func Parameters(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", i+1)
	}
	return strings.Join(list, ", ")
}

// Read reads the rows after a key, or the first ones.
func (t *Table) Read(ctx context.Context, q Querier, after []any) (*Rows, error) {
	where, key := "", Names(t.Columns[:t.Key])
	if after != nil {
		where = fmt.Sprintf("WHERE (%s) > (%s)", key, Parameters(t.Key))
	}
	return t.Query(ctx, q, fmt.Sprintf("%s ORDER BY %s LIMIT %d", where, key, t.AtOnce), after...)
}

// Query reads the rows that a clause selects.
func (t *Table) Query(ctx context.Context, q Querier, clause string, args ...any) (*Rows, error) {
	found, err := q.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s %s", Names(t.Columns), t.Name, clause), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	defer func() { _ = found.Close() }()
	r := NewRows(t)
	for found.Next() {
		if err := found.Scan(r.next()...); err != nil {
			return nil, fmt.Errorf("%s: %w", t.Name, err)
		}
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", t.Name, err)
	}
	return r, nil
}

// greatest reads the greatest key, or nil.
func (t *Table) greatest(ctx context.Context, q Querier) ([]any, error) {
	order := make([]string, t.Key)
	for i := range order {
		order[i] = t.Columns[i].Name + " DESC"
	}
	last, err := t.Query(ctx, q, fmt.Sprintf("ORDER BY %s LIMIT 1", strings.Join(order, ", ")))
	if err != nil {
		return nil, err
	}
	return last.lastKey(), nil
}

// Count counts the rows.
func (t *Table) Count(ctx context.Context, q Querier) (n int64, err error) {
	if err := q.QueryRowContext(ctx, "SELECT count(*) FROM "+t.Name).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", t.Name, err)
	}
	return n, nil
}
