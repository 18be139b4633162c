package store_test

import (
	"context"
	"errors"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

func TestMigrationsGoUpDownAndUpAgain(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := openEmpty(t, url)
	version := func() (have, need int64) {
		have, need, err := s.SchemaVersion(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		return have, need
	}
	if have, need := version(); have != 0 || need < 1 {
		t.Errorf("before: version %d of %d", have, need)
	}
	schema := func() string {
		return ask[string](t, url, `
			SELECT coalesce(string_agg(concat_ws(' ', c.relkind, c.relname, a.attname, format_type(a.atttypid, a.atttypmod), pg_get_expr(c.relpartbound, c.oid)),
				E'\n' ORDER BY c.relname, a.attnum), '')
			FROM pg_class c LEFT JOIN pg_attribute a ON a.attrelid = c.oid AND a.attnum > 0
			WHERE c.relnamespace = 'public'::regnamespace AND c.relname NOT LIKE 'schema_migrations%'`)
	}
	for range 2 {
		if err := s.Migrate(t.Context()); err != nil {
			t.Fatal(err)
		}
		if have, need := version(); have != need {
			t.Errorf("after migrating up: version %d of %d", have, need)
		}
		up := schema()
		if !strings.Contains(up, "samples") {
			t.Errorf("after migrating up there is no table samples:\n%s", up)
		}
		if err := s.Migrate(t.Context()); err != nil {
			t.Errorf("migrating what is migrated: %v", err)
		}
		want(t, write(t, s, expected(1, 2, 15), expected(1, 40, 15)), "written 2, duplicates 0, conflicts [], rejected []")
		if err := s.MigrateDown(t.Context(), 0); err != nil {
			t.Fatal(err)
		}
		if have, _ := version(); have != 0 {
			t.Errorf("after migrating down: version %d", have)
		}
		if left := schema(); left != "" {
			t.Errorf("after migrating down these are left:\n%s", left)
		}
	}
}

func TestSeveralMigrateAtOnce(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	var said logs
	var programs sync.WaitGroup
	for range 4 {
		s := openEmpty(t, url, said.option)
		programs.Go(func() {
			if err := s.Migrate(t.Context()); err != nil {
				t.Error(err)
			}
			if err := s.Maintain(t.Context()); err != nil {
				t.Error(err)
			}
		})
	}
	programs.Wait()
	if got := strings.Count(said.String(), "migration=00001"); got != 1 {
		t.Errorf("the first migration ran %d times, want once:\n%s", got, said.String())
	}
	want(t, write(t, openEmpty(t, url), expected(1, 1, 15)), "written 1, duplicates 0, conflicts [], rejected []")
}

func TestSchemaThatDoesNotFitIsRefused(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	refused := func(s *store.Store, advice string) {
		t.Helper()
		err := s.Check(t.Context())
		if !errors.Is(err, store.ErrMismatch) || !errors.Is(err, store.ErrUnavailable) || !strings.Contains(err.Error(), advice) {
			t.Errorf("check: %v", err)
		}
		began := time.Now()
		if _, err := s.Write(t.Context(), []store.Row{expected(1, 1, 15)}); !errors.Is(err, store.ErrMismatch) || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("write: %v", err)
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("the write was tried for %s", took)
		}
	}
	s := openEmpty(t, url)
	refused(s, "run validator-rollup migrate")
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	write(t, s, expected(1, 1, 15))
	run(t, url, `INSERT INTO schema_migrations (version_id, is_applied) VALUES (999, true)`)
	newer := openEmpty(t, url)
	refused(newer, "use the newer validator-rollup")
	for _, err := range []error{newer.Migrate(t.Context()), newer.MigrateDown(t.Context(), 0)} {
		if !errors.Is(err, store.ErrMismatch) || !strings.Contains(err.Error(), "version 999") {
			t.Errorf("migrate: %v", err)
		}
	}
	if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 1 {
		t.Errorf("%d samples are left, want 1", got)
	}
}

// Another receiver migrates while this one runs, which knew the schema when it started.
func TestSchemaThatFitsNoMoreIsRefused(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 2, 15))
	run(t, url, `INSERT INTO schema_migrations (version_id, is_applied) VALUES (999, true)`)
	for range 2 {
		if _, err := s.Write(t.Context(), []store.Row{expected(1, 1, 15)}); !errors.Is(err, store.ErrMismatch) || !errors.Is(err, store.ErrUnavailable) {
			t.Errorf("write: %v", err)
		}
		if err := s.Check(t.Context()); !errors.Is(err, store.ErrMismatch) {
			t.Errorf("check: %v", err)
		}
	}
	if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 1 {
		t.Errorf("%d samples, want 1", got)
	}
	run(t, url, `DELETE FROM schema_migrations WHERE version_id = 999`)
	want(t, write(t, s, expected(1, 1, 15)), "written 1, duplicates 0, conflicts [], rejected []")
	if got := s.Stats().SchemaVersion; got == 999 {
		t.Errorf("version %d is still told", got)
	}
}

