// Package dashboards makes the Grafana dashboards, as classic JSON in the terms of
// grafana-foundation-sdk.
//
// All is the way in, and each dashboard has a file of its own: a list of variables and
// of sections, whose lines of panels fill the grid from left to right. panels.go makes
// panels, variables.go variables, queries.go what both ask Prometheus; layout.go gives
// panels their places and numbers.
//
// It must not know alerts (beyond their names) or files.
package dashboards
