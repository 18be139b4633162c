package dashboards

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// proposals is about the duties that are rare and worth much: blocks and the sync
// committee, and when to leave the validators alone because of them.
func proposals(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{
		slug:        mixin.ProposalsDashboard,
		description: "Blocks to propose, proposed, missed and orphaned; the sync committee; and whether now is a time to restart.",
		variables:   append(s.common(), s.groups()...),
		sections: []section{
			newSection("Is it safe to restart?",
				line(5,
					newStat("Safe to restart", fmt.Sprintf("Whether a restart of the group's validators or of their nodes costs more than attestations, which are due in every epoch and always suffer. "+
						"Wait when a proposal is less than %s away. Proposers are drawn for an epoch or two only: where no proposal is known, but not for %s, be quick; beside it stands for how long. In the sync committee every slot counts, for about a day; do not wait that long, but be quick.", mixin.Duration(c.Alerts.Proposals.Upcoming), mixin.Duration(s.knownLongEnough())),
						unitString, now(s.restart(), s.legend("restart"))).
						states(
							state{"0", "safe", green},
							state{"1", "be quick: sync committee", yellow},
							state{"2", "wait: proposal soon", red},
							state{"3", "wait: proposal soon, sync committee", red},
							state{"4", "no proposal known: be quick", yellow},
							state{"5", "no proposal known: be quick, sync committee", yellow}),
					newStat("Safe for", fmt.Sprintf("Time until the next block proposal of any validator of the group, where one is known; and for how long from now the chain has drawn proposers, an epoch or two: where no proposal is known, there is none for so long. Yellow is less than %s: a proposal may be drawn right after it.", mixin.Duration(s.knownLongEnough())),
						unitDuration,
						now(s.untilProposal(), s.legend("until the proposal")),
						now(s.proposersKnown(), s.legend("proposers known for"))).
						named().base(red, at(c.Alerts.Proposals.Upcoming.Seconds(), green)).
						thresholdsOf(1, yellow, at(s.knownLongEnough().Seconds(), green)),
					newStat("In the sync committee", "Number of the group's validators in the sync committee of this period and of the next.",
						unitCount, now(s.syncMembers("current"), s.legend("now")), now(s.syncMembers("next"), s.legend("next"))).
						named().base(green, at(1, yellow)),
					newStat("Missing now", "Duties of the group in epochs that are not settled yet, up to the head, without a block or vote on the canonical chain. Moves within slots; 0 is good, a few sync votes are usual.",
						unitCount,
						now(s.once(s.group("ethereum_group_blocks_missed_unsettled")), s.legend("proposals")),
						now(s.once(s.group("ethereum_group_sync_missed_unsettled")), s.legend("sync votes"))).
						named().base(green, at(1, yellow)))),
			newSection("Upcoming proposals",
				line(8,
					s.located("Next proposal of each group",
						"The next block proposal after the head of each group of the chosen label. Empty when none is known.",
						label("group", "Group"),
						value("In", unitDuration, "clamp_min("+s.nextOfGroups()+" - time(), 0)"),
						value("At", unitMoment, "1000 * "+s.nextOfGroups()),
					).sorted("In", false),
					s.located("Next proposal of each validator",
						"The next block proposal of each validator of the chosen group that has one. Empty when none is known, and above the exporter's limit of individual series.",
						index().
							linked("Look at this validator", s.link(mixin.ValidatorsDashboard, "${group_by:queryparam}", "${group:queryparam}", "var-validator=${__value.raw}")),
						value("In", unitDuration, "clamp_min("+s.nextOfValidators()+" - time(), 0)"),
						value("At", unitMoment, "1000 * "+s.nextOfValidators()),
					).sorted("In", false))),
			newSection("Proposals",
				line(4,
					byRange(s, mixin.Group, rules.Proposals, s.recordedGroup, c, "Proposal success by range",
						"Share of the group's expected blocks that are on the canonical chain. Absent where none was expected.").noValue("none expected"),
					byRange(s, mixin.Network, rules.Proposals, s.recorded, c, "Network's proposal success by range",
						"The same of the whole network: a percent or two of slots without a block is usual.")),
				line(4,
					count("Proposals expected", "Blocks that the group's validators were to propose, in settled epochs.", s.blocks("blocks_expected")),
					count("Proposals missed", "Those of them that are not on the canonical chain, for whatever reason. 0 is good.", s.missedBlocks()).base(green, at(1, red))),
				line(8,
					newGraph("Proposals per hour", "Blocks expected of the group and those on the canonical chain, in the hour before. Where the lines part, a block is missing.",
						unitCount,
						over(s.recordedGroup(rules.Increase(mixin.Group, "blocks_expected")), s.legend("expected")),
						over(s.recordedGroup(rules.Increase(mixin.Group, "blocks_proposed")), s.legend("on chain"))).from(0).steps(),
					newGraph("Orphaned blocks", "Blocks of the group that an exporter saw as canonical and that were reorged out later, in the hour before. A block that was built and lost: look at how late it was published. Only what was seen since the exporter started.",
						unitCount, over(s.increase(s.group("ethereum_group_blocks_orphaned_observed_total"), time.Hour), s.legend("orphaned"))).from(0).steps()),
				line(8,
					s.located("Proposals of each group, last 7 days",
						"Blocks expected of each group of the chosen label, those that are missing on the canonical chain, and the share that is there.",
						label("group", "Group").linked("Look at this group", s.link(mixin.ProposalsDashboard, "${group_by:queryparam}", "var-group=${__value.raw}")),
						value("Expected", unitCount, s.groupsOver(s.weekly("blocks_expected"))).digits(0),
						value("Missed", unitCount, s.groupsOver(s.weekly("blocks_expected")+" - "+s.weekly("blocks_proposed"))).
							digits(0).coloured(green, at(0.5, red)),
						value("Success", unitRatio, s.groupsOver(s.recorded(rules.Ratio(mixin.Group, rules.Proposals, rules.Week), `group_by="$group_by"`))).digits(1),
					).sorted("Missed", true),
					s.located("Validators that missed a proposal, last 7 days",
						"Validators of the chosen group with a block missing on the canonical chain. Empty is good; empty, too, above the exporter's limit of individual series.",
						index().
							linked("Look at this validator", s.link(mixin.ValidatorsDashboard, "${group_by:queryparam}", "${group:queryparam}", "var-validator=${__value.raw}")),
						value("Missed", unitCount, s.missedOfValidators()).digits(0),
					).sorted("Missed", true))),
			newSection("Sync committee",
				line(4,
					byRange(s, mixin.Group, rules.SyncCommittee, s.recordedGroup, c, "Sync votes included by range",
						"Share of the sync committee votes expected of the group that were included. Absent where none was expected: most validators are never in a committee.").noValue("none expected"),
					byRange(s, mixin.Network, rules.SyncCommittee, s.recorded, c, "Network's sync votes included by range",
						"The same of the whole committee.")),
				line(8,
					newGraph("Sync votes included beside the network", "Share of expected sync committee votes that were included, over the last hour. Votes that miss the next block are lost, so both lines are a little below 1.",
						unitRatio,
						over(s.recordedGroup(rules.Ratio(mixin.Group, rules.SyncCommittee, rules.Hour)), s.legend("group")),
						over(s.recorded(rules.Ratio(mixin.Network, rules.SyncCommittee, rules.Hour)), s.legend("network"))).digits(2),
					s.located("Members of the sync committee",
						"Validators of the chosen group in the sync committee, and in which period. Empty when there are none, and above the exporter's limit of individual series.",
						index(),
						value("Now", unitNumber, s.memberOf("current")).mapped(state{"1", "member", yellow}),
						value("Next period", unitNumber, s.memberOf("next")).mapped(state{"1", "member", blue}),
						value("Votes missing now", unitCount, s.members(s.onceBy(s.chain("ethereum_validator_sync_missed_unsettled"), "validator_index"))+
							" and"+s.on("validator_index")+" "+s.chain("ethereum_validator_sync_committee_member")),
					).sorted("Index", false))),
		},
	}
}

