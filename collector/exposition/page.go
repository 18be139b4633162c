package exposition

import (
	"slices"
	"strings"
	"sync"
	"sync/atomic"
)

// Format is a text format of a scrape.
type Format uint8

// The formats offered.
const (
	// Text is the Prometheus text format 0.0.4.
	Text Format = iota
	// OpenMetrics is OpenMetrics text 1.0.0.
	OpenMetrics
	formatCount
)

// Page is an immutable set of families, sorted by name, without empty ones. It
// is safe for concurrent use.
type Page struct {
	families []*Family
	segments []*segment
	read     [formatCount]atomic.Bool
	text     [formatCount]lazy[[]byte]
	gzip     [formatCount]lazy[block]
}

// NewPage makes a page of families with distinct names. Nil and empty families
// are left out. Compressed bytes are taken over from previous (which may be nil)
// where families are the same; when all are, previous itself is returned.
func NewPage(families []*Family, previous *Page) *Page {
	p := &Page{families: make([]*Family, 0, len(families))}
	for _, f := range families {
		if f != nil && f.Len() > 0 {
			p.families = append(p.families, f)
		}
	}
	slices.SortFunc(p.families, func(a, b *Family) int { return strings.Compare(a.desc.Name, b.desc.Name) })
	if previous == nil {
		previous = &Page{}
	} else if slices.Equal(p.families, previous.families) {
		return previous
	}
	p.segments = split(p.families, previous.segments)
	return p
}

// Families returns the page's families, sorted by name, which must not be changed.
func (p *Page) Families() []*Family { return p.families }

func (p *Page) has(name string) bool {
	_, found := slices.BinarySearchFunc(p.families, name, func(f *Family, name string) int {
		return strings.Compare(f.desc.Name, name)
	})
	return found
}

func (p *Page) size(format Format) int {
	size := 0
	for _, f := range p.families {
		size += len(f.metadata[format]) + len(f.samples())
	}
	return size
}

// plain returns the page's text in one piece.
func (p *Page) plain(format Format) []byte {
	return p.text[format].get(func() []byte {
		parts := make([][]byte, 0, 2*len(p.families))
		for _, f := range p.families {
			parts = append(parts, f.metadata[format], f.samples())
		}
		return slices.Concat(parts...)
	})
}

// compressed returns the page as the beginning of a gzip member. What changed is
// compressed on all processors.
func (p *Page) compressed(format Format) block {
	return p.gzip[format].get(func() block {
		blocks := make([]block, len(p.segments))
		var compressing sync.WaitGroup
		for i, s := range p.segments {
			compressing.Go(func() { blocks[i] = s.compressed(format) })
		}
		compressing.Wait()
		return member(blocks)
	})
}

// segment is a run of families that are compressed together. A large family is
// one by itself; small ones would compress badly alone.
type segment struct {
	families []*Family
	deflated [formatCount]lazy[block]
}

// segmentSize is the least number of bytes of samples in a segment, but for the
// last. Larger ones compress hardly better, and more is compressed again when
// one family changes.
const segmentSize = 16 << 10

func split(families []*Family, previous []*segment) []*segment {
	before := make(map[*Family]*segment, len(previous))
	for _, s := range previous {
		before[s.families[0]] = s
	}
	var segments []*segment
	for start := 0; start < len(families); {
		end, size := start, 0
		for end < len(families) && size < segmentSize {
			size += families[end].room
			end++
		}
		s := before[families[start]]
		if s == nil || !slices.Equal(s.families, families[start:end]) {
			s = &segment{families: families[start:end]}
		}
		segments = append(segments, s)
		start = end
	}
	return segments
}

func (s *segment) compressed(format Format) block {
	return s.deflated[format].get(func() block {
		parts := make([][]byte, 0, 2*len(s.families))
		for _, f := range s.families {
			parts = append(parts, f.metadata[format], f.samples())
		}
		return deflate(nil, parts...)
	})
}

// lazy is a value that is made at its first use.
type lazy[T any] struct {
	once  sync.Once
	value T
}

func (l *lazy[T]) get(make func() T) T {
	l.once.Do(func() { l.value = make() })
	return l.value
}
