package duty

import (
	"math"
	"math/bits"
)

// Vote is one of the three votes of an attestation.
type Vote uint8

// The three votes, in the order of the specification's flag indices.
const (
	Source Vote = iota
	Target
	Head
	voteCount
)

// String returns the label value: source, target or head.
func (v Vote) String() string { return [...]string{"source", "target", "head"}[v] }

// Cause tells why a vote was lost.
type Cause uint8

// Causes of a lost vote. NotLost is the zero value.
const (
	NotLost Cause = iota
	// Network: nobody could have earned it, or most of the others in the same slot lost it too.
	Network
	// Missing: the attestation was never included.
	Missing
	// Late: the vote was right, its inclusion too late to count.
	Late
	// Wrong: the vote was for something else than the canonical chain.
	Wrong
	causeCount
)

// String returns the label value: network, missing, late or wrong.
func (c Cause) String() string { return [...]string{"", "network", "missing", "late", "wrong"}[c] }

// ValidatorEpoch is what one watched validator did in one epoch. The zero value
// is a validator without any duty.
type ValidatorEpoch struct {
	// Duty: it had to attest. Included: its attestation is on the canonical chain.
	Duty, Included bool
	// Delay is the inclusion delay in slots, the minimum over all inclusions; 0 when not included.
	Delay uint8
	// Lost has a cause for each lost vote, NotLost for each vote earned (or without Duty).
	Lost [voteCount]Cause
	// Proposals expected (duties, slot 0 excepted) and made (canonical blocks).
	BlocksExpected, BlocksProposed uint8
	// Seats × canonical blocks, and the bits set for them.
	SyncExpected, SyncIncluded uint16
}

// Totals are sums of events over epochs: a validator's, a group's or the network's.
type Totals struct {
	AttestationsExpected, AttestationsIncluded uint64
	SourceVotes, TargetVotes, HeadVotes        uint64
	// InclusionDelay is in slots, summed over the included.
	InclusionDelay uint64
	// Lost counts lost votes by vote and cause.
	Lost [voteCount][causeCount]uint64
	// Stake is in effective-balance increments × vote weight, so that sums stay exact;
	// StakeGwei turns it into gwei.
	StakePossible, StakeAchievable, StakeEarned uint64
	BlocksExpected, BlocksProposed              uint64
	SyncExpected, SyncIncluded                  uint64
}

// NetworkEpoch is what all validators together did in one epoch.
type NetworkEpoch struct {
	Totals
	// StakeKnown tells whether the stake sums are known; they need every
	// validator's effective balance.
	StakeKnown bool
	// Numbers of slashing operations in the epoch's blocks.
	ProposerSlashings, AttesterSlashings uint64
}

// Add adds the events of o.
func (t *Totals) Add(o *Totals) {
	t.AttestationsExpected += o.AttestationsExpected
	t.AttestationsIncluded += o.AttestationsIncluded
	t.SourceVotes += o.SourceVotes
	t.TargetVotes += o.TargetVotes
	t.HeadVotes += o.HeadVotes
	t.InclusionDelay += o.InclusionDelay
	for vote := range t.Lost {
		for cause := range t.Lost[vote] {
			t.Lost[vote][cause] += o.Lost[vote][cause]
		}
	}
	t.StakePossible += o.StakePossible
	t.StakeAchievable += o.StakeAchievable
	t.StakeEarned += o.StakeEarned
	t.BlocksExpected += o.BlocksExpected
	t.BlocksProposed += o.BlocksProposed
	t.SyncExpected += o.SyncExpected
	t.SyncIncluded += o.SyncIncluded
}

// AddValidator adds what a validator with the given effective balance, in
// increments, did in an epoch.
func (t *Totals) AddValidator(spec *Spec, v ValidatorEpoch, increments uint64) {
	t.BlocksExpected += uint64(v.BlocksExpected)
	t.BlocksProposed += uint64(v.BlocksProposed)
	t.SyncExpected += uint64(v.SyncExpected)
	t.SyncIncluded += uint64(v.SyncIncluded)
	if !v.Duty {
		return
	}
	t.AttestationsExpected++
	t.AttestationsIncluded += count(v.Included)
	t.InclusionDelay += uint64(v.Delay)
	t.SourceVotes += count(v.Lost[Source] == NotLost)
	t.TargetVotes += count(v.Lost[Target] == NotLost)
	t.HeadVotes += count(v.Lost[Head] == NotLost)
	for vote, weight := range spec.weights() {
		t.StakePossible += increments * weight
		switch cause := v.Lost[vote]; cause {
		case NotLost:
			t.StakeAchievable += increments * weight
			t.StakeEarned += increments * weight
		case Network:
			t.Lost[vote][cause]++
		default:
			t.Lost[vote][cause]++
			t.StakeAchievable += increments * weight
		}
	}
}

// StakeGwei turns a stake sum of Totals into whole gwei, rounded down:
// weighted·increment/VoteWeights. What does not fit 64 bits is their largest value.
func StakeGwei(spec *Spec, weighted uint64) uint64 {
	hi, lo := bits.Mul64(weighted, uint64(spec.EffectiveBalanceIncrement))
	if hi >= spec.VoteWeights() {
		return math.MaxUint64
	}
	gwei, _ := bits.Div64(hi, lo, spec.VoteWeights())
	return gwei
}
