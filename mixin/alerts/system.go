package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// system …
func system(c mixin.Config) Section {
	return Section{Name: "system", Title: "System", About: "Memory, processors and files of this project's processes."}
}
