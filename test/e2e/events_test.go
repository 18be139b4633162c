//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
)

// network is the label that all exporters are told to use.
const network = "e2e"

// events are what a validator's counters count, stake apart.
type events struct {
	expected, included, source, target, head, delay int
	// lost votes: source, target, head; to the network, missing, late or wrong.
	lost                           [3][3]int
	blocksExpected, blocksProposed int
	syncExpected, syncIncluded     int
}

// counter is a counter behind its subject's prefix, with the labels of its own.
type counter struct {
	name, labels string
	value        *int
}

// lateOrWrong stands for two causes: of a lost head vote, the counts that the counters
// are compared with do not tell which of the two it was.
const lateOrWrong = `,cause="late or wrong"`

func (e *events) counters() []counter {
	all := []counter{
		{"attestations_expected", "", &e.expected},
		{"attestations_included", "", &e.included},
		{"attestation_source_votes", "", &e.source},
		{"attestation_target_votes", "", &e.target},
		{"attestation_head_votes", "", &e.head},
		{"attestation_inclusion_delay_slots", "", &e.delay},
		{"blocks_expected", "", &e.blocksExpected},
		{"blocks_proposed", "", &e.blocksProposed},
		{"sync_committee_expected", "", &e.syncExpected},
		{"sync_committee_included", "", &e.syncIncluded},
	}
	for i, vote := range []string{"source", "target", "head"} {
		own := map[string]string{"source": `,cause="late"`, "target": `,cause="wrong"`, "head": lateOrWrong}[vote]
		for cause, label := range []string{`,cause="network"`, `,cause="missing"`, own} {
			all = append(all, counter{"attestation_votes_lost", `,vote="` + vote + `"` + label, &e.lost[i][cause]})
		}
	}
	return all
}

func (e *events) add(other events) {
	theirs := other.counters()
	for i, mine := range e.counters() {
		*mine.value += *theirs[i].value
	}
}

// valueOf finds a series of a counter, or the sum of the two that lateOrWrong stands for.
func valueOf[V any](series map[string]V, key string, number func(V) float64) (value float64, ok bool) {
	keys := []string{key}
	if strings.Contains(key, lateOrWrong) {
		keys = []string{strings.Replace(key, lateOrWrong, `,cause="late"`, 1), strings.Replace(key, lateOrWrong, `,cause="wrong"`, 1)}
	}
	for _, key := range keys {
		found, there := series[key]
		if !there {
			return 0, false
		}
		value += number(found)
	}
	return value, true
}

// attested is the outcome of one attestation duty.
type attested struct {
	slot     uint64
	included bool
	earned   [3]bool // source, target, head
}

// lostVotes counts the votes that each validator lost in an epoch, by cause. A vote is
// lost to the network when no block could have carried it in time, or when more than
// half of at least 16 others with duty in the same slot lost it as well.
func lostVotes(slotsPerEpoch, epoch uint64, duties map[uint64]attested, hasBlock func(slot uint64) bool) map[uint64][3][3]int {
	root := uint64(1)
	for (root+1)*(root+1) <= slotsPerEpoch {
		root++
	}
	carried := func(slot, last uint64) bool {
		for at := slot + 1; at <= last; at++ {
			if hasBlock(at) {
				return true
			}
		}
		return false
	}
	members, losers := map[uint64]int{}, map[uint64]*[3]int{}
	for _, d := range duties {
		members[d.slot]++
		if losers[d.slot] == nil {
			losers[d.slot] = new([3]int)
		}
		for vote, earned := range d.earned {
			losers[d.slot][vote] += number(!earned)
		}
	}
	lost := map[uint64][3][3]int{}
	for validator, d := range duties {
		var causes [3][3]int
		for vote, earned := range d.earned {
			if earned {
				continue
			}
			last := []uint64{d.slot + root, (epoch+2)*slotsPerEpoch - 1, d.slot + 1}[vote]
			others, lostToo := members[d.slot]-1, losers[d.slot][vote]-1
			switch {
			case !carried(d.slot, last) || others >= 16 && 2*lostToo > others:
				causes[vote][0] = 1
			case !d.included:
				causes[vote][1] = 1
			default:
				causes[vote][2] = 1
			}
		}
		lost[validator] = causes
	}
	return lost
}

// history holds the events of a chain: by epoch, then by validator.
type history struct {
	validators int
	epochs     []map[uint64]events
	// ether is a validator's effective balance at the beginning of an epoch.
	ether func(validator uint64, epoch int) uint64
}

