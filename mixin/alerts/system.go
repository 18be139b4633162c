package alerts

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// system is about the processes of this project, exporters and receivers. Replicas are
// separate processes, so each is looked at by itself.
func system(c mixin.Config) Section {
	return Section{
		Name: "system", Title: "System", About: "Memory, processors, files and restarts of this project's processes.",
		Alerts: []Alert{memoryHigh(c), memoryCritical(c), cpuHigh(c), goroutineLeak(c), fileDescriptorsHigh(c), restartLoop(c)},
	}
}

// processes writes a query about exporters and receivers; query writes it for the
// processes that series selects.
func processes(c mixin.Config, query func(q queries) string) string {
	return fmt.Sprintf("(%s or %s)", query(queries{c}), query(queries{receiver(c)}))
}

func memoryHigh(c mixin.Config) Alert {
	limit := c.Alerts.System.MemoryHigh
	a := memory(c, limit)
	a.Name, a.Severity = "MemoryHigh", mixin.Warning
	a.Summary = "A process of the monitoring uses much memory."
	a.Action = "Find out whether it still grows, and make room or restart it before it is killed."
	a.Cases = memoryCases(c, a, limit)
	return a
}

func memoryCritical(c mixin.Config) Alert {
	limit := c.Alerts.System.MemoryCritical
	a := memory(c, limit)
	a.Name, a.Severity = "MemoryCritical", mixin.Critical
	a.Summary = "A process of the monitoring uses so much memory that it may be killed any moment."
	a.Action = "Save a heap profile if you can, then restart the process: it keeps nothing that the chain does not give back."
	a.Cases = memoryCases(c, a, limit)
	return a
}

func memory(c mixin.Config, limit uint64) Alert {
	return Alert{
		Expr: fmt.Sprintf("%s > %d", processes(c, func(q queries) string { return q.series("process_resident_memory_bytes") }), limit),
		For:  c.Alerts.System.For, Dashboard: mixin.BeaconDashboard,
		Description: process(c) + " uses {{ $value | humanize }}B of memory; at most " + humanize(float64(limit)) + "B is expected.",
		Runbook: Runbook{
			Meaning: `
The resident memory of an exporter or receiver has been above the limit for as long as the alert waits. «MemoryHigh» and
«MemoryCritical» differ in the limit only.

Neither knows what limit the process runs under, and neither fires where that is lower: the container or unit is killed first.
All limits that deploy/ comes with are lower, since the processes need less. Set the knobs «memory_high_bytes» and
«memory_critical_bytes» (below «alerts.system») to about three quarters and nine tenths of your own limit to be told in time.`,
			Impact: `
The machine or the container's limit may kill the process. The exporter comes back by itself and reads the window's epochs
again, which takes minutes, in which there are no counters; in a loop of kills there never are.`,
			Diagnosis: `
Does it grow steadily (a leak), or did it step up (more validators, a larger network)?

	process_resident_memory_bytes
	go_memstats_heap_inuse_bytes
	validator_exporter_cache_bytes
	validator_exporter_watched_validators
	go_goroutines

A process that was killed has started again. Memory is one cause; that it was this is told by the state of the container
(«OOMKilled»), or by the machine's log («journalctl --dmesg --grep=oom»):

	changes(process_start_time_seconds[1h])

An exporter that does not come back is told by [ValidatorExporterDown](ValidatorExporterDown.md), one that is killed again and
again by [RestartLoop](RestartLoop.md).

What holds the memory, with «--web.enable-pprof»:

	go tool pprof -top http://EXPORTER:8080/debug/pprof/heap

What is usual: docs/performance.md has measured figures by number of watched validators.`,
			Mitigation: `
- Many validators: what is measured for their number is what it takes. Give it that much, or lower
  «--validators.individual-limit».
- «--network.stake=always» on a large network: reading every validator takes memory once a window; «auto» avoids it.
- Grows without end: save two heap profiles an hour apart, restart it, and report both.
- Set «GOMEMLIMIT» a little below the container's limit, so that the process collects in time.`,
		},
	}
}

