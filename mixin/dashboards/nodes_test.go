package dashboards

import (
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// Exporter a asks four nodes, b another one by the name of a's first.
const nodes = `
up{REPLICA} 1
validator_exporter_build_info{REPLICA,version="1.2.0",revision="abc",goversion="go1.26"} 1
ethereum_beacon_up{REPLICA,endpoint="n1"} 1
ethereum_beacon_info{REPLICA,endpoint="n1",client="teku",version="25.1"} 1
ethereum_beacon_head_slot{REPLICA,endpoint="n1"} 100
ethereum_beacon_syncing{REPLICA,endpoint="n1"} 0
ethereum_beacon_optimistic{REPLICA,endpoint="n1"} 0
ethereum_beacon_execution_offline{REPLICA,endpoint="n1"} 0`

const onlyA = `
ethereum_beacon_up{REPLICA,endpoint="n2"} 1
ethereum_beacon_info{REPLICA,endpoint="n2",client="prysm",version="7"} 1
ethereum_beacon_head_slot{REPLICA,endpoint="n2"} 103
ethereum_beacon_syncing{REPLICA,endpoint="n2"} 1
ethereum_beacon_optimistic{REPLICA,endpoint="n2"} 1
ethereum_beacon_execution_offline{REPLICA,endpoint="n2"} 0
ethereum_beacon_up{REPLICA,endpoint="n3"} 0
ethereum_beacon_up{REPLICA,endpoint="n4"} 1
ethereum_beacon_syncing{REPLICA,endpoint="n4"} 1
ethereum_beacon_optimistic{REPLICA,endpoint="n4"} 0
ethereum_beacon_execution_offline{REPLICA,endpoint="n4"} 1`

func TestAnswersAboutNodesAndAlerts(t *testing.T) {
	c := mixin.Solo()
	c.Select.ReplicaLabels = []string{"replica"}
	c.Alerts.Cache.MinimumLookups = 10
	s := newSelectors(c)
	data := slices.Concat(load(t, nodes, "a", "b"), load(t, onlyA, "a"), load(t, "up{REPLICA} 0", "c"))
	for _, tc := range []struct {
		name, query string
		more        string
		want        []string
	}{
		{
			"nodes by client, also when they are down", s.namedNodes(), "",
			[]string{
				`{client="prysm", endpoint="n2", replica="a", version="7"} 1`,
				`{client="teku", endpoint="n1", replica="a", version="25.1"} 1`,
				`{client="teku", endpoint="n1", replica="b", version="25.1"} 1`,
				`{endpoint="n3", replica="a"} 0`,
				`{endpoint="n4", replica="a"} 1`,
			},
		},
		{
			"exporters by version, also when they are down", s.namedProcesses(s.exporter("up"), s.exporter("validator_exporter_build_info")), "",
			[]string{
				`{goversion="go1.26", replica="a", revision="abc", version="1.2.0"} 1`,
				`{goversion="go1.26", replica="b", revision="abc", version="1.2.0"} 1`,
				`{replica="c"} 0`,
			},
		},
		{
			"what is worst about each node", s.condition(), "",
			[]string{
				`{endpoint="n1", replica="a"} 1`, `{endpoint="n1", replica="b"} 1`, `{endpoint="n2", replica="a"} 3`,
				`{endpoint="n3", replica="a"} 0`, `{endpoint="n4", replica="a"} 4`,
			},
		},
		{
			"heads behind the best of the same exporter", s.behind(), "",
			[]string{`{endpoint="n1", replica="a"} 3`, `{endpoint="n1", replica="b"} 0`, `{endpoint="n2", replica="a"} 0`},
		},
		{
			"offences of all kinds", s.offences(),
			`ethereum_validator_slashed{REPLICA,validator_index="1"} 1
ethereum_validator_slashed{REPLICA,validator_index="2"} 0
ethereum_validator_missed_attestation_streak{REPLICA,validator_index="2"} 4
ethereum_validator_attestations_overdue{REPLICA,validator_index="2"} 2
ethereum_validator_blocks_missed_unsettled{REPLICA,validator_index="3"} 1
ethereum_validator_sync_missed_unsettled{REPLICA,validator_index="3"} 0`,
			[]string{
				`{offence="attestations_overdue", validator_index="2"} 2`,
				`{offence="blocks_missed", validator_index="3"} 1`,
				`{offence="missed_attestation_streak", validator_index="2"} 4`,
				`{offence="slashed", validator_index="1"} 1`,
			},
		},
		{
			"offences above the limit of individual series", s.offences(),
			`ethereum_validator_offender{REPLICA,validator_index="9",offence="sync_missed"} 12`,
			[]string{`{offence="sync_missed", validator_index="9"} 12`},
		},
		{
			"a quantile", quantile(0.5, selector("b", ""), "endpoint"), `b{REPLICA,endpoint="n1",le="1"} 4
b{REPLICA,endpoint="n1",le="+Inf"} 4`,
			[]string{`{endpoint="n1"} 0.5`},
		},
		{
			"no quantile of nothing", quantile(0.5, selector("b", ""), "endpoint"), `b{REPLICA,endpoint="n1",le="1"} 0
b{REPLICA,endpoint="n1",le="+Inf"} 0`, nil,
		},
		{
			"newest window, by the receiver that knows it", s.windowAge(),
			`validator_rollup_newest_window_timestamp_seconds{REPLICA} 4000`,
			[]string{`{} 240`}, // 10000 - 4000 - 15*384
		},
	} {
		t.Run(tc.name, func(t *testing.T) {
			series := data
			if tc.more != "" {
				series = slices.Concat(data, load(t, tc.more, "a", "b"))
			}
			query := strings.ReplaceAll(tc.query, c.Select.Rollup, c.Select.Exporter) // load knows one job
			if got := ask(t, series, query, nil); !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

func TestDurationsThatGrafanaReads(t *testing.T) {
	for d, want := range map[time.Duration]string{
		30 * time.Second: "30s", 90 * time.Second: "90s", 15 * time.Minute: "15m", 90 * time.Minute: "90m",
		6 * time.Hour: "6h", 36 * time.Hour: "36h", 90 * 24 * time.Hour: "90d",
	} {
		if got := oneUnit(d); got != want {
			t.Errorf("%s: got %s, want %s", d, got, want)
		}
	}
}

func TestViewsAreWhole(t *testing.T) {
	for _, v := range Views() {
		seen := map[string]bool{}
		for _, c := range v.Columns {
			if seen[c.Name] || c.Name == "" || c.Type == "" || !strings.HasSuffix(c.Meaning, ".") {
				t.Errorf("%s: column %+v is there twice or lacks something", v.Name, c)
			}
			seen[c.Name] = true
		}
		for _, key := range v.Key {
			if !seen[key] {
				t.Errorf("%s: no column %s of its key", v.Name, key)
			}
		}
	}
}
