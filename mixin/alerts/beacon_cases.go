package alerts

import (
	"fmt"
	"math"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// The nodes of cases.
const (
	node1 = "http://n1:5052"
	node2 = "http://n2:5052"
)

// scraped is a scenario with a step for each scrape.
func scraped(c mixin.Config, lasts time.Duration) scenario {
	return scenarioOf(c, c.Chain.ScrapeInterval, lasts)
}

// between is a value from one step up to but not including another, and a different
// one before and after.
func (s scenario) between(from, to int, outside, inside float64) string {
	return s.values(func(n int) (float64, bool) {
		if n >= from && n < to {
			return inside, true
		}
		return outside, true
	})
}

// upTo is a value that is there before a step and then no more.
func (s scenario) upTo(step int, x float64) string {
	return s.values(func(n int) (float64, bool) { return x, n < step })
}

func beaconNodeDownCases(c mixin.Config, a Alert) []Case {
	s := scraped(c, 3*a.For)
	up := func(replica, endpoint, values string) Series { return s.node(replica, endpoint, "up", values) }
	down := s.plain(fmt.Sprintf("Beacon node http://n2:5052 has not answered for %s or longer. Another node still serves an exporter.",
		mixin.Duration(a.For)), "endpoint", node2)
	return []Case{
		s.fires("fires when one of two nodes is down", a, 1,
			[]Series{up(first, node1, s.constant(1)), up(first, node2, s.from(1, 1, 0))}, down),
		s.fires("fires once when two exporters see a node down", a, 1, []Series{
			up(first, node1, s.constant(1)), up(first, node2, s.from(1, 1, 0)),
			up(second, node1, s.constant(1)), up(second, node2, s.from(1, 1, 0)),
		}, down),
		s.fires("fires when only one exporter cannot reach it: each may have a node at that address", a, 1,
			[]Series{up(first, node2, s.constant(1)), up(second, node2, s.from(1, 1, 0))}, down),
		s.fires("fires although the other exporter has been stopped", a, 1, []Series{
			up(first, node1, s.constant(1)), up(first, node2, s.from(1, 1, 0)),
			up(second, node1, s.upTo(2, 1)), up(second, node2, s.upTo(2, 1)),
		}, down),
		s.silent("is silent when the node is back just before the wait is over",
			[]Series{up(first, node1, s.constant(1)), up(first, node2, s.between(1, 1+s.after(a.For), 1, 0))}),
		s.silent("is silent when all nodes are down, which is another alert",
			[]Series{up(first, node1, s.constant(0)), up(first, node2, s.constant(0))}),
	}
}

func beaconNodesAllDownCases(c mixin.Config, a Alert) []Case {
	s := scraped(c, 3*a.For)
	up := func(replica, endpoint, values string) Series { return s.node(replica, endpoint, "up", values) }
	down := s.plain(fmt.Sprintf("None of the beacon nodes of %s has answered for %s or longer. All figures about validators are old by now.",
		s.target()["job"], mixin.Duration(a.For)))
	return []Case{
		s.fires("fires when the only node is down", a, 1, []Series{up(first, node1, s.from(1, 1, 0))}, down),
		s.fires("fires once when no node answers any of two exporters", a, 2, []Series{
			up(first, node1, s.from(1, 1, 0)), up(first, node2, s.from(2, 1, 0)),
			up(second, node1, s.from(1, 1, 0)), up(second, node2, s.constant(0)),
		}, down),
		s.silent("is silent when one exporter still reaches one node", []Series{
			up(first, node1, s.constant(0)), up(first, node2, s.constant(0)),
			up(second, node1, s.constant(0)), up(second, node2, s.constant(1)),
		}),
		s.silent("is silent when a node is back just before the wait is over",
			[]Series{up(first, node1, s.between(1, 1+s.after(a.For), 1, 0))}),
	}
}

// nodeStateCases are for states that are 1 while they last.
func nodeStateCases(c mixin.Config, a Alert, series func(s scenario, replica, endpoint, values string) []Series, description string) []Case {
	s := scraped(c, 3*a.For)
	input := func(one, two string) []Series {
		return append(series(s, first, node1, one), series(s, first, node2, two)...)
	}
	expected := s.plain(description, "endpoint", node1)
	return []Case{
		s.fires("fires for the node that is in this state", a, 1, input(s.from(1, 0, 1), s.constant(0)), expected),
		s.fires("fires once when two exporters see it", a, 1,
			append(series(s, first, node1, s.from(1, 0, 1)), series(s, second, node1, s.from(1, 0, 1))...), expected),
		s.silent("is silent when the state ends just before the wait is over", input(s.between(1, 1+s.after(a.For), 0, 1), s.constant(0))),
		s.silent("is silent when the node is down and does not tell", []Series{s.node(first, node1, "up", s.constant(0))}),
	}
}

// buckets are bounds of the exporter's histogram of durations, in seconds.
func buckets() []float64 { return []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30} }

