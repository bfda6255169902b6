package local

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"moneyer/internal/pgtest"
)

// Database is the name of the database.
const Database = "moneyer"

func (s *Cluster) startDatabase(ctx context.Context) (err error) {
	if len(s.options.Addresses) > 0 {
		return nil
	}
	s.say("Starting PostgreSQL: a primary and %d standbys, of which each commit waits for one ...", s.options.Standbys)
	if s.Primary, err = pgtest.Start(ctx, s.options.Database); err != nil {
		return err
	}
	s.Servers = append(s.Servers, s.Primary)
	for n := range s.options.Standbys {
		standby, err := s.Primary.Standby(ctx, fmt.Sprint("standby", n+1))
		if err != nil {
			return err
		}
		s.Servers = append(s.Servers, standby)
	}
	if err := s.Primary.SetSync(ctx, 1, s.others(s.Primary)...); err != nil {
		return err
	}
	return s.Primary.Exec(ctx, "CREATE DATABASE "+Database)
}

// addresses returns the addresses of the PostgreSQL servers.
func (s *Cluster) addresses() []string {
	list := slices.Clone(s.options.Addresses)
	for _, server := range s.Servers {
		list = append(list, server.Addr())
	}
	return list
}

// others returns all servers but the given ones.
func (s *Cluster) others(but ...*pgtest.Server) []*pgtest.Server {
	return slices.DeleteFunc(slices.Clone(s.Servers), func(server *pgtest.Server) bool { return slices.Contains(but, server) })
}

// FailOver promotes the most advanced standby after the primary was killed, and makes the other
// standbys follow it. The old primary is not changed.
func (s *Cluster) FailOver(ctx context.Context) error {
	old := s.Primary
	if old.Running() {
		return errors.New("the primary is still running: two servers would accept writes")
	}
	running := slices.DeleteFunc(s.others(old), func(server *pgtest.Server) bool { return !server.Running() })
	heir, err := pgtest.Newest(ctx, running...)
	if err != nil {
		return err
	}
	if err := heir.Promote(ctx, 1, s.others(heir)...); err != nil {
		return err
	}
	s.Primary = heir
	for _, server := range running {
		if server == heir {
			continue
		}
		if err := server.Follow(ctx, heir); err != nil {
			return err
		}
	}
	return nil
}

// Complete starts what is not running, and returns when every replica is ready and every server
// follows the primary.
func (s *Cluster) Complete(ctx context.Context) error {
	if err := s.completeDatabase(ctx); err != nil {
		return err
	}
	return s.launchReplicas(ctx)
}

func (s *Cluster) completeDatabase(ctx context.Context) error {
	if s.Primary == nil {
		return nil
	}
	if !s.Primary.Running() {
		if err := s.Primary.Restart(ctx); err != nil {
			return err
		}
	}
	standbys := s.others(s.Primary)
	for _, server := range standbys {
		if server.Running() && server.Follows(ctx, s.Primary) {
			continue
		}
		if err := server.Follow(ctx, s.Primary); err != nil {
			return err
		}
	}
	return s.Primary.SetSync(ctx, 1, standbys...)
}
