package alerts

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// beaconAPI is about what exporters meet when they ask beacon nodes. A state counts as
// soon as one exporter sees it, since two that ask the same address may ask two nodes.
func beaconAPI(c mixin.Config) Section {
	return Section{
		Name: "beacon-nodes", Title: "Beacon nodes", About: "The nodes that everything is read from.",
		Alerts: []Alert{
			beaconNodeDown(c), beaconNodesAllDown(c), beaconNodeSyncing(c), beaconNodeOptimistic(c), beaconExecutionOffline(c),
			beaconLatencyHigh(c), beaconLatencyCritical(c), beaconErrorRateHigh(c), beaconRetriesExhausted(c),
			beaconPeersLow(c), beaconHeadStalled(c), beaconNodesDisagree(c),
		},
	}
}

const endpoint = "Beacon node {{ $labels.endpoint }}"

func beaconNodeDown(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Beacon.For
	up := q.series("ethereum_beacon_up")
	a := Alert{
		Name: "BeaconNodeDown", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s == 0 and ignoring (endpoint) %s == 1", q.any(up), q.once(up, "endpoint")),
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary:     "A beacon node does not answer; another one still does.",
		Description: fmt.Sprintf(endpoint+" has not answered for %s or longer. Another node still serves an exporter.", mixin.Duration(wait)),
		Action:      "Look whether the node's process runs and whether its API port is reachable from the exporter. Restart it if it hangs.",
		Runbook: Runbook{
			Meaning: `
The exporter asks each of its beacon nodes for «/eth/v1/node/syncing» at every scrape. This node failed to answer, answered
later than the probe waits, or belongs to another network than the other nodes, all the time that the alert waits.

It fires as soon as one exporter cannot reach the node, because «http://localhost:5052» means another node on each machine.
When no node answers any exporter, [BeaconNodesAllDown](BeaconNodesAllDown.md) fires instead.`,
			Impact: `
Monitoring goes on through the other node, with no reserve left if it was the last one. A validator client that uses the
failed node and has no other one misses its duties; the alerts on validators say whether that is so.`,
			Diagnosis: `
Which exporter sees it, and for how long:

	ethereum_beacon_up == 0

Why requests fail («connect»: refused or no route; «timeout»: it hangs; «status»: it answers with an error):

	sum by (endpoint, reason) (increase(ethereum_beacon_request_failures_total[15m])) > 0

From the exporter's machine:

	curl -sS -m 5 http://NODE:5052/eth/v1/node/syncing
	curl -sS -m 5 http://NODE:5052/eth/v1/beacon/genesis

The exporter logs «Beacon node is down» with the error, and «Beacon node is not used» when the genesis differs from that of
the first node that answered.`,
			Mitigation: `
- Process stopped: read its last log lines before you start it again. Out of memory and a full disk come back.
- It hangs: look at disk latency and at the execution client, then restart it.
- Connection refused while it runs: check that the HTTP API is enabled and listens on more than localhost, and the firewall.
- Another network: correct «--beacon.url».

Do not start a second validator client with the same keys because a node is down: two clients that sign get slashed. Point
the existing one at another beacon node.`,
		},
	}
	a.Cases = beaconNodeDownCases(c, a)
	return a
}

func beaconNodesAllDown(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Beacon.For
	a := Alert{
		Name: "BeaconNodesAllDown", Severity: mixin.Critical,
		Expr: q.once(q.series("ethereum_beacon_up"), "endpoint") + " == 0",
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary: "No beacon node answers: nothing is known about the validators.",
		Description: fmt.Sprintf("None of the beacon nodes of {{ $labels.job }} has answered for %s or longer. "+
			"All figures about validators are old by now.", mixin.Duration(wait)),
		Action: "Get one beacon node to answer. Check the validators' attestations on a public explorer meanwhile.",
		Runbook: Runbook{
			Meaning: `
No exporter has had an answer from any of its beacon nodes for as long as the alert waits. The exporters themselves run:
they are scraped and say so.`,
			Impact: `
The monitoring is blind. Figures stay as they were, and are withheld once they are older than the exporter's
«--chain.max-age». Alerts on validators cannot fire. If the validator clients use the same nodes, every duty is being
missed right now.`,
			Diagnosis: `
	ethereum_beacon_up
	sum by (endpoint, reason) (increase(ethereum_beacon_request_failures_total[15m])) > 0

One cause for all nodes is more likely than one for each: the network between exporter and nodes, DNS, an expired
certificate or token («--beacon.headers-file»), an upgrade of all nodes at once, a machine that all of them run on.

	curl -sS -m 5 http://NODE:5052/eth/v1/node/syncing`,
			Mitigation: `
- Bring back the node that is quickest to repair.
- Until then give the exporter another node with «--beacon.url»; a hosted one will do, since the exporter only reads.
- Point validator clients at a node that works.

Never run the same keys in a second validator client to get over an outage: that is how validators are slashed.`,
		},
	}
	a.Cases = beaconNodesAllDownCases(c, a)
	return a
}

