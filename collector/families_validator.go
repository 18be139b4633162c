package collector

import (
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
)

// each adds a family with one series for every validator, by ordinal, that value
// knows.
func (s *snapshot) each(b *builder, name string, value func(i int) (float64, bool)) {
	b.addEach(name, len(s.validators), func(i int) (exposition.Series, bool) {
		x, known := value(i)
		return exposition.Series{Labels: s.roster.members[i].series, Value: x}, known
	})
}

// validatorCounters: each watched validator's anchored counters and streak.
func (s *snapshot) validatorCounters(b *builder) {
	if !b.individual {
		return
	}
	s.each(b, "ethereum_validator_missed_attestation_streak", func(i int) (float64, bool) {
		return float64(s.settledBy[i].streak), s.settledBy[i].streak >= 0
	})
	if !s.counters {
		return
	}
	var rows []row
	for i := range s.settledBy {
		if v := &s.settledBy[i]; v.counted {
			m := &s.roster.members[i]
			rows = append(rows, row{labels: m.series, totals: &v.totals, stake: true, lost: m.lost})
		}
	}
	b.totals(s.spec, rows, total("ethereum_validator"))
}

// validatorRecords: what the registry says of each watched validator.
func (s *snapshot) validatorRecords(b *builder) {
	if !b.individual {
		return
	}
	var info, status []exposition.Series
	for i := range s.roster.members {
		m := &s.roster.members[i]
		info = append(info, exposition.Series{Labels: m.info, Value: 1})
		status = append(status, exposition.Series{Labels: m.series + `,` + exposition.Labels("status", m.record.Status), Value: 1})
	}
	for _, e := range s.roster.unknown {
		if !e.HasIndex {
			// Without an index a key has no series of its own but this one.
			pairs := []string{"validator_index", "", "pubkey", pubkeyString(e.Pubkey), "withdrawal_type", "unknown"}
			for _, l := range e.Labels {
				pairs = append(pairs, l.Name, l.Value)
			}
			info = append(info, exposition.Series{Labels: b.network + "," + exposition.Labels(pairs...), Value: 1})
			continue
		}
		status = append(status, exposition.Series{
			Labels: b.network + "," + exposition.Labels("validator_index", e.Key(), "status", "unknown"), Value: 1,
		})
	}
	b.add("ethereum_validator_info", info)
	b.add("ethereum_validator_status", status)

	record := func(name string, value func(r *wire.Validator) (float64, bool)) {
		s.each(b, "ethereum_validator_"+name, func(i int) (float64, bool) { return value(&s.roster.members[i].record) })
	}
	scheduled := func(e duty.Epoch) (float64, bool) { return float64(e), e != duty.FarFutureEpoch }
	record("balance_gwei", func(r *wire.Validator) (float64, bool) { return float64(r.Balance), true })
	record("effective_balance_gwei", func(r *wire.Validator) (float64, bool) { return float64(r.EffectiveBalance), true })
	record("slashed", func(r *wire.Validator) (float64, bool) { return boolValue(r.Slashed), true })
	record("activation_epoch", func(r *wire.Validator) (float64, bool) { return scheduled(r.ActivationEpoch) })
	record("exit_epoch", func(r *wire.Validator) (float64, bool) { return scheduled(r.ExitEpoch) })
	record("withdrawable_epoch", func(r *wire.Validator) (float64, bool) { return scheduled(r.WithdrawableEpoch) })
	s.validatorRewards(b)
}

// rewardComponents in the order in which they are written.
var rewardComponents = []struct {
	label string
	value func(r reward) int64
}{
	{"source", func(r reward) int64 { return r.source }},
	{"target", func(r reward) int64 { return r.target }},
	{"head", func(r reward) int64 { return r.head }},
	{"inactivity", func(r reward) int64 { return r.inactivity }},
}