func cpuHigh(c mixin.Config) Alert {
	t := c.Alerts.System
	a := Alert{
		Name: "CPUHigh", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s > %s", processes(c, func(q queries) string {
			return fmt.Sprintf("rate(%s[%s]) / (%s > 0)", q.series("process_cpu_seconds_total"), mixin.Duration(cpuRange(c)), q.series("go_sched_gomaxprocs_threads"))
		}), number(t.CPU)),
		For: t.For, Dashboard: mixin.BeaconDashboard,
		Summary:     "A process of the monitoring is short of processor time.",
		Description: process(c) + " uses {{ $value | humanizePercentage }} of the processors that it may use; at most " + percent(t.CPU) + " is expected.",
		Action:      "Look at what it is busy with; give it more processors if that is simply its work.",
		Runbook: Runbook{
			Meaning: `
Processor time of an exporter or receiver, as a share of the processors that Go may use (the machine's, or the container's
limit), has been above the limit for as long as the alert waits.`,
			Impact: `
Scrapes take longer and may time out; the exporter may not keep up with the chain. A validator client on the same machine gets
less.`,
			Diagnosis: `
	rate(process_cpu_seconds_total[5m]) / go_sched_gomaxprocs_threads
	scrape_duration_seconds
	rate(go_gc_duration_seconds_count[5m])
	validator_exporter_collector_duration_seconds

Reading the window back after a start takes all it can get for some minutes; that is usual. What it is busy with, given
«--web.enable-pprof»:

	go tool pprof -top 'http://EXPORTER:8080/debug/pprof/profile?seconds=30'`,
			Mitigation: `
- Just after a start: wait.
- Scraped by too many, or too often: scrape less; «--web.max-requests» bounds it.
- Collecting garbage all the time: too little memory under «GOMEMLIMIT»; give it more.
- A limit of less than one processor in a container: raise it.`,
		},
	}
	a.Cases = cpuCases(c, a)
	return a
}

// cpuRange is as short as a rate that can stand a lost scrape may be.
func cpuRange(c mixin.Config) time.Duration { return 4 * c.Chain.ScrapeInterval }

func goroutineLeak(c mixin.Config) Alert {
	t := c.Alerts.System
	a := Alert{
		Name: "GoroutineLeak", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s > %d", processes(c, func(q queries) string { return q.series("go_goroutines") }), t.Goroutines),
		For:  t.For, Dashboard: mixin.BeaconDashboard,
		Summary:     "A process of the monitoring runs too many goroutines.",
		Description: process(c) + fmt.Sprintf(" runs {{ $value }} goroutines; at most %d are expected.", t.Goroutines),
		Action:      "Save a goroutine profile, then restart the process.",
		Runbook: Runbook{
			Meaning: `
The number of goroutines of an exporter or receiver has been above the limit for as long as the alert waits. An idle exporter
runs a few dozen; requests that hang each add some.`,
			Impact: `
Memory and connections grow with them, until the process is killed or has no file descriptors left.`,
			Diagnosis: `
	go_goroutines
	process_open_fds
	ethereum_beacon_up == 0

What they wait for, given «--web.enable-pprof»:

	curl -sS 'http://EXPORTER:8080/debug/pprof/goroutine?debug=1' | head -50

Thousands in «net/http» are requests to a beacon node that hangs, or clients that read their answer slowly; thousands in one
place of this project are a leak.`,
			Mitigation: `
- A beacon node that hangs: see [BeaconNodeDown](BeaconNodeDown.md).
- Many slow clients: lower «--web.max-requests», and set a read timeout in front.
- A leak: keep the profile, restart the process, and report it.`,
		},
	}
	a.Cases = goroutineCases(c, a)
	return a
}

