//go:build e2e

package e2e

import (
	"context"
	"net/http/httptest"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
)

// Real parts from end to end: exporter, Prometheus with the remote_write section that is
// shipped, receiver, Postgres. Everything that can happen to validators happens, balances
// change in the middle of windows, and one day ends and the next begins.
func TestWindowsOfASimulatedChainAreStoredAsTheyHappened(t *testing.T) {
	const (
		validators, windowEpochs = 144, 2
		windows, border          = 8, 4 // the second day begins with the fifth window
	)
	ctx, cancel := context.WithTimeout(t.Context(), 4*time.Minute)
	defer cancel()
	of := func(v ...duty.ValidatorIndex) []duty.ValidatorIndex { return v }
	sim := startSimulated(t, chainsim.Config{
		Validators: validators, Seed: 11,
		Faults: []chainsim.Fault{
			chainsim.Offline{Validators: chainsim.Range(0, 12)},
			chainsim.NoProposal{Validators: chainsim.Range(40, 60), Probability: 0.5},
			chainsim.Reorg{At: 21, Until: 23},
			chainsim.Reorg{At: 63, Until: 66},                        // over the end of a window
			chainsim.Outage{Slots: chainsim.Slots{From: 43, To: 49}}, // over the end of an epoch
			chainsim.ProposerSlashing{Slot: 35, Validator: 70},
			chainsim.AttesterSlashing{Slot: 52, Validators: of(20, 71)},
			chainsim.Exit{Validators: of(90, 91), Epoch: 9},
			chainsim.Activation{Validators: of(100), Epoch: 6},
			chainsim.EffectiveBalance{Validators: of(30, 31), Epoch: 5, Increments: 31}, // in the middle of a window
			chainsim.EffectiveBalance{Validators: of(80), Epoch: 8, Increments: 64},
		},
	}, 250*time.Millisecond)
	all := watched{}
	for v := range uint64(validators) {
		all[v] = groupOf(v, validators)
	}
	c := sim.windows(windowEpochs, all)
	p := startPipeline(t, pipelineOptions{
		chain: c, exporters: 1, shown: 3, interval: 500 * time.Millisecond, protocols: []string{writeV2},
		postgres: pgtest.Start(t), daysFrom: c.start(border).Add(-30 * day),
	})
	if time.Now().After(sim.clock.genesis) {
		t.Fatal("the programs took longer to start than the chain")
	}
	// The last window is final some three epochs after its end.
	if err := sim.clock.until(ctx, float64((windows*windowEpochs+3)*int(c.slotsPerEpoch)+4)); err != nil {
		t.Fatal(err)
	}
	sim.clock.pause()

	stored := p.finish(ctx)
	if final, err := c.final(ctx); err != nil || stored != final || stored < windows {
		t.Errorf("%d windows are stored, %d are final (%v), and there should be %d", stored, final, err, windows)
	}
	truth := p.compare(ctx, stored)
	checkEverythingHappened(t, truth)
	p.compareCounters(ctx)
	p.stop()
}

// checkEverythingHappened checks that no number was compared with nothing but zeros.
func checkEverythingHappened(t *testing.T, windows []window) {
	t.Helper()
	sums := totals{}
	for _, w := range windows {
		for measure, value := range w.totals[about{kind: "network"}] {
			sums[measure] += value
		}
	}
	for measure, sum := range sums {
		if sum == 0 {
			t.Errorf("the chain saw nothing that counts as %s", measure)
		}
	}
	if len(sums) != len(measures())+3 {
		t.Errorf("%d measures of the network: %v", len(sums), sums)
	}
}

// simulated is a simulated chain that began soon after the test.
type simulated struct {
	*chainsim.Chain
	clock *pausable
	url   string
}

func startSimulated(t *testing.T, config chainsim.Config, slot time.Duration) *simulated {
	t.Helper()
	config.Preset, config.Network = chainsim.Short(), "simulated"
	config.Preset.SlotDuration = slot
	clock := &pausable{genesis: time.Now().Add(10 * time.Second).Truncate(time.Second), slot: slot}
	config.GenesisTime, config.Clock = clock.genesis, clock.now
	if config.Noise == nil {
		config.Noise = &chainsim.Noise{Miss: 0.04, EmptySlot: 0.06, Late: 0.04, WrongHead: 0.03, WrongTarget: 0.02, SyncMiss: 0.04}
	}
	chain, err := chainsim.New(config)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(chain.Handler())
	t.Cleanup(server.Close)
	return &simulated{chain, clock, server.URL}
}

func (s *simulated) windows(epochs int, w watched) chainWindows {
	spec := s.Spec()
	return chainWindows{
		beaconURL: s.url, genesis: spec.GenesisTime, slot: spec.SlotDuration,
		slotsPerEpoch: spec.SlotsPerEpoch, epochs: epochs, watched: w,
	}
}