func TestEveryWindowFamilyHasASubjectAndAMeasure(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	var rows []store.Row
	for _, family := range catalog.All() {
		if !strings.Contains(family.Name, "_window_") || !strings.HasPrefix(family.Name, "ethereum_") {
			continue
		}
		pairs := []string{"__name__", family.Name}
		for _, name := range family.Labels {
			switch name {
			case "window":
			case "validator_index":
				pairs = append(pairs, name, "0")
			default:
				pairs = append(pairs, name, "some "+name)
			}
		}
		rows = append(rows, store.Row{Labels: labels(pairs...), Window: window(1), Value: 1})
	}
	if len(rows) < 40 {
		t.Fatalf("only %d families of windows in the catalogue", len(rows))
	}
	want(t, write(t, s, rows...), fmt.Sprintf("written %d, duplicates 0, conflicts [], rejected []", len(rows)))
	if got := ask[int](t, url, `SELECT count(*) FROM series WHERE subject_id IS NOT NULL`); got != len(rows) {
		t.Errorf("%d series have a subject, want %d", got, len(rows))
	}
	if got := ask[string](t, url, `SELECT string_agg(kind, ' ' ORDER BY kind) FROM subjects`); got != "group network validator" {
		t.Errorf("subjects are %s", got)
	}
	for _, measure := range []string{"attestation_votes_lost/some vote/some cause", "slashings/some kind", "balance_gwei"} {
		if got := ask[int](t, url, `SELECT count(*) FROM series WHERE measure = $1`, measure); got == 0 {
			t.Errorf("no series has measure %s", measure)
		}
	}
}

func TestMaintenanceThatAnotherDoesIsSaidOnceAnHour(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	clock := now
	var said logs
	s := open(t, url, said.option, func(o *store.Options) { o.Now = func() time.Time { return clock } })
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	if _, err := other.Exec(t.Context(), `SELECT pg_advisory_lock($1)`, int64(0x76726f6c6c757002)); err != nil {
		t.Fatal(err)
	}
	for _, wanted := range []int{1, 1, 2} {
		maintain(t, s)
		if got := strings.Count(said.String(), "Another receiver maintains"); got != wanted {
			t.Errorf("it was said %d times, want %d:\n%s", got, wanted, said.String())
		}
		clock = clock.Add(40 * time.Minute)
	}
	if got := ask[string](t, url, partitions); got != "" {
		t.Errorf("it was done all the same: %s", got)
	}
}

// Labels that are not in the database's encoding would be refused, or stored as something else.
func TestDatabaseOfAnotherEncodingIsRefused(t *testing.T) {
	t.Parallel()
	beside := postgres.Database(t)
	for _, encoding := range []string{"SQL_ASCII", "LATIN1"} {
		name := "of_" + strings.ToLower(encoding)
		run(t, beside, `CREATE DATABASE `+name+` ENCODING '`+encoding+`' TEMPLATE template0`)
		there, err := url.Parse(beside)
		if err != nil {
			t.Fatal(err)
		}
		there.Path = "/" + name
		s := openEmpty(t, there.String())
		for what, err := range map[string]error{"migrate": s.Migrate(t.Context()), "check": s.Check(t.Context())} {
			if !errors.Is(err, store.ErrMismatch) || !strings.Contains(err.Error(), "its encoding is "+encoding+" and labels are UTF-8") {
				t.Errorf("%s: %v", what, err)
			}
		}
	}
}

