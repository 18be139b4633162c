package collector

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
)

// advance reads what is missing between the newest known block and the head, and
// publishes a snapshot of the new head. On an error the last snapshot stays: a
// snapshot is whole or it is not published.
func (c *Collector) advance(ctx context.Context) error {
	st := &c.state
	c.cfg.Watch.CheckFile()
	c.healths = c.cfg.Source.Probe(ctx)
	var behind *behindError
	if err := c.self.step("chain", func() error {
		err := c.readChain(ctx)
		if errors.As(err, &behind) {
			return nil // the look did not fail, it found nothing new
		}
		return err
	}); err != nil {
		return err
	}
	if behind != nil {
		return behind
	}
	if s := c.snapshot.Load(); s != nil && s.head == st.spine.tip().root && s.generation == c.cfg.Watch.Generation() {
		c.self.confirm(c.cfg.Now())
		return nil
	}
	// Kept until it is confirmed, also when a later step fails first.
	read := &st.unconfirmed
	if !*read {
		// What was read back since is proven otherwise, or not at all.
		c.cfg.Source.ForgetTellers()
	}
	if err := c.self.step("validators", func() error { return st.readRoster(ctx, c, read) }); err != nil {
		return err
	}
	if err := c.self.step("duties", func() error { return st.readDuties(ctx, c, read) }); err != nil {
		return err
	}
	// Finality is shown, and tells which finished windows are final; nothing else
	// depends on it.
	_ = c.self.step("finality", func() error { return st.readFinality(ctx, c, read) })
	if *read {
		if err := c.confirmCanonical(ctx); err != nil {
			return err
		}
	}
	if err := c.self.step("accounting", func() error { return st.settle(ctx, c) }); err != nil {
		return err
	}
	st.trim(c)
	c.publish()
	c.self.confirm(c.cfg.Now())
	return nil
}

// readChain learns the chain's constants, of which only fork epochs ever change, and
// follows its head.
func (c *Collector) readChain(ctx context.Context) error {
	st := &c.state
	spec, err := c.cfg.Source.Spec(ctx)
	if err != nil {
		return err
	}
	if spec != st.served {
		if err := c.cfg.Window.Validate(spec); err != nil {
			return fmt.Errorf("the counters' window does not fit this chain: %w", err)
		}
		named := *spec
		if c.cfg.NetworkName != "" {
			named.Network = c.cfg.NetworkName
		}
		st.spec, st.served = &named, spec
	}
	head, err := c.cfg.Source.Head(ctx)
	if err != nil {
		return err
	}
	back := c.rolledBack(head)
	if s := c.snapshot.Load(); s != nil && head.Slot < s.slot && !back {
		return &behindError{head: head.Slot, known: s.slot}
	}
	return st.follow(ctx, c, head, back)
}

// behindError is the answer of a node that has yet to reach what another one told, or
// itself before it was restarted. Behind one address may stand nodes that take turns. To
// follow such a node back would have counters fall, which Prometheus takes for a reset and
// counts what they show again.
type behindError struct{ head, known duty.Slot }

func (e *behindError) Error() string {
	return fmt.Sprintf("the node that answered is at slot %d, %d behind slot %d, which is known already; waiting for one that is past it",
		e.head, e.known-e.head, e.known)
}

// rollbackAge is how long a head that went back is waited out at least: where snapshots
// are withheld early, or never, too.
const rollbackAge = 15 * time.Minute

// syncedSlots is how far a node may say it is behind and be at the chain's end: its block
// may be late.
const syncedSlots = 2

// standing is the head that nodes told last, and when it was first told.
type standing struct {
	root  duty.Root
	since time.Time
}

