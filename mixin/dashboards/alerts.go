package dashboards

import (
	"fmt"
	"strings"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
)

// recentAlerts is the dashboard of what is wrong now and what was wrong lately, also
// where it was too little for an alert.
func recentAlerts(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{
		slug:        mixin.AlertsDashboard,
		description: "Alerts of this mixin that fire or fired, and recent events that may explain them: missed blocks, reorgs, slashings, restarts.",
		variables:   append(s.common(), s.groups()...),
		sections:    []section{firingNow(c, s), firedLately(c, s), validatorIssues(c, s), chainAndData(s), runbookLinks(c)},
	}
}

// offendersShown is how many rows the table of failing validators has at most.
const offendersShown = 100

// alertNames are the names of this mixin's alerts, to tell them from others' in the
// same Prometheus.
func alertNames(c mixin.Config) []string {
	var out []string
	for _, s := range alerts.Sections(c) {
		for _, a := range s.Alerts {
			out = append(out, a.Name)
		}
	}
	return out
}

// alerting selects what Prometheus records of this mixin's alerts: ALERTS, or
// ALERTS_FOR_STATE with the time since which each is active.
func (s selectors) alerting(metric string, matchers ...string) string {
	return selector(metric, append(append(s.cluster(), matches("alertname", strings.Join(s.alertNames(), "|"))), matchers...)...)
}

func (s selectors) alertsIn(state string, matchers ...string) string {
	return s.alerting("ALERTS", append([]string{equals("alertstate", state)}, matchers...)...)
}

func severities() []mixin.Severity {
	return []mixin.Severity{mixin.Critical, mixin.Warning, mixin.Info}
}

func severityColor(v mixin.Severity) string {
	switch v {
	case mixin.Critical:
		return red
	case mixin.Warning:
		return orange
	}
	return blue
}

func firingNow(c mixin.Config, s selectors) section {
	meanings := map[mixin.Severity]string{
		mixin.Critical: "Alerts that wake someone: money or safety is being lost now.",
		mixin.Warning:  "Alerts for working hours: something is wrong and can wait until then.",
		mixin.Info:     "Alerts that are only worth knowing. Nothing has to be done at once.",
	}
	var counts []*panel
	var ranks []string
	var ranked []state
	for i, v := range severities() {
		rank := len(severities()) - i
		counts = append(counts, newStat("Firing: "+string(v), meanings[v]+" Whatever group they are about.",
			unitCount, now(orZero(aggregate("count", s.alertsIn("firing", equals("severity", string(v))))), string(v))).
			base(green, at(1, severityColor(v))))
		ranks = append(ranks, fmt.Sprintf("%d * %s", rank, s.alertsIn("firing", equals("severity", string(v)))))
		ranked = append(ranked, state{fmt.Sprint(rank), string(v), severityColor(v)})
	}
	counts = append(counts, newStat("Pending", "Alerts whose condition holds, but not yet for as long as they wait before they fire.",
		unitCount, now(orZero(aggregate("count", s.alertsIn("pending"))), "pending")).base(plain))
	since := fmt.Sprintf("1000 * (%s and ignoring (alertstate) %s)", s.alerting("ALERTS_FOR_STATE"), s.alertsIn("firing"))
	return newSection("Firing now",
		line(4, counts...),
		line(10, s.located("Firing alerts",
			"Every alert of this mixin that fires, worst first, and since when its condition holds. The name leads to its runbook: meaning, impact, diagnosis, mitigation. Empty when all is well, or when the alerts are not loaded in this Prometheus.",
			value("Severity", unitNumber, strings.Join(ranks, " or ")).mapped(ranked...),
			label("alertname", "Alert").linked("Runbook", c.RunbookURL("${__value.raw}")),
			value("Since", unitFromNow, since),
			label("network", "Network"),
			label("group_by", "Group by"),
			label("group", "Group"),
			label("validator_index", "Validator").
				linked("Look at this validator", s.link(mixin.ValidatorsDashboard, "var-validator=${__value.raw}")),
			label("endpoint", "Beacon node"),
			label("operation", "Operation"),
			label(s.replica(), "Process"),
		).sorted("Severity", true)))
}

func firedLately(c mixin.Config, s selectors) section {
	by := []string{"alertname", "severity"}
	firing := aggregate("max", s.alertsIn("firing"), by...)
	pending := aggregate("max", s.alertsIn("pending"), by...)
	stacked := newGraph("Alerts by severity over time", "Number of firing alerts by severity. Many at once usually have one cause: look at beacon nodes and the network first.",
		unitCount, over(aggregate("count", s.alertsIn("firing"), "severity"), "{{severity}}")).from(0).stacked().steps()
	for _, v := range severities() {
		stacked.colorSeries(string(v), severityColor(v))
	}
	return newSection("Alerts over the range shown",
		line(10, newTimeline("Alert history",
			"When each alert was pending (its condition held) and when it fired, for anything it is about. A line that comes and goes is a threshold too near to what is usual.",
			unitNumber, over(fmt.Sprintf("2 * %s or %s", firing, pending), "{{alertname}}")).
			states(state{"1", "pending", yellow}, state{"2", "firing", red})),
		line(8,
			stacked,
			newTable("Time spent firing",
				"How long each alert fired within the time range shown, for anything it is about, to the graph's resolution. What fires most is worth a better threshold or a repair.",
				label("severity", "Severity"),
				label("alertname", "Alert").linked("Runbook", c.RunbookURL("${__value.raw}")),
				value("Fired for", unitDuration, fmt.Sprintf("count_over_time(%s[$__range:$__interval]) * $__interval_ms / 1000", firing)),
			).sorted("Fired for", true)))
}

