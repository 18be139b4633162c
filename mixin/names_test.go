package mixin_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/dashboards"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
	rollup "github.com/ethereum-validator-monitor/validator-monitor/rollup/catalog"
)

// closed are the labels that have a fixed set of values, which the collector's code
// and the catalogue's help texts fix. A matcher that asks for another value would
// never match anything.
var closed = map[string][]string{
	"vote":            {"source", "target", "head"},
	"cause":           {"missing", "late", "wrong", "network"},
	"offence":         {"slashed", "blocks_missed", "missed_attestation_streak", "attestations_overdue", "sync_missed"},
	"at_least":        {"2", "3", "4", "5", "6", "7", "8"},
	"period":          {"current", "next"},
	"component":       {"source", "target", "head", "inactivity"},
	"kind":            {"proposer", "attester"},
	"collector":       {"chain", "validators", "duties", "finality", "accounting", "window", "rewards"},
	"cache":           {"blocks"},
	"withdrawal_type": {"bls", "execution", "compounding", "builder", "unknown"},
	"status": {
		"pending_initialized", "pending_queued", "active_ongoing", "active_exiting", "active_slashed", "exited_unslashed",
		"exited_slashed", "withdrawal_possible", "withdrawal_done", "unknown",
	},
	"operation": {
		"node_syncing", "node_peer_count", "node_version", "genesis", "spec", "header", "block", "committees",
		"proposer_duties", "sync_committee", "finality", "validators", "attestation_rewards",
	},
	"reason":     {"timeout", "connect", "status", "body", "too_large", "decode"},
	"alertstate": {"pending", "firing"},
	"severity":   {string(mixin.Critical), string(mixin.Warning), string(mixin.Info)},
}

// runtime are the series of Prometheus itself and of its Go client that may be used,
// with their labels beside those of the scrape.
var runtime = map[string][]string{
	"up":                            nil,
	"go_gc_duration_seconds_count":  nil,
	"go_gc_duration_seconds_sum":    nil,
	"go_goroutines":                 nil,
	"go_memstats_heap_alloc_bytes":  nil,
	"go_memstats_sys_bytes":         nil,
	"go_sched_gomaxprocs_threads":   nil,
	"process_cpu_seconds_total":     nil,
	"process_max_fds":               nil,
	"process_open_fds":              nil,
	"process_resident_memory_bytes": nil,
	"process_start_time_seconds":    nil,
}

// watchLabels stand for the labels of the watch list, which may have any name.
var watchLabels = []string{"client", "operator"}

// chosen are values for the variables of dashboards, such as a user could choose.
func chosen(c mixin.Config) map[string]string {
	values := map[string]string{
		"job": "validator-exporter", "network": "mainnet", "group_by": "client", "group": "lighthouse", "validator": "7",
	}
	if l := c.Select.ClusterLabel; l != "" {
		values[l] = "east"
	}
	return values
}

// known is every series that the mixin may use, with its labels.
type known map[string][]string

func seriesOf(c mixin.Config) (known, error) {
	scrape := []string{"job", "namespace"}
	if c.Select.ClusterLabel != "" {
		scrape = append(scrape, c.Select.ClusterLabel)
	}
	for _, l := range c.Select.TargetLabels {
		if !slices.Contains(scrape, l) {
			scrape = append(scrape, l)
		}
	}
	target := append(slices.Clone(scrape), c.Select.ReplicaLabels...)
	k := known{}
	for _, f := range slices.Concat(catalog.All(), rollup.All()) {
		own := slices.Concat(f.Labels, target)
		if f.WatchLabels {
			own = append(own, watchLabels...)
		}
		if f.Type == catalog.Histogram {
			k[f.Name+"_bucket"], k[f.Name+"_sum"], k[f.Name+"_count"] = append(slices.Clone(own), "le"), own, own
			continue
		}
		k[f.Name] = own
	}
	for name, own := range runtime {
		k[name] = slices.Concat(own, target)
	}
	recorded, err := rules.Recorded(c)
	if err != nil {
		return nil, err
	}
	for name, own := range recorded {
		k[name] = slices.Concat(own, scrape)
	}
	// An alert's own series has whatever labels its expression leaves.
	ALERTS := append([]string{"alertname", "alertstate", "severity"}, slices.Collect(maps.Keys(c.Alerts.Labels))...)
	for _, s := range alerts.Sections(c) {
		for _, a := range s.Alerts {
			if left, err := expr.Labels(a.Expr, k.schema); err == nil {
				ALERTS = append(ALERTS, left...)
			}
		}
	}
	k["ALERTS"], k["ALERTS_FOR_STATE"] = ALERTS, ALERTS
	return k, nil
}

