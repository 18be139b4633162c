package alerts

import (
	"bytes"
	"errors"
	"fmt"
	"maps"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// Groups returns the alerts as rule groups, one for each section, and everything that
// is wrong with them.
func Groups(c mixin.Config) ([]rulefmt.RuleGroup, error) {
	return groups(c, Sections(c))
}

func groups(c mixin.Config, sections []Section) ([]rulefmt.RuleGroup, error) {
	var out []rulefmt.RuleGroup
	var problems []error
	known := map[string]bool{}
	for _, s := range sections {
		if len(s.Alerts) == 0 {
			continue
		}
		group := rulefmt.RuleGroup{Name: groupName(s)}
		for _, a := range s.Alerts {
			if known[a.Name] {
				problems = append(problems, fmt.Errorf("alert %s: there are two of this name", a.Name))
			}
			known[a.Name] = true
			rule, errs := render(c, a)
			for _, err := range errs {
				problems = append(problems, fmt.Errorf("alert %s: %w", a.Name, err))
			}
			group.Rules = append(group.Rules, rule)
		}
		out = append(out, group)
	}
	for _, name := range slices.Sorted(maps.Keys(c.Alerts.Severities)) {
		if !known[name] {
			problems = append(problems, fmt.Errorf("alerts.severities %s: there is no such alert", name))
		}
	}
	return out, errors.Join(problems...)
}

func groupName(s Section) string { return "validator-monitor-" + s.Name }

var alertName = regexp.MustCompile(`^[A-Z][A-Za-z0-9]+$`)

// render makes the rule of one alert.
func render(c mixin.Config, a Alert) (rulefmt.Rule, []error) {
	var problems []error
	check := func(ok bool, format string, args ...any) {
		if !ok {
			problems = append(problems, fmt.Errorf(format, args...))
		}
	}
	check(alertName.MatchString(a.Name), "the name must be in CamelCase")
	for _, field := range []struct{ name, text string }{
		{"expression", a.Expr},
		{"summary", a.Summary},
		{"description", a.Description},
		{"action", a.Action},
		{"runbook's meaning", a.Runbook.Meaning},
		{"runbook's impact", a.Runbook.Impact},
		{"runbook's diagnosis", a.Runbook.Diagnosis},
		{"runbook's mitigation", a.Runbook.Mitigation},
	} {
		check(strings.TrimSpace(field.text) != "", "the %s is missing", field.name)
	}
	for name, text := range map[string]string{"summary": a.Summary, "action": a.Action} {
		check(!strings.Contains(text, "{{"), "the %s must be constant, but holds a template", name)
	}
	severity := severityOf(c, a)
	check(slices.Contains([]mixin.Severity{mixin.Critical, mixin.Warning, mixin.Info}, severity), "unknown severity %q", severity)
	check(slices.Contains(mixin.AllDashboards(), a.Dashboard), "unknown dashboard %q", a.Dashboard)
	check(a.For >= 2*c.Chain.ScrapeInterval, "it waits %s, less than two scrape intervals of %s", a.For, c.Chain.ScrapeInterval)

	rule := rulefmt.Rule{
		Alert: a.Name, Expr: a.Expr,
		For: model.Duration(a.For), KeepFiringFor: model.Duration(a.KeepFiringFor),
		Labels: labels(c, a), Annotations: annotations(c, a, a.Description),
	}
	for name, value := range rule.Labels {
		check(!strings.Contains(value, "{{"), "the label %s holds a template: it would change the alert's identity", name)
	}
	if a.Expr == "" {
		return rule, problems
	}
	pretty, err := expr.Pretty(a.Expr)
	if err != nil {
		return rule, append(problems, err)
	}
	rule.Expr = pretty
	for _, err := range rule.Validate(rulefmt.RuleNode{}, model.UTF8Validation, parser.NewParser(parser.Options{})) {
		problems = append(problems, errors.Unwrap(&err))
	}
	return rule, problems
}

func severityOf(c mixin.Config, a Alert) mixin.Severity {
	if s, ok := c.Alerts.Severities[a.Name]; ok {
		return s
	}
	return a.Severity
}

func labels(c mixin.Config, a Alert) map[string]string {
	out := maps.Clone(c.Alerts.Labels)
	if out == nil {
		out = map[string]string{}
	}
	out["severity"] = string(severityOf(c, a))
	return out
}

func annotations(c mixin.Config, a Alert, description string) map[string]string {
	return map[string]string{
		"summary":       a.Summary,
		"description":   description,
		"action":        a.Action,
		"runbook_url":   c.RunbookURL(a.Name),
		"dashboard_url": c.DashboardURL(a.Dashboard),
	}
}

// Tests returns every case as files for promtool test rules, by their names. promtool
// evaluates all tests of a file at one interval, so a section has a file for each
// step of its cases. ruleFiles are the recording rules and, last, the alerts, relative
// to where the files will be. Where no alert of a section needs recorded series, its
// tests load the alerts alone, which takes a fifth of the time.
func Tests(c mixin.Config, ruleFiles []string) (map[string][]byte, error) {
	return tests(c, Sections(c), ruleFiles)
}

type (
	testFile struct {
		RuleFiles          []string   `yaml:"rule_files"`
		EvaluationInterval string     `yaml:"evaluation_interval"`
		GroupEvalOrder     []string   `yaml:"group_eval_order"`
		Tests              []testCase `yaml:"tests"`
	}
	testCase struct {
		Name     string       `yaml:"name"`
		Interval string       `yaml:"interval"`
		Input    []testSeries `yaml:"input_series"`
		Alerts   []testAlert  `yaml:"alert_rule_test"`
	}
	testSeries struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	testAlert struct {
		At       string         `yaml:"eval_time"`
		Alert    string         `yaml:"alertname"`
		Expected []testInstance `yaml:"exp_alerts"`
	}
	testInstance struct {
		Labels      map[string]string `yaml:"exp_labels"`
		Annotations map[string]string `yaml:"exp_annotations"`
	}
)

func tests(c mixin.Config, sections []Section, ruleFiles []string) (map[string][]byte, error) {
	// Without an order promtool takes any, and alerts may see recorded series a step late.
	recording, err := rules.Groups(c)
	if err != nil {
		return nil, err
	}
	var order []string
	for _, g := range recording {
		order = append(order, g.Name)
	}
	for _, s := range sections {
		order = append(order, groupName(s))
	}
	files := map[string]testFile{}
	var problems []error
	for _, s := range sections {
		loaded := ruleFiles
		if len(loaded) > 1 && !usesRecorded(s) {
			loaded = loaded[len(loaded)-1:]
		}
		for _, a := range s.Alerts {
			for _, k := range a.Cases {
				if err := k.check(); err != nil {
					problems = append(problems, fmt.Errorf("alert %s, case %q: %w", a.Name, k.Name, err))
					continue
				}
				step := mixin.Duration(k.Step)
				name := "alerts-" + s.Name + "-" + step + ".yaml"
				f, ok := files[name]
				if !ok {
					f = testFile{RuleFiles: loaded, EvaluationInterval: step, GroupEvalOrder: order}
				}
				f.Tests = append(f.Tests, renderCase(c, a, k))
				files[name] = f
			}
		}
	}
	out := map[string][]byte{}
	for name, f := range files {
		text, err := encode(f)
		if err != nil {
			problems = append(problems, fmt.Errorf("tests %s: %w", name, err))
		}
		out[name] = text
	}
	return out, errors.Join(problems...)
}

// usesRecorded tells whether an alert of the section looks at a recorded series; a name
// with a colon is one.
func usesRecorded(s Section) bool {
	return slices.ContainsFunc(s.Alerts, func(a Alert) bool {
		uses, err := expr.Uses(a.Expr)
		return err != nil || slices.ContainsFunc(uses, func(u expr.Use) bool { return strings.Contains(u.Metric, ":") })
	})
}

func (k Case) check() error {
	switch {
	case k.Name == "":
		return errors.New("it has no name")
	case k.Step <= 0 || k.Step > 5*time.Minute:
		return fmt.Errorf("its step is %s, but Prometheus forgets a sample after 5m", k.Step)
	case len(k.Input) == 0:
		return errors.New("it has no input")
	case len(k.Silent) == 0 && len(k.Firing) == 0:
		return errors.New("it expects nothing")
	}
	for _, f := range k.Firing {
		if f.At%k.Step != 0 {
			return fmt.Errorf("it looks at %s, which is not a whole number of steps of %s", f.At, k.Step)
		}
		if len(f.Instances) == 0 {
			return fmt.Errorf("nothing fires at %s; that is what Silent is for", f.At)
		}
	}
	return nil
}

func renderCase(c mixin.Config, a Alert, k Case) testCase {
	t := testCase{Name: a.Name + " " + k.Name, Interval: mixin.Duration(k.Step)}
	for _, s := range k.Input {
		t.Input = append(t.Input, testSeries(s))
	}
	expected := map[time.Duration][]testInstance{}
	for _, at := range k.Silent {
		expected[at] = []testInstance{}
	}
	for _, f := range k.Firing {
		for _, i := range f.Instances {
			all := labels(c, a)
			maps.Copy(all, i.Labels)
			expected[f.At] = append(expected[f.At], testInstance{all, annotations(c, a, i.Description)})
		}
	}
	for _, at := range slices.Sorted(maps.Keys(expected)) {
		t.Alerts = append(t.Alerts, testAlert{mixin.Duration(at), a.Name, expected[at]})
	}
	return t
}

func encode(v any) ([]byte, error) {
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		return nil, err
	}
	return b.Bytes(), e.Close()
}

