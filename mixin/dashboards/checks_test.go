package dashboards_test

import (
	"encoding/json"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/dashboards"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
)

// board is what the checks read of a dashboard's JSON: what Grafana would see.
type board struct {
	UID, Title, Description, Refresh, Timezone string
	Editable                                   *bool
	SchemaVersion                              int
	Tags                                       []string
	Time                                       struct{ From, To string }
	Templating                                 struct{ List []variable }
	Links                                      []link
	Panels                                     []panel
}

type variable struct {
	Type, Name, Label, Description string
	Query                          any
	Datasource                     source
	Refresh                        int
	Multi, IncludeAll              bool
	AllValue                       *string
}

type link struct {
	Title, Type, URL      string
	IncludeVars, KeepTime bool
}

type source struct{ Type, UID string }

type panel struct {
	ID                       int
	Type, Title, Description string
	GridPos                  struct{ X, Y, W, H int }
	Datasource               source
	Targets                  []target
	FieldConfig              struct {
		Defaults struct {
			Unit       string
			Thresholds *struct{ Steps []step }
		}
		Overrides []struct {
			Matcher struct {
				ID      string
				Options any
			}
			Properties []struct {
				ID    string
				Value any
			}
		}
	}
	Transformations []struct {
		ID      string
		Options map[string]any
	}
	Options struct{ Content string }
}

type step struct {
	Value json.RawMessage
	Color string
}

type target struct {
	RefID, Expr, RawSQL, LegendFormat, Format string
	Instant                                   bool
	Datasource                                source
}

func (t target) query() string { return t.Expr + t.RawSQL }

func (p panel) asks() bool { return p.Type != "row" && p.Type != "text" }

// check is one property that every dashboard must have; it returns what is wrong.
type check func(mixin.Config, board) []string

// checks by what they say.
func checks() map[string]check {
	return map[string]check{
		"panels fill the grid and do not overlap":              gridIsFull,
		"panel numbers are unique":                             numbersAreUnique,
		"titles are unique":                                    titlesAreUnique,
		"panels say what they show and in which unit":          panelsAreDescribed,
		"thresholds begin at minus infinity":                   thresholdsHaveABase,
		"variables are known":                                  variablesAreKnown,
		"variables are described and follow the data":          variablesFollow,
		"queries parse":                                        queriesParse,
		"data sources are variables":                           sourcesAreVariables,
		"ranges hold what is counted":                          rangesAreLongEnough,
		"series are named":                                     seriesAreNamed,
		"queries of a panel are told apart":                    queriesAreToldApart,
		"tables show what is asked":                            tablesShowQueries,
		"nobody is counted twice":                              countsOnce,
		"the dashboard can be imported, linked and not edited": boardIsWhole,
	}
}

func gridIsFull(_ mixin.Config, b board) []string {
	const width = 24
	var out []string
	bottom, area := 0, 0
	for i, p := range b.Panels {
		g := p.GridPos
		if g.X < 0 || g.W < 1 || g.H < 1 || g.X+g.W > width {
			out = append(out, fmt.Sprintf("panel %q is outside of the grid: %+v", p.Title, g))
		}
		bottom, area = max(bottom, g.Y+g.H), area+g.W*g.H
		for _, q := range b.Panels[:i] {
			h := q.GridPos
			if g.X < h.X+h.W && h.X < g.X+g.W && g.Y < h.Y+h.H && h.Y < g.Y+g.H {
				out = append(out, fmt.Sprintf("panels %q and %q overlap", q.Title, p.Title))
			}
		}
	}
	if len(b.Panels) == 0 || area != width*bottom {
		out = append(out, fmt.Sprintf("panels cover %d of %d fields", area, width*bottom))
	}
	return out
}

func numbersAreUnique(_ mixin.Config, b board) []string {
	var out []string
	seen := map[int]string{}
	for _, p := range b.Panels {
		if other, ok := seen[p.ID]; ok || p.ID < 1 {
			out = append(out, fmt.Sprintf("panel %q has number %d, as %q", p.Title, p.ID, other))
		}
		seen[p.ID] = p.Title
	}
	return out
}

