package mixin

import (
	"errors"
	"fmt"
	"maps"
	"net/url"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/promql/parser"
)

// Config has every knob of the mixin. Start from Solo or Operator and change what
// differs; Validate says what does not hold. Durations are whole seconds, shares and
// ratios are from 0 to 1.
type Config struct {
	// Preset names the set of knobs, and the directory that it is rendered into.
	Preset string `yaml:"preset"`
	// Level is what the ratio alerts look at: each validator, or each group.
	Level Level `yaml:"level"`

	Select     Select     `yaml:"select"`
	Chain      Chain      `yaml:"chain"`
	Recording  Recording  `yaml:"recording"`
	Objective  Objective  `yaml:"objective"`
	Alerts     Alerts     `yaml:"alerts"`
	Dashboards Dashboards `yaml:"dashboards"`
	Kubernetes Kubernetes `yaml:"kubernetes"`
}

// Level is what a ratio is made for. Its value is the first part of a recording
// rule's name.
type Level string

// The levels of ratios.
const (
	Validator Level = "validator"
	Group     Level = "group"
	Network   Level = "network"
)

// Select says which series belong to this mixin.
type Select struct {
	// Exporter are the label matchers, without braces, that select validator-exporter.
	Exporter string `yaml:"exporter"`
	// Rollup are the label matchers that select validator-rollup.
	Rollup string `yaml:"rollup"`
	// ReplicaLabels differ between exporters that watch the same validators. Rules drop
	// them, so that two replicas give one result and one alert.
	ReplicaLabels []string `yaml:"replica_labels"`
	// ClusterLabel tells Prometheus servers or clusters apart once their series are in
	// one store; dashboards get a variable for it and notifications are grouped by it.
	// Empty when there is no such label.
	ClusterLabel string `yaml:"cluster_label"`
	// TargetLabels tell exporters apart that watch different validators, such as those of
	// two networks or shards: what Prometheus puts on a target, beside its job and the
	// replica labels. An alert silences only alerts that agree with it in all of them,
	// notifications are grouped by them, and an exporter that is gone is missed unless one
	// that agrees with it is there. One that a target has not is no hindrance.
	TargetLabels []string `yaml:"target_labels"`
	// GroupBy is the regular expression of the watch list's labels whose groups the
	// alerts look at. "all" is the one group of everything.
	GroupBy string `yaml:"group_by"`
}

// Chain is the time of the chain, and how often it is looked at.
type Chain struct {
	// SlotDuration is 12 s on mainnet, 5 s on Gnosis.
	SlotDuration time.Duration `yaml:"slot_duration"`
	// SlotsPerEpoch is 32 on mainnet, 16 on Gnosis.
	SlotsPerEpoch int `yaml:"slots_per_epoch"`
	// WindowEpochs is the exporter's --counters.window-epochs.
	WindowEpochs int `yaml:"window_epochs"`
	// ScrapeInterval of the exporter. No alert waits less than two of them.
	ScrapeInterval time.Duration `yaml:"scrape_interval"`
}

// Epoch is the duration of an epoch.
func (c Chain) Epoch() time.Duration { return c.Slots(c.SlotsPerEpoch) }

// Slots is the duration of n slots.
func (c Chain) Slots(n int) time.Duration { return time.Duration(n) * c.SlotDuration }

// Recording says how recording rules are evaluated.
type Recording struct {
	// Interval at which hourly and longer rules are evaluated: at most 4 minutes, since
	// Prometheus forgets a sample after 5, and a divisor of an hour.
	Interval time.Duration `yaml:"interval"`
	// Short is the shortest range over which settled counters are looked at. They move
	// once an epoch, so it must hold at least 3.
	Short time.Duration `yaml:"short"`
}

// Objective is the service level that the error budget belongs to.
type Objective struct {
	// Effectiveness that is promised over the period: of what the network let the
	// validators earn, the share that they did earn.
	Effectiveness float64 `yaml:"effectiveness"`
	// Period of the error budget.
	Period time.Duration `yaml:"period"`
	// Fast and Slow are the pairs of ranges of the two alerts on the budget.
	Fast []Burn `yaml:"fast"`
	Slow []Burn `yaml:"slow"`
}

