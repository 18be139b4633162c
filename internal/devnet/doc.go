// Package devnet starts real software for end-to-end tests: an Ethereum chain
// (Prysm and geth) and a Prometheus, on free ports of 127.0.0.1, from the programs
// that `make tools` builds.
//
// It must not know what is tested with it: it imports nothing else of this project.
package devnet
