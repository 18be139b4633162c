package duty

import (
	"encoding/binary"
	"fmt"
	"iter"
	"math/bits"
	"slices"
)

// Tally gathers the attestations of one epoch from canonical blocks, for every
// validator with duty in it, as bit sets over each slot's cohort: all members of
// the slot's committees, in committee order. It is not safe for concurrent use.
//
// After a reorg of a block that was added, start a new one.
type Tally struct {
	spec       *Spec
	epoch      Epoch
	committees *Committees
	watch      *WatchSet
	cohorts    []cohort
	// places has the duty of each ordinal; pending are the ordinals whose attestation
	// was not included when Overdue last looked.
	places  []place
	pending []int
	last    Slot
	// ballots is scratch space of Add.
	ballots []ballot
}

// cohort is everybody with duty in one slot.
type cohort struct {
	size, included int // members, and those whose attestation is included
	words          []cohortWord
	// delays has the inclusion delay of each watched, included member.
	delays []uint8
	// delaySum is the sum of inclusion delays over all included members.
	delaySum uint64
}

// cohortWord holds 64 members of a cohort; the sets lie side by side because an
// aggregate is OR-ed into all of them at once.
type cohortWord struct {
	watched, included    uint64
	source, target, head uint64
	// headRight has those whose head vote was right, in time or not.
	headRight uint64
}

// place is where a watched validator stands; the zero value has no duty.
type place struct {
	duty     bool
	slot     uint8 // within the epoch
	position uint32
}

// ballot is an attestation with what it earns.
type ballot struct {
	*Attestation
	delay                           uint8
	source, target, head, headRight bool
}

// NewTally starts the tally of the epoch of committees. It keeps committees, and
// fails when their shape is impossible.
func NewTally(spec *Spec, committees *Committees, watch *WatchSet) (*Tally, error) {
	if err := checkCommittees(spec, committees); err != nil {
		return nil, fmt.Errorf("committees of epoch %d: %w", committees.Epoch, err)
	}
	t := &Tally{
		spec:       spec,
		epoch:      committees.Epoch,
		committees: committees,
		watch:      watch,
		cohorts:    make([]cohort, spec.SlotsPerEpoch),
		places:     make([]place, watch.Len()),
	}
	for n := range t.cohorts {
		members := committees.SlotMembers(n)
		c := &t.cohorts[n]
		c.size, c.words = len(members), make([]cohortWord, (len(members)+63)/64)

		for position, member := range members {
			if !watch.has(member) {
				continue
			}
			ordinal, _ := watch.Ordinal(ValidatorIndex(member))
			if t.places[ordinal].duty {
				return nil, fmt.Errorf("committees of epoch %d: validator %d is in two of them", t.epoch, member)
			}
			t.places[ordinal] = place{duty: true, slot: uint8(n), position: uint32(position)}
			t.pending = append(t.pending, ordinal)
			if c.delays == nil {
				c.delays = make([]uint8, c.size)
			}
			c.words[position/64].watched |= 1 << (position % 64)
		}
	}
	return t, nil
}

func checkCommittees(spec *Spec, c *Committees) error {
	// Twice the slots of an epoch bound an inclusion delay, which is kept in a byte.
	if spec.SlotsPerEpoch < 1 || spec.SlotsPerEpoch > 128 {
		return fmt.Errorf("SLOTS_PER_EPOCH is %d, want 1 to 128", spec.SlotsPerEpoch)
	}
	if c.PerSlot < 1 || uint64(c.PerSlot) > spec.MaxCommitteesPerSlot {
		return fmt.Errorf("%d committees in a slot, want 1 to %d", c.PerSlot, spec.MaxCommitteesPerSlot)
	}
	if want := int(spec.SlotsPerEpoch)*c.PerSlot + 1; len(c.Offsets) != want {
		return fmt.Errorf("%d offsets, want %d", len(c.Offsets), want)
	}
	previous := uint32(0)
	for i, offset := range c.Offsets {
		if offset < previous || i == 0 && offset != 0 {
			return fmt.Errorf("offset %d is %d, want at least %d, and 0 for the first", i, offset, previous)
		}
		previous = offset
	}
	if int(previous) != len(c.Members) {
		return fmt.Errorf("%d members, the offsets say %d", len(c.Members), previous)
	}
	return nil
}

// Epoch returns the epoch that is tallied.
func (t *Tally) Epoch() Epoch { return t.epoch }

// LastSlot returns the slot of the newest block that was added, 0 before any was.
func (t *Tally) LastSlot() Slot { return t.last }

