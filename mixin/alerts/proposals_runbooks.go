package alerts

func proposalMissedRunbook() Runbook {
	return Runbook{
		Meaning: `
A watched validator was due to propose a block, and its slot has no canonical block. It fires within slots, from what has not
settled yet, and then for an hour by the counters. A block that this exporter saw and that was reorged out later is another
alert's: ValidatorProposalOrphaned.

A run of empty slots is the network's doing. While the head has lagged behind the clock for more than a few slots, the alert
waits until the counters tell whether the others proposed meanwhile: if they did, it was your own nodes that stood still, and
the alert fires late. It stays silent when about as many of all blocks are missing as the head lagged, or when the network
misses more than the threshold of network trouble.

Above the exporter's individual limit the misses of all watched validators are counted together.`,
		Impact: `
The block's reward, its share of fees and whatever a builder would have paid: on average as much as weeks of attestations.
There is no penalty, and nothing to be made good. What counts is the next proposal.`,
		Diagnosis: `
Which validators, and when is the next one due?

	max by (network, validator_index) (ethereum_validator_blocks_missed_unsettled) > 0
	max by (network, validator_index) (validator:blocks_expected:increase1h - validator:blocks_proposed:increase1h) > 0.5
	max by (network, validator_index) (ethereum_validator_offender{offence="blocks_missed"})
	sort(max by (network, validator_index) (ethereum_validator_next_proposal_timestamp_seconds) - time())

Does the validator attest at the same time? If not, it is down; see ValidatorDown. If it does, look at the slot in the logs:

	journalctl -u VALIDATOR-CLIENT --since '-1h' | grep -iE 'propos|block|builder|relay|mev'
	journalctl -u BEACON-NODE --since '-1h' | grep -iE 'produce|propos|payload|builder|execution'

- «not asked»: the client did not know of the duty, or was restarting. See when it started.
- «failed to produce»: the beacon node was behind or optimistic, or the execution client gave no payload in time.
- «builder» or «relay» errors: the header was signed, but the relay did not publish the payload. After signing for a builder
  a client cannot fall back to a block of its own.
- «published», but not canonical: it came too late and nobody built upon it. Compare the time of publication with the start of
  the slot; more than four seconds is too late.

Were others missing blocks at the same time?

	network:block_proposals:ratio1h
	max_over_time((ethereum_chain_slot - ethereum_chain_head_slot)[2h:1m])
` + recounted,
		Mitigation: `
- Down or restarting: see the dashboard Proposals and sync for the safe time to restart, and use it next time.
- Relays: remove the one that failed, keep the ones that answered; set a minimum bid or a timeout so that a local block is
  made when relays are slow.
- Slow payloads: the execution client needs a faster disk or less to do.
- Late: look at the clock (NTP), and at what the machine did in that second.
- Do not restart anything while another proposal is due within minutes.`,
	}
}

func proposalOrphanedRunbook() Runbook {
	return Runbook{
		Meaning: `
A block of a watched validator was canonical for a while, as this exporter saw it, and is not any more. The exporter counts
what it happened to see since it started; another replica may have seen less.`,
		Impact: `
The block's reward is lost as if it had been missed. One now and then is normal.`,
		Diagnosis: `
	max by (network, validator_index) (increase(ethereum_validator_blocks_orphaned_observed_total[1d])) > 0
	max by (network) (increase(ethereum_chain_reorgs_observed_total[1d]))
	max by (network) (ethereum_chain_reorg_depth_observed_slots)

When was the block published? If it came four seconds or more after its slot began, most validators had voted for its parent
already, and the next proposer was entitled to build upon that.

	journalctl -u BEACON-NODE --since '-2h' | grep -iE 'publish|reorg|late'

A block that was made in time can be orphaned by a next proposer that did not see it: too few peers, or a slow link.`,
		Mitigation: `
- Late: a shorter timeout for builders, no waiting for better bids late in the slot, a faster execution client.
- In time, but badly spread: more peers, an open port, more upload bandwidth.
- Many at once: see ChainReorgDeep; then it is the network, and there is nothing to repair.`,
	}
}

