package wire

import (
	"encoding/binary"
	"errors"
	"fmt"
	"math/bits"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// ErrBlockLayout marks a block whose bytes do not follow the layout that Electra
// to Gloas share: broken in transit, or of a fork this version does not know.
var ErrBlockLayout = errors.New("not a signed beacon block in the layout of Electra to Gloas")

// Sizes of the fixed parts of SSZ containers, in bytes.
const (
	signedFixed      = 4 + 96              // SignedBeaconBlock, and any signed container of variable size
	blockFixed       = 8 + 8 + 32 + 32 + 4 // BeaconBlock
	operationsAt     = 96 + 72 + 32        // BeaconBlockBody: where the offsets of the operations begin
	syncAggregateAt  = operationsAt + 5*4  // BeaconBlockBody: where the sync aggregate begins
	attestationFixed = 4 + 128 + 96        // Attestation, without the committee bits
	proposerSlashing = 2 * (8 + 8 + 3*32 + 96)
	// ExecutionPayloadBid up to and including its slot.
	bidSlotAt = 4*32 + 20 + 8 + 8
)

// DecodeBlock reads an SSZ SignedBeaconBlock of Electra or later.
//
// It is blind to the fork: it reads the leading fields of the body, which keep
// their place from Electra through Gloas, and nothing of the payload. A later fork
// may add or drop fields behind the sync aggregate; one that changes what lies
// before it is refused with [ErrBlockLayout].
//
// The sizes of bit vectors come from spec, so every preset decodes. The block
// owns its memory: ssz may be reused.
func DecodeBlock(spec *duty.Spec, ssz []byte) (*duty.Block, error) {
	if err := checkPreset(spec); err != nil {
		return nil, err
	}
	signed, err := variablePart(ssz, signedFixed, 0)
	if err != nil {
		return nil, fmt.Errorf("%w: message: %w", ErrBlockLayout, err)
	}
	body, err := variablePart(signed, blockFixed, blockFixed-4)
	if err != nil {
		return nil, fmt.Errorf("%w: body: %w", ErrBlockLayout, err)
	}
	block := &duty.Block{
		Slot:       duty.Slot(binary.LittleEndian.Uint64(signed)),
		Proposer:   duty.ValidatorIndex(binary.LittleEndian.Uint64(signed[8:])),
		ParentRoot: duty.Root(signed[16:48]),
	}
	if block.Slot > maxSlot {
		return nil, fmt.Errorf("%w: slot %d", ErrBlockLayout, block.Slot)
	}
	if err := decodeBody(spec, block, body); err != nil {
		return nil, fmt.Errorf("%w: slot %d: %w", ErrBlockLayout, block.Slot, err)
	}
	return block, nil
}

func decodeBody(spec *duty.Spec, block *duty.Block, body []byte) error {
	syncBytes := int(spec.SyncCommitteeSize+7) / 8
	fixed := syncAggregateAt + syncBytes + 96
	if len(body) < fixed {
		return fmt.Errorf("body of %d bytes", len(body))
	}
	// Proposer slashings, attester slashings, attestations, deposits, voluntary exits.
	var at [5]int
	for i, floor := 0, fixed; i < len(at); i++ {
		at[i] = readOffset(body[operationsAt+4*i:])
		if at[i] < floor || at[i] > len(body) {
			return fmt.Errorf("offset %d of operations %d in a body of %d bytes", at[i], i, len(body))
		}
		floor = at[i]
	}
	var err error
	if block.ProposerSlashings, err = countFixed(body[at[0]:at[1]], proposerSlashing); err != nil {
		return fmt.Errorf("proposer slashings: %w", err)
	}
	if block.AttesterSlashings, err = countVariable(body[at[1]:at[2]], maxSlashings); err != nil {
		return fmt.Errorf("attester slashings: %w", err)
	}
	sync := body[syncAggregateAt : syncAggregateAt+syncBytes]
	if err := decodeAttestations(spec, block, body[at[2]:at[3]], sync); err != nil {
		return fmt.Errorf("attestations: %w", err)
	}
	if spec.EpochOf(block.Slot) >= spec.GloasForkEpoch {
		block.Bid = decodeBid(block, body, fixed, at)
	}
	return nil
}

// decodeAttestations fills in the block's attestations, and its sync bits, which
// share one allocation with the attestations' bits.
func decodeAttestations(spec *duty.Spec, block *duty.Block, list, sync []byte) error {
	count, err := countVariable(list, maxAttestations)
	if err != nil {
		return err
	}
	committeeBytes := int(spec.MaxCommitteesPerSlot+7) / 8
	fixed := attestationFixed + committeeBytes

	// All that is kept of the list are the bits, so this is never too small.
	kept := len(sync) + len(list) - count*(4+attestationFixed)
	if kept < len(sync) {
		return fmt.Errorf("%d in %d bytes", count, len(list))
	}
	arena := make([]byte, 0, kept)
	keep := func(b []byte) []byte {
		start := len(arena)
		arena = append(arena, b...)
		return arena[start:len(arena):len(arena)]
	}
	block.SyncBits = keep(sync)
	if count == 0 {
		return nil
	}
	block.Attestations = make([]duty.Attestation, count)
	for i := range block.Attestations {
		end := len(list)
		if i+1 < count {
			end = readOffset(list[4*(i+1):])
		}
		start := readOffset(list[4*i:])
		if start < 4*count || start > end || end > len(list) {
			return fmt.Errorf("number %d: bytes %d to %d of %d", i, start, end, len(list))
		}
		raw := list[start:end]
		if len(raw) < fixed || readOffset(raw) != fixed {
			return fmt.Errorf("number %d is not in the EIP-7549 format", i)
		}
		aggregation, n, err := bitlist(raw[fixed:])
		if err != nil {
			return fmt.Errorf("number %d: %w", i, err)
		}
		a := &block.Attestations[i]
		a.Slot = duty.Slot(binary.LittleEndian.Uint64(raw[4:]))
		a.Index = binary.LittleEndian.Uint64(raw[12:])
		a.BeaconBlockRoot = duty.Root(raw[20:52])
		// The source checkpoint (40 bytes) is not kept: a block holds only votes with the right one.
		a.TargetEpoch = duty.Epoch(binary.LittleEndian.Uint64(raw[92:]))
		a.TargetRoot = duty.Root(raw[100:132])
		a.CommitteeBits = keep(raw[fixed-committeeBytes : fixed])
		a.AggregationBits, a.AggregationLen = keep(aggregation), n
		if n%8 != 0 { // the length bit shares the last byte
			a.AggregationBits[n/8] &= 1<<(n%8) - 1
		}
		// The state transition asserts both; only a misread layout breaks them.
		if a.Slot >= block.Slot || a.TargetEpoch != spec.EpochOf(a.Slot) {
			return fmt.Errorf("number %d votes in slot %d for a target in epoch %d", i, a.Slot, a.TargetEpoch)
		}
	}
	return nil
}

// decodeBid reads the payload bid of a Gloas block (EIP-7732), whose body goes on
// behind the sync aggregate with the offsets of bls_to_execution_changes,
// signed_execution_payload_bid, payload_attestations and parent_execution_requests.
// (Progressive containers, EIP-7688, serialize like plain ones.)
//
// A block is valid only when its bid repeats the block's slot and parent root, so
// these prove that the bid was read from the right place. Without that proof the
// answer is nil: the bid is unknown, the rest of the block is not.
func decodeBid(block *duty.Block, body []byte, fixed int, at [5]int) *duty.PayloadBid {
	if at[0] < fixed+4*4 {
		return nil
	}
	start, end := readOffset(body[fixed+4:]), readOffset(body[fixed+8:])
	if start < at[4] || start > end || end > len(body) {
		return nil
	}
	bid, err := variablePart(body[start:end], signedFixed, 0)
	if err != nil || len(bid) < bidSlotAt+8 {
		return nil
	}
	if duty.Root(bid[32:64]) != block.ParentRoot ||
		duty.Slot(binary.LittleEndian.Uint64(bid[bidSlotAt:])) != block.Slot {
		return nil
	}
	return &duty.PayloadBid{ParentBlockHash: duty.Root(bid[:32]), BlockHash: duty.Root(bid[64:96])}
}

// variablePart returns what the only offset of a container, at byte at of its
// fixed part, points to: everything behind the fixed part.
func variablePart(container []byte, fixed, at int) ([]byte, error) {
	if len(container) < fixed {
		return nil, fmt.Errorf("%d bytes, want at least %d", len(container), fixed)
	}
	if offset := readOffset(container[at:]); offset != fixed {
		return nil, fmt.Errorf("offset %d, want %d", offset, fixed)
	}
	return container[fixed:], nil
}

// countFixed counts the elements of an SSZ list with elements of size bytes.
func countFixed(list []byte, size int) (int, error) {
	n := len(list) / size
	if len(list)%size != 0 || n > maxSlashings {
		return 0, fmt.Errorf("list of %d bytes", len(list))
	}
	return n, nil
}

// countVariable counts the elements of an SSZ list with elements of variable size:
// the first offset tells, as it points behind all offsets.
func countVariable(list []byte, most int) (int, error) {
	if len(list) == 0 {
		return 0, nil
	}
	if len(list) < 4 {
		return 0, fmt.Errorf("list of %d bytes", len(list))
	}
	first := readOffset(list)
	if first == 0 || first%4 != 0 || first > len(list) || first/4 > most {
		return 0, fmt.Errorf("first offset %d in a list of %d bytes, of at most %d elements", first, len(list), most)
	}
	return first / 4, nil
}

// bitlist splits an SSZ bitlist into the bytes that hold its n bits and n; the
// highest set bit is the length bit, which the last byte returned may still hold.
func bitlist(raw []byte) (held []byte, n int, err error) {
	if len(raw) == 0 || raw[len(raw)-1] == 0 {
		return nil, 0, errors.New("bitlist without length bit")
	}
	n = 8*(len(raw)-1) + bits.Len8(raw[len(raw)-1]) - 1
	return raw[:(n+7)/8], n, nil
}

// readOffset reads an SSZ offset; one that does not fit an int comes out as too large for any input.
func readOffset(b []byte) int {
	return int(min(binary.LittleEndian.Uint32(b), 1<<31-1))
}

// checkPreset refuses constants no chain can have, before anything is sized by them.
func checkPreset(spec *duty.Spec) error {
	if spec.SlotsPerEpoch == 0 || spec.SlotsPerEpoch > maxCommittees ||
		spec.MaxCommitteesPerSlot == 0 || spec.MaxCommitteesPerSlot > maxCommittees ||
		spec.SlotsPerEpoch*spec.MaxCommitteesPerSlot > maxCommittees || spec.SyncCommitteeSize > maxSyncCommittee {
		return fmt.Errorf("decoding with SLOTS_PER_EPOCH %d, MAX_COMMITTEES_PER_SLOT %d, SYNC_COMMITTEE_SIZE %d: no such chain; check the node's /eth/v1/config/spec",
			spec.SlotsPerEpoch, spec.MaxCommitteesPerSlot, spec.SyncCommitteeSize)
	}
	return nil
}
