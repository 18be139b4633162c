package rules

import (
	"bytes"
	"errors"
	"fmt"
	"math"
	"strconv"
	"strings"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
)

// Tests returns files, by their names, for promtool test rules: they prove the
// recording rules with numbers that were computed by hand. promtool evaluates all
// tests of a file at one interval, whatever the rules say, so there is a file for each.
// ruleFiles are relative to where the files will be.
func Tests(c mixin.Config, ruleFiles []string) (map[string][]byte, error) {
	b, err := newBench(c)
	if err != nil {
		return nil, fmt.Errorf("tests of recording rules: %w", err)
	}
	out := map[string][]byte{}
	for _, f := range []struct {
		name     string
		interval time.Duration
		cases    []testCase
		// lateLong evaluates what weeks and months are made of last, since promtool knows no
		// other way to leave it out once.
		lateLong bool
	}{
		{"recording-hours", quarter, b.hours(), false},
		{"recording-days", Day, b.days(), false},
		{"recording-first-day", Day, b.firstDay(), true},
		{"recording-offset", c.Recording.Interval, b.offset(), false},
	} {
		file := testFile{RuleFiles: ruleFiles, Interval: mixin.Duration(f.interval), Tests: f.cases}
		var late []string
		for _, g := range groups(c) {
			if f.lateLong && strings.HasSuffix(g.name, "-long") {
				late = append(late, g.name)
				continue
			}
			file.Order = append(file.Order, g.name)
		}
		file.Order = append(file.Order, late...)
		var text bytes.Buffer
		e := yaml.NewEncoder(&text)
		e.SetIndent(2)
		if err := errors.Join(e.Encode(file), e.Close()); err != nil {
			return nil, fmt.Errorf("tests of recording rules: %s: %w", f.name, err)
		}
		out[f.name+".yaml"] = text.Bytes()
	}
	return out, nil
}

type (
	testFile struct {
		RuleFiles []string   `yaml:"rule_files"`
		Interval  string     `yaml:"evaluation_interval"`
		Order     []string   `yaml:"group_eval_order"`
		Tests     []testCase `yaml:"tests"`
	}
	testCase struct {
		Name string `yaml:"name"`
		// Start is a Unix time in seconds: everything in the case counts from it.
		Start    int64        `yaml:"start_timestamp,omitempty"`
		Interval string       `yaml:"interval"`
		Input    []testSeries `yaml:"input_series"`
		Checks   []testCheck  `yaml:"promql_expr_test"`
	}
	testSeries struct {
		Series string `yaml:"series"`
		Values string `yaml:"values"`
	}
	testCheck struct {
		Expr    string       `yaml:"expr"`
		At      string       `yaml:"eval_time"`
		Samples []testSample `yaml:"exp_samples"`
	}
	testSample struct {
		Labels string  `yaml:"labels"`
		Value  float64 `yaml:"value"`
	}
)

// bench writes series and expectations with the labels that the knobs ask for.
type bench struct {
	c mixin.Config
	// scrape are the labels of every series; replica are those of one of two exporters.
	scrape   string
	replicas [2]string
}

func newBench(c mixin.Config) (bench, error) {
	b := bench{c: c}
	var err error
	if b.scrape, err = expr.SeriesLabels(c.Select.Exporter); err != nil {
		return bench{}, err
	}
	if l := c.Select.ClusterLabel; l != "" && !strings.Contains(b.scrape, l+"=") {
		b.scrape = join(b.scrape, l+`="east"`)
	}
	for i, name := range []string{"a", "b"} {
		for _, l := range c.Select.ReplicaLabels {
			b.replicas[i] = join(b.replicas[i], fmt.Sprintf("%s=%q", l, name))
		}
	}
	return b, nil
}

// who is the subject of a series: the labels that name it, by its level.
type who struct {
	level  mixin.Level
	labels string
}

var (
	network  = who{mixin.Network, `network="mainnet"`}
	everyone = who{mixin.Group, `network="mainnet",group_by="all",group="all"`}
	seven    = who{mixin.Validator, `network="mainnet",validator_index="7"`}
)

func client(name string) who {
	return who{mixin.Group, fmt.Sprintf(`network="mainnet",group_by="client",group=%q`, name)}
}

