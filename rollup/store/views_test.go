package store_test

import (
	"context"
	"fmt"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/dashboards"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// lines runs a query and returns each row as one text.
func lines(t testing.TB, url, sql string, arguments ...any) (out []string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	rows, err := conn.Query(t.Context(), sql, append([]any{pgx.QueryExecModeSimpleProtocol}, arguments...)...)
	if err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	defer rows.Close()
	for rows.Next() {
		var line []string
		for _, value := range rows.RawValues() {
			line = append(line, string(value))
		}
		out = append(out, strings.Join(line, " "))
	}
	if err := rows.Err(); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return out
}

const columnsOf = `
	SELECT attname, format_type(atttypid, atttypmod)
	FROM pg_attribute WHERE attrelid = %s::regclass AND attnum > 0 ORDER BY attnum`

// The dashboard is made from a table of columns, and tested against it.
func TestViewsHaveTheColumnsThatTheDashboardReads(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	open(t, url)
	for _, view := range dashboards.Views() {
		if !slices.Contains(store.ViewNames(), view.Name) {
			t.Errorf("there is no view %s", view.Name)
			continue
		}
		var wanted []string
		for _, column := range view.Columns {
			wanted = append(wanted, column.Name+" "+column.Type)
		}
		if got := lines(t, url, fmt.Sprintf(columnsOf, "'"+view.Name+"'")); !slices.Equal(got, wanted) {
			t.Errorf("%s:\ngot  %s\nwant %s", view.Name, strings.Join(got, ", "), strings.Join(wanted, ", "))
		}
	}
}

func TestMonthsHaveTheColumnsOfDays(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	open(t, url)
	for _, name := range store.ViewNames() {
		daily, monthly := strings.CutSuffix(name, "_monthly")
		if !monthly {
			continue
		}
		wanted := lines(t, url, fmt.Sprintf(columnsOf, "'"+daily+"_daily'"))
		wanted[0] = "month date"
		if got := lines(t, url, fmt.Sprintf(columnsOf, "'"+name+"'")); !slices.Equal(got, wanted) {
			t.Errorf("%s:\ngot  %s\nwant %s", name, strings.Join(got, ", "), strings.Join(wanted, ", "))
		}
	}
}

func TestViewsAreExplainedInTheDatabase(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	open(t, url)
	const silent = `
		SELECT relname, attname FROM pg_class JOIN pg_attribute ON attrelid = pg_class.oid AND attnum > 0
		WHERE relkind = 'v' AND relname = ANY($1)
			AND (col_description(pg_class.oid, attnum) IS NULL OR obj_description(pg_class.oid) IS NULL)`
	if got := lines(t, url, silent, store.ViewNames()); len(got) > 0 {
		t.Errorf("without an explanation: %s", strings.Join(got, ", "))
	}
	for _, view := range dashboards.Views() {
		if got := ask[string](t, url, `SELECT obj_description($1::regclass)`, view.Name); got != view.Meaning {
			t.Errorf("%s is %q, want %q", view.Name, got, view.Meaning)
		}
	}
}

// filled is a query of the dashboard as Grafana sends it.
func filled(t testing.TB, sql string, values map[string][]string, from, to time.Time) string {
	t.Helper()
	sql = regexp.MustCompile(`\$\{(\w+)(:sqlstring)?\}`).ReplaceAllStringFunc(sql, func(text string) string {
		name, list := strings.CutSuffix(strings.Trim(text, "${}"), ":sqlstring")
		given, known := values[name]
		if !known {
			t.Errorf("the variable %s is not known", name)
		}
		var quoted []string
		for _, value := range given {
			value = strings.ReplaceAll(value, "'", "''")
			if list {
				value = "'" + strings.ReplaceAll(value, `"`, `\"`) + "'"
			}
			quoted = append(quoted, value)
		}
		return strings.Join(quoted, ",")
	})
	literal := func(at time.Time) string { return "'" + at.UTC().Format(time.RFC3339) + "'" }
	sql = regexp.MustCompile(`\$__timeFilter\((\w+)\)`).ReplaceAllString(sql, "$1 BETWEEN "+literal(from)+" AND "+literal(to))
	sql = strings.NewReplacer("$__timeFrom()", literal(from), "$__timeTo()", literal(to)).Replace(sql)
	if strings.Contains(sql, "$") {
		t.Errorf("not all is filled in: %s", sql)
	}
	return sql
}

func longTermQueries(t testing.TB) (queries []dashboards.Query) {
	t.Helper()
	all, err := dashboards.All(mixin.Operator())
	if err != nil {
		t.Fatal(err)
	}
	for _, dashboard := range all {
		for _, query := range dashboard.Queries() {
			if query.Datasource == dashboards.Postgres {
				queries = append(queries, query)
			}
		}
	}
	if len(queries) < 20 {
		t.Fatalf("only %d queries", len(queries))
	}
	return queries
}

func TestLongTermDashboardIsAnsweredByTheViews(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Fast(), pgtest.Setting("timezone", "America/St_Johns"))
	url := server.Database(t)
	s := open(t, url)
	group := subjects()[2]
	values := map[string][]string{"network": {"mainnet"}, "group_by": {group.by}, "group": {group.group}, "validator": {"1700000"}}
	from, to := now.AddDate(0, 0, -20), now
	queries := longTermQueries(t)
	for _, query := range queries { // nothing stored is no error
		lines(t, url, filled(t, query.Expr, values, from, to))
	}
	writeAll(t, s, history(4, 100))
	run(t, url, `UPDATE samples SET value = 1 FROM series WHERE series.id = series_id AND measure = 'blocks_expected'`)
	for _, query := range queries {
		sql := filled(t, query.Expr, values, from, to)
		open := lines(t, url, sql)
		if len(open) == 0 {
			t.Errorf("%s: no rows\n%s", query.Panel, sql)
		}
		run(t, url, `UPDATE calendar SET state = 'open'`)
		maintain(t, s)
		if closed := lines(t, url, sql); !slices.Equal(open, closed) {
			t.Errorf("%s: not the same once days are closed\n%s\n%s", query.Panel, strings.Join(open, "\n"), strings.Join(closed, "\n"))
		}
		run(t, url, `UPDATE calendar SET state = 'open'`)
	}
}

