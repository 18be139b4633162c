//go:build e2e

package deploy_test

import (
	"crypto/x509"
	"encoding/json"
	"encoding/pem"
	"fmt"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"os/exec"
	"os/user"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/jackc/pgx/v5/pgconn"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/kubernetes"
)

func TestManifestsAreWhatTheChartRenders(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "run", "./deploy/render", "--check", "--helm", program(t, "helm"))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// The overlays of docs/kubernetes.md, as its readers have them: images are where they pushed
// them, and who looks names up may also ask the cache on the node.
func TestManifestsTakeTheOverlaysOfTheDocumentation(t *testing.T) {
	dir := t.TempDir()
	if out, err := exec.Command("cp", "-r", manifestsDir, filepath.Join(dir, "manifests")).CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, b := range readDocs(t, []string{"docs/kubernetes.md"})[0].blocks {
		if strings.HasSuffix(b.file(), "/kustomization.yaml") {
			writeFile(t, filepath.Join(dir, b.file()), strings.Replace(b.text, "../deploy/kubernetes", "../manifests", 1))
		}
	}
	out, err := exec.CommandContext(t.Context(), program(t, "kubectl"), "kustomize", filepath.Join(dir, "node-local-dns")).Output()
	if err != nil {
		t.Fatalf("kubectl kustomize: %v", err)
	}
	objects := mustDecode(t, string(out))
	all, err := pods(objects)
	if err != nil {
		t.Fatal(err)
	}
	replaced := 0
	for _, p := range all {
		for _, c := range p.containers() {
			if !strings.Contains(c.Image, "ethereum-validator-monitor/") {
				continue
			}
			replaced++
			if !strings.HasPrefix(c.Image, "registry.example.org/") {
				t.Errorf("%s has the image %s, which nobody publishes", p, c.Image)
			}
		}
	}
	if replaced != 2 {
		t.Errorf("%d images of ours", replaced)
	}
	n, err := newNetwork(objects)
	if err != nil {
		t.Fatal(err)
	}
	edges := n.edges()
	for _, component := range []string{"exporter", "rollup", "prometheus", "alertmanager", "grafana"} {
		for _, server := range []string{nameServers, "address 169.254.20.10/32:53", "address 10.96.0.10/32:53"} {
			if want := component + " -> " + server + "/UDP"; !slices.Contains(edges, want) {
				t.Errorf("%s is not admitted", want)
			}
		}
	}
	if i := slices.IndexFunc(edges, func(edge string) bool { return strings.HasPrefix(edge, "postgres -> address") }); i >= 0 {
		t.Errorf("%s is admitted", edges[i])
	}
}

// A beacon node's address is an argument, which many can see: its password goes into beacon-headers.
func TestChartTakesNoPasswordInAnAddress(t *testing.T) {
	_, err := template(t, named(t, "default"), serverVersion, "--set", "exporter.beacon.urls={http://user:pass@node:5052}")
	if err == nil || !strings.Contains(err.Error(), "at '/exporter/beacon/urls/0': ") {
		t.Errorf("%v", err)
	}
}

func TestChartRefusesLessThanTheLeastReplicas(t *testing.T) {
	const want = "rollup.autoscaling.minReplicas is 20 and maxReplicas 10: let it be at most as many"
	_, err := template(t, named(t, "production"), serverVersion, "--set", "rollup.autoscaling.minReplicas=20")
	if err == nil || !strings.Contains(err.Error(), want) {
		t.Errorf("%v, want %s", err, want)
	}
}

