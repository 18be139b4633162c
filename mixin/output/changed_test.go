package output

import (
	"fmt"
	"reflect"
	"slices"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// changed has every knob set to what neither preset has. Each of them is valid on top
// of the operator preset by itself, too.
func changed() mixin.Config {
	return mixin.Config{
		Preset: "changed",
		Level:  mixin.Validator,
		Select: mixin.Select{
			Exporter: `job="chain-watch",env="prod"`, Rollup: `job="history-sink",env="prod"`,
			ReplicaLabels: []string{"replica", "host"}, ClusterLabel: "region", TargetLabels: []string{"chain", "rack"}, GroupBy: "all|operator|client",
		},
		Chain:     mixin.Chain{SlotDuration: 7 * time.Second, SlotsPerEpoch: 24, WindowEpochs: 11, ScrapeInterval: 20 * time.Second},
		Recording: mixin.Recording{Interval: 2 * time.Minute, Short: 1170 * time.Second},
		Objective: mixin.Objective{
			Effectiveness: 0.973, Period: 21 * 24 * time.Hour,
			Fast: []mixin.Burn{
				{Long: 2 * time.Hour, Short: 25 * time.Minute, Factor: 11.3}, {Long: 5 * time.Hour, Short: 40 * time.Minute, Factor: 5.7},
			},
			Slow: []mixin.Burn{{Long: 26 * time.Hour, Short: 3 * time.Hour, Factor: 2.6}, {Long: 70 * time.Hour, Short: 7 * time.Hour, Factor: 0.9}},
		},
		Alerts: mixin.Alerts{
			RunbookURL: "https://runbooks.example.org/staking/", GrafanaURL: "https://grafana.example.org/",
			Labels:     map[string]string{"team": "staking"},
			Severities: map[string]mixin.Severity{"ValidatorSlashed": mixin.Warning, "BeaconPeersLow": mixin.Info},
			Validators: mixin.ValidatorThresholds{
				EffectivenessLow: 0.963, EffectivenessCritical: 0.713, BelowNetwork: 0.037, ParticipationLow: 0.923, LostMinimum: 4.5, MissedStreak: 4,
				GroupDownShare: 0.27, GroupDownMinimum: 5, BalanceRange: 7 * time.Hour, For: 13 * time.Minute, NetworkTrouble: 0.23,
			},
			Proposals: mixin.ProposalThresholds{Upcoming: 17 * time.Minute, SyncParticipationLow: 0.87, SyncMissing: 0.63},
			Beacon: mixin.BeaconThresholds{
				Range: 14 * time.Minute, MinimumRequests: 23, LatencyHigh: 1500 * time.Millisecond, LatencyCritical: 4500 * time.Millisecond,
				ErrorRate: 0.07, Peers: 19, HeadStalled: 3 * time.Minute, HeadsApart: 4, For: 8 * time.Minute,
			},
			Freshness: mixin.FreshnessThresholds{
				SnapshotStale: 330 * time.Second, SnapshotCritical: 750 * time.Second, Vanished: 9 * time.Hour, ExporterDown: 6 * time.Minute,
				Failing: 16 * time.Minute, WindowIncomplete: 4 * time.Hour,
			},
			Network: mixin.NetworkThresholds{FinalityEpochs: 6, ParticipationLow: 0.77, HeadAge: 9 * time.Minute, ReorgDepth: 5},
			Rollup: mixin.RollupThresholds{
				PoolExhausted: 0.83, PoolLeak: 33 * time.Minute, WritesSlow: 1250 * time.Millisecond, Lagging: 150 * time.Minute,
				PartitionHorizon: 9 * 24 * time.Hour, Range: 11 * time.Minute,
			},
			System: mixin.SystemThresholds{
				MemoryHigh: 1_700_000_000, MemoryCritical: 3_300_000_000, CPU: 0.73, Goroutines: 1234, FileDescriptors: 0.76, Restarts: 4, RestartRange: 50 * time.Minute, For: 12 * time.Minute,
			},
			Cache: mixin.CacheThresholds{HitRate: 0.66, MinimumLookups: 130, Range: 2 * time.Hour},
		},
		Dashboards: mixin.Dashboards{
			TitlePrefix: "Staking", UIDPrefix: "stk", Folder: "Staking team", Tags: []string{"eth-staking"},
			Refresh: 45 * time.Second, Range: 3 * time.Hour,
			LongTermRefresh: 20 * time.Minute, LongTermRange: 60 * 24 * time.Hour, Timezone: "Europe/Paris", Datasource: "Metrics", RollupDatasource: "History",
			EffectivenessWarn: 0.913, EffectivenessGood: 0.968,
		},
		Kubernetes: mixin.Kubernetes{
			Namespace: "observability", RuleLabels: map[string]string{"prometheus": "main"},
			DashboardLabel: "load_dashboard", FolderAnnotation: "dashboard_folder",
		},
	}
}

// knob is one field of Config that holds a value, and not more knobs.
type knob struct {
	name  string // as in YAML: alerts.beacon.peers, objective.fast[0].long
	index []int  // of fields, and of elements of slices of structs
}

// of is the knob's value in c, which can be set.
func (k knob) of(c *mixin.Config) reflect.Value {
	v := reflect.ValueOf(c).Elem()
	for _, i := range k.index {
		if v.Kind() == reflect.Slice {
			v = v.Index(i)
		} else {
			v = v.Field(i)
		}
	}
	return v
}

// knobs lists the knobs of c, burn rates one by one.
func knobs(c mixin.Config) []knob {
	var all []knob
	var walk func(v reflect.Value, k knob)
	walk = func(v reflect.Value, k knob) {
		switch {
		case v.Kind() == reflect.Struct:
			for i := range v.NumField() {
				name := v.Type().Field(i).Tag.Get("yaml")
				if k.name != "" {
					name = k.name + "." + name
				}
				walk(v.Field(i), knob{name, append(slices.Clone(k.index), i)})
			}
		case v.Kind() == reflect.Slice && v.Type().Elem().Kind() == reflect.Struct:
			for i := range v.Len() {
				walk(v.Index(i), knob{fmt.Sprintf("%s[%d]", k.name, i), append(slices.Clone(k.index), i)})
			}
		default:
			all = append(all, k)
		}
	}
	walk(reflect.ValueOf(c), knob{})
	return all
}

// The tests on knobs prove nothing about one that has not changed.
func TestChangedConfigDiffersInEveryKnob(t *testing.T) {
	c := changed()
	if err := c.Validate(); err != nil {
		t.Fatal(err)
	}
	if n := len(knobs(c)); n < 90 {
		t.Errorf("only %d knobs found", n)
	}
	for _, k := range knobs(c) {
		for _, preset := range mixin.Presets() {
			// Of two levels one is always the preset's; the tests take each preset.
			if k.name == "level" {
				continue
			}
			if reflect.DeepEqual(k.of(&c).Interface(), k.of(&preset).Interface()) {
				t.Errorf("%s is %v as in %s", k.name, k.of(&c), preset.Preset)
			}
		}
	}
}

func TestForgottenKnobIsFound(t *testing.T) {
	c := changed()
	c.Alerts.Cache.Range = mixin.Solo().Alerts.Cache.Range
	for _, k := range knobs(c) {
		solo := mixin.Solo()
		if same := reflect.DeepEqual(k.of(&c).Interface(), k.of(&solo).Interface()); same != (k.name == "alerts.cache.range" || k.name == "level") {
			t.Errorf("%s: same as solo's: %v", k.name, same)
		}
	}
}
