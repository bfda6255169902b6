// Package patroni runs three PostgreSQL servers under Patroni, a common high availability setup:
// they elect the primary through etcd and fail over automatically. All programs come from Debian,
// listen on loopback, and end with the process that started them.
package patroni

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"syscall"
	"time"

	"github.com/jackc/pgx/v5"

	"moneyer/internal/pgtest"
)

// ErrMissing means that Patroni or etcd is not installed.
var ErrMissing = errors.New("patroni or etcd is missing: apt-get install patroni etcd-server")

const (
	members      = 3
	startTimeout = 2 * time.Minute
	askAgain     = 50 * time.Millisecond
)

// A Cluster is PostgreSQL under Patroni. Its methods must not be called concurrently.
type Cluster struct {
	folder  *pgtest.Folder
	etcd    string // address of etcd
	Members []*Member
}

// A Member is one server with its Patroni.
type Member struct {
	Name   string
	folder string
	// Addresses of PostgreSQL and Patroni.
	address, api string
}

// Start creates a cluster with a database, and returns when one member accepts writes and commits
// wait for another one.
func Start(ctx context.Context, database string) (*Cluster, error) {
	for _, program := range []string{"patroni", "etcd"} {
		if _, err := exec.LookPath(program); err != nil {
			return nil, ErrMissing
		}
	}
	folder, err := pgtest.NewFolder("", "moneyer-patroni-")
	if err != nil {
		return nil, err
	}
	c := &Cluster{folder: folder}
	if err := c.start(ctx, database); err != nil {
		return nil, errors.Join(err, c.LogTails(), c.Close())
	}
	return c, nil
}

// Close stops and removes everything.
func (c *Cluster) Close() error { return c.folder.Remove() }

