package alerts

import (
	"fmt"
	"slices"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// sparse is a scenario for what takes hours: as few steps as the alert's wait and
// Prometheus' memory of samples allow.
func sparse(c mixin.Config, wait, lasts time.Duration) scenario {
	return scenarioOf(c, min(wait, 4*time.Minute), lasts)
}

func staleCases(c mixin.Config, a Alert, limit time.Duration) []Case {
	s := scraped(c, 3*limit+3*a.For)
	never := func(int) time.Duration { return 0 } // since the beginning of time
	late := func(age time.Duration) func(n int) time.Duration {
		return func(n int) time.Duration { return max(0, s.at(n)-age) }
	}
	from := s.after(limit + time.Second) // the first step that is later than the limit
	told := func(s scenario, network string, age time.Duration) string {
		return fmt.Sprintf("No exporter has shown a newly confirmed head of %s for %s; at most %s is expected.", network, human(age), human(limit))
	}
	old := s.labelled(told(s, "mainnet", s.at(from+s.after(a.For))))
	blind := s.plain(fmt.Sprintf("%s has not reached the chain since it started, %s ago or longer; at most %s is expected.",
		s.target()["job"], human(limit), human(limit)))

	// An exporter of which Prometheus has no target any more from a step on.
	const left = 3
	missing := left - 1 + from
	age := s.at(missing+s.after(a.For)) - s.at(left-1)
	here := func(n int) bool { return n < left }
	always := func(int) bool { return true }
	// Another one follows, with an instance of its own.
	next := func(n int) bool { return n > left }

	// One that does not answer for so long that what it showed last is too old, and is back.
	back := left + s.after(2*limit)
	answers := func(n int) bool { return n < left || n >= back }
	reached := back + s.after(a.For-c.Chain.ScrapeInterval) // at the last scrape that is waited for
	shows := func(n int) bool { return n < left || n >= reached }
	returns := s.silent("is silent when an exporter is back after longer than the limit, and takes its time to reach the head",
		s.outage(answers, shows))
	for n := back; n <= reached+s.after(a.For); n++ {
		if at := s.at(n); !slices.Contains(returns.Silent, at) {
			returns.Silent = append(returns.Silent, at)
		}
	}
	slices.Sort(returns.Silent)

	cases := []Case{
		s.fires("fires when no node has confirmed the head for longer than the limit", a, from, s.exporter(first, always, never), old),
		s.fires("fires once when that is so for two exporters", a, from,
			joined(s.exporter(first, always, never), s.exporter(second, always, never)), old),
		s.fires("fires when the exporter has never reached the chain", a, s.after(limit), s.exporter(first, always, nil), blind),
		s.fires("fires when an exporter is back after longer than the limit, and does not reach the head", a, back, s.outage(answers, here),
			s.labelled(told(s, "mainnet", s.at(back+s.after(a.For))-s.at(left-1)))),
		s.fires("fires when the exporter of one of two networks is no longer a target", a, missing,
			joined(s.exporter(first, here, s.at, "network", "hoodi"), s.exporter(second, always, s.at)),
			s.labelled(told(s, "hoodi", age), "network", "hoodi")),
		s.fires("fires once when the exporter that took the place of another never reaches the chain", a, missing,
			joined(s.exporter(first, here, s.at), s.exporter(second, next, nil)),
			s.labelled(told(s, "mainnet", age))),
		returns,
		s.silent("is silent when the head is always as old as it may be", s.exporter(first, always, late(limit))),
		s.silent("is silent when one of two exporters is up to date",
			joined(s.exporter(first, always, never), s.exporter(second, always, late(s.step)))),
		s.silent("is silent when the other exporter has never reached the chain",
			joined(s.exporter(first, always, late(s.step)), s.exporter(second, always, nil))),
		s.silent("is silent when another pod takes the exporter's place",
			joined(s.exporter(first, here, s.at), s.exporter(second, next, s.at))),
		s.silent("is silent when that pod has other labels, such as those of its node",
			joined(s.exporter(first, here, s.at, "node", "n1"), s.exporter(second, next, s.at, "node", "n2"))),
		s.silent("is silent when the exporter has only just started",
			s.exporter(first, func(n int) bool { return s.at(n) > s.at(s.steps)-limit }, nil)),
		s.silent("is silent when the exporter does not answer, which is another alert", append(
			s.exporter(first, here, s.at)[1:], s.own(first, "up", s.values(func(n int) (float64, bool) { return oneIf(here(n)), true })))),
		s.silent("is silent when there is no exporter at all, which is another alert", s.exporter(first, here, s.at)),
	}

	shard := s.targetLabel()
	if shard == "" {
		return cases // Nothing tells shards apart.
	}
	days := sparse(c, 4*time.Minute, c.Alerts.Freshness.Vanished+3*limit)
	daysFrom := left - 1 + days.after(limit+time.Second)
	removed := days.fires("fires for a shard that was removed, until it is no longer missed", a, daysFrom,
		joined(
			days.exporter(first, here, days.at, shard, "a"),
			days.exporter(second, always, days.at, shard, "b"),
		),
		days.labelled(told(days, "mainnet", days.at(daysFrom+days.after(a.For))-days.at(left-1)), shard, "a"))
	removed.Silent = append(removed.Silent, days.at(left-1+days.after(c.Alerts.Freshness.Vanished)), days.at(days.steps))
	return append(cases, removed,
		s.fires("fires when one of two shards is no longer a target", a, missing,
			joined(s.exporter(first, here, s.at, shard, "a"), s.exporter(second, always, s.at, shard, "b")),
			s.labelled(told(s, "mainnet", age), shard, "a")))
}

// targetLabel is a label that tells targets apart, and that exporters are not selected by;
// empty if there is none.
func (s scenario) targetLabel() string {
	for _, l := range slices.Backward(s.c.Select.TargetLabels) {
		if _, selects := s.target()[l]; !selects && l != "network" {
			return l
		}
	}
	return ""
}

// outage is one exporter that answers, and shows the newest head, at some steps.
func (s scenario) outage(answers, shows func(n int) bool) []Series {
	all := s.exporter(first, answers, s.at)
	all[0].Values = s.values(func(n int) (float64, bool) { return oneIf(answers(n)), true })
	all[2].Values = s.values(func(n int) (float64, bool) { return s.at(n).Seconds(), shows(n) })
	return all
}

// exporter shows a target while it is there, and when a node last confirmed the head that
// it shows; nil if it shows none.
func (s scenario) exporter(replica string, here func(n int) bool, confirmed func(n int) time.Duration, pairs ...string) []Series {
	of := func(x func(n int) float64) string {
		return s.values(func(n int) (float64, bool) { return x(n), here(n) })
	}
	one := func(int) float64 { return 1 }
	target := pairs
	if len(pairs) > 0 && pairs[0] == "network" {
		target = nil // The chain's label, which the target has not.
	}
	out := []Series{
		s.own(replica, "up", of(one), target...),
		s.own(replica, "validator_exporter_watched_validators", of(one), target...),
	}
	if confirmed == nil {
		return out
	}
	return append(out, s.on(replica, "ethereum_chain_snapshot_timestamp_seconds", of(func(n int) float64 { return confirmed(n).Seconds() }), pairs...))
}

func collectionFailingCases(c mixin.Config, a Alert) []Case {
	s := scraped(c, 2*a.For)
	ran := func(replica, collector, values string) Series {
		return s.own(replica, "validator_exporter_collector_success", values, "collector", collector)
	}
	expected := s.plain(fmt.Sprintf("The step chain of %s has failed for %s or longer.", s.target()["job"], mixin.Duration(a.For)), "collector", "chain")
	return []Case{
		s.fires("fires for the step that fails", a, 1,
			[]Series{ran(first, "chain", s.from(1, 1, 0)), ran(first, "validators", s.constant(1))}, expected),
		s.fires("fires once when it fails for one of two exporters", a, 1,
			[]Series{ran(first, "chain", s.from(1, 1, 0)), ran(second, "chain", s.constant(1))}, expected),
		s.silent("is silent when the step works again just before the wait is over",
			[]Series{ran(first, "chain", s.between(1, 1+s.after(a.For), 1, 0))}),
		s.silent("is silent when no node serves rewards or old epochs",
			[]Series{ran(first, "chain", s.constant(1)), ran(first, "rewards", s.constant(0)), ran(first, "window", s.constant(0))}),
	}
}

func exporterDownCases(c mixin.Config, a Alert) []Case {
	s := scraped(c, 3*a.For)
	up := func(replica, values string) Series { return s.own(replica, "up", values) }
	other := Series{Series: `up{job="something-else"}`, Values: s.constant(1)}
	text := func(job string) string {
		if job != "" {
			job = " of the job " + job
		}
		return fmt.Sprintf("Prometheus has reached no exporter%s for %s or longer.", job, mixin.Duration(a.For))
	}
	down := s.plain(text(s.target()["job"]))
	// Of a target that is not there, only what the selector says is known.
	gone := Instance{Labels: exactLabels(c.Select.Exporter)}
	gone.Description = text(gone.Labels["job"])
	gone.Labels[NoExporter] = NoExporterIs
	return []Case{
		s.fires("fires when the only exporter is down", a, 1, []Series{up(first, s.from(1, 1, 0))}, down),
		s.fires("fires once when both exporters are down", a, 2, []Series{up(first, s.from(1, 1, 0)), up(second, s.from(2, 1, 0))}, down),
		s.fires("fires when there is no exporter at all", a, 0, []Series{other}, gone),
		s.silent("is silent when one of two exporters is down", []Series{up(first, s.constant(0)), up(second, s.constant(1))}),
		s.silent("is silent when one exporter is replaced by another", []Series{up(first, s.upTo(s.steps/2, 1)), up(second, s.values(func(n int) (float64, bool) {
			return 1, n >= s.steps/2
		}))}),
		s.silent("is silent when it is up again just before the wait is over", []Series{up(first, s.between(1, 1+s.after(a.For), 1, 0))}),
	}
}

func windowIncompleteCases(c mixin.Config, a Alert) []Case {
	s := sparse(c, a.For, 2*a.For)
	whole := func(replica, values string) Series {
		return s.own(replica, "validator_exporter_window_complete", values)
	}
	expected := s.plain(fmt.Sprintf("The counters of %s have not covered their window from its first epoch for %s or longer.",
		s.target()["job"], mixin.Duration(a.For)))
	return []Case{
		s.fires("fires when the window is never completed", a, 1, []Series{whole(first, s.from(1, 1, 0))}, expected),
		s.fires("fires once when that is so for two exporters", a, 1, []Series{whole(first, s.from(1, 1, 0)), whole(second, s.constant(0))}, expected),
		s.silent("is silent when the window is completed just before the wait is over",
			[]Series{whole(first, s.between(1, 1+s.after(a.For), 1, 0))}),
		s.silent("is silent when one of two exporters has the whole window", []Series{whole(first, s.constant(0)), whole(second, s.constant(1))}),
	}
}

func configReloadCases(c mixin.Config, a Alert) []Case {
	s := scraped(c, 2*a.For)
	loaded := func(replica, values string) Series {
		return s.own(replica, "validator_exporter_config_reload_success", values)
	}
	expected := s.plain(fmt.Sprintf("%s has not been able to load its watch list for %s or longer and goes on with the one before.",
		s.target()["job"], mixin.Duration(a.For)))
	return []Case{
		s.fires("fires when a bad file stays", a, 1, []Series{loaded(first, s.from(1, 1, 0))}, expected),
		s.fires("fires once when one of two exporters has a bad file", a, 1, []Series{loaded(first, s.from(1, 1, 0)), loaded(second, s.constant(1))}, expected),
		s.silent("is silent when the file is corrected just before the wait is over", []Series{loaded(first, s.between(1, 1+s.after(a.For), 1, 0))}),
	}
}