func (k known) schema(metric string) ([]string, bool) {
	own, ok := k[metric]
	return own, ok
}

// check returns the labels that a query's result may have, and everything that it
// names and that does not exist.
func (k known) check(query string) ([]string, error) {
	left, err := expr.Labels(query, k.schema)
	problems := []error{err, expr.CountsOnce(query)}
	uses, err := expr.Uses(query)
	problems = append(problems, err)
	for _, u := range uses {
		for _, m := range u.Matchers {
			problems = append(problems, checkValue(query, u.Metric, m))
		}
	}
	return left, errors.Join(problems...)
}

func checkValue(query, metric string, m *labels.Matcher) error {
	values, ok := closed[m.Name]
	if !ok || m.Value == "" {
		return nil
	}
	if strings.HasPrefix(metric, "validator_rollup_") {
		return fmt.Errorf("query %q: the receiver's values of %s are not fixed", query, m.Name)
	}
	asked := []string{m.Value}
	if m.Type == labels.MatchRegexp || m.Type == labels.MatchNotRegexp {
		if asked = m.SetMatches(); len(asked) == 0 {
			// A pattern must be about some of the values.
			pattern, err := labels.NewMatcher(labels.MatchRegexp, m.Name, m.Value)
			if err != nil || !slices.ContainsFunc(values, pattern.Matches) {
				return fmt.Errorf("query %q: no %s is like %q", query, m.Name, m.Value)
			}
			return nil
		}
	}
	for _, v := range asked {
		if !slices.Contains(values, v) {
			return fmt.Errorf("query %q: %s is never %q", query, m.Name, v)
		}
	}
	return nil
}

func forEachPreset(t *testing.T, test func(t *testing.T, c mixin.Config, k known)) {
	for _, c := range mixin.Presets() {
		t.Run(c.Preset, func(t *testing.T) {
			k, err := seriesOf(c)
			if err != nil {
				t.Fatal(err)
			}
			test(t, c, k)
		})
	}
}

func TestRecordingRulesNameWhatExists(t *testing.T) {
	forEachPreset(t, func(t *testing.T, c mixin.Config, k known) {
		groups, err := rules.Groups(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			for _, r := range g.Rules {
				left, err := k.check(r.Expr)
				if err != nil {
					t.Errorf("%s: %v", r.Record, err)
					continue
				}
				if want := slices.Sorted(slices.Values(k[r.Record])); !slices.Equal(left, want) {
					t.Errorf("%s has the labels %q, but is said to have %q", r.Record, left, want)
				}
			}
		}
	})
}

// template matches what Prometheus and Grafana put in the place of a label:
// {{ $labels.group }} in annotations, {{group}} in legends.
var (
	annotationLabel = regexp.MustCompile(`\$labels\.(\w+)`)
	legendLabel     = regexp.MustCompile(`\{\{\s*(\w+)\s*\}\}`)
)

func missing(text string, pattern *regexp.Regexp, left []string) []string {
	var out []string
	for _, m := range pattern.FindAllStringSubmatch(text, -1) {
		if !slices.Contains(left, m[1]) {
			out = append(out, m[1])
		}
	}
	return out
}

