package alerts

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// database is about the receiver of rollups. Where none is installed, all of it is
// silent. Replicas of the receiver share one database, so one that sees trouble is
// enough.
func database(c mixin.Config) Section {
	return Section{
		Name: "rollup", Title: "Rollup and database", About: "The receiver that keeps history.",
		Alerts: []Alert{
			rollupDown(c), rollupPoolExhausted(c), rollupPoolLeak(c), rollupWritesSlow(c), rollupWriteFailures(c),
			rollupLagging(c), rollupPartitionMissing(c), rollupConflict(c),
		},
	}
}

func rollupDown(c mixin.Config) Alert {
	q, wait := queries{receiver(c)}, c.Alerts.Rollup.Range
	a := Alert{
		Name: "RollupDown", Severity: mixin.Warning,
		Expr: q.once(q.series("up")) + " == 0",
		For:  wait, Dashboard: mixin.RollupDashboard,
		Summary:     "No rollup receiver answers: history is not being stored.",
		Description: fmt.Sprintf("Prometheus has reached no receiver of the job {{ $labels.job }} for %s or longer.", mixin.Duration(wait)),
		Action:      "Start the receiver. The sender keeps what was not delivered for a few hours.",
		Runbook: Runbook{
			Meaning: `
Prometheus has scrape targets for the rollup receiver, and none of them answered for as long as the alert waits. An
installation without a receiver has no such target, and no alert.`,
			Impact: `
Finished windows are not stored. Nothing is lost as long as Prometheus' remote write can still deliver them: it repeats what
failed for about two hours. The exporter shows each finished window for as long as «--counters.completed-windows» says. The
other alerts on the receiver are silent meanwhile, since nobody tells their figures.`,
			Diagnosis: `
	up == 0
	prometheus_remote_storage_samples_pending

Prometheus' page Status → Targets has the error; the receiver's log has the reason of its last exit.`,
			Mitigation: `
- Start it. It needs nothing but its database.
- If the database is down, start that first.
- Away for longer than remote write keeps: raise «--counters.completed-windows» before you start it, and the exporter shows
  those windows again. Writing one twice is harmless.`,
		},
	}
	a.Cases = rollupDownCases(c, a)
	return a
}

func rollupPoolExhausted(c mixin.Config) Alert {
	q, r := queries{receiver(c)}, c.Alerts.Rollup
	a := Alert{
		Name: "RollupPoolExhausted", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s >= %s", q.once(fmt.Sprintf("%s / (%s > 0)",
			q.series("validator_rollup_pool_acquired"), q.series("validator_rollup_pool_max"))), number(r.PoolExhausted)),
		For: r.Range, Dashboard: mixin.RollupDashboard,
		Summary:     "The receiver has almost no database connections left.",
		Description: fmt.Sprintf("{{ $value | humanizePercentage }} of the database connections of {{ $labels.job }} are in use; %s or more is too many.", percent(r.PoolExhausted)),
		Action:      "Look at what the database is busy with; raise the pool's limit only if the database has room.",
		Runbook: Runbook{
			Meaning: `
So many of the connections that the receiver may open were in use, at every scrape for as long as the alert waits, on at least
one receiver.`,
			Impact: `
Writes wait for a connection, then time out, and the sender repeats them. When it lasts, history lags.`,
			Diagnosis: `
	validator_rollup_pool_acquired / validator_rollup_pool_max
	rate(validator_rollup_pool_waits_total[10m])
	histogram_quantile(0.95, sum by (le) (rate(validator_rollup_write_duration_seconds_bucket[10m])))

In the database, what the connections do:

	SELECT pid, state, wait_event_type, wait_event, now() - xact_start AS age, left(query, 80)
	  FROM pg_stat_activity WHERE usename = current_user ORDER BY age DESC NULLS LAST;`,
			Mitigation: `
- Waiting for a lock: end the transaction that holds it («SELECT pg_terminate_backend(pid)»).
- Slow writes: see [RollupWritesSlow](RollupWritesSlow.md).
- In use although nothing is written: see [RollupPoolLeak](RollupPoolLeak.md).
- Simply much work: raise the pool's limit, and the database's «max_connections» with it.`,
		},
	}
	a.Cases = poolExhaustedCases(c, a)
	return a
}

