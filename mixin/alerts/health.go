package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// validatorHealth …
func validatorHealth(c mixin.Config) Section {
	return Section{Name: "validator-health", Title: "Validator health", About: "Attestations, balance and status of validators."}
}
