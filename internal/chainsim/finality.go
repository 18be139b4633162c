package chainsim

import "github.com/ethereum-validator-monitor/validator-monitor/collector/duty"

type checkpoint struct {
	epoch duty.Epoch
	root  duty.Root
}

// checkpoints are a state's, with the justification bits of its last four epochs.
type checkpoints struct {
	previous, justified, finalized checkpoint
	bits                           uint8
}

// advanced remembers the last result of checkpointsAt: during an outage every slot asks the same.
type advanced struct {
	block  *block
	epoch  duty.Epoch
	result checkpoints
}

// checkpointsAt returns the checkpoints of b's fork in epoch, which begins at or
// after b (spec: process_justification_and_finalization at each epoch's end).
func (c *Chain) checkpointsAt(b *block, epoch duty.Epoch) checkpoints {
	at := c.preset.epochOf(b.slot)
	if at >= epoch {
		return b.checkpoints
	}
	if c.advance.block == b && c.advance.epoch == epoch {
		return c.advance.result
	}
	now := b.checkpoints
	for ; at < epoch; at++ {
		now = c.endEpoch(now, b, at)
	}
	c.advance = advanced{b, epoch, now}
	return now
}

// endEpoch processes the end of epoch, whose newest block is tip (or older).
func (c *Chain) endEpoch(now checkpoints, tip *block, epoch duty.Epoch) checkpoints {
	if epoch <= 1 {
		return now
	}
	oldPrevious, oldJustified := now.previous, now.justified
	now.previous = now.justified
	now.bits = now.bits << 1 & 0xf
	_, total := c.registry.totals(epoch)
	if c.targetStake(tip, epoch-1)*3 >= total*2 {
		now.justified = checkpoint{epoch - 1, tip.ancestor(c.preset.FirstSlot(epoch - 1)).root}
		now.bits |= 2
	}
	if c.targetStake(tip, epoch)*3 >= total*2 {
		now.justified = checkpoint{epoch, tip.ancestor(c.preset.FirstSlot(epoch)).root}
		now.bits |= 1
	}
	switch {
	case now.bits&0xe == 0xe && oldPrevious.epoch+3 == epoch:
		now.finalized = oldPrevious
	case now.bits&0x6 == 0x6 && oldPrevious.epoch+2 == epoch:
		now.finalized = oldPrevious
	}
	switch {
	case now.bits&0x7 == 0x7 && oldJustified.epoch+2 == epoch:
		now.finalized = oldJustified
	case now.bits&0x3 == 0x3 && oldJustified.epoch+1 == epoch:
		now.finalized = oldJustified
	}
	return now
}

// targetStake sums the effective balances, in increments, of the unslashed
// validators whose votes for the right target of epoch are on tip's fork.
func (c *Chain) targetStake(tip *block, epoch duty.Epoch) (increments uint64) {
	first := c.preset.FirstSlot(epoch)
	target := tip.ancestor(first).root
	voters := make([]bitset, c.preset.SlotsPerEpoch)
	for b := tip; b != nil && b.slot > first; b = b.parent {
		for _, a := range b.carried {
			if c.preset.epochOf(a.slot) != epoch || a.target != target {
				continue
			}
			n := a.slot - first
			if voters[n] == nil {
				voters[n] = make(bitset, len(a.voters))
			}
			voters[n].or(a.voters)
		}
	}
	shuffled := c.shuffles.committees(epoch)
	for n, set := range voters {
		if set == nil {
			continue
		}
		for place, v := range shuffled.cohort(n) {
			if set.has(place) && !tip.slashed(v) {
				increments += c.registry.effective(v, epoch)
			}
		}
	}
	return increments
}
