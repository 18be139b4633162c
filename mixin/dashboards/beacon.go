package dashboards

import (
	"fmt"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// beaconNodes is the dashboard of everything between the chain and Prometheus: the
// nodes, the requests to them, the exporter, and the chain that all of it shows.
func beaconNodes(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{
		slug:        mixin.BeaconDashboard,
		description: "Beacon nodes, the requests to them, the exporter itself, and the chain: where to look when data is missing, late or odd.",
		variables:   s.common(),
		sections: []section{
			nodesNow(c, s), beaconRequests(c, s), chainState(c, s), exporterState(c, s), exporterCache(c, s), processes(c, s, s.exporter),
		},
	}
}

// node keeps one series for each beacon node and exporter that asks it: two exporters
// may call different nodes by the same name, such as http://localhost:5052.
func (s selectors) node(metric string) string {
	return s.perProcess(s.exporter(metric), "endpoint")
}

// behind are the slots by which a node's head is behind the best that the same exporter
// knows.
func (s selectors) behind() string {
	return fmt.Sprintf("%s - on (%s) group_right () %s",
		s.perProcess(s.exporter("ethereum_beacon_head_slot")), list(s.process()), s.node("ethereum_beacon_head_slot"))
}

// condition is what is worst about a node: 0 down, 4 execution offline, 3 optimistic, 2
// syncing; 1 is healthy.
func (s selectors) condition() string {
	up := s.node("ethereum_beacon_up")
	return fmt.Sprintf("%s == 0 or 4 * (%s == 1) or 3 * (%s == 1) or 2 * (%s == 1) or %s",
		up, s.node("ethereum_beacon_execution_offline"), s.node("ethereum_beacon_optimistic"), s.node("ethereum_beacon_syncing"), up)
}

// named is whether something is up, with labels of its info, which it does not tell
// when it is down. on are the labels that both have.
func named(up, info string, on []string, labels ...string) string {
	return fmt.Sprintf("%[1]s * on (%[2]s) group_left (%[3]s) %[4]s or on (%[2]s) %[1]s", up, list(on), list(labels), info)
}

func (s selectors) namedNodes() string {
	return named(s.node("ethereum_beacon_up"), s.perProcess(s.exporter("ethereum_beacon_info"), "endpoint", "client", "version"),
		append([]string{"endpoint"}, s.process()...), "client", "version")
}

// namedProcesses is the same of exporters or receivers.
func (s selectors) namedProcesses(up, info string) string {
	labels := []string{"version", "revision", "goversion"}
	return named(s.perProcess(up), s.perProcess(info, labels...), s.process(), labels...)
}

func nodesNow(c mixin.Config, s selectors) section {
	b := c.Alerts.Beacon
	up, head := s.node("ethereum_beacon_up"), s.node("ethereum_beacon_head_slot")
	no, yes := state{"0", "no", green}, state{"1", "yes", red}
	return newSection("Beacon nodes",
		line(10, newTable("Nodes",
			"Each beacon node as each exporter sees it. A node that does not answer shows nothing but that. Behind are the slots to the best head among the nodes of the same exporter.",
			keys(up), // when all are down, only Up has values, and Grafana names a lone query's otherwise
			label("endpoint", "Endpoint"),
			label(s.replica(), "Exporter"),
			value("Up", unitNumber, s.namedNodes()).mapped(state{"0", "down", red}, state{"1", "up", green}),
			label("client", "Client"),
			label("version", "Version"),
			value("Syncing", unitNumber, s.node("ethereum_beacon_syncing")).mapped(no, yes),
			value("Sync distance", unitSlots, s.node("ethereum_beacon_sync_distance_slots")),
			value("Optimistic", unitNumber, s.node("ethereum_beacon_optimistic")).mapped(no, yes),
			value("Execution offline", unitNumber, s.node("ethereum_beacon_execution_offline")).mapped(no, yes),
			value("Peers", unitNumber, s.node("ethereum_beacon_peers")).coloured(red, at(float64(b.Peers), green)),
			value("Head", unitNumber, head),
			value("Behind", unitSlots, s.behind()).coloured(green, at(1, yellow), at(float64(b.HeadsApart), red)),
		).sorted("Endpoint", false)),
		line(7, newTimeline("State of the nodes",
			"What is worst about each node: it does not answer, its execution client is offline, its head is not verified (optimistic), or it is syncing. The exporter asks such a node only when no other can answer.",
			unitNumber, over(s.condition(), s.byProcess("{{endpoint}}"))).
			states(state{"0", "down", red}, state{"1", "healthy", green}, state{"2", "syncing", yellow},
				state{"3", "optimistic", orange}, state{"4", "execution offline", "purple"})),
		line(8,
			newGraph("Peers",
				fmt.Sprintf("Peers that each node is connected to. BeaconPeersLow fires below %d.", b.Peers),
				unitNumber, over(s.node("ethereum_beacon_peers"), s.byProcess("{{endpoint}}"))).
				from(0).marks(at(float64(b.Peers), red)),
			newGraph("Head behind the best node",
				fmt.Sprintf("Slots by which a node's head is behind the best among the nodes of the same exporter. One slot comes and goes; BeaconNodesDisagree looks at %d.", b.HeadsApart),
				unitSlots, over(s.behind(), s.byProcess("{{endpoint}}"))).
				from(0).steps().marks(at(float64(b.HeadsApart), red)),
			newGraph("Sync distance",
				"Slots by which each node itself says that it is behind.",
				unitSlots, over(s.node("ethereum_beacon_sync_distance_slots"), s.byProcess("{{endpoint}}"))).
				from(0)))
}

func beaconRequests(c mixin.Config, s selectors) section {
	b := c.Alerts.Beacon
	bucket := s.exporter("ethereum_beacon_request_duration_seconds_bucket")
	requests, failures := s.exporter("ethereum_beacon_requests_total"), s.exporter("ethereum_beacon_request_failures_total")
	slow := []step{at(b.LatencyHigh.Seconds(), orange), at(b.LatencyCritical.Seconds(), red)}
	limits := fmt.Sprintf("BeaconAPILatencyHigh looks at p95 above %s, …Critical above %s.", mixin.Duration(b.LatencyHigh), mixin.Duration(b.LatencyCritical))
	// The share of requests that failed, by the labels named.
	errors := func(counted func(string) string, labels ...string) string {
		return ratio(aggregate("sum", counted(failures), labels...), aggregate("sum", counted(requests), labels...))
	}
	return newSection("Requests to beacon nodes",
		line(8,
			newGraph("Latency",
				"Duration of requests to all beacon nodes, from sending to the last byte read: half, 95 % and 99 % of them are faster. "+limits,
				unitSeconds, quantiles(bucket)...).from(0).marks(slow...),
			newGraph("Latency p95 by node",
				"95 % of the requests to the node are faster. A single slow node is overtaken by the others; all of them slow means this machine or the network. "+limits,
				unitSeconds, over(quantile(0.95, rate(bucket), "endpoint"), "{{endpoint}}")).from(0).marks(slow...),
			newGraph("Latency p95 by operation",
				"95 % of the operation's requests are faster. Committees and validators are large answers and slow by nature; blocks and headers are not. "+limits,
				unitSeconds, over(quantile(0.95, rate(bucket), "operation"), "{{operation}}")).from(0).marks(slow...)),
		line(11, newTable("Operations over the range shown",
			"Latency, number and failures of each operation over the time range shown, on all beacon nodes. Rare operations have no latency in the graphs above and have one here.",
			label("operation", "Operation"),
			value("p50", unitSeconds, quantile(0.5, rose(bucket), "operation")),
			value("p95", unitSeconds, quantile(0.95, rose(bucket), "operation")).
				coloured(green, slow...),
			value("p99", unitSeconds, quantile(0.99, rose(bucket), "operation")),
			value("Requests", unitCount, aggregate("sum", rose(requests), "operation")).digits(0),
			value("Failed", unitRatio, errors(rose, "operation")).digits(2).coloured(green, at(b.ErrorRate, red)),
			value("Given up", unitCount, aggregate("sum", rose(s.exporter("ethereum_beacon_retries_exhausted_total")), "operation")).
				digits(0).coloured(green, at(1, red)),
			value("Bytes read", unitBytes, aggregate("sum", rose(s.exporter("ethereum_beacon_response_bytes_total")), "operation")),
		).sorted("Requests", true)),
		line(8,
			newGraph("Requests by node",
				"Requests a second to each node. All go to the healthiest; the others are only probed.",
				unitRequests, over(aggregate("sum", rate(requests), "endpoint"), "{{endpoint}}")).from(0).stacked(),
			newGraph("Requests by operation",
				"Requests a second by operation. A burst of blocks and committees after a start is the refill of the counters' window.",
				unitRequests, over(aggregate("sum", rate(requests), "operation"), "{{operation}}")).from(0).stacked(),
			newGraph("Bytes read by operation",
				"Bytes a second read from beacon nodes, by operation.",
				"Bps", over(aggregate("sum", rate(s.exporter("ethereum_beacon_response_bytes_total")), "operation"), "{{operation}}")).from(0).stacked()),
		line(8,
			newGraph("Errors by reason",
				fmt.Sprintf("Share of all requests that failed, by reason: timeout, connect (no connection), status (not 200), body (broken off), too_large, decode. BeaconAPIErrorRateHigh looks at %s.", percent(b.ErrorRate)),
				unitRatio, over(fmt.Sprintf("%s / on () group_left () (%s > 0)", aggregate("sum", rate(failures), "reason"), aggregate("sum", rate(requests))), "{{reason}}")).
				from(0).stacked(),
			newGraph("Errors by node",
				fmt.Sprintf("Share of each node's requests that failed. BeaconAPIErrorRateHigh looks at %s.", percent(b.ErrorRate)),
				unitRatio, over(errors(rate, "endpoint"), "{{endpoint}}")).from(0).marks(at(b.ErrorRate, red)),
			newGraph("Failovers and operations given up",
				"Times that an operation moved on from a node to another (by node), and operations that no node answered after every retry (given up, by operation): those make data late.",
				unitCount,
				over(aggregate("sum", "increase("+s.exporter("ethereum_beacon_failovers_total")+rateInterval+")", "endpoint"), "moved on from {{endpoint}}"),
				over(aggregate("sum", "increase("+s.exporter("ethereum_beacon_retries_exhausted_total")+rateInterval+")", "operation")+" > 0", "given up: {{operation}}")).
				from(0).bars()))
}

func chainState(c mixin.Config, s selectors) section {
	n := c.Alerts.Network
	lag := s.perProcess(fmt.Sprintf("%s - %s", s.chain("ethereum_chain_slot"), s.chain("ethereum_chain_head_slot")))
	finality := s.once(fmt.Sprintf("%s - %s", s.chain("ethereum_chain_epoch"), s.chain("ethereum_chain_finalized_epoch")))
	justified := s.once(fmt.Sprintf("%s - %s", s.chain("ethereum_chain_epoch"), s.chain("ethereum_chain_justified_epoch")))
	settled := s.once(fmt.Sprintf("%s - %s", s.chain("ethereum_chain_epoch"), s.chain("ethereum_chain_settled_epoch")))
	return newSection("Chain",
		line(8,
			newGraph("Head behind the clock",
				"Slots between the slot that it is now and the head that is shown, of each exporter. Empty slots and late blocks make 1 or 2; more is a node that lags or a clock that is wrong.",
				unitSlots, over(lag, s.byProcess(""))).steps(),
			newGraph("Epochs behind the head's",
				fmt.Sprintf("Finalized is 2 or 3 epochs behind on a healthy chain, justified 1 or 2, settled (what counters count) 2. ChainFinalityDelayed fires from %d behind finality.", n.FinalityEpochs),
				unitEpochs,
				over(finality, s.legend("finalized")), over(justified, s.legend("justified")), over(settled, s.legend("settled"))).
				from(0).steps().marks(at(float64(n.FinalityEpochs), red)),
			newGraph("Network's participation",
				fmt.Sprintf("Share of all validators' attestations that were included, over the last %s and the last hour. ChainParticipationLow looks at %s.", s.settled(), percent(n.ParticipationLow)),
				unitRatio,
				over(s.recorded(rules.NetworkShortParticipation(c)), s.legend("last "+s.settled())),
				over(s.recorded(rules.Ratio(mixin.Network, rules.Participation, rules.Hour)), s.legend("last hour"))).
				digits(2).marks(at(n.ParticipationLow, red))),
		line(8,
			newGraph("Network's attestations overdue",
				fmt.Sprintf("Share of all attestations of the last epoch or two that are at least 3 slots old and not included. Above %s nobody is called down: the network is in trouble.", percent(c.Alerts.Validators.NetworkTrouble)),
				unitRatio, over(s.networkOverdue(), s.legend("overdue"))).
				digits(2).from(0).marks(at(c.Alerts.Validators.NetworkTrouble, red)),
			newGraph("Reorgs",
				"Heads that did not descend from the one before, as each exporter saw them since it started. A single slot's now and then is ordinary.",
				unitCount, over(s.perProcess("increase("+s.chain("ethereum_chain_reorgs_observed_total")+rateInterval+")"), s.byProcess(""))).
				from(0).bars(),
			newGraph("Depth of the last reorg",
				fmt.Sprintf("Slots from the common ancestor to the replaced head, in the last reorg that each exporter saw; nothing before the first. ChainReorgDeep looks at %d.", n.ReorgDepth),
				unitSlots, over(s.perProcess(s.chain("ethereum_chain_reorg_depth_observed_slots")), s.byProcess(""))).
				from(0).steps().marks(at(float64(n.ReorgDepth), red))))
}

func exporterState(c mixin.Config, s selectors) section {
	f := c.Alerts.Freshness
	self := func(name string, labels ...string) string {
		return s.perProcess(s.exporter("validator_exporter_"+name), labels...)
	}
	age := s.perProcess("time() - " + s.chain("ethereum_chain_snapshot_timestamp_seconds"))
	no, yes := state{"0", "no", red}, state{"1", "yes", green}
	return newSection("Exporter",
		line(8, newTable("Exporters",
			"Each exporter that Prometheus scrapes: version, how old its data is, whether its counters cover the whole window and its watch list is the newest one. Two replicas must agree on the head and on the number of validators.",
			keys(s.perProcess(s.exporter("up"))),
			label(s.replica(), "Exporter"),
			label("version", "Version"),
			label("revision", "Revision"),
			label("goversion", "Go"),
			value("Up", unitNumber, s.namedProcesses(s.exporter("up"), s.exporter("validator_exporter_build_info"))).mapped(state{"0", "down", red}, state{"1", "up", green}),
			value("Age of data", unitSeconds, age).digits(0).
				coloured(green, at(f.SnapshotStale.Seconds(), yellow), at(f.SnapshotCritical.Seconds(), red)),
			value("Head", unitNumber, s.perProcess(s.chain("ethereum_chain_head_slot"))),
			value("Watched validators", unitNumber, self("watched_validators")),
			value("Window whole", unitNumber, self("window_complete")).mapped(state{"0", "no", yellow}, yes),
			value("First epoch counted", unitNumber, self("window_first_epoch")),
			value("Balances of the window", unitNumber, self("window_stake_anchored")).mapped(state{"0", "later ones", yellow}, state{"1", "from its start", green}),
			value("Watch list loaded", unitNumber, self("config_reload_success")).mapped(no, yes),
			value("Loaded", unitFromNow, "1000 * "+self("config_reload_timestamp_seconds")),
		)),
		line(8,
			newGraph("Age of data",
				fmt.Sprintf("Seconds since a beacon node last confirmed the head that the exporter shows. ValidatorSnapshotStale looks at %s, …Critical at %s.", mixin.Duration(f.SnapshotStale), mixin.Duration(f.SnapshotCritical)),
				unitSeconds, over(age, s.byProcess(""))).
				from(0).marks(at(f.SnapshotStale.Seconds(), orange), at(f.SnapshotCritical.Seconds(), red)),
			newTimeline("Collectors",
				"Whether each part of the scrape succeeded when it last ran: chain, validators, duties, finality, accounting, window (the refill after a start), rewards. Rewards fail where no node serves them.",
				unitNumber, over(self("collector_success", "collector"), s.byProcess("{{collector}}"))).
				states(state{"0", "failed", red}, state{"1", "ok", green})),
		line(8,
			newGraph("Duration of collectors",
				"Seconds that the last run of each part of the scrape took. A part that takes longer than the scrape's time-out goes on in the background.",
				unitSeconds, over(self("collector_duration_seconds", "collector"), s.byProcess("{{collector}}"))).from(0),
			newTimeline("Scrapes, window and watch list",
				fmt.Sprintf("Whether Prometheus reaches the exporter, whether the counters cover the window from its first epoch (no after a start, until the past is read back; ValidatorWindowIncomplete waits %s), and whether the watch list was last loaded successfully.", mixin.Duration(f.WindowIncomplete)),
				unitNumber,
				over(s.perProcess(s.exporter("up")), s.byProcess("reached")),
				over(self("window_complete"), s.byProcess("window whole")),
				over(self("config_reload_success"), s.byProcess("watch list loaded"))).
				states(no, yes),
			newGraph("Watched validators",
				"Validators in the watch list of each exporter. Replicas that differ have different lists.",
				unitNumber, over(self("watched_validators"), s.byProcess(""))).from(0).steps()))
}

func exporterCache(c mixin.Config, s selectors) section {
	k := c.Alerts.Cache
	cache := func(name string) string { return s.exporter("validator_exporter_cache_" + name) }
	per := append([]string{"cache"}, s.process()...)
	recent := func(counter string) string {
		return aggregate("sum", "increase("+counter+"["+mixin.Duration(k.Range)+"])", per...)
	}
	hits, misses := recent(cache("hits_total")), recent(cache("misses_total"))
	legend := s.byProcess("{{cache}}")
	rejected := s.byProcess("{{cache}} rejected")
	return newSection("Cache",
		line(7,
			newGraph("Hit rate",
				fmt.Sprintf("Share of look-ups over %s that found their block, where there were at least %d. The cache is asked only when epochs are accounted again, after a reorg or a changed watch list: no line is the usual state. CacheHitRateLow looks at %s.",
					mixin.Duration(k.Range), k.MinimumLookups, percent(k.HitRate)),
				unitRatio, over(fmt.Sprintf("%s / (%s + %s >= %d)", hits, hits, misses, k.MinimumLookups), legend)).
				bounds(0, 1).marks(at(k.HitRate, red)),
			newGraph("Look-ups",
				"Look-ups in the cache, found or not, in each interval of the graph.",
				unitCount,
				over(aggregate("sum", "increase("+cache("hits_total")+rateInterval+")", per...), s.byProcess("{{cache}} found")),
				over(aggregate("sum", "increase("+cache("misses_total")+rateInterval+")", per...), s.byProcess("{{cache}} not found"))).
				from(0).bars().stacked(),
			newGraph("Evicted and rejected",
				"Entries dropped to keep within the bound, which is how the cache works, and values too large to be kept at all, which is a fault.",
				unitCount,
				over(aggregate("sum", "increase("+cache("evictions_total")+rateInterval+")", per...), s.byProcess("{{cache}} evicted")),
				over(aggregate("sum", "increase("+cache("rejected_total")+rateInterval+")", per...), rejected)).
				from(0).bars()),
		line(7,
			newGraph("Entries", "Entries in the cache.", unitCount,
				over(aggregate("max", cache("entries"), per...), legend)).from(0),
			newGraph("Size", "Estimated size of the entries in the cache.", unitBytes,
				over(aggregate("max", cache("bytes"), per...), legend)).from(0)))
}

// processes is what the system sees of this project's processes. of selects their
// series.
func processes(c mixin.Config, s selectors, of func(metric string, matchers ...string) string) section {
	y := c.Alerts.System
	each := func(metric string) string { return s.perProcess(of(metric)) }
	legend := s.byProcess("")
	memory := []step{at(float64(y.MemoryHigh), orange), at(float64(y.MemoryCritical), red)}
	return newSection("Process",
		line(7,
			newGraph("Resident memory",
				"Memory that the process holds, as the system counts it. MemoryHigh and MemoryCritical look at the dashed lines.",
				unitBytes, over(each("process_resident_memory_bytes"), legend)).from(0).marks(memory...),
			newGraph("Heap",
				"Memory of live and not yet collected objects, and what the runtime got from the system for everything.",
				unitBytes,
				over(each("go_memstats_heap_alloc_bytes"), s.byProcess("heap")),
				over(each("go_memstats_sys_bytes"), s.byProcess("from the system"))).from(0),
			newGraph("CPU",
				fmt.Sprintf("Share of the processors that the process may use. CPUHigh looks at %s.", percent(y.CPU)),
				unitRatio, over(s.perProcess(rate(of("process_cpu_seconds_total"))+" / "+of("go_sched_gomaxprocs_threads")), legend)).
				from(0).marks(at(y.CPU, red))),
		line(7,
			newGraph("Goroutines",
				fmt.Sprintf("Goroutines at once. A number that only rises is a leak; GoroutineLeak looks at %d.", y.Goroutines),
				unitNumber, over(each("go_goroutines"), legend)).from(0).marks(at(float64(y.Goroutines), red)),
			newGraph("File descriptors",
				fmt.Sprintf("Share of the open files that the process may have, connections among them. FileDescriptorsHigh looks at %s.", percent(y.FileDescriptors)),
				unitRatio, over(s.perProcess(of("process_open_fds")+" / "+of("process_max_fds")), legend)).
				from(0).marks(at(y.FileDescriptors, red)),
			newGraph("Garbage collection",
				"Seconds a second that all goroutines stood still for the garbage collector.",
				unitRatio, over(s.perProcess(rate(of("go_gc_duration_seconds_sum"))), legend)).digits(3).from(0)))
}
