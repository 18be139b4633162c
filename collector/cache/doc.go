// Package cache keeps values under immutable keys, within a bound of bytes: a
// block by its root, committees by their dependent root. The least recently used
// entry goes first.
//
// It must not know what it holds. Dropping any entry, or all, costs time and
// never changes a result.
package cache
