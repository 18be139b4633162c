package alerts

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

func finalityDelayedCases(c mixin.Config, a Alert) []Case {
	n := c.Alerts.Network.FinalityEpochs
	s := states(c, a)
	const epoch, from = 100_000, 2
	with := func(then int) []Series {
		return []Series{
			s.head(), s.series("ethereum_chain_epoch", s.constant(epoch)),
			s.series("ethereum_chain_finalized_epoch", s.from(from, epoch-2, float64(epoch-then))),
		}
	}
	hung := []Series{
		s.on("b", "ethereum_chain_head_slot", s.constant(900)), s.on("b", "ethereum_chain_epoch", s.constant(epoch)),
		s.on("b", "ethereum_chain_finalized_epoch", s.constant(epoch-50)),
	}
	return []Case{
		s.fires("fires as many epochs after the finalized one as the threshold", a, from, with(n),
			s.labelled(fmt.Sprintf("The network mainnet finalized %d epochs ago for the last time (threshold %d).", n, n))),
		s.silent("is silent one epoch earlier", with(n-1)),
		s.silent("is silent about what only a hanging replica shows", append(hung, with(2)...)),
	}
}

func chainHeadStalledCases(c mixin.Config, a Alert) []Case {
	limit, slot := c.Alerts.Network.HeadAge, c.Chain.SlotDuration
	s := states(c, a)
	const slots, from = 100_000, 2
	confirmed := func(replica string, ago time.Duration) Series {
		return s.on(replica, "ethereum_chain_snapshot_timestamp_seconds", s.rising(-ago.Seconds(), s.step.Seconds()))
	}
	// A node confirms the head all the time, however old it is.
	of := func(replica string, behind float64) []Series {
		return []Series{
			confirmed(replica, 0),
			s.on(replica, "ethereum_chain_slot", s.constant(slots)),
			s.on(replica, "ethereum_chain_head_slot", s.from(from, slots, slots-behind)),
		}
	}
	most := float64(limit / slot)
	told := s.labelled(fmt.Sprintf("The newest block of mainnet that a beacon node follows is %s old (threshold %s).",
		human(time.Duration(most+1)*slot), human(limit)))
	// Nodes that do not answer confirm nothing.
	slow, down := of(first, most+1), of(first, most+1)
	slow[0] = confirmed(first, c.Alerts.Freshness.SnapshotStale-time.Second)
	down[0] = confirmed(first, c.Alerts.Freshness.SnapshotStale)
	return []Case{
		s.fires("fires when the head is a slot older than it may be", a, from, of(first, most+1), told),
		s.fires("fires once for two replicas", a, from, append(of(first, most+1), of("b", most+2)...), told),
		s.fires("fires when a node still answers now and then", a, from, slow, told),
		s.silent("is silent when the head is a slot younger", of(first, most)),
		s.silent("is silent when a node of one replica follows the chain", append(of(first, 10*most), of("b", 0)...)),
		s.silent("is silent when no node answers, which has alerts of its own", down),
	}
}

func chainParticipationLowCases(c mixin.Config, a Alert) []Case {
	threshold := c.Alerts.Network.ParticipationLow
	s := scenarioOf(c, c.Recording.Interval, time.Hour+a.For)
	return []Case{
		s.fires("fires just below the threshold", a, 1, s.network(1-threshold+hair),
			s.labelled(fmt.Sprintf("The network mainnet included %s of all attestations over the last %s (threshold %s).",
				percent(threshold-hair), mixin.Duration(c.Recording.Short), percent(threshold)))),
		s.silent("is silent just above the threshold", s.network(1-threshold-hair)),
	}
}

func reorgDeepCases(c mixin.Config, a Alert) []Case {
	depth := c.Alerts.Network.ReorgDepth
	s := scenarioOf(c, c.Recording.Interval, c.Recording.Short+a.For+a.KeepFiringFor+5*c.Recording.Interval)
	const from = 2
	// The depth of the last reorg stays as it is until there is another.
	with := func(replica string, depth int) []Series {
		return []Series{
			s.on(replica, "ethereum_chain_reorgs_observed_total", s.from(from, 0, 1)),
			s.on(replica, "ethereum_chain_reorg_depth_observed_slots", s.values(func(step int) (float64, bool) { return float64(depth), step >= from })),
		}
	}
	told := s.labelled(fmt.Sprintf("The network mainnet replaced a head that was %d slots from the common ancestor (threshold %d).", depth, depth))
	seen := s.fires("fires for an hour, although the depth stays", a, from, with(first, depth), told)
	seen.Silent = append(seen.Silent, s.at(s.steps))
	return []Case{
		seen,
		s.fires("fires once when one of two replicas saw it as deep", a, from, append(with(first, depth), with("b", depth-1)...), told),
		s.silent("is silent about one that is a slot less deep", with(first, depth-1)),
		s.silent("is silent about a deep one of long ago", []Series{
			s.series("ethereum_chain_reorgs_observed_total", s.constant(4)), s.series("ethereum_chain_reorg_depth_observed_slots", s.constant(float64(depth))),
		}),
	}
}

func chainSlashingCases(c mixin.Config, a Alert) []Case {
	s := scenarioOf(c, c.Recording.Interval, 2*time.Hour+a.For)
	const from = 2
	with := func(attester, proposer float64) []Series {
		return []Series{
			s.of(mixin.Network, "slashings_total", s.from(from, 0, attester), "kind", "attester"),
			s.of(mixin.Network, "slashings_total", s.from(from, 0, proposer), "kind", "proposer"),
		}
	}
	seen := s.fires("fires for an hour after a slashing", a, from, with(0, 1),
		s.labelled("The network mainnet had 1 proposer slashings in its blocks within the last hour (threshold 1).", "kind", "proposer"))
	seen.Silent = append(seen.Silent, s.at(s.steps))
	return []Case{
		seen,
		s.silent("is silent when nobody is slashed", with(0, 0)),
		s.silent("is silent when the window ends", []Series{
			s.of(mixin.Network, "slashings_total", s.from(from, 3, 0), "kind", "attester"),
		}),
	}
}
