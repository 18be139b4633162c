package rules_test

import (
	"bytes"
	"log/slog"
	"maps"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// turned has every knob that recording rules depend on at another value than any
// preset's.
func turned() mixin.Config {
	c := mixin.Operator()
	c.Preset = "turned"
	c.Select.Exporter = `job="gnosis/watcher",env=~"blue|green",zone!="lab"`
	c.Select.Rollup = `job="gnosis/rollup"`
	c.Select.ReplicaLabels = []string{"replica"}
	c.Select.ClusterLabel = "region"
	c.Chain.SlotDuration, c.Chain.SlotsPerEpoch = 5*time.Second, 16
	c.Recording.Interval, c.Recording.Short = 2*time.Minute, 17*time.Minute
	c.Objective.Effectiveness, c.Objective.Period = 0.973, 14*24*time.Hour
	c.Objective.Fast = []mixin.Burn{{Long: 100 * time.Minute, Short: 19 * time.Minute, Factor: 13}}
	c.Objective.Slow = []mixin.Burn{{Long: 48 * time.Hour, Short: 5 * time.Hour, Factor: 2}}
	return c
}

func groupsOf(t *testing.T, c mixin.Config) []rulefmt.RuleGroup {
	t.Helper()
	groups, err := rules.Groups(c)
	if err != nil {
		t.Fatal(err)
	}
	return groups
}

func text(t *testing.T, v any) string {
	t.Helper()
	var b bytes.Buffer
	e := yaml.NewEncoder(&b)
	e.SetIndent(2)
	if err := e.Encode(v); err != nil {
		t.Fatal(err)
	}
	return b.String()
}

func TestRulesAreValid(t *testing.T) {
	name := regexp.MustCompile(`^(validator|group|network):[a-z_]+:(increase1h|(ratio|long_ratio|difference|burnrate|budget_remaining)(\d+[dhms])+)$`)
	for _, c := range append(mixin.Presets(), turned()) {
		t.Run(c.Preset, func(t *testing.T) {
			groups := groupsOf(t, c)
			content := text(t, rulefmt.RuleGroups{Groups: groups})
			if _, errs := rulefmt.Parse([]byte(content), false, model.LegacyValidation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler)); len(errs) > 0 {
				t.Fatal(errs)
			}
			seen := map[string]bool{}
			for _, g := range groups {
				if !strings.HasPrefix(g.Name, "validator-monitor-") {
					t.Errorf("group %s: the name does not say whose it is", g.Name)
				}
				for _, r := range g.Rules {
					if seen[r.Record] {
						t.Errorf("%s is recorded twice", r.Record)
					}
					seen[r.Record] = true
					if !name.MatchString(r.Record) {
						t.Errorf("%s is not level:metric:operation", r.Record)
					}
				}
			}
		})
	}
}

func TestEveryNamedSeriesIsRecorded(t *testing.T) {
	for _, c := range append(mixin.Presets(), turned()) {
		t.Run(c.Preset, func(t *testing.T) {
			want := map[string]bool{rules.NetworkShortParticipation(c): true, rules.BudgetRemaining(c.Objective.Period): true}
			for _, l := range []mixin.Level{mixin.Validator, mixin.Group, mixin.Network} {
				for _, counter := range []string{
					"attestations_expected", "attestations_included", "attestation_source_votes", "attestation_target_votes",
					"attestation_head_votes", "attestation_inclusion_delay_slots", "attestation_votes_lost",
					"attestation_stake_possible_gwei", "attestation_stake_achievable_gwei", "attestation_stake_earned_gwei",
					"blocks_expected", "blocks_proposed", "sync_committee_expected", "sync_committee_included",
				} {
					want[rules.Increase(l, counter)] = true
				}
				for _, w := range rules.Windows() {
					for _, m := range rules.Ratios() {
						want[rules.Ratio(l, m, w)] = true
						if w > rules.Day {
							want[rules.LongRatio(l, m, w)] = true
						}
					}
					if l != mixin.Network {
						want[rules.Difference(l, rules.Effectiveness, w)] = true
						want[rules.Difference(l, rules.OwnEffectiveness, w)] = true
					}
				}
			}
			if p := c.Objective.Period; !slices.Contains(rules.Windows(), p) {
				want[rules.LongRatio(mixin.Group, rules.OwnEffectiveness, p)] = true
			}
			want[rules.Increase(mixin.Network, "slashings")] = true
			for _, b := range slices.Concat(c.Objective.Fast, c.Objective.Slow) {
				want[rules.BurnRate(b.Short)], want[rules.BurnRate(b.Long)] = true, true
			}
			recorded, err := rules.Recorded(c)
			if err != nil {
				t.Fatal(err)
			}
			for name := range want {
				if _, ok := recorded[name]; !ok {
					t.Errorf("%s is not recorded", name)
				}
			}
			for name := range recorded {
				if !want[name] {
					t.Errorf("%s is recorded, and no function names it", name)
				}
			}
		})
	}
}

