package main

import (
	"context"
	"fmt"
	"io"
	"slices"

	"github.com/jackc/pgx/v5"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// firstWrite compares the first window of all, with which series and their subjects are
// made, with COPY of the same rows into all three tables, batch by batch. They are read
// from template, where the store has made them.
func firstWrite(ctx context.Context, pg *server, out io.Writer, template string, series [][]store.Label, ids []int64) (ok bool, err error) {
	source := map[int64]seriesRow{}
	if err := pg.connected(ctx, template, func(conn *pgx.Conn) error {
		rows, err := conn.Query(ctx, `
			SELECT series.id, hash, name, labels::text, measure, subjects.id, kind, network, validator_index, group_by, group_name
			FROM series JOIN subjects ON subjects.id = subject_id`)
		if err != nil {
			return err
		}
		var s seriesRow
		_, err = pgx.ForEachRow(rows, []any{
			&s.id, &s.hash, &s.name, &s.labels, &s.measure,
			&s.subject, &s.kind, &s.network, &s.index, &s.by, &s.group,
		}, func() error {
			s.hash = slices.Clone(s.hash)
			source[s.id] = s
			return nil
		})
		return err
	}); err != nil {
		return false, fmt.Errorf("read the series: %w", err)
	}

	stored, err := migrated(ctx, pg)
	if err != nil {
		return false, err
	}
	plain, err := migrated(ctx, pg)
	if err != nil {
		return false, err
	}
	s, err := openStore(ctx, pg, stored)
	if err != nil {
		return false, err
	}
	defer s.Close()
	conn, err := pgx.Connect(ctx, pg.url(plain))
	if err != nil {
		return false, err
	}
	defer conn.Close(ctx)

	seen := map[int64]bool{} // subjects
	place := 0               // of a batch's first row
	var batch []seriesRow
	ways := []*way{
		{
			name: "COPY with the series", write: func(ctx context.Context, rows []store.Row) error {
				return copyWithSeries(ctx, conn, rows, batch, seen)
			},
		},
		{name: "store with the series", write: func(ctx context.Context, rows []store.Row) error {
			return writeAll(ctx, s, rows, store.Result{Written: len(rows)})
		}},
	}
	for rows := range slices.Chunk(windowRows(series, 0), batchSize) {
		batch = batch[:0]
		for i := range rows {
			batch = append(batch, source[ids[place+i]])
		}
		place += len(rows)
		for i := range ways {
			if err := ways[(place/batchSize+i)%len(ways)].time(ctx, rows); err != nil {
				return false, err
			}
		}
	}
	speed := ratio(ways[0], ways[1])
	fmt.Fprintf(out, "The first window of all makes the series too: %.0f rows a second, %.2f of COPY of the same rows into subjects, series and samples (bound ≥ %.2f).\n\n",
		batchSize/percentile(50, ways[1].took).Seconds(), speed, minFirst)
	return speed >= minFirst, pg.drop(ctx, stored, plain)
}

// seriesRow is a series and its subject as they are stored.
type seriesRow struct {
	id, subject                          int64
	hash                                 []byte
	name, labels, measure, kind, network string
	index                                *int64
	by, group                            *string
}

// copyWithSeries copies a batch into all tables, in one transaction.
func copyWithSeries(ctx context.Context, conn *pgx.Conn, rows []store.Row, batch []seriesRow, seen map[int64]bool) error {
	var subjects, series, samples [][]any
	for i, s := range batch {
		if !seen[s.subject] {
			seen[s.subject] = true
			subjects = append(subjects, []any{s.subject, s.kind, s.network, s.index, s.by, s.group})
		}
		series = append(series, []any{s.id, s.hash, s.name, s.labels, s.subject, s.measure})
		samples = append(samples, []any{s.id, rows[i].Window, rows[i].Value})
	}
	return pgx.BeginFunc(ctx, conn, func(tx pgx.Tx) error {
		for _, into := range []struct {
			table   string
			columns []string
			rows    [][]any
		}{
			{"subjects", []string{"id", "kind", "network", "validator_index", "group_by", "group_name"}, subjects},
			{"series", []string{"id", "hash", "name", "labels", "subject_id", "measure"}, series},
			{"samples", []string{"series_id", "window_start", "value"}, samples},
		} {
			if _, err := tx.CopyFrom(ctx, pgx.Identifier{into.table}, into.columns, pgx.CopyFromRows(into.rows)); err != nil {
				return fmt.Errorf("copy into %s: %w", into.table, err)
			}
		}
		return nil
	})
}
