// Package recording serves recorded answers of real beacon nodes as a Beacon API,
// for tests. The files are in test/recordings.
//
// A recording can be stepped: [Recording.SetHead] makes it answer as the node
// would have done when the chain had just reached a slot.
//
// It must not know what the exporter makes of the answers; of its packages it uses only
// the words of duty.
package recording
