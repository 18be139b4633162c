package exposition_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"io"
	"math"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	dto "github.com/prometheus/client_model/go"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition/expositiontest"
)

const (
	textType        = "text/plain; version=0.0.4; charset=utf-8"
	openMetricsType = "application/openmetrics-text; version=1.0.0; charset=utf-8"
	// prometheus3 is what Prometheus 3 sends, protobuf is what it sends where native
	// histograms are scraped.
	prometheus3 = "application/openmetrics-text;version=1.0.0;escaping=allow-utf-8;q=0.6,application/openmetrics-text;version=0.0.1;q=0.5,text/plain;version=1.0.0;escaping=allow-utf-8;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
	protobuf    = "application/vnd.google.protobuf;proto=io.prometheus.client.MetricFamily;encoding=delimited;q=0.6," + prometheus3
	prometheus2 = "application/openmetrics-text;version=1.0.0;q=0.5,application/openmetrics-text;version=0.0.1;q=0.4,text/plain;version=0.0.4;q=0.3,*/*;q=0.2"
)

func family(name string, series ...exposition.Series) *exposition.Family {
	return exposition.NewFamily(catalog.MustGet(name), series, nil)
}

func smallPage() *exposition.Page {
	return exposition.NewPage([]*exposition.Family{
		family("ethereum_validator_balance_gwei",
			exposition.Series{Labels: exposition.Labels("network", "mainnet", "validator_index", "0"), Value: 32e9},
			exposition.Series{Labels: exposition.Labels("network", "mainnet", "validator_index", "1"), Value: math.NaN()}),
		nil,
		family("ethereum_validator_slashed"),
		family("ethereum_chain_reorgs_observed_total", exposition.Series{Labels: `network="mainnet"`, Value: 2}),
	}, nil)
}

func upMetric() *prometheus.Registry {
	registry := prometheus.NewRegistry()
	up := prometheus.NewGauge(prometheus.GaugeOpts{Name: "test_up", Help: "Up."})
	up.Set(1)
	registry.MustRegister(up)
	return registry
}

// serve answers one request over HTTP without the client's own decompression.
func serve(t testing.TB, page *exposition.Page, fresh prometheus.Gatherer, method string, header http.Header) (*http.Response, []byte, error) {
	t.Helper()
	served := make(chan error, 1)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		served <- exposition.Serve(w, r, page, fresh)
	}))
	defer server.Close()
	request, err := http.NewRequest(method, server.URL, nil)
	if err != nil {
		t.Fatal(err)
	}
	request.Header = header.Clone()
	if header.Get("Accept-Encoding") == "" {
		request.Header.Set("Accept-Encoding", "identity")
	}
	response, err := server.Client().Do(request)
	if err != nil {
		t.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response, body, <-served
}

func get(t testing.TB, page *exposition.Page, fresh prometheus.Gatherer, accept string) string {
	t.Helper()
	_, body, err := serve(t, page, fresh, http.MethodGet, http.Header{"Accept": {accept}})
	if err != nil {
		t.Fatal(err)
	}
	return string(body)
}

