package collector

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// simulation is a simulated chain behind real HTTP, moved by the test.
type simulation struct {
	t     testing.TB
	chain *chainsim.Chain
	node  *chainsim.Node
	url   string
	slot  atomic.Uint64
}

func simulate(t testing.TB, cfg chainsim.Config) *simulation {
	t.Helper()
	if cfg.Network == "" {
		cfg.Network = "sim"
	}
	chain, err := chainsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	s := &simulation{t: t, chain: chain}
	s.node, s.url = s.another()
	return s
}

// another node of the chain, and where it answers.
func (s *simulation) another() (node *chainsim.Node, url string) {
	node = s.chain.Node(chainsim.NodeOptions{})
	server := httptest.NewServer(node)
	s.t.Cleanup(server.Close)
	return node, server.URL
}

func (s *simulation) to(slot duty.Slot) {
	s.chain.AdvanceTo(slot)
	s.slot.Store(uint64(slot))
}

// now is in the middle of the current slot.
func (s *simulation) now() time.Time {
	spec := s.chain.Spec()
	return spec.SlotStart(duty.Slot(s.slot.Load())).Add(spec.SlotDuration / 2)
}

func (s *simulation) collector(o testOptions) *Collector {
	if o.urls == nil {
		o.urls = []string{s.url}
	}
	o.now = s.now
	return newTestCollector(s.t, o)
}

func short(validators int) chainsim.Config {
	return chainsim.Config{Preset: chainsim.Short(), Validators: validators, Seed: 1}
}

// samples scrapes and returns every sample by name{labels}.
func samples(t testing.TB, c *Collector) map[string]float64 {
	t.Helper()
	page := c.Scrape(context.Background())
	out := map[string]float64{}
	for _, f := range page.Families() {
		for _, s := range f.Series() {
			key := f.Desc().Name + "{" + s.Labels + "}"
			if _, twice := out[key]; twice {
				t.Errorf("series %s twice", key)
			}
			out[key] = s.Value
		}
	}
	return out
}

// increases adds up samples as Prometheus does: a fall is a reset.
type increases struct {
	last map[string]float64
	sum  map[string]float64
}

func newIncreases() *increases {
	return &increases{last: map[string]float64{}, sum: map[string]float64{}}
}

func (i *increases) add(samples map[string]float64) {
	for key, value := range samples {
		name, _, _ := strings.Cut(key, "{")
		if f, _ := catalog.Get(name); f.Type != catalog.Counter || f.Origin != catalog.Chain {
			continue
		}
		last := i.last[key]
		if value < last {
			last = 0
		}
		i.sum[key] += value - last
		i.last[key] = value
	}
}

// compare compares them, which began at genesis, with the truth of what c shows last.
func (i *increases) compare(t *testing.T, sim *simulation, c *Collector) {
	t.Helper()
	s := c.snapshot.Load()
	end := s.shown.Last + 1
	if s.shown.Zero {
		end = s.shown.Anchor
	}
	for key, want := range truthCounters(sim, end) {
		if i.sum[key] != want {
			t.Errorf("%s increased by %v, the chain has %v", key, i.sum[key], want)
		}
	}
}

func validatorKey(name string, index duty.ValidatorIndex, more ...string) string {
	key := fmt.Sprintf(`%s{network="sim",validator_index="%d"`, name, index)
	for _, m := range more {
		key += "," + m
	}
	return key + "}"
}

// Two replicas watch the same chain; one is thrown away and started anew at random
// moments. What Prometheus adds up from either is what happened on the chain.
func TestIncreasesSurviveRestartsAndEqualTheChain(t *testing.T) {
	cfg := short(96)
	cfg.Faults = []chainsim.Fault{
		chainsim.Outage{Slots: chainsim.Slots{From: 100, To: 114}}, // an epoch and more without blocks, over a window's end
		chainsim.MissAttestation{Validators: chainsim.Range(0, 3)},
		chainsim.Reorg{At: 154, Until: 156},
		chainsim.NoProposal{Validators: chainsim.Range(10, 20), Probability: 0.5},
	}
	cfg.Noise = &chainsim.Noise{Miss: 0.05, EmptySlot: 0.08, Late: 0.05, WrongHead: 0.03, WrongTarget: 0.02, SyncMiss: 0.05}
	sim := simulate(t, cfg)
	window := duty.WindowConfig{Epochs: 6, ResetSlots: 8}
	options := testOptions{validators: allValidators(96), window: window}
	steady, killed := sim.collector(options), sim.collector(options)
	rng := rand.New(rand.NewPCG(7, 7))
	fromSteady, fromKilled := newIncreases(), newIncreases()
	kills := 0
	var last duty.Slot
	for slot := duty.Slot(1); slot <= 5*6*8; slot++ {
		sim.to(slot)
		if rng.IntN(6) == 0 {
			fromSteady.add(samples(t, steady))
		}
		if rng.IntN(8) == 0 {
			killed.Close()
			killed = sim.collector(options)
			kills++
		}
		if slot-last >= 6 || rng.IntN(4) == 0 { // at most 7 slots apart
			fromSteady.add(samples(t, steady))
			fromKilled.add(samples(t, killed))
			last = slot
		}
	}
	fromSteady.add(samples(t, steady))
	fromKilled.add(samples(t, killed))
	if kills < 20 {
		t.Fatalf("only %d kills", kills)
	}
	s := steady.snapshot.Load()
	if !s.counters || s.shown.Anchor < 3*duty.Epoch(window.Epochs) {
		t.Fatalf("shown %+v (counters %v), want the fourth window or later", s.shown, s.counters)
	}
	end := s.shown.Last + 1
	if s.shown.Zero {
		end = s.shown.Anchor
	}
	want := truthCounters(sim, end)
	for key, value := range want {
		if fromSteady.sum[key] != value {
			t.Errorf("steady: %s increased by %v, the chain has %v", key, fromSteady.sum[key], value)
		}
		if fromKilled.sum[key] != value {
			t.Errorf("killed: %s increased by %v, the chain has %v", key, fromKilled.sum[key], value)
		}
	}
	for key, value := range fromSteady.sum {
		if fromKilled.sum[key] != value {
			t.Errorf("%s increased by %v, on the killed replica by %v", key, value, fromKilled.sum[key])
		}
	}
}

