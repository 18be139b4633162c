package catalog

import "strings"

// subject is what a set of families is about: one validator, one group, or the
// whole network.
type subject struct {
	prefix string
	labels []string
	// of completes a help sentence: "Attestations expected {of}".
	of string
	// stakeNote ends the help of families that need effective balances.
	stakeNote string
}

var subjects = []subject{
	{
		prefix: "ethereum_validator", labels: []string{"network", "validator_index"},
		of: "of the validator",
	},
	{
		prefix: "ethereum_group", labels: []string{"network", "group_by", "group"},
		of: "of the group's validators",
	},
	{
		prefix: "ethereum_network", labels: []string{"network"},
		of:        "of all validators of the network",
		stakeNote: " Absent unless effective balances of the whole network are read (--network.stake).",
	},
}

// anchored are the counters every subject has. In help, {of} stands for the
// subject; the sentence goes on with the epochs that are summed.
var anchored = []struct {
	name, help string
	labels     []string
	stake      bool
}{
	{name: "attestations_expected", help: "Attestations expected {of}"},
	{name: "attestations_included", help: "Attestations {of} that were included on the canonical chain"},
	{name: "attestation_source_votes", help: "Timely and correct source votes {of}"},
	{name: "attestation_target_votes", help: "Timely and correct target votes {of}"},
	{name: "attestation_head_votes", help: "Timely and correct head votes {of}"},
	{name: "attestation_inclusion_delay_slots", help: "Inclusion delay in slots, at least 1 each, summed over the included attestations {of}"},
	{
		name:   "attestation_votes_lost",
		labels: []string{"vote", "cause"},
		help:   "Votes (source, target, head) {of} that earned nothing, by cause (missing, late, wrong: its own; network: nobody could have earned it, or most others in the slot lost it too)",
	},
	{name: "attestation_stake_possible_gwei", stake: true, help: "Effective balance in gwei behind the attestations expected {of}"},
	{name: "attestation_stake_achievable_gwei", stake: true, help: "Effective balance in gwei, weighted by the votes not lost to the network (source 14, target 26, head 14 of 54), behind the attestations expected {of}"},
	{name: "attestation_stake_earned_gwei", stake: true, help: "Effective balance in gwei, weighted by the votes earned (source 14, target 26, head 14 of 54), behind the attestations expected {of}"},
	{name: "blocks_expected", help: "Block proposals expected {of}"},
	{name: "blocks_proposed", help: "Block proposals {of} that are on the canonical chain"},
	{name: "sync_committee_expected", help: "Sync committee votes expected {of}, one for each seat in each slot with a canonical block"},
	{name: "sync_committee_included", help: "Sync committee votes {of} that were included on the canonical chain"},
}

const (
	inWindow    = ", in the settled epochs of the current window."
	inCompleted = ", in the completed window that began at the Unix time in the label window."
)

func anchoredFamilies() []Family {
	var out []Family
	add := func(s subject, name string, labels []string, help, note string) {
		labels = join(s.labels, labels...)
		out = append(out,
			Family{
				Name: s.prefix + "_" + name + "_total", Type: Counter, Origin: Chain,
				Labels: labels, Help: help + inWindow + note,
			},
			Family{
				Name: s.prefix + "_window_" + name, Type: Gauge, Origin: Chain,
				Labels: join(labels, "window"), Help: help + inCompleted + note,
			})
	}
	for _, s := range subjects {
		for _, c := range anchored {
			note := ""
			if c.stake {
				note = s.stakeNote
			}
			add(s, c.name, c.labels, strings.ReplaceAll(c.help, "{of}", s.of), note)
		}
		whose := s.of
		if s.stakeNote != "" {
			whose = "of the network's active validators"
		}
		out = append(out,
			Family{
				Name: s.prefix + "_window_balance_gwei", Type: Gauge, Origin: Chain,
				Labels: join(s.labels, "window"),
				Help:   "Balance in gwei " + whose + " at the end of the completed window that began at the Unix time in the label window." + s.stakeNote,
			},
			Family{
				Name: s.prefix + "_blocks_orphaned_observed_total", Type: Counter, Origin: Observed,
				Labels: s.labels,
				Help:   "Blocks " + s.of + " that this process saw as canonical and that were reorged out later, since it started.",
			})
	}
	network := subjects[2]
	add(network, "slashings", []string{"kind"}, "Slashing operations (kind proposer or attester) in canonical blocks", "")
	return out
}