// rolledBack tells whether the chain itself went back to head, which no chain does that
// is alive: after a reorg, however deep, the next block is at a later slot than any
// before. It takes that no head was confirmed for long, that this one stood still for
// long, that a node calls itself synced there, and that no node has a later one: it is a
// test network that was set back, clock and all. A node without peers may not call itself
// syncing either, but most count how far they are up to the slot of the clock: it will be
// back where it was, and counters that had followed it down would count twice.
func (c *Collector) rolledBack(head beacon.Header) bool {
	now := c.cfg.Now()
	if c.standing.root != head.Root {
		c.standing = standing{head.Root, now}
	}
	if at, ok := c.self.confirmed(); ok && now.Sub(at) <= max(c.cfg.MaxAge, rollbackAge) || now.Sub(c.standing.since) <= rollbackAge {
		return false
	}
	synced := false
	for _, h := range c.healths {
		if h.Up && h.HeadSlot > head.Slot {
			return false
		}
		synced = synced || h.Up && !h.Syncing && h.SyncDistance <= syncedSlots && h.HeadSlot == head.Slot
	}
	return synced
}

// follow walks from the head back by parent root to a block that is known. A walk
// by root proves itself: no other block can answer. A reorg is an ancestor that is
// not the newest known block, with other blocks on it; with none on it the node is
// behind, unless back says that the chain went back there.
//
// When nothing known lies within the unsettled epochs, as after a start or a long
// pause, the spine begins anew there; older blocks are read back by refillStep.
func (st *state) follow(ctx context.Context, c *Collector, head beacon.Header, back bool) error {
	if head.Slot == 0 {
		return errors.New("the chain has no blocks after genesis yet")
	}
	oldest := duty.Epoch(0)
	if e, ok := duty.SettledEpoch(st.spec, head.Slot); ok {
		oldest = e + 1
	}
	stop := st.spec.FirstSlot(oldest)
	var walked []link // newest first
	at := head.Root
	for {
		if i, known := st.spine.find(at); known {
			if len(walked) == 0 && head.Root != st.spine.tip().root && !back {
				return &behindError{head: head.Slot, known: st.spine.Head()}
			}
			if dropped := st.spine.truncate(i); len(dropped) > 0 {
				st.reorged(c, dropped, walked)
			}
			break
		}
		if n := len(walked); n > 0 && (walked[n-1].slot <= stop || walked[n-1].slot == 1) {
			if !st.spine.empty() {
				c.cfg.Logger.Info("The known chain does not join the new head; reading it again", "known_slot", st.spine.Head(), "head_slot", head.Slot)
			}
			st.invalidate(0)
			st.spine = spine{floor: walked[n-1].slot}
			if walked[n-1].slot == 1 {
				st.spine.floor = 0
			}
			break
		}
		// A walk that was too long for its time goes on where it ended.
		b, kept := c.blocks.Peek(at)
		if !kept {
			var err error
			if b, err = c.cfg.Source.BlockByRoot(ctx, at); err != nil {
				return fmt.Errorf("reading block 0x%x: %w", at[:8], err)
			}
		}
		switch n := len(walked); {
		case n == 0 && b.Slot != head.Slot:
			c.blocks.Drop(at)
			return fmt.Errorf("block 0x%x is of slot %d, its header said %d; the node is not to be trusted", at[:8], b.Slot, head.Slot)
		case n > 0 && b.Slot >= walked[n-1].slot:
			c.blocks.Drop(at)
			c.blocks.Drop(walked[n-1].root)
			return fmt.Errorf("block 0x%x of slot %d is named as the parent of slot %d; the node is not to be trusted", at[:8], b.Slot, walked[n-1].slot)
		}
		if b.Slot == 0 { // genesis: no duty, no proposer
			st.spine = spine{floor: 0}
			break
		}
		if !kept {
			c.blocks.Put(at, b)
		}
		walked = append(walked, newLink(at, b))
		at = b.ParentRoot
	}
	slices.Reverse(walked)
	st.spine.links = append(st.spine.links, walked...)
	return nil
}

