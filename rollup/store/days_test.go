package store_test

import (
	"context"
	"errors"
	"fmt"
	"math/rand/v2"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// subjects are of three networks whose days begin at different times.
func subjects() (all []modelSubject) {
	for _, network := range []string{"mainnet", "gnosis", "unheard-of"} {
		all = append(all,
			modelSubject{kind: "network", network: network},
			modelSubject{kind: "group", network: network, by: "all", group: "all"},
			modelSubject{kind: "group", network: network, by: "operator", group: `O'Brien, "the" \ one`},
			modelSubject{kind: "validator", network: network, index: 0},
			modelSubject{kind: "validator", network: network, index: 1_700_000})
	}
	return all
}

// history is all that is told of the subjects in the n windows before now, and of some
// windows and subjects less: what is not told is unknown.
func history(seed uint64, n int) (rows []modelRow) {
	random := rand.New(rand.NewPCG(3, seed))
	for _, who := range subjects() {
		for i := range n {
			switch told := outcome(random, who, window(i)); random.IntN(20) {
			case 0:
			case 1:
				random.Shuffle(len(told), func(i, j int) { told[i], told[j] = told[j], told[i] })
				rows = append(rows, told[:random.IntN(len(told))]...)
			default:
				rows = append(rows, told...)
			}
		}
	}
	return rows
}

func writeAll(t testing.TB, s *store.Store, rows []modelRow) {
	t.Helper()
	for len(rows) > 0 {
		n := min(len(rows), 5000)
		batch := make([]store.Row, n)
		for i, r := range rows[:n] {
			batch[i] = r.row
		}
		r := write(t, s, batch...)
		if r.Written+r.Duplicates != n {
			t.Fatal(summary(r))
		}
		rows = rows[n:]
	}
}

func maintain(t testing.TB, s *store.Store) {
	t.Helper()
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
}

// Random batches, days that are closed at random moments, rows that come days late: the
// views always show the plain sums of what is stored.
func TestViewsAreSumsOfWindowsWhateverIsClosed(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	random := rand.New(rand.NewPCG(4, 4))
	rows := history(1, 140)
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	m := newModel()
	closed, late := 0, 0
	for step := 0; len(rows) > 0; step++ {
		n := min(len(rows), 1+random.IntN(3000))
		if random.IntN(2) == 0 {
			n = min(n, 3) // touches a day or two
		}
		writeAll(t, s, rows[:n])
		m.add(rows[:n]...)
		rows = rows[n:]
		late += ask[int](t, url, `SELECT count(*) FROM calendar JOIN days USING (day) WHERE state = 'open'`)
		if random.IntN(3) == 0 {
			maintain(t, s)
			closed += ask[int](t, url, `SELECT count(*) FROM calendar WHERE state = 'closed'`)
		}
		if step%3 == 0 || len(rows) == 0 {
			m.compare(t, url)
		}
		if t.Failed() {
			t.FailNow()
		}
	}
	if closed == 0 || late == 0 {
		t.Errorf("%d days were closed and %d opened again: this test shows little", closed, late)
	}
	maintain(t, s)
	if got := ask[int](t, url, `SELECT count(*) FROM calendar WHERE state <> 'closed'`); got != 0 {
		t.Errorf("%d days are open after all", got)
	}
	m.compare(t, url)
	// They are indeed read from the stored sums.
	run(t, url, `TRUNCATE samples`)
	m.compare(t, url)
}

// Four writers and two maintainers at once, with a look now and then.
func TestNothingIsLostBetweenWritersAndTheClosingOfDays(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	m := newModel()
	rows := history(2, 60)
	m.add(rows...)
	random := rand.New(rand.NewPCG(5, 5))
	random.Shuffle(len(rows), func(i, j int) { rows[i], rows[j] = rows[j], rows[i] })
	s := open(t, url)
	var writers, others sync.WaitGroup
	ctx, stop := context.WithCancel(t.Context())
	for range 2 {
		others.Go(func() {
			for ctx.Err() == nil {
				if err := s.Maintain(ctx); err != nil && !errors.Is(err, context.Canceled) {
					t.Error(err)
				}
			}
		})
	}
	part := len(rows) / 4
	for w := range 4 {
		mine := rows[w*part : (w+1)*part]
		if w == 3 {
			mine = rows[w*part:]
		}
		writers.Go(func() {
			random := rand.New(rand.NewPCG(6, uint64(w)))
			for len(mine) > 0 {
				n := min(len(mine), 1+random.IntN(200))
				batch := make([]store.Row, n)
				for i, r := range mine[:n] {
					batch[i] = r.row
				}
				mine = mine[n:]
				if r, err := s.Write(t.Context(), batch); err != nil || r.Written != n {
					t.Errorf("%s, %v", summary(r), err)
					return
				}
			}
		})
	}
	writers.Wait()
	stop()
	others.Wait()
	m.compare(t, url)
	maintain(t, s)
	m.compare(t, url)
	if got := ask[int](t, url, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); got != 0 {
		t.Errorf("%d deadlocks", got)
	}
}

// states lists the days and whether they are closed.
const states = `SELECT coalesce(string_agg(concat_ws(' ', network, day, state), ', ' ORDER BY network, day), '') FROM calendar`

func TestLateSampleOpensItsDayAndTheNext(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	const day = 15 // windows
	for n := range 5 {
		write(t, s, expected(1, 2+n*day, 1))
	}
	maintain(t, s)
	expectStates := func(wanted string) {
		t.Helper()
		if got := ask[string](t, url, states); got != wanted {
			t.Errorf("got  %s\nwant %s", got, wanted)
		}
	}
	// It is 06:30 of 1 November, so the day of 31 October is not over.
	expectStates("mainnet 2026-10-27 closed, mainnet 2026-10-28 closed, mainnet 2026-10-29 closed, mainnet 2026-10-30 closed, mainnet 2026-10-31 closed")
	write(t, s, expected(1, 2+day, 1), expected(1, 2+3*day, 1))
	expectStates("mainnet 2026-10-27 closed, mainnet 2026-10-28 closed, mainnet 2026-10-29 closed, mainnet 2026-10-30 closed, mainnet 2026-10-31 closed")
	write(t, s, expected(2, 2+3*day, 1))
	expectStates("mainnet 2026-10-27 closed, mainnet 2026-10-28 open, mainnet 2026-10-29 open, mainnet 2026-10-30 closed, mainnet 2026-10-31 closed")
	maintain(t, s)
	expectStates("mainnet 2026-10-27 closed, mainnet 2026-10-28 closed, mainnet 2026-10-29 closed, mainnet 2026-10-30 closed, mainnet 2026-10-31 closed")
	// Somebody is closing it just then: his sums lack the new one, and are not kept.
	run(t, url, `UPDATE calendar SET state = 'closing' WHERE day = '2026-10-28'`)
	write(t, s, expected(3, 2+3*day, 1))
	expectStates("mainnet 2026-10-27 closed, mainnet 2026-10-28 open, mainnet 2026-10-29 open, mainnet 2026-10-30 closed, mainnet 2026-10-31 closed")
}

// A writer that has not committed yet is waited for, or its sample would be in no sum.
func TestClosingWaitsForWritersInTheMiddleOfATransaction(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 40, 10), expected(1, 38, 1))
	writer, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer writer.Close(context.Background())
	if _, err := writer.Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(t.Context(), `INSERT INTO samples SELECT id, $1, 100 FROM series`, window(39)); err != nil {
		t.Fatal(err)
	}
	if _, err := writer.Exec(t.Context(), `SELECT note_windows(ARRAY['mainnet'], ARRAY[$1::timestamptz])`, window(39)); err != nil {
		t.Fatal(err)
	}
	done := make(chan error, 1)
	go func() { done <- s.Maintain(t.Context()) }()
	for !ask[bool](t, url, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'advisory')`) {
		select {
		case err := <-done:
			t.Fatalf("days were closed without waiting: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	if _, err := writer.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	if got := ask[string](t, url, `SELECT string_agg(DISTINCT state, ' ') FROM calendar`); got != "closed" {
		t.Errorf("days are %s", got)
	}
	if got := ask[int](t, url, `SELECT sum(attestations_expected) FROM validator_daily`); got != 111 {
		t.Errorf("the sum is %d, want 111", got)
	}
}

// A sample that is written while a day is being summed is not in the sums, so they are
// not kept.
func TestSumsThatASampleHasOvertakenAreNotKept(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 40, 10))
	exec := func(conn *pgx.Conn, sql string, arguments ...any) {
		t.Helper()
		if _, err := conn.Exec(t.Context(), sql, arguments...); err != nil {
			t.Fatalf("%s: %v", sql, err)
		}
	}
	// The row that holds the sums is being made by somebody else, who then thinks better of it.
	blocker := connect(t, url)
	exec(blocker, `BEGIN`)
	exec(blocker, `INSERT INTO days (subject_id, day, windows) SELECT id, day, 0 FROM subjects, calendar`)
	done := make(chan error, 1)
	go func() { done <- s.Maintain(t.Context()) }()
	for !ask[bool](t, url, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'transactionid')`) {
		select {
		case err := <-done:
			t.Fatalf("the day was closed without waiting: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	want(t, write(t, s, expected(1, 39, 100)), "written 1, duplicates 0, conflicts [], rejected []")
	exec(blocker, `ROLLBACK`)
	if err := <-done; err != nil {
		t.Fatal(err)
	}
	for _, state := range []string{"open", "closed"} {
		if got := ask[string](t, url, `SELECT string_agg(DISTINCT state, ' ') FROM calendar`); got != state {
			t.Errorf("the day is %s, want %s", got, state)
		}
		if got := ask[int](t, url, `SELECT sum(attestations_expected) FROM validator_daily`); got != 110 {
			t.Errorf("the sum is %d, want 110", got)
		}
		maintain(t, s)
	}
}

func TestDaysBeginWholeDaysAfterGenesis(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Fast(), pgtest.Setting("timezone", "Pacific/Chatham"))
	url := server.Database(t)
	s := open(t, url)
	at := func(network, moment string) store.Row {
		window, err := time.Parse(time.RFC3339, moment)
		if err != nil {
			t.Fatal(err)
		}
		return store.Row{Labels: labels("__name__", "ethereum_network_window_attestations_expected", "network", network), Window: window, Value: 1}
	}
	var rows []store.Row
	for _, moment := range []string{"2026-09-27T12:00:22Z", "2026-09-27T12:00:23Z", "2026-09-28T12:00:22Z", "2026-09-28T12:00:23Z"} {
		rows = append(rows, at("mainnet", moment)) // Chatham's clocks go forward on the 27th
	}
	for _, moment := range []string{"2026-09-26T23:59:59Z", "2026-09-27T00:00:00Z", "2026-09-27T23:59:59Z"} {
		rows = append(rows, at("devnet", moment))
	}
	write(t, s, rows...)
	const counts = `SELECT string_agg(concat_ws(' ', day, attestations_expected), ', ' ORDER BY day) FROM network_daily WHERE network = $1`
	check := func(network, wanted string) {
		t.Helper()
		for range 2 {
			if got := ask[string](t, url, counts, network); got != wanted {
				t.Errorf("%s: got %s, want %s", network, got, wanted)
			}
			maintain(t, s)
		}
	}
	check("mainnet", "2026-09-26 1, 2026-09-27 2, 2026-09-28 1")
	check("devnet", "2026-09-26 1, 2026-09-27 2")

	// When the genesis becomes known later, the days are cut anew, closed ones too.
	s = open(t, url, func(o *store.Options) {
		o.Genesis = map[string]time.Time{"devnet": time.Date(2026, 9, 1, 23, 59, 59, 0, time.UTC)}
	})
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	check("devnet", "2026-09-26 2, 2026-09-27 1")
	write(t, s, at("devnet", "2026-09-27T23:59:58Z"))
	check("devnet", "2026-09-26 3, 2026-09-27 1")
	if got := ask[string](t, url, `SELECT string_agg(DISTINCT to_char(begins AT TIME ZONE 'UTC', 'HH24:MI:SS'), ' ') FROM calendar WHERE network = 'devnet'`); got != "23:59:59" {
		t.Errorf("days begin at %s", got)
	}
}

func TestDayIsShownForAsLongAsAllOfItIsRetained(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	clock := now
	s := open(t, url, func(o *store.Options) {
		o.Now = func() time.Time { return clock }
		o.Retention = 40 * 24 * time.Hour
	})
	for n := range 15 * 15 {
		write(t, s, expected(1, n, 1))
	}
	maintain(t, s)
	const shown = `SELECT min(day) || ' ' || min(windows) FROM validator_daily WHERE day < '2026-11-01' AND windows <> 11`
	before := ask[string](t, url, shown)
	clock = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC).Add(40 * 24 * time.Hour)
	newest := expected(1, 0, 1)
	newest.Window = clock
	write(t, s, newest)
	maintain(t, s)
	// October is gone, and so are the first windows of the day that began on its 31st.
	if got := ask[string](t, url, `SELECT coalesce(string_agg(day::text, ' '), 'none') FROM validator_daily WHERE day < '2026-12-01'`); got != "none" {
		t.Errorf("days %s are shown; before it was from %s on", got, before)
	}
	for _, table := range []string{"days", "calendar"} {
		if got := ask[int](t, url, `SELECT count(*) FROM `+table+` WHERE day < '2026-12-01'`); got != 0 {
			t.Errorf("%d rows are left in %s", got, table)
		}
	}
}

