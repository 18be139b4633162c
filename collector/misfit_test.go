package collector

import (
	"bytes"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// lying puts a node before sim's that gives some requests to another node. It returns the
// node's address.
func lying(t *testing.T, sim *simulation, other http.Handler, lies func(*http.Request) bool) string {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if lies(r) {
			other.ServeHTTP(w, r)
			return
		}
		sim.node.ServeHTTP(w, r)
	}))
	t.Cleanup(server.Close)
	return server.URL
}

// Committees that do not fit the blocks are asked for again, live and when the epoch
// settles: a node that was wrong once holds nothing up for good.
func TestWrongCommitteesAreAskedForAgain(t *testing.T) {
	sim := simulate(t, quiet(64))
	// Its committees have other sizes.
	other := simulate(t, quiet(48))
	other.to(200)
	var wrong atomic.Bool
	lies := 0
	url := lying(t, sim, other.node, func(r *http.Request) bool {
		lie := wrong.Load() && strings.HasSuffix(r.URL.Path, "/committees") && r.URL.Query().Get("epoch") == "14"
		if lie {
			lies++
		}
		return lie
	})
	c := sim.collector(testOptions{urls: []string{url}, validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	sim.to(100)
	samples(t, c)
	wrong.Store(true)
	failed := 0
	for slot := duty.Slot(101); slot <= 135; slot++ {
		sim.to(slot)
		samples(t, c)
		if c.self.lastError() != "" {
			failed++
		}
		if slot >= 114 {
			wrong.Store(false)
		}
	}
	if lies == 0 || failed == 0 {
		t.Fatalf("%d lies, %d failures: the node was not wrong", lies, failed)
	}
	fresh := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
	if got, want := chainTextOf(t, c), chainTextOf(t, fresh); got != want {
		t.Errorf("differs from a replica that was told the truth: %s\n%s", c.self.lastError(), firstDifference(got, want))
	}
}

// A node that stays wrong is passed over, and named, where there is another one.
func TestANodeWhoseCommitteesDoNotFitIsPassedOver(t *testing.T) {
	sim := simulate(t, quiet(64))
	other := simulate(t, quiet(48))
	other.to(200)
	url := lying(t, sim, other.node, func(r *http.Request) bool {
		epoch, _ := strconv.Atoi(r.URL.Query().Get("epoch"))
		return strings.HasSuffix(r.URL.Path, "/committees") && epoch >= 14
	})
	var log bytes.Buffer
	c := sim.collector(testOptions{urls: []string{url, sim.url}, validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.NewTextHandler(&log, nil))})
	failed := 0
	for slot := duty.Slot(100); slot <= 158; slot++ {
		sim.to(slot)
		samples(t, c)
		if c.self.lastError() != "" {
			failed++
		}
	}
	if failed == 0 || failed > 2 {
		t.Errorf("%d of 59 scrapes failed, want one for each epoch that the node was asked about", failed)
	}
	if !strings.Contains(log.String(), "do not fit together") || !strings.Contains(log.String(), url) {
		t.Errorf("the log does not name %s:\n%s", url, log.String())
	}
	fresh := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
	if got, want := chainTextOf(t, c), chainTextOf(t, fresh); got != want {
		t.Errorf("differs from a replica that was told the truth: %s\n%s", c.self.lastError(), firstDifference(got, want))
	}
}

// So is a block whose body does not fit, here that of another slot.
func TestAWrongBlockIsAskedForAgain(t *testing.T) {
	sim := simulate(t, quiet(64))
	c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	sim.to(100)
	samples(t, c)
	spoil(c, 97, func(b *duty.Block) { // it attests to itself
		b.Attestations = slices.Clone(b.Attestations)
		b.Attestations[0].Slot = 97
	})
	for _, d := range c.state.duties {
		d.tally, d.tallied = nil, duty.Root{}
	}
	sim.to(101)
	samples(t, c)
	if why := c.self.lastError(); !strings.Contains(why, "is read again") {
		t.Fatalf("the last error is %q", why)
	}
	fresh := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
	if got, want := chainTextOf(t, c), chainTextOf(t, fresh); got != want {
		t.Errorf("differs from a replica that was told the truth: %s\n%s", c.self.lastError(), firstDifference(got, want))
	}
}

// An epoch that cannot be accounted from what was read live does not hold up the head,
// and is read back.
func TestAnEpochThatDoesNotFitHoldsUpNothing(t *testing.T) {
	for name, tc := range map[string]struct {
		slot  duty.Slot
		spoil func(*duty.Block)
	}{
		"an attestation": {95, func(b *duty.Block) {
			b.Attestations = slices.Clone(b.Attestations)
			b.Attestations[0].Slot, b.Attestations[0].TargetEpoch = 95, 10
		}},
		"a sync aggregate": {84, func(b *duty.Block) { b.SyncBits = nil }},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulate(t, quiet(64))
			var log bytes.Buffer
			c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.NewTextHandler(&log, nil))})
			sim.to(97)
			samples(t, c)
			spoil(c, tc.slot, tc.spoil)
			d := c.state.duties[10]
			d.tally, d.tallied = nil, duty.Root{}
			sim.to(98) // epoch 10 settles
			got := chainTextOf(t, c)
			if why := c.self.lastError(); why != "" {
				t.Errorf("the head is held up: %s", why)
			}
			if !strings.Contains(log.String(), "could not be accounted") {
				t.Errorf("the log does not tell:\n%s", log.String())
			}
			fresh := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
			if want := chainTextOf(t, fresh); got != want {
				t.Errorf("differs from a replica that was told the truth:\n%s", firstDifference(got, want))
			}
		})
	}
}