func validatorFamilies() []Family {
	labels := subjects[0].labels
	gauge := func(name, help string, more ...string) Family {
		return Family{
			Name: "ethereum_validator_" + name, Type: Gauge, Origin: Chain,
			Labels: join(labels, more...), Help: help,
		}
	}
	info := gauge("info", "Always 1; names the validator's public key, its withdrawal credentials type (bls, execution, compounding, builder, unknown) and its labels in the watch list.", "pubkey", "withdrawal_type")
	info.WatchLabels = true
	return []Family{
		info,
		gauge("status", "1 for the validator's status in the Beacon API's terms (pending_queued, active_ongoing, exited_unslashed, …), unknown while the chain does not know the key; only the current status has a series.", "status"),
		gauge("balance_gwei", "Balance of the validator in gwei at the first slot of the head's epoch."),
		gauge("effective_balance_gwei", "Effective balance of the validator in gwei at the first slot of the head's epoch."),
		gauge("slashed", "1 when the validator has been slashed, else 0."),
		gauge("activation_epoch", "Epoch in which the validator became or becomes active; absent when not scheduled."),
		gauge("exit_epoch", "Epoch in which the validator exited or exits; absent when not scheduled."),
		gauge("withdrawable_epoch", "Epoch from which the validator's balance can be withdrawn; absent when not scheduled."),
		gauge("missed_attestation_streak", "Newest settled epochs in a row in which the validator's attestation was not included, from 0 to 8."),
		gauge("attestations_overdue", "Attestation duties of not yet settled epochs that are at least 3 slots old and not included at the head, from 0 to 2."),
		gauge("blocks_missed_unsettled", "Proposals of not yet settled epochs, up to the head, without a canonical block of the validator."),
		gauge("sync_missed_unsettled", "Sync committee votes of not yet settled epochs, up to the head, that were expected and are not included."),
		gauge("next_attestation_timestamp_seconds", "Unix time at which the slot of the validator's next attestation duty after the head begins; absent when none is known."),
		gauge("next_proposal_timestamp_seconds", "Unix time at which the slot of the validator's next block proposal after the head begins; absent when none is known."),
		gauge("sync_committee_member", "1 when the validator is in the sync committee of the period (current or next); absent otherwise.", "period"),
		gauge("attestation_reward_gwei", "Reward in gwei for the newest settled epoch's attestation, negative for a penalty, by component (source, target, head, inactivity); absent where no beacon node serves rewards.", "component"),
		gauge("offender", "A watched validator that fails a duty now, by offence and how much of it: slashed (1, until it has exited), blocks_missed (proposals in the window and since), missed_attestation_streak (epochs), attestations_overdue (of validators without a streak), sync_missed (votes not yet settled). A slashed validator has no other offence. Instead of the other ethereum_validator families above --validators.individual-limit validators; at most --validators.offender-limit series. First in turn the slashed, missed blocks and streaks of 3 epochs and more, then in turn what is less; of each kind the newest first: of two streaks the one that began later, and where both are too long to tell, of the validator with the higher balance, which has paid the least penalties. ethereum_group_offenders counts those that are left out, too.", "offence"),
	}
}