// Burn is one pair of ranges of a multi-window, multi-burn-rate alert: it fires when
// the budget burns faster than Factor in both.
type Burn struct {
	Long   time.Duration `yaml:"long"`
	Short  time.Duration `yaml:"short"`
	Factor float64       `yaml:"factor"`
}

// Alerts are thresholds, durations and links of alerts.
type Alerts struct {
	// RunbookURL is followed by the alert's name and ".md".
	RunbookURL string `yaml:"runbook_url"`
	// GrafanaURL is followed by "/d/" and the UID of a dashboard; empty makes the link
	// relative to Grafana.
	GrafanaURL string `yaml:"grafana_url"`
	// Labels are put on every alert, for routing.
	Labels map[string]string `yaml:"labels"`
	// Severities that differ from the alert's usual one, by the alert's name.
	Severities map[string]Severity `yaml:"severities"`

	Validators ValidatorThresholds `yaml:"validators"`
	Proposals  ProposalThresholds  `yaml:"proposals"`
	Beacon     BeaconThresholds    `yaml:"beacon"`
	Freshness  FreshnessThresholds `yaml:"freshness"`
	Network    NetworkThresholds   `yaml:"network"`
	Rollup     RollupThresholds    `yaml:"rollup"`
	System     SystemThresholds    `yaml:"system"`
	Cache      CacheThresholds     `yaml:"cache"`
}

// Severity says what an alert asks of people.
type Severity string

// The severities. Nothing else is used.
const (
	Critical Severity = "critical" // wake someone
	Warning  Severity = "warning"  // working hours
	Info     Severity = "info"     // worth knowing, nothing to do at once
)

// ValidatorThresholds are of validator health.
type ValidatorThresholds struct {
	// EffectivenessLow and EffectivenessCritical: own-fault effectiveness over the last
	// hour below which ValidatorEffectivenessLow and …Critical fire.
	EffectivenessLow      float64 `yaml:"effectiveness_low"`
	EffectivenessCritical float64 `yaml:"effectiveness_critical"`
	// BelowNetwork: how far own-fault effectiveness over a day may be below the network's.
	BelowNetwork float64 `yaml:"below_network"`
	// ParticipationLow: share of attestations, over the last hour, not missed by own fault.
	ParticipationLow float64 `yaml:"participation_low"`
	// LostMinimum: attestations' worth of votes that must be lost by own fault before an
	// alert on effectiveness, participation or the error budget fires, over the range that
	// it looks at. In a small group, or soon after the installation, a single attestation
	// is a large share.
	LostMinimum float64 `yaml:"lost_minimum"`
	// MissedStreak: missed attestations in a row (settled epochs, 1 to 8) that make a
	// validator count as down.
	MissedStreak int `yaml:"missed_streak"`
	// GroupDownShare: share of a group's attestations, of the last epoch or two, that is
	// overdue, over and above the network's share, that makes the group count as down.
	GroupDownShare float64 `yaml:"group_down_share"`
	// GroupDownMinimum: overdue attestations without which no group counts as down.
	GroupDownMinimum int `yaml:"group_down_minimum"`
	// BalanceRange over which a balance must have fallen.
	BalanceRange time.Duration `yaml:"balance_range"`
	// For: how long ratio alerts wait before they fire.
	For time.Duration `yaml:"for"`
	// NetworkTrouble: share of the whole network's attestations that is overdue, or that
	// it missed lately, above which nobody is called down.
	NetworkTrouble float64 `yaml:"network_trouble"`
}

// ProposalThresholds are of proposals and the sync committee.
type ProposalThresholds struct {
	// Upcoming: how long before a proposal ValidatorProposalUpcoming fires.
	Upcoming time.Duration `yaml:"upcoming"`
	// SyncParticipationLow: share of expected sync committee votes over the last hour.
	SyncParticipationLow float64 `yaml:"sync_participation_low"`
	// SyncMissing: share of the sync committee votes expected of a validator or group
	// in the unsettled epochs that are not included, from which on its votes are missing.
	SyncMissing float64 `yaml:"sync_missing"`
}

