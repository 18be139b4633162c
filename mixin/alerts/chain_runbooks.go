package alerts

func finalityDelayedRunbook() Runbook {
	return Runbook{
		Meaning: `
The newest finalized epoch is further behind the head's epoch than usual; two or three epochs are normal. Less than two thirds
of the stake have voted for the same checkpoints, or the nodes that the exporter reads follow a fork that most do not.`,
		Impact: `
Four epochs after the last finalized one the inactivity leak begins: attestations earn nothing, and validators that do not
attest lose more from epoch to epoch. Deposits, exits and whoever waits for finality stand still. Validators that attest
correctly lose next to nothing.`,
		Diagnosis: `
Is it the chain, or is it your nodes? Compare with a block explorer and with somebody else's node:

	max by (network) (ethereum_chain_epoch) - max by (network) (ethereum_chain_finalized_epoch)
	max by (endpoint) (ethereum_beacon_head_slot)
	max by (network) (ethereum_chain_slot - ethereum_chain_head_slot)
	curl -s http://BEACON:5052/eth/v1/beacon/states/head/finality_checkpoints
	curl -s http://BEACON:5052/eth/v1/beacon/headers/head

How many attest, and do yours?

	network:attestation_participation:ratio1h
	sort(group:attestation_own_participation:ratio1h)

If some of your clients see another head than others, one of them has a bug. See which heads a minority of clients has, and
what the clients' developers say.`,
		Mitigation: `
- The chain's trouble, and your nodes are with the majority: leave everything as it is. Restarting and resyncing makes it
  worse, for you and for the chain.
- Your nodes are on a minority fork: stop the validator clients first. A vote on a wrong fork can bind a validator: once it is
  justified, voting on the other fork may be a slashable surround vote. Then change to a client that follows the majority,
  sync it, and start again with the same slashing protection database.
- Your validators do not attest: see ValidatorDown. In a leak, each hour costs more than the one before.
- Never delete the slashing protection database to get a client to sign.`,
	}
}

func headStalledRunbook() Runbook {
	return Runbook{
		Meaning: `
Beacon nodes answer, but none of them follows a block that is younger than the threshold, by the clock of the exporter's
machine. Either the network makes no blocks, or all nodes that the exporter reads are stuck or are still syncing. Nodes that
do not answer at all have other alerts: see [BeaconNodesAllDown](BeaconNodesAllDown.md) and
[ValidatorSnapshotStale](ValidatorSnapshotStale.md).`,
		Impact: `
All that is shown of validators is as old as the head, and alerts on them see nothing newer: nobody watches them. Validator
clients that use these nodes attest to an old head, or not at all.`,
		Diagnosis: `
Does a public explorer have newer blocks? Then it is your nodes:

	max by (network) (ethereum_chain_slot - ethereum_chain_head_slot)
	max by (endpoint) (ethereum_beacon_head_slot)
	max by (endpoint) (ethereum_beacon_syncing)
	max by (endpoint) (ethereum_beacon_sync_distance_slots)
	max by (endpoint) (ethereum_beacon_execution_offline)
	min by (endpoint) (ethereum_beacon_peers)

If they stand still at the same slot, look in their logs for a block that they all reject: they share a client, a version, an
execution client, a machine or a link. A clock of the exporter's machine that runs ahead makes every head look old:

	timedatectl status`,
		Mitigation: `
- All nodes sync: wait if the distance shrinks; else see [BeaconNodeSyncing](BeaconNodeSyncing.md). Give the exporter and the
  validator clients a node that is synced.
- All nodes reject the block that the chain follows: upgrade them, or change to another client, with the same slashing
  protection database.
- No peers: see [BeaconPeersLow](BeaconPeersLow.md). Execution client: see
  [BeaconExecutionOffline](BeaconExecutionOffline.md).
- The chain stands still: leave everything as it is, and follow what the clients' developers say.
` + oneSigner,
	}
}

func chainParticipationLowRunbook() Runbook {
	return Runbook{
		Meaning: `
Over the last epochs that settled, the network as a whole included fewer attestations than the threshold. It is about all
validators of the network, and blames none.`,
		Impact: `
Below two thirds of the stake the chain does not finalize. Above it, rewards are a bit lower for everybody. Alerts that blame
validators without knowing the cause of a loss keep silent meanwhile.`,
		Diagnosis: `
	network:attestation_participation:ratio1h
	max by (network) (ethereum_network_attestations_overdue) / max by (network) (ethereum_network_active_validators)
	network:block_proposals:ratio1h

Are votes missing, or did a run of empty slots leave no room for them?

	max by (network, vote, cause) (network:attestation_votes_lost:increase1h) > 0

«missing» for a large share: many validators are down, most often because of one client's bug or one big operator's outage.
«network»: blocks were missing. And yours?

	sort(group:attestation_own_participation:ratio1h)
	max by (endpoint, client, version) (ethereum_beacon_info)

If one group of yours is hit and the others are not, look at which client it runs.`,
		Mitigation: `
- A client that you run has a bug: follow what its developers say; change clients only with the slashing protection database.
- Not your clients: nothing. Put off updates and restarts.
- After an upgrade of the protocol: see that all your clients have a version that knows it.`,
	}
}

func reorgDeepRunbook() Runbook {
	return Runbook{
		Meaning: `
The exporter saw a head replaced by one that does not descend from it, with a common ancestor further back than the threshold.
It is told for an hour. Each replica counts what it saw itself.`,
		Impact: `
Blocks and attestations of the replaced part are void; proposals in it are lost, and head votes count as wrong. Depths of one
or two are common after a late block.`,
		Diagnosis: `
How deep, and how often? Did all replicas see it?

	ethereum_chain_reorg_depth_observed_slots
	increase(ethereum_chain_reorgs_observed_total[6h])

Did it only look like one? When the exporter changes over from one beacon node to another that is behind or on a fork, that
is a reorg too:

	sum by (endpoint) (increase(ethereum_beacon_failovers_total[1h]))
	max by (endpoint) (ethereum_beacon_head_slot)
	journalctl -u BEACON-NODE --since '-2h' | grep -iE 'reorg|fork'

Was a block of yours in it?

	max by (network, validator_index) (increase(ethereum_validator_blocks_orphaned_observed_total[2h])) > 0`,
		Mitigation: `
- Seen by all nodes: it was the chain. Nothing to do; keep an eye on finality.
- Seen by one node only: that node was on a fork of its own. Look at its peers, its execution client and its log.
- Again and again: see ChainParticipationLow and ChainFinalityDelayed.`,
	}
}

func chainSlashingRunbook() Runbook {
	return Runbook{
		Meaning: `
Blocks of the last hour that settled held proofs that somebody's validators signed two contradicting votes or blocks. The
whole network is counted, not only watched validators; those have ValidatorSlashed. An attester slashing may concern several
validators.`,
		Impact: `
None for you, unless the reason is a client or a service that you use as well. When many are slashed around the same time, the
penalty for each grows.`,
		Diagnosis: `
	max by (network, kind) (network:slashings:increase1h)
	max by (network, kind) (increase(ethereum_network_slashings_total[1d]))
	max by (network, group) (ethereum_group_slashed{group_by="all"})

Single ones are somebody's mistake: the same keys ran twice. Many at once are an operator's failover that went wrong, or a
client's bug; a block explorer shows whose they are, and the clients' developers will say something soon.`,
		Mitigation: `
Nothing, usually. If it hits users of a client or a setup that you run too, stop your validator clients until it is clear: to
be offline is cheap.
` + oneSigner,
	}
}
