package devnet

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// Programs are the paths of the third-party programs.
type Programs struct {
	BeaconChain, Validator, Prysmctl, Geth, Prometheus, Promtool string
}

// Binaries finds the programs of a chain in dir, or in the module's bin/tools when dir is
// empty. When one is missing the error tells how to get it.
func Binaries(dir string) (Programs, error) {
	var p Programs
	err := FindTools(dir, map[string]*string{
		"beacon-chain": &p.BeaconChain, "validator": &p.Validator, "prysmctl": &p.Prysmctl,
		"geth": &p.Geth, "prometheus": &p.Prometheus, "promtool": &p.Promtool,
	})
	if err != nil {
		return Programs{}, err
	}
	return p, nil
}

// FindTools finds each named program in dir, or in the module's bin/tools when dir is
// empty, and stores its absolute path. When one is missing the error tells how to get it.
func FindTools(dir string, paths map[string]*string) error {
	if dir == "" {
		root, err := moduleRoot()
		if err != nil {
			return err
		}
		dir = filepath.Join(root, "bin", "tools")
	}
	dir, err := filepath.Abs(dir)
	if err != nil {
		return fmt.Errorf("find programs: %w", err)
	}
	var missing []string
	for name, path := range paths {
		*path = filepath.Join(dir, name)
		if info, err := os.Stat(*path); err != nil || info.IsDir() {
			missing = append(missing, name)
		}
	}
	if len(missing) > 0 {
		slices.Sort(missing)
		return fmt.Errorf("no %s in %s: run make tools", strings.Join(missing, ", "), dir)
	}
	return nil
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
