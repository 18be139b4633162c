package dashboards_test

import (
	"context"
	"fmt"
	"maps"
	"math"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/dashboards"
)

// nasty is a group's name that has everything a quoting mistake could stumble over.
const nasty = `O'Brien \ "the' \" one" -- $1 ; DROP TABLE group_daily`

// database is a Postgres whose views are tables, with exactly the columns that the
// views must have, in a time zone that no date must depend on.
type database struct {
	t    *testing.T
	conn *pgx.Conn
}

func newDatabase(t *testing.T, server *pgtest.Server) database {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), server.Database(t))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	d := database{t, conn}
	for _, v := range dashboards.Views() {
		var columns []string
		for _, c := range v.Columns {
			null := " NOT NULL"
			if c.Null {
				null = ""
			}
			columns = append(columns, c.Name+" "+c.Type+null)
		}
		d.exec(fmt.Sprintf("CREATE TABLE %s (%s, PRIMARY KEY (%s))", v.Name, strings.Join(columns, ", "), strings.Join(v.Key, ", ")))
	}
	return d
}

func (d database) exec(sql string, args ...any) {
	d.t.Helper()
	if _, err := d.conn.Exec(d.t.Context(), sql, args...); err != nil {
		d.t.Fatalf("%s: %v", sql, err)
	}
}

// insert puts a row into a view: what is not given is 1, or null where it may be.
func (d database) insert(view dashboards.View, given map[string]any) {
	d.t.Helper()
	var names, places []string
	var values []any
	for _, c := range view.Columns {
		v, ok := given[c.Name]
		if !ok && c.Null {
			continue
		}
		if !ok {
			v = 1
		}
		values = append(values, v)
		names, places = append(names, c.Name), append(places, fmt.Sprintf("$%d", len(values)))
	}
	for name := range given {
		if !slices.ContainsFunc(view.Columns, func(c dashboards.Column) bool { return c.Name == name }) {
			d.t.Fatalf("%s has no column %s", view.Name, name)
		}
	}
	d.exec(fmt.Sprintf("INSERT INTO %s (%s) VALUES (%s)", view.Name, strings.Join(names, ", "), strings.Join(places, ", ")), values...)
}

// answer is what a statement returns.
type answer struct {
	columns []string
	rows    [][]any
}

func (a answer) column(name string) []any {
	i := slices.Index(a.columns, name)
	var out []any
	for _, r := range a.rows {
		out = append(out, r[i])
	}
	return out
}

func (d database) ask(sql string) (answer, error) {
	rows, err := d.conn.Query(d.t.Context(), sql)
	if err != nil {
		return answer{}, err
	}
	defer rows.Close()
	var a answer
	for _, f := range rows.FieldDescriptions() {
		a.columns = append(a.columns, f.Name)
	}
	for rows.Next() {
		values, err := rows.Values()
		if err != nil {
			return answer{}, err
		}
		a.rows = append(a.rows, values)
	}
	return a, rows.Err()
}

// grafana fills variables in as Grafana's Postgres data source does: as they are with
// single quotes doubled, or with the format sqlstring, which writes " as \" too. Then
// it fills in macros.
type grafana struct {
	values   map[string][]string
	from, to time.Time
}

var (
	sqlVariable = regexp.MustCompile(`\$\{(\w+)(:\w+)?\}`)
	sqlMacro    = regexp.MustCompile(`\$(__\w+)\(([^)]*)\)`)
)