// A value that is no count must not keep everybody from reading a view.
func TestAbsurdValueIsUnknown(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 40, 1e300), expected(2, 40, 7))
	for range 2 {
		const counts = `SELECT string_agg(concat_ws(' ', validator_index, coalesce(attestations_expected::text, 'unknown')), ', ' ORDER BY validator_index) FROM validator_daily`
		if got := ask[string](t, url, counts); got != "1 unknown, 2 7" {
			t.Errorf("got %s", got)
		}
		maintain(t, s)
	}
}

// Samples may be finite and whole, and their sum or difference still be no number that a
// view can show. Everybody else's, and every other day, is shown and closed.
func TestSumThatNoColumnHoldsIsUnknown(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	const most = 9e18
	of := func(kind, measure string, n int, value float64, more ...string) store.Row {
		pairs := append([]string{"__name__", "ethereum_" + kind + "_window_" + measure, "network", "mainnet"}, more...)
		return store.Row{Labels: labels(pairs...), Window: window(n), Value: value}
	}
	var rows []store.Row
	for _, n := range []int{40, 41, 60, 61, 3, 20} {
		for _, who := range []struct {
			kind   string
			labels []string
		}{{"validator", []string{"validator_index", "1"}}, {"group", []string{"group_by", "all", "group", "all"}}, {"network", nil}} {
			for _, measure := range []string{"attestations_expected", "attestations_included", "attestation_source_votes", "attestation_target_votes", "attestation_head_votes", "blocks_expected"} {
				rows = append(rows, of(who.kind, measure, n, most, who.labels...))
			}
			for _, vote := range []string{"source", "target", "head"} {
				for _, cause := range []string{"missing", "late", "wrong", "network"} {
					rows = append(rows, of(who.kind, "attestation_votes_lost", n, -most, append(who.labels, "vote", vote, "cause", cause)...))
				}
			}
		}
	}
	rows = append(rows,
		of("validator", "balance_gwei", 60, -most, "validator_index", "1"),
		of("validator", "balance_gwei", 45, most, "validator_index", "1"),
		expected(2, 60, 7), expected(2, 41, 7), expected(2, 3, 7),
		// The first is no count, so the sum of both is not known, and one window is whole.
		expected(3, 40, 1e300), expected(3, 41, 7),
		of("validator", "balance_gwei", 41, 32, "validator_index", "3"),
		of("validator", "balance_gwei", 40, 1e300, "validator_index", "3"))
	want(t, write(t, s, rows...), fmt.Sprintf("written %d, duplicates 0, conflicts [], rejected []", len(rows)))
	const days = `SELECT string_agg(concat_ws(' ', day, validator_index, windows, coalesce(attestations_expected::text, 'unknown'), coalesce(balance_gwei::text, '-'), coalesce(balance_change_gwei::text, '-')), ', ' ORDER BY day, validator_index) FROM validator_daily`
	const months = `SELECT string_agg(concat_ws(' ', validator_index, windows, coalesce(attestations_expected::text, 'unknown')), ', ' ORDER BY validator_index) FROM validator_monthly`
	for _, state := range []string{"open", "closed"} {
		for _, view := range store.ViewNames() {
			for _, format := range []string{store.FormatCSV, store.FormatJSON} {
				export(t, s, store.ExportOptions{View: view, Format: format})
			}
		}
		if got, wanted := ask[string](t, url, days), "2026-10-27 1 2 unknown -9000000000000000000 -, 2026-10-27 2 1 7 - -, "+
			"2026-10-28 1 0 unknown 9000000000000000000 -, 2026-10-29 1 2 unknown - -, 2026-10-29 2 1 7 - -, 2026-10-29 3 1 unknown - -, "+
			"2026-10-30 1 1 9000000000000000000 - -, 2026-10-31 1 1 9000000000000000000 - -, 2026-10-31 2 1 7 - -"; got != wanted {
			t.Errorf("days that are %s:\ngot  %s\nwant %s", state, got, wanted)
		}
		if got, wanted := ask[string](t, url, months), "1 6 unknown, 2 3 21, 3 1 unknown"; got != wanted {
			t.Errorf("months of days that are %s: got %s, want %s", state, got, wanted)
		}
		maintain(t, s)
	}
	if got := ask[int](t, url, `SELECT count(*) FROM calendar WHERE state <> 'closed'`); got != 0 {
		t.Errorf("%d days cannot be closed", got)
	}
}

