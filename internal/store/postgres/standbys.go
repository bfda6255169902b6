package postgres

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/store/engine"
)

// standby is a row of pg_stat_replication.
type standby struct {
	name, state, sync string
	pid               int
	behind, flushed   int64   // bytes
	silent            float64 // seconds since its last reply, by its own clock
	frozen            bool
}

// A standby that is behind and has not moved for frozenAfter, or has not replied for
// silentAfter, is frozen: the connection is there, and it acknowledges nothing.
const (
	frozenAfter = time.Second
	silentAfter = 45 * time.Second
)

// standbys checks that an acknowledged commit is on more than one machine.
func (e *checker) standbys(ctx context.Context) error {
	names, err := e.setting(ctx, "synchronous_standby_names")
	if err != nil {
		return err
	}
	all, err := e.connectedStandbys(ctx)
	if err != nil {
		return err
	}
	if names == "" {
		e.Add("standbys", engine.Warn, fmt.Sprintf("synchronous_standby_names is empty; %d connected", len(all)),
			"if this machine is lost, the last acknowledged commits are lost, and used assertions can be used again: run standbys, and set synchronous_standby_names = 'ANY 1 (...)'")
		return nil
	}
	visible, err := value[bool](ctx, e.conn, `SELECT pg_has_role(current_user, 'pg_read_all_stats', 'USAGE')`)
	if err != nil {
		return err
	}
	if !visible {
		e.Add("standbys", engine.Warn, "synchronous_standby_names = "+names+"; this role may not see their state", "GRANT pg_monitor to the role")
		return nil
	}
	if all, err = e.frozenStandbys(ctx, all); err == nil {
		e.judgeStandbys(names, all)
	}
	return err
}

func (e *checker) connectedStandbys(ctx context.Context) ([]standby, error) {
	rows, err := e.conn.Query(ctx, `SELECT coalesce(application_name, ''), coalesce(state, ''), coalesce(sync_state, ''), pid,
		coalesce(pg_wal_lsn_diff(pg_current_wal_flush_lsn(), flush_lsn), 0)::bigint, coalesce(pg_wal_lsn_diff(flush_lsn, '0/0'), 0)::bigint,
		coalesce(extract(epoch FROM clock_timestamp() - reply_time), 0)::float8 FROM pg_stat_replication ORDER BY 1`)
	if err != nil {
		return nil, err
	}
	return pgx.CollectRows(rows, func(row pgx.CollectableRow) (s standby, err error) {
		return s, row.Scan(&s.name, &s.state, &s.sync, &s.pid, &s.behind, &s.flushed, &s.silent)
	})
}

// frozenStandbys looks again at standbys, and marks those that do not move.
func (e *checker) frozenStandbys(ctx context.Context, before []standby) (all []standby, err error) {
	if slices.ContainsFunc(before, func(s standby) bool { return s.behind > 0 }) {
		wait := time.NewTimer(frozenAfter)
		defer wait.Stop()
		select {
		case <-wait.C:
		case <-ctx.Done():
			return nil, ctx.Err()
		}
	}
	if all, err = e.connectedStandbys(ctx); err != nil {
		return nil, err
	}
	for i := range all {
		s := &all[i]
		s.frozen = s.silent > silentAfter.Seconds() || slices.ContainsFunc(before, func(b standby) bool {
			return b.pid == s.pid && b.behind > 0 && b.flushed == s.flushed
		})
	}
	return all, nil
}

func (e *checker) judgeStandbys(names string, all []standby) {
	needed, found, inStep := neededStandbys(names), []string{}, 0
	for _, s := range all {
		if s.frozen {
			s.state = "frozen"
		}
		if s.state == "streaming" && (s.sync == "quorum" || s.sync == "sync" || s.sync == "potential") {
			inStep++
		}
		found = append(found, fmt.Sprintf("%s %s (%s), %d bytes behind", s.name, s.state, s.sync, s.behind))
	}
	text := fmt.Sprintf("synchronous_standby_names = %s: %s", names, strings.Join(found, "; "))
	switch {
	case inStep < needed:
		e.Add("standbys", engine.Bad, fmt.Sprintf("%s; %d needed and %d there", text, needed, inStep), "commits wait for standbys that are not there, and no token is minted: start them")
	case inStep == needed:
		e.Add("standbys", engine.Warn, text, "no standby may be lost, unless a tool such as Patroni replaces it: run one more than are needed")
	default:
		e.Add("standbys", engine.Good, text, "")
	}
}

// neededStandbys returns how many standbys must acknowledge a commit.
func neededStandbys(names string) int {
	number := regexp.MustCompile(`(?i)^\s*(?:ANY|FIRST)?\s*(\d+)\s*\(`).FindStringSubmatch(names)
	if number == nil {
		return 1 // a plain list of names
	}
	n, err := strconv.Atoi(number[1])
	if err != nil {
		return 1
	}
	return n
}
