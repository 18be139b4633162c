//go:build e2e

package output

import (
	"encoding/xml"
	"errors"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// What is committed, and a rendering with every knob changed, in the eyes of the
// programs that will read it.
func TestPrometheusAndAlertmanagerAcceptEachRendering(t *testing.T) {
	promtool, amtool := tool(t, "promtool"), tool(t, "amtool")
	dirs := map[string]string{"changed": t.TempDir()}
	files, err := Files(changed())
	if err != nil {
		t.Fatal(err)
	}
	if err := Write(dirs["changed"], files); err != nil {
		t.Fatal(err)
	}
	for _, c := range mixin.Presets() {
		dirs[c.Preset] = filepath.Join(generatedDir, c.Preset)
	}
	for name, dir := range dirs {
		t.Run(name, func(t *testing.T) {
			t.Run("rules pass every lint", func(t *testing.T) {
				execute(t, dir, promtool, "check", "rules", "--lint=all", "--lint-fatal", RecordingRules, AlertRules)
			})
			t.Run("alertmanager", func(t *testing.T) {
				execute(t, dir, amtool, "check-config", "alertmanager.yaml")
				for severity, receiver := range map[string]string{"critical": "pager", "warning": "chat", "info": "log", "unheard-of": "chat"} {
					got := execute(t, dir, amtool, "config", "routes", "test", "--config.file=alertmanager.yaml", "alertname=ValidatorDown", "severity="+severity)
					if strings.TrimSpace(got) != receiver {
						t.Errorf("severity %q goes to %q, want %s", severity, got, receiver)
					}
				}
			})
			testRules(t, dir, promtool)
		})
	}
}

// testRules runs all tests of a rendering, and shows each case as a test.
func testRules(t *testing.T, dir, promtool string) {
	files, err := filepath.Glob(filepath.Join(dir, "tests", "*.yaml"))
	if err != nil || len(files) == 0 {
		t.Fatalf("no tests in %s: %v", dir, err)
	}
	for _, file := range files {
		name := strings.TrimSuffix(filepath.Base(file), ".yaml")
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			report := filepath.Join(t.TempDir(), "report.xml")
			command := exec.Command(promtool, "test", "rules", "--diff", "--junit="+report, filepath.Join("tests", filepath.Base(file)))
			command.Dir = dir
			said, err := command.CombinedOutput()
			if exit := (*exec.ExitError)(nil); err != nil && !errors.As(err, &exit) {
				t.Fatal(err)
			}
			failed := err != nil
			var result struct {
				Suites []struct {
					Cases []struct {
						Name     string   `xml:"name,attr"`
						Failures []string `xml:"failure"`
					} `xml:"testcase"`
				} `xml:"testsuite"`
			}
			content, err := os.ReadFile(report)
			if err == nil {
				err = xml.Unmarshal(content, &result)
			}
			if err != nil || len(result.Suites) != 1 || len(result.Suites[0].Cases) == 0 {
				t.Fatalf("no report: %v\n%s", err, said)
			}
			for _, k := range result.Suites[0].Cases {
				t.Run(k.Name, func(t *testing.T) {
					for _, failure := range k.Failures {
						failed = false // It is told here.
						t.Error(failure)
					}
				})
			}
			if failed {
				t.Errorf("promtool failed, and no case did:\n%s", said)
			}
		})
	}
}

// An example that no tool would refuse proves nothing.
func TestToolsRefuseWhatIsWrong(t *testing.T) {
	dir := t.TempDir()
	files, err := Files(mixin.Solo())
	if err != nil {
		t.Fatal(err)
	}
	for name, change := range map[string]struct{ old, new string }{
		AlertRules:          {"groups:\n", "groups:\n  - name: twice\n    rules: [{record: a, expr: up}, {record: a, expr: up}]\n"},
		"alertmanager.yaml": {"receiver: pager", "receiver: nobody"},
	} {
		changed := strings.Replace(string(files[name]), change.old, change.new, 1)
		if changed == string(files[name]) {
			t.Fatalf("%s: no %q", name, change.old)
		}
		files[name] = []byte(changed)
	}
	if err := Write(dir, files); err != nil {
		t.Fatal(err)
	}
	for _, args := range [][]string{
		{tool(t, "promtool"), "check", "rules", "--lint=all", "--lint-fatal", AlertRules},
		{tool(t, "amtool"), "check-config", "alertmanager.yaml"},
	} {
		command := exec.Command(args[0], args[1:]...)
		command.Dir = dir
		if said, err := command.CombinedOutput(); err == nil {
			t.Errorf("%s accepted it:\n%s", filepath.Base(args[0]), said)
		}
	}
}

func tool(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join("..", "..", "bin", "tools", name))
	if err == nil {
		_, err = os.Stat(path)
	}
	if err != nil {
		t.Fatalf("%v; run make tools", err)
	}
	return path
}

// execute runs a program that must succeed, and returns its output.
func execute(t *testing.T, dir string, args ...string) string {
	t.Helper()
	command := exec.Command(args[0], args[1:]...)
	command.Dir = dir
	said, err := command.CombinedOutput()
	if err != nil {
		t.Errorf("%s: %v\n%s", strings.Join(slices.Concat([]string{filepath.Base(args[0])}, args[1:]), " "), err, said)
	}
	return string(said)
}