// as is the URL for another user, who has a password like his name.
func as(t testing.TB, database, user string) string {
	t.Helper()
	u, err := url.Parse(database)
	if err != nil {
		t.Fatal(err)
	}
	u.User = url.UserPassword(user, user)
	return u.String()
}

func TestReaderReadsTheViewsAndNothingElse(t *testing.T) {
	t.Parallel()
	server := pgtest.Start(t, pgtest.Fast())
	database := server.Database(t)
	s := open(t, database)
	writeAll(t, s, history(5, 40))
	maintain(t, s)
	run(t, database, `UPDATE calendar SET state = 'open' WHERE day = '2026-10-30'`)
	for _, sql := range []string{
		`CREATE ROLE stranger LOGIN PASSWORD 'stranger'`,
		`CREATE ROLE grafana LOGIN PASSWORD 'grafana'`,
		`GRANT ` + store.ReaderRole + ` TO grafana`,
	} {
		run(t, database, sql)
	}
	relations := lines(t, database, `
		SELECT relname FROM pg_class WHERE relnamespace = 'public'::regnamespace AND relkind IN ('r', 'p', 'v', 'm', 'S')`)
	if len(relations) < 15 {
		t.Fatalf("only %d relations: %s", len(relations), relations)
	}
	try := func(user, sql string) error {
		conn, err := pgx.Connect(t.Context(), as(t, database, user))
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close(context.Background())
		_, err = conn.Exec(t.Context(), sql)
		return err
	}
	for _, relation := range relations {
		readable := slices.Contains(store.ViewNames(), relation)
		if err := try("grafana", `SELECT * FROM `+relation); (err == nil) != readable {
			t.Errorf("reading %s: %v", relation, err)
		}
		if err := try("stranger", `SELECT * FROM `+relation); err == nil {
			t.Errorf("whoever may connect may read %s", relation)
		}
		for _, sql := range []string{`DELETE FROM ` + relation, `DROP TABLE ` + relation, `DROP VIEW ` + relation} {
			if err := try("grafana", sql); err == nil {
				t.Errorf("the reader may %s", sql)
			}
		}
	}
	for _, sql := range []string{
		`SELECT note_windows(ARRAY['mainnet'], ARRAY[now()])`,
		`INSERT INTO networks VALUES ('x', now())`,
		`CREATE TABLE public.mine ()`,
	} {
		if err := try("grafana", sql); err == nil {
			t.Errorf("the reader may %s", sql)
		}
	}
	if err := try("stranger", `SELECT sum_day(1, '-infinity', 'infinity')`); err == nil {
		t.Error("whoever may connect may sum days")
	}
	if got, wanted := lines(t, as(t, database, "grafana"), `SELECT * FROM group_daily ORDER BY 1, 2, 3, 4`), lines(t, database, `SELECT * FROM group_daily ORDER BY 1, 2, 3, 4`); !slices.Equal(got, wanted) || len(got) == 0 {
		t.Errorf("the reader sees %d rows, the owner %d", len(got), len(wanted))
	}
}