// spread is how many of 1,000 requests are in the bucket that a percentile lies in, how
// many are faster, and the percentile itself.
type spread struct {
	lo, hi         float64
	faster, inside int
	p95            float64
}

// near returns the spreads whose 95th percentile is just above and just below a limit.
func near(limit float64) (above, below spread) {
	lo, hi := 0.0, 0.0
	for _, bound := range buckets() {
		if lo, hi = hi, bound; limit < hi {
			break
		}
	}
	above.p95, below.p95 = math.Inf(1), math.Inf(-1)
	for faster := 0; faster < 950; faster++ {
		for inside := 950 - faster; faster+inside <= 1000; inside++ {
			p := lo + (hi-lo)*float64(950-faster)/float64(inside)
			const margin = 1e-4 // more than what rates are off
			s := spread{lo, hi, faster, inside, p}
			if p > limit+margin && p < above.p95 {
				above = s
			}
			if p < limit-margin && p > below.p95 {
				below = s
			}
		}
	}
	return above, below
}

// halves are two exporters' shares of twice as many requests: the first meets the fast ones.
func (d spread) halves() (one, other spread) {
	one, other = d, d
	one.faster = min(1000, 2*d.faster)
	one.inside = 1000 - one.faster
	other.faster = 2*d.faster - one.faster
	other.inside = 2*(d.faster+d.inside) - 1000 - other.faster
	return one, other
}

// requests writes the histogram of 1,000 requests at each step from one on.
func (s scenario) requests(replica string, from int, d spread) []Series {
	rising := func(by int) string {
		return s.values(func(n int) (float64, bool) { return float64(max(0, n-from+1) * by), true })
	}
	series := func(name, values string, pairs ...string) Series {
		return s.node(replica, node1, "request_duration_seconds_"+name, values, append(pairs, "operation", "block")...)
	}
	out := []Series{
		series("bucket", rising(d.faster+d.inside), "le", number(d.hi)),
		series("bucket", rising(1000), "le", "+Inf"),
		series("count", rising(1000)),
	}
	if d.lo > 0 {
		out = append(out, series("bucket", rising(d.faster), "le", number(d.lo)))
	}
	return out
}

func latencyCases(c mixin.Config, a Alert, limit time.Duration) []Case {
	b := c.Alerts.Beacon
	s := scraped(c, b.Range+3*a.For)
	above, below := near(limit.Seconds())
	one, other := above.halves()
	up := s.node(first, node1, "up", s.constant(1))
	expected := s.plain(fmt.Sprintf("The slowest 5%% of block requests to http://n1:5052 take %.2f s or longer; at most %s s is expected.",
		above.p95, seconds(limit)), "endpoint", node1, "operation", "block")
	// A rate needs two samples, so the second step is the first that has one.
	cases := []Case{
		s.fires("fires when the 95th percentile is just above the limit", a, 1, append(s.requests(first, 0, above), up), expected),
		s.fires("fires once, with the percentile over both, when there are two exporters", a, 1,
			append(append(s.requests(first, 0, one), s.requests(second, 0, other)...), up), expected),
		s.silent("is silent when the 95th percentile is just below the limit", append(s.requests(first, 0, below), up)),
	}
	// Few requests, all of them slow, over the range: counters need not be whole here.
	few := func(requests float64) []Series {
		values := s.rising(0, requests*float64(s.step)/float64(b.Range))
		labels := []string{"operation", "header"}
		return []Series{
			up, s.node(first, node1, "request_duration_seconds_bucket", values, append(labels, "le", "30")...),
			s.node(first, node1, "request_duration_seconds_bucket", s.constant(0), append(labels, "le", "10")...),
			s.node(first, node1, "request_duration_seconds_bucket", values, append(labels, "le", "+Inf")...),
			s.node(first, node1, "request_duration_seconds_count", values, labels...),
		}
	}
	cases = append(cases, s.silent("is silent when there are too few requests to speak of a percentile", few(float64(b.MinimumRequests)-0.5)))
	full := s.fires("fires when there are just enough requests", a, s.after(b.Range), few(float64(b.MinimumRequests)+0.5),
		s.plain(fmt.Sprintf("The slowest 5%% of header requests to http://n1:5052 take 29.00 s or longer; at most %s s is expected.", seconds(limit)),
			"endpoint", node1, "operation", "header"))
	full.Silent = full.Silent[:1]
	cases = append(cases, full)

	burst := 2 + s.after(a.For)
	fast := func(n int) float64 { return float64(1000 * n) }
	slowOnce := func(n int) float64 { return fast(n) + float64(1000*max(1, s.steps))*oneIf(n >= burst) }
	labels := []string{"operation", "block"}
	bucket := func(le string, f func(n int) float64) Series {
		return s.node(first, node1, "request_duration_seconds_bucket", s.values(func(n int) (float64, bool) { return f(n), true }), append(labels, "le", le)...)
	}
	cases = append(cases, s.silent("is silent when a burst of slow requests has passed before the wait is over", []Series{
		up, bucket("0.005", fast), bucket("10", fast), bucket("30", slowOnce), bucket("+Inf", slowOnce),
		s.node(first, node1, "request_duration_seconds_count", s.values(func(n int) (float64, bool) { return slowOnce(n), true }), labels...),
	}))
	downFrom := 2 + s.after(b.Range)
	cases = append(cases, s.silent("is silent about a node that is down, of which all requests time out", append(
		s.requests(first, downFrom, above), s.node(first, node1, "up", s.from(downFrom, 1, 0)))))
	return cases
}

