package alerts

import (
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// validatorHealth are alerts on attestations, balances and the registry's records.
// What blames a validator looks at votes that were lost by its own fault, or compares
// with the network.
func validatorHealth(c mixin.Config) Section {
	h := health{queries{c}}
	return Section{
		Name: "validator-health", Title: "Validator health", About: "Attestations, balance and status of validators.",
		Alerts: []Alert{
			h.effectivenessLow(), h.effectivenessCritical(), h.effectivenessBelowNetwork(), h.participationLow(),
			h.down(), h.groupDown(), h.balanceDecreasing(),
			h.slashed(), h.exiting(), h.unknown(), h.credentialsChanged(),
		},
	}
}

type health struct{ queries }

func (h health) effectivenessLow() Alert {
	a := h.effectiveness(h.c.Alerts.Validators.EffectivenessLow)
	a.Name, a.Severity = "ValidatorEffectivenessLow", mixin.Warning
	a.Summary = "Attestations earn less than they should, by own fault."
	a.Runbook = effectivenessLowRunbook()
	a.Cases = effectivenessCases(h.c, a, h.c.Alerts.Validators.EffectivenessLow)
	return a
}

func (h health) effectivenessCritical() Alert {
	a := h.effectiveness(h.c.Alerts.Validators.EffectivenessCritical)
	a.Name, a.Severity = "ValidatorEffectivenessCritical", mixin.Critical
	a.Summary = "Attestations earn far less than they should, by own fault."
	a.Runbook = effectivenessCriticalRunbook()
	a.Cases = effectivenessCases(h.c, a, h.c.Alerts.Validators.EffectivenessCritical)
	return a
}

// effectiveness is what the two alerts have in common: all but the threshold.
func (h health) effectiveness(threshold float64) Alert {
	earned := h.ratio(rules.OwnEffectiveness, rules.Hour)
	return Alert{
		Expr: fmt.Sprintf("%s < %v and %s", earned, threshold, h.enough(h.c.Level, "(1 - "+earned+")", rules.Hour)),
		For:  h.c.Alerts.Validators.For,
		Description: subject(h.c.Level) + " earned {{ $value | humanizePercentage }} of what the network let it earn with attestations" +
			" over the last hour (threshold " + percent(threshold) + ").",
		Action:    "See by what cause votes were lost: missing, late or wrong. Then look at the validator client and the beacon node behind it.",
		Dashboard: mixin.ValidatorsDashboard,
		Blames:    true,
	}
}

func (h health) effectivenessBelowNetwork() Alert {
	threshold := h.c.Alerts.Validators.BelowNetwork
	below := "-" + h.chosen(rules.Difference(h.c.Level, rules.OwnEffectiveness, rules.Day))
	a := Alert{
		Name: "ValidatorEffectivenessBelowNetwork", Severity: mixin.Warning,
		Expr:    fmt.Sprintf("%s > %v and %s", below, threshold, h.enough(h.c.Level, below, rules.Day)),
		For:     h.c.Alerts.Validators.For,
		Summary: "Attestations earn less than the network's average, by own fault.",
		Description: subject(h.c.Level) + " earned {{ $value | humanizePercentage }} less of what it could have earned with attestations" +
			" over the last day than the network as a whole (threshold " + percent(threshold) + ").",
		Action:    "Look for what is slow all the time: late blocks at the beacon node, few peers, a busy machine.",
		Dashboard: mixin.ValidatorsDashboard,
		Blames:    true,
		Runbook:   belowNetworkRunbook(),
	}
	a.Cases = belowNetworkCases(h.c, a)
	return a
}

func (h health) participationLow() Alert {
	threshold := h.c.Alerts.Validators.ParticipationLow
	made := h.ratio(rules.OwnParticipation, rules.Hour)
	a := Alert{
		Name: "ValidatorParticipationLow", Severity: mixin.Warning,
		Expr:    fmt.Sprintf("%s < %v and %s", made, threshold, h.enough(h.c.Level, "(1 - "+made+")", rules.Hour)),
		For:     h.c.Alerts.Validators.For,
		Summary: "Attestations are missing, by own fault.",
		Description: subject(h.c.Level) + " made {{ $value | humanizePercentage }} of its attestations over the last hour," +
			" not counting those that the network lost (threshold " + percent(threshold) + ").",
		Action:    "Find which validators miss attestations, and whether their validator client runs and reaches its beacon node.",
		Dashboard: mixin.ValidatorsDashboard,
		Blames:    true,
		Runbook:   participationLowRunbook(),
	}
	a.Cases = participationLowCases(h.c, a)
	return a
}

// down fires at a streak of missed attestations when more were lost by the validator's own
// fault than to the network in that time. Where validators have no series of their own, the cause is not
// known, so that the network must have been well all the time instead. Nor has each of them a
// series there: what the list leaves out is told as a number.
func (h health) down() Alert {
	n := h.c.Alerts.Validators.MissedStreak
	// Two epochs more than the streak, since counters rest for some slots at a window's end.
	over := time.Duration(n+2) * h.c.Chain.Epoch()
	streak := h.latest(h.of(mixin.Validator, "missed_attestation_streak"), own(mixin.Validator)...)
	lost := func(cause string) string {
		return h.rise(h.of(mixin.Validator, "attestation_votes_lost_total", `vote="target"`, fmt.Sprintf("cause=%q", cause)), over)
	}
	offenders := fmt.Sprintf("max without (offence) (%s) >= %d",
		h.latest(h.series("ethereum_validator_offender", `offence="missed_attestation_streak"`), "validator_index", "offence"), n)
	well := fmt.Sprintf("(min_over_time(%s[%s]) > 1 - %v)", rules.NetworkShortParticipation(h.c), mixin.Duration(over), h.c.Alerts.Validators.NetworkTrouble)
	a := Alert{
		Name: "ValidatorDown", Severity: mixin.Critical,
		Expr: fmt.Sprintf("%s >= %d and ignoring (vote) (%s - ignoring (cause) %s > 0.5)", streak, n, lost("missing"), lost("network")) +
			fmt.Sprintf(" or %s and%s %s", offenders, ignoring(own(mixin.Validator)), well) +
			fmt.Sprintf(" or (%s) and%s %s", h.notListed(offenders, n), ignoring(own(mixin.Group)), well),
		For:     h.wait(),
		Summary: "A validator does not attest.",
		Description: "{{ if $labels.validator_index }}" + subject(mixin.Validator) + ` missed its last {{ $value | printf "%.0f" }} attestations, not because of the network` +
			"{{ else }}" + subject(mixin.Group) + fmt.Sprintf(` has {{ $value | printf "%%.0f" }} down beyond those that have an alert of their own: they missed their last %d attestations or more, not because of the network`, n) +
			"{{ end }} (threshold " + fmt.Sprint(n) + ").",
		Action:    "Check that its validator client runs with this key loaded, and that its beacon node is synced. Never start a second validator client with the same key.",
		Dashboard: mixin.ValidatorsDashboard,
		Blames:    true,
		Runbook:   downRunbook(),
	}
	a.Cases = downCases(h.c, a)
	return a
}

// notListed is how many validators are down beyond those that the exporter lists where it
// has too many for series of their own. The list has the newest outages, and the group of
// all counts every one.
func (h health) notListed(offenders string, atLeast int) string {
	down := fmt.Sprintf("max without (at_least) (%s)",
		h.latest(h.series("ethereum_group_missed_attestation_streaks", everything, fmt.Sprintf(`at_least="%d"`, atLeast)), "group_by", "group", "at_least"))
	listed := fmt.Sprintf("(count without (validator_index) (%s) or max without (group_by, group) (0 * %s))", offenders, down)
	return h.unlessIndividual(fmt.Sprintf("%s -%s %s > 0", down, perNetwork(mixin.Group), listed))
}

// groupDown fires within slots: overdue attestations are seen long before they count as
// missed. A validator may have two of them, so the share is of the duties that could be
// overdue. What the network as a whole has overdue is taken off. Duties of validators that
// have just exited are among them, so the share is of as many as the group had then.
func (h health) groupDown() Alert {
	t := h.c.Alerts.Validators
	overdue := h.latest(h.of(mixin.Group, "attestations_overdue"), own(mixin.Group)...)
	// Slashed validators are to be stopped: the exporter does not count their attestations either.
	active := fmt.Sprintf("max_over_time((sum without (status) (%s))[%s:%s])",
		h.once(h.of(mixin.Group, "validators", `status=~"active_(ongoing|exiting)"`)),
		mixin.Duration(2*h.c.Chain.Epoch()), mixin.Duration(h.c.Chain.ScrapeInterval))
	network := fmt.Sprintf("%s / (%s > 0) / %s",
		h.latest(h.series("ethereum_network_attestations_overdue")), h.once(h.series("ethereum_network_active_validators")), h.overdueEpochs())
	a := Alert{
		Name: "ValidatorGroupDown", Severity: mixin.Critical,
		Expr: fmt.Sprintf("%s / (%s > 0) /%s %s -%s (%s) > %v and %s >= %d unless%s (%s > %v)",
			overdue, active, perNetwork(mixin.Group), h.overdueEpochs(), perNetwork(mixin.Group), network, t.GroupDownShare,
			overdue, t.GroupDownMinimum,
			ignoring(own(mixin.Group)), network, t.NetworkTrouble),
		For: h.wait(), KeepFiringFor: h.c.Chain.Epoch(),
		Summary: "Many validators of a group do not attest.",
		Description: subject(mixin.Group) + " has {{ $value | humanizePercentage }} of its attestations overdue," +
			" over and above the network's share (threshold " + percent(t.GroupDownShare) + ").",
		Action:    "Look for what the group shares: a machine, a validator client, a beacon node, a network link. Never start its keys a second time elsewhere.",
		Dashboard: mixin.OverviewDashboard,
		Blames:    true,
		Runbook:   groupDownRunbook(),
	}
	a.Cases = groupDownCases(h.c, a)
	return a
}

// lossBelow is the share of what could have been earned below which missing votes cost
// more than the others earn: a missing attestation costs 40 where a good one earns 54.
const lossBelow = "40 / (40 + 54)"

// balanceDecreasing does not fire for a withdrawal: a balance that fell is not enough,
// penalties must also outweigh rewards. Nor for the network, since only votes lost by own
// fault are counted.
func (h health) balanceDecreasing() Alert {
	t := h.c.Alerts.Validators
	balance := h.of(h.c.Level, "balance_gwei")
	penalised := fmt.Sprintf("%s < %s", h.ratio(rules.OwnEffectiveness, rules.Hour), lossBelow)
	if h.c.Level == mixin.Validator {
		// A group's one member in the sync committee does not make its balance fall.
		penalised += fmt.Sprintf(" or %s < 1 / 2 and%s (%s > 1 - %v)",
			rules.Ratio(mixin.Validator, rules.SyncCommittee, rules.Hour), ignoring(own(mixin.Validator)),
			rules.Ratio(mixin.Network, rules.SyncCommittee, rules.Hour), t.NetworkTrouble)
	}
	a := Alert{
		Name: "ValidatorBalanceDecreasing", Severity: mixin.Warning,
		Expr: fmt.Sprintf("(%s - %s) / 1e9 > 0 and (%s)",
			h.once(balance+" offset "+mixin.Duration(t.BalanceRange)), h.once(balance), penalised),
		For:     t.For,
		Summary: "The balance falls, because penalties are higher than rewards.",
		Description: subject(h.c.Level) + ` has {{ $value | printf "%.6f" }} ETH less than ` + mixin.Duration(t.BalanceRange) +
			" ago, withdrawals included, and lost more by its own fault than it earned over the last hour (threshold 0 ETH).",
		Action:    "Treat it like a validator that is down: find out which duties it misses and why.",
		Dashboard: mixin.ValidatorsDashboard,
		Blames:    true,
		Runbook:   balanceDecreasingRunbook(),
	}
	a.Cases = balanceDecreasingCases(h.c, a)
	return a
}

// keptEpochs is how long after its exit a validator is still talked about: a day.
func (h health) keptEpochs() int { return int(rules.Day/h.c.Chain.Epoch()) + 1 }

// slashableEpochs is how long a validator can still be slashed after its exit: the chain's
// MIN_VALIDATOR_WITHDRAWABILITY_DELAY, which is the same on all networks.
const slashableEpochs = 256

// recentExit selects validators that are to exit, or exited within the last epochs. The
// value is the epoch of the exit.
func (h health) recentExit(epochs int) string {
	return fmt.Sprintf("(%s >%s (%s - %d))",
		h.once(h.of(mixin.Validator, "exit_epoch")), perNetwork(mixin.Validator), h.once(h.series("ethereum_chain_epoch")), epochs)
}

// slashed must not page for ever: the registry says slashed long after everybody knows. It
// does not say when, so a validator is told of until a day after the last moment at which
// it could have been slashed.
//
// Of a group those that have not exited are known, and of the others only how many were
// slashed at any time: that number must have risen. It rises with the watch list, too, so
// the list must have been as long all the time, at all replicas.
func (h health) slashed() Alert {
	hour := mixin.Duration(toldFor)
	active := h.once(h.series("ethereum_group_validators", everything, `status="active_slashed"`), "status")
	all, watched := h.series("ethereum_group_slashed", everything), h.series("validator_exporter_watched_validators")
	rose := fmt.Sprintf("%s - %s > 0 and%s %s == %s",
		h.once(all), h.any(fmt.Sprintf("min_over_time(%s[%s])", all, hour)), ignoring(append([]string{"network"}, own(mixin.Group)...)),
		h.once(fmt.Sprintf("max_over_time(%s[%s])", watched, hour)), h.any(fmt.Sprintf("min_over_time(%s[%s])", watched, hour)))
	a := Alert{
		Name: "ValidatorSlashed", Severity: mixin.Critical,
		Expr: fmt.Sprintf("%s == 1 and %s or %s", h.once(h.of(mixin.Validator, "slashed")), h.recentExit(slashableEpochs+h.keptEpochs()),
			h.unlessIndividual(active+" > 0 or "+rose)),
		For:     h.wait(),
		Summary: "A validator has been slashed.",
		Description: "{{ if $labels.validator_index }}" + subject(mixin.Validator) + " has been slashed" +
			"{{ else }}" + subject(mixin.Group) + " has {{ $value }} validators that are slashed and have not exited yet, or were slashed within the last hour{{ end }} (threshold 1).",
		Action:    "Stop every validator client that has this validator's key or was set up the same way, until it is known which two signed.",
		Dashboard: mixin.OverviewDashboard,
		Blames:    true,
		Runbook:   slashedRunbook(),
	}
	a.Cases = slashedCases(h.c, a)
	return a
}

func (h health) exiting() Alert {
	status := h.once(h.of(mixin.Validator, "status", `status=~"active_exiting|exited_unslashed"`), "status")
	a := Alert{
		Name: "ValidatorExiting", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s and %s or %s", h.recentExit(h.keptEpochs()), status,
			h.unlessIndividual(h.once(h.series("ethereum_group_validators", everything, `status="active_exiting"`), "status")+" > 0")),
		For:     h.wait(),
		Summary: "A validator leaves the chain.",
		Description: "{{ if $labels.validator_index }}" + subject(mixin.Validator) + ` exits at epoch {{ $value | printf "%.0f" }}` +
			"{{ else }}" + subject(mixin.Group) + " has {{ $value }} validators that are exiting{{ end }} (threshold 1).",
		Action:    "Make sure that the exit was wanted. It cannot be undone; keep the validator running until it is over.",
		Dashboard: mixin.ValidatorsDashboard,
		Runbook:   exitingRunbook(),
	}
	a.Cases = exitingCases(h.c, a)
	return a
}

