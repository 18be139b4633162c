package store_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"math/rand/v2"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"go.uber.org/goleak"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

var (
	postgres  = pgtest.NewShared(pgtest.Fast())
	breakable = pgtest.NewShared() // for the tests that stop it; they leave it running
)

func TestMain(m *testing.M) { os.Exit(max(postgres.Main(m), breakable.Close())) }

// now is when tests take place, on mainnet, a few hours into a month.
var now = time.Date(2026, time.November, 1, 6, 30, 0, 0, time.UTC)

// window is the n-th window before now, of 96 minutes.
func window(n int) time.Time {
	genesis := time.Unix(1606824023, 0)
	const length = 96 * time.Minute
	return genesis.Add((now.Sub(genesis)/length - time.Duration(n)) * length)
}

// open opens a migrated store on the database at url.
func open(t testing.TB, url string, change ...func(*store.Options)) *store.Store {
	t.Helper()
	s := openEmpty(t, url, change...)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	return s
}

func openEmpty(t testing.TB, url string, change ...func(*store.Options)) *store.Store {
	t.Helper()
	options := store.Options{URL: url, Now: func() time.Time { return now }}
	store.SameClocks(&options)
	for _, c := range change {
		c(&options)
	}
	s, err := store.Open(t.Context(), options)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	return s
}

func forgetful(options *store.Options) { options.Remember = -1 }

func labels(pairs ...string) []store.Label {
	var labels []store.Label
	for i := 0; i < len(pairs); i += 2 {
		labels = append(labels, store.Label{Name: pairs[i], Value: pairs[i+1]})
	}
	slices.SortFunc(labels, func(a, b store.Label) int { return strings.Compare(a.Name, b.Name) })
	return labels
}

// expected is the row of a validator's attestations due in the n-th window before now.
func expected(validator, n int, value float64) store.Row {
	return store.Row{
		Labels: labels("__name__", "ethereum_validator_window_attestations_expected",
			"network", "mainnet", "validator_index", fmt.Sprint(validator)),
		Window: window(n), Value: value,
	}
}

func write(t testing.TB, s *store.Store, rows ...store.Row) store.Result {
	t.Helper()
	result, err := s.Write(t.Context(), rows)
	if err != nil {
		t.Fatal(err)
	}
	return result
}

// summary is a result in short, so that it can be compared.
func summary(r store.Result) string {
	var rejected []string
	for _, rejection := range r.Rejected {
		rejected = append(rejected, fmt.Sprintf("%d:%s", rejection.Row, rejection.Reason))
	}
	return fmt.Sprintf("written %d, duplicates %d, conflicts %v, rejected %v", r.Written, r.Duplicates, r.Conflicts, rejected)
}

func want(t testing.TB, r store.Result, wanted string) {
	t.Helper()
	if got := summary(r); got != wanted {
		t.Errorf("got  %s\nwant %s", got, wanted)
		for _, rejection := range r.Rejected {
			t.Logf("row %d: %v", rejection.Row, rejection.Err)
		}
	}
}

// ask runs a query that returns one value, on a connection of its own.
func ask[T any](t testing.TB, url, sql string, args ...any) T {
	t.Helper()
	var value T
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if err := conn.QueryRow(t.Context(), sql, args...).Scan(&value); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return value
}

func run(t testing.TB, url, sql string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	if _, err := conn.Exec(t.Context(), sql); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
}

// set changes a default of the database for connections to come.
func set(t testing.TB, url, name, value string) {
	t.Helper()
	database := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	run(t, url, fmt.Sprintf(`ALTER DATABASE %s SET %s = '%s'`, database, name, value))
}

const storedSamples = `
	SELECT coalesce(string_agg(name || labels::text || ' ' || extract(epoch FROM window_start)::bigint || ' ' || value, E'\n'
		ORDER BY name, labels::text, window_start), '')
	FROM samples JOIN series ON series.id = samples.series_id`

// logs collects what is logged.
type logs struct {
	mu   sync.Mutex
	text strings.Builder
}

func (l *logs) Write(p []byte) (int, error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.Write(p)
}

func (l *logs) String() string {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.text.String()
}

func (l *logs) option(options *store.Options) { options.Logger = slog.New(slog.NewTextHandler(l, nil)) }