// Add counts the attestations of a canonical block. Blocks come in ascending
// order; one that cannot hold attestations of the epoch is ignored, and so are
// attestations of other epochs. The chain must cover the epoch and the newest
// block before it.
//
// A block with a malformed attestation is an error and counts for nothing: no
// canonical block has one, so either the committees are those of another chain
// or the block was misread.
func (t *Tally) Add(b *Block, chain Chain) error {
	if b.Slot <= t.spec.FirstSlot(t.epoch) || b.Slot > t.spec.LastSlot(t.epoch+1) {
		return nil
	}
	if b.Slot <= t.last {
		return fmt.Errorf("block at slot %d after that at slot %d: blocks must be added in ascending order", b.Slot, t.last)
	}
	t.ballots = t.ballots[:0]
	for i := range b.Attestations {
		a := &b.Attestations[i]
		if t.spec.EpochOf(a.Slot) != t.epoch && a.TargetEpoch != t.epoch {
			continue
		}
		counted, err := t.judge(b, a, chain)
		if err != nil {
			return fmt.Errorf("block at slot %d, attestation %d: %w", b.Slot, i, err)
		}
		t.ballots = append(t.ballots, counted)
	}
	for i := range t.ballots {
		t.apply(&t.ballots[i])
	}
	t.last = b.Slot
	return nil
}

// judge checks an attestation of the epoch and finds what it earns.
func (t *Tally) judge(b *Block, a *Attestation, chain Chain) (ballot, error) {
	if t.spec.EpochOf(a.Slot) != a.TargetEpoch {
		return ballot{}, fmt.Errorf("target epoch %d does not hold slot %d", a.TargetEpoch, a.Slot)
	}
	if a.Slot >= b.Slot {
		return ballot{}, fmt.Errorf("slot %d is not before the block", a.Slot)
	}
	if err := t.checkBits(a); err != nil {
		return ballot{}, err
	}
	targetRoot, ok := chain.RootAt(t.spec.FirstSlot(t.epoch))
	if !ok {
		return ballot{}, fmt.Errorf("the chain is not known at slot %d", t.spec.FirstSlot(t.epoch))
	}
	headRoot, ok := chain.RootAt(a.Slot)
	if !ok {
		return ballot{}, fmt.Errorf("the chain is not known at slot %d", a.Slot)
	}
	in := FlagInput{
		SlotsPerEpoch: t.spec.SlotsPerEpoch,
		Delay:         uint64(b.Slot - a.Slot),
		TargetMatches: a.TargetRoot == targetRoot,
		HeadMatches:   a.BeaconBlockRoot == headRoot,
	}
	// Short of a right head the payload decides nothing.
	in.PayloadMatches = !in.HeadMatches || t.payloadMatches(b, a, chain)

	counted := ballot{Attestation: a, delay: uint8(in.Delay), headRight: headRight(in)}
	counted.source, counted.target, counted.head = Flags(in)
	return counted, nil
}

// checkBits tells whether the lengths of an attestation fit its committees.
func (t *Tally) checkBits(a *Attestation) error {
	n, members := t.slotInEpoch(a.Slot), 0
	for i, set := range a.CommitteeBits {
		for ; set != 0; set &= set - 1 {
			committee := i*8 + bits.TrailingZeros8(set)
			if committee >= t.committees.PerSlot {
				return fmt.Errorf("committee %d of slot %d, which has %d", committee, a.Slot, t.committees.PerSlot)
			}
			members += len(t.committees.Committee(n, committee))
		}
	}
	if a.AggregationLen != members || len(a.AggregationBits) != (members+7)/8 {
		return fmt.Errorf("%d aggregation bits in %d bytes for %d committee members of slot %d",
			a.AggregationLen, len(a.AggregationBits), members, a.Slot)
	}
	return nil
}

// payloadMatches tells whether the payload-status vote (EIP-7732) of an
// attestation with the right head is right. A vote for the block of its own slot
// has index 0, as the payload is not out yet; any other must say whether the
// block it names turned out to have its payload.
//
// Where that cannot be told the vote counts as right: a claim that a validator
// lost something needs proof. A chain that covers the block and its child can
// always tell.
func (t *Tally) payloadMatches(b *Block, a *Attestation, chain Chain) bool {
	if t.spec.EpochOf(b.Slot) < t.spec.GloasForkEpoch {
		return true
	}
	if chain.HasBlock(a.Slot) || a.Slot == 0 {
		return a.Index == 0
	}
	voted := a.Slot - 1
	for !chain.HasBlock(voted) {
		if _, covered := chain.RootAt(voted); !covered || voted == 0 {
			return true
		}
		voted--
	}
	full, known := true, true // upgrade_to_gloas says so of all earlier blocks
	if t.spec.EpochOf(voted) >= t.spec.GloasForkEpoch {
		full, known = chain.PayloadFull(voted)
	}
	return !known || full == (a.Index == 1)
}

