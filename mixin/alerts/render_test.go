package alerts

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// whole is an alert with nothing missing, for tests to take something away.
func whole() Alert {
	return Alert{
		Name: "ThingDown", Severity: mixin.Warning, Expr: `up{job="thing"} == 0`, For: time.Minute, KeepFiringFor: 2 * time.Minute,
		Summary: "A thing is down.", Description: "{{ $labels.instance }} does not answer.", Action: "Start it.",
		Dashboard: mixin.BeaconDashboard, Blames: true,
		Runbook: Runbook{Meaning: "It is «down».", Impact: "All of it.", Diagnosis: "Ask:\n\n\tup == 0\n\nand see.", Mitigation: "Start it."},
		Cases: []Case{
			{
				Name: "fires when it is down", Step: 30 * time.Second,
				Input:  []Series{{`up{job="thing",instance="a"}`, "0x4"}},
				Silent: []time.Duration{30 * time.Second},
				Firing: []Firing{{At: time.Minute, Instances: []Instance{{
					Labels: map[string]string{"job": "thing", "instance": "a"}, Description: "a does not answer.",
				}}}},
			},
			{
				Name: "is silent when the network is down", Step: time.Minute,
				Input:  []Series{{`up{job="thing",instance="a"}`, "1x4"}},
				Silent: []time.Duration{4 * time.Minute},
			},
		},
	}
}

func sectionOf(alerts ...Alert) []Section {
	return []Section{{Name: "things", Title: "Things", About: "About things.", Alerts: alerts}}
}

func config() mixin.Config {
	c := mixin.Solo()
	c.Alerts.Labels = map[string]string{"team": "staking"}
	c.Alerts.GrafanaURL = "https://grafana.example.org/"
	return c
}

func TestEveryPresetHasAllRules(t *testing.T) {
	for _, c := range mixin.Presets() {
		if _, err := Groups(c); err != nil {
			t.Errorf("%s: %v", c.Preset, err)
		}
	}
}

func TestNothingIsUncovered(t *testing.T) {
	for _, c := range mixin.Presets() {
		for _, gap := range Uncovered(c) {
			t.Errorf("%s: %s", c.Preset, gap)
		}
	}
}

func TestGroupsAddLabelsAndLinks(t *testing.T) {
	got, err := groups(config(), sectionOf(whole()))
	if err != nil {
		t.Fatal(err)
	}
	if len(got) != 1 || got[0].Name != "validator-monitor-things" || len(got[0].Rules) != 1 {
		t.Fatalf("got %+v, want one group validator-monitor-things of one rule", got)
	}
	r := got[0].Rules[0]
	if r.For != model.Duration(time.Minute) || r.KeepFiringFor != model.Duration(2*time.Minute) || r.Expr != `up{job="thing"} == 0` {
		t.Errorf("got %+v", r)
	}
	wantStrings(t, r.Labels, map[string]string{"severity": "warning", "team": "staking"})
	wantStrings(t, r.Annotations, map[string]string{
		"summary": "A thing is down.", "description": "{{ $labels.instance }} does not answer.", "action": "Start it.",
		"runbook_url":   "https://github.com/ethereum-validator-monitor/validator-monitor/blob/main/docs/runbooks/ThingDown.md",
		"dashboard_url": "https://grafana.example.org/d/validator-monitor-beacon-nodes",
	})
}

func wantStrings(t *testing.T, got, want map[string]string) {
	t.Helper()
	if len(got) != len(want) {
		t.Errorf("got %q, want %q", got, want)
	}
	for k, v := range want {
		if got[k] != v {
			t.Errorf("%s: got %q, want %q", k, got[k], v)
		}
	}
}

func TestSeverityCanBeChanged(t *testing.T) {
	c := config()
	c.Alerts.Severities = map[string]mixin.Severity{"ThingDown": mixin.Critical}
	got, err := groups(c, sectionOf(whole()))
	if err != nil {
		t.Fatal(err)
	}
	if s := got[0].Rules[0].Labels["severity"]; s != "critical" {
		t.Errorf("got %q, want critical", s)
	}
}

func TestGroupsSayWhatIsWrong(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Alert)
		want   string
	}{
		{"name", func(a *Alert) { a.Name = "thing_down" }, "CamelCase"},
		{"no expression", func(a *Alert) { a.Expr = "" }, "the expression is missing"},
		{"no summary", func(a *Alert) { a.Summary = "" }, "the summary is missing"},
		{"no description", func(a *Alert) { a.Description = " " }, "the description is missing"},
		{"no action", func(a *Alert) { a.Action = "" }, "the action is missing"},
		{"no meaning", func(a *Alert) { a.Runbook.Meaning = "" }, "meaning is missing"},
		{"no impact", func(a *Alert) { a.Runbook.Impact = "" }, "impact is missing"},
		{"no diagnosis", func(a *Alert) { a.Runbook.Diagnosis = "" }, "diagnosis is missing"},
		{"no mitigation", func(a *Alert) { a.Runbook.Mitigation = "" }, "mitigation is missing"},
		{"severity", func(a *Alert) { a.Severity = "page" }, `unknown severity "page"`},
		{"dashboard", func(a *Alert) { a.Dashboard = "things" }, `unknown dashboard "things"`},
		{"short wait", func(a *Alert) { a.For = 59 * time.Second }, "less than two scrape intervals"},
		{"template in the summary", func(a *Alert) { a.Summary = "{{ $labels.x }}" }, "the summary must be constant"},
		{"template in the action", func(a *Alert) { a.Action = "{{ $value }}" }, "the action must be constant"},
		{"broken template", func(a *Alert) { a.Description = "{{ $labels.x" }, `annotation "description"`},
		{"broken expression", func(a *Alert) { a.Expr = "up ==" }, `parse query "up =="`},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := whole()
			tt.change(&a)
			_, err := groups(config(), sectionOf(a))
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
	t.Run("all at once", func(t *testing.T) {
		c := config()
		c.Alerts.Severities = map[string]mixin.Severity{"ThingUp": mixin.Info}
		c.Alerts.Labels = map[string]string{"team": "{{ $value }}"}
		a := whole()
		a.Action = ""
		_, err := groups(c, sectionOf(a, whole()))
		for _, want := range []string{"there are two of this name", "the action is missing", "severities ThingUp", "label team holds a template"} {
			if err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("got %v, want an error with %q", err, want)
			}
		}
	})
}

