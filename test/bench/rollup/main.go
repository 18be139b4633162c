// Command rollup measures how fast completed windows get into Postgres and come out of its
// views, and prints tables of it. It exits with 1 when something costs more than its bound
// allows. It starts a Postgres of its own. Each way of writing is compared with COPY in the
// same run, turn by turn, because absolute times say little on a shared machine.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net/url"
	"os"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
)

func main() {
	validators := flag.Int("validators", 1000, "number of validators whose windows are written")
	windows := flag.Int("windows", 15, "windows that are written in each round; 15 are a day")
	rounds := flag.Int("rounds", 2, "rounds of writing, each into fresh databases")
	many := flag.Int("many", 10_000, "number of validators whose days are read")
	days := flag.Int("days", 365, "days of each of them")
	queries := flag.Int("queries", 200, "queries of each kind")
	flag.Parse()

	ctx := context.Background()
	ok, err := run(ctx, os.Stdout, func(pg *server, out io.Writer) (bool, error) {
		quick, err := writing(ctx, pg, out, *validators, *windows, *rounds)
		if err != nil {
			return false, err
		}
		dayBytes, answered, err := reading(ctx, pg, out, *many, *days, *queries)
		if err != nil {
			return false, err
		}
		return quick && answered, disk(ctx, pg, out, dayBytes)
	})
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

// run measures on a server of its own.
func run(ctx context.Context, out io.Writer, measure func(*server, io.Writer) (bool, error)) (ok bool, err error) {
	// Without fsync, which COPY and the store have to wait for alike: it would hide what the
	// store does beside. With little log, for the sake of the disk.
	started, err := pgtest.New(pgtest.Fast(),
		pgtest.Setting("wal_level", "minimal"), pgtest.Setting("max_wal_senders", "0"), pgtest.Setting("max_wal_size", "512MB"))
	if err != nil {
		return false, err
	}
	defer func() { err = errors.Join(err, started.Close()) }()
	pg := &server{Server: started}

	var version string
	if err := pg.connected(ctx, "postgres", func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SHOW server_version`).Scan(&version)
	}); err != nil {
		return false, err
	}
	version, _, _ = strings.Cut(version, " ")
	fmt.Fprintf(out, "Postgres %s as it is installed, but without fsync\n\n", version)
	if ok, err = measure(pg, out); err != nil {
		return false, err
	}
	if !ok {
		fmt.Fprintln(out, "A bound is broken.")
	}
	return ok, nil
}

// server makes databases.
type server struct {
	*pgtest.Server
	made int
}

// database makes a database, empty or a copy of another, and returns its name.
func (s *server) database(ctx context.Context, template string) (name string, err error) {
	s.made++
	name = fmt.Sprintf("bench_%d", s.made)
	sql := "CREATE DATABASE " + name
	if template != "" {
		sql += " TEMPLATE " + template
	}
	return name, s.Exec(ctx, sql)
}

func (s *server) drop(ctx context.Context, names ...string) error {
	for _, name := range names {
		if err := s.Exec(ctx, "DROP DATABASE "+name+" WITH (FORCE)"); err != nil {
			return err
		}
	}
	return nil
}

func (s *server) url(database string) string {
	u, err := url.Parse(s.URL())
	if err != nil {
		panic(err) // the server's own
	}
	u.Path = database
	return u.String()
}

// connected runs do with a connection to a database.
func (s *server) connected(ctx context.Context, database string, do func(*pgx.Conn) error) error {
	conn, err := pgx.Connect(ctx, s.url(database))
	if err != nil {
		return err
	}
	defer conn.Close(ctx)
	return do(conn)
}

// ratio is how many times as fast as base w was, as the median over what both did one
// after the other.
func ratio(base, w *way) float64 {
	ratios := make([]float64, len(w.took))
	for i, took := range w.took {
		ratios[i] = float64(base.took[i]) / float64(took)
	}
	slices.Sort(ratios)
	return ratios[len(ratios)/2]
}

func percentile(p int, of []time.Duration) time.Duration {
	sorted := slices.Sorted(slices.Values(of))
	return sorted[min(len(sorted)-1, len(sorted)*p/100)]
}
