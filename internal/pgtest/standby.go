package pgtest

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"time"
)

// followTimeout is how long a standby may take to stream from a new primary before it is created
// again.
const followTimeout = 10 * time.Second

// Standby creates a standby of this server from a base backup, and returns when it accepts queries.
func (s *Server) Standby(ctx context.Context, name string) (*Server, error) {
	standby, err := newServer(name, s.parent)
	if err != nil {
		return nil, err
	}
	err = standby.copyFrom(ctx, s)
	if err == nil {
		err = standby.startAtFreePort(ctx)
	}
	if err != nil {
		return nil, errors.Join(err, standby.Remove())
	}
	return standby, nil
}

// copyFrom creates the data of a standby.
func (s *Server) copyFrom(ctx context.Context, primary *Server) error {
	err := s.run(ctx, "pg_basebackup", "--pgdata="+s.data(), "--dbname="+s.conninfo(primary),
		"--write-recovery-conf", "--checkpoint=fast", "--no-sync")
	if err != nil {
		return err
	}
	// The primary's synchronous standbys do not apply to this server.
	return s.append("postgresql.auto.conf", "synchronous_standby_names = ''\n")
}

// conninfo returns the connection settings of a standby for its primary.
func (s *Server) conninfo(primary *Server) string {
	return fmt.Sprintf("host=127.0.0.1 port=%d user=%s sslmode=disable application_name=%s", primary.port, User, s.name)
}

// SetSync makes each commit wait for quorum of the standbys, and returns when all of them are
// streaming. Without standbys commits do not wait.
func (s *Server) SetSync(ctx context.Context, quorum int, standbys ...*Server) error {
	if err := s.wantSync(ctx, quorum, standbys); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	return s.wait(ctx, func(ctx context.Context) error {
		n, err := query[int](ctx, s, "SELECT count(DISTINCT application_name) FROM pg_stat_replication"+
			" WHERE application_name = ANY($1) AND state = 'streaming' AND sync_state IN ('sync', 'quorum')", names(standbys))
		if err == nil && n < len(standbys) {
			err = fmt.Errorf("%d of the standbys %v follow %s", n, names(standbys), s.name)
		}
		return err
	})
}

func (s *Server) wantSync(ctx context.Context, quorum int, standbys []*Server) error {
	setting := ""
	if len(standbys) > 0 {
		setting = fmt.Sprintf("ANY %d (%s)", quorum, strings.Join(names(standbys), ", "))
	}
	return s.set(ctx, "synchronous_standby_names", setting)
}

func names(servers []*Server) []string {
	list := []string{}
	for _, s := range servers {
		list = append(list, s.name)
	}
	return list
}

// set changes a setting of the running server. The command itself does not wait for standbys.
func (s *Server) set(ctx context.Context, name, value string) error {
	if err := s.Exec(ctx, "ALTER SYSTEM SET "+name+" = "+quote(value)); err != nil {
		return err
	}
	return s.Exec(ctx, "SELECT pg_reload_conf()")
}

// Promote makes the standby a primary and returns when it accepts writes. From the start its
// commits wait for quorum of the given standbys, which must Follow it.
func (s *Server) Promote(ctx context.Context, quorum int, standbys ...*Server) error {
	if err := s.wantSync(ctx, quorum, standbys); err != nil {
		return err
	}
	ok, err := query[bool](ctx, s, "SELECT pg_promote(true, 60)")
	if err == nil && !ok {
		err = fmt.Errorf("%s was not promoted within a minute", s.name)
	}
	return err
}

// Newest returns the standby that has received the most WAL. That is the one to promote: others may
// lack commits.
func Newest(ctx context.Context, standbys ...*Server) (*Server, error) {
	var newest *Server
	most := int64(-1)
	for _, standby := range standbys {
		received, err := query[int64](ctx, standby,
			"SELECT greatest(pg_last_wal_receive_lsn(), pg_last_wal_replay_lsn()) - '0/0'::pg_lsn")
		if err != nil {
			return nil, err
		}
		if received > most {
			newest, most = standby, received
		}
	}
	if newest == nil {
		return nil, errors.New("there is no standby to promote")
	}
	return newest, nil
}

// Follow makes the server a standby of another. A running standby is pointed to the new primary;
// anything else is created again from a base backup. It returns when the server streams from the
// primary.
func (s *Server) Follow(ctx context.Context, primary *Server) error {
	if s.Running() {
		standby, err := query[bool](ctx, s, "SELECT pg_is_in_recovery()")
		if err == nil && standby && s.repoint(ctx, primary) == nil {
			return nil
		}
	}
	if err := s.Kill(); err != nil {
		return err
	}
	removeSharedMemory(s.data())
	if err := s.makeData(); err != nil {
		return err
	}
	if err := s.copyFrom(ctx, primary); err != nil {
		return err
	}
	if err := s.launch(ctx); err != nil {
		return err
	}
	return s.awaitStream(ctx, primary)
}

// repoint fails if the standby has received WAL that the new primary lacks.
func (s *Server) repoint(ctx context.Context, primary *Server) error {
	if err := s.set(ctx, "primary_conninfo", s.conninfo(primary)); err != nil {
		return err
	}
	return s.awaitStream(ctx, primary)
}

func (s *Server) awaitStream(ctx context.Context, primary *Server) error {
	ctx, cancel := context.WithTimeout(ctx, followTimeout)
	defer cancel()
	return s.wait(ctx, func(ctx context.Context) error {
		if !s.Follows(ctx, primary) {
			return fmt.Errorf("%s does not follow %s", s.name, primary.name)
		}
		return nil
	})
}

// Follows reports whether the server receives what the primary writes.
func (s *Server) Follows(ctx context.Context, primary *Server) bool {
	ok, err := query[bool](ctx, primary,
		"SELECT EXISTS (SELECT FROM pg_stat_replication WHERE application_name = $1 AND state = 'streaming')", s.name)
	return err == nil && ok
}
