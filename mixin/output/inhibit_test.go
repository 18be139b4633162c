//go:build e2e

package output

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io"
	"maps"
	"net"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// A real Alertmanager with the rendered configuration says which alerts it would tell
// nobody of, when those that could silence them are about the same target, or about one
// that differs in a single label.
func TestAlertmanagerInhibitsWithinATargetOnly(t *testing.T) {
	for _, c := range append(mixin.Presets(), changed()) {
		t.Run(c.Preset, func(t *testing.T) {
			known := severitiesOf(t, c)
			alert := func(name, value string, differs string, more map[string]string) map[string]string {
				labels := maps.Clone(more)
				for _, l := range append(targetLabels(c), "job") {
					labels[l] = "same"
				}
				labels["alertname"], labels["severity"] = name, string(known[name])
				switch {
				case differs == "nothing, and has no label but the job":
					for _, l := range targetLabels(c) {
						delete(labels, l)
					}
				case differs != "nothing":
					labels[differs] = value
				}
				return labels
			}
			var sources, targets, silenced, told []map[string]string
			for _, pair := range []struct {
				source, target string
				labels         map[string]string
			}{
				{"BeaconNodesAllDown", "ValidatorSnapshotStaleCritical", map[string]string{}},
				{"ValidatorGroupDown", "ValidatorEffectivenessBudgetBurnFast", map[string]string{"network": "mainnet", "group_by": "operator", "group": "acme"}},
				{"ValidatorSnapshotStaleCritical", "ValidatorSnapshotStale", map[string]string{"network": "mainnet"}},
				{"ValidatorSlashed", "ValidatorExiting", map[string]string{"network": "mainnet", "validator_index": "7"}},
			} {
				for _, differs := range append(targetLabels(c), "job", "nothing", "nothing, and has no label but the job") {
					target := alert(pair.target, "its own", differs, pair.labels)
					sources = append(sources, alert(pair.source, "another", differs, pair.labels))
					targets = append(targets, target)
					if strings.HasPrefix(differs, "nothing") {
						silenced = append(silenced, target)
					} else {
						told = append(told, target)
					}
				}
			}
			// No exporter is a target any more: one alert of the job alone, and what is old of each
			// target that there was. The same without the label that says so is a target that has
			// none of the others, and says nothing about them.
			for i, none := range []string{"none", ""} {
				job := fmt.Sprintf("no-exporter-%d", i)
				source := map[string]string{"alertname": "ValidatorExporterDown", "severity": string(known["ValidatorExporterDown"]), "job": job, "exporter": none}
				old := alert("ValidatorParticipationLow", job, "job", map[string]string{"network": "mainnet"})
				if cluster := c.Select.ClusterLabel; cluster != "" {
					source[cluster] = "same"
				}
				if none == "" {
					delete(source, "exporter")
					told = append(told, old)
				} else {
					silenced = append(silenced, old)
				}
				sources, targets = append(sources, source), append([]map[string]string{old}, targets...)
			}
			manager := startAlertmanager(t, c)
			manager.post(t, sources)
			manager.post(t, targets)
			// It reads alerts in the order in which they came. Those to be silenced are among the
			// last, so that the others have been read as well.
			var inhibited func(map[string]string) bool
			for deadline := time.Now().Add(10 * time.Second); ; time.Sleep(50 * time.Millisecond) {
				inhibited = manager.inhibited(t)
				missing := slices.DeleteFunc(slices.Clone(silenced), inhibited)
				if len(missing) == 0 {
					break
				}
				if time.Now().After(deadline) {
					t.Fatalf("not silenced by an alert about the same target: %v", missing)
				}
			}
			for _, labels := range told {
				if inhibited(labels) {
					t.Errorf("silenced by an alert about another target: %v", labels)
				}
			}
		})
	}
}

// runningAlertmanager is the address of its API.
type runningAlertmanager string

func startAlertmanager(t *testing.T, c mixin.Config) runningAlertmanager {
	t.Helper()
	dir := t.TempDir()
	files, err := Files(c)
	if err != nil {
		t.Fatal(err)
	}
	if err := os.WriteFile(filepath.Join(dir, "alertmanager.yaml"), files["alertmanager.yaml"], 0o600); err != nil {
		t.Fatal(err)
	}
	free, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := free.Addr().String()
	if err := free.Close(); err != nil {
		t.Fatal(err)
	}
	var said bytes.Buffer
	command := exec.Command(tool(t, "alertmanager"), "--config.file=alertmanager.yaml", "--storage.path=data",
		"--cluster.listen-address=", "--web.listen-address="+address)
	command.Dir, command.Stdout, command.Stderr = dir, &said, &said
	if err := command.Start(); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		_ = command.Process.Kill()
		_ = command.Wait()
		if t.Failed() {
			t.Logf("alertmanager said:\n%s", said.String())
		}
	})
	manager := runningAlertmanager("http://" + address)
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(100 * time.Millisecond) {
		answer, err := http.Get(string(manager) + "/-/ready")
		if err == nil {
			_ = answer.Body.Close()
			if answer.StatusCode == http.StatusOK {
				return manager
			}
		}
		if time.Now().After(deadline) {
			t.Fatalf("alertmanager is not ready: %v", err)
		}
	}
}

// firing is an alert in Alertmanager's API.
type firing struct {
	Labels map[string]string `json:"labels"`
	Status struct {
		InhibitedBy []string `json:"inhibitedBy"`
	} `json:"status,omitzero"`
}

func (m runningAlertmanager) post(t *testing.T, alerts []map[string]string) {
	t.Helper()
	var all []firing
	for _, labels := range alerts {
		all = append(all, firing{Labels: labels})
	}
	body, err := json.Marshal(all)
	if err != nil {
		t.Fatal(err)
	}
	answer, err := http.Post(string(m)+"/api/v2/alerts", "application/json", bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	said, _ := io.ReadAll(answer.Body)
	_ = answer.Body.Close()
	if answer.StatusCode != http.StatusOK {
		t.Fatalf("alertmanager refused the alerts: %s: %s", answer.Status, said)
	}
}

// inhibited asks for all alerts, and returns whether nobody is told of the one with
// certain labels.
func (m runningAlertmanager) inhibited(t *testing.T) func(map[string]string) bool {
	t.Helper()
	answer, err := http.Get(string(m) + "/api/v2/alerts")
	if err != nil {
		t.Fatal(err)
	}
	var all []firing
	err = json.NewDecoder(answer.Body).Decode(&all)
	_ = answer.Body.Close()
	if err != nil {
		t.Fatal(err)
	}
	return func(labels map[string]string) bool {
		return slices.ContainsFunc(all, func(a firing) bool { return maps.Equal(a.Labels, labels) && len(a.Status.InhibitedBy) > 0 })
	}
}
