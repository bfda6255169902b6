package postgres

import (
	"context"
	"crypto/tls"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
)

// checker checks a database and collects the findings.
type checker struct {
	engine.Findings
	url  *URL
	now  func() time.Time
	conn *pgx.Conn
}

// Check checks the server that takes writes, with the connection settings of the writer.
func Check(ctx context.Context, u *URL, now func() time.Time) []engine.Finding {
	e := &checker{url: u, now: now}
	conn, _, err := u.dial(ctx, writeSettings())
	if err != nil {
		e.Add("connection", engine.Bad, err.Error(), "the URL, the server's pg_hba.conf and the role's password; of a pooler, that it passes settings on")
		return e.Findings
	}
	defer func() { _ = conn.Close(context.WithoutCancel(ctx)) }()
	e.conn = conn
	for _, look := range []struct {
		what string
		at   func(context.Context) error
	}{
		{"server", e.server}, {"TLS", e.tls}, {"durability", e.durability}, {"standbys", e.standbys}, {"clock", e.clock}, {"clocks", e.clocks},
		{"settings", e.settings}, {"session", e.sessionSettings}, {"pooler", e.pooler}, {"notifications", e.notifications}, {"snapshots", e.snapshots}, {"history", e.wentBack}, {"schema", e.database}, {"rights", e.rights},
	} {
		if err := look.at(ctx); err != nil {
			e.Add(look.what, engine.Bad, unavailable(err).Error(), "look at the server's log")
		}
	}
	return e.Findings
}

// value queries one value.
func value[T any](ctx context.Context, conn *pgx.Conn, query string, args ...any) (v T, err error) {
	err = conn.QueryRow(ctx, query, args...).Scan(&v)
	return v, err
}

func (e *checker) setting(ctx context.Context, name string) (string, error) {
	return value[string](ctx, e.conn, `SELECT coalesce(current_setting($1, true), '')`, name)
}

const (
	oldestServer = 14
	oldestTested = 15
)

func (e *checker) server(ctx context.Context) error {
	version, err := e.setting(ctx, "server_version")
	if err != nil {
		return err
	}
	number, err := e.setting(ctx, "server_version_num")
	if err != nil {
		return err
	}
	n, err := strconv.Atoi(number)
	if err != nil {
		return err
	}
	level := engine.Warn
	if n/10000 < oldestServer {
		level = engine.Bad
	}
	e.Judge("server", n/10000 >= oldestTested, level, "PostgreSQL "+version, fmt.Sprintf("use %d or newer, with which Moneyer is tested", oldestTested))
	readOnly, err := value[bool](ctx, e.conn, `SELECT pg_is_in_recovery() OR current_setting('transaction_read_only') = 'on'`)
	if err != nil {
		return err
	}
	where, err := value[string](ctx, e.conn, `SELECT coalesce(host(inet_server_addr()) || ':' || inet_server_port(), 'a socket')`)
	if err != nil {
		return err
	}
	e.Judge("primary", !readOnly, engine.Bad, map[bool]string{false: where + " takes writes", true: where + " takes no writes"}[readOnly],
		"let the URL name every server, with target_session_attrs=read-write")
	return nil
}

func (e *checker) tls(context.Context) error {
	_, secure := e.conn.PgConn().Conn().(*tls.Conn)
	switch {
	case secure:
		e.Add("TLS", engine.Good, "in use, with a verified certificate", "")
	default: // the URL is refused where the host is elsewhere
		e.Add("TLS", engine.Good, "not in use: the server is on this machine", "")
	}
	return nil
}

// durability checks that an acknowledged commit is on disk.
func (e *checker) durability(ctx context.Context) error {
	for _, name := range []string{"fsync", "full_page_writes"} {
		is, err := e.setting(ctx, name)
		if err != nil {
			return err
		}
		e.Judge(name, is == "on", engine.Bad, is, "set "+name+" = on: without it a power cut destroys the database")
	}
	is, err := e.setting(ctx, "synchronous_commit")
	if err != nil {
		return err
	}
	e.Judge("synchronous_commit", is == "on", engine.Bad, is+" in Moneyer's sessions", "Moneyer asks for \"on\": let nothing between here and the server drop it")
	return nil
}

// clock compares this machine's clock with the server's: each replica uses its own clock
// to decide when assertions expire and how long they are kept.
func (e *checker) clock(ctx context.Context) error {
	before := e.now()
	server, err := value[time.Time](ctx, e.conn, `SELECT clock_timestamp()`)
	if err != nil {
		return err
	}
	after := e.now()
	difference := server.Sub(before.Add(after.Sub(before) / 2)).Abs()
	level := engine.Warn
	if difference > 5*time.Second {
		level = engine.Bad
	}
	e.Judge("clock", difference < 500*time.Millisecond, level, fmt.Sprintf("%s difference to the server's", difference.Round(time.Millisecond)),
		"let every machine's clock follow the same time servers")
	return nil
}

