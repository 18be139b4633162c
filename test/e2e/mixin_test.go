//go:build e2e

package e2e

import (
	"context"
	"errors"
	"fmt"
	"maps"
	"math"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/output"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// proof is one preset of the mixin in a Prometheus of its own, which scrapes both
// replicas as two instances of one job. It is asked what people would be shown.
type proof struct {
	config     mixin.Config
	ruleFiles  []string
	prometheus *devnet.Prometheus
	from       time.Time // of the first scrape, or before

	// What was seen, look by look.
	fired, firing map[string]devnet.Alert // at any look, and at the last one; by name and subject
	pending       map[string]devnet.Alert // at the last look
	ended         map[string][]string     // when an alert of that name and subject no longer fired or was pending
	wrong         []string                // failures of rules, and alerts that came twice
}

// renderProofs writes the rules of each preset into a directory of its own. That takes
// some seconds of both processors, which a chain that runs already would miss.
func renderProofs(t *testing.T, shape devnet.Shape, windowEpochs int) []*proof {
	t.Helper()
	var all []*proof
	for _, c := range mixin.Presets() {
		c = onDevnet(c, shape, windowEpochs)
		files, err := output.Files(c)
		if err != nil {
			t.Fatalf("mixin, preset %s: %v", c.Preset, err)
		}
		p := &proof{config: c, fired: map[string]devnet.Alert{}, ended: map[string][]string{}}
		dir := t.TempDir()
		for _, name := range []string{output.RecordingRules, output.AlertRules} {
			path := filepath.Join(dir, name)
			if err := os.WriteFile(path, files[name], 0o600); err != nil {
				t.Fatal(err)
			}
			p.ruleFiles = append(p.ruleFiles, path)
		}
		all = append(all, p)
	}
	return all
}

// start starts the Prometheus.
func (p *proof) start(t *testing.T, r *replicas) {
	t.Helper()
	var labels map[string]string
	if cluster := p.config.Select.ClusterLabel; cluster != "" {
		labels = map[string]string{cluster: "devnet"}
	}
	var err error
	p.from = time.Now()
	p.prometheus, err = devnet.StartPrometheus(t.Context(), devnet.PrometheusOptions{
		Targets: []devnet.Target{
			{Job: exporterJob, Address: r.a.address, Labels: labels},
			{Job: exporterJob, Address: r.b.address, Labels: labels},
		},
		Interval:  p.config.Chain.ScrapeInterval,
		RuleFiles: p.ruleFiles,
		WorkDir:   t.TempDir(),
	})
	if err != nil {
		t.Fatalf("mixin, preset %s: %v", p.config.Preset, err)
	}
	t.Cleanup(p.prometheus.Stop)
}

// exporterJob is what the presets' selectors match.
const exporterJob = "validator-exporter"

const (
	recordingInterval = 10 * time.Second
	// recordingLag is how long recording rules may take to show what was scraped.
	recordingLag = recordingInterval + 5*time.Second
)

// onDevnet is a preset in the time of a devnet. An eighth of the validators being offline
// is trouble of theirs and not of the network. Four epochs have settled at the end: a
// running validator may lose two of its attestations, and their group as a whole 11 %,
// because this machine is busy or the beacon node restarts.
func onDevnet(c mixin.Config, shape devnet.Shape, windowEpochs int) mixin.Config {
	slower := c.Chain.SlotDuration / shape.SlotDuration // mainnet than the devnet
	scale := func(durations ...*time.Duration) {
		for _, d := range durations {
			*d = (*d / slower).Round(time.Second)
		}
	}
	c.Chain = mixin.Chain{
		SlotDuration: shape.SlotDuration, SlotsPerEpoch: int(shape.SlotsPerEpoch), WindowEpochs: windowEpochs,
		ScrapeInterval: shape.SlotDuration,
	}
	scale(&c.Recording.Short)
	c.Recording.Interval = recordingInterval

	v := &c.Alerts.Validators
	v.NetworkTrouble = 0.8
	v.BalanceRange = c.Recording.Short
	scale(&v.For)
	low, critical, below := 0.4, 0.3, 0.5
	if c.Level == mixin.Group {
		low, critical, below = 0.89, 0.5, 0.2
	}
	v.EffectivenessLow, v.EffectivenessCritical, v.BelowNetwork = low, critical, below
	v.ParticipationLow, c.Alerts.Proposals.SyncParticipationLow = low, low
	c.Alerts.Proposals.SyncMissing = 0.3 // of all slots, also of those without a block

	// An eighth offline burns the budget 0.625 times as fast as planned, everything 5 times.
	short := c.Recording.Short
	c.Objective.Effectiveness = 0.8
	c.Objective.Fast = []mixin.Burn{{Long: 2 * short, Short: short, Factor: 3}}
	c.Objective.Slow = []mixin.Burn{{Long: 3 * short, Short: short, Factor: 0.55}}

	c.Alerts.Network.ParticipationLow = 0.6
	c.Alerts.Beacon.HeadStalled = c.Chain.Epoch() // longer than a restart
	f := &c.Alerts.Freshness
	scale(&f.SnapshotStale, &f.SnapshotCritical, &f.ExporterDown, &f.Failing, &f.WindowIncomplete)
	scale(&c.Alerts.Proposals.Upcoming, &c.Alerts.Beacon.Range, &c.Alerts.Beacon.For, &c.Alerts.System.For)
	return c
}

// watchProofs looks at the rules of all proofs until ctx is done.
func watchProofs(ctx context.Context, proofs []*proof) error {
	for ctx.Err() == nil {
		for _, p := range proofs {
			if err := p.look(ctx); err != nil && ctx.Err() == nil {
				return fmt.Errorf("mixin, preset %s: %w", p.config.Preset, err)
			}
		}
		_ = sleepUntil(ctx, time.Now().Add(2*time.Second)) // then ctx is done
	}
	return nil
}

// look notes what fires and what fails.
func (p *proof) look(ctx context.Context) error {
	groups, err := p.prometheus.Rules(ctx)
	if err != nil {
		return err
	}
	before := maps.Clone(p.pending)
	maps.Copy(before, p.firing)
	p.firing, p.pending = map[string]devnet.Alert{}, map[string]devnet.Alert{}
	for _, g := range groups {
		for _, rule := range g.Rules {
			if rule.Health == "err" {
				p.complain("rule %s of group %s fails: %s", rule.Name, g.Name, rule.LastError)
			}
			for _, alert := range rule.Alerts {
				key := rule.Name + ": " + p.subject(alert)
				if alert.State != "firing" {
					p.pending[key] = alert
					continue
				}
				if other, twice := p.firing[key]; twice {
					p.complain("%s fires twice, with %v and with %v", key, other.Labels, alert.Labels)
				}
				p.firing[key], p.fired[key] = alert, alert
			}
		}
	}
	for key, a := range before {
		if !p.stands(key) {
			p.ended[key] = append(p.ended[key], fmt.Sprintf("%s, after %s of %s",
				time.Now().Format(time.TimeOnly), time.Since(a.ActiveAt).Round(time.Second), a.State))
		}
	}
	return nil
}

// stands is true when the alert fired or was pending at the last look.
func (p *proof) stands(key string) bool {
	_, firing := p.firing[key]
	_, pending := p.pending[key]
	return firing || pending
}

// await goes on looking until all alerts fire that must, or until the deadline: on a busy
// machine blocks come late, and an alert that has waited for epochs begins anew when both
// replicas could not be scraped.
func (p *proof) await(ctx context.Context, want map[string]expected, deadline time.Time) error {
	for !p.fires(want) && time.Now().Before(deadline) {
		if err := sleepUntil(ctx, time.Now().Add(2*time.Second)); err != nil {
			return err
		}
		if err := p.look(ctx); err != nil {
			return err
		}
	}
	return nil
}

// fires is true when at the last look all fired that must.
func (p *proof) fires(want map[string]expected) bool {
	for name, e := range want {
		for _, subject := range e.must {
			if _, ok := p.firing[name+": "+subject]; !ok {
				return false
			}
		}
	}
	return true
}

func (p *proof) complain(format string, args ...any) {
	if text := fmt.Sprintf(format, args...); !slices.Contains(p.wrong, text) {
		p.wrong = append(p.wrong, text)
	}
}

// subject is whom an alert is about: validator 3, client=beta, or what other labels of
// its own it has.
func (p *proof) subject(a devnet.Alert) string {
	if v, ok := a.Labels["validator_index"]; ok {
		return "validator " + v
	}
	if by, ok := a.Labels["group_by"]; ok {
		return by + "=" + a.Labels["group"]
	}
	if _, ok := a.Labels["endpoint"]; ok {
		return "the beacon node" // there is one, at a port that nobody knows before
	}
	skip := append(slices.Sorted(maps.Keys(p.config.Alerts.Labels)),
		"alertname", "severity", "network", "job", p.config.Select.ClusterLabel)
	skip = append(skip, p.config.Select.ReplicaLabels...)
	var rest []string
	for _, name := range slices.Sorted(maps.Keys(a.Labels)) {
		if !slices.Contains(skip, name) {
			rest = append(rest, name+"="+a.Labels[name])
		}
	}
	if len(rest) == 0 {
		return "everything"
	}
	return strings.Join(rest, " ")
}

// checkProofs compares what was seen, and what is shown at a time at which the counters
// show the history whole, with what must be. Alerts may come up to a deadline.
func checkProofs(ctx context.Context, t *testing.T, proofs []*proof, at time.Time, shape devnet.Shape, h history, deadline time.Time) {
	for _, p := range proofs {
		t.Run("mixin "+p.config.Preset, func(t *testing.T) {
			t.Run("rules", func(t *testing.T) { p.checkRules(ctx, t, at, shape, h) })
			t.Run("panels", func(t *testing.T) { p.checkPanels(ctx, t, at, shape) })
			t.Run("no false alerts", func(t *testing.T) { p.checkFalseAlerts(ctx, t, shape, h) })
		})
	}
	for _, p := range proofs {
		t.Run("mixin "+p.config.Preset+"/alerts", func(t *testing.T) { p.checkAlerts(ctx, t, shape, deadline) })
	}
}

// checkRules checks that every rule was healthy all the time, that every recorded
// series is there, and that ratios are what the history says.
func (p *proof) checkRules(ctx context.Context, t *testing.T, at time.Time, shape devnet.Shape, h history) {
	for _, text := range p.wrong {
		t.Error(text)
	}
	groups, err := p.prometheus.Rules(ctx)
	if err != nil {
		t.Fatal(err)
	}
	n := 0
	for _, g := range groups {
		for _, rule := range g.Rules {
			n++
			if rule.Health != "ok" || rule.LastError != "" {
				t.Errorf("rule %s of group %s is %s: %s", rule.Name, g.Name, rule.Health, rule.LastError)
			}
		}
	}
	if failures, err := p.evaluationFailures(ctx); err != nil || failures > 0 {
		t.Errorf("%v evaluations of rules failed (%v)", failures, err)
	}

	recorded, err := rules.Groups(p.config)
	if err != nil {
		t.Fatal(err)
	}
	records := 0
	for _, g := range recorded {
		for _, rule := range g.Rules {
			records++
			series, err := p.prometheus.Query(ctx, rule.Record, at)
			if err != nil {
				t.Error(err)
				continue
			}
			// Sums of whole hours have nothing to add up before the first is over. The tests
			// of the rules, by promtool, last for days.
			if len(series) == 0 && !strings.Contains(rule.Record, ":long_ratio") {
				t.Errorf("%s has no series; its rule is\n%s", rule.Record, rule.Expr)
			}
			for _, s := range series {
				if v := s.Samples[0].Value; math.IsNaN(v) || math.IsInf(v, 0) {
					t.Errorf("%s%v is %v", rule.Record, s.Labels, v)
				}
				for _, replica := range p.config.Select.ReplicaLabels {
					if _, ok := s.Labels[replica]; ok {
						t.Errorf("%s%v has a label of a replica, %s", rule.Record, s.Labels, replica)
					}
				}
			}
		}
	}
	ratios := p.checkRatios(ctx, t, at, shape, h)
	t.Logf("%d rules are healthy; %d are recording rules, with series as far as they are not of weeks; %d ratios compared with what other code counts", n, records, ratios)
}

// evaluationFailures asks the server for its own metric.
func (p *proof) evaluationFailures(ctx context.Context) (float64, error) {
	text, err := get(ctx, p.prometheus.URL()+"/metrics")
	if err != nil {
		return 0, err
	}
	e, err := parse(text)
	if err != nil {
		return 0, err
	}
	sum, found := 0.0, false
	for series, value := range e.samples {
		if strings.HasPrefix(series, "prometheus_rule_evaluation_failures_total{") {
			sum, found = sum+value, true
		}
	}
	if !found {
		return 0, errors.New("Prometheus does not say how many evaluations failed")
	}
	return sum, nil
}

// checkRatios compares the recorded ratios of groups and of the network with the
// history. It returns their number.
func (p *proof) checkRatios(ctx context.Context, t *testing.T, at time.Time, shape devnet.Shape, h history) (compared int) {
	for group, e := range sumsOf(h, 0, len(h.epochs)-1, shape) {
		if strings.HasPrefix(group, "validator ") {
			continue
		}
		level, selector := mixin.Network, ""
		if by, name, ok := strings.Cut(group, "="); ok {
			level, selector = mixin.Group, fmt.Sprintf("{group_by=%q,group=%q}", by, name)
		}
		for metric, want := range ratiosOf(e) {
			if want.whole == 0 {
				continue
			}
			compared++
			exact := want.value()
			series, err := p.prometheus.Query(ctx, rules.Ratio(level, metric, rules.Hour)+selector, at)
			if err != nil || len(series) != 1 {
				t.Errorf("%s of %s: %v (%v), the chain has %.4f", metric, group, series, err, exact)
			} else if got := series[0].Samples[0].Value; math.Abs(got-exact) > 0.002 {
				t.Errorf("%s of %s is %.4f, the chain has %d of %d: %.4f", metric, group, got, want.part, want.whole, exact)
			}
		}
	}
	return compared
}

// sumsOf adds up the epochs from..to for each subject of alerts, and for the network.
func sumsOf(h history, from, to int, shape devnet.Shape) map[string]events {
	sums := map[string]events{}
	for v, e := range h.sum(from, to) {
		for _, subject := range []string{
			fmt.Sprintf("validator %d", v), "all=all", watchLabel + "=" + groupOf(v, shape.Validators), "network",
		} {
			sum := sums[subject]
			sum.add(e)
			sums[subject] = sum
		}
	}
	return sums
}

// share is a part of a whole.
type share struct{ part, whole int }

// value is 1 when there was nothing to do.
func (s share) value() float64 {
	if s.whole == 0 {
		return 1
	}
	return float64(s.part) / float64(s.whole)
}

// ratiosOf are the recorded ratios as the events of validators with the same effective
// balances make them.
func ratiosOf(e events) map[rules.Metric]share {
	weighted := func(source, target, head int) int { return 14*source + 26*target + 14*head }
	earned, possible := weighted(e.source, e.target, e.head), 54*e.expected
	return map[rules.Metric]share{
		rules.Effectiveness:    {earned, possible},
		rules.OwnEffectiveness: {earned, possible - weighted(e.lost[0][0], e.lost[1][0], e.lost[2][0])},
		rules.SourceVotes:      {e.source, e.expected},
		rules.TargetVotes:      {e.target, e.expected},
		rules.HeadVotes:        {e.head, e.expected},
		rules.Participation:    {e.included, e.expected},
		rules.OwnParticipation: {e.expected - e.lost[1][1], e.expected},
		rules.Proposals:        {e.blocksProposed, e.blocksExpected},
		rules.SyncCommittee:    {e.syncIncluded, e.syncExpected},
	}
}