// apply counts an attestation that judge found well-formed.
func (t *Tally) apply(v *ballot) {
	n := t.slotInEpoch(v.Slot)
	first := n * t.committees.PerSlot
	base := t.committees.Offsets[first]

	// Neighbouring committees are one run of bits: a full aggregate is a single one.
	var run struct{ position, from, length int }
	for i, set := range v.CommitteeBits {
		for ; set != 0; set &= set - 1 {
			at := first + i*8 + bits.TrailingZeros8(set)
			position := int(t.committees.Offsets[at] - base)
			length := int(t.committees.Offsets[at+1]-base) - position
			if position != run.position+run.length {
				t.cohorts[n].add(v, run.position, run.from, run.length)
				run.position, run.from, run.length = position, run.from+run.length, 0
			}
			run.length += length
		}
	}
	t.cohorts[n].add(v, run.position, run.from, run.length)
}

// add counts length aggregation bits from bit from on for the members from
// position on.
func (c *cohort) add(v *ballot, position, from, length int) {
	source, target, head, headRight := mask(v.source), mask(v.target), mask(v.head), mask(v.headRight)
	newly := 0
	for end := position + length; position < end; {
		shift := position % 64
		count := min(64-shift, end-position)
		voted := bitsAt(v.AggregationBits, from) & (1<<count - 1) << shift

		w := &c.words[position/64]
		added := voted &^ w.included
		newly += bits.OnesCount64(added)
		for watched := added & w.watched; watched != 0; watched &= watched - 1 {
			c.delays[position&^63+bits.TrailingZeros64(watched)] = v.delay
		}
		w.included |= voted
		w.source |= voted & source
		w.target |= voted & target
		w.head |= voted & head
		w.headRight |= voted & headRight

		position, from = position+count, from+count
	}
	c.included += newly
	c.delaySum += uint64(newly) * uint64(v.delay)
}

func mask(set bool) uint64 {
	if set {
		return ^uint64(0)
	}
	return 0
}

// bitsAt returns 64 bits of b from bit from on, zeros past its end.
func bitsAt(b []byte, from int) uint64 {
	b, shift := b[from/8:], from%8
	if len(b) >= 9 {
		return binary.LittleEndian.Uint64(b)>>shift | uint64(b[8])<<(64-shift)
	}
	var tail [9]byte
	copy(tail[:], b)
	return binary.LittleEndian.Uint64(tail[:])>>shift | uint64(tail[8])<<(64-shift)
}

// DutySlot returns the slot that the validator attests in; ok is false when it
// has no duty in the epoch.
func (t *Tally) DutySlot(ordinal int) (slot Slot, ok bool) {
	p := t.places[ordinal]
	return t.spec.FirstSlot(t.epoch) + Slot(p.slot), p.duty
}

// Overdue yields the ordinals of validators whose duty is at least three slots old
// at head and whose attestation is not included by the blocks added so far.
func (t *Tally) Overdue(head Slot) iter.Seq[int] {
	t.pending = slices.DeleteFunc(t.pending, func(ordinal int) bool { return t.included(t.places[ordinal]) })
	return func(yield func(int) bool) {
		for _, ordinal := range t.pending {
			slot, _ := t.DutySlot(ordinal)
			if slot+3 <= head && !yield(ordinal) {
				return
			}
		}
	}
}

// NetworkOverdue counts, over all validators, what Overdue yields of the watched
// ones: duties at least three slots old at head that are not included yet.
func (t *Tally) NetworkOverdue(head Slot) int {
	overdue := 0
	for n := range t.cohorts {
		if t.spec.FirstSlot(t.epoch)+Slot(n)+3 > head {
			break
		}
		overdue += t.cohorts[n].size - t.cohorts[n].included
	}
	return overdue
}

// Members is the number of validators with duty in the epoch, which is that of the
// network's active ones.
func (t *Tally) Members() int { return len(t.committees.Members) }

func (t *Tally) included(p place) bool {
	return t.cohorts[p.slot].words[p.position/64].included>>(p.position%64)&1 != 0
}

func (t *Tally) slotInEpoch(slot Slot) int { return int(slot - t.spec.FirstSlot(t.epoch)) }
