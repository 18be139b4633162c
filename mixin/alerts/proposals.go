package alerts

import (
	"fmt"
	"math"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// proposals are alerts on blocks and on the sync committee. Those on single duties name
// the validator; above the exporter's individual limit they count for the group of all.
func proposals(c mixin.Config) Section {
	d := duties{queries{c}}
	return Section{
		Name: "validator-proposals", Title: "Proposals and sync committee", About: "Rare duties that are worth the most.",
		Alerts: []Alert{
			d.proposalMissed(), d.proposalOrphaned(), d.proposalUpcoming(),
			d.syncParticipationLow(), d.syncMissing(), d.syncUpcoming(),
		},
	}
}

type duties struct{ queries }

const (
	// toldFor is how long a single event stays visible.
	toldFor = time.Hour
	// emptyRun is how many slots the head may lag behind the clock before it is thought
	// that nobody proposed: the present slot's block may still be on its way, and now and
	// then a slot is empty.
	emptyRun = 3
)

// proposalMissed fires within slots by what is not settled yet, and tells for an hour
// longer by the counters. It keeps firing for an epoch, since counters rest for some
// slots at a window's end. Blocks that were seen and then reorged out have an alert of
// their own.
//
// A run of empty slots is the network's. After one nobody can tell at first whose fault
// it was, so what is not settled is left alone. The counters can: when in one epoch about
// as many of all proposals were missed as the head lagged, it was the network; when only
// this exporter's nodes stood still, the others proposed.
func (d duties) proposalMissed() Alert {
	a := Alert{
		Name: "ValidatorProposalMissed", Severity: mixin.Critical,
		Expr: fmt.Sprintf("%s unless%s (%s > %d) or %s unless%s ((%s > %d) - %s < 1.5) unless%s (%s < 1 - %v)",
			d.eachOrAll(d.missedUnsettled), whose, d.lag(unsettledEpochs*d.c.Chain.Epoch()), emptyRun,
			d.eachOrAll(d.missedSettled), whose, d.lag(toldFor+unsettledEpochs*d.c.Chain.Epoch()), emptyRun, d.worstEpoch(),
			whose, rules.Ratio(mixin.Network, rules.Proposals, rules.Hour), d.c.Alerts.Validators.NetworkTrouble),
		For: d.wait(), KeepFiringFor: d.c.Chain.Epoch(),
		Summary:     "A block proposal was missed.",
		Description: subjects() + ` missed {{ $value | printf "%.0f" }} block proposals (threshold 1).`,
		Action:      "The block is lost. Find out why before the next proposal: validator client, beacon node, execution client, or a relay that did not answer.",
		Dashboard:   mixin.ProposalsDashboard,
		Blames:      true,
		Runbook:     proposalMissedRunbook(),
	}
	a.Cases = proposalMissedCases(d.c, a)
	return a
}

// whose joins a validator's or a group's series with the network's.
const whose = " ignoring (validator_index, group_by, group)"

// unsettledEpochs is more than can be unsettled: two epochs and a few slots.
const unsettledEpochs = 3

// eachOrAll is a condition on each validator, or on the group of everything where
// validators have no series of their own.
func (d duties) eachOrAll(condition func(l mixin.Level) string) string {
	return fmt.Sprintf("(%s or %s)", condition(mixin.Validator), d.unlessIndividual(condition(mixin.Group)))
}

// missedUnsettled are missed proposals of epochs that have not settled.
func (d duties) missedUnsettled(l mixin.Level) string {
	return fmt.Sprintf("%s - %s > 0.5",
		d.latest(d.single(l, "blocks_missed_unsettled"), own(l)...), d.orphaned(l, unsettledEpochs*d.c.Chain.Epoch()))
}

// missedSettled are missed proposals that settled within the last hour.
func (d duties) missedSettled(l mixin.Level) string {
	return fmt.Sprintf("%s - %s - %s > 0.5",
		d.increase(l, "blocks_expected"), d.increase(l, "blocks_proposed"), d.orphaned(l, toldFor+unsettledEpochs*d.c.Chain.Epoch()))
}

// worstEpoch is how many of all proposals were missed in the worst epoch of those that
// settled within the last hour.
func (d duties) worstEpoch() string {
	return fmt.Sprintf("max_over_time((%s - %s)[%s:%s])",
		d.rise(d.of(mixin.Network, "blocks_expected_total"), d.newest()), d.rise(d.of(mixin.Network, "blocks_proposed_total"), d.newest()),
		mixin.Duration(toldFor), mixin.Duration(d.c.Chain.ScrapeInterval))
}

// newest is a range that holds the step of counters for the newest settled epoch,
// wherever in the epoch it is looked at.
func (d duties) newest() time.Duration { return d.c.Chain.Epoch() + 2*d.c.Chain.ScrapeInterval }

// orphaned are blocks that this exporter saw being reorged out.
func (d duties) orphaned(l mixin.Level, over time.Duration) string {
	return d.rise(d.single(l, "blocks_orphaned_observed_total"), over)
}

// lag is the longest distance of the head from the clock, at the replica that did best.
func (d duties) lag(over time.Duration) string {
	return fmt.Sprintf("max_over_time((min without (%s) (%s - %s))[%s:%s])",
		list(d.c.Select.ReplicaLabels), d.series("ethereum_chain_slot"), d.series("ethereum_chain_head_slot"),
		mixin.Duration(over), mixin.Duration(d.c.Chain.ScrapeInterval))
}

// single selects each validator's series, or those of the group of everything.
func (d duties) single(l mixin.Level, name string, more ...string) string {
	if l == mixin.Group {
		more = append(more, everything)
	}
	return d.series("ethereum_"+string(l)+"_"+name, more...)
}

// increase is single for what is recorded over the last hour.
func (d duties) increase(l mixin.Level, counter string) string {
	if l == mixin.Group {
		return rules.Increase(l, counter) + "{" + everything + "}"
	}
	return rules.Increase(l, counter)
}

func (d duties) proposalOrphaned() Alert {
	a := Alert{
		Name: "ValidatorProposalOrphaned", Severity: mixin.Warning,
		Expr:        fmt.Sprintf("%s > 0.5 or %s", d.orphaned(mixin.Validator, toldFor), d.unlessIndividual(d.orphaned(mixin.Group, toldFor)+" > 0.5")),
		For:         d.wait(),
		Summary:     "A proposed block was reorged out.",
		Description: subjects() + ` lost {{ $value | printf "%.0f" }} proposed blocks to a reorg within the last hour (threshold 1).`,
		Action:      "Compare when the block was published with the start of its slot. A block that comes late is the usual reason.",
		Dashboard:   mixin.ProposalsDashboard,
		Runbook:     proposalOrphanedRunbook(),
	}
	a.Cases = proposalOrphanedCases(d.c, a)
	return a
}

func (d duties) proposalUpcoming() Alert {
	within := d.c.Alerts.Proposals.Upcoming
	next := func(l mixin.Level) string {
		return fmt.Sprintf("(%s - time() > 0) < %d", d.once(d.single(l, "next_proposal_timestamp_seconds")), int(within.Seconds()))
	}
	// What is always due soon is nothing to wait for.
	each := next(mixin.Validator)
	all := d.unlessIndividual(fmt.Sprintf("%s unless %s > %s",
		next(mixin.Group), d.increase(mixin.Group, "blocks_expected"), number(math.Floor(float64(rules.Hour)/float64(within)))))
	a := Alert{
		Name: "ValidatorProposalUpcoming", Severity: mixin.Info,
		Expr:        each + " or " + all,
		For:         d.wait(),
		Summary:     "A block proposal is due soon.",
		Description: subjects() + " proposes a block in {{ $value | humanizeDuration }} (threshold " + mixin.Duration(within) + ").",
		Action:      "Do not restart the validator client, the beacon node or the execution client until the slot is over.",
		Dashboard:   mixin.ProposalsDashboard,
		Runbook:     proposalUpcomingRunbook(),
	}
	a.Cases = proposalUpcomingCases(d.c, a)
	return a
}

// syncParticipationLow compares with what the network as a whole achieved: a vote that
// most members did not get into a block is not the validator's fault.
func (d duties) syncParticipationLow() Alert {
	c := d.c
	threshold := c.Alerts.Proposals.SyncParticipationLow
	a := Alert{
		Name: "ValidatorSyncCommitteeParticipationLow", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s <%s (%v * (%s > 1 - %v))",
			d.ratio(rules.SyncCommittee, rules.Hour), perNetwork(c.Level),
			threshold, rules.Ratio(mixin.Network, rules.SyncCommittee, rules.Hour), c.Alerts.Validators.NetworkTrouble),
		For:     c.Alerts.Validators.For,
		Summary: "Sync committee votes are missing.",
		Description: subject(c.Level) + " got {{ $value | humanizePercentage }} of its sync committee votes included over the last hour" +
			" (threshold " + percent(threshold) + " of the network's share).",
		Action:    "Look at the validator client's log for sync committee messages that were late or refused, and at the beacon node's delay of blocks.",
		Dashboard: mixin.ProposalsDashboard,
		Blames:    true,
		Runbook:   syncParticipationLowRunbook(),
	}
	a.Cases = syncParticipationLowCases(c, a)
	return a
}