// restart is 0 when a restart costs nothing but attestations, plus 1 when the chosen
// group has a member in the sync committee, plus 2 when it is to propose a block soon,
// plus 4 when it is not known whether it is.
func (s selectors) restart() string {
	none := "0 * " + s.once(s.group("ethereum_group_attestations_overdue"))
	soon := int(s.c.Alerts.Proposals.Upcoming.Seconds())
	// Also where the exporter does not say how far ahead it knows.
	unknown := fmt.Sprintf("4 + %s unless ignoring (group_by, group) (%s >= %d) unless %s",
		none, s.proposersKnown(), int(s.knownLongEnough().Seconds()), s.untilProposal())
	return fmt.Sprintf("((%s > bool 0) or %s) + 2 * ((%s < bool %d) or %s) + ((%s) or %s)",
		s.syncMembers("current"), none, s.untilProposal(), soon, none, unknown, none)
}

// knownLongEnough is for how long proposers must be known for a restart to be called safe
// where no proposal is: until one would be soon. A chain with short epochs never knows so
// far ahead, since proposers are drawn up to the end of the next epoch; there it is an
// epoch, as far as they are always known.
func (s selectors) knownLongEnough() time.Duration {
	soon, epoch := s.c.Alerts.Proposals.Upcoming, s.c.Chain.Epoch()
	if soon > 2*epoch-2*s.c.Chain.ScrapeInterval {
		return min(soon, epoch)
	}
	return soon
}

