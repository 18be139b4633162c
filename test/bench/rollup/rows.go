package main

import (
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

const (
	windowLength = 96 * time.Minute // of mainnet
	windowsDaily = 15
	batchSize    = 2000 // samples in a request of Prometheus, as it is set by default
)

// firstWindow begins a day of mainnet, in the middle of a month.
var firstWindow = time.Unix(1606824023, 0).Add(2015 * 24 * time.Hour).UTC()

// clock stands when all windows are over.
func clock() time.Time { return windowStart(100) }

func windowStart(n int) time.Time { return firstWindow.Add(time.Duration(n) * windowLength) }

const groups = 20

// fleet is the labels of all series of a window: of validators, of groups, and of the
// network, in the order in which a scrape has them.
func fleet(validators int) (series [][]store.Label) {
	for _, family := range catalog.All() {
		if !slices.Contains(family.Labels, "window") {
			continue
		}
		members := 1
		switch {
		case slices.Contains(family.Labels, "validator_index"):
			members = validators
		case slices.Contains(family.Labels, "group"):
			members = groups
		}
		for member := range members {
			for _, values := range furtherValues(family) {
				labels := []store.Label{{Name: "__name__", Value: family.Name}}
				for _, name := range family.Labels {
					value := values[name]
					switch name {
					case "window":
						continue
					case "network":
						value = "mainnet"
					case "validator_index":
						value = strconv.Itoa(1_000_000 + member)
					case "group_by":
						value = "operator"
					case "group":
						value = "operator-" + strconv.Itoa(member)
					}
					labels = append(labels, store.Label{Name: name, Value: value})
				}
				slices.SortFunc(labels, func(a, b store.Label) int { return strings.Compare(a.Name, b.Name) })
				series = append(series, labels)
			}
		}
	}
	return series
}

// furtherValues are the values of the labels that tell series of one subject apart.
func furtherValues(family catalog.Family) []map[string]string {
	switch {
	case slices.Contains(family.Labels, "cause"):
		var all []map[string]string
		for _, vote := range []string{"source", "target", "head"} {
			for _, cause := range []string{"network", "missing", "late", "wrong"} {
				if vote == "source" && cause == "wrong" || vote == "target" && cause == "late" {
					continue // cannot be
				}
				all = append(all, map[string]string{"vote": vote, "cause": cause})
			}
		}
		return all
	case slices.Contains(family.Labels, "kind"):
		return []map[string]string{{"kind": "proposer"}, {"kind": "attester"}}
	}
	return []map[string]string{nil}
}

// windowRows are the rows of the series in a window.
func windowRows(series [][]store.Label, window int) []store.Row {
	rows := make([]store.Row, len(series))
	for i, labels := range series {
		rows[i] = store.Row{Labels: labels, Window: windowStart(window), Value: float64(i)}
	}
	return rows
}

// measures are what the store calls the series of one validator.
func measures() (all []string) {
	for _, family := range catalog.All() {
		measure, windowed := strings.CutPrefix(family.Name, "ethereum_validator_window_")
		if !windowed {
			continue
		}
		for _, values := range furtherValues(family) {
			if values != nil {
				all = append(all, measure+"/"+values["vote"]+"/"+values["cause"])
			} else {
				all = append(all, measure)
			}
		}
	}
	return all
}
