package output

import (
	"bytes"
	"fmt"
	"maps"
	"math"
	"reflect"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// A knob that changes nothing is a lie, and one that only changes a comment, too.
func TestEachKnobChangesWhatIsRendered(t *testing.T) {
	// The quickest to render first: most knobs are seen in the rules.
	parts := []func(mixin.Config) (map[string][]byte, error){
		func(c mixin.Config) (map[string][]byte, error) {
			groups, err := rules.Groups(c)
			return map[string][]byte{RecordingRules: fmt.Append(nil, groups)}, err
		},
		func(c mixin.Config) (map[string][]byte, error) {
			groups, err := alerts.Groups(c)
			return map[string][]byte{AlertRules: fmt.Append(nil, groups)}, err
		},
		product,
	}
	var before []map[string][]byte
	for _, part := range parts {
		before = append(before, withoutComments(t, part, mixin.Operator()))
	}
	c := changed()
	for _, k := range knobs(c) {
		t.Run(k.name, func(t *testing.T) {
			one := mixin.Operator()
			was := fmt.Sprint(k.of(&one))
			k.of(&one).Set(k.of(&c))
			for i, part := range parts {
				if !maps.EqualFunc(withoutComments(t, part, one), before[i], bytes.Equal) {
					if withoutEffect[k.name] != "" {
						t.Errorf("%v instead of %s has an effect", k.of(&c), was)
					}
					return
				}
			}
			if withoutEffect[k.name] == "" {
				t.Errorf("%v instead of %s has no effect", k.of(&c), was)
			}
		})
	}
}

// withoutEffect are the knobs that change no file, and why.
var withoutEffect = map[string]string{
	"preset": "it names the directory, and is in comments",
}

// withoutComments renders a part, and takes away what is only for people.
func withoutComments(t *testing.T, part func(mixin.Config) (map[string][]byte, error), c mixin.Config) map[string][]byte {
	t.Helper()
	files, err := part(c)
	if err != nil {
		t.Fatal(err)
	}
	for name, content := range files {
		files[name] = regexp.MustCompile(`(?m)^ *#.*\n`).ReplaceAll(content, nil)
	}
	return files
}

// defaults are how the presets' values of knobs that are text can be recognised in any
// file. Each must be found in the presets' renderings, so that a pattern that can find
// nothing is not taken for a proof.
var defaults = map[string]string{
	"preset":                       `the knobs of (solo|operator)\b`,
	"select.exporter":              `job\S{0,4}validator-exporter`,
	"select.rollup":                `job\S{0,4}validator-rollup`,
	"select.replica_labels":        asLabel("instance|pod"),
	"select.cluster_label":         asLabel("cluster"),
	"select.target_labels":         `(?m)^ +- (namespace|service|shard)$`,
	"select.group_by":              `group_by=~\\*"\.\+`,
	"alerts.runbook_url":           `github\.com/ethereum-validator-monitor`,
	"dashboards.title_prefix":      `Validator Monitor /`,
	"dashboards.uid_prefix":        `(/d/|"uid": ?"|name: )validator-monitor-(overview|alerts|rules|dashboard)|validator-monitor-[a-z-]+\.json`,
	"dashboards.folder":            `Validator Monitor`,
	"dashboards.tags":              `"(ethereum|validator-monitor)"`,
	"dashboards.refresh":           `"refresh": "30s"`,
	"dashboards.range":             `now-6h`,
	"dashboards.long_term_refresh": `"refresh": "15m"`,
	"dashboards.long_term_range":   `now-90d`,
	"dashboards.timezone":          `"utc"`,
	"kubernetes.namespace":         `namespace: monitoring`,
	"kubernetes.rule_labels":       `release: kube-prometheus-stack`,
	"kubernetes.dashboard_label":   `grafana_dashboard`,
	"kubernetes.folder_annotation": `grafana_folder`,
}

// asLabel finds a label in queries, templates, legends and series, and not in prose.
func asLabel(names string) string {
	return `[.$({,"\[]\s*(` + names + `)\b|\b(` + names + `)\s*[=!")}\]]`
}

func TestChangedRenderingHoldsNoTextOfThePresets(t *testing.T) {
	before := map[string][]byte{}
	for _, c := range mixin.Presets() {
		files, err := Files(c)
		if err != nil {
			t.Fatal(err)
		}
		for name, content := range files {
			before[c.Preset+"/"+name] = content
		}
	}
	after, err := Files(changed())
	if err != nil {
		t.Fatal(err)
	}
	for _, knob := range slices.Sorted(maps.Keys(defaults)) {
		pattern := regexp.MustCompile(defaults[knob])
		if !slices.ContainsFunc(slices.Collect(maps.Values(before)), pattern.Match) {
			t.Errorf("%s: %s is not even in the presets' renderings", knob, defaults[knob])
		}
		for _, name := range slices.Sorted(maps.Keys(after)) {
			if at := pattern.FindIndex(after[name]); at != nil {
				t.Errorf("%s: %s still says …%s…", knob, name, after[name][max(0, at[0]-60):min(len(after[name]), at[1]+30)])
			}
		}
	}
}

// Each knob that is text is either looked for, or empty in both presets.
func TestEveryTextKnobIsLookedFor(t *testing.T) {
	c := changed()
	for _, k := range knobs(c) {
		kind := k.of(&c).Kind()
		if kind != reflect.String && kind != reflect.Slice && kind != reflect.Map || k.name == "level" {
			continue
		}
		empty := true
		for _, preset := range mixin.Presets() {
			empty = empty && k.of(&preset).Len() == 0
		}
		// Severities are not unlike those of other alerts: that they change is all to see.
		if !empty && defaults[k.name] == "" && k.name != "alerts.severities" {
			t.Errorf("%s: how can its default be recognised?", k.name)
		}
	}
}

// Thresholds and durations are in expressions and waits. Whatever value a preset has, and
// changed has not, must be gone from there.
func TestChangedRulesHoldNoNumberOfThePresets(t *testing.T) {
	c := changed()
	kept := map[string]bool{}
	for _, k := range knobs(c) {
		for _, form := range forms(k.of(&c)) {
			kept[form] = true
		}
	}
	old := map[string]string{}
	for _, preset := range mixin.Presets() {
		for _, k := range knobs(preset) {
			for _, form := range forms(k.of(&preset)) {
				if !kept[form] {
					old[form] = k.name
				}
			}
		}
	}
	for preset, numbers := range map[string]map[string][]string{"operator": numbersIn(t, mixin.Operator()), "changed": numbersIn(t, c)} {
		found := 0
		for _, number := range slices.Sorted(maps.Keys(numbers)) {
			knob, ok := old[number]
			if !ok || constants[number] != "" {
				continue
			}
			found++
			if preset == "changed" {
				t.Errorf("%s is the presets' %s, and is still in %s", number, knob, strings.Join(numbers[number], ", "))
			}
		}
		if preset == "operator" && found < 20 {
			t.Errorf("only %d numbers of knobs found in the operator's alerts", found)
		}
	}
}

// constants are numbers that alerts may hold whatever the knobs are, and why.
var constants = map[string]string{
	"0":    "none of what is counted",
	"0.2":  "room for rounding before rounding up to whole members of the sync committee",
	"0.5":  "between none and one of what is counted",
	"0.95": "the percentile that latencies are told by",
	"1":    "all, yes, or one of what is counted",
	"1d":   "how long a conflict stays told: it never goes away by itself",
	"1h":   "the range of recorded ratios, and how long single events stay told",
	"2":    "more than half is more than a number over 2",
	"3":    "empty slots in a row that are the chain's outage",
}

// forms are how a number of a knob can be written in a rule.
func forms(v reflect.Value) []string {
	switch x := v.Interface().(type) {
	case time.Duration:
		return []string{mixin.Duration(x), strconv.FormatFloat(x.Seconds(), 'g', -1, 64)}
	case float64:
		return []string{strconv.FormatFloat(x, 'g', -1, 64), strconv.FormatFloat(math.Round((1-x)*1e9)/1e9, 'g', -1, 64)}
	case int, uint64:
		number, _ := strconv.ParseFloat(fmt.Sprint(x), 64)
		return []string{strconv.FormatFloat(number, 'g', -1, 64)}
	}
	return nil
}

// numbersIn lists the numbers and durations of the alerts' expressions and waits, each
// with the alerts that have it.
func numbersIn(t *testing.T, c mixin.Config) map[string][]string {
	t.Helper()
	files, err := product(c)
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Groups []struct {
			Rules []struct {
				Alert, Expr, For string
				KeepFiringFor    string `yaml:"keep_firing_for"`
			}
		}
	}
	if err := yaml.Unmarshal(files[AlertRules], &file); err != nil {
		t.Fatal(err)
	}
	numbers := map[string][]string{}
	for _, group := range file.Groups {
		for _, rule := range group.Rules {
			add := func(number string) {
				if number != "" && !slices.Contains(numbers[number], rule.Alert) {
					numbers[number] = append(numbers[number], rule.Alert)
				}
			}
			add(rule.For)
			add(rule.KeepFiringFor)
			tree, err := parser.NewParser(parser.Options{}).ParseExpr(rule.Expr)
			if err != nil {
				t.Fatal(err)
			}
			parser.Inspect(tree, func(node parser.Node, _ []parser.Node) error {
				switch n := node.(type) {
				case *parser.NumberLiteral:
					add(strconv.FormatFloat(n.Val, 'g', -1, 64))
				case *parser.MatrixSelector:
					add(mixin.Duration(n.Range))
				case *parser.SubqueryExpr:
					add(mixin.Duration(n.Range))
				}
				return nil
			})
		}
	}
	return numbers
}
