// Package receiver is the HTTP side of the rollup receiver: remote-write requests in,
// rows for the store out, and the status that tells the sender what to do.
//
// A request is judged as a whole by its headers, its size and its encoding, then sample
// by sample: what can never be stored is refused and named, the rest is stored, and the
// answer is given when that is committed. Every limit holds before memory is taken.
//
// It must not know SQL.
package receiver
