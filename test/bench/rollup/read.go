package main

import (
	"context"
	"fmt"
	"io"
	"math/rand/v2"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
)

// maxQuery bounds the 95th percentile of the queries of a view.
const maxQuery = 200 * time.Millisecond

// reading fills in a year of days and times what people ask the views. It also returns how
// many bytes of disk a day of a validator or group takes.
func reading(ctx context.Context, pg *server, out io.Writer, validators, days, queries int) (dayBytes float64, ok bool, err error) {
	database, err := migrated(ctx, pg)
	if err != nil {
		return 0, false, err
	}
	ok = true
	err = pg.connected(ctx, database, func(conn *pgx.Conn) error {
		rows, bytes, err := fillDays(ctx, conn, validators, days)
		if err != nil {
			return err
		}
		dayBytes = float64(bytes) / float64(rows)
		fmt.Fprintf(out, "### Reading\n\n%d validators and %d groups, %d days, the last not closed yet: %d rows of sums; up to %d queries of random keys, all rows fetched\n\n",
			validators, groups, days, rows, queries)
		month, err := fillMonth(ctx, conn, days)
		if err != nil {
			return err
		}
		scan := question{
			name: fmt.Sprintf("sequential scan of a table with a month, %d rows", month), part: 1,
			ask: func() (string, int) { return `SELECT count(*) FROM month WHERE windows > 15`, 1 },
		}
		asked := []*question{&scan}
		for _, q := range questions(validators, days) {
			asked = append(asked, &q)
		}
		for n := range queries {
			for i := range asked {
				q := asked[(i+n)%len(asked)] // none always comes first
				if n%q.part > 0 {
					continue
				}
				if err := q.time(ctx, conn); err != nil {
					return fmt.Errorf("%s: %w", q.name, err)
				}
			}
		}
		fmt.Fprintln(out, "| query | rows | median | 95th percentile | of the scan's median | bound |")
		fmt.Fprintln(out, "|---|--:|--:|--:|--:|--:|")
		for _, q := range asked {
			bound := "none"
			p95 := percentile(95, q.took)
			if q.bounded {
				bound = fmt.Sprintf("≤ %v", maxQuery)
				ok = ok && p95 <= maxQuery
			}
			fmt.Fprintf(out, "| %s | %d | %v | %v | %.2f | %s |\n", q.name, q.rows, round(percentile(50, q.took)), round(p95),
				float64(p95)/float64(percentile(50, scan.took)), bound)
		}
		fmt.Fprintln(out)
		return nil
	})
	if err != nil {
		return 0, false, err
	}
	return dayBytes, ok, pg.drop(ctx, database)
}

func round(d time.Duration) time.Duration { return d.Round(10 * time.Microsecond) }

// question is a kind of query, with the times that it took.
type question struct {
	name    string
	bounded bool
	part    int                              // one of so many queries is asked
	ask     func() (sql string, atLeast int) // and how many rows it must have

	rows int // of the last
	took []time.Duration
}

// time sends the query as Grafana does, written out, and reads all rows.
func (q *question) time(ctx context.Context, conn *pgx.Conn) error {
	sql, atLeast := q.ask()
	start := time.Now()
	rows, err := conn.Query(ctx, sql, pgx.QueryExecModeSimpleProtocol)
	if err != nil {
		return err
	}
	q.rows = 0
	for rows.Next() {
		q.rows++
	}
	q.took = append(q.took, time.Since(start))
	if err := rows.Err(); err != nil {
		return err
	}
	if q.rows < atLeast {
		return fmt.Errorf("%d rows, want at least %d", q.rows, atLeast)
	}
	return nil
}

// dayBefore names the day that was so many days before the last.
func dayBefore(last int) string { return firstWindow.AddDate(0, 0, -last).Format(time.DateOnly) }

func questions(validators, days int) []question {
	year := fmt.Sprintf("day BETWEEN '%s' AND '%s'", dayBefore(days-1), dayBefore(0))
	return []question{
		{name: "a validator's year, by day", bounded: true, part: 1, ask: func() (string, int) {
			return fmt.Sprintf(`SELECT * FROM validator_daily WHERE network = 'mainnet' AND validator_index = %d AND %s ORDER BY day`,
				rand.IntN(validators), year), days
		}},
		{name: "a validator's year, by month", bounded: true, part: 1, ask: func() (string, int) {
			return fmt.Sprintf(`SELECT * FROM validator_monthly WHERE network = 'mainnet' AND validator_index = %d ORDER BY month`,
				rand.IntN(validators)), days / 31
		}},
		{name: "a group's year, by day", bounded: true, part: 1, ask: func() (string, int) {
			return fmt.Sprintf(`SELECT * FROM group_daily WHERE network = 'mainnet' AND group_by = 'operator' AND group_name = 'operator-%d' AND %s ORDER BY day`,
				rand.IntN(groups), year), days
		}},
		{name: "a day of all validators", bounded: true, part: 2, ask: func() (string, int) {
			return fmt.Sprintf(`SELECT * FROM validator_daily WHERE network = 'mainnet' AND day = '%s' ORDER BY validator_index`,
				dayBefore(1+rand.IntN(days-1))), validators
		}},
		{name: "the day of all validators that is not closed yet", part: 50, ask: func() (string, int) {
			return fmt.Sprintf(`SELECT * FROM validator_daily WHERE network = 'mainnet' AND day = '%s' ORDER BY validator_index`,
				dayBefore(0)), validators
		}},
	}
}

