// Package e2e runs the built exporter as its users do: as a process, killed and
// restarted at any moment, scraped by a real Prometheus, on real beacon nodes and on a
// simulated chain. What Prometheus then holds is compared with what other code counts
// from the same chain.
//
// The tests need `make tools` and the build tag e2e. They know the exporter by its
// flags and its exposition only; of its packages they read nothing but the catalogue.
package e2e
