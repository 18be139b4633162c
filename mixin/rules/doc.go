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
// each group; and the 18 ratios over 7 and 30 days once more. Measured with 30 days of
// data on one core of a busy machine, rules read 1.3 million samples in a second, and
// nine in ten of all samples were those of the 18.
//
// These change once an hour. So they are made in groups of rules of their own, each fifth
// interval (15 minutes), as LongRatio; Ratio shows the newest one of the last 24 (6
// hours), and the last day's where there is none. What is left for each interval of 3 minutes is 6,000 samples for a group of
// validators that two replicas watch, and 5,000 for its error budget; a validator costs
// half of that. For 1,000 validators, the most that the exporter shows one by one by
// default, that is 76,000 series, 2 s of work each 3 minutes and 13 s each 15.
//
// Prometheus leaves out an evaluation that the one before has run into, and with it hours
// that longer ranges are made of. Computed from the above, 10,000 groups take 46 s of the
// 3 minutes, on another core 38 s, and 130 s of the 15 minutes. So 10,000 groups fit on a
// machine that has other things to do, and 20,000 on one that has not; of more, take labels
// out of the watch list. The hungriest rule holds 720 samples of each group or validator
// at once, 7 million of 10,000, of the 50 million that Prometheus allows a query by
// default. With ten validators none of this can be felt.
//
// That is why a validator's lost votes are recorded for one vote and cause only; the
// others are in the exporter's counters, and whole for groups and the network.
//
// It must not know alerts, dashboards or files.
package rules