// One that was let be made is not lost for it, and its operator is told what to do.
func TestUsedDatabaseOfAnotherEncodingIsUsedOn(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	write(t, open(t, url), expected(1, 2, 15))
	run(t, url, `UPDATE pg_database SET encoding = pg_char_to_encoding('SQL_ASCII') WHERE datname = current_database()`)
	var said logs
	s := open(t, url, said.option)
	want(t, write(t, s, expected(1, 2, 15), expected(1, 1, 15)), "written 1, duplicates 1, conflicts [], rejected []")
	maintain(t, s)
	if got := strings.Count(said.String(), "pg_dump --encoding=UTF8"); got != 1 || !strings.Contains(said.String(), "encoding=SQL_ASCII") {
		t.Errorf("it was said %d times what to do, want once:\n%s", got, said.String())
	}
}

// pg_restore makes indexes last. What is written before would be there twice, and the
// restoring fail for it.
func TestDatabaseThatIsBeingRestoredIsRefused(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url, forgetful)
	write(t, s, expected(1, 2, 15))
	const unique = `
		SELECT array_agg(indexes.relname::text ORDER BY indexes.relname::text COLLATE "C")
		FROM pg_index JOIN pg_class AS indexes ON indexes.oid = indexrelid JOIN pg_class AS tables ON tables.oid = indrelid
		WHERE indisunique AND tables.relnamespace = 'public'::regnamespace AND tables.relname NOT LIKE 'schema\_%' AND NOT tables.relispartition`
	if got, wanted := ask[[]string](t, url, unique), slices.Sorted(slices.Values(store.UniqueIndexes())); !slices.Equal(got, wanted) {
		t.Errorf("unique indexes are %s, and looked for are %s", got, wanted)
	}
	for _, c := range []struct{ missing, drop, restore string }{
		{"samples_pkey", `ALTER TABLE samples DROP CONSTRAINT samples_pkey`, `ALTER TABLE samples ADD PRIMARY KEY (series_id, window_start)`},
		// As it is until the last partition has its own.
		{"samples_pkey", `ALTER TABLE samples DROP CONSTRAINT samples_pkey; ALTER TABLE ONLY samples ADD PRIMARY KEY (series_id, window_start)`, `ALTER TABLE samples DROP CONSTRAINT samples_pkey; ALTER TABLE samples ADD PRIMARY KEY (series_id, window_start)`},
		{"series_hash_key, series_subject", `ALTER TABLE series DROP CONSTRAINT series_hash_key; DROP INDEX series_subject`, `
			ALTER TABLE series ADD UNIQUE (hash); CREATE UNIQUE INDEX series_subject ON series (subject_id, measure) WHERE subject_id IS NOT NULL`},
	} {
		run(t, url, c.drop)
		_, err := s.Write(t.Context(), []store.Row{expected(1, 2, 15), expected(1, 1, 15)})
		for what, err := range map[string]error{"write": err, "check": s.Check(t.Context()), "maintain": s.Maintain(t.Context())} {
			if !errors.Is(err, store.ErrMismatch) || !strings.Contains(err.Error(), "is being restored, or these indexes are missing: "+c.missing) {
				t.Errorf("%s without %s: %v", what, c.missing, err)
			}
		}
		run(t, url, c.restore)
	}
	want(t, write(t, s, expected(1, 2, 15), expected(1, 1, 15)), "written 1, duplicates 1, conflicts [], rejected []")
}

