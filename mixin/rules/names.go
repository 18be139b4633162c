package rules

import (
	"strconv"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// Metric is the middle part of a recording rule's name: what is recorded.
type Metric string

// The metrics that ratios are recorded of, for every level and each of Windows.
const (
	// Effectiveness is the stake-weighted share of what attestations could have earned
	// that they did earn: earned/possible.
	Effectiveness Metric = "attestation_effectiveness"
	// OwnEffectiveness leaves out what the network made impossible: earned/achievable.
	// Alerts that blame a validator use it.
	OwnEffectiveness Metric = "attestation_own_effectiveness"
	// SourceVotes, TargetVotes and HeadVotes are the shares of expected votes that were
	// timely and correct.
	SourceVotes Metric = "attestation_source_votes"
	TargetVotes Metric = "attestation_target_votes"
	HeadVotes   Metric = "attestation_head_votes"
	// Participation is the share of expected attestations that were included.
	Participation Metric = "attestation_participation"
	// OwnParticipation counts as missing only what was missing by own fault.
	OwnParticipation Metric = "attestation_own_participation"
	// Proposals is the share of expected blocks that are on the canonical chain; absent
	// when none was expected.
	Proposals Metric = "block_proposals"
	// SyncCommittee is the share of expected sync committee votes that were included;
	// absent when none was expected.
	SyncCommittee Metric = "sync_committee_participation"
)

// Ratios lists the metrics that Ratio has a name for.
func Ratios() []Metric {
	return []Metric{
		Effectiveness, OwnEffectiveness, SourceVotes, TargetVotes, HeadVotes, Participation, OwnParticipation, Proposals, SyncCommittee,
	}
}

// The ranges of recorded ratios. Longer ones than Hour are made of whole hours and are
// at most an hour old, those longer than Day five intervals of evaluation more.
const (
	Hour  = time.Hour
	Day   = 24 * time.Hour
	Week  = 7 * Day
	Month = 30 * Day
)

// Windows lists the ranges of recorded ratios.
func Windows() []time.Duration { return []time.Duration{Hour, Day, Week, Month} }

// Ratio names a ratio from 0 to 1, such as group:attestation_effectiveness:ratio1d.
func Ratio(level mixin.Level, metric Metric, window time.Duration) string {
	return name(level, metric, "ratio", window)
}

// LongRatio names what Ratio shows of a window of more than a day, where it is made of
// whole hours: it is evaluated more seldom than Prometheus keeps a sample for, so ask for
// Ratio.
func LongRatio(level mixin.Level, metric Metric, window time.Duration) string {
	return name(level, metric, "long_ratio", window)
}

// Difference names a ratio less the network's, from -1 to 1. It is recorded of
// Effectiveness and OwnEffectiveness, for validators and groups, for each of Windows.
func Difference(level mixin.Level, metric Metric, window time.Duration) string {
	return name(level, metric, "difference", window)
}

// BurnRate names how many times faster than planned a group uses up its error budget.
// It is recorded for groups only, for each range of Config.Objective.
func BurnRate(window time.Duration) string {
	return name(mixin.Group, OwnEffectiveness, "burnrate", window)
}

// BudgetRemaining names the share of a group's error budget that is left over
// Config.Objective.Period; negative when it is overdrawn.
func BudgetRemaining(period time.Duration) string {
	return name(mixin.Group, OwnEffectiveness, "budget_remaining", period)
}

// Increase names what a counter rose by in the last hour. counter is the exporter's
// name without its ethereum_validator_, ethereum_group_ or ethereum_network_ and
// without _total. Longer sums are made of it:
//
//	sum_over_time(group:blocks_expected:increase1h[7d:1h])
func Increase(level mixin.Level, counter string) string {
	return name(level, Metric(counter), "increase", Hour)
}

// NetworkShortParticipation names the network's share of included attestations over
// Config.Recording.Short: whether the network itself is well.
func NetworkShortParticipation(c mixin.Config) string {
	return name(mixin.Network, Participation, "ratio", c.Recording.Short)
}

func name(level mixin.Level, metric Metric, operation string, window time.Duration) string {
	return string(level) + ":" + string(metric) + ":" + operation + windowName(window)
}

// windowName is whole days where it can be: 7d and 30d, where Prometheus would write 1w.
func windowName(d time.Duration) string {
	if d%Day == 0 {
		return strconv.Itoa(int(d/Day)) + "d"
	}
	return mixin.Duration(d)
}
