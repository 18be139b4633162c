package catalog

// Type is a family's Prometheus metric type.
type Type string

// The metric types in use.
const (
	Counter   Type = "counter"
	Gauge     Type = "gauge"
	Histogram Type = "histogram"
)

// Origin tells what a family's samples are a function of.
type Origin string

const (
	// Chain families are a pure function of the canonical chain, the watch list and
	// the flags: byte-identical between replicas for the same head.
	Chain Origin = "chain"
	// Observed families depend on what this process happened to see, or on the clock.
	Observed Origin = "observed"
	// Exporter families are about the exporter itself and its beacon nodes.
	Exporter Origin = "exporter"
)

// Family describes one metric family.
type Family struct {
	Name   string
	Type   Type
	Origin Origin
	// Labels in the order in which they are written. Every chain family starts with "network".
	Labels []string
	// WatchLabels: the labels of the watch list follow Labels.
	WatchLabels bool
	// Help is one full sentence (or more) with unit and range.
	Help string
}