func rollupPoolLeak(c mixin.Config) Alert {
	q, r := queries{receiver(c)}, c.Alerts.Rollup
	acquired := q.series("validator_rollup_pool_acquired")
	a := Alert{
		Name: "RollupPoolLeak", Severity: mixin.Warning,
		Expr: q.once(fmt.Sprintf("min_over_time(%s[%s]) and %s offset %s",
			acquired, mixin.Duration(r.PoolLeak), acquired, mixin.Duration(r.PoolLeak))) + " > 0",
		For: q.wait(), Dashboard: mixin.RollupDashboard,
		Summary:     "Database connections do not come back.",
		Description: fmt.Sprintf("{{ $value }} database connections of {{ $labels.job }} were in use at every scrape of the last %s; between writes it should be 0.", mixin.Duration(r.PoolLeak)),
		Action:      "Look in the database at what those connections do; restart the receiver if they do nothing.",
		Runbook: Runbook{
			Meaning: `
The receiver takes a connection for a write and gives it back. At every scrape of the range at least so many were in use, which
writes of a few milliseconds do not explain. The receiver has been there for the whole range.`,
			Impact: `
None yet. When all connections are gone, nothing is stored any more: [RollupPoolExhausted](RollupPoolExhausted.md) comes first.`,
			Diagnosis: `
	min_over_time(validator_rollup_pool_acquired[30m])
	rate(validator_rollup_samples_total[10m])

A receiver that writes all the time, because writes are slow, looks the same: see [RollupWritesSlow](RollupWritesSlow.md). What
the connections do:

	SELECT pid, state, now() - state_change AS since, left(query, 80)
	  FROM pg_stat_activity WHERE usename = current_user ORDER BY since DESC;

«idle in transaction» for long, or «idle» while the receiver says that they are in use, is a leak.`,
			Mitigation: `
- A leak: restart the receiver, which frees them, and report it with the query's answer.
- Waiting for a lock or for the disk: deal with that.`,
		},
	}
	a.Cases = poolLeakCases(c, a)
	return a
}

func rollupWritesSlow(c mixin.Config) Alert {
	q, r := queries{receiver(c)}, c.Alerts.Rollup
	a := Alert{
		Name: "RollupWritesSlow", Severity: mixin.Warning,
		Expr: fmt.Sprintf("histogram_quantile(0.95, %s) > %s",
			q.total(fmt.Sprintf("rate(%s[%s])", q.series("validator_rollup_write_duration_seconds_bucket"), mixin.Duration(r.Range))), seconds(r.WritesSlow)),
		// As long as the range, so that it takes more than one slow write.
		For: r.Range, Dashboard: mixin.RollupDashboard,
		Summary:     "The database takes writes slowly.",
		Description: fmt.Sprintf(`The slowest 5%% of writes of {{ $labels.job }} take {{ printf "%%.2f" $value }} s or longer; at most %s s is expected.`, seconds(r.WritesSlow)),
		Action:      "Look at the database's disk and locks.",
		Runbook: Runbook{
			Meaning: `
The 95th percentile of the time that writing one request to the database takes is above the limit, over all receivers. The alert
waits as long as the range that it looks at, so a few slow writes among many do not fire it.`,
			Impact: `
The sender waits, and its queue grows. Dashboards of the long term are slow for the same reason.`,
			Diagnosis: `
	histogram_quantile(0.95, sum by (le) (rate(validator_rollup_write_duration_seconds_bucket[10m])))
	rate(validator_rollup_samples_written_total[10m])
	validator_rollup_pool_acquired / validator_rollup_pool_max

In the database:

	SELECT wait_event_type, wait_event, count(*) FROM pg_stat_activity WHERE state = 'active' GROUP BY 1, 2 ORDER BY 3 DESC;
	SELECT relname, n_dead_tup, last_autovacuum FROM pg_stat_user_tables ORDER BY n_dead_tup DESC LIMIT 10;

and on its machine the disk («iostat -x 5»).`,
			Mitigation: `
- Locks: find the query that holds them; a long report or a backup is usual. Let it end, or end it.
- Disk: free space, or move the database to a faster one.
- A receiver far from its database: put them next to each other.`,
		},
	}
	a.Cases = writesSlowCases(c, a)
	return a
}

