// Command render copies what the chart shows of the rest of the tree into the chart, since
// Helm reads nothing outside of it, and renders the chart into plain manifests.
//
// It knows where files lie and which object goes into which file; what the objects are is
// the chart's business.
package main

import (
	"errors"
	"flag"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

func main() {
	if err := run(os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "render:", err)
		os.Exit(1)
	}
}

func run(args []string, out io.Writer) error {
	flags := flag.NewFlagSet("render", flag.ContinueOnError)
	root := flags.String("root", ".", "top of the tree")
	helm := flags.String("helm", "bin/tools/helm", "the program helm")
	check := flags.Bool("check", false, "write nothing; fail when something would change")
	if err := flags.Parse(args); err != nil {
		return err
	}
	copies, err := chartFiles(*root)
	if err != nil {
		return err
	}
	chart := folder{filepath.Join(*root, "deploy/helm/validator-monitor/files"), copies, func(name string) bool {
		return name == "postgres/20-superuser.sql" // the chart's own
	}}
	// The chart is rendered with the copies, so they come first.
	stale, err := chart.sync(*check)
	if err != nil {
		return err
	}
	if len(stale) > 0 && *check {
		return differ(stale)
	}
	rendered, err := manifests(*root, *helm)
	if err != nil {
		return err
	}
	plain := folder{filepath.Join(*root, "deploy/kubernetes"), rendered, func(name string) bool {
		return name == "values.yaml"
	}}
	changed, err := plain.sync(*check)
	if err != nil {
		return err
	}
	stale = append(stale, changed...)
	if len(stale) > 0 && *check {
		return differ(stale)
	}
	for _, name := range stale {
		fmt.Fprintln(out, name)
	}
	return nil
}

func differ(stale []string) error {
	return fmt.Errorf("not up to date; run make generate:\n\t%s", strings.Join(stale, "\n\t"))
}

// folder is a folder whose files are generated, apart from those that are kept.
type folder struct {
	path string
	want map[string][]byte // by path within the folder
	kept func(name string) bool
}

// sync makes the folder as it is wanted and tells which files it changed, or with check
// would change: written or removed.
func (f folder) sync(check bool) (changed []string, err error) {
	have := map[string][]byte{}
	err = filepath.WalkDir(f.path, func(path string, entry os.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		name, err := filepath.Rel(f.path, path)
		if err != nil {
			return err
		}
		text, err := os.ReadFile(path)
		have[filepath.ToSlash(name)] = text
		return err
	})
	if err != nil {
		return nil, err
	}
	for name := range have {
		if _, wanted := f.want[name]; !wanted && !f.kept(name) {
			changed = append(changed, filepath.Join(f.path, name))
			if !check {
				err = errors.Join(err, os.Remove(filepath.Join(f.path, name)))
			}
		}
	}
	for name, text := range f.want {
		if old, ok := have[name]; ok && string(old) == string(text) {
			continue
		}
		path := filepath.Join(f.path, name)
		changed = append(changed, path)
		if !check {
			err = errors.Join(err, os.MkdirAll(filepath.Dir(path), 0o755), os.WriteFile(path, text, 0o644))
		}
	}
	slices.Sort(changed)
	return changed, err
}

// chartFiles are the files below the chart's files/ that are copies.
func chartFiles(root string) (map[string][]byte, error) {
	files := map[string][]byte{}
	read := func(from, to string) error {
		text, err := os.ReadFile(filepath.Join(root, from))
		files[to] = text
		return err
	}
	err := errors.Join(
		read("deploy/prometheus/remote-write.yml", "prometheus/remote-write.yml"),
		read("deploy/compose/postgres/10-roles.sh", "postgres/10-roles.sh"),
	)
	for _, preset := range []string{"operator", "solo"} {
		from, to := "mixin/generated/"+preset+"/", "mixin/"+preset+"/"
		for _, name := range []string{"alerts.yaml", "recording-rules.yaml", "alertmanager.yaml"} {
			err = errors.Join(err, read(from+name, to+name))
		}
		dashboards, globErr := filepath.Glob(filepath.Join(root, from, "dashboards/*.json"))
		err = errors.Join(err, globErr)
		if len(dashboards) == 0 {
			err = errors.Join(err, fmt.Errorf("%sdashboards has none", from))
		}
		for _, path := range dashboards {
			name := "dashboards/" + filepath.Base(path)
			err = errors.Join(err, read(from+name, to+name))
		}
	}
	return files, err
}
