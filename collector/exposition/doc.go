// Package exposition turns families of samples into the bytes of a scrape, and
// keeps those bytes for as long as the samples stay the same.
//
// A [Family] holds the samples of one metric family and encodes them once. A
// [Page] is an immutable set of families. [Serve] negotiates format and
// compression and answers a scrape with a page, followed by freshly gathered
// metrics of the exporter itself.
//
// It must not know what the samples mean or where they come from.
package exposition
