package catalog_test

import (
	"bytes"
	"flag"
	"os"
	"regexp"
	"slices"
	"strings"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/testutil"
	"github.com/prometheus/common/model"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

var update = flag.Bool("update", false, "rewrite docs/metrics.md")

func TestDocumentationIsCurrent(t *testing.T) {
	const path = "../../docs/metrics.md"
	want := catalog.Markdown()
	if *update {
		if err := os.WriteFile(path, want, 0o644); err != nil {
			t.Fatal(err)
		}
	}
	got, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if !bytes.Equal(got, want) {
		t.Error("docs/metrics.md is stale: run go test ./collector/catalog -update")
	}
	for _, f := range catalog.All() {
		if n := bytes.Count(got, []byte("| `"+f.Name+"` |")); n != 1 {
			t.Errorf("docs/metrics.md has %d rows for %s, want 1", n, f.Name)
		}
	}
}

func TestFamilyNamesAreSortedAndUnique(t *testing.T) {
	families := catalog.All()
	for i := 1; i < len(families); i++ {
		if families[i-1].Name >= families[i].Name {
			t.Errorf("%s comes before %s", families[i-1].Name, families[i].Name)
		}
	}
	// OpenMetrics names a counter's family without _total, which must not meet another.
	seen := map[string]string{}
	for _, f := range families {
		name := strings.TrimSuffix(f.Name, "_total")
		if other, twice := seen[name]; twice {
			t.Errorf("%s and %s have the same name in OpenMetrics", f.Name, other)
		}
		seen[name] = f.Name
	}
}

// sample emits one series of every family.
type sample struct{}

func (sample) Describe(chan<- *prometheus.Desc) {}

func (sample) Collect(ch chan<- prometheus.Metric) {
	for _, f := range catalog.All() {
		desc := prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
		values := slices.Repeat([]string{"x"}, len(f.Labels))
		switch f.Type {
		case catalog.Counter:
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, 1, values...)
		case catalog.Gauge:
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, 1, values...)
		case catalog.Histogram:
			ch <- prometheus.MustNewConstHistogram(desc, 1, 1, map[float64]uint64{1: 1}, values...)
		}
	}
}

func TestNamesPassTheLinter(t *testing.T) {
	if n := testutil.CollectAndCount(sample{}); n != len(catalog.All()) {
		t.Errorf("%d of %d families were linted", n, len(catalog.All()))
	}
	problems, err := testutil.CollectAndLint(sample{})
	if err != nil {
		t.Fatal(err)
	}
	for _, p := range problems {
		t.Errorf("%s: %s", p.Metric, p.Text)
	}
}

func TestFamiliesKeepTheConventions(t *testing.T) {
	units := regexp.MustCompile(`_(minutes|hours|days|milliseconds|eth|ether|wei|percent|mb|kb)(_|$)`)
	for _, f := range catalog.All() {
		if units.MatchString(f.Name) {
			t.Errorf("%s: units are gwei, slots, seconds, bytes and ratio", f.Name)
		}
		if strings.HasSuffix(f.Name, "_total") != (f.Type == catalog.Counter) {
			t.Errorf("%s: counters end with _total, and nothing else does", f.Name)
		}
		if len(f.Help) < 10 || !strings.HasSuffix(f.Help, ".") || strings.ContainsAny(f.Help, "\n{}%") {
			t.Errorf("%s: help is no finished sentence: %q", f.Name, f.Help)
		}
		ethereum := strings.HasPrefix(f.Name, "ethereum_") && !strings.HasPrefix(f.Name, "ethereum_beacon_")
		if ethereum != (f.Origin != catalog.Exporter) {
			t.Errorf("%s: origin %s does not fit the name", f.Name, f.Origin)
		}
		if ethereum && (len(f.Labels) == 0 || f.Labels[0] != "network") {
			t.Errorf("%s: the first label must be network", f.Name)
		}
		if (f.Origin == catalog.Observed) != (strings.Contains(f.Name, "_observed_") ||
			f.Name == "ethereum_chain_slot" || f.Name == "ethereum_chain_snapshot_timestamp_seconds") {
			t.Errorf("%s: origin %s; what is observed says so in its name", f.Name, f.Origin)
		}
		if slices.Contains(f.Labels, "pubkey") != (f.Name == "ethereum_validator_info") {
			t.Errorf("%s: only ethereum_validator_info has the label pubkey", f.Name)
		}
		for i, label := range f.Labels {
			if !model.LegacyValidation.IsValidLabelName(label) || slices.Contains(f.Labels[:i], label) {
				t.Errorf("%s: bad or repeated label %q", f.Name, label)
			}
		}
	}
}

