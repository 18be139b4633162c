package duty

import (
	"errors"
	"fmt"
)

// SettledEpoch returns the newest epoch that is settled at head: no block can
// include an attestation for it any more. ok is false before the first one.
func SettledEpoch(spec *Spec, head Slot) (epoch Epoch, ok bool) {
	if head < SettlesAt(spec, 0) {
		return 0, false
	}
	return spec.EpochOf(head-2) - 2, true
}

// SettlesAt returns S(e) = first_slot(e+2)+2: epoch e is settled once the head is
// at or past it. The last block that can include its attestations is at least three
// slots below, out of reach of the common reorgs.
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

// maxWindowEpochs keeps slot arithmetic far from overflow; it is years everywhere.
const maxWindowEpochs = 1 << 20

// Validate tells whether a window has time to show all that Shown promises.
func (c WindowConfig) Validate(spec *Spec) error {
	switch {
	case c.Epochs < 2 || c.Epochs > maxWindowEpochs:
		return fmt.Errorf("a window of %d epochs: use 2 to %d", c.Epochs, maxWindowEpochs)
	case c.ResetSlots < 1:
		return errors.New("a window without reset slots: use at least 1, or Prometheus cannot see the reset")
	case c.ResetSlots > c.Epochs*spec.SlotsPerEpoch/4:
		return fmt.Errorf("a window of %d epochs of %d slots with %d reset slots: use at most a quarter of the window, %d",
			c.Epochs, spec.SlotsPerEpoch, c.ResetSlots, c.Epochs*spec.SlotsPerEpoch/4)
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
// head. That is past the window's first epoch: whoever knows the blocks of the
// window knows enough.
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
