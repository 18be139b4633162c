package chainsim

import (
	"encoding/binary"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Places in an encoded block that a lying node overwrites.
const (
	parentRootAt = 100 + 16
	graffitiAt   = 100 + 84 + 96 + 72
)

// encode returns b as an SSZ SignedBeaconBlock in the Electra layout, up to the
// transactions of the payload; encodePayloadTail is the rest.
func (c *Chain) encode(b *block) []byte {
	var e encoder
	e.uint32(100)
	e.filler(96, b.slot) // signature
	message := e.mark()
	e.uint64(uint64(b.slot))
	e.uint64(uint64(b.proposer))
	if b.parent == nil {
		e.zeros(32)
	} else {
		e.bytes(b.parent.root[:])
	}
	e.bytes(b.stateRoot[:])
	e.here(e.offset(message))

	body := e.mark()
	e.filler(96, b.slot) // randao_reveal
	e.zeros(72)          // eth1_data
	e.bytes(b.graffiti[:])
	proposerSlashings, attesterSlashings := e.offset(body), e.offset(body)
	attestations, deposits, exits := e.offset(body), e.offset(body), e.offset(body)
	e.bytes(b.syncBits)
	e.filler(96, b.slot)
	payload, blsChanges, commitments, requests := e.offset(body), e.offset(body), e.offset(body), e.offset(body)

	e.here(proposerSlashings)
	for _, op := range b.ownOps() {
		if op.proposer {
			e.proposerSlashing(b.slot, op)
		}
	}
	e.here(attesterSlashings)
	for _, op := range b.ownOps() {
		if !op.proposer {
			e.uint32(4) // the list's only element
			e.attesterSlashing(b.slot, op)
		}
	}
	e.here(attestations)
	c.encodeAttestations(&e, b)
	e.here(deposits)
	e.here(exits)

	e.here(payload)
	start := e.mark()
	e.filler(32, b.slot-1) // parent_hash
	e.zeros(20 + 32 + 32 + 256 + 32)
	e.uint64(uint64(b.slot)) // block_number
	e.uint64(36_000_000)
	e.uint64(18_000_000)
	e.uint64(uint64(c.cfg.GenesisTime.Add(c.preset.SlotDuration * time.Duration(b.slot)).Unix()))
	extraData := e.offset(start)
	e.zeros(32) // base_fee_per_gas
	e.filler(32, b.slot)
	transactions, withdrawals := e.offset(start), e.offset(start)
	e.zeros(8 + 8)
	e.here(extraData)
	e.here(transactions)

	// The rest is the same in every block: transactions, no withdrawals, no changes,
	// no commitments, and 12 bytes of empty execution requests.
	for _, p := range []pointer{withdrawals, blsChanges, commitments, requests} {
		e.ahead(p, len(c.payload)-emptyRequests)
	}
	return e.buf
}

func (c *Chain) encodeAttestations(e *encoder, b *block) {
	list := e.mark()
	element := make([]pointer, len(b.carried))
	for i := range element {
		element[i] = e.offset(list)
	}
	for i, a := range b.carried {
		e.here(element[i])
		epoch := c.preset.epochOf(a.slot)
		bounds := c.shuffles.committees(epoch).within(int(uint64(a.slot) % c.preset.SlotsPerEpoch))
		committees, bits, n := selectCommittees(a.voters, bounds, int(c.preset.MaxCommitteesPerSlot))

		start := e.mark()
		aggregation := e.offset(start)
		e.attestationData(a.ballot, epoch)
		e.filler(96, a.slot)
		e.bytes(committees)
		e.here(aggregation)
		e.bytes(bits[:n/8])
		last := byte(1) << (n % 8) // the bit that marks the list's length
		if n%8 != 0 {
			last |= bits[n/8]
		}
		e.bytes([]byte{last})
	}
}

// selectCommittees picks the committees with a voter, as the specification demands
// of an aggregate, and joins their bits.
func selectCommittees(voters bitset, bounds []uint32, maxCommittees int) (committees, bits bitset, n int) {
	committees = newBitset(maxCommittees)
	for i := range len(bounds) - 1 {
		if from, to := int(bounds[i]), int(bounds[i+1]); voters.any(from, to) {
			committees.set(i)
			n += to - from
		}
	}
	if n == int(bounds[len(bounds)-1]) {
		return committees, voters, n
	}
	bits, n = newBitset(n), 0
	for i := range len(bounds) - 1 {
		if !committees.has(i) {
			continue
		}
		for place := int(bounds[i]); place < int(bounds[i+1]); place++ {
			if voters.has(place) {
				bits.set(n)
			}
			n++
		}
	}
	return committees, bits, n
}

// encoder appends SSZ.
type encoder struct{ buf []byte }

func (e *encoder) mark() int       { return len(e.buf) }
func (e *encoder) bytes(b []byte)  { e.buf = append(e.buf, b...) }
func (e *encoder) zeros(n int)     { e.buf = append(e.buf, make([]byte, n)...) }
func (e *encoder) uint32(x uint32) { e.buf = binary.LittleEndian.AppendUint32(e.buf, x) }
func (e *encoder) uint64(x uint64) { e.buf = binary.LittleEndian.AppendUint64(e.buf, x) }

// filler appends bytes that stand for a signature or a hash.
func (e *encoder) filler(n int, slot duty.Slot) {
	at := len(e.buf)
	e.zeros(n)
	dice{uint64(slot)}.fill(e.buf[at:], topicPayload, uint64(n))
}

// pointer is an offset to be written at a place, relative to its container.
type pointer struct{ at, container int }

// offset leaves room for an offset relative to container.
func (e *encoder) offset(container int) pointer {
	e.uint32(0)
	return pointer{len(e.buf) - 4, container}
}

// here makes p point to the end of what is written, ahead to n bytes behind that.
func (e *encoder) here(p pointer) { e.ahead(p, 0) }

func (e *encoder) ahead(p pointer, n int) {
	binary.LittleEndian.PutUint32(e.buf[p.at:], uint32(len(e.buf)+n-p.container))
}

func (e *encoder) checkpoint(c checkpoint) {
	e.uint64(uint64(c.epoch))
	e.bytes(c.root[:])
}

func (e *encoder) attestationData(v *ballot, epoch duty.Epoch) {
	e.uint64(uint64(v.slot))
	e.uint64(0) // index
	e.bytes(v.head[:])
	e.checkpoint(v.source)
	e.checkpoint(checkpoint{epoch, v.target})
}

// proposerSlashing appends two headers of the same slot that differ in their body.
func (e *encoder) proposerSlashing(slot duty.Slot, op *slashing) {
	for i := range 2 {
		e.uint64(uint64(slot))
		e.uint64(uint64(op.validators[0]))
		e.zeros(64)
		e.filler(32, slot+duty.Slot(i)) // body_root
		e.filler(96, slot)
	}
}

// attesterSlashing appends two votes for different heads with the same target epoch.
func (e *encoder) attesterSlashing(slot duty.Slot, op *slashing) {
	start := e.mark()
	votes := [2]pointer{e.offset(start), e.offset(start)}
	for i := range votes {
		e.here(votes[i])
		vote := e.mark()
		indices := e.offset(vote)
		e.attestationData(&ballot{slot: slot, head: duty.Root{0: byte(i)}}, 0)
		e.filler(96, slot)
		e.here(indices)
		for _, v := range op.validators {
			e.uint64(uint64(v))
		}
	}
}

// emptyRequests is the size of execution requests without any: three offsets.
const emptyRequests = 12

// encodePayloadTail returns transactions of about n bytes in all, and what follows
// them at the end of a block.
func encodePayloadTail(d dice, n int) []byte {
	const size = 300
	count := (n + size/2) / size
	var e encoder
	for i := range count {
		e.uint32(uint32(4*count + i*size))
	}
	at := len(e.buf)
	e.zeros(count * size)
	d.fill(e.buf[at:], topicPayload, 0)
	for range 3 {
		e.uint32(emptyRequests)
	}
	return e.buf
}
