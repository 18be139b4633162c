package rules

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// What a vote weighs in the protocol's rewards, of weightAll for all three.
const (
	weightSource = 14
	weightTarget = 26
	weightHead   = 14
	weightAll    = weightSource + weightTarget + weightHead
)

// ratios records every metric of a level over the windows given, by metric.
func ratios(c mixin.Config, l mixin.Level, windows []time.Duration) []recording {
	var out []recording
	for _, m := range Ratios() {
		for _, w := range windows {
			q := quotient(l, m, fromHours(l, w))
			// As long as no whole hour brought anything, the last hour is all there is.
			instead := Hour
			if w > Day {
				q = newestLong(c, l, m, w)
				// Where that is missing, after the first start or a long outage of Prometheus, it
				// comes within longEvery; until then a day says more of weeks than an hour.
				instead = Day
			}
			if w != Hour {
				// A validator or group that is no longer watched has no last hour: it shall not
				// stay for another month.
				q = fmt.Sprintf("(%s) and %s or %s", q, Increase(l, expected), Ratio(l, m, instead))
			}
			out = append(out, recording{name: Ratio(l, m, w), query: q, labels: subject(l)})
		}
	}
	return out
}

// longRatios records, seldom, what ratios of more than a day are made of. They change once
// an hour, and adding up 720 hours of each group at every evaluation would take longer
// than there is time between two.
func longRatios(c mixin.Config, l mixin.Level) []recording {
	var out []recording
	record := func(m Metric, w time.Duration) {
		out = append(out, recording{name: LongRatio(l, m, w), query: quotient(l, m, fromHours(l, w)), labels: subject(l)})
	}
	for _, m := range Ratios() {
		for _, w := range longWindows() {
			record(m, w)
		}
	}
	if period := c.Objective.Period; l == mixin.Group && period > Day && !slices.Contains(Windows(), period) {
		record(OwnEffectiveness, period)
	}
	return out
}

// newestLong is what was recorded last by longRatios. Prometheus forgets a sample after 5
// minutes unless it is asked for a range; this one outlasts a Prometheus that was down.
func newestLong(c mixin.Config, l mixin.Level, m Metric, w time.Duration) string {
	return fmt.Sprintf("last_over_time(%s[%s])", LongRatio(l, m, w), mixin.Duration(24*longEvery(c)))
}

// longEvery is the interval of longRatios.
func longEvery(c mixin.Config) time.Duration { return 5 * c.Recording.Interval }

// shortWindows are evaluated whole at each interval, longWindows are not.
func shortWindows() []time.Duration { return Windows()[:2] }
func longWindows() []time.Duration  { return Windows()[2:] }

// differences records by how much validators or groups do better than the network.
func differences(l mixin.Level, windows []time.Duration) []recording {
	if l == mixin.Network {
		return nil
	}
	own := subject(l)[len(subject(mixin.Network)):]
	var out []recording
	for _, m := range []Metric{Effectiveness, OwnEffectiveness} {
		for _, w := range windows {
			out = append(out, recording{
				name: Difference(l, m, w),
				query: fmt.Sprintf("%s - ignoring (%s) group_left () %s",
					Ratio(l, m, w), strings.Join(own, ", "), Ratio(mixin.Network, m, w)),
				labels: subject(l),
			})
		}
	}
	return out
}

// quotient divides what was done by what there was to do, as s sums it up; it has no
// series where there was nothing to do. Both are extrapolated by increase(), each by
// its own hair, hence the clamp.
func quotient(l mixin.Level, m Metric, s sum) string {
	var parts []string
	for _, f := range fractions(l, m, s) {
		parts = append(parts, fmt.Sprintf("clamp(%s / (%s > 0), 0, 1)", f.done, f.due))
	}
	return strings.Join(parts, " or ")
}

type fraction struct{ done, due string }

// fractions returns the ways to make a ratio, best first.
func fractions(l mixin.Level, m Metric, s sum) []fraction {
	of := func(done, due string) fraction { return fraction{s(done, ""), s(due, "")} }
	switch m {
	case Effectiveness:
		return slices.Concat([]fraction{of(earned, possible)}, byVotes(l, s, possibleVotes(s)))
	case OwnEffectiveness:
		return slices.Concat([]fraction{of(earned, achievable)}, byVotes(l, s, achievableVotes(s)))
	case SourceVotes:
		return []fraction{of(sourceVotes, expected)}
	case TargetVotes:
		return []fraction{of(targetVotes, expected)}
	case HeadVotes:
		return []fraction{of(headVotes, expected)}
	case Participation:
		return []fraction{of(included, expected)}
	case OwnParticipation:
		done := fmt.Sprintf("(%s - ignoring (vote, cause) %s)", s(expected, ""), s(lost, missed))
		return []fraction{{done, s(expected, "")}}
	case Proposals:
		return []fraction{of(blocksProposed, blocksExpected)}
	case SyncCommittee:
		return []fraction{of(syncIncluded, syncExpected)}
	}
	panic(fmt.Sprintf("rules: no fraction for %s", m))
}

// byVotes stands in for the network's stake where its counters are absent, as they are
// on big networks: every vote counts as if all balances were the same.
func byVotes(l mixin.Level, s sum, due string) []fraction {
	if l != mixin.Network {
		return nil
	}
	done := fmt.Sprintf("(%d * %s + %d * %s + %d * %s)",
		weightSource, s(sourceVotes, ""), weightTarget, s(targetVotes, ""), weightHead, s(headVotes, ""))
	return []fraction{{done, due}}
}

func possibleVotes(s sum) string { return fmt.Sprintf("(%d * %s)", weightAll, s(expected, "")) }

// achievableVotes are the possible ones less those that nobody could have earned.
func achievableVotes(s sum) string {
	toNetwork := func(vote string) string { return s(lost, fmt.Sprintf("vote=%q,cause=%q", vote, "network")) }
	return fmt.Sprintf("(%s - ignoring (cause) (%d * %s + ignoring (vote) %d * %s + ignoring (vote) %d * %s))",
		possibleVotes(s), weightSource, toNetwork("source"), weightTarget, toNetwork("target"), weightHead, toNetwork("head"))
}

// shortParticipation is read from the exporter's counters, to tell within a few epochs
// whether the network itself is well.
func shortParticipation(c mixin.Config) []recording {
	if slices.Contains(Windows(), c.Recording.Short) {
		return nil // recorded already, under the same name
	}
	return []recording{{
		name:   NetworkShortParticipation(c),
		query:  quotient(mixin.Network, Participation, fromRaw(c, mixin.Network, c.Recording.Short)),
		labels: subject(mixin.Network),
	}}
}