// Nor does one that is not settled, as long as it is not the head's own: here at a start.
func TestAnUnsettledEpochThatDoesNotFitHoldsUpNothing(t *testing.T) {
	sim := simulate(t, quiet(64))
	other := simulate(t, quiet(48))
	other.to(200)
	var wrong atomic.Bool
	wrong.Store(true)
	url := lying(t, sim, other.node, func(r *http.Request) bool {
		return wrong.Load() && strings.HasSuffix(r.URL.Path, "/committees") && r.URL.Query().Get("epoch") == "14"
	})
	sim.to(121) // epoch 15
	var log bytes.Buffer
	c := sim.collector(testOptions{urls: []string{url}, validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.NewTextHandler(&log, nil))})
	for slot := duty.Slot(121); slot <= 123; slot++ {
		sim.to(slot)
		expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: float64(slot)})
		if why := c.self.lastError(); why != "" {
			t.Errorf("slot %d: the head is held up: %s", slot, why)
		}
	}
	if s := c.snapshot.Load(); s == nil || s.live {
		t.Error("duties that are not known are shown")
	}
	if n := strings.Count(log.String(), "does not fit together; the head goes on"); n != 1 {
		t.Errorf("the log tells %d times:\n%s", n, log.String())
	}
	wrong.Store(false)
	sim.to(124)
	fresh := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
	if got, want := chainTextOf(t, c), chainTextOf(t, fresh); got != want {
		t.Errorf("differs from a replica that was told the truth:\n%s", firstDifference(got, want))
	}
}

// A past epoch that cannot be read does not keep back what else there is to read.
func TestAPastEpochThatFailsKeepsBackNoRewards(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.to(100)
	url := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.HasSuffix(r.URL.Path, "/duties/proposer/9") {
			return false
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	c := sim.collector(testOptions{urls: []string{url}, validators: []string{"3"}, window: fourEpochs})
	samples(t, c)
	if s := c.snapshot.Load(); s.counters || s.rewards.byIndex == nil {
		t.Errorf("counters %v, rewards %v: want the rewards only", s.counters, s.rewards.byIndex)
	}
}

// spoil changes the block that was read of slot.
func spoil(c *Collector, slot duty.Slot, change func(*duty.Block)) {
	l := &c.state.spine.links[c.state.spine.from(slot)]
	body := *l.body
	change(&body)
	l.body = &body
	c.blocks.Put(l.root, l.body)
}

// A reorg that reaches over the block that decides a sync committee has it read again.
func TestADeepReorgForgetsTheSyncCommitteesItDecides(t *testing.T) {
	sim := simulate(t, quiet(64))
	spec := sim.chain.Spec()
	perPeriod := duty.Slot(spec.EpochsPerSyncCommitteePeriod * spec.SlotsPerEpoch)
	st := newState()
	st.spec, st.nextSeatsAsked = spec, 7
	for period := range uint64(6) {
		st.seats[period] = []duty.ValidatorIndex{}
	}
	st.invalidate(3*perPeriod - 1) // the last block before period 3, which decides period 4
	for period := range uint64(6) {
		if kept := st.seats[period] != nil; kept != (period < 4) {
			t.Errorf("the committee of period %d is kept: %v", period, kept)
		}
	}
	if st.nextSeatsAsked == 7 {
		t.Error("the next committee is not asked for again in this epoch")
	}
	st.invalidate(0)
	if len(st.seats) != 2 {
		t.Errorf("%d committees kept, want those of genesis", len(st.seats))
	}
}

// A walk from the head that ends early goes on where it ended: on a slow link its time is
// not enough for three epochs of blocks.
func TestAWalkThatEndedEarlyGoesOn(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.to(100)
	sim.node.Set(chainsim.NodeOptions{Only: []string{"blocks"}, FailStatus: 503, FailRatio: 1. / 6})
	c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	for range 6 {
		samples(t, c)
		if c.snapshot.Load() != nil {
			break
		}
	}
	if c.snapshot.Load() == nil {
		t.Errorf("no snapshot after six scrapes: %s", c.self.lastError())
	}
	if s := c.blocks.Stats(); s.Misses > 0 {
		t.Errorf("%d misses of the cache, which tell that it is too small", s.Misses)
	}
}
