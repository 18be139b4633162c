// Package e2e runs the built exporter as its users do: as a process, killed and
// restarted at any moment, scraped by a real Prometheus, on real beacon nodes and on a
// simulated chain. What Prometheus then holds is compared with what other code counts
// from the same chain.
//
// Beside one of the chains the mixin's rules run in a Prometheus for each preset. Their
// alerts, and what every panel of the dashboards would show, are compared with what is
// known of the chain. Grafana itself takes no part.
//
// The rollups' receiver runs beside as well, fed by a Prometheus with the section that is
// shipped. What is in Postgres, and what the views make of it, is compared with the same
// count of the chain, also after everything between the two was killed, restarted and cut.
//
// The tests need `make tools`, Postgres and the build tag e2e. They know the exporter by its
// flags and its exposition only; of its packages they read nothing but the catalogue.
package e2e
