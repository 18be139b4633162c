package store_test

import (
	"bytes"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

func export(t testing.TB, s *store.Store, o store.ExportOptions) string {
	t.Helper()
	var out bytes.Buffer
	if err := s.Export(t.Context(), &out, o); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

// twoValidators is a few windows on both sides of a month's border: validator 10 has a
// balance and a missed proposal, 9 has neither.
func twoValidators(t testing.TB, s *store.Store) {
	t.Helper()
	row := func(name string, validator, n int, value float64) store.Row {
		return store.Row{
			Labels: labels("__name__", "ethereum_validator_window_"+name, "network", "mainnet", "validator_index", fmt.Sprint(validator)),
			Window: window(n), Value: value,
		}
	}
	const day = 15
	var rows []store.Row
	for n := range 3 {
		at := 3 + n*day
		rows = append(rows,
			row("attestations_expected", 9, at, 15), row("attestations_expected", 10, at, 15), row("attestations_included", 10, at, 14),
			row("attestation_stake_possible_gwei", 10, at, 3), row("attestation_stake_earned_gwei", 10, at, 1),
			row("attestation_stake_achievable_gwei", 10, at, 0),
			row("balance_gwei", 10, at, 32_000_000_000-float64(n*1000)),
			row("blocks_expected", 10, at, 1), row("blocks_proposed", 10, at, 0))
	}
	write(t, s, rows...)
}

func TestExportForTaxes(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Database(t))
	twoValidators(t, s)
	options := store.ExportOptions{
		View: "validator_daily", Format: store.FormatCSV,
		Columns: []string{"day", "validator_index", "balance_gwei", "balance_change_gwei", "blocks_expected", "blocks_proposed", "effectiveness", "own_effectiveness"},
	}
	const wanted = `day,validator_index,balance_gwei,balance_change_gwei,blocks_expected,blocks_proposed,effectiveness,own_effectiveness
2026-10-29,9,,,,,,
2026-10-30,9,,,,,,
2026-10-31,9,,,,,,
2026-10-29,10,31999998000,,1,0,0.3333333333333333,
2026-10-30,10,31999999000,1000,1,0,0.3333333333333333,
2026-10-31,10,32000000000,1000,1,0,0.3333333333333333,
`
	if got := export(t, s, options); got != wanted {
		t.Errorf("got\n%s\nwant\n%s", got, wanted)
	}
	options.Format = store.FormatJSON
	options.Validators = []int64{10}
	options.From, options.To = day("2026-10-30"), day("2026-10-30")
	const object = `[
{"day":"2026-10-30","validator_index":10,"balance_gwei":31999999000,"balance_change_gwei":1000,"blocks_expected":1,"blocks_proposed":0,"effectiveness":0.3333333333333333,"own_effectiveness":null}
]
`
	if got := export(t, s, options); got != object {
		t.Errorf("got\n%s\nwant\n%s", got, object)
	}
	options.Network = "gnosis"
	if got := export(t, s, options); got != "[]\n" {
		t.Errorf("nothing is exported as %q", got)
	}
	options.Format = store.FormatCSV
	if got := export(t, s, options); got != strings.SplitAfter(wanted, "\n")[0] {
		t.Errorf("nothing is exported as %q", got)
	}
}

func day(text string) time.Time {
	date, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return date
}

func TestExportOfMonthsAndGroups(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Database(t))
	writeAll(t, s, history(6, 60))
	got := export(t, s, store.ExportOptions{
		View: "group_monthly", Format: store.FormatCSV, Network: "mainnet", GroupBy: "operator", Groups: []string{subjects()[2].group},
		From: day("2026-10-31"), To: day("2026-10-31"), Columns: []string{"month", "group_name"},
	})
	if want := "month,group_name\n2026-10-01,\"O'Brien, \"\"the\"\" \\ one\"\n"; got != want {
		t.Errorf("got %q, want %q", got, want)
	}
	for _, view := range store.ViewNames() {
		text := export(t, s, store.ExportOptions{View: view, Format: store.FormatCSV})
		records, err := csv.NewReader(strings.NewReader(text)).ReadAll()
		if err != nil {
			t.Errorf("%s: %v", view, err)
		}
		var objects []map[string]json.RawMessage
		text = export(t, s, store.ExportOptions{View: view, Format: store.FormatJSON})
		if err := json.Unmarshal([]byte(text), &objects); err != nil {
			t.Errorf("%s: %v", view, err)
		}
		if len(objects) < 2 || len(objects) != len(records)-1 {
			t.Errorf("%s: %d objects and %d records", view, len(objects), len(records))
		}
		// Both say the same of each value.
		for i, record := range records[1:] {
			for j, name := range records[0] {
				value := string(objects[i][name])
				if strings.HasPrefix(value, `"`) {
					var text string
					if err := json.Unmarshal(objects[i][name], &text); err != nil {
						t.Error(err)
					}
					value = text
				}
				if value == "null" {
					value = ""
				}
				if value != record[j] {
					t.Fatalf("%s, row %d, %s: %q and %q", view, i, name, value, record[j])
				}
			}
		}
	}
}

func TestExportDependsOnNoSettingOfTheDatabase(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Fast(), pgtest.Setting("datestyle", "German"), pgtest.Setting("extra_float_digits", "-5"), pgtest.Setting("timezone", "Asia/Kolkata"))
	s := open(t, server.Database(t))
	twoValidators(t, s)
	got := export(t, s, store.ExportOptions{View: "validator_daily", Format: store.FormatCSV, Validators: []int64{10}, Columns: []string{"day", "effectiveness"}})
	if want := "day,effectiveness\n2026-10-29,0.3333333333333333\n2026-10-30,0.3333333333333333\n2026-10-31,0.3333333333333333\n"; got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

