package alerts

import (
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/prometheus/promql/parser"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// onValidators are the sections on validators and the chain.
func onValidators(c mixin.Config) []Section {
	return []Section{validatorHealth(c), proposals(c), objective(c), chain(c)}
}

// TestWhoIsBlamed also holds the names that people route and silence by: one that is
// renamed or missing is a change for them.
func TestWhoIsBlamed(t *testing.T) {
	want := map[string]bool{
		"ValidatorEffectivenessLow": true, "ValidatorEffectivenessCritical": true, "ValidatorEffectivenessBelowNetwork": true,
		"ValidatorParticipationLow": true, "ValidatorDown": true, "ValidatorGroupDown": true, "ValidatorBalanceDecreasing": true,
		"ValidatorSlashed": true, "ValidatorExiting": false, "ValidatorUnknown": false, "ValidatorWithdrawalCredentialsChanged": false,
		"ValidatorProposalMissed": true, "ValidatorProposalOrphaned": false, "ValidatorProposalUpcoming": false,
		"ValidatorSyncCommitteeParticipationLow": true, "ValidatorSyncCommitteeMissing": true, "ValidatorSyncCommitteeUpcoming": false,
		"ValidatorEffectivenessBudgetBurnFast": true, "ValidatorEffectivenessBudgetBurnSlow": true,
		"ChainFinalityDelayed": false, "ChainHeadStalled": false, "ChainParticipationLow": false, "ChainReorgDeep": false, "ChainSlashing": false,
		"BeaconAPIErrorRateHigh": false, "BeaconAPILatencyCritical": false, "BeaconAPILatencyHigh": false, "BeaconAPIRetriesExhausted": false,
		"BeaconExecutionOffline": false, "BeaconHeadStalled": false, "BeaconNodeDown": false, "BeaconNodeOptimistic": false,
		"BeaconNodeSyncing": false, "BeaconNodesAllDown": false, "BeaconNodesDisagree": false, "BeaconPeersLow": false,
		"ValidatorCollectionFailing": false, "ValidatorConfigReloadFailed": false, "ValidatorExporterDown": false, "ValidatorSnapshotStale": false,
		"ValidatorSnapshotStaleCritical": false, "ValidatorWindowIncomplete": false,
		"RollupConflict": false, "RollupDown": false, "RollupLagging": false, "RollupPartitionMissing": false,
		"RollupPoolExhausted": false, "RollupPoolLeak": false, "RollupWriteFailures": false, "RollupWritesSlow": false,
		"CPUHigh": false, "CacheHitRateLow": false, "CacheOperationFailures": false, "FileDescriptorsHigh": false, "RestartLoop": false,
		"GoroutineLeak": false, "MemoryCritical": false, "MemoryHigh": false,
	}
	for _, c := range mixin.Presets() {
		got := map[string]bool{}
		for _, s := range Sections(c) {
			for _, a := range s.Alerts {
				got[a.Name] = a.Blames
				if blames, ok := want[a.Name]; !ok || blames != a.Blames {
					t.Errorf("%s: %s blames: %v, want %v", c.Preset, a.Name, a.Blames, blames)
				}
			}
		}
		for name := range want {
			if _, ok := got[name]; !ok {
				t.Errorf("%s: there is no %s", c.Preset, name)
			}
		}
	}
}

func TestTwinsDifferInNothingButTheThreshold(t *testing.T) {
	for _, c := range mixin.Presets() {
		h := health{queries{c}}
		low, critical := h.effectivenessLow(), h.effectivenessCritical()
		l, _, _ := strings.Cut(low.Expr, " < ")
		k, _, _ := strings.Cut(critical.Expr, " < ")
		if l != k || low.For != critical.For {
			t.Errorf("%s: %q for %s, and %q for %s", c.Preset, low.Expr, low.For, critical.Expr, critical.For)
		}
	}
}

// TestReplicasMakeOneAlert looks for series of the exporter whose replica labels reach
// the alert.
func TestReplicasMakeOneAlert(t *testing.T) {
	for _, c := range mixin.Presets() {
		for _, s := range onValidators(c) {
			for _, a := range s.Alerts {
				for _, metric := range perReplica(t, a.Expr, c.Select.ReplicaLabels) {
					t.Errorf("%s: %s: %s is not taken together over replicas", c.Preset, a.Name, metric)
				}
			}
		}
	}
	if got := perReplica(t, `ethereum_a > max without (instance, pod) (ethereum_b) and max without (instance) (ethereum_c)`,
		[]string{"instance", "pod"}); !slices.Equal(got, []string{"ethereum_a", "ethereum_c"}) {
		t.Errorf("the check found %q", got)
	}
}

// perReplica returns the raw metrics of a query that no aggregation takes together.
func perReplica(t *testing.T, query string, replica []string) []string {
	t.Helper()
	e, err := expr.Parse(query)
	if err != nil {
		t.Fatal(err)
	}
	together := func(n parser.Node) bool {
		a, ok := n.(*parser.AggregateExpr)
		return ok && !slices.ContainsFunc(replica, func(l string) bool { return slices.Contains(a.Grouping, l) != a.Without })
	}
	var out []string
	parser.Inspect(e, func(n parser.Node, path []parser.Node) error {
		if v, ok := n.(*parser.VectorSelector); ok && !strings.Contains(v.Name, ":") && !slices.ContainsFunc(path, together) {
			out = append(out, v.Name)
		}
		return nil
	})
	return out
}

func TestNoGroupIsCountedTwice(t *testing.T) {
	for _, c := range mixin.Presets() {
		for _, s := range onValidators(c) {
			for _, a := range s.Alerts {
				if err := expr.CountsOnce(a.Expr); err != nil {
					t.Errorf("%s: %s: %v", c.Preset, a.Name, err)
				}
			}
		}
	}
}

// TestRunbooksQueryWhatExists reads the code in runbooks: what is not a command must be
// PromQL, of metrics that the exporter has or that are recorded.
func TestRunbooksQueryWhatExists(t *testing.T) {
	command := regexp.MustCompile(`^(curl|journalctl|timedatectl) `)
	for _, c := range mixin.Presets() {
		known, err := rules.Recorded(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, f := range catalog.All() {
			known[f.Name] = f.Labels
		}
		queries := 0
		for _, s := range onValidators(c) {
			for _, a := range s.Alerts {
				for line := range strings.Lines(a.Runbook.Meaning + a.Runbook.Impact + a.Runbook.Diagnosis + "\n" + a.Runbook.Mitigation) {
					code, ok := strings.CutPrefix(strings.TrimSuffix(line, "\n"), "\t")
					if !ok || command.MatchString(code) {
						continue
					}
					queries++
					uses, err := expr.Uses(code)
					if err != nil {
						t.Errorf("%s: %v", a.Name, err)
					}
					for _, u := range uses {
						if _, ok := known[u.Metric]; !ok {
							t.Errorf("%s: the runbook asks for %s, which does not exist", a.Name, u.Metric)
						}
					}
					if err := expr.CountsOnce(code); err != nil {
						t.Errorf("%s: %v", a.Name, err)
					}
				}
			}
		}
		if queries < 50 {
			t.Errorf("found only %d queries in runbooks", queries)
		}
	}
}

func TestExamplesMatchTheirPattern(t *testing.T) {
	for _, pattern := range []string{"all", ".+", "client|node", "(?:evm-)?exporter-[0-9]{2}", "[a-z]+x*", "^a.c$", "(dc|rack)_.+"} {
		if got := example(pattern); got == "" || !regexp.MustCompile("^(?:"+pattern+")$").MatchString(got) {
			t.Errorf("%s: %q does not match", pattern, got)
		}
	}
}
