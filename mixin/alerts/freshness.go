package alerts

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// freshness is about whether the figures can be trusted. Figures are as good as those of
// the best replica, so these alerts are silent while one replica is well; what makes
// replicas contradict each other counts as soon as one does it.
func freshness(c mixin.Config) Section {
	return Section{
		Name: "data-freshness", Title: "Data freshness", About: "Whether what is shown is up to date and whole.",
		Alerts: []Alert{
			snapshotStale(c), snapshotStaleCritical(c), collectionFailing(c), exporterDown(c), windowIncomplete(c), configReloadFailed(c),
		},
	}
}

// stale is the age in seconds of the head that a node last confirmed. It looks back at
// exporters that are gone: of a target that service discovery no longer has there is
// nothing, not even up, and if others of its job live, nobody else misses it. Of replicas
// the best one counts, so that one that has taken another's place is enough: exporters are
// replicas that agree in what tells targets apart, whatever else their pods are labelled with.
//
// An exporter that has not reached a node since its start shows no such time: where none
// did before it either, it counts from when it has been there for as long as the limit,
// without a label network. ValidatorExporterDown tells of exporters that are known not to
// answer, and of a job without any.
func stale(c mixin.Config, limit time.Duration) string {
	q, f := queries{c}, c.Alerts.Freshness
	shown, began, up := q.series("ethereum_chain_snapshot_timestamp_seconds"), q.series("validator_exporter_watched_validators"), q.series("up")
	kept := mixin.Duration(f.Vanished)
	return fmt.Sprintf("(%s > %s or 0 * %s + %s unless ignoring (network) %s) unless ignoring (network) %s == 0 unless on () absent(%s)",
		q.ofTarget("min", fmt.Sprintf("time() - last_over_time(%s[%s])", shown, kept), "network"), seconds(limit),
		q.ofTarget("max", fmt.Sprintf("%s and %s offset %s", began, began, mixin.Duration(limit))), seconds(limit),
		q.ofTarget("max", fmt.Sprintf("count_over_time(%s[%s])", shown, kept), "network"),
		q.ofTarget("max", fmt.Sprintf("max_over_time(%s[%s])", up, mixin.Duration(min(limit, f.ExporterDown)))), up)
}

// firstHead is how long an exporter that has come back may show no head: one attempt to
// reach it is given two minutes (collector's liveTimeout), one scrape begins it, and one
// shows what came of it. After an outage that was longer than the limit the head that was
// shown last is too old from the first scrape on. A limit below that is waited for once more,
// so that who wants to be told soon is. The age of the process would not do instead: one that
// is killed every few minutes never grows old.
func (q queries) firstHead(limit time.Duration) time.Duration {
	return min(2*time.Minute+q.wait(), limit)
}

func staleDescription(limit time.Duration) string {
	return "{{ if $labels.network }}No exporter has shown a newly confirmed head of {{ $labels.network }} for {{ $value | humanizeDuration }}" +
		"{{ else }}{{ $labels.job }} has not reached the chain since it started, {{ $value | humanizeDuration }} ago or longer{{ end }}; at most " +
		human(limit) + " is expected."
}

func snapshotStale(c mixin.Config) Alert {
	limit := c.Alerts.Freshness.SnapshotStale
	a := Alert{
		Name: "ValidatorSnapshotStale", Severity: mixin.Warning,
		Expr: stale(c, limit), For: queries{c}.firstHead(limit), Dashboard: mixin.BeaconDashboard,
		Summary:     "The figures about validators are old.",
		Description: staleDescription(limit),
		Action:      "Look at the alerts on beacon nodes, then at the exporter's log.",
		Runbook:     staleRunbook(),
	}
	a.Cases = staleCases(c, a, limit)
	return a
}

func snapshotStaleCritical(c mixin.Config) Alert {
	limit := c.Alerts.Freshness.SnapshotCritical
	a := Alert{
		Name: "ValidatorSnapshotStaleCritical", Severity: mixin.Critical,
		Expr: stale(c, limit), For: queries{c}.firstHead(limit), Dashboard: mixin.BeaconDashboard,
		Summary:     "The figures about validators are so old that nobody watches the validators.",
		Description: staleDescription(limit),
		Action:      "Check the validators on a public explorer, then get the exporter to reach a beacon node.",
		Runbook:     staleRunbook(),
	}
	a.Cases = staleCases(c, a, limit)
	return a
}

