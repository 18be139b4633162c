//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
)

// expected says whom an alert fires for on the devnet. What is not expected must not
// fire, whoever it is about.
type expected struct {
	must []string // fires for them at the end
	may  []string // may have fired for them, or for everyone
	some bool     // and did for one of them
	why  string
}

// everyone stands for any subject.
const everyone = "everyone"

// expectedAlerts is the truth of the devnet: the validators from shape.Keys on, which are
// the group beta, are offline, and nobody else is.
func (p *proof) expectedAlerts(ctx context.Context, shape devnet.Shape) (map[string]expected, error) {
	missed, err := p.validatorsWith(ctx, "blocks_missed_unsettled")
	if err != nil {
		return nil, err
	}
	orphaned, err := p.validatorsWith(ctx, "blocks_orphaned_observed_total")
	if err != nil {
		return nil, err
	}
	want := map[string]expected{
		"ValidatorProposalMissed": {
			may: missed, some: true,
			why: "it tells of one who missed a block within slots, unless it cannot be told from an empty run",
		},
		"ValidatorProposalOrphaned":      {may: orphaned, why: "a block that comes late on a busy machine is reorged out"},
		"ValidatorProposalUpcoming":      {may: []string{everyone}, some: true, why: "everybody proposes now and then"},
		"ValidatorSyncCommitteeUpcoming": {may: []string{everyone}, some: true, why: "64 validators share 512 seats"},
		"ChainFinalityDelayed":           {may: []string{everyone}, why: "little more than the two thirds that finality needs attest in time on a busy machine"},
		"BeaconPeersLow":                 {must: []string{"the beacon node"}, why: "the only node of the chain has no peers"},
		"BeaconExecutionOffline":         {may: []string{"the beacon node"}, why: "it says so, though it gets payloads from geth"},
		"BeaconAPIRetriesExhausted":      {may: []string{everyone}, why: "the only node restarts, and nobody else can answer"},
		"BeaconAPIErrorRateHigh":         {may: []string{"the beacon node"}, why: "it restarts"},
	}

	var dead []string
	for v := shape.Keys; v < shape.Validators; v++ {
		dead = append(dead, fmt.Sprintf("validator %d", v))
	}
	const all, beta = "all=all", watchLabel + "=beta"
	want["ValidatorDown"] = expected{must: dead, why: "offline"}
	if p.config.Level == mixin.Validator {
		for _, name := range []string{
			"ValidatorEffectivenessLow", "ValidatorEffectivenessCritical", "ValidatorEffectivenessBelowNetwork",
			"ValidatorParticipationLow", "ValidatorBalanceDecreasing",
			"ValidatorSyncCommitteeParticipationLow", "ValidatorSyncCommitteeMissing",
		} {
			want[name] = expected{must: dead, why: "offline"}
		}
		want["ValidatorEffectivenessBudgetBurnSlow"] = expected{must: []string{all}, why: "an eighth of it is offline"}
		return want, nil
	}
	for _, name := range []string{
		"ValidatorGroupDown", "ValidatorEffectivenessCritical", "ValidatorEffectivenessBelowNetwork",
		"ValidatorBalanceDecreasing", "ValidatorEffectivenessBudgetBurnFast",
		"ValidatorSyncCommitteeParticipationLow", "ValidatorSyncCommitteeMissing",
	} {
		want[name] = expected{must: []string{beta}, why: "all of it is offline"}
	}
	for _, name := range []string{"ValidatorEffectivenessLow", "ValidatorParticipationLow", "ValidatorEffectivenessBudgetBurnSlow"} {
		want[name] = expected{must: []string{beta, all}, why: "all of beta is offline, and an eighth of everything"}
	}
	return want, nil
}

// validatorsWith returns the validators for which a series of the exporter's was ever
// above 0, up to now, as subjects.
func (p *proof) validatorsWith(ctx context.Context, name string) ([]string, error) {
	series, err := p.prometheus.Query(ctx, fmt.Sprintf(
		`max by (validator_index) (max_over_time(ethereum_validator_%s{job=%q}[1h])) > 0`, name, exporterJob), time.Now())
	if err != nil {
		return nil, err
	}
	var found []string
	for _, s := range series {
		found = append(found, "validator "+s.Labels["validator_index"])
	}
	return found, nil
}

