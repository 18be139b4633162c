package receiver_test

import (
	"context"
	"fmt"
	"math"
	"testing"
	"time"

	"github.com/prometheus/client_golang/exp/api/remote"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
)

// The library's own sender, which encodes, retries and judges answers as Prometheus does.
func newSender(f *fixture) *remote.API {
	f.Helper()
	api, err := remote.NewAPI(f.url, remote.WithAPIBackoff(remote.BackoffConfig{Min: 10 * time.Millisecond, Max: 50 * time.Millisecond, MaxRetries: 5}))
	if err != nil {
		f.Fatal(err)
	}
	return api
}

func write(ctx context.Context, api *remote.API, v version, all ...series) (stats remote.WriteResponseStats, retries int, err error) {
	again := remote.WithWriteRetryCallback(func(error) { retries++ })
	if v == v1 {
		stats, err = api.Write(ctx, remote.WriteV1MessageType, requestV1(all...), again)
	} else {
		stats, err = api.Write(ctx, remote.WriteV2MessageType, requestV2(all...), again)
	}
	return stats, retries, err
}

func TestRealSender(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		api := newSender(f)
		want := map[string]float64{}
		var all []series
		for i := range 2000 {
			all = append(all, expected(i, float64(i%16), "instance", "a:8080", "job", "validator-exporter"))
			want[row(i)] = float64(i % 16)
		}
		for range 2 {
			stats, retries, err := write(f.Context(), api, v, all...)
			if err != nil || retries != 0 || v == v2 && stats.Samples != 2000 {
				f.Fatalf("%+v, %d retries, error %v", stats, retries, err)
			}
		}
		f.expectStored(want)
		f.expectMetric(2000, "samples_written_total")
		f.expectMetric(2000, "samples_duplicate_total")
	})
}

func TestRealSenderNeverRepeatsWhatIsRefusedForGood(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		api := newSender(f)
		f.send(v, expected(1, 15)).expect(f.T, 204)
		for name, bad := range map[string]series{
			"conflict": expected(1, 14), "NaN": expected(2, math.NaN()), "NUL": expected(3, 1, "x", "\x00"),
			"year 9999": {labels: expected(4, 1).labels, samples: []sample{{1, time.Date(9999, 1, 1, 0, 0, 0, 0, time.UTC)}}},
		} {
			stats, retries, err := write(f.Context(), api, v, expected(5, 15), bad)
			if err == nil || retries != 0 || v == v2 && stats.Samples != 1 {
				f.Errorf("%s: %+v, %d retries, error %v", name, stats, retries, err)
			}
		}
		f.expectStored(map[string]float64{row(1): 15, row(5): 15})
	})
}

func TestRealSenderComesAgainUntilPostgresIsBack(t *testing.T) {
	server := breakable.Server(t)
	for _, v := range []version{v1, v2} {
		t.Run(fmt.Sprintf("remote-write %d", v), func(t *testing.T) {
			f := setUp(t, server.Database(t), impatient)
			if err := server.Stop(pgtest.StopImmediate); err != nil {
				t.Fatal(err)
			}
			started := make(chan error, 1)
			go func() {
				time.Sleep(1500 * time.Millisecond) // past the first answer
				started <- server.Start()
			}()
			_, retries, err := write(t.Context(), newSender(f), v, expected(1, 15), expected(2, 14))
			if err := <-started; err != nil {
				t.Fatal(err)
			}
			if err != nil || retries == 0 {
				t.Errorf("%d retries, error %v", retries, err)
			}
			f.expectStored(map[string]float64{row(1): 15, row(2): 14})
		})
	}
}