func groupFamilies() []Family {
	labels := subjects[1].labels
	gauge := func(name, help string, more ...string) Family {
		return Family{
			Name: "ethereum_group_" + name, Type: Gauge, Origin: Chain,
			Labels: join(labels, more...), Help: help,
		}
	}
	return []Family{
		gauge("validators", "Number of the group's validators with the status, in the Beacon API's terms.", "status"),
		gauge("balance_gwei", "Sum of the balances of the group's validators in gwei at the first slot of the head's epoch."),
		gauge("effective_balance_gwei", "Sum of the effective balances of the group's validators in gwei at the first slot of the head's epoch."),
		gauge("slashed", "Number of the group's validators that have been slashed."),
		gauge("missed_attestation_streak", "Longest missed attestation streak among the group's validators in settled epochs, from 0 to 8."),
		gauge("attestations_overdue", "Attestation duties of the group's validators in not yet settled epochs that are at least 3 slots old and not included at the head. Those of slashed validators, which are to be stopped, are not counted."),
		gauge("blocks_missed_unsettled", "Proposals of not yet settled epochs, up to the head, without a canonical block of the group's validator."),
		gauge("sync_missed_unsettled", "Sync committee votes of the group's validators in not yet settled epochs, up to the head, that were expected and are not included."),
		gauge("next_proposal_timestamp_seconds", "Unix time at which the slot of the next block proposal after the head by any of the group's validators begins; absent when none is known."),
		gauge("offenders", "Number of the group's validators that fail a duty now, by offence, in the terms of ethereum_validator_offender, and however many there are.", "offence"),
		gauge("missed_attestation_streaks", "Number of the group's validators whose missed attestation streak is at_least so many epochs, from 2 to 8. Slashed validators are not counted.", "at_least"),
		gauge("sync_committee_members", "Number of the group's validators in the sync committee of the period (current or next).", "period"),
		gauge("attestation_reward_gwei", "Sum of the group's validators' rewards in gwei for the newest settled epoch's attestations, negative for a penalty, by component (source, target, head, inactivity); absent where no beacon node serves rewards.", "component"),
	}
}

func chainFamilies() []Family {
	family := func(origin Origin, typ Type, name, help string) Family {
		return Family{Name: "ethereum_" + name, Type: typ, Origin: origin, Labels: []string{"network"}, Help: help}
	}
	return []Family{
		family(Chain, Gauge, "network_info", "Always 1; the label network is the chain's CONFIG_NAME, or what --network.name says."),
		family(Chain, Gauge, "network_active_validators", "Validators of the network with an attestation duty in the head's epoch, which are all active ones."),
		family(Chain, Gauge, "network_attestations_overdue", "Attestation duties of all validators of the network in not yet settled epochs that are at least 3 slots old and not included at the head."),
		family(Observed, Gauge, "chain_slot", "Slot that it is now by this machine's clock."),
		family(Chain, Gauge, "chain_head_slot", "Slot of the canonical head block that all chain families are computed at."),
		family(Chain, Gauge, "chain_epoch", "Epoch of the head slot."),
		family(Chain, Gauge, "chain_settled_epoch", "Newest settled epoch: the head is at or past the third slot of the second epoch after it, so nothing can be included for it any more."),
		family(Chain, Gauge, "chain_proposers_known_until_timestamp_seconds", "Unix time at which the last slot ends whose proposer is known: that of the head's epoch, and from Fulu on of the next. Whoever has no next proposal may be drawn for a slot after it."),
		family(Chain, Gauge, "chain_justified_epoch", "Current justified epoch at the first slot of the head's epoch."),
		family(Chain, Gauge, "chain_finalized_epoch", "Finalized epoch at the first slot of the head's epoch."),
		family(Observed, Gauge, "chain_snapshot_timestamp_seconds", "Unix time at which a beacon node last confirmed the head that is shown."),
		family(Observed, Counter, "chain_reorgs_observed_total", "Reorgs that this process saw, since it started: a head that does not descend from the one before."),
		family(Observed, Gauge, "chain_reorg_depth_observed_slots", "Slots from the common ancestor to the replaced head in the last reorg that this process saw; absent before the first."),
	}
}

