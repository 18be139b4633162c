package dashboards

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

func overview(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{slug: mixin.OverviewDashboard, variables: s.common()}
}
