package output

import (
	"bytes"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
)

func TestSeveritiesGoToTheirReceivers(t *testing.T) {
	for _, c := range append(mixin.Presets(), changed()) {
		config := readAlertmanager(t, c)
		got := map[string]string{}
		for _, r := range config.Route.Routes {
			got[strings.Join(r.value.Matchers, ",")] = r.value.Receiver
		}
		want := map[string]string{`severity="critical"`: "pager", `severity="warning"`: "chat", `severity="info"`: "log"}
		if !maps.Equal(got, want) {
			t.Errorf("%s: routes %v, want %v", c.Preset, got, want)
		}
		want = map[string]string{}
		for _, label := range slices.Concat([]string{"alertname", "network", c.Select.ClusterLabel}, c.Select.TargetLabels) {
			want[label] = ""
		}
		delete(want, "")
		if !slices.Equal(slices.Sorted(slices.Values(config.Route.GroupBy)), slices.Sorted(maps.Keys(want))) {
			t.Errorf("%s: notifications are grouped by %q", c.Preset, config.Route.GroupBy)
		}
		for _, r := range config.Receivers {
			for _, hook := range r.WebhookConfigs {
				if !strings.HasPrefix(hook.URLFile, "/") {
					t.Errorf("%s: receiver %s has no file with its URL", c.Preset, r.Name)
				}
			}
		}
	}
}

// What an inhibition says must hold for the alerts that there are: their names, their
// severities and their labels.
func TestInhibitionsFitTheAlerts(t *testing.T) {
	rank := map[mixin.Severity]int{mixin.Info: 1, mixin.Warning: 2, mixin.Critical: 3}
	for _, c := range append(mixin.Presets(), changed()) {
		t.Run(c.Preset, func(t *testing.T) {
			known := severitiesOf(t, c)
			config := readAlertmanager(t, c)
			if len(config.InhibitRules) == 0 {
				t.Fatal("nothing is inhibited")
			}
			for _, rule := range config.InhibitRules {
				rule := rule.value
				sources, targets := matching(t, rule.SourceMatchers, known), matching(t, rule.TargetMatchers, known)
				if len(sources) == 0 || len(targets) == 0 {
					t.Errorf("%v: a side matches no alert: %q, %q", rule, sources, targets)
				}
				if named := namesIn(rule.SourceMatchers, rule.TargetMatchers); slices.ContainsFunc(named, func(name string) bool { return known[name] == "" }) {
					t.Errorf("%v: an alert of %q does not exist", rule, named)
				}
				for _, source := range sources {
					if known[source] == mixin.Info {
						t.Errorf("%s is an info alert and silences %q", source, targets)
					}
					if strings.HasPrefix(source, "Chain") {
						t.Errorf("%s is about the network and silences %q", source, targets)
					}
					for _, target := range targets {
						if rank[known[target]] > rank[known[source]] || source == target {
							t.Errorf("%s (%s) silences %s (%s)", source, known[source], target, known[target])
						}
						for _, label := range rule.Equal {
							if slices.Contains(targetLabels(c), label) {
								continue // A label of the target, which the cases need not show.
							}
							// An instance that lacks the label silences none that has it, which is safe.
							of, by := carries(c, source, label), carries(c, target, label)
							if of == "never" || by == "never" {
								t.Errorf("%s silences %s where %s is the same, which is %s on the one and %s on the other", source, target, label, of, by)
							}
						}
					}
				}
			}
		})
	}
}

// What one exporter says must not take away a page about validators that another one
// watches: in another namespace, shard, network or cluster.
func TestInhibitionsStayWithinATarget(t *testing.T) {
	for _, c := range append(mixin.Presets(), changed()) {
		for _, rule := range readAlertmanager(t, c).InhibitRules {
			kept := slices.Concat([]string{"job", c.Select.ClusterLabel}, c.Select.TargetLabels)
			if slices.Contains(rule.value.SourceMatchers, `exporter="none"`) {
				kept = kept[:2] // There is no target that others could differ from.
			}
			for _, label := range kept {
				if label != "" && !slices.Contains(rule.value.Equal, label) {
					t.Errorf("%s: %q silences %q even where %s differs", c.Preset, rule.value.SourceMatchers, rule.value.TargetMatchers, label)
				}
			}
		}
	}
}

