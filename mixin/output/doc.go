// Package output turns a Config into files: rules, alerts, dashboards, Kubernetes
// objects, Grafana provisioning, an Alertmanager example, promtool tests and
// runbooks; writes them, and says where a directory differs from them.
//
// It must not know what any rule or panel says.
package output

import (
	_ "github.com/prometheus/prometheus/model/rulefmt" // pins the module until the first file is here
)
