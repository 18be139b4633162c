package deploy_test

import (
	"bufio"
	"encoding/json"
	"errors"
	"io"
	"io/fs"
	"os"
	"os/exec"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strings"
	"testing"
)

// What can be said of the Dockerfile without building it; image_e2e_test.go builds it.

func TestWithoutAnEngineItIsSaidWhatToInstall(t *testing.T) {
	path := t.TempDir() // with bash, and an id that is not root's: nothing is installed
	for _, program := range []string{"bash", "env"} {
		found, err := exec.LookPath(program)
		if err != nil {
			t.Fatal(err)
		}
		if err := os.Symlink(found, filepath.Join(path, program)); err != nil {
			t.Fatal(err)
		}
	}
	if err := os.WriteFile(filepath.Join(path, "id"), []byte("#!/usr/bin/env bash\necho 1000\n"), 0o700); err != nil {
		t.Fatal(err)
	}
	cmd := exec.CommandContext(t.Context(), "bash", root+"/scripts/image-engine.sh")
	cmd.Env = []string{"PATH=" + path}
	out, err := cmd.CombinedOutput()
	var exit *exec.ExitError
	if !errors.As(err, &exit) || !strings.Contains(string(out), "install podman") {
		t.Errorf("%v, and it says %q", err, out)
	}
}

func TestDockerfilePinsTheGoOfTheModule(t *testing.T) {
	pinned := pinnedGo(t)
	if !regexp.MustCompile(`^1\.\d+\.\d+$`).MatchString(pinned) {
		t.Fatalf("Go %q is no exact version", pinned)
	}
	modules, err := filepath.Glob(root + "/tools/*/go.mod")
	if err != nil || len(modules) == 0 {
		t.Fatalf("%d modules: %v", len(modules), err)
	}
	for _, file := range append(modules, root+"/go.mod") {
		for directive, match := range goDirectives(t, file) {
			if goRelease(match) != goRelease(pinned) || newerPatch(match, pinned) {
				t.Errorf("%s: %s %s, but the Dockerfile builds with %s", file, directive, match, pinned)
			}
		}
	}
}

// goDirectives are the lines go and toolchain of a go.mod.
func goDirectives(t *testing.T, file string) map[string]string {
	t.Helper()
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	found := map[string]string{}
	for _, match := range regexp.MustCompile(`(?m)^(go|toolchain) (?:go)?([0-9.]+)$`).FindAllStringSubmatch(string(text), -1) {
		found[match[1]] = match[2]
	}
	if found["go"] == "" {
		t.Fatalf("%s has no line go", file)
	}
	return found
}

// goRelease is the first two numbers of a version of Go.
func goRelease(version string) string {
	parts := strings.SplitN(version, ".", 3)
	return strings.Join(parts[:min(2, len(parts))], ".")
}

// newerPatch compares the third number of two versions of one release.
func newerPatch(a, b string) bool {
	patch := func(version string) (n int) {
		for _, digit := range strings.TrimPrefix(strings.TrimPrefix(version, goRelease(version)), ".") {
			n = 10*n + int(digit-'0')
		}
		return n
	}
	return patch(a) > patch(b)
}

// pinnedGo is the version of Go in the tag of the Dockerfile's builder.
func pinnedGo(t *testing.T) string {
	t.Helper()
	for _, i := range dockerfile(t) {
		if tag, ok := strings.CutPrefix(i.text, "BUILDER_IMAGE=golang:"); ok && i.name == "ARG" {
			version, _, _ := strings.Cut(tag, "-")
			return version
		}
	}
	t.Fatal("the Dockerfile has no builder golang:VERSION")
	return ""
}

