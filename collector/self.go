package collector

import (
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

// selfMetrics are about the collector itself and what only the clock tells. They
// are there on every scrape, whatever fails.
type selfMetrics struct {
	c     *Collector
	descs map[string]*prometheus.Desc

	mu          sync.Mutex
	steps       map[string]stepResult
	confirmedAt time.Time
	err         string
	done, want  int
}

type stepResult struct {
	ok      bool
	seconds float64
}

func newSelfMetrics(c *Collector) *selfMetrics {
	m := &selfMetrics{c: c, steps: map[string]stepResult{}, descs: map[string]*prometheus.Desc{}}
	for _, name := range []string{
		"ethereum_chain_slot", "ethereum_chain_snapshot_timestamp_seconds",
		"validator_exporter_watched_validators", "validator_exporter_window_complete",
		"validator_exporter_window_first_epoch", "validator_exporter_window_stake_anchored",
		"validator_exporter_collector_success", "validator_exporter_collector_duration_seconds",
	} {
		f := catalog.MustGet(name)
		m.descs[name] = prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
	}
	return m
}

// step runs one part of an advance and keeps how it went.
func (m *selfMetrics) step(name string, run func() error) error {
	began := time.Now()
	err := run()
	m.mu.Lock()
	defer m.mu.Unlock()
	m.steps[name] = stepResult{ok: err == nil, seconds: time.Since(began).Seconds()}
	return err
}

// attempted keeps why the last advance failed, for readiness; empty when it did not.
func (m *selfMetrics) attempted(err error) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.err = ""
	if err != nil {
		m.err = err.Error()
	}
}

func (m *selfMetrics) lastError() string {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.err
}

// confirm notes that a node has just confirmed the head that is shown.
func (m *selfMetrics) confirm(now time.Time) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.confirmedAt = now
}

func (m *selfMetrics) confirmed() (at time.Time, ok bool) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.confirmedAt, !m.confirmedAt.IsZero()
}

func (m *selfMetrics) setProgress(done, want int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	m.done, m.want = done, want
}

func (m *selfMetrics) progress() (done, want int) {
	m.mu.Lock()
	defer m.mu.Unlock()
	return m.done, m.want
}

// Describe implements prometheus.Collector.
func (m *selfMetrics) Describe(descs chan<- *prometheus.Desc) {
	for _, d := range m.descs {
		descs <- d
	}
}

// Collect implements prometheus.Collector.
func (m *selfMetrics) Collect(metrics chan<- prometheus.Metric) {
	gauge := func(name string, value float64, labels ...string) {
		metrics <- prometheus.MustNewConstMetric(m.descs[name], prometheus.GaugeValue, value, labels...)
	}
	gauge("validator_exporter_watched_validators", float64(len(m.c.cfg.Watch.Current().Entries)))
	s := m.c.snapshot.Load()
	whole := s != nil && s.counters && s.firstEpoch == s.shown.Anchor
	gauge("validator_exporter_window_complete", boolValue(whole))
	if s != nil {
		if slot, begun := s.spec.SlotAt(m.c.cfg.Now()); begun {
			gauge("ethereum_chain_slot", float64(slot), s.spec.Network)
		}
		if at, ok := m.confirmed(); ok {
			gauge("ethereum_chain_snapshot_timestamp_seconds", float64(at.UnixMilli())/1000, s.spec.Network)
		}
		if s.counters {
			gauge("validator_exporter_window_first_epoch", float64(s.firstEpoch))
			gauge("validator_exporter_window_stake_anchored", boolValue(s.anchored))
		}
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	for name, r := range m.steps {
		gauge("validator_exporter_collector_success", boolValue(r.ok), name)
		gauge("validator_exporter_collector_duration_seconds", r.seconds, name)
	}
}
