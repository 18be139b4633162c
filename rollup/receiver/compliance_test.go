package receiver_test

import (
	"fmt"
	"math"
	"net/http"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/klauspost/compress/snappy"
	"github.com/prometheus/prometheus/model/value"
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
)

func TestRollupIsStoredOnceWhateverIsRepeated(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		for range 3 {
			f.send(v, expected(7, 15), expected(8, 14)).expect(f.T, 204).written(f.T, v, 2)
		}
		f.expectStored(map[string]float64{row(7): 15, row(8): 14})
		f.expectMetric(6, "samples_total")
		f.expectMetric(2, "samples_written_total")
		f.expectMetric(4, "samples_duplicate_total")
		f.expectMetric(3, "requests_total", "code", "204")
	})
}

func TestContentTypesAndEncodings(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		body := snappy.Encode(nil, message(v, expected(7, 15)))
		for _, contentType := range []string{
			"application/json", "image/png", "text/plain", "", "application/x-protobuf;proto=io.prometheus.write.v3.Request",
			"application/x-protobuf;proto", "application/x-protobuf2", ";", "application/x-protobuf;proto=a;proto=b",
		} {
			f.post(body, "Content-Type", contentType).expect(t, 415, "content type")
		}
		for _, encoding := range []string{"gzip", "deflate", "zstd", "identity", "", "snappy, snappy"} {
			f.post(body, "Content-Type", v.contentType(), "Content-Encoding", encoding).expect(t, 415, "content encoding")
		}
		f.expectStored(nil)
		f.expectMetric(15, "requests_total", "code", "415")
	})
}

func TestContentTypeIsReadAsHTTPMeansIt(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		types := []string{"application/x-protobuf; proto=io.prometheus.write.v2.Request", `Application/X-Protobuf ; Proto="io.prometheus.write.v2.Request"; x=y`}
		if v == v1 {
			types = []string{"application/x-protobuf ", "application/x-protobuf; proto=prometheus.WriteRequest", "application/x-protobuf;x=y"}
		}
		want := map[string]float64{}
		for i, contentType := range types {
			f.post(snappy.Encode(nil, message(v, expected(i, 15))), "Content-Type", contentType).expect(f.T, 204).written(f.T, v, 1)
			want[row(i)] = 15
		}
		f.expectStored(want)
	})
}

// A message of one version under the name of the other reads as one without series.
func TestMessageOfTheOtherVersionIsNoSuccess(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		other := 3 - v
		f.post(snappy.Encode(nil, message(v, expected(7, 15))), "Content-Type", other.contentType()).
			expect(f.T, 400, "is of Remote-Write", "but the content type says")
		f.expectStored(nil)
	})
}

func TestCorruptBodies(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		good := message(v, expected(7, 15))
		for name, body := range map[string][]byte{
			"empty":                 {},
			"not snappy":            good,
			"length is wrong":       append([]byte{'0'}, snappy.Encode(nil, good)[1:]...),
			"length never ends":     append([]byte{0xff}, snappy.Encode(nil, good)[1:]...),
			"cut off":               snappy.Encode(nil, good)[:20],
			"text":                  snappy.Encode(nil, []byte("good morning")),
			"cut off message":       snappy.Encode(nil, good[:len(good)-3]),
			"tag never ends":        snappy.Encode(nil, append(slices.Clone(good), 0x80)),
			"length past the end":   snappy.Encode(nil, append(slices.Clone(good), 0x0a, 0x7f)),
			"field of another type": snappy.Encode(nil, append(slices.Clone(good), byte(seriesField(v)<<3), 1)),
		} {
			t.Run(name, func(t *testing.T) {
				f.post(body, "Content-Type", v.contentType()).expect(t, 400)
			})
		}
		f.expectStored(nil)
	})
}

func seriesField(v version) protowire.Number {
	if v == v2 {
		return 5
	}
	return 1
}