func TestDockerfileAgreesWithVersionAndMakefile(t *testing.T) {
	version, err := os.ReadFile(root + "/VERSION")
	if err != nil {
		t.Fatal(err)
	}
	defaults := 0
	var build string
	for _, i := range dockerfile(t) {
		if value, ok := strings.CutPrefix(i.text, "VERSION="); ok && i.name == "ARG" {
			defaults++
			if value != strings.TrimSpace(string(version)) {
				t.Errorf("line %d: VERSION is %s, the file says %s", i.line, value, version)
			}
		}
		if i.name == "RUN" && strings.Contains(i.text, "go build") {
			build = i.text
		}
	}
	if defaults == 0 {
		t.Error("no default for VERSION")
	}
	makefile, err := os.ReadFile(root + "/Makefile")
	if err != nil {
		t.Fatal(err)
	}
	// Both link the same facts into the commands.
	linked := regexp.MustCompile(`-X \$\(?\w+\)?\.(\w+)=`)
	names := func(text string) (names []string) {
		for _, match := range linked.FindAllStringSubmatch(text, -1) {
			names = append(names, match[1])
		}
		return names
	}
	if got, want := names(build), names(string(makefile)); len(want) < 4 || !slices.Equal(got, want) {
		t.Errorf("the Dockerfile sets %q, the Makefile %q", got, want)
	}
	for _, flag := range []string{"-trimpath", "-s -w"} {
		if !strings.Contains(build, flag) || !strings.Contains(string(makefile), flag) {
			t.Errorf("%s is not in both", flag)
		}
	}
}

func TestImagesAreForAUserWithoutNameOrRights(t *testing.T) {
	parents, users, checks := map[string]string{}, map[string]string{}, map[string]string{}
	var stage string
	var targets []string
	for _, i := range dockerfile(t) {
		switch i.name {
		case "FROM":
			words := slices.DeleteFunc(strings.Fields(i.text), func(word string) bool { return strings.HasPrefix(word, "--") })
			if len(words) != 3 {
				t.Fatalf("line %d: FROM %s: a stage without a name", i.line, i.text)
			}
			stage = words[2]
			parents[stage] = words[0]
			if words[0] == "runtime" {
				targets = append(targets, stage)
			}
		case "USER":
			users[stage] = i.text
		case "HEALTHCHECK":
			_, checks[stage], _ = strings.Cut(i.text, "CMD ")
		case "ENTRYPOINT", "CMD", "SHELL":
			if !strings.HasPrefix(i.text, "[") {
				t.Errorf("line %d: %s %s needs a shell", i.line, i.name, i.text)
			}
		case "RUN":
			if stage != "build" {
				t.Errorf("line %d: stage %s runs something, but has no shell", i.line, stage)
			}
		}
	}
	if slices.Sort(targets); !slices.Equal(targets, []string{"chainsim", "validator-exporter", "validator-mixin", "validator-rollup"}) {
		t.Errorf("targets %q", targets)
	}
	for _, target := range targets {
		if users[target] != "" || users[parents[target]] != "10001:10001" {
			t.Errorf("%s: user %q after %q", target, users[target], users[parents[target]])
		}
		var want string
		if target == "validator-exporter" || target == "validator-rollup" {
			want = `["/` + target + `", "healthcheck"]`
		}
		if checks[target] != want {
			t.Errorf("%s: health check %q, want %q", target, checks[target], want)
		}
	}
	// What a build without --target makes.
	if stage != "validator-exporter" {
		t.Errorf("the last target is %s", stage)
	}
}

func TestBuildGetsWhatTheCompilerReadsAndNothingElse(t *testing.T) {
	ignored := ignoreFile(t)
	needed := compiled(t)
	for _, file := range []string{"go.mod", "go.sum", "VERSION", "LICENSE"} {
		needed[file] = true
	}
	for file := range needed {
		if ignored(file) {
			t.Errorf("%s is needed, and left out by .dockerignore", file)
		}
	}
	// Go files of packages that no command imports do no harm; anything else would be sent,
	// and would make a change of it a new build.
	err := filepath.WalkDir(root, func(p string, entry fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		file, err := filepath.Rel(root, p)
		if err != nil {
			return err
		}
		if entry.IsDir() {
			if file == ".git" || file == "bin" || file == "dist" {
				if !ignored(file + "/file") {
					t.Errorf("%s is let in", file)
				}
				return fs.SkipDir
			}
			return nil
		}
		goFile := strings.HasSuffix(file, ".go") && !strings.HasSuffix(file, "_test.go")
		if !ignored(file) && !needed[file] && !goFile {
			t.Errorf("%s is let in by .dockerignore, and not needed", file)
		}
		return nil
	})
	if err != nil {
		t.Fatal(err)
	}
	for _, i := range dockerfile(t) {
		if i.name != "COPY" || strings.Contains(i.text, "--from=") {
			continue
		}
		words := slices.DeleteFunc(strings.Fields(i.text), func(word string) bool { return strings.HasPrefix(word, "--") })
		for _, source := range words[:len(words)-1] {
			if _, err := os.Stat(filepath.Join(root, source)); err != nil {
				t.Errorf("line %d: %v", i.line, err)
			}
			if source != "." && ignored(source) {
				t.Errorf("line %d: %s is left out by .dockerignore", i.line, source)
			}
		}
	}
}