// BeaconThresholds are of beacon nodes and their API.
type BeaconThresholds struct {
	// Range over which rates of requests are taken: at least an epoch and two scrapes, since
	// some requests come once an epoch.
	Range time.Duration `yaml:"range"`
	// MinimumRequests of an operation over Range without which nothing is said about its
	// latency, or of a node about its errors; at least 20, below which a single slow
	// request is the slowest twentieth.
	MinimumRequests int `yaml:"minimum_requests"`
	// LatencyHigh and LatencyCritical: 95th percentile of an operation's duration, below
	// 30 s, the last bucket of the exporter's histogram.
	LatencyHigh     time.Duration `yaml:"latency_high"`
	LatencyCritical time.Duration `yaml:"latency_critical"`
	// ErrorRate: share of failed requests.
	ErrorRate float64 `yaml:"error_rate"`
	// Peers below which a node is badly connected.
	Peers int `yaml:"peers"`
	// HeadStalled: how long the head of a node may stand still.
	HeadStalled time.Duration `yaml:"head_stalled"`
	// HeadsApart: slots by which nodes' heads may differ.
	HeadsApart int `yaml:"heads_apart"`
	// For: how long the state of a node must last.
	For time.Duration `yaml:"for"`
}

// FreshnessThresholds are of the exporter's data.
type FreshnessThresholds struct {
	// SnapshotStale and SnapshotCritical: age of the newest confirmed head.
	SnapshotStale    time.Duration `yaml:"snapshot_stale"`
	SnapshotCritical time.Duration `yaml:"snapshot_critical"`
	// Vanished: how long an exporter is missed of which Prometheus no longer has a target,
	// while it has others of the same job. One that was removed for good is missed as long.
	Vanished time.Duration `yaml:"vanished"`
	// ExporterDown: how long the exporter may be unreachable.
	ExporterDown time.Duration `yaml:"exporter_down"`
	// Failing: how long a collector may fail, or a bad watch list stay.
	Failing time.Duration `yaml:"failing"`
	// WindowIncomplete: how long the refill of the counters' window may take.
	WindowIncomplete time.Duration `yaml:"window_incomplete"`
}

// NetworkThresholds are of the chain itself.
type NetworkThresholds struct {
	// FinalityEpochs: epochs between the head's and the finalized one; 2 or 3 is usual.
	FinalityEpochs int `yaml:"finality_epochs"`
	// ParticipationLow: share of the network's attestations that were included.
	ParticipationLow float64 `yaml:"participation_low"`
	// HeadAge: age of the newest head that beacon nodes confirm.
	HeadAge time.Duration `yaml:"head_age"`
	// ReorgDepth in slots.
	ReorgDepth int `yaml:"reorg_depth"`
}

// RollupThresholds are of the rollup receiver and its database.
type RollupThresholds struct {
	// PoolExhausted: share of the connections in use.
	PoolExhausted float64 `yaml:"pool_exhausted"`
	// PoolLeak: how long no connection may come back.
	PoolLeak time.Duration `yaml:"pool_leak"`
	// WritesSlow: 95th percentile of a write's duration.
	WritesSlow time.Duration `yaml:"writes_slow"`
	// Lagging: how long after its end a window may be missing. Finality and remote-write
	// take about 5 epochs of it.
	Lagging time.Duration `yaml:"lagging"`
	// PartitionHorizon: how far ahead tables must be prepared.
	PartitionHorizon time.Duration `yaml:"partition_horizon"`
	// Range over which writes are looked at.
	Range time.Duration `yaml:"range"`
}

// SystemThresholds are of the processes of this project.
type SystemThresholds struct {
	// MemoryHigh and MemoryCritical: resident memory in bytes.
	MemoryHigh     uint64 `yaml:"memory_high_bytes"`
	MemoryCritical uint64 `yaml:"memory_critical_bytes"`
	// CPU: share of the processors that the process may use.
	CPU float64 `yaml:"cpu"`
	// Goroutines that run at once.
	Goroutines int `yaml:"goroutines"`
	// FileDescriptors: share of the limit.
	FileDescriptors float64 `yaml:"file_descriptors"`
	// Restarts of a process that RestartRange may see before it is told.
	Restarts     int           `yaml:"restarts"`
	RestartRange time.Duration `yaml:"restart_range"`
	// For: how long it must last.
	For time.Duration `yaml:"for"`
}