// Images of ours come from where somebody pushed them, those of others from a mirror of where
// they are; without either, the names are those that everybody uses.
func TestChartImagesComeFromTheirRegistries(t *testing.T) {
	const ours = "ethereum-validator-monitor/"
	for _, c := range []struct {
		set      []string
		registry string
		others   string
		official string
	}{
		{nil, "", "", ""},
		{[]string{"--set", "image.registry=registry.example.org"}, "registry.example.org/", "", ""},
		{[]string{"--set", "image.mirror=mirror.example.org:5000/hub/"}, "", "mirror.example.org:5000/hub/", "mirror.example.org:5000/hub/library/"},
		{[]string{"--set", "image.registry=a.example.org,image.mirror=docker.io"}, "a.example.org/", "docker.io/", "docker.io/library/"},
	} {
		all, err := pods(mustTemplate(t, named(t, "standalone"), c.set...))
		if err != nil {
			t.Fatal(err)
		}
		found := map[string]bool{}
		for _, p := range all {
			for _, container := range p.containers() {
				name, _, _ := strings.Cut(container.Image, ":v")
				found[strings.TrimRight(name, "0123456789.:")] = true
			}
		}
		want := map[string]bool{
			c.registry + ours + "validator-exporter": true, c.registry + ours + "validator-rollup": true,
			c.others + "prom/prometheus": true, c.others + "prom/alertmanager": true, c.others + "grafana/grafana": true, c.official + "postgres": true,
		}
		if !maps.Equal(found, want) {
			t.Errorf("%s: images are %v, want %v", c.set, slices.Sorted(maps.Keys(found)), slices.Sorted(maps.Keys(want)))
		}
	}
	// A whole name of somebody's own, where no mirror is.
	if _, err := template(t, named(t, "standalone"), serverVersion, "--set", "postgres.image.repository=registry.example.org:5000/postgres"); err != nil {
		t.Error(err)
	}
}

// What waits for a rollout must not give up while an exporter reads the window back.
func TestChartsExportersHaveTimeToBecomeReady(t *testing.T) {
	for _, o := range mustTemplate(t, named(t, "shards")) {
		if o.Kind == "Deployment" && strings.Contains(o.Metadata.Name, "-exporter") && o.at("spec", "progressDeadlineSeconds") != 3600 {
			t.Errorf("%s gives up after %v", o, o.at("spec", "progressDeadlineSeconds"))
		}
	}
}

// The names that policies of a cluster with NodeLocal DNSCache need are said as peers.
func TestChartLooksNamesUpAtANodesCache(t *testing.T) {
	objects := mustTemplate(t, named(t, "default"), "--set-json",
		`networkPolicy.dns.peers=[{"ipBlock":{"cidr":"169.254.20.10/32"}},{"ipBlock":{"cidr":"10.96.0.10/32"}}]`)
	n, err := newNetwork(objects)
	if err != nil {
		t.Fatal(err)
	}
	for _, want := range []string{"exporter -> address 169.254.20.10/32:53/UDP", "exporter -> address 10.96.0.10/32:53/UDP", "exporter -> address 10.96.0.10/32:53"} {
		if edges := n.edges(); !slices.Contains(edges, want) {
			t.Errorf("%s is not admitted: %v", want, edges)
		}
	}
}