// syncMissing looks at votes that have not settled, so it sees a seat that falls silent
// at once. But whether the network lost them as well is known only when they settle:
// until then it waits.
func (d duties) syncMissing() Alert {
	c := d.c
	l := c.Level
	n := c.Chain.SlotsPerEpoch
	missed := d.latest(d.of(l, "sync_missed_unsettled"), own(l)...)
	// A validator may have several seats: as many as it has votes for each block. In its
	// first epochs in the committee that is too low, hence rounded up; a fifth is for
	// increase(), which extrapolates the two a hair apart.
	seats := fmt.Sprintf("(ceil(%s /%s (%s > 0) - 0.2) > 0)",
		d.rise(d.of(l, "sync_committee_expected_total"), c.Recording.Short), perNetwork(l),
		d.rise(d.of(mixin.Network, "blocks_proposed_total"), c.Recording.Short))
	slots := fmt.Sprintf("(%s - %d * %s - %d)",
		d.once(d.series("ethereum_chain_head_slot")), n, d.once(d.series("ethereum_chain_settled_epoch")), n-1)
	network := fmt.Sprintf("1 - %s / (%s > 0)",
		d.rise(d.of(mixin.Network, "sync_committee_included_total"), d.newest()),
		d.rise(d.of(mixin.Network, "sync_committee_expected_total"), d.newest()))
	a := Alert{
		Name: "ValidatorSyncCommitteeMissing", Severity: mixin.Critical,
		Expr: fmt.Sprintf("%s / (%s *%s %s) >= %v unless%s (%s > %v)",
			missed, seats, perNetwork(l), slots, c.Alerts.Proposals.SyncMissing,
			ignoring(own(l)), network, c.Alerts.Validators.NetworkTrouble),
		For:     max(c.Chain.Slots(2*n+4), d.wait()),
		Summary: "A seat in the sync committee is empty.",
		Description: subject(l) + " lacks {{ $value | humanizePercentage }} of its sync committee votes since the newest settled epoch" +
			" (threshold " + percent(c.Alerts.Proposals.SyncMissing) + ").",
		Action:    "Check that the validator client runs and that its beacon node is synced. The seat lasts about a day, and every slot counts.",
		Dashboard: mixin.ProposalsDashboard,
		Blames:    true,
		Runbook:   syncMissingRunbook(),
	}
	a.Cases = syncMissingCases(c, a)
	return a
}

func (d duties) syncUpcoming() Alert {
	const next = `period="next"`
	a := Alert{
		Name: "ValidatorSyncCommitteeUpcoming", Severity: mixin.Info,
		Expr: d.once(d.single(mixin.Validator, "sync_committee_member", next), "period") + " == 1 or " +
			d.unlessIndividual(d.once(d.single(mixin.Group, "sync_committee_members", next), "period")+" > 0"),
		For:     d.wait(),
		Summary: "A validator will be in the next sync committee.",
		Description: "{{ if $labels.validator_index }}" + subject(mixin.Validator) + " is" +
			"{{ else }}" + subject(mixin.Group) + " has {{ $value }} validators{{ end }} in the next sync committee (threshold 1).",
		Action:    "Plan restarts and updates for before it begins, or keep them short.",
		Dashboard: mixin.ProposalsDashboard,
		Runbook:   syncUpcomingRunbook(),
	}
	a.Cases = syncUpcomingCases(d.c, a)
	return a
}
