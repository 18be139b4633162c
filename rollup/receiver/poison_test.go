package receiver_test

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"runtime"
	"runtime/debug"
	"runtime/metrics"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"google.golang.org/protobuf/encoding/protowire"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/receiver"
)

// Whatever is wrong with a sample, the answer is a 4xx that says so, which no sender
// repeats, and what came with it is stored.
func TestPoisonIsRefusedAndTheRestIsKept(t *testing.T) {
	megabyte := strings.Repeat("x", 1<<20)
	var crowd []string
	for i := range 100_000 {
		crowd = append(crowd, fmt.Sprintf("label_%d", i), "x")
	}
	at := func(when time.Time) series {
		s := expected(1, 15)
		s.samples[0].at = when
		return s
	}
	inWindow := func(unix int64) series {
		return one(15, "__name__", "ethereum_network_window_attestations_expected", "network", "mainnet", "window", fmt.Sprint(unix))
	}
	cases := map[string]struct {
		poison series
		says   string
	}{
		"NUL in a value":                 {expected(1, 15, "region", "a\x00b"), `label "region" has a NUL byte`},
		"NUL in a name":                  {expected(1, 15, "re\x00gion", "a"), `has a NUL byte`},
		"a value of a megabyte":          {expected(1, 15, "region", megabyte), `label "region" has a text of 1048576 bytes, more than 4096`},
		"a name of a megabyte":           {expected(1, 15, megabyte, "x"), "has a text of 1048576 bytes, more than 4096"},
		"a group too long for an index":  {one(1, "__name__", "ethereum_group_window_blocks_proposed", "network", "mainnet", "group_by", "x", "group", megabyte[:4000], "window", fmt.Sprint(window)), "more than 2048"},
		"100,000 labels":                 {expected(1, 15, crowd...), "more than 100 labels"},
		"a timestamp in year 1":          {at(time.Date(1, 1, 2, 0, 0, 0, 0, time.UTC)), "timestamp -62135510400000 ms is before the window"},
		"a timestamp in year 9999":       {at(time.Date(9999, 12, 31, 0, 0, 0, 0, time.UTC)), "timestamp 253402214400000 ms is in the future"},
		"a timestamp in eleven minutes":  {at(now.Add(11 * time.Minute)), "is in the future"},
		"a timestamp before its window":  {at(time.Unix(window-1, 0)), "is before the window"},
		"a window in 1970":               {inWindow(0), "window 1970-01-01T00:00:00Z is older than"},
		"a window in year 9999":          {inWindow(253402214400), "timestamp"},
		"a window in two hours, at once": {series{labels: inWindow(now.Unix() + 7200).labels, samples: []sample{{15, now.Add(2 * time.Hour)}}}, "in the future"},
	}
	bothVersions(t, func(f *fixture, v version) {
		want := map[string]float64{}
		for name, tc := range cases {
			before, after := 1000+len(want), 1001+len(want)
			r := f.send(v, expected(before, 15), tc.poison, expected(after, 14)).expect(f.T, 400, "1 of 3 samples cannot be stored", tc.says).written(f.T, v, 2)
			if f.Failed() {
				f.Fatalf("that was %s", name)
			}
			if len(r.body) > 2000 {
				f.Errorf("%s: the answer has %d bytes", name, len(r.body))
			}
			want[row(before)], want[row(after)] = 15, 14
		}
		f.expectStored(want)
	})
}

func TestTimestampsWithinToleranceAreTaken(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		ahead, first := expected(1, 15), expected(2, 15)
		ahead.samples[0].at, first.samples[0].at = now.Add(10*time.Minute), time.Unix(window, 0)
		f.send(v, ahead, first).expect(f.T, 204).written(f.T, v, 2)
		f.expectStored(map[string]float64{row(1): 15, row(2): 15})
	})
}

