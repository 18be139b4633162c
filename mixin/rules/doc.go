// Package rules makes the recording rules: sums of the exporter's counters over an
// hour and longer, the ratios that are made of them, and how fast the error budget
// burns. It owns the names of recorded series; alerts and dashboards ask it for them.
//
// # How sums come about
//
// First what each counter rose by in the last hour, of each replica by itself; then
// the most that any of them saw. Longer sums add up whole hours: they are at most an
// hour old, and a scrape, a restart or a reset of the counters' window is looked at
// once, where it happened. Sums come first, ratios last; a ratio has no series where
// nothing was expected.
//
// increase() extrapolates: to the hour's two ends, which are up to a scrape interval
// away from the first and last sample. So sums are not whole numbers, and an event that
// falls between two hours' samples is in neither, while the others count a hair more.
// In ratios that cancels out.
//
// A replica label whose value changes at each restart (the pod of a Deployment) splits
// an hour in two. The longer part counts; the ratio is that part's. Where the exporter
// runs alone, it is better to have no such label.
//
// # What it costs
//
// 14 increments, 36 ratios and 8 differences for each validator, and a little more for
// each group. For 1,000 validators, the most that the exporter shows one by one by
// default, that is 58,000 series, and each evaluation touches 18 million samples, 13
// million of them for the ratios over 30 days. Measured with 30 days of data on one core
// of a busy machine: 14 s each 3 minutes. The hungriest rule holds 0.7 million samples at
// once, of the 50 million that Prometheus allows a query by default. With ten validators
// none of this can be felt.
//
// That is why a validator's lost votes are recorded for one vote and cause only; the
// others are in the exporter's counters, and whole for groups and the network.
//
// It must not know alerts, dashboards or files.
package rules
