package dashboards

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

func proposals(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{slug: mixin.ProposalsDashboard, variables: s.common()}
}
