package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// freshness …
func freshness(c mixin.Config) Section {
	return Section{Name: "data-freshness", Title: "Data freshness", About: "Whether what is shown is up to date and whole."}
}
