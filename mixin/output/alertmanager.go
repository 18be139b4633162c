package output

import (
	"fmt"
	"slices"
	"strings"

	"github.com/prometheus/prometheus/model/rulefmt"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
)

type (
	alertmanagerConfig struct {
		Route        route                    `yaml:"route"`
		InhibitRules []commented[inhibitRule] `yaml:"inhibit_rules"`
		Receivers    []receiver               `yaml:"receivers"`
	}
	route struct {
		Receiver       string             `yaml:"receiver"`
		Matchers       []string           `yaml:"matchers,omitempty"`
		GroupBy        []string           `yaml:"group_by,omitempty"`
		GroupWait      string             `yaml:"group_wait,omitempty"`
		GroupInterval  string             `yaml:"group_interval,omitempty"`
		RepeatInterval string             `yaml:"repeat_interval,omitempty"`
		Routes         []commented[route] `yaml:"routes,omitempty"`
	}
	inhibitRule struct {
		SourceMatchers []string `yaml:"source_matchers"`
		TargetMatchers []string `yaml:"target_matchers"`
		Equal          []string `yaml:"equal"`
	}
	receiver struct {
		Name           string    `yaml:"name"`
		WebhookConfigs []webhook `yaml:"webhook_configs"`
	}
	webhook struct {
		URLFile      string `yaml:"url_file"`
		SendResolved bool   `yaml:"send_resolved"`
	}
)

// alertmanager returns an example of Alertmanager's configuration: who is told of
// which severity, and which alerts need not be told because another says it already.
func alertmanager(c mixin.Config, groups []rulefmt.RuleGroup) ([]byte, error) {
	inhibitions, err := inhibitRules(c, severities(groups))
	if err != nil {
		return nil, err
	}
	groupBy := slices.Concat([]string{"alertname", "network"}, targetLabels(c))
	to := func(severity mixin.Severity, r route, why string) commented[route] {
		r.Matchers = []string{fmt.Sprintf("severity=%q", severity)}
		return commented[route]{why, r}
	}
	by := func(name string, resolved bool) receiver {
		return receiver{name, []webhook{{"/etc/alertmanager/secrets/" + name + "-url", resolved}}}
	}
	return encode(header(c)+`
An example: take over what suits you. Each receiver reads its URL from a file, since a webhook's URL is a secret;
replace the webhooks by what you use. Check it with amtool check-config.`,
		alertmanagerConfig{
			Route: route{
				Receiver: "chat", GroupBy: groupBy, GroupWait: "30s", GroupInterval: "5m", RepeatInterval: "12h",
				Routes: []commented[route]{
					to(mixin.Critical, route{Receiver: "pager", GroupWait: "10s", RepeatInterval: "1h"}, "Wake someone."),
					to(mixin.Warning, route{Receiver: "chat"}, "For working hours."),
					to(mixin.Info, route{Receiver: "log", GroupWait: "1m", RepeatInterval: "1d"}, "Worth knowing. Nobody is disturbed, and nothing is silenced by it."),
				},
			},
			InhibitRules: inhibitions,
			Receivers:    []receiver{by("pager", true), by("chat", true), by("log", false)},
		})
}

// targetLabels are what alerts keep of the target that they are about, apart from its
// job. Alerts about targets that differ in one of them have nothing to do with each other.
func targetLabels(c mixin.Config) []string {
	var out []string
	for _, l := range append([]string{c.Select.ClusterLabel}, c.Select.TargetLabels...) {
		if l != "" && !slices.Contains(out, l) {
			out = append(out, l)
		}
	}
	return out
}

// severities of alerts by their names.
func severities(groups []rulefmt.RuleGroup) map[string]mixin.Severity {
	out := map[string]mixin.Severity{}
	for _, group := range groups {
		for _, rule := range group.Rules {
			out[rule.Alert] = mixin.Severity(rule.Labels["severity"])
		}
	}
	return out
}

// inhibition says that while one of sources fires, it goes without saying that targets
// do, too, where the labels in equal agree. Those of the target always must, its job among
// them: an exporter of another network, namespace or shard says nothing about this one's
// validators.
type inhibition struct {
	why              string
	sources, targets []string
	equal            []string
}

