package collector

import (
	"fmt"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"path"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// between serves next, except for what answer answers itself.
func between(t *testing.T, next http.Handler, answer func(w http.ResponseWriter, r *http.Request) (answered bool)) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if !answer(w, r) {
			next.ServeHTTP(w, r)
		}
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// A slot that is empty on the canonical chain, right before a block, and a second node
// that is stuck on the block that was reorged out of it: that block never was.
func TestAnOrphanOfAStuckNodeIsNotReadBack(t *testing.T) {
	for name, fault := range map[string]chainsim.Reorg{
		"one block": {At: 69, Until: 70},
		"two":       {At: 69, Until: 71},
	} {
		t.Run(name, func(t *testing.T) {
			sim, stuck := simulate(t, quiet(64, fault)), simulate(t, quiet(64, fault))
			stuck.to(fault.Until - 1)
			sim.to(100)
			alone := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
			both := sim.collector(testOptions{urls: []string{sim.url, stuck.url}, validators: allValidators(64), window: fourEpochs})
			want := chainTextOf(t, alone)
			if got := chainTextOf(t, both); got != want {
				t.Errorf("beside a stuck node:\n%s", firstDifference(got, want))
			}
			if n := stuck.node.Requests()["blocks"].Requests; n == 0 {
				t.Error("the stuck node was not asked for a block")
			}
			if s := both.snapshot.Load(); !s.counters || s.firstEpoch != 8 {
				t.Errorf("counters %v from epoch %d, want them from 8", s.counters, s.firstEpoch)
			}
		})
	}
}

// The best node fails for one slot, and the other one has an orphan there.
func TestAnOrphanIsNotReadBackWhereTheBestNodeFails(t *testing.T) {
	reorg := chainsim.Reorg{At: 69, Until: 70}
	sim, stuck := simulate(t, quiet(64, reorg)), simulate(t, quiet(64, reorg))
	stuck.to(69)
	sim.to(100)
	want := chainTextOf(t, sim.collector(testOptions{validators: allValidators(64), window: fourEpochs}))
	url := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
		if strings.HasSuffix(r.URL.Path, "/blocks/69") {
			w.WriteHeader(http.StatusServiceUnavailable)
			return true
		}
		return false
	})
	c := sim.collector(testOptions{urls: []string{url, stuck.url}, validators: allValidators(64), window: fourEpochs})
	if got := chainTextOf(t, c); got != want {
		t.Errorf("differs:\n%s", firstDifference(got, want))
	}
}

// On one healthy node, proof that old blocks belong to the chain costs one header an
// epoch, beside those for empty slots.
func TestLinkingOldBlocksCostsAHeaderAnEpoch(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.to(98 + 32)
	c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
	samples(t, c)
	got := sim.node.Requests()
	// Epochs 7 to 14 are read back for streaks and counters.
	if headers := got["headers"].Requests; headers > 8+2 {
		t.Errorf("%d headers read for 8 epochs, want one each, the head and its confirmation", headers)
	}
	if blocks := got["blocks"].Requests; blocks > 10*8 {
		t.Errorf("%d blocks read for 10 epochs of 8 slots", blocks)
	}
}

// A hosted node that allows so many requests at a time: each block is read once, and
// what one flight has read is not read again in the next.
func TestARateLimitLosesNoBlockThatWasRead(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.to(100)
	var mu sync.Mutex
	served := map[string]int{}
	limited, left := 0, 3
	var retryAfter atomic.Value
	retryAfter.Store("3600")
	url := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
		_, slot, found := strings.Cut(r.URL.Path, "/beacon/blocks/")
		if !found || strings.HasPrefix(slot, "0x") {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		if left == 0 {
			limited++
			w.Header().Set("Retry-After", retryAfter.Load().(string))
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		left--
		served[slot]++
		return false
	})
	c := sim.collector(testOptions{urls: []string{url}, validators: allValidators(64), window: fourEpochs})
	samples(t, c)
	if len(served) != 3 || limited == 0 || limited > parallelBlocks {
		t.Errorf("%d blocks read and %d requests refused in the first flight, want 3 and at most %d", len(served), limited, parallelBlocks)
	}
	// The node wants to be left alone for an hour: for ten minutes it is.
	before := limited
	samples(t, c)
	if limited != before {
		t.Errorf("%d requests while the node wants none", limited-before)
	}
	mu.Lock()
	left = 1 << 20
	mu.Unlock()
	sim.slot.Store(100 + 51) // the clock, not the chain
	samples(t, c)
	for slot, n := range served {
		if n > 1 {
			t.Errorf("slot %s was read %d times", slot, n)
		}
	}
	if s := c.snapshot.Load(); !s.counters || s.firstEpoch != 8 {
		t.Errorf("counters %v from epoch %d, want them from 8", s.counters, s.firstEpoch)
	}
}

