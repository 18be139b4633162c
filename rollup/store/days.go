package store

import (
	"cmp"
	"context"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgxpool"
)

// A day that nobody writes to is closed: its sums are stored, in the table days. While it
// is open the views make them from samples, which takes about half a millisecond for each
// subject. Both give the same numbers: see migration 10, where the rules are. Today is
// closed like any other day, and opened by each window that comes.

// noteWritten tells the calendar of the days that new samples belong to, which opens
// those that are closed. It comes after the samples are inserted and before they are
// committed.
func noteWritten(ctx context.Context, tx pgx.Tx, samples []*sample) error {
	type place struct {
		network string
		window  int64
	}
	var (
		seen     = map[place]bool{}
		networks []string
		windows  []time.Time
	)
	for _, sample := range samples {
		if sample.fate != written {
			continue
		}
		at := place{networkOf(sample.labels), sample.window}
		if at.network == "" || seen[at] {
			continue
		}
		seen[at] = true
		networks = append(networks, at.network)
		windows = append(windows, time.Unix(at.window, 0))
	}
	if len(networks) == 0 {
		return nil
	}
	if _, err := tx.Exec(ctx, `SELECT note_windows($1, $2)`, networks, windows); err != nil {
		return fmt.Errorf("open the days of new samples: %w", err)
	}
	return nil
}

// networkOf is the network of a series that a view may know. The name is all that is
// looked at, for a newer program may have given the series a subject that this one does
// not know; the database leaves out networks without any.
func networkOf(labels []Label) (network string) {
	native := false
	for _, label := range labels {
		switch label.Name {
		case nameLabel:
			native = strings.HasPrefix(label.Value, "ethereum_")
		case "network":
			network = label.Value
		}
	}
	if !native {
		return ""
	}
	return network
}

// closeDays stores the sums of the days that are not closed, and returns how many it
// closed. The caller holds lockMaintain. Writers wait for it for moments only. One day that
// cannot be closed keeps no other open.
func (s *Store) closeDays(ctx context.Context, conn *pgxpool.Conn) (closed int, err error) {
	rows, err := conn.Query(ctx, `SELECT network, day FROM calendar WHERE state <> 'closed' ORDER BY day, network`)
	if err != nil {
		return 0, fmt.Errorf("look for days to close: %w", err)
	}
	type day struct {
		Network string
		Day     time.Time
	}
	days, err := pgx.CollectRows(rows, pgx.RowToStructByPos[day])
	if err != nil {
		return 0, fmt.Errorf("look for days to close: %w", err)
	}
	var failed error
	failures := 0
	for _, day := range days {
		ok, err := closeDay(ctx, conn, day.Network, day.Day)
		switch {
		case err != nil:
			err = fmt.Errorf("close %s of %s: %w", day.Day.Format(time.DateOnly), day.Network, err)
			if ctx.Err() != nil || connectionLost(err) {
				return closed, err
			}
			if failures++; failed == nil {
				failed = err
			}
		case ok:
			closed++
		}
	}
	if failures > 1 {
		failed = fmt.Errorf("%w; and %d other days cannot be closed", failed, failures-1)
	}
	if closed > 0 {
		// The planner needs to know how many rows there are now, before Postgres looks by itself.
		if _, err := conn.Exec(ctx, `ANALYZE days, calendar, subjects, series`); err != nil {
			return closed, cmp.Or(failed, fmt.Errorf("look at the tables of days: %w", err))
		}
		s.log.Debug("Stored the sums of days", "days", closed)
	}
	return closed, failed
}

// closeDay returns false when something was written to the day meanwhile.
func closeDay(ctx context.Context, conn *pgxpool.Conn, network string, day time.Time) (ok bool, err error) {
	run := func(tx pgx.Tx, statements ...string) (affected int64, err error) {
		for _, statement := range statements {
			tag, err := tx.Exec(ctx, statement, network, day)
			if err != nil {
				return 0, err
			}
			affected = tag.RowsAffected()
		}
		return affected, nil
	}
	const alone = `SELECT lock_days($1, false) WHERE $2::date IS NOT NULL`
	// Once this is committed, whoever adds to the day opens it again.
	err = pgx.BeginTxFunc(ctx, conn, readCommitted, func(tx pgx.Tx) error {
		_, err := run(tx, alone, `UPDATE calendar SET state = 'closing' WHERE network = $1 AND day = $2 AND state <> 'closed'`)
		return err
	})
	if err != nil {
		return false, err
	}
	tx, err := conn.BeginTx(ctx, readCommitted)
	if err != nil {
		return false, err
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // of what was not committed; when it fails the connection is gone
	}()
	if _, err := tx.Exec(ctx, `SET LOCAL jit = off`); err != nil { // it compiles for longer than it saves
		return false, err
	}
	affected, err := run(tx,
		`DELETE FROM days USING subjects WHERE subjects.id = days.subject_id AND subjects.network = $1 AND days.day = $2`,
		`INSERT INTO days (`+dayColumns+`) SELECT `+dayColumns+` FROM open_days WHERE network = $1 AND day = $2`,
		alone,
		`UPDATE calendar SET state = 'closed' WHERE network = $1 AND day = $2 AND state = 'closing'`)
	if err != nil || affected == 0 {
		return false, err
	}
	return true, tx.Commit(ctx)
}

// dayColumns are those of the table days, which are among those of the view open_days.
var dayColumns = strings.Join(slices.Concat(
	[]string{"subject_id", "day", "windows"},
	[]string{"attestations_expected", "attestations_included", "source_votes", "target_votes", "head_votes"},
	[]string{"source_lost_missing", "source_lost_late", "source_lost_wrong", "source_lost_network"},
	[]string{"target_lost_missing", "target_lost_late", "target_lost_wrong", "target_lost_network"},
	[]string{"head_lost_missing", "head_lost_late", "head_lost_wrong", "head_lost_network"},
	[]string{"inclusion_delay_slots", "stake_possible_gwei", "stake_achievable_gwei", "stake_earned_gwei"},
	[]string{"blocks_expected", "blocks_proposed", "sync_expected", "sync_included"},
	[]string{"balance_gwei", "balance_change_gwei", "proposer_slashings", "attester_slashings"},
), ", ")

// dropDays removes the days that begin before a time from the views: a day is shown for
// as long as all of it is retained. It comes before their samples are dropped, so that
// nobody sees half a day.
func dropDays(ctx context.Context, conn *pgxpool.Conn, oldest time.Time) error {
	_, err := conn.Exec(ctx, `
		WITH gone AS (DELETE FROM calendar WHERE begins < $1 RETURNING network, day)
		DELETE FROM days USING subjects, gone
		WHERE subjects.id = days.subject_id AND subjects.network = gone.network AND days.day = gone.day`, oldest)
	if err != nil {
		return fmt.Errorf("drop days that are older than the retention: %w", err)
	}
	return nil
}
