package dashboards

import (
	"fmt"
	"math"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// worst is how many groups the table of the worst ones has at most.
const worst = 50

// overview is the dashboard to look at first: is the chosen group well, and if not, is
// it the group or the network?
func overview(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{
		slug:        mixin.OverviewDashboard,
		description: "Whether the validators of a group are well: how effective they are, beside the network, and what went wrong last.",
		variables:   append(s.common(), s.groups()...),
		sections: []section{
			newSection("Now",
				line(6,
					effectivenessGauge(c, "Effectiveness, last day",
						"Share of what the network's rewards let the group's attestations earn that they did earn, weighted by stake, over a day.",
						s.recordedGroup(rules.Ratio(mixin.Group, rules.Effectiveness, rules.Day))).wide(6),
					effectivenessGauge(c, "Own-fault effectiveness, last day",
						"The same, but without votes that nobody could have earned or that most of the network lost too: what is missing here is the group's own doing.",
						s.recordedGroup(rules.Ratio(mixin.Group, rules.OwnEffectiveness, rules.Day))).wide(6),
					newStat("Attestation success, last day",
						"Share of the group's expected attestations that were included on the canonical chain over a day. Missing validators and a network that does not include attestations both lower it.",
						unitRatio, now(s.recordedGroup(rules.Ratio(mixin.Group, rules.Participation, rules.Day)), s.legend("included"))).
						digits(2).base(red, at(c.Dashboards.EffectivenessWarn, yellow), at(c.Dashboards.EffectivenessGood, green)),
					newStat("Active validators",
						"Validators of the group that have duties (active_ongoing, active_exiting, active_slashed), and all of the group, whatever their status.",
						unitCount,
						now(s.statuses("active_.*")+" or 0 * "+s.statuses(".+"), s.legend("active")),
						now(s.statuses(".+"), s.legend("watched"))).named(),
					newStat("Balance",
						"Sum of the balances of the group's validators at the first slot of the head's epoch, withdrawals already taken off.",
						unitETH, now(eth(s.once(s.group("ethereum_group_balance_gwei"))), s.legend("balance"))).digits(3)),
				line(4,
					newStat("Attestations overdue",
						"Attestation duties of the group that are at least 3 slots old and not included at the head. 0 is good; a few come and go. Epochs that are not settled yet are looked at, so it moves within slots.",
						unitCount, now(s.once(s.group("ethereum_group_attestations_overdue")), s.legend("overdue"))).
						base(green, at(1, yellow), at(float64(c.Alerts.Validators.GroupDownMinimum)+1, orange)),
					newStat("Network's attestations overdue",
						"Share of the whole network's attestations of the last epoch or two that are at least 3 slots old and not included. When this is high, the network is in trouble, not the group.",
						unitRatio, now(s.networkOverdue(), s.legend("overdue"))).
						digits(2).base(green, at(c.Alerts.Validators.NetworkTrouble/2, yellow), at(c.Alerts.Validators.NetworkTrouble, red)),
					newStat("Slashed",
						"Validators of the group that have been slashed. Anything but 0 is for ever.",
						unitCount, now(s.once(s.group("ethereum_group_slashed")), s.legend("slashed"))).
						base(green, at(1, red)),
					newStat("Next proposal",
						"Time until a validator of the group is to propose a block, as far ahead as the chain has drawn proposers. Nothing known means none in this epoch; how far that reaches is on the dashboard Proposals.",
						unitDuration, now(s.untilProposal(), s.legend("until"))).noValue("none known"),
					alertsFiring(s),
					newStat("Age of data",
						"Time since a beacon node last confirmed the head that all of this is computed at, and the age of the head itself. Below a slot or two is good; when one grows, all else here is old.",
						unitSeconds,
						now("time() - "+s.once(s.chain("ethereum_chain_snapshot_timestamp_seconds")), s.legend("confirmed")),
						now(s.headAge(), s.legend("head"))).named().
						digits(0).base(green, at(c.Alerts.Freshness.SnapshotStale.Seconds(), yellow), at(c.Alerts.Freshness.SnapshotCritical.Seconds(), red)))),
			newSection("Effectiveness and lost votes",
				line(8,
					newGraph("Effectiveness beside the network",
						"Share earned of what attestations could have earned, over the last hour. When the group's line and the network's fall together, the network is at fault; when only own fault falls, the group is.",
						unitRatio,
						over(s.recordedGroup(rules.Ratio(mixin.Group, rules.Effectiveness, rules.Hour)), s.legend("group")),
						over(s.recordedGroup(rules.Ratio(mixin.Group, rules.OwnEffectiveness, rules.Hour)), s.legend("group, own fault only")),
						over(s.recorded(rules.Ratio(mixin.Network, rules.Effectiveness, rules.Hour)), s.legend("network"))).
						digits(2),
					newGraph("Attestations included beside the network",
						"Share of expected attestations that were included, over the last hour.",
						unitRatio,
						over(s.recordedGroup(rules.Ratio(mixin.Group, rules.Participation, rules.Hour)), s.legend("group")),
						over(s.recorded(rules.Ratio(mixin.Network, rules.Participation, rules.Hour)), s.legend("network"))).
						digits(2)),
				line(8,
					lostVotes(over(s.lost(mixin.Group, s.recordedGroup), "{{cause}}"), "Votes lost by the group",
						"Share of the group's source, target and head votes of the last hour that earned nothing, by cause. Missing, late and wrong are its own; network is what nobody could have earned or most others lost too."),
					lostVotes(over(s.lost(mixin.Network, s.recorded), "{{cause}}"), "Votes lost by the network",
						"The same of all validators of the network: what is usual. The network's own share of missing votes is of validators that are down for good.")),
				line(8,
					newGraph("Attestation rewards",
						"What the newest settled epoch's attestations brought the group, by component; negative is a penalty. Lost votes show as a dip, and as penalties for source and target. Absent where no beacon node serves rewards.",
						unitGwei, over(s.once(s.group("ethereum_group_attestation_reward_gwei")), s.legend("{{component}}"))).steps(),
					newGraph("Balance of the group",
						"Sum of the balances of the group's validators, and of their effective balances, which is what they are paid for. A withdrawal is a step down; a slope down is penalties.",
						unitETH,
						over(eth(s.once(s.group("ethereum_group_balance_gwei"))), s.legend("balance")),
						over(eth(s.once(s.group("ethereum_group_effective_balance_gwei"))), s.legend("effective"))).digits(3)),
				line(4,
					byRange(s, mixin.Group, rules.OwnEffectiveness, s.recordedGroup, c, "Own-fault effectiveness by range",
						"Own-fault effectiveness of the group over 1 hour, 1 day, 7 days and 30 days. Ranges longer than the age of the installation are of what there is."),
					byRange(s, mixin.Network, rules.Effectiveness, s.recorded, c, "Network's effectiveness by range",
						"Effectiveness of all validators of the network over the same ranges."))),
			newSection("Groups",
				line(10,
					worstGroups(c, s).wide(16),
					newBars("Validators by status",
						"Number of the group's validators in each status, in the Beacon API's terms. active_ongoing is the usual one; unknown are keys that the chain does not know (yet).",
						unitCount, now(s.once(s.group("ethereum_group_validators")), "{{status}}")))),
		},
	}
}

// statuses is the number of the chosen group's validators whose status matches.
func (s selectors) statuses(pattern string) string {
	return "sum without (status) (" + s.once(s.group("ethereum_group_validators", matches("status", pattern))) + ")"
}

// headAge is how old the newest head of any replica is, in seconds.
func (s selectors) headAge() string {
	return fmt.Sprintf("(%s - %s) * %v",
		s.once(s.chain("ethereum_chain_slot")), s.once(s.chain("ethereum_chain_head_slot")), s.c.Chain.SlotDuration.Seconds())
}

// untilProposal is the number of seconds until the chosen group's next proposal.
func (s selectors) untilProposal() string {
	return "clamp_min(" + s.once(s.group("ethereum_group_next_proposal_timestamp_seconds")) + " - time(), 0)"
}

// networkOverdue is the share of the network's attestations, of those that could be
// overdue, that is.
func (s selectors) networkOverdue() string {
	return ratio(s.once(s.chain("ethereum_network_attestations_overdue")), s.once(s.chain("ethereum_network_active_validators"))) +
		" / " + s.overdueEpochs()
}

// overdueEpochs is how many attestations of a validator are overdue when none is
// included, from 1 to 2: those of epochs that have not settled and of slots at least 3
// slots before the head.
func (s selectors) overdueEpochs() string {
	epoch := s.c.Chain.SlotsPerEpoch
	return fmt.Sprintf("((%s - %d * %s - %d) / %d)",
		s.once(s.chain("ethereum_chain_head_slot")), epoch, s.once(s.chain("ethereum_chain_settled_epoch")), epoch+2, epoch)
}

// lost is the share of all votes of the last hour that was lost, by cause.
func (s selectors) lost(level mixin.Level, recorded func(string, ...string) string) string {
	return fmt.Sprintf("sum without (vote) (%s) / ignoring (cause) group_left () (3 * %s > 0)",
		recorded(rules.Increase(level, "attestation_votes_lost")), recorded(rules.Increase(level, "attestations_expected")))
}

func alertsFiring(s selectors) *panel {
	var queries []query
	for _, v := range severities() {
		queries = append(queries, now(orZero("count("+s.alertsIn("firing", equals("severity", string(v)))+")"), string(v)))
	}
	p := newStat("Alerts firing",
		"Firing alerts of this mixin by severity, whatever group or network they are about. All 0 is good, or there are no alerting rules.",
		unitCount, queries...).named()
	for _, v := range severities() {
		p.override(string(v), dashboard.DynamicConfigValue{Id: "thresholds", Value: thresholds(green, []step{at(1, severityColor(v))})})
	}
	return p
}

func effectivenessGauge(c mixin.Config, title, description, expr string) *panel {
	warn, good := c.Dashboards.EffectivenessWarn, c.Dashboards.EffectivenessGood
	description += fmt.Sprintf(" Yellow from %s, green from %s.", percent(warn), percent(good))
	// The dial begins as far below the warning as that is below the whole.
	low := max(0, (math.Round(200*warn)-100)/100)
	return newGauge(title, description, unitRatio, low, 1, now(expr, "")).
		digits(2).base(red, at(warn, yellow), at(good, green))
}

// lostVotes shows shares of votes lost, whose series are named after the causes.
func lostVotes(q query, title, description string) *panel {
	return newGraph(title, description, unitRatio, q).
		digits(2).from(0).stacked().
		colorSeries("missing", red).colorSeries("late", orange).colorSeries("wrong", "purple").colorSeries("network", blue)
}

// byRange shows one ratio over all of its ranges.
func byRange(s selectors, level mixin.Level, metric rules.Metric, recorded func(string, ...string) string, c mixin.Config, title, description string) *panel {
	var queries []query
	for _, w := range rules.Windows() {
		queries = append(queries, now(recorded(rules.Ratio(level, metric, w)), s.legend(span(w))))
	}
	return newStat(title, description, unitRatio, queries...).named().
		digits(2).base(red, at(c.Dashboards.EffectivenessWarn, yellow), at(c.Dashboards.EffectivenessGood, green))
}

func worstGroups(c mixin.Config, s selectors) *panel {
	of := func(expr string) string { return s.onceBy(expr, "group") }
	own := s.recorded(rules.Ratio(mixin.Group, rules.OwnEffectiveness, rules.Day), `group_by="$group_by"`)
	// Every column keeps to the groups of the first, so that none has rows of its own.
	these := func(expr string) string {
		return fmt.Sprintf("%s and%s bottomk(%d, %s)", of(expr), s.on("group"), worst, of(own))
	}
	byGroup := func(metric string, matchers ...string) string {
		return s.once(s.chain(metric, append([]string{`group_by="$group_by"`}, matchers...)...))
	}
	active := "sum without (status) (" + byGroup("ethereum_group_validators", `status=~"active_(ongoing|exiting)"`) + ")"
	warn, good := c.Dashboards.EffectivenessWarn, c.Dashboards.EffectivenessGood
	return s.located("Worst groups",
		fmt.Sprintf("The %d groups of the chosen label with the lowest own-fault effectiveness over a day. Overdue is the share of attestations of the last epoch or two that are at least 3 slots old and not included; budget is what is left of the error budget for %s of %s effectiveness, negative when overdrawn. Empty until rules have recorded an hour.",
			worst, mixin.Duration(c.Objective.Period), percent(c.Objective.Effectiveness)),
		label("group", "Group").linked("Look at this group",
			s.link(mixin.OverviewDashboard, "${group_by:queryparam}", "var-group=${__value.raw}")),
		value("Own-fault effectiveness", unitRatio, these(own)).digits(2).coloured(red, at(warn, yellow), at(good, green)),
		value("Effectiveness", unitRatio, these(s.recorded(rules.Ratio(mixin.Group, rules.Effectiveness, rules.Day), `group_by="$group_by"`))).digits(2),
		value("Overdue", unitRatio, these(ratio(byGroup("ethereum_group_attestations_overdue"), active)+
			" / ignoring (group_by, group) group_left () "+s.overdueEpochs())).
			digits(1).coloured(green, at(c.Alerts.Validators.GroupDownShare/2, yellow), at(c.Alerts.Validators.GroupDownShare, red)),
		value("Budget left", unitRatio, these(s.recorded(rules.BudgetRemaining(c.Objective.Period), `group_by="$group_by"`))).
			digits(1).coloured(red, at(0, yellow), at(0.5, green)),
		value("Active", unitCount, these(active)),
	).sorted("Own-fault effectiveness", false)
}
