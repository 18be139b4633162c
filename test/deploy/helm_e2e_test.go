//go:build e2e

package deploy_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

const (
	chartDir = "../../deploy/helm/validator-monitor"
	toolsDir = "../../bin/tools"
	// release and its namespace are those of the documentation and of the plain manifests.
	release = "validator-monitor"
)

// serverVersion is that of the API server for tests (tools/kubernetes/go.mod).
const serverVersion = "1.37"

// rendering is the chart with some values files.
type rendering struct {
	name   string
	values []string
}

func (r rendering) String() string { return r.name }

// renderings are the chart with what must be said and nothing else, with each values file
// that it comes with besides, and with each in testdata/values, which put together what
// users do.
func renderings(t *testing.T) []rendering {
	t.Helper()
	minimal := filepath.Join(chartDir, "ci", "minimal-values.yaml")
	all := []rendering{{"default", []string{minimal}}}
	for _, pattern := range []string{filepath.Join(chartDir, "values-*.yaml"), "testdata/values/*.yaml"} {
		files, err := filepath.Glob(pattern)
		if err != nil {
			t.Fatal(err)
		}
		if len(files) == 0 {
			t.Fatalf("there is no %s", pattern)
		}
		for _, file := range files {
			name := strings.TrimSuffix(strings.TrimPrefix(filepath.Base(file), "values-"), ".yaml")
			if slices.ContainsFunc(all, func(r rendering) bool { return r.name == name }) {
				t.Fatalf("two values files are called %s", name)
			}
			all = append(all, rendering{name, []string{minimal, file}})
		}
	}
	return all
}

// named is one of the renderings.
func named(t *testing.T, name string) rendering {
	t.Helper()
	all := renderings(t)
	i := slices.IndexFunc(all, func(r rendering) bool { return r.name == name })
	if i < 0 {
		t.Fatalf("there are no values called %s", name)
	}
	return all[i]
}

// flags are what helm takes for the rendering.
func (r rendering) flags() (flags []string) {
	for _, file := range r.values {
		flags = append(flags, "--values", file)
	}
	return flags
}

// program is the path of a program of bin/tools.
func program(t *testing.T, name string) string {
	t.Helper()
	path, err := filepath.Abs(filepath.Join(toolsDir, name))
	if err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(path); err != nil {
		t.Fatalf("no %s in bin/tools: run make tools", name)
	}
	return path
}

// helm runs helm without a cluster, and without what it is configured with on this machine.
func helm(t *testing.T, args ...string) (stdout string, err error) {
	t.Helper()
	cmd := exec.CommandContext(t.Context(), program(t, "helm"), args...)
	cmd.Env = []string{"HOME=" + t.TempDir(), "PATH=" + os.Getenv("PATH"), "LC_ALL=C"}
	var out, stderr bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &stderr
	if err := cmd.Run(); err != nil {
		return out.String(), fmt.Errorf("%w: %s", err, bytes.TrimSpace(stderr.Bytes()))
	}
	return out.String(), nil
}

// template renders the chart for a version of Kubernetes whose API has the kinds of the
// Prometheus Operator and of External Secrets.
func template(t *testing.T, r rendering, version string, more ...string) (string, error) {
	t.Helper()
	args := []string{"template", release, chartDir, "--namespace", release, "--kube-version", version}
	for _, kind := range []string{"monitoring.coreos.com/v1/ServiceMonitor", "monitoring.coreos.com/v1/PrometheusRule", "external-secrets.io/v1/ExternalSecret"} {
		group := kind[:strings.LastIndex(kind, "/")]
		args = append(args, "--api-versions", group, "--api-versions", kind)
	}
	return helm(t, slices.Concat(args, r.flags(), more)...)
}

// mustTemplate is template for renderings that have to succeed.
func mustTemplate(t *testing.T, r rendering, more ...string) []object {
	t.Helper()
	text, err := template(t, r, serverVersion, more...)
	if err != nil {
		t.Fatal(err)
	}
	objects, err := decodeObjects([]byte(text))
	if err != nil {
		t.Fatalf("the chart's output: %v", err)
	}
	if len(objects) == 0 {
		t.Fatal("the chart's output has no objects")
	}
	// What helm install adds. Compared with kubectl, objects of other namespaces stay where they are.
	for i := range objects {
		if objects[i].Metadata.Namespace == "" {
			objects[i].Metadata.Namespace = release
		}
	}
	return objects
}

// definitions is a folder with the definitions of the kinds that the API server does not
// bring and that somebody may have here: those of the Prometheus Operator that say what to
// scrape and when to alert, and External Secrets' own. Their modules are pinned in tools/,
// and nothing of them is built.
func definitions(t *testing.T) string {
	t.Helper()
	dir := t.TempDir()
	for _, from := range []struct {
		tool, within string
		files        []string
	}{
		{"prometheus-operator", "example/prometheus-operator-crd", []string{
			"monitoring.coreos.com_podmonitors.yaml", "monitoring.coreos.com_prometheusrules.yaml", "monitoring.coreos.com_servicemonitors.yaml",
		}},
		{"external-secrets", "config/crds/bases", []string{"external-secrets.io_externalsecrets.yaml"}},
	} {
		cmd := exec.CommandContext(t.Context(), "go", "mod", "download", "-json")
		cmd.Dir = filepath.Join("../../tools", from.tool)
		out, err := cmd.Output()
		if err != nil {
			t.Fatalf("download the module of %s: %v: %s", from.tool, err, out)
		}
		var module struct{ Dir string }
		if err := json.Unmarshal(out, &module); err != nil {
			t.Fatalf("download the module of %s: %v", from.tool, err)
		}
		for _, file := range from.files {
			text, err := os.ReadFile(filepath.Join(module.Dir, from.within, file))
			if err != nil {
				t.Fatal(err)
			}
			if err := os.WriteFile(filepath.Join(dir, file), text, 0o600); err != nil {
				t.Fatal(err)
			}
		}
	}
	return dir
}
