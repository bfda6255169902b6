package moneyer

import (
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"time"

	"moneyer/bench/peers"
	"moneyer/bench/subject"
)

// Replicas describes a number of Moneyers on one PostgreSQL whose commits wait for the disk of a
// standby. Each has the whole configuration, and any of them answers a request.
func Replicas(o Options, count int) subject.Server {
	o.Postgres = true
	s := Server(o)
	s.Configure = func(ctx context.Context, folder, address string) (*subject.Setup, error) {
		return o.replicas(ctx, folder, address, count)
	}
	s.ConfigureTLS = nil
	return s
}

func (o *Options) replicas(ctx context.Context, folder, address string, count int) (*subject.Setup, error) {
	_, binary := o.build()
	version, err := versionOf(ctx, binary)
	if err != nil {
		return nil, err
	}
	db, err := peers.NewDatabase(ctx, folder)
	if err != nil {
		return nil, err
	}
	there := *o
	there.Clients, there.store = max(o.Clients, 1), db.URL()
	setup := &subject.Setup{
		Signs:     signsWith(version),
		Exchanges: there.exchanges("http://" + address),
		Count:     func(ctx context.Context) (subject.Counts, error) { return counts(ctx, db) },
	}
	if setup.Replicas, err = addressesOf(ctx, address, count); err != nil {
		return nil, err
	}
	text, err := there.configurationAt(ctx, address, address)
	if err != nil {
		return nil, err
	}
	setup.Beside, err = db.WithStandby(ctx, func(ctx context.Context) error { return there.fill(ctx, folder, text) })
	if err != nil {
		return nil, err
	}
	for i, at := range setup.Replicas {
		replica, err := there.replica(ctx, binary, filepath.Join(folder, fmt.Sprintf("replica-%d.toml", i+1)), at, address)
		if err != nil {
			return nil, err
		}
		if i == 0 {
			setup.Server = replica
		} else {
			setup.Beside = append(setup.Beside, replica)
		}
	}
	return setup, nil
}

// addressesOf returns the addresses of so many replicas, of which the first is given.
func addressesOf(ctx context.Context, first string, count int) ([]string, error) {
	all := []string{first}
	for len(all) < count {
		next, err := subject.FreeAddress(ctx)
		if err != nil {
			return nil, err
		}
		all = append(all, next)
	}
	return all, nil
}

// replica configures one that listens at an address, and has the issuers of the first one.
func (o *Options) replica(ctx context.Context, binary, file, address, first string) (subject.Program, error) {
	text, err := o.configurationAt(ctx, address, first)
	if err != nil {
		return subject.Program{}, err
	}
	return subject.Program{
		Command: exec.CommandContext(context.WithoutCancel(ctx), binary, "serve", "--config", file),
		Role:    subject.Replica,
		Ready:   subject.Answers("http://" + address + "/readyz"),
	}, os.WriteFile(file, []byte(text), 0o600)
}

// configurationAt returns the configuration of a replica that listens at an address, and has the
// issuers of the first one.
func (o *Options) configurationAt(ctx context.Context, address, first string) (string, error) {
	admin, err := subject.FreeAddress(ctx)
	if err != nil {
		return "", err
	}
	text := configuration(o, first, admin, nil)
	return strings.Replace(text, fmt.Sprintf("address = %q", first), fmt.Sprintf("address = %q", address), 1), nil
}

// counts reads what a database has done so far. A session reports its times once a second.
func counts(ctx context.Context, db *peers.Database) (c subject.Counts, err error) {
	text, err := db.Query(ctx, `SELECT count(*), coalesce(sum(count), 0), (pg_current_wal_lsn() - '0/0')::bigint,
		(SELECT xact_commit || ' ' || active_time || ' ' || idle_in_transaction_time FROM pg_stat_database WHERE datname = current_database())
		FROM ledger_batch`)
	if err != nil {
		return c, err
	}
	var active, between float64 // milliseconds
	if _, err := fmt.Sscan(strings.ReplaceAll(text, "|", " "), &c.Commits, &c.Appends, &c.WAL, &c.Transactions, &active, &between); err != nil {
		return c, fmt.Errorf("the counts of the database, %q: %w", text, err)
	}
	c.Active, c.Between = time.Duration(active*float64(time.Millisecond)), time.Duration(between*float64(time.Millisecond))
	return c, nil
}