func beaconNodeSyncing(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Beacon.For
	a := Alert{
		Name: "BeaconNodeSyncing", Severity: mixin.Warning,
		Expr: q.once(q.series("ethereum_beacon_sync_distance_slots") + " and " + q.series("ethereum_beacon_syncing") + " == 1"),
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary: "A beacon node is syncing.",
		Description: fmt.Sprintf(endpoint+" has been syncing for %s or longer and is {{ $value }} slots behind.",
			mixin.Duration(wait)),
		Action: "Watch whether the distance shrinks. If it does not, look at the node's peers, disk and execution client.",
		Runbook: Runbook{
			Meaning: `
The node says of itself («is_syncing») that it is catching up with the chain, and has said so for as long as the alert
waits. The value is the number of slots that it says it is behind.`,
			Impact: `
The exporter asks other nodes first. If this is the only one, everything shown is as old as the node's head. A validator
client that has only this node does not attest or propose until it has caught up.`,
			Diagnosis: `
Does it catch up? A distance that shrinks by much more than a slot for each slot is a matter of time:

	ethereum_beacon_sync_distance_slots
	deriv(ethereum_beacon_sync_distance_slots[10m])

What holds it up:

	ethereum_beacon_peers
	ethereum_beacon_execution_offline == 1

	curl -sS http://NODE:5052/eth/v1/node/syncing

A slow disk (a consumer SSD that is full, a network volume) is the usual cause when peers and execution client are fine.`,
			Mitigation: `
- After a restart: wait, as long as the distance shrinks.
- Far behind or a new node: begin from a checkpoint of a source that you trust, with the client's checkpoint-sync flag.
- No progress: free disk space, repair the execution client, open the peer-to-peer ports.
- Let validator clients use a node that is in sync meanwhile. Never start a second client with the same keys.`,
		},
	}
	a.Cases = nodeStateCases(c, a, func(s scenario, replica, e, values string) []Series {
		return []Series{s.node(replica, e, "syncing", values), s.node(replica, e, "sync_distance_slots", s.constant(7))}
	}, fmt.Sprintf("Beacon node http://n1:5052 has been syncing for %s or longer and is 7 slots behind.", mixin.Duration(wait)))
	return a
}

func beaconNodeOptimistic(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Beacon.For
	a := Alert{
		Name: "BeaconNodeOptimistic", Severity: mixin.Warning,
		Expr: q.once(q.series("ethereum_beacon_optimistic")) + " == 1",
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary: "A beacon node follows blocks that its execution client has not verified.",
		Description: fmt.Sprintf(endpoint+" has followed an unverified head for %s or longer. Validators that use it do not attest.",
			mixin.Duration(wait)),
		Action: "Look at the node's execution client: it is syncing, slow or broken.",
		Runbook: Runbook{
			Meaning: `
The node's head is optimistic («is_optimistic»): the beacon client has taken the blocks, but its execution client has not
said that their payloads are valid, for as long as the alert waits.`,
			Impact: `
Validator clients must not sign on an optimistic head, so every validator that has only this node misses its attestations
and proposals. The exporter asks verified nodes first.`,
			Diagnosis: `
	ethereum_beacon_optimistic == 1
	ethereum_beacon_execution_offline

Is the execution client in sync? «false» means that it is:

	curl -sS -X POST -H 'Content-Type: application/json' http://EXECUTION:8545 -d '{"jsonrpc":"2.0","id":1,"method":"eth_syncing","params":[]}'

Then read its log for invalid blocks, database errors and a missed upgrade before a fork.`,
			Mitigation: `
- Execution client still syncing: wait, and let validator clients use another node.
- It rejects blocks that other clients accept: it is probably older than a fork needs. Upgrade it.
- Its database is damaged: resync it; do not touch the validator client's slashing protection database.`,
		},
	}
	a.Cases = nodeStateCases(c, a, func(s scenario, replica, e, values string) []Series {
		return []Series{s.node(replica, e, "optimistic", values)}
	}, fmt.Sprintf("Beacon node http://n1:5052 has followed an unverified head for %s or longer. Validators that use it do not attest.", mixin.Duration(wait)))
	return a
}