// The stake of a window that lasts for days is more than 64 bits hold.
func TestStakeOfLongWindowsIsSummedExactly(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	for i, stake := range []float64{9e21, 1 << 63, 9.1e18, 7} {
		for _, measure := range []string{"attestation_stake_possible_gwei", "attestation_stake_earned_gwei"} {
			write(t, s, store.Row{Labels: labels("__name__", "ethereum_network_window_"+measure, "network", "mainnet"), Window: window(67 - i), Value: stake})
		}
	}
	for _, state := range []string{"open", "closed"} {
		for _, view := range []string{"network_daily", "network_monthly"} {
			if got := ask[string](t, url, `SELECT concat_ws(' ', stake_possible_gwei, stake_earned_gwei, effectiveness) FROM `+view); got != "9018323372036854775815 9018323372036854775815 1" {
				t.Errorf("%s of days that are %s: %s", view, state, got)
			}
		}
		maintain(t, s)
	}
}

func TestDayThatCannotBeClosedKeepsNoOtherOpen(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	const day = 15 // windows
	for n := range 4 {
		write(t, s, expected(1, 2+n*day, 1))
	}
	run(t, url, `
		CREATE FUNCTION refuse() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RAISE EXCEPTION 'not this one'; END $$;
		CREATE TRIGGER refuse BEFORE INSERT ON days FOR EACH ROW WHEN (NEW.day IN ('2026-10-28', '2026-10-30')) EXECUTE FUNCTION refuse()`)
	err := s.Maintain(t.Context())
	if !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("maintain: %v", err)
	}
	for _, part := range []string{"2026-10-28 of mainnet", "not this one", "and 1 other days"} {
		if err == nil || !strings.Contains(err.Error(), part) {
			t.Errorf("the error does not say %q: %v", part, err)
		}
	}
	if got, wanted := ask[string](t, url, states), "mainnet 2026-10-28 closing, mainnet 2026-10-29 closed, mainnet 2026-10-30 closing, mainnet 2026-10-31 closed"; got != wanted {
		t.Errorf("got  %s\nwant %s", got, wanted)
	}
	run(t, url, `DROP TRIGGER refuse ON days`)
	maintain(t, s)
	if got := ask[int](t, url, `SELECT count(*) FROM calendar WHERE state <> 'closed'`); got != 0 {
		t.Errorf("%d days are open after all", got)
	}
}

