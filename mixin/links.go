package mixin

import "strings"

// Dashboard is the slug of a dashboard: its file's name, and the end of its UID.
type Dashboard string

// The dashboards.
const (
	OverviewDashboard   Dashboard = "overview"
	ValidatorsDashboard Dashboard = "validators"
	ProposalsDashboard  Dashboard = "proposals"
	BeaconDashboard     Dashboard = "beacon-nodes"
	RollupDashboard     Dashboard = "rollup"
	LongTermDashboard   Dashboard = "long-term"
	AlertsDashboard     Dashboard = "alerts"
)

// AllDashboards lists the dashboards in the order in which they link to each other.
func AllDashboards() []Dashboard {
	return []Dashboard{
		OverviewDashboard, ValidatorsDashboard, ProposalsDashboard, BeaconDashboard, RollupDashboard, LongTermDashboard, AlertsDashboard,
	}
}

// UID is the dashboard's UID in Grafana, the same for ever.
func (c Config) UID(d Dashboard) string { return c.Dashboards.UIDPrefix + "-" + string(d) }

// DashboardURL links to a dashboard.
func (c Config) DashboardURL(d Dashboard) string {
	return strings.TrimSuffix(c.Alerts.GrafanaURL, "/") + "/d/" + c.UID(d)
}

// RunbookURL links to an alert's runbook.
func (c Config) RunbookURL(alert string) string {
	return strings.TrimSuffix(c.Alerts.RunbookURL, "/") + "/" + alert + ".md"
}
