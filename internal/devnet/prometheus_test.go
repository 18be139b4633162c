package devnet

import (
	"encoding/json"
	"math"
	"net/http"
	"net/http/httptest"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"
)

func TestSampleKeepsMillisecondsAndSpecialValues(t *testing.T) {
	for text, want := range map[string]Sample{
		`[1795383849.25,"12"]`:   {time.UnixMilli(1795383849250), 12},
		`[1795383849.001,"0.5"]`: {time.UnixMilli(1795383849001), 0.5},
		`[0,"+Inf"]`:             {time.UnixMilli(0), math.Inf(1)},
	} {
		var got Sample
		if err := json.Unmarshal([]byte(text), &got); err != nil {
			t.Errorf("%s: %v", text, err)
		} else if !got.Time.Equal(want.Time) || got.Value != want.Value {
			t.Errorf("%s: got %v, want %v", text, got, want)
		}
	}
}

func TestPrometheusConfigHasAJobForEachName(t *testing.T) {
	got := config(t, PrometheusOptions{
		Interval: 1500 * time.Millisecond,
		Targets: []Target{
			{Job: "one", Address: "127.0.0.1:1"},
			{Job: "two", Address: "127.0.0.1:2"},
			{Job: "one", Address: "127.0.0.1:3", Labels: map[string]string{"cluster": "c"}},
		},
	})
	want := `{"global":{"scrape_interval":"1500ms","scrape_timeout":"1500ms","evaluation_interval":"1500ms"},"scrape_configs":[` +
		`{"job_name":"one","static_configs":[{"targets":["127.0.0.1:1"]},{"targets":["127.0.0.1:3"],"labels":{"cluster":"c"}}]},` +
		`{"job_name":"two","static_configs":[{"targets":["127.0.0.1:2"]}]}]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPrometheusConfigNamesRuleFilesFromItsOwnDirectory(t *testing.T) {
	t.Chdir("/")
	got := config(t, PrometheusOptions{
		Interval: 2 * time.Second, EvaluationInterval: 5 * time.Second,
		RuleFiles: []string{"/rules/a.yaml", "b.yaml"},
	})
	want := `{"global":{"scrape_interval":"2000ms","scrape_timeout":"2000ms","evaluation_interval":"5000ms"},` +
		`"rule_files":["/rules/a.yaml","/b.yaml"],"scrape_configs":null}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func TestPrometheusConfigTakesSectionsOfRemoteWriteAsTheyAre(t *testing.T) {
	got := config(t, PrometheusOptions{
		Interval:       time.Second,
		ExternalLabels: map[string]string{"replica": "a"},
		RemoteWrite: []map[string]any{{
			"url": "http://127.0.0.1:1/api/v1/write", "protobuf_message": "io.prometheus.write.v2.Request",
			"write_relabel_configs": []any{map[string]any{"action": "keep", "source_labels": []any{"__name__"}, "regex": "x"}},
		}},
	})
	want := `{"global":{"scrape_interval":"1000ms","scrape_timeout":"1000ms","evaluation_interval":"1000ms","external_labels":{"replica":"a"}},` +
		`"scrape_configs":null,"remote_write":[{"protobuf_message":"io.prometheus.write.v2.Request","url":"http://127.0.0.1:1/api/v1/write",` +
		`"write_relabel_configs":[{"action":"keep","regex":"x","source_labels":["__name__"]}]}]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}

func config(t *testing.T, options PrometheusOptions) string {
	t.Helper()
	text, err := prometheusConfig(options)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// canned is a Prometheus that answers each path with a text.
func canned(t *testing.T, answers map[string]string) *Prometheus {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		text, ok := answers[r.URL.Path]
		if !ok || strings.Contains(text, `"error"`) {
			w.WriteHeader(http.StatusBadRequest)
		}
		w.Write([]byte(text))
	}))
	t.Cleanup(server.Close)
	return &Prometheus{url: server.URL}
}

func TestRulesHaveHealthAndAlertsTheirText(t *testing.T) {
	p := canned(t, map[string]string{"/api/v1/rules": `{"status":"success","data":{"groups":[{"name":"g","file":"f","rules":[
		{"name":"a:b:c","type":"recording","health":"err","lastError":"many-to-many"},
		{"name":"Down","type":"alerting","state":"firing","health":"ok","alerts":[
			{"labels":{"alertname":"Down","group":"x"},"annotations":{"description":"x is down"},"state":"firing","activeAt":"2026-01-02T03:04:05.6Z","value":"1e+00"}
		]}]}]}}`})
	got, err := p.Rules(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	want := []RuleGroup{{Name: "g", Rules: []Rule{
		{Name: "a:b:c", Type: "recording", Health: "err", LastError: "many-to-many"},
		{Name: "Down", Type: "alerting", Health: "ok", Alerts: []Alert{{
			Labels:      map[string]string{"alertname": "Down", "group": "x"},
			Annotations: map[string]string{"description": "x is down"},
			State:       "firing", ActiveAt: time.Date(2026, 1, 2, 3, 4, 5, 6e8, time.UTC),
		}}},
	}}}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got  %+v\nwant %+v", got, want)
	}
}

func TestQueryRangeTellsWarningsAndInfos(t *testing.T) {
	p := canned(t, map[string]string{"/api/v1/query_range": `{"status":"success","warnings":["w"],"infos":["i"],"data":{"resultType":"matrix","result":[
		{"metric":{"a":"b"},"values":[[1,"2"],[3,"NaN"]]}]}}`})
	series, notes, err := p.QueryRange(t.Context(), "up", time.Unix(1, 0), time.Unix(3, 0), 2*time.Second)
	if err != nil {
		t.Fatal(err)
	}
	if len(series) != 1 || series[0].Labels["a"] != "b" || len(series[0].Samples) != 2 || !math.IsNaN(series[0].Samples[1].Value) {
		t.Errorf("got %v", series)
	}
	if want := []string{"w", "i"}; !slices.Equal(notes, want) {
		t.Errorf("notes are %q, want %q", notes, want)
	}
}

func TestErrorsOfPrometheusAreToldWithTheQuery(t *testing.T) {
	const refused = `{"status":"error","errorType":"bad_data","error":"unknown function"}`
	p := canned(t, map[string]string{"/api/v1/query": refused, "/api/v1/rules": refused, "/api/v1/query_range": "gateway"})
	_, err := p.Query(t.Context(), "nonsense(1)", time.Time{})
	if err == nil || !strings.Contains(err.Error(), "query nonsense(1): 400 Bad Request: unknown function") {
		t.Errorf("query: %v", err)
	}
	if _, err := p.Rules(t.Context()); err == nil || !strings.Contains(err.Error(), "read rules: 400 Bad Request: unknown function") {
		t.Errorf("rules: %v", err)
	}
	if _, _, err := p.QueryRange(t.Context(), "up", time.Unix(1, 0), time.Unix(2, 0), time.Second); err == nil || !strings.Contains(err.Error(), "query up: ") {
		t.Errorf("query range: %v", err)
	}
}