func beaconExecutionOffline(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Beacon.For
	a := Alert{
		Name: "BeaconExecutionOffline", Severity: mixin.Warning,
		Expr: q.once(q.series("ethereum_beacon_execution_offline")) + " == 1",
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary: "A beacon node cannot reach its execution client.",
		Description: fmt.Sprintf(endpoint+" has not reached its execution client for %s or longer.",
			mixin.Duration(wait)),
		Action: "Start the execution client, or repair the connection to its engine API.",
		Runbook: Runbook{
			Meaning: `
The node says («el_offline») that it cannot reach its execution client, and has said so for as long as the alert waits.`,
			Impact: `
Without an execution client the node cannot verify blocks or build them: it turns optimistic or falls behind within
minutes. Validators that have only this node miss attestations and proposals.`,
			Diagnosis: `
	ethereum_beacon_execution_offline == 1

Does the execution client run, and does it listen on the engine port (8551 by default)? Its log and that of the beacon
client name the reason: «connection refused», «401» or «invalid token» for a JWT secret that differs, a clock that is off
by more than a minute (the token carries the time), an engine API that is slow.`,
			Mitigation: `
- Not running: start it; look for a full disk or for memory that ran out first.
- Authentication: give both clients the same JWT secret file and restart the one that you changed.
- Clock: repair time synchronisation on both machines.
- Let validator clients use another beacon node meanwhile. Never start a second client with the same keys.`,
		},
	}
	a.Cases = nodeStateCases(c, a, func(s scenario, replica, e, values string) []Series {
		return []Series{s.node(replica, e, "execution_offline", values)}
	}, fmt.Sprintf("Beacon node http://n1:5052 has not reached its execution client for %s or longer.", mixin.Duration(wait)))
	return a
}

// whileUp leaves out nodes that were down all the time that alerts on nodes wait:
// BeaconNodeDown tells about them. A node that comes and goes stays.
func whileUp(q queries, condition, ignore string) string {
	return fmt.Sprintf("(%s) unless%s %s == 0", condition, ignore,
		q.once(fmt.Sprintf("max_over_time(%s[%s])", q.series("ethereum_beacon_up"), mixin.Duration(q.c.Alerts.Beacon.For))))
}

// bulk are the operations that read much at once, in a burst once an epoch: with many keys
// they take seconds on any node, and no validator client waits for them.
const bulk = "attestation_rewards|committees|validators"

// latency is the 95th percentile of an operation's duration in seconds.
func latency(q queries, over time.Duration, operations ...string) string {
	return fmt.Sprintf("histogram_quantile(0.95, %s)",
		q.total(fmt.Sprintf("rate(%s[%s])", q.series("ethereum_beacon_request_duration_seconds_bucket", operations...), mixin.Duration(over))))
}

// slow is true of operations that were slow over the whole range and still are: within
// the time that the alert waits, which is at least as long as the shorter range, what is
// over by now is out of it.
func slow(c mixin.Config, limit, still time.Duration, operations ...string) string {
	q, b := queries{c}, c.Alerts.Beacon
	requests := q.total(fmt.Sprintf("increase(%s[%s])", q.series("ethereum_beacon_request_duration_seconds_count", operations...), mixin.Duration(b.Range)))
	return whileUp(q, fmt.Sprintf("%s > %s and %s >= %d and %s > %s",
		latency(q, b.Range, operations...), seconds(limit), requests, b.MinimumRequests,
		latency(q, still, operations...), seconds(limit)), ignoring([]string{"operation"}))
}

