package alerts

// byCause tells how to go on from the cause of lost votes.
const byCause = `
- «missing»: the attestation is not on chain at all. The validator client does not run, has not loaded the key, cannot
  reach its beacon node, or refuses to sign (slashing protection, doppelganger protection, a remote signer that is down).
- «late»: it came, but too late. The beacon node learns of blocks late or is overloaded, the machine is short of processor
  or disk, the clock is wrong, or there are too few peers.
- «wrong»: it voted for another block. The beacon node was on a fork, imported the block too late for the head vote, or its
  execution client is behind, so that the head is optimistic.`

// recounted is said of alerts on what groups lost within hours, which may be old.
const recounted = `
Was an exporter restarted at the same address after validators were taken off its watch list? A running exporter leaves what
has settled as it was counted; a new one counts the present window (96 minutes on mainnet) again, without them. The group's
counters are then lower than before, Prometheus takes that for a reset, and what the window had lost already is counted a
second time. If nothing is lost since the restart, wait: the alert ends when the restart is out of its ranges. A list that
became shorter shows as a negative number:

	delta(validator_exporter_watched_validators[2h])

The watch list needs no restart: a running exporter looks at it with each scrape.`

// atTheClients are first checks at the software behind a validator.
const atTheClients = `
At the beacon node and the validator client:

	curl -s http://BEACON:5052/eth/v1/node/syncing
	curl -s http://BEACON:5052/eth/v1/node/peer_count
	journalctl -u VALIDATOR-CLIENT --since '-30min' | grep -iE 'error|warn|fail|slash|doppel|timeout'
	timedatectl status

«is_syncing», «is_optimistic» and «el_offline» must be false.`

// oneSigner is said wherever somebody might want to start keys elsewhere.
const oneSigner = `
Never run the same key in two validator clients, not even for a minute, not even if you believe that the first one is dead:
two signatures for one slot are slashed, and that costs more than months of missed attestations. Before keys move to another
machine, stop the first client for good, take its slashing protection database along, and wait three epochs (20 minutes on
mainnet) in which the chain shows no attestation of theirs: one may be included until the end of the epoch after its own.`

func effectivenessLowRunbook() Runbook {
	return Runbook{
		Meaning: `
Attestations of the last hour earned less than the threshold of what the network let them earn, weighted by stake and by the
protocol's weights of source, target and head votes. Votes that nobody could have earned, or that most others in the same
slot lost too, are not counted: what is lost here is the validators' own loss. The counters know settled epochs only, so the
alert is two epochs late at least, and after a repair it takes up to an hour until it resolves.

With a single validator one missed attestation is about a tenth of an hour. So that it is not told as an outage, the votes lost
must also be worth more than a few attestations, as the condition above says.`,
		Impact: `
Lost rewards, and a penalty for each source and target vote that is missing or wrong. Nothing that cannot be made good; but
the same cause often ends in validators that are down.`,
		Diagnosis: `
Which votes were lost by what cause, over the last hour («Votes lost, and why» on the dashboard Validators):

	max by (network, vote, cause) (increase(ethereum_group_attestation_votes_lost_total{group_by="all"}[1h])) > 0

The worst validators:

	bottomk(10, validator:attestation_own_effectiveness:ratio1h)
` + byCause + `

If all lost at once, look at what they share; if it is a few, look at their validator client. Compare clients and machines,
which are labels of the watch list, so groups:

	sort(group:attestation_own_effectiveness:ratio1h)
` + atTheClients,
		Mitigation: `
- Late or wrong: see that the beacon node has peers, a fast disk, and its execution client in sync. If the dashboard Beacon
  nodes and exporter shows slow answers, take load off the node. If a relay delays blocks of others, only waiting helps.
- Missing: see ValidatorDown.
- After an update or a change of settings at about the time when it began: undo it.
` + oneSigner,
	}
}

