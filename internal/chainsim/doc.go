// Package chainsim is a simulated beacon chain behind the standard Beacon API:
// any number of validators, faults to order, and the truth about every duty.
//
// A [Chain] is a pure function of its [Config]. It knows what each validator did
// because it decided it, so [Truth] can be compared with what a reader of the API
// worked out. [Chain.Handler] is one honest node; [Chain.Node] gives nodes that are
// slow, hang, fail, truncate, lag or lie.
//
// It must not know the accounting under test: of collector/duty it uses the types
// only. Blocks have the Electra SSZ layout, but no signatures, no state and no
// execution behind them: their roots are hashes of its own.
package chainsim