// Whoever sends makes networks up. The server's memory for locks is bounded, and one batch
// that asks for more would fail for ever.
func TestBatchOfManyNetworksTakesFewLocks(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Fast(), pgtest.Setting("max_locks_per_transaction", "10"), pgtest.Setting("max_connections", "20"))
	url := server.Database(t)
	s := open(t, url)
	const networks = 5000
	var rows, others []store.Row
	for i := range networks {
		network := fmt.Sprintf("made-up-%d", i)
		rows = append(rows, store.Row{Labels: labels("__name__", "ethereum_network_window_attestations_expected", "network", network), Window: window(40), Value: 1})
		others = append(others, store.Row{Labels: labels("__name__", "ethereum_network_window_unheard_of", "network", "un"+network), Window: window(40), Value: 1})
	}
	within, cancel := context.WithTimeout(t.Context(), 20*time.Second)
	defer cancel()
	for _, batch := range [][]store.Row{rows, others} {
		r, err := s.Write(within, batch)
		if err != nil {
			t.Fatal(err)
		}
		want(t, r, fmt.Sprintf("written %d, duplicates 0, conflicts [], rejected []", networks))
	}
	if got := ask[int](t, url, `SELECT count(*) FROM calendar`); got != networks {
		t.Errorf("the calendar has days of %d networks, want those %d that a view shows", got, networks)
	}
	// They still keep closing away from days that are being written to.
	if got := ask[int](t, url, `SELECT count(DISTINCT hashtext(network) & 15) FROM calendar`); got != 16 {
		t.Errorf("%d locks are used, want 16", got)
	}
}