// Uncovered says what the cases do not prove, one line for each gap: an alert must
// fire in a case, and be silent before its wait is over in the same case; it must
// stay silent all through another one; and when it blames a validator, it must do so
// in a case whose name says that the network is in trouble.
func Uncovered(c mixin.Config) []string { return uncovered(Sections(c)) }

func uncovered(sections []Section) []string {
	var out []string
	for _, s := range sections {
		for _, a := range s.Alerts {
			fires, waits, quiet, network := false, false, false, false
			for _, k := range a.Cases {
				if len(k.Firing) == 0 && len(k.Silent) > 0 {
					quiet = true
					network = network || strings.Contains(k.Name, "network")
				}
				for _, f := range k.Firing {
					fires = true
					waits = waits || slices.ContainsFunc(k.Silent, func(at time.Duration) bool {
						return at < f.At && f.At-at <= max(a.For, k.Step) // a wait shorter than a step takes one
					})
				}
			}
			gap := func(covered bool, what string) {
				if !covered {
					out = append(out, a.Name+": no case "+what)
				}
			}
			gap(fires, "in which it fires")
			gap(waits, "in which it is silent less than its wait before it fires")
			gap(quiet, "in which it stays silent")
			gap(network || !a.Blames, "in which it stays silent although the network is in trouble")
		}
	}
	return out
}
