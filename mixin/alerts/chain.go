package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// chain …
func chain(c mixin.Config) Section {
	return Section{Name: "chain", Title: "Chain", About: "The network itself. Nothing here is a validator's fault."}
}
