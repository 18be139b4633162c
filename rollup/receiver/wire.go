package receiver

import (
	"errors"
	"fmt"
	"math"
	"net/http"

	"google.golang.org/protobuf/encoding/protowire"
)

// wireSeries is a series as it stands in a request. It refers to the request's bytes and
// is overwritten by the next.
type wireSeries struct {
	labels     []wireLabel // in the order of the request
	samples    []wireSample
	histograms int
	// unreadable says why there are no labels. The rest of the request can be read.
	unreadable error
}

type wireLabel struct{ name, value []byte }

type wireSample struct {
	value     float64
	timestamp int64 // Unix milliseconds
}

// decoder reads the messages of Remote-Write 1.0 and 2.0 without making objects of what
// they hold, so that a request of many small parts takes no more memory than its bytes.
type decoder struct {
	limits  Limits
	visit   func(*wireSeries) error
	symbols [][]byte // 2.0 only
	series  int
	samples int
	current wireSeries // reused
}

// Numbers of fields. Those of the other version's request are reserved in each, so that
// a request of one version that is labelled as the other is noticed.
const (
	v1Series, v1Metadata = 1, 3
	v2Symbols, v2Series  = 4, 5
)

// decode calls visit with every series of a request, or fails as a whole.
func (d *decoder) decode(data []byte, version2 bool) error {
	seriesField := protowire.Number(v1Series)
	if version2 {
		seriesField = v2Series
		if err := d.readSymbols(data); err != nil {
			return err
		}
	}
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		switch {
		case version2 && (f.number == v1Series || f.number == v1Metadata):
			return malformed("field %d is of Remote-Write 1.0, but the content type says 2.0", f.number)
		case !version2 && (f.number == v2Symbols || f.number == v2Series):
			return malformed("field %d is of Remote-Write 2.0, but the content type says 1.0", f.number)
		case f.number != seriesField:
			continue
		}
		if err := f.want(protowire.BytesType, "a series"); err != nil {
			return err
		}
		if d.series++; d.series > d.limits.Samples {
			return tooLarge("more than %d series in one request", d.limits.Samples)
		}
		if err := d.readSeries(f.bytes, version2); err != nil {
			return err
		}
		if err := d.visit(&d.current); err != nil {
			return err
		}
	}
	return nil
}

// symbolsPerSample bounds the symbols of a request: a series has hardly more texts that
// no other series has.
const symbolsPerSample = 10

// readSymbols reads the symbols alone: nothing says that they stand before the series.
// It counts them first, so that they are given no more memory than they need.
func (d *decoder) readSymbols(data []byte) error {
	count := 0
	if err := eachSymbol(data, func([]byte) { count++ }); err != nil {
		return err
	}
	if most := symbolsPerSample * d.limits.Samples; count > most {
		return tooLarge("more than %d symbols in one request", most)
	}
	d.symbols = make([][]byte, 0, count)
	return eachSymbol(data, func(symbol []byte) { d.symbols = append(d.symbols, symbol) })
}

func eachSymbol(data []byte, visit func([]byte)) error {
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		if f.number != v2Symbols {
			continue
		}
		if err := f.want(protowire.BytesType, "a symbol"); err != nil {
			return err
		}
		visit(f.bytes)
	}
	return nil
}

// readSeries reads a series into current.
func (d *decoder) readSeries(data []byte, version2 bool) error {
	s := &d.current
	*s = wireSeries{labels: s.labels[:0], samples: s.samples[:0]}
	refs := references{symbols: d.symbols}
	histogramField := protowire.Number(4)
	if version2 {
		histogramField = 3
	}
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return err
		}
		data = rest
		switch f.number {
		case 1:
			if version2 {
				if err := d.readReferences(f, &refs); err != nil {
					return err
				}
				continue
			}
			if err := f.want(protowire.BytesType, "a label"); err != nil {
				return err
			}
			label, err := readLabel(f.bytes)
			if err != nil {
				return err
			}
			d.addLabel(label)
		case 2:
			if err := f.want(protowire.BytesType, "a sample"); err != nil {
				return err
			}
			if err := d.countSample(); err != nil {
				return err
			}
			sample, err := readSample(f.bytes)
			if err != nil {
				return err
			}
			s.samples = append(s.samples, sample)
		case histogramField:
			if err := f.want(protowire.BytesType, "a histogram"); err != nil {
				return err
			}
			if err := d.countSample(); err != nil {
				return err
			}
			s.histograms++
		}
	}
	if refs.half && s.unreadable == nil {
		s.unreadable = errors.New("a label has a name and no value")
	}
	return nil
}

