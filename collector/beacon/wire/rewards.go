package wire

import (
	"errors"
	"fmt"
	"io"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// AttestationReward is what one validator earned (or, below zero, lost) by its
// attestation of one epoch, in gwei.
type AttestationReward struct {
	Index duty.ValidatorIndex
	// Inactivity is below zero during an inactivity leak.
	Head, Target, Source, Inactivity int64
}

// ReadAttestationRewards reads an answer of /eth/v1/beacon/rewards/attestations/{epoch}
// and calls each for every row of total_rewards, in the node's order. An error of
// each ends the reading and is returned. Ideal rewards are skipped.
func ReadAttestationRewards(r io.Reader, each func(AttestationReward) error) error {
	var s *scanner
	var row AttestationReward
	var seen fields
	field := func(key []byte) {
		switch string(key) {
		case "validator_index":
			row.Index = duty.ValidatorIndex(s.uint())
			seen.add(s, 0)
		case "head":
			row.Head = s.int()
			seen.add(s, 1)
		case "target":
			row.Target = s.int()
			seen.add(s, 2)
		case "source":
			row.Source = s.int()
			seen.add(s, 3)
		case "inactivity":
			row.Inactivity = s.int()
			seen.add(s, 4)
		default: // inclusion_delay, phase0 only: absent, null or "0"
			s.skip()
		}
	}
	total := false
	err := readDocument(r, make([]byte, windowSize), func(doc *scanner) {
		s = doc
		s.object(func(key []byte) {
			if string(key) != "total_rewards" {
				s.skip()
				return
			}
			total = true
			s.array(func() {
				row, seen = AttestationReward{}, 0
				s.object(field)
				if s.err == nil && !seen.all(5) {
					s.fail(errors.New("a row with a field missing"))
				}
				if s.err == nil {
					s.failWith(each(row))
				}
			})
		})
		if s.err == nil && !total {
			s.fail(errors.New("no total_rewards in the answer"))
		}
	})
	if err != nil {
		return fmt.Errorf("reading attestation rewards: %w", err)
	}
	return nil
}

// SyncReward is what one seat, or one validator, of the sync committee earned (or,
// below zero, lost) by one block, in gwei.
type SyncReward struct {
	Index  duty.ValidatorIndex
	Reward int64
}

// ReadSyncRewards reads an answer of /eth/v1/beacon/rewards/sync_committee/{block}
// and calls each for every row. Nodes differ in whether a validator with several
// seats has one row or one for each seat; [SumSyncRewards] evens that out.
func ReadSyncRewards(r io.Reader, each func(SyncReward) error) error {
	var s *scanner
	var row SyncReward
	var seen fields
	field := func(key []byte) {
		switch string(key) {
		case "validator_index":
			row.Index = duty.ValidatorIndex(s.uint())
			seen.add(s, 0)
		case "reward":
			row.Reward = s.int()
			seen.add(s, 1)
		default:
			s.skip()
		}
	}
	err := readDocument(r, make([]byte, windowSize), func(doc *scanner) {
		s = doc
		s.array(func() {
			row, seen = SyncReward{}, 0
			s.object(field)
			if s.err == nil && !seen.all(2) {
				s.fail(errors.New("a row with a field missing"))
			}
			if s.err == nil {
				s.failWith(each(row))
			}
		})
	})
	if err != nil {
		return fmt.Errorf("reading sync committee rewards: %w", err)
	}
	return nil
}

// SumSyncRewards reads the same answer and adds the rows of each validator up.
func SumSyncRewards(r io.Reader) (map[duty.ValidatorIndex]int64, error) {
	sums := make(map[duty.ValidatorIndex]int64)
	err := ReadSyncRewards(r, func(row SyncReward) error {
		sums[row.Index] += row.Reward
		return nil
	})
	if err != nil {
		return nil, err
	}
	return sums, nil
}