// When Prometheus has no target any more, as of a Deployment that was scaled to 0, ratios of
// the last hour go on for an hour with the labels of the target that was. Alerts on them
// follow from that. A target that has no labels of its own, and does not answer, says
// nothing about others.
func TestNoExporterAtAllSilencesWhatIsOldOfEveryTarget(t *testing.T) {
	for _, c := range append(mixin.Presets(), changed()) {
		known, rules := severitiesOf(t, c), readAlertmanager(t, c).InhibitRules
		firing := func(name string, more ...string) map[string]string {
			all := map[string]string{"alertname": name, "severity": string(known[name]), "job": "validator-exporter"}
			for i := 0; i < len(more); i += 2 {
				all[more[i]] = more[i+1]
			}
			return all
		}
		of := c.Select.TargetLabels[0]
		for _, k := range []struct {
			what           string
			source, target map[string]string
			silenced       bool
		}{
			{"of a target that was", firing("ValidatorExporterDown", "exporter", "none"), firing("ValidatorEffectivenessLow", of, "a"), true},
			{"of the same target", firing("ValidatorExporterDown", of, "a"), firing("ValidatorEffectivenessLow", of, "a"), true},
			{"of another target", firing("ValidatorExporterDown", of, "b"), firing("ValidatorEffectivenessLow", of, "a"), false},
			{"of a target with labels, by one without", firing("ValidatorExporterDown"), firing("ValidatorEffectivenessLow", of, "a"), false},
			{"of another job", firing("ValidatorExporterDown", "exporter", "none"), firing("ValidatorEffectivenessLow", of, "a", "job", "other"), false},
			{"a page", firing("ValidatorExporterDown", "exporter", "none"), firing("ValidatorEffectivenessCritical", of, "a"), false},
		} {
			if got := slices.ContainsFunc(rules, func(r commented[inhibitRule]) bool { return inhibits(t, r.value, k.source, k.target) }); got != k.silenced {
				t.Errorf("%s: %s: %v silences %v: %v, want %v", c.Preset, k.what, k.source, k.target, got, k.silenced)
			}
		}
	}
}

// A slashed validator is to be stopped, so nobody needs to hear that it is down. Where
// validators have no alerts of their own, the group of all has one for each kind, and what
// is said of the slashed ones explains nothing about the others.
func TestSlashedValidatorIsNotCalledDownAsWell(t *testing.T) {
	for _, c := range mixin.Presets() {
		known, rules := severitiesOf(t, c), readAlertmanager(t, c).InhibitRules
		silences := func(target string, of, by map[string]string) bool {
			firing := func(name string, labels map[string]string) map[string]string {
				all := map[string]string{"alertname": name, "severity": string(known[name]), "job": "validator-exporter", "network": "mainnet"}
				maps.Copy(all, labels)
				return all
			}
			return slices.ContainsFunc(rules, func(r commented[inhibitRule]) bool {
				return inhibits(t, r.value, firing("ValidatorSlashed", by), firing(target, of))
			})
		}
		seven, eight := map[string]string{"validator_index": "7"}, map[string]string{"validator_index": "8"}
		all := map[string]string{"group_by": "all", "group": "all"}
		ratio := c.Level == mixin.Validator
		for _, k := range []struct {
			target   string
			of, by   map[string]string
			silenced bool
		}{
			{"ValidatorDown", seven, seven, true},
			{"ValidatorDown", eight, seven, false},
			{"ValidatorDown", all, all, false},
			{"ValidatorExiting", seven, seven, true},
			{"ValidatorExiting", all, all, false},
			{"ValidatorGroupDown", all, all, false},
			{"ValidatorEffectivenessCritical", seven, seven, ratio},
			{"ValidatorEffectivenessCritical", all, all, false},
			{"ValidatorEffectivenessLow", seven, seven, ratio},
			{"ValidatorParticipationLow", seven, seven, ratio},
			{"ValidatorBalanceDecreasing", seven, seven, ratio},
			{"ValidatorBalanceDecreasing", all, all, false},
			{"ValidatorSyncCommitteeMissing", seven, seven, false},
			{"ValidatorWithdrawalCredentialsChanged", seven, seven, false},
		} {
			if got := silences(k.target, k.of, k.by); got != k.silenced {
				t.Errorf("%s: ValidatorSlashed of %v silences %s of %v: %v, want %v", c.Preset, k.by, k.target, k.of, got, k.silenced)
			}
		}
	}
}

