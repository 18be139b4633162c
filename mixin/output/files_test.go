package output

import (
	"path/filepath"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
)

var (
	generatedDir = filepath.Join("..", "generated")
	runbooksDir  = filepath.Join("..", "..", "docs", "runbooks")
)

func TestCommittedFilesAreWhatIsGenerated(t *testing.T) {
	generated, err := Generated(mixin.Presets())
	if err != nil {
		t.Fatal(err)
	}
	runbooks, err := alerts.Pages(mixin.Presets())
	if err != nil {
		t.Fatal(err)
	}
	for dir, files := range map[string]map[string][]byte{generatedDir: generated, runbooksDir: runbooks} {
		differences, err := Compare(dir, files)
		if err != nil {
			t.Fatal(err)
		}
		for _, d := range differences {
			t.Errorf("%s %s; run make generate", d.Kind, filepath.Join(dir, d.Path))
		}
	}
}

func TestRenderingIsTheSameEachTime(t *testing.T) {
	first, err := Files(mixin.Operator())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	if err := Write(dir, first); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		again, err := Files(mixin.Operator())
		if err != nil {
			t.Fatal(err)
		}
		if differences, err := Compare(dir, again); err != nil || len(differences) > 0 {
			t.Fatalf("%v, %v", differences, err)
		}
	}
}

func TestWrongKnobsRenderNothing(t *testing.T) {
	for name, change := range map[string]func(*mixin.Config){
		"invalid":       func(c *mixin.Config) { c.Alerts.Validators.For = 0 },
		"unknown alert": func(c *mixin.Config) { c.Alerts.Severities = map[string]mixin.Severity{"ValidatorDwon": mixin.Info} },
	} {
		c := mixin.Solo()
		change(&c)
		if files, err := Files(c); err == nil || files != nil {
			t.Errorf("%s: %d files, %v", name, len(files), err)
		}
	}
}

func TestFilesAreReadAsTheirReadersReadThem(t *testing.T) {
	files, err := Files(mixin.Solo())
	if err != nil {
		t.Fatal(err)
	}
	for name, broken := range map[string]string{
		RecordingRules:                    "groups: [{name: a, rules: [{record: 'a:b', expr: 'sum('}]}]\n",
		AlertRules:                        "groups: [{name: a, rules: [{alert: A, expr: up, annotations: {a: '{{ $labels.'}}]}]\n",
		"alertmanager.yaml":               "a: [\n",
		"dashboards/overview.json":        "{\n",
		"kubernetes/prometheus-rule.yaml": "spec: {groups: [{name: a, rules: []}, {name: a, rules: []}]}\n",
		"kubernetes/kustomization.yaml":   "resources: [a]",
	} {
		if files[name] == nil {
			t.Errorf("there is no %s", name)
		}
		if err := validate(map[string][]byte{name: files[name]}); err != nil {
			t.Error(err)
		}
		if err := validate(map[string][]byte{name: []byte(broken)}); err == nil {
			t.Errorf("%s may be %q", name, broken)
		}
	}
}
