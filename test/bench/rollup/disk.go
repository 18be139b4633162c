package main

import (
	"context"
	"fmt"
	"io"

	"github.com/jackc/pgx/v5"
)

// disk measures how much of it samples take after a month of windows, and works out what
// a year takes.
func disk(ctx context.Context, pg *server, out io.Writer, dayBytes float64) error {
	const series, windows = 2400, 30 * windowsDaily
	database, err := migrated(ctx, pg)
	if err != nil {
		return err
	}
	var table, indexes float64 // bytes
	err = pg.connected(ctx, database, func(conn *pgx.Conn) error {
		// Window by window, as they come: what order rows come in decides how full pages of the
		// index are.
		if _, err := conn.Exec(ctx, fmt.Sprintf(`
			DO $$ BEGIN
				CREATE TABLE month (LIKE samples INCLUDING ALL);
				FOR n IN 0..%d LOOP
					INSERT INTO month SELECT id, '2026-06-01 00:00:23+00'::timestamptz + n * interval '%d seconds', id
					FROM generate_series(1, %d) AS id;
				END LOOP;
			END $$`, windows-1, int(windowLength.Seconds()), series)); err != nil {
			return fmt.Errorf("fill in a month of samples: %w", err)
		}
		return conn.QueryRow(ctx, `SELECT pg_table_size('month'), pg_indexes_size('month')`).Scan(&table, &indexes)
	})
	if err != nil {
		return err
	}
	sampleBytes := (table + indexes) / (series * windows)
	perWindow := len(measures())
	fmt.Fprintf(out, "### Disk\n\nA sample takes %.0f bytes and %.0f in indexes, a day's sums of one validator or group %.0f with theirs. "+
		"Each validator or group of mainnet has %d samples a window, %d windows a day:\n\n",
		table/(series*windows), indexes/(series*windows), dayBytes, perWindow, windowsDaily)
	fmt.Fprintln(out, "| validators and groups | samples of a year | days of a year |")
	fmt.Fprintln(out, "|--:|--:|--:|")
	for _, n := range []int{10, 1000, 10_000} {
		daily := float64(n * perWindow * windowsDaily)
		fmt.Fprintf(out, "| %d | %s | %s |\n", n, size(365*daily*sampleBytes), size(365*float64(n)*dayBytes))
	}
	fmt.Fprintln(out)
	return pg.drop(ctx, database)
}

func size(bytes float64) string {
	if bytes >= 1e9 {
		return fmt.Sprintf("%.1f GB", bytes/1e9)
	}
	return fmt.Sprintf("%.1f MB", bytes/1e6)
}
