package dashboards

import (
	"fmt"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// validators lists the validators of a group, and shows one of them in depth.
func validators(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{
		slug:        mixin.ValidatorsDashboard,
		description: "Every watched validator of a group in one table, and one validator with each vote that it lost and why.",
		variables:   append(append(s.common(), s.groups()...), s.validator()),
		sections: []section{
			newSection("Validators of the group",
				line(12, validatorTable(c, s)),
				line(8, offenders(s))),
			newSection("Validator $validator", oneValidator(c, s)...),
		},
	}
}

// validatorTable has a row for each validator of the chosen group.
func validatorTable(c mixin.Config, s selectors) *panel {
	warn, good := c.Dashboards.EffectivenessWarn, c.Dashboards.EffectivenessGood
	// of keeps one row for each validator of the group.
	of := func(expr string) string { return s.members(s.onceBy(expr, "validator_index")) }
	gauge := func(name string) string { return of(s.chain("ethereum_validator_" + name)) }
	columns := []column{
		index().
			linked("Look at this validator", s.link(mixin.ValidatorsDashboard, "${group_by:queryparam}", "${group:queryparam}", "var-validator=${__value.raw}")),
		label("pubkey", "Public key").wide(160),
		label("status", "Status").wide(140),
		keys(s.named()),
		value("Balance", unitETH, eth(gauge("balance_gwei"))).digits(4),
		value("Effective balance", unitETH, eth(gauge("effective_balance_gwei"))).digits(0),
	}
	for _, w := range rules.Windows() {
		columns = append(columns, value("Effectiveness "+span(w), unitRatio,
			of(s.recorded(rules.Ratio(mixin.Validator, rules.Effectiveness, w)))).
			digits(2).coloured(red, at(warn, yellow), at(good, green)))
	}
	columns = append(columns,
		value("Missed in a row", unitCount, gauge("missed_attestation_streak")).
			coloured(green, at(1, yellow), at(float64(c.Alerts.Validators.MissedStreak), red)),
		value("Overdue", unitCount, gauge("attestations_overdue")).coloured(green, at(1, orange)),
		value("Next proposal", unitDuration, "clamp_min("+gauge("next_proposal_timestamp_seconds")+" - time(), 0)"))
	return s.located("Validators",
		"Every watched validator of the chosen group; click a heading to sort, an index to see that validator below. "+
			"Missed in a row counts settled epochs, up to 8; overdue are attestations at least 3 slots old and not included yet; next proposal counts down. "+
			"Empty above the exporter's limit of individual series (--validators.individual-limit): then the table below has those that fail a duty.",
		columns...).sorted("Index", false)
}

// named is a series for each validator of the chosen group with its status and key.
// What the chain does not know has either no key, when it is watched by an index that
// is not given out yet, or no index, when it is watched by a key.
func (s selectors) named() string {
	status := s.onceBy(s.chain("ethereum_validator_status"), "validator_index", "status")
	known := status + " *" + s.on("validator_index") + " group_left (pubkey) " +
		s.onceBy(s.chain("ethereum_validator_info"), "validator_index", "pubkey")
	return s.members(known+" or"+s.on("validator_index")+" "+status) +
		" or label_replace(" + s.onceBy(s.infos(`validator_index=""`), "pubkey") + `, "status", "unknown", "pubkey", ".*")`
}

// offenders has a row for each duty that a validator fails.
func offenders(s selectors) *panel {
	return s.located("Worst validators above the individual limit",
		"Only above the exporter's limit of individual series (--validators.individual-limit), and empty below it: validators that fail a duty, of whatever group, of each kind the newest first, at most --validators.offender-limit rows. "+
			"How much is 1 for slashed; for blocks_missed the proposals of the counters' window and since; for missed_attestation_streak settled epochs, up to 8; "+
			"for attestations_overdue duties at least 3 slots old and not included, of validators without a streak; for sync_missed votes not settled yet. Empty is good.",
		index(),
		label("offence", "Offence"),
		value("How much", unitCount, s.onceBy(s.chain("ethereum_validator_offender"), "validator_index", "offence")),
	).sorted("How much", true)
}

// oneValidator is the validator chosen, in depth.
func oneValidator(c mixin.Config, s selectors) []panelLine {
	warn, good := c.Dashboards.EffectivenessWarn, c.Dashboards.EffectivenessGood
	gauge := func(name string, matchers ...string) string {
		return s.once(s.oneValidator("ethereum_validator_"+name, matchers...))
	}
	ratioOf := func(metric rules.Metric) string {
		return s.recordedValidator(rules.Ratio(mixin.Validator, metric, rules.Day))
	}
	hourly := func(counter string) string { return s.recordedValidator(rules.Increase(mixin.Validator, counter)) }
	counter := func(name string) string { return s.oneValidator("ethereum_validator_" + name + "_total") }

	return []panelLine{
		line(4,
			newStat("Status", "Status of the validator in the Beacon API's terms. active_ongoing is the usual one.",
				unitString, now(gauge("status"), "{{status}}")).showing(),
			newStat("Withdrawal credentials", "Type of the validator's withdrawal credentials: bls can not withdraw, execution pays out what is above 32 ETH, compounding keeps it up to 2048 ETH. Whoever changes them owns the stake.",
				unitString, now(gauge("info"), "{{withdrawal_type}}")).showing(),
			newStat("Slashed", "1 when the validator has been slashed, which is for ever.",
				unitNumber, now(gauge("slashed"), "slashed")).base(green, at(1, red)).
				states(state{"0", "no", green}, state{"1", "slashed", red}),
			newStat("Missed in a row", fmt.Sprintf("Newest settled epochs in a row in which the validator's attestation was not included, from 0 to 8. It counts as down from %d on.", c.Alerts.Validators.MissedStreak),
				unitEpochs, now(gauge("missed_attestation_streak"), "missed")).
				base(green, at(1, yellow), at(float64(c.Alerts.Validators.MissedStreak), red)),
			newStat("Overdue now", "Attestation duties at least 3 slots old that are not included at the head, from 0 to 2. Moves within slots.",
				unitCount, now(gauge("attestations_overdue"), "overdue")).base(green, at(1, orange)),
			newStat("Effectiveness, last day", "Share earned of what the validator's attestations could have earned, over a day.",
				unitRatio, now(ratioOf(rules.Effectiveness), "effectiveness")).
				digits(2).base(red, at(warn, yellow), at(good, green)),
			newStat("Own-fault effectiveness, last day", "The same without what nobody could have earned: only the validator's own doing lowers it.",
				unitRatio, now(ratioOf(rules.OwnEffectiveness), "own fault")).
				digits(2).base(red, at(warn, yellow), at(good, green)),
			newStat("Above the network, last day", "Effectiveness over a day less that of the whole network. Negative is worse than the rest.",
				unitRatio, now(s.recordedValidator(rules.Difference(mixin.Validator, rules.Effectiveness, rules.Day)), "difference")).
				digits(2).base(red, at(-c.Alerts.Validators.BelowNetwork, yellow), at(0, green))),
		line(8,
			newGraph("Balance", "Balance and effective balance at the first slot of each epoch. A staircase that rises is good; steps down are withdrawals, a slope down is penalties.",
				unitETH,
				over(eth(gauge("balance_gwei")), "balance"),
				over(eth(gauge("effective_balance_gwei")), "effective balance")).digits(4).steps(),
			newGraph("Effectiveness beside the network", "Share earned of what attestations could have earned, over the last hour, of the validator and of the whole network. 1 is all of it.",
				unitRatio,
				over(s.recordedValidator(rules.Ratio(mixin.Validator, rules.Effectiveness, rules.Hour)), "validator"),
				over(s.recordedValidator(rules.Ratio(mixin.Validator, rules.OwnEffectiveness, rules.Hour)), "validator, own fault only"),
				over(s.recorded(rules.Ratio(mixin.Network, rules.Effectiveness, rules.Hour)), "network")).digits(2)),
		line(8,
			newGraph("Votes that earned", "Share of the validator's source, target and head votes of the last hour that were timely and correct. The head vote is the hardest: it must be included in the next slot.",
				unitRatio,
				over(s.recordedValidator(rules.Ratio(mixin.Validator, rules.SourceVotes, rules.Hour)), "source"),
				over(s.recordedValidator(rules.Ratio(mixin.Validator, rules.TargetVotes, rules.Hour)), "target"),
				over(s.recordedValidator(rules.Ratio(mixin.Validator, rules.HeadVotes, rules.Hour)), "head")).digits(1),
			newGraph("Votes lost, and why", fmt.Sprintf("Votes of the validator that earned nothing, settled in the last %s, by vote and cause. Missing: not included. Late: included too late for this vote. Wrong: for another block than the chain's. Network: nobody could have earned it, or most others in the slot lost it too. An epoch is settled two epochs after it began. Empty is good.", s.settled()),
				unitCount, over("round(sum by (vote, cause) ("+s.increase(counter("attestation_votes_lost"), c.Recording.Short)+")) > 0", "{{vote}}: {{cause}}")).
				bars().stacked().from(0)),
		line(8,
			newGraph("Inclusion delay", "Average number of slots from an attestation's slot to the one that includes it, over the last hour. 1 is the best; above it head votes are lost. Absent while nothing is included.",
				unitSlots,
				over(ratio(s.increase(counter("attestation_inclusion_delay_slots"), rules.Hour), "("+s.increase(counter("attestations_included"), rules.Hour)+")"), "validator"),
				over(ratio(s.recorded(rules.Increase(mixin.Network, "attestation_inclusion_delay_slots")), s.recorded(rules.Increase(mixin.Network, "attestations_included"))), "network")).
				digits(2),
			newGraph("Attestation rewards", "Reward for the newest settled epoch's attestation, by component; negative is a penalty. Absent where no beacon node serves rewards.",
				unitGwei, over(gauge("attestation_reward_gwei"), "{{component}}")).steps()),
		line(4,
			newStat("Proposals, last 30 days", "Blocks that the validator was to propose, and those of them that are on the canonical chain. Most validators have a few in a year on mainnet.",
				unitCount,
				now("round("+sum(hourly("blocks_expected"), rules.Month)+")", "expected"),
				now("round("+sum(hourly("blocks_proposed"), rules.Month)+")", "on chain")).named(),
			newStat("Proposals missed now", "Proposals of epochs not settled yet, up to the head, without a canonical block of the validator.",
				unitCount, now(gauge("blocks_missed_unsettled"), "missed")).base(green, at(1, red)),
			newStat("Sync votes included, last day", "Share of the validator's expected sync committee votes that were included, over a day. Absent when it was not in the committee.",
				unitRatio, now(ratioOf(rules.SyncCommittee), "included")).digits(1).noValue("not a member").
				base(red, at(c.Alerts.Proposals.SyncParticipationLow, green)),
			newStat("Next attestation", "Time until the slot of the validator's next attestation. Every active validator has one each epoch.",
				unitDuration, now("clamp_min("+gauge("next_attestation_timestamp_seconds")+" - time(), 0)", "until")).noValue("none known"),
			newStat("Next proposal", "Time until the slot of the validator's next proposal, as far ahead as the chain has drawn proposers.",
				unitDuration, now("clamp_min("+gauge("next_proposal_timestamp_seconds")+" - time(), 0)", "until")).noValue("none known"),
			newStat("Sync committee", "Whether the validator is in the sync committee of the current or the next period. A member votes in every slot.",
				unitString, now(gauge("sync_committee_member"), "{{period}}")).showing().noValue("not a member"),
			newStat("Life of the validator", "Epochs of activation, exit, and from which on the balance can be withdrawn; absent when not scheduled.",
				unitNumber,
				now(gauge("activation_epoch"), "active from"),
				now(gauge("exit_epoch"), "exits at"),
				now(gauge("withdrawable_epoch"), "withdrawable from")).named()),
	}
}