// truthCounters counts the events of the epochs before end, from the simulator's own
// decisions.
func truthCounters(sim *simulation, end duty.Epoch) map[string]float64 {
	truth, spec := sim.chain.Truth(), sim.chain.Spec()
	want := map[string]float64{}
	add := func(name string, v duty.ValidatorIndex, n float64) { want[validatorKey(name, v)] += n }
	for e := duty.Epoch(0); e < end; e++ {
		for _, a := range truth.Attestations(e) {
			add("ethereum_validator_attestations_expected_total", a.Validator, 1)
			add("ethereum_validator_attestations_included_total", a.Validator, boolValue(a.Included))
			add("ethereum_validator_attestation_inclusion_delay_slots_total", a.Validator, float64(a.Delay))
			add("ethereum_validator_attestation_source_votes_total", a.Validator, boolValue(a.Source))
			add("ethereum_validator_attestation_target_votes_total", a.Validator, boolValue(a.Target))
			add("ethereum_validator_attestation_head_votes_total", a.Validator, boolValue(a.Head))
		}
		for _, p := range truth.Proposals(e) {
			if p.Slot == 0 {
				continue
			}
			add("ethereum_validator_blocks_expected_total", p.Proposer, 1)
			add("ethereum_validator_blocks_proposed_total", p.Proposer, boolValue(p.Made))
		}
		for slot := spec.FirstSlot(e); slot <= spec.LastSlot(e); slot++ {
			if _, ok := truth.Canonical(slot); !ok || slot == 0 {
				continue
			}
			for _, seat := range truth.Sync(slot) {
				add("ethereum_validator_sync_committee_expected_total", seat.Validator, 1)
				add("ethereum_validator_sync_committee_included_total", seat.Validator, boolValue(seat.Included))
			}
		}
	}
	return want
}

// A replica that has followed the chain and one that has just started write the same
// bytes for the same head.
func TestReplicasWriteTheSameBytes(t *testing.T) {
	cfg := short(64)
	cfg.Faults = []chainsim.Fault{
		chainsim.Offline{Validators: chainsim.Range(0, 4)},
		chainsim.Reorg{At: 61, Until: 63},
		chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{9}, Epoch: 9, Increments: 30},
	}
	sim := simulate(t, cfg)
	options := testOptions{validators: allValidators(64), window: duty.WindowConfig{Epochs: 4, ResetSlots: 8}, completed: 2}
	steady := sim.collector(options)
	for slot := duty.Slot(1); slot <= 160; slot++ {
		sim.to(slot)
		steady.Scrape(context.Background())
		if slot < 40 || slot%3 != 0 {
			continue
		}
		fresh := sim.collector(options)
		fresh.Scrape(context.Background())
		got, want := chainText(fresh), chainText(steady)
		fresh.Close()
		if got != want {
			t.Fatalf("slot %d: a fresh replica differs:\n%s", slot, firstDifference(got, want))
		}
	}
}

// chainText is the text of all families that are a function of the chain.
func chainText(c *Collector) string {
	var b strings.Builder
	s := c.snapshot.Load()
	if s == nil {
		return ""
	}
	for _, f := range s.page.Families() {
		if f.Desc().Origin != catalog.Chain {
			continue
		}
		for _, series := range f.Series() {
			fmt.Fprintf(&b, "%s{%s} %v\n", f.Desc().Name, series.Labels, series.Value)
		}
	}
	return b.String()
}

func firstDifference(got, want string) string {
	g, w := strings.Split(got, "\n"), strings.Split(want, "\n")
	for i := range min(len(g), len(w)) {
		if g[i] != w[i] {
			return "got  " + g[i] + "\nwant " + w[i]
		}
	}
	return fmt.Sprintf("%d lines, want %d", len(g), len(w))
}

func writeFile(t testing.TB, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
