//go:build e2e

package deploy_test

import (
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

// promtool and amtool say what Prometheus and Alertmanager would, of every configuration that
// is shipped.

func TestConfigOfComposeIsValid(t *testing.T) {
	exporters := 0
	built := buildPrograms(t)
	for _, preset := range []string{"solo", "operator"} {
		for _, profile := range []string{"full", "solo", "simulated"} {
			t.Run(preset+"/"+profile, func(t *testing.T) {
				s := &stack{composed: compose(t, profile, "MIXIN_PRESET="+preset, "VALIDATORS=1,5-9"), t: t, dir: t.TempDir()}
				checked := map[string]int{}
				for _, service := range s.Services {
					name := programOf(service.Name)
					var file string
					for _, word := range service.Command {
						if path, ok := strings.CutPrefix(word, "--config.file="); ok {
							file = s.config(service, path)
						}
					}
					switch name {
					case "prometheus":
						checkPrometheus(t, file, 2) // rule files
					case "alertmanager":
						checkAlertmanager(t, file)
					case "validator-exporter":
						args := []string{"--config.check"}
						for _, word := range service.Command {
							args = append(args, s.mustTranslate(service, word))
						}
						out, err := exec.Command(filepath.Join(built, name), args...).CombinedOutput()
						want := map[bool]int{true: 15, false: 6}[profile == "simulated"]
						if err != nil || !strings.Contains(string(out), fmt.Sprintf("validators: %d, beacon nodes: 1", want)) {
							t.Errorf("%s %q: %v\n%s", name, args, err, out)
						}
						exporters++
					default:
						continue
					}
					checked[name]++
				}
				if len(checked) != 3 {
					t.Errorf("checked: %v", checked)
				}
			})
		}
	}
	if exporters != 6 {
		t.Errorf("%d exporters were asked", exporters)
	}
}

// The sections are of use in anybody's prometheus.yml: included or copied.
func TestConfigSectionsAreValid(t *testing.T) {
	dir := t.TempDir()
	for _, section := range []string{"scrape.yml", "remote-write.yml"} {
		text := readText(t, filepath.Join(tree, "deploy", "prometheus", section))
		writeText(t, filepath.Join(dir, section), text)
		writeText(t, filepath.Join(dir, "copied-"+section), "global: {scrape_interval: 1m}\n"+text)
		checkPrometheus(t, filepath.Join(dir, "copied-"+section), 0)
	}
	writeText(t, filepath.Join(dir, "prometheus.yml"),
		"scrape_config_files: [scrape.yml]\n"+readText(t, filepath.Join(tree, "deploy", "prometheus", "remote-write.yml")))
	checkPrometheus(t, filepath.Join(dir, "prometheus.yml"), 0)
}

func TestConfigOfTheChartIsValid(t *testing.T) {
	found := map[string]int{}
	check := func(t *testing.T, objects []object) {
		for _, o := range objects {
			if o.Kind != "ConfigMap" {
				continue
			}
			for name, text := range o.Data {
				file := filepath.Join(t.TempDir(), name)
				switch name {
				case "prometheus.yml":
					writeText(t, file, text)
					checkPrometheus(t, file, 0) // its rules are another ConfigMap, which the mixin's tests check
				case "alertmanager.yaml", "alertmanager.yml":
					writeText(t, file, text)
					checkAlertmanager(t, file)
				default:
					continue
				}
				found[strings.TrimSuffix(name, filepath.Ext(name))]++
			}
		}
	}
	for _, r := range renderings(t) {
		t.Run(r.String(), func(t *testing.T) { check(t, mustTemplate(t, r)) })
	}
	t.Run("manifests", func(t *testing.T) { check(t, manifests(t)) })
	if found["prometheus"] < 2 || found["alertmanager"] < 2 {
		t.Errorf("found: %v", found)
	}
}

// A checker that takes everything would prove nothing.
func TestConfigCheckersFindMistakes(t *testing.T) {
	file := filepath.Join(t.TempDir(), "config.yml")
	for program, text := range map[string]string{
		"promtool": "scrape_configs: [{job_name: a}, {job_name: a}]\n",
		"amtool":   "route: {receiver: nobody}\nreceivers: [{name: somebody}]\n",
	} {
		writeText(t, file, text)
		if out, err := configChecker(t, program, file); err == nil {
			t.Errorf("%s finds nothing wrong:\n%s", program, out)
		}
	}
}

func configChecker(t *testing.T, name, file string) (string, error) {
	t.Helper()
	args := map[string][]string{"promtool": {"check", "config", "--lint=all", "--lint-fatal"}, "amtool": {"check-config"}}[name]
	out, err := exec.Command(program(t, name), append(slices.Clone(args), file)...).CombinedOutput()
	return string(out), err
}

// checkPrometheus also counts the rule files that promtool found and checked.
func checkPrometheus(t *testing.T, file string, ruleFiles int) {
	t.Helper()
	out, err := configChecker(t, "promtool", file)
	if err != nil {
		t.Errorf("%v\n%s", err, out)
	}
	if got := strings.Count(out, "rules found"); got != ruleFiles {
		t.Errorf("%d rule files, want %d\n%s", got, ruleFiles, out)
	}
}

func checkAlertmanager(t *testing.T, file string) {
	t.Helper()
	out, err := configChecker(t, "amtool", file)
	if err != nil || !strings.Contains(out, "SUCCESS") {
		t.Errorf("%v\n%s", err, out)
	}
}

func writeText(t *testing.T, file, text string) {
	t.Helper()
	if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}
