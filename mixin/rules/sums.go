package rules

import (
	"fmt"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// The exporter's anchored counters, by the part of their name that every level shares.
const (
	expected       = "attestations_expected"
	included       = "attestations_included"
	sourceVotes    = "attestation_source_votes"
	targetVotes    = "attestation_target_votes"
	headVotes      = "attestation_head_votes"
	delay          = "attestation_inclusion_delay_slots"
	lost           = "attestation_votes_lost"
	possible       = "attestation_stake_possible_gwei"
	achievable     = "attestation_stake_achievable_gwei"
	earned         = "attestation_stake_earned_gwei"
	blocksExpected = "blocks_expected"
	blocksProposed = "blocks_proposed"
	syncExpected   = "sync_committee_expected"
	syncIncluded   = "sync_committee_included"
	slashings      = "slashings"
)

// missed are the matchers of attestations that were missing by the validator's own
// fault. An attestation that is not included loses all three votes, its target vote
// among them; a target vote is never lost for being late.
const missed = `vote="target",cause="missing"`

// increases records what each counter rose by in the last hour. Of a validator's lost
// votes only the one that ratios need is recorded, since there are up to ten series of
// them for each validator.
func increases(c mixin.Config, l mixin.Level) []recording {
	rec := func(counter, matchers string, more ...string) recording {
		return recording{
			name: Increase(l, counter), query: risen(c, l, counter, matchers, Hour),
			labels: append(subject(l), more...),
		}
	}
	var out []recording
	for _, counter := range []string{
		expected, included, sourceVotes, targetVotes, headVotes, delay, possible, achievable, earned,
		blocksExpected, blocksProposed, syncExpected, syncIncluded,
	} {
		out = append(out, rec(counter, ""))
	}
	if l == mixin.Validator {
		return append(out, rec(lost, missed, "vote", "cause"))
	}
	out = append(out, rec(lost, "", "vote", "cause"))
	if l == mixin.Network {
		out = append(out, rec(slashings, "", "kind"))
	}
	return out
}

// risen is what one of the exporter's counters rose by. Each replica is looked at by
// itself, then the one that saw most is taken: one that has just started saw less.
func risen(c mixin.Config, l mixin.Level, counter, matchers string, over time.Duration) string {
	return fmt.Sprintf("max without (%s) (increase(ethereum_%s_%s_total{%s}[%s]))",
		strings.Join(c.Select.ReplicaLabels, ", "), l, counter, join(c.Select.Exporter, matchers), windowName(over))
}

func join(matchers ...string) string {
	var out []string
	for _, m := range matchers {
		if m != "" {
			out = append(out, m)
		}
	}
	return strings.Join(out, ",")
}

// sum writes what a counter of some level rose by over some range.
type sum func(counter, matchers string) string

// fromRaw reads the exporter's counters. Its cost grows with the range.
func fromRaw(c mixin.Config, l mixin.Level, over time.Duration) sum {
	return func(counter, matchers string) string { return risen(c, l, counter, matchers, over) }
}

// fromHours reads the recorded increments: the newest one for an hour, else one for
// each whole hour. The steps of a subquery are at multiples of it, not counted back
// from now, and the rules are evaluated at the same minutes of each hour. So the hours
// lie end to end: nothing is counted twice, nothing is left out.
func fromHours(l mixin.Level, over time.Duration) sum {
	return func(counter, matchers string) string {
		series := Increase(l, counter)
		if matchers != "" {
			series += "{" + matchers + "}"
		}
		if over == Hour {
			return series
		}
		return fmt.Sprintf("sum_over_time(%s[%s:%s])", series, windowName(over), windowName(Hour))
	}
}