// An authority of somebody's own is trusted by who is told of it, and refused by who is not:
// the exporter's program by its beacon nodes' certificates, the receiver's driver by its database's.
func TestChartsProgramsTrustTheUsersAuthority(t *testing.T) {
	server := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(server.Close)
	server.Config.Handler = http.HandlerFunc(func(http.ResponseWriter, *http.Request) {})
	authority := filepath.Join(t.TempDir(), "ca.crt")
	text := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: server.Certificate().Raw})
	if err := os.WriteFile(authority, text, 0o600); err != nil {
		t.Fatal(err)
	}
	objects := mustTemplate(t, named(t, "elsewhere"))
	all, err := pods(objects)
	if err != nil {
		t.Fatal(err)
	}
	// variable is the variable of a component that names the mounted file.
	variable := func(component string) (name string) {
		t.Helper()
		for _, p := range all {
			if p.component() != component {
				continue
			}
			const mounted = "/etc/validator-monitor-authority"
			found := false
			for _, m := range p.spec.Containers[0].VolumeMounts {
				found = found || m.MountPath == mounted
			}
			if !found {
				t.Errorf("%s: nothing is mounted at %s", p, mounted)
			}
			for _, e := range p.spec.Containers[0].Env {
				if e.Value == mounted+"/ca.crt" {
					name = e.Name
				}
			}
		}
		return name
	}
	exporter := filepath.Join(buildPrograms(t), "validator-exporter")
	for environment, trusted := range map[string]bool{
		"":                                     false,
		variable("exporter") + "=" + authority: true,
		// What the folder of the image has is trusted besides: here the server's is there, and somebody else's in the variable.
		variable("exporter") + "=" + exporter + " SSL_CERT_DIR=" + filepath.Dir(authority): true,
	} {
		command := exec.CommandContext(t.Context(), exporter, "healthcheck", "--url="+server.URL)
		command.Env = strings.Fields(environment)
		if out, err := command.CombinedOutput(); (err == nil) != trusted {
			t.Errorf("exporter with %q: %v\n%s", environment, err, out)
		}
	}
	t.Setenv(variable("rollup"), authority)
	config, err := pgconn.ParseConfig("postgres://rollup:x@database.example.org/rollup?sslmode=verify-full")
	if err != nil {
		t.Fatal(err)
	}
	only := x509.NewCertPool()
	only.AddCert(server.Certificate())
	if config.TLSConfig == nil || !only.Equal(config.TLSConfig.RootCAs) {
		t.Error("the receiver trusts others than the authority")
	}
	for _, o := range objects {
		text, ok := o.Data["datasources.yaml"]
		if !ok {
			continue
		}
		var file map[string]any
		if err := yaml.Unmarshal([]byte(text), &file); err != nil {
			t.Fatal(err)
		}
		source := asList(file["datasources"])[1]
		if at(source, "jsonData", "sslmode") != "verify-full" || at(source, "jsonData", "tlsConfigurationMethod") != "file-path" ||
			at(source, "jsonData", "sslRootCertFile") != "/etc/validator-monitor-authority/ca.crt" {
			t.Errorf("the data source is %v", source)
		}
	}
	variable("grafana") // is the file mounted?
	if _, err := template(t, named(t, "elsewhere"), serverVersion, "--set", "authorities.database.secret=x"); err == nil || !strings.Contains(err.Error(), "authorities.database has both configMap and secret") {
		t.Errorf("both: %v", err)
	}
}

// The bundled Postgres makes its data as the image's entrypoint does: initdb with the arguments of
// the pod, the scripts by the socket as its own user, then the network. Its own user is the
// superuser there and nobody else is, without a password on either side.
func TestChartsPostgresStartsAsItsImageDoes(t *testing.T) {
	if os.Geteuid() != 0 {
		t.Fatal("it runs Postgres as the user postgres and asks as another: run it as root")
	}
	if _, err := user.Lookup("postgres"); err != nil {
		t.Fatalf("%v: apt-get install postgresql", err)
	}
	arguments := ""
	all, err := pods(mustTemplate(t, named(t, "standalone")))
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range all {
		for _, e := range p.spec.Containers[0].Env {
			if e.Name == "POSTGRES_INITDB_ARGS" {
				arguments = e.Value
			}
		}
	}
	free, err := devnet.FreePorts(1)
	if err != nil {
		t.Fatal(err)
	}
	scripts, err := filepath.Abs(filepath.Join(chartDir, "files/postgres"))
	if err != nil {
		t.Fatal(err)
	}
	dir, err := os.MkdirTemp("", "pg") // a socket's path is at most 107 bytes, and others enter no folder of a test
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { os.RemoveAll(dir) })
	const script = `set -euo pipefail
bin=$(dirname "$(printf '%s\n' /usr/lib/postgresql/*/bin/initdb | sort --version-sort | tail -n 1)")
export PATH=$PATH:$bin
cp -r "$scripts" "$dir/scripts"; chmod a+rx "$dir" "$dir"/scripts/*; chown -R postgres "$dir"; cd "$dir"
as() { setpriv --reuid="$1" --regid="$(id -g "$1")" --clear-groups "${@:2}"; }
for secret in first owner reader; do echo "$secret" >"$secret"; done; chmod a+r first owner reader
as postgres bash -c "initdb --pgdata=$dir/data --username=postgres --pwfile=first $ARGUMENTS" >initdb.log
echo 'host all all all scram-sha-256' >>data/pg_hba.conf
server() { as postgres pg_ctl --pgdata="$dir/data" --log="$dir/data/log" --wait "$@" >/dev/null; }
server --options="-c listen_addresses='' -c unix_socket_directories=$dir -p $port -c fsync=off" start
trap 'server --mode=immediate stop' EXIT
export PGHOST=$dir PGPORT=$port POSTGRES_USER=postgres POSTGRES_DB=rollup ROLLUP_PASSWORD_FILE=$dir/owner ROLLUP_READER_PASSWORD_FILE=$dir/reader
as postgres psql --quiet --no-password --username=postgres --command='CREATE DATABASE rollup'
as postgres "$dir/scripts/10-roles.sh"
as postgres psql --quiet -v ON_ERROR_STOP=1 --no-password --no-psqlrc --username=postgres --dbname=rollup --file="$dir/scripts/20-superuser.sql"
server --mode=fast stop
server --options="-c listen_addresses=127.0.0.1 -c unix_socket_directories=$dir -p $port -c fsync=off" start
# The probes, and what docs/kubernetes.md has for backups.
pg_isready --quiet --host=127.0.0.1 --username=postgres --dbname=rollup
as postgres pg_dump --username=postgres --format=custom --no-privileges rollup >/dev/null
psql --quiet --dbname="postgres://rollup:owner@127.0.0.1:$port/rollup" --command='CREATE TABLE t ()'
refused() { local said; if said=$("$@" --command='SELECT 1' 2>&1); then echo "$* came in"; exit 1; fi; grep -q 'authentication failed\|no password supplied' <<<"$said" || { echo "$said"; exit 1; }; }
refused as nobody psql --no-password --username=postgres --dbname=rollup
refused as nobody psql --no-password --username=rollup --dbname=rollup
for password in first owner reader ''; do refused env PGPASSWORD="$password" psql --no-password --host=127.0.0.1 --username=postgres --dbname=rollup; done
as postgres psql --quiet --tuples-only --username=postgres --command='SHOW data_checksums' | grep -q on
`
	command := exec.CommandContext(t.Context(), "bash", "-c", script)
	command.Env = append(os.Environ(), "dir="+dir, "scripts="+scripts, "ARGUMENTS="+arguments, fmt.Sprintf("port=%d", free[0]))
	if out, err := command.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
	}
}