// raw is one of the exporter's counters. more are labels beside the subject's.
func (b bench) raw(replica int, w who, counter, values string, more ...string) testSeries {
	return testSeries{
		Series: fmt.Sprintf("ethereum_%s_%s_total{%s}", w.level, counter, join(append([]string{w.labels, b.scrape, b.replicas[replica]}, more...)...)),
		Values: values,
	}
}

// recorded is an hourly increment as the rules record it.
func (b bench) recorded(w who, counter, values string) testSeries {
	return testSeries{
		Series: fmt.Sprintf("%s{%s}", Increase(w.level, counter), join(w.labels, b.scrape)),
		Values: values,
	}
}

// row is one expected result of a check.
type row struct {
	who   who
	value float64
	more  string
}

// check expects exactly these rows of a query, to six digits behind the point: hundreds
// of additions do not come out to the last bit.
func (b bench) check(at time.Duration, query string, rows ...row) testCheck {
	c := testCheck{Expr: "round(" + query + ", 1e-6)", At: mixin.Duration(at), Samples: []testSample{}}
	for _, r := range rows {
		c.Samples = append(c.Samples, testSample{
			Labels: "{" + join(r.who.labels, b.scrape, r.more) + "}", Value: math.Floor(r.value*1e6+0.5) / 1e6,
		})
	}
	return c
}

// linear is a counter that rises by step with each sample from 0 on.
func linear(step int) string { return fmt.Sprintf("0+%dx2000", step) }

const (
	minute  = time.Minute
	quarter = 15 * minute
)

// evaluated is the first time from d on at which the rules of hours are evaluated.
func evaluated(d time.Duration) time.Duration { return (d + quarter - 1) / quarter * quarter }

