package watch

import (
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
)

// Limits of a watch list. Going past one is an error, so that a typing mistake
// cannot take the exporter, or the Prometheus behind it, down.
const (
	MaxValidators  = 1_000_000
	MaxLabelNames  = 32
	MaxLabelValue  = 128       // bytes
	MaxFileSize    = 256 << 20 // bytes
	MaxIndex       = 1 << 40   // spec: VALIDATOR_REGISTRY_LIMIT, the same in every preset
	pubkeyHexChars = 96
)

// List is a watch list. It is immutable and names no validator twice, as far as
// that can be told without the chain: an index and the public key of the same
// validator are two entries.
type List struct {
	// Entries are in the order in which they were written.
	Entries []Entry
	// LabelNames is the sorted union of the names in all entries.
	LabelNames []string

	// positions[i] is where Entries[i] was written.
	positions []position
}

// Entry is one watched validator, named either by index or by public key.
type Entry struct {
	Index     uint64
	HasIndex  bool
	HasPubkey bool
	Pubkey    [48]byte
	// Labels are sorted by name and never empty-valued. Entries with the same labels
	// share one slice; it must not be changed.
	Labels []Label
}

// Label is one label of a watched validator.
type Label struct{ Name, Value string }

// Key returns the name by which the entry was given: the index in decimal, or
// the public key in hexadecimal with 0x.
func (e *Entry) Key() string {
	if e.HasPubkey {
		return "0x" + hex.EncodeToString(e.Pubkey[:])
	}
	return strconv.FormatUint(e.Index, 10)
}

// FromFlags reads the values of --validator: indices, ranges of indices and
// public keys, several in one value separated by commas.
func FromFlags(values []string) (*List, error) {
	b := newBuilder()
	for _, value := range values {
		for item := range strings.SplitSeq(value, ",") {
			at := position{file: "--validator=" + value}
			if err := b.addKey(at, strings.TrimSpace(item), nil); err != nil {
				return nil, err
			}
		}
	}
	return b.list(), nil
}

// Merge returns the entries of a, then those of b. It fails when a validator
// stands in both with different labels.
func Merge(a, b *List) (*List, error) {
	switch {
	case len(a.Entries) == 0:
		return b, nil
	case len(b.Entries) == 0:
		return a, nil
	}
	merged := newBuilder()
	for _, l := range []*List{a, b} {
		for i := range l.Entries {
			if err := merged.add(l.positions[i], l.Entries[i]); err != nil {
				return nil, err
			}
		}
	}
	return merged.list(), nil
}

// equal tells whether both lists name the same validators with the same labels
// in the same order.
func (l *List) equal(other *List) bool {
	return slices.EqualFunc(l.Entries, other.Entries, func(a, b Entry) bool {
		return a.Index == b.Index && a.HasIndex == b.HasIndex && a.Pubkey == b.Pubkey && slices.Equal(a.Labels, b.Labels)
	})
}

// position is where something was written: a file with line and column (0 where
// there is none), or a flag.
type position struct {
	file         string
	line, column int
}

func (p position) String() string {
	switch {
	case p.line == 0:
		return p.file
	case p.column == 0:
		return fmt.Sprintf("%s:%d", p.file, p.line)
	}
	return fmt.Sprintf("%s:%d:%d", p.file, p.line, p.column)
}

func (p position) errorf(format string, args ...any) error {
	return fmt.Errorf("%s: %w", p, fmt.Errorf(format, args...))
}

// builder collects entries, drops repetitions and refuses contradictions.
type builder struct {
	entries   []Entry
	positions []position
	byIndex   map[uint64]int
	byPubkey  map[[48]byte]int
	names     map[string]struct{}
	// named counts calls of add: repetitions too, so that they cost no more than limit.
	named, limit int
	// labelSets holds one copy of each set of labels, by its canonical text.
	labelSets map[string][]Label
}

func newBuilder() *builder {
	return &builder{
		byIndex:   map[uint64]int{},
		byPubkey:  map[[48]byte]int{},
		names:     map[string]struct{}{},
		limit:     MaxValidators,
		labelSets: map[string][]Label{},
	}
}

func (b *builder) list() *List {
	names := make([]string, 0, len(b.names))
	for name := range b.names {
		names = append(names, name)
	}
	slices.Sort(names)
	return &List{Entries: b.entries, LabelNames: names, positions: b.positions}
}

