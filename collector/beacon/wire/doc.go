// Package wire decodes the answers of a beacon node that are hot or fragile:
// blocks (SSZ), and committees, validators and rewards (JSON, streamed).
//
// It knows formats, not transport: bytes or a reader go in, values come out. It
// must not know HTTP, nodes, retries, clocks or metrics, and imports only duty.
//
// Input is not trusted. What a decoder allocates is bounded by the length of its
// input and by the limits below; a decoder returns an error, never a partial
// value. The streaming readers are the exception their signature shows: rows
// already handed out stay handed out when a later row is bad.
package wire

const (
	// maxAttestations is the most aggregates a block may hold: MAX_ATTESTATIONS of
	// phase0, far above Electra's 8, since Gloas lists have no limit of their own.
	maxAttestations = 128
	// maxSlashings bounds each kind of slashing in a block in the same way.
	maxSlashings = 128
	// maxSlot is beyond any chain's life; it catches a misread layout.
	maxSlot = 1 << 40
	// maxMembers bounds the members of an epoch's committees: every active validator
	// is in one of them once.
	maxMembers = 8 << 20
	// maxCommittees bounds the committees of an epoch, whatever a node claims its preset is.
	maxCommittees = 1 << 16
	// maxSyncCommittee bounds SYNC_COMMITTEE_SIZE likewise.
	maxSyncCommittee = 1 << 16
	// maxToken is the longest JSON string or number that is read, in bytes (a public
	// key has 100). Longer strings are fine where they are only skipped.
	maxToken = 1 << 10
	// maxDepth is the deepest nesting of JSON objects and arrays.
	maxDepth = 32
	// windowSize is the part of a JSON answer that is in memory at a time.
	windowSize = 64 << 10
)