// staleRunbook is the same for both limits.
func staleRunbook() Runbook {
	return Runbook{
		Meaning: `
At each scrape the exporter asks a beacon node for its head. The time at which a node last confirmed the head that is shown is
older than the limit for every exporter; while one exporter is up to date, the alert is silent. An exporter that has been
running for longer than the limit and never got so far counts too. The alert waits for as long as an exporter that was down and
is back may take to reach the head.

So does one that is gone: Prometheus has no target for it any more, but has others of its job, as when a shard's pods or one
network's exporter are no longer discovered. It is missed for a few hours (the longest range in the condition above), and so
is one that was removed for good, or whose labels («namespace», «service», «shard», the name of the network) were changed.
Exporters that agree in the labels that the condition above keeps («by») are replicas, one of which is enough: whatever else
tells exporters of different validators apart belongs into the knob «select.target_labels», or one hides the other. Those that
do not answer a scrape, and a job without any target, are [ValidatorExporterDown](ValidatorExporterDown.md).

«ValidatorSnapshotStale» and «ValidatorSnapshotStaleCritical» differ in the limit only. This is not about the age of the
head itself: a node that confirms an old head is [BeaconHeadStalled](BeaconHeadStalled.md).`,
		Impact: `
Figures about validators stand still: misses are not noticed, and alerts on validators fire late or not at all. When the head
has not been confirmed for the exporter's «--chain.max-age», all figures about the chain are withheld.`,
		Diagnosis: `
	time() - last_over_time(ethereum_chain_snapshot_timestamp_seconds[6h])
	validator_exporter_collector_success == 0
	ethereum_beacon_up

Is there still a target with the alert's labels? If not, see Prometheus' page Status → Service discovery, and whether its pods,
its Service or its line in the scrape configuration are gone:

	up

Is it the nodes? Then one of these fires too: [BeaconNodesAllDown](BeaconNodesAllDown.md),
[BeaconAPIRetriesExhausted](BeaconAPIRetriesExhausted.md). Otherwise ask the exporter why it is not ready, and read its log
for «Could not advance to the head of the chain»:

	curl -sS http://EXPORTER:8080/-/ready

The exporter works when it is scraped. One that nobody scrapes shows nothing new; a scrape timeout that is too short makes
Prometheus miss its answers:

	scrape_duration_seconds`,
		Mitigation: `
- Nodes down or slow: repair them, or give the exporter another one with «--beacon.url».
- No target: bring back the exporter, or the labels and ports that it is discovered by.
- Removed or renamed on purpose: silence it by the labels of the alert until it ends by itself.
- The log names a step that fails: see [ValidatorCollectionFailing](ValidatorCollectionFailing.md).
- The exporter's or the Prometheus server's clock is wrong: repair time synchronisation.
- Restarting the exporter is safe, since it keeps nothing, but it helps only if it hangs. Save a goroutine profile first
  («--web.enable-pprof», then «/debug/pprof/goroutine?debug=2»).`,
	}
}

func collectionFailing(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Freshness.Failing
	a := Alert{
		Name: "ValidatorCollectionFailing", Severity: mixin.Warning,
		// Rewards and old epochs are not served by every node; what comes of it has alerts
		// of its own, or is merely absent.
		Expr: q.any(q.series("validator_exporter_collector_success", `collector!~"rewards|window"`)) + " == 0",
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary:     "A part of the exporter's work keeps failing.",
		Description: fmt.Sprintf("The step {{ $labels.collector }} of {{ $labels.job }} has failed for %s or longer.", mixin.Duration(wait)),
		Action:      "Read the exporter's log: it names the step, the beacon node and the error.",
		Runbook: Runbook{
			Meaning: `
An exporter's last run of one of its steps failed, at every scrape for as long as the alert waits. One exporter is enough.

The steps, in their order: «chain» (constants, head, new blocks), «validators» (records), «duties» (committees, proposers, sync
committee), «finality», «accounting» (settled epochs). The steps «rewards» and «window» are left out: not every node serves
rewards or old epochs. Missing epochs are [ValidatorWindowIncomplete](ValidatorWindowIncomplete.md).`,
			Impact: `
After a failed step nothing newer is published: the exporter goes on showing its last whole snapshot. Only «finality» may
fail alone; then the justified and finalized epochs are absent.`,
			Diagnosis: `
	validator_exporter_collector_success == 0
	validator_exporter_collector_duration_seconds
	sum by (endpoint, operation, reason) (increase(ethereum_beacon_request_failures_total[15m])) > 0

The log line «Could not advance to the head of the chain» has the error of every node. It appears when the error changes, not
at every scrape, so look back to when the failure began.`,
			Mitigation: `
- A node that fails one operation: add another with «--beacon.url».
- Timeouts in «validators» or «duties»: raise «--beacon.timeout».
- «the counters' window does not fit this chain»: correct «--counters.window-epochs» or «--counters.reset-slots».
- «a mistake of this program»: restart it, and report the log line with its stack.`,
		},
	}
	a.Cases = collectionFailingCases(c, a)
	return a
}

// NoExporter is the label that ValidatorExporterDown has, with the value NoExporterIs, when
// Prometheus has no target at all, and not when targets do not answer.
const (
	NoExporter   = "exporter"
	NoExporterIs = "none"
)

