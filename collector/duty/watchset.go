package duty

import (
	"math/bits"
	"slices"
)

// WatchSet is a sorted set of validators. A validator's ordinal is its position
// in it; per-validator results are slices indexed by ordinal. It is immutable.
type WatchSet struct {
	indices []ValidatorIndex
	// pages answer membership for indices below 2^32, the only ones a committee can
	// hold, in constant time. A page without members is nil, so that one absurd
	// index in a watch list costs half a megabyte at most.
	pages []*watchPage
}

// watchPage covers 65,536 consecutive indices.
type watchPage struct {
	words [1024]uint64
	// before is the ordinal of the page's first member, ranks the number of
	// members of the page ahead of each word.
	before int
	ranks  [1024]uint16
}

// NewWatchSet returns the set of indices, which may be unsorted and repeat.
func NewWatchSet(indices []ValidatorIndex) *WatchSet {
	sorted := slices.Clone(indices)
	slices.Sort(sorted)
	w := &WatchSet{indices: slices.Compact(sorted)}

	for ordinal, index := range w.indices {
		if index >= 1<<32 {
			break
		}
		at := int(index >> 16)
		for len(w.pages) <= at {
			w.pages = append(w.pages, nil)
		}
		if w.pages[at] == nil {
			w.pages[at] = &watchPage{before: ordinal}
		}
		w.pages[at].words[index>>6&1023] |= 1 << (index & 63)
	}
	for _, page := range w.pages {
		if page == nil {
			continue
		}
		rank := 0
		for i, word := range page.words {
			page.ranks[i] = uint16(rank) // at most 65,472: the last word's own members are not in it
			rank += bits.OnesCount64(word)
		}
	}
	return w
}

// Len returns the number of validators in the set.
func (w *WatchSet) Len() int { return len(w.indices) }

// At returns the validator with the given ordinal, 0 ≤ ordinal < Len.
func (w *WatchSet) At(ordinal int) ValidatorIndex { return w.indices[ordinal] }

// Indices returns the validators in ascending order. The caller must not change them.
func (w *WatchSet) Indices() []ValidatorIndex { return w.indices }

// Ordinal returns the position of index; ok is false when it is not in the set.
func (w *WatchSet) Ordinal(index ValidatorIndex) (ordinal int, ok bool) {
	if index >= 1<<32 {
		return slices.BinarySearch(w.indices, index)
	}
	if !w.has(uint32(index)) {
		return 0, false
	}
	page, word := w.pages[index>>16], index>>6&1023
	ahead := page.words[word] & (1<<(index&63) - 1)
	return page.before + int(page.ranks[word]) + bits.OnesCount64(ahead), true
}

// has is Ordinal's test for membership alone, small enough to be inlined where a
// million committee members are looked through.
func (w *WatchSet) has(index uint32) bool {
	at := index >> 16
	if int(at) >= len(w.pages) || w.pages[at] == nil {
		return false
	}
	return w.pages[at].words[index>>6&1023]>>(index&63)&1 != 0
}
