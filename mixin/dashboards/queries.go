package dashboards

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// selectors writes PromQL that keeps to Config's selectors and to the variables chosen.
type selectors struct {
	c mixin.Config
	// alertNames is asked only by who needs it: making the alerts makes all their cases.
	alertNames func() []string
}

// scraped selects a series of any exporter, whatever is chosen.
func (s selectors) scraped(metric string, matchers ...string) string {
	return selector(metric, append([]string{s.c.Select.Exporter}, matchers...)...)
}

// exporter selects a series of the chosen exporters.
func (s selectors) exporter(metric string, matchers ...string) string {
	return s.scraped(metric, append(s.chosen(), matchers...)...)
}

// chain selects a series of the chosen network.
func (s selectors) chain(metric string, matchers ...string) string {
	return s.exporter(metric, append([]string{`network="$network"`}, matchers...)...)
}

// group selects a series of the chosen group.
func (s selectors) group(metric string, matchers ...string) string {
	return s.chain(metric, append([]string{`group_by="$group_by"`, `group="$group"`}, matchers...)...)
}

// oneValidator selects a series of the chosen validator.
func (s selectors) oneValidator(metric string, matchers ...string) string {
	return s.chain(metric, append([]string{`validator_index="$validator"`}, matchers...)...)
}

// recorded selects a recorded series of the chosen network. Rules have dropped the
// replicas' labels, so that Config's own matchers may not fit any more.
func (s selectors) recorded(name string, matchers ...string) string {
	return selector(name, append(append(s.chosen(), `network="$network"`), matchers...)...)
}

// recordedGroup selects a recorded series of the chosen group.
func (s selectors) recordedGroup(name string, matchers ...string) string {
	return s.recorded(name, append([]string{`group_by="$group_by"`, `group="$group"`}, matchers...)...)
}

// recordedValidator selects a recorded series of the chosen validator.
func (s selectors) recordedValidator(name string, matchers ...string) string {
	return s.recorded(name, append([]string{`validator_index="$validator"`}, matchers...)...)
}

// receiver selects a series of the rollup receivers.
func (s selectors) receiver(metric string, matchers ...string) string {
	return selector(metric, append(append([]string{s.c.Select.Rollup}, s.cluster()...), matchers...)...)
}

// once takes one of several replicas' results: they watch the same validators.
func (s selectors) once(expr string) string {
	return "max without (" + strings.Join(s.c.Select.ReplicaLabels, ", ") + ") (" + expr + ")"
}

// members keeps those results of expr, which have a label validator_index, that are of
// the chosen group.
func (s selectors) members(expr string) string {
	return fmt.Sprintf("((%s) and%s (%s or %s and%s %s))",
		expr, s.on("validator_index"), s.infos(), s.chain("ethereum_validator_status"), s.on(), s.everybody())
}

// infos selects the ethereum_validator_info of the chosen group. It has the labels of
// the watch list; that every validator is in group all of all, no label says.
func (s selectors) infos(matchers ...string) string {
	const metric = "ethereum_validator_info"
	return fmt.Sprintf("(%s or %s and%s %s)",
		s.chain(metric, append(matchers, `$group_by="$group"`)...), s.chain(metric, matchers...), s.on(), s.everybody())
}

// everybody is there when the chosen group is the one of every watched validator.
func (s selectors) everybody() string {
	return s.chain("ethereum_group_attestations_overdue", `group_by="$group_by"`, `group_by="all"`)
}

// onceBy keeps only the labels named, the network, and those that tell exporters of
// different validators apart: the best of two clusters is true of neither. Tables need
// it, to have no other columns.
func (s selectors) onceBy(expr string, labels ...string) string {
	return "max by (" + list(append(labels, s.apart()...)) + ") (" + expr + ")"
}

// on matches series by the labels named and by those that onceBy keeps.
func (s selectors) on(labels ...string) string {
	return " on (" + list(append(labels, s.apart()...)) + ")"
}

// apart are the labels that tell series of different validators or networks apart,
// beside those of validators and groups themselves.
func (s selectors) apart() []string {
	return append([]string{"network", "job"}, s.places()...)
}

// places are the labels that say where an exporter is, as far as it matters: replicas
// agree in them.
func (s selectors) places() []string {
	var out []string
	for _, l := range append(s.clusterLabel(), s.c.Select.TargetLabels...) {
		if !slices.Contains(out, l) && l != "network" && l != "job" {
			out = append(out, l)
		}
	}
	return out
}

// located is a table that says in its last columns where each row's exporter is. Grafana
// leaves out columns of labels that no series has.
func (s selectors) located(title, description string, columns ...column) *panel {
	for _, l := range s.places() {
		columns = append(columns, label(l, strings.ToUpper(l[:1])+l[1:]))
	}
	return newTable(title, description, columns...)
}

// replica is the label that tells replicas apart.
func (s selectors) replica() string { return s.c.Select.ReplicaLabels[0] }

func (s selectors) chosen() []string { return append(s.cluster(), `job=~"$job"`) }

func (s selectors) cluster() []string {
	if l := s.c.Select.ClusterLabel; l != "" {
		return []string{l + `=~"$` + l + `"`}
	}
	return nil
}

// legend names a series, and its cluster where there are several.
func (s selectors) legend(name string) string {
	if l := s.c.Select.ClusterLabel; l != "" {
		return name + " {{" + l + "}}"
	}
	return name
}

// settled is a range over which counters of settled epochs, which move once an epoch,
// say something.
func (s selectors) settled() string { return mixin.Duration(s.c.Recording.Short) }

// sum is what an hourly increase that is recorded adds up to over d. A fresh
// installation has not recorded a whole hour yet: then it is the last one's so far.
func sum(increase string, d time.Duration) string {
	return fmt.Sprintf("(sum_over_time(%s[%s:1h]) or %s)", increase, mixin.Duration(d), increase)
}

// increase is what a counter of settled epochs rose by over d, of one of the replicas.
// The range must hold a few epochs.
func (s selectors) increase(counter string, d time.Duration) string {
	return s.once("increase(" + counter + "[" + mixin.Duration(d) + "])")
}

func selector(metric string, matchers ...string) string {
	return metric + "{" + strings.Join(matchers, ",") + "}"
}

// eth turns gwei into ETH.
func eth(expr string) string { return "(" + expr + ") / 1e9" }

// ratio divides, and is absent rather than NaN where there is nothing to divide by.
func ratio(numerator, denominator string) string {
	return fmt.Sprintf("%s / (%s > 0)", numerator, denominator)
}

// equals and matches write label matchers.
func equals(label, value string) string  { return fmt.Sprintf("%s=%q", label, value) }
func matches(label, regex string) string { return fmt.Sprintf("%s=~%q", label, regex) }

// span is a range in words: 1 h, 7 d.
func span(d time.Duration) string {
	if d%rules.Day == 0 {
		return fmt.Sprintf("%d d", d/rules.Day)
	}
	return fmt.Sprintf("%d h", d/rules.Hour)
}