// A standby answers, and has the schema: nothing but a write would tell.
func TestDatabaseThatTakesNoWritesIsNotReady(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Fast())
	primary := server.Database(t)
	write(t, open(t, primary), expected(1, 2, 15))
	standby := server.Standby(t)
	there, err := url.Parse(primary)
	if err != nil {
		t.Fatal(err)
	}
	there.Host = fmt.Sprintf("127.0.0.1:%d", standby.Port())
	refused := func(s *store.Store, advice string) {
		t.Helper()
		began := time.Now()
		_, writing := s.Write(t.Context(), []store.Row{expected(1, 1, 15)})
		for what, err := range map[string]error{
			"check": s.Check(t.Context()), "migrate": s.Migrate(t.Context()), "maintain": s.Maintain(t.Context()), "write": writing,
		} {
			if !errors.Is(err, store.ErrMismatch) || !strings.Contains(err.Error(), advice) {
				t.Errorf("%s: %v", what, err)
			}
		}
		if took := time.Since(began); took > 5*time.Second {
			t.Errorf("it was tried for %s", took)
		}
	}
	s := openEmpty(t, there.String(), func(o *store.Options) { o.Genesis = map[string]time.Time{"devnet": now} })
	refused(s, "it is a standby, which takes no writes")
	if got := export(t, s, store.ExportOptions{View: "validator_daily", Format: store.FormatCSV, Columns: []string{"validator_index", "attestations_expected"}}); got != "validator_index,attestations_expected\n1,15\n" {
		t.Errorf("the standby exports %q", got)
	}

	// Of several hosts the one that takes writes is found.
	there.Host += "," + fmt.Sprintf("127.0.0.1:%d", server.Port())
	s = openEmpty(t, there.String())
	want(t, write(t, s, expected(1, 1, 15)), "written 1, duplicates 0, conflicts [], rejected []")
	maintain(t, s)

	// Unless somebody wants another, in whatever place.
	password, _ := there.User.Password()
	services := filepath.Join(t.TempDir(), "services")
	text := fmt.Sprintf("[rollup]\nhost=127.0.0.1,127.0.0.1\nport=%d,%d\nuser=%s\npassword=%s\ndbname=%s\nsslmode=disable\ntarget_session_attrs=standby\n",
		standby.Port(), server.Port(), there.User.Username(), password, strings.TrimPrefix(there.Path, "/"))
	if err := os.WriteFile(services, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	refused(openEmpty(t, "service=rollup servicefile="+services), "it is a standby, which takes no writes")

	set(t, primary, "default_transaction_read_only", "on")
	refused(openEmpty(t, primary), "default_transaction_read_only is on")
}

const partitions = `
	SELECT coalesce(string_agg(relname, ' ' ORDER BY relname), '')
	FROM pg_class WHERE relkind = 'r' AND relname LIKE 'samples\_%'`

func TestPartitionsAreMonthsInUTCWhateverTheZone(t *testing.T) {
	for _, zone := range []string{"Pacific/Chatham", "America/St_Johns"} {
		t.Run(zone, func(t *testing.T) {
			t.Parallel()
			url := postgres.Database(t)
			set(t, url, "timezone", zone)
			if got := ask[string](t, url, `SHOW timezone`); got != zone {
				t.Fatalf("the server's zone is %s", got)
			}
			s := open(t, url)
			at := func(window time.Time) store.Row {
				row := expected(1, 1, 1)
				row.Window = window
				return row
			}
			border := time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC)
			want(t, write(t, s, at(border.Add(-time.Second)), at(border), at(border.AddDate(0, -8, 0))), "written 3, duplicates 0, conflicts [], rejected []")
			const where = `SELECT string_agg(tableoid::regclass || ' ' || extract(epoch FROM window_start)::bigint, ', ' ORDER BY window_start) FROM samples`
			wanted := fmt.Sprintf("samples_2026_03 %d, samples_2026_10 %d, samples_2026_11 %d",
				border.AddDate(0, -8, 0).Unix(), border.Add(-time.Second).Unix(), border.Unix())
			if got := ask[string](t, url, where); got != wanted {
				t.Errorf("got  %s\nwant %s", got, wanted)
			}
			const bounds = `SELECT pg_get_expr(relpartbound, oid) FROM pg_class WHERE relname = 'samples_2026_11'`
			conn, err := pgx.Connect(t.Context(), url)
			if err != nil {
				t.Fatal(err)
			}
			defer conn.Close(context.Background())
			var bound string
			if _, err := conn.Exec(t.Context(), `SET timezone = 'UTC'`); err != nil {
				t.Fatal(err)
			}
			if err := conn.QueryRow(t.Context(), bounds).Scan(&bound); err != nil {
				t.Fatal(err)
			}
			if want := `FOR VALUES FROM ('2026-11-01 00:00:00+00') TO ('2026-12-01 00:00:00+00')`; bound != want {
				t.Errorf("November is %s, want %s", bound, want)
			}
		})
	}
}

