package collector

import (
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
)

// snapshot is everything that is shown of one head. It is immutable, and whole: a
// scrape sees all of it or none.
type snapshot struct {
	head       duty.Root
	slot       duty.Slot
	generation uint64 // of the watch list
	spec       *duty.Spec
	roster     *roster

	settled   duty.Epoch
	isSettled bool // the chain's first epoch has settled
	finality  finality

	*sums
	validators []validatorState // by ordinal
	live       bool             // the unsettled duties are all known
	nextSeats  bool             // so is the next sync committee
	// proposers are known of the slots from the head to proposersUntil, which is not one
	// of them. Before Fulu the chain draws them an epoch at a time.
	proposersUntil duty.Slot
	// Of the whole network: overdue attestations, and validators with duty in the
	// head's epoch.
	networkOverdue, networkActive int

	reorgs  uint64 // observed so far
	rewards rewards
	page    *exposition.Page
	built   built
}

func (s *snapshot) crew() *crew { return s.roster.crew }

// sums are what a snapshot says of settled epochs. Heads of the same epoch share
// them.
type sums struct {
	key settledKey
	// counters tells whether counters are exposed; they sum shown's epochs from
	// firstEpoch on, which is later than shown.Anchor when no node serves more.
	counters   bool
	shown      duty.Shown
	firstEpoch duty.Epoch
	walled     bool // no node serves the epoch before firstEpoch
	anchored   bool // stake sums use the window's own frozen balances
	network    duty.NetworkEpoch
	groups     map[groupKey]duty.Totals
	settledBy  []validatorSums // by ordinal
}

// validatorSums is what settled epochs say of one watched validator.
type validatorSums struct {
	totals duty.Totals
	// counted: totals cover every epoch that the counters show.
	counted bool
	// streak of missed attestations; negative when it is not known.
	streak int8
}

// settledKey names everything that sums and settled families depend on.
type settledKey struct {
	crew      *crew
	shown     duty.Shown
	known     bool
	settled   duty.Epoch
	accounted uint64
	reorgs    uint64 // a deep one undoes accounted epochs
	finalized duty.Epoch
}

// validatorState is what the head shows of one watched validator's duties that are
// not settled yet, or still to come.
type validatorState struct {
	overdue         uint8
	blocksMissed    uint16
	syncMissed      uint32
	nextAttestation duty.Slot // 0 when none is known
	nextProposal    duty.Slot
	syncCurrent     bool
	syncNext        bool
}

// publish makes the snapshot of the present head the one that scrapes see.
func (c *Collector) publish() {
	st := &c.state
	previous := c.snapshot.Load()
	s := &snapshot{
		head:       st.spine.tip().root,
		slot:       st.spine.Head(),
		generation: st.rosterKey.generation,
		spec:       st.spec,
		roster:     st.roster,
		finality:   st.finality,
		reorgs:     st.observed.reorgs,
		rewards:    st.shownRewards(),
		validators: make([]validatorState, st.roster.watch.Len()),
	}
	s.settled, s.isSettled = duty.SettledEpoch(st.spec, s.slot)
	s.sums = st.sum(c, s, previous)
	st.followUnsettled(s)
	s.build(c, st, previous)
	c.snapshot.Store(s)
	st.unpublished = false
}

// shownRewards returns the rewards if they are those of the newest paid epoch.
func (st *state) shownRewards() rewards {
	head := st.headEpoch()
	if head < 2 || st.rewards.epoch != head-2 || st.rewards.asked != st.roster.watch {
		return rewards{}
	}
	if until, ok := st.spine.RootAt(st.spec.LastSlot(head - 1)); !ok || until != st.rewards.until {
		return rewards{}
	}
	return st.rewards
}

