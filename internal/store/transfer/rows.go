package transfer

import (
	"context"
	"errors"
	"fmt"
	"reflect"

	"moneyer/internal/store/engine"
)

// Rows is rows of a table, stored by column as PostgreSQL's unnest needs them.
type Rows struct {
	Table   *Table
	Columns []Values
	N       int
}

// Values is the values of one column. One of the lists is used, by Kind.
type Values struct {
	Kind    Kind
	Texts   []string
	Numbers []int64
	Bytes   [][]byte
}

// NewRows returns an empty Rows of a table.
func NewRows(t *Table) *Rows {
	r := &Rows{Table: t, Columns: make([]Values, len(t.Columns))}
	for i, c := range t.Columns {
		r.Columns[i].Kind = c.Kind
	}
	return r
}

// next adds a row and returns pointers to its values.
func (r *Rows) next() []any {
	r.N++
	into := make([]any, len(r.Columns))
	for i := range r.Columns {
		into[i] = r.Columns[i].next()
	}
	return into
}

// Add adds a row.
func (r *Rows) Add(row ...any) {
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

func (v *Values) next() any {
	switch v.Kind {
	case Text:
		v.Texts = append(v.Texts, "")
		return &v.Texts[len(v.Texts)-1]
	case Number:
		v.Numbers = append(v.Numbers, 0)
		return &v.Numbers[len(v.Numbers)-1]
	default:
		v.Bytes = append(v.Bytes, nil)
		return &v.Bytes[len(v.Bytes)-1]
	}
}

// At returns the i-th value. Empty bytes are not NULL.
func (v *Values) At(i int) any {
	switch v.Kind {
	case Text:
		return v.Texts[i]
	case Number:
		return v.Numbers[i]
	default:
		return append([]byte{}, v.Bytes[i]...)
	}
}

// All returns every value, for unnest.
func (v *Values) All() any {
	switch v.Kind {
	case Text:
		return v.Texts
	case Number:
		return v.Numbers
	default:
		for i, o := range v.Bytes {
			if o == nil {
				v.Bytes[i] = []byte{}
			}
		}
		return v.Bytes
	}
}

// Row returns the first n values of the i-th row.
func (r *Rows) Row(i, n int) []any {
	row := make([]any, n)
	for c := range row {
		row[c] = r.Columns[c].At(i)
	}
	return row
}

// lastKey returns the key of the last row, or nil.
func (r *Rows) lastKey() []any {
	if r.N == 0 {
		return nil
	}
	return r.Row(r.N-1, r.Table.Key)
}

// equal reports whether both have the same rows.
func (r *Rows) equal(other *Rows) bool {
	for i := range r.Columns {
		if !reflect.DeepEqual(r.Columns[i].All(), other.Columns[i].All()) {
			return false
		}
	}
	return true
}

// eachUsed visits the rows of UsedTable.
func (r *Rows) eachUsed(visit func(key engine.Key, until int64, sealed []byte) error) error {
	keys, untils, sealed := r.Columns[0].Bytes, r.Columns[1].Numbers, r.Columns[2].Bytes
	for i := range r.N {
		if len(keys[i]) < len(engine.Key{}) {
			return errors.New("a row of use_up is broken")
		}
		if err := visit(engine.Key(keys[i]), untils[i], sealed[i]); err != nil {
			return err
		}
	}
	return nil
}

// EachUsed visits the rows of UsedTable that expire after forgotten and satisfy a condition,
// "AND ..." or empty.
func EachUsed(ctx context.Context, q Querier, condition string, forgotten int64, visit func(key engine.Key, until int64, sealed []byte) error) error {
	t := UsedTable()
	clause := fmt.Sprintf("WHERE until > $1 AND key > $2 %s ORDER BY key LIMIT %d", condition, t.AtOnce)
	for after := any([]byte{}); ; {
		some, err := t.Query(ctx, q, clause, forgotten*1000, after)
		if err != nil {
			return err
		}
		if err := some.eachUsed(visit); err != nil {
			return err
		}
		if some.N < t.AtOnce {
			return nil
		}
		after = some.Columns[0].At(some.N - 1)
	}
}
