package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

const (
	// streakEpochs is how far back a streak of missed attestations is counted.
	streakEpochs = 8
	// wallRetry is the time after which epochs that no node served are asked for again.
	wallRetry = 10 * time.Minute
	// refusalTimes and refusalAge are how often, and for how long, all nodes must have
	// refused an epoch before counters start without it. It is wallRetry where a node may
	// have it a little later: see unsure.
	refusalTimes = 3
	refusalAge   = time.Minute
	// anchorRetry is the time after which a window's first state is asked for again as
	// long as no counter goes by it. After that it is wallRetry.
	anchorRetry = 2 * time.Minute
	// againPatience is how long a flight waits for it where there is something to go on
	// with, networkPatience how long for the whole network's balances, and settlePatience how
	// long it tries to account what has just settled: less than liveTimeout, so that nodes
	// that hang do not keep the head from being reached.
	againPatience   = liveTimeout / 4
	networkPatience = liveTimeout / 2
	settlePatience  = liveTimeout * 3 / 4
	// networkQuick is how long a refusal of those balances may take for them to be asked for
	// once more right before counters would go by them, however recently they were refused.
	networkQuick = 5 * time.Second
	// parallelBlocks bounds the blocks read at once.
	parallelBlocks = 8
	// slowFor is how long nothing is read in parallel once a node has limited it.
	// leastPause is the wait where the node names none, limitPatience what the waits of
	// one step may add up to: the head wants to be looked at, too.
	slowFor       = 10 * time.Minute
	leastPause    = 500 * time.Millisecond
	limitPatience = 8 * time.Second
	// rewardTries bounds the tries for one epoch's rewards, which some clients never serve.
	rewardTries = 3
)

// lowest returns the oldest epoch that has to be accounted, and which epochs the
// counters show; shownKnown is false until the spine reaches back far enough to
// tell, and settled is false before the chain's first epoch settles.
func (st *state) lowest(c *Collector) (lowest duty.Epoch, shown *duty.Shown, settled bool) {
	newest, ok := duty.SettledEpoch(st.spec, st.spine.Head())
	if !ok {
		return 0, nil, false
	}
	window := c.cfg.Window
	if st.spine.floor <= window.DecidedFrom(st.spec, st.spine.Head()) {
		if s, ok := window.Shown(st.spec, &st.spine); ok {
			return min(window.Lowest(s, c.cfg.CompletedWindows, streakEpochs), back(newest, streakEpochs-1)), &s, true
		}
	}
	return min(window.Anchor(newest), back(newest, streakEpochs-1)), nil, true
}

// back returns the epoch n before e, not before genesis.
func back(e duty.Epoch, n uint64) duty.Epoch { return e - duty.Epoch(min(uint64(e), n)) }

// before returns the epoch before e; nil before genesis.
func before(e duty.Epoch) *duty.Epoch {
	if e == 0 {
		return nil
	}
	e--
	return &e
}

// refillStep accounts the newest epoch that is still missing, reads the latest
// rewards once nothing is, and publishes. more tells whether there is more to do. An
// epoch that fails keeps back nothing but the older ones.
func (st *state) refillStep(ctx context.Context, c *Collector) (more bool, err error) {
	if st.spine.empty() || st.roster == nil {
		return false, nil
	}
	if missing, found := st.missing(c); found && !c.cfg.Now().Before(st.leaveUntil) {
		err = c.self.step("window", func() error { return st.account(ctx, c, missing) })
		again := true
		switch {
		case errors.Is(err, beacon.ErrUnavailable):
			again, err = st.refused(c, missing, err), nil
		case err != nil && ctx.Err() != nil:
			return false, err
		case err != nil:
			again = false
		default:
			st.given(missing)
			// The next older epoch needs the blocks of this one, and no newer ones.
			st.spine.dropBodies(st.spec.FirstSlot(missing+1), st.spec.FirstSlot(st.unsettled()))
			delete(st.duties, missing)
		}
		if _, found = st.missing(c); found && again {
			return true, nil
		}
	}
	st.completeAnchors(ctx, c)
	st.readRewards(ctx, c)
	if st.unpublished {
		st.trim(c)
		c.publish()
	}
	return false, err
}

// refusals are the answers, since the first one, that no node has an epoch.
type refusals struct {
	epoch duty.Epoch
	since time.Time
	times int
	// unsure: one of them may have been the fault of a node.
	unsure bool
}

