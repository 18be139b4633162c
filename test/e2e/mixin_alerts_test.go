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
func (p *proof) expectedAlerts(ctx context.Context, at time.Time, shape devnet.Shape) (map[string]expected, error) {
	missed, err := p.missedProposals(ctx, at)
	if err != nil {
		return nil, err
	}
	want := map[string]expected{
		"ValidatorProposalMissed": {
			may: missed, some: true,
			why: "it tells of one who missed a block within slots, unless it cannot be told from an empty run",
		},
		"ValidatorProposalUpcoming":      {may: []string{everyone}, some: true, why: "everybody proposes now and then"},
		"ValidatorSyncCommitteeUpcoming": {may: []string{everyone}, some: true, why: "64 validators share 512 seats"},
		"BeaconPeersLow":                 {must: []string{"the beacon node"}, why: "the only node of the chain has no peers"},
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

// missedProposals returns the validators of which the exporter has said that a block is
// missing, as subjects.
func (p *proof) missedProposals(ctx context.Context, at time.Time) ([]string, error) {
	series, err := p.prometheus.Query(ctx, fmt.Sprintf(
		`max by (validator_index) (max_over_time(ethereum_validator_blocks_missed_unsettled{job=%q}[1h])) > 0`, exporterJob), at)
	if err != nil {
		return nil, err
	}
	var missed []string
	for _, s := range series {
		missed = append(missed, "validator "+s.Labels["validator_index"])
	}
	return missed, nil
}

// checkAlerts compares the alerts that fired with those that had to.
func (p *proof) checkAlerts(ctx context.Context, t *testing.T, at time.Time, shape devnet.Shape) {
	blames := map[string]bool{}
	for _, s := range alerts.Sections(p.config) {
		for _, a := range s.Alerts {
			blames[a.Name] = a.Blames
		}
	}
	want, err := p.expectedAlerts(ctx, at, shape)
	if err != nil {
		t.Fatal(err)
	}
	for name, e := range want {
		if _, known := blames[name]; !known {
			t.Errorf("%s is expected (%s), and there is no such alert", name, e.why)
		}
		for _, subject := range e.must {
			if _, ok := p.firing[name+": "+subject]; !ok {
				t.Errorf("%s does not fire for %s: %s", name, subject, e.why)
			}
		}
		if e.some && !slices.ContainsFunc(slices.Collect(maps.Keys(p.fired)), func(key string) bool { return strings.HasPrefix(key, name+": ") }) {
			t.Errorf("%s never fired: %s", name, e.why)
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
	t.Logf("%d alerts fired for somebody, %d of them at the end", len(p.fired), len(p.firing))
	for _, key := range slices.Sorted(maps.Keys(p.fired)) {
		t.Logf("%s: %s", strings.SplitN(key, ": ", 2)[0], p.fired[key].Annotations["description"])
	}
}
