//go:build e2e

package e2e

import (
	"context"
	"log/slog"
	"math/rand/v2"
	"slices"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/test/independent"
)

// scenario is a real chain, what goes wrong on it, and how it is watched.
type scenario struct {
	shape devnet.Shape
	// epochs to compare, from genesis.
	epochs int
	// faults lets things go wrong. It returns when nothing more will.
	faults func(context.Context, *chain) error

	windowEpochs, resetSlots int
	compareAt                []int // slots at which the bytes of replicas are compared on the way
	proveMixin               bool
	// storeWindows of so many epochs in Postgres, and compare those too. 0: do not.
	storeWindows int
}

// Epochs as long as mainnet's, one small committee a slot, an eighth of the
// validators offline, and a restart of the beacon node. The mixin's rules run beside: not
// in parallel with other chains, since alerts wait for epochs without a gap.
func TestRealChainWithLongEpochs(t *testing.T) {
	seen := scenario{
		shape: devnet.Long(), epochs: 4,
		windowEpochs: 2, resetSlots: 8,
		compareAt:  []int{70, 100, 131}, // the first zeros, a complete window, the zeros after it
		proveMixin: true,
		faults: func(ctx context.Context, c *chain) error {
			if err := c.until(ctx, 104); err != nil {
				return err
			}
			return c.RestartBeacon(ctx)
		},
	}.run(t)
	if seen.missed == 0 {
		t.Error("no attestation was missed, though an eighth of the validators are offline")
	}
}

// Short epochs and several committees a slot, through everything that can happen to
// validators: stalls, an outage, and a leak, for a third of them do not come back
// for a while.
func TestRealChainWithShortEpochsInTrouble(t *testing.T) {
	t.Parallel()
	seen := scenario{
		shape: devnet.Short(), epochs: 20,
		// Exact up to 18 empty slots in a row; the outage has 11.
		windowEpochs: 6, resetSlots: 6,
		compareAt:    []int{20, 50, 74, 108, 144}, // calm, stalls, after the outage, in the leak, after the restart
		storeWindows: 2,
		faults: func(ctx context.Context, c *chain) error {
			// Frozen for 2.6 s of every 9: empty slots, late and wrong votes.
			for slot := 24.0; slot < 52; slot += 4.5 {
				if err := c.until(ctx, slot); err != nil {
					return err
				}
				if err := c.StallValidators(ctx, 2600*time.Millisecond); err != nil {
					return err
				}
			}
			if err := c.until(ctx, 60.5); err != nil {
				return err
			}
			c.KillValidators()
			if err := c.until(ctx, 71.5); err != nil {
				return err
			}
			// 80 of 128 are not enough to justify an epoch.
			if err := c.StartValidators(0, 80); err != nil {
				return err
			}
			if err := c.until(ctx, 106.5); err != nil {
				return err
			}
			if err := c.StartValidators(80, 32); err != nil {
				return err
			}
			if err := c.until(ctx, 140.3); err != nil {
				return err
			}
			return c.RestartBeacon(ctx)
		},
	}.run(t)
	if seen.leaks == 0 || seen.empty < 8 || seen.missed == 0 || seen.late == 0 || seen.wrongHead == 0 {
		t.Errorf("the chain did not see the trouble that was made: %+v", seen)
	}
}

// seen counts what happened on a chain.
type seen struct {
	leaks, empty                   int // epochs in a leak, empty slots
	missed, late, wrongHead, seats int // attestations, sync committee votes lost
}

// chain is a devnet and its clock.
type chain struct{ *devnet.Devnet }

func (c *chain) until(ctx context.Context, slot float64) error {
	return sleepUntil(ctx, c.GenesisTime().Add(time.Duration(slot*float64(c.SlotDuration()))))
}

func (*chain) pause()  {} // a real chain goes on
func (*chain) resume() {}