// A shard is a Deployment of its own, which selects nobody else's pods, and whose name goes
// onto its targets whichever Prometheus finds them.
func TestChartShardsAreToldApart(t *testing.T) {
	objects := mustTemplate(t, named(t, "shards"), "--set", "prometheus.enabled=true")
	names := map[string]string{}
	for _, o := range objects {
		if o.Kind == "Deployment" && o.Metadata.Labels["app.kubernetes.io/component"] == "exporter" {
			selector := o.at("spec", "selector", "matchLabels", "shard")
			if selector != o.at("spec", "template", "metadata", "labels", "shard") {
				t.Errorf("%s does not select its own shard", o)
			}
			names[selector.(string)] = o.Metadata.Name
		}
	}
	if len(names) != 3 {
		t.Fatalf("Deployments by shard: %v", names)
	}
	for _, o := range objects {
		switch {
		case o.Kind == "ServiceMonitor" && strings.HasSuffix(o.Metadata.Name, "-exporter"):
			endpoints, _ := json.Marshal(o.at("spec", "endpoints"))
			if !strings.Contains(string(endpoints), `{"action":"replace","sourceLabels":["__meta_kubernetes_pod_label_shard"],"targetLabel":"shard"}`) {
				t.Errorf("%s gives targets no label shard: %s", o, endpoints)
			}
		case o.Data["prometheus.yml"] != "":
			path := filepath.Join(t.TempDir(), "prometheus.yml")
			if err := os.WriteFile(path, []byte(o.Data["prometheus.yml"]), 0o600); err != nil {
				t.Fatal(err)
			}
			scrape := readYAML(t, path)["scrape_configs"].([]any)[0].(map[string]any)
			for shard, name := range names {
				if !slices.ContainsFunc(asList(scrape["relabel_configs"]), func(rule any) bool {
					r := rule.(map[string]any)
					return r["regex"] == name+"-metrics" && r["target_label"] == "shard" && r["replacement"] == shard
				}) {
					t.Errorf("targets of %s do not get the label shard: %v", name, scrape["relabel_configs"])
				}
			}
		}
	}
}