// CacheThresholds are of the exporter's caches.
type CacheThresholds struct {
	// HitRate below which a cache is too small.
	HitRate float64 `yaml:"hit_rate"`
	// MinimumLookups over Range, without which there is no rate.
	MinimumLookups int           `yaml:"minimum_lookups"`
	Range          time.Duration `yaml:"range"`
}

// Dashboards are the looks of dashboards.
type Dashboards struct {
	// TitlePrefix comes before each dashboard's title, with " / " between.
	TitlePrefix string `yaml:"title_prefix"`
	// UIDPrefix comes before each dashboard's UID, with "-" between: at most 20 characters
	// of a-z, 0-9 and "-".
	UIDPrefix string   `yaml:"uid_prefix"`
	Folder    string   `yaml:"folder"`
	Tags      []string `yaml:"tags"`
	// Refresh and Range of the time picker.
	Refresh time.Duration `yaml:"refresh"`
	Range   time.Duration `yaml:"range"`
	// LongTermRefresh and LongTermRange are those of the dashboard that reads the
	// database, whose rows are days; at least a minute and a day.
	LongTermRefresh time.Duration `yaml:"long_term_refresh"`
	LongTermRange   time.Duration `yaml:"long_term_range"`
	Timezone        string        `yaml:"timezone"`
	// Datasource and RollupDatasource are regular expressions of the names of the
	// Prometheus and Postgres data sources that can be chosen; empty means all.
	Datasource       string `yaml:"datasource"`
	RollupDatasource string `yaml:"rollup_datasource"`
	// EffectivenessWarn and EffectivenessGood are where gauges turn from red to yellow
	// and from yellow to green.
	EffectivenessWarn float64 `yaml:"effectiveness_warn"`
	EffectivenessGood float64 `yaml:"effectiveness_good"`
}

// Kubernetes is for the PrometheusRule and ConfigMap objects.
type Kubernetes struct {
	Namespace string `yaml:"namespace"`
	// RuleLabels are what the Prometheus operator selects rules by.
	RuleLabels map[string]string `yaml:"rule_labels"`
	// DashboardLabel is what Grafana's sidecar selects ConfigMaps by; its value is "1".
	DashboardLabel string `yaml:"dashboard_label"`
	// FolderAnnotation names the annotation that holds the dashboard's folder.
	FolderAnnotation string `yaml:"folder_annotation"`
}

var (
	labelName  = regexp.MustCompile(`^[a-zA-Z_][a-zA-Z0-9_]*$`)
	uidPrefix  = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,19}$`)
	presetName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]*$`)
)

// Validate returns everything that is wrong with the knobs, each with its name as in
// YAML, or nil.
func (c Config) Validate() error {
	v := &validation{}
	v.check(presetName.MatchString(c.Preset), "preset %q: must be a-z, 0-9 and -", c.Preset)
	v.check(c.Level == Validator || c.Level == Group, "level %q: must be %s or %s", c.Level, Validator, Group)
	c.Select.validate(v)
	c.Chain.validate(v)
	c.Recording.validate(v, c.Chain)
	c.Objective.validate(v, c.Chain, c.Recording)
	c.Alerts.validate(v, c)
	c.Dashboards.validate(v)
	v.check(c.Kubernetes.Namespace != "", "kubernetes.namespace: must not be empty")
	v.check(c.Kubernetes.DashboardLabel != "", "kubernetes.dashboard_label: must not be empty")
	return errors.Join(v.problems...)
}

type validation struct{ problems []error }

func (v *validation) check(ok bool, format string, args ...any) {
	if !ok {
		v.problems = append(v.problems, fmt.Errorf(format, args...))
	}
}

