package dashboards

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

func rollup(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{slug: mixin.RollupDashboard, variables: s.common()}
}
