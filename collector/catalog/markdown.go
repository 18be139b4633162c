package catalog

import (
	"bytes"
	"fmt"
	"strings"
)

// sections of the documentation, in order. A family stands in the one with the
// longest prefix that it has.
var sections = []struct{ prefix, title, intro string }{
	{"ethereum_validator_", "Validators", "One series for each watched validator. Above `--validators.individual-limit` watched validators there is only\n`ethereum_validator_offender`; groups are always whole."},
	{"ethereum_group_", "Groups", "One series for each value of each label in the watch list (`group_by` is the label, `group` its value), and\n`group_by=\"all\",group=\"all\"` for all watched validators."},
	{"ethereum_network_", "Network", "All validators of the chain, watched or not, to compare with."},
	{"ethereum_chain_", "Chain", "The head and epochs that everything else is computed at, and how fresh they are."},
	{"ethereum_beacon_", "Beacon nodes", "`endpoint` is scheme, host and port of `--beacon.url`. Of a node that is down only `ethereum_beacon_up` and the\ncounters are shown."},
	{"validator_exporter_", "Exporter", "How the exporter itself is doing."},
	{"ethereum_validator_window_", "Completed windows of a validator", onlyWithWindows},
	{"ethereum_group_window_", "Completed windows of a group", onlyWithWindows},
	{"ethereum_network_window_", "Completed windows of the network", onlyWithWindows},
}

const onlyWithWindows = "Only with `--counters.completed-windows`."

const intro = `# Metrics

<!-- Generated from collector/catalog. To change it: go run ./collector/catalog/cmd/catalog-docs > docs/metrics.md -->

Units are in the names: gwei, slots, seconds, bytes; ratios are made by rules. Every metric of the chain has the label
` + "`network`" + `. What is not known is absent, never 0.

**Origin** tells what a value depends on. *Chain*: on the canonical chain up to the head, the watch list and the flags
alone; two exporters, or one before and after a restart, show the same for the same head. *Observed*: on what this process
happened to see, or on the clock. *Exporter*: on the exporter and its beacon nodes.

**Counters** of origin chain count *settled* epochs only: those for which nothing can be included any more, two epochs and
two slots after their start. They are sums over the epochs of the current *window* (` + "`--counters.window-epochs`" + `, default 15)
and start again with each window. Around that they read 0 for a few slots (` + "`--counters.reset-slots`" + `, default 8), so that
Prometheus sees the reset. Use them with ` + "`increase()` or `rate()`" + `, which are right across windows, restarts and replicas as
long as the scrape interval is shorter than those slots. For example, the share of attestations included:

    sum(increase(ethereum_validator_attestations_included_total[1d]))
      / sum(increase(ethereum_validator_attestations_expected_total[1d]))

What is not settled yet is shown by gauges (` + "`…_attestations_overdue`, `…_unsettled`" + `), for alerts within slots. Counters of
origin observed count since the process started.

**Completed windows** are gauges with the final totals of windows that are over. The label ` + "`window`" + ` is the Unix time of the
window's first slot.

The metrics of the Go runtime and of the process (` + "`go_*`, `process_*`" + `) are those of the Prometheus Go client and not listed.
`

// Markdown renders the documentation of all families.
func Markdown() []byte {
	families := make([][]Family, len(sections))
	for _, f := range All() {
		at, longest := 0, 0
		for i, s := range sections {
			if strings.HasPrefix(f.Name, s.prefix) && len(s.prefix) > longest {
				at, longest = i, len(s.prefix)
			}
		}
		families[at] = append(families[at], f)
	}
	out := bytes.NewBufferString(intro)
	for i, s := range sections {
		writeSection(out, s.title, s.intro, families[i])
	}
	return out.Bytes()
}

func writeSection(out *bytes.Buffer, title, intro string, families []Family) {
	fmt.Fprintf(out, "\n## %s\n\n%s\n\n", title, intro)
	out.WriteString("| metric | type | labels | origin | meaning |\n|---|---|---|---|---|\n")
	for _, f := range families {
		labels := strings.Join(f.Labels, "`, `")
		if labels != "" {
			labels = "`" + labels + "`"
		}
		if f.WatchLabels {
			labels += ", labels of the watch list"
		}
		fmt.Fprintf(out, "| `%s` | %s | %s | %s | %s |\n", f.Name, f.Type, labels, f.Origin, strings.ReplaceAll(f.Help, "|", `\|`))
	}
}