// Readers of CSV skip empty lines: the row would be lost, and the rows counted wrong.
func TestExportOfALoneColumnHasALineForEachRow(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	write(t, s, expected(1, 40, 15), expected(2, 41, 7), expected(3, 40, 9))
	run(t, url, `DELETE FROM samples USING series WHERE series.id = series_id AND labels ->> 'validator_index' = '2'`)
	write(t, s, store.Row{Labels: labels("__name__", "ethereum_validator_window_blocks_expected", "network", "mainnet", "validator_index", "2"), Window: window(40), Value: 0})
	got := export(t, s, store.ExportOptions{View: "validator_daily", Format: store.FormatCSV, Columns: []string{"attestations_expected"}})
	if wanted := "attestations_expected\n15\n\"\"\n9\n"; got != wanted {
		t.Errorf("got %q, want %q", got, wanted)
	}
}

func TestExportSaysWhatThereIsNot(t *testing.T) {
	t.Parallel()
	s := open(t, postgres.Database(t))
	good := store.ExportOptions{View: "group_daily", Format: store.FormatCSV}
	for says, change := range map[string]func(*store.ExportOptions){
		`no view "samples", only validator_daily`: func(o *store.ExportOptions) { o.View = "samples" },
		`no format "xml", only csv and json`:      func(o *store.ExportOptions) { o.Format = "xml" },
		`2026-01-01 is before 2026-01-02`:         func(o *store.ExportOptions) { o.From, o.To = day("2026-01-02"), day("2026-01-01") },
		`no column validator_index`:               func(o *store.ExportOptions) { o.Validators = []int64{1} },
		`column "a"; --" does not exist`:          func(o *store.ExportOptions) { o.Columns = []string{`a"; --`} },
	} {
		o := good
		change(&o)
		var out bytes.Buffer
		err := s.Export(t.Context(), &out, o)
		if !errors.Is(err, store.ErrExport) || !strings.Contains(err.Error(), says) || out.Len() > 0 {
			t.Errorf("got %v and %d bytes, want %s", err, out.Len(), says)
		}
	}
	full := errors.New("no space left")
	if err := s.Export(t.Context(), writer(func([]byte) (int, error) { return 0, full }), good); !errors.Is(err, full) || errors.Is(err, store.ErrUnavailable) {
		t.Errorf("on a full disk: %v", err)
	}
	s.Close()
	if err := s.Export(t.Context(), &bytes.Buffer{}, good); !errors.Is(err, store.ErrUnavailable) {
		t.Errorf("without a database: %v", err)
	}
}

type writer func([]byte) (int, error)

func (w writer) Write(p []byte) (int, error) { return w(p) }

// A dump of a running receiver's database, restored on another server, shows the same
// and takes what comes next.
func TestBackupAndRestore(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Fast())
	source := server.Database(t)
	s := open(t, source)
	rows := history(7, 80)
	later := rows[:len(rows)/20]
	writeAll(t, s, rows[len(later):])
	maintain(t, s)
	write(t, s, expected(77, 50, 12)) // opens a day
	exports := func(s *store.Store) (all string) {
		for _, view := range store.ViewNames() {
			all += export(t, s, store.ExportOptions{View: view, Format: store.FormatCSV})
		}
		return all
	}
	wanted := exports(s)

	other := pgtest.Start(t, pgtest.Fast())
	program := func(name string, arguments ...string) {
		t.Helper()
		if out, err := exec.Command(server.Program(name), arguments...).CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, out)
		}
	}
	for format, restore := range map[string]func(file, target string){
		"custom": func(file, target string) {
			program("pg_restore", "--dbname", target, "--no-owner", "--single-transaction", file)
		},
		"plain": func(file, target string) {
			program("psql", "--dbname", target, "--quiet", "--no-psqlrc", "--set", "ON_ERROR_STOP=1", "--file", file)
		},
	} {
		t.Run(format, func(t *testing.T) {
			file := filepath.Join(t.TempDir(), "dump")
			// The role belongs to the server, not to the database, and migrating gives it its rights.
			program("pg_dump", "--dbname", source, "--format", format, "--no-privileges", "--file", file)
			target := other.Database(t)
			restore(file, target)
			restored := open(t, target)
			if got := exports(restored); got != wanted {
				t.Errorf("the restored database exports %d bytes that differ from %d", len(got), len(wanted))
			}
			maintain(t, restored)
			if got := exports(restored); got != wanted {
				t.Error("after maintenance it exports something else")
			}
			// What is known is known, new series get new ids, late rows open closed days.
			want(t, write(t, restored, expected(77, 50, 12), expected(77, 50, 13), expected(78, 50, 12)), "written 1, duplicates 1, conflicts [1], rejected []")
			run(t, target, `DELETE FROM samples USING series WHERE series.id = series_id AND labels ->> 'validator_index' IN ('77', '78')`)
			run(t, target, `UPDATE calendar SET state = 'open'`)
			writeAll(t, restored, later)
			all := newModel()
			all.add(rows...)
			all.compare(t, target)
			maintain(t, restored)
			all.compare(t, target)
			if !ask[bool](t, target, `SELECT has_table_privilege($1, 'validator_daily', 'SELECT') AND has_function_privilege($1, 'sum_day(bigint, timestamptz, timestamptz)', 'EXECUTE')`, store.ReaderRole) {
				t.Error("the reader's role may not read the restored views")
			}
			if ask[bool](t, target, `SELECT has_function_privilege('pg_monitor', 'sum_day(bigint, timestamptz, timestamptz)', 'EXECUTE')`) {
				t.Error("everybody may sum the restored days")
			}
		})
	}
}
