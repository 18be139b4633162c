package deploy_test

import (
	"maps"
	"os"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/common/model"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/model/relabel"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

// tree is the top of the repository.
const tree = "../.."

// Whoever runs shards has one row per window for each validator, each group, the network and
// each shard's own total, whatever target or replica it came from.
func TestRemoteWriteOfShards(t *testing.T) {
	rules := writeRelabelling(t, tree+"/deploy/prometheus/remote-write.yml")
	const target = ` job="validator-exporter" instance="10.0.0.7:9090" namespace="monitoring" pod="exporter-a-0" container="exporter"` +
		` endpoint="metrics" service="exporter" prometheus="monitoring/k8s" prometheus_replica="prometheus-0"`
	for _, c := range []struct{ name, sample, want string }{
		{
			"a validator of a shard is nobody else's",
			`__name__="ethereum_validator_window_blocks_expected" network="mainnet" validator_index="7" window="1700000000" shard="a"`,
			`__name__="ethereum_validator_window_blocks_expected" network="mainnet" validator_index="7" window="1700000000"`,
		},
		{
			"the total of a shard becomes the shard's group",
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="all" group="all" window="1700000000" shard="a"`,
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="shard" group="a" window="1700000000"`,
		},
		{
			"any text may name a shard",
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="all" group="all" window="1700000000" shard="eu;all"`,
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="shard" group="eu;all" window="1700000000"`,
		},
		{
			"the total of everything stays itself where there are no shards",
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="all" group="all" window="1700000000"`,
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="all" group="all" window="1700000000"`,
		},
		{
			"a group of the watch list keeps its name",
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="operator" group="acme" window="1700000000" shard="a"`,
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="operator" group="acme" window="1700000000"`,
		},
		{
			"a group that is called all is no total",
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="overall" group="all" window="1700000000" shard="a"`,
			`__name__="ethereum_group_window_blocks_expected" network="mainnet" group_by="overall" group="all" window="1700000000"`,
		},
		{
			"the network is the same from every shard",
			`__name__="ethereum_network_window_blocks_expected" network="mainnet" window="1700000000" shard="a"`,
			`__name__="ethereum_network_window_blocks_expected" network="mainnet" window="1700000000"`,
		},
		{"nothing but windows is sent", `__name__="ethereum_group_blocks_expected_total" network="mainnet" group_by="all" group="all" shard="a"`, ""},
		{"no recorded series either", `__name__="group:blocks_expected:increase1h" network="mainnet" group_by="all" group="all" shard="a"`, ""},
	} {
		t.Run(c.name, func(t *testing.T) {
			if got := sent(t, rules, c.sample+target); got != c.want {
				t.Errorf("sent as %s\nwant    %s", got, c.want)
			}
		})
	}
}

// Two shards never send two values under one key, and no shard sends another's total. What
// they tell of the network is the same from both.
func TestShardsDoNotContradictEachOther(t *testing.T) {
	rules := writeRelabelling(t, tree+"/deploy/prometheus/remote-write.yml")
	keys := map[string]string{} // what is stored → which shard sent it
	families := 0
	for _, family := range catalog.All() {
		if !slices.Contains(family.Labels, "window") {
			continue
		}
		families++
		for _, shard := range []string{"a", "b"} {
			own := map[string]string{"__name__": family.Name, "shard": shard, "instance": shard}
			for _, label := range family.Labels {
				// Shards watch different validators. Everything else of them has one name.
				own[label] = map[string]string{"group_by": "all", "group": "all", "validator_index": shard}[label]
				if own[label] == "" {
					own[label] = "x"
				}
			}
			key := sent(t, rules, pairs(own))
			if key == "" {
				t.Errorf("%s of a shard is not sent", family.Name)
			}
			if other, twice := keys[key]; twice && !strings.HasPrefix(family.Name, "ethereum_network_") {
				t.Errorf("shards %s and %s both send %s", other, shard, key)
			}
			keys[key] = shard
		}
	}
	if families == 0 {
		t.Error("no family has windows")
	}
}

// The rules and dashboards look for these names, and the exporter's labels survive.
func TestScrapeSection(t *testing.T) {
	var file struct {
		Jobs []struct {
			Name        string `yaml:"job_name"`
			Interval    string `yaml:"scrape_interval"`
			HonorLabels bool   `yaml:"honor_labels"`
			Static      []struct {
				Targets []string
			} `yaml:"static_configs"`
		} `yaml:"scrape_configs"`
	}
	decodeYAML(t, tree+"/deploy/prometheus/scrape.yml", &file)
	ports := map[string]string{"validator-exporter": "validator-exporter:9090", "validator-rollup": "validator-rollup:8090"}
	if len(file.Jobs) != len(ports) {
		t.Errorf("%d jobs, want %d", len(file.Jobs), len(ports))
	}
	for _, job := range file.Jobs {
		if job.Interval != "30s" || !job.HonorLabels || len(job.Static) != 1 || !slices.Equal(job.Static[0].Targets, []string{ports[job.Name]}) {
			t.Errorf("job %+v", job)
		}
	}
}

// writeRelabelling reads the relabelling of the one queue in a file.
func writeRelabelling(t *testing.T, path string) []*relabel.Config {
	t.Helper()
	var file struct {
		RemoteWrite []struct {
			Relabel []*relabel.Config `yaml:"write_relabel_configs"`
		} `yaml:"remote_write"`
	}
	decodeYAML(t, path, &file)
	if len(file.RemoteWrite) != 1 {
		t.Fatalf("%s: %d queues, want 1", path, len(file.RemoteWrite))
	}
	rules := file.RemoteWrite[0].Relabel
	for _, rule := range rules {
		rule.NameValidationScheme = model.UTF8Validation // as Prometheus does after it has read its own file
		if err := rule.Validate(model.UTF8Validation); err != nil {
			t.Fatalf("%s: %v", path, err)
		}
	}
	return rules
}

// sent is what becomes of a sample's labels, in order of their names; "" when it is not sent.
func sent(t *testing.T, rules []*relabel.Config, sample string) string {
	t.Helper()
	builder := labels.NewBuilder(labels.FromMap(unpair(t, sample)))
	if !relabel.ProcessBuilder(builder, rules...) {
		return ""
	}
	after := builder.Labels().Map()
	order := func(name string) int { // as the cases are written
		return slices.Index([]string{"__name__", "network", "group_by", "group", "validator_index", "window"}, name)
	}
	names := slices.SortedFunc(maps.Keys(after), func(a, b string) int {
		if d := order(a) - order(b); d != 0 {
			return d
		}
		return strings.Compare(a, b)
	})
	var text []string
	for _, name := range names {
		text = append(text, name+`="`+after[name]+`"`)
	}
	return strings.Join(text, " ")
}

// pairs writes labels as name="value", unpair reads them.
func pairs(of map[string]string) string {
	var text []string
	for _, name := range slices.Sorted(maps.Keys(of)) {
		text = append(text, name+`="`+of[name]+`"`)
	}
	return strings.Join(text, " ")
}

func unpair(t *testing.T, text string) map[string]string {
	t.Helper()
	found := map[string]string{}
	for pair := range strings.FieldsSeq(text) {
		name, value, ok := strings.Cut(pair, "=")
		if !ok {
			t.Fatalf("no label: %s", pair)
		}
		found[name] = strings.Trim(value, `"`)
	}
	return found
}

// decodeYAML reads what into has of a file.
func decodeYAML(t *testing.T, path string, into any) {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if err := yaml.Unmarshal(text, into); err != nil {
		t.Fatalf("%s: %v", path, err)
	}
}
