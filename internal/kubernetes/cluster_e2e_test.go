//go:build e2e

package kubernetes

import (
	"bytes"
	"net/http"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"
)

func TestClusterStoresRefusesAndLeavesNothingBehind(t *testing.T) {
	began := time.Now()
	c, err := Start(t.Context(), Options{})
	if err != nil {
		t.Fatal(err)
	}
	defer c.Stop()
	t.Logf("ready after %.1f s", time.Since(began).Seconds())

	if info, err := os.Stat(c.path("kubeconfig")); err != nil || info.Mode().Perm() != 0o600 {
		t.Errorf("the kubeconfig, which has the token: %v, %v", info, err)
	}
	if _, err := http.Get(c.URL() + "/readyz"); err == nil || !strings.Contains(err.Error(), "certificate") {
		t.Errorf("a client that does not know the server's authority: %v", err)
	}
	if _, err := c.Kubectl(t.Context(), "create", "namespace", "things"); err != nil {
		t.Error(err)
	}
	if out, err := c.KubectlInput(t.Context(), []byte(`{"apiVersion":"v1","kind":"ConfigMap","metadata":{"name":"thing"},"data":{"a":"1"}}`),
		"apply", "--namespace", "things", "-f", "-"); err != nil || out != "configmap/thing created\n" {
		t.Errorf("apply says %q, %v", out, err)
	}
	if out, err := c.Kubectl(t.Context(), "get", "--namespace", "things", "configmap/thing", "-o", "jsonpath={.data.a}"); err != nil || out != "1" {
		t.Errorf("stored is %q, %v", out, err)
	}
	if _, err := c.Kubectl(t.Context(), "get", "configmap/none"); err == nil || !strings.Contains(err.Error(), `configmaps "none" not found`) {
		t.Errorf("what is not there: %v", err)
	}

	running := runningIn(t, c.dir)
	if len(running) != 2 {
		t.Errorf("running are %q, want etcd and kube-apiserver", running)
	}
	if err := c.Stop(); err != nil {
		t.Error(err)
	}
	if left := runningIn(t, c.dir); len(left) > 0 {
		t.Errorf("still running after Stop: %q", left)
	}
	if _, err := os.Stat(c.dir); !os.IsNotExist(err) {
		t.Errorf("the folder is still there: %v", err)
	}
}

func TestFailedStartTellsWhyAndLeavesNothingBehind(t *testing.T) {
	temp := t.TempDir()
	t.Setenv("TMPDIR", temp)
	if _, err := Start(t.Context(), Options{BinDir: temp}); err == nil || !strings.Contains(err.Error(), "no kube-apiserver, kubectl in "+temp+": run make tools") {
		t.Errorf("without programs: %v", err)
	}
	// A program that ends at once, as one with a wrong flag does.
	bin := t.TempDir()
	for _, name := range []string{"kube-apiserver", "kubectl"} {
		if err := os.WriteFile(filepath.Join(bin, name), []byte("#!/bin/sh\necho no such flag\nexit 1\n"), 0o700); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Start(t.Context(), Options{BinDir: bin})
	if err == nil || !strings.Contains(err.Error(), "kube-apiserver: ended before it was ready") || !strings.Contains(err.Error(), "no such flag") {
		t.Errorf("with a server that ends: %v", err)
	}
	if left := runningIn(t, temp); len(left) > 0 {
		t.Errorf("still running: %q", left)
	}
	if left, err := os.ReadDir(temp); err != nil || len(left) > 0 {
		t.Errorf("left behind: %v, %v", left, err)
	}
}

// runningIn returns the command lines of the processes that name dir.
func runningIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if text, err := os.ReadFile(line); err == nil && bytes.Contains(text, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(text, []byte{0}, []byte(" "))))
		}
	}
	return found
}
