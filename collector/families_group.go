package collector

import (
	"maps"
	"slices"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
)

// perGroup adds up value over each group's members.
func (s *snapshot) perGroup(value func(m *member, v *validatorState) float64) []float64 {
	sums := make([]float64, len(s.roster.groups))
	for i := range s.validators {
		m := &s.roster.members[i]
		x := value(m, &s.validators[i])
		for _, g := range m.groups {
			sums[g] += x
		}
	}
	return sums
}

func (s *snapshot) groupSeries(values []float64) []exposition.Series {
	series := make([]exposition.Series, len(values))
	for g, x := range values {
		series[g] = exposition.Series{Labels: s.roster.groups[g].series, Value: x}
	}
	return series
}

// groupCounters: each group's anchored counters and its longest streak.
func (s *snapshot) groupCounters(b *builder) {
	longest := make([]int8, len(s.roster.groups))
	known := make([]bool, len(s.roster.groups))
	for i := range s.validators {
		for _, g := range s.roster.members[i].groups {
			if streak := s.settledBy[i].streak; streak >= 0 {
				longest[g], known[g] = max(longest[g], streak), true
			}
		}
	}
	var streaks []exposition.Series
	for g := range longest {
		if known[g] {
			streaks = append(streaks, exposition.Series{Labels: s.roster.groups[g].series, Value: float64(longest[g])})
		}
	}
	b.add("ethereum_group_missed_attestation_streak", streaks)
	if !s.counters {
		return
	}
	rows := make([]row, 0, len(s.roster.groups))
	for i := range s.roster.groups {
		// A group that the list has only just named has counted nothing yet.
		t := s.groups[s.roster.groups[i].key]
		rows = append(rows, row{labels: s.roster.groups[i].series, totals: &t, stake: true})
	}
	b.totals(s.spec, rows, total("ethereum_group"))
}

// groupRecords: what the registry says of each group's members.
func (s *snapshot) groupRecords(b *builder) {
	b.add("ethereum_group_validators", s.groupStatuses())
	b.add("ethereum_group_balance_gwei", s.groupSeries(s.perGroup(func(m *member, _ *validatorState) float64 { return float64(m.record.Balance) })))
	b.add("ethereum_group_effective_balance_gwei", s.groupSeries(s.perGroup(func(m *member, _ *validatorState) float64 { return float64(m.record.EffectiveBalance) })))
	b.add("ethereum_group_slashed", s.groupSeries(s.perGroup(func(m *member, _ *validatorState) float64 { return boolValue(m.record.Slashed) })))
	s.groupRewards(b)
}

func (s *snapshot) groupStatuses() []exposition.Series {
	counts := make([]map[string]int, len(s.roster.groups))
	for g := range counts {
		counts[g] = map[string]int{}
		if n := s.roster.groups[g].unknown; n > 0 {
			counts[g]["unknown"] = n
		}
	}
	for i := range s.roster.members {
		for _, g := range s.roster.members[i].groups {
			counts[g][s.roster.members[i].record.Status]++
		}
	}
	var series []exposition.Series
	for g := range counts {
		for _, status := range slices.Sorted(maps.Keys(counts[g])) {
			series = append(series, exposition.Series{
				Labels: s.roster.groups[g].series + "," + exposition.Labels("status", status),
				Value:  float64(counts[g][status]),
			})
		}
	}
	return series
}

func (s *snapshot) groupRewards(b *builder) {
	if s.rewards.byIndex == nil {
		return
	}
	sums := make([][]float64, len(rewardComponents))
	for i, c := range rewardComponents {
		sums[i] = s.perGroup(func(m *member, _ *validatorState) float64 {
			return float64(c.value(s.rewards.byIndex[m.record.Index]))
		})
	}
	var series []exposition.Series
	for g := range s.roster.groups {
		for i, c := range rewardComponents {
			series = append(series, exposition.Series{Labels: s.roster.groups[g].series + `,component="` + c.label + `"`, Value: sums[i][g]})
		}
	}
	b.add("ethereum_group_attestation_reward_gwei", series)
}

// groupLive: what changes with every block.
func (s *snapshot) groupLive(b *builder, st *state, changed changes) {
	gauge := func(name string, changed bool, value func(m *member, v *validatorState) float64) {
		if !b.keep(name, !changed) {
			b.add(name, s.groupSeries(s.perGroup(value)))
		}
	}
	gauge("ethereum_group_blocks_orphaned_observed_total", changed.reorgs, func(m *member, _ *validatorState) float64 {
		return float64(st.observed.orphaned[m.record.Index])
	})
	if !s.live {
		return
	}
	// Slashed validators are to be stopped: what they do not attest says nothing of the others.
	gauge("ethereum_group_attestations_overdue", changed.overdue || changed.records, func(m *member, v *validatorState) float64 {
		return float64(v.overdue) * boolValue(!m.record.Slashed)
	})
	gauge("ethereum_group_blocks_missed_unsettled", changed.blocksMissed, func(_ *member, v *validatorState) float64 { return float64(v.blocksMissed) })
	gauge("ethereum_group_sync_missed_unsettled", changed.syncMissed, func(_ *member, v *validatorState) float64 { return float64(v.syncMissed) })
	if !b.keep("ethereum_group_next_proposal_timestamp_seconds", !changed.nextProposal) {
		s.groupProposals(b)
	}
	if !b.keep("ethereum_group_sync_committee_members", !changed.sync) {
		s.groupSeats(b)
	}
}

func (s *snapshot) groupSeats(b *builder) {
	current := s.perGroup(func(_ *member, v *validatorState) float64 { return boolValue(v.syncCurrent) })
	next := s.perGroup(func(_ *member, v *validatorState) float64 { return boolValue(v.syncNext) })
	var members []exposition.Series
	for g := range s.roster.groups {
		labels := s.roster.groups[g].series
		members = append(members, exposition.Series{Labels: labels + `,period="current"`, Value: current[g]})
		if s.nextSeats {
			members = append(members, exposition.Series{Labels: labels + `,period="next"`, Value: next[g]})
		}
	}
	b.add("ethereum_group_sync_committee_members", members)
}

func (s *snapshot) groupProposals(b *builder) {
	next := make([]duty.Slot, len(s.roster.groups))
	for i := range s.validators {
		slot := s.validators[i].nextProposal
		for _, g := range s.roster.members[i].groups {
			if slot > 0 && (next[g] == 0 || slot < next[g]) {
				next[g] = slot
			}
		}
	}
	var series []exposition.Series
	for g, slot := range next {
		if slot > 0 {
			series = append(series, exposition.Series{Labels: s.roster.groups[g].series, Value: start(s.spec, slot)})
		}
	}
	b.add("ethereum_group_next_proposal_timestamp_seconds", series)
}