func TestLabelsThatNoSenderMaySend(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		for name, tc := range map[string]struct {
			series series
			says   string
		}{
			"no name":             {one(1, "network", "mainnet", "window", fmt.Sprint(window)), "no label __name__"},
			"no labels":           {one(1), "no label __name__"},
			"empty name":          {one(1, "__name__", ""), `label "__name__" is empty`},
			"empty label's name":  {one(1, "__name__", "up", "", "x"), "a label has no name"},
			"empty label's value": {one(1, "__name__", "up", "job", ""), `label "job" is empty`},
			"label twice":         {one(1, "__name__", "up", "job", "a", "x", "y", "job", "b"), `label "job" is there twice`},
			"label twice, same":   {one(1, "__name__", "up", "job", "a", "job", "a"), `label "job" is there twice`},
			"name twice":          {one(1, "__name__", "up", "__name__", "down"), `label "__name__" is there twice`},
		} {
			t.Run(name, func(t *testing.T) {
				f.send(v, tc.series).expect(t, 400, "1 of 1 samples cannot be stored", tc.says).written(t, v, 0)
			})
		}
		// Not UTF-8: the encoders of the test would not send it.
		broken := slices.Concat(message(v, expected(7, 15)))
		broken = []byte(strings.Replace(string(broken), "mainnet", "main\xffet", 1))
		f.post(snappy.Encode(nil, broken), "Content-Type", v.contentType()).expect(f.T, 400, `label "network" is not UTF-8`).written(f.T, v, 0)
		f.expectStored(nil)
		f.expectMetric(8, "samples_rejected_total", "reason", "labels")
		f.expectMetric(1, "samples_rejected_total", "reason", "text")
	})
}

func TestValidPartOfARequestIsKept(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		f.send(v,
			expected(1, 15),
			one(3, "job", "exporter"),
			expected(2, math.NaN()),
			expected(3, 14),
			expected(4, math.Inf(1)),
			expected(5, 13),
		).expect(f.T, 400, `3 of 6 samples cannot be stored; the first: {job="exporter"}: no label __name__`).written(f.T, v, 3)
		f.expectStored(map[string]float64{row(1): 15, row(3): 14, row(5): 13})
		f.expectMetric(1, "samples_rejected_total", "reason", "labels")
		f.expectMetric(2, "samples_rejected_total", "reason", "value")
		f.expectMetric(3, "samples_written_total")
		f.expectMetric(6, "samples_total")
	})
}

// What the store alone can know is named by its place in the request too.
func TestFirstOffenderIsTheFirstOfTheRequest(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		nul := expected(1, 1, "region", "a\x00b")
		f.send(v, expected(9, 15), nul, expected(2, math.NaN())).
			expect(f.T, 400, "2 of 3 samples", "the first: ethereum_validator_window_attestations_expected{", `label "region" has a NUL byte`)
		f.send(v, expected(9, 15), expected(2, math.NaN()), nul).
			expect(f.T, 400, "2 of 3 samples", "value NaN is not finite")
	})
}

func TestLabelsAreSortedAndStripped(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		names := []string{"__name__", "ethereum_group_window_attestation_votes_lost", "network", "mainnet", "group_by", "operator", "group", "acme", "vote", "head", "cause", "late", "window", fmt.Sprint(window)}
		// Two replicas, seen by two servers, each label in another order.
		for i, target := range [][]string{
			{"job", "validator-exporter", "instance", "a:8080", "prometheus_replica", "p-0", "cluster", "x"},
			{"job", "other", "instance", "b:8080", "pod", "exporter-1", "container", "c", "endpoint", "http", "service", "s", "namespace", "n", "prometheus", "m/k8s", "replica", "1", "__replica__", "p-1", "node", "n1"},
			{},
		} {
			all := append(slices.Clone(names), target...)
			var pairs [][]string
			for pair := range slices.Chunk(all, 2) {
				pairs = append(pairs, pair)
			}
			if i == 0 {
				slices.Reverse(pairs)
			} else {
				slices.SortFunc(pairs, func(a, b []string) int { return strings.Compare(a[1], b[1]) })
			}
			f.send(v, one(3, slices.Concat(pairs...)...)).expect(f.T, 204).written(f.T, v, 1)
		}
		f.expectStored(map[string]float64{
			fmt.Sprintf("ethereum_group_window_attestation_votes_lost{cause=late,group=acme,group_by=operator,network=mainnet,vote=head} %d", window): 3,
		})
		f.expectMetric(1, "samples_written_total")
		f.expectMetric(2, "samples_duplicate_total")
		f.expectMetric(0, "conflicts_total")
	})
}

