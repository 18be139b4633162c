package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// proposals …
func proposals(c mixin.Config) Section {
	return Section{Name: "validator-proposals", Title: "Proposals and sync committee", About: "Rare duties that are worth the most."}
}
