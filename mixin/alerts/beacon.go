package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// beaconAPI …
func beaconAPI(c mixin.Config) Section {
	return Section{Name: "beacon-nodes", Title: "Beacon nodes", About: "The nodes that everything is read from."}
}
