// Package duty is the pure accounting of validator duties: canonical blocks and
// committees go in; outcomes, causes of lost votes and window totals come out.
//
// It must not know HTTP, JSON, Prometheus, clocks, randomness or goroutines, and
// imports nothing else of this project. Everything it returns is a function of
// its arguments, so two replicas that read the same chain agree.
//
// Rules and constants come from the consensus specification
// (specs/altair … specs/gloas, beacon-chain.md) and EIP-7045, EIP-7549.
package duty
