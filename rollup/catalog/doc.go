// Package catalog is the table of the metrics of the rollup receiver, as
// collector/catalog is of the exporter's. The receiver registers from it, the mixin
// checks its rules and panels against it.
//
// It must not know how anything is measured.
package catalog
