// Command catalog-docs prints docs/metrics.md.
package main

import (
	"os"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

func main() {
	if _, err := os.Stdout.Write(catalog.Markdown()); err != nil {
		os.Exit(1)
	}
}
