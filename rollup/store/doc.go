// Package store keeps completed windows in Postgres: one value for each series and
// window, written once, never overwritten. It owns the schema, its migrations, the
// partitions and the views that people read.
//
// It must not know how samples arrive: no HTTP, no remote-write, no Prometheus
// registry.
package store
