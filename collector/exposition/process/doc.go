// Package process is a collector of the usual process_* metrics that costs a
// tenth of client_golang's, which on Linux takes longer than serving a page of
// 40,000 kept series: it keeps its files open and parses only what it shows.
//
// Names, help and values are client_golang's. On other systems it is
// client_golang's collector.
package process