func TestRowsAreStoredAsTheyCame(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	rows := []store.Row{
		expected(7, 2, 15),
		expected(7, 1, 14),
		{Labels: labels("__name__", "ethereum_group_window_attestation_votes_lost", "network", "mainnet",
			"group_by", "operator", "group", "acmé \"x\"", "vote", "target", "cause", "missing"), Window: window(2), Value: 0},
		{Labels: labels("__name__", "ethereum_network_window_slashings", "network", "gnosis", "kind", "proposer"), Window: window(2), Value: 3},
		{Labels: labels("__name__", "ethereum_network_window_balance_gwei", "network", "mainnet"), Window: window(2), Value: 36028797018963968},
	}
	want(t, write(t, s, rows...), "written 5, duplicates 0, conflicts [], rejected []")
	w2, w1 := window(2).Unix(), window(1).Unix()
	wanted := strings.Join([]string{
		fmt.Sprintf(`ethereum_group_window_attestation_votes_lost{"vote": "target", "cause": "missing", "group": "acmé \"x\"", "network": "mainnet", "group_by": "operator"} %d 0`, w2),
		fmt.Sprintf(`ethereum_network_window_balance_gwei{"network": "mainnet"} %d 3.602879701896397e+16`, w2),
		fmt.Sprintf(`ethereum_network_window_slashings{"kind": "proposer", "network": "gnosis"} %d 3`, w2),
		fmt.Sprintf(`ethereum_validator_window_attestations_expected{"network": "mainnet", "validator_index": "7"} %d 15`, w2),
		fmt.Sprintf(`ethereum_validator_window_attestations_expected{"network": "mainnet", "validator_index": "7"} %d 14`, w1),
	}, "\n")
	if got := ask[string](t, url, storedSamples); got != wanted {
		t.Errorf("stored:\n%s\nwant:\n%s", got, wanted)
	}
	if got := ask[float64](t, url, `SELECT max(value) FROM samples`); got != 36028797018963968 {
		t.Errorf("the largest value is %v", got)
	}
	const subjects = `
		SELECT string_agg(concat_ws(' ', kind, network, validator_index, group_by, group_name, measure), E'\n' ORDER BY kind, network, measure)
		FROM series JOIN subjects ON subjects.id = subject_id`
	wanted = `group mainnet operator acmé "x" attestation_votes_lost/target/missing
network gnosis slashings/proposer
network mainnet balance_gwei
validator mainnet 7 attestations_expected`
	if got := ask[string](t, url, subjects); got != wanted {
		t.Errorf("subjects:\n%s\nwant:\n%s", got, wanted)
	}
}

// Every family of completed windows must have a subject and a measure of its own, or it
// would be in no view.
func TestSeriesThatNoViewKnowsAreStoredWithoutASubject(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	var said logs
	s := open(t, url, said.option)
	rows := []store.Row{
		{Labels: labels("__name__", "my_own_window_total", "network", "mainnet"), Window: window(1), Value: 1},
		{Labels: labels("__name__", "ethereum_validator_window_unheard_of", "network", "mainnet", "validator_index", "7"), Window: window(1), Value: 2},
		{Labels: labels("__name__", "ethereum_validator_window_attestations_expected", "network", "mainnet", "validator_index", "7", "region", "eu"), Window: window(1), Value: 3},
		{Labels: labels("__name__", "ethereum_validator_window_attestations_expected", "network", "mainnet", "validator_index", "8", "region", "eu"), Window: window(1), Value: 3},
		{Labels: labels("__name__", "ethereum_validator_window_attestations_expected", "network", "mainnet", "validator_index", "007"), Window: window(1), Value: 4},
		{Labels: labels("__name__", "ethereum_validator_window_attestations_expected", "validator_index", "7"), Window: window(1), Value: 5},
		{Labels: labels("__name__", "ethereum_validator_attestations_expected_total", "network", "mainnet", "validator_index", "7"), Window: window(1), Value: 6},
	}
	want(t, write(t, s, rows...), "written 7, duplicates 0, conflicts [], rejected []")
	if got := ask[int](t, url, `SELECT count(*) FROM series WHERE subject_id IS NULL AND measure IS NULL`); got != len(rows) {
		t.Errorf("%d series without a subject, want %d", got, len(rows))
	}
	if got := ask[int](t, url, `SELECT count(*) FROM subjects`); got != 0 {
		t.Errorf("%d subjects, want none", got)
	}
	if got := strings.Count(said.String(), "labels=region"); got != 1 {
		t.Errorf("the label region is named %d times in the log, want once:\n%s", got, said.String())
	}
}