func (g grafana) fill(t *testing.T, sql string) string {
	t.Helper()
	sql = sqlVariable.ReplaceAllStringFunc(sql, func(text string) string {
		m := sqlVariable.FindStringSubmatch(text)
		values, ok := g.values[m[1]]
		switch {
		case !ok:
			t.Errorf("no variable %s in %s", text, sql)
		case m[2] == ":sqlstring":
			var out []string
			for _, v := range values {
				out = append(out, "'"+strings.NewReplacer("'", "''", `"`, `\"`).Replace(v)+"'")
			}
			return strings.Join(out, ",")
		case m[2] != "" || len(values) != 1:
			t.Errorf("%s of %q is written differently by different versions of Grafana", text, values)
		}
		return strings.ReplaceAll(values[0], "'", "''")
	})
	return sqlMacro.ReplaceAllStringFunc(sql, func(text string) string {
		m := sqlMacro.FindStringSubmatch(text)
		from, to := "'"+g.from.UTC().Format(time.RFC3339Nano)+"'", "'"+g.to.UTC().Format(time.RFC3339Nano)+"'"
		switch m[1] {
		case "__timeFilter":
			return m[2] + " BETWEEN " + from + " AND " + to
		case "__timeFrom":
			return from
		case "__timeTo":
			return to
		}
		t.Errorf("macro %s is not known", text)
		return text
	})
}

func longTerm(t *testing.T, c mixin.Config) board {
	t.Helper()
	for _, b := range all(t, c) {
		if b.Slug == mixin.LongTermDashboard {
			return parse(t, b.JSON)
		}
	}
	t.Fatal("no long-term dashboard")
	return board{}
}

// statement finds a panel's only query.
func (b board) statement(t *testing.T, title string) string {
	t.Helper()
	i := slices.IndexFunc(b.Panels, func(p panel) bool { return p.Title == title })
	if i < 0 {
		t.Fatalf("no panel %q", title)
	}
	return b.Panels[i].Targets[0].RawSQL
}

func day(text string) time.Time {
	d, err := time.Parse(time.DateOnly, text)
	if err != nil {
		panic(err)
	}
	return d
}

// history is 40 days of two groups, two validators and the network, and some of what
// must not be shown: another label's groups, another network.
func (d database) history(from time.Time) {
	views := map[string]dashboards.View{}
	for _, v := range dashboards.Views() {
		views[v.Name] = v
	}
	for i := range 40 {
		date := from.AddDate(0, 0, i)
		outcome := func(key map[string]any) map[string]any {
			row := map[string]any{
				"windows": 15, "attestations_expected": 225, "attestations_included": 220 - i%3, "source_votes": 219, "target_votes": 218, "head_votes": 200,
				"inclusion_delay_slots": 230, "blocks_expected": i % 2, "blocks_proposed": i % 4 / 3, "sync_expected": 0, "sync_included": 0,
				"stake_possible_gwei": 1000 * (i + 1), "stake_achievable_gwei": 900 * (i + 1), "stake_earned_gwei": 800*(i+1) - i,
				"effectiveness": 0.8, "own_effectiveness": 0.9,
				"balance_gwei": 32_000_000_000 + i*10_000_000, "balance_change_gwei": 10_000_000,
			}
			maps.Copy(row, key)
			return row
		}
		for _, group := range []string{nasty, "acme"} {
			d.insert(views["group_daily"], outcome(map[string]any{"day": date, "network": "mainnet", "group_by": "operator", "group_name": group}))
		}
		d.insert(views["group_daily"], outcome(map[string]any{"day": date, "network": "mainnet", "group_by": "all", "group_name": "all", "blocks_expected": 1000}))
		for _, network := range []string{"mainnet", "gnosis"} {
			row := outcome(map[string]any{"day": date, "network": network})
			if network == "gnosis" { // a big network has no stake
				for _, name := range []string{"stake_possible_gwei", "stake_achievable_gwei", "stake_earned_gwei", "balance_gwei", "balance_change_gwei"} {
					delete(row, name)
				}
			}
			d.insert(views["network_daily"], row)
		}
		for _, validator := range []int{0, 7} {
			key := map[string]any{"network": "mainnet", "validator_index": validator, "day": date}
			d.insert(views["validator_daily"], outcome(key))
			if date.Day() == 1 {
				delete(key, "day")
				key["month"] = date
				d.insert(views["validator_monthly"], outcome(key))
			}
		}
	}
}

