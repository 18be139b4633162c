//go:build e2e

package deploy_test

import "testing"

func TestChartKeepsWhatUpgradesCannotChange(t *testing.T) {
	for _, r := range renderings(t) {
		t.Run(r.name, func(t *testing.T) { checkPins(t, "chart-"+r.name, mustTemplate(t, r)) })
	}
}
