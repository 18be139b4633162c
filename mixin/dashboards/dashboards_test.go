package dashboards_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"

	"github.com/grafana/grafana-foundation-sdk/go/cog"
	"github.com/grafana/grafana-foundation-sdk/go/cog/plugins"
	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/dashboards"
)

func all(t *testing.T, c mixin.Config) []dashboards.Board {
	t.Helper()
	boards, err := dashboards.All(c)
	if err != nil {
		t.Fatal(err)
	}
	return boards
}

func parse(t *testing.T, text []byte) board {
	t.Helper()
	var b board
	if err := json.Unmarshal(text, &b); err != nil {
		t.Fatal(err)
	}
	return b
}

func TestEveryDashboard(t *testing.T) {
	for _, c := range mixin.Presets() {
		for _, b := range all(t, c) {
			parsed := parse(t, b.JSON)
			for name, check := range checks() {
				t.Run(c.Preset+"/"+string(b.Slug)+"/"+name, func(t *testing.T) {
					for _, problem := range check(c, parsed) {
						t.Error(problem)
					}
				})
			}
		}
	}
}

// UIDs are what bookmarks and alerts link to: a change breaks them.
func TestUIDsAndTitlesStay(t *testing.T) {
	want := [][3]string{
		{"overview", "validator-monitor-overview", "Validator Monitor / Overview"},
		{"validators", "validator-monitor-validators", "Validator Monitor / Validators"},
		{"proposals", "validator-monitor-proposals", "Validator Monitor / Proposals and sync"},
		{"beacon-nodes", "validator-monitor-beacon-nodes", "Validator Monitor / Beacon nodes and exporter"},
		{"rollup", "validator-monitor-rollup", "Validator Monitor / Rollup and database"},
		{"long-term", "validator-monitor-long-term", "Validator Monitor / Long-term"},
		{"alerts", "validator-monitor-alerts", "Validator Monitor / Alerts and recent issues"},
	}
	for _, c := range mixin.Presets() {
		var got [][3]string
		for _, b := range all(t, c) {
			got = append(got, [3]string{string(b.Slug), b.UID, b.Title})
			if p := parse(t, b.JSON); p.UID != b.UID || p.Title != b.Title {
				t.Errorf("%s: JSON says %q, %q", b.Slug, p.UID, p.Title)
			}
		}
		if !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", c.Preset, got, want)
		}
	}
}

func TestTheSameConfigMakesTheSameBytes(t *testing.T) {
	c := mixin.Operator()
	first, second := all(t, c), all(t, c)
	for i, b := range first {
		if !bytes.Equal(b.JSON, second[i].JSON) {
			t.Errorf("%s differs from one time to the next", b.Slug)
		}
		if !bytes.HasSuffix(b.JSON, []byte("}\n")) || bytes.Contains(b.JSON, []byte(`\u003`)) {
			t.Errorf("%s: no newline at the end, or escapes that nobody can read", b.Slug)
		}
	}
}

func TestJSONIsGrafanasOwn(t *testing.T) {
	plugins.RegisterDefaultPlugins()
	boards := all(t, mixin.Operator())
	for _, b := range boards {
		for _, problem := range foreign(b.JSON) {
			t.Errorf("%s: %s", b.Slug, problem)
		}
	}
	for right, wrong := range map[string]string{
		`"showHeader": `: `"showHeaders": `, `"legendFormat": `: `"legend": `, `"lineWidth": 1`: `"lineWidth": "1"`,
		`"schemaVersion": `: `"schema": `, `"editable": `: `"editables": `, `"uid": "${datasource}"`: `"name": "${datasource}"`,
	} {
		text := bytes.ReplaceAll(boards[0].JSON, []byte(right), []byte(wrong))
		if bytes.Equal(text, boards[0].JSON) || len(foreign(text)) == 0 {
			t.Errorf("%s instead of %s is not found", wrong, right)
		}
	}
}