func effectivenessCriticalRunbook() Runbook {
	return Runbook{
		Meaning: `
The same measure as ValidatorEffectivenessLow, below a second and much lower threshold: what attestations earned over the
last hour, as a share of what the network let them earn. Both alerts fire then; this one is to be looked at now.`,
		Impact: `
A large part of the rewards is lost, and penalties add up. Below about 43 % penalties are higher than rewards, and the
balance falls.`,
		Diagnosis: `
First see whether it still goes on: a streak of missed attestations and overdue ones are newer than the last hour's ratio.

	max by (network, group_by, group) (ethereum_group_attestations_overdue)
	max by (network, validator_index) (ethereum_validator_missed_attestation_streak) > 0

Then by what cause votes were lost («Votes lost, and why» on the dashboard Validators):

	max by (network, vote, cause) (increase(ethereum_group_attestation_votes_lost_total{group_by="all"}[1h])) > 0
` + byCause + "\n" + recounted + "\n" + atTheClients,
		Mitigation: `
- If nothing is overdue any more, it is over, and the ratio rises within the hour. Find out what happened; do not restart
  what works.
- Else restart what is broken: the validator client, then the beacon node, then the execution client, one after the other,
  looking at the log each time.
- If a beacon node cannot be saved soon, point the validator client at another one that is synced. Most clients take a list
  of beacon nodes; that is safe, since the keys stay where they are.
` + oneSigner,
	}
}

func belowNetworkRunbook() Runbook {
	return Runbook{
		Meaning: `
Over the last day attestations earned less of what they could have earned than those of the network as a whole, by more than
the threshold. Votes lost to the network are left out on both sides. It is made of whole hours, so it is up to an hour old.`,
		Impact: `
A constant loss of part of the rewards. Nobody needs to get up, but it does not go away by itself.`,
		Diagnosis: `
How far below, and since when:

	sort(group:attestation_own_effectiveness:difference1d)

Is it one outage, or a little all the time?

	group:attestation_own_effectiveness:ratio1h{group_by="all"}

Which votes are lost: usually it is head votes, late or wrong.

	sum by (network, vote, cause) (sum_over_time(group:attestation_votes_lost:increase1h{group_by="all"}[1d:1h])) > 0

The mean inclusion delay in slots, of the group and of the network (1 is the best there is):

	group:attestation_inclusion_delay_slots:increase1h{group_by="all"} / group:attestations_included:increase1h{group_by="all"}
	network:attestation_inclusion_delay_slots:increase1h / network:attestations_included:increase1h
` + byCause,
		Mitigation: `
- Head votes late or wrong: more and better peers, an open port, a faster disk, fewer other programs on the machine, an
  execution client that imports blocks in well under a second. Compare clients by the groups of the watch list.
- One outage within the day: nothing to do; it is gone after a day.
- All head votes a bit worse than the network's: a far away machine or a slow link. Compare with another place before you
  move.
- Do not tune many things at once: a day is what it takes to see what a change does.`,
	}
}

func participationLowRunbook() Runbook {
	return Runbook{
		Meaning: `
Of the attestations that were due in the epochs that settled within the last hour, too many are not on chain, and the network
is not to blame: blocks could have carried them, and most other validators of the same slots made theirs.`,
		Impact: `
Each missing attestation costs its reward, and nearly as much again as a penalty. In times without finality the penalty grows
from epoch to epoch.`,
		Diagnosis: `
Which validators:

	bottomk(20, validator:attestation_own_participation:ratio1h)
	max by (network, validator_index) (ethereum_validator_missed_attestation_streak) > 0

Above the exporter's individual limit, the worst ones:

	topk(20, max by (network, validator_index) (ethereum_validator_offender{offence="missed_attestation_streak"}))
	curl -s 'http://EXPORTER:8080/api/v1/validators?offending=true'

A few validators that miss all, or all validators that miss some? The first is a validator client or a key, the second is a
beacon node, a machine or a link.
` + atTheClients,
		Mitigation: `
- Keys that are not loaded, or are disabled: load them, once. Look into the watch list for validators that have moved to
  somebody else.
- A validator client without a beacon node: repair or replace the beacon node; give the client a second one.
- Attestations that are made, but not included: see whether the node publishes them (its log says so), and whether it has
  peers on the subnets.
` + oneSigner,
	}
}

