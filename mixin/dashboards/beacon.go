package dashboards

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

func beaconNodes(c mixin.Config) definition {
	s := newSelectors(c)
	return definition{slug: mixin.BeaconDashboard, variables: s.common()}
}
