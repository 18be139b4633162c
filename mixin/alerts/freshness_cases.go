package alerts

import (
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// sparse is a scenario for what takes hours: as few steps as the alert's wait and
// Prometheus' memory of samples allow.
func sparse(c mixin.Config, wait, lasts time.Duration) scenario {
	return scenarioOf(c, min(wait, 4*time.Minute), lasts)
}

func staleCases(c mixin.Config, a Alert, limit time.Duration) []Case {
	s := scraped(c, 2*limit+3*a.For)
	snapshot := func(replica string, confirmed func(n int) time.Duration) Series {
		return s.on(replica, "ethereum_chain_snapshot_timestamp_seconds", s.values(func(n int) (float64, bool) { return confirmed(n).Seconds(), true }))
	}
	watched := func(replica, values string) Series {
		return s.own(replica, "validator_exporter_watched_validators", values)
	}
	never := func(int) time.Duration { return 0 } // since the beginning of time
	late := func(age time.Duration) func(n int) time.Duration {
		return func(n int) time.Duration { return max(0, s.at(n)-age) }
	}
	from := s.after(limit + time.Second) // the first step that is later than the limit
	old := s.labelled(fmt.Sprintf("No beacon node has confirmed the head of mainnet for %s; at most %s is expected.",
		human(s.at(from+s.after(a.For))), human(limit)))
	blind := s.plain(fmt.Sprintf("%s has not reached the chain since it started, %s ago or longer; at most %s is expected.",
		s.target()["job"], human(limit), human(limit)))
	return []Case{
		s.fires("fires when no node has confirmed the head for longer than the limit", a, from,
			[]Series{snapshot(first, never), watched(first, s.constant(3))}, old),
		s.fires("fires once when that is so for two exporters", a, from,
			[]Series{snapshot(first, never), snapshot(second, never)}, old),
		s.fires("fires when the exporter has never reached the chain", a, s.after(limit), []Series{watched(first, s.constant(3))}, blind),
		s.silent("is silent when the head is always as old as it may be", []Series{snapshot(first, late(limit)), watched(first, s.constant(3))}),
		s.silent("is silent when one of two exporters is up to date", []Series{
			snapshot(first, never), watched(first, s.constant(3)),
			snapshot(second, late(s.step)), watched(second, s.constant(3)),
		}),
		s.silent("is silent when the other exporter has never reached the chain", []Series{
			snapshot(first, late(s.step)), watched(first, s.constant(3)), watched(second, s.constant(3)),
		}),
		s.silent("is silent when the exporter has only just started", []Series{
			watched(first, s.values(func(n int) (float64, bool) { return 3, s.at(n) > s.at(s.steps)-limit })),
		}),
		s.silent("is silent when the exporter is down, which is another alert", []Series{
			snapshot(first, func(n int) time.Duration { return s.at(n) }), s.own(first, "up", s.constant(0)),
		}),
	}
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
