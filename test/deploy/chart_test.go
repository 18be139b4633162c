package deploy_test

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"os/exec"
	"path/filepath"
	"reflect"
	"regexp"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/common/model"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// The chart and the manifests without helm: what they copy is what it was copied from.

const chart = root + "/deploy/helm/validator-monitor"

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}

// readYAML reads a file of one document.
func readYAML(t *testing.T, path string) map[string]any {
	t.Helper()
	var value map[string]any
	if err := yaml.Unmarshal([]byte(readFile(t, path)), &value); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
	return value
}

// filesBelow are the paths of the files below a folder, from there.
func filesBelow(t *testing.T, dir string) (names []string) {
	t.Helper()
	err := filepath.WalkDir(dir, func(path string, entry fs.DirEntry, err error) error {
		if err == nil && !entry.IsDir() {
			names = append(names, strings.TrimPrefix(filepath.ToSlash(path), filepath.ToSlash(dir)+"/"))
		}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return names
}

func TestChartFilesAreTheBytesTheyWereCopiedFrom(t *testing.T) {
	want := map[string]string{
		"prometheus/remote-write.yml": "deploy/prometheus/remote-write.yml",
		"postgres/10-roles.sh":        "deploy/compose/postgres/10-roles.sh",
	}
	for _, preset := range []string{"operator", "solo"} {
		from := "mixin/generated/" + preset + "/"
		for _, name := range filesBelow(t, filepath.Join(root, from)) {
			if dir, file := filepath.Split(name); dir == "dashboards/" || dir == "" && strings.HasSuffix(file, ".yaml") {
				want["mixin/"+preset+"/"+name] = from + name
			}
		}
	}
	for to, from := range want {
		if text, err := os.ReadFile(filepath.Join(chart, "files", to)); err != nil || string(text) != readFile(t, filepath.Join(root, from)) {
			t.Errorf("files/%s of the chart is not %s; run make generate", to, from)
		}
	}
	for _, name := range filesBelow(t, filepath.Join(chart, "files")) {
		if _, ok := want[name]; !ok && name != "postgres/20-superuser.sql" {
			t.Errorf("files/%s of the chart is copied from nowhere; run make generate", name)
		}
	}
}

func TestChartHasTheVersionOfTheTree(t *testing.T) {
	version := strings.TrimSpace(readFile(t, root+"/VERSION"))
	about := readYAML(t, chart+"/Chart.yaml")
	if about["version"] != version || about["appVersion"] != version {
		t.Errorf("Chart.yaml has version %v and appVersion %v, VERSION has %s", about["version"], about["appVersion"], version)
	}
}

// A value without a schema could not be set, and one that is only in the schema would be
// known to nobody.
func TestChartSchemaKnowsExactlyTheValues(t *testing.T) {
	var schema map[string]any
	if err := json.Unmarshal([]byte(readFile(t, chart+"/values.schema.json")), &schema); err != nil {
		t.Fatal(err)
	}
	definitions := schema["definitions"].(map[string]any)
	var walk func(path string, value any, about map[string]any)
	walk = func(path string, value any, about map[string]any) {
		if reference, ok := about["$ref"].(string); ok {
			about = definitions[strings.TrimPrefix(reference, "#/definitions/")].(map[string]any)
		}
		properties, _ := about["properties"].(map[string]any)
		if properties == nil {
			return // free, or no object
		}
		if about["additionalProperties"] != false {
			t.Errorf("%s: the schema lets unknown keys pass", path)
		}
		values, _ := value.(map[string]any)
		for key := range values {
			if properties[key] == nil {
				t.Errorf("%s.%s is in values.yaml and not in the schema", path, key)
			}
		}
		for key, next := range properties {
			if _, ok := values[key]; !ok {
				if path+"."+key != ".global" { // Helm's own
					t.Errorf("%s.%s is in the schema and not in values.yaml", path, key)
				}
				continue
			}
			walk(path+"."+key, values[key], next.(map[string]any))
		}
	}
	walk("", readYAML(t, chart+"/values.yaml"), schema)
}

// The bundled Prometheus and the Operator's send what any other Prometheus is told to send.
func TestManifestsSendWhatRemoteWriteSays(t *testing.T) {
	want := readFile(t, root+"/deploy/prometheus/remote-write.yml")
	objects, err := decodeObjects([]byte(readFile(t, manifestsDir+"/configmap.yaml")))
	if err != nil {
		t.Fatal(err)
	}
	i := slices.IndexFunc(objects, func(o object) bool { return o.Data["prometheus.yml"] != "" })
	if i < 0 {
		t.Fatal("no prometheus.yml")
	}
	got := strings.Replace(objects[i].Data["prometheus.yml"], "http://validator-monitor-rollup:8090/", "http://validator-rollup:8090/", 1)
	if !strings.HasSuffix(got, want) {
		t.Error("prometheus.yml does not end in deploy/prometheus/remote-write.yml, but for the receiver's name")
	}
}

func TestKubePrometheusStackSendsWhatRemoteWriteSays(t *testing.T) {
	// The Operator's names are those of Prometheus in camel case, but for this one.
	renamed := map[string]string{"write_relabel_configs": "writeRelabelConfigs"}
	var camel func(value any) any
	camel = func(value any) any {
		switch v := value.(type) {
		case map[string]any:
			out := map[string]any{}
			for key, one := range v {
				name := renamed[key]
				if name == "" {
					words := strings.Split(key, "_")
					for i := 1; i < len(words); i++ {
						words[i] = strings.ToUpper(words[i][:1]) + words[i][1:]
					}
					name = strings.Join(words, "")
				}
				out[name] = camel(one)
			}
			return out
		case []any:
			out := make([]any, len(v))
			for i := range v {
				out[i] = camel(v[i])
			}
			return out
		}
		return value
	}
	want := camel(readYAML(t, root+"/deploy/prometheus/remote-write.yml")["remote_write"]).([]any)
	values := readYAML(t, root+"/deploy/kube-prometheus-stack/values-history.yaml")
	got := values["prometheus"].(map[string]any)["prometheusSpec"].(map[string]any)["remoteWrite"].([]any)
	const url = "http://validator-monitor-rollup.validator-monitor.svc:8090/api/v1/write"
	if got[0].(map[string]any)["url"] != url {
		t.Errorf("url: %v, want %s", got[0].(map[string]any)["url"], url)
	}
	got[0].(map[string]any)["url"] = want[0].(map[string]any)["url"]
	if !reflect.DeepEqual(got, want) {
		t.Errorf("remoteWrite:\n%v\nwant deploy/prometheus/remote-write.yml:\n%v", got, want)
	}
}

// The default installation makes no Secret and has no receiver: what it is told to use for
// kube-prometheus-stack must not wait for one or write to one.
func TestKubePrometheusStackWithoutHistoryNeedsNothing(t *testing.T) {
	base := readYAML(t, root+"/deploy/kube-prometheus-stack/values.yaml")
	for _, path := range [][]string{
		{"prometheus", "prometheusSpec", "remoteWrite"},
		{"defaultRules"},
		{"grafana", "extraSecretMounts"},
		{"grafana", "additionalDataSources"},
	} {
		if value := at(base, path...); value != nil {
			t.Errorf("%s is %v", strings.Join(path, "."), value)
		}
	}
	// And what history needs is whole: the file is put on top of the other.
	history := readYAML(t, root+"/deploy/kube-prometheus-stack/values-history.yaml")
	mounts, sources := asList(at(history, "grafana", "extraSecretMounts")), asList(at(history, "grafana", "additionalDataSources"))
	if len(mounts) != 1 || len(sources) != 1 || at(history, "defaultRules", "disabled", "PrometheusRemoteWriteBehind") != true {
		t.Fatalf("mounts %v, data sources %v", mounts, sources)
	}
	password, _ := at(sources[0], "secureJsonData", "password").(string)
	if !strings.HasPrefix(password, fmt.Sprintf("$__file{%v/", at(mounts[0], "mountPath"))) {
		t.Errorf("the password %s is not mounted: %v", password, mounts[0])
	}
	// The mixin's description of the data source, but for what each has of its own.
	want := asList(readYAML(t, root+"/mixin/generated/operator/grafana/provisioning/datasources/validator-monitor.yaml")["datasources"])[1].(map[string]any)
	for _, key := range []string{"name", "type", "access"} {
		if got := at(sources[0], key); got != want[key] {
			t.Errorf("the data source's %s is %v, want %v", key, got, want[key])
		}
	}
	for path, in := range map[string]map[string]any{"grafana.sidecar": history} {
		if value := at(in, strings.Split(path, ".")...); value != nil {
			t.Errorf("values-history.yaml has %s, which is of the other file", path)
		}
	}
}

// at is what stands at a path of keys.
func at(value any, path ...string) any {
	for _, key := range path {
		inner, _ := value.(map[string]any)
		value = inner[key]
	}
	return value
}

// Whoever is asked for 30 days must have kept them.
func TestRetentionsReachAsFarAsRulesLookBack(t *testing.T) {
	var longest model.Duration
	look := regexp.MustCompile(`\[([0-9]+[dhms][0-9dhms]*)[\]:]| offset ([0-9]+[dhms][0-9dhms]*)`)
	for _, preset := range []string{"operator", "solo"} {
		dir := root + "/mixin/generated/" + preset
		for _, name := range filesBelow(t, dir) {
			if folder, _ := filepath.Split(name); folder != "" && folder != "dashboards/" {
				continue
			}
			for _, m := range look.FindAllStringSubmatch(readFile(t, dir+"/"+name), -1) {
				d, err := model.ParseDuration(cmp.Or(m[1], m[2]))
				if err != nil {
					t.Fatal(err)
				}
				longest = max(longest, d)
			}
		}
	}
	if longest < model.Duration(30*24*time.Hour) {
		t.Fatalf("the rules look back %s only: is this the way to find it?", longest)
	}
	flag := regexp.MustCompile(`--storage\.tsdb\.retention\.time=(\w+)`).FindStringSubmatch(readFile(t, root+"/docs/solo.md"))
	if flag == nil {
		t.Fatal("docs/solo.md tells Prometheus no retention")
	}
	for where, retention := range map[string]any{
		"the chart":                             at(readYAML(t, chart+"/values.yaml"), "prometheus", "retentionTime"),
		"full.yml":                              at(readYAML(t, composeDir+"/prometheus/full.yml"), "storage", "tsdb", "retention", "time"),
		"solo.yml":                              at(readYAML(t, composeDir+"/prometheus/solo.yml"), "storage", "tsdb", "retention", "time"),
		"Debian's Prometheus, by docs/solo.md,": flag[1],
	} {
		if d, err := model.ParseDuration(fmt.Sprint(retention)); err != nil || d <= longest {
			t.Errorf("%s keeps %v, and rules look back %s: %v", where, retention, longest, err)
		}
	}
	// Both in units of 2^30 bytes.
	storage := at(readYAML(t, chart+"/values.yaml"), "prometheus", "storage", "size")
	var bound, size int
	if _, err := fmt.Sscanf(fmt.Sprint(at(readYAML(t, chart+"/values.yaml"), "prometheus", "retentionSize"), storage), "%dGB%dGi", &bound, &size); err != nil || bound*5 > size*4 {
		t.Errorf("Prometheus may keep %d of %d GiB: %v", bound, size, err)
	}
}

// Inside the container only the user postgres is the superuser postgres, in both installations.
func TestBundledPostgresTrustsNobody(t *testing.T) {
	environment := map[string]map[string]string{"compose": {}, "kubernetes": {}}
	for name, value := range compose(t, "full").Services["postgres"].Environment {
		environment["compose"][name] = *value
	}
	all, err := pods(manifests(t))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		if p.component() == "postgres" {
			for _, e := range p.containers()[0].Env {
				environment["kubernetes"][e.Name] = e.Value
			}
		}
	}
	for where, settings := range environment {
		if got, want := settings["POSTGRES_INITDB_ARGS"], "--data-checksums --auth-local=peer --auth-host=scram-sha-256"; got != want {
			t.Errorf("%s: initdb is told %q, want %q", where, got, want)
		}
		// Not the image's own, which a later major version has elsewhere and refuses at the old place.
		if data := settings["PGDATA"]; !strings.HasSuffix(data, "/pgdata") {
			t.Errorf("%s: the data is in %q", where, data)
		}
	}
	for _, v := range compose(t, "full").Services["postgres"].Volumes {
		// An image of 18 has no folder below this one, so a new volume there would belong to root.
		if v.Type == "volume" && v.Target != "/var/lib/postgresql" {
			t.Errorf("the volume is at %s", v.Target)
		}
	}
}

func asList(value any) []any {
	list, _ := value.([]any)
	return list
}

// The scripts of the chart's ConfigMap, run as the image does: by name, the superuser on a
// new database.
func TestChartsPostgresLetsInWhoItShould(t *testing.T) {
	server := pgtest.Start(t, pgtest.Fast())
	ctx := t.Context()
	if err := server.Exec(ctx, "CREATE DATABASE rollup"); err != nil {
		t.Fatal(err)
	}
	admin, err := pgx.ParseConfig(server.URL())
	if err != nil {
		t.Fatal(err)
	}
	dir := t.TempDir()
	secret := func(name, value string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(value+"\n"), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	const ownersPassword, readersPassword = "it's the owner's", `the "reader's"`
	environment := append(os.Environ(),
		"PATH="+filepath.Dir(server.Program("psql"))+":"+os.Getenv("PATH"),
		"PGHOST=127.0.0.1", fmt.Sprintf("PGPORT=%d", server.Port()), "PGPASSWORD="+admin.Password,
		"POSTGRES_USER=postgres", "POSTGRES_DB=rollup",
		"ROLLUP_PASSWORD_FILE="+secret("owner", ownersPassword), "ROLLUP_READER_PASSWORD_FILE="+secret("reader", readersPassword))
	for _, name := range filesBelow(t, chart+"/files/postgres") {
		path := filepath.Join(chart, "files/postgres", name)
		command := exec.CommandContext(ctx, "bash", path)
		if strings.HasSuffix(name, ".sql") {
			command = exec.CommandContext(ctx, server.Program("psql"), "--set=ON_ERROR_STOP=1", "--no-psqlrc", "--username=postgres", "--dbname=rollup", "--file="+path)
		}
		command.Env = environment
		if out, err := command.CombinedOutput(); err != nil {
			t.Fatalf("%s: %v\n%s", name, err, bytes.TrimSpace(out))
		}
	}
	as := func(user, password string) string {
		config := *admin
		config.User, config.Password, config.Database = user, password, "rollup"
		return fmt.Sprintf("host=127.0.0.1 port=%d user=%s password='%s' dbname=rollup sslmode=disable", server.Port(), user, strings.ReplaceAll(password, "'", `\'`))
	}
	try := func(user, password, sql string) error {
		conn, err := pgx.Connect(ctx, as(user, password))
		if err != nil {
			return err
		}
		defer conn.Close(ctx)
		_, err = conn.Exec(ctx, sql)
		return err
	}

	rollup, err := store.Open(ctx, store.Options{URL: as("rollup", ownersPassword)})
	if err != nil {
		t.Fatal(err)
	}
	defer rollup.Close()
	if err := rollup.Migrate(ctx); err != nil {
		t.Fatalf("the owner cannot migrate: %v", err)
	}
	for _, c := range []struct {
		user, password, sql, refused string
	}{
		{"grafana", readersPassword, "SELECT * FROM validator_daily", ""},
		{"grafana", readersPassword, "SELECT * FROM samples", "permission denied"},
		{"grafana", readersPassword, "BEGIN READ WRITE; CREATE TABLE t ()", "permission denied"},
		{"rollup", ownersPassword, "CREATE ROLE other", "permission denied"},
		{"postgres", admin.Password, "SELECT 1", "password authentication failed"},
		{"postgres", ownersPassword, "SELECT 1", "password authentication failed"},
		{"postgres", "", "SELECT 1", "failed"},
	} {
		err := try(c.user, c.password, c.sql)
		if (err == nil) != (c.refused == "") || err != nil && !strings.Contains(err.Error(), c.refused) {
			t.Errorf("%s, %s: %v; want %q", c.user, c.sql, err, c.refused)
		}
	}
}
