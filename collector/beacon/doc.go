// Package beacon asks a pool of beacon nodes: it picks the healthiest, moves on
// to another when one fails, hangs or does not have the answer, and keeps figures
// about all of it (the ethereum_beacon_* families).
//
// Requests happen only inside a call of Pool; nothing runs between calls but what
// is left of a probe that hangs, and that ends by itself.
//
// It knows the Beacon API and what the answers have to look like, and must not
// know what they are used for: no watch list, no accounting, no scrape. Addresses
// of nodes may hold tokens, so only scheme, host and port ever get into a label,
// an error or a log line.
package beacon
