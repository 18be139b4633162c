package deploy_test

import (
	"bytes"
	"errors"
	"flag"
	"fmt"
	"go/ast"
	goparser "go/parser"
	"go/token"
	"io"
	"io/fs"
	"log/slog"
	"maps"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
	"github.com/prometheus/prometheus/model/rulefmt"
	"github.com/prometheus/prometheus/promql/parser"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
	ours "github.com/ethereum-validator-monitor/validator-monitor/internal/program"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/rules"
	rollup "github.com/ethereum-validator-monitor/validator-monitor/rollup/catalog"
)

// The documentation, as its readers take it: every command works or says why nobody has
// tried it, every name exists, every example is read by the program that it is for. What
// needs programs to run is in docs_e2e_test.go.

var updateReadme = flag.Bool("update-readme", false, "rewrite the table of alerts in README.md")

// root is the top of the tree, from the folder of this package.
const root = "../.."

// guides are the pages whose commands people type.
func guides(t *testing.T) []*doc {
	t.Helper()
	paths := []string{"README.md", "CONTRIBUTING.md", "SECURITY.md", "mixin/README.md"}
	inDocs, err := filepath.Glob(root + "/docs/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range inDocs {
		// make generate writes metrics.md.
		if name := filepath.Base(p); name != "metrics.md" {
			paths = append(paths, "docs/"+name)
		}
	}
	err = filepath.WalkDir(root+"/deploy", func(p string, _ fs.DirEntry, err error) error {
		if filepath.Base(p) == "README.md" {
			paths = append(paths, strings.TrimPrefix(filepath.ToSlash(p), root+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return readDocs(t, paths)
}

// allPages are the guides and everything that links or is linked to.
func allPages(t *testing.T) []*doc {
	t.Helper()
	paths := []string{"CHANGELOG.md", "docs/metrics.md", "mixin/CHANGELOG.md", "test/recordings/README.md"}
	runbooks, err := filepath.Glob(root + "/docs/runbooks/*.md")
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range runbooks {
		paths = append(paths, "docs/runbooks/"+filepath.Base(p))
	}
	return append(guides(t), readDocs(t, paths)...)
}

func readDocs(t *testing.T, paths []string) []*doc {
	t.Helper()
	var out []*doc
	for _, p := range paths {
		text, err := os.ReadFile(filepath.Join(root, p))
		if err != nil {
			t.Fatal(err)
		}
		out = append(out, parseDoc(p, string(text)))
	}
	return out
}

// doc is a page of Markdown.
type doc struct {
	path   string
	blocks []block
	// prose are the lines that belong to no block, by their number less one; those of
	// blocks are empty.
	prose []string
}

// eachInColumn calls see with each piece of code in the table columns of that heading.
func (d *doc) eachInColumn(heading string, see func(at, text string)) {
	column := -1
	for i, line := range d.prose {
		cells := strings.Split(strings.Trim(line, "| "), " | ")
		switch {
		case !strings.HasPrefix(line, "|"):
			column = -1
		case slices.Contains(cells, heading):
			column = slices.Index(cells, heading)
		case column >= 0 && column < len(cells):
			for _, m := range codeSpan.FindAllStringSubmatch(cells[column], -1) {
				see(fmt.Sprintf("%s:%d", d.path, i+1), m[1])
			}
		}
	}
}

// block is a fenced block of code.
type block struct {
	page string
	line int // of the first line within
	lang string
	text string
	// mark is the HTML comment on the line before, without <!-- and -->.
	mark string
	// open is true when the page ends within the block.
	open bool
}

func (b block) at() string { return fmt.Sprintf("%s:%d", b.page, b.line) }

// file is the name in the block's first line, when that is a comment such as "# watch.yml".
func (b block) file() string {
	first, _, _ := strings.Cut(b.text, "\n")
	if m := fileComment.FindStringSubmatch(first); m != nil {
		return m[1]
	}
	return ""
}

var fileComment = regexp.MustCompile(`^# ((?:[a-z-]+/)?[a-z][a-z0-9-]*\.ya?ml)$`)

func parseDoc(p, text string) *doc {
	d := &doc{path: p}
	lines := strings.Split(text, "\n")
	var current *block
	indent := ""
	for i, line := range lines {
		trimmed := strings.TrimLeft(line, " ")
		switch {
		case current == nil && strings.HasPrefix(trimmed, "```"):
			indent = line[:len(line)-len(trimmed)]
			current = &block{page: p, line: i + 2, lang: strings.TrimPrefix(trimmed, "```"), open: true}
			if i > 0 {
				if m := htmlComment.FindStringSubmatch(lines[i-1]); m != nil {
					current.mark = m[1]
				}
			}
			d.prose = append(d.prose, "")
		case current != nil && trimmed == "```":
			current.open = false
			d.blocks = append(d.blocks, *current)
			current = nil
			d.prose = append(d.prose, "")
		case current != nil:
			current.text += strings.TrimPrefix(line, indent) + "\n"
			d.prose = append(d.prose, "")
		default:
			d.prose = append(d.prose, line)
		}
	}
	if current != nil {
		d.blocks = append(d.blocks, *current)
	}
	return d
}

var htmlComment = regexp.MustCompile(`^\s*<!-- (.*) -->$`)

var codeSpan = regexp.MustCompile("`([^`]+)`")

// spans are the pieces of code within the prose.
func (d *doc) spans(yield func(line int, code string)) {
	for i, line := range d.prose {
		for _, m := range codeSpan.FindAllStringSubmatch(line, -1) {
			yield(i+1, m[1])
		}
	}
}

// order is what the mark of a block of commands asks for.
type order struct {
	environment string
	// serves is true when the block's last command goes on until it is stopped.
	serves bool
	// reason is why the block is not run.
	reason string
}

var runMark = regexp.MustCompile(`^run: ([a-z-]+)(, serves)?$`)

func (b block) order() (order, error) {
	if reason, found := strings.CutPrefix(b.mark, "not run: "); found {
		if len(strings.Fields(reason)) < 3 {
			return order{}, fmt.Errorf("%q is no reason", reason)
		}
		return order{reason: reason}, nil
	}
	m := runMark.FindStringSubmatch(b.mark)
	if m == nil {
		return order{}, errors.New("the line before must be <!-- run: ENVIRONMENT -->, <!-- run: ENVIRONMENT, serves --> or <!-- not run: REASON -->")
	}
	if _, known := environments()[m[1]]; !known {
		return order{}, fmt.Errorf("there is no environment %q; there are %s", m[1], strings.Join(slices.Sorted(maps.Keys(environments())), ", "))
	}
	return order{environment: m[1], serves: m[2] != ""}, nil
}

// environment is what there is around the commands of a page. All blocks of a page that
// name the same one are run one after the other, in a fresh copy of the tree, as root in a
// network of their own, so that they find what they need at the addresses that they name.
type environment struct {
	// about says what there is.
	about string
	// before is a script that makes it so, in the copy. What it starts in the background
	// ends with the session.
	before string
	// postgres: a database, reached as in the documentation. cluster: a Kubernetes API
	// server, for which the network is that of the machine.
	postgres, cluster bool
}

// environments by their names. "ci" is none: such blocks are steps of .ci/run itself.
func environments() map[string]environment {
	const (
		await = `await() { for _ in $(seq 200); do if curl -fs -o /dev/null "$1"; then return; fi; sleep 0.1; done; echo "nothing answers at $1" >&2; return 1; }` + "\n"
		node  = await + "chainsim --listen 127.0.0.1:5052 --validators 3000 --slot-duration 2s >chainsim.log 2>&1 &\nawait http://localhost:5052/eth/v1/node/version\n"
	)
	return map[string]environment{
		"ci":        {about: "a step of .ci/run"},
		"shell":     {about: "the tree, its programs and those of bin/tools in PATH"},
		"simulated": {about: "the tree, and nothing that listens"},
		"node":      {about: "a beacon node at localhost:5052", before: node},
		"exporter": {
			about: "a beacon node, and validator-exporter at localhost:8080 with the page's watch.yml",
			before: node + `[ -e watch.yml ] || echo 'validators: [{indices: "0-9"}]' >watch.yml
validator-exporter --beacon.url=http://localhost:5052 --validators.config=watch.yml >exporter.log 2>&1 &
await http://localhost:8080/health
# As Prometheus does, until counters are whole.
for _ in $(seq 100); do
  curl -fs -o /dev/null http://localhost:8080/metrics
  if curl -fs -o /dev/null http://localhost:8080/-/ready; then break; fi
  sleep 0.2
done
`,
		},
		"postgres": {
			about: "an empty database at db:5432 of the user rollup, whose URL is in the file db-url; libpq's variables lead its administrator there",
			before: `echo 'postgres://rollup:PASSWORD@db:5432/rollup' >db-url && chmod 600 db-url
`,
			postgres: true,
		},
		"compose": {
			about:    "Postgres with the roles of deploy/compose, a receiver that stores into it, and a command docker whose compose exec, stop and up are theirs",
			before:   await + composedDatabase,
			postgres: true,
		},
		"alertmanager": {
			about: "Alertmanager at localhost:9093 with the example of the preset solo",
			before: await + `alertmanager --config.file=mixin/generated/solo/alertmanager.yaml --storage.path=data --cluster.listen-address= >alertmanager.log 2>&1 &
await http://localhost:9093/-/ready
`,
		},
		"cluster": {about: "a Kubernetes API server with the Prometheus Operator's CRDs and the namespace monitoring", cluster: true},
		// For a second way to install the same in one page.
		"another-cluster": {about: "like cluster, and empty again", cluster: true},
	}
}

// composedDatabase is a database as compose.yaml makes it, with something in it that a restore
// must bring back, and what stands in for docker: programs of containers are those of this
// machine. To start the receiver again fails when what Grafana may do is not as before.
const composedDatabase = `dropdb rollup && dropuser rollup && createdb rollup
printf owner >"$files/owner"; printf reader >"$files/reader"
export POSTGRES_USER=postgres POSTGRES_DB=rollup ROLLUP_PASSWORD_FILE=$files/owner ROLLUP_READER_PASSWORD_FILE=$files/reader
deploy/compose/postgres/10-roles.sh
echo 'postgres://rollup:owner@db:5432/rollup' >"$files/db-url" && chmod 600 "$files/db-url"
export files && export -f await && mkdir "$files/docker"
cat >"$files/docker/docker" <<'EOF'
#!/usr/bin/env bash
set -euo pipefail
[ "$1" = compose ] || { echo "docker $*: only compose is here" >&2; exit 1; }
shift
case "$*" in
  "exec -T postgres "*) shift 3; exec "$@" ;;
  "stop validator-rollup") kill "$(cat "$files/receiver.pid")" ;;
  "up --detach validator-rollup")
    validator-rollup serve --db.url-file="$files/db-url" --db.auto-migrate --web.listen-address=127.0.0.1:8090 </dev/null >"$files/receiver.log" 2>&1 &
    echo $! >"$files/receiver.pid"
    await http://127.0.0.1:8090/-/ready
    grafana() { psql --quiet --no-psqlrc --set=ON_ERROR_STOP=1 --dbname='postgres://grafana:reader@db:5432/rollup' "$@"; }
    grafana --command='SELECT count(*) FROM validator_daily'
    if [ -e "$files/stored" ]; then psql --quiet --command='SELECT * FROM kept' | grep 'as it was'; fi
    if grafana --command='SET default_transaction_read_only = off' --command='CREATE TEMP TABLE t ()'; then echo "Grafana may make tables" >&2; exit 1; fi
    ;;
  *) echo "docker compose $*: nobody has said what that is" >&2; exit 1 ;;
esac
EOF
chmod +x "$files/docker/docker" && export PATH=$files/docker:$PATH
docker compose up --detach validator-rollup >"$files/up.log" 2>&1 || { cat "$files/up.log" "$files/receiver.log" >&2; exit 1; }
psql --quiet --command="SET ROLE rollup" --command="CREATE TABLE kept AS SELECT 'as it was' AS text"
touch "$files/stored"
`

func TestEveryCommandIsRunOrSaysWhyNot(t *testing.T) {
	looksLikeCommand := regexp.MustCompile(`(?m)^\s*(\$ |(make|kubectl|helm|docker|curl|amtool|promtool|validator-[a-z]+|bin/[a-z]|apt-get|systemctl) )`)
	steps := ciSteps(t)
	for _, d := range guides(t) {
		for _, b := range d.blocks {
			if b.open {
				t.Errorf("%s: the block has no end", b.at())
			}
			switch b.lang {
			case "sh", "sql":
				o, err := b.order()
				if err != nil {
					t.Errorf("%s: %v", b.at(), err)
					continue
				}
				if o.environment == "ci" {
					for _, c := range commands(b.text) {
						for i, word := range strings.Fields(c) {
							if i == 0 && word != "make" || i > 0 && !steps[word] {
								t.Errorf("%s: .ci/run has no step %q", b.at(), c)
							}
						}
					}
				}
				if b.lang == "sql" && o.reason == "" && !environments()[o.environment].postgres {
					t.Errorf("%s: SQL needs an environment with a database", b.at())
				}
			case "yaml", "promql", "text", "json", "":
				// Diagrams have no language; a command among them would be one that nobody runs.
				if b.lang != "yaml" && looksLikeCommand.MatchString(b.text) {
					t.Errorf("%s: looks like a command; its language is sh", b.at())
				}
			default:
				t.Errorf("%s: a block of %q: commands are sh, other languages are sql, yaml, promql, json and text", b.at(), b.lang)
			}
		}
		blank := true
		for i, line := range d.prose {
			if blank && strings.HasPrefix(line, "    ") {
				t.Errorf("%s:%d: an indented block; fence it with its language", d.path, i+1)
			}
			blank = line == "" && (i == 0 || !strings.HasPrefix(d.prose[max(i-1, 0)], "    "))
		}
	}
}

// commands splits a script into its commands, roughly: enough to see which program has
// which flags.
func commands(script string) []string {
	script = strings.ReplaceAll(script, "\\\n", " ")
	var out []string
	for _, c := range regexp.MustCompile(`\n|&&|\|\||[|;]|\$\(`).Split(script, -1) {
		c = strings.TrimSpace(regexp.MustCompile(`^(\s*[A-Z_]+=\S+\s+|\s*(sudo|exec|env|time|nice)\s+)+`).ReplaceAllString(c, ""))
		if c != "" && !strings.HasPrefix(c, "#") {
			out = append(out, c)
		}
	}
	return out
}

func ciSteps(t *testing.T) map[string]bool {
	return matchesIn(t, ".ci/run", regexp.MustCompile(`(?m)^step ([a-z0-9-]+)$`))
}

func makeTargets(t *testing.T) map[string]bool {
	return matchesIn(t, "Makefile", regexp.MustCompile(`(?m)^([a-z][a-z0-9-]*):`))
}

// matchesIn returns what the first group of pattern matches in a file.
func matchesIn(t *testing.T, name string, pattern *regexp.Regexp) map[string]bool {
	t.Helper()
	text, err := os.ReadFile(filepath.Join(root, name))
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]bool{}
	for _, m := range pattern.FindAllStringSubmatch(string(text), -1) {
		out[m[1]] = true
	}
	if len(out) == 0 {
		t.Fatalf("%s: nothing matches %s", name, pattern)
	}
	return out
}

func TestMakeTargetsOfTheDocumentationExist(t *testing.T) {
	targets := makeTargets(t)
	check := func(at, command string) {
		words := strings.Fields(command)
		if len(words) < 2 || words[0] != "make" {
			return
		}
		for _, word := range words[1:] {
			if !strings.Contains(word, "=") && !strings.HasPrefix(word, "-") && !targets[word] && word != "…" {
				t.Errorf("%s: make has no target %q", at, word)
			}
		}
	}
	for _, d := range guides(t) {
		d.spans(func(line int, code string) { check(fmt.Sprintf("%s:%d", d.path, line), code) })
		for _, b := range d.blocks {
			if b.lang == "sh" {
				for _, c := range commands(b.text) {
					check(b.at(), c)
				}
			}
		}
	}
}

// A link leads to a file of the tree and, after #, to a heading of it.
func TestLinksLeadSomewhere(t *testing.T) {
	pages := allPages(t)
	anchors := map[string]map[string]bool{}
	for _, d := range pages {
		anchors[d.path] = d.anchors()
	}
	link := regexp.MustCompile(`\]\(([^)\s]+)\)`)
	for _, d := range pages {
		for i, line := range d.prose {
			for _, m := range link.FindAllStringSubmatch(codeSpan.ReplaceAllString(line, "code"), -1) {
				if strings.Contains(m[1], "://") || strings.HasPrefix(m[1], "mailto:") {
					continue
				}
				file, anchor, _ := strings.Cut(m[1], "#")
				target := d.path
				if file != "" {
					target = path.Join(path.Dir(d.path), file)
				}
				at := fmt.Sprintf("%s:%d: %s", d.path, i+1, m[1])
				if _, err := os.Stat(filepath.Join(root, target)); err != nil {
					t.Errorf("%s: %v", at, err)
				} else if anchor != "" && !anchors[target][anchor] {
					t.Errorf("%s: %s has no such heading; it has %s", at, target, strings.Join(slices.Sorted(maps.Keys(anchors[target])), ", "))
				}
			}
		}
	}
}

// anchors are the headings as GitHub makes links of them.
func (d *doc) anchors() map[string]bool {
	out := map[string]bool{}
	for _, line := range d.prose {
		text := strings.TrimLeft(line, "#")
		if len(text) == len(line) || !strings.HasPrefix(text, " ") {
			continue
		}
		text = strings.ToLower(strings.TrimSpace(codeSpan.ReplaceAllString(text, "$1")))
		slug := strings.Map(func(r rune) rune {
			switch {
			case r == ' ':
				return '-'
			case r == '-' || r == '_' || r >= '0' && r <= '9' || r >= 'a' && r <= 'z' || r > 0x7f && r != '…':
				return r
			}
			return -1
		}, text)
		unique := slug
		for n := 1; out[unique]; n++ {
			unique = fmt.Sprintf("%s-%d", slug, n)
		}
		out[unique] = true
	}
	return out
}

func TestImagesAreSmallAndShown(t *testing.T) {
	images, err := filepath.Glob(root + "/docs/images/*")
	if err != nil || len(images) == 0 {
		t.Fatalf("no images: %v", err)
	}
	shown := map[string]bool{}
	for _, d := range allPages(t) {
		for _, m := range regexp.MustCompile(`!\[[^\]]+\]\(([^)]+)\)`).FindAllStringSubmatch(strings.Join(d.prose, "\n"), -1) {
			shown[path.Join(path.Dir(d.path), m[1])] = true
		}
	}
	for _, image := range images {
		info, err := os.Stat(image)
		if err != nil {
			t.Fatal(err)
		}
		if info.Size() > 150<<10 {
			t.Errorf("%s has %d bytes", image, info.Size())
		}
		if name := "docs/images/" + filepath.Base(image); !shown[name] {
			t.Errorf("no page shows %s", name)
		}
	}
}

// Families, recorded series and alerts that are named must exist. An ellipsis, * and
// regular expressions stand for something, and then for at least one that exists.
func TestNamedMetricsAndAlertsExist(t *testing.T) {
	families := knownSeries()
	metric := regexp.MustCompile(`\b(?:ethereum|validator_exporter|validator_rollup)_[A-Za-z0-9_:.*+…]*`)
	// Not families: the role that reads Postgres.
	others := map[string]bool{"validator_rollup_reader": true}

	names, prefixes := map[string]bool{}, map[string]bool{}
	for _, s := range alerts.Sections(mixin.Solo()) {
		for _, a := range s.Alerts {
			names[a.Name] = true
			prefixes[regexp.MustCompile(`^([A-Z]+|[A-Z][a-z]+)(?:[A-Z]|$)`).FindStringSubmatch(a.Name)[1]] = true
		}
	}
	delete(prefixes, "CPUH")
	alert := regexp.MustCompile(`\b(?:` + strings.Join(slices.Sorted(maps.Keys(prefixes)), "|") + `)[A-Z][A-Za-z]+\b`)

	exists := func(name string) bool {
		if families[name] || others[name] {
			return true
		}
		if !strings.ContainsAny(name, "*+…") && !strings.HasSuffix(name, "_") {
			return false
		}
		pattern := strings.NewReplacer("…", ".*", ".+", ".+", ".*", ".*", "*", ".*").Replace(name)
		if strings.HasSuffix(pattern, "_") {
			pattern += ".*"
		}
		re, err := regexp.Compile("^(?:" + pattern + ")$")
		return err == nil && slices.ContainsFunc(slices.Collect(maps.Keys(families)), re.MatchString)
	}
	found := 0
	for _, d := range guides(t) {
		for i, line := range d.lines() {
			for _, name := range metric.FindAllString(line, -1) {
				found++
				if name = strings.TrimRight(name, ".:"); !exists(name) {
					t.Errorf("%s:%d: there is no metric %s", d.path, i+1, name)
				}
			}
			for _, name := range alert.FindAllString(line, -1) {
				found++
				if !names[name] {
					t.Errorf("%s:%d: there is no alert %s", d.path, i+1, name)
				}
			}
		}
	}
	if found < 100 {
		t.Errorf("only %d names were found", found)
	}
}

// lines are all lines of the page, those of blocks too.
func (d *doc) lines() []string {
	out := slices.Clone(d.prose)
	for _, b := range d.blocks {
		for i, line := range strings.Split(b.text, "\n") {
			if at := b.line - 1 + i; at < len(out) && line != "" {
				out[at] = line
			}
		}
	}
	return out
}

// knownSeries are the names that a query may ask for.
func knownSeries() map[string]bool {
	out := map[string]bool{}
	for _, f := range slices.Concat(catalog.All(), rollup.All()) {
		out[f.Name] = true
		if f.Type == catalog.Histogram {
			for _, suffix := range []string{"_bucket", "_sum", "_count"} {
				out[f.Name+suffix] = true
			}
		}
	}
	return out
}

// A flag that is named must be one of our programs': of the one whose command it stands in,
// else of any.
func TestNamedFlagsExist(t *testing.T) {
	known := programFlags(t)
	all := map[string]bool{}
	for _, flags := range known {
		maps.Copy(all, flags)
	}
	named := regexp.MustCompile("(?:^|[\\s\"'(=`])--([a-z][a-z0-9.-]*[a-z0-9])(-?\\.?[*…])?")
	found := 0
	check := func(at, text string, flags map[string]bool) {
		for _, m := range named.FindAllStringSubmatch(text, -1) {
			found++
			ok := flags[m[1]] || flags[strings.TrimPrefix(m[1], "no-")]
			if m[2] != "" { // --counters.*, --receive.max-…
				ok = slices.ContainsFunc(slices.Collect(maps.Keys(flags)), func(name string) bool { return strings.HasPrefix(name, m[1]) })
			}
			if !ok {
				t.Errorf("%s: no program of ours has the flag --%s", at, m[1])
			}
		}
	}
	inCommand := func(at, command string) {
		words := strings.Fields(command)
		if strings.HasPrefix(words[0], "-") {
			check(at, command, all)
		} else if flags, ours := known[path.Base(words[0])]; ours {
			check(at, command, flags)
		}
		// What other programs have is for them to say, when the command is run.
	}
	for _, d := range guides(t) {
		d.spans(func(line int, code string) {
			for _, c := range commands(code) {
				inCommand(fmt.Sprintf("%s:%d", d.path, line), c)
			}
		})
		for i, line := range d.prose {
			check(fmt.Sprintf("%s:%d", d.path, i+1), codeSpan.ReplaceAllString(line, "code"), all)
		}
		for _, b := range d.blocks {
			switch b.lang {
			case "sh":
				for _, c := range commands(b.text) {
					inCommand(b.at(), c)
				}
			default:
				check(b.at(), b.text, all)
			}
		}
	}
	if found < 50 {
		t.Errorf("only %d flags were found", found)
	}
}

// programFlags are the flags of our programs, from their source: those that are declared
// there by name, and those of the packages that declare some for them. The end-to-end test
// compares them with what the programs say.
func programFlags(t *testing.T) map[string]map[string]bool {
	t.Helper()
	shared := kingpin.New("shared", "")
	kingpinflag.AddFlags(shared, ":0")
	new(ours.Log).Register(shared)
	new(ours.Healthcheck).Register(shared, ":0")
	shared.Version("")
	out := map[string]map[string]bool{}
	for name, dir := range map[string]string{
		"validator-exporter": "cmd/validator-exporter", "validator-rollup": "cmd/validator-rollup",
		"validator-mixin": "cmd/validator-mixin", "chainsim": "internal/chainsim/cmd/chainsim",
	} {
		flags := map[string]bool{"help": true, "help-long": true, "help-man": true, "version": true}
		if name == "validator-exporter" || name == "validator-rollup" {
			for _, f := range shared.Model().Flags {
				if !f.Hidden {
					flags[f.Name] = true
				}
			}
		}
		files, err := filepath.Glob(filepath.Join(root, dir, "*.go"))
		if err != nil {
			t.Fatal(err)
		}
		for _, file := range files {
			if strings.HasSuffix(file, "_test.go") {
				continue
			}
			parsed, err := goparser.ParseFile(token.NewFileSet(), file, nil, 0)
			if err != nil {
				t.Fatal(err)
			}
			ast.Inspect(parsed, func(n ast.Node) bool {
				call, ok := n.(*ast.CallExpr)
				if !ok {
					return true
				}
				// flags.Flag("name", "Help."), program.Int(flags, "name", "Help.", …) and the like:
				// a name, and a text after it.
				for i := 0; i+1 < len(call.Args) && i < 2; i++ {
					if name, ok := literal(call.Args[i]); ok && flagName.MatchString(name) && declares(call) {
						flags[name] = true
					}
				}
				return true
			})
		}
		out[name] = flags
	}
	return out
}

var flagName = regexp.MustCompile(`^[a-z][a-z0-9]*([.-][a-z0-9]+)*$`)

// literal is the value of an expression that is a text.
func literal(e ast.Expr) (string, bool) {
	l, ok := e.(*ast.BasicLit)
	if !ok || l.Kind != token.STRING {
		return "", false
	}
	value, err := strconv.Unquote(l.Value)
	return value, err == nil
}

// declares tells whether a call declares a flag.
func declares(call *ast.CallExpr) bool {
	name := ""
	switch f := call.Fun.(type) {
	case *ast.SelectorExpr:
		name = f.Sel.Name
	case *ast.Ident:
		name = f.Name
	}
	return slices.Contains([]string{
		"Flag", "Int", "Duration", "ShortDuration", "Choice", "Checked", "CheckedList",
		"String", "Uint64", "Bool", "date",
	}, name)
}

// Queries in tables of questions and in blocks.
func TestQueriesOfTheDocumentationAskForWhatExists(t *testing.T) {
	series := knownSeries()
	series["up"] = true
	for _, c := range mixin.Presets() {
		groups, err := rules.Groups(c)
		if err != nil {
			t.Fatal(err)
		}
		for _, g := range groups {
			for _, r := range g.Rules {
				series[r.Record] = true
			}
		}
	}
	asked := 0
	check := func(at, query string) {
		asked++
		uses, err := expr.Uses(query)
		if err != nil {
			t.Errorf("%s: %v", at, err)
		}
		for _, u := range uses {
			if !series[u.Metric] {
				t.Errorf("%s: nothing has the name %s", at, u.Metric)
			}
		}
	}
	for _, d := range guides(t) {
		d.eachInColumn("query", check)
		for _, b := range d.blocks {
			if b.lang == "promql" {
				check(b.at(), b.text)
			}
		}
	}
	if asked < 10 {
		t.Errorf("only %d queries were found", asked)
	}
}

// A YAML example is what its first line or its kind says. The programs themselves read
// them in the end-to-end test; here is what our own code can say.
func TestYAMLExamplesAreRead(t *testing.T) {
	for _, d := range guides(t) {
		for _, b := range d.blocks {
			if b.lang != "yaml" {
				continue
			}
			documents, err := yamlDocuments(b.text)
			if err != nil {
				t.Errorf("%s: %v", b.at(), err)
				continue
			}
			switch name := b.file(); name {
			case "", "overlay/kustomization.yaml", "node-local-dns/kustomization.yaml":
				for _, document := range documents {
					if document["apiVersion"] == nil || document["kind"] == nil {
						t.Errorf("%s: what is it? Name its file in a comment on the first line, or its apiVersion and kind", b.at())
					} else if kind := fmt.Sprintf("%s %s", document["apiVersion"], document["kind"]); !exampleKinds[kind] {
						t.Errorf("%s: nobody checks %s", b.at(), kind)
					}
				}
			case "watch.yml":
				dir := t.TempDir()
				file := filepath.Join(dir, name)
				key := "0x" + strings.Repeat("ab", 48)
				if err := errors.Join(os.WriteFile(file, []byte(b.text), 0o600), os.WriteFile(filepath.Join(dir, "keys.txt"), []byte(key+"\n"), 0o600)); err != nil {
					t.Fatal(err)
				}
				if _, err := watch.New(file, nil, slog.New(slog.DiscardHandler), watch.Options{}); err != nil {
					t.Errorf("%s: %v", b.at(), err)
				}
			case "knobs.yaml":
				c, err := mixin.Operator().Overlay([]byte(b.text))
				if err == nil {
					err = c.Validate()
				}
				if err != nil {
					t.Errorf("%s: %v", b.at(), err)
				}
			case "rules.yml":
				if _, errs := rulefmt.Parse([]byte(b.text), false, model.UTF8Validation, parser.NewParser(parser.Options{}), slog.New(slog.DiscardHandler)); len(errs) > 0 {
					t.Errorf("%s: %v", b.at(), errors.Join(errs...))
				}
			case "alertmanager.yml", "prometheus.yml", "values.yaml": // end to end
			default:
				t.Errorf("%s: nobody checks %s", b.at(), name)
			}
		}
	}
}

// Nobody publishes our images: an example that installs them says where its reader has put them.
func TestInstallationsOfTheDocumentationSayWhereImagesAre(t *testing.T) {
	var images []string
	for _, m := range regexp.MustCompile(`image: "(ethereum-validator-monitor/[a-z-]+):`).FindAllStringSubmatch(readFile(t, manifestsDir+"/exporter.yaml")+readFile(t, manifestsDir+"/rollup.yaml"), -1) {
		images = append(images, m[1])
	}
	if len(images) < 2 {
		t.Fatalf("the manifests have the images %s", images)
	}
	seen := map[string]int{}
	for _, d := range guides(t) {
		for _, b := range d.blocks {
			if b.lang != "yaml" {
				continue
			}
			documents, err := yamlDocuments(b.text)
			if err != nil {
				t.Fatal(err)
			}
			for _, document := range documents {
				kind, _ := document["kind"].(string)
				var registry any
				switch {
				case kind == "Application":
					registry = at(document, "spec", "source", "helm", "valuesObject", "image", "registry")
				case kind == "HelmRelease":
					registry = at(document, "spec", "values", "image", "registry")
					// Exporters take longer to become ready than Flux waits by itself.
					if at(document, "spec", "timeout") != "30m" {
						t.Errorf("%s: the timeout is %v", b.at(), at(document, "spec", "timeout"))
					}
				case b.file() == "overlay/kustomization.yaml":
					seen[kind]++
					for _, name := range images {
						if !slices.ContainsFunc(asList(document["images"]), func(image any) bool {
							return at(image, "name") == name && strings.HasSuffix(fmt.Sprint(at(image, "newName")), "/"+name)
						}) {
							t.Errorf("%s: %s is not replaced", b.at(), name)
						}
					}
					continue
				default:
					continue
				}
				seen[kind]++
				if registry == nil {
					t.Errorf("%s: %s has no image.registry", b.at(), kind)
				}
			}
		}
	}
	for _, kind := range []string{"Application", "HelmRelease", "Kustomization"} {
		if seen[kind] != 1 {
			t.Errorf("%d examples of %s", seen[kind], kind)
		}
	}
}

// exampleKinds are the kinds of objects in examples. Those of Argo CD and Flux have no CRDs
// that a test could have, so their fields are the authors' word; their values are not: see
// the end-to-end test.
var exampleKinds = map[string]bool{
	"argoproj.io/v1alpha1 Application":              true,
	"source.toolkit.fluxcd.io/v1 GitRepository":     true,
	"helm.toolkit.fluxcd.io/v2 HelmRelease":         true,
	"kustomize.config.k8s.io/v1beta1 Kustomization": true,
}

func yamlDocuments(text string) ([]map[string]any, error) {
	decoder := yaml.NewDecoder(strings.NewReader(text))
	var out []map[string]any
	for {
		var document map[string]any
		err := decoder.Decode(&document)
		if errors.Is(err, io.EOF) {
			if len(out) == 0 {
				return nil, errors.New("no document")
			}
			return out, nil
		}
		if err != nil {
			return nil, err
		}
		out = append(out, document)
	}
}

// Log lines in a table with a column "message" are in the code, up to where a placeholder
// or an ellipsis stands.
func TestLogLinesOfTheDocumentationExist(t *testing.T) {
	var code strings.Builder
	for _, dir := range []string{"cmd", "collector", "rollup", "internal/program"} {
		err := filepath.WalkDir(filepath.Join(root, dir), func(p string, _ fs.DirEntry, err error) error {
			if err != nil || !strings.HasSuffix(p, ".go") || strings.HasSuffix(p, "_test.go") {
				return err
			}
			text, err := os.ReadFile(p)
			code.Write(text)
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
	}
	found := 0
	for _, d := range guides(t) {
		d.eachInColumn("message", func(at, text string) {
			found++
			if !strings.Contains(code.String(), `"`+text) {
				t.Errorf("%s: nothing logs %q", at, text)
			}
		})
	}
	if found == 0 {
		t.Error("no table of log lines was found")
	}
}

const (
	tableBegin = "<!-- alerts: begin -->\n"
	tableEnd   = "<!-- alerts: end -->\n"
)

// The README's table of alerts says what the rules of both presets say.
func TestTableOfAlertsIsCurrent(t *testing.T) {
	want, err := alertTable(mixin.Presets())
	if err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(root, "README.md")
	text, err := os.ReadFile(file)
	if err != nil {
		t.Fatal(err)
	}
	before, rest, begins := bytes.Cut(text, []byte(tableBegin))
	got, after, ends := bytes.Cut(rest, []byte(tableEnd))
	if !begins || !ends {
		t.Fatalf("README.md has no section between %q and %q", tableBegin, tableEnd)
	}
	if *updateReadme {
		text = slices.Concat(before, []byte(tableBegin+want+tableEnd), after)
		if err := os.WriteFile(file, text, 0o644); err != nil {
			t.Fatal(err)
		}
		return
	}
	gone, come := strings.Split(string(got), "\n"), strings.Split(want, "\n")
	for _, line := range gone {
		if !slices.Contains(come, line) {
			t.Errorf("README.md says\n%s", line)
		}
	}
	for _, line := range come {
		if !slices.Contains(gone, line) {
			t.Errorf("the rules say\n%s", line)
		}
	}
	if t.Failed() || string(got) != want {
		t.Error("to take over what the rules say: go test ./test/deploy -run TableOfAlerts -update-readme")
	}
}

func alertTable(presets []mixin.Config) (string, error) {
	var each [][]alerts.Section
	for _, c := range presets {
		each = append(each, alerts.Sections(c))
	}
	var b strings.Builder
	var problems []error
	b.WriteString("| alert |")
	for _, c := range presets {
		fmt.Fprintf(&b, " %s |", c.Preset)
	}
	b.WriteString(" what is wrong |\n|---|" + strings.Repeat("---|", len(presets)) + "---|\n")
	for i, s := range each[0] {
		fmt.Fprintf(&b, "| **%s** |%s |\n", s.Title, strings.Repeat(" |", len(presets)))
		for j, a := range s.Alerts {
			fmt.Fprintf(&b, "| [%s](docs/runbooks/%s.md) |", a.Name, a.Name)
			for k, c := range presets {
				variant := each[k][i].Alerts[j]
				threshold, err := threshold(variant)
				problems = append(problems, err)
				severity := variant.Severity
				if other, ok := c.Alerts.Severities[variant.Name]; ok {
					severity = other
				}
				fmt.Fprintf(&b, " %s, %s%s |", severity, threshold, mixin.Duration(variant.For))
			}
			fmt.Fprintf(&b, " %s |\n", strings.TrimSuffix(a.Summary, "."))
		}
	}
	return b.String(), errors.Join(problems...)
}

// threshold reads from an alert's description what its threshold is, followed by a comma;
// nothing where the alert asks a yes-or-no question.
func threshold(a alerts.Alert) (string, error) {
	for _, p := range []struct{ pattern, say string }{
		{`\(threshold:? (.+?)\)`, "$1"},
		{`at most (\S+(?: [sm0-9]+)?) (?:is|are) expected`, "> $1"},
		{`at least (\S+) (?:is|are) expected`, "< $1"},
		{`(\S+) or more is too many`, "≥ $1"},
		{`; (.+) ahead is expected`, "< $1"},
		{`; (.+) is enough`, "> $1"},
		{` 0 are expected|it should be 0`, "> 0"},
		{`for \S+ or longer`, ""},
	} {
		re := regexp.MustCompile(p.pattern)
		if m := re.FindStringSubmatchIndex(a.Description); m != nil {
			say := string(re.ExpandString(nil, p.say, a.Description, m))
			say = regexp.MustCompile(` 0[hms]\b`).ReplaceAllString(say, "")
			if say != "" {
				say += ", "
			}
			return say, nil
		}
	}
	return "", fmt.Errorf("%s: its description tells no threshold in a way that is known here: %s", a.Name, a.Description)
}
