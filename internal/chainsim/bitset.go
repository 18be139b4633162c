package chainsim

import "math/bits"

// bitset holds bits, least significant first within each byte, as SSZ does.
type bitset []byte

func newBitset(n int) bitset { return make(bitset, (n+7)/8) }

func (b bitset) set(i int)      { b[i/8] |= 1 << (i % 8) }
func (b bitset) has(i int) bool { return b[i/8]>>(i%8)&1 == 1 }

// or adds the bits of other, which has the same length.
func (b bitset) or(other bitset) {
	for i := range b {
		b[i] |= other[i]
	}
}

func (b bitset) count() (n int) {
	for _, x := range b {
		n += bits.OnesCount8(x)
	}
	return n
}

// any tells whether a bit of from..to, to not included, is set.
func (b bitset) any(from, to int) bool {
	for i := from; i < to; i++ {
		if i%8 == 0 && b[i/8] == 0 {
			i += 7
			continue
		}
		if b.has(i) {
			return true
		}
	}
	return false
}
