// Package e2e runs the built exporter as its users do: as a process, killed and
// restarted at any moment, scraped by a real Prometheus, on real beacon nodes and on a
// simulated chain. What Prometheus then holds is compared with what other code counts
// from the same chain.
//
// Beside one of the chains the mixin's rules run in a Prometheus for each preset. Their
// alerts, and what every panel of the dashboards would show, are compared with what is
// known of the chain. Grafana itself takes no part.
//
// The tests need `make tools` and the build tag e2e. They know the exporter by its
// flags and its exposition only; of its packages they read nothing but the catalogue.
package e2e
