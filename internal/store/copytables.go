package store

import (
	"context"
	"database/sql"
	"fmt"
	"reflect"
	"strings"
)

// querier reads and writes outside of the writer.
type querier interface {
	ExecContext(ctx context.Context, query string, args ...any) (sql.Result, error)
	QueryContext(ctx context.Context, query string, args ...any) (*sql.Rows, error)
	QueryRowContext(ctx context.Context, query string, args ...any) *sql.Row
}

// table is one that is copied row by row.
type table struct {
	name    string
	columns []column
	key     int // the first columns that are the key
	atOnce  int // rows that are held at once
}

type column struct {
	name string
	kind kind
}

// kind is a type of PostgreSQL.
type kind string

const (
	text   kind = "text"
	number kind = "bigint"
	octets kind = "bytea"
)

// registryTables lists what is the same in SQLite and PostgreSQL, each table after
// those to which it refers.
func registryTables() []table {
	issuer, mac := column{"issuer", text}, column{"mac", octets}
	return []table{
		{"client", []column{issuer, {"id", text}, {"revision", number}, {"document", octets}, mac}, 2, 1000},
		{"client_key", []column{issuer, {"client", text}, {"kid", text}, {"thumbprint", text}, {"environment", text}, {"not_after", number}}, 3, 5000},
		{"client_api_key", []column{issuer, {"digest", octets}, {"client", text}}, 2, 5000},
		{"merchant", []column{issuer, {"id", text}, {"client", text}, {"document", octets}, mac}, 2, 1000},
		{"card_token", []column{issuer, {"id", text}, {"merchant", text}, {"scheme", text}}, 2, 5000},
		{"signing_keys", []column{issuer, {"revision", number}, {"document", octets}, mac}, 1, 100},
		{"last_used", []column{issuer, {"client", text}, {"credential", text}, {"at", number}}, 3, 5000},
		{"revocation", []column{issuer, {"id", text}, {"until", number}, {"document", octets}, mac}, 2, 5000},
	}
}

// ledgerTable is the last: it is far larger than all others.
func ledgerTable() table {
	return table{"ledger_batch", []column{{"first_seq", number}, {"count", number}, {"time_min", number}, {"time_max", number},
		{"previous", octets}, {"last", octets}, {"marks", octets}, {"lines", octets}}, 1, 500}
}

// The used-up assertions, of which SQLite packs those that left nothing behind.
func usedTable() table {
	return table{"use_up", []column{{"key", octets}, {"until", number}, {"sealed", octets}}, 1, 5000}
}

func packedTable() table {
	return table{"used_batch", []column{{"until", number}, {"first_seq", number}, {"keys", octets}}, 2, 500}
}

func (t *table) names(columns []column) string {
	names := make([]string, len(columns))
	for i, c := range columns {
		names[i] = c.name
	}
	return strings.Join(names, ", ")
}

// parameters lists $1 to $n.
func parameters(n int) string {
	list := make([]string, n)
	for i := range list {
		list[i] = fmt.Sprintf("$%d", i+1)
	}
	return strings.Join(list, ", ")
}

// read reads the rows after a key, or the first ones.
func (t *table) read(ctx context.Context, q querier, after []any) (*rows, error) {
	where, key := "", t.names(t.columns[:t.key])
	if after != nil {
		where = fmt.Sprintf("WHERE (%s) > (%s)", key, parameters(t.key))
	}
	return t.query(ctx, q, fmt.Sprintf("%s ORDER BY %s LIMIT %d", where, key, t.atOnce), after...)
}

// query reads the rows that a clause selects.
func (t *table) query(ctx context.Context, q querier, clause string, args ...any) (*rows, error) {
	found, err := q.QueryContext(ctx, fmt.Sprintf("SELECT %s FROM %s %s", t.names(t.columns), t.name, clause), args...)
	if err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	defer func() { _ = found.Close() }()
	r := newRows(t)
	for found.Next() {
		if err := found.Scan(r.next()...); err != nil {
			return nil, fmt.Errorf("%s: %w", t.name, err)
		}
	}
	if err := found.Err(); err != nil {
		return nil, fmt.Errorf("%s: %w", t.name, err)
	}
	return r, nil
}

// greatest reads the greatest key there is, nil if there is none.
func (t *table) greatest(ctx context.Context, q querier) ([]any, error) {
	order := make([]string, t.key)
	for i := range order {
		order[i] = t.columns[i].name + " DESC"
	}
	last, err := t.query(ctx, q, fmt.Sprintf("ORDER BY %s LIMIT 1", strings.Join(order, ", ")))
	if err != nil {
		return nil, err
	}
	return last.lastKey(), nil
}

func (t *table) count(ctx context.Context, q querier) (n int64, err error) {
	if err := q.QueryRowContext(ctx, "SELECT count(*) FROM "+t.name).Scan(&n); err != nil {
		return 0, fmt.Errorf("%s: %w", t.name, err)
	}
	return n, nil
}

// rows of a table, held column by column as PostgreSQL takes many at once.
type rows struct {
	table   *table
	columns []values
	n       int
}

// values of one column, of which one list is in use.
type values struct {
	kind    kind
	texts   []string
	numbers []int64
	octets  [][]byte
}

func newRows(t *table) *rows {
	r := &rows{table: t, columns: make([]values, len(t.columns))}
	for i, c := range t.columns {
		r.columns[i].kind = c.kind
	}
	return r
}

// next makes room for a row and returns where its values belong.
func (r *rows) next() []any {
	r.n++
	into := make([]any, len(r.columns))
	for i := range r.columns {
		into[i] = r.columns[i].next()
	}
	return into
}

// add takes a row.
func (r *rows) add(row ...any) {
	for i, into := range r.next() {
		switch into := into.(type) {
		case *string:
			*into, _ = row[i].(string)
		case *int64:
			*into, _ = row[i].(int64)
		case *[]byte:
			*into, _ = row[i].([]byte)
		}
	}
}

func (v *values) next() any {
	switch v.kind {
	case text:
		v.texts = append(v.texts, "")
		return &v.texts[len(v.texts)-1]
	case number:
		v.numbers = append(v.numbers, 0)
		return &v.numbers[len(v.numbers)-1]
	default:
		v.octets = append(v.octets, nil)
		return &v.octets[len(v.octets)-1]
	}
}

// at returns the i-th value. No octets are not NULL.
func (v *values) at(i int) any {
	switch v.kind {
	case text:
		return v.texts[i]
	case number:
		return v.numbers[i]
	default:
		return append([]byte{}, v.octets[i]...)
	}
}

// all returns every value, for unnest.
func (v *values) all() any {
	switch v.kind {
	case text:
		return v.texts
	case number:
		return v.numbers
	default:
		for i, o := range v.octets {
			if o == nil {
				v.octets[i] = []byte{}
			}
		}
		return v.octets
	}
}

// row returns the first n values of the i-th row.
func (r *rows) row(i, n int) []any {
	row := make([]any, n)
	for c := range row {
		row[c] = r.columns[c].at(i)
	}
	return row
}

// lastKey is where the next rows follow; nil when there are no rows.
func (r *rows) lastKey() []any {
	if r.n == 0 {
		return nil
	}
	return r.row(r.n-1, r.table.key)
}

// equal tells whether both hold the same.
func (r *rows) equal(other *rows) bool {
	for i := range r.columns {
		if !reflect.DeepEqual(r.columns[i].all(), other.columns[i].all()) {
			return false
		}
	}
	return true
}