func downRunbook() Runbook {
	return Runbook{
		Meaning: `
A validator's newest attestations, as many in a row as the threshold, are not on chain, and more than half of them by its own
fault. The exporter counts up to 8 in a row, in settled epochs: those of the last two epochs are not among them yet, so the
validator has been gone for two epochs longer than the number says.

Above the exporter's individual limit only some validators are shown, those that went down last, without a cause. There the
alert fires only while the network itself was well all the time, and not before that is known. How many more there are that
are not shown, an alert of the group of all tells; it is over when all have an alert of their own, or attest. When a validator
gives way to newer ones on the list, its own alert ends although it is still down: the group's goes on.`,
		Impact: `
The validator earns nothing and pays a penalty every epoch, about three quarters of what it would earn. A day offline costs
most of another day's rewards. If the chain does not finalize at the same time, penalties grow quickly.`,
		Diagnosis: `
Whose key is it, and where does it run? The watch list's labels are on

	ethereum_validator_info{validator_index="INDEX"}

Is it still so? An overdue attestation is newer than the streak; 0 means that it attests again:

	ethereum_validator_attestations_overdue{validator_index="INDEX"}

Is it alone, or one of many?

	count by (network) (max by (network, validator_index) (ethereum_validator_missed_attestation_streak) > 0)
	max by (network, validator_index) (ethereum_validator_offender{offence="missed_attestation_streak"})

Many more than are listed: whose are they? The exporter itself knows each one:

	max by (network, group_by, group, at_least) (ethereum_group_missed_attestation_streaks) > 0
	curl -s 'http://EXPORTER:8080/api/v1/validators?offending=true'

Has it exited or been slashed?

	max by (network, validator_index, status) (ethereum_validator_status{validator_index="INDEX"})
` + atTheClients + `

Does the validator client say that this key is loaded and active? Does it wait for doppelganger protection (two epochs or
more after each start)? Does slashing protection refuse to sign? Is the remote signer up?`,
		Mitigation: `
- The client does not run: start it, on the machine where it was. Read its log until it has attested once.
- The beacon node is behind or has no peers: repair that first. Restarting the validator client does not help.
- Slashing protection refuses: do not delete its database. Find out who else signed with this key; until then it is good
  that it refuses.
- The key moved to somebody else: take it off the watch list.
- More are down for good than the list has room for: take them off the watch list, or raise «--validators.offender-limit».
` + oneSigner,
	}
}

func groupDownRunbook() Runbook {
	return Runbook{
		Meaning: `
Of the attestations that a group owes, more than the threshold are at least 3 slots old and not included at the head, over and
above the network's share at the same moment; and at least as many as the minimum. Epochs that have not settled count, so it is
seen within slots: the share grows for an epoch or two from when the group went down, and then is the share that is down.

When the network's own share is above the threshold of network trouble (a run of empty slots, an outage), or not known, the
alert is silent. An exporter that does not expose «ethereum_network_attestations_overdue» is too old for it; ValidatorDown
and the effectiveness alerts do not need it.`,
		Impact: `
The whole group loses its rewards and pays penalties. If the group is a large part of a small network, finality is in danger.`,
		Diagnosis: `
Which groups? The one that all overdue validators share names the cause: a machine, a client, a beacon node, an operator. Here a
validator may have two overdue attestations, so that the share may be twice that of the alert.

	sort_desc(max by (network, group_by, group) (ethereum_group_attestations_overdue) / (sum by (network, group_by, group) (max by (network, group_by, group, status) (ethereum_group_validators{status=~"active_(ongoing|exiting)"})) > 0))

And the network:

	max by (network) (ethereum_network_attestations_overdue) / max by (network) (ethereum_network_active_validators)

Are the beacon nodes that the exporter reads up, synced, and of one mind? If the exporter's own node is on a fork, the
validators may be well:

	max by (endpoint) (ethereum_beacon_head_slot)
	max by (endpoint) (ethereum_beacon_up)
	max by (endpoint) (ethereum_beacon_optimistic)
` + atTheClients,
		Mitigation: `
- Bring back what the group shares: power, link, machine, beacon node, validator client, remote signer. In this order, since
  the later ones need the earlier.
- Right after an update: roll it back.
- If the machine is lost for long, moving its keys is a decision for two people and daylight. An hour offline costs little;
  a slashing of the whole group costs a large part of the stake, since penalties grow with the number slashed together.
` + oneSigner,
	}
}

