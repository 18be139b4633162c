package dashboards

import (
	"fmt"
	"strings"
	"time"

	"github.com/grafana/grafana-foundation-sdk/go/dashboard"
	"github.com/grafana/grafana-foundation-sdk/go/prometheus"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// rateInterval is Grafana's range for rate(): at least four scrapes, whatever the
// panel's resolution.
const rateInterval = "[$__rate_interval]"

// wholeRange is the range that the dashboard shows.
const wholeRange = "[$__range]"

// process names the labels of one process of this project, so that exporters which
// differ in nothing else are still told apart.
func (s selectors) process() []string { return append(s.clusterLabel(), "job", s.replica()) }

func (s selectors) clusterLabel() []string {
	if l := s.c.Select.ClusterLabel; l != "" {
		return []string{l}
	}
	return nil
}

// perProcess keeps one series for each process and set of the labels named.
func (s selectors) perProcess(expr string, labels ...string) string {
	return aggregate("max", expr, append(labels, s.process()...)...)
}

// byProcess is the legend of such series.
func (s selectors) byProcess(name string) string {
	return strings.TrimSpace(name + " {{" + s.replica() + "}}")
}

func aggregate(operator, expr string, labels ...string) string {
	if len(labels) == 0 {
		return operator + "(" + expr + ")"
	}
	return operator + " by (" + strings.Join(labels, ", ") + ") (" + expr + ")"
}

// rate and increase are of counters that count since the process started.
func rate(counter string) string { return "rate(" + counter + rateInterval + ")" }
func rose(counter string) string { return "increase(" + counter + wholeRange + ")" }

// quantile of a histogram, of rate or rose of its buckets. It is absent rather than
// NaN where nothing was observed.
func quantile(q float64, buckets string, labels ...string) string {
	return fmt.Sprintf("histogram_quantile(%g, %s) >= 0", q, aggregate("sum", buckets, append([]string{"le"}, labels...)...))
}

// quantiles asks for the usual three over time.
func quantiles(bucket string) []query {
	var out []query
	for _, q := range []float64{0.5, 0.95, 0.99} {
		out = append(out, over(quantile(q, rate(bucket)), fmt.Sprintf("p%g", q*100)))
	}
	return out
}

// orZero is for counts that are 0 when there is no series at all.
func orZero(expr string) string { return expr + " or vector(0)" }

// oneUnit writes a duration as one number and one unit, all that Grafana reads: 90m
// where Prometheus also reads 1h30m.
func oneUnit(d time.Duration) string {
	for _, u := range []struct {
		unit time.Duration
		name string
	}{{24 * time.Hour, "d"}, {time.Hour, "h"}, {time.Minute, "m"}} {
		if d%u.unit == 0 {
			return fmt.Sprintf("%d%s", d/u.unit, u.name)
		}
	}
	return fmt.Sprintf("%ds", d/time.Second)
}

// pace tells Grafana how often the exporter is scraped, which $__rate_interval is made
// of. Otherwise it takes the data source's setting, 15 s unless changed, and rates of
// fewer samples come and go.
func pace(c mixin.Config, panels []dashboard.PanelOrRowPanel) {
	for _, p := range panels {
		if p.Panel == nil {
			continue
		}
		for i, t := range p.Panel.Targets {
			if q, ok := t.(prometheus.Dataquery); ok && strings.Contains(q.Expr, rateInterval) {
				q.Interval = ptr(oneUnit(c.Chain.ScrapeInterval))
				p.Panel.Targets[i] = q
			}
		}
	}
}

func list(labels []string) string { return strings.Join(labels, ", ") }