func titlesAreUnique(_ mixin.Config, b board) []string {
	var out []string
	seen := map[string]bool{}
	for _, p := range b.Panels {
		if seen[p.Title] || strings.TrimSpace(p.Title) == "" {
			out = append(out, fmt.Sprintf("title %q is empty or not unique", p.Title))
		}
		seen[p.Title] = true
	}
	return out
}

func panelsAreDescribed(_ mixin.Config, b board) []string {
	var out []string
	for _, p := range b.Panels {
		if !p.asks() {
			continue
		}
		if len(p.Description) < 20 || !strings.HasSuffix(p.Description, ".") {
			out = append(out, fmt.Sprintf("panel %q is described by %q", p.Title, p.Description))
		}
		if p.FieldConfig.Defaults.Unit == "" {
			out = append(out, fmt.Sprintf("panel %q has no unit", p.Title))
		}
		if p.Type != "table" {
			continue
		}
		with := map[string]bool{}
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				if property.ID == "unit" && property.Value != "" {
					with[fmt.Sprint(o.Matcher.Options)] = true
				}
			}
		}
		for _, title := range p.columns() {
			if !with[title] {
				out = append(out, fmt.Sprintf("panel %q: column %q has no unit", p.Title, title))
			}
		}
	}
	return out
}

// columns are the titles of a table's columns.
func (p panel) columns() []string {
	var out []string
	for _, t := range p.Transformations {
		if t.ID == "organize" {
			for _, title := range t.Options["renameByName"].(map[string]any) {
				out = append(out, title.(string))
			}
		}
	}
	slices.Sort(out)
	return out
}

func thresholdsHaveABase(_ mixin.Config, b board) []string {
	var out []string
	wrong := func(steps []step) bool {
		last := ""
		for i, s := range steps {
			if (i == 0) != (string(s.Value) == "null") || s.Color == "" {
				return true
			}
			if i > 1 && number(s.Value) < number(json.RawMessage(last)) {
				return true
			}
			last = string(s.Value)
		}
		return len(steps) == 0
	}
	for _, p := range b.Panels {
		if t := p.FieldConfig.Defaults.Thresholds; t != nil && wrong(t.Steps) {
			out = append(out, fmt.Sprintf("panel %q: thresholds %v", p.Title, t.Steps))
		}
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				if property.ID != "thresholds" {
					continue
				}
				text, _ := json.Marshal(property.Value)
				var t struct{ Steps []step }
				if err := json.Unmarshal(text, &t); err != nil || wrong(t.Steps) {
					out = append(out, fmt.Sprintf("panel %q: thresholds %s of %v", p.Title, text, o.Matcher.Options))
				}
			}
		}
	}
	return out
}

func number(text json.RawMessage) float64 {
	var f float64
	_ = json.Unmarshal(text, &f)
	return f
}

// sqlMacros are what Grafana's Postgres data source puts into SQL. linkMacros are what
// Grafana puts into links.
var (
	sqlMacros  = []string{"__timeFilter", "__timeFrom", "__timeTo", "__timeGroup", "__timeGroupAlias", "__time", "__interval"}
	linkMacros = []string{"__url_time_range", "__value", "__data", "__field"}
)

