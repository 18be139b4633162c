package collector

import (
	"context"
	"log/slog"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// A hung, a slow and a failing node beside a good one: no scrape takes longer than
// its deadline, and no event is lost.
func TestScrapesKeepTheirDeadlineBesideBadNodes(t *testing.T) {
	sim := simulate(t, short(64))
	nodes := map[string]*chainsim.Node{}
	var urls []string
	for _, name := range []string{"hung", "slow", "failing", "good"} {
		var url string
		nodes[name], url = sim.another()
		urls = append(urls, url)
	}
	t.Cleanup(func() { // let the servers close
		for _, n := range nodes {
			n.Set(chainsim.NodeOptions{})
		}
	})
	window := duty.WindowConfig{Epochs: 4, ResetSlots: 8}
	c := sim.collector(testOptions{urls: urls, validators: allValidators(64), window: window, timeout: time.Second})
	bad := func() {
		nodes["hung"].Set(chainsim.NodeOptions{Hang: true})
		nodes["slow"].Set(chainsim.NodeOptions{Delay: 5 * time.Second})
		nodes["failing"].Set(chainsim.NodeOptions{FailStatus: 500})
	}
	const deadline = 700 * time.Millisecond
	sums := newIncreases()
	for slot := duty.Slot(1); slot <= 130; slot++ {
		switch slot {
		case 40:
			bad()
		case 46: // no good node at all
			nodes["good"].Set(chainsim.NodeOptions{FailStatus: 503})
		case 49:
			nodes["good"].Set(chainsim.NodeOptions{})
		}
		sim.to(slot)
		ctx, cancel := context.WithTimeout(context.Background(), deadline)
		began := time.Now()
		c.Scrape(ctx)
		if took := time.Since(began); took > deadline+200*time.Millisecond {
			t.Errorf("slot %d: the scrape took %s, its deadline was %s", slot, took, deadline)
		}
		cancel()
		sums.add(pageSamples(c))
	}
	if slot := c.snapshot.Load().slot; slot < 128 {
		t.Errorf("the snapshot stands at slot %d of 130", slot)
	}
	for _, n := range nodes {
		n.Set(chainsim.NodeOptions{})
	}
	sums.add(samples(t, c))
	sums.compare(t, sim, c)
}

func pageSamples(c *Collector) map[string]float64 {
	out := map[string]float64{}
	s := c.snapshot.Load()
	if s == nil {
		return out
	}
	for _, f := range s.page.Families() {
		for _, series := range f.Series() {
			out[f.Desc().Name+"{"+series.Labels+"}"] = series.Value
		}
	}
	return out
}

// A node that keeps few committees: the window starts late, and says so. The next
// window is whole.
func TestANodeThatPrunesCommitteesGivesAPartialWindow(t *testing.T) {
	sim := simulate(t, short(64))
	sim.node.Set(chainsim.NodeOptions{PrunedCommittees: true})
	sim.to(100) // epoch 12; newest settled 10; window 8..11
	c := sim.collector(testOptions{validators: []string{"3"}, window: duty.WindowConfig{Epochs: 4, ResetSlots: 8}})
	samples(t, c)
	if ok, why := c.Ready(); ok {
		t.Errorf("ready with nothing settled that could be read: %s", why)
	}
	for slot := duty.Slot(101); slot <= 112; slot++ {
		sim.to(slot)
		samples(t, c)
	}
	s := c.snapshot.Load()
	if !s.counters || s.firstEpoch != 11 || s.shown.Anchor != 8 {
		t.Fatalf("counters %v from epoch %d of %+v, want from 11 of a window from 8", s.counters, s.firstEpoch, s.shown)
	}
	if got := pageSamples(c)[validatorKey("ethereum_validator_attestations_expected_total", 3)]; got != 1 {
		t.Errorf("expected attestations %v, want the 1 of epoch 11", got)
	}
	if ok, why := c.Ready(); !ok || !strings.Contains(why, "counters start at epoch 11 instead of 8: no node serves") {
		t.Errorf("readiness %v: %s", ok, why)
	}
	for slot := duty.Slot(113); slot <= 144; slot++ {
		sim.to(slot)
		samples(t, c)
	}
	if s := c.snapshot.Load(); !s.counters || s.firstEpoch != 12 || s.shown.Anchor != 12 {
		t.Errorf("counters %v from epoch %d of %+v, want the whole window from 12", s.counters, s.firstEpoch, s.shown)
	}
}

// With no node reachable there are no chain families, and nothing invented; when one
// comes up, there they are.
func TestAnUnreachableNodeShowsNothingUntilItComesUp(t *testing.T) {
	sim := simulate(t, short(64))
	sim.to(40)
	sim.node.Set(chainsim.NodeOptions{FailStatus: 503})
	c := sim.collector(testOptions{validators: []string{"3"}})
	if got := samples(t, c); len(got) != 0 {
		t.Errorf("%d samples without a node", len(got))
	}
	if ok, why := c.Ready(); ok || !strings.Contains(why, "no snapshot yet") {
		t.Errorf("readiness %v: %s", ok, why)
	}
	sim.node.Set(chainsim.NodeOptions{})
	if got := samples(t, c); got[`ethereum_chain_head_slot{network="sim"}`] != 40 {
		t.Errorf("head slot %v, want 40", got[`ethereum_chain_head_slot{network="sim"}`])
	}
}

// A snapshot that no node confirms any more is shown for a while, then withheld.
func TestAnOldSnapshotIsWithheld(t *testing.T) {
	sim := simulate(t, short(64))
	sim.to(40)
	c := sim.collector(testOptions{validators: []string{"3"}, maxAge: 30 * time.Second})
	samples(t, c)
	sim.node.Set(chainsim.NodeOptions{FailStatus: 503})
	seconds := uint64(sim.chain.Spec().SlotDuration / time.Second)
	sim.slot.Store(40 + 24/seconds)
	if got := samples(t, c); len(got) == 0 {
		t.Error("nothing shown after 24 seconds, want the last snapshot")
	}
	sim.slot.Store(40 + 36/seconds)
	if got := samples(t, c); len(got) != 0 {
		t.Errorf("%d samples after 36 seconds, want none", len(got))
	}
	if ok, why := c.Ready(); ok || !strings.Contains(why, "no beacon node has confirmed") {
		t.Errorf("readiness %v: %s", ok, why)
	}
}

// panicking is a source with a mistake in it.
type panicking struct {
	Source
	times int
}

func (p *panicking) Head(ctx context.Context) (beacon.Header, error) {
	if p.times > 0 {
		p.times--
		panic("a mistake")
	}
	return p.Source.Head(ctx)
}

// A mistake of the program costs what was read so far, not the process.
func TestAPanicStartsAnew(t *testing.T) {
	sim := simulate(t, quiet(64))
	c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs, logger: slog.New(slog.DiscardHandler)})
	sim.to(100)
	want := chainTextOf(t, c)
	c.cfg.Source = &panicking{Source: c.cfg.Source, times: 1}
	if got := chainTextOf(t, c); got != want {
		t.Errorf("the snapshot changed:\n%s", firstDifference(got, want))
	}
	if why := c.self.lastError(); !strings.Contains(why, "a mistake of this program, please report it") {
		t.Errorf("the last error is %q", why)
	}
	if got := chainTextOf(t, c); got != want {
		t.Errorf("after starting anew the snapshot differs:\n%s", firstDifference(got, want))
	}
}
