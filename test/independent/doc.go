// Package independent counts validator duties a second time, in the plainest way, and
// checks the count against the rewards that a beacon node computed. It is the yardstick
// of end-to-end tests.
//
// It must share no code with what it measures: it imports nothing else of this project,
// decodes blocks with go-eth2-client, and keeps one record for each validator and epoch.
// Speed is of no concern.
//
// It reads chains of the mainnet preset from Electra to Fulu.
package independent
