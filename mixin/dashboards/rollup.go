package dashboards

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// rollup is the dashboard of the receiver that keeps history, and of its database.
func rollup(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{
		slug: mixin.RollupDashboard,
		description: "The receiver that keeps completed windows in Postgres, and its database. Without a receiver everything here is empty: " +
			"it is optional, and nothing else needs it.",
		variables: s.receivers(),
		sections:  []section{receiverNow(c, s), receiverSamples(s), receiverWrites(c, s), processes(c, s, s.receiver)},
	}
}

// noReceiver is shown where there is no receiver.
const noReceiver = "no receiver"

// receivers are the variables of a dashboard that shows no exporter.
func (s selectors) receivers() []variable {
	out := []variable{s.datasource()}
	if l := s.c.Select.ClusterLabel; l != "" {
		out = append(out, variable{
			name: l, label: l, source: Prometheus, multi: true, all: ".*",
			query:       labelValues(selector("validator_rollup_schema_version", s.c.Select.Rollup), l),
			description: "Which Prometheus or cluster the series come from.",
		})
	}
	return out
}

// window is the duration of one completed window.
func window(c mixin.Config) time.Duration {
	return time.Duration(c.Chain.WindowEpochs) * c.Chain.Epoch()
}

// windowAge is how long ago the newest window ended that any receiver stored: they
// share one database.
func (s selectors) windowAge() string {
	return fmt.Sprintf("time() - %s - %d",
		s.once(s.receiver("validator_rollup_newest_window_timestamp_seconds")), int(window(s.c).Seconds()))
}

func receiverNow(c mixin.Config, s selectors) section {
	r := c.Alerts.Rollup
	own := func(name string) string { return s.receiver("validator_rollup_" + name) }
	horizon := s.once(own("partition_horizon_timestamp_seconds")) + " - time()"
	used := s.perProcess(ratio(own("pool_acquired"), own("pool_max")))
	return newSection("Now",
		line(5,
			newStat("Age of the newest window",
				fmt.Sprintf("Time since the end of the newest stored window. The next one ends %s after it and must then be final, scraped and sent, so a little more than that is usual. RollupLagging looks at a window that is missing %s after its end.",
					mixin.Duration(window(c)), mixin.Duration(r.Lagging)),
				unitDuration, now(s.windowAge(), s.legend("age"))).noValue(noReceiver).
				base(green, at((window(c)+r.Lagging).Seconds(), red)),
			newStat("Windows behind",
				"Whole windows that have ended since the newest stored one. 0 and 1 are usual, since a window is stored only when it is final.",
				unitNumber, now(fmt.Sprintf("floor((%s) / %d)", s.windowAge(), int(window(c).Seconds())), s.legend("windows"))).noValue(noReceiver).
				base(green, at(1+r.Lagging.Seconds()/window(c).Seconds(), red)),
			newStat("Conflicts",
				"Samples, over the time range shown, that differ from the value stored under their key. They are never written. One proves that two exporters disagree about the chain.",
				unitCount, now(aggregate("sum", rose(own("conflicts_total"))), "conflicts")).digits(0).noValue(noReceiver).
				base(green, at(0.5, red)),
			newStat("Failed writes",
				"Requests, over the time range shown, that the database did not take. The sender repeats them, so nothing is lost unless they go on for hours.",
				unitCount, now(aggregate("sum", rose(own("write_failures_total"))), "failures")).digits(0).noValue(noReceiver).
				base(green, at(0.5, red)),
			newStat("Partitions ahead",
				fmt.Sprintf("How far into the future there are tables for windows. Without one, writes fail. RollupPartitionMissing looks at %s.", mixin.Duration(r.PartitionHorizon)),
				unitDuration, now(horizon, s.legend("ahead"))).noValue(noReceiver).
				base(red, at(r.PartitionHorizon.Seconds(), green)),
			newStat("Connections in use",
				fmt.Sprintf("Share of the database connections that may be open that are in use, of the receiver that uses most. RollupPoolExhausted looks at %s.", percent(r.PoolExhausted)),
				unitRatio, now(aggregate("max", used), "in use")).digits(0).noValue(noReceiver).
				base(green, at(r.PoolExhausted, red))),
		line(6, newTable("Receivers",
			"Each receiver that Prometheus scrapes: version, and the schema of the database that it works with. Receivers that share a database must have the same schema.",
			keys(s.perProcess(s.receiver("up"))),
			label(s.replica(), "Receiver"),
			label("version", "Version"),
			label("revision", "Revision"),
			label("goversion", "Go"),
			value("Up", unitNumber, s.namedProcesses(s.receiver("up"), own("build_info"))).mapped(state{"0", "down", red}, state{"1", "up", green}),
			value("Schema", unitNumber, s.perProcess(own("schema_version"))),
			value("Newest window", unitMoment, "1000 * "+s.perProcess(own("newest_window_timestamp_seconds"))),
			value("Partitions until", unitMoment, "1000 * "+s.perProcess(own("partition_horizon_timestamp_seconds"))),
		).noValue(noReceiver)),
		line(8,
			newGraph("Age of the newest window over time",
				"Time since the end of the newest stored window: a saw whose teeth are one window high. A line that only rises means that nothing arrives: exporter without --counters.completed-windows, remote-write, receiver, or a chain that does not settle.",
				unitSeconds, over(s.windowAge(), s.legend("age"))).from(0).marks(at((window(c)+r.Lagging).Seconds(), red)),
			newGraph("Partitions ahead over time",
				"How far into the future there are tables for windows. It falls until the receiver makes the next.",
				unitSeconds, over(horizon, s.legend("ahead"))).from(0).marks(at(r.PartitionHorizon.Seconds(), red))))
}