func TestEveryAnchoredCounterHasItsWindowFamily(t *testing.T) {
	anchored := 0
	for _, f := range catalog.All() {
		w, ok := f.Window()
		if want := f.Type == catalog.Counter && f.Origin == catalog.Chain; ok != want {
			t.Errorf("%s: window family %v, want %v", f.Name, ok, want)
		}
		if !ok {
			continue
		}
		anchored++
		if w.Type != catalog.Gauge || !slices.Equal(w.Labels, append(slices.Clone(f.Labels), "window")) {
			t.Errorf("%s: window family is %s%v", f.Name, w.Name, w.Labels)
		}
	}
	if want := 3*14 + 1; anchored != want {
		t.Errorf("%d anchored counters, want %d", anchored, want)
	}
}

func TestLookUp(t *testing.T) {
	f := catalog.MustGet("ethereum_validator_attestations_expected_total")
	if w, ok := f.Window(); !ok || w.Name != "ethereum_validator_window_attestations_expected" {
		t.Errorf("window family is %q", w.Name)
	}
	if _, ok := catalog.Get("ethereum_validator_nonsense"); ok {
		t.Error("found a family that is not in the table")
	}
	defer func() {
		if recover() == nil {
			t.Error("MustGet did not panic on a name that is not in the table")
		}
	}()
	catalog.MustGet("ethereum_validator_nonsense")
}

// TestRequiredFamilies pins the names that rules, dashboards and users rely on.
func TestRequiredFamilies(t *testing.T) {
	const required = `
ethereum_validator_info ethereum_validator_status ethereum_validator_balance_gwei ethereum_validator_effective_balance_gwei
ethereum_validator_slashed ethereum_validator_activation_epoch ethereum_validator_exit_epoch ethereum_validator_withdrawable_epoch
ethereum_validator_missed_attestation_streak ethereum_validator_attestations_overdue ethereum_validator_blocks_missed_unsettled
ethereum_validator_sync_missed_unsettled ethereum_validator_next_attestation_timestamp_seconds
ethereum_validator_next_proposal_timestamp_seconds ethereum_validator_sync_committee_member ethereum_validator_attestation_reward_gwei
ethereum_validator_offender ethereum_group_offenders ethereum_group_missed_attestation_streaks ethereum_group_validators ethereum_group_balance_gwei ethereum_group_effective_balance_gwei
ethereum_network_info ethereum_network_slashings_total ethereum_chain_slot ethereum_chain_head_slot ethereum_chain_epoch
ethereum_chain_settled_epoch ethereum_chain_proposers_known_until_timestamp_seconds ethereum_chain_justified_epoch ethereum_chain_finalized_epoch ethereum_chain_snapshot_timestamp_seconds
ethereum_chain_reorgs_observed_total ethereum_beacon_up ethereum_beacon_info ethereum_beacon_syncing ethereum_beacon_sync_distance_slots
ethereum_beacon_optimistic ethereum_beacon_execution_offline ethereum_beacon_peers ethereum_beacon_head_slot
ethereum_beacon_request_duration_seconds ethereum_beacon_requests_total ethereum_beacon_request_failures_total
ethereum_beacon_failovers_total validator_exporter_build_info validator_exporter_watched_validators validator_exporter_window_complete
validator_exporter_window_first_epoch validator_exporter_collector_success validator_exporter_collector_duration_seconds
validator_exporter_cache_hits_total validator_exporter_cache_misses_total validator_exporter_cache_evictions_total validator_exporter_cache_rejected_total
validator_exporter_cache_entries validator_exporter_cache_bytes validator_exporter_config_reload_success
validator_exporter_config_reload_timestamp_seconds`
	for name := range strings.FieldsSeq(required) {
		if _, ok := catalog.Get(name); !ok {
			t.Errorf("%s is not in the table", name)
		}
	}
	for _, x := range []string{"ethereum_validator_", "ethereum_group_", "ethereum_network_"} {
		for name := range strings.FieldsSeq(`attestations_expected_total attestations_included_total attestation_source_votes_total
			attestation_target_votes_total attestation_head_votes_total attestation_inclusion_delay_slots_total
			attestation_votes_lost_total attestation_stake_possible_gwei_total attestation_stake_achievable_gwei_total
			attestation_stake_earned_gwei_total blocks_expected_total blocks_proposed_total sync_committee_expected_total
			sync_committee_included_total blocks_orphaned_observed_total window_balance_gwei`) {
			if _, ok := catalog.Get(x + name); !ok {
				t.Errorf("%s is not in the table", x+name)
			}
		}
	}
}