// Texts that no exporter sends must not run into one measure: the second series would
// break the index of measures, which repeating does not mend.
func TestMeasuresNeverRunIntoEachOther(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	lost := func(vote, cause string) store.Row {
		return store.Row{
			Labels: labels("__name__", "ethereum_validator_window_attestation_votes_lost", "network", "mainnet", "validator_index", "7", "vote", vote, "cause", cause),
			Window: window(1), Value: 3,
		}
	}
	long := strings.Repeat("x", 4000)
	within, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	result, err := s.Write(within, []store.Row{
		lost("a/b", "c"), lost("a", "b/c"), lost("head", "late"), lost("a/b/c", long), lost(long, "late"), lost("head", "late/late"),
	})
	if err != nil {
		t.Fatal(err)
	}
	want(t, result, "written 6, duplicates 0, conflicts [], rejected []")
	if got := ask[string](t, url, `SELECT string_agg(measure, ' ') FROM series`); got != "attestation_votes_lost/head/late" {
		t.Errorf("measures are %q", got)
	}
}

func TestSeriesGetsItsSubjectOnceItsFamilyIsKnown(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	write(t, open(t, url), expected(7, 2, 15))
	// As an older program has left it, which did not know the family.
	run(t, url, `UPDATE series SET subject_id = NULL, measure = NULL; DELETE FROM subjects`)
	write(t, open(t, url), expected(7, 1, 15))
	if got := ask[string](t, url, `SELECT concat_ws(' ', kind, network, validator_index, measure) FROM series JOIN subjects ON subjects.id = subject_id`); got != "validator mainnet 7 attestations_expected" {
		t.Errorf("subject is %q", got)
	}
}

func TestRepeatedRowsAreDuplicates(t *testing.T) {
	for name, change := range map[string]func(*store.Options){"remembered": func(*store.Options) {}, "looked up": forgetful} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgres.Database(t)
			s := open(t, url, change)
			rows := []store.Row{expected(1, 2, 15), expected(2, 2, 15), expected(1, 1, 15)}
			want(t, write(t, s, rows...), "written 3, duplicates 0, conflicts [], rejected []")
			want(t, write(t, s, rows...), "written 0, duplicates 3, conflicts [], rejected []")
			want(t, write(t, s, append(rows, expected(3, 1, 15))...), "written 1, duplicates 3, conflicts [], rejected []")
			if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 4 {
				t.Errorf("%d samples, want 4", got)
			}
		})
	}
}

func TestConflictsAreNeverWritten(t *testing.T) {
	for name, change := range map[string]func(*store.Options){"remembered": func(*store.Options) {}, "looked up": forgetful} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgres.Database(t)
			s := open(t, url, change)
			write(t, s, expected(1, 2, 15), expected(2, 2, 0))
			next := math.Nextafter(15, 16) // equal when printed with few digits
			r := write(t, s, expected(3, 2, 1), expected(1, 2, next), expected(2, 2, math.Copysign(0, -1)))
			want(t, r, "written 1, duplicates 0, conflicts [1 2], rejected []")
			if got := ask[float64](t, url, `SELECT sum(value) FROM samples`); got != 16 {
				t.Errorf("stored values sum to %v, want 16", got)
			}
			want(t, write(t, s, expected(1, 2, 15)), "written 0, duplicates 1, conflicts [], rejected []")
		})
	}
}

func TestAValuePlantedInTheDatabaseIsAConflict(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 2, 15))
	run(t, url, `INSERT INTO samples SELECT series_id, window_start + interval '96 minutes', 'NaN' FROM samples`)
	want(t, write(t, s, expected(1, 1, 15)), "written 0, duplicates 0, conflicts [0], rejected []")
	if got := ask[bool](t, url, `SELECT bool_or(value = 'NaN') FROM samples`); !got {
		t.Error("the planted value was overwritten")
	}
}

func TestKeysRepeatedWithinABatch(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	r := write(t, s, expected(1, 2, 15), expected(2, 2, 15), expected(1, 2, 15), expected(1, 2, 14), expected(1, 1, 14))
	want(t, r, "written 3, duplicates 1, conflicts [3], rejected []")
	if got := ask[float64](t, url, `SELECT sum(value) FROM samples`); got != 44 {
		t.Errorf("stored values sum to %v, want 44: the first of a key wins", got)
	}
	// What is stored decides on each, not the first of them.
	for _, change := range []func(*store.Options){func(*store.Options) {}, forgetful} {
		s := open(t, url, change)
		write(t, s, expected(2, 2, 15))
		r = write(t, s, expected(2, 2, 1), expected(2, 2, 1), expected(2, 2, 15), expected(2, 2, 2), expected(2, 2, 15))
		want(t, r, "written 0, duplicates 2, conflicts [0 1 3], rejected []")
	}
}

