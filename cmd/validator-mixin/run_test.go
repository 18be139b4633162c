package main

import (
	"bytes"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

func TestWrongFlagsAndFiles(t *testing.T) {
	unknown := file(t, "unknown.yaml", "select:\n  cluster: x\n")
	invalid := file(t, "invalid.yaml", "alerts:\n  validators: {for: 1s, missed_streak: 1}\n")
	occupied := filepath.Dir(file(t, "recording-rules.yaml", "groups: []\n"))
	renders := func(more ...string) []string { return append([]string{"render", "--preset=solo"}, more...) }
	for name, tc := range map[string]struct {
		args []string
		code int
		want string
	}{
		"unknown command":   {[]string{"make"}, 2, "expected command but got \"make\"; try --help"},
		"unknown flag":      {[]string{"generate", "--force"}, 2, "unknown long flag '--force'; try --help"},
		"no preset":         {[]string{"knobs"}, 2, "required flag(s) '--preset' not provided; try --help"},
		"unknown preset":    {[]string{"knobs", "--preset=duo"}, 2, "enum value must be one of solo,operator, got 'duo'; try --help"},
		"no output":         {renders(), 2, "required flag(s) '--output' not provided; try --help"},
		"no such knobs":     {renders("--output=/nowhere", "--config=/nowhere/knobs.yaml"), 1, "--config: open /nowhere/knobs.yaml: no such file or directory"},
		"unknown knob":      {renders("--output=/nowhere", "--config="+unknown), 1, unknown + ": yaml: unmarshal errors:\n    line 2: field cluster not found in type mixin.Select"},
		"invalid knobs":     {renders("--output=/nowhere", "--config="+invalid), 1, "the knobs: alerts.validators.missed_streak 1: must be from 2 to 8, as far as the exporter counts\n  alerts.validators.for 1s: must be whole seconds and at least 1m0s"},
		"somebody's files":  {renders("--output=" + occupied), 1, "--output: " + occupied + " holds other files; name a new directory"},
		"a file":            {renders("--output=" + unknown), 1, "--output: "},
		"nothing generated": {[]string{"generate", "--check", "--generated=/nowhere", "--runbooks=/nowhere"}, 1, "; run make generate"},
	} {
		t.Run(name, func(t *testing.T) {
			code, _, stderr := execute(tc.args...)
			if code != tc.code || !strings.HasPrefix(stderr, "validator-mixin: error: ") || !strings.Contains(stderr, tc.want) {
				t.Errorf("%q: code %d, stderr\n%s\nwant %d, %s", tc.args, code, stderr, tc.code, tc.want)
			}
		})
	}
}

func TestRenderWritesThePresetWithItsKnobs(t *testing.T) {
	dir := filepath.Join(t.TempDir(), "new")
	knobs := file(t, "knobs.yaml", "preset: mine\nselect: {exporter: 'job=\"my-validators\"'}\nalerts: {validators: {for: 11m}}\n")
	code, stdout, stderr := execute("render", "--preset=operator", "--config="+knobs, "--output="+dir)
	if code != 0 || stderr != "" {
		t.Fatalf("code %d, stderr %s", code, stderr)
	}
	for _, name := range []string{"alerts.yaml", "recording-rules.yaml", "alertmanager.yaml", "dashboards/overview.json", "kubernetes/prometheus-rule.yaml"} {
		if !strings.Contains(stdout, "new "+filepath.Join(dir, name)+"\n") {
			t.Errorf("it does not say that it wrote %s:\n%s", name, stdout)
		}
		if _, err := os.Stat(filepath.Join(dir, name)); err != nil {
			t.Error(err)
		}
	}
	rules, err := os.ReadFile(filepath.Join(dir, "recording-rules.yaml"))
	if err != nil || !bytes.Contains(rules, []byte(`job="my-validators"`)) || bytes.Contains(rules, []byte("validator-exporter")) {
		t.Errorf("recording rules do not select the job of the knobs: %v", err)
	}
	if alerts, err := os.ReadFile(filepath.Join(dir, "alerts.yaml")); err != nil || !bytes.Contains(alerts, []byte("for: 11m")) {
		t.Errorf("no alert waits as the knobs say: %v", err)
	}

	// Again: nothing to say. With another preset: only what differs, and what is left over goes.
	if code, stdout, stderr := execute("render", "--preset=operator", "--config="+knobs, "--output="+dir); code != 0 || stdout != "" {
		t.Errorf("the second time: code %d, %s%s", code, stdout, stderr)
	}
	for name, content := range map[string]string{"dashboards/old.json": "{}", "notes.txt": "mine"} {
		if err := os.WriteFile(filepath.Join(dir, name), []byte(content), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	code, stdout, stderr = execute("render", "--preset=solo", "--output="+dir)
	for _, line := range []string{"changed " + filepath.Join(dir, "alerts.yaml"), "deleted " + filepath.Join(dir, "dashboards", "old.json"), "left alone " + filepath.Join(dir, "notes.txt")} {
		if !strings.Contains(stdout, line+"\n") {
			t.Errorf("no %q in\n%s", line, stdout)
		}
	}
	if code != 0 || stderr != "" {
		t.Errorf("code %d, %s", code, stderr)
	}
}

func TestKnobsAreWhatRenderReads(t *testing.T) {
	code, stdout, stderr := execute("knobs", "--preset=operator")
	if code != 0 || stderr != "" || !strings.Contains(stdout, "# peers below which a node is badly connected.\n    peers: 30\n") {
		t.Errorf("code %d, %s%s", code, stdout, stderr)
	}
	// The operator's knobs on top of the other preset are the operator's.
	dirs := []string{filepath.Join(t.TempDir(), "a"), filepath.Join(t.TempDir(), "b")}
	if code, _, stderr := execute("render", "--preset=solo", "--config="+file(t, "knobs.yaml", stdout), "--output="+dirs[0]); code != 0 {
		t.Fatal(stderr)
	}
	if code, _, stderr := execute("render", "--preset=operator", "--output="+dirs[1]); code != 0 {
		t.Fatal(stderr)
	}
	if err := os.Remove(filepath.Join(dirs[0], "alerts.yaml")); err != nil {
		t.Fatal(err)
	}
	if _, stdout, _ := execute("render", "--preset=operator", "--output="+dirs[0]); stdout != "new "+filepath.Join(dirs[0], "alerts.yaml")+"\n" {
		t.Errorf("other files differ, too:\n%s", stdout)
	}
}

func TestGenerateMakesCheckPass(t *testing.T) {
	dir := t.TempDir()
	flags := []string{"--generated=" + filepath.Join(dir, "generated"), "--runbooks=" + filepath.Join(dir, "runbooks")}
	if code, _, stderr := execute(append([]string{"generate"}, flags...)...); code != 0 {
		t.Fatal(stderr)
	}
	if code, stdout, stderr := execute(append([]string{"generate", "--check"}, flags...)...); code != 0 || stdout+stderr != "" {
		t.Errorf("code %d, %s%s", code, stdout, stderr)
	}
	for _, c := range mixin.Presets() {
		if err := os.Remove(filepath.Join(dir, "generated", c.Preset, "alerts.yaml")); err != nil {
			t.Fatal(err)
		}
	}
	runbook := filepath.Join(dir, "runbooks", "Nothing.md")
	if err := os.WriteFile(runbook, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	code, stdout, stderr := execute(append([]string{"generate", "--check"}, flags...)...)
	want := "missing " + filepath.Join(dir, "generated", "operator", "alerts.yaml") + "\n" +
		"missing " + filepath.Join(dir, "generated", "solo", "alerts.yaml") + "\n" +
		"stray " + runbook + "\n"
	if code != 1 || stdout != want || stderr != "validator-mixin: error: files that differ from what is generated: 3; run make generate\n" {
		t.Errorf("code %d, %s%s", code, stdout, stderr)
	}
	if _, err := os.Stat(runbook); err != nil {
		t.Errorf("--check changed something: %v", err)
	}
}

func TestHelpAndVersion(t *testing.T) {
	for _, args := range [][]string{nil, {"--help"}, {"help"}, {"render", "--help"}} {
		if code, stdout, stderr := execute(args...); code != 0 || stderr != "" || !strings.Contains(stdout, "usage: validator-mixin") {
			t.Errorf("%q: code %d, %s%s", args, code, stdout, stderr)
		}
	}
	code, stdout, stderr := execute("--version")
	if code != 0 || !regexp.MustCompile(`(?s)^validator-mixin, version .*mixin: +`+regexp.QuoteMeta(mixin.Version())+"\n$").MatchString(stdout+stderr) {
		t.Errorf("code %d, %s%s", code, stdout, stderr)
	}
}

func execute(args ...string) (code int, stdout, stderr string) {
	var out, err bytes.Buffer
	code = run(args, &out, &err)
	return code, out.String(), err.String()
}

func file(t *testing.T, name, content string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(content), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