func receiverSamples(s selectors) section {
	own := func(name string) string { return s.receiver("validator_rollup_" + name) }
	all := func(counter string) string { return aggregate("sum", rate(own(counter))) }
	return newSection("Samples",
		line(8,
			newGraph("Samples by outcome",
				"Samples a second: written (new), duplicate (stored already with the same value: most, since every scrape repeats the windows), dropped (not a rollup), rejected (can never be stored), conflicting (differs from what is stored).",
				"wps",
				over(all("samples_written_total"), "written"),
				over(all("samples_duplicate_total"), "duplicate"),
				over(all("samples_dropped_total"), "dropped"),
				over(all("samples_rejected_total"), "rejected"),
				over(all("conflicts_total"), "conflicting")).
				from(0).stacked().noValue(noReceiver).
				colorSeries("written", green).colorSeries("duplicate", blue).colorSeries("dropped", yellow).
				colorSeries("rejected", orange).colorSeries("conflicting", red),
			newGraph("Rejected by reason",
				"Samples a second that can never be stored, by reason. Some after a start of the sender are old; a steady number is a wrong sender.",
				"wps", over(aggregate("sum", rate(own("samples_rejected_total")), "reason"), "{{reason}}")).
				from(0).stacked().noValue(noReceiver),
			newGraph("Received by receiver",
				"Samples a second that each receiver was sent.",
				"wps", over(s.perProcess(rate(own("samples_total"))), s.byProcess(""))).
				from(0).noValue(noReceiver)))
}

func receiverWrites(c mixin.Config, s selectors) section {
	r := c.Alerts.Rollup
	own := func(name string) string { return s.receiver("validator_rollup_" + name) }
	each := func(name string) string { return s.perProcess(own(name)) }
	bucket := own("write_duration_seconds_bucket")
	slow := at(r.WritesSlow.Seconds(), red)
	return newSection("Database",
		line(8,
			newGraph("Duration of writes",
				fmt.Sprintf("Time to write one request, on all receivers: half, 95 %% and 99 %% are faster. RollupWritesSlow looks at p95 above %s.", mixin.Duration(r.WritesSlow)),
				unitSeconds, quantiles(bucket)...).from(0).marks(slow).noValue(noReceiver),
			newGraph("Duration of writes p95 by receiver",
				"95 % of the receiver's writes are faster. One slow receiver is far from the database; all slow is the database.",
				unitSeconds, over(quantile(0.95, rate(bucket), s.process()...), s.byProcess(""))).
				from(0).marks(slow).noValue(noReceiver),
			newGraph("Writes",
				"Requests a second that were written, and those that the database did not take and the sender must repeat.",
				"wps",
				over(aggregate("sum", rate(own("write_duration_seconds_count"))), "writes"),
				over(aggregate("sum", rate(own("write_failures_total"))), "failed")).
				from(0).colorSeries("failed", red).noValue(noReceiver)),
		line(8,
			newGraph("Connections",
				"Database connections of each receiver: in use, idle, and the most that may be open.",
				unitNumber,
				over(each("pool_acquired"), s.byProcess("in use")),
				over(each("pool_idle"), s.byProcess("idle")),
				over(each("pool_max"), s.byProcess("most"))).
				from(0).noValue(noReceiver),
			newGraph("Waits for a connection",
				"Times a second that a connection was waited for because all were in use. A few in a burst are harmless; always some means that the pool is too small or the database too slow.",
				"ops", over(s.perProcess(rate(own("pool_waits_total"))), s.byProcess(""))).
				from(0).noValue(noReceiver)))
}