// fillDays stores the sums of days as closing them does: day by day, in order of the
// subjects. The last day has three windows of samples instead. It returns how many rows of
// days there are and how much of the disk they take.
func fillDays(ctx context.Context, conn *pgx.Conn, validators, days int) (rows, bytes int64, err error) {
	const zoned = "2006-01-02 15:04:05+00"
	begin, lastDay := firstWindow.AddDate(0, 0, 1-days).Format(zoned), firstWindow.Format(zoned)
	for _, sql := range []string{
		`SET session_replication_role = replica`, // without looking for the subject of each row
		`INSERT INTO networks (name, genesis) SELECT 'mainnet', to_timestamp(1606824023) ON CONFLICT DO NOTHING`,
		fmt.Sprintf(`INSERT INTO subjects (kind, network, validator_index) SELECT 'validator', 'mainnet', generate_series(0, %d)`, validators-1),
		fmt.Sprintf(`INSERT INTO subjects (kind, network, group_by, group_name) SELECT 'group', 'mainnet', 'operator', 'operator-' || generate_series(0, %d)`, groups-1),
		`INSERT INTO subjects (kind, network) VALUES ('network', 'mainnet')`,
		fmt.Sprintf(`
			INSERT INTO calendar (network, day, begins, ends, state)
			SELECT 'mainnet', (begins AT TIME ZONE 'UTC')::date, begins, begins + interval '24 hours', CASE WHEN begins < '%s' THEN 'closed' ELSE 'open' END
			FROM generate_series('%s'::timestamptz, '%s', interval '24 hours') AS begins`, lastDay, begin, lastDay),
		`
			INSERT INTO days (subject_id, day, windows, attestations_expected, attestations_included, source_votes, target_votes, head_votes,
				source_lost_missing, source_lost_late, source_lost_wrong, source_lost_network,
				target_lost_missing, target_lost_late, target_lost_wrong, target_lost_network,
				head_lost_missing, head_lost_late, head_lost_wrong, head_lost_network, inclusion_delay_slots,
				stake_possible_gwei, stake_achievable_gwei, stake_earned_gwei, blocks_expected, blocks_proposed,
				sync_expected, sync_included, balance_gwei, balance_change_gwei)
			SELECT id, day, 15, 225, 224, 224, 223, 220, 1, 0, 0, 0, 1, 0, 0, 1, 1, 0, 2, 2, 230,
				7200000000000, 7185185185185, 7100000000000 + id, 0, 0, 0, 0, 32000000000 + id, 2000000 + id
			FROM calendar, subjects WHERE state = 'closed' ORDER BY day, id`,
		`
			INSERT INTO series (hash, name, labels, subject_id, measure)
			SELECT sha256((subjects.id || measure)::bytea), measure, '{}', subjects.id, measure
			FROM subjects, unnest(ARRAY['` + strings.Join(measures(), "', '") + `']) AS measure`,
		fmt.Sprintf(`
			INSERT INTO samples (series_id, window_start, value)
			SELECT id, '%s'::timestamptz + n * interval '%d seconds', 15 FROM generate_series(0, 2) AS n, series ORDER BY n, id`,
			lastDay, int(windowLength.Seconds())),
		`SET session_replication_role = origin`,
		`VACUUM ANALYZE`,
	} {
		if _, err := conn.Exec(ctx, sql, pgx.QueryExecModeSimpleProtocol); err != nil {
			return 0, 0, fmt.Errorf("fill in days: %w", err)
		}
	}
	err = conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM days), pg_total_relation_size('days')`).Scan(&rows, &bytes)
	return rows, bytes, err
}

// fillMonth copies the days of a month into a table of their own.
func fillMonth(ctx context.Context, conn *pgx.Conn, days int) (rows int64, err error) {
	tag, err := conn.Exec(ctx, fmt.Sprintf(`CREATE TABLE month AS SELECT * FROM days WHERE day BETWEEN '%s' AND '%s'`,
		dayBefore(min(days-1, 31)), dayBefore(1)))
	if err != nil {
		return 0, fmt.Errorf("copy a month: %w", err)
	}
	_, err = conn.Exec(ctx, `VACUUM ANALYZE month`)
	return tag.RowsAffected(), err
}