func (s *snapshot) validatorRewards(b *builder) {
	if s.rewards.byIndex == nil {
		return
	}
	series := make([]exposition.Series, 0, len(s.roster.members)*len(rewardComponents))
	for i := range s.roster.members {
		m := &s.roster.members[i]
		r, ok := s.rewards.byIndex[m.record.Index]
		if !ok {
			continue
		}
		for n, c := range rewardComponents {
			series = append(series, exposition.Series{Labels: m.paid[n], Value: float64(c.value(r))})
		}
	}
	b.add("ethereum_validator_attestation_reward_gwei", series)
}

// validatorLive: what changes with every block.
func (s *snapshot) validatorLive(b *builder, st *state, changed changes) {
	if !b.individual {
		return
	}
	if !b.keep("ethereum_validator_blocks_orphaned_observed_total", !changed.reorgs) {
		s.each(b, "ethereum_validator_blocks_orphaned_observed_total", func(i int) (float64, bool) {
			return float64(st.observed.orphaned[s.roster.members[i].record.Index]), true
		})
	}
	if !s.live {
		return
	}
	gauge := func(name string, changed bool, value func(v *validatorState) (float64, bool)) {
		if !b.keep(name, !changed) {
			s.each(b, name, func(i int) (float64, bool) { return value(&s.validators[i]) })
		}
	}
	gauge("ethereum_validator_attestations_overdue", changed.overdue, func(v *validatorState) (float64, bool) { return float64(v.overdue), true })
	gauge("ethereum_validator_blocks_missed_unsettled", changed.blocksMissed, func(v *validatorState) (float64, bool) { return float64(v.blocksMissed), true })
	gauge("ethereum_validator_sync_missed_unsettled", changed.syncMissed, func(v *validatorState) (float64, bool) { return float64(v.syncMissed), true })
	gauge("ethereum_validator_next_attestation_timestamp_seconds", changed.nextAttestation, func(v *validatorState) (float64, bool) {
		return start(s.spec, v.nextAttestation), v.nextAttestation > 0
	})
	gauge("ethereum_validator_next_proposal_timestamp_seconds", changed.nextProposal, func(v *validatorState) (float64, bool) {
		return start(s.spec, v.nextProposal), v.nextProposal > 0
	})
	const members = "ethereum_validator_sync_committee_member"
	if b.keep(members, !changed.sync) {
		return
	}
	var series []exposition.Series
	for i := range s.validators {
		for _, p := range []struct {
			label string
			in    bool
		}{{"current", s.validators[i].syncCurrent}, {"next", s.validators[i].syncNext}} {
			if p.in {
				series = append(series, exposition.Series{Labels: s.roster.members[i].series + `,period="` + p.label + `"`, Value: 1})
			}
		}
	}
	b.add(members, series)
}

// changes tells which of the validators' live values differ from another snapshot's,
// and whether their records may.
type changes struct {
	reorgs, overdue, blocksMissed, syncMissed, nextAttestation, nextProposal, sync, records bool
}

// changedSince compares in one pass: most values of most validators stay as they are
// from one head to the next.
func (s *snapshot) changedSince(previous *snapshot) (c changes) {
	if previous == nil || previous.crew() != s.crew() {
		return changes{true, true, true, true, true, true, true, true}
	}
	c.reorgs, c.records = previous.reorgs != s.reorgs, previous.roster != s.roster
	if !previous.live || !s.live {
		return changes{c.reorgs, true, true, true, true, true, true, c.records}
	}
	c.sync = previous.nextSeats != s.nextSeats
	for i := range s.validators {
		now, was := &s.validators[i], &previous.validators[i]
		if *now == *was {
			continue
		}
		c.overdue = c.overdue || now.overdue != was.overdue
		c.blocksMissed = c.blocksMissed || now.blocksMissed != was.blocksMissed
		c.syncMissed = c.syncMissed || now.syncMissed != was.syncMissed
		c.nextAttestation = c.nextAttestation || now.nextAttestation != was.nextAttestation
		c.nextProposal = c.nextProposal || now.nextProposal != was.nextProposal
		c.sync = c.sync || now.syncCurrent != was.syncCurrent || now.syncNext != was.syncNext
	}
	return c
}
