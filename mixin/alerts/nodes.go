package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	matchers "github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql/parser"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// What alerts on beacon nodes, processes and the receiver have in common.

// any takes replicas together by the lowest of what they say: one that sees trouble is
// enough. Two exporters that both ask http://localhost:5052 ask different nodes.
func (q queries) any(query string, more ...string) string {
	return q.across("min", query, more...)
}

// total adds replicas up, for what each of them did or met by itself.
func (q queries) total(query string, more ...string) string {
	return q.across("sum", query, more...)
}

func (q queries) across(how, query string, more ...string) string {
	return fmt.Sprintf("%s without (%s) (%s)", how, list(append(append([]string{}, q.c.Select.ReplicaLabels...), more...)), query)
}

// ofTarget takes all together that is of the same target, as inhibitions and dashboards
// tell targets apart, and of the same values of the labels in more. Unlike across it drops
// labels that nobody has named: of exporters that are gone those matter which the one in
// their place has, too, and a label of its pod or node it has not.
func (q queries) ofTarget(how, query string, more ...string) string {
	by := more
	for _, l := range slices.Concat([]string{q.c.Select.ClusterLabel}, q.c.Select.TargetLabels, []string{"job"}, selected(q.c.Select.Exporter)) {
		if l != "" && !slices.Contains(by, l) && !slices.Contains(q.c.Select.ReplicaLabels, l) {
			by = append(by, l)
		}
	}
	return fmt.Sprintf("%s by (%s) (%s)", how, list(by), query)
}

// selected are the names of the labels that a list of matchers asks for: its targets have
// them.
func selected(text string) []string {
	selector, err := parser.NewParser(parser.Options{}).ParseMetricSelector("{" + text + "}")
	if err != nil {
		return nil // Config is valid, so this cannot be
	}
	var names []string
	for _, m := range selector {
		if m.Type == matchers.MatchEqual && m.Value != "" || m.Type == matchers.MatchRegexp {
			names = append(names, m.Name)
		}
	}
	return names
}

// receiver turns a Config round, so that queries and scenarios are about the rollup
// receiver instead of the exporter.
func receiver(c mixin.Config) mixin.Config {
	c.Select.Exporter = c.Select.Rollup
	return c
}

// seconds writes a duration as PromQL's numbers are.
func seconds(d time.Duration) string { return number(d.Seconds()) }

// process begins a description of one process: its job and where it runs.
func process(c mixin.Config) string {
	var b strings.Builder
	b.WriteString("{{ $labels.job }}")
	for _, l := range c.Select.ReplicaLabels {
		fmt.Fprintf(&b, "{{ with $labels.%s }} %s={{ . }}{{ end }}", l, l)
	}
	return b.String()
}

// process is how descriptions of the first replica's process begin.
func (s scenario) process() string {
	text := s.target()["job"]
	for _, l := range s.c.Select.ReplicaLabels {
		text += " " + l + "=" + l + "-" + first
	}
	return text
}

// own writes a series that has no label network: what an exporter says about itself or
// about its nodes.
func (s scenario) own(replica, metric, values string, pairs ...string) Series {
	return s.on(replica, metric, values, append([]string{"network", ""}, pairs...)...)
}

// node writes a series of a beacon node as a replica sees it.
func (s scenario) node(replica, endpoint, metric, values string, pairs ...string) Series {
	return s.own(replica, "ethereum_beacon_"+metric, values, append([]string{"endpoint", endpoint}, pairs...)...)
}

// plain is an alert without the label network.
func (s scenario) plain(description string, pairs ...string) Instance {
	set := s.target()
	for i := 0; i < len(pairs); i += 2 {
		set[pairs[i]] = pairs[i+1]
	}
	return Instance{Labels: set, Description: description}
}

// ofProcess is an alert about the process of the first replica.
func (s scenario) ofProcess(description string, pairs ...string) Instance {
	for _, l := range s.c.Select.ReplicaLabels {
		pairs = append(pairs, l, l+"-"+first)
	}
	return s.plain(s.process()+description, pairs...)
}

// human writes a duration as humanizeDuration does in templates.
func human(d time.Duration) string {
	s := int64(d / time.Second)
	switch {
	case s < 60:
		return fmt.Sprintf("%.4gs", d.Seconds())
	case s < 3600:
		return fmt.Sprintf("%dm %ds", s/60, s%60)
	case s < 86400:
		return fmt.Sprintf("%dh %dm %ds", s/3600, s/60%60, s%60)
	}
	return fmt.Sprintf("%dd %dh %dm %ds", s/86400, s/3600%24, s/60%60, s%60)
}

// humanize writes a number as humanize does in templates, from 1 up.
func humanize(x float64) string {
	prefix := ""
	for _, p := range []string{"k", "M", "G", "T", "P"} {
		if x < 1000 {
			break
		}
		prefix, x = p, x/1000
	}
	return fmt.Sprintf("%.4g%s", x, prefix)
}

const second = "b" // the name of the other replica

// exactLabels are the labels that a list of matchers gives exactly: all that absent()
// knows.
func exactLabels(text string) map[string]string {
	set := map[string]string{}
	selector, err := parser.NewParser(parser.Options{}).ParseMetricSelector("{" + text + "}")
	if err != nil {
		return set // Config is valid, so this cannot be
	}
	for _, m := range selector {
		if m.Type == matchers.MatchEqual && m.Value != "" {
			set[m.Name] = m.Value
		}
	}
	return set
}
