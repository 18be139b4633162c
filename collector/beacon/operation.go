package beacon

import (
	"net/http"
	"slices"
	"strings"
)

// operation is a kind of request, and the value of the label "operation". The
// set is fixed: a label made from paths would grow with every epoch.
type operation uint8

const (
	opSyncing operation = iota
	opPeers
	opVersion
	opGenesis
	opSpec
	opHeader
	opBlock
	opCommittees
	opProposerDuties
	opSyncCommittee
	opFinality
	opValidators
	opRewards
	operationCount
)

const (
	mebibyte = 1 << 20
	// smallLimit bounds the answers that are read into memory whole.
	smallLimit = 8 * mebibyte
)

// String returns the label value.
func (op operation) String() string {
	return [operationCount]string{
		"node_syncing", "node_peer_count", "node_version", "genesis", "spec", "header", "block", "committees",
		"proposer_duties", "sync_committee", "finality", "validators", "attestation_rewards",
	}[op]
}

// operationOf tells the operation by a request's path. The path and not the
// caller decides, since the client library makes requests of its own accord.
func operationOf(path string) operation {
	_, path, _ = strings.Cut(path[max(0, strings.LastIndex(path, "/eth/v")):], "/eth/v")
	for op, part := range [operationCount]string{
		"/node/syncing", "/node/peer_count", "/node/version", "/beacon/genesis", "/config/spec", "/beacon/headers/",
		"/beacon/blocks/", "/committees", "/duties/proposer/", "/sync_committees", "/finality_checkpoints", "/validators",
		"/rewards/attestations/",
	} {
		if strings.Contains(path, part) {
			return operation(op)
		}
	}
	// Unreachable while every request made here stands in the list above.
	return opSyncing
}

// limit is the most bytes an answer may have, after decompression.
func (op operation) limit() int64 {
	switch op {
	case opBlock:
		return 32 * mebibyte
	case opCommittees, opRewards:
		return 256 * mebibyte
	case opValidators:
		return 2048 * mebibyte
	default:
		return smallLimit
	}
}

// big operations get slowFactor times the timeout.
func (op operation) big() bool {
	return op == opCommittees || op == opValidators || op == opRewards
}

// unavailable tells whether an answer with this status means that the node does
// not have the thing, rather than that it failed. For what needs an old state,
// clients disagree about the status: 400, 404 and 500 are all seen.
func (op operation) unavailable(status int) bool {
	switch op {
	case opBlock, opHeader:
		return status == http.StatusNotFound
	case opCommittees, opProposerDuties, opSyncCommittee, opFinality, opValidators, opRewards:
		return slices.Contains([]int{
			http.StatusBadRequest, http.StatusNotFound, http.StatusMethodNotAllowed,
			http.StatusInternalServerError, http.StatusNotImplemented,
		}, status)
	default:
		return false
	}
}
