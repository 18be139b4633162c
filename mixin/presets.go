package mixin

import "time"

// Presets returns the sets of knobs that are rendered and committed.
func Presets() []Config { return []Config{Solo(), Operator()} }

// Solo is for one to a few keys at home: thresholds in time, for each validator. An hour
// has nine attestations of a validator, so one that was missed costs more than a tenth of
// the hour: thresholds are such that nobody hears of it before the second.
func Solo() Config {
	c := base()
	c.Preset = "solo"
	c.Level = Validator
	c.Select.GroupBy = "all"
	return c
}

// Operator is for many keys: shares of a group, weighted by stake. One dead key among
// thousands is work for the day; a group that is down wakes someone. Groups may be small:
// a group of one loses a tenth of an hour with one attestation, which is no outage.
func Operator() Config {
	c := base()
	c.Preset = "operator"
	c.Level = Group
	c.Select.GroupBy = ".+"
	c.Select.ClusterLabel = "cluster"
	c.Objective.Effectiveness = 0.99
	c.Alerts.Severities = map[string]Severity{
		"ValidatorDown": Warning, "ValidatorProposalMissed": Warning, "ValidatorSyncCommitteeMissing": Warning,
	}
	v := &c.Alerts.Validators
	v.EffectivenessLow, v.EffectivenessCritical = 0.98, 0.95
	v.BelowNetwork = 0.01
	v.ParticipationLow = 0.99
	v.LostMinimum = 2.5
	v.GroupDownShare = 0.1
	v.GroupDownMinimum = 3
	c.Alerts.Proposals.SyncParticipationLow = 0.95
	c.Alerts.Beacon.Peers = 30
	return c
}

func base() Config {
	return Config{
		Select: Select{
			Exporter:      `job="validator-exporter"`,
			Rollup:        `job="validator-rollup"`,
			ReplicaLabels: []string{"instance", "pod"},
			TargetLabels:  []string{"namespace", "service", "shard"},
		},
		Chain: Chain{
			SlotDuration: 12 * time.Second, SlotsPerEpoch: 32, WindowEpochs: 15,
			ScrapeInterval: 30 * time.Second,
		},
		Recording: Recording{Interval: 3 * time.Minute, Short: 20 * time.Minute},
		Objective: Objective{
			Effectiveness: 0.98, Period: 30 * 24 * time.Hour,
			Fast: []Burn{{Long: time.Hour, Short: 20 * time.Minute, Factor: 14.4}, {Long: 6 * time.Hour, Short: 30 * time.Minute, Factor: 6}},
			Slow: []Burn{{Long: 24 * time.Hour, Short: 2 * time.Hour, Factor: 3}, {Long: 72 * time.Hour, Short: 6 * time.Hour, Factor: 1}},
		},
		Alerts: Alerts{
			RunbookURL: "https://github.com/ethereum-validator-monitor/validator-monitor/blob/main/docs/runbooks/",
			Validators: ValidatorThresholds{
				EffectivenessLow: 0.85, EffectivenessCritical: 0.6, BelowNetwork: 0.02, ParticipationLow: 0.85,
				LostMinimum: 1.5, MissedStreak: 3, GroupDownShare: 0.4, GroupDownMinimum: 2,
				BalanceRange: 6 * time.Hour, For: 10 * time.Minute, NetworkTrouble: 0.2,
			},
			Proposals: ProposalThresholds{Upcoming: 10 * time.Minute, SyncParticipationLow: 0.9, SyncMissing: 0.5},
			Beacon: BeaconThresholds{
				Range: 15 * time.Minute, MinimumRequests: 20, LatencyHigh: 2 * time.Second, LatencyCritical: 5 * time.Second, ErrorRate: 0.05,
				Peers: 10, HeadStalled: 2 * time.Minute, HeadsApart: 3, For: 5 * time.Minute,
			},
			Freshness: FreshnessThresholds{
				SnapshotStale: 300 * time.Second, SnapshotCritical: 600 * time.Second, Vanished: 6 * time.Hour,
				ExporterDown: 5 * time.Minute, Failing: 15 * time.Minute, WindowIncomplete: 3 * time.Hour,
			},
			Network: NetworkThresholds{FinalityEpochs: 4, ParticipationLow: 0.8, HeadAge: 5 * time.Minute, ReorgDepth: 3},
			Rollup: RollupThresholds{
				PoolExhausted: 0.9, PoolLeak: 30 * time.Minute, WritesSlow: time.Second,
				Lagging: 2 * time.Hour, PartitionHorizon: 7 * 24 * time.Hour, Range: 10 * time.Minute,
			},
			System: SystemThresholds{
				MemoryHigh: 2_000_000_000, MemoryCritical: 4_000_000_000, CPU: 0.8, Goroutines: 1000,
				FileDescriptors: 0.8, Restarts: 3, RestartRange: time.Hour, For: 10 * time.Minute,
			},
			Cache: CacheThresholds{HitRate: 0.7, MinimumLookups: 100, Range: time.Hour},
		},
		Dashboards: Dashboards{
			TitlePrefix: "Validator Monitor", UIDPrefix: "validator-monitor", Folder: "Validator Monitor",
			Tags: []string{"ethereum", "validator-monitor"}, Refresh: 30 * time.Second, Range: 6 * time.Hour,
			LongTermRefresh: 15 * time.Minute, LongTermRange: 90 * 24 * time.Hour, Timezone: "utc",
			EffectivenessWarn: 0.95, EffectivenessGood: 0.98,
		},
		Kubernetes: Kubernetes{
			Namespace:      "monitoring",
			RuleLabels:     map[string]string{"release": "kube-prometheus-stack"},
			DashboardLabel: "grafana_dashboard", FolderAnnotation: "grafana_folder",
		},
	}
}