// variablesAreKnown looks at the whole text of panels, so that a title or link with a
// variable that nobody fills is found as well as a query.
func variablesAreKnown(_ mixin.Config, b board) []string {
	var names []string
	for _, v := range b.Templating.List {
		names = append(names, v.Name)
	}
	var out []string
	look := func(where, text string, more ...string) {
		for _, v := range expr.Variables(text) {
			if !slices.Contains(names, v) && !slices.Contains(more, v) {
				out = append(out, fmt.Sprintf("%s: variable %q is not known", where, v))
			}
		}
	}
	builtins := slices.Collect(maps.Keys(expr.Builtins()))
	for i, v := range b.Templating.List {
		for _, used := range expr.Variables(definition(v)) {
			if v.Datasource.Type == dashboards.Postgres && slices.Contains(sqlMacros, used) {
				continue
			}
			known := slices.ContainsFunc(b.Templating.List[:i], func(o variable) bool { return o.Name == used })
			if !known {
				out = append(out, fmt.Sprintf("variable %s: variable %q does not come before it", v.Name, used))
			}
		}
	}
	for _, p := range b.Panels {
		where := fmt.Sprintf("panel %q", p.Title)
		look(where, p.Title+p.Options.Content)
		for _, t := range p.Targets {
			look(where, t.Expr, builtins...)
			look(where, t.RawSQL, sqlMacros...)
		}
		for _, o := range p.FieldConfig.Overrides {
			for _, property := range o.Properties {
				if property.ID == "links" {
					look(where, fmt.Sprint(property.Value), linkMacros...)
				}
			}
		}
	}
	return out
}

// definition is what a variable asks.
func definition(v variable) string {
	switch q := v.Query.(type) {
	case string:
		return q
	case map[string]any:
		return fmt.Sprint(q["query"])
	}
	return ""
}

func variablesFollow(c mixin.Config, b board) []string {
	var out []string
	for i, v := range b.Templating.List {
		where := "variable " + v.Name
		if v.Label == "" || v.Description == "" {
			out = append(out, where+" has no label or description")
		}
		if (v.Type == "datasource") != (i == 0) && v.Type != "query" {
			out = append(out, where+" is a data source, but not the first variable")
		}
		if v.Type != "query" {
			continue
		}
		if v.Refresh != 2 {
			out = append(out, where+" does not follow the time range")
		}
		if v.Multi != v.IncludeAll {
			out = append(out, where+" allows several, but not all")
		}
		want := ".+"
		if v.Name == c.Select.ClusterLabel {
			want = ".*"
		}
		if v.Multi && v.Datasource.Type == dashboards.Prometheus && (v.AllValue == nil || *v.AllValue != want) {
			out = append(out, where+" lists all values where a regular expression would do")
		}
	}
	return out
}

// anything is a value for every variable of a dashboard.
func anything(b board) map[string]string {
	values := map[string]string{}
	for _, v := range b.Templating.List {
		values[v.Name] = "x"
	}
	return values
}

var selectorOfVariable = regexp.MustCompile(`^label_values\((.+), [a-zA-Z_]+\)$`)

// promQL lists the dashboard's queries of Prometheus, filled in, by where they are.
func promQL(b board) (map[string]string, []string) {
	out := map[string]string{}
	var problems []string
	add := func(where, text string) {
		filled, err := expr.Fill(text, anything(b))
		if err != nil {
			problems = append(problems, fmt.Sprintf("%s: %v", where, err))
			return
		}
		out[where] = filled
	}
	for _, v := range b.Templating.List {
		if v.Type != "query" || v.Datasource.Type != dashboards.Prometheus {
			continue
		}
		where := "variable " + v.Name
		m := selectorOfVariable.FindStringSubmatch(definition(v))
		if m == nil {
			problems = append(problems, fmt.Sprintf("%s: %q is not label_values(selector, label)", where, definition(v)))
			continue
		}
		add(where, m[1])
	}
	for _, p := range b.Panels {
		for _, t := range p.Targets {
			if t.Datasource.Type == dashboards.Prometheus {
				add(fmt.Sprintf("panel %q, query %s", p.Title, t.RefID), t.Expr)
			}
		}
	}
	return out, problems
}

func queriesParse(_ mixin.Config, b board) []string {
	queries, out := promQL(b)
	for _, where := range slices.Sorted(maps.Keys(queries)) {
		if _, err := expr.Parse(queries[where]); err != nil {
			out = append(out, fmt.Sprintf("%s: %v", where, err))
		}
	}
	return out
}

