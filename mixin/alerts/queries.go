package alerts

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// queries writes the parts that alerts on validators and on the chain are made of.
type queries struct{ c mixin.Config }

// series selects what the exporter shows under a name.
func (q queries) series(name string, matchers ...string) string {
	return name + "{" + strings.Join(append([]string{q.c.Select.Exporter}, matchers...), ",") + "}"
}

// of selects what the exporter shows of each validator, of each group that alerts look
// at, or of the network.
func (q queries) of(l mixin.Level, name string, matchers ...string) string {
	if l == mixin.Group {
		matchers = append(matchers, q.groups())
	}
	return q.series("ethereum_"+string(l)+"_"+name, matchers...)
}

// groups matches the groups that alerts look at.
func (q queries) groups() string { return fmt.Sprintf("group_by=~%q", q.c.Select.GroupBy) }

// ratio selects the recorded ratio at the level that alerts look at.
func (q queries) ratio(m rules.Metric, window time.Duration) string {
	return q.chosen(rules.Ratio(q.c.Level, m, window))
}

// chosen narrows a recorded series of the level down to the groups that alerts look at.
func (q queries) chosen(recorded string) string {
	if q.c.Level == mixin.Group {
		return recorded + "{" + q.groups() + "}"
	}
	return recorded
}

// enough holds when a share of what was due over a range, lost by own fault, is worth more
// than a few attestations. It is of the level's series, and of the groups that alerts
// look at.
func (q queries) enough(l mixin.Level, share string, over time.Duration) string {
	due := rules.Increase(l, "attestations_expected")
	if l == mixin.Group {
		due += "{" + q.groups() + "}"
	}
	if over > rules.Hour {
		// Until the first whole hour is over, the last one is all there is.
		due = fmt.Sprintf("(sum_over_time(%s[%s:1h]) or %s)", due, mixin.Duration(over), due)
	}
	return fmt.Sprintf("%s * %s > %v", share, due, q.c.Alerts.Validators.LostMinimum)
}

// once takes replicas together: it is the highest of what they say. Labels in more are
// dropped as well.
func (q queries) once(query string, more ...string) string {
	return fmt.Sprintf("max without (%s) (%s)", list(slices.Concat(q.c.Select.ReplicaLabels, more)), query)
}

// latest takes replicas together by believing those with the newest head: one whose
// beacon node hangs goes on showing what was. more are the labels that the query's series
// have and the head's has not.
func (q queries) latest(query string, more ...string) string {
	head := q.series("ethereum_chain_head_slot")
	return q.once(fmt.Sprintf("%s and%s (%s == ignoring (%s) group_left () %s)",
		query, ignoring(more), head, list(q.c.Select.ReplicaLabels), q.once(head)))
}

// rise is what a counter rose by, the same for all replicas: each is looked at by
// itself, and one that has just started saw less.
func (q queries) rise(counter string, over time.Duration) string {
	return q.once(fmt.Sprintf("increase(%s[%s])", counter, mixin.Duration(over)))
}

// unlessIndividual leaves a group's rows out where validators have series of their own.
// Above the exporter's --validators.individual-limit there are none.
func (q queries) unlessIndividual(query string) string {
	return fmt.Sprintf("(%s) unless%s %s",
		query, ignoring(own(mixin.Group)), q.once(q.series("ethereum_validator_status"), "validator_index", "status"))
}

// overdueEpochs is how many duties of each active validator are counted by the exporter's
// overdue attestations when none is included: those of epochs that have not settled and
// of slots at least 3 slots before the head. It is from 1 to 2, and differs from slot to slot.
func (q queries) overdueEpochs() string {
	return fmt.Sprintf("((%s - %d * %s - %d) / %d)",
		q.once(q.series("ethereum_chain_head_slot")), q.c.Chain.SlotsPerEpoch, q.once(q.series("ethereum_chain_settled_epoch")),
		q.c.Chain.SlotsPerEpoch+2, q.c.Chain.SlotsPerEpoch)
}

// wait is the shortest time that an alert may wait.
func (q queries) wait() time.Duration { return 2 * q.c.Chain.ScrapeInterval }

// own are the labels of a level's series beside those of the network's.
func own(l mixin.Level) []string {
	return map[mixin.Level][]string{
		mixin.Validator: {"validator_index"},
		mixin.Group:     {"group_by", "group"},
	}[l]
}

// perNetwork joins a level's series with one of the network's.
func perNetwork(l mixin.Level) string { return ignoring(own(l)) + " group_left ()" }

func ignoring(labels []string) string {
	if len(labels) == 0 {
		return ""
	}
	return fmt.Sprintf(" ignoring (%s)", list(labels))
}

func list(labels []string) string { return strings.Join(labels, ", ") }

// everything matches the one group of all watched validators.
const everything = `group_by="all"`

// subject begins a description: it names what the alert is about.
func subject(l mixin.Level) string {
	if l == mixin.Group {
		return "Group {{ $labels.group_by }}={{ $labels.group }} on {{ $labels.network }}"
	}
	return "Validator {{ $labels.validator_index }} on {{ $labels.network }}"
}

// subjects is subject for alerts that are about validators, or about the group of all
// where validators have no series.
func subjects() string {
	return "{{ if $labels.validator_index }}" + subject(mixin.Validator) + "{{ else }}" + subject(mixin.Group) + "{{ end }}"
}

// percent writes a share as humanizePercentage does in templates.
func percent(x float64) string { return fmt.Sprintf("%.4g%%", 100*x) }