// uncovered are the accounted epochs, up to upTo, that no node gave again for the
// validators that this crew has and the one before had not, asked for last at at.
type uncovered struct {
	crew *crew
	upTo duty.Epoch
	at   time.Time
}

// refused notes that no node has epoch; final tells whether to go on without it. It
// takes several refusals: some clients answer whatever goes wrong with a status that
// others have for what they do not keep, and counters that have once been shown from
// a later epoch on cannot take in an earlier one any more.
func (st *state) refused(c *Collector, epoch duty.Epoch, err error) (final bool) {
	now := c.cfg.Now()
	_, accounted := st.valid(epoch)
	if accounted && (st.uncovered.crew != st.roster.crew || epoch > st.uncovered.upTo) ||
		!accounted && (st.wall == nil || epoch > *st.wall) {
		if st.refusals.times == 0 || st.refusals.epoch != epoch {
			st.refusals = refusals{epoch: epoch, since: now}
			c.cfg.Logger.Info("No node gave this past epoch; asking again before going on without it", "epoch", epoch, "err", err)
		}
		st.refusals.times++
		st.refusals.unsure = st.refusals.unsure || c.unsure(err)
		age := refusalAge
		if st.refusals.unsure {
			age = wallRetry
		}
		if st.refusals.times < refusalTimes || now.Sub(st.refusals.since) < age {
			return false
		}
	}
	st.refusals = refusals{}
	if accounted {
		// It stays what it is for those who were watched when it was accounted.
		st.uncovered = uncovered{st.roster.crew, epoch, now}
		c.cfg.Logger.Warn("No node serves this past epoch; validators added to the watch list have counters from the next window on",
			"epoch", epoch, "err", err, "retry_in", wallRetry)
		return true
	}
	st.wall, st.wallAt, st.unpublished = &epoch, now, true
	st.accounted++
	c.cfg.Logger.Warn("No node serves this past epoch; counters start after it", "epoch", epoch, "err", err, "retry_in", wallRetry)
	return true
}

// unsure tells whether nodes that refused with err may not yet be what they will be: they
// fill in their past after a start, and may answer as with a fault of their own meanwhile.
func (c *Collector) unsure(err error) bool {
	return beacon.Doubtful(err) || slices.ContainsFunc(c.healths, func(h beacon.NodeHealth) bool {
		return h.Up && (h.Syncing || !h.Since.IsZero() && c.cfg.Now().Sub(h.Since) < wallRetry)
	})
}

// given notes that epoch is accounted for every watched validator.
func (st *state) given(epoch duty.Epoch) {
	st.refusals = refusals{}
	if st.wall != nil && epoch <= *st.wall {
		st.wall = before(epoch)
	}
	if st.uncovered.crew != nil && epoch <= st.uncovered.upTo {
		if older := before(epoch); older != nil {
			st.uncovered.upTo = *older
		} else {
			st.uncovered = uncovered{}
		}
	}
}

// lookAgain has the epochs that no node gave asked for at once.
func (st *state) lookAgain() { st.wallAt, st.uncovered = time.Time{}, uncovered{} }

// counted names the epochs that counters were last shown from.
type counted struct{ anchor, first duty.Epoch }

// firstEpoch returns the epoch that the counters of the window at anchor start from:
// its first one, or the one after a wall. Once they were shown from an epoch on they
// never start earlier, also when a node gives more: Prometheus would see the rest of
// the window as new events, those before a restart a second time.
func (st *state) firstEpoch(anchor duty.Epoch) duty.Epoch {
	first := anchor
	if st.wall != nil && *st.wall >= anchor {
		first = *st.wall + 1
	}
	if st.counted.anchor == anchor {
		first = max(first, st.counted.first)
	}
	return first
}

// missing returns the newest epoch that is needed and not accounted for every
// watched validator, and updates the progress that readiness tells.
func (st *state) missing(c *Collector) (epoch duty.Epoch, found bool) {
	lowest, _, ok := st.lowest(c)
	if !ok {
		return 0, false
	}
	recently := func(at time.Time) bool { return c.cfg.Now().Sub(at) <= wallRetry }
	if st.wall != nil && *st.wall >= lowest && recently(st.wallAt) {
		lowest = *st.wall + 1
	}
	uncovered := st.uncovered.crew == st.roster.crew && recently(st.uncovered.at)
	newest := st.unsettled() - 1
	done := 0
	for e := newest; e >= lowest && e <= newest; e-- {
		s, valid := st.valid(e)
		if valid && (s.coversAll(st.roster) || uncovered && e <= st.uncovered.upTo) {
			done++
		} else if !found {
			epoch, found = e, true
		}
	}
	c.self.setProgress(done, int(newest+1-lowest))
	return epoch, found
}