// foreign is what Grafana's own types do not know: it would ignore it.
func foreign(text []byte) []string {
	//lint:ignore SA1019 every Grafana from 10 on reads the classic format
	var model dashboard.Dashboard
	var raw struct{ Panels []json.RawMessage }
	if err := errors.Join(json.Unmarshal(text, &model), json.Unmarshal(text, &raw)); err != nil {
		return []string{err.Error()}
	}
	again, err := json.Marshal(model)
	if err != nil {
		return []string{err.Error()}
	}
	var got, want any
	if err := errors.Join(json.Unmarshal(again, &got), json.Unmarshal(text, &want)); err != nil {
		return []string{err.Error()}
	}
	out := differences("", got, want)
	for i, p := range model.Panels {
		if p.Panel == nil {
			continue
		}
		// The list of errors comes as an error even when it is empty.
		var list cog.BuildErrors
		err := new(dashboard.Panel).UnmarshalJSONStrict(raw.Panels[i])
		if !errors.As(err, &list) && err != nil || len(list) > 0 {
			out = append(out, fmt.Sprintf("panel %q: %v", *p.Panel.Title, err))
		}
	}
	return out
}

// differences are where got is not want.
func differences(path string, got, want any) []string {
	g, gok := got.(map[string]any)
	w, wok := want.(map[string]any)
	if gok && wok {
		var out []string
		for _, key := range slices.Sorted(maps.Keys(w)) {
			out = append(out, differences(path+"."+key, g[key], w[key])...)
		}
		for _, key := range slices.Sorted(maps.Keys(g)) {
			if _, ok := w[key]; !ok {
				out = append(out, fmt.Sprintf("%s.%s: got %v, want nothing", path, key, g[key]))
			}
		}
		return out
	}
	gl, gok := got.([]any)
	wl, wok := want.([]any)
	if gok && wok && len(gl) == len(wl) {
		var out []string
		for i := range wl {
			out = append(out, differences(fmt.Sprintf("%s[%d]", path, i), gl[i], wl[i])...)
		}
		return out
	}
	if reflect.DeepEqual(got, want) {
		return nil
	}
	return []string{fmt.Sprintf("%s: got %v, want %v", path, got, want)}
}

// Queries are what other tests look at in place of the JSON.
func TestQueriesAreThoseOfTheJSON(t *testing.T) {
	for _, b := range all(t, mixin.Operator()) {
		parsed := parse(t, b.JSON)
		var want []dashboards.Query
		for _, v := range parsed.Templating.List {
			if v.Type == "query" {
				text := definition(v)
				if m := selectorOfVariable.FindStringSubmatch(text); m != nil {
					text = m[1]
				}
				want = append(want, dashboards.Query{Dashboard: b.Slug, Panel: "variable " + v.Name, Datasource: v.Datasource.Type, Expr: text})
			}
		}
		for _, p := range parsed.Panels {
			for _, target := range p.Targets {
				want = append(want, dashboards.Query{Dashboard: b.Slug, Panel: p.Title, Datasource: target.Datasource.Type, Expr: target.query()})
			}
		}
		if got := b.Queries(); !slices.Equal(got, want) {
			t.Errorf("%s: got %d queries %q, want %d %q", b.Slug, len(got), got, len(want), want)
		}
	}
}

func TestAnInvalidConfigMakesNothing(t *testing.T) {
	c := mixin.Solo()
	c.Dashboards.UIDPrefix = "No"
	if boards, err := dashboards.All(c); err == nil || boards != nil || !strings.Contains(err.Error(), "dashboards.uid_prefix") {
		t.Errorf("got %d dashboards, error %v", len(boards), err)
	}
	c = mixin.Solo()
	c.Select.ClusterLabel = "network"
	if _, err := dashboards.All(c); err == nil || !strings.Contains(err.Error(), "select.cluster_label") {
		t.Errorf("two variables of one name: error %v", err)
	}
}