func TestSeriesThatBecomesKnownCountsInClosedDays(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	write(t, open(t, url), expected(7, 40, 15), expected(8, 40, 15))
	// As an older program has left it, which did not know the family.
	run(t, url, `UPDATE series SET subject_id = NULL, measure = NULL WHERE labels ->> 'validator_index' = '7'`)
	s := open(t, url)
	maintain(t, s)
	if got := ask[int](t, url, `SELECT sum(attestations_expected) FROM validator_daily`); got != 15 {
		t.Errorf("the sum is %d, want 15", got)
	}
	write(t, s, expected(7, 1, 10))
	if got := ask[int](t, url, `SELECT sum(attestations_expected) FROM validator_daily`); got != 40 {
		t.Errorf("the sum is %d, want 40", got)
	}
}

// As the program of before has left a database that it was writing to.
func TestMigrationKeepsTheDaysOfVersion11(t *testing.T) {
	t.Parallel()
	s, url, m := withoutDays(t, history(8, 40))
	if err := store.MigrateTo(t.Context(), s, 11); err != nil {
		t.Fatal(err)
	}
	run(t, url, `
		INSERT INTO days SELECT subjects.id, day, sums.* FROM calendar JOIN subjects USING (network)
			CROSS JOIN LATERAL sum_day(subjects.id, begins, ends) AS sums WHERE day < '2026-10-31';
		UPDATE calendar SET state = 'closed' WHERE day < '2026-10-31'`)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.compare(t, url)
	maintain(t, s)
	m.compare(t, url)
	if err := s.MigrateDown(t.Context(), 11); err != nil {
		t.Fatal(err)
	}
	m.compare(t, url)
}