func validatorIssues(c mixin.Config, s selectors) section {
	rises := func(counter, d string) string {
		return fmt.Sprintf("increase(%s[%s])", s.group("ethereum_group_"+counter+"_total"), d)
	}
	// Of one and the same replica: another may have started later and seen less.
	missed := func(d string) string {
		return "clamp_min(" + s.once(rises("blocks_expected", d)+" - "+rises("blocks_proposed", d)) + ", 0)"
	}
	lost := func(d string) string { return s.once(rises("blocks_orphaned_observed", d)) }
	down := s.once(s.group("ethereum_group_missed_attestation_streaks", equals("at_least", fmt.Sprint(c.Alerts.Validators.MissedStreak))))
	return newSection("Validators of the group",
		line(4,
			newStat("Proposals missed", "Blocks of the group over the time range shown, in settled epochs, that are not on the canonical chain.",
				unitCount, now("round("+missed("$__range")+")", s.legend("missed"))).digits(0).base(green, at(1, red)),
			newStat("Proposals missing now", "Blocks of the group in epochs that are not settled yet without a canonical block.",
				unitCount, now(s.once(s.group("ethereum_group_blocks_missed_unsettled")), s.legend("missing"))).base(green, at(1, red)),
			newStat("Blocks orphaned", "Blocks of the group over the time range shown that an exporter saw as canonical and that were reorged out later.",
				unitCount, now("round("+lost("$__range")+")", s.legend("orphaned"))).digits(0).base(green, at(1, orange)),
			newStat("Validators down", fmt.Sprintf("Validators of the group that missed at least %d attestations in a row, however many there are; slashed ones, which are to be stopped, are not counted.", c.Alerts.Validators.MissedStreak),
				unitCount, now(down, s.legend("down"))).base(green, at(1, red)),
			newStat("Slashed", "Validators of the group that have been slashed, ever.",
				unitCount, now(s.once(s.group("ethereum_group_slashed")), s.legend("slashed"))).base(green, at(1, red)),
			newStat("Failing beyond the table", "How many rows the table below would have more if it had room for all: failed duties of all watched validators, of any group. Above 0 the exporter's page /api/v1/validators?offending=true has every one.",
				unitCount, now(s.beyondTable(), "more")).base(green, at(1, yellow))),
		line(9,
			s.located("Validators that fail a duty now",
				fmt.Sprintf("Watched validators of the network, of any group, that are slashed, miss attestations in a row, or have an attestation, block or sync vote missing in epochs that are not settled yet; by how much, at most %d, and above the exporter's limit of individual series at most its --validators.offender-limit, the newest of each kind. How many more there are stands above. Single overdue attestations and sync votes are usual.", offendersShown),
				label("validator_index", "Validator").
					linked("Look at this validator", s.link(mixin.ValidatorsDashboard, "var-validator=${__value.raw}")),
				label("offence", "Offence"),
				value("How much", unitCount, s.offencesShown()),
			).sorted("How much", true),
			newGraph("Attestations overdue and longest streak",
				"Attestations of the group that are at least 3 slots old and not included, and the longest row of missed attestations among its validators: a wave across the group is a node, a single long streak is a validator.",
				unitCount,
				over(s.once(s.group("ethereum_group_attestations_overdue")), s.legend("overdue")),
				over(s.once(s.group("ethereum_group_missed_attestation_streak")), s.legend("longest streak"))).from(0).steps(),
			newGraph("Blocks missed and orphaned",
				fmt.Sprintf("Blocks of the group that are not on the canonical chain (settled epochs), and blocks that were seen and reorged out, in the %s before.", s.settled()),
				unitCount,
				over(missed(s.settled()), s.legend("missed")),
				over(lost(s.settled()), s.legend("orphaned"))).from(0).bars()))
}

// offences tells the watched validators that fail a duty now, in the terms of
// ethereum_validator_offender, which takes the place of the other families above the
// exporter's limit of individual series.
func (s selectors) offences() string {
	return s.onceBy(s.chain("ethereum_validator_offender"), "validator_index", "offence") + " or " + s.individualOffences()
}

// individualOffences are those of validators that have series of their own.
func (s selectors) individualOffences() string {
	var out []string
	for _, o := range []struct{ metric, offence string }{
		{"slashed", "slashed"},
		{"missed_attestation_streak", "missed_attestation_streak"},
		{"attestations_overdue", "attestations_overdue"},
		{"blocks_missed_unsettled", "blocks_missed"},
		{"sync_missed_unsettled", "sync_missed"},
	} {
		out = append(out, fmt.Sprintf(`label_replace(%s > 0, "offence", %q, "", "")`,
			s.onceBy(s.chain("ethereum_validator_"+o.metric), "validator_index"), o.offence))
	}
	return strings.Join(out, " or ")
}