// hours are the cases with a sample each minute and an evaluation each quarter of an
// hour.
func (b bench) hours() []testCase {
	burn := make([]testCheck, 0, len(burnRanges(b.c)))
	allowed := 1 - b.c.Objective.Effectiveness
	for _, over := range burnRanges(b.c) {
		if over <= 6*Hour {
			burn = append(burn, b.check(evaluated(max(over, Hour)), BurnRate(over), row{who: everyone, value: 0.03 / allowed}))
		}
	}
	cases := []testCase{
		{
			// Each of two exporters saw 10 a minute: 600 in the hour, not 1200.
			Name: "two replicas are counted once",
			Input: []testSeries{
				b.raw(0, everyone, expected, linear(10)), b.raw(1, everyone, expected, linear(10)),
				b.raw(0, everyone, included, linear(9)), b.raw(1, everyone, included, linear(9)),
				b.raw(0, seven, expected, linear(10)), b.raw(1, seven, expected, linear(10)),
			},
			Checks: []testCheck{
				b.check(Hour, Increase(mixin.Group, expected), row{who: everyone, value: 600}),
				b.check(Hour, Increase(mixin.Validator, expected), row{who: seven, value: 600}),
				b.check(Hour, Ratio(mixin.Group, Participation, Hour), row{who: everyone, value: 0.9}),
			},
		},
		{
			// The second exporter's first sample is at minute 50: it saw 100, and increase()
			// makes 105 of that. The first one's 600 are taken.
			Name: "a replica that has just started does not lower the sum",
			Input: []testSeries{
				b.raw(0, everyone, expected, linear(10)), b.raw(1, everyone, expected, "_x50 500+10x10"),
			},
			Checks: []testCheck{b.check(Hour, Increase(mixin.Group, expected), row{who: everyone, value: 600})},
		},
		{
			// Samples up to minute 19 (190), then from minute 50 (500) on: what the chain did
			// in between is in the counter when it comes back.
			Name: "an exporter that was down for half an hour has missed nothing",
			Input: []testSeries{
				b.raw(0, everyone, expected, "0+10x19 stale _x29 500+10x10"),
				b.raw(0, everyone, included, "0+8x19 stale _x29 400+8x10"),
			},
			Checks: []testCheck{
				b.check(Hour, Increase(mixin.Group, expected), row{who: everyone, value: 600}),
				b.check(Hour, Ratio(mixin.Group, Participation, Hour), row{who: everyone, value: 0.8}),
			},
		},
		{
			// 10 to 300 in minutes 0 to 29, 0 while the window begins anew, then 30 to 310:
			// from minute 1 on 280 and 310, 590 in 59 minutes, 600 in an hour. That the new
			// total is above the old one does not hide the reset.
			Name:  "a window's reset loses nothing",
			Input: []testSeries{b.raw(0, everyone, expected, "10+10x29 0 0 30+10x28")},
			Checks: []testCheck{
				b.check(Hour, Increase(mixin.Group, expected), row{who: everyone, value: 600}),
			},
		},
		{
			// All 20 a minute are 12 prysm and 8 teku. Each group has its own row.
			Name: "groups of different labels are not added up",
			Input: []testSeries{
				b.raw(0, everyone, expected, linear(20)), b.raw(0, client("prysm"), expected, linear(12)), b.raw(0, client("teku"), expected, linear(8)),
				b.raw(0, everyone, included, linear(18)), b.raw(0, client("prysm"), included, linear(12)), b.raw(0, client("teku"), included, linear(6)),
			},
			Checks: []testCheck{
				b.check(Hour, Increase(mixin.Group, expected), row{who: everyone, value: 1200}, row{who: client("prysm"), value: 720}, row{who: client("teku"), value: 480}),
				b.check(Hour, Ratio(mixin.Group, Participation, Hour), row{who: everyone, value: 0.9}, row{who: client("prysm"), value: 1}, row{who: client("teku"), value: 0.75}),
			},
		},
		{
			// Half an hour after the start no whole hour is recorded: every range shows the
			// last hour.
			Name: "a fresh installation shows something",
			Input: []testSeries{
				b.raw(0, everyone, expected, linear(10)), b.raw(0, everyone, included, linear(9)),
				b.raw(0, seven, expected, linear(10)), b.raw(0, seven, included, linear(7)),
			},
			Checks: []testCheck{
				b.check(Hour/2, Ratio(mixin.Group, Participation, Day), row{who: everyone, value: 0.9}),
				b.check(Hour/2, Ratio(mixin.Group, Participation, Month), row{who: everyone, value: 0.9}),
				b.check(Hour/2, Ratio(mixin.Validator, Participation, Week), row{who: seven, value: 0.7}),
			},
		},
		{
			// The exporter came at minute 58, and nothing had settled by the full hour. That
			// hour is recorded, with 0; it must not stand in the way of the minutes since.
			Name: "a first hour in which nothing settled shows nothing, and hides nothing",
			Input: []testSeries{
				b.raw(0, everyone, expected, "_x58 0 0 0 0+10x60"),
				b.raw(0, everyone, included, "_x58 0 0 0 0+9x60"),
			},
			Checks: []testCheck{
				b.check(Hour, Ratio(mixin.Group, Participation, Day)),
				b.check(Hour+Hour/2, Ratio(mixin.Group, Participation, Day), row{who: everyone, value: 0.9}),
			},
		},
		{
			// Samples end at minute 70: 600 in the first hour, 90 in the second, of which
			// increase() makes 105. An hour later the group has no last hour, and its longer
			// ratios, which could still be made, are gone too.
			Name: "a group that is no longer watched is gone after an hour",
			Input: []testSeries{
				b.raw(0, everyone, expected, "0+10x70 stale"), b.raw(0, everyone, included, "0+9x70 stale"),
			},
			Checks: []testCheck{
				b.check(2*Hour, Ratio(mixin.Group, Participation, Day), row{who: everyone, value: 0.9}),
				b.check(2*Hour+15*minute, Ratio(mixin.Group, Participation, Hour)),
				b.check(2*Hour+15*minute, Ratio(mixin.Group, Participation, Day)),
				b.check(2*Hour+15*minute, "sum_over_time("+Increase(mixin.Group, expected)+"[1d:1h])", row{who: everyone, value: 705}),
			},
		},
		{
			// Votes: (14·9 + 26·8 + 14·5) / (54·10) = 404/540. Without those lost to the
			// network: 404 / (540 − 14·1 − 14·4) = 404/470.
			Name: "the network's effectiveness is made of votes where its stake is unknown",
			Input: []testSeries{
				b.raw(0, network, expected, linear(10)),
				b.raw(0, network, sourceVotes, linear(9)), b.raw(0, network, targetVotes, linear(8)), b.raw(0, network, headVotes, linear(5)),
				b.raw(0, network, lost, linear(1), `vote="source",cause="network"`),
				b.raw(0, network, lost, linear(0), `vote="source",cause="missing"`),
				b.raw(0, network, lost, linear(0), `vote="target",cause="network"`),
				b.raw(0, network, lost, linear(2), `vote="target",cause="missing"`),
				b.raw(0, network, lost, linear(4), `vote="head",cause="network"`),
				b.raw(0, network, lost, linear(1), `vote="head",cause="late"`),
			},
			Checks: []testCheck{
				b.check(Hour, Ratio(mixin.Network, Effectiveness, Hour), row{who: network, value: 404.0 / 540}),
				b.check(Hour, Ratio(mixin.Network, OwnEffectiveness, Hour), row{who: network, value: 404.0 / 470}),
				b.check(2*Hour, Ratio(mixin.Network, Effectiveness, Day), row{who: network, value: 404.0 / 540}),
				b.check(2*Hour, Ratio(mixin.Network, OwnEffectiveness, Day), row{who: network, value: 404.0 / 470}),
			},
		},
		{
			// Stake 6 of 8, of which 7 could be had; votes would say 0.9.
			Name: "the network's stake goes before its votes",
			Input: []testSeries{
				b.raw(0, network, earned, linear(6)), b.raw(0, network, possible, linear(8)), b.raw(0, network, achievable, linear(7)),
				b.raw(0, network, expected, linear(10)),
				b.raw(0, network, sourceVotes, linear(9)), b.raw(0, network, targetVotes, linear(9)), b.raw(0, network, headVotes, linear(9)),
			},
			Checks: []testCheck{
				b.check(Hour, Ratio(mixin.Network, Effectiveness, Hour), row{who: network, value: 0.75}),
				b.check(Hour, Ratio(mixin.Network, OwnEffectiveness, Hour), row{who: network, value: 6.0 / 7}),
			},
		},
		{
			// The group missed 2 of 20 by its own fault, 3 more for the network: 18/20, not
			// 15/20. The validator missed 1 of 10.
			Name: "what the network caused is not missing by own fault",
			Input: []testSeries{
				b.raw(0, everyone, expected, linear(20)), b.raw(0, everyone, included, linear(15)),
				b.raw(0, everyone, lost, linear(2), `vote="target",cause="missing"`),
				b.raw(0, everyone, lost, linear(3), `vote="target",cause="network"`),
				b.raw(0, everyone, lost, linear(2), `vote="head",cause="missing"`),
				b.raw(0, seven, expected, linear(10)), b.raw(0, seven, included, linear(6)),
				b.raw(0, seven, lost, linear(1), `vote="target",cause="missing"`),
				b.raw(0, seven, lost, linear(3), `vote="target",cause="network"`),
			},
			Checks: []testCheck{
				b.check(Hour, Ratio(mixin.Group, Participation, Hour), row{who: everyone, value: 0.75}),
				b.check(Hour, Ratio(mixin.Group, OwnParticipation, Hour), row{who: everyone, value: 0.9}),
				b.check(2*Hour, Ratio(mixin.Group, OwnParticipation, Day), row{who: everyone, value: 0.9}),
				b.check(Hour, Ratio(mixin.Validator, OwnParticipation, Hour), row{who: seven, value: 0.9}),
				b.check(Hour, Increase(mixin.Validator, lost), row{who: seven, value: 60, more: missed}),
			},
		},
		{
			// Nothing to do, nothing to divide: no series, neither 0 nor NaN.
			Name: "nothing expected is no ratio",
			Input: []testSeries{
				b.raw(0, everyone, expected, linear(10)), b.raw(0, everyone, blocksExpected, linear(0)), b.raw(0, everyone, blocksProposed, linear(0)),
				b.raw(0, everyone, syncExpected, linear(0)), b.raw(0, everyone, syncIncluded, linear(0)),
			},
			Checks: []testCheck{
				b.check(Hour, Increase(mixin.Group, blocksExpected), row{who: everyone}),
				b.check(Hour, Ratio(mixin.Group, Proposals, Hour)),
				b.check(2*Hour, Ratio(mixin.Group, Proposals, Day)),
				b.check(2*Hour, Ratio(mixin.Group, SyncCommittee, Month)),
			},
		},
		{
			// The network 0.95, the group 0.9, the validator 0.97.
			Name: "who does worse than the network is below zero",
			Input: []testSeries{
				b.raw(0, network, earned, linear(95)), b.raw(0, network, possible, linear(100)),
				b.raw(0, everyone, earned, linear(90)), b.raw(0, everyone, possible, linear(100)),
				b.raw(0, seven, earned, linear(97)), b.raw(0, seven, possible, linear(100)),
			},
			Checks: []testCheck{
				b.check(Hour, Difference(mixin.Group, Effectiveness, Hour), row{who: everyone, value: -0.05}),
				b.check(Hour, Difference(mixin.Validator, Effectiveness, Hour), row{who: seven, value: 0.02}),
			},
		},
		{
			// In the first hour all 10 a minute were included, since then 8.
			Name: "the network's short participation knows the last epochs only",
			Input: []testSeries{
				b.raw(0, network, expected, linear(10)), b.raw(1, network, expected, linear(10)),
				b.raw(0, network, included, "0+10x60 608+8x200"), b.raw(1, network, included, "0+10x60 608+8x200"),
			},
			Checks: []testCheck{
				b.check(Hour, NetworkShortParticipation(b.c), row{who: network, value: 1}),
				b.check(Hour+evaluated(b.c.Recording.Short), NetworkShortParticipation(b.c), row{who: network, value: 0.8}),
			},
		},
		{
			// 97 of the 100 that could be had were earned: 0.03 of what the objective allows,
			// over any range.
			Name: "the budget burns as fast as own-fault effectiveness is below 1",
			Input: []testSeries{
				b.raw(0, everyone, earned, linear(97)), b.raw(0, everyone, achievable, linear(100)), b.raw(0, everyone, possible, linear(120)),
				b.raw(0, everyone, expected, linear(10)),
			},
			Checks: burn,
		},
		{
			// 10 a minute: each hour brings 600, a day 14400, exactly. Of these all were
			// included in the first two hours, 9 of 10 since: none of the first two is in the
			// day that ends with hour 26.
			Name:  "the hours of a day lie end to end",
			Input: []testSeries{b.raw(0, everyone, expected, "0+10x1560"), b.raw(0, everyone, included, "0+10x120 1209+9x1439")},
			Checks: []testCheck{
				b.check(Day, "sum_over_time("+Increase(mixin.Group, expected)+"[1d:1h])", row{who: everyone, value: 14400}),
				b.check(Day+Hour/2, "sum_over_time("+Increase(mixin.Group, expected)+"[1d:1h])", row{who: everyone, value: 14400}),
				b.check(Day+2*Hour, "sum_over_time("+Increase(mixin.Group, expected)+"[1d:1h])", row{who: everyone, value: 14400}),
				b.check(Day, Ratio(mixin.Group, Participation, Day), row{who: everyone, value: (2*600 + 22*540) / 14400.0}),
				b.check(Day+2*Hour, Ratio(mixin.Group, Participation, Day), row{who: everyone, value: 0.9}),
			},
		},
	}
	for i := range cases {
		cases[i].Interval = mixin.Duration(minute)
	}
	if l := b.c.Select.ClusterLabel; strings.Contains(b.scrape, l+`="east"`) {
		cases = append(cases, b.clusters())
	}
	return append(cases, b.day())
}

