package mixin

import (
	"reflect"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"
)

func TestKnobsReadBackAsTheSameConfig(t *testing.T) {
	for _, c := range Presets() {
		document, err := c.Knobs()
		if err != nil {
			t.Fatal(err)
		}
		for _, start := range []Config{{}, Solo(), Operator()} {
			got, err := start.Overlay(document)
			if err != nil {
				t.Fatal(err)
			}
			// An empty map and none are the same.
			if len(got.Alerts.Labels) == 0 {
				got.Alerts.Labels = nil
			}
			if len(got.Alerts.Severities) == 0 {
				got.Alerts.Severities = nil
			}
			if !reflect.DeepEqual(got, c) {
				t.Errorf("preset %s reads back as\n%+v\nnot\n%+v", c.Preset, got, c)
			}
		}
	}
}

// A knob that nobody explains is a knob that nobody turns.
func TestEveryKnobIsExplained(t *testing.T) {
	document, err := Solo().Knobs()
	if err != nil {
		t.Fatal(err)
	}
	var root yaml.Node
	if err := yaml.Unmarshal(document, &root); err != nil {
		t.Fatal(err)
	}
	comment := ""
	var walk func(path string, node *yaml.Node)
	walk = func(path string, node *yaml.Node) {
		for i := 0; node.Kind == yaml.MappingNode && i < len(node.Content); i += 2 {
			key, value := node.Content[i], node.Content[i+1]
			name := path + key.Value
			// A comment may speak of the knobs that follow it, too.
			if key.HeadComment != "" {
				comment = key.HeadComment
			}
			if name != "alerts.labels" && name != "alerts.severities" && name != "kubernetes.rule_labels" {
				walk(name+".", value)
			}
			if key.HeadComment == "" && !strings.Contains(comment, key.Value) && !selfExplaining[name] {
				t.Errorf("%s: no comment", name)
			}
		}
	}
	walk("", root.Content[0])
}

// selfExplaining knobs are named by what they are.
var selfExplaining = map[string]bool{
	"dashboards.folder": true, "dashboards.tags": true, "dashboards.timezone": true, "kubernetes.namespace": true, "alerts.cache.range": true,
}

func TestOverlayChangesWhatItNamesAndNothingElse(t *testing.T) {
	want := Operator()
	want.Select.ClusterLabel = "region"
	want.Select.ReplicaLabels = []string{"replica"}
	want.Alerts.Beacon.For = 90 * time.Second
	want.Alerts.Severities = map[string]Severity{"BeaconPeersLow": Info}
	want.Kubernetes.RuleLabels = map[string]string{"prometheus": "k8s"}
	want.Objective.Slow = []Burn{{Long: 48 * time.Hour, Short: 3 * time.Hour, Factor: 2}}
	got, err := Operator().Overlay([]byte(`
select:
  cluster_label: region
  replica_labels: [replica]
alerts:
  beacon: {for: 1m30s}
  severities: {BeaconPeersLow: info}
objective:
  slow: [{long: 48h, short: 3h, factor: 2}]
kubernetes:
  rule_labels: {prometheus: k8s}
`))
	if err != nil {
		t.Fatal(err)
	}
	if !reflect.DeepEqual(got, want) {
		t.Errorf("got\n%+v\nwant\n%+v", got, want)
	}
	if got, err := Solo().Overlay(nil); err != nil || !reflect.DeepEqual(got, Solo()) {
		t.Errorf("an empty document changed something: %v", err)
	}
	if got, err := Operator().Overlay([]byte("alerts: {severities: {}}")); err != nil || len(got.Alerts.Severities) != 0 {
		t.Errorf("severities left after {}: %v, %v", got.Alerts.Severities, err)
	}
}

func TestOverlayNamesTheLineOfWhatItDoesNotKnow(t *testing.T) {
	for document, want := range map[string]string{
		"select:\n  clusterlabel: x":      "line 2: field clusterlabel not found",
		"chain:\n  slot_duration: soon":   "line 2: cannot unmarshal",
		"alerts:\n\n  beacon: {peers: a}": "line 3: cannot unmarshal",
		"preset: a\n---\npreset: b":       "more than one YAML document",
		"preset: a\npreset: b":            "already defined",
		"a: [":                            "yaml:",
	} {
		if _, err := Solo().Overlay([]byte(document)); err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q: %v, want %q", document, err, want)
		}
	}
}