// deserved is, for each alert on outcomes, whom the history shows to have done as badly as
// the alert says, when some epochs had settled: a running validator on a busy machine may
// lose so much that it is told.
func (p *proof) deserved(h history, shape devnet.Shape) map[string][]string {
	const slack = 0.005 // of increase(), which extrapolates
	k, v, objective := p.config, p.config.Alerts.Validators, p.config.Objective
	whom := map[string][]string{}
	blame := func(name, subject string, deserved bool) {
		if deserved && !slices.Contains(whom[name], subject) {
			whom[name] = append(whom[name], subject)
		}
	}
	for from := range h.epochs {
		for to := from; to < len(h.epochs); to++ {
			sums := sumsOf(h, from, to, shape)
			network := ratiosOf(sums["network"])
			for subject, e := range sums {
				single := strings.HasPrefix(subject, "validator ")
				r := ratiosOf(e)
				own, sync := r[rules.OwnEffectiveness].value()-slack, r[rules.SyncCommittee].value()-slack
				if !single {
					burn := (1 - own) / (1 - objective.Effectiveness)
					blame("ValidatorEffectivenessBudgetBurnFast", subject, burn > objective.Fast[0].Factor)
					blame("ValidatorEffectivenessBudgetBurnSlow", subject, burn > objective.Slow[0].Factor)
				}
				if single {
					blame("ValidatorDown", subject, to-from+1 >= v.MissedStreak && e.included == 0)
				}
				if single == (k.Level == mixin.Validator) {
					blame("ValidatorSyncCommitteeMissing", subject, 1-sync >= k.Alerts.Proposals.SyncMissing)
				}
				// The others look at an hour, which is the whole run.
				if from > 0 || single != (k.Level == mixin.Validator) {
					continue
				}
				blame("ValidatorEffectivenessLow", subject, own < v.EffectivenessLow)
				blame("ValidatorEffectivenessCritical", subject, own < v.EffectivenessCritical)
				blame("ValidatorEffectivenessBelowNetwork", subject, network[rules.OwnEffectiveness].value()-own > v.BelowNetwork)
				blame("ValidatorParticipationLow", subject, r[rules.OwnParticipation].value()-slack < v.ParticipationLow)
				blame("ValidatorSyncCommitteeParticipationLow", subject,
					sync < k.Alerts.Proposals.SyncParticipationLow*network[rules.SyncCommittee].value())
				blame("ValidatorBalanceDecreasing", subject, own < 40.0/94 || single && sync < 0.5)
			}
		}
	}
	return whom
}

// checkFalseAlerts compares the alerts that fired so far with those that may. It comes
// before anything else settles, of which the history knows nothing.
func (p *proof) checkFalseAlerts(ctx context.Context, t *testing.T, shape devnet.Shape, h history) {
	blames := map[string]bool{}
	for _, s := range alerts.Sections(p.config) {
		for _, a := range s.Alerts {
			blames[a.Name] = a.Blames
		}
	}
	want, err := p.expectedAlerts(ctx, shape)
	if err != nil {
		t.Fatal(err)
	}
	for name, subjects := range p.deserved(h, shape) {
		e := want[name]
		e.may = append(slices.Clone(e.may), subjects...)
		want[name] = e
	}
	for name, e := range want {
		if _, known := blames[name]; !known {
			t.Errorf("%s is expected (%s), and there is no such alert", name, e.why)
		}
	}
	for _, key := range slices.Sorted(maps.Keys(p.fired)) {
		alert := p.fired[key]
		name, subject, _ := strings.Cut(key, ": ")
		e := want[name]
		if slices.Contains(e.must, subject) || slices.Contains(e.may, subject) || slices.Contains(e.may, everyone) {
			continue
		}
		fault := "unexpectedly"
		if blames[name] {
			fault = "and blames somebody who did nothing wrong"
		}
		t.Errorf("%s fires for %s, %s\n\t%v\n\t%s\n\t%s", name, subject, fault,
			alert.Labels, alert.Annotations["summary"], alert.Annotations["description"])
	}
}

// checkAlerts checks that the alerts fire, all at once, that must.
func (p *proof) checkAlerts(ctx context.Context, t *testing.T, shape devnet.Shape, deadline time.Time) {
	want, err := p.expectedAlerts(ctx, shape)
	if err != nil {
		t.Fatal(err)
	}
	if err := p.await(ctx, want, deadline); err != nil {
		t.Fatal(err)
	}
	for name, e := range want {
		for _, subject := range e.must {
			key := name + ": " + subject
			if _, ok := p.firing[key]; ok {
				continue
			}
			state := "its condition does not hold"
			if a, ok := p.pending[key]; ok {
				state = "it is pending since " + a.ActiveAt.String()
			}
			t.Errorf("%s does not fire for %s: %s; %s; it ended %q", name, subject, e.why, state, p.ended[key])
		}
		if e.some && !p.everFired(name) {
			t.Errorf("%s never fired: %s", name, e.why)
		}
	}
	t.Logf("%d alerts fired for somebody, %d of them at the end", len(p.fired), len(p.firing))
	for _, line := range p.summary() {
		t.Log(line)
	}
}

func (p *proof) everFired(name string) bool {
	for key := range p.fired {
		if strings.HasPrefix(key, name+": ") {
			return true
		}
	}
	return false
}

// summary has a line for each alert that fired: for whom at first, and what was said of
// the last.
func (p *proof) summary() (lines []string) {
	whom, said := map[string][]string{}, map[string]string{}
	for _, key := range slices.Sorted(maps.Keys(p.fired)) {
		name, subject, _ := strings.Cut(key, ": ")
		whom[name] = append(whom[name], subject)
		said[name] = p.fired[key].Annotations["description"]
	}
	for _, name := range slices.Sorted(maps.Keys(whom)) {
		some := strings.Join(whom[name][:min(len(whom[name]), 8)], ", ")
		lines = append(lines, fmt.Sprintf("%s, %d times (%s): %s", name, len(whom[name]), some, said[name]))
	}
	return lines
}
