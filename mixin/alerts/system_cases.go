package alerts

import (
	"fmt"
	"math"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// measured is what a process measures at each step.
type measured func(n int) float64

// processCases prove an alert on a process. over is just above the limit and under just
// not; input writes the series that make a process measure something. begins is the step
// at which the alert sees what is there from step 1 on.
func processCases(c mixin.Config, a Alert, begins int, over, under float64, text func(over float64) string,
	input func(s scenario, replica string, m measured) []Series,
) []Case {
	s := scraped(c, 3*a.For)
	r := s
	r.c = receiver(c)
	always := func(x float64) measured { return func(int) float64 { return x } }
	from := func(n int) float64 { return over * oneIf(n >= 1) }
	short := func(n int) float64 { return over * oneIf(n >= 1 && n < begins+s.after(a.For)) }
	return []Case{
		s.fires("fires for an exporter just above the limit", a, begins, input(s, first, from), s.ofProcess(text(over))),
		s.fires("fires for a receiver just above the limit", a, begins, input(r, first, from), r.ofProcess(text(over))),
		s.fires("fires for the one of two replicas that is above the limit", a, begins,
			append(input(s, first, from), input(s, second, always(under))...), s.ofProcess(text(over))),
		s.silent("is silent at the limit", append(input(s, first, always(under)), input(r, first, always(under))...)),
		s.silent("is silent when it ends just before the wait is over", input(s, first, short)),
		s.silent("is silent when the process does not tell", []Series{s.own(first, "up", s.constant(1))}),
	}
}

// gauge writes a series of what a process measures.
func (s scenario) gauge(replica, metric string, m measured) Series {
	return s.own(replica, metric, s.values(func(n int) (float64, bool) { return m(n), true }))
}

func memoryCases(c mixin.Config, a Alert, limit uint64) []Case {
	text := func(over float64) string {
		return fmt.Sprintf(" uses %sB of memory; at most %sB is expected.", humanize(over), humanize(float64(limit)))
	}
	return processCases(c, a, 1, float64(limit+1), float64(limit), text, func(s scenario, replica string, m measured) []Series {
		return []Series{s.gauge(replica, "process_resident_memory_bytes", m)}
	})
}

func cpuCases(c mixin.Config, a Alert) []Case {
	limit := c.Alerts.System.CPU
	const processors = 4
	text := func(over float64) string {
		return fmt.Sprintf(" uses %s of the processors that it may use; at most %s is expected.", percent(over), percent(limit))
	}
	// A rate is never exact, so "at the limit" is a thousandth below.
	over, under := (math.Floor(1000*limit)+1)/1000, (math.Ceil(1000*limit)-1)/1000
	// The rate's range is full at its fourth sample.
	return processCases(c, a, 3, over, under, text, func(s scenario, replica string, m measured) []Series {
		used := s.gauge(replica, "process_cpu_seconds_total", func(n int) float64 {
			sum := 1000.0 // used before
			for i := 1; i <= n; i++ {
				sum += m(i) * processors * s.step.Seconds()
			}
			return math.Round(sum*1000) / 1000
		})
		return []Series{used, s.gauge(replica, "go_sched_gomaxprocs_threads", func(int) float64 { return processors })}
	})
}

func goroutineCases(c mixin.Config, a Alert) []Case {
	limit := float64(c.Alerts.System.Goroutines)
	text := func(over float64) string {
		return fmt.Sprintf(" runs %s goroutines; at most %s are expected.", number(over), number(limit))
	}
	return processCases(c, a, 1, limit+1, limit, text, func(s scenario, replica string, m measured) []Series {
		return []Series{s.gauge(replica, "go_goroutines", m)}
	})
}

func fileCases(c mixin.Config, a Alert) []Case {
	limit := c.Alerts.System.FileDescriptors
	const most = 1000
	at := math.Floor(most * limit)
	text := func(over float64) string {
		return fmt.Sprintf(" uses %s of the files that it may open; at most %s is expected.", percent(over/most), percent(limit))
	}
	return processCases(c, a, 1, at+1, at, text, func(s scenario, replica string, m measured) []Series {
		return []Series{
			s.gauge(replica, "process_open_fds", m), s.gauge(replica, "process_max_fds", func(int) float64 { return most }),
		}
	})
}

func restartCases(c mixin.Config, a Alert) []Case {
	t := c.Alerts.System
	const metric = "process_start_time_seconds"
	limit := t.Restarts
	s := scraped(c, 2*t.RestartRange)
	r := s
	r.c = receiver(c)
	// started is the time at which a process began that starts anew each so many steps,
	// and so many times at the most.
	started := func(s scenario, replica string, every, times int) Series {
		return s.gauge(replica, metric, func(n int) float64 { return 1e6 + float64(min(n/every, times)) })
	}
	text := fmt.Sprintf(" started again %d times within %s; at most %d are expected.", limit+1, mixin.Duration(t.RestartRange), limit)
	const often = 2
	begins := often * (limit + 1)
	seldom := s.after(t.RestartRange)/limit + 1
	return []Case{
		s.fires("fires for an exporter that is killed again and again", a, begins, []Series{started(s, first, often, limit+1)}, s.ofProcess(text)),
		s.fires("fires for a receiver that is killed again and again", a, begins, []Series{started(r, first, often, limit+1)}, r.ofProcess(text)),
		s.fires("fires for the one of two replicas", a, begins,
			[]Series{started(s, first, often, limit+1), started(s, second, often, limit)}, s.ofProcess(text)),
		s.silent("is silent about as many starts as are expected", []Series{started(s, first, often, limit), started(r, first, often, limit)}),
		s.silent("is silent when starts are far between", []Series{started(s, first, seldom, s.steps)}),
		s.silent("is silent when pods are replaced", []Series{
			s.own(first, metric, s.values(func(n int) (float64, bool) { return 1e6, n < s.steps/2 })),
			s.own(second, metric, s.values(func(n int) (float64, bool) { return 2e6, n >= s.steps/2 })),
		}),
	}
}