// clocks compares the clocks of the replicas that are up.
func (e *checker) clocks(ctx context.Context) error {
	var up int
	var apart float64
	found, err := value[bool](ctx, e.conn, `SELECT to_regclass('replica') IS NOT NULL`)
	if err != nil || !found {
		return err
	}
	err = e.conn.QueryRow(ctx, `SELECT count(*), coalesce(max(clock_min + clock_max) - min(clock_min + clock_max), 0) / 2e6
		FROM replica WHERE NOT has_left AND seen > now() - interval '5 seconds' AND clock_max IS NOT NULL`).Scan(&up, &apart)
	if err != nil {
		return err
	}
	level := engine.Warn
	if apart > engine.MaxClockOff.Seconds() {
		level = engine.Bad
	}
	e.Judge("clocks", apart < 0.5, level, fmt.Sprintf("those of %d replicas are %.3f s apart", up, apart),
		"let every machine's clock follow the same time servers: a replica that is more than a second off the others is not ready; `moneyer store status` shows which")
	return nil
}

// settings checks server settings that cause errors, and the number of connections.
func (e *checker) settings(ctx context.Context) error {
	for _, s := range []struct{ name, want, advice string }{
		{"server_encoding", "UTF8", "make the database with ENCODING 'UTF8'"},
		{"default_transaction_isolation", "read committed", "ALTER ROLE ... SET default_transaction_isolation = 'read committed'"},
		{"transaction_timeout", "0", "ALTER ROLE ... SET transaction_timeout = 0: the server ends transactions that wait for the standbys"},
	} {
		is, err := e.setting(ctx, s.name)
		if err != nil {
			return err
		}
		e.Judge(s.name, is == s.want || is == "", engine.Warn, is, s.advice)
	}
	most, err := value[int](ctx, e.conn, `SELECT current_setting('max_connections')::int - current_setting('superuser_reserved_connections')::int`)
	if err != nil {
		return err
	}
	const beside = 4 // the writer, the feed, and maintenance
	fit := most / (e.url.pool + beside)
	e.Judge("max_connections", fit >= 4, engine.Warn, fmt.Sprintf("room for %d replicas with pool_max_conns=%d", fit, e.url.pool),
		"raise max_connections, or lower pool_max_conns in the URL")
	return nil
}

// sessionSettings checks that the server applied the settings of writeSettings.
func (e *checker) sessionSettings(ctx context.Context) error {
	var lost []string
	for name, want := range writeSettings() {
		is, err := value[string](ctx, e.conn, `SELECT setting FROM pg_settings WHERE name = $1`, name)
		if err != nil {
			return err
		}
		if is != want && !strings.HasPrefix(name, "tcp_") { // which do not apply to a socket in the file system
			lost = append(lost, name)
		}
	}
	slices.Sort(lost)
	found := "as Moneyer asks for them"
	if len(lost) > 0 {
		found = "not as Moneyer asks for them: " + strings.Join(lost, ", ")
	}
	e.Judge("session", len(lost) == 0, engine.Bad, found, "let nothing between here and the server drop them, such as pgbouncer's ignore_startup_parameters: without them one lost replica can hold up all")
	return nil
}

// pooler detects a proxy, and one that gives each transaction another server session.
func (e *checker) pooler(ctx context.Context) error {
	pid, err := value[uint32](ctx, e.conn, `SELECT pg_backend_pid() FROM set_config('moneyer.probe', 'kept', false)`)
	if err != nil {
		return err
	}
	other, _, err := e.url.dial(ctx, writeSettings())
	if err != nil {
		return err
	}
	defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
	// A pooler of transactions gives this one the session that the probe was left in.
	if _, err := other.Exec(ctx, "BEGIN"); err != nil {
		return err
	}
	kept, err := value[bool](ctx, e.conn, `SELECT coalesce(current_setting('moneyer.probe', true), '') = 'kept' AND pg_backend_pid() = $1`, int(pid))
	switch {
	case err != nil:
		return err
	case !kept:
		e.Add("pooler", engine.Bad, "a proxy gives each transaction another session of the server", "connect to the server itself, or let the proxy pool sessions: pool_mode = session")
	case pid != e.conn.PgConn().PID():
		e.Add("pooler", engine.Warn, "a proxy is between Moneyer and the server, and keeps sessions", "connect to the server itself: the proxy is one more component that can fail, and hides a failover")
	default:
		e.Add("pooler", engine.Good, "none", "")
	}
	return nil
}

// notifications checks that LISTEN and NOTIFY work, which wake replicas after a change.
func (e *checker) notifications(ctx context.Context) error {
	// Of a name that no replica listens to.
	if _, err := e.conn.Exec(ctx, "LISTEN moneyer_check"); err != nil {
		return err
	}
	other, _, err := e.url.dial(ctx, writeSettings())
	if err != nil {
		return err
	}
	defer func() { _ = other.Close(context.WithoutCancel(ctx)) }()
	begun := e.now()
	if _, err := other.Exec(ctx, "SELECT pg_notify('moneyer_check', '')"); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	_, err = e.conn.WaitForNotification(ctx)
	if err != nil && !errors.Is(ctx.Err(), context.DeadlineExceeded) {
		return err
	}
	e.Judge("notifications", err == nil, engine.Warn, map[bool]string{true: "received after " + e.now().Sub(begun).Round(time.Millisecond).String(), false: "not received within a second"}[err == nil],
		"replicas read changes only every 250 ms: use a connection that supports LISTEN")
	return nil
}
