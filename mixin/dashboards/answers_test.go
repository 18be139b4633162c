package dashboards

import (
	"context"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/prometheus/model/histogram"
	"github.com/prometheus/prometheus/model/labels"
	"github.com/prometheus/prometheus/promql"
	"github.com/prometheus/prometheus/promql/parser"
	"github.com/prometheus/prometheus/storage"
	"github.com/prometheus/prometheus/tsdb/chunkenc"
	"github.com/prometheus/prometheus/tsdb/chunks"
	"github.com/prometheus/prometheus/util/annotations"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/expr"
)

// Two exporters, a and b, watch five validators: 1 and 2 are of client x, 3 is of y,
// 4 is an index that the chain has not given out, and 0xee a key that it does not
// know. b's head is one slot older than a's. The time is 10000. Attestations of an epoch and a
// half may be overdue.
const watched = `
ethereum_validator_info{REPLICA,validator_index="1",pubkey="0xaa",client="x"} 1
ethereum_validator_info{REPLICA,validator_index="2",pubkey="0xbb",client="x"} 1
ethereum_validator_info{REPLICA,validator_index="3",pubkey="0xcc",client="y"} 1
ethereum_validator_info{REPLICA,pubkey="0xee",client="y"} 1
ethereum_validator_status{REPLICA,validator_index="1",status="active_ongoing"} 1
ethereum_validator_status{REPLICA,validator_index="2",status="exited_unslashed"} 1
ethereum_validator_status{REPLICA,validator_index="3",status="active_ongoing"} 1
ethereum_validator_status{REPLICA,validator_index="4",status="unknown"} 1
ethereum_validator_missed_attestation_streak{REPLICA,validator_index="1"} 0
ethereum_validator_missed_attestation_streak{REPLICA,validator_index="2"} 5
ethereum_validator_missed_attestation_streak{REPLICA,validator_index="3"} 2
ethereum_validator_next_proposal_timestamp_seconds{REPLICA,validator_index="3"} 10300
ethereum_group_attestations_overdue{REPLICA,group_by="all",group="all"} 1
ethereum_group_attestations_overdue{REPLICA,group_by="client",group="x"} 0
ethereum_group_attestations_overdue{REPLICA,group_by="client",group="y"} 1
ethereum_group_validators{REPLICA,group_by="all",group="all",status="active_ongoing"} 2
ethereum_group_validators{REPLICA,group_by="all",group="all",status="exited_unslashed"} 1
ethereum_group_validators{REPLICA,group_by="all",group="all",status="unknown"} 2
ethereum_group_validators{REPLICA,group_by="client",group="x",status="active_ongoing"} 1
ethereum_group_validators{REPLICA,group_by="client",group="x",status="exited_unslashed"} 1
ethereum_group_validators{REPLICA,group_by="client",group="y",status="active_ongoing"} 1
ethereum_group_next_proposal_timestamp_seconds{REPLICA,group_by="all",group="all"} 10300
ethereum_group_next_proposal_timestamp_seconds{REPLICA,group_by="client",group="y"} 10300
ethereum_group_sync_committee_members{REPLICA,group_by="all",group="all",period="current"} 1
ethereum_group_sync_committee_members{REPLICA,group_by="client",group="x",period="current"} 1
ethereum_chain_head_slot{REPLICA} 3218
ethereum_chain_settled_epoch{REPLICA} 98
ethereum_chain_proposers_known_until_timestamp_seconds{REPLICA} 10700
ethereum_network_attestations_overdue{REPLICA} 750
ethereum_network_active_validators{REPLICA} 1000
`

