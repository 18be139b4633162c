package beacon

import (
	"sync"

	"github.com/prometheus/client_golang/prometheus"
)

// metrics are the pool's own figures, and the descriptions of what its nodes say.
type metrics struct {
	duration                             *prometheus.HistogramVec
	requests, failures, bytes, failovers *prometheus.CounterVec
	exhausted                            *prometheus.CounterVec

	up, info, syncing, distance, optimistic, executionOffline, peers, head *prometheus.Desc
}

func newMetrics() *metrics {
	counter := func(name, help string, labels ...string) *prometheus.CounterVec {
		return prometheus.NewCounterVec(prometheus.CounterOpts{Name: "ethereum_beacon_" + name, Help: help}, labels)
	}
	gauge := func(name, help string, labels ...string) *prometheus.Desc {
		return prometheus.NewDesc("ethereum_beacon_"+name, help, append([]string{"endpoint"}, labels...), nil)
	}
	m := &metrics{
		duration: prometheus.NewHistogramVec(prometheus.HistogramOpts{
			Name:    "ethereum_beacon_request_duration_seconds",
			Help:    "Duration in seconds of requests to the beacon node, from sending to the last byte read, by operation.",
			Buckets: []float64{.005, .01, .025, .05, .1, .25, .5, 1, 2.5, 5, 10, 30},
		}, []string{"endpoint", "operation"}),
		requests:  counter("requests_total", "Requests to the beacon node, by operation.", "endpoint", "operation"),
		failures:  counter("request_failures_total", "Failed requests to the beacon node, by operation and reason (timeout, connect, status, body, too_large, decode).", "endpoint", "operation", "reason"),
		bytes:     counter("response_bytes_total", "Bytes read in answers of the beacon node, by operation.", "endpoint", "operation"),
		failovers: counter("failovers_total", "Times that an operation moved on from this beacon node to another.", "endpoint"),
		exhausted: counter("retries_exhausted_total", "Operations that no beacon node answered, after every retry, by operation.", "operation"),

		up:               gauge("up", "1 when the beacon node answered the last probe, else 0."),
		info:             gauge("info", "Always 1; names the beacon node's client and version.", "client", "version"),
		syncing:          gauge("syncing", "1 when the beacon node says it is syncing, else 0."),
		distance:         gauge("sync_distance_slots", "Slots by which the beacon node says it is behind."),
		optimistic:       gauge("optimistic", "1 when the beacon node's head is not verified by its execution client, else 0."),
		executionOffline: gauge("execution_offline", "1 when the beacon node cannot reach its execution client, else 0."),
		peers:            gauge("peers", "Number of peers that the beacon node is connected to."),
		head:             gauge("head_slot", "Slot of the beacon node's head."),
	}
	for op := range operationCount {
		m.exhausted.WithLabelValues(op.String())
	}
	return m
}

func (m *metrics) vectors() []prometheus.Collector {
	return []prometheus.Collector{m.duration, m.requests, m.failures, m.bytes, m.failovers, m.exhausted}
}

// nodeSeries are one node's series. Those of an operation appear, with a zero for
// each reason to fail, when the operation is first asked for.
type nodeSeries struct {
	operations [operationCount]func() *operationSeries
	failovers  prometheus.Counter
}

type operationSeries struct {
	duration        prometheus.Observer
	requests, bytes prometheus.Counter
	failures        [reasonCount]prometheus.Counter
}

func (m *metrics) node(endpoint string) *nodeSeries {
	s := &nodeSeries{failovers: m.failovers.WithLabelValues(endpoint)}
	for op := range operationCount {
		s.operations[op] = sync.OnceValue(func() *operationSeries {
			series := &operationSeries{
				duration: m.duration.WithLabelValues(endpoint, op.String()),
				requests: m.requests.WithLabelValues(endpoint, op.String()),
				bytes:    m.bytes.WithLabelValues(endpoint, op.String()),
			}
			for r := range reasonCount {
				series.failures[r] = m.failures.WithLabelValues(endpoint, op.String(), r.String())
			}
			return series
		})
	}
	return s
}

func (s *nodeSeries) of(op operation) *operationSeries { return s.operations[op]() }

// Describe implements prometheus.Collector.
func (p *Pool) Describe(to chan<- *prometheus.Desc) {
	m := p.metrics
	for _, v := range m.vectors() {
		v.Describe(to)
	}
	for _, desc := range []*prometheus.Desc{m.up, m.info, m.syncing, m.distance, m.optimistic, m.executionOffline, m.peers, m.head} {
		to <- desc
	}
}

// Collect implements prometheus.Collector. It makes no request: health is that of
// the last probe. Of a node that is down only ethereum_beacon_up is known.
func (p *Pool) Collect(to chan<- prometheus.Metric) {
	m := p.metrics
	for _, v := range m.vectors() {
		v.Collect(to)
	}
	for _, n := range p.nodes {
		h, probed := n.lastHealth()
		if !probed {
			continue
		}
		gauge := func(desc *prometheus.Desc, value float64, labels ...string) {
			to <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, value, append([]string{n.endpoint}, labels...)...)
		}
		gauge(m.up, number(h.Up))
		if !h.Up {
			continue
		}
		if h.Client != "" {
			gauge(m.info, 1, h.Client, h.Version)
		}
		gauge(m.syncing, number(h.Syncing))
		gauge(m.distance, float64(h.SyncDistance))
		gauge(m.head, float64(h.HeadSlot))
		if h.optimistic != nil {
			gauge(m.optimistic, number(*h.optimistic))
		}
		if h.executionOffline != nil {
			gauge(m.executionOffline, number(*h.executionOffline))
		}
		if h.PeersKnown {
			gauge(m.peers, float64(h.Peers))
		}
	}
}

func number(b bool) float64 {
	if b {
		return 1
	}
	return 0
}
