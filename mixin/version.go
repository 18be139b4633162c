package mixin

import (
	_ "embed" // the version
	"strings"
)

//go:embed VERSION
var version string

// Version of the mixin, which is not the exporter's. It is shown on Kubernetes objects
// only: in rules it would change the identity of alerts with each release.
func Version() string { return strings.TrimSpace(version) }