func TestAnswers(t *testing.T) {
	c := mixin.Solo()
	c.Select.ReplicaLabels = []string{"replica"}
	c.Alerts.Proposals.Upcoming = 10 * time.Minute
	s := newSelectors(c)
	series := load(t, watched, "a", "b")
	// What only one of the replicas has must show as well.
	series = append(series, load(t, `ethereum_validator_status{REPLICA,validator_index="5",status="pending_queued"} 1`, "b")...)

	streak := s.members(s.onceBy(s.chain("ethereum_validator_missed_attestation_streak"), "validator_index"))
	hourly := selector("group:blocks_expected:increase1h", `network="$network"`)
	for _, tc := range []struct {
		name, query, groupBy, group string
		want                        []string
	}{
		{
			"members of everything", streak, "all", "all",
			[]string{`{validator_index="1"} 0`, `{validator_index="2"} 5`, `{validator_index="3"} 2`},
		},
		{"members of a group", streak, "client", "x", []string{`{validator_index="1"} 0`, `{validator_index="2"} 5`}},
		{"members of another label", streak, "operator", "x", nil},
		{
			"names of everything", s.named(), "all", "all",
			[]string{
				`{pubkey="0xaa", status="active_ongoing", validator_index="1"} 1`,
				`{pubkey="0xbb", status="exited_unslashed", validator_index="2"} 1`,
				`{pubkey="0xcc", status="active_ongoing", validator_index="3"} 1`,
				`{pubkey="0xee", status="unknown"} 1`,
				`{status="pending_queued", validator_index="5"} 1`,
				`{status="unknown", validator_index="4"} 1`,
			},
		},
		{
			"names of a group", s.named(), "client", "y",
			[]string{`{pubkey="0xcc", status="active_ongoing", validator_index="3"} 1`, `{pubkey="0xee", status="unknown"} 1`},
		},
		{"active of everything", s.statuses("active_.*"), "all", "all", []string{`{group="all", group_by="all"} 2`}},
		{"watched of everything", s.statuses(".+"), "all", "all", []string{`{group="all", group_by="all"} 5`}},
		{"until the next proposal", s.untilProposal(), "client", "y", []string{`{group="y", group_by="client"} 300`}},
		{"no proposal is known", s.untilProposal(), "client", "x", nil},
		{
			"next proposals of members", "clamp_min(" + s.nextOfValidators() + " - time(), 0)", "client", "y",
			[]string{`{validator_index="3"} 300`},
		},
		{"next proposals of none", "1000 * " + s.nextOfValidators(), "client", "x", nil},
		{"restart before a proposal, in the sync committee", s.restart(), "all", "all", []string{`{group="all", group_by="all"} 3`}},
		{"restart in the sync committee", s.restart(), "client", "x", []string{`{group="x", group_by="client"} 1`}},
		{"restart before a proposal", s.restart(), "client", "y", []string{`{group="y", group_by="client"} 2`}},
		{"for how long proposers are known", s.proposersKnown(), "client", "x", []string{`{} 700`}},
		{"network in trouble", s.networkOverdue(), "all", "all", []string{`{} 0.5`}},
		{"nothing to sum up", sum(hourly, time.Hour), "all", "all", nil},
	} {
		t.Run(tc.name, func(t *testing.T) {
			got := ask(t, series, tc.query, map[string]string{"group_by": tc.groupBy, "group": tc.group})
			if !slices.Equal(got, tc.want) {
				t.Errorf("got\n%s\nwant\n%s", strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
			}
		})
	}
}

// A restart is safe when nothing but attestations is due, and unknown when nothing is
// known of the group.
func TestRestartIsSafe(t *testing.T) {
	s := newSelectors(mixin.Solo())
	series := load(t, `ethereum_group_attestations_overdue{REPLICA,group_by="all",group="all"} 7
ethereum_group_sync_committee_members{REPLICA,group_by="all",group="all",period="current"} 0
ethereum_group_sync_committee_members{REPLICA,group_by="all",group="all",period="next"} 3
ethereum_group_next_proposal_timestamp_seconds{REPLICA,group_by="all",group="all"} 20000`, "a")
	for group, want := range map[string][]string{"all": {`{group="all", group_by="all", replica="a"} 0`}, "x": nil} {
		if got := ask(t, series, s.restart(), map[string]string{"group_by": group, "group": group}); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", group, got, want)
		}
	}
}

