package duty

import (
	"encoding/binary"
	"slices"
	"testing"
)

// The presets differ in what accounting depends on: slots per epoch, committees
// per slot, sync committee size.
func mainnet() *Spec { return preset(32, 64, 512) }
func gnosis() *Spec  { return preset(16, 64, 512) }
func minimal() *Spec { return preset(8, 4, 32) }

func preset(slotsPerEpoch, committees, syncSeats uint64) *Spec {
	return &Spec{
		SlotsPerEpoch:                slotsPerEpoch,
		MaxCommitteesPerSlot:         committees,
		SyncCommitteeSize:            syncSeats,
		EpochsPerSyncCommitteePeriod: 256,
		EffectiveBalanceIncrement:    1e9,
		SourceWeight:                 14,
		TargetWeight:                 26,
		HeadWeight:                   14,
		ElectraForkEpoch:             0,
		FuluForkEpoch:                0,
		GloasForkEpoch:               FarFutureEpoch,
	}
}

// testChain is a canonical chain whose blocks' roots follow from their slots.
type testChain struct {
	// next and previous have, for each slot, the nearest slot with a block at or
	// after and at or before it; next is len(next) where there is none.
	next, previous []Slot
	head           Slot
	full           map[Slot]bool
}

// chainTo returns the chain with a block in each slot up to head except the empty ones.
func chainTo(head Slot, empty ...Slot) *testChain {
	blocks := make([]bool, head+1)
	for slot := range blocks {
		blocks[slot] = !slices.Contains(empty, Slot(slot))
	}
	return chainOf(blocks)
}

func chainOf(blocks []bool) *testChain {
	n := len(blocks)
	c := &testChain{next: make([]Slot, n), previous: make([]Slot, n), full: map[Slot]bool{}}
	next := Slot(n)
	for slot := n - 1; slot >= 0; slot-- {
		if blocks[slot] {
			next = Slot(slot)
		}
		c.next[slot] = next
	}
	for slot := range blocks { // slot 0 always counts as one, the genesis block
		if blocks[slot] {
			c.head = Slot(slot)
		}
		c.previous[slot] = c.head
	}
	return c
}

// at returns the same chain as it was when head was its head.
func (c *testChain) at(head Slot) *testChain {
	return &testChain{next: c.next, previous: c.previous, head: c.previous[head], full: c.full}
}

func (c *testChain) Head() Slot { return c.head }

func (c *testChain) HasBlock(slot Slot) bool { return slot <= c.head && c.previous[slot] == slot }

func (c *testChain) RootAt(slot Slot) (Root, bool) {
	return rootOf(c.previous[min(slot, c.head)]), true
}

func (c *testChain) FirstBlockFrom(slot Slot) (Slot, bool) {
	if slot > c.head {
		return 0, false
	}
	return c.next[slot], true
}

func (c *testChain) PayloadFull(slot Slot) (full, known bool) {
	full, known = c.full[slot]
	return full, known
}

func rootOf(slot Slot) (r Root) {
	r[0] = 0xbb
	binary.BigEndian.PutUint64(r[24:], uint64(slot))
	return r
}

var orphan = Root{0xdd}

// committeesOf splits each slot's members into perSlot committees, the first ones
// a member larger where they do not divide.
func committeesOf(epoch Epoch, perSlot int, slots ...[]uint32) *Committees {
	c := &Committees{Epoch: epoch, PerSlot: perSlot, Offsets: []uint32{0}}
	for _, members := range slots {
		c.Members = append(c.Members, members...)
		for i := range perSlot {
			size := len(members) / perSlot
			if i < len(members)%perSlot {
				size++
			}
			c.Offsets = append(c.Offsets, c.Offsets[len(c.Offsets)-1]+uint32(size))
		}
	}
	return c
}

// everyone deals validators 0 … n*SlotsPerEpoch-1 to the slots of an epoch, n each,
// in order: validator v attests in slot v/n of the epoch.
func everyone(spec *Spec, epoch Epoch, perSlot, n int) *Committees {
	slots := make([][]uint32, spec.SlotsPerEpoch)
	for i := range slots {
		for j := range n {
			slots[i] = append(slots[i], uint32(i*n+j))
		}
	}
	return committeesOf(epoch, perSlot, slots...)
}

// vote returns the honest attestation of slot by the chosen committees' members
// that attests names.
func vote(spec *Spec, chain Chain, c *Committees, slot Slot, chosen []int, attests func(ValidatorIndex) bool) Attestation {
	epoch := spec.EpochOf(slot)
	head, _ := chain.RootAt(slot)
	target, _ := chain.RootAt(spec.FirstSlot(epoch))
	a := Attestation{
		Slot:            slot,
		BeaconBlockRoot: head,
		TargetEpoch:     epoch,
		TargetRoot:      target,
		CommitteeBits:   make([]byte, (spec.MaxCommitteesPerSlot+7)/8),
	}
	for _, i := range chosen {
		a.CommitteeBits[i/8] |= 1 << (i % 8)
		for _, member := range c.Committee(int(slot-spec.FirstSlot(epoch)), i) {
			if a.AggregationLen%8 == 0 {
				a.AggregationBits = append(a.AggregationBits, 0)
			}
			if attests(ValidatorIndex(member)) {
				a.AggregationBits[a.AggregationLen/8] |= 1 << (a.AggregationLen % 8)
			}
			a.AggregationLen++
		}
	}
	return a
}

func all(n int) (numbers []int) {
	for i := range n {
		numbers = append(numbers, i)
	}
	return numbers
}

func mustTally(t testing.TB, spec *Spec, c *Committees, watch *WatchSet) *Tally {
	t.Helper()
	tally, err := NewTally(spec, c, watch)
	if err != nil {
		t.Fatal(err)
	}
	return tally
}

func mustAdd(t testing.TB, tally *Tally, chain Chain, blocks ...*Block) {
	t.Helper()
	for _, b := range blocks {
		if err := tally.Add(b, chain); err != nil {
			t.Fatal(err)
		}
	}
}
