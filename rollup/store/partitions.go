package store

import (
	"context"
	"fmt"
	"slices"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// sayAgain is how long nothing is said of another program that maintains: one that does so
// for ever is worth knowing of, and the interval may be seconds.
const sayAgain = time.Hour

// Maintain makes partitions ahead, drops those that are older than the retention, unless
// clocks disagree on what time it is, and stores the sums of days. Call it at the start and every hour or more often, which makes
// the views faster. Of several programs one does it, the others skip it.
func (s *Store) Maintain(ctx context.Context) (err error) {
	fail := func(err error) error {
		s.lost(ctx, err)
		return fmt.Errorf("maintain the database: %w", unavailable(err))
	}
	if err := s.Check(ctx); err != nil {
		return err
	}
	conn, err := s.pool.Acquire(ctx)
	if err != nil {
		return fail(err)
	}
	defer conn.Release()

	var mine bool
	if err := conn.QueryRow(ctx, `SELECT pg_try_advisory_lock($1)`, int64(lockMaintain)).Scan(&mine); err != nil {
		return fail(err)
	}
	if !mine {
		now := s.options.Now().Unix()
		if last := s.skipped.Load(); now-last >= int64(sayAgain/time.Second) && s.skipped.CompareAndSwap(last, now) {
			s.log.Info("Another receiver maintains the database just now, so this one does not")
		}
		return nil
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if _, unlockErr := conn.Exec(ctx, `SELECT pg_advisory_unlock($1)`, int64(lockMaintain)); unlockErr != nil {
			conn.Conn().Close(ctx) // which lets the lock go as well
		}
	}()

	now := s.options.Now()
	if err := s.makePartitions(ctx, conn, monthsFrom(monthOf(now), s.options.PartitionsAhead+1)); err != nil {
		return fail(err)
	}
	oldest, known, err := s.oldestRetained(ctx, conn)
	if err != nil {
		return fail(err)
	}
	if known {
		if err := dropDays(ctx, conn, monthOf(oldest).begin()); err != nil {
			return fail(err)
		}
		if err := s.dropPartitions(ctx, conn, oldest); err != nil {
			return fail(err)
		}
	}
	if _, err := s.closeDays(ctx, conn); err != nil {
		return fail(err)
	}
	months, err := s.listPartitions(ctx, conn)
	if err != nil {
		return fail(err)
	}
	s.memory.Load().setMonths(months)
	return nil
}

// oldestRetained is the time before which the retention is over. What is dropped does not
// come back, so no clock decides alone: it is not known while that of this machine and
// the database's disagree, and both may be wrong, as on one machine they are together, so it
// is counted from the newest window where that is older than now.
func (s *Store) oldestRetained(ctx context.Context, conn *pgxpool.Conn) (oldest time.Time, known bool, err error) {
	here := s.options.Now()
	var there time.Time
	if err := conn.QueryRow(ctx, `SELECT clock_timestamp()`).Scan(&there); err != nil {
		return time.Time{}, false, fmt.Errorf("ask the database for the time: %w", err)
	}
	if s.options.databaseNow != nil {
		there = s.options.databaseNow()
	}
	const mostApart = time.Hour
	if here.Sub(there).Abs() > mostApart {
		s.log.Warn("The clocks of this machine and of the database differ by more than an hour, so nothing is dropped, however old: set the wrong one right",
			"here", here.UTC().Format(time.RFC3339), "database", there.UTC().Format(time.RFC3339))
		return time.Time{}, false, nil
	}
	if there.Before(here) {
		here = there
	}
	months, err := s.listPartitions(ctx, conn)
	if err != nil {
		return time.Time{}, false, err
	}
	slices.SortFunc(months, func(a, b month) int { return b.begin().Compare(a.begin()) }) // the newest first
	for _, month := range months {
		var used bool
		if err := conn.QueryRow(ctx, `SELECT EXISTS (SELECT FROM `+pgx.Identifier{month.table()}.Sanitize()+`)`).Scan(&used); err != nil {
			return time.Time{}, false, fmt.Errorf("look for the newest month: %w", err)
		}
		if used {
			newest, err := newestWindow(ctx, conn)
			if err != nil {
				return time.Time{}, false, err
			}
			// Not all series are looked at, so there may be a newer one than that.
			if begin := month.begin(); newest.Before(begin) {
				newest = begin
			}
			if newest.Before(here) {
				here = newest
			}
			break
		}
	}
	return here.Add(-s.options.Retention), true, nil
}

// month is a calendar month in UTC, and what a partition holds.
type month struct {
	year int
	of   time.Month
}

func monthOf(t time.Time) month {
	t = t.UTC()
	return month{t.Year(), t.Month()}
}

func (m month) begin() time.Time { return time.Date(m.year, m.of, 1, 0, 0, 0, 0, time.UTC) }
func (m month) next() month      { return monthOf(m.begin().AddDate(0, 1, 0)) }

// table is the partition's name.
func (m month) table() string { return fmt.Sprintf("samples_%04d_%02d", m.year, m.of) }

// monthOfTable reads a partition's name.
func monthOfTable(name string) (m month, ok bool) {
	if _, err := fmt.Sscanf(name, "samples_%04d_%02d", &m.year, &m.of); err != nil {
		return month{}, false
	}
	return m, m.of >= 1 && m.of <= 12 && m.table() == name
}

func monthsFrom(first month, n int) []month {
	var months []month
	for range n {
		months = append(months, first)
		first = first.next()
	}
	return months
}

// ensurePartitions makes the partitions of months that are not known to exist.
func (s *Store) ensurePartitions(ctx context.Context, m *memory, months []month) error {
	m.mu.Lock()
	missing := slices.DeleteFunc(slices.Clone(months), func(month month) bool { return m.months[month] })
	m.mu.Unlock()
	if len(missing) == 0 {
		return nil
	}
	if err := s.pool.AcquireFunc(ctx, func(conn *pgxpool.Conn) error {
		return s.makePartitions(ctx, conn, missing)
	}); err != nil {
		return err
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for _, month := range missing {
		m.months[month] = true
	}
	return nil
}

// makePartitions makes the partitions of the months that have none. A table is filled in
// and then attached, for that disturbs no reader and no writer, as making it in its place
// would.
func (s *Store) makePartitions(ctx context.Context, conn *pgxpool.Conn, months []month) error {
	return pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) error {
		if _, err := tx.Exec(ctx, `SELECT pg_advisory_xact_lock($1)`, int64(lockPartitions)); err != nil {
			return fmt.Errorf("wait for others that make partitions: %w", err)
		}
		have, err := s.listPartitions(ctx, tx)
		if err != nil {
			return err
		}
		for _, month := range months {
			if slices.Contains(have, month) {
				continue
			}
			// The zone is written out: bounds are the same whatever the server's zone is.
			const bound = "2006-01-02 15:04:05+00"
			name := pgx.Identifier{month.table()}.Sanitize()
			for _, statement := range []string{
				`CREATE TABLE IF NOT EXISTS ` + name + ` (LIKE samples INCLUDING ALL)`,
				fmt.Sprintf(`ALTER TABLE samples ATTACH PARTITION %s FOR VALUES FROM ('%s') TO ('%s')`,
					name, month.begin().Format(bound), month.next().begin().Format(bound)),
			} {
				if _, err := tx.Exec(ctx, statement); err != nil {
					return fmt.Errorf("make partition %s: %w", month.table(), err)
				}
			}
			s.log.Info("Made a partition", "partition", month.table())
		}
		return nil
	})
}

