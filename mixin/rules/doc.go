// Package rules makes the recording rules: sums of the exporter's counters over an
// hour and longer, the ratios that are made of them, and how fast the error budget
// burns. It owns the names of recorded series; alerts and dashboards ask it for them.
//
// It must not know alerts, dashboards or files.
package rules