func slowDescription(limit time.Duration) string {
	return `The slowest 5% of {{ $labels.operation }} requests to {{ $labels.endpoint }} take {{ printf "%.2f" $value }} s or longer; at most ` +
		seconds(limit) + " s is expected."
}

func beaconLatencyHigh(c mixin.Config) Alert {
	limit := c.Alerts.Beacon.LatencyHigh
	// What comes once an epoch must be in the range at any time, or the alert would come and
	// go with it.
	still := max(c.Alerts.Beacon.For, c.Chain.Epoch()+2*c.Chain.ScrapeInterval)
	a := Alert{
		Name: "BeaconAPILatencyHigh", Severity: mixin.Warning,
		Expr: slow(c, limit, still), For: still, Dashboard: mixin.BeaconDashboard,
		Summary:     "A beacon node answers slowly.",
		Description: slowDescription(limit),
		Action:      "Look at the load of the node's machine, above all its disk, and at what else asks the node.",
		Runbook:     latencyRunbook(),
	}
	a.Cases = append(latencyCases(c, a, limit), bulkCase(c, a, limit))
	return a
}

func beaconLatencyCritical(c mixin.Config) Alert {
	limit, still := c.Alerts.Beacon.LatencyCritical, c.Alerts.Beacon.For
	a := Alert{
		Name: "BeaconAPILatencyCritical", Severity: mixin.Critical,
		Expr: slow(c, limit, still, fmt.Sprintf("operation!~%q", bulk)), For: still, Dashboard: mixin.BeaconDashboard,
		Summary:     "A beacon node answers so slowly that duties are at risk.",
		Description: slowDescription(limit),
		Action:      "Let validator clients use another node, then find what overloads this one.",
		Runbook:     latencyRunbook(),
	}
	a.Cases = append(latencyCases(c, a, limit), notBulkCase(c))
	return a
}

// latencyRunbook is the same for both limits.
func latencyRunbook() Runbook {
	return Runbook{
		Meaning: `
The 95th percentile of the time from sending a request to the last byte of its answer, for each node and operation, is above
the limit. It must be so over the whole range and over the time that the alert waits, so a burst that has passed does not
count; and operations with few requests in the range are left out, so that a single slow answer is not called a percentile.

«BeaconAPILatencyCritical» has a higher limit than «BeaconAPILatencyHigh», and leaves out the operations «validators»,
«committees» and «attestation_rewards». These read much at once, in a burst once an epoch: with many keys they are slow on any
node, and no validator client waits for them. So that it does not come and go with the burst,
«BeaconAPILatencyHigh» looks back for an epoch at least. Durations are counted in buckets: between
their bounds (1, 2.5, 5, 10 and 30 seconds at the slow end) the value is estimated, and nothing above 30 can be shown.`,
		Impact: `
Scrapes wait and show an older head. More important: a validator client that asks the same node gets its duties and its
attestation data late, which loses head votes first, then target votes and blocks.`,
		Diagnosis: `
Is it one operation, or all of them? «committees», «validators» and «attestation_rewards» read old states and are slow on
any node; «node_syncing» and «header» are cheap, and slow only on a node that is overloaded or far away.

	histogram_quantile(0.95, sum by (endpoint, operation, le) (rate(ethereum_beacon_request_duration_seconds_bucket[15m])))
	sum by (endpoint, operation) (rate(ethereum_beacon_requests_total[15m]))
	sum by (endpoint, operation) (rate(ethereum_beacon_response_bytes_total[15m]))

On the node's machine look at disk latency («iostat -x 5»), at memory, at whether the execution client is syncing or
pruning, and at who else asks the API. From the exporter's machine, measure the path:

	curl -sS -o /dev/null -w '%{time_connect} %{time_total}\n' http://NODE:5052/eth/v1/node/syncing`,
		Mitigation: `
- Overloaded by other users of its API: give them a node of their own.
- Slow disk: free space, move the database, wait for a pruning to end.
- Far away: put the exporter near the node.
- Only the operations that read old states are slow, and nothing else suffers: raise the limit.
- Let validator clients use a faster node meanwhile. Do not restart all nodes at once.`,
	}
}

