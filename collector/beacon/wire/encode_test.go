package wire_test

import (
	"encoding/binary"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// preset returns a spec with what the decoders use of it.
func preset(slotsPerEpoch, maxCommittees, syncSize uint64) *duty.Spec {
	return &duty.Spec{
		SlotsPerEpoch: slotsPerEpoch, MaxCommitteesPerSlot: maxCommittees, SyncCommitteeSize: syncSize,
		ElectraForkEpoch: 0, FuluForkEpoch: 0, GloasForkEpoch: duty.FarFutureEpoch,
	}
}

func mainnet() *duty.Spec { return preset(32, 64, 512) }
func minimal() *duty.Spec { return preset(8, 4, 32) }
func gnosis() *duty.Spec  { return preset(16, 64, 512) }

// root returns a root of equal bytes.
func root(fill byte) (r duty.Root) {
	for i := range r {
		r[i] = fill
	}
	return r
}

// exampleBlock is a block with two attestations, of 9 and of 16 bits.
func exampleBlock(spec *duty.Spec) *duty.Block {
	committees := int(spec.MaxCommitteesPerSlot+7) / 8
	slot := spec.FirstSlot(100) + 1
	attestation := func(n int, bits ...byte) duty.Attestation {
		a := duty.Attestation{
			Slot: slot - 1, BeaconBlockRoot: root(2), TargetEpoch: 100, TargetRoot: root(3),
			CommitteeBits: make([]byte, committees), AggregationBits: bits, AggregationLen: n,
		}
		a.CommitteeBits[0] = 0b0101
		return a
	}
	return &duty.Block{
		Slot: slot, Proposer: 77, ParentRoot: root(1),
		Attestations:      []duty.Attestation{attestation(9, 0xa5, 1), attestation(16, 0xff, 0x80)},
		SyncBits:          make([]byte, spec.SyncCommitteeSize/8),
		ProposerSlashings: 2, AttesterSlashings: 1,
	}
}

// encodeBlock is an SSZ encoder for what DecodeBlock reads; the fields behind the
// sync aggregate, all of variable size, are given as bytes.
func encodeBlock(block *duty.Block, behind ...[]byte) []byte {
	slashings := [2][]byte{make([]byte, 416*block.ProposerSlashings), variableList(make([][]byte, block.AttesterSlashings))}
	var attestations [][]byte
	for _, a := range block.Attestations {
		attestations = append(attestations, encodeAttestation(a))
	}
	operations := [][]byte{slashings[0], slashings[1], variableList(attestations), nil, make([]byte, 112)}

	fixed := 96 + 72 + 32 + 5*4 + len(block.SyncBits) + 96 + 4*len(behind)
	body := make([]byte, 96+72+32)
	next := fixed
	for _, field := range operations {
		body = binary.LittleEndian.AppendUint32(body, uint32(next))
		next += len(field)
	}
	body = append(body, block.SyncBits...)
	body = append(body, make([]byte, 96)...)
	for _, field := range behind {
		body = binary.LittleEndian.AppendUint32(body, uint32(next))
		next += len(field)
	}
	for _, field := range append(operations, behind...) {
		body = append(body, field...)
	}

	out := binary.LittleEndian.AppendUint32(nil, 100)
	out = append(out, make([]byte, 96)...)
	out = binary.LittleEndian.AppendUint64(out, uint64(block.Slot))
	out = binary.LittleEndian.AppendUint64(out, uint64(block.Proposer))
	out = append(out, block.ParentRoot[:]...)
	out = append(out, make([]byte, 32)...)
	out = binary.LittleEndian.AppendUint32(out, 84)
	return append(out, body...)
}

func encodeAttestation(a duty.Attestation) []byte {
	out := binary.LittleEndian.AppendUint32(nil, uint32(228+len(a.CommitteeBits)))
	out = binary.LittleEndian.AppendUint64(out, uint64(a.Slot))
	out = binary.LittleEndian.AppendUint64(out, a.Index)
	out = append(out, a.BeaconBlockRoot[:]...)
	out = append(out, make([]byte, 40)...) // source
	out = binary.LittleEndian.AppendUint64(out, uint64(a.TargetEpoch))
	out = append(out, a.TargetRoot[:]...)
	out = append(out, make([]byte, 96)...)
	out = append(out, a.CommitteeBits...)
	aggregation := make([]byte, a.AggregationLen/8+1)
	copy(aggregation, a.AggregationBits)
	aggregation[a.AggregationLen/8] |= 1 << (a.AggregationLen % 8)
	return append(out, aggregation...)
}

// encodeBid encodes a SignedExecutionPayloadBid.
func encodeBid(parentHash, parentRoot, blockHash duty.Root, slot duty.Slot) []byte {
	out := binary.LittleEndian.AppendUint32(nil, 100)
	out = append(out, make([]byte, 96)...)
	out = append(out, parentHash[:]...)
	out = append(out, parentRoot[:]...)
	out = append(out, blockHash[:]...)
	out = append(out, make([]byte, 32+20+8+8)...) // prev_randao, fee_recipient, gas_limit, builder_index
	out = binary.LittleEndian.AppendUint64(out, uint64(slot))
	out = append(out, make([]byte, 8+8)...) // value, execution_payment
	out = binary.LittleEndian.AppendUint32(out, uint32(len(out)-100+4+32))
	return append(out, make([]byte, 32+48)...) // execution_requests_root, one commitment
}

func variableList(elements [][]byte) []byte {
	var out []byte
	next := 4 * len(elements)
	for _, e := range elements {
		out = binary.LittleEndian.AppendUint32(out, uint32(next))
		next += len(e)
	}
	for _, e := range elements {
		out = append(out, e...)
	}
	return out
}

func must[T any](t testing.TB) func(T, error) T {
	return func(v T, err error) T {
		t.Helper()
		if err != nil {
			t.Fatal(err)
		}
		return v
	}
}