func chosen(from time.Time) grafana {
	return grafana{
		values: map[string][]string{
			"network": {"mainnet"}, "group_by": {"operator"}, "group": {nasty, "acme"}, "validator": {"7"},
		},
		from: from, to: from.AddDate(0, 0, 39).Add(11 * time.Hour),
	}
}

func TestLongTermReadsTheViews(t *testing.T) {
	server := pgtest.Start(t, pgtest.Fast(), pgtest.Setting("timezone", "Pacific/Chatham"))
	first := day("2026-09-25")
	queries := longTermQueries(t)
	d := newDatabase(t, server)
	d.history(first)

	t.Run("every statement answers what its panel shows", func(t *testing.T) {
		for _, c := range mixin.Presets() {
			g := chosen(first)
			b := longTerm(t, c)
			for _, v := range b.Templating.List {
				if v.Type != "query" {
					continue
				}
				a, err := d.ask(g.fill(t, definition(v)))
				if err != nil || len(a.columns) != 1 || len(a.rows) == 0 {
					t.Errorf("variable %s: %d rows of %q, error %v", v.Name, len(a.rows), a.columns, err)
				}
			}
			asked := 0
			for _, p := range b.Panels {
				for _, target := range p.Targets {
					a, err := d.ask(g.fill(t, target.RawSQL))
					if err != nil {
						t.Errorf("panel %q: %v\n%s", p.Title, err, target.RawSQL)
						continue
					}
					asked++
					for _, problem := range shows(p, target, a) {
						t.Errorf("panel %q: %s\n%s", p.Title, problem, target.RawSQL)
					}
				}
			}
			if asked < 20 {
				t.Errorf("only %d statements", asked)
			}
		}
	})

	t.Run("nothing stored and nothing chosen is no error", func(t *testing.T) {
		d := newDatabase(t, server)
		g := chosen(first)
		for _, values := range []map[string][]string{
			g.values,
			{"network": {""}, "group_by": {""}, "group": {""}, "validator": {""}},
			{"network": {""}, "group_by": {""}, "group": {}, "validator": {""}},
		} {
			g.values = values
			for _, q := range queries {
				a, err := d.ask(g.fill(t, q.Expr))
				if err != nil || len(a.rows) > 0 {
					t.Errorf("%s: %d rows, error %v\n%s", q.Panel, len(a.rows), err, q.Expr)
				}
			}
		}
	})

	t.Run("sums come first", func(t *testing.T) {
		g := chosen(first)
		a, err := d.ask(g.fill(t, longTerm(t, mixin.Operator()).statement(t, "Groups")))
		if err != nil {
			t.Fatal(err)
		}
		var earned, possible, achievable, missed float64
		for i := range 40 {
			earned, possible, achievable = earned+float64(800*(i+1)-i), possible+float64(1000*(i+1)), achievable+float64(900*(i+1))
			missed += float64(i%2 - i%4/3)
		}
		if got := a.column("group_name"); !slices.Equal(got, []any{nasty, "acme"}) && !slices.Equal(got, []any{"acme", nasty}) {
			t.Errorf("groups %q", got)
		}
		for name, want := range map[string]float64{
			"effectiveness": earned / possible, "own_effectiveness": earned / achievable, "blocks_missed": missed, "blocks_expected": 20,
			"balance": 32.39, "income": 0.4, "days": 40, "validators": 1, "delay": 230 * 40 / (220*40 - 39.0),
		} {
			for _, got := range a.column(name) {
				if got := float(t, got); math.Abs(got-want) > 1e-9 {
					t.Errorf("%s: got %v, want %v", name, got, want)
				}
			}
		}
		for _, got := range a.column("sync") {
			if got != nil {
				t.Errorf("sync votes of groups without any: %v", got)
			}
		}
	})

	t.Run("months are whole", func(t *testing.T) {
		g := chosen(first)
		g.from = day("2026-10-20") // within the second month
		a, err := d.ask(g.fill(t, longTerm(t, mixin.Operator()).statement(t, "Months of groups")))
		if err != nil {
			t.Fatal(err)
		}
		months := map[any]any{}
		for i, month := range a.column("month") {
			months[month] = a.column("days")[i]
		}
		if want := map[any]any{"2026-10": int64(31), "2026-11": int64(3)}; !maps.Equal(months, want) {
			t.Errorf("days by month: got %v, want %v", months, want)
		}
	})

	t.Run("a column that the views have not is found", func(t *testing.T) {
		sql := strings.Replace(queries[0].Expr, "network", "networks", 1)
		if _, err := d.ask(chosen(first).fill(t, sql)); err == nil {
			t.Errorf("%s: no error", sql)
		}
	})

	t.Run("what is typed stays inside its literal", func(t *testing.T) {
		// The first ends a literal, the second is for where there is none.
		for _, evil := range []string{`x'; DROP TABLE network_daily; --`, `NULL; DROP TABLE network_daily; --`} {
			for _, name := range []string{"network", "group_by", "group", "validator"} {
				g := chosen(first)
				g.values[name] = []string{evil}
				for _, q := range queries {
					// The simple protocol runs several statements at once.
					rows, err := d.conn.Query(t.Context(), g.fill(t, q.Expr), pgx.QueryExecModeSimpleProtocol)
					if err == nil {
						rows.Close()
					}
				}
			}
		}
		for _, v := range dashboards.Views() {
			if a, err := d.ask("SELECT count(*) FROM " + v.Name); err != nil || a.rows[0][0] == int64(0) {
				t.Errorf("%s: %v, %v", v.Name, a.rows, err)
			}
		}
	})
}

