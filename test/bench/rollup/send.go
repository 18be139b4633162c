package main

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/receiver"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// encoding is a version of the remote-write protocol.
type encoding struct {
	name, contentType string
	encode            func([]store.Row) ([]byte, error)
}

func encodings() []encoding {
	return []encoding{
		{"Remote-Write 1.0", "application/x-protobuf", encodeV1},
		{"Remote-Write 2.0", "application/x-protobuf;proto=io.prometheus.write.v2.Request", encodeV2},
	}
}

// wayToSend sends windows to a receiver over HTTP, as one shard of Prometheus does: a
// request at a time. The requests are encoded before.
func wayToSend(s *store.Store, as encoding) (*way, func(), error) {
	r, err := receiver.New(s, receiver.Options{Now: clock})
	if err != nil {
		return nil, nil, err
	}
	server := httptest.NewServer(r)
	var requests [][]byte
	return &way{
		name: as.name + " to the receiver, new rows",
		prepare: func(_ context.Context, rows []store.Row) error {
			requests = nil
			for batch := range slices.Chunk(rows, batchSize) {
				message, err := as.encode(batch)
				if err != nil {
					return err
				}
				requests = append(requests, snappy.Encode(nil, message))
			}
			return nil
		},
		write: func(ctx context.Context, _ []store.Row) error {
			for _, body := range requests {
				if err := post(ctx, server, as.contentType, body); err != nil {
					return err
				}
			}
			return nil
		},
	}, server.Close, nil
}

func post(ctx context.Context, server *httptest.Server, contentType string, body []byte) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, server.URL+receiver.WritePath, bytes.NewReader(body))
	if err != nil {
		return err
	}
	request.Header.Set("Content-Encoding", "snappy")
	request.Header.Set("Content-Type", contentType)
	response, err := server.Client().Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	if err != nil {
		return err
	}
	if response.StatusCode != http.StatusNoContent {
		return fmt.Errorf("status %d: %s", response.StatusCode, answer)
	}
	return nil
}

// scraped are the labels of a row as Prometheus sends them: with the window, those of the
// target, and that of the Prometheus server.
func scraped(row store.Row) []store.Label {
	labels := append(slices.Clone(row.Labels),
		store.Label{Name: "instance", Value: "validator-exporter-0.validator-exporter.monitoring:8080"},
		store.Label{Name: "job", Value: "validator-exporter"},
		store.Label{Name: "prometheus_replica", Value: "prometheus-0"},
		store.Label{Name: "window", Value: strconv.FormatInt(row.Window.Unix(), 10)})
	slices.SortFunc(labels, func(a, b store.Label) int { return strings.Compare(a.Name, b.Name) })
	return labels
}

// scrapedAt is when, in Unix milliseconds: a window is exposed once it is final.
func scrapedAt(row store.Row) int64 {
	return row.Window.Add(windowLength + 15*time.Minute).UnixMilli()
}

func encodeV1(rows []store.Row) ([]byte, error) {
	field := func(to []byte, number protowire.Number, message []byte) []byte {
		return protowire.AppendBytes(protowire.AppendTag(to, number, protowire.BytesType), message)
	}
	var request []byte
	for _, row := range rows {
		var series []byte
		for _, label := range scraped(row) {
			series = field(series, 1, field(field(nil, 1, []byte(label.Name)), 2, []byte(label.Value)))
		}
		sample := protowire.AppendFixed64(protowire.AppendTag(nil, 1, protowire.Fixed64Type), math.Float64bits(row.Value))
		sample = protowire.AppendVarint(protowire.AppendTag(sample, 2, protowire.VarintType), uint64(scrapedAt(row)))
		request = field(request, 1, field(series, 2, sample))
	}
	return request, nil
}

func encodeV2(rows []store.Row) ([]byte, error) {
	request := writev2.Request{Symbols: []string{""}}
	places := map[string]uint32{"": 0}
	place := func(text string) uint32 {
		at, known := places[text]
		if !known {
			at = uint32(len(request.Symbols))
			places[text] = at
			request.Symbols = append(request.Symbols, text)
		}
		return at
	}
	for _, row := range rows {
		series := &writev2.TimeSeries{
			Samples:  []*writev2.Sample{{Value: row.Value, Timestamp: scrapedAt(row)}},
			Metadata: &writev2.Metadata{Type: writev2.Metadata_METRIC_TYPE_GAUGE},
		}
		for _, label := range scraped(row) {
			series.LabelsRefs = append(series.LabelsRefs, place(label.Name), place(label.Value))
		}
		request.Timeseries = append(request.Timeseries, series)
	}
	return proto.Marshal(&request)
}