func TestRowsThatCanNeverBeStoredAreRejectedAndTheRestKept(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	named := func(name, value string) store.Row {
		row := expected(1, 1, 1)
		row.Labels = append(slices.Clone(row.Labels), store.Label{Name: name, Value: value})
		return row
	}
	at := func(window time.Time) store.Row {
		row := expected(1, 1, 1)
		row.Window = window
		return row
	}
	rows := []store.Row{
		expected(1, 3, 15),
		named("z", "a\x00b"),
		named("z\x00", "a"),
		named("z", "\xff"),
		named("z", ""),
		named("a", "not sorted"),
		named("validator_index", "repeated"),
		{Labels: labels("network", "mainnet"), Window: window(1), Value: 1},
		{Labels: labels("__name__", "ethereum_group_window_attestations_expected", "network", "mainnet", "group_by", "x", "group", strings.Repeat("x", 1<<20)), Window: window(1), Value: 1},
		expected(2, 1, math.NaN()),
		expected(2, 1, math.Inf(-1)),
		at(window(1).Add(time.Millisecond)),
		at(time.Date(1, 1, 1, 0, 0, 0, 0, time.UTC)),
		at(now.Add(-store.DefaultRetention - time.Second)),
		at(now.Add(time.Hour + time.Second)),
		at(time.Date(9999, 12, 31, 23, 59, 59, 0, time.UTC)),
		{Window: window(1), Value: 1},
		expected(2, 3, 15),
	}
	r := write(t, s, rows...)
	want(t, r, "written 2, duplicates 0, conflicts [], rejected [1:text 2:text 3:text 4:labels 5:labels 6:labels 7:labels 8:length 9:value 10:value 11:window 12:too_old 13:too_old 14:too_new 15:too_new 16:labels]")
	for _, rejection := range r.Rejected {
		if rejection.Err == nil || len(rejection.Err.Error()) > 300 {
			t.Errorf("row %d: error is %.400v", rejection.Row, rejection.Err)
		}
		if !slices.Contains(store.Reasons(), rejection.Reason) {
			t.Errorf("reason %s is not among Reasons", rejection.Reason)
		}
	}
	want(t, write(t, s, at(now.Add(-store.DefaultRetention)), at(now.Add(time.Hour))), "written 2, duplicates 0, conflicts [], rejected []")
}

// What Postgres alone knows to be wrong must not keep the rest of a batch out, nor be
// tried for ever.
func TestRowsThatPostgresRefusesAreIsolated(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(0, 2, 1))
	run(t, url, `ALTER TABLE samples ADD CONSTRAINT test CHECK (value <> 666)`)
	run(t, url, `ALTER TABLE series ADD CONSTRAINT test CHECK (labels ->> 'validator_index' <> '777')`)
	var rows []store.Row
	for i := range 100 {
		rows = append(rows, expected(i, 2, 1))
	}
	rows[33].Value, rows[34].Value = 666, 666
	rows[71] = expected(777, 2, 1)
	rows = append(rows, rows[33], expected(777, 1, 1))
	wanted := "rejected [33:database 34:database 71:database 100:database 101:database]"
	// Twice: what is refused stays refused, what is kept is not written again.
	want(t, write(t, s, rows...), "written 96, duplicates 1, conflicts [], "+wanted)
	want(t, write(t, s, rows...), "written 0, duplicates 97, conflicts [], "+wanted)
	if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 97 {
		t.Errorf("%d samples, want 97", got)
	}
}

func TestIdentitiesAreNotBurnt(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url, forgetful)
	for n := range 5 {
		write(t, s, expected(1, n, 15), expected(2, n, 15), expected(2, n, 15))
		write(t, s, expected(1, n, 15), expected(1, n, 14))
	}
	write(t, s, expected(3, 1, 15))
	if got := ask[string](t, url, `SELECT string_agg(id::text, ' ' ORDER BY id) FROM series`); got != "1 2 3" {
		t.Errorf("series have the ids %s", got)
	}
	if got := ask[string](t, url, `SELECT string_agg(id::text, ' ' ORDER BY id) FROM subjects`); got != "1 2 3" {
		t.Errorf("subjects have the ids %s", got)
	}
}

