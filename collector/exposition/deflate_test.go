package exposition

import (
	"bytes"
	"compress/gzip"
	"hash/crc32"
	"io"
	"math/rand/v2"
	"testing"
)

func TestJoinedBlocksAreOneGzipMember(t *testing.T) {
	random := rand.New(rand.NewPCG(3, 4))
	for _, count := range []int{0, 1, 2, 7} {
		var text []byte
		var blocks []block
		for range count {
			part := bytes.Repeat([]byte("ethereum_validator_slashed 0\n"), random.IntN(3000))
			text = append(text, part...)
			blocks = append(blocks, deflate(nil, part[:len(part)/2], part[len(part)/2:]))
		}
		m := member(blocks)
		compressed := bytes.NewReader(m.appendTrailer(m.data))

		r, err := gzip.NewReader(compressed)
		if err != nil {
			t.Fatal(err)
		}
		r.Multistream(false)
		got, err := io.ReadAll(r) // checks checksum and size
		if err != nil || !bytes.Equal(got, text) {
			t.Errorf("%d blocks: %d bytes back, want %d: %v", count, len(got), len(text), err)
		}
		if compressed.Len() != 0 {
			t.Errorf("%d blocks: %d bytes behind the first member", count, compressed.Len())
		}
	}
}

func TestCombinedChecksumIsThatOfTheWhole(t *testing.T) {
	random := rand.New(rand.NewPCG(5, 6))
	for range 200 {
		text := make([]byte, random.IntN(5000))
		for i := range text {
			text[i] = byte(random.Uint32())
		}
		cut := random.IntN(len(text) + 1)
		next := block{crc: crc32.ChecksumIEEE(text[cut:]), size: len(text) - cut, shift: shiftOver(len(text) - cut)}
		if got, want := combine(crc32.ChecksumIEEE(text[:cut]), next), crc32.ChecksumIEEE(text); got != want {
			t.Fatalf("%d+%d bytes: %08x, want %08x", cut, len(text)-cut, got, want)
		}
	}
}
