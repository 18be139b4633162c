// Package mixin says what can be turned in the generated dashboards, rules, alerts
// and runbooks, and holds the two presets that are rendered and committed.
//
// The packages below it are pure functions of a Config: rules makes the recording
// rules, alerts the alerts and their runbooks, dashboards the dashboards. output
// puts them into files. None of them has state, reads the clock or does I/O; only
// output.Write touches the disk.
//
// It must not know the exporter: of all its packages, only collector/catalog (and
// rollup/catalog of the receiver) may be imported, and only to check names.
package mixin