// bursts shows an operation that is asked for a hundred times at once, again and again, and
// takes long each time.
func (s scenario) bursts(operation string, every time.Duration) []Series {
	count := s.values(func(n int) (float64, bool) { return 100 * float64(s.at(n)/every), true })
	labels := []string{"operation", operation}
	return []Series{
		s.node(first, node1, "request_duration_seconds_bucket", s.constant(0), append(labels, "le", "10")...),
		s.node(first, node1, "request_duration_seconds_bucket", count, append(labels, "le", "30")...),
		s.node(first, node1, "request_duration_seconds_bucket", count, append(labels, "le", "+Inf")...),
		s.node(first, node1, "request_duration_seconds_count", count, labels...),
	}
}

func bulkCase(c mixin.Config, a Alert, limit time.Duration) Case {
	s := scraped(c, 5*c.Chain.Epoch()+a.For)
	k := s.fires("fires without a break for what is read once an epoch", a, s.after(c.Chain.Epoch()),
		append(s.bursts("validators", c.Chain.Epoch()), s.node(first, node1, "up", s.constant(1))),
		s.plain(fmt.Sprintf("The slowest 5%% of validators requests to http://n1:5052 take 29.00 s or longer; at most %s s is expected.", seconds(limit)),
			"endpoint", node1, "operation", "validators"))
	for n := int(k.Firing[0].At/s.step) + 1; n <= s.steps; n++ {
		k.Firing = append(k.Firing, Firing{At: s.at(n), Instances: k.Firing[0].Instances})
	}
	return k
}

func notBulkCase(c mixin.Config) Case {
	s := scraped(c, 5*c.Chain.Epoch()+3*c.Alerts.Beacon.For)
	return s.silent("is silent about operations that read much at once, however slow and often", joined(
		s.bursts("validators", s.step), s.bursts("committees", s.step), s.bursts("attestation_rewards", s.step),
		[]Series{s.node(first, node1, "up", s.constant(1))}))
}

// oneIf is 1 from a time on.
func oneIf(begun bool) float64 {
	if begun {
		return 1
	}
	return 0
}