// reorged records a reorg that this process saw: dropped blocks were canonical and
// are not any more. adopted is newest first.
func (st *state) reorged(c *Collector, dropped, adopted []link) {
	oldHead, ancestor := dropped[len(dropped)-1].slot, st.spine.Head()
	if len(adopted) == 0 {
		// Nothing tells yet that another chain took their place.
		st.invalidate(dropped[0].slot)
		st.accounted++
		c.cfg.Logger.Warn("The chain went back", "head_slot", ancestor, "old_head_slot", oldHead, "dropped_blocks", len(dropped))
		return
	}
	st.observed.reorgs++
	st.observed.reorgDepth = uint64(oldHead - ancestor)
	for _, l := range dropped {
		st.observed.orphaned[l.proposer]++
		st.observed.network++
	}
	st.invalidate(min(dropped[0].slot, adopted[len(adopted)-1].slot))
	c.cfg.Logger.Warn("Reorg: blocks that were canonical are not any more",
		"ancestor_slot", ancestor, "old_head_slot", oldHead, "dropped_blocks", len(dropped), "new_blocks", len(adopted))
}

// invalidate forgets what depends on blocks at or after slot changed. Accounted
// epochs are not among it: each carries the root it holds for.
func (st *state) invalidate(changed duty.Slot) {
	for first := range st.anchors {
		if changed <= st.spec.FirstSlot(first) {
			delete(st.anchors, first)
		}
	}
	for e, d := range st.duties {
		// Committees are decided by the block at the last slot of epoch-2, proposers by
		// that of epoch-1 (Beacon API, dependent_root of the duties).
		if e >= 2 && changed <= st.spec.LastSlot(e-2) {
			delete(st.duties, e)
		} else if e >= 1 && changed <= st.spec.LastSlot(e-1) {
			d.proposers = nil
		}
	}
	for period := range st.seats {
		// A sync committee is decided when the period before it begins (Altair beacon-chain.md,
		// process_sync_committee_updates), the first two at genesis.
		if period >= 2 && changed <= st.spec.LastSlot(duty.Epoch((period-1)*st.spec.EpochsPerSyncCommitteePeriod)-1) {
			delete(st.seats, period)
		}
	}
	st.nextSeatsAsked = 0
}

// readRoster reads the watched validators' records, once an epoch, from the state
// of the epoch's first slot, so that every replica shows the same.
func (st *state) readRoster(ctx context.Context, c *Collector, read *bool) error {
	// The generation is read first: a list that is newer than it is read again.
	generation, list := c.cfg.Watch.Generation(), c.cfg.Watch.Current()
	epoch := st.headEpoch()
	root, _ := st.spine.RootAt(st.spec.FirstSlot(epoch))
	key := rosterKey{epoch, root, generation}
	if st.roster != nil && st.rosterKey == key {
		return nil
	}
	*read = true
	exact := true
	records, err := st.readRecords(ctx, c, beacon.StateAt(st.spec.FirstSlot(epoch)), st.requestIDs(list))
	if errors.Is(err, beacon.ErrUnavailable) {
		c.cfg.Logger.Warn("No node serves the state of the epoch's first slot; reading the validators at the head", "slot", st.spec.FirstSlot(epoch), "err", err)
		exact = false
		records, err = st.readRecords(ctx, c, beacon.StateHead, st.requestIDs(list))
	}
	if err != nil {
		return fmt.Errorf("reading the records of %d validators: %w", len(list.Entries), err)
	}
	next := newRoster(st.spec.Network, list, records, st.roster)
	if st.roster == nil || st.rosterKey.generation != generation {
		// A new list may ask for validators that older epochs do not cover: look again.
		st.lookAgain()
		c.cfg.Logger.Info("Watching validators", "known", next.watch.Len(), "unknown_to_the_chain", len(next.unknown), "groups", len(next.groups)-1)
	}
	if !next.sameWatch(st.roster) {
		// Tallies find watched validators when they are made.
		for _, d := range st.duties {
			d.tally = nil
		}
	}
	st.roster, st.rosterKey = next, key
	st.noteAnchors(c, exact)
	return nil
}

// requestIDs asks for keys by the index they are known to have: nodes find those
// at once.
func (st *state) requestIDs(list *watch.List) []string {
	known := map[[48]byte]duty.ValidatorIndex{}
	byKey := slices.ContainsFunc(list.Entries, func(e watch.Entry) bool { return !e.HasIndex })
	if st.roster != nil && byKey && st.rosterKey.root != (duty.Root{}) { // else it may be of another fork
		for i := range st.roster.members {
			r := &st.roster.members[i].record
			known[r.Pubkey] = r.Index
		}
	}
	return requestIDs(list, known)
}