// Eight writers, two stores, the same rows in different orders and in overlapping
// batches: each row is written once and no deadlock is seen.
func TestConcurrentWritersStoreEachRowOnce(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	set(t, url, "default_transaction_isolation", "serializable") // with which writers would fail each other
	stores := []*store.Store{open(t, url), open(t, url, forgetful)}
	var rows []store.Row
	for validator := range 40 {
		for n := range 20 {
			rows = append(rows, expected(validator, n, float64(validator*100+n)))
		}
	}
	var mu sync.Mutex
	var total store.Result
	var writers sync.WaitGroup
	for w := range 8 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(1, uint64(w)))
			mine := slices.Clone(rows)
			random.Shuffle(len(mine), func(i, j int) { mine[i], mine[j] = mine[j], mine[i] })
			for len(mine) > 0 {
				n := min(len(mine), 1+random.IntN(200))
				r, err := stores[w%2].Write(t.Context(), mine[:n])
				if err != nil {
					t.Error(err)
					return
				}
				mu.Lock()
				total.Written += r.Written
				total.Duplicates += r.Duplicates
				total.Conflicts = append(total.Conflicts, r.Conflicts...)
				total.Rejected = append(total.Rejected, r.Rejected...)
				mu.Unlock()
				mine = mine[n:]
			}
		})
	}
	writers.Wait()
	want(t, total, fmt.Sprintf("written %d, duplicates %d, conflicts [], rejected []", len(rows), 7*len(rows)))
	if got := ask[int](t, url, `SELECT count(*) FROM samples JOIN series ON series.id = series_id
		WHERE value = (labels ->> 'validator_index')::int * 100 + (extract(epoch FROM $1::timestamptz - window_start) / 5760)`, window(0)); got != len(rows) {
		t.Errorf("%d samples have their value, want %d", got, len(rows))
	}
	if got := ask[int](t, url, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); got != 0 {
		t.Errorf("%d deadlocks", got)
	}
	if got := ask[int](t, url, `SELECT max(id) FROM series`); got != 40 {
		t.Errorf("the highest id of a series is %d, want 40", got)
	}
}

func TestWriteSurvivesKillsAndRestarts(t *testing.T) {
	server := breakable.Server(t)
	url := server.Database(t)
	s := open(t, url)
	var rows []store.Row
	for validator := range 30 {
		for n := range 20 {
			rows = append(rows, expected(validator, n, float64(validator*100+n)))
		}
	}
	ctx, stop := context.WithCancel(t.Context())
	var writers sync.WaitGroup
	var mu sync.Mutex
	writes := 0
	for w := range 4 {
		writers.Go(func() {
			random := rand.New(rand.NewPCG(2, uint64(w)))
			for ctx.Err() == nil {
				batch := make([]store.Row, 50)
				for i := range batch {
					batch[i] = rows[random.IntN(len(rows))]
				}
				within, cancel := context.WithTimeout(t.Context(), 60*time.Second)
				r, err := s.Write(within, batch)
				cancel()
				if err != nil || len(r.Conflicts) > 0 || len(r.Rejected) > 0 {
					t.Errorf("%s, %v", summary(r), err)
					return
				}
				mu.Lock()
				writes++
				mu.Unlock()
				time.Sleep(rand.N(3 * time.Millisecond))
			}
		})
	}
	for i := range 3 {
		time.Sleep(200 * time.Millisecond)
		var err error
		switch i {
		case 0:
			err = server.Restart(pgtest.StopImmediate)
		case 1:
			err = errors.Join(server.Kill(), server.Start())
		case 2:
			err = server.Restart(pgtest.StopFast)
		}
		if err != nil {
			t.Fatal(err)
		}
	}
	time.Sleep(200 * time.Millisecond)
	stop()
	writers.Wait()
	r := write(t, s, rows...)
	if r.Written+r.Duplicates != len(rows) {
		t.Errorf("at the end: %s", summary(r))
	}
	if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != len(rows) {
		t.Errorf("%d samples, want %d", got, len(rows))
	}
	if got := ask[int](t, url, `SELECT count(*) FROM samples JOIN series ON series.id = series_id
		WHERE value = (labels ->> 'validator_index')::int * 100 + (extract(epoch FROM $1::timestamptz - window_start) / 5760)`, window(0)); got != len(rows) {
		t.Errorf("%d samples have their value, want %d", got, len(rows))
	}
	t.Logf("%d batches", writes)
}

// The connection breaks after Postgres has committed and before it says so.
func TestCommitWithoutAnAnswerIsRepeatedSafely(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	through, cut := cutAtCommit(t, url)
	s := open(t, through)
	write(t, s, expected(1, 3, 15))
	cut.Store(true)
	rows := []store.Row{expected(1, 2, 15), expected(2, 2, 15), expected(2, 2, 14)}
	want(t, write(t, s, rows...), "written 0, duplicates 2, conflicts [2], rejected []")
	if cut.Load() {
		t.Error("no commit was cut off: this test shows nothing")
	}
	if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 3 {
		t.Errorf("%d samples, want 3", got)
	}
	if got := ask[int](t, url, `SELECT max(id) FROM series`); got != 2 {
		t.Errorf("the highest id of a series is %d, want 2", got)
	}
}