// failing is the share of failed requests to each node.
func failing(q queries, over time.Duration) string {
	failures := q.total(fmt.Sprintf("rate(%s[%s])", q.series("ethereum_beacon_request_failures_total"), mixin.Duration(over)), "operation", "reason")
	requests := q.total(fmt.Sprintf("rate(%s[%s])", q.series("ethereum_beacon_requests_total"), mixin.Duration(over)), "operation")
	return fmt.Sprintf("%s / (%s > 0)", failures, requests)
}

func beaconErrorRateHigh(c mixin.Config) Alert {
	q, b := queries{c}, c.Alerts.Beacon
	requests := q.total(fmt.Sprintf("increase(%s[%s])", q.series("ethereum_beacon_requests_total"), mixin.Duration(b.Range)), "operation")
	a := Alert{
		Name: "BeaconAPIErrorRateHigh", Severity: mixin.Warning,
		Expr: whileUp(q, fmt.Sprintf("%s > %s and %s >= %d and %s > %s",
			failing(q, b.Range), number(b.ErrorRate), requests, b.MinimumRequests, failing(q, b.For), number(b.ErrorRate)), ""),
		For: b.For, Dashboard: mixin.BeaconDashboard,
		Summary: "A beacon node fails many requests.",
		Description: fmt.Sprintf("{{ $value | humanizePercentage }} of the requests to {{ $labels.endpoint }} failed in the last %s; at most %s is expected.",
			mixin.Duration(b.Range), percent(b.ErrorRate)),
		Action: "Look at the reason of the failures, then at the node's log.",
		Runbook: Runbook{
			Meaning: `
The share of requests to the node that failed: timed out, could not connect, got an error status, broke off, or got an
answer that is too large or cannot be decoded. What a node does not have (a block of an empty slot, a state that it has
pruned) is no failure.

The share must be too high over the range and over the time that the alert waits. A node that has been down all that time is
[BeaconNodeDown](BeaconNodeDown.md) instead; one that comes and goes is this.`,
			Impact: `
The exporter asks again, or asks another node, so its figures stay right as long as one node answers
([BeaconAPIRetriesExhausted](BeaconAPIRetriesExhausted.md) says when none does). Validator clients may be less patient.`,
			Diagnosis: `
	sum by (endpoint, operation, reason) (increase(ethereum_beacon_request_failures_total[15m])) > 0

- «timeout»: overloaded; see [BeaconAPILatencyHigh](BeaconAPILatencyHigh.md).
- «connect»: it restarts again and again, or the network loses packets.
- «status»: read the node's log; a proxy or hosted node may limit the rate (429) or refuse a token (401, 403).
- «decode», «too_large»: something else answers than a beacon node, or a version that the exporter does not know yet.

The exporter's log with «--log.level=debug» has the text of each failure.`,
			Mitigation: `
- Restarting: find out why it stops (memory, disk).
- Limited rate: raise the quota, or scrape less often.
- Refused token: renew the one in «--beacon.headers-file».
- Unknown answers: upgrade the exporter, and report it with the log line.`,
		},
	}
	a.Cases = errorRateCases(c, a)
	return a
}