func TestMaintainMakesPartitionsAheadAndDropsOldOnes(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	clock := now
	s := open(t, url, func(o *store.Options) {
		o.Now = func() time.Time { return clock }
		o.Retention = 40 * 24 * time.Hour
		o.PartitionsAhead = 2
	})
	maintain := func(wanted string, horizon time.Time) {
		t.Helper()
		if err := s.Maintain(t.Context()); err != nil {
			t.Fatal(err)
		}
		if got := ask[string](t, url, partitions); got != wanted {
			t.Errorf("partitions are %q, want %q", got, wanted)
		}
		if got := s.Stats().PartitionHorizon; !got.Equal(horizon) {
			t.Errorf("horizon is %s, want %s", got, horizon)
		}
	}
	maintain("samples_2026_11 samples_2026_12 samples_2027_01", time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC))
	write(t, s, expected(1, 30*15, 1), expected(1, 1, 2))
	maintain("samples_2026_10 samples_2026_11 samples_2026_12 samples_2027_01", time.Date(2027, 2, 1, 0, 0, 0, 0, time.UTC))

	// The last second in which something of October is retained, and the next.
	clock = time.Date(2026, time.November, 1, 0, 0, 0, 0, time.UTC).Add(40*24*time.Hour - time.Second)
	write(t, s, store.Row{Labels: expected(1, 0, 0).Labels, Window: clock.Add(time.Second)})
	maintain("samples_2026_10 samples_2026_11 samples_2026_12 samples_2027_01 samples_2027_02", time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC))
	clock = clock.Add(time.Second)
	maintain("samples_2026_11 samples_2026_12 samples_2027_01 samples_2027_02", time.Date(2027, 3, 1, 0, 0, 0, 0, time.UTC))
	if got := ask[float64](t, url, `SELECT sum(value) FROM samples`); got != 2 {
		t.Errorf("what is left sums to %v, want 2", got)
	}
	// It is not remembered as stored, and it is not made again for it.
	want(t, write(t, s, expected(1, 30*15, 1)), "written 0, duplicates 0, conflicts [], rejected [0:too_old]")
}

// A clock that is years ahead must not cost what is stored. Two may be ahead together: those
// of a receiver and a database on one machine.
func TestClockThatIsWrongDropsNothing(t *testing.T) {
	ahead := now.AddDate(10, 0, 0)
	for name, c := range map[string]struct {
		here, database time.Time
		warned         bool
	}{
		"here":          {ahead, now, true},
		"database":      {now, ahead, true},
		"both":          {ahead, ahead.Add(-time.Minute), false},
		"here, behind":  {now.AddDate(-10, 0, 0), now, true},
		"none, to hour": {now, now.Add(59 * time.Minute), false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			url := postgres.Database(t)
			write(t, open(t, url), expected(1, 1, 15), expected(1, 30*15, 15), expected(1, 100*15, 15))
			days := ask[string](t, url, `SELECT string_agg(day::text, ' ' ORDER BY day) FROM validator_daily`)
			var said logs
			s := open(t, url, said.option, store.DatabaseClock(func() time.Time { return c.database }), func(o *store.Options) {
				o.Now = func() time.Time { return c.here }
				o.Retention = 365 * 24 * time.Hour
			})
			maintain(t, s)
			if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != 3 {
				t.Errorf("%d samples are left, want 3", got)
			}
			if got := ask[string](t, url, `SELECT coalesce(string_agg(day::text, ' ' ORDER BY day), 'none') FROM validator_daily`); got != days {
				t.Errorf("days %s are left, want %s", got, days)
			}
			got := said.String()
			if warned := strings.Contains(got, "here="+c.here.Format(time.RFC3339)+" database="+c.database.Format(time.RFC3339)); warned != c.warned {
				t.Errorf("warned: %t, want %t:\n%s", warned, c.warned, got)
			}
		})
	}
}

