package collector

import (
	"sort"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// spine is the part of the canonical chain that this process has read: every
// block from floor to the head, linked by parent root. It implements duty.Chain.
//
// Only the advance touches it; it is not safe for concurrent use.
type spine struct {
	// floor: every slot from floor to the head is known, empty ones included.
	floor duty.Slot
	links []link
}

// link is one canonical block. Its body is dropped once both epochs that need it
// are accounted for; what is left is a hundred bytes.
type link struct {
	slot     duty.Slot
	root     duty.Root
	parent   duty.Root
	proposer duty.ValidatorIndex
	bid      *duty.PayloadBid
	body     *duty.Block
}

func newLink(root duty.Root, b *duty.Block) link {
	return link{slot: b.Slot, root: root, parent: b.ParentRoot, proposer: b.Proposer, bid: b.Bid, body: b}
}

func (s *spine) empty() bool { return len(s.links) == 0 }

func (s *spine) tip() link { return s.links[len(s.links)-1] }

// from returns the position of the first link at or after slot.
func (s *spine) from(slot duty.Slot) int {
	return sort.Search(len(s.links), func(i int) bool { return s.links[i].slot >= slot })
}

// Head implements duty.Chain.
func (s *spine) Head() duty.Slot {
	if s.empty() {
		return 0
	}
	return s.tip().slot
}

// HasBlock implements duty.Chain.
func (s *spine) HasBlock(slot duty.Slot) bool {
	i := s.from(slot)
	return i < len(s.links) && s.links[i].slot == slot
}

// FirstBlockFrom implements duty.Chain.
func (s *spine) FirstBlockFrom(slot duty.Slot) (duty.Slot, bool) {
	i := s.from(slot)
	if i == len(s.links) {
		return 0, false
	}
	return s.links[i].slot, true
}

// RootAt implements duty.Chain. A slot before the first link, but not before the
// floor, carries the root that the first link names as its parent.
func (s *spine) RootAt(slot duty.Slot) (duty.Root, bool) {
	if s.empty() || slot+1 < s.floor {
		return duty.Root{}, false
	}
	i := s.from(slot + 1)
	if i == 0 {
		return s.links[0].parent, true
	}
	return s.links[i-1].root, true
}

// PayloadFull implements duty.Chain: a block's payload turned out to be there when
// its child builds on the payload's hash (EIP-7732).
func (s *spine) PayloadFull(slot duty.Slot) (full, known bool) {
	i := s.from(slot)
	if i+1 >= len(s.links) || s.links[i].slot != slot || s.links[i].bid == nil || s.links[i+1].bid == nil {
		return false, false
	}
	return s.links[i+1].bid.ParentBlockHash == s.links[i].bid.BlockHash, true
}

// find returns the position of the block with root.
func (s *spine) find(root duty.Root) (int, bool) {
	// Looked for from the head: that is where reorgs happen.
	for i := len(s.links) - 1; i >= 0; i-- {
		if s.links[i].root == root {
			return i, true
		}
	}
	return 0, false
}

// truncate drops every link behind position keep and returns the dropped ones.
func (s *spine) truncate(keep int) []link {
	dropped := append([]link(nil), s.links[keep+1:]...)
	s.links = s.links[:keep+1]
	return dropped
}

// blocks returns the links with slots in [first, last] and whether all still have
// their bodies.
func (s *spine) blocks(first, last duty.Slot) (links []link, whole bool) {
	if s.empty() || first < s.floor {
		return nil, false
	}
	lo, hi := s.from(first), s.from(last+1)
	links = s.links[lo:hi]
	for i := range links {
		if links[i].body == nil {
			return links, false
		}
	}
	return links, true
}

// prepend puts older links, which cover the chain down to floor, before the
// present ones.
func (s *spine) prepend(older []link, floor duty.Slot) {
	s.links = append(append(make([]link, 0, len(older)+len(s.links)), older...), s.links...)
	s.floor = floor
}

// dropBodies forgets the bodies of the blocks with slots in [first, end).
func (s *spine) dropBodies(first, end duty.Slot) {
	for i := s.from(first); i < len(s.links) && s.links[i].slot < end; i++ {
		s.links[i].body = nil
	}
}

// forget drops everything before floor.
func (s *spine) forget(floor duty.Slot) {
	if floor <= s.floor || s.empty() {
		return
	}
	lo := s.from(floor)
	if lo == len(s.links) {
		lo-- // the head always stays
	}
	s.links = append([]link(nil), s.links[lo:]...)
	s.floor = floor
}
