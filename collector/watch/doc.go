// Package watch is the watch list: which validators an operator wants to see,
// and the labels they carry. It reads a YAML file and command line flags, and
// reloads the file when it changes.
//
// It must not know the chain: whether a key exists, which index a public key
// has, and how validators become metrics is decided elsewhere. It imports
// nothing else of this project.
package watch
