package rules

import (
	"fmt"
	"slices"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// errorBudget records how fast each group uses up its error budget, over each range
// that alerts look at, and what is left of it.
func errorBudget(c mixin.Config) []recording {
	allowed := fmt.Sprintf("(1 - %v)", c.Objective.Effectiveness)
	var out []recording
	for _, over := range burnRanges(c) {
		out = append(out, recording{
			name:   BurnRate(over),
			query:  fmt.Sprintf("(1 - %s) / %s", groupEffectiveness(c, over), allowed),
			labels: subject(mixin.Group),
		})
	}
	period := c.Objective.Period
	left := groupEffectiveness(c, period)
	switch {
	case slices.Contains(Windows(), period):
		left = Ratio(mixin.Group, OwnEffectiveness, period)
	case period > Day:
		left = fmt.Sprintf("(%s and %s)", newestLong(c, mixin.Group, OwnEffectiveness, period), Increase(mixin.Group, expected))
	}
	return append(out, recording{
		name:   BudgetRemaining(period),
		query:  fmt.Sprintf("1 - (1 - %s) / %s", left, allowed),
		labels: subject(mixin.Group),
	})
}

// burnRanges are the distinct ranges of the alerts on the budget, shortest first.
func burnRanges(c mixin.Config) []time.Duration {
	var out []time.Duration
	for _, b := range slices.Concat(c.Objective.Fast, c.Objective.Slow) {
		out = append(out, b.Short, b.Long)
	}
	return unique(out)
}

// groupEffectiveness is own-fault effectiveness over any range: below a day from the
// exporter's counters, so that it is not an hour old, from a day on from whole hours.
// It has nothing to stand in for hours that were not recorded: an alert must not take
// the last hour for three days.
func groupEffectiveness(c mixin.Config, over time.Duration) string {
	if over < Day {
		return quotient(mixin.Group, OwnEffectiveness, fromRaw(c, mixin.Group, over))
	}
	q := quotient(mixin.Group, OwnEffectiveness, fromHours(mixin.Group, over))
	return fmt.Sprintf("(%s and %s)", q, Increase(mixin.Group, expected))
}
