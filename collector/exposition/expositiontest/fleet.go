// Package expositiontest makes pages of a realistic size and shape for tests and
// benchmarks of package exposition.
//
// It must not be used by the exporter itself.
package expositiontest

import (
	"fmt"
	"math/rand/v2"
	"strconv"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition/process"
)

// Fleet is a number of validators whose families change the way they do on a
// chain. Each validator has 40 series.
type Fleet struct {
	random   *rand.Rand
	indices  []string
	duty     []int
	headSlot int
	families map[string][]sample
	order    []string
	changed  map[string]bool
}

type sample struct {
	values []string
	labels string
	value  float64
}

// NewFleet makes a fleet with pseudo-random values that depend on seed alone.
func NewFleet(validators int, seed uint64) *Fleet {
	f := &Fleet{
		random: rand.New(rand.NewPCG(seed, seed)), headSlot: 13_000_000,
		duty: make([]int, validators), families: map[string][]sample{}, changed: map[string]bool{},
	}
	index := 400_000
	for range validators {
		f.indices = append(f.indices, strconv.Itoa(index))
		index += 1 + f.random.IntN(1000)
	}
	f.fill()
	return f
}

const slotsPerEpoch = 32

// NextSlot moves the head on by one slot without the end of an epoch: a
// thirty-second of the validators attests, and the live families change with it.
func (f *Fleet) NextSlot() {
	f.headSlot++
	for i := range f.duty {
		if f.random.IntN(slotsPerEpoch) == 0 {
			f.attested(i)
		}
	}
	f.fillHead()
}

func (f *Fleet) attested(i int) {
	f.duty[i] = f.headSlot + 1 + f.random.IntN(slotsPerEpoch)
	f.set("ethereum_validator_next_attestation_timestamp_seconds", i, float64(1_606_824_023+12*f.duty[i]))
	f.set("ethereum_validator_attestations_overdue", i, float64(f.random.IntN(50)/49))
}

// Page encodes the families that changed since the last call, and takes the
// others over from previous, which must be what that call returned.
func (f *Fleet) Page(previous *exposition.Page) *exposition.Page {
	before := map[string]*exposition.Family{}
	if previous != nil {
		for _, family := range previous.Families() {
			before[family.Desc().Name] = family
		}
	}
	var families []*exposition.Family
	for _, name := range f.order {
		if before[name] != nil && !f.changed[name] {
			families = append(families, before[name])
			continue
		}
		series := make([]exposition.Series, len(f.families[name]))
		for i, s := range f.families[name] {
			series[i] = exposition.Series{Labels: s.labels, Value: s.value}
		}
		families = append(families, exposition.NewFamily(catalog.MustGet(name), series, before[name]))
	}
	clear(f.changed)
	return exposition.NewPage(families, previous)
}

// Describe and Collect make the fleet a plain collector of constant metrics, to
// compare with.
func (f *Fleet) Describe(chan<- *prometheus.Desc) {}

// Collect implements [prometheus.Collector].
func (f *Fleet) Collect(ch chan<- prometheus.Metric) {
	for _, name := range f.order {
		entry := catalog.MustGet(name)
		desc := prometheus.NewDesc(name, entry.Help, labelNames(entry), nil)
		kind := prometheus.GaugeValue
		if entry.Type == catalog.Counter {
			kind = prometheus.CounterValue
		}
		for _, s := range f.families[name] {
			ch <- prometheus.MustNewConstMetric(desc, kind, s.value, s.values...)
		}
	}
}

func labelNames(entry catalog.Family) []string {
	if entry.WatchLabels {
		return append(entry.Labels[:len(entry.Labels):len(entry.Labels)], "operator")
	}
	return entry.Labels
}

// SelfMetrics is a registry like the exporter's own: runtime, process, and
// request durations of a beacon node.
func SelfMetrics() *prometheus.Registry {
	entry := catalog.MustGet("ethereum_beacon_request_duration_seconds")
	durations := prometheus.NewHistogramVec(prometheus.HistogramOpts{
		Name: entry.Name, Help: entry.Help,
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
	}, entry.Labels)
	for i, operation := range []string{"head", "block", "committees", "validators", "syncing"} {
		for n := range 100 {
			durations.WithLabelValues("http://localhost:5052", operation).Observe(float64(i*n) / 500)
		}
	}
	registry := prometheus.NewRegistry()
	registry.MustRegister(durations, collectors.NewGoCollector(), process.NewCollector())
	return registry
}

