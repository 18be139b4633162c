// Command validator-exporter exposes to Prometheus what the chain says about the
// watched validators.
//
// It holds flags, logger and HTTP, and nothing else: it must not know the Beacon
// API, duties or metric names.
package main