func TestCasesBecomeTestFiles(t *testing.T) {
	files, err := tests(config(), sectionOf(whole()), []string{"../recording-rules.yaml", "../alerts.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	if len(files) != 2 {
		t.Errorf("got %d files, want one for each step", len(files))
	}
	var got testFile
	if err := yaml.Unmarshal(files["alerts-things-30s.yaml"], &got); err != nil {
		t.Fatal(err)
	}
	if got.EvaluationInterval != "30s" || !slices.Equal(got.RuleFiles, []string{"../alerts.yaml"}) {
		t.Errorf("got %+v", got)
	}
	if len(got.Tests) != 1 || got.Tests[0].Name != "ThingDown fires when it is down" || len(got.Tests[0].Alerts) != 2 {
		t.Fatalf("got %+v, want one test that looks twice", got.Tests)
	}
	silent, firing := got.Tests[0].Alerts[0], got.Tests[0].Alerts[1]
	if silent.At != "30s" || len(silent.Expected) != 0 || firing.At != "1m" || len(firing.Expected) != 1 {
		t.Fatalf("got %+v, then %+v", silent, firing)
	}
	wantStrings(t, firing.Expected[0].Labels, map[string]string{"severity": "warning", "team": "staking", "job": "thing", "instance": "a"})
	if d := firing.Expected[0].Annotations["description"]; d != "a does not answer." {
		t.Errorf("got the description %q, want it as people see it", d)
	}
}

func TestOnlyAlertsOnRecordedSeriesLoadRecordingRules(t *testing.T) {
	for query, want := range map[string][]string{
		`up{job="thing"} == 0`:                        {"alerts.yaml"},
		`up == 0 and max(group:things:ratio1h) > 0.5`: {"recording.yaml", "alerts.yaml"},
	} {
		a := whole()
		a.Expr = query
		files, err := tests(config(), sectionOf(a), []string{"recording.yaml", "alerts.yaml"})
		if err != nil {
			t.Fatal(err)
		}
		var got testFile
		if err := yaml.Unmarshal(files["alerts-things-30s.yaml"], &got); err != nil {
			t.Fatal(err)
		}
		if !slices.Equal(got.RuleFiles, want) {
			t.Errorf("%s: loads %q, want %q", query, got.RuleFiles, want)
		}
	}
}

func TestSenselessCasesAreRefused(t *testing.T) {
	for _, tt := range []struct {
		name   string
		change func(*Case)
		want   string
	}{
		{"no name", func(k *Case) { k.Name = "" }, "it has no name"},
		{"no step", func(k *Case) { k.Step = 0 }, "its step is 0s"},
		{"long step", func(k *Case) { k.Step = 6 * time.Minute }, "its step is 6m"},
		{"no input", func(k *Case) { k.Input = nil }, "it has no input"},
		{"no expectation", func(k *Case) { k.Silent, k.Firing = nil, nil }, "it expects nothing"},
		{"between steps", func(k *Case) { k.Firing[0].At = 70 * time.Second }, "not a whole number of steps"},
		{"nobody fires", func(k *Case) { k.Firing[0].Instances = nil }, "nothing fires at 1m0s"},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := whole()
			tt.change(&a.Cases[0])
			_, err := tests(config(), sectionOf(a), nil)
			if err == nil || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want an error with %q", err, tt.want)
			}
		})
	}
}

func TestGapsAreFound(t *testing.T) {
	if got := uncovered(sectionOf(whole())); len(got) > 0 {
		t.Fatalf("got gaps %q of an alert without any", got)
	}
	for _, tt := range []struct {
		name   string
		change func(*Alert)
		want   []string
	}{
		{"no cases", func(a *Alert) { a.Cases = nil }, []string{
			"ThingDown: no case in which it fires",
			"ThingDown: no case in which it is silent less than its wait before it fires",
			"ThingDown: no case in which it stays silent",
			"ThingDown: no case in which it stays silent although the network is in trouble",
		}},
		{"fires at once", func(a *Alert) { a.Cases[0].Silent = nil }, []string{
			"ThingDown: no case in which it is silent less than its wait before it fires",
		}},
		{"silent long before", func(a *Alert) { a.For = 59 * time.Second; a.Cases[0].Silent[0] = 0 }, []string{
			"ThingDown: no case in which it is silent less than its wait before it fires",
		}},
		{"always fires", func(a *Alert) { a.Cases = a.Cases[:1]; a.Blames = false }, []string{
			"ThingDown: no case in which it stays silent",
		}},
		{"blames in any weather", func(a *Alert) { a.Cases[1].Name = "is silent when it is up" }, []string{
			"ThingDown: no case in which it stays silent although the network is in trouble",
		}},
	} {
		t.Run(tt.name, func(t *testing.T) {
			a := whole()
			tt.change(&a)
			if got := uncovered(sectionOf(a)); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
		})
	}
}
