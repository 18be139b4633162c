package dashboards

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

func validators(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{slug: mixin.ValidatorsDashboard, variables: s.common()}
}