func rollupWriteFailures(c mixin.Config) Alert {
	q, r := queries{receiver(c)}, c.Alerts.Rollup
	a := Alert{
		Name: "RollupWriteFailures", Severity: mixin.Warning,
		Expr: q.total(fmt.Sprintf("increase(%s[%s])", q.series("validator_rollup_write_failures_total"), mixin.Duration(r.Range))) + " > 0",
		// As long as the range, so that it takes more than one failure.
		For: r.Range, Dashboard: mixin.RollupDashboard,
		Summary:     "The database keeps refusing writes.",
		Description: fmt.Sprintf(`The database did not take {{ printf "%%.0f" $value }} requests of {{ $labels.job }} in the last %s; 0 are expected.`, mixin.Duration(r.Range)),
		Action:      "Read the receiver's log: it has the database's error.",
		Runbook: Runbook{
			Meaning: `
Requests could not be written to the database and the sender has been told to repeat them, more than once: the alert waits as
long as the range that it counts over.`,
			Impact: `
Nothing is lost while the sender repeats, which Prometheus does for about two hours. After that windows are missing.`,
			Diagnosis: `
	increase(validator_rollup_write_failures_total[10m])
	prometheus_remote_storage_samples_retried_total

The receiver's log has the error of each failure. Can one write at all?

	psql "$DATABASE_URL" -c 'SELECT pg_is_in_recovery(), pg_size_pretty(pg_database_size(current_database()))'`,
			Mitigation: `
- Refused or timed out: the database is down, or the address or password is wrong.
- «read-only transaction»: the address leads to a standby; point it at the primary.
- «no partition of relation»: see [RollupPartitionMissing](RollupPartitionMissing.md).
- «could not extend file», «No space left on device»: make room. Do not delete files of the database by hand.`,
		},
	}
	a.Cases = writeFailuresCases(c, a)
	return a
}

func rollupLagging(c mixin.Config) Alert {
	q, r := queries{receiver(c)}, c.Alerts.Rollup
	chain := queries{c}
	window := time.Duration(c.Chain.WindowEpochs) * c.Chain.Epoch()
	// The receiver does not say which network a window is of. As long as one of them
	// finalizes there are windows to store.
	unfinal := fmt.Sprintf("min(%s - %s) > %d", chain.once(chain.series("ethereum_chain_epoch")),
		chain.once(chain.series("ethereum_chain_finalized_epoch")), c.Alerts.Network.FinalityEpochs)
	newest, here := q.series("validator_rollup_newest_window_timestamp_seconds"), q.series("validator_rollup_pool_max")
	// The next window ends two windows after the newest stored one begins. As long as none
	// is stored there is no such time: then a receiver that has been there for as long
	// counts, with the value 0.
	due := mixin.Duration(2*window + r.Lagging)
	never := fmt.Sprintf("0 * %s unless %s",
		q.once(fmt.Sprintf("%s and %s offset %s", here, here, due)), q.once(fmt.Sprintf("count_over_time(%s[%s])", newest, due)))
	a := Alert{
		Name: "RollupLagging", Severity: mixin.Warning,
		Expr: fmt.Sprintf("(time() - %s - %s > %s or %s) unless on () (%s)",
			q.once(newest), seconds(2*window), seconds(r.Lagging), never, unfinal),
		For: r.Range, Dashboard: mixin.RollupDashboard,
		Summary: "Finished windows do not reach the database.",
		Description: fmt.Sprintf("{{ if $value }}The next window for {{ $labels.job }} ended {{ $value | humanizeDuration }} ago and is not stored"+
			"{{ else }}{{ $labels.job }} has shown no stored window for %s or longer{{ end }}; %s after its end is enough.", human(2*window+r.Lagging), human(r.Lagging)),
		Action: "Follow the way of a window: exporter, Prometheus' remote write, receiver, database.",
		Runbook: Runbook{
			Meaning: `
A window of the exporter's counters is stored once its blocks are final. The one after the newest that is stored ended longer
ago than that should take. A receiver that has run for that long and has never stored a window counts, too: the exporter shows
none unless it is told to, and Prometheus sends none unless it is told to. The newest window is that of any network. The alert
is silent while no network finalizes, since nothing can be stored then ([ChainFinalityDelayed](ChainFinalityDelayed.md)).`,
			Impact: `
Long-term figures stop at the newest stored window. A window is lost for good when the exporter no longer shows it
(«--counters.completed-windows») and remote write no longer has it.`,
			Diagnosis: `
Does the exporter show finished windows, and of all epochs?

	count by (network, window) (ethereum_group_window_attestations_expected)
	validator_exporter_window_complete == 0

Does Prometheus send them?

	prometheus_remote_storage_samples_pending
	rate(prometheus_remote_storage_samples_failed_total[10m])

Does the receiver take and write them?

	rate(validator_rollup_samples_total[10m])
	rate(validator_rollup_samples_written_total[10m])
	rate(validator_rollup_samples_rejected_total[10m])
	increase(validator_rollup_write_failures_total[10m])`,
			Mitigation: `
- The exporter shows none: start it with «--counters.completed-windows» of at least 2, and with a node that serves old epochs.
- Prometheus sends nothing: check «remote_write» and that its relabelling keeps «ethereum_.+_window_.+».
- Rejected: the label «reason» says why.
- Not written: see [RollupWriteFailures](RollupWriteFailures.md).
- The window's length differs from «--counters.window-epochs»: give these rules the exporter's.`,
		},
	}
	a.Cases = laggingCases(c, a)
	return a
}