func (st *state) readRecords(ctx context.Context, c *Collector, state beacon.StateID, ids []string) ([]wire.Validator, error) {
	records := make([]wire.Validator, 0, len(ids))
	err := c.cfg.Source.Validators(ctx, state, ids, func(v wire.Validator) error {
		records = append(records, v)
		return nil
	})
	return records, err
}

// readDuties reads committees, proposers and sync committee of every epoch that is
// not settled, and the next epoch's as far as they are decided.
func (st *state) readDuties(ctx context.Context, c *Collector, read *bool) error {
	head := st.headEpoch()
	for e := st.unsettled(); e <= head; e++ {
		err := st.ensureDuties(ctx, c, e, read)
		if errors.Is(err, beacon.ErrUnavailable) && e < head {
			// A start on a node that keeps few committees: the gauges that need this
			// epoch stay absent until it is settled.
			continue
		}
		if err != nil {
			return err
		}
		err = st.ensureTally(ctx, c, e)
		if misfit := new(misfitError); errors.As(err, &misfit) && e < head {
			// Nor does an epoch that does not fit hold up the head.
			if st.misfit != e {
				st.misfit = e
				c.cfg.Logger.Warn("What nodes answered about an epoch does not fit together; the head goes on without it", "epoch", e, "err", err)
			}
			continue
		}
		if err != nil {
			return err
		}
		// Proposals and sync committees are read from the epoch's own blocks.
		if links, whole := st.spine.blocks(st.spec.FirstSlot(e), st.spec.LastSlot(e)); !whole {
			if err := st.ensureBodies(ctx, c, links); err != nil {
				return err
			}
		}
	}
	st.readNextSeats(ctx, c, head)
	// The next epoch only tells when the next duty is: without it, that is unknown.
	next, err := st.ensureCommittees(ctx, c, head+1, read)
	if err == nil && next.tally == nil {
		if next.tally, err = duty.NewTally(st.spec, next.committees, st.roster.watch); err != nil {
			delete(st.duties, head+1)
		}
	}
	if err == nil && head >= st.spec.FuluForkEpoch {
		// The proposers of the next epoch are final only since EIP-7917.
		err = st.ensureProposers(ctx, c, head+1, next, read)
	}
	if err != nil && ctx.Err() != nil {
		return ctx.Err()
	}
	if err != nil {
		c.cfg.Logger.Debug("The next epoch's duties are not known yet", "epoch", head+1, "err", err)
	}
	return nil
}

// readNextSeats asks once an epoch for the next period's sync committee, which only
// tells who is in it.
func (st *state) readNextSeats(ctx context.Context, c *Collector, head duty.Epoch) {
	next := st.spec.SyncPeriod(head) + 1
	if st.seats[next] != nil || st.nextSeatsAsked == head {
		return
	}
	st.nextSeatsAsked = head
	seats, err := c.cfg.Source.SyncCommittee(ctx, beacon.StateHead, duty.Epoch(next*st.spec.EpochsPerSyncCommitteePeriod))
	if err != nil {
		c.cfg.Logger.Debug("The next sync committee is not known", "period", next, "err", err)
		return
	}
	st.seats[next] = seats
}

// ensureDuties has all of an epoch's duties read, on the chain that is canonical now.
func (st *state) ensureDuties(ctx context.Context, c *Collector, epoch duty.Epoch, read *bool) error {
	d, err := st.ensureCommittees(ctx, c, epoch, read)
	if err != nil {
		return err
	}
	if err := st.ensureProposers(ctx, c, epoch, d, read); err != nil {
		return err
	}
	period := st.spec.SyncPeriod(epoch)
	if st.seats[period] != nil {
		return nil
	}
	*read = true
	state := beacon.StateAt(st.spec.FirstSlot(epoch))
	if period == st.spec.SyncPeriod(st.headEpoch()) {
		state = beacon.StateHead
	}
	seats, err := c.cfg.Source.SyncCommittee(ctx, state, epoch)
	if errors.Is(err, beacon.ErrUnavailable) && state == beacon.StateHead {
		// The node's head may be in the next period already.
		seats, err = c.cfg.Source.SyncCommittee(ctx, beacon.StateAt(st.spec.FirstSlot(epoch)), epoch)
	}
	if err != nil {
		return fmt.Errorf("reading the sync committee of epoch %d: %w", epoch, err)
	}
	st.seats[period] = seats
	return nil
}

