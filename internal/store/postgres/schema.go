package postgres

import (
	"context"
	"fmt"

	"moneyer/internal/store/engine"
)

// foreignParts finds what decides over the statements of a replica and is not from the
// migrations: on a table, or on one that belongs to it, as a partition does.
const foreignParts = `WITH RECURSIVE ours AS (
		SELECT oid, relname, relkind, relrowsecurity FROM pg_class
			WHERE relnamespace = current_schema()::regnamespace AND relname = ANY($1)
		UNION SELECT c.oid, c.relname, c.relkind, c.relrowsecurity
			FROM ours JOIN pg_inherits ON inhparent = ours.oid JOIN pg_class AS c ON c.oid = inhrelid)
	SELECT found FROM (
		SELECT format('%s is not a table', relname) AS found FROM ours WHERE relkind NOT IN ('r', 'p', 'i', 'I')
		UNION ALL SELECT format('the trigger %s on %s', tgname, relname) FROM ours JOIN pg_trigger ON tgrelid = ours.oid WHERE NOT tgisinternal
		UNION ALL SELECT format('the rule %s on %s', rulename, relname) FROM ours JOIN pg_rewrite ON ev_class = ours.oid WHERE relkind IN ('r', 'p')
		UNION ALL SELECT format('row security on %s', relname) FROM ours WHERE relrowsecurity
		UNION ALL SELECT format('a table that inherits %s', relname) FROM ours JOIN pg_inherits ON inhparent = ours.oid WHERE relkind = 'r'
		UNION ALL SELECT format('the generated column %s of %s', attname, relname) FROM ours JOIN pg_attribute ON attrelid = ours.oid
			WHERE attgenerated <> '' AND NOT attisdropped
		UNION ALL SELECT format('the constraint %s on %s', conname, relname) FROM ours JOIN pg_constraint ON conrelid = ours.oid
			WHERE contype = 'c' OR contype = 'f' AND (confdeltype <> 'a' OR confupdtype <> 'a')
		UNION ALL SELECT format('an index of %s by an expression', relname) FROM ours JOIN pg_index ON indrelid = ours.oid
			WHERE indexprs IS NOT NULL OR indpred IS NOT NULL
	) AS parts ORDER BY found LIMIT 5`

// CheckSchema returns an error if the schema of a database has parts that the migrations do
// not make and that decide what a statement reads and writes: triggers, rules, views in the
// place of tables. Further tables and plain indexes are no error.
func CheckSchema(ctx context.Context, reads *engine.Reader) error {
	return reads.List(ctx, foreignParts, []any{tableNames()}, func(scan func(...any) error) error {
		var found string
		if err := scan(&found); err != nil {
			return err
		}
		return fmt.Errorf("%w: it has %s", engine.ErrSchema, found)
	})
}
