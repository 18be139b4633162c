// Package store keeps completed windows in Postgres: one value for each series and
// window, written once, never overwritten. It owns the schema, its migrations, the
// partitions and the views that people read.
//
// It must not know how samples arrive: no HTTP, no remote-write, no Prometheus
// registry.
package store

import (
	_ "github.com/jackc/pgx/v5"     // pins the module until the first query is here
	_ "github.com/pressly/goose/v3" // pins the module until the first migration is here
)