func (c *Cluster) start(ctx context.Context, database string) error {
	if err := os.Chmod(c.folder.Path, 0o711); err != nil { //nolint:gosec // others pass through to their own folders
		return err
	}
	if err := c.startEtcd(ctx); err != nil {
		return err
	}
	for n := range members {
		if err := c.add(ctx, fmt.Sprint("member", n+1)); err != nil {
			return err
		}
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	leader, err := c.AwaitWhole(ctx)
	if err != nil {
		return err
	}
	conn, err := pgx.Connect(ctx, fmt.Sprintf("postgres://%s@%s/postgres?sslmode=disable", pgtest.User, leader.address))
	if err != nil {
		return err
	}
	_, err = conn.Exec(ctx, "CREATE DATABASE "+database)
	return errors.Join(err, conn.Close(ctx))
}

// Addresses returns the addresses of the members' PostgreSQL servers.
func (c *Cluster) Addresses() (list []string) {
	for _, m := range c.Members {
		list = append(list, m.address)
	}
	return list
}

func loopback(ctx context.Context) (string, error) {
	port, err := pgtest.FreePort(ctx)
	return "127.0.0.1:" + strconv.Itoa(port), err
}

func (c *Cluster) startEtcd(ctx context.Context) (err error) {
	if c.etcd, err = loopback(ctx); err != nil {
		return err
	}
	peer, err := loopback(ctx)
	if err != nil {
		return err
	}
	folder := filepath.Join(c.folder.Path, "etcd")
	if err := os.Mkdir(folder, 0o700); err != nil {
		return err
	}
	peer = "http://" + peer
	return launch(folder, nil, "etcd", "--data-dir=data", "--unsafe-no-fsync", "--listen-client-urls=http://"+c.etcd, "--advertise-client-urls=http://"+c.etcd,
		"--listen-peer-urls="+peer, "--initial-advertise-peer-urls="+peer, "--initial-cluster=default="+peer)
}

// launch starts a program in a folder; it ends with the folder.
func launch(folder string, who *syscall.Credential, name string, args ...string) error {
	log, err := os.OpenFile(filepath.Join(folder, "log"), os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	command := exec.CommandContext(context.Background(), name, args...)
	command.Dir, command.Stdout, command.Stderr = folder, log, log
	command.SysProcAttr = &syscall.SysProcAttr{Setpgid: true, Credential: who}
	if err := errors.Join(command.Start(), log.Close()); err != nil {
		return err
	}
	go func() { _ = command.Wait() }() // the cause is in its log
	return nil
}

// configuration returns Patroni's settings as JSON, which is valid YAML. ttl is the time after
// which a lost leader is replaced; strict: a commit always waits for a standby, and only that one
// is promoted.
func (c *Cluster) configuration(m *Member, programs string) ([]byte, error) {
	type object = map[string]any
	login := object{"username": pgtest.User}
	return json.MarshalIndent(object{
		"scope": "moneyer", "name": m.Name,
		"restapi": object{"listen": m.api, "connect_address": m.api},
		"etcd3":   object{"host": c.etcd},
		"bootstrap": object{
			"dcs": object{"ttl": 10, "loop_wait": 1, "retry_timeout": 4, "maximum_lag_on_failover": 1 << 20,
				"primary_start_timeout": 0, "master_start_timeout": 0, "synchronous_mode": true, "synchronous_mode_strict": true,
				"postgresql": object{"use_pg_rewind": true, "use_slots": true, "parameters": object{
					"max_connections": 100, "wal_keep_size": "256MB", "wal_log_hints": "on", "shared_buffers": "32MB", "dynamic_shared_memory_type": "mmap"}}},
			"initdb": []any{object{"encoding": "UTF8"}, "no-locale", "no-sync", object{"auth": "trust"}},
		},
		"postgresql": object{
			"listen": m.address, "connect_address": m.address, "data_dir": filepath.Join(m.folder, "data"), "bin_dir": programs,
			"pgpass": filepath.Join(m.folder, "pgpass"), "authentication": object{"superuser": login, "replication": login, "rewind": login},
			"pg_hba":     []string{"host all all 127.0.0.1/32 trust", "host replication all 127.0.0.1/32 trust", "local all all trust"},
			"parameters": object{"unix_socket_directories": m.folder},
		},
	}, "", " ")
}

func (c *Cluster) add(ctx context.Context, name string) (err error) {
	m := &Member{Name: name, folder: filepath.Join(c.folder.Path, name)}
	for _, address := range []*string{&m.address, &m.api} {
		if *address, err = loopback(ctx); err != nil {
			return err
		}
	}
	programs, err := pgtest.Programs()
	if err != nil {
		return err
	}
	text, err := c.configuration(m, programs)
	if err != nil {
		return err
	}
	if err := os.Mkdir(m.folder, 0o700); err != nil {
		return err
	}
	file := filepath.Join(m.folder, "patroni.json")
	if err := os.WriteFile(file, text, 0o600); err != nil {
		return err
	}
	who, err := pgtest.Credential()
	if err != nil {
		return err
	}
	if who != nil {
		if err := errors.Join(os.Chown(m.folder, int(who.Uid), int(who.Gid)), os.Chown(file, int(who.Uid), int(who.Gid))); err != nil {
			return err
		}
	}
	c.Members = append(c.Members, m)
	return m.Launch()
}

// Launch starts the member's Patroni, which starts its PostgreSQL.
func (m *Member) Launch() error {
	who, err := pgtest.Credential()
	if err != nil {
		return err
	}
	return launch(m.folder, who, "patroni", "patroni.json")
}

// Kill kills Patroni, PostgreSQL and all their processes at once, like a power cut.
func (m *Member) Kill() error { return pgtest.KillAll(m.folder) }

// Crash kills PostgreSQL alone; Patroni keeps running.
func (m *Member) Crash() error { return pgtest.KillAll(filepath.Join(m.folder, "data")) }

// A role is the state that a member's Patroni reports.
type role struct {
	State string `json:"state"`
	Role  string `json:"role"`
	Sync  bool   `json:"sync_standby"`
}

func (m *Member) role(ctx context.Context) (r role, err error) {
	ctx, cancel := context.WithTimeout(ctx, time.Second)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, http.MethodGet, "http://"+m.api+"/patroni", nil)
	if err != nil {
		return r, err
	}
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return r, err
	}
	defer func() { _ = resp.Body.Close() }() // read only
	text, err := io.ReadAll(resp.Body)
	if err != nil {
		return r, err
	}
	return r, json.Unmarshal(text, &r)
}

// AwaitWhole waits until every member runs, one accepts writes, and commits wait for another one.
// It returns the primary.
func (c *Cluster) AwaitWhole(ctx context.Context) (leader *Member, err error) {
	again := time.NewTicker(askAgain)
	defer again.Stop()
	for {
		leader, told := c.whole(ctx)
		if leader != nil {
			return leader, nil
		}
		select {
		case <-again.C:
		case <-ctx.Done():
			return nil, fmt.Errorf("the cluster did not become complete: %s", told)
		}
	}
}

// whole returns the primary if the cluster is complete, and what the members report.
func (c *Cluster) whole(ctx context.Context) (leader *Member, told string) {
	leaders, syncs := 0, 0
	for _, m := range c.Members {
		r, err := m.role(ctx)
		told += fmt.Sprintf("%s: %+v %v; ", m.Name, r, err)
		switch {
		case err != nil || r.State != "running":
			return nil, told
		case r.Role == "master" || r.Role == "primary":
			leaders++
			leader = m
		case r.Sync:
			syncs++
		}
	}
	if leaders != 1 || syncs == 0 {
		return nil, told
	}
	return leader, told
}

// LogTails returns an error with the ends of all logs.
func (c *Cluster) LogTails() error {
	const most = 3 << 10
	logs, err := filepath.Glob(filepath.Join(c.folder.Path, "*", "log"))
	for _, log := range logs {
		text, readErr := os.ReadFile(log)
		err = errors.Join(err, readErr, fmt.Errorf("%s:\n%s", log, text[max(0, len(text)-most):]))
	}
	return err
}