func TestRequestsThatAreTooLarge(t *testing.T) {
	small := func(o *receiver.Options) {
		o.Limits = receiver.Limits{Body: 10_000, Decoded: 20_000, Samples: 100}
	}
	bothVersions(t, func(f *fixture, v version) {
		var many []series
		for i := range 101 {
			many = append(many, series{labels: []string{"__name__", fmt.Sprint("s", i)}})
		}
		samples := expected(1, 15)
		for range 100 {
			samples.samples = append(samples.samples, sample{value: 15})
		}
		bomb := snappy.Encode(nil, make([]byte, 20_001))
		liar := append(protowire.AppendVarint(nil, 19_000), "\x00x"...)
		for name, tc := range map[string]struct {
			body   []byte
			status int
			says   string
		}{
			"body":                    {make([]byte, 10_001), 413, "a body of 10001 bytes, more than 10000"},
			"zip bomb":                {bomb, 413, "20001 bytes when decompressed, more than 20000"},
			"zip bomb of 4 gigabytes": {protowire.AppendVarint(nil, 1<<32-1), 413, "4294967295 bytes when decompressed"},
			"size that is a lie":      {liar, 400, "5 bytes cannot hold 19000"},
			"series":                  {snappy.Encode(nil, message(v, many...)), 413, "more than 100 series"},
			"samples":                 {snappy.Encode(nil, message(v, samples)), 413, "more than 100 samples"},
		} {
			t.Run(name, func(t *testing.T) {
				f.post(tc.body, "Content-Type", v.contentType()).expect(t, tc.status, tc.says)
			})
		}
		// Without a Content-Length the body is cut off while it is read.
		request, err := http.NewRequestWithContext(f.Context(), "POST", f.url+"/api/v1/write", io.MultiReader(strings.NewReader(strings.Repeat("x", 10_001))))
		if err != nil {
			f.Fatal(err)
		}
		request.Header.Set("Content-Encoding", "snappy")
		request.Header.Set("Content-Type", v.contentType())
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			f.Fatal(err)
		}
		read(f.T, answer).expect(f.T, 413, "a body of more than 10000 bytes")
		f.expectStored(nil)
	}, small)
}

// A body that is refused unread must not look like a broken connection, after which
// senders would try again for ever.
func TestRefusalOfAnUnreadBodyArrives(t *testing.T) {
	f := serve(t, &scripted{})
	for name, body := range map[string]io.Reader{
		"with a length":    bytes.NewReader(make([]byte, 64<<20)),
		"without a length": io.LimitReader(zeros{}, 64<<20),
	} {
		request, err := http.NewRequestWithContext(t.Context(), "POST", f.url+"/api/v1/write", body)
		if err != nil {
			t.Fatal(err)
		}
		request.Header.Set("Content-Encoding", "snappy")
		request.Header.Set("Content-Type", v1.contentType())
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Errorf("%s: %v", name, err)
			continue
		}
		read(t, answer).expect(t, 413, "too large")
	}
}

type zeros struct{}

func (zeros) Read(p []byte) (int, error) { clear(p); return len(p), nil }

// One Prometheus may watch many devnets, and what it could not send for hours comes at
// once. What is refused is lost.
func TestOneRequestMayTellOfAnyNumberOfNetworks(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		want := map[string]float64{}
		var all []series
		for i := range 1000 {
			all = append(all, one(1, "__name__", "ethereum_network_window_blocks_proposed", "network", fmt.Sprint("net", i), "window", fmt.Sprint(window)))
			want[fmt.Sprintf("ethereum_network_window_blocks_proposed{network=net%d} %d", i, window)] = 1
		}
		f.send(v, all...).expect(f.T, 204).written(f.T, v, 1000)
		f.expectStored(want)
	})
}

// In Remote-Write 2.0 many labels can refer to one long text. Reading it each time would
// take an hour of what is a small request, whether or not anything of it is stored.
func TestLabelsCountWhereTheyStand(t *testing.T) {
	const decoded = 1 << 20
	text := func(size int) string { return strings.Repeat("v", size) }
	rollup := []string{"__name__", "ethereum_network_window_x", "window", fmt.Sprint(window)}
	var tiny []string
	for i := range 90 {
		tiny = append(tiny, fmt.Sprint("l", i), "v")
	}
	many := one(1, append(slices.Clone(rollup), "network", text(4000))...)
	for len(many.samples) < 300 {
		many.samples = append(many.samples, many.samples[0])
	}
	for name, tc := range map[string]struct {
		series series
		times  int
		fits   int // how many times do
	}{
		"labels that are stored":       {one(1, append(slices.Clone(rollup), "network", text(4000))...), 300, 200},
		"small labels that are stored": {one(1, append(slices.Clone(rollup), tiny...)...), 400, 200},
		"samples of one series":        {many, 1, 0},
		"a name of nobody's":           {one(1, "__name__", "ethereum_"+text(100_000)), 11, 10},
		"a name that is too long":      {one(1, "__name__", "ethereum_x_window_"+text(100_000)), 11, 0},
		"labels of nobody's":           {one(1, "__name__", "up", "path", text(100_000)), 11, 10},
		"a label's name of nobody's":   {one(1, "__name__", "up", text(100_000), "x"), 11, 10},
		"text that is no text":         {one(1, "__name__", "up", "path", text(100_000), "path", "x"), 11, 0},
	} {
		t.Run(name, func(t *testing.T) {
			f := serve(t, takesAll(), func(o *receiver.Options) {
				o.Limits.Decoded, o.Now = decoded, func() time.Time { return now }
			})
			if tc.fits > 0 {
				f.send(v2, slices.Repeat([]series{tc.series}, tc.fits)...).expect(t, 204)
			}
			f.send(v2, slices.Repeat([]series{tc.series}, tc.times)...).expect(t, 413,
				"the labels of all series need more than 1048576 bytes (--receive.max-decoded-bytes is to be about max_samples_per_send times")
			f.expectMetric(float64(tc.fits), "samples_total")
		})
	}
}

