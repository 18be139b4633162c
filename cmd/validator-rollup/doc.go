// Command validator-rollup keeps completed windows of Ethereum validators in Postgres for
// years: it receives them by remote-write, and exports them for reports.
//
// It holds flags, logger and the life of the process, and nothing else: it must not know
// remote-write or SQL.
package main