func (v *validation) matchers(name, text string) {
	if text == "" {
		v.check(false, "%s: must not be empty, or every job with such metrics is taken", name)
		return
	}
	_, err := parser.NewParser(parser.Options{}).ParseMetricSelector("{" + text + "}")
	v.check(err == nil, "%s %q: not a list of label matchers: %v", name, text, err)
}

func (v *validation) pattern(name, text string) {
	_, err := regexp.Compile(text)
	v.check(err == nil, "%s %q: not a regular expression: %v", name, text, err)
}

func (v *validation) duration(name string, d, least time.Duration) {
	v.check(d >= least && d%time.Second == 0, "%s %s: must be whole seconds and at least %s", name, d, least)
}

func (v *validation) share(name string, x float64) {
	v.check(x > 0 && x < 1, "%s %v: must be between 0 and 1", name, x)
}

func (v *validation) link(name, text string, empty bool) {
	if text == "" {
		v.check(empty, "%s: must not be empty", name)
		return
	}
	u, err := url.Parse(text)
	v.check(err == nil && (u.Scheme == "http" || u.Scheme == "https") && u.Host != "", "%s %q: must be an http or https URL", name, text)
}

func (s Select) validate(v *validation) {
	v.matchers("select.exporter", s.Exporter)
	v.matchers("select.rollup", s.Rollup)
	v.check(s.GroupBy != "", "select.group_by: must not be empty")
	v.pattern("select.group_by", s.GroupBy)
	v.check(len(s.ReplicaLabels) > 0, "select.replica_labels: must not be empty; instance is one on every Prometheus")
	for _, l := range s.ReplicaLabels {
		v.check(labelName.MatchString(l), "select.replica_labels %q: not a label name", l)
	}
	v.check(s.ClusterLabel == "" || labelName.MatchString(s.ClusterLabel), "select.cluster_label %q: not a label name", s.ClusterLabel)
	v.check(!slices.Contains(s.ReplicaLabels, s.ClusterLabel), "select.cluster_label %q: is also a replica label", s.ClusterLabel)
	for _, l := range s.TargetLabels {
		v.check(labelName.MatchString(l), "select.target_labels %q: not a label name", l)
		v.check(!slices.Contains(s.ReplicaLabels, l), "select.target_labels %q: is also a replica label", l)
	}
}

func (c Chain) validate(v *validation) {
	v.duration("chain.slot_duration", c.SlotDuration, time.Second)
	v.duration("chain.scrape_interval", c.ScrapeInterval, time.Second)
	v.check(c.SlotsPerEpoch > 0, "chain.slots_per_epoch %d: must be positive", c.SlotsPerEpoch)
	v.check(c.WindowEpochs >= 2, "chain.window_epochs %d: must be at least 2", c.WindowEpochs)
}

func (r Recording) validate(v *validation, chain Chain) {
	v.duration("recording.interval", r.Interval, chain.ScrapeInterval)
	v.check(r.Interval > 0 && r.Interval <= 4*time.Minute && time.Hour%r.Interval == 0,
		"recording.interval %s: must divide an hour and be at most 4m", r.Interval)
	v.duration("recording.short", r.Short, 3*chain.Epoch())
}

func (o Objective) validate(v *validation, chain Chain, r Recording) {
	v.share("objective.effectiveness", o.Effectiveness)
	v.duration("objective.period", o.Period, 24*time.Hour)
	for name, burns := range map[string][]Burn{"fast": o.Fast, "slow": o.Slow} {
		v.check(len(burns) > 0, "objective.%s: must not be empty", name)
		for i, b := range burns {
			name := fmt.Sprintf("objective.%s[%d]", name, i)
			v.duration(name+".short", b.Short, max(3*chain.Epoch(), r.Short))
			v.check(b.Long > b.Short && b.Long%time.Second == 0, "%s.long %s: must be longer than short", name, b.Long)
			v.check(b.Long < 24*time.Hour || b.Long%time.Hour == 0, "%s.long %s: from a day on it must be whole hours", name, b.Long)
			v.check(b.Factor > 0 && b.Factor*(1-o.Effectiveness) < 1,
				"%s.factor %v: can never be reached with an objective of %v", name, b.Factor, o.Effectiveness)
		}
	}
}

