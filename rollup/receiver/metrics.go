package receiver

import (
	"runtime"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// metrics are the receiver's own. Names, types, labels and help come from the table.
type metrics struct {
	store Store

	samples, dropped, written, duplicate, conflicts prometheus.Counter
	rejected, requests                              *prometheus.CounterVec
	writeFailures                                   prometheus.Counter
	writeDuration                                   prometheus.Histogram

	// Read from the store when they are asked for.
	acquired, idle, maximum, waits, newest, horizon, schema, build *prometheus.Desc

	all []prometheus.Collector // what counts by itself
}

func newMetrics(s Store) *metrics {
	m := &metrics{store: s}
	m.samples = m.counter("samples_total")
	m.dropped = m.counter("samples_dropped_total")
	m.written = m.counter("samples_written_total")
	m.duplicate = m.counter("samples_duplicate_total")
	m.conflicts = m.counter("conflicts_total")
	m.writeFailures = m.counter("write_failures_total")
	m.rejected = m.counterVec("samples_rejected_total")
	m.requests = m.counterVec("requests_total")
	for _, reason := range reasons() {
		m.rejected.WithLabelValues(reason)
	}
	duration := catalog.MustGet(prefix + "write_duration_seconds")
	m.writeDuration = prometheus.NewHistogram(prometheus.HistogramOpts{
		Name: duration.Name, Help: duration.Help,
		Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 20, 30},
	})
	m.all = append(m.all, m.writeDuration)

	m.acquired = describeFamily("pool_acquired")
	m.idle = describeFamily("pool_idle")
	m.maximum = describeFamily("pool_max")
	m.waits = describeFamily("pool_waits_total")
	m.newest = describeFamily("newest_window_timestamp_seconds")
	m.horizon = describeFamily("partition_horizon_timestamp_seconds")
	m.schema = describeFamily("schema_version")
	m.build = describeFamily("build_info")
	return m
}

const prefix = "validator_rollup_"

func (m *metrics) counter(name string) prometheus.Counter {
	family := catalog.MustGet(prefix + name)
	c := prometheus.NewCounter(prometheus.CounterOpts{Name: family.Name, Help: family.Help})
	m.all = append(m.all, c)
	return c
}

func (m *metrics) counterVec(name string) *prometheus.CounterVec {
	family := catalog.MustGet(prefix + name)
	c := prometheus.NewCounterVec(prometheus.CounterOpts{Name: family.Name, Help: family.Help}, family.Labels)
	m.all = append(m.all, c)
	return c
}

func describeFamily(name string) *prometheus.Desc {
	family := catalog.MustGet(prefix + name)
	return prometheus.NewDesc(family.Name, family.Help, family.Labels, nil)
}

// count counts the samples of a request that was answered for good.
func (m *metrics) count(b *batch, result store.Result) {
	m.samples.Add(float64(b.received))
	m.dropped.Add(float64(b.dropped))
	m.written.Add(float64(result.Written))
	m.duplicate.Add(float64(result.Duplicates))
	m.conflicts.Add(float64(len(result.Conflicts)))
	for reason, n := range b.refused.reasons {
		m.rejected.WithLabelValues(reason).Add(float64(n))
	}
}

// Describe implements prometheus.Collector.
func (m *metrics) Describe(descs chan<- *prometheus.Desc) {
	for _, c := range m.all {
		c.Describe(descs)
	}
	for _, desc := range []*prometheus.Desc{m.acquired, m.idle, m.maximum, m.waits, m.newest, m.horizon, m.schema, m.build} {
		descs <- desc
	}
}

// Collect implements prometheus.Collector. It asks nothing of the database, and what is
// not known of it yet is absent.
func (m *metrics) Collect(values chan<- prometheus.Metric) {
	for _, c := range m.all {
		c.Collect(values)
	}
	constant := func(desc *prometheus.Desc, typ prometheus.ValueType, value float64, labels ...string) {
		values <- prometheus.MustNewConstMetric(desc, typ, value, labels...)
	}
	s := m.store.Stats()
	constant(m.acquired, prometheus.GaugeValue, float64(s.Acquired))
	constant(m.idle, prometheus.GaugeValue, float64(s.Idle))
	constant(m.maximum, prometheus.GaugeValue, float64(s.Max))
	constant(m.waits, prometheus.CounterValue, float64(s.Waits))
	moment := func(desc *prometheus.Desc, t time.Time) {
		if !t.IsZero() {
			constant(desc, prometheus.GaugeValue, float64(t.Unix()))
		}
	}
	moment(m.newest, s.NewestWindow)
	moment(m.horizon, s.PartitionHorizon)
	if s.SchemaVersion != 0 {
		constant(m.schema, prometheus.GaugeValue, float64(s.SchemaVersion))
	}
	build := map[string]string{
		"branch": version.Branch, "goarch": runtime.GOARCH, "goos": runtime.GOOS, "goversion": version.GoVersion,
		"revision": version.GetRevision(), "tags": version.GetTags(), "version": version.Version,
	}
	var labels []string
	for _, name := range catalog.MustGet(prefix + "build_info").Labels {
		labels = append(labels, build[name])
	}
	constant(m.build, prometheus.GaugeValue, 1, labels...)
}
