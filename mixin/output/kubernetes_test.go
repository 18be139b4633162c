package output

import (
	"bytes"
	"encoding/json"
	"maps"
	"path"
	"reflect"
	"slices"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

func TestKubernetesObjectsAreWhatTheStackSelects(t *testing.T) {
	for _, c := range append(mixin.Presets(), changed()) {
		t.Run(c.Preset, func(t *testing.T) {
			files, err := Files(c)
			if err != nil {
				t.Fatal(err)
			}
			objects := map[string]object{}
			for name, content := range files {
				if path.Dir(name) != "kubernetes" || name == "kubernetes/kustomization.yaml" {
					continue
				}
				var o object
				decoder := yaml.NewDecoder(bytes.NewReader(content))
				decoder.KnownFields(true)
				if err := decoder.Decode(&o); err != nil {
					t.Fatalf("%s: %v", name, err)
				}
				objects[path.Base(name)] = o
				if size, err := appliedSize(content); err != nil || size >= 262144 {
					t.Errorf("%s: %d bytes in kubectl's annotation, %v", name, size, err)
				}
				if o.Metadata.Namespace != c.Kubernetes.Namespace || o.Metadata.Labels["app.kubernetes.io/version"] != mixin.Version() {
					t.Errorf("%s: %+v", name, o.Metadata)
				}
			}

			rule := objects["prometheus-rule.yaml"]
			if rule.APIVersion != "monitoring.coreos.com/v1" || rule.Kind != "PrometheusRule" {
				t.Errorf("rules are a %s %s", rule.APIVersion, rule.Kind)
			}
			for name, value := range c.Kubernetes.RuleLabels {
				if rule.Metadata.Labels[name] != value {
					t.Errorf("the rules' label %s is %q, want %q", name, rule.Metadata.Labels[name], value)
				}
			}
			var recording, alerting ruleSpec
			if err := yaml.Unmarshal(files[RecordingRules], &recording); err != nil {
				t.Fatal(err)
			}
			if err := yaml.Unmarshal(files[AlertRules], &alerting); err != nil {
				t.Fatal(err)
			}
			if want := slices.Concat(recording.Groups, alerting.Groups); !reflect.DeepEqual(rule.Spec.Groups, want) || len(want) == 0 {
				t.Error("the PrometheusRule does not hold the rules of the rule files")
			}

			for _, slug := range mixin.AllDashboards() {
				o, ok := objects["dashboard-"+string(slug)+".yaml"]
				if !ok {
					t.Errorf("no ConfigMap of dashboard %s", slug)
					continue
				}
				if o.APIVersion != "v1" || o.Kind != "ConfigMap" || o.Metadata.Labels[c.Kubernetes.DashboardLabel] != "1" ||
					o.Metadata.Annotations[c.Kubernetes.FolderAnnotation] != c.Dashboards.Folder || len(o.Data) != 1 {
					t.Errorf("dashboard %s: %s %s %+v with %d files", slug, o.APIVersion, o.Kind, o.Metadata, len(o.Data))
				}
				for file, content := range o.Data {
					var small bytes.Buffer
					if err := json.Compact(&small, files["dashboards/"+string(slug)+".json"]); err != nil || content != small.String() {
						t.Errorf("%s is not the dashboard, made small: %v", file, err)
					}
					if path.Ext(file) != ".json" || !strings.HasPrefix(file, c.Dashboards.UIDPrefix) {
						t.Errorf("the dashboard's file is called %s", file)
					}
				}
			}
			if want := len(mixin.AllDashboards()) + 1; len(objects) != want {
				t.Errorf("objects %q, want %d", slices.Sorted(maps.Keys(objects)), want)
			}

			var all kustomization
			if err := yaml.Unmarshal(files["kubernetes/kustomization.yaml"], &all); err != nil {
				t.Fatal(err)
			}
			if want := slices.Sorted(maps.Keys(objects)); !reflect.DeepEqual(all.Resources, want) {
				t.Errorf("the kustomization lists %q, want %q", all.Resources, want)
			}
		})
	}
}

func TestObjectThatKubectlCannotApplyIsRefused(t *testing.T) {
	large := "data: {a: '" + strings.Repeat(`"`, objectLimit/2) + "'}\n" // Each quote is two bytes in JSON.
	if err := validate(map[string][]byte{"kubernetes/a.yaml": []byte(large)}); err == nil || !strings.Contains(err.Error(), "kubectl apply") {
		t.Errorf("got %v", err)
	}
	if err := validate(map[string][]byte{"kubernetes/a.yaml": []byte(large[:len(large)/2] + "'}\n")}); err != nil {
		t.Error(err)
	}
}

func TestFolderAnnotationIsOptional(t *testing.T) {
	c := mixin.Solo()
	c.Kubernetes.FolderAnnotation = ""
	files, err := product(c)
	if err != nil {
		t.Fatal(err)
	}
	if content := string(files["kubernetes/dashboard-overview.yaml"]); strings.Contains(content, "\n  annotations:") {
		t.Error("there is an annotation without a name")
	}
}