// sum adds up the epochs from..to, to included.
func (h history) sum(from, to int) map[uint64]events {
	sums := map[uint64]events{}
	for _, epoch := range h.epochs[from : to+1] {
		for validator, e := range epoch {
			sum := sums[validator]
			sum.add(e)
			sums[validator] = sum
		}
	}
	return sums
}

// subjects are the subjects that a validator's events count for, as the beginning of a
// series: prefix, and labels after the brace.
func subjects(validator uint64, group string) [][2]string {
	return [][2]string{
		{"ethereum_validator_", fmt.Sprintf(`network=%q,validator_index="%d"`, network, validator)},
		{"ethereum_group_", fmt.Sprintf(`network=%q,group_by="all",group="all"`, network)},
		{"ethereum_group_", fmt.Sprintf(`network=%q,group_by=%q,group=%q`, network, watchLabel, group)},
		{"ethereum_network_", fmt.Sprintf(`network=%q`, network)},
	}
}

// series returns what each counter has counted at the end of the history, by the
// series' text.
func (h history) series(windowEpochs int) map[string]float64 {
	want := map[string]float64{}
	for validator, e := range h.sum(0, len(h.epochs)-1) {
		for _, subject := range subjects(validator, groupOf(validator, h.validators)) {
			for _, c := range e.counters() {
				want[subject[0]+c.name+"_total{"+subject[1]+c.labels+"}"] += float64(*c.value)
			}
		}
	}
	for first := 0; first < len(h.epochs); first += windowEpochs {
		for key, gwei := range h.stake(first, min(first+windowEpochs, len(h.epochs))-1) {
			want[key] += gwei
		}
	}
	return want
}

// stake returns the stake sums of one window: balances as at its beginning, weighted by
// the votes, and whole gwei.
func (h history) stake(from, to int) map[string]float64 {
	weighted := map[string]uint64{}
	for validator, e := range h.sum(from, to) {
		ether := h.ether(validator, from)
		var possible, earned, excused uint64
		for vote, weight := range []uint64{14, 26, 14} {
			possible += weight * uint64(e.expected)
			earned += weight * uint64([]int{e.source, e.target, e.head}[vote])
			excused += weight * uint64(e.lost[vote][0])
		}
		for _, subject := range subjects(validator, groupOf(validator, h.validators)) {
			key := func(name string) string {
				return subject[0] + "attestation_stake_" + name + "_gwei_total{" + subject[1] + "}"
			}
			weighted[key("possible")] += ether * possible
			weighted[key("achievable")] += ether * (possible - excused)
			weighted[key("earned")] += ether * earned
		}
	}
	gwei := map[string]float64{}
	for key, sum := range weighted {
		gwei[key] = float64(sum * 1e9 / 54) // below 2^64 up to 340 million ether
	}
	return gwei
}

// watchLabel divides the watched validators into two groups.
const watchLabel = "client"

// groupOf names the group of one of n validators. Beta is the last eighth, which on a
// devnet has no validator client at first.
func groupOf(validator uint64, n int) string {
	if validator < alpha(n) {
		return "alpha"
	}
	return "beta"
}

func alpha(n int) uint64 { return uint64(n - n/8) }

// writeWatchList writes a watch list of n validators and returns its path.
func writeWatchList(t *testing.T, n int) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), "validators.yaml")
	list := fmt.Sprintf("validators:\n"+
		"  - indices: \"0-%d\"\n    labels: {%s: alpha}\n"+
		"  - indices: \"%d-%d\"\n    labels: {%s: beta}\n", alpha(n)-1, watchLabel, alpha(n), n-1, watchLabel)
	if err := os.WriteFile(path, []byte(list), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
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
		for name, replica := range map[string]map[string]increase{"a": a, "b": b} {
			by, ok := valueOf(replica, key, func(in increase) float64 { return in.by })
			if !ok || by != want[key] {
				wrong.errorf("%s: %v on %s (%t), the chain has %v", key, by, name, ok, want[key])
			}
		}
	}
	wrong.end()

	samplesA, resetsA := extent(a)
	samplesB, resetsB := extent(b)
	t.Logf("replicas: %d counters (%d and %d raw samples, %d and %d resets) compared, and with %d that other code counts: %d differences",
		len(a), samplesA, samplesB, resetsA, resetsB, len(want), differ.n+wrong.n)
}

// extent returns the number of all samples, and the most resets of a counter.
func extent(increases map[string]increase) (samples, resets int) {
	for _, in := range increases {
		samples, resets = samples+in.samples, max(resets, in.resets)
	}
	return samples, resets
}
