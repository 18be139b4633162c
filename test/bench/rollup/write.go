package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// Bounds on rows per second, as parts of those of COPY.
const (
	minNew   = 0.5
	minFirst = 0.4 // while series are made, once in their life
	minRetry = 0.25
)

// way is a way to get a window into a database, with the times that it took.
type way struct {
	name  string
	bound float64 // 0: none
	// prepare comes before write and is not timed. It may be nil.
	prepare, write func(ctx context.Context, rows []store.Row) error

	took []time.Duration
}

func (w *way) time(ctx context.Context, rows []store.Row) error {
	if w.prepare != nil {
		if err := w.prepare(ctx, rows); err != nil {
			return fmt.Errorf("%s, before it: %w", w.name, err)
		}
	}
	start := time.Now()
	err := w.write(ctx, rows)
	w.took = append(w.took, time.Since(start))
	if err != nil {
		return fmt.Errorf("%s: %w", w.name, err)
	}
	return nil
}

// writing compares ways to write windows with COPY, in batches as Prometheus sends them.
func writing(ctx context.Context, pg *server, out io.Writer, validators, windows, rounds int) (ok bool, err error) {
	series := fleet(validators)
	fmt.Fprintf(out, "### Writing\n\n%d validators, %d groups and the network: %d rows a window, in batches of %d; medians of %d windows\n\n",
		validators, groups, len(series), batchSize, rounds*windows)

	template, ids, err := withSeries(ctx, pg, series)
	if err != nil {
		return false, err
	}
	var all []*way // of the first round, with the times of all
	for round := range rounds {
		ways, end, err := waysToWrite(ctx, pg, template, series, ids)
		if err != nil {
			return false, err
		}
		for window := range windows {
			rows := windowRows(series, window+1)
			turn := slices.Clone(ways)
			for range (round + window) % len(turn) { // none always comes first
				turn = append(turn[1:], turn[0])
			}
			for _, w := range slices.Concat(turn...) {
				if err := w.time(ctx, rows); err != nil {
					return false, fmt.Errorf("window %d: %w", window, err)
				}
			}
		}
		if err := end(); err != nil {
			return false, err
		}
		for i, w := range slices.Concat(ways...) {
			if round == 0 {
				all = append(all, w)
			} else {
				all[i].took = append(all[i].took, w.took...)
			}
		}
	}
	fmt.Fprintln(out, "| way | rows a second | of COPY | bound |")
	fmt.Fprintln(out, "|---|--:|--:|--:|")
	ok = true
	for _, w := range all {
		speed := ratio(all[0], w)
		bound := "none"
		if w.bound > 0 {
			bound = fmt.Sprintf("≥ %.2f", w.bound)
			ok = ok && speed >= w.bound
		}
		fmt.Fprintf(out, "| %s | %.0f | %.2f | %s |\n", w.name, float64(len(series))/percentile(50, w.took).Seconds(), speed, bound)
	}
	fmt.Fprintln(out)
	first, err := firstWrite(ctx, pg, out, template, series, ids)
	if err != nil {
		return false, err
	}
	return ok && first, pg.drop(ctx, template)
}

// withSeries makes a database in which every series has one window, number 0, and returns
// the id of each.
func withSeries(ctx context.Context, pg *server, series [][]store.Label) (database string, ids []int64, err error) {
	if database, err = migrated(ctx, pg); err != nil {
		return "", nil, err
	}
	s, err := openStore(ctx, pg, database)
	if err != nil {
		return "", nil, err
	}
	defer s.Close()
	if err := writeAll(ctx, s, windowRows(series, 0), store.Result{Written: len(series)}); err != nil {
		return "", nil, err
	}
	ids = make([]int64, len(series))
	err = pg.connected(ctx, database, func(conn *pgx.Conn) error {
		// In window 0 the value of each series is its place.
		rows, err := conn.Query(ctx, `SELECT value::bigint, series_id FROM samples`)
		if err != nil {
			return err
		}
		var place, id int64
		_, err = pgx.ForEachRow(rows, []any{&place, &id}, func() error {
			ids[place] = id
			return nil
		})
		return err
	})
	return database, ids, err
}

