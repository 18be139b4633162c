package kubernetes

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
)

// programs are the paths of the third-party programs.
type programs struct{ etcd, apiserver, kubectl string }

// find looks for the programs of bin/tools in dir, or in the module's bin/tools when dir
// is empty, and for etcd in PATH: distributions package it.
func find(dir string) (programs, error) {
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return programs{}, err
		}
		dir = filepath.Join(root, "bin", "tools")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return programs{}, fmt.Errorf("find programs: %w", err)
	}
	var p programs
	var missing []string
	for name, path := range map[string]*string{"kube-apiserver": &p.apiserver, "kubectl": &p.kubectl} {
		*path = filepath.Join(dir, name)
		if info, err := os.Stat(*path); err != nil || info.IsDir() {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return programs{}, fmt.Errorf("no %s in %s: run make tools", strings.Join(missing, ", "), dir)
	}
	if p.etcd, err = exec.LookPath("etcd"); err != nil {
		return programs{}, errors.New("no etcd in PATH: install it with scripts/etcd.sh, or with apt-get install etcd-server")
	}
	return p, nil
}

// moduleRoot is the nearest directory above the working directory with a go.mod:
// tests run in their package's directory.
func moduleRoot() (string, error) {
	dir, err := os.Getwd()
	if err != nil {
		return "", fmt.Errorf("find the module's root: %w", err)
	}
	for {
		if _, err := os.Stat(filepath.Join(dir, "go.mod")); err == nil {
			return dir, nil
		}
		parent := filepath.Dir(dir)
		if parent == dir {
			return "", errors.New("find bin/tools: no go.mod above the working directory; name the directory of the programs")
		}
		dir = parent
	}
}
