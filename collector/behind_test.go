package collector

import (
	"bytes"
	"log/slog"
	"math/rand/v2"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// countersOf are the samples of the chain's counters, and of what was seen being reorged.
func countersOf(samples map[string]float64) map[string]float64 {
	out := map[string]float64{}
	for key, value := range samples {
		name, _, _ := strings.Cut(key, "{")
		if f, _ := catalog.Get(name); f.Type == catalog.Counter {
			out[key] = value
		}
	}
	return out
}

// Where an epoch has just settled, or the phase of zeros has just begun or ended, a node
// that is a slot behind must not bring back what was shown before: Prometheus would take
// it for a reset, and count what is shown afterwards again. Nor did it reorg anything.
func TestANodeThatIsASlotBehindTakesNothingBack(t *testing.T) {
	for name, slot := range map[string]duty.Slot{
		"an epoch has settled": 98, "in the phase of zeros": 114, "after the phase of zeros": 122,
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulate(t, quiet(64))
			c := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
			sim.to(slot - 1)
			before := countersOf(samples(t, c))
			sim.to(slot)
			want := countersOf(samples(t, c))
			if first := validatorKey("ethereum_validator_attestations_included_total", 3); before[first] == want[first] {
				t.Fatalf("the counter did not change at slot %d", slot)
			}
			sim.node.Set(chainsim.NodeOptions{HeadBehind: 1})
			expect(t, samples(t, c), want)
			if why := c.self.lastError(); !strings.Contains(why, "the node that answered is at slot") {
				t.Errorf("the last error is %q", why)
			}
			sim.node.Set(chainsim.NodeOptions{})
			sim.to(slot + 1)
			expect(t, samples(t, c), want)
			if why := c.self.lastError(); why != "" {
				t.Errorf("the last error is %q", why)
			}
			expect(t, pageSamples(c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: float64(slot + 1)})
			if !c.snapshot.Load().live {
				t.Error("the unsettled duties are not known")
			}
		})
	}
}

// A node that was restarted is epochs back until it has caught up. That takes nothing
// back and reorgs nothing; what is shown meanwhile is the snapshot from before.
func TestARestartedNodeIsWaitedFor(t *testing.T) {
	sim := simulate(t, quiet(64))
	var log bytes.Buffer
	c := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs, logger: slog.New(slog.NewTextHandler(&log, nil))})
	sums := newIncreases()
	for slot := duty.Slot(90); slot <= 150; slot++ {
		sim.to(slot)
		switch {
		case slot == 104:
			sim.node.Set(chainsim.NodeOptions{HeadBehind: 40, Syncing: true})
		case slot == 108:
			sim.node.Set(chainsim.NodeOptions{})
		}
		sums.add(samples(t, c))
		if shown := c.snapshot.Load().slot; slot >= 104 && slot < 108 && shown != 103 {
			t.Errorf("slot %d: %d is shown, want the last head before the restart", slot, shown)
		}
	}
	fresh := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
	if got, want := chainTextOf(t, c), chainTextOf(t, fresh); got != want {
		t.Errorf("differs from a replica that never asked that node:\n%s", firstDifference(got, want))
	}
	if n := selfReorgs(c); n != 0 {
		t.Errorf("%v reorgs observed, want none", n)
	}
	from := truthCounters(sim, 8) // what was counted before the first scrape's window is not seen
	for key, want := range truthCounters(sim, 16) {
		if got := sums.sum[key]; got != want-from[key] {
			t.Errorf("%s increased by %v, the chain has %v", key, got, want-from[key])
		}
	}
	if text := log.String(); strings.Contains(text, "Could not advance") || strings.Contains(text, "again") {
		t.Errorf("the log tells of a node that was behind for four slots:\n%s", text)
	}
}

