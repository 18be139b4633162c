package alerts

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// chain are alerts on the network as a whole. They say why validators earn less, and
// blame none.
func chain(c mixin.Config) Section {
	n := network{queries{c}}
	return Section{
		Name: "chain", Title: "Chain", About: "The network itself. Nothing here is a validator's fault.",
		Alerts: []Alert{n.finalityDelayed(), n.headStalled(), n.participationLow(), n.reorgDeep(), n.slashing()},
	}
}

type network struct{ queries }

const onNetwork = "The network {{ $labels.network }}"

func (n network) finalityDelayed() Alert {
	epochs := n.c.Alerts.Network.FinalityEpochs
	a := Alert{
		Name: "ChainFinalityDelayed", Severity: mixin.Critical,
		Expr: fmt.Sprintf("%s - %s >= %d",
			n.latest(n.series("ethereum_chain_epoch")), n.latest(n.series("ethereum_chain_finalized_epoch")), epochs),
		For:         n.wait(),
		Summary:     "The chain does not finalize.",
		Description: onNetwork + ` finalized {{ $value | printf "%.0f" }} epochs ago for the last time ` + fmt.Sprintf("(threshold %d).", epochs),
		Action:      "Check that your own nodes follow the chain that most others follow. Do not restart or resync them in a hurry.",
		Dashboard:   mixin.OverviewDashboard,
		Runbook:     finalityDelayedRunbook(),
	}
	a.Cases = finalityDelayedCases(n.c, a)
	return a
}

// headStalled fires when nodes answer, and none of them knows a new block: everything
// about the chain, validators and finality included, is as old as the head, so that no
// other alert on it can fire. Of nodes that do not answer there are others.
func (n network) headStalled() Alert {
	limit := n.c.Alerts.Network.HeadAge
	confirmed := fmt.Sprintf("time() - %s < %s",
		n.series("ethereum_chain_snapshot_timestamp_seconds"), seconds(n.c.Alerts.Freshness.SnapshotStale))
	a := Alert{
		Name: "ChainHeadStalled", Severity: mixin.Critical,
		Expr: fmt.Sprintf("%s * %s > %s",
			n.any(fmt.Sprintf("%s - %s and %s", n.series("ethereum_chain_slot"), n.series("ethereum_chain_head_slot"), confirmed)),
			seconds(n.c.Chain.SlotDuration), seconds(limit)),
		For:     n.c.Alerts.Beacon.For,
		Summary: "No beacon node has a new head: what is shown of validators stands still.",
		Description: "The newest block of {{ $labels.network }} that a beacon node follows is {{ $value | humanizeDuration }} old (threshold " +
			human(limit) + ").",
		Action:    "Compare with a public explorer whether the chain or your own nodes stand still, and check your validators there.",
		Dashboard: mixin.BeaconDashboard,
		Runbook:   headStalledRunbook(),
	}
	a.Cases = chainHeadStalledCases(n.c, a)
	return a
}

func (n network) participationLow() Alert {
	threshold := n.c.Alerts.Network.ParticipationLow
	over := mixin.Duration(n.c.Recording.Short)
	a := Alert{
		Name: "ChainParticipationLow", Severity: mixin.Warning,
		Expr:    fmt.Sprintf("%s < %v", rules.NetworkShortParticipation(n.c), threshold),
		For:     max(n.c.Chain.Epoch(), n.wait()),
		Summary: "Many of the network's validators do not attest.",
		Description: onNetwork + " included {{ $value | humanizePercentage }} of all attestations over the last " + over +
			" (threshold " + percent(threshold) + ").",
		Action:    "Find out whether a client has a bug, and whether you run it. Below two thirds the chain no longer finalizes.",
		Dashboard: mixin.OverviewDashboard,
		Runbook:   chainParticipationLowRunbook(),
	}
	a.Cases = chainParticipationLowCases(n.c, a)
	return a
}

// reorgDeep looks at each replica by itself: what a process saw, another need not have
// seen.
func (n network) reorgDeep() Alert {
	depth := n.c.Alerts.Network.ReorgDepth
	a := Alert{
		Name: "ChainReorgDeep", Severity: mixin.Warning,
		Expr: n.once(fmt.Sprintf("%s >= %d and increase(%s[%s]) > 0.5",
			n.series("ethereum_chain_reorg_depth_observed_slots"), depth,
			n.series("ethereum_chain_reorgs_observed_total"), mixin.Duration(n.c.Recording.Short))),
		For: n.wait(), KeepFiringFor: time.Hour,
		Summary:     "A deep reorg took place.",
		Description: onNetwork + ` replaced a head that was {{ $value | printf "%.0f" }} slots from the common ancestor ` + fmt.Sprintf("(threshold %d).", depth),
		Action:      "See whether all your beacon nodes saw it. If only one did, that node was on a fork of its own.",
		Dashboard:   mixin.BeaconDashboard,
		Runbook:     reorgDeepRunbook(),
	}
	a.Cases = reorgDeepCases(n.c, a)
	return a
}

func (n network) slashing() Alert {
	a := Alert{
		Name: "ChainSlashing", Severity: mixin.Info,
		Expr:        rules.Increase(mixin.Network, "slashings") + " > 0.5",
		For:         n.wait(),
		Summary:     "Somebody on the network was slashed.",
		Description: onNetwork + ` had {{ $value | printf "%.0f" }} {{ $labels.kind }} slashings in its blocks within the last hour (threshold 1).`,
		Action:      "Nothing, unless there are many: then find out which client or operator it hits, and whether you run the same.",
		Dashboard:   mixin.OverviewDashboard,
		Runbook:     chainSlashingRunbook(),
	}
	a.Cases = chainSlashingCases(n.c, a)
	return a
}
