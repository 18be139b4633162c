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
func validate(t *testing.T, version, definitions, path string) error {
	t.Helper()
	out, err := exec.CommandContext(t.Context(), program(t, "kubectl-validate"), "--version", version, "--local-crds", definitions, path).CombinedOutput()
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
	// Of kinds that are not Kubernetes' own, too.
	text, err := template(t, named(t, "external-secret"), serverVersion)
	if err != nil {
		t.Fatal(err)
	}
	for _, c := range []struct{ old, new string }{
		{"scrapeTimeout:", "scrapeTimout:"}, // ServiceMonitor
		{"- alert:", "- alret:"},            // PrometheusRule
		{"remoteRef:", "remoteReff:"},       // ExternalSecret
		{"minReplicas:", "minReplica:"},     // HorizontalPodAutoscaler
	} {
		if c.old == "minReplicas:" {
			if text, err = template(t, named(t, "production"), serverVersion); err != nil {
				t.Fatal(err)
			}
		}
		// The last: before that may be a file of rules in a ConfigMap.
		i := strings.LastIndex(text, c.old)
		if i < 0 {
			t.Fatalf("there is no %q", c.old)
		}
		file := filepath.Join(t.TempDir(), "objects.yaml")
		if err := os.WriteFile(file, []byte(text[:i]+c.new+text[i+len(c.old):]), 0o600); err != nil {
			t.Fatal(err)
		}
		if err := validate(t, newest, crds, file); err == nil || !strings.Contains(err.Error(), "value provided for unknown field") {
			t.Errorf("%s instead of %s: %v", c.new, c.old, err)
		}
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

func TestChartSaysWhatIsWrongWithValues(t *testing.T) {
	standalone := named(t, "standalone")
	for _, c := range []struct {
		name string
		r    rendering
		set  []string
		want string
	}{
		// By the schema.
		{"a misspelt section", named(t, "default"), []string{"--set", "exportr.replicas=3"}, "additional properties 'exportr' not allowed"},
		{"a misspelt key", named(t, "default"), []string{"--set", "exporter.replica=3"}, "at '/exporter': additional properties 'replica' not allowed"},
		{"a misspelt key further down", named(t, "default"), []string{"--set", "networkPolicy.dns.port=53"}, "at '/networkPolicy/dns': additional properties 'port' not allowed"},
		{"text for a number", named(t, "default"), []string{"--set", "exporter.replicas=three"}, "at '/exporter/replicas': got string, want integer"},
		{"a number that is too small", named(t, "default"), []string{"--set", "exporter.replicas=-1"}, "at '/exporter/replicas': minimum"},
		{"an unknown preset", named(t, "default"), []string{"--set", "mixin.preset=duo"}, "at '/mixin/preset': value must be one of 'operator', 'solo'"},
		{"a beacon node that is no list", named(t, "default"), []string{"--set-string", "exporter.beacon.urls=http://beacon:5052"}, "at '/exporter/beacon/urls': got string, want array"},
		// By the chart.
		{"nothing said", rendering{}, nil, "no beacon node: set exporter.beacon.urls"},
		{"no validators", rendering{}, []string{"--set", "exporter.beacon.urls={http://beacon:5052}"}, "no validators to watch: set validators or existingConfigMap in exporter.watch"},
		{"two watch lists", named(t, "default"), []string{"--set", "exporter.watch.existingConfigMap=mine"}, "two watch lists: exporter.watch has both"},
		{"shards and a watch list", named(t, "default"), []string{"--set", "exporter.shards[0].name=a,exporter.shards[0].existingConfigMap=a"}, "both exporter.shards and exporter.watch have validators"},
		{"two shards of one name", named(t, "shards"), []string{"--set", "exporter.shards[1].name=a"}, "two shards are called a"},
		{"no Secret", standalone, []string{"--set", "secrets.existingSecret="}, "no Secret: set secrets.existingSecret"},
		{"two who make the Secret", named(t, "external-secret"), []string{"--set", "secrets.values.db-url=x"}, "would both make the Secret"},
		{"no store", named(t, "external-secret"), []string{"--set", "secrets.externalSecret.store.name="}, "secrets.externalSecret.store.name is empty"},
		{"a secret that is needed", standalone, []string{"--set", "secrets.values.postgres-password=x"}, "secrets.values has no db-url"},
		{"a database for nobody", standalone, []string{"--set", "rollup.enabled=false"}, "postgres.enabled is of no use without rollup.enabled"},
		{"a receiver without windows", standalone, []string{"--set", "exporter.completedWindows=0"}, "exporter.completedWindows is 0"},
		{"Grafana without Prometheus", standalone, []string{"--set", "prometheus.enabled=false"}, "grafana.enabled has no Prometheus to read"},
		{"Alertmanager without Prometheus", standalone, []string{"--set", "prometheus.enabled=false,grafana.enabled=false"}, "alertmanager.enabled has no Prometheus to hear from"},
	} {
		_, err := template(t, c.r, serverVersion, c.set...)
		if err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: %v, want %q", c.name, err, c.want)
			continue
		}
		// What the chart itself says is the end of one line: no list of templates that led there, no second line.
		if line := err.Error()[strings.Index(err.Error(), c.want):]; strings.Contains(strings.TrimSpace(strings.ReplaceAll(line, "Use --debug flag to render out invalid YAML", "")), "\n") {
			t.Errorf("%s is said in more than a line:\n%s", c.name, err)
		}
	}
}
