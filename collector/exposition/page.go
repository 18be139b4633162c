package exposition

import (
	"slices"
	"strings"
)

// Format is a text format of a scrape.
type Format uint8

// The formats offered.
const (
	// Text is the Prometheus text format 0.0.4.
	Text Format = iota
	// OpenMetrics is OpenMetrics text 1.0.0.
	OpenMetrics
)

// Page is an immutable set of families, sorted by name, without empty ones. It
// is safe for concurrent use.
type Page struct {
	families []*Family
}

// NewPage makes a page of families with distinct names. Nil and empty families
// are left out. Encoded bytes that span families are taken over from previous
// (which may be nil); when nothing differs, previous itself is returned.
func NewPage(families []*Family, previous *Page) *Page {
	kept := make([]*Family, 0, len(families))
	for _, f := range families {
		if f != nil && f.Len() > 0 {
			kept = append(kept, f)
		}
	}
	slices.SortFunc(kept, func(a, b *Family) int { return strings.Compare(a.desc.Name, b.desc.Name) })
	if previous != nil && slices.Equal(kept, previous.families) {
		return previous
	}
	return &Page{families: kept}
}

// Families returns the page's families, sorted by name, which must not be changed.
func (p *Page) Families() []*Family { return p.families }

// Bytes returns the page uncompressed, without OpenMetrics' closing line.
func (p *Page) Bytes(format Format) []byte {
	var out []byte
	for _, f := range p.families {
		out = append(out, f.metadata(format)...)
		out = append(out, f.samples...)
	}
	return out
}
