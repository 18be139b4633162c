package devnet

import (
	"encoding/json"
	"math"
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

func TestPrometheusConfigHasAJobForEachTarget(t *testing.T) {
	got := string(prometheusConfig(PrometheusOptions{
		Interval: 1500 * time.Millisecond,
		Targets:  []Target{{"one", "127.0.0.1:1"}, {"two", "127.0.0.1:2"}},
	}))
	want := `{"global":{"scrape_interval":"1500ms","scrape_timeout":"1500ms"},"scrape_configs":[` +
		`{"job_name":"one","static_configs":[{"targets":["127.0.0.1:1"]}]},` +
		`{"job_name":"two","static_configs":[{"targets":["127.0.0.1:2"]}]}]}`
	if got != want {
		t.Errorf("got  %s\nwant %s", got, want)
	}
}