func (st *state) ensureCommittees(ctx context.Context, c *Collector, epoch duty.Epoch, read *bool) (*epochDuties, error) {
	if d := st.duties[epoch]; d != nil {
		return d, nil
	}
	*read = true
	committees, err := c.cfg.Source.Committees(ctx, epoch, st.headEpoch())
	if err != nil {
		return nil, fmt.Errorf("reading the committees of epoch %d: %w", epoch, err)
	}
	d := &epochDuties{committees: committees}
	st.duties[epoch] = d
	return d, nil
}

func (st *state) ensureProposers(ctx context.Context, c *Collector, epoch duty.Epoch, d *epochDuties, read *bool) error {
	if d.proposers != nil {
		return nil
	}
	*read = true
	proposers, err := c.cfg.Source.ProposerDuties(ctx, epoch)
	if err != nil {
		return fmt.Errorf("reading the proposers of epoch %d: %w", epoch, err)
	}
	d.proposers = proposers
	return nil
}

// ensureTally brings an epoch's tally up to the newest block that can include its
// attestations, and begins it anew when a block in it is not canonical any more.
func (st *state) ensureTally(ctx context.Context, c *Collector, epoch duty.Epoch) error {
	d := st.duties[epoch]
	first, last := st.spec.FirstSlot(epoch)+1, st.spec.LastSlot(epoch+1)
	links, whole := st.spine.blocks(first, min(last, st.spine.Head()))
	begin := 0
	if d.tally != nil && d.tallied != (duty.Root{}) {
		begin = slices.IndexFunc(links, func(l link) bool { return l.root == d.tallied }) + 1
	}
	if d.tally == nil || (begin == 0 && d.tallied != (duty.Root{})) {
		var err error
		if d.tally, err = duty.NewTally(st.spec, d.committees, st.roster.watch); err != nil {
			return st.disbelieve(c, epoch, nil, err)
		}
		d.tallied, begin = duty.Root{}, 0
	}
	if !whole && slices.ContainsFunc(links[begin:], func(l link) bool { return l.body == nil }) {
		if err := st.ensureBodies(ctx, c, links[begin:]); err != nil {
			return err
		}
	}
	for i, l := range links[begin:] {
		if err := d.tally.Add(l.body, &st.spine); err != nil {
			return st.disbelieve(c, epoch, links[begin+i:begin+i+1], err)
		}
		d.tallied = l.root
	}
	return nil
}

// misfitError says that what nodes answered about an epoch does not fit together.
type misfitError struct {
	epoch duty.Epoch
	error
}

func (e *misfitError) Error() string {
	return fmt.Sprintf("accounting epoch %d: %v; what it needs is read again", e.epoch, e.error)
}

func (e *misfitError) Unwrap() error { return e.error }

// disbelieve forgets an epoch's duties and these blocks' bodies, of which at least one is
// wrong, so that they are asked for again, of another node where there is one: one that
// answered wrong once may do better, but need not.
func (st *state) disbelieve(c *Collector, epoch duty.Epoch, links []link, err error) error {
	delete(st.duties, epoch)
	c.cfg.Source.Doubt(epoch)
	for i := range links {
		c.blocks.Drop(links[i].root)
		links[i].body = nil
	}
	return &misfitError{epoch, err}
}

func (st *state) readFinality(ctx context.Context, c *Collector, read *bool) error {
	key := st.rosterKey
	key.generation = 0
	if st.finality.known && st.finality.key == key {
		return nil
	}
	*read = true
	// Checkpoints change only between epochs, so the first slot's state has those of
	// every head of this epoch.
	f, err := c.cfg.Source.Finality(ctx, beacon.StateAt(st.spec.FirstSlot(key.epoch)))
	if errors.Is(err, beacon.ErrUnavailable) {
		f, err = c.cfg.Source.Finality(ctx, beacon.StateHead)
	}
	if err != nil {
		st.finality = finality{}
		return fmt.Errorf("reading finality: %w", err)
	}
	st.finality = finality{key: key, known: true, Finality: f}
	return nil
}

