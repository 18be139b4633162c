package alerts

import (
	"fmt"
	"maps"
	"regexp/syntax"
	"slices"
	"strconv"
	"strings"
	"time"

	matchers "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// scenario writes the input of cases as replicas of the exporter would show it, and
// what is expected of it. Its values follow from Config alone, so that a case holds
// whatever the knobs are.
type scenario struct {
	c    mixin.Config
	step time.Duration
	// steps that the input lasts.
	steps int
}

// scenarioOf lasts for at least the duration.
func scenarioOf(c mixin.Config, step, lasts time.Duration) scenario {
	s := scenario{c: c, step: step}
	s.steps = s.after(lasts) + 1
	return s
}

// coarse is a step for stories that last for epochs.
func coarse(c mixin.Config) time.Duration {
	return min(4*c.Chain.ScrapeInterval, c.Recording.Interval)
}

// after is the first step at or after a time.
func (s scenario) after(d time.Duration) int { return int((d + s.step - 1) / s.step) }

// at is the time of a step.
func (s scenario) at(step int) time.Duration { return time.Duration(step) * s.step }

// fires returns a case in which the condition holds from a step on: the alert is
// silent until it has waited, and fires then.
func (s scenario) fires(name string, a Alert, from int, input []Series, expected ...Instance) Case {
	at := from + s.after(a.For)
	return Case{
		Name: name, Step: s.step, Input: input,
		Silent: []time.Duration{s.at(max(from-1, 0)), s.at(at - 1)},
		Firing: []Firing{{At: s.at(at), Instances: expected}},
	}
}

// silent returns a case in which the alert does not fire once, as far as the input goes.
func (s scenario) silent(name string, input []Series) Case {
	k := Case{Name: name, Step: s.step, Input: input}
	every := max(1, s.steps/12)
	for n := s.steps; n > 0; n -= every {
		k.Silent = append(k.Silent, s.at(n))
	}
	slices.Reverse(k.Silent)
	return k
}

// first is the name of the one replica of most cases.
const first = "a"

// series writes one series of the first replica.
func (s scenario) series(metric, values string, pairs ...string) Series {
	return s.on(first, metric, values, pairs...)
}

// on writes one series of a replica. pairs are names and values of labels.
func (s scenario) on(replica, metric, values string, pairs ...string) Series {
	set := s.target()
	set["network"] = "mainnet"
	for _, l := range s.c.Select.ReplicaLabels {
		set[l] = l + "-" + replica
	}
	for i := 0; i < len(pairs); i += 2 {
		set[pairs[i]] = pairs[i+1]
	}
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(set)) {
		if set[name] != "" {
			parts = append(parts, name+"="+strconv.Quote(set[name]))
		}
	}
	return Series{Series: metric + "{" + strings.Join(parts, ",") + "}", Values: values}
}

// of writes a series of one validator, group, or of the network; see names.
func (s scenario) of(l mixin.Level, name, values string, pairs ...string) Series {
	return s.series("ethereum_"+string(l)+"_"+name, values, append(s.names(l), pairs...)...)
}

// names are the labels of the one validator or group that a case is about. Index 0 is
// a validator too.
func (s scenario) names(l mixin.Level) []string {
	switch l {
	case mixin.Validator:
		return []string{"validator_index", "0"}
	case mixin.Group:
		by := example(s.c.Select.GroupBy)
		if by == "all" {
			return all()
		}
		return []string{"group_by", by, "group", "acme"}
	}
	return nil
}

// all are the labels of the group of everything.
func all() []string { return []string{"group_by", "all", "group", "all"} }

// subject is what descriptions begin with for what names says.
func (s scenario) subject(l mixin.Level) string {
	n := s.names(l)
	if l == mixin.Group {
		return fmt.Sprintf("Group %s=%s on mainnet", n[1], n[3])
	}
	return fmt.Sprintf("Validator %s on mainnet", n[1])
}

// instance is an alert about what names says.
func (s scenario) instance(l mixin.Level, description string, pairs ...string) Instance {
	return s.labelled(s.subject(l)+description, append(s.names(l), pairs...)...)
}

// labelled is an alert with the labels of the target, of the network, and pairs.
func (s scenario) labelled(description string, pairs ...string) Instance {
	set := s.target()
	set["network"] = "mainnet"
	for i := 0; i < len(pairs); i += 2 {
		set[pairs[i]] = pairs[i+1]
	}
	return Instance{Labels: set, Description: description}
}