func errorRateCases(c mixin.Config, a Alert) []Case {
	b := c.Alerts.Beacon
	s := scraped(c, b.Range+3*b.For)
	const each = 10_000 // requests at each step
	over, under := math.Floor(each*b.ErrorRate)+1, math.Ceil(each*b.ErrorRate)-1
	up := s.node(first, node1, "up", s.constant(1))
	asked := func(replica string, requests, failures string) []Series {
		return []Series{
			s.node(replica, node1, "requests_total", requests, "operation", "block"),
			s.node(replica, node1, "request_failures_total", failures, "operation", "block", "reason", "timeout"),
			s.node(replica, node1, "request_failures_total", s.constant(0), "operation", "block", "reason", "connect"),
		}
	}
	expected := s.plain(fmt.Sprintf("%s of the requests to http://n1:5052 failed in the last %s; at most %s is expected.",
		percent(over/each), mixin.Duration(b.Range), percent(b.ErrorRate)), "endpoint", node1)
	from := s.after(b.Range) + 2
	failuresFrom := func(n int) (float64, bool) { return float64(max(0, n-from+1)) * each, true }
	few := float64(b.MinimumRequests-1) * float64(s.step) / float64(b.Range)
	return []Case{
		s.fires("fires when the share is just above the limit", a, 1,
			append(asked(first, s.rising(0, each), s.rising(0, over)), up), expected),
		s.fires("fires once, with the share over both, when two exporters meet it", a, 1, append(append(
			asked(first, s.rising(0, each), s.rising(0, 2*over)), asked(second, s.rising(0, each), s.constant(0))...), up), expected),
		s.silent("is silent when the share is just below the limit", append(asked(first, s.rising(0, each), s.rising(0, under)), up)),
		s.silent("is silent when there are too few requests, though all fail", append(asked(first, s.rising(0, few), s.rising(0, few)), up)),
		s.silent("is silent when failures have ended before the wait is over", append(
			asked(first, s.rising(0, each), s.from(from, 0, each*float64(s.steps))), up)),
		s.silent("is silent about a node that is down", append(
			asked(first, s.rising(0, each), s.values(failuresFrom)), s.node(first, node1, "up", s.from(from, 1, 0)))),
		s.silent("is silent when the failing node's exporter has been restarted and works since", append(asked(first,
			s.values(func(n int) (float64, bool) { return float64(max(0, n-from)) * each, true }),
			s.values(func(n int) (float64, bool) { return each * oneIf(n < from), true })), up)),
	}
}

func retriesCases(c mixin.Config, a Alert) []Case {
	over := c.Alerts.Beacon.Range
	s := scraped(c, 2*over+over/2)
	exhausted := func(replica, values string) Series {
		return s.own(replica, "ethereum_beacon_retries_exhausted_total", values, "operation", "header")
	}
	expected := func(each int) Instance {
		return s.plain(fmt.Sprintf("No beacon node answered header, after every retry: %.0f times in the last %s, 0 are expected.",
			float64(each)*float64(over)/float64(s.step), mixin.Duration(over)), "operation", "header")
	}
	return []Case{
		s.fires("fires when it happens at every scrape", a, 1, []Series{exhausted(first, s.rising(0, 1))}, expected(1)),
		s.fires("fires once, with the sum, when it happens to two exporters", a, 1,
			[]Series{exhausted(first, s.rising(0, 1)), exhausted(second, s.rising(0, 2))}, expected(3)),
		s.silent("is silent when it happens once", []Series{exhausted(first, s.from(s.after(over)/2, 0, 1))}),
		s.silent("is silent when it happened long ago", []Series{exhausted(first, s.constant(5))}),
		s.silent("is silent when the exporter has been restarted", []Series{exhausted(first, s.from(s.after(over), 5, 0))}),
	}
}

func peersCases(c mixin.Config, a Alert) []Case {
	s := scraped(c, 3*a.For)
	limit := float64(c.Alerts.Beacon.Peers)
	peers := func(replica, endpoint, values string) Series { return s.node(replica, endpoint, "peers", values) }
	expected := s.plain(fmt.Sprintf("Beacon node http://n1:5052 is connected to %s peers; at least %s are expected.",
		number(limit-1), number(limit)), "endpoint", node1)
	return []Case{
		s.fires("fires when there is one peer too few", a, 1,
			[]Series{peers(first, node1, s.from(1, limit, limit-1)), peers(first, node2, s.constant(limit))}, expected),
		s.fires("fires once, with the lowest, when two exporters see it", a, 1,
			[]Series{peers(first, node1, s.constant(limit)), peers(second, node1, s.from(1, limit, limit-1))}, expected),
		s.silent("is silent when there are just enough", []Series{peers(first, node1, s.constant(limit))}),
		s.silent("is silent when there are too few for less than the wait",
			[]Series{peers(first, node1, s.between(1, 1+s.after(a.For), limit, limit-1))}),
		s.silent("is silent when the node does not tell", []Series{s.node(first, node1, "up", s.constant(1))}),
	}
}

