//go:build e2e

package deploy_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

const (
	// blockTimeout is how long one block of commands may take.
	blockTimeout = 150 * time.Second
	// serving is how long a block that serves must do so before the next one is run.
	serving = 4 * time.Second
)

// Every block of commands that is marked "run" is run, as a reader of the page would: one
// after the other in a fresh copy of the tree, each by bash -euo pipefail.
func TestCommandsOfTheDocumentationWork(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("it gives the commands a network of their own, in which they find what they need at the documented addresses: run it as root")
	}
	for program, of := range map[string]string{
		"curl": "curl", "git": "git", "ip": "iproute2", "openssl": "openssl", "setpriv": "util-linux", "unshare": "util-linux",
	} {
		if _, err := exec.LookPath(program); err != nil {
			t.Fatalf("%v: apt-get install %s", err, of)
		}
	}
	tree := copyTree(t)
	for _, d := range guides(t) {
		for _, name := range d.environments(t) {
			t.Run(strings.ReplaceAll(d.path, "/", " ")+" "+name, func(t *testing.T) {
				runSession(t, tree, d, name)
			})
		}
	}
}

// environments are those that the page's blocks name, in their order, without "ci".
func (d *doc) environments(t *testing.T) []string {
	var out []string
	for _, b := range d.runnable(t) {
		if o, _ := b.order(); o.environment != "" && o.environment != "ci" && !slices.Contains(out, o.environment) {
			out = append(out, o.environment)
		}
	}
	return out
}

func (d *doc) runnable(t *testing.T) []block {
	t.Helper()
	var out []block
	for _, b := range d.blocks {
		if b.lang != "sh" && b.lang != "sql" {
			continue
		}
		if _, err := b.order(); err != nil {
			t.Fatalf("%s: %v", b.at(), err)
		}
		out = append(out, b)
	}
	return out
}

// copyTree copies what a clone has, as it is now, with the programs built into bin/, and
// those of bin/tools.
func copyTree(t *testing.T) string {
	t.Helper()
	tree := t.TempDir()
	top, err := filepath.Abs(root)
	if err != nil {
		t.Fatal(err)
	}
	script := `set -euo pipefail
cd "$1"
# Files that are deleted and not committed yet are listed too.
git ls-files -z --cached --others --exclude-standard | while IFS= read -r -d '' f; do if [ -e "$f" ]; then printf '%s\0' "$f"; fi; done |
  tar --create --null --files-from=- | tar --extract --directory="$2"
mkdir -p "$2/bin"
ln -s "$1/bin/tools" "$2/bin/tools"
cd "$2"
go build -trimpath -o bin/ ./cmd/... ./internal/chainsim/cmd/chainsim`
	if said, err := exec.Command("bash", "-c", script, "bash", top, tree).CombinedOutput(); err != nil {
		t.Fatalf("copy the tree: %v\n%s", err, said)
	}
	return tree
}

