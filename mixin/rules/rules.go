package rules

import (
	"errors"
	"fmt"
	"maps"
	"slices"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
)

// Groups returns the recording rules. Those of one group are evaluated in order, so
// that increments come before the ratios that are made of them; the network's come
// first, since the others are compared with it.
func Groups(c mixin.Config) ([]rulefmt.RuleGroup, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("recording rules: %w", err)
	}
	var (
		out      []rulefmt.RuleGroup
		problems []error
	)
	for _, g := range groups(c) {
		rendered := rulefmt.RuleGroup{Name: g.name, Interval: g.interval}
		for _, r := range g.rules {
			q, err := expr.Pretty(r.query)
			if err != nil {
				problems = append(problems, fmt.Errorf("recording rule %s: %w", r.name, err))
			}
			rendered.Rules = append(rendered.Rules, rulefmt.Rule{Record: r.name, Expr: q})
		}
		out = append(out, rendered)
	}
	if err := errors.Join(problems...); err != nil {
		return nil, err
	}
	return out, nil
}

// Recorded returns the name of each recorded series, and the labels that it has beside
// those of the scrape. Replica labels are on none of them.
func Recorded(c mixin.Config) (map[string][]string, error) {
	if err := c.Validate(); err != nil {
		return nil, fmt.Errorf("recording rules: %w", err)
	}
	out := map[string][]string{}
	for _, g := range groups(c) {
		for _, r := range g.rules {
			out[r.name] = slices.Clone(r.labels)
		}
	}
	return out, nil
}

// group is a rule group before it is rendered. An interval of 0 is Prometheus' own.
type group struct {
	name     string
	interval model.Duration
	rules    []recording
}

type recording struct {
	name, query string
	labels      []string
}

func groups(c mixin.Config) []group {
	hourly := model.Duration(c.Recording.Interval)
	levels := []mixin.Level{mixin.Network, mixin.Group, mixin.Validator}
	var out []group
	for _, l := range levels {
		out = append(out, group{
			name: "validator-monitor-" + string(l), interval: hourly,
			rules: slices.Concat(increases(c, l), ratios(c, l, shortWindows()), differences(l, shortWindows())),
		})
	}
	// Groups of their own: they take long, and Prometheus evaluates different groups at the
	// same time, but leaves one out that has not come to its end.
	for _, l := range levels {
		out = append(out, group{
			name: "validator-monitor-" + string(l) + "-long", interval: model.Duration(longEvery(c)), rules: longRatios(c, l),
		})
	}
	for _, l := range levels {
		out = append(out, group{
			name: "validator-monitor-" + string(l) + "-weeks", interval: hourly,
			rules: slices.Concat(ratios(c, l, longWindows()), differences(l, longWindows())),
		})
	}
	out = append(out, group{name: "validator-monitor-error-budget", interval: hourly, rules: errorBudget(c)})
	if short := shortParticipation(c); len(short) > 0 {
		out = append(out, group{name: "validator-monitor-short", rules: short})
	}
	return out
}

// subject returns the labels that name what a level is about.
func subject(l mixin.Level) []string {
	return map[mixin.Level][]string{
		mixin.Validator: {"network", "validator_index"},
		mixin.Group:     {"network", "group_by", "group"},
		mixin.Network:   {"network"},
	}[l]
}

// unique returns the distinct values, sorted.
func unique[T ~int64](values []T) []T {
	set := map[T]bool{}
	for _, v := range values {
		set[v] = true
	}
	return slices.Sorted(maps.Keys(set))
}
