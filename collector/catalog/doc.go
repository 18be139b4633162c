// Package catalog is the table of every metric family this project exposes: its
// name, type, labels and help. The collector emits only what stands here, the
// documentation is generated from it, and rules and dashboards are checked
// against it.
//
// It must not know how a value comes about, and imports nothing else of this
// project.
package catalog