// dropPartitions drops the partitions that end before oldest. They are detached first,
// without a lock that would make readers wait.
func (s *Store) dropPartitions(ctx context.Context, conn *pgxpool.Conn, oldest time.Time) error {
	rows, err := conn.Query(ctx, `
		SELECT tables.relname, coalesce(parts.inhrelid IS NOT NULL, false), coalesce(parts.inhdetachpending, false)
		FROM pg_class AS tables
		JOIN pg_class AS parent ON parent.oid = 'samples'::regclass AND parent.relnamespace = tables.relnamespace
		LEFT JOIN pg_inherits AS parts ON parts.inhrelid = tables.oid AND parts.inhparent = parent.oid
		WHERE tables.relkind = 'r' AND tables.relname LIKE 'samples\_%' ORDER BY tables.relname`)
	if err != nil {
		return fmt.Errorf("list old partitions: %w", err)
	}
	type table struct {
		Name              string
		Attached, Pending bool
	}
	tables, err := pgx.CollectRows(rows, pgx.RowToStructByPos[table])
	if err != nil {
		return fmt.Errorf("list old partitions: %w", err)
	}
	for _, table := range tables {
		month, ok := monthOfTable(table.Name)
		if !ok {
			continue
		}
		old := !month.next().begin().After(oldest)
		name := pgx.Identifier{table.Name}.Sanitize()
		var statements []string
		switch {
		case table.Pending: // we were interrupted, or the retention was shorter then
			statements = append(statements, `ALTER TABLE samples DETACH PARTITION `+name+` FINALIZE`)
		case old && table.Attached:
			statements = append(statements, `ALTER TABLE samples DETACH PARTITION `+name+` CONCURRENTLY`)
		}
		if old {
			statements = append(statements, `DROP TABLE `+name)
		}
		for _, statement := range statements {
			if _, err := conn.Exec(ctx, statement, pgx.QueryExecModeSimpleProtocol); err != nil {
				return fmt.Errorf("drop partition %s: %w", table.Name, err)
			}
		}
		if old {
			s.log.Info("Dropped a partition that is older than the retention", "partition", table.Name)
		}
	}
	return nil
}

// listPartitions lists the months that have a partition, and notes the horizon.
func (s *Store) listPartitions(ctx context.Context, db querier) ([]month, error) {
	rows, err := db.Query(ctx, `
		SELECT pg_class.relname FROM pg_inherits JOIN pg_class ON pg_class.oid = pg_inherits.inhrelid
		WHERE pg_inherits.inhparent = 'samples'::regclass AND NOT pg_inherits.inhdetachpending`)
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	names, err := pgx.CollectRows(rows, pgx.RowTo[string])
	if err != nil {
		return nil, fmt.Errorf("list partitions: %w", err)
	}
	var months []month
	for _, name := range names {
		if month, ok := monthOfTable(name); ok {
			months = append(months, month)
		}
	}
	horizon := monthOf(s.options.Now())
	for slices.Contains(months, horizon) {
		horizon = horizon.next()
	}
	s.horizon.Store(horizon.begin().Unix())
	return months, nil
}