// target are the labels that Prometheus gives a scraped exporter, without those of
// replicas.
func (s scenario) target() map[string]string {
	set := exporterLabels(s.c.Select.Exporter)
	if s.c.Select.ClusterLabel != "" {
		set[s.c.Select.ClusterLabel] = "c1"
	}
	return set
}

// constant, rising and missing write values for as long as the scenario lasts.
func (s scenario) constant(x float64) string { return fmt.Sprintf("%sx%d", number(x), s.steps) }

func (s scenario) rising(from, by float64) string {
	return fmt.Sprintf("%s%sx%d", number(from), signed(by), s.steps)
}

// values writes what a function says at each step; it is not there where ok is false.
func (s scenario) values(f func(step int) (x float64, ok bool)) string {
	var out []string
	for n := 0; n <= s.steps; {
		x, ok := f(n)
		run := 1
		for n+run <= s.steps {
			y, more := f(n + run)
			if more != ok || ok && y != x {
				break
			}
			run++
		}
		switch {
		case !ok:
			out = append(out, fmt.Sprintf("_x%d", run))
		case run == 1:
			out = append(out, number(x))
		default:
			out = append(out, fmt.Sprintf("%sx%d", number(x), run-1))
		}
		n += run
	}
	return strings.Join(out, " ")
}

// from is one value before a step and another from it on.
func (s scenario) from(step int, before, then float64) string {
	return s.values(func(n int) (float64, bool) {
		if n < step {
			return before, true
		}
		return then, true
	})
}

// head is the newest head that a replica shows: a slot for each scrape, or more.
func (s scenario) head() Series {
	return s.series("ethereum_chain_head_slot", s.rising(1000, s.slots()))
}

// slots that pass in a step.
func (s scenario) slots() float64 { return float64(max(1, s.step/s.c.Chain.SlotDuration)) }

func number(x float64) string { return strconv.FormatFloat(x, 'f', -1, 64) }

func signed(x float64) string {
	if x < 0 {
		return number(x)
	}
	return "+" + number(x)
}

// exporterLabels are labels that a list of matchers selects.
func exporterLabels(text string) map[string]string {
	set := map[string]string{}
	selector, err := parser.NewParser(parser.Options{}).ParseMetricSelector("{" + text + "}")
	if err != nil {
		return set // Config is valid, so this cannot be
	}
	for _, m := range selector {
		switch m.Type {
		case matchers.MatchEqual:
			set[m.Name] = m.Value
		case matchers.MatchRegexp:
			set[m.Name] = example(m.Value)
		}
	}
	return set
}

// example returns a text that a regular expression matches: a label that people use, or
// else the plainest text there is.
func example(pattern string) string {
	if m, err := matchers.NewMatcher(matchers.MatchRegexp, "x", pattern); err == nil && m.Matches("operator") {
		return "operator"
	}
	re, err := syntax.Parse(pattern, syntax.Perl)
	if err != nil {
		return ""
	}
	return exampleOf(re)
}

func exampleOf(re *syntax.Regexp) string {
	switch re.Op {
	case syntax.OpLiteral:
		return string(re.Rune)
	case syntax.OpCharClass:
		for _, r := range "abc0-" {
			for i := 0; i+1 < len(re.Rune); i += 2 {
				if re.Rune[i] <= r && r <= re.Rune[i+1] {
					return string(r)
				}
			}
		}
		return string(re.Rune[0])
	case syntax.OpAnyChar, syntax.OpAnyCharNotNL:
		return "x"
	case syntax.OpStar, syntax.OpQuest:
		return ""
	case syntax.OpRepeat:
		return strings.Repeat(exampleOf(re.Sub[0]), re.Min)
	case syntax.OpAlternate, syntax.OpPlus, syntax.OpCapture:
		return exampleOf(re.Sub[0])
	case syntax.OpConcat:
		var b strings.Builder
		for _, sub := range re.Sub {
			b.WriteString(exampleOf(sub))
		}
		return b.String()
	}
	return ""
}

// elsewhere is the same series as another replica shows it.
func (s scenario) elsewhere(series Series, replica string) Series {
	for _, l := range s.c.Select.ReplicaLabels {
		was, is := fmt.Sprintf("%s=%q", l, l+"-"+first), fmt.Sprintf("%s=%q", l, l+"-"+replica)
		series.Series = strings.Replace(series.Series, was, is, 1)
	}
	return series
}
