package independent

import (
	"context"
	"errors"
	"fmt"

	"github.com/attestantio/go-eth2-client/spec/electra"
)

// Outcome is what one validator did in one epoch.
type Outcome struct {
	// Duty: it had to attest, in DutySlot.
	Duty     bool
	DutySlot uint64
	// Included: its attestation is on the canonical chain, first Delay slots after DutySlot.
	Included bool
	Delay    uint64
	// The votes that earn a reward (protocol: participation flags).
	Source, Target, Head bool
	// HeadRight: its head vote was right, included in time or not.
	HeadRight bool
	// Proposals expected, and made. The genesis block is nobody's.
	BlocksExpected, BlocksProposed int
	// Sync committee seats × canonical blocks, and bits set for them.
	SyncExpected, SyncIncluded int
}

// Seats are a validator's sync committee seats in one block.
type Seats struct{ Included, Missed int }

// Result is a count over some epochs.
type Result struct {
	SlotsPerEpoch uint64
	// Blocks tells which slots have a canonical block, up to the end of the epoch after
	// the last one counted: so long can its attestations be included.
	Blocks map[uint64]bool
	// Epochs by number, and in each the outcome of every validator with any duty.
	Epochs map[uint64]map[uint64]*Outcome
	// Sync has the seats of every block of these epochs, by slot and validator.
	Sync map[uint64]map[uint64]Seats
	// Slashings by epoch.
	Slashings map[uint64]Slashings
}

// Slashings are numbers of slashing operations in canonical blocks.
type Slashings struct{ Proposer, Attester int }

// Count counts the epochs from to to, both included, as the beacon node at url tells
// them. The last must be settled: its attestations can be included up to the end of the
// epoch after it, so the head has to be beyond.
func Count(ctx context.Context, url string, from, to uint64) (*Result, error) {
	n := node{url}
	slotsPerEpoch, err := n.slotsPerEpoch(ctx)
	if err != nil {
		return nil, fmt.Errorf("count epochs %d to %d: %w", from, to, err)
	}
	c := &count{node: n, blocks: map[uint64]*block{}, result: &Result{
		SlotsPerEpoch: slotsPerEpoch,
		Blocks:        map[uint64]bool{},
		Epochs:        map[uint64]map[uint64]*Outcome{},
		Sync:          map[uint64]map[uint64]Seats{},
		Slashings:     map[uint64]Slashings{},
	}}
	if err := c.readChain(ctx, from*slotsPerEpoch, (to+2)*slotsPerEpoch-1); err != nil {
		return nil, fmt.Errorf("count epochs %d to %d: %w", from, to, err)
	}
	for epoch := from; epoch <= to; epoch++ {
		c.result.Epochs[epoch] = map[uint64]*Outcome{}
		for _, part := range []func(context.Context, uint64) error{c.attestations, c.proposals, c.syncCommittee} {
			if err := part(ctx, epoch); err != nil {
				return nil, fmt.Errorf("count epoch %d: %w", epoch, err)
			}
		}
		c.slashings(epoch)
	}
	return c.result, nil
}

type root [32]byte

type block struct {
	root root
	*electra.BeaconBlock
}

type count struct {
	node
	blocks map[uint64]*block // canonical blocks by slot
	last   uint64            // the slot up to which blocks are known
	result *Result
}

// readChain reads the canonical blocks of the slots first to last. When last is empty it
// goes on to the next block, whose parent is the newest of them.
func (c *count) readChain(ctx context.Context, first, last uint64) error {
	head, err := c.header(ctx, "head")
	if err != nil {
		return err
	}
	if head.slot < last {
		return fmt.Errorf("the head is at slot %d, and blocks up to slot %d are still to come", head.slot, last)
	}
	for slot := max(first, 1); ; slot++ { // the genesis block is not processed
		header, err := c.header(ctx, fmt.Sprint(slot))
		if errors.Is(err, errNotFound) {
			continue
		}
		if err != nil {
			return err
		}
		signed := new(electra.SignedBeaconBlock)
		if err := c.ssz(ctx, fmt.Sprintf("/eth/v2/beacon/blocks/%d", slot), signed); err != nil {
			return err
		}
		c.blocks[slot] = &block{header.root, signed.Message}
		c.result.Blocks[slot] = true
		c.last = slot
		if slot >= last {
			return nil
		}
	}
}

// rootAt is the root of the newest block at or before slot.
func (c *count) rootAt(slot uint64) root {
	if b := c.blocks[slot]; b != nil {
		return b.root
	}
	for ; slot <= c.last; slot++ {
		if b := c.blocks[slot]; b != nil {
			return root(b.ParentRoot)
		}
	}
	panic("independent: no block after the counted slots")
}

