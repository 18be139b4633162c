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

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
)

// network is the label that all exporters are told to use.
const network = "e2e"

// events are what a validator's counters count.
type events struct {
	expected, included, source, target, head, delay int
	blocksExpected, blocksProposed                  int
	syncExpected, syncIncluded                      int
}

// counters names the counter of each field, behind its subject's prefix.
func (e *events) counters() map[string]*int {
	return map[string]*int{
		"attestations_expected":             &e.expected,
		"attestations_included":             &e.included,
		"attestation_source_votes":          &e.source,
		"attestation_target_votes":          &e.target,
		"attestation_head_votes":            &e.head,
		"attestation_inclusion_delay_slots": &e.delay,
		"blocks_expected":                   &e.blocksExpected,
		"blocks_proposed":                   &e.blocksProposed,
		"sync_committee_expected":           &e.syncExpected,
		"sync_committee_included":           &e.syncIncluded,
	}
}

func (e *events) add(other events) {
	theirs := other.counters()
	for name, mine := range e.counters() {
		*mine += *theirs[name]
	}
}

// history holds the events of a chain: by epoch, then by validator.
type history []map[uint64]events

// sum adds up the epochs from..to, to included.
func (h history) sum(from, to int) map[uint64]events {
	sums := map[uint64]events{}
	for _, epoch := range h[from : to+1] {
		for validator, e := range epoch {
			sum := sums[validator]
			sum.add(e)
			sums[validator] = sum
		}
	}
	return sums
}

// series returns what each counter has counted at the end of the history, by the
// series' text. group names the group that a validator is in, for the one watch label
// of the tests.
func (h history) series(group func(uint64) string) map[string]float64 {
	want := map[string]float64{}
	for validator, e := range h.sum(0, len(h)-1) {
		for name, value := range e.counters() {
			for _, subject := range []string{
				fmt.Sprintf(`ethereum_validator_%s_total{network=%q,validator_index="%d"}`, name, network, validator),
				fmt.Sprintf(`ethereum_group_%s_total{network=%q,group_by="all",group="all"}`, name, network),
				fmt.Sprintf(`ethereum_group_%s_total{network=%q,group_by=%q,group=%q}`, name, network, watchLabel, group(validator)),
				fmt.Sprintf(`ethereum_network_%s_total{network=%q}`, name, network),
			} {
				want[subject] += float64(*value)
			}
		}
	}
	return want
}

// watchLabel divides the watched validators into two groups.
const watchLabel = "client"

// watchList is a watch list of all of n validators, and the group of each.
func watchList(n int) (yaml string, group func(uint64) string) {
	half := n / 2
	yaml = fmt.Sprintf("validators:\n"+
		"  - indices: \"0-%d\"\n    labels: {%s: alpha}\n"+
		"  - indices: \"%d-%d\"\n    labels: {%s: beta}\n", half-1, watchLabel, half, n-1, watchLabel)
	return yaml, func(validator uint64) string {
		if validator < uint64(half) {
			return "alpha"
		}
		return "beta"
	}
}

// anchored are the counters that are anchored to the chain.
func anchored() (families []catalog.Family) {
	for _, f := range catalog.All() {
		if f.Type == catalog.Counter && f.Origin == catalog.Chain {
			families = append(families, f)
		}
	}
	return families
}

// increase is what a counter rose by, as Prometheus sees it.
type increase struct {
	by      float64
	first   float64 // sample
	samples int
	resets  int
}

// increases computes what increase() does, without its extrapolation, from the raw
// samples of every anchored counter of a job: a fall is a reset to 0.
func increases(ctx context.Context, p *devnet.Prometheus, job string, at time.Time) (map[string]increase, error) {
	all := map[string]increase{}
	for _, family := range anchored() {
		found, err := p.Query(ctx, fmt.Sprintf("%s{job=%q}[1h]", family.Name, job), at)
		if err != nil {
			return nil, err
		}
		for _, s := range found {
			in := increase{first: s.Samples[0].Value, samples: len(s.Samples)}
			last := in.first
			for _, sample := range s.Samples[1:] {
				if sample.Value < last {
					in.resets++
					last = 0
				}
				in.by += sample.Value - last
				last = sample.Value
			}
			all[seriesText(family, s.Labels)] = in
		}
	}
	return all, nil
}