// account turns one settled epoch into outcomes. It is the one way to do so,
// whether the epoch has just settled or is read back.
func (st *state) account(ctx context.Context, c *Collector, epoch duty.Epoch) error {
	first, last := st.spec.FirstSlot(epoch), st.spec.LastSlot(epoch+1)
	if err := st.ensureBlocks(ctx, c, first); err != nil {
		return err
	}
	var read bool
	if err := st.ensureDuties(ctx, c, epoch, &read); err != nil {
		return err
	}
	if err := st.ensureTally(ctx, c, epoch); err != nil {
		return err
	}
	d := st.duties[epoch]
	a, err := st.ensureAnchor(ctx, c, c.cfg.Window.Anchor(epoch), len(d.committees.Members))
	if err != nil {
		return err
	}
	links, whole := st.spine.blocks(first, st.spec.LastSlot(epoch))
	if !whole {
		if err := st.ensureBodies(ctx, c, links); err != nil {
			return err
		}
	}
	until, ok := st.spine.RootAt(last)
	if !ok {
		return fmt.Errorf("accounting epoch %d: the chain at slot %d is not known", epoch, last)
	}
	in := st.outcomeInput(epoch, links, a)
	if err := in.Check(st.spec, epoch); err != nil {
		return st.disbelieve(c, epoch, links, err)
	}
	s := &settledEpoch{until: until, outcome: d.tally.Outcome(in), covering: st.roster.crew}
	if prior, ok := st.valid(epoch); ok {
		// Read again for validators that were added since: a group keeps what it
		// counted with the members that it had.
		s.groups, s.counted, s.inexact, s.proven, s.version = prior.groups, prior.counted, prior.inexact, prior.proven, prior.version
	} else {
		st.countGroups(s, a)
	}
	st.settled[epoch], a.used = s, true
	st.accounted++
	st.unpublished = true
	return nil
}

func (st *state) outcomeInput(epoch duty.Epoch, links []link, a *anchor) duty.OutcomeInput {
	in := duty.OutcomeInput{
		Chain:         &st.spine,
		Proposers:     st.duties[epoch].proposers,
		SyncCommittee: st.seats[st.spec.SyncPeriod(epoch)],
	}
	for _, l := range links {
		in.Blocks = append(in.Blocks, l.body)
	}
	if a != nil && a.network != nil {
		in.Increments = a.networkIncrements
	}
	return in
}

func (st *state) countGroups(s *settledEpoch, a *anchor) {
	sums := make([]duty.Totals, len(st.roster.groups))
	inexact := make([]bool, len(sums))
	for i := range st.roster.members {
		m, v := &st.roster.members[i], s.outcome.Validators[i]
		at := a.records[m.record.Index]
		for _, g := range m.groups {
			sums[g].AddValidator(st.spec, v, at.increments)
			inexact[g] = inexact[g] || v.Duty && !at.settled()
		}
	}
	s.counted, s.version = st.roster.crew, -1
	s.groups, s.inexact = make(map[groupKey]duty.Totals, len(sums)), map[groupKey]bool{}
	for i, g := range st.roster.groups {
		s.groups[g.key] = sums[i]
		if inexact[i] {
			s.inexact[g.key] = true
		}
	}
}

// oldBlocks are the blocks that nodes gave for the slots before child, kept until all
// slots of the epoch are answered and can be linked. That a slot seems empty is not kept:
// a node that fills in its past may have its block a little later.
type oldBlocks struct {
	child   duty.Root
	answers map[duty.Slot]slotAnswer
}

// slotAnswer is a block and the node that has it at its slot.
type slotAnswer struct {
	block *duty.Block
	node  string
}