// runSession runs the page's blocks of one environment.
func runSession(t *testing.T, tree string, d *doc, name string) {
	environment := environments()[name]
	dir, files := filepath.Join(t.TempDir(), "tree"), t.TempDir()
	if said, err := exec.Command("cp", "-a", tree, dir).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, said)
	}
	// The page's examples are the files that its commands read.
	for _, b := range slices.Backward(d.blocks) {
		if file := b.file(); file != "" && b.lang == "yaml" {
			writeFile(t, filepath.Join(dir, file), b.text)
		}
	}
	writeFile(t, filepath.Join(dir, "keys.txt"), "0x"+strings.Repeat("ab", 48)+"\n")

	var blocks []block
	var script strings.Builder
	fmt.Fprintf(&script, "set -euo pipefail\ncd %q\nexport PATH=%q:$PATH\nfiles=%q\n", dir, dir+"/bin:"+dir+"/bin/tools", files)
	if !environment.cluster {
		script.WriteString(ownNetwork)
	}
	if environment.postgres {
		script.WriteString(ownPostgres)
	}
	script.WriteString(environment.before + "echo ready\n")
	for _, b := range d.runnable(t) {
		o, _ := b.order()
		if o.environment != name {
			continue
		}
		n := len(blocks)
		blocks = append(blocks, b)
		file := filepath.Join(files, strconv.Itoa(n))
		writeFile(t, file+"."+b.lang, b.text)
		command := fmt.Sprintf("bash -euo pipefail %q", file+".sh")
		if b.lang == "sql" {
			command = fmt.Sprintf("psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --file=%q", file+".sql")
		}
		if o.serves {
			fmt.Fprintf(&script, "%s </dev/null >%q 2>&1 & pid%d=$!\nsleep %.0f\nif kill -0 $pid%d; then echo %d 0; else echo %d ended; fi\n",
				command, file+".log", n, serving.Seconds(), n, n, n)
		} else {
			fmt.Fprintf(&script, "status=0; timeout %.0f %s </dev/null >%q 2>&1 || status=$?; echo %d $status\n",
				blockTimeout.Seconds(), command, file+".log", n)
		}
	}
	writeFile(t, filepath.Join(files, "session.sh"), script.String())

	ctx, cancel := context.WithTimeout(t.Context(), time.Duration(len(blocks)+1)*blockTimeout)
	defer cancel()
	said, err := environment.run(ctx, t, filepath.Join(files, "session.sh"))
	if err != nil || !strings.Contains(said, "ready\n") {
		logs, _ := filepath.Glob(filepath.Join(dir, "*.log"))
		for _, log := range logs {
			text, _ := os.ReadFile(log) // it helps only
			said += "\n" + filepath.Base(log) + ":\n" + string(text)
		}
		t.Errorf("the environment %q (%s): %v\n%s", name, environment.about, err, said)
	}
	results := map[string]string{}
	for _, m := range regexp.MustCompile(`(?m)^(\d+) (\w+)$`).FindAllStringSubmatch(said, -1) {
		results[m[1]] = m[2]
	}
	for n, b := range blocks {
		t.Run(fmt.Sprintf("line %d", b.line), func(t *testing.T) {
			if status := results[strconv.Itoa(n)]; status != "0" {
				output, _ := os.ReadFile(filepath.Join(files, strconv.Itoa(n)+".log")) // empty if it was not run
				t.Errorf("%s: status %q\n%s\n%s", b.at(), status, b.text, output)
			}
		})
	}
}