// clusters is the same group in two stores: 10 a minute in one, 20 in the other.
func (b bench) clusters() testCase {
	west := b
	west.scrape = strings.Replace(b.scrape, `="east"`, `="west"`, 1)
	both := b.check(Hour, Increase(mixin.Group, expected), row{who: everyone, value: 600})
	both.Samples = append(both.Samples, west.check(Hour, "", row{who: everyone, value: 1200}).Samples...)
	return testCase{
		Name: "the same group in two stores is two groups", Interval: mixin.Duration(minute),
		Input:  []testSeries{b.raw(0, everyone, expected, linear(10)), west.raw(0, everyone, expected, linear(20))},
		Checks: []testCheck{both},
	}
}

// What the exporter shows on mainnet: counters move once an epoch, start again with
// each window, and read 0 for eight slots then. A sample each 24 s is 16 an epoch, of
// which 4 are those slots.
const (
	samplesEpoch  = 16
	samplesReset  = 4
	sampleEvery   = 24 * time.Second
	windowEpochs  = 15
	samplesWindow = windowEpochs * samplesEpoch
)

// anchored is a counter over as many samples. per is what an epoch brings; down, in
// samples from and until, is when the exporter cannot be scraped.
func anchored(samples int, per func(epoch int) int, down [2]int) string {
	var values []string
	for i := range samples {
		total := 0
		for e := i / samplesWindow * windowEpochs; e <= i/samplesEpoch; e++ {
			total += per(e)
		}
		switch {
		case i >= down[0] && i < down[1]:
			values = append(values, "_")
		case i%samplesWindow < samplesReset:
			values = append(values, "0")
		default:
			values = append(values, strconv.Itoa(total))
		}
	}
	return strings.Join(shorten(values), " ")
}