// references are the labels of a series of 2.0: pairs of places in the symbols. A pair
// may be split between two fields.
type references struct {
	symbols [][]byte
	name    []byte
	half    bool // name waits for its value
}

func (d *decoder) readReferences(f field, refs *references) error {
	packed := f.bytes
	if f.kind == protowire.VarintType {
		return d.addReference(f.value, refs)
	}
	if err := f.want(protowire.BytesType, "references of labels"); err != nil {
		return err
	}
	for len(packed) > 0 {
		value, n := protowire.ConsumeVarint(packed)
		if n < 0 {
			return malformed("references of labels: %v", protowire.ParseError(n))
		}
		packed = packed[n:]
		if err := d.addReference(value, refs); err != nil {
			return err
		}
	}
	return nil
}

func (d *decoder) addReference(value uint64, refs *references) error {
	s := &d.current
	if value > math.MaxUint32 {
		return malformed("a reference of a label is no 32-bit number")
	}
	if value >= uint64(len(refs.symbols)) {
		if s.unreadable == nil {
			s.unreadable = fmt.Errorf("a label refers to symbol %d of %d", value, len(refs.symbols))
		}
		return nil
	}
	symbol := refs.symbols[value]
	if refs.half {
		d.addLabel(wireLabel{refs.name, symbol})
	} else {
		refs.name = symbol
	}
	refs.half = !refs.half
	return nil
}

func (d *decoder) addLabel(label wireLabel) {
	s := &d.current
	if len(s.labels) == d.limits.Labels {
		if s.unreadable == nil {
			s.unreadable = fmt.Errorf("more than %d labels", d.limits.Labels)
		}
		return
	}
	s.labels = append(s.labels, label)
}

func (d *decoder) countSample() error {
	if d.samples++; d.samples > d.limits.Samples {
		return tooLarge("more than %d samples in one request", d.limits.Samples)
	}
	return nil
}

func readLabel(data []byte) (label wireLabel, err error) {
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return label, err
		}
		data = rest
		if f.number != 1 && f.number != 2 {
			continue
		}
		if err := f.want(protowire.BytesType, "text of a label"); err != nil {
			return label, err
		}
		if f.number == 1 {
			label.name = f.bytes
		} else {
			label.value = f.bytes
		}
	}
	return label, nil
}

func readSample(data []byte) (sample wireSample, err error) {
	for len(data) > 0 {
		f, rest, err := nextField(data)
		if err != nil {
			return sample, err
		}
		data = rest
		switch f.number {
		case 1:
			if err := f.want(protowire.Fixed64Type, "a sample's value"); err != nil {
				return sample, err
			}
			sample.value = math.Float64frombits(f.value)
		case 2:
			if err := f.want(protowire.VarintType, "a sample's time"); err != nil {
				return sample, err
			}
			sample.timestamp = int64(f.value)
		}
	}
	return sample, nil
}

// field of a message.
type field struct {
	number protowire.Number
	kind   protowire.Type
	bytes  []byte // of BytesType
	value  uint64 // of VarintType and Fixed64Type
}

// want fails when a field that is known has another type.
func (f field) want(kind protowire.Type, what string) error {
	if f.kind != kind {
		return malformed("%s has wire type %d, want %d", what, f.kind, kind)
	}
	return nil
}

// nextField takes the first field off data.
func nextField(data []byte) (f field, rest []byte, err error) {
	number, kind, n := protowire.ConsumeTag(data)
	if n < 0 {
		return field{}, nil, malformed("%v", protowire.ParseError(n))
	}
	data = data[n:]
	f = field{number: number, kind: kind}
	switch kind {
	case protowire.VarintType:
		f.value, n = protowire.ConsumeVarint(data)
	case protowire.Fixed64Type:
		f.value, n = protowire.ConsumeFixed64(data)
	case protowire.BytesType:
		f.bytes, n = protowire.ConsumeBytes(data)
	default:
		n = protowire.ConsumeFieldValue(number, kind, data)
	}
	if n < 0 {
		return field{}, nil, malformed("field %d: %v", number, protowire.ParseError(n))
	}
	return f, data[n:], nil
}

// refusal is why a request is refused as a whole, which repeating will not change.
type refusal struct {
	status int
	text   string
}

func (r *refusal) Error() string { return r.text }

func malformed(format string, args ...any) error {
	return &refusal{http.StatusBadRequest, "the request is no remote-write message: " + fmt.Sprintf(format, args...)}
}

func tooLarge(format string, args ...any) error {
	return &refusal{http.StatusRequestEntityTooLarge, "too large: " + fmt.Sprintf(format, args...) + "; have the sender send less at a time"}
}