func TestNamesOfAnyCharactersAreTaken(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		f.send(v,
			one(1, "__name__", "resource.cpu.usage", "job.name", "testjob"),
			one(2, "__name__", "resource cpu usage", "job name", "test\njob\n"),
			one(3, "__name__", "наименование", "метка", "значение 🌍"),
			one(4, "__name__", "ethereum_group_window_blocks.proposed", "network", "mainnet", "group_by", "команда", "group", "🌍 один\n\"два\"", "window", fmt.Sprint(window)),
		).expect(f.T, 204).written(f.T, v, 4)
		f.expectStored(map[string]float64{
			fmt.Sprintf("ethereum_group_window_blocks.proposed{group=🌍 один\n\"два\",group_by=команда,network=mainnet} %d", window): 4,
		})
		f.expectMetric(3, "samples_dropped_total")
	})
}

func TestSpecialValues(t *testing.T) {
	stale := math.Float64frombits(value.StaleNaN)
	cases := []struct {
		name     string
		value    float64
		status   int
		accepted int
		stored   bool
	}{
		{"zero", 0, 204, 1, true},
		{"negative", -3.5, 204, 1, true},
		{"large", 1e12, 204, 1, true},
		{"too large", 1e12 + 1, 400, 0, false},
		{"too small", -1e12 - 1, 400, 0, false},
		{"spelled like the stale marker", float64(value.StaleNaN), 400, 0, false},
		{"greatest", math.MaxFloat64, 400, 0, false},
		{"smallest", math.SmallestNonzeroFloat64, 204, 1, true},
		{"not a number", math.Float64frombits(value.NormalNaN), 400, 0, false},
		{"infinity", math.Inf(1), 400, 0, false},
		{"minus infinity", math.Inf(-1), 400, 0, false},
		{"stale marker", stale, 204, 1, false},
	}
	bothVersions(t, func(f *fixture, v version) {
		want := map[string]float64{}
		for i, tc := range cases {
			r := f.send(v, expected(i, tc.value)).expect(f.T, tc.status).written(f.T, v, tc.accepted)
			why := "is more than any window has"
			if math.IsNaN(tc.value) || math.IsInf(tc.value, 0) {
				why = "is not finite"
			}
			if tc.status == 400 && !strings.Contains(r.body, why) {
				f.Errorf("%s: answer %q does not say why", tc.name, r.body)
			}
			if tc.stored {
				want[row(i)] = tc.value
			}
			// Of what is not a rollup any value is taken.
			f.send(v, one(tc.value, "__name__", "up")).expect(f.T, 204).written(f.T, v, 1)
		}
		f.expectStored(want)
	})
}