// migrated makes a database with the schema and no data.
func migrated(ctx context.Context, pg *server) (database string, err error) {
	if database, err = pg.database(ctx, ""); err != nil {
		return "", err
	}
	s, err := openStore(ctx, pg, database)
	if err != nil {
		return "", err
	}
	defer s.Close()
	if err := s.Migrate(ctx); err != nil {
		return "", err
	}
	return database, s.Maintain(ctx)
}

func openStore(ctx context.Context, pg *server, database string) (*store.Store, error) {
	return store.Open(ctx, store.Options{URL: pg.url(database), Now: clock})
}

// writeAll writes rows in batches and checks what became of them.
func writeAll(ctx context.Context, s *store.Store, rows []store.Row, want store.Result) error {
	var got store.Result
	for batch := range slices.Chunk(rows, batchSize) {
		result, err := s.Write(ctx, batch)
		if err != nil {
			return err
		}
		got.Written += result.Written
		got.Duplicates += result.Duplicates
	}
	if got.Written != want.Written || got.Duplicates != want.Duplicates {
		return fmt.Errorf("%d rows written and %d duplicates, want %d and %d", got.Written, got.Duplicates, want.Written, want.Duplicates)
	}
	return nil
}

// waysToWrite returns the ways, COPY first. Those of a group write to one database, in
// their order. end drops the databases.
func waysToWrite(ctx context.Context, pg *server, template string, series [][]store.Label, ids []int64) (ways [][]*way, end func() error, err error) {
	var databases []string
	var closers []func()
	end = func() error {
		for _, c := range slices.Backward(closers) {
			c()
		}
		return pg.drop(ctx, databases...)
	}
	defer func() {
		if err != nil {
			_ = end() // err says more
		}
	}()
	fresh := func() (string, error) {
		name, err := pg.database(ctx, template)
		if err == nil {
			databases = append(databases, name)
		}
		return name, err
	}

	plain, err := fresh()
	if err != nil {
		return nil, nil, err
	}
	conn, err := pgx.Connect(ctx, pg.url(plain))
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, func() { conn.Close(ctx) })
	ways = append(ways, []*way{{
		name:  "COPY, the ids of the series known",
		write: func(ctx context.Context, rows []store.Row) error { return copyRows(ctx, conn, rows, ids) },
	}})

	stored, err := fresh()
	if err != nil {
		return nil, nil, err
	}
	warm, err := openStore(ctx, pg, stored)
	if err != nil {
		return nil, nil, err
	}
	closers = append(closers, warm.Close)
	var cold *store.Store
	again := store.Result{Duplicates: len(series)}
	ways = append(ways, []*way{
		{name: "store, new rows", bound: minNew, write: func(ctx context.Context, rows []store.Row) error {
			return writeAll(ctx, warm, rows, store.Result{Written: len(rows)})
		}},
		{name: "store, all of them again", bound: minRetry, write: func(ctx context.Context, rows []store.Row) error {
			return writeAll(ctx, warm, rows, again)
		}},
		{
			name: "store that remembers nothing, all of them again", bound: minRetry,
			prepare: func(ctx context.Context, _ []store.Row) (err error) {
				if cold, err = openStore(ctx, pg, stored); err != nil {
					return err
				}
				return cold.Check(ctx)
			},
			write: func(ctx context.Context, rows []store.Row) error {
				defer cold.Close()
				return writeAll(ctx, cold, rows, again)
			},
		},
	})

	for _, as := range encodings() {
		received, err := fresh()
		if err != nil {
			return nil, nil, err
		}
		s, err := openStore(ctx, pg, received)
		if err != nil {
			return nil, nil, err
		}
		closers = append(closers, s.Close)
		w, closeServer, err := wayToSend(s, as)
		if err != nil {
			return nil, nil, err
		}
		closers = append(closers, closeServer)
		ways = append(ways, []*way{w})
	}
	return ways, end, nil
}

// copyRows does the least that stores rows: each batch straight into the table.
func copyRows(ctx context.Context, conn *pgx.Conn, rows []store.Row, ids []int64) error {
	for first := 0; first < len(rows); first += batchSize {
		batch := rows[first:min(first+batchSize, len(rows))]
		_, err := conn.CopyFrom(ctx, pgx.Identifier{"samples"}, []string{"series_id", "window_start", "value"},
			pgx.CopyFromSlice(len(batch), func(i int) ([]any, error) {
				return []any{ids[first+i], batch[i].Window, batch[i].Value}, nil
			}))
		if err != nil {
			return err
		}
	}
	return nil
}
