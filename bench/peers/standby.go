package peers

import (
	"context"
	"fmt"
	"net"
	"path/filepath"
	"strings"
	"time"

	"moneyer/bench/subject"
)

// standbyName is the standby's name in synchronous_standby_names.
const standbyName = "standby"

// WithStandby returns the programs of a primary, and of one standby on whose disk each commit must be
// before it is acknowledged. prepare is called when this is so.
func (d *Database) WithStandby(ctx context.Context, prepare func(context.Context) error) ([]subject.Program, error) {
	address, err := subject.FreeAddress(ctx)
	if err != nil {
		return nil, err
	}
	_, port, err := net.SplitHostPort(address)
	if err != nil {
		return nil, err
	}
	standby := &Database{programs: d.programs, data: filepath.Join(filepath.Dir(d.data), standbyName), port: port, environment: d.environment}
	if err := standby.makeData(ctx); err != nil {
		return nil, err
	}
	primary := d.Program(ctx, func(ctx context.Context) error { return d.copyTo(ctx, standby) })
	follower := standby.Program(ctx, func(ctx context.Context) error {
		if err := d.awaitStandby(ctx); err != nil {
			return err
		}
		return prepare(ctx)
	})
	// The primary's own setting is copied, too.
	follower.Command.Args = append(follower.Command.Args, "-c", "synchronous_standby_names=")
	primary.Role, follower.Role = subject.Primary, subject.Standby
	return []subject.Program{primary, follower}, nil
}

// copyTo copies the data to a standby, and makes commits wait for it.
func (d *Database) copyTo(ctx context.Context, standby *Database) error {
	from := fmt.Sprintf("host=127.0.0.1 port=%s user=bench sslmode=disable application_name=%s", d.port, standbyName)
	copying := standby.command(ctx, "pg_basebackup", "--pgdata="+standby.data, "--dbname="+from, "--write-recovery-conf", "--checkpoint=fast")
	if output, err := copying.CombinedOutput(); err != nil {
		return fmt.Errorf("pg_basebackup: %w\n%s", err, output)
	}
	if _, err := d.Query(ctx, "ALTER SYSTEM SET synchronous_standby_names = '"+standbyName+"'"); err != nil {
		return err
	}
	_, err := d.Query(ctx, "SELECT pg_reload_conf()")
	return err
}

// awaitStandby waits until commits wait for the standby.
func (d *Database) awaitStandby(ctx context.Context) error {
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	for {
		states, err := d.Query(ctx, "SELECT state, sync_state FROM pg_stat_replication")
		if err != nil {
			return err
		}
		if strings.TrimSpace(states) == "streaming|sync" {
			return nil
		}
		select {
		case <-time.After(10 * time.Millisecond):
		case <-ctx.Done():
			return fmt.Errorf("the standby does not follow: %q: %w", states, ctx.Err())
		}
	}
}

// Query returns the rows of a query, with | between columns.
func (d *Database) Query(ctx context.Context, query string) (string, error) {
	ask := d.command(ctx, "psql", "--no-psqlrc", "--no-align", "--tuples-only", "--dbname="+d.URL(), "--command="+query)
	output, err := ask.CombinedOutput()
	if err != nil {
		return "", fmt.Errorf("psql: %w: %s", err, output)
	}
	return string(output), nil
}