// attestations goes through all attestations for an epoch, validator by validator.
func (c *count) attestations(ctx context.Context, epoch uint64) error {
	committees, err := c.committees(ctx, epoch)
	if err != nil {
		return err
	}
	for place, members := range committees {
		for _, v := range members {
			o := c.outcome(epoch, v)
			o.Duty, o.DutySlot = true, place.slot
		}
	}
	perEpoch := c.result.SlotsPerEpoch
	timely := integerSquareRoot(perEpoch)
	for slot := epoch * perEpoch; slot < (epoch+2)*perEpoch; slot++ {
		b := c.blocks[slot]
		if b == nil {
			continue
		}
		for _, a := range b.Body.Attestations {
			if uint64(a.Data.Target.Epoch) != epoch {
				continue
			}
			dutySlot := uint64(a.Data.Slot)
			delay := slot - dutySlot
			target := root(a.Data.Target.Root) == c.rootAt(epoch*perEpoch)
			head := target && root(a.Data.BeaconBlockRoot) == c.rootAt(dutySlot)
			bit := uint64(0)
			for _, committee := range a.CommitteeBits.BitIndices() {
				members, known := committees[place{dutySlot, uint64(committee)}]
				if !known {
					return fmt.Errorf("block %d has an attestation of committee %d of slot %d, which does not exist", slot, committee, dutySlot)
				}
				for _, v := range members {
					if a.AggregationBits.BitAt(bit) {
						o := c.outcome(epoch, v)
						if !o.Included || delay < o.Delay {
							o.Included, o.Delay = true, delay
						}
						o.Source = o.Source || delay <= timely
						o.Target = o.Target || target
						o.HeadRight = o.HeadRight || head
						o.Head = o.Head || head && delay == 1
					}
					bit++
				}
			}
			if bit != a.AggregationBits.Len() {
				return fmt.Errorf("block %d has an attestation of slot %d with %d bits for %d members", slot, dutySlot, a.AggregationBits.Len(), bit)
			}
		}
	}
	return nil
}

func (c *count) proposals(ctx context.Context, epoch uint64) error {
	proposers, err := c.proposers(ctx, epoch)
	if err != nil {
		return err
	}
	for slot, v := range proposers {
		if slot == 0 {
			continue
		}
		o := c.outcome(epoch, v)
		o.BlocksExpected++
		if b := c.blocks[slot]; b != nil {
			if uint64(b.ProposerIndex) != v {
				return fmt.Errorf("the block at slot %d is by %d, though %d had to propose it", slot, b.ProposerIndex, v)
			}
			o.BlocksProposed++
		}
	}
	return nil
}

func (c *count) syncCommittee(ctx context.Context, epoch uint64) error {
	seats, err := c.syncSeats(ctx, epoch)
	if err != nil {
		return err
	}
	perEpoch := c.result.SlotsPerEpoch
	for slot := epoch * perEpoch; slot < (epoch+1)*perEpoch; slot++ {
		b := c.blocks[slot]
		if b == nil {
			continue
		}
		bits := b.Body.SyncAggregate.SyncCommitteeBits
		if uint64(len(seats)) != bits.Len() {
			return fmt.Errorf("the sync committee has %d seats, the block at slot %d %d bits", len(seats), slot, bits.Len())
		}
		of := map[uint64]Seats{}
		for seat, v := range seats {
			s := of[v]
			o := c.outcome(epoch, v)
			o.SyncExpected++
			if bits.BitAt(uint64(seat)) {
				o.SyncIncluded++
				s.Included++
			} else {
				s.Missed++
			}
			of[v] = s
		}
		c.result.Sync[slot] = of
	}
	return nil
}

func (c *count) slashings(epoch uint64) {
	perEpoch := c.result.SlotsPerEpoch
	var sum Slashings
	for slot := epoch * perEpoch; slot < (epoch+1)*perEpoch; slot++ {
		if b := c.blocks[slot]; b != nil {
			sum.Proposer += len(b.Body.ProposerSlashings)
			sum.Attester += len(b.Body.AttesterSlashings)
		}
	}
	c.result.Slashings[epoch] = sum
}

func (c *count) outcome(epoch, validator uint64) *Outcome {
	of := c.result.Epochs[epoch]
	if of[validator] == nil {
		of[validator] = new(Outcome)
	}
	return of[validator]
}

func integerSquareRoot(n uint64) uint64 {
	r := uint64(0)
	for (r+1)*(r+1) <= n {
		r++
	}
	return r
}