// limitedTo is a node that gives some blocks at a time, and then wants to be left alone.
func limitedTo(t *testing.T, sim *simulation, left *atomic.Int64) (url string) {
	return between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/beacon/blocks/") || left.Add(-1) >= 0 {
			return false
		}
		w.Header().Set("Retry-After", "3600")
		w.WriteHeader(http.StatusTooManyRequests)
		return true
	})
}

// Such a node beside one that has not filled in its past, and says of each old slot that it
// is empty: no slot is taken to be so, and each flight goes on where the last one ended.
func TestARateLimitBesideANodeWithoutOldBlocksLosesNothing(t *testing.T) {
	for _, inSlots := range []int64{3, 1} {
		sim := simulate(t, quiet(64, chainsim.Outage{Slots: chainsim.Slots{From: 68, To: 70}}))
		sim.to(100)
		old := map[string]bool{}
		for slot := duty.Slot(1); slot < 80; slot++ {
			root, _ := sim.chain.Truth().Canonical(slot)
			old[fmt.Sprintf("%#x", root[:])], old[fmt.Sprint(slot)] = true, true
		}
		without := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
			if !strings.Contains(r.URL.Path, "/beacon/blocks/") && !strings.Contains(r.URL.Path, "/beacon/headers/") || !old[path.Base(r.URL.Path)] {
				return false
			}
			w.WriteHeader(http.StatusNotFound)
			return true
		})
		var left atomic.Int64
		c := sim.collector(testOptions{urls: []string{limitedTo(t, sim, &left), without}, validators: allValidators(64), window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
		flights := duty.Slot(0)
		for ; flights < 100; flights++ {
			left.Store(inSlots)
			sim.slot.Store(uint64(100 + 51*flights)) // the clock, not the chain: ten minutes
			samples(t, c)
			if c.snapshot.Load().counters && c.snapshot.Load().firstEpoch == 8 {
				break
			}
		}
		fresh := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
		if got, want := chainText(c), chainTextOf(t, fresh); flights == 100 || got != want {
			t.Errorf("%d blocks at a time, after %d flights it differs from a replica of a node without a limit:\n%s", inSlots, flights, firstDifference(got, want))
		}
	}
}

// A hosted node whose quota is used up, beside one's own: an empty slot of the past, which
// only the own node speaks of, waits for no quota.
func TestAnEmptySlotWaitsForNoQuota(t *testing.T) {
	sim := simulate(t, quiet(64, chainsim.Outage{Slots: chainsim.Slots{From: 68, To: 70}}))
	sim.to(100)
	var none atomic.Int64
	c := sim.collector(testOptions{urls: []string{sim.url, limitedTo(t, sim, &none)}, validators: allValidators(64), window: fourEpochs})
	fresh := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
	if got, want := chainTextOf(t, c), chainTextOf(t, fresh); got != want {
		t.Errorf("differs from a replica of the own node alone:\n%s", firstDifference(got, want))
	}
	if none.Load() == 0 {
		t.Error("the hosted node was not asked")
	}
}

// A limit of some requests a second slows reading back; one flight gets through.
func TestReadingBackSlowsDownToTheNodesLimit(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.to(100)
	var mu sync.Mutex
	tokens, last := 20.0, time.Now()
	url := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
		if _, slot, found := strings.Cut(r.URL.Path, "/beacon/blocks/"); !found || strings.HasPrefix(slot, "0x") {
			return false
		}
		mu.Lock()
		defer mu.Unlock()
		now := time.Now()
		tokens = min(20, tokens+now.Sub(last).Seconds()*100)
		last = now
		if tokens < 1 {
			w.WriteHeader(http.StatusTooManyRequests)
			return true
		}
		tokens--
		return false
	})
	c := sim.collector(testOptions{urls: []string{url}, validators: []string{"3"}, window: fourEpochs})
	samples(t, c)
	if s := c.snapshot.Load(); !s.counters || s.firstEpoch != 8 {
		t.Errorf("counters %v from epoch %d, want them from 8", s.counters, s.firstEpoch)
	}
}

