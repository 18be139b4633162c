//go:build e2e

package e2e

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"maps"
	"math"
	"net/http"
	"slices"
	"time"

	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

// ledger is a sender that, other than Prometheus with its scrapes, sends nothing again
// that has been acknowledged: what is acknowledged and not stored stays missing. What is
// not acknowledged it sends to the next receiver.
type ledger struct {
	receivers []string  // URLs to write to
	from      time.Time // the first window

	acknowledged map[sampleKey]float64
	repeated     int // requests without an acknowledgement
}

const ledgerFamily = "ethereum_ledger_window_entries"

// keep sends requests until a moment, each about a window of its own.
func (l *ledger) keep(ctx context.Context, until time.Time) error {
	l.acknowledged = map[sampleKey]float64{}
	client := &http.Client{Transport: &http.Transport{}}
	defer client.CloseIdleConnections()
	for n := 0; time.Now().Before(until); n++ {
		window := l.from.Add(time.Duration(n) * time.Second).Unix()
		entries, keys := []entry{}, map[sampleKey]float64{}
		for i := range 50 {
			labels := map[string]string{"network": "ledger", "entry": fmt.Sprint(i)}
			value := float64(1000*n + i)
			keys[sampleKey{sortedSeries(ledgerFamily, labels), window}] = value
			labels["__name__"], labels["window"] = ledgerFamily, fmt.Sprint(window)
			entries = append(entries, entry{labels, value})
		}
		protocol := []string{writeV1, writeV2}[n%2]
		body := snappy.Encode(nil, message(protocol, entries...))
		for try := n / 2; ; try++ {
			status, err := push(ctx, client, l.receivers[try%len(l.receivers)], protocol, body)
			if err == nil && status/100 == 2 {
				break
			}
			if err == nil && status/100 == 4 {
				return fmt.Errorf("entry %d of the ledger is refused with %d", n, status)
			}
			l.repeated++
			if err := sleepUntil(ctx, time.Now().Add(50*time.Millisecond)); err != nil {
				return err
			}
		}
		maps.Copy(l.acknowledged, keys)
		if err := sleepUntil(ctx, time.Now().Add(50*time.Millisecond)); err != nil {
			return err
		}
	}
	return nil
}

// push sends one request.
func push(ctx context.Context, client *http.Client, url, protocol string, body []byte) (status int, err error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, bytes.NewReader(body))
	if err != nil {
		return 0, err
	}
	request.Header.Set("Content-Encoding", "snappy")
	request.Header.Set("Content-Type", "application/x-protobuf;proto="+protocol)
	response, err := client.Do(request)
	if err != nil {
		return 0, err
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return response.StatusCode, err
}

// entry is a sample of now. Labels have the name and the window too.
type entry struct {
	labels map[string]string
	value  float64
}

// message encodes a request.
func message(protocol string, entries ...entry) []byte {
	now := time.Now().UnixMilli()
	if protocol == writeV1 {
		return messageV1(now, entries)
	}
	return messageV2(now, entries)
}

func messageV1(now int64, entries []entry) (request []byte) {
	add := func(into []byte, field protowire.Number, content []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(into, field, protowire.BytesType), content)
	}
	for _, e := range entries {
		var series []byte
		for _, name := range slices.Sorted(maps.Keys(e.labels)) {
			series = add(series, 1, add(add(nil, 1, []byte(name)), 2, []byte(e.labels[name])))
		}
		sample := protowire.AppendTag(nil, 1, protowire.Fixed64Type)
		sample = protowire.AppendFixed64(sample, math.Float64bits(e.value))
		sample = protowire.AppendTag(sample, 2, protowire.VarintType)
		sample = protowire.AppendVarint(sample, uint64(now))
		request = add(request, 1, add(series, 2, sample))
	}
	return request
}

func messageV2(now int64, entries []entry) []byte {
	request := &writev2.Request{Symbols: []string{""}}
	for _, e := range entries {
		series := &writev2.TimeSeries{Samples: []*writev2.Sample{{Value: e.value, Timestamp: now}}}
		for _, name := range slices.Sorted(maps.Keys(e.labels)) {
			for _, text := range []string{name, e.labels[name]} {
				series.LabelsRefs = append(series.LabelsRefs, uint32(len(request.Symbols)))
				request.Symbols = append(request.Symbols, text)
			}
		}
		request.Timeseries = append(request.Timeseries, series)
	}
	encoded, err := proto.Marshal(request)
	if err != nil {
		panic(err) // a message of texts and numbers
	}
	return encoded
}

// encoded is a message as the client library takes one that encodes itself.
type encoded []byte

// Size is its size in bytes.
func (e encoded) Size() int { return len(e) }

// MarshalToSizedBuffer writes it into a buffer of that size.
func (e encoded) MarshalToSizedBuffer(buffer []byte) (int, error) { return copy(buffer, e), nil }