func balanceDecreasingRunbook() Runbook {
	return Runbook{
		Meaning: `
The balance is lower than it was, and over the last hour penalties for votes lost by own fault were higher than rewards. A
withdrawal alone does not fire it: neither the regular one of what exceeds the maximum, nor a partial one, nor the last one
after the exit, since none of them comes with lost votes. Nor does a loss that the network caused. The number in the alert is
by how much the balance fell, including withdrawals in the same time.

For single validators, missing more than half of the sync committee's votes counts as well, for that alone makes a balance
fall.`,
		Impact: `
The stake itself shrinks. When the effective balance falls with it, later rewards are smaller too. At 16 ETH the chain ejects
a validator.`,
		Diagnosis: `
The balance, and what it lost since yesterday, in gwei:

	max by (network, validator_index) (ethereum_validator_balance_gwei{validator_index="INDEX"})
	max by (network, validator_index) (ethereum_validator_balance_gwei offset 1d) - max by (network, validator_index) (ethereum_validator_balance_gwei)

Rewards and penalties of the newest settled epoch, where a beacon node serves them:

	max by (network, component) (ethereum_validator_attestation_reward_gwei{validator_index="INDEX"})
	max by (network, group, component) (ethereum_group_attestation_reward_gwei{group_by="all"})

A negative «inactivity» means that the chain does not finalize: see ChainFinalityDelayed. Which votes are lost, and why:

	max by (network, vote, cause) (increase(ethereum_validator_attestation_votes_lost_total{validator_index="INDEX"}[6h])) > 0

In the sync committee?

	validator:sync_committee_participation:ratio1h{validator_index="INDEX"}
` + byCause,
		Mitigation: `
Treat it like ValidatorDown: bring the validator back to its duties. If it shall not come back, exit it: an exit stops the
loss, leaving it offline does not. An exit needs the validator to be known and active, and takes as long as the exit queue.
` + oneSigner,
	}
}

func slashedRunbook() Runbook {
	return Runbook{
		Meaning: `
The chain has slashed a validator: two contradicting votes, or two blocks for one slot, were signed with its key, and both
were seen. A validator can still be slashed for 256 epochs after its exit, about a day on mainnet, and the chain does not tell
when it was: the alert fires until a day after that. Silence it by its «validator_index» once it is dealt with.

Above the exporter's individual limit it fires for the group of all, for as long as a slashed validator has not exited, and for
an hour after one was slashed that had exited before. The latter is not told while the watch list changes within that hour.`,
		Impact: `
Part of the stake is lost at once, the validator is forced out, it pays penalties until its balance can be withdrawn weeks
later, and half way there one more that grows with the number of validators slashed around the same time. Nothing undoes it.
What can still be saved are the other keys.`,
		Diagnosis: `
Which ones?

	max by (network, validator_index) (ethereum_validator_slashed) == 1
	max by (network, validator_index) (ethereum_validator_offender{offence="slashed"})
	curl -s 'http://EXPORTER:8080/api/v1/validators?status=active_slashed'
	curl -s 'http://EXPORTER:8080/api/v1/validators?status=exited_slashed'

Whose, and where do they run?

	ethereum_validator_info{validator_index="INDEX"}

Is it only yours, or are many on the network (a client's bug)?

	max by (network, kind) (network:slashings:increase1h)

Is one in the present sync committee? Each vote that is missing costs as much as a vote that is made still earns:

	max by (network, validator_index) (ethereum_validator_sync_committee_member{validator_index="INDEX",period="current"})

The block that holds the proof names both signatures; a block explorer shows it. Then look for the second signer: an old
machine that came up again, a backup that was restored, a failover that started too early, a container that ran twice, a key
that was given to two clients, or a stolen key. The two signatures' time and head tell which beacon nodes the signers used.`,
		Mitigation: `
1. Stop every validator client that may hold the same keys, or that was set up the same way: now. To be offline for hours is
   cheap. Pull the network cable if you cannot log in.
2. Do not start anything before you know who the second signer was, and that it is gone.
3. Start the rest one by one, with their slashing protection databases, doppelganger protection switched on.
4. If keys may be stolen, exit the other validators that used them.
5. Leave the slashed validator stopped. It is penalised in every epoch until its balance can be withdrawn, whether it attests
   or not, it may not propose, and it leaves by itself. Only a seat in the present sync committee still pays; that is worth
   nothing against a key whose second signer may still run.

Do not delete slashing protection databases. They are the evidence, and the only thing that keeps the other keys safe.`,
	}
}