// Numbers of more than six digits stay what they are, and keys stay text, on the way
// through helm; the exporter itself says whether it takes the flags and the list.
func TestChartsExporterTakesItsFlagsAndWatchList(t *testing.T) {
	dir := t.TempDir()
	values := filepath.Join(dir, "values.yaml")
	key := strings.Repeat("ab", 48)
	err := os.WriteFile(values, []byte(`
exporter:
  extraArgs: [--validators.individual-limit=2000, "--network.name=a b"]
  beacon: {headersFromSecret: true}
  watch:
    validators:
      - {index: 1234567, labels: {operator: acme, tier: 1}}
      - {indices: "2000000-2000009"}
      - {indices: [3000000, "4000000-4000001"]}
      - {pubkey: "0x`+key+`"}
      - {pubkeys_file: keys.txt}
    files:
      keys.txt: |
        # of the second machine
        0x`+strings.Repeat("cd", 48)+`
`), 0o600)
	if err != nil {
		t.Fatal(err)
	}
	exporter := filepath.Join(dir, "validator-exporter")
	if out, err := exec.CommandContext(t.Context(), "go", "build", "-o", exporter, root+"/cmd/validator-exporter").CombinedOutput(); err != nil {
		t.Fatalf("%v\n%s", err, out)
	}
	for _, r := range append(renderings(t), rendering{"odd", append(named(t, "default").values, values)}) {
		configMaps := map[string]object{}
		objects := mustTemplate(t, r)
		for _, o := range objects {
			if o.Kind == "ConfigMap" {
				configMaps[o.Metadata.Name] = o
			}
		}
		all, err := pods(objects)
		if err != nil {
			t.Fatal(err)
		}
		checked := 0
		for _, p := range all {
			if p.component() != "exporter" {
				continue
			}
			etc := t.TempDir()
			files := map[string]string{"beacon-headers": "Authorization: Bearer abc\n"}
			for _, m := range p.mounts() {
				if m.kind == "ConfigMap" {
					maps.Copy(files, configMaps[m.name].Data)
				}
			}
			if files["watch.yml"] == "" { // the user's own
				files["watch.yml"] = "validators: [{index: 0}]"
			}
			for name, text := range files {
				if err := os.WriteFile(filepath.Join(etc, name), []byte(text), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			args := []string{"--config.check"}
			for _, arg := range p.spec.Containers[0].Args {
				for _, mount := range []string{"/etc/validator-monitor", "/run/secrets/validator-monitor"} {
					arg = strings.Replace(arg, mount, etc, 1)
				}
				args = append(args, arg)
			}
			out, err := exec.CommandContext(t.Context(), exporter, args...).CombinedOutput()
			if err != nil {
				t.Errorf("%s: %s: %v\n%s", r, p, err, out)
			}
			if r.name == "odd" && !strings.Contains(files["watch.yml"], "index: 1234567\n") {
				t.Errorf("the watch list:\n%s", files["watch.yml"])
			}
			checked++
		}
		if checked == 0 {
			t.Errorf("%s has no exporter", r)
		}
	}
}

// Helm keeps a release, chart and all, in a Secret, which cannot be larger than 1 MiB.
func TestChartReleaseFitsIntoItsSecret(t *testing.T) {
	c := cluster(t)
	for _, name := range []string{"default", "external-secret"} {
		namespace := "size-" + name
		restricted(t, c, namespace)
		size := releaseSize(t, c, namespace, named(t, name))
		t.Logf("the release with the values %s takes %d KiB of 1024", name, size/1024)
		if size > 768*1024 {
			t.Errorf("the release with the values %s takes %d bytes of 1 MiB: too little is left", name, size)
		}
	}
}

func releaseSize(t *testing.T, c *kubernetes.Cluster, namespace string, r rendering) int {
	t.Helper()
	args := slices.Concat([]string{"install", release, chartDir, "--namespace", namespace}, r.flags())
	if _, err := c.Run(t.Context(), nil, program(t, "helm"), args...); err != nil {
		t.Fatal(err)
	}
	out, err := c.Kubectl(t.Context(), "get", "secret", "sh.helm.release.v1."+release+".v1", "--namespace", namespace, "-o", "json")
	if err != nil {
		t.Fatal(err)
	}
	var secret struct {
		Data map[string][]byte `json:"data"`
	}
	if err := json.Unmarshal([]byte(out), &secret); err != nil {
		t.Fatal(err)
	}
	size := 0
	for _, value := range secret.Data {
		size += len(value)
	}
	return size
}