func TestAlertsNameWhatExists(t *testing.T) {
	forEachPreset(t, func(t *testing.T, c mixin.Config, k known) {
		for _, s := range alerts.Sections(c) {
			for _, a := range s.Alerts {
				left, err := k.check(a.Expr)
				if err != nil {
					t.Errorf("%s: %v", a.Name, err)
					continue
				}
				for _, l := range missing(a.Description, annotationLabel, left) {
					t.Errorf("%s: the description names the label %s, but only %q are left", a.Name, l, left)
				}
			}
		}
	})
}

func TestDashboardsNameWhatExists(t *testing.T) {
	forEachPreset(t, func(t *testing.T, c mixin.Config, k known) {
		boards, err := dashboards.All(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, b := range boards {
			for _, q := range b.Queries() {
				if q.Datasource != dashboards.Prometheus {
					continue
				}
				filled, err := expr.Fill(q.Expr, chosen(c))
				if err == nil {
					_, err = k.check(filled)
				}
				if err != nil {
					t.Errorf("%s, %s: %v", b.Slug, q.Panel, err)
				}
			}
			for _, err := range legends(c, k, b.JSON) {
				t.Errorf("%s: %v", b.Slug, err)
			}
		}
	})
}

// legends checks the labels that a dashboard shows: those of legends, which must be
// left by the target's expression, and those whose values a variable lists.
func legends(c mixin.Config, k known, board []byte) []error {
	var (
		problems []error
		tree     any
	)
	labelsOf := func(query string) []string {
		filled, err := expr.Fill(query, chosen(c))
		if err != nil {
			return nil
		}
		left, _ := expr.Labels(filled, k.schema)
		return left
	}
	var walk func(any)
	walk = func(v any) {
		switch v := v.(type) {
		case []any:
			for _, x := range v {
				walk(x)
			}
		case map[string]any:
			query, _ := v["expr"].(string)
			legend, _ := v["legendFormat"].(string)
			if query != "" {
				for _, l := range missing(legend, legendLabel, labelsOf(query)) {
					problems = append(problems, fmt.Errorf("legend %q of query %q: no label %s is left", legend, query, l))
				}
			}
			for _, x := range v {
				walk(x)
			}
		case string:
			inner, ok := strings.CutPrefix(v, "label_values(")
			if !ok {
				return
			}
			comma := strings.LastIndex(inner, ",")
			if comma < 0 {
				problems = append(problems, fmt.Errorf("%s names no metric", v))
				return
			}
			label := strings.Trim(inner[comma+1:], " )")
			if !slices.Contains(labelsOf(inner[:comma]), label) {
				problems = append(problems, fmt.Errorf("%s: no series has the label %s", v, label))
			}
		}
	}
	if err := json.Unmarshal(board, &tree); err != nil {
		return []error{err}
	}
	walk(tree)
	return problems
}

func TestEveryMisspeltNameIsFound(t *testing.T) {
	c := mixin.Operator()
	k, err := seriesOf(c)
	if err != nil {
		t.Fatal(err)
	}
	const good = `sum by (vote) (increase(ethereum_group_attestation_votes_lost_total{job="validator-exporter",group_by="all",cause=~"missing|late",vote!="head"}[1h]))`
	if left, err := k.check(good); err != nil || !slices.Equal(left, []string{"vote"}) {
		t.Fatalf("a good query: labels %q, %v", left, err)
	}
	for _, tc := range []struct{ name, old, new string }{
		{"metric", "votes_lost_total", "vote_lost_total"},
		{"counter without its suffix", "votes_lost_total", "votes_lost"},
		{"label that is matched", "cause=~", "causes=~"},
		{"label that is grouped by", "by (vote)", "by (votes)"},
		{"label of another level", `group_by="all"`, `group_by="all",validator_index="7"`},
		{"value", `vote!="head"`, `vote!="heads"`},
		{"value of several", `missing|late`, `missing|lately`},
		{"pattern of values", `missing|late`, `miss.`},
		{"sum over every group_by", `,group_by="all"`, ``},
	} {
		t.Run(tc.name, func(t *testing.T) {
			bad := strings.Replace(good, tc.old, tc.new, 1)
			if bad == good {
				t.Fatal("nothing was misspelt")
			}
			if _, err := k.check(bad); err == nil {
				t.Errorf("%s was not found out", bad)
			}
		})
	}
	recorded := rules.Ratio(mixin.Group, rules.Effectiveness, rules.Hour)
	for _, bad := range []string{
		recorded + "x", "max by (" + c.Select.ReplicaLabels[0] + ") (" + recorded + ")", "ethereum_beacon_request_duration_seconds",
		"go_goroutine", `ethereum_validator_offender{offence="late"}`, `ethereum_validator_info{pool="x"}`,
		`validator_rollup_samples_rejected_total{reason="timeout"}`, `ALERTS{alertstate="fired"}`,
	} {
		if _, err := k.check(bad); err == nil {
			t.Errorf("%s was not found out", bad)
		}
	}
	if got := missing("group {{ $labels.group }} of {{ $labels.groups }}", annotationLabel, []string{"group"}); !slices.Equal(got, []string{"groups"}) {
		t.Errorf("a misspelt label of an annotation: %q", got)
	}
	bad := legends(c, k, []byte(`{"panels":[{"targets":[{"expr":"up","legendFormat":"{{ jobs }}"}]}],"query":"label_values(up, jobs)"}`))
	if len(bad) != 2 {
		t.Errorf("two misspelt labels of a dashboard: %v", bad)
	}
}

// TestClosedLabelsHaveTheCollectorsValues compares the table with what the collector
// does expose.
func TestClosedLabelsHaveTheCollectorsValues(t *testing.T) {
	files, err := filepath.Glob("../collector/testdata/exposition/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatalf("no expositions: %v", err)
	}
	p := parser.NewParser(parser.Options{})
	seen := map[string]map[string]bool{}
	for _, path := range files {
		text, err := os.ReadFile(path)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if strings.HasPrefix(line, "#") {
				continue
			}
			series, err := p.ParseMetric(line[:strings.LastIndex(line, " ")])
			if err != nil {
				t.Fatalf("%s: %q: %v", path, line, err)
			}
			series.Range(func(l labels.Label) {
				if closed[l.Name] == nil {
					return
				}
				if seen[l.Name] == nil {
					seen[l.Name] = map[string]bool{}
				}
				seen[l.Name][l.Value] = true
				if !slices.Contains(closed[l.Name], l.Value) {
					t.Errorf("%s: %s=%q is not in the table", path, l.Name, l.Value)
				}
			})
		}
	}
	// The tables of these are exposed whole.
	for _, name := range []string{"vote", "cause", "component", "kind", "offence", "at_least"} {
		for _, v := range closed[name] {
			if !seen[name][v] {
				t.Errorf("%s=%q is in no exposition", name, v)
			}
		}
	}
	// And these stand in the help of the family that has them.
	for name, family := range map[string]string{
		"reason": "ethereum_beacon_request_failures_total", "offence": "ethereum_validator_offender",
		"withdrawal_type": "ethereum_validator_info", "period": "ethereum_validator_sync_committee_member",
	} {
		help := catalog.MustGet(family).Help
		for _, v := range closed[name] {
			if !strings.Contains(help, v) {
				t.Errorf("%s=%q is not in the help of %s", name, v, family)
			}
		}
	}
}

func TestRuntimeSeriesAreExposedByTheGoClient(t *testing.T) {
	registry := prometheus.NewRegistry()
	registry.MustRegister(collectors.NewGoCollector(), collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	exposed := map[string]bool{"up": true} // of Prometheus itself
	for _, f := range families {
		exposed[f.GetName()] = true
		if f.GetType().String() == "SUMMARY" {
			exposed[f.GetName()+"_count"], exposed[f.GetName()+"_sum"] = true, true
		}
	}
	for name := range runtime {
		if !exposed[name] {
			t.Errorf("%s is not exposed", name)
		}
	}
}