func headStalledCases(c mixin.Config, a Alert) []Case {
	limit, slot := c.Alerts.Beacon.HeadStalled, c.Chain.SlotDuration
	s := scraped(c, 6*limit+2*a.For)
	now := func(n int) float64 { return 1000 + math.Floor(float64(s.at(n))/float64(slot)) }
	clock := func(replica string) Series {
		return s.on(replica, "ethereum_chain_slot", s.values(func(n int) (float64, bool) { return now(n), true }))
	}
	head := func(replica, endpoint string, f func(n int) float64) Series {
		return s.node(replica, endpoint, "head_slot", s.values(func(n int) (float64, bool) { return f(n), true }))
	}
	const last = 1 // the step at which the head moves for the last time
	stalled := func(n int) float64 { return now(min(n, last)) }
	from := last
	for now(from)-now(last) <= limit.Seconds()/slot.Seconds() || s.at(from) < s.at(last-1)+limit {
		from++
	}
	expected := s.labelled(fmt.Sprintf("Beacon node http://n1:5052 on mainnet: its head has stood still for %s or longer and is %s slots old. It does not say that it is syncing.",
		mixin.Duration(limit), number(now(from+s.after(a.For))-now(last))), "endpoint", node1)
	// As long as it can stand still without being too old.
	hold := s.after(limit) - 1
	return []Case{
		s.fires("fires when the only node stands still", a, from, []Series{clock(first), head(first, node1, stalled)}, expected),
		s.fires("fires for the one that stands still while the other moves", a, from,
			[]Series{clock(first), head(first, node1, stalled), head(first, node2, now)}, expected),
		s.fires("fires once when two exporters see it", a, from, []Series{
			clock(first), head(first, node1, stalled), head(first, node2, now),
			clock(second), head(second, node1, stalled), head(second, node2, now),
		}, expected),
		s.fires("fires when the other node is only syncing", a, from, []Series{
			clock(first), head(first, node1, stalled), head(first, node2, func(int) float64 { return 500 }),
			s.node(first, node2, "syncing", s.constant(1)),
		}, expected),
		s.silent("is silent when the head moves just in time", []Series{
			clock(first), head(first, node1, func(n int) float64 { return now(n - n%max(1, hold)) }), head(first, node2, now),
		}),
		s.silent("is silent when the node lags but moves", []Series{
			clock(first), head(first, node1, func(n int) float64 { return now(n) - 900 }), head(first, node2, now),
		}),
		s.silent("is silent when the network has no blocks, so that all nodes stand still", []Series{
			clock(first), head(first, node1, stalled), head(first, node2, stalled),
		}),
		s.silent("is silent when the node says that it is syncing", []Series{
			clock(first), head(first, node1, stalled), head(first, node2, now), s.node(first, node1, "syncing", s.constant(1)),
		}),
		s.silent("is silent when the node is down and has no head", []Series{
			clock(first), head(first, node2, now), s.node(first, node1, "up", s.constant(0)),
		}),
	}
}

func nodesDisagreeCases(c mixin.Config, a Alert) []Case {
	s := scraped(c, 3*a.For)
	apart := float64(c.Alerts.Beacon.HeadsApart)
	head := func(replica, endpoint string, behind float64) Series {
		return s.node(replica, endpoint, "head_slot", s.rising(1000-behind, 1))
	}
	expected := s.plain(fmt.Sprintf("The heads of the beacon nodes of %s are %s slots apart; at most %s is expected.",
		s.target()["job"], number(apart+1), number(apart)))
	parting := s.node(first, node2, "head_slot", s.values(func(n int) (float64, bool) {
		return 1000 + float64(n) - (apart+1)*oneIf(n >= 1), true
	}))
	return []Case{
		s.fires("fires when they are one slot too far apart", a, 1, []Series{head(first, node1, 0), parting}, expected),
		s.fires("fires once when two exporters see it", a, 0, []Series{
			head(first, node1, 0), head(first, node2, apart+1), head(second, node1, 0), head(second, node2, apart+1),
		}, expected),
		s.silent("is silent when they are as far apart as they may be", []Series{head(first, node1, 0), head(first, node2, apart)}),
		s.silent("is silent when the one behind says that it is syncing", []Series{
			head(first, node1, 0), head(first, node2, 100*apart), s.node(first, node2, "syncing", s.constant(1)),
		}),
		s.silent("is silent when the other node is down", []Series{
			head(first, node1, 0), s.node(first, node1, "up", s.constant(1)), s.node(first, node2, "up", s.constant(0)),
		}),
		s.silent("is silent when two exporters look at different times, each with nodes that agree", []Series{
			head(first, node1, 0), head(first, node2, 0), head(second, node1, 10*apart), head(second, node2, 10*apart),
		}),
	}
}
