package dashboards

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

func recentAlerts(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{slug: mixin.AlertsDashboard, variables: s.common()}
}
