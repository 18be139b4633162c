//go:build e2e

package deploy_test

import (
	"encoding/json"
	"maps"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/kubernetes"
)

func TestManifestsAreWhatTheChartRenders(t *testing.T) {
	cmd := exec.CommandContext(t.Context(), "go", "run", "./deploy/render", "--check", "--helm", program(t, "helm"))
	cmd.Dir = root
	if out, err := cmd.CombinedOutput(); err != nil {
		t.Errorf("%v\n%s", err, out)
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