// sum returns what settled epochs say: the previous snapshot's sums, unless
// something has settled, or was read, since.
func (st *state) sum(c *Collector, s, previous *snapshot) *sums {
	shown, known := st.shown(c, s)
	key := settledKey{
		crew: st.roster.crew, shown: shown, known: known, settled: s.settled,
		accounted: st.accounted, reorgs: st.observed.reorgs, finalized: s.finality.Finalized,
	}
	if previous != nil && previous.key == key {
		return previous.sums
	}
	n := &sums{key: key, shown: shown, settledBy: make([]validatorSums, st.roster.watch.Len())}
	st.countStreaks(s, n)
	if known {
		st.sumWindow(c, n)
	}
	return n
}

// shown tells which epochs counters show; known is false while the chain has not
// been read back far enough to tell.
func (st *state) shown(c *Collector, s *snapshot) (shown duty.Shown, known bool) {
	_, decided, ok := st.lowest(c)
	switch {
	case !ok:
		return duty.Shown{}, false
	case decided != nil:
		return *decided, true
	case st.wall != nil:
		// No node serves the blocks that would decide it: show what there is.
		return duty.Shown{Anchor: c.cfg.Window.Anchor(s.settled), Last: s.settled}, true
	}
	return duty.Shown{}, false
}

// sumWindow adds up the epochs that the counters show.
func (st *state) sumWindow(c *Collector, n *sums) {
	n.firstEpoch = st.firstEpoch(n.shown.Anchor)
	if n.firstEpoch > n.shown.Last {
		return
	}
	for e := n.firstEpoch; e <= n.shown.Last; e++ {
		if _, ok := st.valid(e); !ok {
			return
		}
	}
	n.counters = true
	n.walled = st.wall != nil && n.firstEpoch <= *st.wall+1
	if !n.shown.Zero {
		st.counted = counted{n.shown.Anchor, n.firstEpoch}
	}
	a := st.anchors[n.shown.Anchor]
	n.anchored = a != nil && a.exact(st.roster, n.shown.Anchor+duty.Epoch(c.cfg.Window.Epochs))
	epochs := st.epochs(n.firstEpoch, n.shown.Last)
	n.network = sumNetwork(epochs, n.shown.Zero)
	n.groups = sumGroups(epochs, n.shown.Zero)
	for i := range st.roster.members {
		v := &n.settledBy[i]
		m := &st.roster.members[i]
		v.totals, v.counted = st.sumValidator(epochs, a.increments(m), m, n.shown.Zero)
	}
}

func (st *state) epochs(first, last duty.Epoch) []*settledEpoch {
	epochs := make([]*settledEpoch, 0, last-first+1)
	for e := first; e <= last; e++ {
		epochs = append(epochs, st.settled[e])
	}
	return epochs
}

func sumNetwork(epochs []*settledEpoch, zero bool) (sum duty.NetworkEpoch) {
	sum.StakeKnown = true
	for _, e := range epochs {
		n := &e.outcome.Network
		sum.StakeKnown = sum.StakeKnown && n.StakeKnown
		if !zero {
			sum.Totals.Add(&n.Totals)
			sum.ProposerSlashings += n.ProposerSlashings
			sum.AttesterSlashings += n.AttesterSlashings
		}
	}
	return sum
}

func sumGroups(epochs []*settledEpoch, zero bool) map[groupKey]duty.Totals {
	sums := map[groupKey]duty.Totals{}
	for _, e := range epochs {
		for k, t := range e.groups {
			sum := sums[k]
			if !zero {
				sum.Add(&t)
			}
			sums[k] = sum
		}
	}
	return sums
}

// sumValidator adds up one validator's epochs; whole is false when an epoch was
// accounted before the validator was watched.
func (st *state) sumValidator(epochs []*settledEpoch, increments uint64, m *member, zero bool) (sum duty.Totals, whole bool) {
	whole = true
	for _, e := range epochs {
		ordinal, watched := e.outcome.Watch.Ordinal(m.record.Index)
		if watched && !zero {
			sum.AddValidator(st.spec, e.outcome.Validators[ordinal], increments)
		}
		whole = whole && (watched || e.covers(m))
	}
	return sum, whole
}

