package exposition

import (
	"encoding/binary"
	"hash/crc32"
	"io"
	"slices"
	"sync"

	"github.com/klauspost/compress/flate"
)

// A gzip member is a header, deflate blocks, and a checksum. Blocks that end on a
// byte border and refer to nothing before them can be compressed apart, kept, and
// put one behind the other. That yields one ordinary member, which every client
// decodes to its end; concatenated members are cut off after the first by some
// (Chromium, curl).

// block is a piece of a gzip member: one or more deflate blocks, none of them
// the last.
type block struct {
	data []byte
	crc  uint32
	// size is the length of the text.
	size int
	// shift moves a checksum over this block's text, see combine.
	shift uint32
}

// deflaters are reused: one takes over half a megabyte.
var deflaters = sync.Pool{New: func() any {
	w, err := flate.NewWriter(io.Discard, flate.BestSpeed)
	if err != nil {
		panic(err) // the level is right
	}
	return w
}}

// deflate compresses the concatenated parts and appends to buf.
func deflate(buf []byte, parts ...[]byte) block {
	b := block{data: buf}
	w := deflaters.Get().(*flate.Writer)
	defer deflaters.Put(w)
	w.Reset((*appender)(&b.data))
	for _, part := range parts {
		_, _ = w.Write(part) // an appender does not fail
		b.crc = crc32.Update(b.crc, crc32.IEEETable, part)
		b.size += len(part)
	}
	_ = w.Flush()
	b.shift = shiftOver(b.size)
	return b
}

type appender []byte

func (a *appender) Write(p []byte) (int, error) {
	*a = append(*a, p...)
	return len(p), nil
}

// gzipHeader has no name, no time, and an unknown operating system.
var gzipHeader = [10]byte{0x1f, 0x8b, 8, 9: 255}

// member joins blocks to the beginning of a gzip member: everything but the
// trailer.
func member(blocks []block) block {
	length := len(gzipHeader)
	for _, b := range blocks {
		length += len(b.data)
	}
	m := block{data: slices.Grow(gzipHeader[:len(gzipHeader):len(gzipHeader)], length)}
	for _, b := range blocks {
		m.data = append(m.data, b.data...)
		m = m.followedBy(b)
	}
	return m
}

// followedBy returns b with the checksum and size of its text followed by next's.
func (b block) followedBy(next block) block {
	b.crc = combine(b.crc, next)
	b.size += next.size
	return b
}

// appendTrailer ends the member whose text b describes: an empty last block,
// checksum, and size modulo 2^32.
func (b block) appendTrailer(buf []byte) []byte {
	buf = append(buf, 0x03, 0x00)
	buf = binary.LittleEndian.AppendUint32(buf, b.crc)
	return binary.LittleEndian.AppendUint32(buf, uint32(b.size))
}

// combine returns the checksum of a text with checksum crc followed by next's
// text. CRC-32 is a remainder in the polynomials over GF(2), so going on over n
// bytes multiplies it by x^(8n) (zlib's crc32_combine).
func combine(crc uint32, next block) uint32 { return multiply(next.shift, crc) ^ next.crc }

// shiftOver returns x^(8n) modulo the CRC's polynomial, by square and multiply.
func shiftOver(n int) uint32 {
	power, square := uint32(1)<<31, uint32(1)<<23 // x^0 and x^8, highest bit first
	for ; n > 0; n >>= 1 {
		if n&1 == 1 {
			power = multiply(power, square)
		}
		square = multiply(square, square)
	}
	return power
}

// multiply multiplies two polynomials modulo the CRC's, highest bit first.
func multiply(a, b uint32) uint32 {
	var product uint32
	for ; a != 0; a <<= 1 {
		if a>>31 == 1 {
			product ^= b
		}
		b = b>>1 ^ crc32.IEEE&-(b&1)
	}
	return product
}
