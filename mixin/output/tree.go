package output

import (
	"bytes"
	"errors"
	"fmt"
	"io/fs"
	"maps"
	"os"
	"path"
	"path/filepath"
	"slices"
)

// Kind says in what way a directory differs from the files that it should hold.
type Kind string

// The kinds of differences.
const (
	Changed Kind = "changed" // the file holds something else
	Missing Kind = "missing" // there is no such file
	Stray   Kind = "stray"   // nothing makes this file
)

// Difference is one file that is not as it should be.
type Difference struct {
	// Path is relative to the directory, with slashes.
	Path string
	Kind Kind
}

// Compare lists by path where dir differs from files, whose keys are paths relative to
// it. A directory that is not there lacks every file.
func Compare(dir string, files map[string][]byte) ([]Difference, error) {
	found, err := list(dir)
	if err != nil {
		return nil, err
	}
	var differences []Difference
	for _, name := range slices.Sorted(maps.Keys(files)) {
		content, err := os.ReadFile(filepath.Join(dir, filepath.FromSlash(name)))
		switch {
		case errors.Is(err, fs.ErrNotExist):
			differences = append(differences, Difference{name, Missing})
		case err != nil:
			return nil, fmt.Errorf("compare %s: %w", name, err)
		case !bytes.Equal(content, files[name]):
			differences = append(differences, Difference{name, Changed})
		}
	}
	for _, name := range found {
		if _, ok := files[name]; !ok {
			differences = append(differences, Difference{name, Stray})
		}
	}
	slices.SortFunc(differences, func(a, b Difference) int { return bytes.Compare([]byte(a.Path), []byte(b.Path)) })
	return differences, nil
}

// Write makes dir hold files, whose keys are paths relative to it. Each file is
// replaced whole or not at all, and left alone when it is right already. YAML, JSON and
// Markdown files in dir that are not among files are deleted, with the directories that
// this empties: dir must be one that holds nothing else of worth.
func Write(dir string, files map[string][]byte) error {
	for _, name := range slices.Sorted(maps.Keys(files)) {
		if !filepath.IsLocal(filepath.FromSlash(name)) || path.Clean(name) != name {
			return fmt.Errorf("write %q: not a plain path below %s", name, dir)
		}
		if err := replace(filepath.Join(dir, filepath.FromSlash(name)), files[name]); err != nil {
			return err
		}
	}
	found, err := list(dir)
	if err != nil {
		return err
	}
	for _, name := range found {
		if _, ok := files[name]; ok || !isGeneratedKind(name) {
			continue
		}
		if err := os.Remove(filepath.Join(dir, filepath.FromSlash(name))); err != nil {
			return fmt.Errorf("delete what is no longer made: %w", err)
		}
		// Upwards, until a directory still holds something.
		for parent := path.Dir(name); parent != "."; parent = path.Dir(parent) {
			if os.Remove(filepath.Join(dir, filepath.FromSlash(parent))) != nil {
				break
			}
		}
	}
	return nil
}

func isGeneratedKind(name string) bool {
	switch path.Ext(name) {
	case ".yaml", ".json", ".md":
		return true
	}
	return false
}

// list names all files below dir, with slashes; none when there is no dir.
func list(dir string) ([]string, error) {
	var names []string
	err := filepath.WalkDir(dir, func(name string, entry fs.DirEntry, err error) error {
		if err != nil {
			if name == dir && errors.Is(err, fs.ErrNotExist) {
				return fs.SkipAll
			}
			return err
		}
		if entry.IsDir() {
			return nil
		}
		relative, err := filepath.Rel(dir, name)
		names = append(names, filepath.ToSlash(relative))
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("list %s: %w", dir, err)
	}
	return names, nil
}

// replace makes content the content of the file name, by way of a file next to it.
func replace(name string, content []byte) (err error) {
	if old, err := os.ReadFile(name); err == nil && bytes.Equal(old, content) {
		return nil
	}
	if err := os.MkdirAll(filepath.Dir(name), 0o755); err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	temporary, err := os.CreateTemp(filepath.Dir(name), ".*.new")
	if err != nil {
		return fmt.Errorf("write %s: %w", name, err)
	}
	defer func() {
		if err != nil {
			err = fmt.Errorf("write %s: %w", name, errors.Join(err, os.Remove(temporary.Name())))
		}
	}()
	_, err = temporary.Write(content)
	if err = errors.Join(err, temporary.Chmod(0o644), temporary.Close()); err != nil {
		return err
	}
	return os.Rename(temporary.Name(), name)
}