// cutAtCommit is a way to the database at url on which, once cut is set, the answer to
// the next commit is lost.
func cutAtCommit(t *testing.T, url string) (through string, cut *atomic.Bool) {
	t.Helper()
	cut = new(atomic.Bool)
	server := url[strings.Index(url, "@")+1 : strings.LastIndex(url, "/")]
	listener, err := net.Listen("tcp4", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { listener.Close() })
	// copyUntil copies until one side ends or stop says so of what was read.
	copyUntil := func(to, from net.Conn, stop func([]byte) bool) {
		defer to.Close()
		defer from.Close()
		buffer := make([]byte, 64<<10)
		for {
			n, err := from.Read(buffer)
			if err != nil || stop(buffer[:n]) {
				return
			}
			if _, err := to.Write(buffer[:n]); err != nil {
				return
			}
		}
	}
	go func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			backend, err := net.Dial("tcp4", server)
			if err != nil {
				client.Close()
				continue
			}
			var committing atomic.Bool
			go copyUntil(backend, client, func(request []byte) bool {
				if bytes.Contains(request, []byte("commit\x00")) && cut.CompareAndSwap(true, false) {
					committing.Store(true)
				}
				return false
			})
			go copyUntil(client, backend, func([]byte) bool { return committing.Load() })
		}
	}()
	return strings.Replace(url, server, listener.Addr().String(), 1), cut
}

// Somebody else writes the same keys the other way round, so that Postgres ends one of
// the two.
func TestDeadlockIsTriedAgain(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 3, 15), expected(2, 3, 15))
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	// The store waits first, so it is the first to look for a deadlock, and ends itself.
	if _, err := other.Exec(t.Context(), `SET deadlock_timeout = '20s'; BEGIN`); err != nil {
		t.Fatal(err)
	}
	insert := func(validator string) {
		t.Helper()
		if _, err := other.Exec(t.Context(), `
			INSERT INTO samples SELECT id, $1, 15 FROM series WHERE labels ->> 'validator_index' = $2`, window(2), validator); err != nil {
			t.Error(err)
		}
	}
	// Keys are in the order of the series' ids, which is the order of their hashes.
	order := strings.Fields(ask[string](t, url, `SELECT string_agg(labels ->> 'validator_index', ' ' ORDER BY id) FROM series`))
	insert(order[1])
	written := make(chan store.Result, 1)
	go func() {
		r, err := s.Write(t.Context(), []store.Row{expected(1, 2, 15), expected(2, 2, 15)})
		if err != nil {
			t.Error(err)
		}
		written <- r
	}()
	for !ask[bool](t, url, `SELECT EXISTS (SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock')`) {
		time.Sleep(10 * time.Millisecond)
	}
	insert(order[0])
	if _, err := other.Exec(t.Context(), `COMMIT`); err != nil {
		t.Fatal(err)
	}
	want(t, <-written, "written 0, duplicates 2, conflicts [], rejected []")
	var deadlocks int
	for range 50 { // statistics arrive late
		if deadlocks = ask[int](t, url, `SELECT deadlocks FROM pg_stat_database WHERE datname = current_database()`); deadlocks > 0 {
			break
		}
		time.Sleep(100 * time.Millisecond)
	}
	if deadlocks != 1 {
		t.Errorf("%d deadlocks, want 1", deadlocks)
	}
}

func TestClosedStoreLeavesNothingRunning(t *testing.T) {
	server := postgres.Server(t)
	url := server.Database(t)
	before := goleak.IgnoreCurrent()
	s := open(t, url)
	write(t, s, expected(1, 1, 15))
	s.Close()
	goleak.VerifyNone(t, before)
}

func TestBackendsThatAreTerminatedAreNoticedByNobody(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	done := make(chan struct{})
	go func() {
		defer close(done)
		for n := range 20 {
			for validator := range 10 {
				r, err := s.Write(t.Context(), []store.Row{expected(validator, n, 1)})
				if err != nil || r.Written+r.Duplicates != 1 {
					t.Errorf("%s, %v", summary(r), err)
				}
			}
		}
	}()
	for {
		select {
		case <-done:
			if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 200 {
				t.Errorf("%d samples, want 200", got)
			}
			return
		case <-time.After(50 * time.Millisecond):
			run(t, url, `SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()`)
		}
	}
}