// proposersKnown is for how many seconds from now the proposers are known.
func (s selectors) proposersKnown() string {
	return "clamp_min(" + s.once(s.chain("ethereum_chain_proposers_known_until_timestamp_seconds")) + " - time(), 0)"
}

func (s selectors) syncMembers(period string) string {
	return "max without (period) (" + s.once(s.group("ethereum_group_sync_committee_members", equals("period", period))) + ")"
}

func (s selectors) memberOf(period string) string {
	return s.members(s.onceBy(s.chain("ethereum_validator_sync_committee_member", equals("period", period)), "validator_index"))
}

func (s selectors) nextOfGroups() string {
	return s.groupsOver(s.chain("ethereum_group_next_proposal_timestamp_seconds", `group_by="$group_by"`))
}

func (s selectors) nextOfValidators() string {
	return s.members(s.onceBy(s.chain("ethereum_validator_next_proposal_timestamp_seconds"), "validator_index"))
}

// groupsOver keeps one row for each group of the chosen label.
func (s selectors) groupsOver(expr string) string { return s.onceBy(expr, "group") }

// weekly is what a counter of each group of the chosen label rose by. There may be a
// thousand groups, and a month of hours of each is too much to ask every half minute.
func (s selectors) weekly(counter string) string {
	return sum(s.recorded(rules.Increase(mixin.Group, counter), `group_by="$group_by"`), rules.Week)
}

// blocks makes, for a range, the chosen group's number of blocks.
func (s selectors) blocks(counter string) func(time.Duration) string {
	return func(d time.Duration) string {
		return sum(s.recordedGroup(rules.Increase(mixin.Group, counter)), d)
	}
}

func (s selectors) missedBlocks() func(time.Duration) string {
	expected, proposed := s.blocks("blocks_expected"), s.blocks("blocks_proposed")
	return func(d time.Duration) string { return expected(d) + " - " + proposed(d) }
}

func (s selectors) missedOfValidators() string {
	weekly := func(counter string) string {
		return sum(s.recorded(rules.Increase(mixin.Validator, counter)), rules.Week)
	}
	return s.members(s.onceBy("round("+weekly("blocks_expected")+" - "+weekly("blocks_proposed")+") > 0", "validator_index"))
}

// count shows a number of events over the longer ranges.
func count(title, description string, expr func(time.Duration) string) *panel {
	var queries []query
	for _, w := range rules.Windows()[1:] {
		queries = append(queries, now("round("+expr(w)+")", span(w)))
	}
	return newStat(title, description, unitCount, queries...).named()
}