// unknownFor is long enough for a deposit's first steps, short enough for a typing error.
const unknownFor = time.Hour

func (h health) unknown() Alert {
	a := Alert{
		Name: "ValidatorUnknown", Severity: mixin.Warning,
		Expr:        h.once(h.series("ethereum_group_validators", everything, `status="unknown"`), "status") + " > 0",
		For:         max(unknownFor, h.wait()),
		Summary:     "A key of the watch list is not known to the chain.",
		Description: subject(mixin.Group) + " has {{ $value }} keys that the chain does not know (threshold 1). Nothing is watched of them.",
		Action:      "Compare the watch list with the deposits: a typing error, another network, or a deposit that is still in the queue.",
		Dashboard:   mixin.OverviewDashboard,
		Runbook:     unknownRunbook(),
	}
	a.Cases = unknownCases(h.c, a)
	return a
}

// changedFor is how long a change of credentials is told.
const changedFor = time.Hour

// credentialsChanged compares the types now with those that were seen in the hour
// before the last. A key that was not watched then has nothing to be compared with.
func (h health) credentialsChanged() Alert {
	kept := []string{"job", "network", "validator_index", "pubkey", "withdrawal_type"}
	if l := h.c.Select.ClusterLabel; l != "" {
		kept = append(kept, l)
	}
	// Labels of the watch list may change with the type, those that the job is found by do not.
	for _, l := range slices.Sorted(maps.Keys(exporterLabels(h.c.Select.Exporter))) {
		if !slices.Contains(kept, l) && !slices.Contains(h.c.Select.ReplicaLabels, l) {
			kept = append(kept, l)
		}
	}
	info := h.series("ethereum_validator_info")
	seen := func(query string) string { return fmt.Sprintf("max by (%s) (%s)", strings.Join(kept, ", "), query) }
	hour := mixin.Duration(changedFor)
	before := seen(fmt.Sprintf("last_over_time(%s[%s] offset %s)", info, hour, hour))
	a := Alert{
		Name: "ValidatorWithdrawalCredentialsChanged", Severity: mixin.Critical,
		Expr:    fmt.Sprintf("%s unless %s and ignoring (withdrawal_type) %s", seen(info), before, before),
		For:     h.wait(),
		Summary: "A validator's withdrawal credentials are of another type than before.",
		Description: subject(mixin.Validator) + " has withdrawal credentials of the type {{ $labels.withdrawal_type }}; an hour ago they were of another one" +
			" (threshold: any change).",
		Action:    "Make sure that the change was wanted. If it was not, somebody else has the withdrawal key: move what it still protects.",
		Dashboard: mixin.ValidatorsDashboard,
		Runbook:   credentialsChangedRunbook(),
	}
	a.Cases = credentialsChangedCases(h.c, a)
	return a
}