func countsOnce(_ mixin.Config, b board) []string {
	queries, _ := promQL(b)
	var out []string
	for _, where := range slices.Sorted(maps.Keys(queries)) {
		if err := expr.CountsOnce(queries[where]); err != nil {
			out = append(out, fmt.Sprintf("%s: %v", where, err))
		}
	}
	return out
}

func sourcesAreVariables(_ mixin.Config, b board) []string {
	known := map[source]bool{}
	for _, v := range b.Templating.List {
		if v.Type == "datasource" {
			known[source{definition(v), "${" + v.Name + "}"}] = true
		}
	}
	var out []string
	for _, v := range b.Templating.List {
		if v.Type == "query" && !known[v.Datasource] {
			out = append(out, fmt.Sprintf("variable %s asks %v", v.Name, v.Datasource))
		}
	}
	for _, p := range b.Panels {
		if !p.asks() {
			continue
		}
		if !known[p.Datasource] || len(p.Targets) == 0 {
			out = append(out, fmt.Sprintf("panel %q asks %v %d queries", p.Title, p.Datasource, len(p.Targets)))
		}
		for _, t := range p.Targets {
			if t.Datasource != p.Datasource || (t.RawSQL != "") != (t.Datasource.Type == dashboards.Postgres) || t.query() == "" {
				out = append(out, fmt.Sprintf("panel %q: query %s asks %v", p.Title, t.RefID, t.Datasource))
			}
		}
	}
	return out
}

// rangesAreLongEnough: counters of settled epochs move once an epoch, so a range must
// hold three. Other counters are scraped: a range must hold four scrapes, which is
// what Grafana's own range is for.
func rangesAreLongEnough(c mixin.Config, b board) []string {
	epochs, scrapes := 3*c.Chain.Epoch(), 4*c.Chain.ScrapeInterval
	// Values that nobody writes, to recognise Grafana's ranges by.
	const rateInterval, shown = 101 * time.Second, 100*time.Hour + 3*time.Second
	values := anything(b)
	values["__rate_interval"], values["__range"] = mixin.Duration(rateInterval), mixin.Duration(shown)
	values["__interval"] = "1s"

	var out []string
	for _, p := range b.Panels {
		for _, t := range p.Targets {
			if t.Datasource.Type != dashboards.Prometheus {
				continue
			}
			filled, err := expr.Fill(t.Expr, values)
			if err != nil {
				continue // queriesParse says so
			}
			e, err := expr.Parse(filled)
			if err != nil {
				continue
			}
			parser.Inspect(e, func(n parser.Node, _ []parser.Node) error {
				call, ok := n.(*parser.Call)
				if !ok || !slices.Contains([]string{"rate", "irate", "increase", "delta", "deriv"}, call.Func.Name) {
					return nil
				}
				m, ok := call.Args[0].(*parser.MatrixSelector)
				if !ok {
					out = append(out, fmt.Sprintf("panel %q: %s of a subquery: %s", p.Title, call.Func.Name, t.Expr))
					return nil
				}
				metric := m.VectorSelector.(*parser.VectorSelector).Name
				need := scrapes
				if f, ok := catalog.Get(metric); ok && f.Type == catalog.Counter && f.Origin == catalog.Chain {
					need = epochs
				} else if m.Range == rateInterval {
					return nil
				}
				if m.Range < need || call.Func.Name == "irate" {
					out = append(out, fmt.Sprintf("panel %q: %s over %s of %s: at least %s", p.Title, call.Func.Name, m.Range, metric, need))
				}
				return nil
			})
		}
	}
	return out
}

func seriesAreNamed(_ mixin.Config, b board) []string {
	var out []string
	for _, p := range b.Panels {
		several := slices.Contains([]string{"timeseries", "state-timeline", "bargauge"}, p.Type) || p.Type == "stat" && len(p.Targets) > 1
		for _, t := range p.Targets {
			if several && t.Datasource.Type == dashboards.Prometheus && t.LegendFormat == "" {
				out = append(out, fmt.Sprintf("panel %q: query %s has no legend", p.Title, t.RefID))
			}
		}
	}
	return out
}

