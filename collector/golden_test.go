package collector

import (
	"flag"
	"net/http/httptest"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil/promlint"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

var update = flag.Bool("update", false, "rewrite golden files")

const goldenWatchList = `
validators:
  - indices: "0-3"
    labels: {operator: acme, client: lighthouse}
  - index: 9
    labels: {operator: acme, client: teku}
  - index: 30
  - index: 4000
  - pubkey: "0x93247f2209abcacf57b75a51dafae777f9dd38bc7053d1af526f220a7489a6d3a2753e5f3e8b1cfe39b56f43611df74a"
    labels: {operator: acme}
`

// The whole exposition of small chains, as a human can check it.
func TestExpositionGolden(t *testing.T) {
	eventful := short(64)
	eventful.Faults = []chainsim.Fault{
		chainsim.Offline{Validators: chainsim.Indices(1)},
		chainsim.Late{Validators: chainsim.Indices(2), Delay: 3},
		chainsim.WrongHead{Validators: chainsim.Indices(3)},
		chainsim.ProposerSlashing{Slot: 60, Validator: 30},
		chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{9}, Epoch: 3, Increments: 2048},
	}
	gnosis := chainsim.Config{Preset: chainsim.Gnosis(), Validators: 64, Seed: 3, Noise: &chainsim.Noise{}}
	gnosis.Preset.FuluForkEpoch = 0 // proposers of the next epoch are known
	for _, tc := range []struct {
		name    string
		cfg     chainsim.Config
		slot    duty.Slot
		options testOptions
	}{
		{name: "eventful", cfg: eventful, slot: 93},
		{name: "zero_phase", cfg: eventful, slot: 83},
		{name: "completed_windows", cfg: eventful, slot: 110, options: testOptions{completed: 2, validators: []string{"0,1"}}},
		{name: "offenders", cfg: eventful, slot: 93, options: testOptions{individual: 3, offenders: 3}},
		{name: "gnosis", cfg: gnosis, slot: 200, options: testOptions{validators: []string{"5,6,7,8"}}},
		{name: "first_epoch", cfg: eventful, slot: 5},
	} {
		t.Run(tc.name, func(t *testing.T) {
			sim := simulate(t, tc.cfg)
			sim.to(tc.slot)
			o := tc.options
			o.window = duty.WindowConfig{Epochs: 4, ResetSlots: 8}
			if o.validators == nil {
				o.watchFile = writeFile(t, "watch.yml", goldenWatchList)
			}
			c := sim.collector(o)
			page := c.Scrape(t.Context())
			if why := c.self.lastError(); why != "" {
				t.Fatal(why)
			}
			recorder := httptest.NewRecorder()
			if err := exposition.Serve(recorder, httptest.NewRequest("GET", "/metrics", nil), page, prometheus.NewRegistry()); err != nil {
				t.Fatal(err)
			}
			got := recorder.Body.String()
			path := filepath.Join("testdata", "exposition", tc.name+".txt")
			if *update {
				if err := os.WriteFile(path, []byte(got), 0o644); err != nil {
					t.Fatal(err)
				}
			}
			want, err := os.ReadFile(path)
			if err != nil {
				t.Fatal(err)
			}
			if got != string(want) {
				t.Errorf("%s differs (go test ./collector -update rewrites it):\n%s", path, firstDifference(got, string(want)))
			}
			problems, err := promlint.New(strings.NewReader(got)).Lint()
			if err != nil {
				t.Fatal(err)
			}
			for _, p := range problems {
				t.Errorf("%s: %s", p.Metric, p.Text)
			}
		})
	}
}

// Every chain and observed family of the catalogue is shown by one of the golden
// expositions, and no other.
func TestEveryFamilyOfTheCatalogueIsExposed(t *testing.T) {
	files, err := filepath.Glob("testdata/exposition/*.txt")
	if err != nil || len(files) == 0 {
		t.Fatal(files, err)
	}
	shown := map[string]bool{}
	for _, file := range files {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			if rest, ok := strings.CutPrefix(line, "# TYPE "); ok {
				name, _, _ := strings.Cut(rest, " ")
				shown[name] = true
			}
		}
	}
	fresh := map[string]bool{ // rendered from the clock at every scrape
		"ethereum_chain_slot": true, "ethereum_chain_snapshot_timestamp_seconds": true,
		"ethereum_chain_reorg_depth_observed_slots": true, // only after a reorg; see TestAReorgIsObserved
	}
	for _, f := range catalog.All() {
		if f.Origin == catalog.Exporter || fresh[f.Name] {
			continue
		}
		if !shown[f.Name] {
			t.Errorf("%s is in the catalogue but in no golden exposition", f.Name)
		}
		delete(shown, f.Name)
	}
	for name := range shown {
		t.Errorf("%s is exposed but not in the catalogue", name)
	}
}

// The exporter's own metrics are the catalogue's too: by name, help and labels.
func TestSelfMetricsAreTheCatalogues(t *testing.T) {
	sim := simulate(t, quiet(64))
	c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
	sim.to(100)
	samples(t, c)
	sim.node.Set(chainsim.NodeOptions{FailStatus: 500, Only: []string{"headers"}}) // every retry in vain
	sim.to(101)
	samples(t, c)
	families, err := c.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	shown := map[string]bool{}
	for _, f := range families {
		want, ok := catalog.Get(f.GetName())
		if !ok {
			t.Errorf("%s is exposed but not in the catalogue", f.GetName())
			continue
		}
		shown[f.GetName()] = true
		if f.GetHelp() != want.Help {
			t.Errorf("%s: help is %q, the catalogue says %q", f.GetName(), f.GetHelp(), want.Help)
		}
		if got := strings.ToLower(f.GetType().String()); got != string(want.Type) {
			t.Errorf("%s is a %s, the catalogue says %s", f.GetName(), got, want.Type)
		}
		labels := slices.Sorted(slices.Values(want.Labels))
		var got []string
		for _, l := range f.GetMetric()[0].GetLabel() {
			got = append(got, l.GetName())
		}
		slices.Sort(got)
		if !slices.Equal(got, labels) {
			t.Errorf("%s has labels %v, the catalogue says %v", f.GetName(), got, labels)
		}
	}
	for _, f := range catalog.All() {
		if f.Origin == catalog.Exporter && !shown[f.Name] && f.Name != "validator_exporter_build_info" { // the command's
			t.Errorf("%s is in the catalogue but not exposed", f.Name)
		}
	}
}