// However short the retention is. What a right clock lets go is gone.
func TestClocksThatAreAheadTogetherDropWhatARightOneDoes(t *testing.T) {
	const day = 24 * time.Hour
	const lookedFor, another = "ethereum_validator_window_attestations_expected", "ethereum_validator_window_blocks_expected"
	for _, family := range []string{lookedFor, another} {
		for retention, left := range map[time.Duration]int{365 * day: 3, 30 * day: 2, day: 1} {
			t.Run(fmt.Sprintf("%s, %s", family, retention), func(t *testing.T) {
				t.Parallel()
				url := postgres.Database(t)
				today := time.Date(2026, time.November, 20, 0, 0, 0, 0, time.UTC)
				clock := today
				right := func(o *store.Options) { o.Now = func() time.Time { return clock } }
				var rows []store.Row
				for _, age := range []time.Duration{0, 25 * day, 100 * day} {
					rows = append(rows, store.Row{
						Labels: labels("__name__", family, "network", "mainnet", "validator_index", "1"),
						Window: today.Add(-age), Value: 1,
					})
				}
				write(t, open(t, url, right), rows...)
				s := open(t, url, right, func(o *store.Options) { o.Retention = retention })
				for _, clock = range []time.Time{today.AddDate(1, 0, 0), today, today.AddDate(1, 0, 0)} {
					maintain(t, s)
					if got := ask[int](t, url, `SELECT count(*) FROM samples`); got < left {
						t.Errorf("at %s %d samples are left, want %d", clock, got, left)
					}
					if got := ask[int](t, url, `SELECT count(*) FROM validator_daily`); got < left {
						t.Errorf("at %s %d days are left, want %d", clock, got, left)
					}
				}
				// Of another family the month of the newest window is all that is known, and counts.
				if got := ask[int](t, url, `SELECT count(*) FROM samples`); got != left && family == lookedFor {
					t.Errorf("%d samples are left in the end, want %d", got, left)
				}
			})
		}
	}
}

func TestMaintainGoesOnWhereItWasInterrupted(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	clock := now.AddDate(0, -6, 0)
	s := open(t, url, func(o *store.Options) {
		o.Now = func() time.Time { return clock }
		o.Retention = 40 * 24 * time.Hour
		o.PartitionsAhead = 1
	})
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	clock = now
	// A reader holds the old partition while it is being detached, and whoever detaches is
	// killed: one partition is left half detached, another detached and not dropped.
	run(t, url, `ALTER TABLE samples DETACH PARTITION samples_2026_05`)
	reader, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer reader.Close(context.Background())
	if _, err := reader.Exec(t.Context(), `BEGIN; SELECT * FROM samples`); err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	if err := s.Maintain(within); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("maintaining while a reader holds the partition: %v", err)
	}
	if !ask[bool](t, url, `SELECT bool_or(inhdetachpending) FROM pg_inherits`) {
		t.Fatal("no partition is half detached: this test shows nothing")
	}
	want(t, write(t, s, expected(1, 1, 15)), "written 1, duplicates 0, conflicts [], rejected []")
	if _, err := reader.Exec(t.Context(), `ROLLBACK`); err != nil {
		t.Fatal(err)
	}
	if err := s.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	if got := ask[string](t, url, partitions); got != "samples_2026_11 samples_2026_12" {
		t.Errorf("partitions are %s", got)
	}
}

// Another program may drop a partition that this one believes to be there.
func TestMissingPartitionIsMadeAgain(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 1, 15), expected(1, 30*15, 15))
	run(t, url, `DROP TABLE samples_2026_10`)
	want(t, write(t, s, expected(2, 30*15, 15)), "written 1, duplicates 0, conflicts [], rejected []")
}

func TestReadersAndWritersGoOnWhilePartitionsAreMade(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 1, 15))
	other, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer other.Close(context.Background())
	// Another receiver is in the middle of a write, and a reader in the middle of reading.
	if _, err := other.Exec(t.Context(), `BEGIN; INSERT INTO samples SELECT series_id, window_start + interval '1 minute', value FROM samples`); err != nil {
		t.Fatal(err)
	}
	within, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	r, err := s.Write(within, []store.Row{expected(1, 60*15, 15)})
	if err != nil {
		t.Fatal(err)
	}
	want(t, r, "written 1, duplicates 0, conflicts [], rejected []")
	if err := s.Maintain(within); err != nil {
		t.Error(err)
	}
}

func TestReaderRoleIsMadeOnceForAllDatabases(t *testing.T) {
	t.Parallel()
	for range 2 {
		url := postgres.Database(t)
		open(t, url)
		if !ask[bool](t, url, `SELECT NOT rolcanlogin FROM pg_roles WHERE rolname = $1`, store.ReaderRole) {
			t.Error("the role can log in")
		}
		// What it may read, by itself or as one of everybody.
		got := ask[string](t, url, `
			SELECT coalesce(string_agg(relname, ' '), '') FROM pg_class
			WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p') AND has_table_privilege($1, oid, 'SELECT')`, store.ReaderRole)
		if got != "" {
			t.Errorf("the role may read the tables %s", got)
		}
	}
}