// countStreaks counts missed attestations back from the newest settled epoch.
func (st *state) countStreaks(s *snapshot, n *sums) {
	for i := range n.settledBy {
		n.settledBy[i].streak = -1
	}
	if !s.isSettled {
		return
	}
	oldest := back(s.settled, streakEpochs-1)
	var epochs []*settledEpoch // newest first
	for e := s.settled; e >= oldest && e <= s.settled; e-- {
		settled, ok := st.valid(e)
		if !ok {
			if st.wall == nil || e > *st.wall {
				epochs = append(epochs, nil) // not read yet
			}
			break
		}
		epochs = append(epochs, settled)
	}
	for i := range st.roster.members {
		n.settledBy[i].streak = streakOf(epochs, &st.roster.members[i])
	}
}

func streakOf(epochs []*settledEpoch, m *member) (streak int8) {
	for _, e := range epochs {
		if e == nil || !e.covers(m) {
			return -1
		}
		ordinal, watched := e.outcome.Watch.Ordinal(m.record.Index)
		if !watched {
			return streak // not active then
		}
		if v := &e.outcome.Validators[ordinal]; !v.Duty || v.Included {
			return streak
		}
		streak++
	}
	return streak
}

// followUnsettled collects what the head shows of duties that are not settled.
func (st *state) followUnsettled(s *snapshot) {
	head, epoch := s.slot, st.headEpoch()
	s.live = true
	for e := st.unsettled(); e <= epoch; e++ {
		d := st.duties[e]
		if d == nil || d.tally == nil || d.proposers == nil {
			s.live = false
			return
		}
		links, whole := st.spine.blocks(st.spec.FirstSlot(e), st.spec.LastSlot(e))
		if !whole {
			s.live = false
			return
		}
		in := st.outcomeInput(e, links, nil)
		if in.Check(st.spec, e) != nil {
			s.live = false
			return
		}
		missed := duty.LiveEpoch(st.spec, e, st.roster.watch, in)
		for i := range s.validators {
			v := &s.validators[i]
			v.blocksMissed += uint16(missed[i].BlocksMissed)
			v.syncMissed += uint32(missed[i].SyncMissed)
		}
		for i := range d.tally.Overdue(head) {
			s.validators[i].overdue++
		}
		s.networkOverdue += d.tally.NetworkOverdue(head)
		s.networkActive = d.tally.Members()
	}
	for e := epoch; e <= epoch+1; e++ {
		st.nextDuties(s, e)
	}
	for e := epoch; e <= epoch+1 && st.duties[e] != nil && st.duties[e].proposers != nil; e++ {
		s.proposersUntil = st.spec.FirstSlot(e + 1)
	}
	st.syncMembers(s, st.spec.SyncPeriod(epoch), func(v *validatorState) { v.syncCurrent = true })
	s.nextSeats = st.seats[st.spec.SyncPeriod(epoch)+1] != nil
	st.syncMembers(s, st.spec.SyncPeriod(epoch)+1, func(v *validatorState) { v.syncNext = true })
}

func (st *state) nextDuties(s *snapshot, e duty.Epoch) {
	d := st.duties[e]
	if d == nil {
		return
	}
	if d.tally != nil {
		for i := range s.validators {
			if slot, ok := d.tally.DutySlot(i); ok && slot > s.slot && s.validators[i].nextAttestation == 0 {
				s.validators[i].nextAttestation = slot
			}
		}
	}
	for n, proposer := range d.proposers {
		slot := st.spec.FirstSlot(e) + duty.Slot(n)
		if i, ok := st.roster.watch.Ordinal(proposer); ok && slot > s.slot && s.validators[i].nextProposal == 0 {
			s.validators[i].nextProposal = slot
		}
	}
}

func (st *state) syncMembers(s *snapshot, period uint64, mark func(*validatorState)) {
	for _, index := range st.seats[period] {
		if i, ok := st.roster.watch.Ordinal(index); ok {
			mark(&s.validators[i])
		}
	}
}