func beaconFamilies() []Family {
	family := func(typ Type, name, help string, more ...string) Family {
		return Family{
			Name: "ethereum_beacon_" + name, Type: typ, Origin: Exporter,
			Labels: join([]string{"endpoint"}, more...), Help: help,
		}
	}
	retries := family(Counter, "retries_exhausted_total", "Operations that no beacon node answered, after every retry, by operation.")
	retries.Labels = []string{"operation"}
	return []Family{
		family(Gauge, "up", "1 when the beacon node answered the last probe, else 0."),
		family(Gauge, "info", "Always 1; names the beacon node's client and version.", "client", "version"),
		family(Gauge, "syncing", "1 when the beacon node says it is syncing, else 0."),
		family(Gauge, "sync_distance_slots", "Slots by which the beacon node says it is behind."),
		family(Gauge, "optimistic", "1 when the beacon node's head is not verified by its execution client, else 0."),
		family(Gauge, "execution_offline", "1 when the beacon node cannot reach its execution client, else 0."),
		family(Gauge, "peers", "Number of peers that the beacon node is connected to."),
		family(Gauge, "head_slot", "Slot of the beacon node's head."),
		family(Histogram, "request_duration_seconds", "Duration in seconds of requests to the beacon node, from sending to the last byte read, by operation.", "operation"),
		family(Counter, "requests_total", "Requests to the beacon node, by operation.", "operation"),
		family(Counter, "request_failures_total", "Failed requests to the beacon node, by operation and reason (timeout, connect, status, body, too_large, decode).", "operation", "reason"),
		family(Counter, "response_bytes_total", "Bytes read in answers of the beacon node, by operation.", "operation"),
		family(Counter, "failovers_total", "Times that an operation moved on from this beacon node to another."),
		retries,
	}
}

func exporterFamilies() []Family {
	family := func(typ Type, name, help string, labels ...string) Family {
		return Family{Name: "validator_exporter_" + name, Type: typ, Origin: Exporter, Labels: labels, Help: help}
	}
	return []Family{
		family(Gauge, "build_info", "Always 1; names the version, revision and branch of the exporter and how it was built.",
			"branch", "goarch", "goos", "goversion", "revision", "tags", "version"),
		family(Gauge, "watched_validators", "Number of validators in the watch list."),
		family(Gauge, "window_complete", "1 when the counters cover the window from its first epoch, else 0."),
		family(Gauge, "window_first_epoch", "First epoch that the counters sum over."),
		family(Gauge, "window_stake_anchored", "1 when stake families use effective balances from the window's first state, else 0."),
		family(Gauge, "collector_success", "1 when the collector's last run succeeded, else 0.", "collector"),
		family(Gauge, "collector_duration_seconds", "Duration in seconds of the collector's last run.", "collector"),
		family(Counter, "cache_hits_total", "Cache look-ups that found their key, by cache.", "cache"),
		family(Counter, "cache_misses_total", "Cache look-ups that did not find their key, by cache.", "cache"),
		family(Counter, "cache_evictions_total", "Entries dropped to keep the cache within its bound, by cache.", "cache"),
		family(Counter, "cache_rejected_total", "Values too large for the whole cache, which were not kept, by cache.", "cache"),
		family(Gauge, "cache_entries", "Entries in the cache.", "cache"),
		family(Gauge, "cache_bytes", "Estimated size in bytes of the entries in the cache.", "cache"),
		family(Gauge, "config_reload_success", "1 when the watch list was last loaded successfully, 0 when a bad file keeps the old list."),
		family(Gauge, "config_reload_timestamp_seconds", "Unix time at which the watch list was last loaded successfully."),
	}
}

func join(labels []string, more ...string) []string {
	return append(append(make([]string, 0, len(labels)+len(more)), labels...), more...)
}