// Behind one address stand three nodes that take turns by the request; two of them lag.
// What Prometheus adds up is what happened on the chain.
func TestIncreasesEqualTheChainBehindALoadBalancer(t *testing.T) {
	cfg := short(64)
	cfg.Faults = []chainsim.Fault{chainsim.Reorg{At: 90, Until: 92}}
	sim := simulate(t, cfg)
	nodes := []*chainsim.Node{sim.node, sim.chain.Node(chainsim.NodeOptions{HeadBehind: 1}), sim.chain.Node(chainsim.NodeOptions{HeadBehind: 3})}
	rng := rand.New(rand.NewPCG(3, 5))
	turns := make(chan int, 1) // also guards rng
	turns <- 0
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		<-turns
		node := nodes[rng.IntN(len(nodes))]
		turns <- 0
		node.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	c := sim.collector(testOptions{urls: []string{server.URL}, validators: allValidators(64), window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	sums := newIncreases()
	last := duty.Slot(0)
	for slot := duty.Slot(1); slot <= 170; slot++ {
		sim.to(slot)
		for range 4 {
			sums.add(samples(t, c))
		}
		s := c.snapshot.Load()
		if s == nil {
			continue
		}
		if s.slot < last {
			t.Errorf("slot %d: slot %d is shown after %d", slot, s.slot, last)
		}
		last = s.slot
	}
	s := c.snapshot.Load()
	if last < 164 || !s.counters {
		t.Fatalf("the snapshot stands at slot %d of 170, counters %v", last, s.counters)
	}
	for range 20 { // for the last one of them the best node answers
		sums.add(samples(t, c))
	}
	sums.compare(t, sim, c)
	if n := selfReorgs(c); n > 1 {
		t.Errorf("%v reorgs observed, the chain has 1", n)
	}
}

// A fork that is shorter than what is shown is followed once it has grown past it.
func TestAShorterForkIsFollowedOnceItIsPast(t *testing.T) {
	sim := simulate(t, quiet(64))
	second := sim.chain.Node(chainsim.NodeOptions{OtherFork: 3, HeadBehind: 1})
	server := httptest.NewServer(second)
	t.Cleanup(server.Close)
	c := sim.collector(testOptions{urls: []string{sim.url, server.URL}, validators: allValidators(64), window: fourEpochs})
	sim.to(114) // the phase of zeros begins
	want := countersOf(samples(t, c))
	sim.node.Set(chainsim.NodeOptions{FailStatus: 503})
	expect(t, samples(t, c), want)
	if s := c.snapshot.Load(); s.slot != 114 {
		t.Errorf("slot %d is shown, want 114", s.slot)
	}
	sim.to(116) // the second node has 115 and 114 of a fork of its own now
	expect(t, samples(t, c), map[string]float64{
		`ethereum_chain_head_slot{network="sim"}`:                  115,
		`ethereum_chain_reorgs_observed_total{network="sim"}`:      1,
		`ethereum_chain_reorg_depth_observed_slots{network="sim"}`: 2,
	})
}

// A chain that went back itself, and stays there, is followed after a while.
func TestAChainThatWentBackIsFollowedInTheEnd(t *testing.T) {
	sim := simulate(t, quiet(64))
	c := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs, maxAge: 30 * time.Second})
	wait := duty.Slot(rollbackAge / sim.chain.Spec().SlotDuration)
	sim.to(100)
	samples(t, c)
	// The chain of a clock that stands still, which calls itself synced at slot 60.
	back := simulate(t, quiet(64))
	back.to(60)
	sim.node.Set(chainsim.NodeOptions{FailStatus: 503})
	second := httptest.NewServer(back.node)
	t.Cleanup(second.Close)
	c.cfg.Source = sourceOf(t, sim, second.URL)
	if got := samples(t, c); got[`ethereum_chain_head_slot{network="sim"}`] != 100 {
		t.Error("the chain that went back is followed at once")
	}
	sim.slot.Store(uint64(100 + wait/2))
	if got := samples(t, c); len(got) != 0 {
		t.Error("an old snapshot is shown, or the chain that went back followed early")
	}
	sim.slot.Store(uint64(100 + wait + 1))
	expect(t, samples(t, c), map[string]float64{
		`ethereum_chain_head_slot{network="sim"}`:             60,
		`ethereum_chain_reorgs_observed_total{network="sim"}`: 0,
	})
	fresh := sim.collector(testOptions{urls: []string{second.URL}, validators: allValidators(64), window: fourEpochs})
	if got, want := chainTextOf(t, c), chainTextOf(t, fresh); got != want {
		t.Errorf("differs from a replica that begins there:\n%s", firstDifference(got, want))
	}
}

// A node without peers does not call itself syncing, but it tells how far its head is from
// the slot of the clock. However long it stands still, it is not followed back: it will be
// where it was, and counters that fell and rose again would be counted twice.
func TestANodeThatStandsStillIsNotFollowedBack(t *testing.T) {
	sim := simulate(t, quiet(64))
	other, url := sim.another()
	c := sim.collector(testOptions{urls: []string{sim.url, url}, validators: allValidators(64), window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	head := duty.Slot(100)
	sim.to(head)
	expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 100})
	sim.node.Set(chainsim.NodeOptions{HeadStuckAt: 60})
	other.Set(chainsim.NodeOptions{FailStatus: 503})
	for range 3 { // at the second look it has stood for long
		head += duty.Slot(rollbackAge/sim.chain.Spec().SlotDuration) + 1
		sim.to(head)
		if slot, shown := samples(t, c)[`ethereum_chain_head_slot{network="sim"}`]; shown && slot != 100 {
			t.Fatalf("the head is shown at slot %v", slot)
		}
	}
}

// sourceOf is a pool of the nodes at these addresses.
func sourceOf(t *testing.T, sim *simulation, urls ...string) Source {
	t.Helper()
	pool, err := beacon.New(beacon.Config{URLs: urls, Now: sim.now})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}
