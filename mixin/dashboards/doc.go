// Package dashboards makes the Grafana dashboards, as classic JSON by way of
// grafana-foundation-sdk.
//
// It must not know alerts (beyond their names) or files.
package dashboards

import (
	_ "github.com/grafana/grafana-foundation-sdk/go/dashboard" // pins the module until the first dashboard is here
)