// A writer that has made a series goes on to write its samples: a migration that kept it
// from that, and waited for its series, would end one of the two.
func TestMigrationWaitsForWritersInTheMiddleOfATransaction(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 40, 15))
	if err := s.MigrateDown(t.Context(), 11); err != nil {
		t.Fatal(err)
	}
	writer := connect(t, url)
	if _, err := writer.Exec(t.Context(), `BEGIN`); err != nil {
		t.Fatal(err)
	}
	var made int64
	if err := writer.QueryRow(t.Context(), `INSERT INTO series (hash, name, labels) VALUES (sha256('x'), 'x', '{}') RETURNING id`).Scan(&made); err != nil {
		t.Fatal(err)
	}
	migrated := make(chan error, 1)
	go func() { migrated <- s.Migrate(t.Context()) }()
	for !ask[bool](t, url, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`) {
		select {
		case err := <-migrated:
			t.Fatalf("it was migrated without waiting: %v", err)
		case <-time.After(10 * time.Millisecond):
		}
	}
	samples := strings.NewReader(fmt.Sprintf("%d\t%s\t15\n", made, window(39).Format(time.RFC3339)))
	if _, err := writer.PgConn().CopyFrom(t.Context(), samples, `COPY samples FROM STDIN`); err != nil {
		t.Errorf("the writer cannot go on: %v", err)
	}
	if _, err := writer.Exec(t.Context(), `COMMIT`); err != nil {
		t.Error(err)
	}
	if err := <-migrated; err != nil {
		t.Error(err)
	}
	want(t, write(t, s, expected(1, 39, 15)), "written 1, duplicates 0, conflicts [], rejected []")
	if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 3 {
		t.Errorf("%d samples, want 3", got)
	}
}

// While it waits for somebody who reads a view, nobody can write.
func TestMigrationGivesWayToWritersWhenAReaderDoesNotEnd(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 40, 15))
	if err := s.MigrateDown(t.Context(), 11); err != nil {
		t.Fatal(err)
	}
	reader := connect(t, url)
	for _, statement := range []string{`BEGIN`, `SELECT count(*) FROM network_monthly`} {
		if _, err := reader.Exec(t.Context(), statement); err != nil {
			t.Fatal(err)
		}
	}
	within, cancel := context.WithTimeout(t.Context(), 40*time.Second)
	defer cancel()
	if err := s.Migrate(within); !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), "somebody has been reading") {
		t.Errorf("migrate: %v", err)
	}
	run(t, url, `INSERT INTO samples SELECT series_id, window_start + interval '1 second', value FROM samples`)
	if _, err := reader.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Errorf("migrate again: %v", err)
	}
}

// connect makes a connection of a test's own.
func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

// withoutDays is a database with rows, taken down to version 9, which had no days yet.
func withoutDays(t *testing.T, rows []modelRow) (s *store.Store, url string, m *model) {
	t.Helper()
	url = postgres.Database(t)
	s = open(t, url)
	m = newModel()
	m.add(rows...)
	writeAll(t, s, rows)
	if err := s.MigrateDown(t.Context(), 9); err != nil {
		t.Fatal(err)
	}
	return s, url, m
}

func TestMigrationCutsTheDaysOfWhatIsThere(t *testing.T) {
	t.Parallel()
	s, url, m := withoutDays(t, history(3, 40))
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	m.compare(t, url)
	maintain(t, s)
	m.compare(t, url)
}
