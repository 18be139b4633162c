//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"net/http/httptest"
	"sync"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// Twenty kills, one in each epoch but the first two, over three windows and into the
// fourth: whatever moment of a window it is, a replica that dies in it loses nothing.
// The slots of half a second check that the exporter believes the chain, which says so,
// and not its name.
func TestTwentyKillsOnASimulatedChain(t *testing.T) {
	t.Parallel()
	const (
		validators               = 144 // cohorts of 18: just enough to tell the network's faults
		windowEpochs, resetSlots = 6, 8
		kills                    = 20
	)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	preset := chainsim.Short()
	preset.SlotDuration = 500 * time.Millisecond
	perEpoch := int(preset.SlotsPerEpoch)
	clock := &pausable{genesis: time.Now().Add(6 * time.Second).Truncate(time.Second), slot: preset.SlotDuration}
	sim, err := chainsim.New(chainsim.Config{
		Preset: preset, Validators: validators, Seed: 5, Network: "simulated",
		GenesisTime: clock.genesis, Clock: clock.now,
		Noise: &chainsim.Noise{Miss: 0.04, EmptySlot: 0.06, Late: 0.04, WrongHead: 0.03, WrongTarget: 0.02, SyncMiss: 0.04},
		Faults: []chainsim.Fault{
			chainsim.Offline{Validators: chainsim.Range(0, 12)},
			chainsim.NoProposal{Validators: chainsim.Range(40, 60), Probability: 0.5},
			chainsim.Reorg{At: 37, Until: 39},
			chainsim.Outage{Slots: chainsim.Slots{From: 93, To: 104}}, // over the end of an epoch
			chainsim.Reorg{At: 130, Until: 132},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(sim.Handler())
	defer server.Close()
	spec := sim.Spec()

	r := startReplicas(t, replicaOptions{
		beaconURL: server.URL, validators: validators, windowEpochs: windowEpochs, resetSlots: resetSlots,
		interval: 500 * time.Millisecond,
	})
	if time.Now().After(spec.SlotStart(1)) {
		t.Fatal("the exporters took longer to start than the chain")
	}

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	var slots []int
	for epoch := 2; epoch < 2+kills; epoch++ {
		slots = append(slots, epoch*perEpoch+random.IntN(perEpoch))
	}
	t.Logf("seed %d: b is killed in the slots %d", seed, slots)
	running, runCtx := errgroup.WithContext(ctx)
	running.Go(func() error { return r.killB(runCtx, clock, slots, random) })
	running.Go(func() error {
		if err := clock.until(runCtx, 40); err != nil {
			return err
		}
		a, err := r.a.scrape(runCtx)
		if err != nil {
			return err
		}
		if slot, ok := a.one("ethereum_chain_slot"); !ok || slot < 40 || slot > 48 {
			t.Errorf("ethereum_chain_slot is %v (%t) soon after slot 40", slot, ok)
		}
		// A complete window and the zeros after it, twice, and the middle of a window.
		return r.compareBytesAt(runCtx, clock, []int{59, 68, 107, 116, 140})
	})
	running.Go(func() error {
		// In the middle of the fourth window, past its zeros.
		defer clock.pause()
		return clock.until(runCtx, float64(3*windowEpochs+5)*float64(perEpoch)+4)
	})
	if err := running.Wait(); err != nil {
		t.Fatal(err)
	}
	epoch, at, err := r.waitShown(ctx, 3*windowEpochs+2)
	if err != nil {
		t.Fatal(err)
	}
	if n := r.kills.Load(); n != kills {
		t.Errorf("b was killed %d times, not %d", n, kills)
	}

	a, err := increases(ctx, r.prometheus, "a", at)
	if err != nil {
		t.Fatal(err)
	}
	b, err := increases(ctx, r.prometheus, "b", at)
	if err != nil {
		t.Fatal(err)
	}
	expected := fmt.Sprintf("%s{network=%q}", attestationsExpected, network)
	if rolls := epoch / windowEpochs; a[expected].resets != rolls || b[expected].resets != rolls {
		t.Errorf("Prometheus saw %d resets of a and %d of b, and %d windows ended", a[expected].resets, b[expected].resets, rolls)
	}
	compareIncreases(t, a, b, truthOf(sim, validators, epoch).series(windowEpochs))
	r.compareBytes(ctx)
	r.end(ctx)
}

// truthOf is the history up to an epoch, as the simulator decided it.
func truthOf(sim *chainsim.Chain, validators, last int) history {
	truth, spec := sim.Truth(), sim.Spec()
	h := history{
		validators: validators,
		epochs:     make([]map[uint64]events, last+1),
		ether: func(validator uint64, epoch int) uint64 {
			return uint64(truth.EffectiveBalance(duty.ValidatorIndex(validator), duty.Epoch(epoch)) / 1e9)
		},
	}
	hasBlock := func(slot uint64) bool {
		_, ok := truth.Canonical(duty.Slot(slot))
		return ok
	}
	for n := range h.epochs {
		epoch, of := duty.Epoch(n), map[uint64]events{}
		h.epochs[n] = of
		add := func(v duty.ValidatorIndex, e events) {
			sum := of[uint64(v)]
			sum.add(e)
			of[uint64(v)] = sum
		}
		duties := map[uint64]attested{}
		for _, a := range truth.Attestations(epoch) {
			duties[uint64(a.Validator)] = attested{uint64(a.Slot), a.Included, [3]bool{a.Source, a.Target, a.Head}}
			add(a.Validator, events{
				expected: 1, included: number(a.Included), delay: int(a.Delay),
				source: number(a.Source), target: number(a.Target), head: number(a.Head),
			})
		}
		for v, lost := range lostVotes(spec.SlotsPerEpoch, uint64(epoch), duties, hasBlock) {
			add(duty.ValidatorIndex(v), events{lost: lost})
		}
		for _, p := range truth.Proposals(epoch) {
			if p.Slot > 0 { // genesis is nobody's
				add(p.Proposer, events{blocksExpected: 1, blocksProposed: number(p.Made)})
			}
		}
		for slot := max(spec.FirstSlot(epoch), 1); slot <= spec.LastSlot(epoch); slot++ {
			for _, seat := range truth.Sync(slot) {
				add(seat.Validator, events{syncExpected: 1, syncIncluded: number(seat.Included)})
			}
		}
	}
	return h
}

// pausable is a chain's time, which may stand still for a while.
type pausable struct {
	genesis time.Time
	slot    time.Duration

	mu      sync.Mutex
	stopped time.Time // zero while the time runs
	lost    time.Duration
}

func (p *pausable) now() time.Time {
	p.mu.Lock()
	defer p.mu.Unlock()
	if !p.stopped.IsZero() {
		return p.stopped
	}
	return time.Now().Add(-p.lost)
}

func (p *pausable) pause() {
	now := p.now()
	p.mu.Lock()
	defer p.mu.Unlock()
	p.stopped = now
}

func (p *pausable) resume() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lost, p.stopped = time.Since(p.stopped), time.Time{}
}

func (p *pausable) until(ctx context.Context, slot float64) error {
	at := p.genesis.Add(time.Duration(slot * float64(p.slot)))
	for p.now().Before(at) {
		if err := sleepUntil(ctx, time.Now().Add(10*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}
