package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// objective …
func objective(c mixin.Config) Section {
	return Section{Name: "validator-objective", Title: "Service level", About: "How fast the error budget burns."}
}