// shorten writes what is repeated in promtool's notation: 5x3 is four fives, but _x3
// three samples that are missing.
func shorten(values []string) []string {
	var out []string
	for i := 0; i < len(values); {
		n := 1
		for i+n < len(values) && values[i+n] == values[i] {
			n++
		}
		if values[i] == "_" {
			out = append(out, "_x"+strconv.Itoa(n))
		} else {
			out = append(out, values[i]+"x"+strconv.Itoa(n-1))
		}
		i += n
	}
	return out
}

// day is a day of the real thing, seen by two exporters, of which one is away for 40
// minutes and the other for five hours. Epochs 19 to 243 settle in hours 3 to 26. In
// 225 epochs 100 attestations each are due: 22500. Those that are not included go 0, 1,
// 2 … 9 with the epoch's last digit: 9 in epoch 19, 45 in each ten of 20 to 239, 6 in
// 240 to 243, together 1005. A block is due every third epoch, in 21 to 243: 75.
// increase() misses the steps between two hours' samples, and makes up for them on
// average: the sums are right to 1 %, the ratio to 0.0005.
func (b bench) day() testCase {
	const samples = 4000
	away := [2][2]int{{1000, 1100}, {1300, 2050}}
	t := testCase{Name: "a day of counters that move once an epoch", Interval: mixin.Duration(sampleEvery)}
	for _, counter := range []struct {
		name string
		per  func(epoch int) int
	}{
		{expected, func(int) int { return 100 }},
		{included, func(e int) int { return 100 - e%10 }},
		{blocksExpected, func(e int) int { return (3 - e%3) / 3 }},
		{blocksProposed, func(e int) int { return (3 - e%3) / 3 }},
	} {
		for replica, down := range away {
			t.Input = append(t.Input, b.raw(replica, everyone, counter.name, anchored(samples, counter.per, down)))
		}
	}
	near := func(query string, value, within float64) testCheck {
		return b.check(26*Hour, fmt.Sprintf("abs(%s - %v) <= bool %v", query, value, within), row{who: everyone, value: 1})
	}
	sum := func(counter string) string { return "sum_over_time(" + Increase(mixin.Group, counter) + "[1d:1h])" }
	t.Checks = []testCheck{
		near(sum(expected), 22500, 0.01*22500),
		near(sum(included), 21495, 0.01*21495),
		near(sum(blocksExpected), 75, 0.01*75),
		near(Ratio(mixin.Group, Participation, Day), 21495/22500.0, 0.0005),
		b.check(26*Hour, Ratio(mixin.Group, Proposals, Day), row{who: everyone, value: 1}),
	}
	return t
}