func (a Alerts) validate(v *validation, c Config) {
	v.link("alerts.runbook_url", a.RunbookURL, false)
	v.link("alerts.grafana_url", a.GrafanaURL, true)
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		v.check(labelName.MatchString(name) && name != "severity" && name != "alertname", "alerts.labels %q: not a label that can be set", name)
		v.check(!strings.Contains(a.Labels[name], "{{"), "alerts.labels %q: must be constant", name)
	}
	for _, name := range slices.Sorted(maps.Keys(a.Severities)) {
		s := a.Severities[name]
		v.check(s == Critical || s == Warning || s == Info, "alerts.severities %s: %q is not critical, warning or info", name, s)
	}
	wait := 2 * c.Chain.ScrapeInterval

	t := a.Validators
	v.share("alerts.validators.effectiveness_low", t.EffectivenessLow)
	v.share("alerts.validators.effectiveness_critical", t.EffectivenessCritical)
	v.check(t.EffectivenessCritical < t.EffectivenessLow, "alerts.validators.effectiveness_critical %v: must be below effectiveness_low", t.EffectivenessCritical)
	v.share("alerts.validators.below_network", t.BelowNetwork)
	v.share("alerts.validators.participation_low", t.ParticipationLow)
	v.check(t.LostMinimum >= 1, "alerts.validators.lost_minimum %v: must be at least 1", t.LostMinimum)
	v.check(t.MissedStreak >= 2 && t.MissedStreak <= 8, "alerts.validators.missed_streak %d: must be from 2 to 8, as far as the exporter counts", t.MissedStreak)
	v.share("alerts.validators.group_down_share", t.GroupDownShare)
	v.check(t.GroupDownMinimum >= 1, "alerts.validators.group_down_minimum %d: must be positive", t.GroupDownMinimum)
	v.duration("alerts.validators.balance_range", t.BalanceRange, 3*c.Chain.Epoch())
	v.duration("alerts.validators.for", t.For, wait)
	v.share("alerts.validators.network_trouble", t.NetworkTrouble)

	v.duration("alerts.proposals.upcoming", a.Proposals.Upcoming, wait)
	v.share("alerts.proposals.sync_participation_low", a.Proposals.SyncParticipationLow)
	v.share("alerts.proposals.sync_missing", a.Proposals.SyncMissing)

	b := a.Beacon
	v.duration("alerts.beacon.range", b.Range, max(4*c.Chain.ScrapeInterval, c.Chain.Epoch()+2*c.Chain.ScrapeInterval))
	v.check(b.LatencyHigh > 0 && b.LatencyHigh < b.LatencyCritical, "alerts.beacon.latency_high %s: must be positive and below latency_critical", b.LatencyHigh)
	v.check(b.MinimumRequests >= 20, "alerts.beacon.minimum_requests %d: must be at least 20", b.MinimumRequests)
	v.check(b.LatencyCritical < 30*time.Second, "alerts.beacon.latency_critical %s: must be below 30s, the exporter's last bucket", b.LatencyCritical)
	v.share("alerts.beacon.error_rate", b.ErrorRate)
	v.check(b.Peers >= 1, "alerts.beacon.peers %d: must be positive", b.Peers)
	v.duration("alerts.beacon.head_stalled", b.HeadStalled, max(wait, 2*c.Chain.SlotDuration))
	v.check(b.HeadsApart >= 1, "alerts.beacon.heads_apart %d: must be positive", b.HeadsApart)
	v.duration("alerts.beacon.for", b.For, wait)

	f := a.Freshness
	v.duration("alerts.freshness.snapshot_stale", f.SnapshotStale, wait)
	v.check(f.SnapshotCritical > f.SnapshotStale, "alerts.freshness.snapshot_critical %s: must be longer than snapshot_stale", f.SnapshotCritical)
	v.duration("alerts.freshness.snapshot_critical", f.SnapshotCritical, wait)
	v.duration("alerts.freshness.vanished", f.Vanished, wait)
	v.check(f.Vanished >= 2*f.SnapshotCritical, "alerts.freshness.vanished %s: must be at least twice snapshot_critical, or nobody is told", f.Vanished)
	v.duration("alerts.freshness.exporter_down", f.ExporterDown, wait)
	v.duration("alerts.freshness.failing", f.Failing, wait)
	v.duration("alerts.freshness.window_incomplete", f.WindowIncomplete, wait)

	n := a.Network
	v.check(n.FinalityEpochs >= 4, "alerts.network.finality_epochs %d: must be at least 4, since 3 is usual", n.FinalityEpochs)
	v.share("alerts.network.participation_low", n.ParticipationLow)
	v.duration("alerts.network.head_age", n.HeadAge, max(wait, 4*c.Chain.SlotDuration))
	v.check(n.ReorgDepth >= 1, "alerts.network.reorg_depth %d: must be positive", n.ReorgDepth)

	r := a.Rollup
	v.share("alerts.rollup.pool_exhausted", r.PoolExhausted)
	v.duration("alerts.rollup.pool_leak", r.PoolLeak, wait)
	v.check(r.WritesSlow > 0, "alerts.rollup.writes_slow %s: must be positive", r.WritesSlow)
	v.duration("alerts.rollup.lagging", r.Lagging, 6*c.Chain.Epoch())
	v.duration("alerts.rollup.partition_horizon", r.PartitionHorizon, time.Hour)
	v.duration("alerts.rollup.range", r.Range, 4*c.Chain.ScrapeInterval)

	s := a.System
	v.check(s.MemoryHigh > 0 && s.MemoryHigh < s.MemoryCritical, "alerts.system.memory_high_bytes %d: must be positive and below memory_critical_bytes", s.MemoryHigh)
	v.share("alerts.system.cpu", s.CPU)
	v.check(s.Goroutines >= 1, "alerts.system.goroutines %d: must be positive", s.Goroutines)
	v.share("alerts.system.file_descriptors", s.FileDescriptors)
	v.check(s.Restarts >= 1, "alerts.system.restarts %d: must be positive", s.Restarts)
	v.duration("alerts.system.restart_range", s.RestartRange, time.Duration(2*(s.Restarts+2))*c.Chain.ScrapeInterval)
	v.duration("alerts.system.for", s.For, wait)

	v.share("alerts.cache.hit_rate", a.Cache.HitRate)
	v.check(a.Cache.MinimumLookups >= 1, "alerts.cache.minimum_lookups %d: must be positive", a.Cache.MinimumLookups)
	v.duration("alerts.cache.range", a.Cache.Range, 4*c.Chain.ScrapeInterval)
}