// run runs the script in namespaces of its own, all of whose processes end with it; or
// with a cluster, in the network of this machine.
func (e environment) run(ctx context.Context, t *testing.T, script string) (string, error) {
	if e.cluster {
		c := cluster(t)
		if _, err := c.Kubectl(ctx, "create", "namespace", "monitoring"); err != nil {
			return "", err
		}
		return c.Run(ctx, nil, "unshare", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", script)
	}
	command := exec.CommandContext(ctx, "unshare", "--net", "--mount", "--pid", "--fork", "--kill-child", "--mount-proc", "bash", script)
	command.WaitDelay = 10 * time.Second
	said, err := command.CombinedOutput()
	return string(said), err
}

const (
	ownNetwork = `ip link set lo up
printf '127.0.0.1 localhost db\n' >"$files/hosts"
mount --bind "$files/hosts" /etc/hosts
`
	// Postgres does not run as root, and may not enter the folders of tests.
	ownPostgres = `mount -t tmpfs -o mode=1777 tmpfs /mnt
pg=$(dirname "$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort --version-sort | tail -n 1)")
export PATH=$PATH:$pg
as_nobody() { setpriv --reuid=65534 --regid=65534 --clear-groups "$@"; }
(cd /mnt && as_nobody initdb --pgdata=/mnt/data --username=postgres --auth-local=trust --auth-host=scram-sha-256 >"$files/initdb.log")
(cd /mnt && as_nobody pg_ctl --pgdata=/mnt/data --log=/mnt/log --wait --options="-c unix_socket_directories=/mnt -c fsync=off" start >"$files/pg_ctl.log")
export PGHOST=/mnt PGUSER=postgres
psql --quiet --dbname=postgres --command="CREATE ROLE rollup LOGIN CREATEROLE PASSWORD 'PASSWORD'" --command="CREATE DATABASE rollup OWNER rollup"
export PGDATABASE=rollup
`
)

func writeFile(t *testing.T, file, text string) {
	t.Helper()
	if err := errors.Join(os.MkdirAll(filepath.Dir(file), 0o700), os.WriteFile(file, []byte(text), 0o600)); err != nil {
		t.Fatal(err)
	}
}

// The flags that docs_test.go finds in the source are those that the programs have, and the
// defaults in the README's table are theirs.
func TestFlagsOfTheDocumentationAreThoseOfThePrograms(t *testing.T) {
	tree := copyTree(t)
	option := regexp.MustCompile(`(?m)^\s+(?:-\w, )?--(?:\[no-\])?([a-z][a-z0-9.-]*)(?:=("[^"]*"|\S+))?`)
	values := map[string]string{}
	for name, flags := range programFlags(t) {
		if name == "chainsim" {
			continue // The standard library's flags, which a test of its own knows.
		}
		help, err := exec.Command(filepath.Join(tree, "bin", name), "--help-long").CombinedOutput()
		if err != nil {
			t.Fatalf("%s: %v\n%s", name, err, help)
		}
		if name == "validator-exporter" || name == "validator-rollup" {
			args := []string{"healthcheck", "--help"}
			more, err := exec.Command(filepath.Join(tree, "bin", name), args...).CombinedOutput()
			if err != nil {
				t.Fatalf("%s: %v\n%s", name, err, more)
			}
			help = append(help, more...)
		}
		has := map[string]bool{"help-long": true, "help-man": true}
		for _, m := range option.FindAllSubmatch(help, -1) {
			has[string(m[1])] = true
			if name == "validator-exporter" && values[string(m[1])] == "" {
				values[string(m[1])] = strings.Trim(string(m[2]), `"`)
			}
		}
		for flag := range flags {
			if !has[flag] {
				t.Errorf("%s has no flag --%s", name, flag)
			}
		}
		for flag := range has {
			if !flags[flag] {
				t.Errorf("%s: the flag --%s was not found in the source", name, flag)
			}
		}
	}
	row := regexp.MustCompile("^\\| `--([a-z.-]+)`[^|]*\\| `([^`]+)` \\|")
	rows := 0
	for _, line := range readDocs(t, []string{"README.md"})[0].prose {
		if m := row.FindStringSubmatch(line); m != nil {
			rows++
			// Without a default, the help shows a placeholder in its place.
			if got := values[m[1]]; got != m[2] && !(m[1] == "beacon.url" && got == "URL") {
				t.Errorf("README.md: the default of --%s is %s, not %s", m[1], got, m[2])
			}
		}
	}
	if rows < 5 {
		t.Errorf("only %d defaults were found", rows)
	}
}

// Examples of configuration are accepted by the programs that they are for. Those of
// Alertmanager are pieces: each is put into the generated example first.
func TestExamplesOfTheDocumentationAreAccepted(t *testing.T) {
	tree := copyTree(t)
	tool := func(name string) string { return filepath.Join(tree, "bin", "tools", name) }
	accepted := map[string]int{}
	for _, d := range guides(t) {
		for _, b := range d.blocks {
			if b.lang != "yaml" {
				continue
			}
			t.Run(b.at(), func(t *testing.T) {
				file := filepath.Join(t.TempDir(), "example.yaml")
				switch name := b.file(); name {
				case "alertmanager.yml":
					for _, preset := range mixin.Presets() {
						writeFile(t, file, withExample(t, preset.Preset, b.text))
						mustRun(t, tree, tool("amtool"), "check-config", file)
					}
				case "prometheus.yml":
					// What it names need not be where it says.
					writeFile(t, file, b.text)
					mustRun(t, tree, tool("promtool"), "check", "config", "--syntax-only", file)
				case "rules.yml":
					writeFile(t, file, b.text)
					mustRun(t, tree, tool("promtool"), "check", "rules", "--lint=all", "--lint-fatal", file)
				case "values.yaml":
					writeFile(t, file, b.text)
					mustRun(t, tree, tool("helm"), append(helmTemplate(), "--values", file)...)
				case "":
					documents, err := yamlDocuments(b.text)
					if err != nil {
						t.Fatal(err)
					}
					for _, document := range documents {
						values, base := gitOpsValues(document)
						if values == nil {
							continue
						}
						text, err := yaml.Marshal(values)
						if err != nil {
							t.Fatal(err)
						}
						writeFile(t, file, string(text))
						args := helmTemplate()
						for _, name := range base {
							args = append(args, "--values", filepath.Join("deploy/helm/validator-monitor", filepath.Base(name)))
						}
						mustRun(t, tree, tool("helm"), append(args, "--values", file)...)
						accepted[document["kind"].(string)]++
					}
				default:
					return
				}
				accepted[b.file()]++
			})
		}
	}
	for _, file := range []string{"alertmanager.yml", "prometheus.yml", "rules.yml", "values.yaml", "Application", "HelmRelease"} {
		if accepted[file] == 0 {
			t.Errorf("there is no example of %s", file)
		}
	}
}

// helmTemplate renders the chart. Our helm is built without the version of Kubernetes that a
// released one takes for the cluster's.
func helmTemplate() []string {
	return []string{"template", "validator-monitor", "deploy/helm/validator-monitor", "--kube-version", "v1.34.0"}
}

// gitOpsValues are the chart's values that an object of Argo CD or Flux has, and the names
// of the values files that it names.
func gitOpsValues(document map[string]any) (values any, files []string) {
	at := func(keys ...string) any {
		var value any = document
		for _, key := range keys {
			inner, _ := value.(map[string]any)
			value = inner[key]
		}
		return value
	}
	var names any
	switch document["kind"] {
	case "Application":
		values, names = at("spec", "source", "helm", "valuesObject"), at("spec", "source", "helm", "valueFiles")
	case "HelmRelease":
		values, names = at("spec", "values"), at("spec", "chart", "spec", "valuesFiles")
	}
	list, _ := names.([]any)
	for _, name := range list {
		files = append(files, fmt.Sprint(name))
	}
	return values, files
}

// withExample is the preset's configuration of Alertmanager with a snippet put into it:
// its routes come first, its receivers take the place of those of the same name.
func withExample(t *testing.T, preset, snippet string) string {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "mixin", "generated", preset, "alertmanager.yaml"))
	if err != nil {
		t.Fatal(err)
	}
	var whole, piece map[string]any
	if err := errors.Join(yaml.Unmarshal(text, &whole), yaml.Unmarshal([]byte(snippet), &piece)); err != nil {
		t.Fatal(err)
	}
	for key, value := range piece {
		switch key {
		case "route":
			route := whole["route"].(map[string]any)
			for key, value := range value.(map[string]any) {
				if key != "routes" {
					route[key] = value
					continue
				}
				route["routes"] = append(slices.Clone(value.([]any)), route["routes"].([]any)...)
			}
		case "receivers":
			for _, r := range value.([]any) {
				name := r.(map[string]any)["name"]
				receivers := slices.DeleteFunc(whole["receivers"].([]any), func(other any) bool { return other.(map[string]any)["name"] == name })
				whole["receivers"] = append(receivers, r)
			}
		default:
			if whole[key] != nil {
				t.Fatalf("how to put %q into the example is not known here", key)
			}
			whole[key] = value
		}
	}
	var out bytes.Buffer
	if err := yaml.NewEncoder(&out).Encode(whole); err != nil {
		t.Fatal(err)
	}
	return out.String()
}

func mustRun(t *testing.T, dir, program string, args ...string) {
	t.Helper()
	command := exec.Command(program, args...)
	command.Dir = dir
	if said, err := command.CombinedOutput(); err != nil {
		t.Errorf("%s %s: %v\n%s", filepath.Base(program), strings.Join(args, " "), err, said)
	}
}