// days are the cases over days: the increments of whole hours are given, and the rules
// are evaluated once a day.
func (b bench) days() []testCase {
	// Of 600 an hour: all in hours 1 to 360, half in 361 to 708, all in 709 to 720.
	const due, done = "600x720", "600x360 300x347 600x11"
	var (
		hour  = row{who: everyone, value: 1}
		day   = row{who: everyone, value: (12*300 + 12*600) / (24 * 600.0)}
		week  = row{who: everyone, value: (156*300 + 12*600) / (168 * 600.0)}
		month = row{who: everyone, value: (360*600 + 348*300 + 12*600) / (720 * 600.0)}
	)
	allowed := 1 - b.c.Objective.Effectiveness
	checks := []testCheck{
		b.check(Month, "sum_over_time("+Increase(mixin.Group, included)+"[30d:1h])", row{who: everyone, value: 360*600 + 348*300 + 12*600}),
		b.check(Month, Ratio(mixin.Group, Participation, Hour), hour),
		b.check(Month, Ratio(mixin.Group, Participation, Day), day),
		b.check(Month, Ratio(mixin.Group, Participation, Week), week),
		b.check(Month, Ratio(mixin.Group, Participation, Month), month),
		b.check(Month, Ratio(mixin.Group, OwnEffectiveness, Month), month),
	}
	spent := func(over time.Duration) (float64, bool) {
		r, ok := map[time.Duration]row{Day: day, Week: week, Month: month}[over]
		return (1 - r.value) / allowed, ok
	}
	for _, over := range burnRanges(b.c) {
		if rate, ok := spent(over); ok {
			checks = append(checks, b.check(Month, BurnRate(over), row{who: everyone, value: rate}))
		}
		if over == 3*Day { // 60 hours of 300, 12 of 600
			checks = append(checks, b.check(Month, BurnRate(over), row{who: everyone, value: (1 - (60*300+12*600)/(72*600.0)) / allowed}))
		}
	}
	if used, ok := spent(b.c.Objective.Period); ok {
		checks = append(checks, b.check(Month, BudgetRemaining(b.c.Objective.Period), row{who: everyone, value: 1 - used}))
	}
	return []testCase{
		{
			Name: "days, weeks and months are sums of whole hours", Interval: mixin.Duration(Hour),
			Input: []testSeries{
				b.recorded(everyone, expected, due), b.recorded(everyone, included, done),
				b.recorded(everyone, achievable, due), b.recorded(everyone, earned, done),
			},
			Checks: checks,
		},
	}
}

