package wire

import (
	"errors"
	"fmt"
	"io"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// ErrWrongEpoch marks an answer with the committees of another epoch than the one
// asked for. Some nodes give that around an epoch's boundary: ask again, or another.
var ErrWrongEpoch = errors.New("committees of another epoch")

// CommitteeScratch is working memory that [ReadCommittees] reuses. The zero value is
// ready; one reader at a time may use it.
type CommitteeScratch struct {
	// Expect is the number of members to make room for, as the last answer had them.
	// A wrong number costs time only.
	Expect  int
	window  []byte
	members []uint32
	places  []place
}

// place tells where a committee's members are in CommitteeScratch.members.
type place struct {
	start, end uint32
	taken      bool
}

// ReadCommittees reads an answer of /eth/v1/beacon/states/{id}/committees for a
// whole epoch, in any order of entries and of keys in an entry. scratch may be nil.
// The result owns its memory.
//
// An answer for another epoch gives [ErrWrongEpoch]; one in which a slot or a
// committee is missing, doubled or odd is refused as well.
func ReadCommittees(r io.Reader, spec *duty.Spec, epoch duty.Epoch, scratch *CommitteeScratch) (*duty.Committees, error) {
	if scratch == nil {
		scratch = new(CommitteeScratch)
	}
	if err := checkPreset(spec); err != nil {
		return nil, err
	}
	scratch.reset(int(spec.SlotsPerEpoch * spec.MaxCommitteesPerSlot))
	err := readDocument(r, scratch.window, func(s *scanner) {
		s.array(func() { scratch.readEntry(s, spec, epoch) })
	})
	if err != nil {
		return nil, fmt.Errorf("reading committees of epoch %d: %w", epoch, err)
	}
	committees, err := scratch.inOrder(spec, epoch)
	if err != nil {
		return nil, fmt.Errorf("reading committees of epoch %d: %w; ask another node", epoch, err)
	}
	return committees, nil
}

func (c *CommitteeScratch) reset(places int) {
	if c.window == nil {
		c.window = make([]byte, windowSize)
	}
	if len(c.places) != places {
		c.places = make([]place, places)
	}
	clear(c.places)
	c.members = c.members[:0]
	// A little more than before, so that a growing network does not double it.
	if room := min(c.Expect, maxMembers); cap(c.members) < room {
		c.members = make([]uint32, 0, room+room/64)
	}
}

func (c *CommitteeScratch) readEntry(s *scanner, spec *duty.Spec, epoch duty.Epoch) {
	var slot, index uint64
	var seen fields
	start := len(c.members)
	s.object(func(key []byte) {
		switch string(key) {
		case "slot":
			slot = s.uint()
			seen.add(s, 0)
		case "index":
			index = s.uint()
			seen.add(s, 1)
		case "validators":
			c.members = s.uint32s(c.members, maxMembers)
			seen.add(s, 2)
		default:
			s.skip()
		}
	})
	if s.err != nil {
		return
	}
	if !seen.all(3) {
		s.fail(errors.New("a committee without slot, index or validators"))
		return
	}
	if spec.EpochOf(duty.Slot(slot)) != epoch {
		s.fail(fmt.Errorf("slot %d: %w", slot, ErrWrongEpoch))
		return
	}
	if index >= spec.MaxCommitteesPerSlot {
		s.fail(fmt.Errorf("slot %d has a committee %d", slot, index))
		return
	}
	p := &c.places[slot%spec.SlotsPerEpoch*spec.MaxCommitteesPerSlot+index]
	if p.taken {
		s.fail(fmt.Errorf("slot %d has committee %d twice", slot, index))
		return
	}
	*p = place{uint32(start), uint32(len(c.members)), true}
}

// inOrder lays the members out by slot and index, which needs no sorting: every
// committee has its place.
func (c *CommitteeScratch) inOrder(spec *duty.Spec, epoch duty.Epoch) (*duty.Committees, error) {
	most := int(spec.MaxCommitteesPerSlot)
	perSlot := 0
	for perSlot < most && c.places[perSlot].taken {
		perSlot++
	}
	if perSlot == 0 {
		return nil, fmt.Errorf("slot %d has no committee 0", spec.FirstSlot(epoch))
	}
	result := &duty.Committees{
		Epoch:   epoch,
		PerSlot: perSlot,
		Offsets: make([]uint32, 1, int(spec.SlotsPerEpoch)*perSlot+1),
	}
	// Nodes answer in order: then the members are where they belong already.
	ordered, end := true, uint32(0)
	for _, p := range c.places {
		ordered = ordered && (!p.taken || p.start == end)
		end = max(end, p.end)
	}
	if !ordered {
		result.Members = make([]uint32, 0, len(c.members))
	}
	for n := range int(spec.SlotsPerEpoch) {
		for i, p := range c.places[n*most : (n+1)*most] {
			if p.taken != (i < perSlot) {
				return nil, fmt.Errorf("slot %d: committee %d given: %t, though slot %d has %d",
					spec.FirstSlot(epoch)+duty.Slot(n), i, p.taken, spec.FirstSlot(epoch), perSlot)
			}
			switch {
			case !p.taken:
			case ordered:
				result.Offsets = append(result.Offsets, p.end)
			default:
				result.Members = append(result.Members, c.members[p.start:p.end]...)
				result.Offsets = append(result.Offsets, uint32(len(result.Members)))
			}
		}
	}
	if ordered {
		result.Members, c.members = c.members, nil
	}
	return result, nil
}