func exitingRunbook() Runbook {
	return Runbook{
		Meaning: `
An exit of a watched validator is scheduled, or was carried out within the last day. Exits come from the validator's owner
(signed with the validator's key, or requested with the withdrawal key), from a consolidation into another validator, or from
the chain when the balance has fallen too far. Slashed validators have an alert of their own.`,
		Impact: `
None if it was wanted. Otherwise: an exit cannot be taken back, the validator earns nothing after it, and somebody uses a key
that only you should have.`,
		Diagnosis: `
When it leaves and when its balance can be withdrawn, as epochs, and the present epoch:

	max by (network, validator_index) (ethereum_validator_exit_epoch)
	max by (network, validator_index) (ethereum_validator_withdrawable_epoch{validator_index="INDEX"})
	max by (network) (ethereum_chain_epoch)

All that are leaving, also above the individual limit:

	max by (network, status) (ethereum_group_validators{group_by="all",status=~"active_exiting|exited_.+"})
	curl -s 'http://EXPORTER:8080/api/v1/validators?status=active_exiting'

Ask whoever may exit validators. If nobody did: was the balance near the ejection balance? Is the withdrawal type
«compounding», and was it consolidated? Who has the validator key, who the withdrawal key?`,
		Mitigation: `
- Wanted: keep the validator client running until the exit epoch, or it is penalised; then take the key off the client and
  the watch list.
- Not wanted, and signed with the validator's key: that key is in other hands. Stop its use, check the machine, and think of
  all keys that lay beside it. The funds go to the withdrawal address, which the validator key cannot change.
- Not wanted, and requested with the withdrawal key: that key is in other hands, and so are the funds. Move what else it
  protects.`,
	}
}

func unknownRunbook() Runbook {
	return Runbook{
		Meaning: `
The watch list has keys or indices that the registry of validators does not know. The state is that of the first slot of the
head's epoch. It fires once for all of them.`,
		Impact: `
Nothing is watched of these keys: no alert would tell if they were down.`,
		Diagnosis: `
Which ones? By index, and by key:

	max by (network, validator_index) (ethereum_validator_status{status="unknown"})
	max by (network, pubkey) (ethereum_validator_info{withdrawal_type="unknown"})
	curl -s 'http://EXPORTER:8080/api/v1/validators?status=unknown'

Ask a node:

	curl -s http://BEACON:5052/eth/v1/beacon/states/head/validators/0xPUBKEY

And is it the network that you think it is?

	ethereum_network_info`,
		Mitigation: `
- A typing error: correct the watch list. «validator-exporter --config.check» tests it; the exporter reads it again by itself
  when the file changes.
- A deposit that is still in the queue: days or weeks may pass on a busy network. Silence the alert for this key's list until
  then, or put the key on the list later.
- Another network's key, or a node of another network: see --beacon.url.
- An index that is too high: it will be known when as many validators exist. Use public keys for those that are to come.`,
	}
}

func credentialsChangedRunbook() Runbook {
	return Runbook{
		Meaning: `
The withdrawal credentials of a validator are of another type than an hour before: «bls» became «execution», «execution»
became «compounding», or the like. It fires for an hour, and only for keys that were watched before; a restart of the
exporter does not matter. A change of the address within one type is not seen here: the chain does not allow it.

Above the exporter's individual limit the type is not exposed, and the alert cannot fire.`,
		Impact: `
None if it was wanted. «bls» to «execution» decides for ever where the stake goes: if somebody else did it, the stake is
theirs. «execution» to «compounding» needs the withdrawal address's own key.`,
		Diagnosis: `
What it is now, and what it was:

	max by (network, validator_index, withdrawal_type) (ethereum_validator_info{validator_index="INDEX"})
	max by (network, validator_index, withdrawal_type) (ethereum_validator_info{validator_index="INDEX"} offset 2h)

The address, the last 20 bytes of the credentials:

	curl -s http://BEACON:5052/eth/v1/beacon/states/head/validators/INDEX

Is it an address of yours? Did anybody plan this change? How many validators does it concern?

	count by (network, withdrawal_type) (max by (network, validator_index, withdrawal_type) (ethereum_validator_info))`,
		Mitigation: `
- Wanted, and to your address: nothing.
- Not wanted, from «bls»: whoever did it has the mnemonic or the withdrawal key. Every other validator of the same mnemonic
  that still has «bls» credentials can be saved only by being faster: change theirs to your own address now.
- Not wanted, to «compounding»: the withdrawal address's key is in other hands. Move everything else from it at once. An exit
  sends the stake to that same address, so do not exit in a hurry.
- Keep the validators running in either case.`,
	}
}