// firstDay is the case in which weeks and months are not made yet, while a day of whole
// hours is there: after an outage of Prometheus, or with rules that are newer than the hours.
func (b bench) firstDay() []testCase {
	day := row{who: everyone, value: (12*300 + 12*600) / (24 * 600.0)}
	return []testCase{{
		Name: "weeks and months that are not made yet are the last day", Interval: mixin.Duration(Hour),
		Input: []testSeries{b.recorded(everyone, expected, "_ 600x23"), b.recorded(everyone, included, "_ 300x11 600x11")},
		Checks: []testCheck{
			b.check(Day, Ratio(mixin.Group, Participation, Hour), row{who: everyone, value: 1}),
			b.check(Day, Ratio(mixin.Group, Participation, Day), day),
			b.check(Day, Ratio(mixin.Group, Participation, Week), day),
			b.check(Day, Ratio(mixin.Group, Participation, Month), day),
		},
	}}
}

// offset is the case in which rules are not evaluated at the full hour, which is what
// Prometheus does: it spreads groups over their interval.
func (b bench) offset() []testCase {
	const start = 7 * minute
	step := b.c.Recording.Interval
	// The first hour's last evaluation is the last one up to the full hour, and the next
	// hours' are just an hour after it.
	first := int((Hour - start) / step)
	each := int(Hour / step)
	return []testCase{{
		Name: "whole hours lie end to end whenever the rules are evaluated", Interval: mixin.Duration(step), Start: int64(start / time.Second),
		Input: []testSeries{b.raw(0, everyone, expected, "0+10x"+strconv.Itoa(4*each))},
		Checks: []testCheck{
			b.check(3*Hour-start, "sum_over_time("+Increase(mixin.Group, expected)+"[1d:1h])", row{who: everyone, value: float64(10 * (first + 2*each))}),
		},
	}}
}
