package chainsim

import (
	"maps"
	"slices"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Truth is what happened, as of one head. It is worked out validator by validator
// from the simulator's own decisions, slowly and plainly.
type Truth struct {
	chain *Chain
	head  *block
}

// Attestation is the truth about one attestation duty.
type Attestation struct {
	Validator duty.ValidatorIndex
	Slot      duty.Slot
	// Included on the canonical chain, first Delay slots after Slot.
	Included bool
	Delay    uint64
	// Votes earned, by the rules of EIP-7045.
	Source, Target, Head bool
	// Intent is what the validator did. A vote lost by a Timely one was lost by the network.
	Intent Intent
}

// Proposal is the truth about one proposer duty.
type Proposal struct {
	Slot     duty.Slot
	Proposer duty.ValidatorIndex
	// Made tells whether the slot has a canonical block, Root its root.
	Made bool
	Root duty.Root
}

// SyncSeat is the truth about one sync committee seat in one canonical block.
type SyncSeat struct {
	Validator duty.ValidatorIndex
	Included  bool
}

// Orphan is a block that was canonical until a block at OrphanedAt replaced it.
type Orphan struct {
	Slot, OrphanedAt duty.Slot
	Root             duty.Root
	Proposer         duty.ValidatorIndex
}

// Truth returns the truth as of now. It needs the blocks: see Config.KeepEpochs.
func (c *Chain) Truth() *Truth {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return &Truth{c, c.head}
}

// Head returns the slot and the root of the head that this truth is about.
func (t *Truth) Head() (duty.Slot, duty.Root) { return t.head.slot, t.head.root }

// Canonical returns the root of the canonical block at slot, if there is one.
func (t *Truth) Canonical(slot duty.Slot) (root duty.Root, ok bool) {
	if b := t.block(slot); b != nil {
		return b.root, true
	}
	return root, false
}

func (t *Truth) block(slot duty.Slot) *block {
	if slot > t.head.slot {
		return nil
	}
	if b := t.chain.ancestor(t.head, slot); b.slot == slot {
		return b
	}
	return nil
}

// Attestations returns the duties of epoch by slot, committee and place. They are
// final once the head is past the next epoch.
func (t *Truth) Attestations(epoch duty.Epoch) []Attestation {
	p := &t.chain.preset
	shuffled := t.chain.shuffles.committees(epoch)
	all := make([]Attestation, 0, len(shuffled.members))
	begin := make([]int, p.SlotsPerEpoch) // where each slot's duties begin in all
	for n := range begin {
		slot := p.FirstSlot(epoch) + duty.Slot(n)
		begin[n] = len(all)
		for _, v := range shuffled.cohort(n) {
			intent, _ := t.chain.behaviour.attester(v, slot)
			all = append(all, Attestation{Validator: duty.ValidatorIndex(v), Slot: slot, Intent: intent})
		}
	}

	for slot := p.FirstSlot(epoch) + 1; slot < p.FirstSlot(epoch+2); slot++ {
		b := t.block(slot)
		if b == nil {
			continue
		}
		for _, a := range t.chain.contents(b) {
			if p.epochOf(a.slot) != epoch {
				continue
			}
			n := int(a.slot - p.FirstSlot(epoch))
			for place := range shuffled.cohort(n) {
				if a.voters.has(place) {
					t.include(&all[begin[n]+place], b.slot-a.slot, a.ballot)
				}
			}
		}
	}
	return all
}

// include records that a vote is in a block, delay slots after the duty.
func (t *Truth) include(a *Attestation, delay duty.Slot, v *ballot) {
	if !a.Included {
		a.Included, a.Delay = true, uint64(delay)
	}
	a.Delay = min(a.Delay, uint64(delay))
	inTime := uint64(delay*delay) <= t.chain.preset.SlotsPerEpoch // delay <= isqrt(SLOTS_PER_EPOCH)
	epoch := t.chain.preset.epochOf(a.Slot)
	target := v.target == t.chain.ancestor(t.head, t.chain.preset.FirstSlot(epoch)).root
	head := v.head == t.chain.ancestor(t.head, a.Slot).root
	a.Source = a.Source || inTime
	a.Target = a.Target || target
	a.Head = a.Head || target && head && delay == 1
}

// Proposals returns the proposer duties of epoch in the order of slots.
func (t *Truth) Proposals(epoch duty.Epoch) []Proposal {
	var all []Proposal
	p := &t.chain.preset
	for slot := p.FirstSlot(epoch); slot < p.FirstSlot(epoch+1); slot++ {
		turn := Proposal{Slot: slot, Proposer: duty.ValidatorIndex(t.chain.shuffles.proposer(slot))}
		turn.Root, turn.Made = t.Canonical(slot)
		all = append(all, turn)
	}
	return all
}

// Sync returns the seats of the canonical block at slot, in order; nil when it is empty.
func (t *Truth) Sync(slot duty.Slot) []SyncSeat {
	b := t.block(slot)
	if b == nil {
		return nil
	}
	var seats []SyncSeat
	for i, v := range t.chain.shuffles.syncCommittee(t.chain.shuffles.syncPeriod(slot)) {
		seats = append(seats, SyncSeat{duty.ValidatorIndex(v), b.syncBits.has(i)})
	}
	return seats
}

// Slashings counts the slashing operations in the canonical blocks of epoch.
func (t *Truth) Slashings(epoch duty.Epoch) (proposer, attester int) {
	p := &t.chain.preset
	for slot := p.FirstSlot(epoch); slot < p.FirstSlot(epoch+1); slot++ {
		if b := t.block(slot); b != nil {
			for _, op := range b.ownOps() {
				if op.proposer {
					proposer++
				} else {
					attester++
				}
			}
		}
	}
	return proposer, attester
}

// Orphans returns the blocks that were canonical once, in the order in which they were orphaned.
func (t *Truth) Orphans() []Orphan {
	t.chain.mu.RLock()
	defer t.chain.mu.RUnlock()
	var orphans []Orphan
	for _, o := range t.chain.orphans {
		if o.OrphanedAt <= t.head.slot {
			orphans = append(orphans, o)
		}
	}
	return orphans
}

// EffectiveBalance returns a validator's effective balance in epoch, in gwei.
func (t *Truth) EffectiveBalance(v duty.ValidatorIndex, epoch duty.Epoch) duty.Gwei {
	return duty.Gwei(t.chain.registry.effective(uint32(v), epoch) * increment)
}

// Slashed returns the validators slashed up to the head, ascending.
func (t *Truth) Slashed() []duty.ValidatorIndex {
	set := map[duty.ValidatorIndex]bool{}
	for _, op := range t.head.ops {
		for _, v := range op.validators {
			set[v] = true
		}
	}
	return slices.Sorted(maps.Keys(set))
}

// Finality returns the justified and finalized epochs of the state of the first slot of epoch.
func (t *Truth) Finality(epoch duty.Epoch) (justified, finalized duty.Epoch) {
	at := t.chain.finality(t.chain.ancestor(t.head, t.chain.preset.FirstSlot(epoch)), epoch)
	return at.justified.epoch, at.finalized.epoch
}

// ancestor returns the newest block at or before slot on the fork of head.
func (c *Chain) ancestor(head *block, slot duty.Slot) *block {
	c.mu.RLock()
	defer c.mu.RUnlock()
	for b := head; ; b = b.parent {
		if b.slot <= slot || b.parent == nil {
			return b
		}
		// From a canonical block on, the table is quicker than the links.
		if int(b.slot) < len(c.canonical) && c.canonical[b.slot] == b {
			for slot > 0 && c.canonical[slot] == nil {
				slot--
			}
			return c.canonical[slot]
		}
	}
}

// contents returns the attestations of b; none when it was pruned.
func (c *Chain) contents(b *block) []carried {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return b.carried
}

// finality returns the checkpoints of b's fork in epoch.
func (c *Chain) finality(b *block, epoch duty.Epoch) checkpoints {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.checkpointsAt(b, epoch)
}
