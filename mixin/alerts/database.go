package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// database …
func database(c mixin.Config) Section {
	return Section{Name: "rollup", Title: "Rollup and database", About: "The receiver that keeps history."}
}
