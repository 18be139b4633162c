package alerts

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// burnCases burn the budget at one rate, just above and just below what the slowest pair
// of ranges allows.
func burnCases(c mixin.Config, a Alert, pairs []mixin.Burn) []Case {
	slowest, longest := pairs[0], pairs[0].Short
	for _, p := range pairs {
		if p.Factor < slowest.Factor {
			slowest = p
		}
		longest = max(longest, p.Short)
	}
	s := scenarioOf(c, c.Recording.Interval, 2*time.Hour+a.For)
	burning := func(rate float64) []Series {
		return s.stake(mixin.Group, 1-rate*(1-c.Objective.Effectiveness), 1)
	}
	// Ranges of a day and more are made of whole hours, and begin with the first.
	from := 1
	if slowest.Long >= rules.Day {
		from = s.after(time.Hour)
	}
	const more = 1.02
	description := fmt.Sprintf("%s burns its error budget %.1f times as fast as the objective of %s over %s allows (threshold ",
		s.subject(mixin.Group), more*slowest.Factor, percent(c.Objective.Effectiveness), mixin.Duration(c.Objective.Period))
	for i, p := range pairs {
		if i > 0 {
			description += ", or "
		}
		description += burnThreshold(p)
	}

	// All is lost for an hour, and nothing after that: the long ranges remember it.
	over := scenarioOf(c, c.Recording.Interval, 2*time.Hour+longest)
	hour := over.after(time.Hour)
	past := []Series{
		over.of(mixin.Group, "attestation_stake_achievable_gwei_total", over.rising(0, due)),
		over.of(mixin.Group, "attestations_expected_total", over.rising(0, due)),
		over.of(mixin.Group, "attestation_stake_earned_gwei_total", over.values(func(step int) (float64, bool) {
			return float64(max(0, step-hour)) * due, true
		})),
	}
	return []Case{
		s.fires("fires when the budget burns just faster than the threshold", a, from, burning(more*slowest.Factor),
			s.labelled(description+").", s.names(mixin.Group)...)),
		s.silent("is silent when it burns just slower", burning(slowest.Factor/more)),
		s.silent("is silent when too few attestations are lost, be it all", s.few(mixin.Group, tooFew(c))),
		{
			Name: "is silent when the loss is over", Step: over.step, Input: past, Silent: []time.Duration{over.at(over.steps)},
		},
		s.silent("is silent when the network loses half of the votes", s.stake(mixin.Group, 1, 0.5)),
	}
}
