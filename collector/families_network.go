package collector

import (
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
)

// networkCounters: what all validators together did.
func (s *snapshot) networkCounters(b *builder) {
	if !s.counters {
		return
	}
	b.totals(s.spec, []row{{labels: b.network, totals: &s.network.Totals, stake: s.network.StakeKnown}}, total("ethereum_network"))
	b.add("ethereum_network_slashings_total", []exposition.Series{
		{Labels: b.network + `,kind="attester"`, Value: float64(s.network.AttesterSlashings)},
		{Labels: b.network + `,kind="proposer"`, Value: float64(s.network.ProposerSlashings)},
	})
}

// networkRecords: the network itself and its checkpoints.
func (s *snapshot) networkRecords(b *builder) {
	b.one("ethereum_network_info", 1)
	if s.finality.known {
		b.one("ethereum_chain_justified_epoch", float64(s.finality.Justified))
		b.one("ethereum_chain_finalized_epoch", float64(s.finality.Finalized))
	}
}

// chainLive: where the snapshot stands, and what this process saw being reorged.
func (s *snapshot) chainLive(b *builder, st *state) {
	b.one("ethereum_chain_head_slot", float64(s.slot))
	b.one("ethereum_chain_epoch", float64(s.spec.EpochOf(s.slot)))
	if s.isSettled {
		b.one("ethereum_chain_settled_epoch", float64(s.settled))
	}
	b.one("ethereum_chain_reorgs_observed_total", float64(st.observed.reorgs))
	if st.observed.reorgs > 0 {
		b.one("ethereum_chain_reorg_depth_observed_slots", float64(st.observed.reorgDepth))
	}
	b.one("ethereum_network_blocks_orphaned_observed_total", float64(st.observed.network))
	if s.live {
		b.one("ethereum_network_attestations_overdue", float64(s.networkOverdue))
		b.one("ethereum_network_active_validators", float64(s.networkActive))
		b.one("ethereum_chain_proposers_known_until_timestamp_seconds", start(s.spec, s.proposersUntil))
	}
}