func TestTextFormat(t *testing.T) {
	want := `# HELP ethereum_chain_reorgs_observed_total Reorgs that this process saw, since it started: a head that does not descend from the one before.
# TYPE ethereum_chain_reorgs_observed_total counter
ethereum_chain_reorgs_observed_total{network="mainnet"} 2
# HELP ethereum_validator_balance_gwei Balance of the validator in gwei at the first slot of the head's epoch.
# TYPE ethereum_validator_balance_gwei gauge
ethereum_validator_balance_gwei{network="mainnet",validator_index="0"} 32000000000
ethereum_validator_balance_gwei{network="mainnet",validator_index="1"} NaN
# HELP test_up Up.
# TYPE test_up gauge
test_up 1
`
	if got := get(t, smallPage(), upMetric(), textType); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestOpenMetricsFormat(t *testing.T) {
	want := `# HELP ethereum_chain_reorgs_observed Reorgs that this process saw, since it started: a head that does not descend from the one before.
# TYPE ethereum_chain_reorgs_observed counter
ethereum_chain_reorgs_observed_total{network="mainnet"} 2
# HELP ethereum_validator_balance_gwei Balance of the validator in gwei at the first slot of the head's epoch.
# TYPE ethereum_validator_balance_gwei gauge
ethereum_validator_balance_gwei{network="mainnet",validator_index="0"} 32000000000
ethereum_validator_balance_gwei{network="mainnet",validator_index="1"} NaN
# HELP test_up Up.
# TYPE test_up gauge
test_up 1.0
# EOF
`
	if got := get(t, smallPage(), upMetric(), prometheus3); got != want {
		t.Errorf("got\n%s\nwant\n%s", got, want)
	}
}

func TestContentType(t *testing.T) {
	for _, test := range []struct{ name, accept, want string }{
		{"Prometheus 3", prometheus3, openMetricsType},
		{"Prometheus 3 with protobuf first", protobuf, openMetricsType},
		{"Prometheus 2", prometheus2, openMetricsType},
		{"text only", "text/plain;version=0.0.4;q=0.3", textType},
		{"text of a version unknown here", "text/plain;version=1.0.0", textType},
		{"old OpenMetrics only", "application/openmetrics-text;version=0.0.1", textType},
		{"curl", "*/*", textType},
		{"browser", "text/html,application/xhtml+xml,application/xml;q=0.9,*/*;q=0.8", textType},
		{"nothing", "", textType},
		{"garbage", ";;q=x,/", textType},
	} {
		response, body, err := serve(t, smallPage(), upMetric(), http.MethodGet, http.Header{"Accept": {test.accept}})
		if err != nil {
			t.Errorf("%s: %v", test.name, err)
		}
		got := response.Header.Get("Content-Type")
		if plain, _, _ := strings.Cut(got, "; escaping="); plain != test.want {
			t.Errorf("%s: Content-Type %q, want %q", test.name, got, test.want)
		}
		if ends := strings.HasSuffix(string(body), "\n# EOF\n"); ends != (test.want == openMetricsType) {
			t.Errorf("%s: body ends with # EOF: %v", test.name, ends)
		}
	}
}

func TestContentEncoding(t *testing.T) {
	plain := get(t, smallPage(), upMetric(), textType)
	for _, test := range []struct {
		accept string
		gzip   bool
	}{
		{"gzip", true},
		{"GZIP", true},
		{"deflate, gzip;q=0.5, br", true},
		{"gzip ; q = 1", true},
		{"*", true},
		{"identity", false},
		{"gzip;q=0", false},
		{"gzip;q=0.0, *", false},
		{"*;q=0", false},
		{"br, zstd", false},
		{"gzip;q=x", false},
		{"not-gzip", false},
	} {
		response, body, err := serve(t, smallPage(), upMetric(), http.MethodGet,
			http.Header{"Accept": {textType}, "Accept-Encoding": {test.accept}})
		if err != nil {
			t.Fatal(err)
		}
		if got := response.Header.Get("Content-Encoding") == "gzip"; got != test.gzip {
			t.Errorf("%q: gzip %v, want %v", test.accept, got, test.gzip)
			continue
		}
		if length := response.Header.Get("Content-Length"); length != strconv.Itoa(len(body)) {
			t.Errorf("%q: Content-Length %s of %d bytes", test.accept, length, len(body))
		}
		if test.gzip {
			body = gunzip(t, body)
		}
		if string(body) != plain {
			t.Errorf("%q: got\n%s\nwant\n%s", test.accept, body, plain)
		}
	}
}

// gunzip decodes one member, as browsers do, and refuses anything behind it.
func gunzip(t testing.TB, body []byte) []byte {
	t.Helper()
	rest := bytes.NewReader(body)
	r, err := gzip.NewReader(rest)
	if err != nil {
		t.Fatal(err)
	}
	r.Multistream(false)
	text, err := io.ReadAll(r)
	if err != nil {
		t.Fatal(err)
	}
	if rest.Len() > 0 {
		t.Fatalf("%d bytes behind the gzip member", rest.Len())
	}
	return text
}

func TestMethods(t *testing.T) {
	header := http.Header{"Accept": {textType}}
	_, body, _ := serve(t, smallPage(), nil, http.MethodGet, header)
	response, empty, err := serve(t, smallPage(), nil, http.MethodHead, header)
	if length := response.Header.Get("Content-Length"); length != strconv.Itoa(len(body)) {
		t.Errorf("HEAD: Content-Length %s, want %d", length, len(body))
	}
	if contentType := response.Header.Get("Content-Type"); err != nil || response.StatusCode != http.StatusOK ||
		len(empty) != 0 || !strings.HasPrefix(contentType, textType) {
		t.Errorf("HEAD: %s, %s, %d bytes, %v", response.Status, contentType, len(empty), err)
	}
	response, _, err = serve(t, smallPage(), nil, http.MethodPost, header)
	if err != nil || response.StatusCode != http.StatusMethodNotAllowed || response.Header.Get("Allow") != "GET, HEAD" {
		t.Errorf("POST: %s, Allow %q, %v", response.Status, response.Header.Get("Allow"), err)
	}
}

func TestNoPageAndNoFreshMetrics(t *testing.T) {
	if got := get(t, nil, nil, textType); got != "" {
		t.Errorf("text: %q", got)
	}
	if got := get(t, nil, nil, prometheus3); got != "# EOF\n" {
		t.Errorf("OpenMetrics: %q", got)
	}
}

type failing struct{ prometheus.Gatherer }

func (f failing) Gather() ([]*dto.MetricFamily, error) {
	families, _ := f.Gatherer.Gather()
	return families, errors.New("one collector failed")
}

func TestPartialGatherIsServed(t *testing.T) {
	_, body, err := serve(t, smallPage(), failing{upMetric()}, http.MethodGet, http.Header{"Accept": {textType}})
	if err == nil || !strings.Contains(err.Error(), "one collector failed") {
		t.Errorf("error %v", err)
	}
	for _, want := range []string{"test_up 1\n", "ethereum_chain_reorgs_observed_total"} {
		if !strings.Contains(string(body), want) {
			t.Errorf("%q is missing in\n%s", want, body)
		}
	}
}

func TestFamilyOnPageIsNotServedTwice(t *testing.T) {
	registry := upMetric()
	registry.MustRegister(prometheus.NewGauge(prometheus.GaugeOpts{Name: "ethereum_validator_balance_gwei", Help: "Twice."}))
	_, body, err := serve(t, smallPage(), registry, http.MethodGet, http.Header{"Accept": {textType}})
	if err == nil || !strings.Contains(err.Error(), "ethereum_validator_balance_gwei") {
		t.Errorf("error %v", err)
	}
	if n := strings.Count(string(body), "# TYPE ethereum_validator_balance_gwei"); n != 1 {
		t.Errorf("family is there %d times", n)
	}
	if !strings.Contains(string(body), "test_up 1\n") {
		t.Error("other fresh metrics are missing")
	}
}

func TestUnchangedPageIsKept(t *testing.T) {
	fleet := expositiontest.NewFleet(3, 1)
	first := fleet.Page(nil)
	if again := exposition.NewPage(slices.Clone(first.Families()), first); again != first {
		t.Error("the same families made a new page")
	}
	fleet.NextSlot()
	if second := fleet.Page(first); second == first {
		t.Error("a new head kept the old page")
	}
}

// TestRoundTrip reads a page of every counter and gauge of the catalogue back.
func TestRoundTrip(t *testing.T) {
	values := []float64{0, 1, -2.5, 32e9, 1.7e308, math.Inf(1), math.Inf(-1), math.NaN()}
	odd := []string{"plain", `quote"back\slash`, "new\nline", "東京", "", `}{,=" # 1`}
	var families []*exposition.Family
	want := map[string][]exposition.Series{}
	for i, f := range catalog.All() {
		if f.Type == catalog.Histogram {
			continue
		}
		var series []exposition.Series
		for j := range odd {
			pairs := []string{"n", strconv.Itoa(j)}
			for k, label := range f.Labels {
				pairs = append(pairs, label, odd[(j+k)%len(odd)])
			}
			series = append(series, exposition.Series{Labels: exposition.Labels(pairs...), Value: values[(i+j)%len(values)]})
		}
		families = append(families, exposition.NewFamily(f, series, nil))
		want[f.Name] = series
	}
	page := exposition.NewPage(families, nil)

	parser := expfmt.NewTextParser(model.LegacyValidation)
	parsed, err := parser.TextToMetricFamilies(strings.NewReader(get(t, page, nil, textType)))
	if err != nil {
		t.Fatal(err)
	}
	if len(parsed) != len(want) {
		t.Errorf("%d families back, want %d", len(parsed), len(want))
	}
	for name, f := range parsed {
		entry := catalog.MustGet(name)
		if f.GetHelp() != entry.Help || !strings.EqualFold(f.GetType().String(), string(entry.Type)) {
			t.Errorf("%s: %s %q", name, f.GetType(), f.GetHelp())
		}
		for i, m := range f.GetMetric() {
			var pairs []string
			for _, l := range m.GetLabel() {
				pairs = append(pairs, l.GetName(), l.GetValue())
			}
			got := exposition.Series{Labels: exposition.Labels(pairs...), Value: m.GetCounter().GetValue() + m.GetGauge().GetValue()}
			if w := want[name][i]; got.Labels != w.Labels || got.Value != w.Value && !math.IsNaN(w.Value) {
				t.Errorf("%s[%d] = %v, want %v", name, i, got, w)
			}
		}
	}

	checkOpenMetrics(t, get(t, page, nil, prometheus3), len(want), len(want)*len(odd))
}

var (
	omMetadata = regexp.MustCompile(`^# (HELP|TYPE) ([a-z_]+) (.+)$`)
	omSample   = regexp.MustCompile(`^([a-z_]+)(?:\{[a-z_]+="(?:[^"\\]|\\["\\n])*"(?:,[a-z_]+="(?:[^"\\]|\\["\\n])*")*\})? (-?[0-9.]+(?:e[+-][0-9]+)?|[+-]Inf|NaN)$`)
)

// checkOpenMetrics checks what OpenMetrics asks of a text beyond the Prometheus
// format: each sample belongs to the family declared last, a counter's sample is
// the family's name with _total, and # EOF is last and only there.
func checkOpenMetrics(t *testing.T, text string, families, samples int) {
	t.Helper()
	text, ended := strings.CutSuffix(text, "\n# EOF\n")
	if !ended {
		t.Error("no # EOF at the end")
	}
	seen := map[string]bool{}
	var current, kind string
	for line := range strings.SplitSeq(text, "\n") {
		if m := omMetadata.FindStringSubmatch(line); m != nil {
			if m[1] == "HELP" {
				if seen[m[2]] {
					t.Errorf("family %s twice", m[2])
				}
				seen[m[2]] = true
			} else if m[2] != current {
				t.Errorf("TYPE of %s after HELP of %s", m[2], current)
			}
			current, kind = m[2], m[3]
			continue
		}
		m := omSample.FindStringSubmatch(line)
		if m == nil {
			t.Errorf("no sample: %q", line)
			continue
		}
		samples--
		name := current
		if kind == "counter" {
			name += "_total"
		}
		if m[1] != name {
			t.Errorf("sample %s in %s family %s", m[1], kind, current)
		}
	}
	if samples != 0 || len(seen) != families {
		t.Errorf("%d families, want %d; %d samples missing", len(seen), families, samples)
	}
}

// TestChangedPageEqualsNewOne lets a chain go on, and compares what is served
// from kept bytes with what is encoded from nothing.
func TestChangedPageEqualsNewOne(t *testing.T) {
	fleet, same := expositiontest.NewFleet(100, 7), expositiontest.NewFleet(100, 7)
	page := fleet.Page(nil)
	for range 8 {
		fleet.NextSlot()
		same.NextSlot()
		page = fleet.Page(page)
		fresh := same.Page(nil)
		for _, accept := range []string{textType, prometheus3} {
			want := get(t, fresh, nil, accept)
			for reading := range 2 {
				if got := get(t, page, nil, accept); got != want {
					t.Fatalf("plain bytes differ from those of a new page when read the %d. time", reading+1)
				}
			}
			_, body, err := serve(t, page, nil, http.MethodGet, http.Header{"Accept": {accept}, "Accept-Encoding": {"gzip"}})
			if err != nil || string(gunzip(t, body)) != want {
				t.Fatalf("compressed bytes differ from those of a new page: %v", err)
			}
		}
	}
}

func TestConcurrentScrapesOfAMovingPage(t *testing.T) {
	fleet := expositiontest.NewFleet(100, 3)
	var current atomic.Pointer[exposition.Page]
	current.Store(fleet.Page(nil))
	self := upMetric()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if err := exposition.Serve(w, r, current.Load(), self); err != nil {
			t.Error(err)
		}
	}))
	defer server.Close()

	var wg sync.WaitGroup
	for worker := range 8 {
		wg.Go(func() {
			for range 10 {
				request, err := http.NewRequest(http.MethodGet, server.URL, nil)
				if err != nil {
					t.Error(err)
					return
				}
				request.Header.Set("Accept", []string{textType, prometheus3}[worker%2])
				if worker%4 < 2 {
					request.Header.Set("Accept-Encoding", "identity")
				} // else the client asks for gzip and decodes it
				response, err := server.Client().Do(request)
				if err != nil {
					t.Error(err)
					return
				}
				body, err := io.ReadAll(response.Body)
				response.Body.Close()
				if n := bytes.Count(body, []byte("ethereum_validator_next_attestation_timestamp_seconds{")); err != nil || n != 100 {
					t.Errorf("%d series, want 100: %v", n, err)
				}
			}
		})
	}
	for range 20 {
		fleet.NextSlot()
		current.Store(fleet.Page(current.Load()))
	}
	wg.Wait()
}

// TestCompressedSize bounds what keeping families apart costs, against one
// stream over the whole text with the level that is usual.
func TestCompressedSize(t *testing.T) {
	page := expositiontest.NewFleet(300, 1).Page(nil)
	plain := get(t, page, nil, textType)
	_, body, err := serve(t, page, nil, http.MethodGet, http.Header{"Accept": {textType}, "Accept-Encoding": {"gzip"}})
	if err != nil {
		t.Fatal(err)
	}
	var whole bytes.Buffer
	w := gzip.NewWriter(&whole)
	if _, err := io.WriteString(w, plain); err != nil {
		t.Fatal(err)
	}
	if err := w.Close(); err != nil {
		t.Fatal(err)
	}
	ratio := float64(len(body)) / float64(whole.Len())
	t.Logf("%d bytes, %d compressed, %d in one stream: ratio %.2f", len(plain), len(body), whole.Len(), ratio)
	if ratio > 1.6 {
		t.Errorf("compressed size is %.2f times that of one stream, want at most 1.6", ratio)
	}
}
