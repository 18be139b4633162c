package duty

import "fmt"

// SettledEpoch returns the newest epoch that is settled at head: no block can
// include an attestation for it any more. ok is false before the first one.
func SettledEpoch(spec *Spec, head Slot) (epoch Epoch, ok bool) {
	if head < SettlesAt(spec, 0) {
		return 0, false
	}
	return spec.EpochOf(head-2) - 2, true
}

// SettlesAt returns S(e) = first_slot(e+2)+2: epoch e is settled once the head is
// at or past it. The last block that can include its attestations is two slots or
// more below, out of reach of the most common reorgs.
func SettlesAt(spec *Spec, e Epoch) Slot { return spec.FirstSlot(e+2) + 2 }

// WindowConfig says how counters are anchored to the chain: they are sums over
// the settled epochs since the newest multiple of Epochs, and read 0 for
// ResetSlots after each such anchor, so that Prometheus sees every reset.
//
// With scrapes no more than ResetSlots apart, increase() over counters that
// follow Shown is exact as long as no run of empty slots is longer than half a
// window less ResetSlots. Beyond that events may be missed, never invented.
type WindowConfig struct {
	// Epochs is the length of a window.
	Epochs uint64
	// ResetSlots is the least number of slots for which zeros, and before them a
	// window's final total, can be seen.
	ResetSlots uint64
}

// Validate tells whether there is time within a window to show all that Shown
// promises, even when ResetSlots slots in a row are empty.
func (c WindowConfig) Validate(spec *Spec) error {
	if c.ResetSlots < 1 {
		return fmt.Errorf("a window needs at least 1 reset slot, or Prometheus cannot see the reset")
	}
	if c.Epochs < 2 {
		return fmt.Errorf("a window of %d epochs is too short: use at least 2", c.Epochs)
	}
	// In this order of operations nothing can overflow.
	if c.ResetSlots > c.Epochs*min(spec.SlotsPerEpoch, 1<<16)/4 || c.Epochs > 1<<32 {
		return fmt.Errorf("a window of %d epochs of %d slots does not fit %d reset slots: it must be at least four times as long, and at most 2^32 epochs",
			c.Epochs, spec.SlotsPerEpoch, c.ResetSlots)
	}
	return nil
}

// Anchor returns the first epoch of the window that e lies in.
func (c WindowConfig) Anchor(e Epoch) Epoch { return e - e%Epoch(c.Epochs) }

// Shown says what the counters show at some head.
type Shown struct {
	// Counters are sums over the epochs Anchor to Last, both included, …
	Anchor, Last Epoch
	// … unless Zero is set: then they read 0.
	Zero bool
}

// Shown tells what counters show at chain.Head(). ok is false before the first
// epoch settles. The chain must be known from DecidedFrom on.
//
// It depends on nothing but which slots hold canonical blocks. A window that has
// just begun is held back until its predecessor's final total could be seen for
// ResetSlots slots, then zeros are shown for as long, then the new sums.
func (c WindowConfig) Shown(spec *Spec, chain Chain) (shown Shown, ok bool) {
	head := chain.Head()
	settled, ok := SettledEpoch(spec, head)
	if !ok {
		return Shown{}, false
	}
	anchor, reset := c.Anchor(settled), Slot(c.ResetSlots)

	zeroFrom := SettlesAt(spec, anchor)
	if anchor > 0 {
		// Head is past S(anchor-1), so there is such a block.
		final, _ := chain.FirstBlockFrom(SettlesAt(spec, anchor-1))
		zeroFrom = max(zeroFrom, final+reset)
	}
	zero, begun := chain.FirstBlockFrom(zeroFrom)
	if !begun || zero > head {
		return Shown{Anchor: anchor - Epoch(c.Epochs), Last: anchor - 1}, true
	}
	return Shown{Anchor: anchor, Last: settled, Zero: head < zero+reset}, true
}

// DecidedFrom returns the oldest slot that Shown asks about when the head is at
// head. It never lies before the attestations of the window's first epoch do.
func (c WindowConfig) DecidedFrom(spec *Spec, head Slot) Slot {
	settled, ok := SettledEpoch(spec, head)
	if !ok {
		return head
	}
	if anchor := c.Anchor(settled); anchor > 0 {
		return SettlesAt(spec, anchor-1)
	}
	return SettlesAt(spec, 0)
}

// Lowest returns the oldest epoch whose outcome is needed to show the counters
// of shown, the last completed windows before them, and streaks of up to streak
// epochs.
func (c WindowConfig) Lowest(shown Shown, completed int, streak uint64) Epoch {
	lowest := shown.Anchor - min(shown.Anchor, Epoch(uint64(completed)*c.Epochs))
	if streak > 0 {
		lowest = min(lowest, shown.Last-min(shown.Last, Epoch(streak-1)))
	}
	return lowest
}