func fileDescriptorsHigh(c mixin.Config) Alert {
	t := c.Alerts.System
	a := Alert{
		Name: "FileDescriptorsHigh", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s > %s", processes(c, func(q queries) string {
			return fmt.Sprintf("%s / (%s > 0)", q.series("process_open_fds"), q.series("process_max_fds"))
		}), number(t.FileDescriptors)),
		For: t.For, Dashboard: mixin.BeaconDashboard,
		Summary:     "A process of the monitoring runs out of file descriptors.",
		Description: process(c) + " uses {{ $value | humanizePercentage }} of the files that it may open; at most " + percent(t.FileDescriptors) + " is expected.",
		Action:      "Find out what it has open, and raise the limit or restart it.",
		Runbook: Runbook{
			Meaning: `
The share of the file descriptors that an exporter or receiver may open (connections are files too) has been above the limit
for as long as the alert waits.`,
			Impact: `
Without a free one it can neither reach beacon nodes or the database nor answer scrapes.`,
			Diagnosis: `
	process_open_fds / process_max_fds
	go_goroutines

On its machine, what they are:

	ls -l /proc/$(pidof validator-exporter)/fd | awk '{print $NF}' | sed 's/[0-9]*$//' | sort | uniq -c | sort -rn | head
	ss -tnp | grep validator-exporter | awk '{print $1, $5}' | sort | uniq -c | sort -rn | head`,
			Mitigation: `
- A limit of a few hundred: raise it («LimitNOFILE=» of the systemd unit).
- Many connections to one beacon node: it hangs; see [BeaconNodeDown](BeaconNodeDown.md).
- Many from one client: find out why it does not close them.
- It grows although nothing else does: keep the list, restart the process, and report it.`,
		},
	}
	a.Cases = fileCases(c, a)
	return a
}

// restartLoop sees what no other alert does: a process that is killed again and again
// answers in between, so it is never down for long.
func restartLoop(c mixin.Config) Alert {
	t := c.Alerts.System
	a := Alert{
		Name: "RestartLoop", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s > %d", processes(c, func(q queries) string {
			return fmt.Sprintf("changes(%s[%s])", q.series("process_start_time_seconds"), mixin.Duration(t.RestartRange))
		}), t.Restarts),
		For: queries{c}.wait(), Dashboard: mixin.BeaconDashboard,
		Summary:     "A process of the monitoring starts again and again.",
		Description: process(c) + fmt.Sprintf(" started again {{ $value }} times within %s; at most %d are expected.", mixin.Duration(t.RestartRange), t.Restarts),
		Action:      "Find out what ends it: too little memory, a failing health check, or a mistake that it logs last.",
		Runbook: Runbook{
			Meaning: `
An exporter or receiver has started more often than expected within the time that the alert looks at. Each start is one seen by
Prometheus at the same address: pods that an upgrade replaces have addresses of their own and do not count.`,
			Impact: `
After each start the exporter reads the window's epochs back, which takes minutes. If it does not live that long there are no
counters, and no alert that needs them can fire. What the receiver was sent in between is sent again by Prometheus.`,
			Diagnosis: `
	changes(process_start_time_seconds[1h])
	process_resident_memory_bytes
	validator_exporter_window_complete

What ended it? The last lines that it wrote, and its exit code: 137 is a kill from outside, mostly for memory.

	kubectl describe pod POD
	kubectl logs --previous POD
	docker inspect --format '{{ .State.OOMKilled }} {{ .State.ExitCode }}' CONTAINER
	journalctl --unit=validator-exporter --since=-1h`,
			Mitigation: `
- «OOMKilled», or «oom-kill» in the machine's log: give it more memory; docs/performance.md has what is usual. See
  [MemoryHigh](MemoryHigh.md).
- Killed by a liveness probe: the probe must ask «/-/healthy» («/health»), not «/-/ready», which is no while counters are read
  back, and must have as many seconds as the shipped one.
- It ends by itself with an error: the line says what to do.
- A panic in the log: keep it, go back to the version before, and report it.
- You restarted it yourself, more often than the knob «alerts.system.restarts» expects: nothing.`,
		},
	}
	a.Cases = restartCases(c, a)
	return a
}