func longTermQueries(t *testing.T) []dashboards.Query {
	t.Helper()
	var out []dashboards.Query
	for _, b := range all(t, mixin.Operator()) {
		for _, q := range b.Queries() {
			if q.Datasource == dashboards.Postgres {
				out = append(out, q)
			}
		}
	}
	return out
}

// shows tells what would keep a panel from showing an answer.
func shows(p panel, target target, a answer) []string {
	if len(a.rows) == 0 {
		return []string{"no rows"}
	}
	var out []string
	if p.Type == "table" {
		var fields []string
		for _, transformation := range p.Transformations {
			if transformation.ID == "organize" {
				fields = slices.Sorted(maps.Keys(transformation.Options["indexByName"].(map[string]any)))
			}
		}
		if got := slices.Sorted(slices.Values(a.columns)); !slices.Equal(got, fields) {
			out = append(out, fmt.Sprintf("shows columns %q of %q", fields, got))
		}
		return out
	}
	// Exactly time, metric and value make series named by metric; time and numbers make
	// series named by column.
	if a.columns[0] != "time" || target.Format != "time_series" {
		return []string{fmt.Sprintf("%s of %q", target.Format, a.columns)}
	}
	long := slices.Equal(a.columns, []string{"time", "metric", "value"})
	if !long && (slices.Contains(a.columns, "metric") || len(a.columns) < 2) {
		out = append(out, fmt.Sprintf("columns %q", a.columns))
	}
	var last time.Time
	for _, row := range a.rows {
		at, ok := row[0].(time.Time)
		switch {
		case !ok:
			return append(out, fmt.Sprintf("time is %T", row[0]))
		case at.Before(last):
			out = append(out, "rows are not sorted by time")
		case !at.Equal(at.UTC().Truncate(24 * time.Hour)):
			out = append(out, fmt.Sprintf("%s is not midnight UTC", at))
		case !long && at.Equal(last):
			out = append(out, fmt.Sprintf("%s is there twice", at))
		}
		last = at
	}
	return out
}

// float reads a number of any type.
func float(t *testing.T, v any) float64 {
	t.Helper()
	var f float64
	if _, err := fmt.Sscan(fmt.Sprint(number64(v)), &f); err != nil {
		t.Errorf("%v of type %T is not a number", v, v)
	}
	return f
}

func number64(v any) any {
	if n, ok := v.(pgtype.Float64Valuer); ok {
		f, err := n.Float64Value()
		if err == nil {
			return f.Float64
		}
	}
	return v
}