func TestDatabaseThatIsAway(t *testing.T) {
	server := breakable.Server(t)
	url := server.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 2, 15))
	if err := server.Stop(pgtest.StopFast); err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	began := time.Now()
	if _, err := s.Write(within, []store.Row{expected(1, 1, 15)}); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("write: %v, want ErrUnavailable", err)
	}
	if took := time.Since(began); took > 2*time.Second {
		t.Errorf("the write took %s, and its context 300 ms", took)
	}
	if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("check: %v, want ErrUnavailable", err)
	}
	if err := s.Maintain(t.Context()); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("maintain: %v, want ErrUnavailable", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	want(t, write(t, s, expected(1, 1, 15), expected(1, 2, 15)), "written 1, duplicates 1, conflicts [], rejected []")
}

func TestStoreOpensWhileTheDatabaseIsAway(t *testing.T) {
	server := breakable.Server(t)
	url := server.Database(t)
	open(t, url).Close()
	if err := server.Stop(pgtest.StopFast); err != nil {
		t.Fatal(err)
	}
	s := openEmpty(t, url)
	if err := s.Check(t.Context()); !errors.Is(err, store.ErrUnavailable) || errors.Is(err, store.ErrMismatch) {
		t.Errorf("check: %v, want ErrUnavailable only", err)
	}
	if err := server.Start(); err != nil {
		t.Fatal(err)
	}
	want(t, write(t, s, expected(1, 1, 15)), "written 1, duplicates 0, conflicts [], rejected []")
}