// The worst requests that fit the limits, from many senders at once, take what the
// limits allow and not a multiple of it.
func TestMemoryIsBounded(t *testing.T) {
	const full = 8 << 20 // a quarter of all defaults
	f := setUp(t, postgres.Database(t), func(o *receiver.Options) {
		o.Limits = receiver.Limits{Body: 2 << 20, Decoded: full, Samples: 12_500, Requests: 2, Patience: 5 * time.Minute}
	})
	repeated := func(number protowire.Number, part []byte) []byte {
		part = protowire.AppendBytes(protowire.AppendTag(nil, number, protowire.BytesType), part)
		return snappy.Encode(nil, []byte(strings.Repeat(string(part), full/len(part))))
	}
	label := protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), nil)
	bodies := map[string]struct {
		v        version
		body     []byte
		harmless bool
	}{
		"empty series":           {v1, repeated(1, nil), false},
		"empty series 2":         {v2, repeated(5, nil), false},
		"empty symbols":          {v2, repeated(4, nil), false},
		"series of empty labels": {v1, repeated(1, []byte(strings.Repeat(string(label), 1000))), true},
		"a series of labels":     {v1, snappy.Encode(nil, protowire.AppendBytes(protowire.AppendTag(nil, 1, protowire.BytesType), []byte(strings.Repeat(string(label), full/2-10)))), true},
		"zeros":                  {v1, snappy.Encode(nil, make([]byte, full)), false},
		"claims only":            {v1, protowire.AppendVarint(nil, full), false},
		// New series, whose labels are six times as long in the JSON that Postgres gets.
		"labels that are stored":   {v1, snappy.Encode(nil, message(v1, escaped(full)...)), true},
		"labels that are stored 2": {v2, snappy.Encode(nil, message(v2, escaped(full)...)), true},
	}
	defer debug.SetGCPercent(debug.SetGCPercent(25))
	runtime.GC()
	before := heap()
	var peak atomic.Uint64
	stop := make(chan struct{})
	var watching sync.WaitGroup
	watching.Go(func() {
		for {
			select {
			case <-stop:
				return
			case <-time.After(2 * time.Millisecond):
				peak.Store(max(peak.Load(), heap()))
			}
		}
	})
	for range 50 {
		f.begin(nil, make([]byte, 2<<20)) // and nothing more
	}
	var sending sync.WaitGroup
	for name, tc := range bodies {
		for range 2 {
			sending.Go(func() {
				r := f.post(tc.body, "Content-Type", tc.v.contentType())
				// Nothing is lost of a series without samples.
				if r.status != 400 && r.status != 413 && !(r.status == 204 && tc.harmless) {
					t.Errorf("%s: status %d %q", name, r.status, r.body)
				}
			})
		}
	}
	sending.Wait()
	close(stop)
	watching.Wait()
	// Two requests, each with 2 MiB of body, 8 MiB of message and 6 MiB for what is made of
	// it, and as much again that the collector has not yet freed. Bodies that wait are small
	// here, but for what they claim.
	const most = 2 * (2 + 8 + 6) * 2 << 20
	if used := int64(peak.Load()) - int64(before); used > most {
		t.Errorf("%d MiB at the peak, more than %d", used>>20, int64(most)>>20)
	} else {
		t.Logf("%d MiB at the peak", used>>20)
	}
}

// escaped are new series with so many bytes of labels, nearly.
func escaped(size int) (all []series) {
	text := strings.Repeat("\x01", 4000)
	var more []string
	for i := range 90 {
		more = append(more, fmt.Sprint("label", i), text)
	}
	for i := range size / (90 * (len(text) + 50)) {
		all = append(all, expected(i, 15, more...))
	}
	return all
}

// heap is the size of all objects, those included that are not yet freed.
func heap() uint64 {
	sample := []metrics.Sample{{Name: "/memory/classes/heap/objects:bytes"}}
	metrics.Read(sample)
	return sample[0].Value.Uint64()
}