// An alert whose severity is changed must not begin to silence what is worse, or to
// silence anything when it became info.
func TestInhibitionsFollowSeverities(t *testing.T) {
	c := mixin.Solo()
	silences := func(source, target string) bool {
		t.Helper()
		known := severitiesOf(t, c)
		return slices.ContainsFunc(readAlertmanager(t, c).InhibitRules, func(rule commented[inhibitRule]) bool {
			return slices.Contains(matching(t, rule.value.SourceMatchers, known), source) &&
				slices.Contains(matching(t, rule.value.TargetMatchers, known), target)
		})
	}
	const source, target = "ValidatorEffectivenessCritical", "ValidatorEffectivenessLow"
	if !silences(source, target) {
		t.Error("twins are both told")
	}
	c.Alerts.Severities = map[string]mixin.Severity{source: mixin.Info}
	if silences(source, target) {
		t.Error("an info alert silences a warning")
	}
	c.Alerts.Severities = map[string]mixin.Severity{source: mixin.Info, target: mixin.Info}
	if silences(source, target) {
		t.Error("an info alert silences another")
	}
	c.Alerts.Severities = map[string]mixin.Severity{source: mixin.Warning, target: mixin.Critical}
	if silences(source, target) {
		t.Error("a warning silences what should wake someone")
	}
}

func readAlertmanager(t *testing.T, c mixin.Config) alertmanagerConfig {
	t.Helper()
	files, err := product(c)
	if err != nil {
		t.Fatal(err)
	}
	var config alertmanagerConfig
	decoder := yaml.NewDecoder(bytes.NewReader(files["alertmanager.yaml"]))
	decoder.KnownFields(true)
	if err := decoder.Decode(&config); err != nil {
		t.Fatal(err)
	}
	return config
}

func severitiesOf(t *testing.T, c mixin.Config) map[string]mixin.Severity {
	t.Helper()
	groups, err := alerts.Groups(c)
	if err != nil {
		t.Fatal(err)
	}
	return severities(groups)
}

// inhibits does what Alertmanager does with a rule: a label that neither alert has is equal.
func inhibits(t *testing.T, rule inhibitRule, source, target map[string]string) bool {
	t.Helper()
	return matches(t, rule.SourceMatchers, source) && matches(t, rule.TargetMatchers, target) &&
		!slices.ContainsFunc(rule.Equal, func(label string) bool { return source[label] != target[label] })
}

func matches(t *testing.T, matchers []string, values map[string]string) bool {
	t.Helper()
	parsed, err := parser.NewParser(parser.Options{}).ParseMetricSelector("{" + strings.Join(matchers, ",") + "}")
	if err != nil {
		t.Fatal(err)
	}
	return !slices.ContainsFunc(parsed, func(m *labels.Matcher) bool { return !m.Matches(values[m.Name]) })
}

// matching names the alerts that Alertmanager's matchers match, if they are about a validator,
// or about no exporter at all.
func matching(t *testing.T, matchers []string, known map[string]mixin.Severity) []string {
	t.Helper()
	var names []string
	for _, name := range slices.Sorted(maps.Keys(known)) {
		if matches(t, matchers, map[string]string{"alertname": name, "severity": string(known[name]), "validator_index": "0", "exporter": "none"}) {
			names = append(names, name)
		}
	}
	return names
}

// namesIn are the alerts that matchers name.
func namesIn(matchers ...[]string) []string {
	var names []string
	for _, m := range slices.Concat(matchers...) {
		if name, list, ok := strings.Cut(m, "="); ok && name == "alertname" {
			names = append(names, strings.Split(strings.Trim(list, `~"`), "|")...)
		}
	}
	return names
}

// carries tells whether instances of an alert, as its cases show them, have a label:
// always, sometimes or never.
func carries(c mixin.Config, alert, label string) string {
	with, without := 0, 0
	for _, section := range alerts.Sections(c) {
		for _, a := range section.Alerts {
			if a.Name != alert {
				continue
			}
			for _, k := range a.Cases {
				for _, firing := range k.Firing {
					for _, instance := range firing.Instances {
						if instance.Labels[label] == "" {
							without++
						} else {
							with++
						}
					}
				}
			}
		}
	}
	switch {
	case with == 0:
		return "never"
	case without == 0:
		return "always"
	}
	return "sometimes"
}