// Each check finds what it is there for.
func TestChecksFindMistakes(t *testing.T) {
	c := mixin.Operator()
	overview := all(t, c)[0].JSON
	// Panel 0 of the dashboard is a row, 1 a gauge, and so on.
	find := func(b *board, kind string) *panel {
		i := slices.IndexFunc(b.Panels, func(p panel) bool { return p.Type == kind })
		if i < 0 {
			t.Fatalf("no panel of type %s", kind)
		}
		return &b.Panels[i]
	}
	ask := func(b *board, query string) { find(b, "timeseries").Targets[0].Expr = query }
	for _, tc := range []struct {
		check, mistake string
		make           func(*board)
	}{
		{"panels fill the grid and do not overlap", "too wide", func(b *board) { b.Panels[1].GridPos.X = 20 }},
		{"panels fill the grid and do not overlap", "overlap", func(b *board) { b.Panels[2].GridPos = b.Panels[1].GridPos }},
		{"panels fill the grid and do not overlap", "gap", func(b *board) { b.Panels[1].GridPos.H-- }},
		{"panels fill the grid and do not overlap", "no panel", func(b *board) { b.Panels = nil }},
		{"panel numbers are unique", "panel as panel", func(b *board) { b.Panels[2].ID = b.Panels[1].ID }},
		{"panel numbers are unique", "row as panel", func(b *board) { b.Panels[0].ID = b.Panels[1].ID }},
		{"panel numbers are unique", "no number", func(b *board) { b.Panels[0].ID = 0 }},
		{"titles are unique", "twice", func(b *board) { b.Panels[2].Title = b.Panels[1].Title }},
		{"titles are unique", "none", func(b *board) { b.Panels[1].Title = " " }},
		{"panels say what they show and in which unit", "no description", func(b *board) { b.Panels[1].Description = "" }},
		{"panels say what they show and in which unit", "no unit", func(b *board) { b.Panels[1].FieldConfig.Defaults.Unit = "" }},
		{"panels say what they show and in which unit", "column without unit", func(b *board) {
			p := find(b, "table")
			p.FieldConfig.Overrides = p.FieldConfig.Overrides[1:]
		}},
		{"thresholds begin at minus infinity", "begin at 0", func(b *board) {
			b.Panels[1].FieldConfig.Defaults.Thresholds.Steps[0].Value = json.RawMessage("0")
		}},
		{"thresholds begin at minus infinity", "fall", func(b *board) {
			b.Panels[1].FieldConfig.Defaults.Thresholds.Steps[1].Value = json.RawMessage("99")
		}},
		{"thresholds begin at minus infinity", "none", func(b *board) { b.Panels[1].FieldConfig.Defaults.Thresholds.Steps = nil }},
		{"variables are known", "query", func(b *board) { ask(b, `up{job="$nobody"}`) }},
		{"variables are known", "query with a name of Grafana's that it has not", func(b *board) { ask(b, `rate(x[$__rate])`) }},
		{"variables are known", "title", func(b *board) { b.Panels[1].Title = "Of $nobody" }},
		{"variables are known", "text", func(b *board) { b.Panels[1].Options.Content = "${nobody}" }},
		{"variables are known", "SQL", func(b *board) { b.Panels[1].Targets[0].RawSQL = "select $nobody" }},
		{"variables are known", "link", func(b *board) {
			b.Panels[1].FieldConfig.Overrides = find(b, "table").FieldConfig.Overrides
			b.Templating.List = slices.DeleteFunc(b.Templating.List, func(v variable) bool { return v.Name == "group_by" })
		}},
		{"variables are known", "order of variables", func(b *board) { slices.Reverse(b.Templating.List) }},
		{"variables are described and follow the data", "no label", func(b *board) { b.Templating.List[1].Label = "" }},
		{"variables are described and follow the data", "refresh", func(b *board) { b.Templating.List[1].Refresh = 1 }},
		{"variables are described and follow the data", "no all", func(b *board) { b.Templating.List[1].IncludeAll = false }},
		{"variables are described and follow the data", "all as a list", func(b *board) { b.Templating.List[1].AllValue = nil }},
		{"variables are described and follow the data", "another data source", func(b *board) { b.Templating.List[2] = b.Templating.List[0] }},
		{"queries parse", "brackets", func(b *board) { ask(b, `sum(up`) }},
		{"queries parse", "nothing to fill in", func(b *board) { ask(b, `up{job="$nobody"}`) }},
		{"queries parse", "variable", func(b *board) { b.Templating.List[1].Query = "label_values(up{)" }},
		{"data sources are variables", "panel", func(b *board) { b.Panels[1].Datasource.UID = "prometheus" }},
		{"data sources are variables", "query", func(b *board) { b.Panels[1].Targets[0].Datasource.UID = "prometheus" }},
		{"data sources are variables", "variable", func(b *board) { b.Templating.List[1].Datasource = source{} }},
		{"data sources are variables", "SQL for Prometheus", func(b *board) { b.Panels[1].Targets[0].RawSQL = "select 1" }},
		{"data sources are variables", "nothing asked", func(b *board) { b.Panels[1].Targets = nil }},
		{"ranges hold what is counted", "settled epochs", func(b *board) { ask(b, `rate(ethereum_network_blocks_expected_total[$__rate_interval])`) }},
		{"ranges hold what is counted", "two epochs", func(b *board) { ask(b, `1 - (increase(ethereum_group_blocks_expected_total[13m]))`) }},
		{"ranges hold what is counted", "two scrapes", func(b *board) { ask(b, `rate(ethereum_beacon_requests_total[1m])`) }},
		{"ranges hold what is counted", "an interval", func(b *board) { ask(b, `rate(ethereum_beacon_requests_total[$__interval])`) }},
		{"ranges hold what is counted", "irate", func(b *board) { ask(b, `irate(ethereum_beacon_requests_total[1h])`) }},
		{"ranges hold what is counted", "subquery", func(b *board) { ask(b, `rate(up[1h:])`) }},
		{"series are named", "no legend", func(b *board) { find(b, "timeseries").Targets[0].LegendFormat = "" }},
		{"queries of a panel are told apart", "same legend", func(b *board) {
			p := find(b, "timeseries")
			p.Targets[1].LegendFormat = p.Targets[0].LegendFormat
		}},
		{"queries of a panel are told apart", "same number", func(b *board) { find(b, "timeseries").Targets[1].RefID = "A" }},
		{"tables show what is asked", "series", func(b *board) { find(b, "table").Targets[0].Format = "time_series" }},
		{"tables show what is asked", "over time", func(b *board) { find(b, "table").Targets[0].Instant = false }},
		{"tables show what is asked", "query is gone", func(b *board) { p := find(b, "table"); p.Targets = p.Targets[1:] }},
		{"tables show what is asked", "no columns", func(b *board) { find(b, "table").Transformations = nil }},
		{"nobody is counted twice", "sum over groups", func(b *board) { ask(b, `sum(ethereum_group_validators)`) }},
		{"the dashboard can be imported, linked and not edited", "editable", func(b *board) { *b.Editable = true }},
		{"the dashboard can be imported, linked and not edited", "schema", func(b *board) { b.SchemaVersion = 16 }},
		{"the dashboard can be imported, linked and not edited", "refresh", func(b *board) { b.Refresh = "" }},
		{"the dashboard can be imported, linked and not edited", "time zone", func(b *board) { b.Timezone = "browser" }},
		{"the dashboard can be imported, linked and not edited", "range", func(b *board) { b.Time.From = "now-1h" }},
		{"the dashboard can be imported, linked and not edited", "tags", func(b *board) { b.Tags = nil }},
		{"the dashboard can be imported, linked and not edited", "title", func(b *board) { b.Title = "Overview" }},
		{"the dashboard can be imported, linked and not edited", "no link", func(b *board) { b.Links = b.Links[1:] }},
		{"the dashboard can be imported, linked and not edited", "link to nowhere", func(b *board) { b.Links[0].URL = "/d/nowhere" }},
		{"the dashboard can be imported, linked and not edited", "link without time", func(b *board) { b.Links[0].KeepTime = false }},
		{"the dashboard can be imported, linked and not edited", "long UID", func(b *board) { b.UID = strings.Repeat("x", 41) }},
	} {
		t.Run(tc.check+"/"+tc.mistake, func(t *testing.T) {
			check, ok := checks()[tc.check]
			if !ok {
				t.Fatalf("no check %q", tc.check)
			}
			b := parse(t, overview)
			if problems := check(c, b); len(problems) > 0 {
				t.Fatalf("before the mistake: %q", problems)
			}
			tc.make(&b)
			if len(check(c, b)) == 0 {
				t.Error("not found")
			}
		})
	}
}
