package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
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
	// parallelBlocks bounds the blocks read at once.
	parallelBlocks = 8
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
// rewards once nothing is, and publishes. more tells whether there is more to do.
func (st *state) refillStep(ctx context.Context, c *Collector) (more bool, err error) {
	if st.spine.empty() || st.roster == nil {
		return false, nil
	}
	missing, found := st.missing(c)
	if found {
		err := c.self.step("window", func() error { return st.account(ctx, c, missing) })
		switch {
		case errors.Is(err, beacon.ErrUnavailable):
			st.wall, st.wallAt, st.unpublished = &missing, c.cfg.Now(), true
			st.accounted++
			c.cfg.Logger.Warn("No node serves this past epoch; counters start after it", "epoch", missing, "err", err, "retry_in", wallRetry)
		case err != nil:
			return false, err
		default:
			if st.wall != nil && missing <= *st.wall {
				st.wall = before(missing)
			}
			// The next older epoch needs the blocks of this one, and no newer ones.
			st.spine.dropBodies(st.spec.FirstSlot(missing+1), st.spec.FirstSlot(st.unsettled()))
			delete(st.duties, missing)
		}
		if _, found = st.missing(c); found {
			return true, nil
		}
	}
	st.readRewards(ctx, c)
	if st.unpublished {
		st.trim(c)
		c.publish()
	}
	return false, nil
}

// missing returns the newest epoch that is needed and not accounted for every
// watched validator, and updates the progress that readiness tells.
func (st *state) missing(c *Collector) (epoch duty.Epoch, found bool) {
	lowest, _, ok := st.lowest(c)
	if !ok {
		return 0, false
	}
	if st.wall != nil && *st.wall >= lowest && c.cfg.Now().Sub(st.wallAt) <= wallRetry {
		lowest = *st.wall + 1
	}
	newest := st.unsettled() - 1
	done := 0
	for e := newest; e >= lowest && e <= newest; e-- {
		s, valid := st.valid(e)
		if valid && s.coversAll(st.roster) {
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
		return fmt.Errorf("accounting: %w", err)
	}
	s := &settledEpoch{until: until, outcome: d.tally.Outcome(in), covering: st.roster.crew}
	if prior, ok := st.valid(epoch); ok {
		// Read again for validators that were added since: a group keeps what it
		// counted with the members that it had.
		s.groups = prior.groups
	} else {
		s.groups = st.groupTotals(s.outcome, a)
	}
	st.settled[epoch] = s
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

func (st *state) groupTotals(outcome *duty.EpochOutcome, a *anchor) map[groupKey]duty.Totals {
	sums := make([]duty.Totals, len(st.roster.groups))
	for i := range st.roster.members {
		m := &st.roster.members[i]
		for _, g := range m.groups {
			sums[g].AddValidator(st.spec, outcome.Validators[i], a.records[m.record.Index].increments)
		}
	}
	groups := make(map[groupKey]duty.Totals, len(sums))
	for i, g := range st.roster.groups {
		groups[g.key] = sums[i]
	}
	return groups
}

// ensureBlocks extends the spine down to slot first.
func (st *state) ensureBlocks(ctx context.Context, c *Collector, first duty.Slot) error {
	if st.spine.floor <= first {
		return nil
	}
	end := st.spine.floor
	found := make([]*duty.Block, end-first)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelBlocks)
	for i := range found {
		slot := first + duty.Slot(i)
		if slot == 0 {
			continue // genesis is no block of a proposer
		}
		g.Go(func() error {
			b, err := c.cfg.Source.BlockAtSlot(gctx, slot)
			if err != nil {
				return fmt.Errorf("reading the block of slot %d: %w", slot, err)
			}
			if b != nil && b.Slot != slot {
				return fmt.Errorf("the node answered slot %d with the block of slot %d; it is not to be trusted", slot, b.Slot)
			}
			found[i] = b
			return nil
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	links, err := st.linkDown(ctx, c, first, slices.DeleteFunc(found, func(b *duty.Block) bool { return b == nil }))
	if err != nil {
		return err
	}
	for _, l := range links {
		c.blocks.Put(l.root, l.body)
	}
	st.spine.prepend(links, first)
	return nil
}

// linkDown gives blocks that were read by slot their roots: each is the parent that
// its child names. Where slots between the two seem empty, the parent's header must
// agree, for a node that does not have a block also answers 404.
func (st *state) linkDown(ctx context.Context, c *Collector, first duty.Slot, blocks []*duty.Block) ([]link, error) {
	childSlot, parent := st.spine.links[0].slot, st.spine.links[0].parent
	var links []link // newest first
	for n := len(blocks); ; {
		var below duty.Slot // the newest slot below the child that was answered with a block
		if n > 0 {
			below = blocks[n-1].Slot
		}
		if below+1 < childSlot && max(first, 1) < childSlot {
			header, err := c.cfg.Source.HeaderByRoot(ctx, parent)
			if err != nil {
				return nil, fmt.Errorf("confirming that the slots before %d are empty: %w", childSlot, err)
			}
			if header.Slot > below && header.Slot >= max(first, 1) {
				b, err := c.cfg.Source.BlockByRoot(ctx, parent)
				if err != nil {
					return nil, fmt.Errorf("reading the block of slot %d, which was first said to be empty: %w", header.Slot, err)
				}
				links = append(links, newLink(parent, b))
				childSlot, parent = b.Slot, b.ParentRoot
				continue
			}
			if n > 0 && header.Slot != below {
				return nil, fmt.Errorf("the block of slot %d is not the parent of slot %d: the node's answers belong to different chains", below, childSlot)
			}
		}
		if n == 0 {
			slices.Reverse(links)
			return links, nil
		}
		n--
		links = append(links, newLink(parent, blocks[n]))
		childSlot, parent = blocks[n].Slot, blocks[n].ParentRoot
	}
}

// ensureBodies gets the dropped bodies of canonical blocks again, by root.
func (st *state) ensureBodies(ctx context.Context, c *Collector, links []link) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(parallelBlocks)
	for i := range links {
		if links[i].body != nil {
			continue
		}
		g.Go(func() error {
			b, kept := c.blocks.Get(links[i].root)
			if !kept {
				var err error
				if b, err = c.cfg.Source.BlockByRoot(gctx, links[i].root); err != nil {
					return fmt.Errorf("reading the block of slot %d again: %w", links[i].slot, err)
				}
				c.blocks.Put(links[i].root, b)
			}
			links[i].body = b
			return nil
		})
	}
	return g.Wait()
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
