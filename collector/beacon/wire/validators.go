package wire

import (
	"errors"
	"fmt"
	"io"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Validator is a record of the registry with its balance and status.
type Validator struct {
	Index                     duty.ValidatorIndex
	Pubkey                    [48]byte
	Credentials               [32]byte
	Balance, EffectiveBalance duty.Gwei
	Slashed                   bool
	// duty.FarFutureEpoch where an event is not scheduled.
	ActivationEpoch, ExitEpoch, WithdrawableEpoch duty.Epoch
	// Status is one of the Beacon API's nine statuses, or StatusUnknown.
	Status string
}

// StatusUnknown stands for every status that this version does not know.
const StatusUnknown = "unknown"

// ReadValidators reads an answer of /eth/v1/beacon/states/{id}/validators and calls
// each for every record, in the node's order. An error of each ends the reading
// and is returned. Memory does not grow with the number of records.
func ReadValidators(r io.Reader, each func(Validator) error) error {
	var v Validator
	var seen fields
	// Built once, not once a record.
	var s *scanner
	record := func(key []byte) {
		switch string(key) {
		case "pubkey":
			s.hex(v.Pubkey[:])
			seen.add(s, 0)
		case "withdrawal_credentials":
			s.hex(v.Credentials[:])
			seen.add(s, 1)
		case "effective_balance":
			v.EffectiveBalance = duty.Gwei(s.uint())
			seen.add(s, 2)
		case "slashed":
			v.Slashed = s.bool()
			seen.add(s, 3)
		case "activation_epoch":
			v.ActivationEpoch = duty.Epoch(s.uint())
			seen.add(s, 4)
		case "exit_epoch":
			v.ExitEpoch = duty.Epoch(s.uint())
			seen.add(s, 5)
		case "withdrawable_epoch":
			v.WithdrawableEpoch = duty.Epoch(s.uint())
			seen.add(s, 6)
		default:
			s.skip()
		}
	}
	row := func(key []byte) {
		switch string(key) {
		case "index":
			v.Index = duty.ValidatorIndex(s.uint())
			seen.add(s, 7)
		case "balance":
			v.Balance = duty.Gwei(s.uint())
			seen.add(s, 8)
		case "status":
			v.Status = knownStatus(s.string())
			seen.add(s, 9)
		case "validator":
			s.object(record)
		default:
			s.skip()
		}
	}
	err := readDocument(r, make([]byte, windowSize), func(doc *scanner) {
		s = doc
		s.array(func() {
			v, seen = Validator{}, 0
			s.object(row)
			if s.err == nil && !seen.all(10) {
				s.fail(errors.New("a validator with a field missing"))
			}
			if s.err == nil {
				s.failWith(each(v))
			}
		})
	})
	if err != nil {
		return fmt.Errorf("reading validators: %w", err)
	}
	return nil
}

// knownStatus returns the constant equal to status, so that no row holds a string of its own.
func knownStatus(status []byte) string {
	switch string(status) {
	case "pending_initialized":
		return "pending_initialized"
	case "pending_queued":
		return "pending_queued"
	case "active_ongoing":
		return "active_ongoing"
	case "active_exiting":
		return "active_exiting"
	case "active_slashed":
		return "active_slashed"
	case "exited_unslashed":
		return "exited_unslashed"
	case "exited_slashed":
		return "exited_slashed"
	case "withdrawal_possible":
		return "withdrawal_possible"
	case "withdrawal_done":
		return "withdrawal_done"
	}
	return StatusUnknown
}
