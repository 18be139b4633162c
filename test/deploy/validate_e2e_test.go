//go:build e2e

package deploy_test

import (
	"bytes"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"

	"go.yaml.in/yaml/v3"
)

// schemaVersions are the oldest version that the chart is for, and the newest whose
// schemas kubectl-validate brings. What is newer is seen on the API server.
func schemaVersions(t *testing.T) (oldest, newest string) {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(chartDir, "Chart.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var chart struct {
		KubeVersion string `yaml:"kubeVersion"`
	}
	if err := yaml.Unmarshal(text, &chart); err != nil {
		t.Fatal(err)
	}
	var minor, patch int
	if _, err := fmt.Sscanf(chart.KubeVersion, ">=1.%d.%d-0", &minor, &patch); err != nil {
		t.Fatalf("Chart.yaml: kubeVersion %q is not >=1.MINOR.PATCH-0: %v", chart.KubeVersion, err)
	}
	oldest, newest = fmt.Sprintf("1.%d", minor), "1.30"
	if minor >= 30 {
		t.Fatalf("the chart is for %s and newer, and kubectl-validate brings no two versions of it", oldest)
	}
	return oldest, newest
}

// validate checks a file or folder against the schemas of a version of Kubernetes.
func validate(t *testing.T, version string, definitions []string, path string) error {
	t.Helper()
	args := []string{"--version", version}
	for _, dir := range definitions {
		args = append(args, "--local-crds", dir)
	}
	out, err := exec.CommandContext(t.Context(), program(t, "kubectl-validate"), append(args, path)...).CombinedOutput()
	if err != nil {
		return fmt.Errorf("kubectl-validate --version %s: %w: %s", version, err, problems(out))
	}
	return nil
}

// problems leaves out the files that are fine.
func problems(out []byte) string {
	var lines []string
	for line := range strings.Lines(string(out)) {
		if !strings.Contains(line, "OK") && strings.TrimSpace(line) != "" {
			lines = append(lines, strings.TrimSpace(line))
		}
	}
	return strings.Join(lines, "\n\t")
}

func TestChartIsCleanToLint(t *testing.T) {
	oldest, _ := schemaVersions(t)
	for _, r := range renderings(t) {
		for _, version := range []string{oldest, serverVersion} {
			args := append([]string{"lint", chartDir, "--strict", "--namespace", release, "--kube-version", version}, r.flags()...)
			out, err := helm(t, args...)
			if err != nil || strings.Contains(out, "[WARNING]") || strings.Contains(out, "[ERROR]") {
				t.Errorf("%s for %s: %v: %s", r, version, err, out)
			}
		}
	}
}

func TestChartIsValidForOldAndNewKubernetes(t *testing.T) {
	oldest, newest := schemaVersions(t)
	crds := definitions(t)
	for _, r := range renderings(t) {
		t.Run(r.name, func(t *testing.T) {
			for _, version := range []string{oldest, newest} {
				text, err := template(t, r, version)
				if err != nil {
					t.Fatal(err)
				}
				if objects, err := decodeObjects([]byte(text)); err != nil || len(objects) == 0 {
					t.Fatalf("%d objects, %v", len(objects), err)
				}
				file := filepath.Join(t.TempDir(), "objects.yaml")
				if err := os.WriteFile(file, []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
				if err := validate(t, version, crds, file); err != nil {
					t.Error(err)
				}
			}
		})
	}
	if _, err := template(t, rendering{}, "1.20"); err == nil || !strings.Contains(err.Error(), "kubeVersion") {
		t.Errorf("for Kubernetes 1.20: %v", err)
	}
}

func TestManifestsAreValidForOldAndNewKubernetes(t *testing.T) {
	oldest, newest := schemaVersions(t)
	crds := definitions(t)
	out, err := exec.CommandContext(t.Context(), program(t, "kubectl"), "kustomize", manifestsDir).Output()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v", err)
	}
	file := filepath.Join(t.TempDir(), "objects.yaml")
	for _, c := range []struct{ name, old, new, want string }{
		{name: "as they are"},
		{"a misspelt field", "replicas:", "replcias:", "spec.replcias: Invalid value: value provided for unknown field"},
		{"a wrong type", "allowPrivilegeEscalation: false", "allowPrivilegeEscalation: never", "allowPrivilegeEscalation: Invalid value"},
		{"an unknown kind", "kind: PersistentVolumeClaim", "kind: PersistentVolumeClam", "PersistentVolumeClam"},
	} {
		text := out
		if c.old != "" {
			text = bytes.Replace(out, []byte(c.old), []byte(c.new), 1)
			if bytes.Equal(text, out) {
				t.Fatalf("there is no %q", c.old)
			}
		}
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		for _, version := range []string{oldest, newest} {
			err := validate(t, version, crds, file)
			if c.want == "" && err != nil || c.want != "" && (err == nil || !strings.Contains(err.Error(), c.want)) {
				t.Errorf("%s: %v, want %q", c.name, err, c.want)
			}
		}
	}
}
