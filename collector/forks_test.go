package collector

import (
	"log/slog"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// Head and blocks come from one node, committees from another one that follows a fork of
// its own: nothing of that is shown until the second node is on the same chain.
func TestWhatANodeOnAForkToldIsNotShown(t *testing.T) {
	sim := simulate(t, quiet(64))
	second, url := sim.another()
	c := sim.collector(testOptions{urls: []string{sim.url, url}, validators: allValidators(64), window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	sim.to(103)
	samples(t, c)
	sim.node.Set(chainsim.NodeOptions{Only: []string{"committees"}, FailStatus: 503})
	second.Set(chainsim.NodeOptions{OtherFork: 3})
	sim.to(105) // the next epoch, which began at 104
	for range 2 {
		expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 103})
		if why := c.self.lastError(); !strings.Contains(why, "the block at slot 104 is not canonical for a node that was asked") {
			t.Errorf("the last error is %q", why)
		}
	}
	second.Set(chainsim.NodeOptions{HeadBehind: 1}) // on the same chain, not at its head
	expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 105})
	sim.node.Set(chainsim.NodeOptions{})
	fresh := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
	if got, want := chainTextOf(t, c), chainTextOf(t, fresh); got != want {
		t.Errorf("differs from a replica that never asked the second node:\n%s", firstDifference(got, want))
	}
}

// Nor later: it is read in one scrape, which then fails, and the rest of it in the next one
// from the first node, which does not speak for the other.
func TestWhatANodeOnAForkToldIsNotConfirmedByAnother(t *testing.T) {
	sim := simulate(t, quiet(64))
	second, url := sim.another()
	c := sim.collector(testOptions{urls: []string{sim.url, url}, validators: allValidators(64), window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	sim.node.Set(chainsim.NodeOptions{Only: []string{"committees", "proposer_duties"}, FailStatus: 503})
	second.Set(chainsim.NodeOptions{OtherFork: 3, Only: []string{"proposer_duties"}, FailStatus: 503})
	sim.to(105)
	expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: absent})
	sim.node.Set(chainsim.NodeOptions{})
	expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: absent})
	expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 105})
}

// What a node was not able to confirm is not shown, and not read again at once either: that
// would be more work for a node that has too much. It is, when the node is silent twice.
func TestWhatGetsNoAnswerIsAskedAgainBeforeItIsReadAgain(t *testing.T) {
	for name, answer := range map[string]struct {
		status       int
		silent, read uint64
	}{
		"once":                   {http.StatusTooManyRequests, 1, 1},
		"twice":                  {http.StatusServiceUnavailable, 2, 2},
		"the block is not there": {http.StatusNotFound, 1, 2},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulate(t, quiet(64))
			var fails atomic.Bool
			refusing := http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { http.Error(w, "to order", answer.status) })
			url := lying(t, sim, refusing, func(r *http.Request) bool {
				return fails.Load() && strings.Contains(r.URL.Path, "/headers/0x")
			})
			c := sim.collector(testOptions{urls: []string{url}, validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
			sim.to(103)
			samples(t, c)
			crew := c.snapshot.Load().crew()
			fails.Store(true)
			sim.to(104)
			before := sim.node.Requests()["validators"].Requests
			for range answer.silent {
				expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 103})
				if why := c.self.lastError(); !strings.Contains(why, "does not confirm its block at slot 104") {
					t.Errorf("the last error is %q", why)
				}
			}
			fails.Store(false)
			expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 104})
			if n := sim.node.Requests()["validators"].Requests - before; n != answer.read {
				t.Errorf("validators were read %d times, want %d", n, answer.read)
			}
			if c.snapshot.Load().crew() != crew {
				t.Error("those who are watched are worked out anew")
			}
		})
	}
}

// A node that only gave old committees, which the blocks prove, is not asked about the head.
func TestWhoGaveThePastDoesNotSpeakForTheHead(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.node.Set(chainsim.NodeOptions{PrunedCommittees: true})
	second := sim.chain.Node(chainsim.NodeOptions{OtherFork: 3})
	server := httptest.NewServer(second)
	t.Cleanup(server.Close)
	c := sim.collector(testOptions{urls: []string{sim.url, server.URL}, validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	sim.to(103)
	samples(t, c)
	if s := c.snapshot.Load(); !s.counters || second.Requests()["committees"].Requests == 0 {
		t.Fatalf("counters %v, committees read from the second node %d times", s.counters, second.Requests()["committees"].Requests)
	}
	sim.to(104)
	expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 104})
	if why := c.self.lastError(); why != "" {
		t.Errorf("the last error is %q", why)
	}
}