// seriesText is the text of a series as the exporter writes it.
func seriesText(family catalog.Family, labels map[string]string) string {
	var b strings.Builder
	for i, name := range family.Labels {
		if i > 0 {
			b.WriteByte(',')
		}
		fmt.Fprintf(&b, "%s=%q", name, labels[name])
	}
	return family.Name + "{" + b.String() + "}"
}

// complaints reports the first differences of many, and how many there are.
type complaints struct {
	t     *testing.T
	about string
	n     int
}

func (c *complaints) errorf(format string, args ...any) {
	c.t.Helper()
	if c.n++; c.n <= 10 {
		c.t.Errorf(c.about+": "+format, args...)
	}
}

func (c *complaints) end() {
	c.t.Helper()
	if c.n > 10 {
		c.t.Errorf("%s: %d differences in all", c.about, c.n)
	}
}

// compareIncreases compares what Prometheus holds of both replicas with each other, and
// with what happened.
func compareIncreases(t *testing.T, a, b map[string]increase, want map[string]float64) {
	t.Helper()
	differ := complaints{t: t, about: "increases of the replicas"}
	for key, in := range a {
		other, ok := b[key]
		switch {
		case !ok:
			differ.errorf("%s: missing on b", key)
		case in.by != other.by:
			differ.errorf("%s: %v on a (%d resets), %v on b (%d resets)", key, in.by, in.resets, other.by, other.resets)
		}
		if in.first != 0 || other.first != 0 {
			differ.errorf("%s: begins with %v on a, %v on b, though nothing was settled yet", key, in.first, other.first)
		}
	}
	for key := range b {
		if _, ok := a[key]; !ok {
			differ.errorf("%s: missing on a", key)
		}
	}
	differ.end()

	wrong := complaints{t: t, about: "increases and the chain"}
	for _, key := range slices.Sorted(maps.Keys(want)) {
		if in, ok := a[key]; !ok || in.by != want[key] {
			wrong.errorf("%s: %v on a, the chain has %v", key, in.by, want[key])
		}
		if in, ok := b[key]; !ok || in.by != want[key] {
			wrong.errorf("%s: %v on b, the chain has %v", key, in.by, want[key])
		}
	}
	wrong.end()
	compareLost(t, a)

	samplesA, resetsA := extent(a)
	samplesB, resetsB := extent(b)
	t.Logf("replicas: %d counters (%d and %d raw samples, %d and %d resets) are equal, %d of them also to what other code counts",
		len(a), samplesA, samplesB, resetsA, resetsB, len(want))
}

// extent returns the number of all samples, and the most resets of a counter.
func extent(increases map[string]increase) (samples, resets int) {
	for _, in := range increases {
		samples, resets = samples+in.samples, max(resets, in.resets)
	}
	return samples, resets
}

// compareLost checks that every vote expected was earned or lost by one cause.
func compareLost(t *testing.T, increases map[string]increase) {
	t.Helper()
	wrong := complaints{t: t, about: "lost votes"}
	balance := map[string]float64{} // by subject and vote
	for key, in := range increases {
		name, labels, _ := strings.Cut(strings.TrimSuffix(key, "}"), "{")
		prefix := strings.Join(strings.SplitN(name, "_", 3)[:2], "_")
		subject := func(vote string) string { return prefix + "{" + labels + "," + vote }
		switch strings.TrimPrefix(name, prefix+"_") {
		case "attestations_expected_total":
			for _, vote := range []string{"source", "target", "head"} {
				balance[subject(vote)] += in.by
			}
		case "attestation_source_votes_total":
			balance[subject("source")] -= in.by
		case "attestation_target_votes_total":
			balance[subject("target")] -= in.by
		case "attestation_head_votes_total":
			balance[subject("head")] -= in.by
		case "attestation_votes_lost_total":
			at := strings.Index(labels, `,vote="`)
			vote, _, _ := strings.Cut(labels[at+len(`,vote="`):], `"`)
			labels = labels[:at]
			balance[subject(vote)] -= in.by
		}
	}
	if len(balance) == 0 {
		t.Error("lost votes: none are counted")
	}
	for key, left := range balance {
		if left != 0 {
			wrong.errorf("%s: %v more expected than earned and lost", key, left)
		}
	}
	wrong.end()
}
