package receiver_test

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/snappy"
	writev2 "github.com/prometheus/client_golang/exp/api/remote/genproto/v2"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"
	"google.golang.org/protobuf/proto"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/receiver"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

var (
	postgres  = pgtest.NewShared(pgtest.Fast())
	breakable = pgtest.NewShared() // for the tests that stop it; they leave it running
)

func TestMain(m *testing.M) { os.Exit(max(postgres.Main(m), breakable.Close())) }

// now is when tests take place.
var now = time.Date(2026, time.November, 1, 6, 30, 0, 0, time.UTC)

// window is when a mainnet window began that is over by now.
const window = 1793505623

// fixture is a receiver on a database of its own.
type fixture struct {
	*testing.T
	store    *store.Store
	receiver *receiver.Receiver
	url      string
	db       string // URL of the database
}

func setUp(t *testing.T, db string, change ...func(*receiver.Options)) *fixture {
	t.Helper()
	clock := func() time.Time { return now }
	s, err := store.Open(t.Context(), store.Options{URL: db, Now: clock})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(s.Close)
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	f := serve(t, s, append([]func(*receiver.Options){func(o *receiver.Options) { o.Now = clock }}, change...)...)
	f.store, f.db = s, db
	return f
}

// serve serves a receiver that writes to s.
func serve(t *testing.T, s receiver.Store, change ...func(*receiver.Options)) *fixture {
	t.Helper()
	var options receiver.Options
	for _, c := range change {
		c(&options)
	}
	r, err := receiver.New(s, options)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r)
	t.Cleanup(server.Close)
	return &fixture{T: t, receiver: r, url: server.URL}
}

// version of the remote-write protocol.
type version int

const (
	v1 version = 1
	v2 version = 2
)

func (v version) contentType() string {
	if v == v2 {
		return "application/x-protobuf;proto=io.prometheus.write.v2.Request"
	}
	return "application/x-protobuf"
}

// bothVersions runs a test with each version of the protocol, each on a database of its own.
func bothVersions(t *testing.T, test func(f *fixture, v version), change ...func(*receiver.Options)) {
	for _, v := range []version{v1, v2} {
		t.Run(fmt.Sprintf("remote-write %d", v), func(t *testing.T) { test(setUp(t, postgres.Database(t), change...), v) })
	}
}

// series of a request.
type series struct {
	labels     []string // names and values by turns
	samples    []sample
	histograms int
	exemplars  int
}

type sample struct {
	value float64
	at    time.Time // zero: now
}

func (s sample) millis() int64 {
	if s.at.IsZero() {
		return now.UnixMilli()
	}
	return s.at.UnixMilli()
}

// one is a series with one sample at now.
func one(value float64, labels ...string) series {
	return series{labels: labels, samples: []sample{{value: value}}}
}

// expected is a rollup: the attestations due of a validator in the window.
func expected(validator int, value float64, more ...string) series {
	return one(value, append([]string{
		"__name__", "ethereum_validator_window_attestations_expected",
		"network", "mainnet", "validator_index", fmt.Sprint(validator), "window", fmt.Sprint(window),
	}, more...)...)
}

// row is how stored shows what expected sends.
func row(validator int) string {
	return fmt.Sprintf(`ethereum_validator_window_attestations_expected{network=mainnet,validator_index=%d} %d`, validator, window)
}

// message encodes a request without compressing it.
func message(v version, all ...series) []byte {
	request := requestV1(all...)
	if v == v2 {
		request = requestV2(all...)
	}
	encoded, err := proto.Marshal(request)
	if err != nil {
		panic(err)
	}
	return encoded
}

func requestV1(all ...series) proto.Message {
	var request []any
	for _, s := range all {
		var fields []any
		for i := 0; i < len(s.labels); i += 2 {
			fields = append(fields, "labels", labelV1(s.labels[i], s.labels[i+1]))
		}
		for _, sample := range s.samples {
			fields = append(fields, "samples", messageV1("Sample", "value", sample.value, "timestamp", sample.millis()))
		}
		for range s.histograms {
			fields = append(fields, "histograms", messageV1("Histogram", "sum", 1.0, "timestamp", now.UnixMilli()))
		}
		for range s.exemplars {
			fields = append(fields, "exemplars", messageV1("Exemplar", "labels", labelV1("trace_id", "x"), "value", 1.0, "timestamp", now.UnixMilli()))
		}
		request = append(request, "timeseries", messageV1("TimeSeries", fields...))
	}
	return messageV1("WriteRequest", request...)
}

func requestV2(all ...series) proto.Message {
	var request writev2.Request
	request.Symbols = []string{""}
	place := map[string]uint32{"": 0}
	symbol := func(text string) uint32 {
		if _, known := place[text]; !known {
			place[text] = uint32(len(request.Symbols))
			request.Symbols = append(request.Symbols, text)
		}
		return place[text]
	}
	for _, s := range all {
		ts := &writev2.TimeSeries{Metadata: &writev2.Metadata{HelpRef: symbol("Help.")}, CreatedTimestamp: now.Add(-time.Hour).UnixMilli()}
		for _, text := range s.labels {
			ts.LabelsRefs = append(ts.LabelsRefs, symbol(text))
		}
		for _, sample := range s.samples {
			ts.Samples = append(ts.Samples, &writev2.Sample{Value: sample.value, Timestamp: sample.millis()})
		}
		for range s.histograms {
			ts.Histograms = append(ts.Histograms, &writev2.Histogram{Sum: 1, Timestamp: now.UnixMilli()})
		}
		for range s.exemplars {
			ts.Exemplars = append(ts.Exemplars, &writev2.Exemplar{LabelsRefs: []uint32{symbol("trace_id"), symbol("x")}, Value: 1, Timestamp: now.UnixMilli()})
		}
		request.Timeseries = append(request.Timeseries, ts)
	}
	return &request
}

