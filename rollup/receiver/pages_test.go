package receiver_test

import (
	"errors"
	"net/http"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"
	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/receiver"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// expectPage is expect for pages, which need no Retry-After.
func (r response) expectPage(t *testing.T, status int, text string) {
	t.Helper()
	if r.status != status || !strings.Contains(r.body, text) {
		t.Errorf("status %d %q, want %d and %q", r.status, r.body, status, text)
	}
}

func TestExactlyTheFamiliesOfTheTableAreExposed(t *testing.T) {
	f := setUp(t, postgres.Database(t))
	if err := f.store.Maintain(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.send(v2, expected(7, 15)).expect(t, 204)
	page := f.get("/metrics").body
	parser := expfmt.NewTextParser(model.UTF8Validation)
	families, err := parser.TextToMetricFamilies(strings.NewReader(page))
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range catalog.All() {
		got := families[want.Name]
		if got == nil {
			t.Errorf("%s is not exposed", want.Name)
			continue
		}
		delete(families, want.Name)
		if kind := strings.ToLower(got.GetType().String()); kind != string(want.Type) || got.GetHelp() != want.Help {
			t.Errorf("%s: %s %q, want %s %q", want.Name, kind, got.GetHelp(), want.Type, want.Help)
		}
		for _, m := range got.Metric {
			var labels []string
			for _, l := range m.Label {
				labels = append(labels, l.GetName())
			}
			if !slices.Equal(labels, slices.Sorted(slices.Values(want.Labels))) {
				t.Errorf("%s has labels %v, want %v", want.Name, labels, want.Labels)
			}
		}
	}
	for name := range families {
		t.Errorf("%s is not in the table", name)
	}
	problems, err := promlint.New(strings.NewReader(page)).Lint()
	if err != nil || len(problems) > 0 {
		t.Errorf("%v, error %v", problems, err)
	}

	f.expectMetric(window, "newest_window_timestamp_seconds")
	f.expectMetric(8, "pool_max")
	horizon := time.Date(2027, time.March, 1, 0, 0, 0, 0, time.UTC)
	f.expectMetric(float64(horizon.Unix()), "partition_horizon_timestamp_seconds")
	_, need, err := f.store.SchemaVersion(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	f.expectMetric(float64(need), "schema_version")
	for _, reason := range append(store.Reasons(), "histogram", "timestamp") {
		f.expectMetric(0, "samples_rejected_total", "reason", reason)
	}
}

func TestWhatIsUnknownIsAbsent(t *testing.T) {
	f := serve(t, &scripted{stats: store.Stats{Max: 8}})
	for _, name := range []string{"newest_window_timestamp_seconds", "partition_horizon_timestamp_seconds", "schema_version"} {
		if value, ok := f.metric("validator_rollup_" + name); ok {
			t.Errorf("%s is %v before anything is known", name, value)
		}
	}
	f.expectMetric(8, "pool_max")
	f.expectMetric(0, "samples_total")
}

func TestReadyFollowsTheStoreUntilTheEnd(t *testing.T) {
	s := &scripted{}
	f := serve(t, s)
	f.get("/-/ready").expectPage(t, 200, "ready")
	s.check = errors.New("the disk is full")
	f.get("/-/ready").expectPage(t, 503, "the disk is full")
	s.check = nil
	f.receiver.Stop()
	f.get("/-/ready").expectPage(t, 503, "shutting down")
	f.get("/-/healthy").expectPage(t, 200, "ok")
}

func TestPages(t *testing.T) {
	f := serve(t, &scripted{})
	f.get("/").expectPage(t, 200, `href="/metrics"`)
	f.get("/nowhere").expectPage(t, 404, "")
}

func TestSettingsThatMakeNoSense(t *testing.T) {
	empty := filepath.Join(t.TempDir(), "tokens")
	if err := os.WriteFile(empty, []byte("\n# none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	for want, options := range map[string]receiver.Options{
		`regular expression "(" for series`:       {Series: "("},
		`label "network" cannot be dropped`:       {DropLabels: []string{"network"}},
		`label "window" cannot be dropped`:        {DropLabels: []string{"window"}},
		`label "__name__" cannot be dropped`:      {DropLabels: []string{"__name__"}},
		`label "cause" cannot be dropped`:         {DropLabels: []string{"x", "cause"}},
		"read bearer tokens: " + empty + " has":   {TokenFile: empty},
		"read bearer tokens: stat /nowhere/token": {TokenFile: "/nowhere/token"},
	} {
		if _, err := receiver.New(&scripted{}, options); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("error %v, want %s", err, want)
		}
	}
}

func TestMoreSeriesAndMoreLabels(t *testing.T) {
	f := setUp(t, postgres.Database(t), func(o *receiver.Options) {
		o.Series, o.DropLabels = "ethereum_.+_window_.+|my_window_total", []string{"region"}
	})
	f.send(v1, one(3, "__name__", "my_window_total", "window", "1793505623", "region", "eu", "job", "x", "kept", "yes")).expect(t, 204)
	f.send(v1, one(3, "__name__", "my_window_totals", "window", "1793505623")).expect(t, 204)
	f.expectStored(map[string]float64{"my_window_total{kept=yes} 1793505623": 3})
}

func TestBearerToken(t *testing.T) {
	path := filepath.Join(t.TempDir(), "tokens")
	put := func(text string) {
		t.Helper()
		if err := os.WriteFile(path+".new", []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Rename(path+".new", path); err != nil {
			t.Fatal(err)
		}
	}
	put("first\n")
	f := serve(t, &scripted{}, func(o *receiver.Options) { o.TokenFile = path })
	try := func(authorization string, status int) {
		t.Helper()
		body := snappy.Encode(nil, message(v2, one(1, "__name__", "up")))
		r := f.post(body, "Content-Type", v2.contentType(), "Authorization", authorization).expect(t, status)
		if challenge := r.header.Get("WWW-Authenticate"); (challenge == "Bearer") != (status == http.StatusUnauthorized) {
			t.Errorf("WWW-Authenticate is %q with status %d", challenge, status)
		}
		if strings.Contains(r.body, "first") {
			t.Errorf("answer %q holds the token", r.body)
		}
	}
	try("Bearer first", 204)
	try("bearer first", 204)
	for _, wrong := range []string{"", "Bearer", "Bearer ", "Bearer firs", "Bearer first2", "Bearer second", "Basic first", "first"} {
		try(wrong, 401)
	}
	put("# new one first\nfirst\nsecond token\n")
	try("Bearer first", 204)
	try("Bearer second token", 204)
	try("Bearer # new one first", 401)
	put("second token\n")
	try("Bearer first", 401)
	try("Bearer second token", 204)
	// Without a file, or with one that has none, the last tokens stay.
	put("\n")
	try("Bearer second token", 204)
	try("Bearer ", 401)
	if err := os.Remove(path); err != nil {
		t.Fatal(err)
	}
	try("Bearer second token", 204)
	try("Bearer first", 401)
	// Who looks after the program needs none.
	f.get("/metrics").expectPage(t, 200, "validator_rollup_samples_total")
	f.get("/-/healthy").expectPage(t, 200, "ok")
}