// The user of the receiver need not be a superuser: it owns its database.
func TestUserWhoMayNotMakeRolesMigratesAndWrites(t *testing.T) {
	server := pgtest.Start(t, pgtest.Fast())
	for _, sql := range []string{`CREATE ROLE plain LOGIN PASSWORD 'plain'`, `CREATE DATABASE plain OWNER plain`} {
		if err := server.Exec(t.Context(), sql); err != nil {
			t.Fatal(err)
		}
	}
	as, err := url.Parse(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	as.User, as.Path = url.UserPassword("plain", "plain"), "/plain"
	var said logs
	s := open(t, as.String(), said.option)
	if !strings.Contains(said.String(), "role="+store.ReaderRole) {
		t.Errorf("the log does not say that the role is missing:\n%s", said.String())
	}
	want(t, write(t, s, expected(1, 1, 15)), "written 1, duplicates 0, conflicts [], rejected []")
	if err := s.Maintain(t.Context()); err != nil {
		t.Error(err)
	}
	// An administrator makes the role, and the next migration uses it.
	if err := server.Exec(t.Context(), `CREATE ROLE `+store.ReaderRole+` NOLOGIN`); err != nil {
		t.Fatal(err)
	}
	if err := s.Migrate(t.Context()); err != nil {
		t.Error(err)
	}
}

func TestGenesisOfFurtherNetworks(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	genesis := time.Unix(1700000000, 0)
	with := func(name string, at time.Time) func(*store.Options) {
		return func(o *store.Options) { o.Genesis = map[string]time.Time{name: at} }
	}
	for range 2 {
		write(t, open(t, url, with("devnet", genesis)), expected(1, 1, 15))
	}
	if got := ask[time.Time](t, url, `SELECT genesis FROM networks WHERE name = 'devnet'`); !got.Equal(genesis) {
		t.Errorf("genesis of devnet is %s", got)
	}
	for name, wanted := range map[string]int64{"mainnet": 1606824023, "gnosis": 1638993340, "sepolia": 1655733600, "hoodi": 1742213400, "holesky": 1695902400} {
		if got := ask[time.Time](t, url, `SELECT genesis FROM networks WHERE name = $1`, name); got.Unix() != wanted {
			t.Errorf("genesis of %s is %d, want %d", name, got.Unix(), wanted)
		}
	}
	err := open(t, url, with("mainnet", genesis)).Check(t.Context())
	if !errors.Is(err, store.ErrMismatch) || !strings.Contains(err.Error(), "network mainnet is 1606824023") {
		t.Errorf("another genesis of mainnet: %v", err)
	}
}

// What is stored stays until somebody says that it is wrong, as the error tells how.
func TestGenesisThatWasWrongIsPutRightAsTheErrorSays(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	const name = "bob's devnet"
	with := func(at time.Time) func(*store.Options) {
		return func(o *store.Options) { o.Genesis = map[string]time.Time{name: at} }
	}
	row := func(n int) store.Row {
		return store.Row{Labels: labels("__name__", "ethereum_network_window_attestations_expected", "network", name), Window: window(n), Value: 1}
	}
	right := time.Date(2026, time.October, 1, 20, 0, 0, 0, time.UTC)
	wrong := open(t, url, with(right.Add(12*time.Hour)))
	for n := range 30 {
		write(t, wrong, row(1+n))
	}
	maintain(t, wrong)
	s := open(t, url, with(right))
	err := s.Check(t.Context())
	if !errors.Is(err, store.ErrMismatch) {
		t.Fatal(err)
	}
	_, statement, found := strings.Cut(err.Error(), "cut anew with: ")
	if !found {
		t.Fatalf("the error does not say what to do: %v", err)
	}
	run(t, url, statement)
	const days = `SELECT string_agg(concat_ws(' ', day, windows), ', ' ORDER BY day) FROM network_daily`
	for range 2 {
		if got, wanted := ask[string](t, url, days), "2026-10-29 9, 2026-10-30 15, 2026-10-31 6"; got != wanted {
			t.Errorf("got  %s\nwant %s", got, wanted)
		}
		if got := ask[string](t, url, `SELECT string_agg(DISTINCT to_char(begins AT TIME ZONE 'UTC', 'HH24:MI:SS'), ' ') FROM calendar`); got != "20:00:00" {
			t.Errorf("days begin at %s", got)
		}
		maintain(t, s)
	}
}
