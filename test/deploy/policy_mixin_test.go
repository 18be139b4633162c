package deploy_test

import (
	"fmt"
	"maps"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
)

// generated is what the mixin generates for a preset, by the names that it has in ConfigMaps.
type generated struct {
	files map[string]string
	rules object // the PrometheusRule
}

func generatedMixin(t *testing.T, preset string) generated {
	t.Helper()
	g := generated{files: map[string]string{}}
	dir := filepath.Join("../../mixin/generated", preset)
	for _, pattern := range []string{"*.yaml", "dashboards/*.json", "kubernetes/prometheus-rule.yaml"} {
		paths, err := filepath.Glob(filepath.Join(dir, pattern))
		if err != nil || len(paths) == 0 {
			t.Fatalf("%s has no %s: %v", dir, pattern, err)
		}
		for _, path := range paths {
			text, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			switch name := filepath.Base(path); {
			case name == "prometheus-rule.yaml":
				g.rules = mustDecode(t, string(text))[0]
			case strings.HasSuffix(name, ".json"):
				g.files["validator-monitor-"+name] = string(text)
			default:
				g.files[name] = string(text)
			}
		}
	}
	if g.rules.Kind != "PrometheusRule" {
		t.Fatalf("%s has no PrometheusRule", dir)
	}
	return g
}

// differs finds what a rendering has under the name of something that is generated, and
// is not the same; and what is only there in part.
func (g generated) differs(objects []object) (found []string) {
	dashboards, all := 0, 0
	for name := range g.files {
		if strings.HasSuffix(name, ".json") {
			all++
		}
	}
	for _, o := range objects {
		switch o.Kind {
		case "PrometheusRule":
			if !reflect.DeepEqual(o.doc["spec"], g.rules.doc["spec"]) {
				found = append(found, fmt.Sprintf("%s: its spec is not that of the mixin", o))
			}
		case "ConfigMap":
			for _, name := range slices.Sorted(maps.Keys(o.Data)) {
				if strings.HasSuffix(name, ".json") {
					dashboards++
				}
				want, ok := g.files[name]
				switch {
				case !ok && strings.HasSuffix(name, ".json"):
					found = append(found, fmt.Sprintf("%s: the mixin has no %s", o, name))
				case ok && o.Data[name] != want:
					found = append(found, fmt.Sprintf("%s: %s is not that of the mixin", o, name))
				}
			}
			for _, pair := range [][2]string{{"alerts.yaml", "recording-rules.yaml"}, {"recording-rules.yaml", "alerts.yaml"}} {
				if o.Data[pair[0]] != "" && o.Data[pair[1]] == "" {
					found = append(found, fmt.Sprintf("%s has %s and no %s", o, pair[0], pair[1]))
				}
			}
		}
	}
	if dashboards != 0 && dashboards != all {
		found = append(found, fmt.Sprintf("%d dashboards of %d", dashboards, all))
	}
	return found
}

// uses counts what of the mixin a rendering has: dashboards, rules as an object, and rules as files.
func (g generated) uses(objects []object) (dashboards, rules, files int) {
	for _, o := range objects {
		if o.Kind == "PrometheusRule" {
			rules++
		}
		for name := range o.Data {
			switch {
			case o.Kind == "ConfigMap" && strings.HasSuffix(name, ".json"):
				dashboards++
			case o.Kind == "ConfigMap" && (name == "alerts.yaml" || name == "recording-rules.yaml"):
				files++
			}
		}
	}
	return dashboards, rules, files
}

func TestRulesAndDashboardsThatDifferFromTheMixinAreFound(t *testing.T) {
	g := generatedMixin(t, "operator")
	text, err := os.ReadFile("../../mixin/generated/operator/kubernetes/prometheus-rule.yaml")
	if err != nil {
		t.Fatal(err)
	}
	if found := g.differs(mustDecode(t, string(text))); len(found) > 0 {
		t.Errorf("the mixin's own rules: %v", found)
	}
	for _, c := range []struct{ old, new string }{
		{"interval: 3m", "interval: 2m"},
		{"severity: critical", "severity: warning"},
	} {
		changed := strings.Replace(string(text), c.old, c.new, 1)
		if found := g.differs(mustDecode(t, changed)); len(found) != 1 || !strings.Contains(found[0], "its spec is not that of the mixin") {
			t.Errorf("%s: %v", c.new, found)
		}
	}
	whole := object{Kind: "ConfigMap", Data: g.files}
	if found := g.differs([]object{whole}); len(found) > 0 {
		t.Errorf("the mixin's own files: %v", found)
	}
	for want, change := range map[string]func(data map[string]string){
		"overview.json is not that of the mixin": func(data map[string]string) { data["validator-monitor-overview.json"] += "\n" },
		"alerts.yaml is not that of the mixin":   func(data map[string]string) { data["alerts.yaml"] = data["alerts.yaml"][1:] },
		"the mixin has no mine.json":             func(data map[string]string) { data["mine.json"] = "{}"; delete(data, "validator-monitor-rollup.json") },
		"6 dashboards of 7":                      func(data map[string]string) { delete(data, "validator-monitor-rollup.json") },
		"has alerts.yaml and no recording-rules": func(data map[string]string) { delete(data, "recording-rules.yaml") },
	} {
		one := object{Kind: "ConfigMap", Data: maps.Clone(whole.Data)}
		change(one.Data)
		if found := g.differs([]object{one}); len(found) != 1 || !strings.Contains(found[0], want) {
			t.Errorf("want %q, found %q", want, found)
		}
	}
}

func TestManifestsHaveTheMixinsRulesAndDashboards(t *testing.T) {
	g, objects := generatedMixin(t, "operator"), manifests(t)
	if found := g.differs(objects); len(found) > 0 {
		t.Error(strings.Join(found, "\n\t"))
	}
	if dashboards, rules, files := g.uses(objects); dashboards != 7 || rules != 0 || files != 2 {
		t.Errorf("%d dashboards, %d PrometheusRules and %d files of rules; want 7, 0 and 2", dashboards, rules, files)
	}
}