// ensureBlocks extends the spine down to slot first.
func (st *state) ensureBlocks(ctx context.Context, c *Collector, first duty.Slot) error {
	if st.spine.floor <= first {
		return nil
	}
	if child := st.spine.links[0].root; st.old.child != child {
		st.old = oldBlocks{child, map[duty.Slot]slotAnswer{}}
	}
	var wanted []duty.Slot
	for slot := max(first, 1); slot < st.spine.floor; slot++ { // genesis is no block of a proposer
		if _, answered := st.old.answers[slot]; !answered {
			wanted = append(wanted, slot)
		}
	}
	found := make([]slotAnswer, len(wanted))
	err := st.several(ctx, c, len(wanted), func(ctx context.Context, i int) error {
		b, node, err := c.cfg.Source.BlockAtSlot(ctx, wanted[i])
		if _, busy := beacon.Limited(err); busy && beacon.Lacked(err) {
			// It may be empty. linkDown finds out, and to wait for the node that limits would be
			// in vain where its quota is used up and the other one is right.
			return nil
		}
		if err != nil {
			return fmt.Errorf("reading the block of slot %d: %w", wanted[i], err)
		}
		if b != nil && b.Slot != wanted[i] {
			return fmt.Errorf("the node answered slot %d with the block of slot %d; it is not to be trusted", wanted[i], b.Slot)
		}
		found[i] = slotAnswer{b, node}
		return nil
	})
	for i, answer := range found {
		if answer.block != nil {
			st.old.answers[wanted[i]] = answer
		}
	}
	if err != nil {
		return err
	}
	var blocks []slotAnswer
	for slot := max(first, 1); slot < st.spine.floor; slot++ {
		if answer := st.old.answers[slot]; answer.block != nil {
			blocks = append(blocks, answer)
		}
	}
	var links []link
	// Where a node wants to be asked less often this begins again, and goes on where it was.
	err = st.several(ctx, c, 1, func(ctx context.Context, _ int) error {
		var err error
		links, err = st.linkDown(ctx, c, first, blocks)
		return err
	})
	if err != nil {
		return err
	}
	st.spine.prepend(links, first)
	st.old = oldBlocks{}
	return nil
}

// linkDown gives blocks that were read by slot, oldest first, their roots: each is the
// parent that its child names. A root proves nothing of a block that was read by slot:
// a node that lacks a block says that the slot is empty, another one may be stuck on a
// fork and give an orphan. So the parent's header decides, until a node has shown by
// one block that it follows this chain: from there down its canonical chain is this
// one, and only where slots seem empty the header must agree again. What is linked is
// kept by its root, so that nothing is asked for twice when this ends early.
func (st *state) linkDown(ctx context.Context, c *Collector, first duty.Slot, blocks []slotAnswer) ([]link, error) {
	childSlot, parent := st.spine.links[0].slot, st.spine.links[0].parent
	lowest := max(first, 1)
	proven := map[string]bool{}
	var links []link // newest first
	n := len(blocks)
	take := func(b *duty.Block) {
		c.blocks.Put(parent, b)
		links = append(links, newLink(parent, b))
		childSlot, parent = b.Slot, b.ParentRoot
	}
	for childSlot > lowest {
		for n > 0 && blocks[n-1].block.Slot >= childSlot {
			n-- // an orphan
		}
		if n > 0 && blocks[n-1].block.Slot+1 == childSlot && proven[blocks[n-1].node] {
			take(blocks[n-1].block)
			continue
		}
		if b, kept := c.blocks.Peek(parent); kept {
			if b.Slot >= childSlot {
				c.blocks.Drop(parent)
				return nil, fmt.Errorf("the parent of slot %d is said to be of slot %d; the node is not to be trusted", childSlot, b.Slot)
			}
			if b.Slot < lowest {
				break
			}
			take(b)
			continue
		}
		header, err := c.cfg.Source.HeaderByRoot(ctx, parent)
		if err != nil {
			return nil, fmt.Errorf("confirming which block comes before slot %d: %w", childSlot, err)
		}
		if header.Slot >= childSlot {
			return nil, fmt.Errorf("the parent of slot %d is said to be of slot %d; the node is not to be trusted", childSlot, header.Slot)
		}
		if header.Slot < lowest {
			break
		}
		if n > 0 && blocks[n-1].block.Slot == header.Slot && blocks[n-1].block.ParentRoot == header.ParentRoot {
			proven[blocks[n-1].node] = true
			take(blocks[n-1].block)
			continue
		}
		b, err := c.cfg.Source.BlockByRoot(ctx, parent)
		if err != nil {
			return nil, fmt.Errorf("reading the block of slot %d, for which none or another one was given: %w", header.Slot, err)
		}
		if b.Slot != header.Slot {
			return nil, fmt.Errorf("block 0x%x is of slot %d, its header said %d; the node is not to be trusted", parent[:8], b.Slot, header.Slot)
		}
		take(b)
	}
	slices.Reverse(links)
	return links, nil
}