func proposalUpcomingRunbook() Runbook {
	return Runbook{
		Meaning: `
A watched validator proposes a block soon. Proposers are known from the beginning of an epoch on, at most two epochs ahead.
The alert ends when the slot begins.

Above the exporter's individual limit it is about the next block of all watched validators together. When these propose so
often that one is always due soon, there is no time without a proposal to wait for, and the alert is silent.`,
		Impact: `
None, unless somebody restarts something now.`,
		Diagnosis: `
When, exactly, and who:

	sort(max by (network, validator_index) (ethereum_validator_next_proposal_timestamp_seconds) - time())
	max by (network, group_by, group) (ethereum_group_next_proposal_timestamp_seconds) - time()

The dashboard Proposals and sync shows a safe time to restart.`,
		Mitigation: `
Leave the validator client, the beacon node, the execution client and the relay software alone until the slot is over. If
something is broken already, repair it at once: there are minutes left.`,
	}
}

func syncParticipationLowRunbook() Runbook {
	return Runbook{
		Meaning: `
Over the last hour, too few of the sync committee votes that were expected are in blocks, compared with what the network as a
whole achieved. One vote is expected for each seat in each slot that has a block. When the whole committee does badly the
alert is silent.`,
		Impact: `
A missed vote costs as much as an included one earns. A seat lasts about a day and is worth a month of attestations or more,
so this is a lot of money for one validator.`,
		Diagnosis: `
Who has a seat, and how well is it filled?

	max by (network, validator_index) (ethereum_validator_sync_committee_member{period="current"})
	sort(validator:sync_committee_participation:ratio1h)
	group:sync_committee_participation:ratio1h
	network:sync_committee_participation:ratio1h

Is it still so? Votes that are missing since the newest settled epoch:

	max by (network, validator_index) (ethereum_validator_sync_missed_unsettled) > 0

Members vote a third into the slot for the block that they see then. If the vote is made but not included, the beacon node
saw the block too late, or its messages did not reach an aggregator:

	journalctl -u VALIDATOR-CLIENT --since '-1h' | grep -iE 'sync.?committee|contribution'
	journalctl -u BEACON-NODE --since '-1h' | grep -iE 'late|delay|sync.?committee'`,
		Mitigation: `
- No votes in the log at all: the validator client does not know of the seat. Restart it once, away from a proposal.
- Votes that are late: see that blocks arrive early enough (peers, disk, processor, clock).
- Votes in time, yet not included: more peers; some clients need to subscribe to the committee's subnets, and do so only when
  the validator client has told them.`,
	}
}

func syncMissingRunbook() Runbook {
	return Runbook{
		Meaning: `
Since the newest settled epoch, more than the threshold of the sync committee votes that were expected of a validator or group
are not in blocks. The number of seats is taken from the votes that were expected before, so the alert says nothing in the
first epochs of a period. It waits until the first of the missing votes have settled, because not before that is it known
whether the network lost them as well; if it did, the alert stays silent.`,
		Impact: `
Each missed vote costs as much as an included one earns; a silent seat loses in a day what a month of attestations brings.`,
		Diagnosis: `
Does the validator attest?

	max by (network, validator_index) (ethereum_validator_attestations_overdue) > 0
	max by (network, validator_index) (ethereum_validator_sync_missed_unsettled) > 0
	max by (network, validator_index) (ethereum_validator_offender{offence="sync_missed"})

If it does not attest either, it is down: see ValidatorDown. If it does, only the sync committee's part is broken:

	journalctl -u VALIDATOR-CLIENT --since '-30min' | grep -iE 'sync.?committee|contribution|error'
	curl -s http://BEACON:5052/eth/v1/node/syncing

And the network:

	network:sync_committee_participation:ratio1h`,
		Mitigation: `
Bring the validator client or its beacon node back. If only sync committee messages fail, restart the validator client once,
when no proposal is near; if that does not help, point it at another beacon node.
` + oneSigner,
	}
}

func syncUpcomingRunbook() Runbook {
	return Runbook{
		Meaning: `
A watched validator will be in the sync committee of the next period. That is known for the whole period before, about a day
on mainnet.`,
		Impact: `
None. While the seat lasts, every missed slot costs much more than usual.`,
		Diagnosis: `
Who, and are there others in the present period?

	max by (network, validator_index, period) (ethereum_validator_sync_committee_member)
	max by (network, group_by, group, period) (ethereum_group_sync_committee_members) > 0`,
		Mitigation: `
Update and restart what you must before the period begins. Afterwards, keep interruptions to a minute or two. See that the
validator's machine has no maintenance planned for that day.`,
	}
}