// A value that no chain can have would overflow the sums that views make of it. The
// greatest that one can have is far from refused.
func TestValuesThatNoWindowHas(t *testing.T) {
	const (
		validators = 1.1e6
		ether      = 1.2e17 // all there is, in gwei; a third of it is staked
		epochs     = 15
	)
	kinds := map[string]struct{ possible, refused float64 }{
		"attestations_expected":             {validators * epochs, 1e13},
		"attestation_inclusion_delay_slots": {validators * epochs * 64, 1e13},
		"attestation_votes_lost":            {validators * epochs, 1e13},
		"sync_committee_expected":           {512 * 32 * epochs, 1e13},
		"slashings":                         {16 * 32 * epochs, 1e13},
		"attestation_stake_possible_gwei":   {ether / 3 * 225_000, 9.1e21}, // which is a window of years
		"attestation_stake_earned_gwei":     {ether * epochs, 9.1e21},
		"balance_gwei":                      {ether, 1.1e18},
		"of_no_view":                        {math.MaxFloat64, math.NaN()},
	}
	bothVersions(t, func(f *fixture, v version) {
		want := map[string]float64{}
		for measure, tc := range kinds {
			name := "ethereum_network_window_" + measure
			send := func(network string, value float64) response {
				return f.send(v, one(value, "__name__", name, "network", network, "window", fmt.Sprint(window)))
			}
			send("mainnet", tc.possible).expect(f.T, 204).written(f.T, v, 1)
			want[fmt.Sprintf("%s{network=mainnet} %d", name, window)] = tc.possible
			send("devnet", tc.refused).expect(f.T, 400, "1 of 1 samples", fmt.Sprintf("value %v is", tc.refused)).written(f.T, v, 0)
			send("devnet", -tc.refused).expect(f.T, 400, fmt.Sprintf("value %v is", -tc.refused))
		}
		f.expectStored(want)
		f.expectMetric(float64(2*len(kinds)), "samples_rejected_total", "reason", "value")
	})
}

func TestStaleMarkerLeavesAStoredWindowAlone(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		s := expected(7, 15)
		s.samples = append(s.samples, sample{value: 15, at: now.Add(time.Second)}, sample{value: math.Float64frombits(value.StaleNaN), at: now.Add(2 * time.Second)})
		f.send(v, s).expect(f.T, 204).written(f.T, v, 3)
		f.expectStored(map[string]float64{row(7): 15})
		f.expectMetric(1, "samples_written_total")
		f.expectMetric(1, "samples_duplicate_total")
		f.expectMetric(1, "samples_dropped_total")
	})
}

func TestHistogramsAndExemplarsAlone(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		other := series{labels: []string{"__name__", "request_duration_seconds"}, histograms: 3, exemplars: 2}
		f.send(v, other).expect(f.T, 204).written(f.T, v, 3)
		f.expectMetric(3, "samples_dropped_total")

		rollup := expected(7, 1)
		rollup.samples, rollup.histograms = nil, 2
		f.send(v, rollup, expected(8, 15)).expect(f.T, 400, "2 of 3 samples", "histograms are not stored").written(f.T, v, 1)
		f.expectMetric(2, "samples_rejected_total", "reason", "histogram")

		exemplars := expected(9, 1)
		exemplars.samples, exemplars.exemplars = nil, 2
		f.send(v, exemplars).expect(f.T, 204).written(f.T, v, 0)
		beside := expected(10, 12)
		beside.exemplars = 1
		f.send(v, beside).expect(f.T, 204).written(f.T, v, 1)
		f.expectStored(map[string]float64{row(8): 15, row(10): 12})
	})
}

func TestMetadataAloneAndNothingAtAll(t *testing.T) {
	f := setUp(t, postgres.Database(t))
	metadata, err := proto.Marshal(messageV1("WriteRequest", "metadata", messageV1("MetricMetadata", "metric_family_name", "up", "help", "Is it?")))
	if err != nil {
		t.Fatal(err)
	}
	f.post(snappy.Encode(nil, metadata), "Content-Type", v1.contentType()).expect(t, 204).written(t, v1, 0)
	for _, v := range []version{v1, v2} {
		f.send(v).expect(t, 204).written(t, v, 0)
		f.post(snappy.Encode(nil, nil), "Content-Type", v.contentType()).expect(t, 204).written(t, v, 0)
	}
	f.expectStored(nil)
}

func TestOtherFamiliesAreDroppedAndAcknowledged(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		long := strings.Repeat("x", 100_000)
		f.send(v,
			one(1, "__name__", "up", "job", "x", "path", long),
			series{labels: []string{"__name__", "ethereum_validator_balance_gwei", "network", "mainnet"}, samples: []sample{{value: 1, at: time.Unix(1, 0)}, {value: 2, at: now.Add(100 * time.Hour)}}},
			one(1, "__name__", "not_ethereum_validator_window_x"),
			one(1, "__name__", long),
			expected(7, 15),
		).expect(f.T, 204).written(f.T, v, 6)
		f.expectStored(map[string]float64{row(7): 15})
		f.expectMetric(5, "samples_dropped_total")
	})
}

