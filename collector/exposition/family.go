package exposition

import (
	"fmt"
	"math"
	"slices"
	"strconv"
	"strings"

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

	// samples are the sample lines, and ends[i] is where the line of series[i] ends.
	samples []byte
	ends    []int
}

// NewFamily encodes a counter or gauge with its series, in the order given. It
// takes ownership of series. Lines of series that are equal to those of previous
// (which may be nil) are copied, not encoded again; when all are equal, previous
// itself is returned, by which a page knows that nothing changed.
func NewFamily(desc catalog.Family, series []Series, previous *Family) *Family {
	if desc.Type != catalog.Counter && desc.Type != catalog.Gauge {
		panic(fmt.Sprintf("exposition: %s is a %s: only counters and gauges can be encoded", desc.Name, desc.Type))
	}
	if previous == nil || previous.desc.Name != desc.Name {
		previous = &Family{}
	} else if slices.EqualFunc(series, previous.series, equal) {
		return previous
	}
	f := &Family{desc: desc, series: series, ends: make([]int, len(series))}
	f.metadata = [formatCount][]byte{Text: metadata(desc, Text), OpenMetrics: metadata(desc, OpenMetrics)}
	f.encodeSamples(previous)
	return f
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

// encodeSamples renders the sample lines. Series at the same place with the same
// sample as in previous are copied in runs.
func (f *Family) encodeSamples(previous *Family) {
	before := previous.series
	size := 0
	for _, series := range f.series {
		size += len(f.desc.Name) + len(series.Labels) + 16 // braces, and most values
	}
	f.samples = make([]byte, 0, size)
	for i := 0; i < len(f.series); {
		run := i
		for run < len(f.series) && run < len(before) && equal(f.series[run], before[run]) {
			run++
		}
		if run > i {
			from := 0
			if i > 0 {
				from = previous.ends[i-1]
			}
			moved := len(f.samples) - from
			f.samples = append(f.samples, previous.samples[from:previous.ends[run-1]]...)
			for ; i < run; i++ {
				f.ends[i] = previous.ends[i] + moved
			}
			continue
		}
		f.samples = appendSample(f.samples, f.desc.Name, f.series[i])
		f.ends[i] = len(f.samples)
		i++
	}
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