// One request that fails in a way that may also mean "not kept" leaves no gap: counters
// wait, and then are whole.
func TestALoneRefusalLeavesNoWall(t *testing.T) {
	for _, part := range []string{"/committees?epoch=9", "/duties/proposer/9"} {
		t.Run(part, func(t *testing.T) {
			sim := simulate(t, quiet(64))
			sim.to(100)
			var failing atomic.Bool
			failing.Store(true)
			url := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
				if !failing.Load() || !strings.Contains(r.URL.RequestURI(), part) {
					return false
				}
				w.WriteHeader(http.StatusInternalServerError)
				return true
			})
			c := sim.collector(testOptions{urls: []string{url}, validators: []string{"3"}, window: fourEpochs})
			expected := validatorKey("ethereum_validator_attestations_expected_total", 3)
			for range 3 {
				expect(t, samples(t, c), map[string]float64{expected: absent})
			}
			failing.Store(false)
			expect(t, samples(t, c), map[string]float64{expected: 3})
			expect(t, selfSamples(t, c), map[string]float64{"validator_exporter_window_complete": 1})
		})
	}
}

// A node that has just come up, or answers as with a fault of its own, may have an epoch
// some minutes later: to start counters without it would cost the rest of the window.
func TestANodeThatHasJustComeUpIsWaitedForBeforeAWall(t *testing.T) {
	for name, refusal := range map[string]int{"a fault of its own": http.StatusInternalServerError, "it came up": http.StatusNotFound} {
		t.Run(name, func(t *testing.T) {
			sim := simulate(t, quiet(64))
			var failing, down atomic.Bool
			failing.Store(true)
			url := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
				switch {
				case down.Load():
					w.WriteHeader(http.StatusServiceUnavailable)
				case failing.Load() && strings.Contains(r.URL.RequestURI(), "/committees?epoch=9"):
					w.WriteHeader(refusal)
				default:
					return false
				}
				return true
			})
			c := sim.collector(testOptions{urls: []string{url}, validators: []string{"3"}, window: duty.WindowConfig{Epochs: 8, ResetSlots: 8}})
			down.Store(refusal == http.StatusNotFound)
			for slot := duty.Slot(100); slot <= 115; slot++ { // three minutes
				sim.to(slot)
				samples(t, c)
				down.Store(false)
			}
			failing.Store(false)
			samples(t, c)
			if s := c.snapshot.Load(); !s.counters || s.firstEpoch != 8 {
				t.Errorf("counters %v from epoch %d, want them from 8", s.counters, s.firstEpoch)
			}
		})
	}
}

// A node that fills in its past while it runs: counters that have started late stay so
// until the window rolls, or Prometheus would count the window's first part as new.
func TestCountersThatStartedLateNeverStartEarlier(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.node.Set(chainsim.NodeOptions{PrunedCommittees: true})
	window := duty.WindowConfig{Epochs: 12, ResetSlots: 8}
	c := sim.collector(testOptions{validators: []string{"3"}, window: window, completed: 1})
	sums := newIncreases()
	expected := validatorKey("ethereum_validator_attestations_expected_total", 3)
	for slot := duty.Slot(130); slot <= 207; slot++ { // epoch 16; window 12..23, which ends at S(23) = 202
		if slot == 150 {
			sim.node.Set(chainsim.NodeOptions{})
		}
		sim.to(slot)
		sums.add(samples(t, c))
		if s := c.snapshot.Load(); s.counters && s.shown.Anchor == 12 && !s.shown.Zero && s.firstEpoch != 15 {
			t.Fatalf("slot %d: counters from epoch %d, want them from 15 throughout", slot, s.firstEpoch)
		}
	}
	if s := c.snapshot.Load(); !s.counters || s.shown.Last != 23 || sums.sum[expected] != 24-15 {
		t.Fatalf("shown %+v (%v), increased by %v, want the 9 epochs 15 to 23", s.shown, s.counters, sums.sum[expected])
	}
	if _, why := c.Ready(); !strings.Contains(why, "were not served in time") {
		t.Errorf("readiness says %q", why)
	}
	for slot := duty.Slot(208); slot <= 217; slot++ {
		sim.to(slot)
		sums.add(samples(t, c))
	}
	if sums.sum[expected] != 24-15 {
		t.Errorf("increased by %v after the window's end, want 9", sums.sum[expected])
	}
	// The epochs that were read late are part of the finished window.
	finished := validatorKey("ethereum_validator_window_attestations_expected", 3, `window="`+windowOf(sim, 12)+`"`)
	sim.to(27 * 8)
	expect(t, samples(t, c), map[string]float64{finished: 12})
}

func windowOf(sim *simulation, first duty.Epoch) string {
	label := windowLabel(sim.chain.Spec(), first)
	return label[len(`,window="`) : len(label)-1]
}