// With years stored, a question about one subject or one day looks only at its rows.
func TestViewsFindRowsByIndex(t *testing.T) {
	t.Parallel()
	url := postgres.Database(t)
	s := open(t, url)
	for n := range 3 {
		write(t, s, expected(7, 1+n*30*15, 15)) // three months have partitions
	}
	for _, sql := range []string{
		`INSERT INTO subjects (kind, network, validator_index) SELECT 'validator', 'mainnet', i FROM generate_series(1000, 1999) AS i`,
		`INSERT INTO subjects (kind, network, group_by, group_name) SELECT 'group', 'mainnet', 'operator', 'g' || i FROM generate_series(1, 50) AS i`,
		`INSERT INTO subjects (kind, network) VALUES ('network', 'mainnet')`,
		`INSERT INTO calendar (network, day, begins, ends, state)
			SELECT 'mainnet', (start AT TIME ZONE 'UTC')::date, start, start + interval '24 hours', 'closed'
			FROM generate_series(1, 150) AS i, chain_day('mainnet', '2026-10-31 13:00:00+00'::timestamptz - i * interval '24 hours') AS start
			ON CONFLICT (network, day) DO UPDATE SET state = 'closed'`,
		`INSERT INTO days (subject_id, day, windows, attestations_expected) SELECT id, day, 15, 225 FROM calendar, subjects ORDER BY day, id`,
		`INSERT INTO series (hash, name, labels, subject_id, measure)
			SELECT sha256((id || measure)::bytea), measure, '{}', id, measure
			FROM subjects, unnest(ARRAY['attestations_expected', 'attestations_included', 'balance_gwei']) AS measure
			WHERE validator_index IS DISTINCT FROM 7`,
		`INSERT INTO samples SELECT id, start, 15
			FROM unnest(ARRAY['2026-10-31 13:00:00+00', '2026-10-31 15:00:00+00', '2026-11-01 02:00:00+00']::timestamptz[]) AS start, series
			ORDER BY start, id`,
		`SELECT note_windows(ARRAY['mainnet'], ARRAY['2026-10-31 13:00:00+00'::timestamptz])`,
		`VACUUM ANALYZE`,
	} {
		run(t, url, sql)
	}
	for _, c := range []struct {
		sql      string
		rows     string
		mostSums int // calls of sum_day
	}{
		{`SELECT * FROM validator_daily WHERE network = 'mainnet' AND validator_index = 1007 AND day BETWEEN '2026-07-01' AND '2026-11-01'`, "123", 1},
		{`SELECT * FROM validator_daily WHERE network = 'mainnet' AND validator_index = NULLIF('1007', '')::bigint`, "151", 1},
		{`SELECT * FROM validator_daily WHERE validator_index = 1007`, "151", 1},
		{`SELECT * FROM validator_daily WHERE network = 'mainnet' AND day = '2026-10-01'`, "1001", 0},
		{`SELECT * FROM validator_monthly WHERE network = 'mainnet' AND validator_index = 1007 AND month = '2026-09-01'`, "1", 1},
		{`SELECT * FROM group_daily WHERE network = 'mainnet' AND group_by = 'operator' AND group_name = 'g7'`, "151", 1},
		{`SELECT * FROM network_daily WHERE network = 'mainnet'`, "151", 1},
	} {
		if got := ask[string](t, url, `SELECT count(*)::text FROM (`+c.sql+`) AS q`); got != c.rows {
			t.Errorf("%s: %s rows, want %s", c.sql, got, c.rows)
		}
		plan := strings.Join(lines(t, url, `EXPLAIN (ANALYZE, TIMING OFF) `+c.sql), "\n")
		for _, table := range []string{"days", "samples", "series"} {
			if strings.Contains(plan, "Seq Scan on "+table) {
				t.Errorf("%s reads all of %s:\n%s", c.sql, table, plan)
			}
		}
		sums := 0
		if m := regexp.MustCompile(`Function Scan on sum_day.*loops=(\d+)`).FindStringSubmatch(plan); m != nil {
			fmt.Sscan(m[1], &sums)
		}
		if sums > c.mostSums {
			t.Errorf("%s sums %d subjects, want %d at most:\n%s", c.sql, sums, c.mostSums, plan)
		}
	}
	plan := strings.Join(lines(t, url, `EXPLAIN (ANALYZE, TIMING OFF) `+store.NewestOf), "\n")
	for _, table := range []string{"series", "subjects", "samples"} {
		if strings.Contains(plan, "Seq Scan on "+table) {
			t.Errorf("looking for the newest window reads all of %s:\n%s", table, plan)
		}
	}
}
