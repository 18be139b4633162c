package receiver

import (
	"bytes"
	"context"
	"fmt"
	"math"
	"net/http"
	"reflect"
	"regexp"
	"strings"
	"testing"
	"time"

	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// plainSeries is a series that outlives its request.
type plainSeries struct {
	Labels     string
	Samples    string
	Histograms int
	Unreadable bool
}

func decodeAll(data []byte, version2 bool, limits Limits) (all []plainSeries, err error) {
	d := decoder{limits: limits, visit: func(s *wireSeries) error {
		plain := plainSeries{Histograms: s.histograms, Unreadable: s.unreadable != nil}
		if !plain.Unreadable {
			for _, l := range s.labels {
				plain.Labels += fmt.Sprintf("%q=%q,", l.name, l.value)
			}
		}
		for _, p := range s.samples {
			plain.Samples += fmt.Sprintf("%x@%d,", math.Float64bits(p.value), p.timestamp)
		}
		all = append(all, plain)
		return nil
	}}
	return all, d.decode(data, version2)
}

// referenceV2 reads a request with the library's own type.
func referenceV2(data []byte) (all []plainSeries, err error) {
	var request writev2.Request
	if err := proto.Unmarshal(data, &request); err != nil {
		return nil, err
	}
	for _, ts := range request.Timeseries {
		plain := plainSeries{Histograms: len(ts.Histograms), Unreadable: len(ts.LabelsRefs)%2 == 1}
		for i, ref := range ts.LabelsRefs {
			if ref >= uint32(len(request.Symbols)) {
				plain.Unreadable = true
			} else if i%2 == 0 {
				plain.Labels += fmt.Sprintf("%q=", request.Symbols[ref])
			} else {
				plain.Labels += fmt.Sprintf("%q,", request.Symbols[ref])
			}
		}
		if plain.Unreadable {
			plain.Labels = ""
		}
		for _, p := range ts.Samples {
			plain.Samples += fmt.Sprintf("%x@%d,", math.Float64bits(p.Value), p.Timestamp)
		}
		all = append(all, plain)
	}
	return all, nil
}

func TestSymbolsMayStandAnywhere(t *testing.T) {
	part := func(m *writev2.Request) []byte {
		data, err := proto.Marshal(m)
		if err != nil {
			t.Fatal(err)
		}
		return data
	}
	data := bytes.Join([][]byte{
		part(&writev2.Request{Timeseries: []*writev2.TimeSeries{{LabelsRefs: []uint32{1, 2}, Samples: []*writev2.Sample{{Value: 1, Timestamp: -5}}}}}),
		part(&writev2.Request{Symbols: []string{"", "__name__"}}),
		part(&writev2.Request{Symbols: []string{"up"}}),
	}, nil)
	got, err := decodeAll(data, true, Limits{}.withDefaults())
	want := []plainSeries{{Labels: `"__name__"="up",`, Samples: "3ff0000000000000@-5,"}}
	if err != nil || !reflect.DeepEqual(got, want) {
		t.Errorf("%v, error %v; want %v", got, err, want)
	}
}

func TestReferencesNeedNotBePacked(t *testing.T) {
	var series []byte
	for _, ref := range []uint64{1, 2} {
		series = protowire.AppendTag(series, 1, protowire.VarintType)
		series = protowire.AppendVarint(series, ref)
	}
	series = protowire.AppendTag(series, 1, protowire.BytesType)
	series = protowire.AppendBytes(series, []byte{3, 1})
	var data []byte
	for _, symbol := range []string{"", "a", "b", "c"} {
		data = protowire.AppendTag(data, v2Symbols, protowire.BytesType)
		data = protowire.AppendString(data, symbol)
	}
	data = protowire.AppendTag(data, v2Series, protowire.BytesType)
	data = protowire.AppendBytes(data, series)
	got, err := decodeAll(data, true, Limits{}.withDefaults())
	if err != nil || len(got) != 1 || got[0].Labels != `"a"="b","c"="a",` {
		t.Errorf("%v, error %v", got, err)
	}
}

func TestBrokenReferencesSpoilTheirSeriesOnly(t *testing.T) {
	good := &writev2.TimeSeries{LabelsRefs: []uint32{1, 2}, Samples: []*writev2.Sample{{Value: 1}}}
	for name, refs := range map[string][]uint32{"odd": {1, 2, 1}, "out of range": {1, 9}} {
		data, err := proto.Marshal(&writev2.Request{
			Symbols:    []string{"", "a", "b"},
			Timeseries: []*writev2.TimeSeries{good, {LabelsRefs: refs, Samples: good.Samples}, good},
		})
		if err != nil {
			t.Fatal(err)
		}
		got, err := decodeAll(data, true, Limits{}.withDefaults())
		if err != nil || len(got) != 3 || got[0].Unreadable || !got[1].Unreadable || got[2].Unreadable || got[2].Labels == "" {
			t.Errorf("%s: %+v, error %v", name, got, err)
		}
	}
}

// hangsUp is a context that is done once it has been asked a few times.
type hangsUp struct {
	context.Context
	patience int
}

func (c *hangsUp) Err() error {
	if c.patience--; c.patience < 0 {
		return context.Canceled
	}
	return nil
}

func TestNothingIsReadOnForASenderThatHungUp(t *testing.T) {
	label := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "__name__")
	label = protowire.AppendString(protowire.AppendTag(label, 2, protowire.BytesType), "up")
	series := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), label)
	message := bytes.Repeat(protowire.AppendBytes(protowire.AppendTag(nil, v1Series, protowire.BytesType), series), 100)
	r, err := New(noStore{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	sender := &hangsUp{t.Context(), 10}
	if a := r.take(sender, message, false); a.status != http.StatusServiceUnavailable || sender.patience != -1 {
		t.Errorf("status %d %q after %d series, want 503 after 10", a.status, a.text, 9-sender.patience)
	}
	if a := r.take(t.Context(), message, false); a.status != http.StatusNoContent {
		t.Errorf("status %d %q for a sender that waits", a.status, a.text)
	}
}

// Of 33 kilobytes that a thousand series refer to, matching each would take seconds.
func TestTextThatManySeriesReferToIsMatchedOnce(t *testing.T) {
	r, err := New(noStore{}, Options{})
	if err != nil {
		t.Fatal(err)
	}
	b := r.newBatch()
	for i := range 2000 {
		b.isRollup(fmt.Append(nil, "ethereum_x_window_", i))
	}
	for name, want := range map[string]bool{
		"ethereum_" + strings.Repeat("_window_", 4000): true,
		strings.Repeat("ethereum_", 4000):              false,
		"ethereum_x_window_y":                          true,
	} {
		text := []byte(name)
		b.series = r.series
		first := b.isRollup(text)
		b.series = nil // would panic
		if again := b.isRollup(text); first != want || again != want {
			t.Errorf("%.20s… of %d bytes is a rollup: %t, then %t; want %t", name, len(name), first, again, want)
		}
	}
}

// noStore is for requests of which nothing is stored.
type noStore struct{ Store }

// FuzzDecode compares the decoder with the library's, whatever the bytes.
func FuzzDecode(f *testing.F) {
	request, err := proto.Marshal(&writev2.Request{
		Symbols: []string{"", "__name__", "up", "window", "5"},
		Timeseries: []*writev2.TimeSeries{
			{LabelsRefs: []uint32{1, 2, 3, 4}, Samples: []*writev2.Sample{{Value: 1.5, Timestamp: 7}, {Value: math.NaN()}}},
			{LabelsRefs: []uint32{1, 9, 1}, Histograms: []*writev2.Histogram{{Sum: 1}}, Exemplars: []*writev2.Exemplar{{Value: 1}}},
		},
	})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(request, true)
	f.Add(request, false)
	label := protowire.AppendString(protowire.AppendTag(nil, 1, protowire.BytesType), "__name__")
	label = protowire.AppendString(protowire.AppendTag(label, 2, protowire.BytesType), "up")
	series := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), label)
	series = protowire.AppendBytes(protowire.AppendTag(series, 2, protowire.BytesType), protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), 77))
	f.Add(protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), series), false)
	f.Add([]byte{0x0b, 0x0c}, false) // a group
	f.Add(bytes.Repeat([]byte{0x22, 0}, 300), true)

	limits := Limits{Samples: 20, Labels: 8}.withDefaults()
	f.Fuzz(func(t *testing.T, data []byte, version2 bool) {
		got, err := decodeAll(data, version2, limits)
		if len(got) > limits.Samples {
			t.Fatalf("%d series with a limit of %d", len(got), limits.Samples)
		}
		r := &Receiver{options: Options{Limits: limits, Now: time.Now}, series: regexp.MustCompile(DefaultSeries), drop: map[string]bool{"job": true}}
		b := r.newBatch()
		d := decoder{limits: limits, visit: b.add}
		if d.decode(data, version2) == nil && len(b.rows)+b.dropped+b.refused.count != b.received {
			t.Fatalf("%d rows, %d dropped and %d refused of %d samples", len(b.rows), b.dropped, b.refused.count, b.received)
		}
		if err != nil || !version2 {
			return
		}
		want, err := referenceV2(data)
		if err != nil {
			// The library also refuses texts that are not UTF-8, and reads what we skip.
			return
		}
		for i := range want {
			if strings.Count(want[i].Labels, "=") > limits.Labels { // an upper bound: values may hold =
				return
			}
		}
		if !reflect.DeepEqual(got, want) {
			t.Fatalf("decoded\n%+v\nwant\n%+v", got, want)
		}
	})
}