// inhibitions lists what follows from what. What is missing here is missing on purpose:
//
//   - Nothing follows from ChainParticipationLow or ChainFinalityDelayed. Alerts that
//     blame a validator look at the network themselves, and what fires none the less is
//     that validator's own trouble.
//   - Data that is old silences warnings about validators, but no page: who was told
//     that validators are down must not hear that they are well because nobody looks.
//   - ValidatorSlashed leaves the sync committee's votes alone: they still pay.
//   - Nothing follows from ValidatorWindowIncomplete: the epochs that are there are true.
func inhibitions(c mixin.Config) []inhibition {
	var (
		validator = []string{"network", "validator_index"}
		group     = []string{"network", "group_by", "group"}
		target    []string // no label of its own
		node      = []string{"endpoint"}
		process   = c.Select.ReplicaLabels
	)
	level, down := group, "ValidatorGroupDown"
	earnings := []string{
		"ValidatorEffectivenessCritical", "ValidatorEffectivenessLow", "ValidatorEffectivenessBelowNetwork", "ValidatorParticipationLow",
		"ValidatorBalanceDecreasing",
	}
	slashed := []string{"ValidatorExiting", "ValidatorDown"}
	if c.Level == mixin.Validator {
		level, down = validator, "ValidatorDown"
		slashed = append(slashed, earnings...)
	}
	old := []string{
		"ValidatorEffectivenessLow", "ValidatorEffectivenessBelowNetwork", "ValidatorParticipationLow", "ValidatorBalanceDecreasing",
		"ValidatorEffectivenessBudgetBurnSlow", "ValidatorSyncCommitteeParticipationLow",
		"ValidatorProposalUpcoming", "ValidatorSyncCommitteeUpcoming",
	}
	const twin = "The critical twin says it."
	return []inhibition{
		{twin, []string{"ValidatorEffectivenessCritical"}, []string{"ValidatorEffectivenessLow"}, level},
		{twin, []string{"ValidatorEffectivenessBudgetBurnFast"}, []string{"ValidatorEffectivenessBudgetBurnSlow"}, group},
		{twin, []string{"ValidatorSnapshotStaleCritical"}, []string{"ValidatorSnapshotStale"}, []string{"network"}},
		{twin, []string{"BeaconAPILatencyCritical"}, []string{"BeaconAPILatencyHigh"}, []string{"endpoint", "operation"}},
		{twin, []string{"MemoryCritical"}, []string{"MemoryHigh"}, process},
		{
			"Who is down earns nothing and loses balance.",
			[]string{down},
			earnings,
			level,
		},
		{
			"A group that is down uses up its budget.",
			[]string{"ValidatorGroupDown"},
			[]string{"ValidatorEffectivenessBudgetBurnFast", "ValidatorEffectivenessBudgetBurnSlow"},
			group,
		},
		{
			"Who is slashed has to exit, is penalised whatever it does, and is to be stopped.",
			[]string{"ValidatorSlashed"},
			slashed,
			validator,
		},
		{
			"What is said of validators is old.",
			[]string{"ValidatorExporterDown", "BeaconNodesAllDown"},
			old,
			target,
		},
		{
			"What is said of the network's validators is old.",
			[]string{"ValidatorSnapshotStaleCritical"},
			old,
			[]string{"network"},
		},
		{
			"Without a beacon node there is nothing to collect.",
			[]string{"BeaconNodesAllDown"},
			[]string{
				"ValidatorSnapshotStale", "ValidatorSnapshotStaleCritical", "ValidatorCollectionFailing",
				"BeaconAPIErrorRateHigh", "BeaconAPIRetriesExhausted",
			},
			target,
		},
		{
			"All that is asked of a node that is down fails.",
			[]string{"BeaconNodeDown"},
			[]string{"BeaconAPIErrorRateHigh"},
			node,
		},
		{
			"A node that syncs is behind, and follows blocks before it has checked them.",
			[]string{"BeaconNodeSyncing"},
			[]string{"BeaconHeadStalled", "BeaconNodeOptimistic"},
			node,
		},
		{
			"Without its execution client a node cannot check blocks.",
			[]string{"BeaconExecutionOffline"},
			[]string{"BeaconNodeOptimistic"},
			node,
		},
		{
			"Connections that never come back use up the pool.",
			[]string{"RollupPoolLeak"},
			[]string{"RollupPoolExhausted"},
			target,
		},
		{
			"What cannot be written is missing.",
			[]string{"RollupWriteFailures"},
			[]string{"RollupLagging"},
			target,
		},
	}
}

// inhibitRules are Alertmanager's rules for inhibitions. A source silences only what is
// at most as severe as itself, so that nobody who should be woken sleeps on, and an
// info alert, of which nobody is told, silences nothing.
func inhibitRules(c mixin.Config, severities map[string]mixin.Severity) ([]commented[inhibitRule], error) {
	rank := map[mixin.Severity]int{mixin.Info: 1, mixin.Warning: 2, mixin.Critical: 3}
	var rules []commented[inhibitRule]
	for _, i := range inhibitions(c) {
		for _, name := range slices.Concat(i.sources, i.targets) {
			if severities[name] == "" {
				return nil, fmt.Errorf("inhibition by %s: there is no alert %s", strings.Join(i.sources, ", "), name)
			}
		}
		for _, source := range i.sources {
			var targets []string
			for _, target := range i.targets {
				if rank[severities[target]] <= rank[severities[source]] {
					targets = append(targets, target)
				}
			}
			if severities[source] == mixin.Info || len(targets) == 0 {
				continue
			}
			rule := inhibitRule{
				SourceMatchers: []string{fmt.Sprintf("alertname=%q", source), fmt.Sprintf("severity=%q", severities[source])},
				TargetMatchers: []string{fmt.Sprintf("alertname=~%q", strings.Join(targets, "|"))},
				Equal:          slices.Concat(targetLabels(c), []string{"job"}, i.equal),
			}
			if slices.Contains(i.equal, "validator_index") {
				// Above the exporter's individual limit alerts on single validators are about the
				// group of all. Such a source has no index, as alerts on groups have none.
				rule.SourceMatchers = append(rule.SourceMatchers, `validator_index!=""`)
			}
			rules = append(rules, commented[inhibitRule]{i.why, rule})
			if source == "ValidatorExporterDown" {
				// Without any target it has no labels of one, and what it says holds for every
				// target that there was. It is known by a label of its own and not by the lack of
				// others: a target that has none of them must not silence those that have.
				rule.SourceMatchers = append(slices.Clone(rule.SourceMatchers), fmt.Sprintf("%s=%q", alerts.NoExporter, alerts.NoExporterIs))
				rule.Equal = slices.Concat([]string{"job"}, i.equal)
				if cluster := c.Select.ClusterLabel; cluster != "" && cluster != "job" {
					rule.Equal = slices.Insert(rule.Equal, 0, cluster)
				}
				rules = append(rules, commented[inhibitRule]{"The same of every target of the job, when there is none any more.", rule})
			}
		}
	}
	return rules, nil
}