// TestRulesComeAfterWhatTheyAreMadeOf: Prometheus evaluates the rules of a group in
// order, so the newest value is there.
func TestRulesComeAfterWhatTheyAreMadeOf(t *testing.T) {
	for _, c := range append(mixin.Presets(), turned()) {
		done := map[string]bool{}
		for _, g := range groupsOf(t, c) {
			for _, r := range g.Rules {
				uses, err := expr.Uses(r.Expr)
				if err != nil {
					t.Fatal(err)
				}
				for _, u := range uses {
					if strings.Contains(u.Metric, ":") && !done[u.Metric] {
						t.Errorf("%s: %s needs %s, which comes later", c.Preset, r.Record, u.Metric)
					}
				}
				done[r.Record] = true
			}
		}
	}
}

func TestOnlyShortRulesAreEvaluatedAtTheDefaultInterval(t *testing.T) {
	c := turned()
	for _, g := range groupsOf(t, c) {
		short := slices.ContainsFunc(g.Rules, func(r rulefmt.Rule) bool { return r.Record == rules.NetworkShortParticipation(c) })
		want := model.Duration(c.Recording.Interval)
		if short {
			want = 0
		}
		if strings.HasSuffix(g.Name, "-long") {
			want *= 5
		}
		if g.Interval != want {
			t.Errorf("%s: interval %s, want %s", g.Name, g.Interval, want)
		}
	}
}

// TestTenThousandGroupsAreEvaluatedInTime computes what doc.go says. Prometheus leaves
// out the evaluation of rules that have not come to their end, and with it increments
// that longer ranges are made of. How many samples it reads in a second was measured.
func TestTenThousandGroupsAreEvaluatedInTime(t *testing.T) {
	const (
		watched   = 10_000
		replicas  = 2
		perSecond = 1_200_000
		spare     = 2 // a machine has other things to do
	)
	for _, c := range mixin.Presets() {
		for _, g := range groupsOf(t, c) {
			samples := 0
			for _, r := range g.Rules {
				if strings.HasPrefix(r.Record, "group:") {
					samples += watched * samplesRead(t, r.Expr, c, replicas)
				}
			}
			interval := time.Duration(g.Interval)
			t.Logf("%s: %s: %d samples each %s", c.Preset, g.Name, samples, interval)
			if took := time.Duration(samples) * time.Second / perSecond; interval > 0 && took*spare > interval {
				t.Errorf("%s: %s: %d groups take %s each %s", c.Preset, g.Name, watched, took, interval)
			}
		}
	}
}

// samplesRead is how many samples an expression reads for one group.
func samplesRead(t *testing.T, query string, c mixin.Config, replicas int) int {
	t.Helper()
	e, err := expr.Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	parser.Inspect(e, func(node parser.Node, path []parser.Node) error {
		s, ok := node.(*parser.VectorSelector)
		if !ok {
			return nil
		}
		read := 1
		if strings.Contains(s.Name, "votes_lost") && !strings.Contains(s.String(), "cause=") {
			read = 10 // of each vote and cause
		}
		for _, p := range path {
			switch p := p.(type) {
			case *parser.MatrixSelector:
				every := c.Chain.ScrapeInterval
				if strings.Contains(s.Name, ":long_ratio") {
					every = 5 * c.Recording.Interval
				}
				read *= int(p.Range / every)
			case *parser.SubqueryExpr:
				read *= int(p.Range / p.Step)
			}
		}
		if !strings.Contains(s.Name, ":") {
			read *= replicas
		}
		n += read
		return nil
	})
	return n
}

func TestCountersAreReadPerReplicaAndFromTheSelectedExporters(t *testing.T) {
	c := turned()
	for _, g := range groupsOf(t, c) {
		for _, r := range g.Rules {
			e, err := expr.Parse(r.Expr)
			if err != nil {
				t.Fatal(err)
			}
			parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
				s, ok := n.(*parser.VectorSelector)
				if !ok || strings.Contains(s.Name, ":") {
					return nil
				}
				// sum or max, of increase, of a range: the replicas' own increases first.
				var above []string
				for _, p := range path {
					switch p := p.(type) {
					case *parser.AggregateExpr:
						above = append(above, p.Op.String()+" without "+strings.Join(p.Grouping, " "))
					case *parser.Call:
						above = append(above, p.Func.Name)
					}
				}
				if !strings.HasSuffix(strings.Join(above, ", "), "max without replica, increase") {
					t.Errorf("%s: %s is below %q", r.Record, s.Name, above)
				}
				if !strings.Contains(s.String(), `env=~"blue|green"`) || !strings.Contains(s.String(), `job="gnosis/watcher"`) {
					t.Errorf("%s: %s is of any exporter", r.Record, s)
				}
				return nil
			})
		}
	}
}

