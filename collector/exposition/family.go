package exposition

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

// Series is one sample of a family.
type Series struct {
	// Labels as they are written between the braces, see [Labels]; "" for none.
	Labels string
	Value  float64
}

// Labels renders name-value pairs the way Series wants them, in the order given:
//
//	Labels("network", "mainnet", "validator_index", "1") == `network="mainnet",validator_index="1"`
//
// Already rendered labels may be joined with a comma. Both text formats escape
// values alike.
func Labels(pairs ...string) string {
	if len(pairs)%2 != 0 {
		panic(fmt.Sprintf("exposition: label %q has no value", pairs[len(pairs)-1]))
	}
	var b strings.Builder
	for i := 0; i < len(pairs); i += 2 {
		if i > 0 {
			b.WriteByte(',')
		}
		b.WriteString(pairs[i])
		b.WriteString(`="`)
		b.WriteString(escapeValue.Replace(strings.ToValidUTF8(pairs[i+1], "\uFFFD")))
		b.WriteByte('"')
	}
	return b.String()
}

var escapeValue = strings.NewReplacer(`\`, `\\`, "\n", `\n`, `"`, `\"`)

// Family is the samples of one metric family and their encoded bytes. It is
// immutable and safe for concurrent use.
type Family struct {
	desc     catalog.Family
	series   []Series
	metadata [formatCount][]byte
	// room is about the size of the sample lines.
	room int

	// Lines are encoded when they are first read: a page that nobody asks for costs
	// nothing. previous is what they are encoded from, until then.
	lines    lazy[lines]
	encoded  atomic.Bool
	previous *Family
}

// lines are a family's sample lines; ends[i] is where that of series[i] ends.
type lines struct {
	text []byte
	ends []int
}

// NewFamily makes a family of a counter or gauge with its series, in the order
// given. It takes ownership of series. Lines of series that are equal to those of
// previous (which may be nil) are copied, not encoded again; when all are equal,
// previous itself is returned, by which a page knows that nothing changed.
func NewFamily(desc catalog.Family, series []Series, previous *Family) *Family {
	if desc.Type != catalog.Counter && desc.Type != catalog.Gauge {
		panic(fmt.Sprintf("exposition: %s is a %s: only counters and gauges can be encoded", desc.Name, desc.Type))
	}
	f := &Family{desc: desc, series: series}
	if previous != nil && previous.desc.Name == desc.Name {
		if slices.EqualFunc(series, previous.series, equal) {
			return previous
		}
		f.metadata = previous.metadata
		// One that was never read is not kept for its bytes, or a chain of them would be.
		if previous.encoded.Load() {
			f.previous = previous
		}
	} else {
		f.metadata = [formatCount][]byte{Text: metadata(desc, Text), OpenMetrics: metadata(desc, OpenMetrics)}
	}
	for _, s := range series {
		f.room += len(desc.Name) + len(s.Labels) + 16 // braces, and most values
	}
	return f
}

// samples are the family's sample lines.
func (f *Family) samples() []byte {
	return f.lines.get(func() lines {
		previous := f.previous
		if previous == nil {
			previous = &Family{}
		}
		encoded := f.encode(previous.series, previous.lines.value)
		f.previous = nil
		f.encoded.Store(true)
		return encoded
	}).text
}

// Desc returns the family's entry in the catalogue.
func (f *Family) Desc() catalog.Family { return f.desc }

// Len returns the number of series.
func (f *Family) Len() int { return len(f.series) }

// Series returns the series, which must not be changed.
func (f *Family) Series() []Series { return f.series }

func equal(a, b Series) bool {
	return a.Labels == b.Labels && math.Float64bits(a.Value) == math.Float64bits(b.Value)
}

// encode renders the sample lines. Series at the same place with the same sample
// as before are copied in runs.
func (f *Family) encode(before []Series, kept lines) lines {
	l := lines{text: make([]byte, 0, f.room), ends: make([]int, len(f.series))}
	for i := 0; i < len(f.series); {
		run := i
		for run < len(f.series) && run < len(before) && equal(f.series[run], before[run]) {
			run++
		}
		if run > i {
			from := 0
			if i > 0 {
				from = kept.ends[i-1]
			}
			moved := len(l.text) - from
			l.text = append(l.text, kept.text[from:kept.ends[run-1]]...)
			for ; i < run; i++ {
				l.ends[i] = kept.ends[i] + moved
			}
			continue
		}
		l.text = appendSample(l.text, f.desc.Name, f.series[i])
		l.ends[i] = len(l.text)
		i++
	}
	return l
}

func appendSample(b []byte, name string, s Series) []byte {
	b = append(b, name...)
	if s.Labels != "" {
		b = append(b, '{')
		b = append(b, s.Labels...)
		b = append(b, '}')
	}
	b = append(b, ' ')
	return append(appendValue(b, s.Value), '\n')
}

// appendValue writes whole numbers without exponent where float64 holds them
// exactly, and everything else in the shortest form that reads back the same.
func appendValue(b []byte, v float64) []byte {
	switch {
	case v == math.Trunc(v) && math.Abs(v) < 1<<53:
		return strconv.AppendInt(b, int64(v), 10)
	case math.IsInf(v, 1):
		return append(b, "+Inf"...)
	default:
		return strconv.AppendFloat(b, v, 'g', -1, 64)
	}
}

// metadata returns the HELP and TYPE lines. OpenMetrics names a counter's family
// without the suffix of its sample, and escapes quotes in help.
func metadata(desc catalog.Family, format Format) []byte {
	name, help := desc.Name, escapeHelp.Replace(desc.Help)
	if format == OpenMetrics {
		help = escapeValue.Replace(desc.Help)
		if desc.Type == catalog.Counter {
			name = strings.TrimSuffix(name, "_total")
		}
	}
	return fmt.Appendf(nil, "# HELP %s %s\n# TYPE %s %s\n", name, help, name, desc.Type)
}

var escapeHelp = strings.NewReplacer(`\`, `\\`, "\n", `\n`)