func (d Dashboards) validate(v *validation) {
	v.check(d.TitlePrefix != "", "dashboards.title_prefix: must not be empty")
	v.check(uidPrefix.MatchString(d.UIDPrefix), "dashboards.uid_prefix %q: must be at most 20 of a-z, 0-9 and -", d.UIDPrefix)
	v.check(d.Folder != "", "dashboards.folder: must not be empty")
	v.check(len(d.Tags) > 0, "dashboards.tags: must not be empty")
	v.duration("dashboards.refresh", d.Refresh, 5*time.Second)
	v.duration("dashboards.range", d.Range, 5*time.Minute)
	v.duration("dashboards.long_term_refresh", d.LongTermRefresh, time.Minute)
	v.duration("dashboards.long_term_range", d.LongTermRange, 24*time.Hour)
	v.check(d.Timezone != "", "dashboards.timezone: must not be empty")
	v.pattern("dashboards.datasource", d.Datasource)
	v.pattern("dashboards.rollup_datasource", d.RollupDatasource)
	v.share("dashboards.effectiveness_warn", d.EffectivenessWarn)
	v.share("dashboards.effectiveness_good", d.EffectivenessGood)
	v.check(d.EffectivenessWarn < d.EffectivenessGood, "dashboards.effectiveness_warn %v: must be below effectiveness_good", d.EffectivenessWarn)
}

// Duration writes d as PromQL and rule files do: 90m as 1h30m.
func Duration(d time.Duration) string { return model.Duration(d).String() }