func (b *builder) add(at position, e Entry) error {
	if b.named++; b.named > b.limit {
		return at.errorf("more than %d validators; split the watch list over several exporters", b.limit)
	}
	known, repeated := b.byIndex[e.Index]
	if e.HasPubkey {
		known, repeated = b.byPubkey[e.Pubkey]
	}
	if repeated {
		if slices.Equal(b.entries[known].Labels, e.Labels) {
			return nil
		}
		return at.errorf("validator %s stands at %s with other labels; keep one of the two", e.Key(), b.positions[known])
	}
	for _, label := range e.Labels {
		b.names[label.Name] = struct{}{}
	}
	if len(b.names) > MaxLabelNames {
		return at.errorf("more than %d label names in the watch list; use fewer", MaxLabelNames)
	}
	if e.HasPubkey {
		b.byPubkey[e.Pubkey] = len(b.entries)
	} else {
		b.byIndex[e.Index] = len(b.entries)
	}
	b.entries = append(b.entries, e)
	b.positions = append(b.positions, at)
	return nil
}

// addKey adds what one text names: an index, a range of indices or a public key.
func (b *builder) addKey(at position, text string, labels []Label) error {
	if strings.HasPrefix(text, "0x") || len(text) == pubkeyHexChars {
		return b.addPubkey(at, text, labels)
	}
	if text == "" || text[0] < '0' || text[0] > '9' {
		return at.errorf("%s is neither a validator index nor a public key (0x and %d hexadecimal digits)", shown(text), pubkeyHexChars)
	}
	return b.addIndices(at, text, labels)
}

// addIndices adds indices and inclusive ranges of them: "7", "2000-2999", "1,5,10-12".
func (b *builder) addIndices(at position, text string, labels []Label) error {
	for item := range strings.SplitSeq(text, ",") {
		from, to, isRange := strings.Cut(strings.TrimSpace(item), "-")
		first, err := parseIndex(from)
		if err != nil {
			return at.errorf("%w", err)
		}
		last := first
		if isRange {
			if last, err = parseIndex(to); err != nil {
				return at.errorf("%w", err)
			}
		}
		switch {
		case last < first:
			return at.errorf("range %s ends before it starts; write it as %d-%d", shown(item), last, first)
		case last-first >= uint64(b.limit):
			return at.errorf("range %s holds more than %d validators; check its ends", shown(item), b.limit)
		}
		if more := int(last-first) + 1; b.named+more <= b.limit {
			b.entries, b.positions = slices.Grow(b.entries, more), slices.Grow(b.positions, more)
		}
		for index := first; index <= last; index++ {
			if err := b.add(at, Entry{Index: index, HasIndex: true, Labels: labels}); err != nil {
				return err
			}
		}
	}
	return nil
}

func (b *builder) addPubkey(at position, text string, labels []Label) error {
	e := Entry{HasPubkey: true, Labels: labels}
	digits := strings.TrimPrefix(text, "0x")
	if len(digits) != pubkeyHexChars {
		return at.errorf("public key %s has %d characters after 0x; a public key is 0x and %d hexadecimal digits", shown(text), len(digits), pubkeyHexChars)
	}
	if _, err := hex.Decode(e.Pubkey[:], []byte(digits)); err != nil {
		return at.errorf("public key %s is not hexadecimal; a public key is 0x and %d hexadecimal digits", shown(text), pubkeyHexChars)
	}
	return b.add(at, e)
}

func parseIndex(text string) (uint64, error) {
	text = strings.TrimSpace(text)
	index, err := strconv.ParseUint(text, 10, 64)
	switch {
	case errors.Is(err, strconv.ErrRange) || err == nil && index >= MaxIndex:
		return 0, fmt.Errorf("validator index %s is too large; no chain holds more than %d validators", shown(text), MaxIndex)
	case err != nil:
		return 0, fmt.Errorf("%s is not a validator index; an index is a number from 0 on, a range is 2000-2999", shown(text))
	}
	return index, nil
}

// shown quotes text for an error message, cut to a length that keeps it one line.
func shown(text string) string {
	const limit = 110
	if len(text) > limit {
		return strconv.Quote(text[:limit]) + "…"
	}
	return strconv.Quote(text)
}