// A restored database lacks what was committed since its backup. What the store remembers
// must not make it say that it is there.
func TestRestoredDatabaseIsNotBelievedToHaveWhatIsRemembered(t *testing.T) {
	server := breakable.Server(t)
	url := server.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 3, 15))
	name := url[strings.LastIndex(url, "/")+1 : strings.Index(url, "?")]
	for _, sql := range []string{
		`SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = '` + name + `'`,
		`CREATE DATABASE backup TEMPLATE ` + name,
	} {
		if err := server.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	write(t, s, expected(2, 2, 15), expected(3, 2, 15), expected(1, 2, 15))
	for _, sql := range []string{
		`DROP DATABASE ` + name + ` WITH (FORCE)`,
		`CREATE DATABASE ` + name + ` TEMPLATE backup`,
	} {
		if err := server.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	// The series of validator 3 gets the id that the one of 2 had before. First something
	// new, for a batch that is remembered as a whole asks nothing of the database.
	want(t, write(t, s, expected(3, 1, 14)), "written 1, duplicates 0, conflicts [], rejected []")
	want(t, write(t, s, expected(2, 2, 15), expected(3, 2, 15), expected(1, 2, 15), expected(1, 3, 15)),
		"written 3, duplicates 1, conflicts [], rejected []")
	if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 5 {
		t.Errorf("%d samples, want 5", got)
	}
}

// A backup is restored into the database that a receiver is using, whose connections stay:
// tables are others, and series have ids that meant something else before.
func TestTablesReplacedUnderOpenConnectionsAreNoticed(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Fast())
	url := server.Database(t)
	s := open(t, url, func(o *store.Options) { o.MaxConns = 2 })
	write(t, s, expected(1, 3, 15))
	file := filepath.Join(t.TempDir(), "dump")
	program := func(name string, arguments ...string) {
		t.Helper()
		if out, err := exec.Command(server.Program(name), arguments...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	program("pg_dump", "--dbname", url, "--format", "custom", "--no-privileges", "--file", file)
	restore := func() {
		t.Helper()
		run(t, url, `DROP SCHEMA public CASCADE; CREATE SCHEMA public`)
		program("pg_restore", "--dbname", url, "--no-owner", "--single-transaction", file)
	}
	write(t, s, expected(2, 2, 15), expected(3, 2, 16))
	restore()
	// Somebody else makes a series, which gets the id that the one of validator 2 had.
	other := open(t, url)
	write(t, other, expected(4, 2, 17))
	want(t, write(t, s, expected(2, 1, 15)), "written 1, duplicates 0, conflicts [], rejected []")
	want(t, write(t, s, expected(2, 2, 15), expected(3, 2, 16), expected(1, 3, 15)), "written 2, duplicates 1, conflicts [], rejected []")
	const wanted = `ethereum_validator_window_attestations_expected{"network": "mainnet", "validator_index": "2"} `
	if got := ask[string](t, url, storedSamples); strings.Count(got, wanted) != 2 {
		t.Errorf("validator 2 has not two windows:\n%s", got)
	}

	// A batch that is remembered as a whole asks nothing. Looking at the database, as
	// maintenance and the question whether it is ready do, is enough.
	restore()
	if err := s.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	want(t, write(t, s, expected(2, 2, 15), expected(3, 2, 16), expected(1, 3, 15)), "written 2, duplicates 1, conflicts [], rejected []")
}

// PgBouncer refuses a connection that begins with a setting that it does not know of, so
// these are made afterwards.
func TestSessionIsSetUpAfterItIsMade(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	settings := func(s *store.Store) string {
		t.Helper()
		var got string
		if err := store.Pool(s).QueryRow(t.Context(), `SELECT string_agg(name || ' ' || setting, ', ' ORDER BY name) FROM pg_settings
			WHERE name IN ('TimeZone', 'idle_in_transaction_session_timeout') OR name LIKE 'tcp\_keepalives\_%'`).Scan(&got); err != nil {
			t.Fatal(err)
		}
		return got
	}
	s := open(t, url)
	for name := range store.Pool(s).Config().ConnConfig.RuntimeParams {
		if !slices.Contains([]string{"application_name", "timezone", "client_encoding", "datestyle"}, name) {
			t.Errorf("a connection begins with the setting %s", name)
		}
	}
	const wanted = "TimeZone UTC, idle_in_transaction_session_timeout %s, tcp_keepalives_count 3, tcp_keepalives_idle %s, tcp_keepalives_interval 10"
	if got := settings(s); got != fmt.Sprintf(wanted, "60000", "30") {
		t.Errorf("settings are %s", got)
	}
	s = open(t, url+"&idle_in_transaction_session_timeout=7s&tcp_keepalives_idle=77&timezone=Asia/Tokyo")
	if got := settings(s); got != fmt.Sprintf(wanted, "7000", "77") {
		t.Errorf("with some in the URL settings are %s", got)
	}
}

func TestFullPoolIsUnavailable(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url, func(o *store.Options) { o.MaxConns = 2 })
	write(t, s, expected(1, 3, 15))
	locker, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer locker.Close(context.Background())
	if _, err := locker.Exec(t.Context(), `BEGIN; LOCK TABLE samples`); err != nil {
		t.Fatal(err)
	}
	var writers sync.WaitGroup
	for i := range 3 {
		writers.Go(func() {
			within, cancel := context.WithTimeout(t.Context(), 500*time.Millisecond)
			defer cancel()
			if _, err := s.Write(within, []store.Row{expected(1, i, 15)}); !errors.Is(err, store.ErrUnavailable) {
				t.Errorf("write: %v, want ErrUnavailable", err)
			}
		})
	}
	time.Sleep(200 * time.Millisecond)
	if stats := s.Stats(); stats.Acquired != 2 || stats.Max != 2 {
		t.Errorf("%d of %d connections in use, want 2 of 2", stats.Acquired, stats.Max)
	}
	writers.Wait()
	if _, err := locker.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	want(t, write(t, s, expected(1, 0, 15), expected(1, 1, 15), expected(1, 2, 15)), "written 3, duplicates 0, conflicts [], rejected []")
}

func TestPasswordIsInNoError(t *testing.T) {
	for _, url := range []string{
		"postgres://user:s3cret@host:port/name",
		"postgres://user:s3cret@[::1/name",
		"host=h password=s3cret port=x",
	} {
		_, err := store.Open(t.Context(), store.Options{URL: url})
		if err == nil || strings.Contains(err.Error(), "s3cret") {
			t.Errorf("%s: %v", url, err)
		}
	}
	s := openEmpty(t, "postgres://user:s3cret@127.0.0.1:1/name")
	if err := s.Check(t.Context()); err == nil || strings.Contains(err.Error(), "s3cret") {
		t.Errorf("check: %v", err)
	}
}

func TestStatsTellTheNewestWindowAndThePool(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	if got := s.Stats(); !got.NewestWindow.IsZero() || got.SchemaVersion != 0 || got.Max != 8 {
		t.Errorf("before anything is known: %+v", got)
	}
	write(t, s, expected(1, 2, 15))
	write(t, s, expected(1, 4, 15))
	if got := s.Stats(); !got.NewestWindow.Equal(window(2)) || got.SchemaVersion == 0 {
		t.Errorf("after writing: %+v, want newest %s", got, window(2))
	}
	// Another program finds it in the database.
	other := openEmpty(t, url)
	if err := other.Check(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := other.Stats(); !got.NewestWindow.Equal(window(2)) {
		t.Errorf("after a check: %+v, want newest %s", got, window(2))
	}
}