func TestWindowMustBeWholeSeconds(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		for _, text := range []string{"1.7e9", "1793505623.5", "01793505623", "+1793505623", " 1793505623", "-1", "soon", "253402300800", "99999999999999999999", "0x10"} {
			s := one(1, "__name__", "ethereum_network_window_attestations_expected", "network", "mainnet", "window", text)
			f.send(v, s).expect(f.T, 400, "is no Unix time in whole seconds")
		}
		f.send(v, one(1, "__name__", "ethereum_network_window_attestations_expected", "network", "mainnet")).expect(f.T, 400, "no label window")
		f.expectStored(nil)
		f.expectMetric(11, "samples_rejected_total", "reason", "window")
	})
}

// A value that contradicts what is stored is refused for good: repeating it would change
// nothing, and 400 is what operators see at the sender.
func TestConflictIsRefusedAndCounted(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		f.send(v, expected(7, 15)).expect(f.T, 204)
		f.send(v, expected(6, 15), expected(7, 14), expected(8, 15), expected(6, 15)).
			expect(f.T, 400, "1 of 4 samples cannot be stored (1 in conflict with what is stored)",
				`the first: ethereum_validator_window_attestations_expected{network="mainnet",validator_index="7"} window 2026-11-01T`,
				"value 14 differs from what is stored, which stays").
			written(f.T, v, 3)
		f.expectStored(map[string]float64{row(6): 15, row(7): 15, row(8): 15})
		f.expectMetric(1, "conflicts_total")
		f.expectMetric(3, "samples_written_total")
		f.expectMetric(1, "samples_duplicate_total")

		// Within one request the first holds.
		f.send(v, expected(9, 1), expected(9, 2), expected(9, 1)).expect(f.T, 400, "1 of 3 samples").written(f.T, v, 2)
		f.expectMetric(2, "conflicts_total")
		if got := f.stored()[row(9)]; got != 1 {
			f.Errorf("validator 9 has %v, want the first value", got)
		}
	})
}

func TestEverySampleIsCountedOnce(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		stale := expected(3, math.Float64frombits(value.StaleNaN))
		f.send(v, expected(1, 1), expected(1, 1), expected(1, 2), stale, one(1, "__name__", "up"), one(1), expected(4, math.NaN()),
			series{labels: []string{"__name__", "x"}, histograms: 2})
		total, _ := f.metric("validator_rollup_samples_total")
		var sum float64
		for _, name := range []string{"samples_written_total", "samples_duplicate_total", "samples_dropped_total", "conflicts_total"} {
			n, _ := f.metric("validator_rollup_" + name)
			sum += n
		}
		for _, reason := range []string{"labels", "value"} {
			n, _ := f.metric("validator_rollup_samples_rejected_total", "reason", reason)
			sum += n
		}
		if total != 9 || sum != total {
			f.Errorf("%v samples, of which %v are accounted for; want 9 and 9", total, sum)
		}
	})
}

func TestOnlyPostWrites(t *testing.T) {
	f := setUp(t, postgres.Database(t))
	for _, method := range []string{http.MethodGet, http.MethodPut, http.MethodDelete, http.MethodHead} {
		request, err := http.NewRequestWithContext(t.Context(), method, f.url+"/api/v1/write", nil)
		if err != nil {
			t.Fatal(err)
		}
		answer, err := http.DefaultClient.Do(request)
		if err != nil {
			t.Fatal(err)
		}
		if r := read(t, answer).expect(t, 405); r.header.Get("Allow") != "POST" {
			t.Errorf("%s: Allow is %q", method, r.header.Get("Allow"))
		}
	}
}
