package dashboards

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

func longTerm(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{slug: mixin.LongTermDashboard, variables: s.common()}
}
