package alerts

import (
	"fmt"
	"math"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// uninstalled is silence where there is no receiver, but everything else.
func uninstalled(c mixin.Config, a Alert) Case {
	s := scraped(c, 2*a.For)
	return s.silent("is silent when no receiver is installed", []Series{
		s.own(first, "up", s.constant(1)), s.on(first, "ethereum_chain_epoch", s.constant(100)), s.on(first, "ethereum_chain_finalized_epoch", s.constant(98)),
	})
}

func rollupDownCases(c mixin.Config, a Alert) []Case {
	s := scraped(receiver(c), 3*a.For)
	up := func(replica, values string) Series { return s.own(replica, "up", values) }
	expected := s.plain(fmt.Sprintf("Prometheus has reached no receiver of the job %s for %s or longer.", s.target()["job"], mixin.Duration(a.For)))
	return []Case{
		s.fires("fires when the only receiver is down", a, 1, []Series{up(first, s.from(1, 1, 0))}, expected),
		s.fires("fires once when both receivers are down", a, 1, []Series{up(first, s.from(1, 1, 0)), up(second, s.constant(0))}, expected),
		s.silent("is silent when one of two receivers is down", []Series{up(first, s.constant(0)), up(second, s.constant(1))}),
		s.silent("is silent when it is up again just before the wait is over", []Series{up(first, s.between(1, 1+s.after(a.For), 1, 0))}),
		uninstalled(c, a),
	}
}

func poolExhaustedCases(c mixin.Config, a Alert) []Case {
	s := scraped(receiver(c), 3*a.For)
	const size = 1000
	enough := math.Ceil(size * c.Alerts.Rollup.PoolExhausted)
	pool := func(replica, acquired string) []Series {
		return []Series{s.own(replica, "validator_rollup_pool_acquired", acquired), s.own(replica, "validator_rollup_pool_max", s.constant(size))}
	}
	expected := s.plain(fmt.Sprintf("%s of the database connections of %s are in use; %s or more is too many.",
		percent(enough/size), s.target()["job"], percent(c.Alerts.Rollup.PoolExhausted)))
	return []Case{
		s.fires("fires when as many are in use as the limit says", a, 1, pool(first, s.from(1, 0, enough)), expected),
		s.fires("fires once when one of two receivers is short", a, 1, append(pool(first, s.from(1, 0, enough)), pool(second, s.constant(1))...), expected),
		s.silent("is silent when one fewer is in use", pool(first, s.constant(enough-1))),
		s.silent("is silent when they come back just before the wait is over", pool(first, s.between(1, 1+s.after(a.For), 0, size))),
		uninstalled(c, a),
	}
}

func poolLeakCases(c mixin.Config, a Alert) []Case {
	leak := c.Alerts.Rollup.PoolLeak
	s := scraped(receiver(c), 2*leak+3*a.For)
	acquired := func(replica, values string) Series { return s.own(replica, "validator_rollup_pool_acquired", values) }
	// Of the range, which is open at its beginning, all samples must be above 0.
	const begins = 1
	from := begins
	for s.at(begins-1) > s.at(from)-leak {
		from++
	}
	expected := s.plain(fmt.Sprintf("2 database connections of %s were in use at every scrape of the last %s; between writes it should be 0.",
		s.target()["job"], mixin.Duration(leak)))
	return []Case{
		s.fires("fires when two do not come back, however many others do", a, from, []Series{
			acquired(first, s.values(func(n int) (float64, bool) { return oneIf(n >= begins) * float64(2+n%3*5), true })),
		}, expected),
		s.fires("fires once, with the worse, when two receivers leak", a, from,
			[]Series{acquired(first, s.from(begins, 0, 2)), acquired(second, s.from(begins, 0, 1))}, expected),
		s.silent("is silent when all come back once in the range", []Series{
			acquired(first, s.values(func(n int) (float64, bool) { return 9 * oneIf(n%(from-1) != 0), true })),
		}),
		s.silent("is silent when the receiver has only just started", []Series{
			acquired(first, s.values(func(n int) (float64, bool) { return 3, s.at(n) > s.at(s.steps)-leak })),
		}),
		uninstalled(c, a),
	}
}

func writesSlowCases(c mixin.Config, a Alert) []Case {
	limit := c.Alerts.Rollup.WritesSlow
	s := scraped(receiver(c), 2*a.For+a.For/2)
	// The receiver's buckets do not matter: one from half the limit to twice the limit.
	lo, hi := limit.Seconds()/2, limit.Seconds()*2
	const each = 100_000 // writes at each step
	writes := func(replica string, inside int, from int) []Series {
		series := func(le string, by int) Series {
			return s.own(replica, "validator_rollup_write_duration_seconds_bucket",
				s.values(func(n int) (float64, bool) { return float64(max(0, n-from+1) * by), true }), "le", le)
		}
		return []Series{series(number(lo), each-inside), series(number(hi), each), series("+Inf", each)}
	}
	p95 := func(inside int) float64 { return lo + (hi-lo)*float64(each*95/100-(each-inside))/float64(inside) }
	over := each / 20
	for p95(over) <= limit.Seconds()+1e-9 {
		over++
	}
	under := over - 1
	for p95(under) >= limit.Seconds()-1e-9 {
		under--
	}
	expected := s.plain(fmt.Sprintf("The slowest 5%% of writes of %s take %.2f s or longer; at most %s s is expected.",
		s.target()["job"], p95(over), seconds(limit)))
	once := func(n int) float64 { return float64(n + 1000*s.steps*int(oneIf(n > s.steps/3))) }
	return []Case{
		s.fires("fires when the 95th percentile is just above the limit", a, 1, writes(first, over, 0), expected),
		s.fires("fires once when two receivers are slow", a, 1, append(writes(first, over, 0), writes(second, over, 0)...), expected),
		s.silent("is silent when the 95th percentile is just below the limit", writes(first, under, 0)),
		s.silent("is silent when writes were slow once", []Series{
			s.own(first, "validator_rollup_write_duration_seconds_bucket", s.rising(0, 1), "le", number(lo)),
			s.own(first, "validator_rollup_write_duration_seconds_bucket", s.values(func(n int) (float64, bool) { return once(n), true }), "le", number(hi)),
			s.own(first, "validator_rollup_write_duration_seconds_bucket", s.values(func(n int) (float64, bool) { return once(n), true }), "le", "+Inf"),
		}),
		uninstalled(c, a),
	}
}

func writeFailuresCases(c mixin.Config, a Alert) []Case {
	over := c.Alerts.Rollup.Range
	s := scraped(receiver(c), 2*over+over/2)
	failed := func(replica, values string) Series {
		return s.own(replica, "validator_rollup_write_failures_total", values)
	}
	expected := func(each float64) Instance {
		return s.plain(fmt.Sprintf("The database did not take %.0f requests of %s in the last %s; 0 are expected.",
			each*float64(over)/float64(s.step), s.target()["job"], mixin.Duration(over)))
	}
	return []Case{
		s.fires("fires when requests go on failing", a, 1, []Series{failed(first, s.rising(0, 1))}, expected(1)),
		s.fires("fires once, with the sum, when two receivers fail", a, 1, []Series{failed(first, s.rising(0, 1)), failed(second, s.rising(0, 2))}, expected(3)),
		s.silent("is silent when a request failed once", []Series{failed(first, s.from(s.after(over)/2, 0, 1))}),
		s.silent("is silent when the receiver has been restarted", []Series{failed(first, s.from(s.after(over), 7, 0))}),
		uninstalled(c, a),
	}
}

func laggingCases(c mixin.Config, a Alert) []Case {
	limit := c.Alerts.Rollup.Lagging
	window := time.Duration(c.Chain.WindowEpochs) * c.Chain.Epoch()
	due := 2*window + limit // after the newest stored window's beginning
	chain := sparse(c, a.For, due+4*a.For+window)
	s := chain
	s.c = receiver(c)
	newest := func(replica string, begins func(n int) time.Duration) Series {
		return s.own(replica, "validator_rollup_newest_window_timestamp_seconds",
			s.values(func(n int) (float64, bool) { return begins(n).Seconds(), true }))
	}
	finality := func(behind float64, pairs ...string) []Series {
		return []Series{
			chain.on(first, "ethereum_chain_epoch", chain.constant(1000), pairs...),
			chain.on(first, "ethereum_chain_finalized_epoch", chain.constant(1000-behind), pairs...),
		}
	}
	// A receiver without a stored window shows all but the time of one.
	here := func(from int) Series {
		return s.own(first, "validator_rollup_pool_max", s.values(func(n int) (float64, bool) { return 4, n >= from }))
	}
	never := func(int) time.Duration { return 0 }
	usual := float64(c.Alerts.Network.FinalityEpochs)
	from := s.after(due + time.Second)
	expected := s.plain(fmt.Sprintf("The next window for %s ended %s ago and is not stored; %s after its end is enough.",
		s.target()["job"], human(s.at(from+s.after(a.For))-2*window), human(limit)))
	return []Case{
		s.fires("fires when no window has come for too long", a, from, append(finality(usual), newest(first, never)), expected),
		s.fires("fires once when two receivers see it", a, from, append(finality(usual), newest(first, never), newest(second, never)), expected),
		s.fires("fires when another network does not finalize", a, from,
			joined(finality(usual), finality(usual+1, "network", "hoodi"), []Series{newest(first, never)}), expected),
		s.silent("is silent when none of two networks finalizes",
			joined(finality(usual+1), finality(usual+2, "network", "hoodi"), []Series{newest(first, never)})),
		s.fires("fires when nothing is known about the chain", a, from, []Series{newest(first, never)}, expected),
		s.fires("fires when no window has ever come", a, s.after(due), append(finality(usual), here(0)),
			s.plain(fmt.Sprintf("%s has shown no stored window for %s or longer; %s after its end is enough.", s.target()["job"], human(due), human(limit)))),
		s.silent("is silent when the receiver is new", append(finality(usual), here(s.steps-s.after(due)+1))),
		s.silent("is silent when the first window comes just in time", append(finality(usual), here(0), s.own(first,
			"validator_rollup_newest_window_timestamp_seconds", s.values(func(n int) (float64, bool) {
				return (s.at(n) - window).Seconds(), n >= s.after(due)
			})))),
		s.silent("is silent when the network has not finalised, so that no window has come", append(finality(usual+1), here(0))),
		s.silent("is silent when each window comes as late as it may", append(finality(usual), newest(first, func(n int) time.Duration {
			return max(0, s.at(n)-due)
		}))),
		s.silent("is silent when one of two receivers has stored the newest window", append(finality(usual), newest(first, never), newest(second, func(n int) time.Duration {
			return max(0, s.at(n)-window)
		}))),
		s.silent("is silent when the network does not finalise, so that no window is final", append(finality(usual+1), newest(first, never))),
		uninstalled(c, a),
	}
}

func partitionCases(c mixin.Config, a Alert) []Case {
	ahead := c.Alerts.Rollup.PartitionHorizon
	s := scraped(receiver(c), 3*a.For)
	horizon := func(replica string, ends func(n int) time.Duration) Series {
		return s.own(replica, "validator_rollup_partition_horizon_timestamp_seconds",
			s.values(func(n int) (float64, bool) { return ends(n).Seconds(), true }))
	}
	fixed := func(int) time.Duration { return ahead } // so that the first step is the last good one
	kept := func(n int) time.Duration { return ahead + s.at(n) }
	expected := s.plain(fmt.Sprintf("Partitions for %s exist for the next %s only; %s ahead is expected.",
		s.target()["job"], human(ahead-s.at(1+s.after(a.For))), human(ahead)))
	return []Case{
		s.fires("fires when no partitions are added", a, 1, []Series{horizon(first, fixed)}, expected),
		s.fires("fires once when one of two receivers says so", a, 1, []Series{horizon(first, fixed), horizon(second, kept)}, expected),
		s.silent("is silent when there are just enough", []Series{horizon(first, kept)}),
		s.silent("is silent when one is added just before the wait is over", []Series{horizon(first, func(n int) time.Duration {
			if n <= s.after(a.For) {
				return ahead
			}
			return ahead + s.at(s.steps)
		})}),
		uninstalled(c, a),
	}
}

func conflictCases(c mixin.Config, a Alert) []Case {
	over := c.Alerts.Rollup.Range
	s := scraped(receiver(c), 2*over+3*a.For)
	conflicts := func(replica, values string) Series { return s.own(replica, "validator_rollup_conflicts_total", values) }
	at := s.after(over) + 1
	expected := s.plain(fmt.Sprintf("%.0f samples for %s differed in the last %s from what was stored before; 0 are expected. The first values were kept.",
		risen(100, over, s.step), s.target()["job"], mixin.Duration(over)))
	return []Case{
		s.fires("fires at conflicts", a, at, []Series{conflicts(first, s.from(at, 20, 120))}, expected),
		s.fires("fires once, with the sum, when two receivers see conflicts", a, at,
			[]Series{conflicts(first, s.from(at, 20, 80)), conflicts(second, s.from(at, 20, 60))}, expected),
		s.silent("is silent when there were conflicts long ago", []Series{conflicts(first, s.constant(20))}),
		s.silent("is silent when the receiver has been restarted", []Series{conflicts(first, s.from(at, 20, 0))}),
		uninstalled(c, a),
	}
}

// risen is what increase() makes of a counter that rose by so much within a range: it
// assumes that it rose as fast in the part before the range's first sample.
func risen(by float64, over, step time.Duration) float64 {
	samples := (over + step - 1) / step
	return by * float64(over) / float64((samples-1)*step)
}