func rollupPartitionMissing(c mixin.Config) Alert {
	q, r := queries{receiver(c)}, c.Alerts.Rollup
	a := Alert{
		Name: "RollupPartitionMissing", Severity: mixin.Warning,
		Expr: fmt.Sprintf("%s < %s", q.any(q.series("validator_rollup_partition_horizon_timestamp_seconds")+" - time()"), seconds(r.PartitionHorizon)),
		For:  r.Range, Dashboard: mixin.RollupDashboard,
		Summary:     "Tables for the time to come are not prepared.",
		Description: fmt.Sprintf("Partitions for {{ $labels.job }} exist for the next {{ $value | humanizeDuration }} only; %s ahead is expected.", human(r.PartitionHorizon)),
		Action:      "Find out why the receiver cannot create partitions; its log has the database's error.",
		Runbook: Runbook{
			Meaning: `
The receiver creates partitions for new windows ahead of time. The last one ends sooner than it should. A negative time means
that the present has no partition.`,
			Impact: `
None until the last partition ends; from then on writes fail.`,
			Diagnosis: `
	validator_rollup_partition_horizon_timestamp_seconds - time()
	validator_rollup_schema_version

In the receiver's log look for errors about partitions: missing rights («permission denied»), a lock, a full disk. Which
partitions are there:

	SELECT c.relname, pg_get_expr(c.relpartbound, c.oid) FROM pg_inherits i JOIN pg_class c ON c.oid = i.inhrelid ORDER BY 1;`,
			Mitigation: `
- Rights: give the receiver's user the right to create tables in its schema, as at the installation.
- A lock: end the transaction that holds it.
- A clock that is wrong on the receiver's machine: repair it.
- Restart the receiver afterwards; it prepares partitions when it starts.`,
		},
	}
	a.Cases = partitionCases(c, a)
	return a
}

func rollupConflict(c mixin.Config) Alert {
	q, r := queries{receiver(c)}, c.Alerts.Rollup
	a := Alert{
		Name: "RollupConflict", Severity: mixin.Warning,
		Expr: q.total(fmt.Sprintf("increase(%s[%s])", q.series("validator_rollup_conflicts_total"), mixin.Duration(r.Range))) + " > 0",
		For:  q.wait(),
		// A conflict is over soon, but it should be looked at the next morning all the same.
		KeepFiringFor: 24 * time.Hour, Dashboard: mixin.RollupDashboard,
		Summary:     "A finished window was reported with a second value.",
		Description: fmt.Sprintf(`{{ printf "%%.0f" $value }} samples for {{ $labels.job }} differed in the last %s from what was stored before; 0 are expected. The first values were kept.`, mixin.Duration(r.Range)),
		Action:      "Find out which exporters disagree, and about which window, before their figures are used.",
		Runbook: Runbook{
			Meaning: `
A window's values are final: every exporter must report the same ones, whenever it does. The receiver got a value that differs
from the one stored under the same key. It counted it and kept the first.

The alert goes on for a day after the last conflict, so that somebody sees it.`,
			Impact: `
Nothing is overwritten. But one of the two values is wrong, and it may be the one that was stored.`,
			Diagnosis: `
	increase(validator_rollup_conflicts_total[1h])

The receiver logs the key and both values. Do two exporters show different things right now?

	count by (network, group_by, group, window) (count_values by (network, group_by, group, window) ("value", ethereum_group_window_attestations_expected)) > 1
	validator_exporter_build_info
	validator_exporter_watched_validators`,
			Mitigation: `
- Different watch lists or labels for the same group: give all exporters the same file.
- The watch list changed within the window: what is stored is the group as it was first reported; from the next window on it is
  the new one. Nothing to do.
- Different networks with the same name: set «--network.name».
- Different versions: bring them to the same one.
- None of these: stop one exporter, keep its log, and report it: it disproves what this project promises.`,
		},
	}
	a.Cases = conflictCases(c, a)
	return a
}
