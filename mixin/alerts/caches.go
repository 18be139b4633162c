package alerts

import "github.com/ethereum-validator-monitor/validator-monitor/mixin"

// caches …
func caches(c mixin.Config) Section {
	return Section{Name: "cache", Title: "Cache", About: "The exporter's bounded caches."}
}
