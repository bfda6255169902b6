package postgres

import (
	"context"
	"fmt"
	"strings"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
	"moneyer/internal/store/transfer"
)

// database checks the schema, the replicas and the partitions.
func (e *checker) database(ctx context.Context) error {
	steps, err := readSteps(migrations)
	if err != nil {
		return err
	}
	s := engine.Status{Known: len(steps)}
	if s.Version, s.Oldest, err = readVersion(ctx, e.conn); err != nil {
		return err
	}
	if s.Unfinished, err = value[bool](ctx, e.conn, `SELECT to_regclass('`+transfer.Unfinished+`') IS NOT NULL`); err != nil {
		return err
	}
	e.Schema(&s)
	if s.Version == 0 {
		return nil
	}
	up, err := value[int](ctx, e.conn, `SELECT count(*) FROM replica WHERE NOT has_left AND seen > now() - interval '5 seconds'`)
	if err != nil {
		return err
	}
	e.Judge("replicas", up != 1, engine.Warn, fmt.Sprintf("%d up", up), "run at least two replicas: a single one serves nobody while it restarts")
	if err := e.standing(ctx); err != nil {
		return err
	}
	return e.partitions(ctx)
}

// standing checks what the store records of its own past.
func (e *checker) standing(ctx context.Context) error {
	s, err := engine.ReadStanding(func(query string, dest ...any) error { return e.conn.QueryRow(ctx, query).Scan(dest...) })
	if err == nil {
		e.Clock(&s, e.now(), engine.MaxHorizon)
	}
	return err
}

// partitions checks that the partition of tomorrow exists: replicas create it when they
// first write today.
func (e *checker) partitions(ctx context.Context) error {
	all, err := value[int](ctx, e.conn, `SELECT count(*) FROM pg_inherits WHERE inhparent = 'ledger_batch'::regclass`)
	if err != nil {
		return err
	}
	today := e.now().UnixMilli() / day
	written, err := value[bool](ctx, e.conn, `SELECT to_regclass($1) IS NOT NULL`, partitionOf(today))
	if err != nil {
		return err
	}
	next, err := value[bool](ctx, e.conn, `SELECT to_regclass($1) IS NOT NULL`, partitionOf(today+1))
	if err != nil {
		return err
	}
	e.Judge("partitions", !written || next, engine.Warn, fmt.Sprintf("%d days of the ledger", all), "the partition of tomorrow is missing, and is created when it is needed: check that the role owns ledger_batch")
	if all > 1000 {
		e.Add("partitions", engine.Warn, fmt.Sprintf("%d days of the ledger", all), "set ledger.retention, so that old days are removed")
	}
	return nil
}

// rights checks the privileges of the role, and lists those that are missing.
func (e *checker) rights(ctx context.Context) error {
	role, err := value[string](ctx, e.conn, `SELECT current_user::text`)
	if err != nil {
		return err
	}
	super, err := value[bool](ctx, e.conn, `SELECT rolsuper FROM pg_roles WHERE rolname = current_user`)
	if err != nil {
		return err
	}
	missing, err := e.missingRights(ctx)
	if err != nil {
		return err
	}
	name := pgx.Identifier{role}.Sanitize()
	switch {
	case len(missing) > 0:
		e.Add("rights", engine.Bad, fmt.Sprintf("role %s lacks %s", role, strings.Join(missing, ", ")),
			fmt.Sprintf("as the database's owner: GRANT CREATE, USAGE ON SCHEMA public TO %[1]s; and let %[1]s own the tables: ALTER TABLE ... OWNER TO %[1]s", name))
	case super:
		e.Add("rights", engine.Warn, "role "+role+" is a superuser", "use a role of Moneyer's own, which owns its tables and nothing else")
	default:
		e.Add("rights", engine.Good, "role "+role+" has what it needs, and is no superuser", "")
	}
	return nil
}

func (e *checker) missingRights(ctx context.Context) (missing []string, err error) {
	rows, err := e.conn.Query(ctx, `SELECT 'CREATE in the schema ' || coalesce(current_schema(), '(none of the search_path is there)')
			WHERE NOT coalesce(has_schema_privilege(current_schema(), 'CREATE'), false)
		UNION ALL SELECT wanted || ' on ' || relname FROM pg_class, unnest(ARRAY['SELECT', 'INSERT', 'UPDATE', 'DELETE']) AS wanted
			WHERE relnamespace = current_schema()::regnamespace AND relkind IN ('r', 'p') AND relname = ANY($1) AND NOT has_table_privilege(oid, wanted)
		UNION ALL SELECT 'ownership of ' || relname FROM pg_class
			WHERE oid = to_regclass('ledger_batch') AND NOT pg_has_role(relowner, 'USAGE')`, tableNames())
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, pgx.RowTo[string])
}

// tableNames lists the tables of a database.
func tableNames() []string {
	names := []string{"schema_version", "ledger_chain", "used_forgotten", "store", "replica", "registry_revision", "registry_change"}
	for _, t := range append(transfer.RegistryTables(), transfer.UsedTable(), transfer.LedgerTable()) {
		names = append(names, t.Name)
	}
	return names
}