// Where no proposal is known, and not for as long as a restart is to be safe, it is not
// said to be: the epoch after may begin with one.
func TestRestartIsNotSafeBeyondWhatIsKnown(t *testing.T) {
	s := newSelectors(mixin.Solo())
	const group = `ethereum_group_attestations_overdue{REPLICA,group_by="all",group="all"} 7
ethereum_group_sync_committee_members{REPLICA,group_by="all",group="all",period="current"} 0
`
	upcoming := s.c.Alerts.Proposals.Upcoming.Seconds()
	for name, tc := range map[string]struct {
		horizon, want string
	}{
		"known for long enough":     {fmt.Sprintf("ethereum_chain_proposers_known_until_timestamp_seconds{REPLICA} %v", asked+upcoming), "0"},
		"known for too short":       {fmt.Sprintf("ethereum_chain_proposers_known_until_timestamp_seconds{REPLICA} %v", asked+upcoming-1), "4"},
		"nobody says what is known": {"", "4"},
	} {
		series := load(t, strings.TrimSpace(group+tc.horizon), "a")
		want := []string{`{group="all", group_by="all", replica="a"} ` + tc.want}
		if got := ask(t, series, s.restart(), map[string]string{"group_by": "all", "group": "all"}); !slices.Equal(got, want) {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
}

// Where epochs are so short that a chain never knows its proposers for as long as a
// proposal counts as soon, an epoch is enough: else no restart would ever be safe.
func TestRestartCanBeSafeWithShortEpochs(t *testing.T) {
	c := mixin.Solo()
	c.Chain.SlotDuration, c.Chain.SlotsPerEpoch = 5*time.Second, 16 // as on Gnosis
	s := newSelectors(c)
	const group = `ethereum_group_attestations_overdue{REPLICA,group_by="all",group="all"} 7
ethereum_group_sync_committee_members{REPLICA,group_by="all",group="all",period="current"} 0
`
	for known, want := range map[int]string{160: "0", 80: "0", 79: "4"} {
		series := load(t, fmt.Sprintf("%sethereum_chain_proposers_known_until_timestamp_seconds{REPLICA} %d", group, asked+known), "a")
		if got := ask(t, series, s.restart(), map[string]string{"group_by": "all", "group": "all"}); !slices.Equal(got, []string{`{group="all", group_by="all", replica="a"} ` + want}) {
			t.Errorf("known for %d s: got %q, want %s", known, got, want)
		}
	}
	// A proposal that is known is soon as anywhere.
	series := load(t, fmt.Sprintf(`%sethereum_chain_proposers_known_until_timestamp_seconds{REPLICA} %d
ethereum_group_next_proposal_timestamp_seconds{REPLICA,group_by="all",group="all"} %d`, group, asked+160, asked+100), "a")
	if got := ask(t, series, s.restart(), map[string]string{"group_by": "all", "group": "all"}); !slices.Equal(got, []string{`{group="all", group_by="all", replica="a"} 2`}) {
		t.Errorf("a proposal in 100 s: got %q, want 2", got)
	}
	if mainnet := newSelectors(mixin.Solo()); mainnet.knownLongEnough() != mainnet.c.Alerts.Proposals.Upcoming {
		t.Errorf("mainnet knows its proposers for up to two epochs, and %s are enough", mainnet.knownLongEnough())
	}
}

// Each of two clusters, and each of two shards, has rows of its own: the best of both is
// true of neither.
func TestTablesKeepClustersAndShardsApart(t *testing.T) {
	c := mixin.Operator()
	c.Select.ReplicaLabels = []string{"replica"}
	s := newSelectors(c)
	series := load(t, `group:attestation_own_effectiveness:ratio1d{REPLICA,cluster="east",shard="a",group_by="operator",group="acme"} 0.99
group:attestation_own_effectiveness:ratio1d{REPLICA,cluster="west",shard="a",group_by="operator",group="acme"} 0.2
group:attestation_own_effectiveness:ratio1d{REPLICA,cluster="west",shard="b",group_by="operator",group="acme"} 0.5
ethereum_group_attestations_overdue{REPLICA,cluster="west",shard="b",group_by="operator",group="acme"} 1
ethereum_validator_info{REPLICA,cluster="east",shard="a",validator_index="1",operator="acme"} 1
ethereum_validator_info{REPLICA,cluster="west",shard="a",validator_index="1",operator="acme"} 1
ethereum_validator_info{REPLICA,cluster="west",shard="b",validator_index="1",operator="other"} 1
ethereum_validator_missed_attestation_streak{REPLICA,cluster="east",shard="a",validator_index="1"} 0
ethereum_validator_missed_attestation_streak{REPLICA,cluster="west",shard="a",validator_index="1"} 8
ethereum_validator_missed_attestation_streak{REPLICA,cluster="west",shard="b",validator_index="1"} 5`, "a", "b")
	for name, tc := range map[string]struct {
		query string
		want  []string
	}{
		"groups": {
			s.groupsOver(s.recorded("group:attestation_own_effectiveness:ratio1d", `group_by="$group_by"`)),
			[]string{
				`{cluster="east", group="acme", shard="a"} 0.99`,
				`{cluster="west", group="acme", shard="a"} 0.2`,
				`{cluster="west", group="acme", shard="b"} 0.5`,
			},
		},
		"members": {
			s.members(s.onceBy(s.chain("ethereum_validator_missed_attestation_streak"), "validator_index")),
			[]string{`{cluster="east", shard="a", validator_index="1"} 0`, `{cluster="west", shard="a", validator_index="1"} 8`},
		},
	} {
		got := ask(t, series, tc.query, map[string]string{"group_by": "operator", "group": "acme", "cluster": ".*"})
		if !slices.Equal(got, tc.want) {
			t.Errorf("%s: got\n%s\nwant\n%s", name, strings.Join(got, "\n"), strings.Join(tc.want, "\n"))
		}
	}
	// And a column names each.
	for _, p := range []*panel{worstGroups(c, s), validatorTable(c, s), offenders(s)} {
		var titles []string
		for _, o := range p.model.FieldConfig.Overrides {
			titles = append(titles, fmt.Sprint(o.Matcher.Options))
		}
		for _, title := range []string{"Cluster", "Shard"} {
			if !slices.Contains(titles, title) {
				t.Errorf("%s has no column %s", *p.model.Title, title)
			}
		}
	}
}

// What does not fit into the table is counted, with series of single validators and
// without; and nothing is counted where nothing is known.
func TestOffencesBeyondTheTableAreCounted(t *testing.T) {
	s := newSelectors(mixin.Solo())
	s.c.Select.ReplicaLabels = []string{"replica"}
	var single strings.Builder
	for i := range offendersShown + 7 {
		fmt.Fprintf(&single, "ethereum_validator_missed_attestation_streak{REPLICA,validator_index=\"%d\"} 4\n", i)
	}
	single.WriteString(`ethereum_validator_status{REPLICA,validator_index="0",status="active_ongoing"} 1` + "\n")
	const counts = `ethereum_group_offenders{REPLICA,group_by="all",group="all",offence="missed_attestation_streak"} 60
ethereum_group_offenders{REPLICA,group_by="all",group="all",offence="slashed"} 3
ethereum_group_offenders{REPLICA,group_by="client",group="x",offence="slashed"} 3`
	for name, tc := range map[string]struct {
		series string
		want   []string
	}{
		"single validators": {single.String() + counts, []string{"{} 7"}},
		"a list of offenders": {`ethereum_validator_offender{REPLICA,validator_index="9",offence="missed_attestation_streak"} 8
` + counts, []string{"{} 62"}},
		"an empty list":    {counts, []string{"{} 63"}},
		"nothing is known": {`up{REPLICA} 1`, nil},
	} {
		if got := ask(t, load(t, tc.series, "a", "b"), s.beyondTable(), nil); !slices.Equal(got, tc.want) {
			t.Errorf("%s: got %q, want %q", name, got, tc.want)
		}
	}
}

// Sums of hours are of whole hours, and of the hour so far until there is one.
func TestSumOfHours(t *testing.T) {
	hourly := selector("group:blocks_expected:increase1h", `network="$network"`)
	now := []series{{labels.FromStrings("__name__", "group:blocks_expected:increase1h", "job", "validator-exporter", "network", "sim"), 4, 9900}}
	if got := ask(t, now, sum(hourly, 24*time.Hour), nil); !slices.Equal(got, []string{`{} 4`}) {
		t.Errorf("before a whole hour: got %q", got)
	}
	now[0].since = 0 // 3600 and 7200 are whole hours before 10000, and 0 one more
	if got := ask(t, now, sum(hourly, 24*time.Hour), nil); !slices.Equal(got, []string{`{} 12`}) {
		t.Errorf("after two hours: got %q", got)
	}
}

// series is a value that a series has since some time, in seconds, every minute.
type series struct {
	labels labels.Labels
	value  float64
	since  int64
}

const asked = 10000

func load(t *testing.T, text string, replicas ...string) []series {
	t.Helper()
	var out []series
	for _, r := range replicas {
		for _, line := range strings.Split(strings.TrimSpace(text), "\n") {
			metric, value, _ := strings.Cut(line, "} ")
			metric = strings.Replace(metric, "REPLICA", `job="validator-exporter",network="sim",replica="`+r+`"`, 1)
			l, err := parser.NewParser(parser.Options{}).ParseMetric(metric + "}")
			if err != nil {
				t.Fatal(err)
			}
			v, err := strconv.ParseFloat(value, 64)
			if err != nil {
				t.Fatal(err)
			}
			out = append(out, series{l, v, asked - 120})
		}
	}
	return out
}

// ask returns the sorted rows of the answer, without labels that all of them have.
func ask(t *testing.T, data []series, query string, variables map[string]string) []string {
	t.Helper()
	values := map[string]string{"job": ".+", "network": "sim"}
	for name, v := range variables {
		values[name] = v
	}
	filled, err := expr.Fill(query, values)
	if err != nil {
		t.Fatal(err)
	}
	engine := promql.NewEngine(promql.EngineOpts{MaxSamples: 100_000, Timeout: time.Minute, LookbackDelta: 5 * time.Minute, Parser: parser.NewParser(parser.Options{})})
	q, err := engine.NewInstantQuery(t.Context(), memory(data), nil, filled, time.Unix(asked, 0))
	if err != nil {
		t.Fatal(err)
	}
	defer q.Close()
	result := q.Exec(t.Context())
	vector, err := result.Vector()
	if err != nil {
		t.Fatalf("%v: %s", err, filled)
	}
	var out []string
	for _, sample := range vector {
		l := labels.NewBuilder(sample.Metric).Del("__name__", "job", "network").Labels()
		out = append(out, fmt.Sprintf("%s %g", l, sample.F))
	}
	slices.Sort(out)
	return out
}

// memory is series as a storage.
type memory []series

func (m memory) Querier(_, _ int64) (storage.Querier, error) {
	return querier{storage.NoopQuerier(), m}, nil
}

type querier struct {
	storage.Querier
	series []series
}

func (q querier) Select(_ context.Context, _ bool, hints *storage.SelectHints, matchers ...*labels.Matcher) storage.SeriesSet {
	var found []storage.Series
	for _, s := range q.series {
		if slices.ContainsFunc(matchers, func(m *labels.Matcher) bool { return !m.Matches(s.labels.Get(m.Name)) }) {
			continue
		}
		var samples []chunks.Sample
		for at := s.since; at <= asked; at += 60 {
			if at*1000 >= hints.Start && at*1000 <= hints.End {
				samples = append(samples, point{at * 1000, s.value})
			}
		}
		found = append(found, storage.NewListSeries(s.labels, samples))
	}
	slices.SortFunc(found, func(a, b storage.Series) int { return labels.Compare(a.Labels(), b.Labels()) })
	return &set{found, -1}
}

type set struct {
	series []storage.Series
	at     int
}

func (s *set) Next() bool                        { s.at++; return s.at < len(s.series) }
func (s *set) At() storage.Series                { return s.series[s.at] }
func (s *set) Err() error                        { return nil }
func (s *set) Warnings() annotations.Annotations { return nil }

// point is a sample that is a number.
type point struct {
	at    int64
	value float64
}

func (p point) ST() int64                     { return 0 }
func (p point) T() int64                      { return p.at }
func (p point) F() float64                    { return p.value }
func (p point) H() *histogram.Histogram       { return nil }
func (p point) FH() *histogram.FloatHistogram { return nil }
func (p point) Type() chunkenc.ValueType      { return chunkenc.ValFloat }
func (p point) Copy() chunks.Sample           { return p }