func (f *Fleet) fill() {
	for i, index := range f.indices {
		f.fillValidator(index)
		f.attested(i)
	}
	for _, group := range [][2]string{{"all", "all"}, {"operator", "acme"}, {"operator", "example"}} {
		f.fillCounters("ethereum_group", float64(len(f.indices)), group[0], group[1])
		f.add("ethereum_group_balance_gwei", 32e9*float64(len(f.indices)), group[0], group[1])
	}
	f.fillCounters("ethereum_network", 1e6)
	f.add("ethereum_chain_head_slot", 0)
	f.add("ethereum_chain_slot", 0)
	f.add("ethereum_chain_snapshot_timestamp_seconds", 0)
	f.fillHead()
}

func (f *Fleet) fillHead() {
	f.set("ethereum_chain_head_slot", 0, float64(f.headSlot))
	f.set("ethereum_chain_slot", 0, float64(f.headSlot))
	f.set("ethereum_chain_snapshot_timestamp_seconds", 0, 1_606_824_023+12*float64(f.headSlot)+1.372)
}

func (f *Fleet) fillValidator(index string) {
	const x = "ethereum_validator_"
	f.fillCounters("ethereum_validator", 1, index)
	key := fmt.Sprintf("0x%016x%016x%016x%016x%016x%016x", f.random.Uint64(), f.random.Uint64(),
		f.random.Uint64(), f.random.Uint64(), f.random.Uint64(), f.random.Uint64())
	f.add(x+"info", 1, index, key, "execution", "acme")
	f.add(x+"status", 1, index, "active_ongoing")
	f.add(x+"balance_gwei", 32e9+float64(f.random.IntN(30_000_000)), index)
	f.add(x+"effective_balance_gwei", 32e9, index)
	f.add(x+"activation_epoch", float64(f.random.IntN(400_000)), index)
	for _, zero := range []string{
		"slashed", "missed_attestation_streak", "attestations_overdue",
		"blocks_missed_unsettled", "sync_missed_unsettled", "blocks_orphaned_observed_total",
		"next_attestation_timestamp_seconds",
	} {
		f.add(x+zero, 0, index)
	}
	f.add(x+"attestation_reward_gwei", 2700, index, "source")
	f.add(x+"attestation_reward_gwei", 5100, index, "target")
	f.add(x+"attestation_reward_gwei", 2700*float64(f.random.IntN(2)), index, "head")
}

func (f *Fleet) fillCounters(prefix string, scale float64, labels ...string) {
	few := func() float64 { return float64(f.random.IntN(2)) * scale }
	for _, name := range []string{"attestations_expected", "attestations_included", "attestation_source_votes"} {
		f.add(prefix+"_"+name+"_total", 15*scale, labels...)
	}
	for _, name := range []string{"attestation_target_votes", "attestation_head_votes"} {
		f.add(prefix+"_"+name+"_total", 14*scale+few(), labels...)
	}
	f.add(prefix+"_attestation_inclusion_delay_slots_total", 15*scale+few(), labels...)
	for _, name := range []string{"possible", "achievable", "earned"} {
		f.add(prefix+"_attestation_stake_"+name+"_gwei_total", (480e9-few()*4e9)*scale, labels...)
	}
	for _, name := range []string{"blocks_expected", "blocks_proposed", "sync_committee_expected", "sync_committee_included"} {
		f.add(prefix+"_"+name+"_total", 0, labels...)
	}
	for _, vote := range []string{"source", "target", "head"} {
		for _, cause := range []string{"network", "missing", "late", "wrong"} {
			f.add(prefix+"_attestation_votes_lost_total", 0, append(labels[:len(labels):len(labels)], vote, cause)...)
		}
	}
}

func (f *Fleet) set(name string, at int, value float64) {
	f.families[name][at].value = value
	f.changed[name] = true
}

func (f *Fleet) add(name string, value float64, labels ...string) {
	values := append([]string{"mainnet"}, labels...)
	names := labelNames(catalog.MustGet(name))
	var pairs []string
	for i, v := range values {
		pairs = append(pairs, names[i], v)
	}
	if _, known := f.families[name]; !known {
		f.order = append(f.order, name)
	}
	f.families[name] = append(f.families[name], sample{values: values, labels: exposition.Labels(pairs...), value: value})
}
