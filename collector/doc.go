// Package collector answers a scrape: it advances its view of the canonical
// chain, has duty account the watched validators, and publishes one immutable
// snapshot as metric families and as JSON.
//
// Nothing runs when nobody scrapes, and nothing is kept that the chain could not
// give back: dropping all of it changes latency, never a value.
//
// It must not know HTTP clients, wire formats or flags: nodes are behind Source,
// the watch list behind watch.Watcher, bytes behind exposition.
package collector