func exporterDown(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Freshness.ExporterDown
	up := q.series("up")
	a := Alert{
		Name: "ValidatorExporterDown", Severity: mixin.Critical,
		// Without any target nothing is known of it but what the selector says. That is told
		// apart by a label, since what follows from it holds for every target of the job.
		Expr: fmt.Sprintf("%s == 0 or label_replace(absent(%s), %q, %q, \"\", \"\")", q.once(up), up, NoExporter, NoExporterIs),
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary: "No validator-exporter answers: nobody watches the validators.",
		Description: fmt.Sprintf("Prometheus has reached no exporter{{ with $labels.job }} of the job {{ . }}{{ end }} for %s or longer.",
			mixin.Duration(wait)),
		Action: "Start the exporter, or repair the way from Prometheus to it. Check the validators on a public explorer meanwhile.",
		Runbook: Runbook{
			Meaning: `
Prometheus could not scrape any exporter for as long as the alert waits, or knows of none at all; then the alert has the label
«exporter="none"». With several exporters it is silent while one of them answers: the figures are then whole. That a single one
is down shows in «up».

Exporters that differ in another label than «instance» and «pod», such as «shard», are looked at by themselves. When such a one
is no longer even a target, while others are, it is [ValidatorSnapshotStale](ValidatorSnapshotStale.md).`,
			Impact: `
There are no figures about validators, and no alert on them can fire.`,
			Diagnosis: `
	up == 0

Prometheus' page Status → Targets has the error of the last scrape. No target at all means that the scrape configuration,
service discovery or the labels of the ServiceMonitor changed, or that the job has another name than these alerts select.

	curl -sS http://EXPORTER:8080/-/healthy
	validator-exporter healthcheck

In the exporter's log, look for the reason of the last exit. With «--config.check» added to its other flags it only says whether
flags and files are valid.`,
			Mitigation: `
- It does not start: correct the flag or file that it names.
- Killed for memory: see [MemoryCritical](MemoryCritical.md).
- Runs but cannot be reached: firewall, TLS or password of «--web.config.file», listen address.
- After its start it reads the window's past epochs first. Counters appear when that is done; «/-/ready» tells how far it is.`,
		},
	}
	a.Cases = exporterDownCases(c, a)
	return a
}

func windowIncomplete(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Freshness.WindowIncomplete
	a := Alert{
		Name: "ValidatorWindowIncomplete", Severity: mixin.Warning,
		Expr: q.once(q.series("validator_exporter_window_complete")) + " == 0",
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary: "The counters leave out epochs of their window.",
		Description: fmt.Sprintf("The counters of {{ $labels.job }} have not covered their window from its first epoch for %s or longer.",
			mixin.Duration(wait)),
		Action: "Give the exporter a beacon node that serves older epochs.",
		Runbook: Runbook{
			Meaning: `
Counters sum over a window of epochs. After a start the exporter reads the epochs of the current window that have passed; no
exporter has all of them, and that has been so for as long as the alert waits. The next window is whole if the exporter runs
through it.`,
			Impact: `
Counts of the window are too small, numerators and denominators alike, so ratios stay about right. Finished windows that are
not whole are not exposed, so a rollup has a gap, unless a node gives the missing epochs while the window is still among
those that are shown.`,
			Diagnosis: `
	validator_exporter_window_complete == 0
	validator_exporter_window_first_epoch

	curl -sS http://EXPORTER:8080/-/ready

The exporter logs «No node serves this past epoch» with the epoch. A node that was synced from a checkpoint has no older
blocks; one that prunes states cannot tell old committees. If it logs «Could not read a past epoch» again and again, nodes are
too slow or fail. If the log shows many starts, it is restarted before it gets through.`,
			Mitigation: `
- Let the node backfill its blocks, or add one that keeps a day of history with «--beacon.url».
- Restarted again and again: find out why it stops.
- Otherwise wait for the next window.`,
		},
	}
	a.Cases = windowIncompleteCases(c, a)
	return a
}

func configReloadFailed(c mixin.Config) Alert {
	q, wait := queries{c}, c.Alerts.Freshness.Failing
	a := Alert{
		Name: "ValidatorConfigReloadFailed", Severity: mixin.Warning,
		Expr: q.any(q.series("validator_exporter_config_reload_success")) + " == 0",
		For:  wait, Dashboard: mixin.BeaconDashboard,
		Summary: "The watch list has a mistake; the old one stays in use.",
		Description: fmt.Sprintf("{{ $labels.job }} has not been able to load its watch list for %s or longer and goes on with the one before.",
			mixin.Duration(wait)),
		Action: "Correct the watch list: the exporter's log names the line.",
		Runbook: Runbook{
			Meaning: `
The file of «--validators.config», or one that it names, changed and could not be loaded, or does not answer, as on a mount whose
server is gone. The exporter goes on with the list that it had. One exporter is enough.`,
			Impact: `
New validators are not watched, removed ones still are. After a restart the exporter would not start at all with this file. Two
exporters with different lists show different groups.`,
			Diagnosis: `
	validator_exporter_config_reload_success == 0
	validator_exporter_config_reload_timestamp_seconds
	validator_exporter_watched_validators

The exporter logs «Watch list not reloaded» with file, line and reason. Check a file before you install it:

	validator-exporter --validators.config=FILE --config.check`,
			Mitigation: `
- Correct the file, or put the old one back. It is read again at the next scrape.
- Replace it by renaming a new one over it; a file that is written in place may be read half written.
- Permission denied: make it readable for the exporter's user.
- «could not be read within»: the mount that the file lies on does not answer. Repair it, or put the file elsewhere.`,
		},
	}
	a.Cases = configReloadCases(c, a)
	return a
}
