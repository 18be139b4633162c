// Package expr reads PromQL: it parses what the mixin writes, pretty-prints it, and
// tells which metrics and labels it uses. Grafana's variables are filled in first.
//
// It must not know which metrics exist; who asks brings a Schema.
package expr