// TestNoDefaultIsLeftWhenEveryKnobIsTurned looks for the presets' values in what is
// rendered with others. The ranges of Windows are not knobs.
func TestNoDefaultIsLeftWhenEveryKnobIsTurned(t *testing.T) {
	defaults := regexp.MustCompile(`validator-exporter|instance|\bpod\b|cluster|0\.98|0\.99|\b3m\b|20m|30m|\b2h\b|\b6h\b|\b3d\b|rate1h\b|rate1d\b|remaining30d`)
	c := turned()
	content := text(t, groupsOf(t, c))
	if found := defaults.FindAllString(content, -1); len(found) > 0 {
		t.Errorf("rules hold defaults: %q", found)
	}
	tests, err := rules.Tests(c, []string{"rules.yaml"})
	if err != nil {
		t.Fatal(err)
	}
	for name, file := range tests {
		if found := regexp.MustCompile(`validator-exporter|instance|\bpod\b|cluster|burnrate(20m|30m|2h|6h|3d)`).FindAllString(string(file), -1); len(found) > 0 {
			t.Errorf("%s holds defaults: %q", name, found)
		}
	}
	for _, solo := range mixin.Presets() {
		if !defaults.MatchString(text(t, groupsOf(t, solo))) {
			t.Error("the pattern does not find a preset's own values")
		}
	}
}

func TestRangesThatMeetAreRecordedOnce(t *testing.T) {
	c := turned()
	c.Recording.Short = rules.Hour
	c.Objective.Fast = []mixin.Burn{{Long: 6 * time.Hour, Short: 2 * time.Hour, Factor: 6}, {Long: 6 * time.Hour, Short: time.Hour, Factor: 3}}
	c.Objective.Slow = []mixin.Burn{{Long: 24 * time.Hour, Short: 6 * time.Hour, Factor: 2}}
	seen := map[string]int{}
	for _, g := range groupsOf(t, c) {
		for _, r := range g.Rules {
			seen[r.Record]++
		}
	}
	for _, name := range []string{
		rules.NetworkShortParticipation(c), rules.BurnRate(time.Hour), rules.BurnRate(2 * time.Hour),
		rules.BurnRate(6 * time.Hour), rules.BurnRate(24 * time.Hour),
	} {
		if seen[name] != 1 {
			t.Errorf("%s is recorded %d times", name, seen[name])
		}
	}
}

func TestLongRangesAreNamedInDays(t *testing.T) {
	for got, want := range map[string]string{
		rules.Ratio(mixin.Group, rules.Effectiveness, rules.Week):         "group:attestation_effectiveness:ratio7d",
		rules.Ratio(mixin.Network, rules.Proposals, rules.Month):          "network:block_proposals:ratio30d",
		rules.Difference(mixin.Validator, rules.Effectiveness, rules.Day): "validator:attestation_effectiveness:difference1d",
		rules.Increase(mixin.Group, "blocks_expected"):                    "group:blocks_expected:increase1h",
		rules.BurnRate(90 * time.Minute):                                  "group:attestation_own_effectiveness:burnrate1h30m",
		rules.BudgetRemaining(28 * rules.Day):                             "group:attestation_own_effectiveness:budget_remaining28d",
	} {
		if got != want {
			t.Errorf("got %s, want %s", got, want)
		}
	}
}

func TestABadConfigIsRefused(t *testing.T) {
	c := turned()
	c.Recording.Interval = 7 * time.Minute
	if _, err := rules.Groups(c); err == nil || !strings.Contains(err.Error(), "recording.interval") {
		t.Errorf("Groups: %v", err)
	}
	if _, err := rules.Recorded(c); err == nil {
		t.Error("Recorded took it")
	}
	c = turned()
	c.Select.Exporter = `job=~".+"`
	if _, err := rules.Tests(c, nil); err == nil || !strings.Contains(err.Error(), "job") {
		t.Errorf("Tests of a selector that names no series: %v", err)
	}
}

func TestCasesProveEveryKindOfRule(t *testing.T) {
	for _, c := range mixin.Presets() {
		tests, err := rules.Tests(c, []string{"rules.yaml"})
		if err != nil {
			t.Fatal(err)
		}
		all := string(bytes.Join(slices.Collect(maps.Values(tests)), nil))
		for _, name := range []string{
			rules.Ratio(mixin.Network, rules.Effectiveness, rules.Hour), rules.Ratio(mixin.Network, rules.OwnEffectiveness, rules.Day),
			rules.Ratio(mixin.Group, rules.OwnParticipation, rules.Hour), rules.Ratio(mixin.Validator, rules.OwnParticipation, rules.Hour),
			rules.Ratio(mixin.Group, rules.Participation, rules.Week), rules.Ratio(mixin.Group, rules.Participation, rules.Month),
			rules.Difference(mixin.Group, rules.Effectiveness, rules.Hour), rules.Difference(mixin.Validator, rules.Effectiveness, rules.Hour),
			rules.NetworkShortParticipation(c), rules.BudgetRemaining(c.Objective.Period),
		} {
			if !strings.Contains(all, name) {
				t.Errorf("%s: no case looks at %s", c.Preset, name)
			}
		}
		for _, b := range slices.Concat(c.Objective.Fast, c.Objective.Slow) {
			for _, over := range []time.Duration{b.Short, b.Long} {
				if !strings.Contains(all, rules.BurnRate(over)) {
					t.Errorf("%s: no case looks at %s", c.Preset, rules.BurnRate(over))
				}
			}
		}
	}
}