func beaconRetriesExhausted(c mixin.Config) Alert {
	q, over := queries{c}, c.Alerts.Beacon.Range
	a := Alert{
		Name: "BeaconAPIRetriesExhausted", Severity: mixin.Warning,
		Expr: q.total(fmt.Sprintf("increase(%s[%s])", q.series("ethereum_beacon_retries_exhausted_total"), mixin.Duration(over))) + " > 0",
		// As long as the range, so that it takes more than one event.
		For: over, Dashboard: mixin.BeaconDashboard,
		Summary: "Operations fail on every beacon node, again and again.",
		Description: fmt.Sprintf(`No beacon node answered {{ $labels.operation }}, after every retry: {{ printf "%%.0f" $value }} times in the last %s, 0 are expected.`,
			mixin.Duration(over)),
		Action: "Find out why all nodes fail this operation: the exporter cannot advance without it.",
		Runbook: Runbook{
			Meaning: `
An operation failed on every node and after every retry, more than once: the alert waits as long as the range that it
counts over, so a single event has left the range by then.`,
			Impact: `
What needs the operation is not shown, or is shown as it was before. Without «header», «block», «committees» or
«validators» the exporter stays at an old head; see [ValidatorSnapshotStale](ValidatorSnapshotStale.md).`,
			Diagnosis: `
	sum by (operation) (increase(ethereum_beacon_retries_exhausted_total[1h])) > 0
	sum by (endpoint, operation, reason) (increase(ethereum_beacon_request_failures_total[1h])) > 0

The exporter logs «Could not advance to the head of the chain» with the operation and what each node said.`,
			Mitigation: `
- All nodes down: see [BeaconNodesAllDown](BeaconNodesAllDown.md).
- One operation only, with «timeout»: nodes are too slow for it. Raise «--beacon.timeout»; large answers get a multiple.
- One operation only, with «status»: a hosted node may not offer it. Add a node of your own with «--beacon.url».`,
		},
	}
	a.Cases = retriesCases(c, a)
	return a
}

func beaconPeersLow(c mixin.Config) Alert {
	q, b := queries{c}, c.Alerts.Beacon
	a := Alert{
		Name: "BeaconPeersLow", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s < %d", q.any(q.series("ethereum_beacon_peers")), b.Peers),
		For:  b.For, Dashboard: mixin.BeaconDashboard,
		Summary:     "A beacon node has few peers.",
		Description: fmt.Sprintf(endpoint+" is connected to {{ $value }} peers; at least %d are expected.", b.Peers),
		Action:      "Check the node's internet connection and that its peer-to-peer port is reachable from outside.",
		Runbook: Runbook{
			Meaning: `
The node is connected to fewer peers than it should, and has been for as long as the alert waits. Nodes that do not tell
their number of peers, such as hosted ones, are left out.`,
			Impact: `
Blocks and attestations arrive and leave late, or not at all: head votes are lost first, and blocks may be orphaned. With no
peer the node stands still.`,
			Diagnosis: `
Did it fall suddenly (the network) or grow slowly after a restart (be patient)?

	ethereum_beacon_peers

	curl -sS http://NODE:5052/eth/v1/node/peer_count
	curl -sS 'http://NODE:5052/eth/v1/node/peers?state=connected&direction=inbound'

No inbound peers at all means that the port (9000 over TCP and UDP for most clients) is not reachable from outside. Check
the clock as well: a node that is seconds off is avoided by others.`,
			Mitigation: `
- Forward or open the peer-to-peer port, TCP and UDP, and set the advertised address where the machine has another one.
- Raise the client's target number of peers if it was lowered.
- Repair the clock.
- After a restart wait a few minutes before you do anything.`,
		},
	}
	a.Cases = peersCases(c, a)
	return a
}

