package wire_test

import (
	"bytes"
	"io"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// millionCommittees is an answer for an epoch of 64 × 32 committees of a million
// validators, of indices up to 2.3 million as on mainnet.
func millionCommittees() []byte {
	random := rand.New(rand.NewPCG(1, 2))
	text := []byte(`{"execution_optimistic":false,"finalized":false,"data":[`)
	for i := range 64 * 32 {
		text = append(text, `{"index":"`...)
		text = strconv.AppendInt(text, int64(i%64), 10)
		text = append(text, `","slot":"`...)
		text = strconv.AppendInt(text, int64(320+i/64), 10)
		text = append(text, `","validators":[`...)
		for range 1_000_000 / (64 * 32) {
			text = append(text, '"')
			text = strconv.AppendInt(text, random.Int64N(2_300_000), 10)
			text = append(text, `",`...)
		}
		text = append(text[:len(text)-1], "]},"...)
	}
	return append(text[:len(text)-1], "]}"...)
}

func BenchmarkReadCommitteesMillion(b *testing.B) {
	text := millionCommittees()
	scratch := wire.CommitteeScratch{Expect: 1_000_000}
	r := bytes.NewReader(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(text)
		if _, err := wire.ReadCommittees(r, mainnet(), 10, &scratch); err != nil {
			b.Fatal(err)
		}
	}
}

// BenchmarkCopyCommitteesMillion is the floor: the same bytes, only copied.
func BenchmarkCopyCommitteesMillion(b *testing.B) {
	text := millionCommittees()
	window := make([]byte, 64<<10)
	r := bytes.NewReader(nil)
	b.SetBytes(int64(len(text)))
	for b.Loop() {
		r.Reset(text)
		// Only a Reader and a Writer, so that they cannot take a short cut.
		if _, err := io.CopyBuffer(struct{ io.Writer }{io.Discard}, struct{ io.Reader }{r}, window); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeBlockMainnetSize(b *testing.B) {
	block := exampleBlock(mainnet())
	aggregate := block.Attestations[1]
	aggregate.CommitteeBits = bytes.Repeat([]byte{0xff}, 8)
	aggregate.AggregationLen = 64 * 490
	aggregate.AggregationBits = bytes.Repeat([]byte{0xfe}, aggregate.AggregationLen/8)
	block.Attestations = []duty.Attestation{aggregate, aggregate, aggregate, aggregate, aggregate, aggregate, aggregate, aggregate}
	ssz := encodeBlock(block, make([]byte, 120_000), nil, make([]byte, 48*6), make([]byte, 12))
	b.SetBytes(int64(len(ssz)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := wire.DecodeBlock(mainnet(), ssz); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadValidators(b *testing.B) {
	var rows []string
	for i := range 10_000 {
		rows = append(rows, validatorRow(2_000_000+i))
	}
	text := []byte(answer(rows))
	r := bytes.NewReader(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(text)
		if err := wire.ReadValidators(r, func(wire.Validator) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkReadAttestationRewards(b *testing.B) {
	var rows []string
	for i := range 10_000 {
		rows = append(rows, `{"validator_index":"`+strconv.Itoa(2_000_000+i)+`","head":"205437","target":"508701","source":"273916","inactivity":"0"}`)
	}
	text := []byte(rewards(rows...))
	r := bytes.NewReader(nil)
	b.SetBytes(int64(len(text)))
	b.ReportAllocs()
	for b.Loop() {
		r.Reset(text)
		if err := wire.ReadAttestationRewards(r, func(wire.AttestationReward) error { return nil }); err != nil {
			b.Fatal(err)
		}
	}
}
