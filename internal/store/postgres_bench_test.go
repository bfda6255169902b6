package store_test

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"

	"moneyer/internal/pgtest"
	"moneyer/internal/store"
)

// BenchmarkReplicas measures tokens with consumed values over three replicas, on a
// primary whose commits wait for one of two standbys, and beside it the same with a
// transaction for each token on a connection for each caller.
func BenchmarkReplicas(b *testing.B) {
	url := synchronous(b)
	var replicas [3]*store.DB
	for i := range replicas {
		replicas[i] = openReplica(b, url)
	}
	pool := poolOf(b, url, 256)
	for _, callers := range []int{64, 256} {
		b.Run(fmt.Sprint("shared/", callers), func(b *testing.B) {
			spread(b, pool, callers, func(caller int) error {
				e, u := tokenEntry(), use()
				e.Time, u.Until = time.Now(), time.Now().Add(5*time.Minute)
				return replicas[caller%len(replicas)].Append(context.Background(), e, u)
			})
		})
		b.Run(fmt.Sprint("each/", callers), func(b *testing.B) {
			connections := make(chan struct{}, callers)
			spread(b, pool, callers, func(int) error {
				connections <- struct{}{}
				defer func() { <-connections }()
				return insertOne(pool)
			})
		})
	}
}

// synchronous starts a primary with two standbys and returns its URL.
func synchronous(b *testing.B) string {
	b.Helper()
	ctx := context.Background()
	primary, err := pgtest.Start(ctx, pgtest.Options{Settings: map[string]string{"max_connections": "400", "shared_buffers": "256MB", "max_wal_size": "4GB"}})
	pgtest.Require(b, err)
	b.Cleanup(func() { _ = primary.Remove() })
	var standbys []*pgtest.Server
	for _, name := range []string{"s1", "s2"} {
		standby, err := primary.Standby(ctx, name)
		if err != nil {
			b.Fatal(err)
		}
		b.Cleanup(func() { _ = standby.Remove() })
		standbys = append(standbys, standby)
	}
	if err := primary.SetSync(ctx, 1, standbys...); err != nil {
		b.Fatal(err)
	}
	if err := primary.Exec(ctx, "CREATE DATABASE bench"); err != nil {
		b.Fatal(err)
	}
	return primary.URL("bench")
}

func poolOf(b *testing.B, url string, connections int32) *pgxpool.Pool {
	b.Helper()
	config, err := pgxpool.ParseConfig(url)
	if err != nil {
		b.Fatal(err)
	}
	config.MaxConns, config.MinConns = connections, connections
	pool, err := pgxpool.NewWithConfig(context.Background(), config)
	if err != nil {
		b.Fatal(err)
	}
	b.Cleanup(pool.Close)
	return pool
}

// spread has so many callers at once do b.N things, and reports what the primary
// wrote to its log for each.
func spread(b *testing.B, pool *pgxpool.Pool, callers int, do func(caller int) error) {
	b.Helper()
	written := func() (size float64) {
		if err := pool.QueryRow(context.Background(), `SELECT pg_current_wal_lsn() - '0/0'`).Scan(&size); err != nil {
			b.Fatal(err)
		}
		return size
	}
	before := written()
	var left atomic.Int64
	left.Store(int64(b.N))
	b.ResetTimer()
	var wg sync.WaitGroup
	for caller := range callers {
		wg.Go(func() {
			for left.Add(-1) >= 0 {
				if err := do(caller); err != nil {
					b.Error(err)
					return
				}
			}
		})
	}
	wg.Wait()
	b.StopTimer()
	b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "tokens/s")
	b.ReportMetric((written()-before)/float64(b.N), "WAL-bytes/token")
}

// insertOne is what a token costs without a shared commit, in one round trip.
func insertOne(pool *pgxpool.Pool) error {
	e, u := tokenEntry(), use()
	e.Time = time.Now()
	line, err := e.AppendJSON(nil)
	if err != nil {
		return err
	}
	var batch pgx.Batch
	batch.Queue("BEGIN")
	batch.Queue(`INSERT INTO use_up (key, until, sealed) VALUES ($1, $2, '')`, u.Value[:16], e.Time.Add(5*time.Minute).UnixMilli())
	batch.Queue(`INSERT INTO ledger_batch (first_seq, count, time_min, time_max, previous, last, marks, lines)
		VALUES ($1, 1, $2, $2, $3, $3, '', $4)`, int64(8000)<<40+alone.Add(1), e.Time.UnixMilli(), u.Value[:], line)
	word := ""
	batch.Queue("COMMIT").QueryRow(func(row pgx.Row) error {
		if err := row.Scan(); !errors.Is(err, pgx.ErrNoRows) {
			return err
		}
		word = "COMMIT"
		return nil
	})
	if err := pool.SendBatch(context.Background(), &batch).Close(); err != nil {
		return err
	}
	if word == "" {
		return errors.New("not committed")
	}
	return nil
}

// alone counts the tokens that had a transaction of their own.
var alone atomic.Int64