// confirmCanonical makes sure that what was read by slot and by epoch belongs to
// the chain that was walked by root: between the two the node may have reorged, or
// another node may have answered. Everything that was read is decided by the first slot
// of the head's epoch, so each node that answered is asked about the first block from
// there on: the head itself it may not have yet, or it may follow another one.
//
// A node that follows another chain, or that has not got the block, told something of
// another chain, and all is dropped. One that gives no answer, being overloaded, say, has
// denied nothing: what was read is kept, not shown, and the node asked once more at the
// next scrape, since to read it all again would be more work for it.
func (c *Collector) confirmCanonical(ctx context.Context) error {
	st := &c.state
	first := st.spine.links[st.spine.from(st.spec.FirstSlot(st.headEpoch()))]
	canonical, err := c.cfg.Source.Canonical(ctx, first.root)
	if err != nil && ctx.Err() != nil {
		return fmt.Errorf("confirming the block at slot %d: %w", first.slot, err)
	}
	if err != nil && !errors.Is(err, beacon.ErrUnavailable) && !st.unanswered {
		st.unanswered = true
		return fmt.Errorf("a node that was asked about this epoch does not confirm its block at slot %d; asking again: %w", first.slot, err)
	}
	st.unconfirmed, st.unanswered = false, false
	if canonical {
		return nil
	}
	// Whatever was read may be of another fork. The roster stays for its crew, and is read again.
	st.rosterKey.root, st.finality = duty.Root{}, finality{}
	clear(st.seats)
	st.nextSeatsAsked = 0
	delete(st.anchors, st.headEpoch())
	for e := st.unsettled(); e <= st.headEpoch()+1; e++ {
		delete(st.duties, e)
	}
	if err != nil {
		return fmt.Errorf("a node that was asked about this epoch does not confirm its block at slot %d; reading it again: %w", first.slot, err)
	}
	return fmt.Errorf("the block at slot %d is not canonical for a node that was asked about its epoch; the next scrape asks again", first.slot)
}

// settle accounts every epoch that has just settled, from the tallies that followed
// it live. One that cannot be accounted from them does not hold up the head: the window
// lacks it until refillStep, which is next, has read it back.
func (st *state) settle(ctx context.Context, c *Collector) error {
	newest, ok := duty.SettledEpoch(st.spec, st.spine.Head())
	if !ok {
		return nil
	}
	patience, cancel := context.WithTimeout(ctx, settlePatience)
	defer cancel()
	for e := range st.duties {
		if e > newest {
			continue
		}
		if _, done := st.valid(e); done {
			continue
		}
		err := st.account(patience, c, e)
		switch {
		case err != nil && ctx.Err() != nil:
			return err
		case err != nil && !errors.Is(err, beacon.ErrUnavailable):
			c.cfg.Logger.Warn("A settled epoch could not be accounted from what was read live", "epoch", e, "err", err)
		}
	}
	return nil
}

// trim forgets what no snapshot of this or a later head needs.
func (st *state) trim(c *Collector) {
	unsettled := st.unsettled()
	for e := range st.duties {
		if e < unsettled {
			delete(st.duties, e)
		}
	}
	st.spine.dropBodies(0, st.spec.FirstSlot(unsettled))
	for period := range st.seats {
		if period+1 < st.spec.SyncPeriod(unsettled) {
			delete(st.seats, period)
		}
	}
	lowest, _, ok := st.lowest(c)
	if !ok {
		return
	}
	for e := range st.settled {
		if e < lowest {
			delete(st.settled, e)
		}
	}
	for first := range st.anchors {
		if first+duty.Epoch(c.cfg.Window.Epochs) < lowest {
			delete(st.anchors, first)
		}
	}
	st.spine.forget(st.spec.FirstSlot(lowest))
}