func (s scenario) run(t *testing.T) seen {
	var proofs []*proof
	if s.proveMixin {
		proofs = renderProofs(t, s.shape, s.windowEpochs)
	}
	last := (uint64(s.epochs)+1)*s.shape.SlotsPerEpoch + 2 // slot at which the last epoch settles
	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(last)*s.shape.SlotDuration+8*time.Minute)
	defer cancel()
	d, err := devnet.Start(ctx, devnet.Options{
		Shape: s.shape, WorkDir: t.TempDir(),
		Log: slog.New(slog.NewTextHandler(t.Output(), nil)),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	c := &chain{d}
	observer := startObserver(t, d.BeaconURL(), s.shape.Validators)
	r := startReplicas(t, replicaOptions{
		beaconURL:  d.BeaconURL(),
		validators: s.shape.Validators, windowEpochs: s.windowEpochs, resetSlots: s.resetSlots,
		interval: time.Second,
	})

	for _, p := range proofs {
		p.start(t, r)
	}
	var windows *pipeline
	if s.storeWindows > 0 {
		some := watched{}
		for v := uint64(0); v < uint64(s.shape.Validators); v += 7 {
			some[v] = groupOf(v, s.shape.Validators)
		}
		windows = startPipeline(t, pipelineOptions{
			// Nothing is final for nine epochs of the leak.
			chain: devnetWindows(d, s.storeWindows, some), exporters: 1, shown: 10,
			interval: 2 * time.Second, protocols: []string{writeV1}, postgres: pgtest.Start(t),
		})
	}

	seed := rand.Uint64()
	random := rand.New(rand.NewPCG(seed, 0))
	kills := make([]int, 3)
	for i := range kills {
		kills[i] = 4 + random.IntN(int(last)-8)
	}
	slices.Sort(kills)
	t.Logf("seed %d: b is killed in the slots %d", seed, kills)

	running, runCtx := errgroup.WithContext(ctx)
	watching, stopWatching := context.WithCancel(runCtx)
	running.Go(func() error { return observer.watch(watching) })
	payments := syncPayments{}
	running.Go(func() error { return payments.collect(watching, c) })
	running.Go(func() error { return watchProofs(watching, proofs) })
	running.Go(func() error { return s.faults(runCtx, c) })
	running.Go(func() error { return r.killB(runCtx, c, kills, random) })
	running.Go(func() error { return r.compareBytesAt(runCtx, c, s.compareAt) })
	var epoch int
	var at, rulesAt time.Time
	running.Go(func() (err error) {
		defer stopWatching()
		if err := d.WaitSlot(runCtx, last); err != nil {
			return err
		}
		if epoch, at, err = r.waitShown(runCtx, s.epochs-1); err != nil || !s.proveMixin {
			return err
		}
		rulesAt = at.Add(recordingLag)
		return sleepUntil(runCtx, rulesAt)
	})
	if err := running.Wait(); err != nil {
		t.Fatal(err)
	}
	if n := r.kills.Load(); int(n) != len(kills) {
		t.Errorf("b was killed %d times, not %d", n, len(kills))
	}

	counted, err := independent.Count(ctx, d.BeaconURL(), 0, uint64(epoch))
	if err != nil {
		t.Fatal(err)
	}
	happened, seen := historyOf(counted, s.shape.Validators)
	compareSpans(t, observer.spans(epoch), happened)
	seen.leaks = compareRewards(ctx, t, d.BeaconURL(), observer.spans(epoch), counted)
	payments.compare(ctx, t, c, counted)

	a, err := increases(ctx, r.prometheus, "a", at)
	if err != nil {
		t.Fatal(err)
	}
	b, err := increases(ctx, r.prometheus, "b", at)
	if err != nil {
		t.Fatal(err)
	}
	compareIncreases(t, a, b, happened.series(s.windowEpochs))
	epochTime := time.Duration(s.shape.SlotsPerEpoch) * s.shape.SlotDuration
	checkProofs(ctx, t, proofs, rulesAt, s.shape, happened, rulesAt.Add(3*epochTime))
	if windows != nil {
		stored := windows.finish(ctx)
		if least := 6; stored < least {
			t.Errorf("only %d windows are stored, want %d at least", stored, least)
		}
		windows.compare(ctx, stored)
		windows.compareCounters(ctx)
		windows.stop()
	}
	r.compareBytes(ctx)
	r.end(ctx)
	observer.exporter.stop(t)
	t.Logf("the chain saw: %+v", seen)
	return seen
}

// historyOf turns a count into a history. Nobody's effective balance changes in the time.
func historyOf(counted *independent.Result, validators int) (history, seen) {
	var seen seen
	h := history{
		validators: validators,
		epochs:     make([]map[uint64]events, len(counted.Epochs)),
		ether:      func(uint64, int) uint64 { return 32 },
	}
	hasBlock := func(slot uint64) bool { return counted.Blocks[slot] }
	for epoch, outcomes := range counted.Epochs {
		h.epochs[epoch] = map[uint64]events{}
		duties := map[uint64]attested{}
		for validator, o := range outcomes {
			if o.Duty {
				duties[validator] = attested{o.DutySlot, o.Included, [3]bool{o.Source, o.Target, o.Head}}
			}
		}
		lost := lostVotes(counted.SlotsPerEpoch, epoch, duties, hasBlock)
		for validator, o := range outcomes {
			h.epochs[epoch][validator] = events{
				expected: number(o.Duty), included: number(o.Included),
				source: number(o.Source), target: number(o.Target), head: number(o.Head), delay: int(o.Delay),
				lost:           lost[validator],
				blocksExpected: o.BlocksExpected, blocksProposed: o.BlocksProposed,
				syncExpected: o.SyncExpected, syncIncluded: o.SyncIncluded,
			}
			seen.missed += number(o.Duty && !o.Included)
			seen.late += number(o.Included && o.Delay > 1)
			seen.wrongHead += number(o.Included && o.Delay == 1 && !o.Head)
			seen.empty += o.BlocksExpected - o.BlocksProposed
			seen.seats += o.SyncExpected - o.SyncIncluded
		}
	}
	return h, seen
}

// compareSpans compares what the observer saw, validator by validator, with the history.
func compareSpans(t *testing.T, spans []span, happened history) {
	t.Helper()
	wrong := complaints{t: t, about: "outcomes and the chain"}
	single, validators := 0, 0
	next := 0
	for _, s := range spans {
		if s.from == s.to {
			single++
		}
		next = s.to + 1
		want := happened.sum(s.from, s.to)
		for v, got := range s.validators {
			validators++
			if got != want[v] {
				wrong.errorf("epochs %d to %d, validator %d: %+v, the chain has %+v", s.from, s.to, v, got, want[v])
			}
		}
	}
	wrong.end()
	if next != len(happened.epochs) || single < len(happened.epochs)/2 {
		t.Errorf("outcomes: seen up to epoch %d, of %d epochs %d one by one", next-1, len(happened.epochs), single)
	}
	t.Logf("outcomes: %d epochs, %d of them one by one, %d validator-epochs compared with what other code counts: %d differences",
		len(happened.epochs), single, validators, wrong.n)
}

// compareRewards compares what the observer saw with the node's attestation rewards,
// and returns the number of epochs in a leak.
func compareRewards(ctx context.Context, t *testing.T, url string, spans []span, counted *independent.Result) (leaks int) {
	t.Helper()
	wrong := complaints{t: t, about: "outcomes and rewards"}
	votes, undecided, validators := 0, 0, 0
	for _, s := range spans {
		// Earned votes over the span, as the node paid them; sum[v][vote], undecided below 0.
		sums := map[uint64]*[3]int{}
		for epoch := s.from; epoch <= s.to; epoch++ {
			rewards, err := independent.Rewards(ctx, url, uint64(epoch))
			if err != nil {
				t.Fatal(err)
			}
			if rewards.Leak {
				leaks++
			}
			for _, difference := range counted.CompareVotes(rewards).Differences {
				wrong.errorf("(the other code) %s", difference)
			}
			for v := range rewards.Validators {
				if sums[v] == nil {
					sums[v] = new([3]int)
				}
				source, target, head, _ := rewards.Votes(v)
				for vote, verdict := range []independent.Verdict{source, target, head} {
					switch verdict {
					case independent.Earned:
						sums[v][vote]++
					case independent.Undecided:
						sums[v][vote] = -1000
					}
				}
			}
		}
		for v, got := range s.validators {
			paid := sums[v]
			if paid == nil {
				wrong.errorf("epochs %d to %d: no rewards for validator %d", s.from, s.to, v)
				continue
			}
			validators++
			for vote, earned := range []int{got.source, got.target, got.head} {
				switch {
				case paid[vote] < 0:
					undecided++
				case earned != paid[vote]:
					wrong.errorf("epochs %d to %d, validator %d: %s votes earned %d, the node paid %d",
						s.from, s.to, v, []string{"source", "target", "head"}[vote], earned, paid[vote])
				default:
					votes++
				}
			}
		}
	}
	wrong.end()
	t.Logf("rewards: %d validator-epochs, %d votes equal what the node paid, %d head votes undecidable in %d epochs of a leak: %d differences",
		validators, votes, undecided, leaks, wrong.n)
	return leaks
}

// syncPayments are the node's sync committee rewards, by slot and validator.
type syncPayments map[uint64]map[uint64]int64

// collect reads the rewards of each block while it is new, for then the node still has
// its state at hand. What it cannot read is left out.
func (p syncPayments) collect(ctx context.Context, c *chain) error {
	for slot := uint64(1); ; slot++ {
		if err := c.until(ctx, float64(slot)+2.5); err != nil {
			return nil // all is done
		}
		if rewards, err := independent.SyncRewards(ctx, c.BeaconURL(), slot); err == nil {
			p[slot] = rewards
		}
	}
}

// compare compares the counted seats, which the observer's counters equal, with the
// rewards, block by block.
func (p syncPayments) compare(ctx context.Context, t *testing.T, c *chain, counted *independent.Result) {
	t.Helper()
	wrong := complaints{t: t, about: "sync committee and rewards"}
	rows := 0
	for slot := range counted.Sync {
		rewards, known := p[slot]
		found := counted.CompareSync(slot, rewards)
		if !known || len(found.Differences) > 0 { // the block of then may have been orphaned
			var err error
			if rewards, err = independent.SyncRewards(ctx, c.BeaconURL(), slot); err != nil {
				t.Fatal(err)
			}
			found = counted.CompareSync(slot, rewards)
		}
		rows += found.Compared
		for _, difference := range found.Differences {
			wrong.errorf("%s", difference)
		}
	}
	wrong.end()
	t.Logf("sync committee: %d blocks, %d validator-blocks compared with what the node paid: %d differences", len(counted.Sync), rows, wrong.n)
}

func number(b bool) int {
	if b {
		return 1
	}
	return 0
}
