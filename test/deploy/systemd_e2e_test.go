//go:build e2e

package deploy_test

import (
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
)

// systemd reads the units without a complaint, and finds little that they could do beyond
// their work.
func TestSystemdUnitsAreValidAndConfined(t *testing.T) {
	if _, err := exec.LookPath("systemd-analyze"); err != nil {
		t.Fatal("systemd-analyze is missing: apt-get install systemd")
	}
	built := buildPrograms(t)
	for _, name := range systemdUnits() {
		// systemd looks whether the program is there.
		file := filepath.Join(t.TempDir(), name+".service")
		text := strings.ReplaceAll(readText(t, systemdDir+"/"+name+".service"), "/usr/local/bin/", built+"/")
		if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		out, err := exec.Command("systemd-analyze", "verify", "--man=no", file).CombinedOutput()
		if err != nil || len(out) > 0 {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		// In tenths: what is left is that they use the network, and no root directory of their own.
		out, err = exec.Command("systemd-analyze", "security", "--no-pager", "--offline=true", "--threshold=11", file).CombinedOutput()
		if err != nil {
			t.Errorf("%s: %v\n%s", name, err, out)
		}
		t.Log(lastLines(string(out), 1))
	}
}

// The exporter takes the flags and files of its unit.
func TestSystemdExporterConfigurationIsValid(t *testing.T) {
	command, example := unitFlags(t, "validator-exporter")
	// Without a file of headers, systemd hands over the default.
	headers := filepath.Join(t.TempDir(), "beacon-headers")
	fallback := strings.TrimPrefix(unit(t, "validator-exporter")["Service.SetCredential"][0], "beacon-headers:")
	if err := os.WriteFile(headers, []byte(fallback), 0o600); err != nil {
		t.Fatal(err)
	}
	args := []string{"--config.check"}
	for _, word := range command[1 : len(command)-1] {
		word = strings.ReplaceAll(word, "/etc/validator-monitor/", systemdDir+"/")
		args = append(args, strings.ReplaceAll(word, "%d/beacon-headers", headers))
	}
	out, err := exec.Command(filepath.Join(buildPrograms(t), "validator-exporter"), append(args, example...)...).CombinedOutput()
	if err != nil || !strings.Contains(string(out), "validators: 5, beacon nodes: 1") {
		t.Errorf("%v\n%s", err, out)
	}
}