// compiled lists the files of this module from which the images' commands are made, on
// any platform.
func compiled(t *testing.T) map[string]bool {
	t.Helper()
	list := exec.Command("go", "list", "-deps", "-json=Dir,Standard,Module,GoFiles,IgnoredGoFiles,EmbedFiles",
		"./cmd/...", "./internal/chainsim/cmd/chainsim")
	list.Dir = root
	var stderr strings.Builder
	list.Stderr = &stderr
	out, err := list.Output()
	if err != nil {
		t.Fatalf("go list: %v\n%s", err, &stderr)
	}
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	files := map[string]bool{}
	for packages := json.NewDecoder(strings.NewReader(string(out))); ; {
		var p struct {
			Dir                                 string
			Module                              *struct{ Main bool }
			GoFiles, IgnoredGoFiles, EmbedFiles []string
		}
		if err := packages.Decode(&p); errors.Is(err, io.EOF) {
			break
		} else if err != nil {
			t.Fatal(err)
		}
		if p.Module == nil || !p.Module.Main {
			continue
		}
		for _, name := range slices.Concat(p.GoFiles, p.IgnoredGoFiles, p.EmbedFiles) {
			file, err := filepath.Rel(top, filepath.Join(p.Dir, name))
			if err != nil {
				t.Fatal(err)
			}
			if !strings.HasSuffix(file, "_test.go") {
				files[filepath.ToSlash(file)] = true
			}
		}
	}
	if len(files) < 50 {
		t.Fatalf("go list names %d files", len(files))
	}
	return files
}

// ignoreFile reads .dockerignore as builders do: the last pattern that matches a file, or
// a directory above it, says whether it is left out.
func ignoreFile(t *testing.T) func(file string) bool {
	t.Helper()
	text, err := os.ReadFile(root + "/.dockerignore")
	if err != nil {
		t.Fatal(err)
	}
	type rule struct {
		pattern *regexp.Regexp
		out     bool
	}
	var rules []rule
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		pattern, in := strings.CutPrefix(line, "!")
		if path.Clean(pattern) != pattern || strings.ContainsAny(pattern, `?[]\`) {
			t.Fatalf("%s: this test does not know such patterns", line)
		}
		expression := regexp.QuoteMeta(pattern)
		expression = strings.ReplaceAll(expression, `\*\*/`, `(?:.*/)?`)
		expression = strings.ReplaceAll(expression, `\*`, `[^/]*`)
		rules = append(rules, rule{regexp.MustCompile(`^` + expression + `(?:/.*)?$`), !in})
	}
	return func(file string) bool {
		out := false
		for _, r := range rules {
			if r.pattern.MatchString(file) {
				out = r.out
			}
		}
		return out
	}
}

// instruction is one of the Dockerfile, its continued lines joined.
type instruction struct {
	line       int
	name, text string
}

func dockerfile(t *testing.T) []instruction {
	t.Helper()
	file, err := os.Open(root + "/Dockerfile")
	if err != nil {
		t.Fatal(err)
	}
	defer file.Close()
	var found []instruction
	continued := false
	lines := bufio.NewScanner(file)
	for number := 1; lines.Scan(); number++ {
		line := strings.TrimSpace(lines.Text())
		if line == "" || strings.HasPrefix(line, "#") {
			continue
		}
		text, more := strings.CutSuffix(line, `\`)
		if continued {
			found[len(found)-1].text += strings.TrimSpace(text) + " "
		} else {
			name, rest, _ := strings.Cut(text, " ")
			found = append(found, instruction{number, name, strings.TrimSpace(rest)})
			if more {
				found[len(found)-1].text += " "
			}
		}
		continued = more
	}
	if err := lines.Err(); err != nil || len(found) == 0 {
		t.Fatalf("%d instructions: %v", len(found), err)
	}
	return found
}
