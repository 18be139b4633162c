package wire_test

import (
	"bytes"
	"encoding/binary"
	"errors"
	"reflect"
	"slices"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

func TestBlocksOfEveryPresetAreRead(t *testing.T) {
	for name, spec := range map[string]*duty.Spec{"mainnet": mainnet(), "minimal": minimal(), "gnosis": gnosis()} {
		t.Run(name, func(t *testing.T) {
			want := exampleBlock(spec)
			want.SyncBits[len(want.SyncBits)-1] = 0x80
			// Four fields behind the sync aggregate, as in Electra and Fulu.
			got := must[*duty.Block](t)(wire.DecodeBlock(spec, encodeBlock(want, make([]byte, 600), nil, nil, make([]byte, 12))))
			if !reflect.DeepEqual(got, want) {
				t.Errorf("got  %+v\nwant %+v", got, want)
			}
		})
	}
}

func TestUnknownForkBlockIsRead(t *testing.T) {
	want := exampleBlock(mainnet())
	for name, behind := range map[string][][]byte{
		"no field behind the sync aggregate": nil,
		"fewer fields":                       {make([]byte, 10)},
		"more fields":                        make([][]byte, 9),
	} {
		got := must[*duty.Block](t)(wire.DecodeBlock(mainnet(), encodeBlock(want, behind...)))
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	}
}

func TestForkThatMovesTheAttestationsIsRefused(t *testing.T) {
	// Without eth1_data (72 bytes) and the offset of deposits, as EIP-8015 proposes.
	whole := encodeBlock(exampleBlock(mainnet()), nil, nil, nil, nil)
	body := 184
	for _, sync := range []byte{0x00, 0x55, 0xff} {
		moved := slices.Concat(whole[:body+96], whole[body+168:body+212], whole[body+216:])
		for i := range 64 {
			moved[body+96+32+16+i] = sync
		}
		for i := range 4 {
			at := body + 96 + 32 + 4*i
			binary.LittleEndian.PutUint32(moved[at:], binary.LittleEndian.Uint32(moved[at:])-76)
		}
		if _, err := wire.DecodeBlock(mainnet(), moved); !errors.Is(err, wire.ErrBlockLayout) {
			t.Errorf("sync bits %#x: error %v, want ErrBlockLayout", sync, err)
		}
	}
}

func TestGloasBidIsRead(t *testing.T) {
	spec := mainnet()
	spec.GloasForkEpoch = 100
	want := exampleBlock(spec)
	want.Attestations[0].Index = 1
	want.Bid = &duty.PayloadBid{ParentBlockHash: root(8), BlockHash: root(9)}
	bid := encodeBid(root(8), want.ParentRoot, root(9), want.Slot)
	got := must[*duty.Block](t)(wire.DecodeBlock(spec, encodeBlock(want, nil, bid, make([]byte, 20), make([]byte, 12))))
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestBidThatDoesNotNameItsBlockIsUnknown(t *testing.T) {
	spec := mainnet()
	spec.GloasForkEpoch = 100
	block := exampleBlock(spec)
	good := encodeBid(root(8), block.ParentRoot, root(9), block.Slot)
	for name, behind := range map[string][][]byte{
		"of another parent":  {nil, encodeBid(root(8), root(7), root(9), block.Slot), nil, nil},
		"of another slot":    {nil, encodeBid(root(8), block.ParentRoot, root(9), block.Slot+1), nil, nil},
		"cut off":            {nil, good[:200], nil, nil},
		"in another place":   {good, nil, nil, nil},
		"in a shorter body":  {nil, good},
		"of another layout":  {nil, good[4:], nil, nil},
		"none, as in Deneb":  {make([]byte, 508), nil, nil, make([]byte, 12)},
		"in an empty region": {nil, nil, nil, nil},
	} {
		if got := must[*duty.Block](t)(wire.DecodeBlock(spec, encodeBlock(block, behind...))); !reflect.DeepEqual(got, block) {
			t.Errorf("bid %s: got %+v, want the block without it", name, got)
		}
	}
	spec.GloasForkEpoch = 101
	if got := must[*duty.Block](t)(wire.DecodeBlock(spec, encodeBlock(block, nil, good, nil, nil))); got.Bid != nil {
		t.Errorf("bid %+v before Gloas", got.Bid)
	}
}

func TestLengthBitIsNotAVote(t *testing.T) {
	for n := range 18 {
		block := exampleBlock(mainnet())
		bits := bytes.Repeat([]byte{0xff}, (n+7)/8)
		if n%8 != 0 {
			bits[n/8] = 1<<(n%8) - 1
		}
		block.Attestations[0].AggregationBits, block.Attestations[0].AggregationLen = bits, n
		got := must[*duty.Block](t)(wire.DecodeBlock(mainnet(), encodeBlock(block)))
		a := got.Attestations[0]
		if a.AggregationLen != n || !bytes.Equal(a.AggregationBits, bits) {
			t.Errorf("%d bits: got %d, %08b", n, a.AggregationLen, a.AggregationBits)
		}
	}
}

func TestBlockOwnsItsMemory(t *testing.T) {
	ssz := encodeBlock(exampleBlock(mainnet()))
	got := must[*duty.Block](t)(wire.DecodeBlock(mainnet(), ssz))
	for i := range ssz {
		ssz[i] = 0xee
	}
	if !reflect.DeepEqual(got, exampleBlock(mainnet())) {
		t.Error("the block changed with the buffer it was read from")
	}
	// Its bit sets share an allocation: growing one must not reach the next.
	_ = append(got.Attestations[0].AggregationBits, 0xee)
	if !reflect.DeepEqual(got, exampleBlock(mainnet())) {
		t.Error("the block changed when one of its bit sets grew")
	}
}

func TestTruncatedBlockIsRefusedOrWhole(t *testing.T) {
	// Cutting fields behind the operations away is no harm: they are not read.
	want := exampleBlock(mainnet())
	ssz := encodeBlock(want, make([]byte, 50))
	refused := 0
	for n := range ssz {
		got, err := wire.DecodeBlock(mainnet(), ssz[:n])
		if err != nil {
			refused++
			if got != nil || !errors.Is(err, wire.ErrBlockLayout) {
				t.Fatalf("%d bytes: block %v with error %v", n, got, err)
			}
		} else if !reflect.DeepEqual(got, want) {
			t.Fatalf("%d of %d bytes: %+v", n, len(ssz), got)
		}
	}
	if least := len(ssz) - 50 - 112; refused < least { // the field behind, the voluntary exit
		t.Errorf("%d prefixes refused, want at least %d", refused, least)
	}
}

func TestBrokenBlocksAreRefused(t *testing.T) {
	const body = 184 // where the body begins
	list := func(ssz []byte) int { return body + int(binary.LittleEndian.Uint32(ssz[body+208:])) }
	put := func(at func([]byte) int, v uint32) func([]byte) {
		return func(ssz []byte) { binary.LittleEndian.PutUint32(ssz[at(ssz):], v) }
	}
	at := func(n int) func([]byte) int { return func([]byte) int { return n } }
	inList := func(n int) func([]byte) int { return func(ssz []byte) int { return list(ssz) + n } }
	first := inList(8) // the first of two attestations
	for name, damage := range map[string]func([]byte){
		"message offset":                    put(at(0), 101),
		"body offset":                       put(at(180), 85),
		"absurd slot":                       put(at(104), 0xffff),
		"operations inside the fixed part":  put(at(body+200), 379),
		"operations that go back":           put(at(body+204), 380),
		"operations behind the end":         put(at(body+216), 1<<20),
		"offset beyond 31 bits":             put(at(body+216), 1<<32-1),
		"half a proposer slashing":          put(at(body+204), 380+2*416-1),
		"no attestation at all at offset 0": put(inList(0), 0),
		"first attestation offset odd":      put(inList(0), 7),
		"too many attestations":             put(inList(0), 4*129),
		"attestations that go back":         put(inList(4), 4),
		"attestation behind the end":        put(inList(4), 1<<20),
		"pre-Electra attestation":           put(first, 228),
		"attestation slot not before block": func(ssz []byte) { ssz[first(ssz)+4]++ },
		"target of another epoch":           func(ssz []byte) { ssz[first(ssz)+92]++ },
		"bitlist without length bit":        func(ssz []byte) { ssz[first(ssz)+236+1] = 0 },
	} {
		ssz := encodeBlock(exampleBlock(mainnet()))
		damage(ssz)
		if got, err := wire.DecodeBlock(mainnet(), ssz); !errors.Is(err, wire.ErrBlockLayout) {
			t.Errorf("%s: got %+v, error %v; want ErrBlockLayout", name, got, err)
		}
	}
	if _, err := wire.DecodeBlock(mainnet(), []byte(`{"version":"electra","data":{"message":{}}}`)); err == nil {
		t.Error("JSON was taken for SSZ")
	}
}

func TestImpossiblePresetsAreRefused(t *testing.T) {
	for name, spec := range map[string]*duty.Spec{
		"no slots":             preset(0, 64, 512),
		"no committees":        preset(32, 0, 512),
		"too many committees":  preset(32, 1<<40, 512),
		"overflow":             preset(1<<32, 1<<32, 512),
		"huge sync committees": preset(32, 64, 1<<40),
	} {
		if _, err := wire.DecodeBlock(spec, encodeBlock(exampleBlock(mainnet()))); err == nil {
			t.Errorf("%s: a block was read", name)
		}
		if _, err := wire.ReadCommittees(bytes.NewReader([]byte(`{"data":[]}`)), spec, 0, nil); err == nil {
			t.Errorf("%s: committees were read", name)
		}
	}
}

func FuzzDecodeBlock(f *testing.F) {
	gloas := mainnet()
	gloas.GloasForkEpoch = 100
	block := exampleBlock(gloas)
	f.Add(encodeBlock(block), uint8(0))
	f.Add(encodeBlock(exampleBlock(minimal()), nil, nil, nil, nil), uint8(1))
	f.Add(encodeBlock(block, nil, encodeBid(root(8), block.ParentRoot, root(9), block.Slot), nil, nil), uint8(2))
	for _, ssz := range recordedBlocks(f, 4) {
		f.Add(ssz, uint8(0))
	}
	specs := []*duty.Spec{mainnet(), minimal(), gloas}
	f.Fuzz(func(t *testing.T, ssz []byte, which uint8) {
		spec := specs[int(which)%len(specs)]
		block, err := wire.DecodeBlock(spec, ssz)
		if err != nil {
			return
		}
		kept := len(block.SyncBits)
		for _, a := range block.Attestations {
			kept += len(a.CommitteeBits) + len(a.AggregationBits)
			if len(a.AggregationBits) != (a.AggregationLen+7)/8 {
				t.Fatalf("%d bits in %d bytes", a.AggregationLen, len(a.AggregationBits))
			}
			if n := a.AggregationLen; n%8 != 0 && a.AggregationBits[n/8]>>(n%8) != 0 {
				t.Fatal("a bit behind the last one")
			}
		}
		if kept > len(ssz) || 4*len(block.Attestations) > len(ssz) {
			t.Fatalf("%d bytes kept of %d", kept, len(ssz))
		}
		if block.Bid == nil {
			// What was read is all that counts: writing it anew reads the same.
			again, err := wire.DecodeBlock(spec, encodeBlock(block))
			if err != nil || !reflect.DeepEqual(again, block) {
				t.Fatalf("read again: %+v, error %v, want %+v", again, err, block)
			}
		}
	})
}