// offencesShown are those that the table has room for.
func (s selectors) offencesShown() string {
	return fmt.Sprintf("topk(%d, %s)", offendersShown, s.offences())
}

// beyondTable is how many more offences there are: where validators have no series of
// their own, groups count them. It is unknown when nothing is counted.
func (s selectors) beyondTable() string {
	counted := s.once(s.chain("ethereum_group_offenders", equals("group_by", "all")))
	orNone := func(n string) string { return fmt.Sprintf("(%s or 0 * sum(%s))", n, counted) }
	// Two replicas at different heads may list more than either of them counts.
	return fmt.Sprintf("clamp_min(%s + %s - %s, 0)",
		orNone(fmt.Sprintf("sum(%s unless%s %s)", counted, s.on(), s.chain("ethereum_validator_status"))),
		orNone("count("+s.individualOffences()+")"), orNone("count("+s.offencesShown()+")"))
}

func chainAndData(s selectors) section {
	// The share of the time shown during which a gauge of 0 and 1 was 0.
	off := func(metric string, labels ...string) string {
		return s.perProcess("1 - avg_over_time("+s.exporter(metric)+wholeRange+")", labels...)
	}
	changes := func(selected string) string { return s.perProcess("changes(" + selected + wholeRange + ")") }
	bad := func(p *panel) *panel { return p.digits(1).base(green, at(0.001, orange), at(0.1, red)) }
	return newSection("Chain, beacon nodes and exporters",
		line(4,
			newStat("Slashings", "Slashing operations in the network's blocks over the time range shown, by kind. Whose they are is not known here; the group's own are above.",
				unitCount, now("round("+s.once(rose(s.chain("ethereum_network_slashings_total")))+")", "{{kind}}")).named().digits(0).base(green, at(1, orange)),
			newStat("Reorgs", "Most reorgs that an exporter saw over the time range shown.",
				unitCount, now("round("+s.once(rose(s.chain("ethereum_chain_reorgs_observed_total")))+")", s.legend("reorgs"))).digits(0).base(plain),
			newStat("Deepest reorg", "Slots of the deepest of the last reorgs that the exporters saw.",
				unitSlots, now(s.once("max_over_time("+s.chain("ethereum_chain_reorg_depth_observed_slots")+wholeRange+")"), s.legend("deepest"))).
				noValue("none").base(green, at(float64(s.c.Alerts.Network.ReorgDepth), red)),
			newStat("Operations given up", "Questions over the time range shown that no beacon node answered, after every retry.",
				unitCount, now("round("+aggregate("sum", rose(s.exporter("ethereum_beacon_retries_exhausted_total")))+")", "given up")).digits(0).base(green, at(1, orange)),
			newStat("Beacon nodes down now", "Beacon nodes that did not answer their last probe, of the exporter that sees most such.",
				unitCount, now(aggregate("max", aggregate("sum", "1 - "+s.exporter("ethereum_beacon_up"), s.process()...)), "down")).base(green, at(1, red))),
		line(7,
			bad(newBars("Collectors failing", "Share of the time shown during which each part of the exporter's scrape had failed when it last ran.",
				unitRatio, now(off("validator_exporter_collector_success", "collector"), s.byProcess("{{collector}}")))),
			bad(newBars("Window not whole", "Share of the time shown during which an exporter's counters did not cover the window from its first epoch. After a start that is usual until the past is read back.",
				unitRatio, now(off("validator_exporter_window_complete"), s.byProcess("")))),
			bad(newBars("Watch list not loaded", "Share of the time shown during which an exporter kept an old watch list because the new one is wrong.",
				unitRatio, now(off("validator_exporter_config_reload_success"), s.byProcess("")))),
			newBars("Restarts", "Times that an exporter began anew over the time range shown.",
				unitCount, now(changes(s.exporter("process_start_time_seconds")), s.byProcess(""))).base(green, at(1, yellow)),
			newBars("New windows", "Times that an exporter's counters began anew over the time range shown: with each window of the chain, and after a restart that could not read the past back. More than the other exporters have is the latter.",
				unitCount, now(changes(s.exporter("validator_exporter_window_first_epoch")), s.byProcess("")))))
}

// runbookLinks lists every alert, since a person may come here with nothing but a name.
func runbookLinks(c mixin.Config) section {
	var text strings.Builder
	for _, s := range alerts.Sections(c) {
		fmt.Fprintf(&text, "**%s.** %s", s.Title, s.About)
		for i, a := range s.Alerts {
			separator := " "
			if i > 0 {
				separator = " · "
			}
			fmt.Fprintf(&text, "%s[%s](%s)", separator, a.Name, c.RunbookURL(a.Name))
		}
		text.WriteString("\n\n")
	}
	links := newText("Runbooks of all alerts", strings.TrimSpace(text.String()))
	links.model.Description = ptr("Meaning, impact, diagnosis and mitigation of each alert.")
	return newSection("Runbooks", line(10, links))
}