// response of the receiver.
type response struct {
	status int
	header http.Header
	body   string
}

func (f *fixture) send(v version, all ...series) response {
	f.Helper()
	return f.post(snappy.Encode(nil, message(v, all...)), "Content-Type", v.contentType())
}

// post sends a body as it is. Headers are names and values; an empty value removes one.
func (f *fixture) post(body []byte, headers ...string) response {
	f.Helper()
	request := f.request(f.Context(), v1, body)
	for i := 0; i < len(headers); i += 2 {
		if request.Header.Set(headers[i], headers[i+1]); headers[i+1] == "" {
			request.Header.Del(headers[i])
		}
	}
	answer, err := http.DefaultClient.Do(request)
	if err != nil {
		f.Fatal(err)
	}
	return read(f.T, answer)
}

func (f *fixture) request(ctx context.Context, v version, body []byte) *http.Request {
	f.Helper()
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, f.url+receiver.WritePath, bytes.NewReader(body))
	if err != nil {
		f.Fatal(err)
	}
	request.Header.Set("Content-Encoding", "snappy")
	request.Header.Set("Content-Type", v.contentType())
	return request
}

func (f *fixture) get(path string) response {
	f.Helper()
	answer, err := http.Get(f.url + path)
	if err != nil {
		f.Fatal(err)
	}
	return read(f.T, answer)
}

func read(t *testing.T, answer *http.Response) response {
	t.Helper()
	defer answer.Body.Close()
	body, err := io.ReadAll(answer.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response{answer.StatusCode, answer.Header, string(body)}
}

// expect checks the status, that each of texts is in the body, and that a success has none.
func (r response) expect(t *testing.T, status int, texts ...string) response {
	t.Helper()
	if r.status != status {
		t.Errorf("status %d %q, want %d", r.status, r.body, status)
	}
	if r.status == http.StatusNoContent && r.body != "" {
		t.Errorf("body %q with status 204", r.body)
	}
	for _, text := range texts {
		if !strings.Contains(r.body, text) {
			t.Errorf("answer %q does not say %q", r.body, text)
		}
	}
	if again := r.header.Get("Retry-After") != ""; again != (status == http.StatusServiceUnavailable) {
		t.Errorf("Retry-After %q with status %d", r.header.Get("Retry-After"), r.status)
	}
	return r
}

// written checks the statistics, which only Remote-Write 2.0 has.
func (r response) written(t *testing.T, v version, samples int) response {
	t.Helper()
	want := map[string]string{"Samples": fmt.Sprint(samples), "Histograms": "0", "Exemplars": "0"}
	for kind, number := range want {
		name := "X-Prometheus-Remote-Write-" + kind + "-Written"
		if v == v1 {
			number = ""
		}
		if got := r.header.Get(name); got != number {
			t.Errorf("%s is %q, want %q", name, got, number)
		}
	}
	return r
}

// stored reads everything back from Postgres.
func (f *fixture) stored() map[string]float64 {
	f.Helper()
	conn, err := pgx.Connect(f.Context(), f.db)
	if err != nil {
		f.Fatal(err)
	}
	defer conn.Close(f.Context())
	rows, err := conn.Query(f.Context(), `
		SELECT name, labels, extract(epoch FROM window_start)::bigint, value
		FROM samples JOIN series ON series.id = series_id`)
	if err != nil {
		f.Fatal(err)
	}
	all := map[string]float64{}
	var (
		name   string
		labels json.RawMessage
		start  int64
		value  float64
	)
	if _, err := pgx.ForEachRow(rows, []any{&name, &labels, &start, &value}, func() error {
		var others map[string]string
		if err := json.Unmarshal(labels, &others); err != nil {
			return err
		}
		var texts []string
		for _, label := range slices.Sorted(maps.Keys(others)) {
			texts = append(texts, label+"="+others[label])
		}
		key := fmt.Sprintf("%s{%s} %d", name, strings.Join(texts, ","), start)
		if _, twice := all[key]; twice {
			f.Errorf("%s is stored twice", key)
		}
		all[key] = value
		return nil
	}); err != nil {
		f.Fatal(err)
	}
	return all
}

func (f *fixture) expectStored(want map[string]float64) {
	f.Helper()
	if got := f.stored(); len(got)+len(want) > 0 && !reflect.DeepEqual(got, want) {
		f.Errorf("stored %v, want %v", got, want)
	}
}

// metric reads a sample from /metrics; ok is false when it is absent.
func (f *fixture) metric(name string, labels ...string) (value float64, ok bool) {
	f.Helper()
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(f.get("/metrics").body))
	if err != nil {
		f.Fatal(err)
	}
	for _, m := range families[name].GetMetric() {
		var have []string
		for _, l := range m.GetLabel() {
			have = append(have, l.GetName(), l.GetValue())
		}
		if slices.Equal(have, labels) {
			switch {
			case m.Histogram != nil:
				return float64(m.Histogram.GetSampleCount()), true
			case m.Gauge != nil:
				return m.Gauge.GetValue(), true
			default:
				return m.Counter.GetValue(), true
			}
		}
	}
	return 0, false
}

func (f *fixture) expectMetric(want float64, name string, labels ...string) {
	f.Helper()
	if got, ok := f.metric("validator_rollup_"+name, labels...); !ok || got != want {
		f.Errorf("validator_rollup_%s%v is %v (there: %t), want %v", name, labels, got, ok, want)
	}
}
