// Package alerts makes the alerts, their runbooks, and for each alert the cases in
// which promtool proves that it fires and that it stays silent.
//
// It must not know dashboards (beyond their names) or files.
package alerts