func beaconHeadStalled(c mixin.Config) Alert {
	q, b := queries{c}, c.Alerts.Beacon
	head := q.series("ethereum_beacon_head_slot")
	synced := fmt.Sprintf("(%s unless %s == 1)", head, q.series("ethereum_beacon_syncing"))
	late := fmt.Sprintf("%s - ignoring (network, endpoint) group_right (network) %s", q.series("ethereum_chain_slot"), synced)
	still := fmt.Sprintf("changes(%s[%s]) == 0", head, mixin.Duration(b.HeadStalled))
	behind := fmt.Sprintf("%s < ignoring (endpoint) group_left () max without (endpoint) (%s)", head, head)
	alone := fmt.Sprintf("%s and ignoring (endpoint) count without (endpoint) (%s) == 1", head, synced)
	a := Alert{
		Name: "BeaconHeadStalled", Severity: mixin.Warning,
		Expr: q.once(fmt.Sprintf("%s > %s and ignoring (network) %s and ignoring (network) (%s or %s)",
			late, number(b.HeadStalled.Seconds()/c.Chain.SlotDuration.Seconds()), still, behind, alone)),
		For: q.wait(), Dashboard: mixin.BeaconDashboard,
		Summary: "A beacon node's head stands still.",
		Description: fmt.Sprintf(endpoint+" on {{ $labels.network }}: its head has stood still for %s or longer and is {{ $value }} slots old. It does not say that it is syncing.",
			mixin.Duration(b.HeadStalled)),
		Action: "Compare the node's head with another node or a public explorer, then look at its peers and its execution client.",
		Runbook: Runbook{
			Meaning: `
The node's head has not changed, and by the exporter's clock it is older than the limit, while the node does not say that it
is syncing. The value is the head's age in slots.

Where an exporter has several nodes, another one must be ahead: when all stand still on the same head, it is not this node,
but the chain or the way to it, and [ChainHeadStalled](ChainHeadStalled.md) tells so. With a single node nobody can compare, so the alert also fires while the whole chain has
no blocks.`,
			Impact: `
The exporter shows what was true at that head. A validator client that uses the node attests to an old head, which loses the
head vote and, across an epoch, the target.`,
			Diagnosis: `
Compare the nodes, and the node with the clock:

	ethereum_beacon_head_slot
	max without (endpoint) (ethereum_beacon_head_slot)
	ethereum_chain_slot

Look at a public explorer: if it has no newer block either, the chain stands still, and there is nothing to repair here.
Otherwise:

	ethereum_beacon_peers
	ethereum_beacon_execution_offline == 1
	ethereum_beacon_optimistic == 1

	curl -sS http://NODE:5052/eth/v1/beacon/headers/head

A clock of the exporter's machine that runs ahead makes every head look old.`,
			Mitigation: `
- No peers: see [BeaconPeersLow](BeaconPeersLow.md).
- Execution client: see [BeaconExecutionOffline](BeaconExecutionOffline.md).
- It rejects the block that everybody else follows: upgrade it; a fork may have passed.
- It just hangs: restart it, and keep its log.
- The chain stands still: do nothing but watch; do not resync nodes that are healthy.`,
		},
	}
	a.Cases = headStalledCases(c, a)
	return a
}

func beaconNodesDisagree(c mixin.Config) Alert {
	q, b := queries{c}, c.Alerts.Beacon
	synced := q.series("ethereum_beacon_head_slot") + " unless " + q.series("ethereum_beacon_syncing") + " == 1"
	a := Alert{
		Name: "BeaconNodesDisagree", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s > %d",
			q.once(fmt.Sprintf("max without (endpoint) (%s) - min without (endpoint) (%s)", synced, synced)), b.HeadsApart),
		For: b.For, Dashboard: mixin.BeaconDashboard,
		Summary: "Beacon nodes have different heads.",
		Description: fmt.Sprintf("The heads of the beacon nodes of {{ $labels.job }} are {{ $value }} slots apart; at most %d is expected.",
			b.HeadsApart),
		Action: "Find the node that lags or that follows another fork, and look at its peers and its execution client.",
		Runbook: Runbook{
			Meaning: `
Among the nodes of one exporter that are up and do not say that they are syncing, the newest and the oldest head have been
further apart than they may be, for as long as the alert waits. Nodes are asked at the same moment; a slot or two of
difference is usual.

Heads of the same slot on different forks are not seen by this.`,
			Impact: `
One of the nodes is wrong about the chain: a validator client that uses it loses head votes, or attests to a fork that
nobody follows. The exporter itself passes over nodes that lag.`,
			Diagnosis: `
Which node lags?

	max without (endpoint) (ethereum_beacon_head_slot) - ignoring (endpoint) group_right () ethereum_beacon_head_slot

Which block does each follow? The root of the same slot must be the same everywhere:

	curl -sS http://NODE:5052/eth/v1/beacon/headers/head
	curl -sS http://NODE:5052/eth/v1/beacon/blocks/SLOT/root

If the one that is ahead is alone with its root, do not trust it; compare with a public explorer.`,
			Mitigation: `
- It lags: look at peers, disk and execution client; see [BeaconHeadStalled](BeaconHeadStalled.md).
- It follows another fork: upgrade it, then begin from a checkpoint. Take it away from the validator clients first, and leave
  their slashing protection database alone.`,
		},
	}
	a.Cases = nodesDisagreeCases(c, a)
	return a
}