func queriesAreToldApart(_ mixin.Config, b board) []string {
	var out []string
	for _, p := range b.Panels {
		seen := map[string]bool{}
		for _, t := range p.Targets {
			for _, name := range []string{"query " + t.RefID, "legend " + t.LegendFormat} {
				if seen[name] && name != "legend " || t.RefID == "" {
					out = append(out, fmt.Sprintf("panel %q: %s is there twice", p.Title, name))
				}
				seen[name] = true
			}
		}
	}
	return out
}

// tablesShowQueries: a table asks once, for tables, and each column of values is of
// one of its queries.
func tablesShowQueries(_ mixin.Config, b board) []string {
	var out []string
	for _, p := range b.Panels {
		if p.Type != "table" {
			continue
		}
		fields := map[string]bool{}
		for _, t := range p.Targets {
			if t.Format != "table" || !t.Instant && t.Expr != "" {
				out = append(out, fmt.Sprintf("panel %q: query %s is not of a table", p.Title, t.RefID))
			}
			if len(p.Targets) == 1 {
				fields["Value"] = true
			} else {
				fields["Value #"+t.RefID] = true
			}
		}
		if len(p.columns()) == 0 {
			out = append(out, fmt.Sprintf("panel %q has no columns", p.Title))
		}
		for _, t := range p.Transformations {
			if t.ID != "organize" {
				continue
			}
			for field := range t.Options["renameByName"].(map[string]any) {
				if strings.HasPrefix(field, "Value") && !fields[field] {
					out = append(out, fmt.Sprintf("panel %q shows %q, which is of no query", p.Title, field))
				}
			}
		}
	}
	return out
}

// spans tells whether Grafana reads text as d. It reads one number and one unit.
func spans(text string, d time.Duration) bool {
	got, err := model.ParseDuration(text)
	return err == nil && time.Duration(got) == d && regexp.MustCompile(`^\d+[smhd]$`).MatchString(text)
}

func boardIsWhole(c mixin.Config, b board) []string {
	var out []string
	wrong := func(bad bool, format string, args ...any) {
		if bad {
			out = append(out, fmt.Sprintf(format, args...))
		}
	}
	wrong(b.Editable == nil || *b.Editable, "can be edited")
	wrong(b.SchemaVersion < 38 || b.SchemaVersion > 42, "schema %d is not of Grafana 10 to 12", b.SchemaVersion)
	wrong(b.Timezone != c.Dashboards.Timezone, "time zone %q", b.Timezone)
	shown, refresh := c.Dashboards.Range, c.Dashboards.Refresh
	if b.UID == c.UID(mixin.LongTermDashboard) {
		shown, refresh = c.Dashboards.LongTermRange, c.Dashboards.LongTermRefresh
	}
	wrong(!spans(b.Refresh, refresh), "refreshes every %q", b.Refresh)
	wrong(!spans(strings.TrimPrefix(b.Time.From, "now-"), shown) || b.Time.To != "now", "shows %v", b.Time)
	wrong(!slices.Equal(b.Tags, c.Dashboards.Tags), "tags %q", b.Tags)
	wrong(!strings.HasPrefix(b.Title, c.Dashboards.TitlePrefix+" / "), "title %q", b.Title)
	wrong(b.Description == "", "no description")
	wrong(len(b.UID) > 40, "UID %q is longer than Grafana allows", b.UID)

	missing := map[string]bool{}
	for _, d := range mixin.AllDashboards() {
		missing["/d/"+c.UID(d)] = c.UID(d) != b.UID
	}
	for _, l := range b.Links {
		wrong(!missing[l.URL] || l.Title == "" || l.Type != "link", "link %+v", l)
		wrong(!l.IncludeVars || !l.KeepTime, "link %q loses variables or time", l.Title)
		missing[l.URL] = false
	}
	for _, url := range slices.Sorted(maps.Keys(missing)) {
		wrong(missing[url], "no link to %s", url)
	}
	return out
}