// several calls read for 0 to n-1, parallelBlocks of them at once. Where a node limits
// how often it may be asked, it goes on with one at a time and waits as the node says,
// now and for as long as slowFor: bursts would only be refused again.
func (st *state) several(ctx context.Context, c *Collector, n int, read func(ctx context.Context, i int) error) error {
	var mu sync.Mutex
	var refused []int
	var pause time.Duration
	limited := false
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelBlocks)
	if !st.limitedAt.IsZero() && c.cfg.Now().Sub(st.limitedAt) < slowFor {
		g.SetLimit(1)
	}
	for i := range n {
		g.Go(func() error {
			mu.Lock()
			leave := limited
			if leave {
				refused = append(refused, i)
			}
			mu.Unlock()
			if leave {
				return nil
			}
			err := read(gctx, i)
			after, busy := beacon.Limited(err)
			if !busy {
				return err
			}
			mu.Lock()
			defer mu.Unlock()
			limited, pause, refused = true, max(pause, after), append(refused, i)
			return nil
		})
	}
	if err := g.Wait(); err != nil || !limited {
		return err
	}
	st.limitedAt = c.cfg.Now()
	for left := limitPatience; len(refused) > 0; {
		if pause = max(pause, leastPause); limited {
			if pause > left {
				st.leaveUntil = c.cfg.Now().Add(min(pause, wallRetry))
				return fmt.Errorf("a beacon node limits how often it may be asked: the rest is read in %s", min(pause, wallRetry))
			}
			if err := sleep(ctx, pause); err != nil {
				return err
			}
			left -= pause
		}
		err := read(ctx, refused[0])
		if pause, limited = beacon.Limited(err); limited {
			continue
		}
		if err != nil {
			return err
		}
		refused = refused[1:]
	}
	return nil
}

func sleep(ctx context.Context, d time.Duration) error {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// ensureBodies gets the dropped bodies of canonical blocks again, by root.
func (st *state) ensureBodies(ctx context.Context, c *Collector, links []link) error {
	var without []*link
	for i := range links {
		if links[i].body == nil {
			without = append(without, &links[i])
		}
	}
	return st.several(ctx, c, len(without), func(ctx context.Context, i int) error {
		l := without[i]
		b, kept := c.blocks.Get(l.root)
		if !kept {
			var err error
			if b, err = c.cfg.Source.BlockByRoot(ctx, l.root); err != nil {
				return fmt.Errorf("reading the block of slot %d again: %w", l.slot, err)
			}
			c.blocks.Put(l.root, b)
		}
		l.body = b
		return nil
	})
}

// readRewards reads what the newest fully paid epoch earned the watched validators,
// where a node offers it: at most for as many as have series of their own, since
// some clients need time proportional to validators × registry.
func (st *state) readRewards(ctx context.Context, c *Collector) {
	head := st.headEpoch()
	n := st.roster.watch.Len()
	if head < 2 || n == 0 || n > c.cfg.IndividualLimit {
		return
	}
	epoch := head - 2
	until, ok := st.spine.RootAt(st.spec.LastSlot(epoch + 1))
	if !ok {
		return
	}
	if st.rewards.epoch != epoch || st.rewards.until != until {
		st.rewards = rewards{epoch: epoch, until: until}
	}
	covered := st.rewards.byIndex != nil && st.rewards.asked == st.roster.watch
	if covered || st.rewards.tries >= rewardTries {
		return
	}
	st.rewards.tries++
	byIndex := make(map[duty.ValidatorIndex]reward, n)
	_ = c.self.step("rewards", func() error {
		err := c.cfg.Source.AttestationRewards(ctx, epoch, st.roster.watch.Indices(), func(r wire.AttestationReward) error {
			if _, watched := st.roster.watch.Ordinal(r.Index); watched {
				byIndex[r.Index] = reward{head: r.Head, target: r.Target, source: r.Source, inactivity: r.Inactivity}
			}
			return nil
		})
		if err != nil {
			c.cfg.Logger.Debug("No node serves attestation rewards for this epoch", "epoch", epoch, "err", err)
			return err
		}
		st.rewards.byIndex, st.rewards.asked, st.unpublished = byIndex, st.roster.watch, true
		return nil
	})
}
