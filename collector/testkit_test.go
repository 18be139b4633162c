package collector

import (
	"log/slog"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
)

// testOptions of a collector on real HTTP nodes. Zero values mean the defaults of
// the command, without completed windows.
type testOptions struct {
	urls       []string
	validators []string // values of --validator
	watchFile  string
	window     duty.WindowConfig
	completed  int
	individual int
	offenders  int
	maxAge     time.Duration
	stake      NetworkStake
	now        func() time.Time
	timeout    time.Duration
	logger     *slog.Logger
}

func newTestCollector(t testing.TB, o testOptions) *Collector {
	t.Helper()
	if o.logger == nil {
		o.logger = slog.New(slog.NewTextHandler(testWriter{t}, &slog.HandlerOptions{Level: slog.LevelWarn}))
	}
	if o.now == nil {
		o.now = time.Now
	}
	if o.individual == 0 {
		o.individual = 1000
	}
	if o.offenders == 0 {
		o.offenders = 50
	}
	if o.window == (duty.WindowConfig{}) {
		o.window = duty.WindowConfig{Epochs: 15, ResetSlots: 8}
	}
	if o.timeout == 0 {
		o.timeout = 10 * time.Second
	}
	pool, err := beacon.New(beacon.Config{URLs: o.urls, Timeout: o.timeout, ProbeTimeout: 2 * time.Second, Logger: o.logger, Now: o.now})
	if err != nil {
		t.Fatal(err)
	}
	w, err := watch.New(o.watchFile, o.validators, o.logger, watch.Options{Now: o.now})
	if err != nil {
		t.Fatal(err)
	}
	c, err := New(Config{
		Source: pool, Watch: w, Window: o.window, CompletedWindows: o.completed,
		IndividualLimit: o.individual, OffenderLimit: o.offenders, MaxAge: o.maxAge,
		NetworkStake: o.stake, Logger: o.logger, Now: o.now,
	}, pool, w)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		c.Close()
		pool.Close()
	})
	return c
}

func allValidators(n int) []string {
	indices := make([]string, n)
	for i := range indices {
		indices[i] = strconv.Itoa(i)
	}
	return []string{strings.Join(indices, ",")}
}

type testWriter struct{ t testing.TB }

func (w testWriter) Write(p []byte) (int, error) {
	w.t.Helper()
	w.t.Log(strings.TrimSuffix(string(p), "\n"))
	return len(p), nil
}
