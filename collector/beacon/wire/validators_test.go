package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// validatorRow is a row of an answer; replace pairs of texts change it.
func validatorRow(index int, replace ...string) string {
	row := fmt.Sprintf(`{"index":"%d","balance":"32038168630","status":"active_ongoing","validator":{"pubkey":"0x%096x",`+
		`"withdrawal_credentials":"0x01%062x","effective_balance":"32000000000","slashed":false,"activation_eligibility_epoch":"0",`+
		`"activation_epoch":"5","exit_epoch":"18446744073709551615","withdrawable_epoch":"18446744073709551615"}}`, index, index, index)
	return strings.NewReplacer(replace...).Replace(row)
}

func readValidators(r io.Reader) (all []wire.Validator, err error) {
	err = wire.ReadValidators(r, func(v wire.Validator) error {
		all = append(all, v)
		return nil
	})
	return all, err
}

func TestValidatorIsRead(t *testing.T) {
	row := validatorRow(3, `"slashed":false`, `"slashed":true`, "active_ongoing", "exited_slashed")
	all := must[[]wire.Validator](t)(readValidators(strings.NewReader(answer([]string{row}))))
	want := wire.Validator{
		Index: 3, Balance: 32038168630, EffectiveBalance: 32e9, Slashed: true,
		ActivationEpoch: 5, ExitEpoch: duty.FarFutureEpoch, WithdrawableEpoch: duty.FarFutureEpoch, Status: "exited_slashed",
	}
	want.Pubkey[47], want.Credentials[0], want.Credentials[31] = 3, 1, 3
	if len(all) != 1 || all[0] != want {
		t.Errorf("got  %+v\nwant %+v", all, want)
	}
}

func TestUnknownValidatorStatusIsNoError(t *testing.T) {
	for status, want := range map[string]string{
		"pending_queued": "pending_queued", "withdrawal_done": "withdrawal_done",
		"pending_lookahead": wire.StatusUnknown, "": wire.StatusUnknown, `\u0061ctive_exiting`: "active_exiting",
	} {
		row := validatorRow(3, "active_ongoing", status)
		all := must[[]wire.Validator](t)(readValidators(strings.NewReader(answer([]string{row}))))
		if len(all) != 1 || all[0].Status != want {
			t.Errorf("status %q reads %+v, want %q", status, all, want)
		}
	}
}

func TestNoValidatorsIsNoError(t *testing.T) {
	for _, text := range []string{`{"data":[]}`, `{"data":null}`} {
		if all, err := readValidators(strings.NewReader(text)); err != nil || len(all) != 0 {
			t.Errorf("%s: %v, error %v", text, all, err)
		}
	}
}

func TestMissingIsNeverZero(t *testing.T) {
	for _, field := range []string{
		"index", "balance", "status", "pubkey", "withdrawal_credentials", "effective_balance",
		"slashed", "activation_epoch", "exit_epoch", "withdrawable_epoch", "validator",
	} {
		row := validatorRow(3, `"`+field+`"`, `"other"`)
		if all, err := readValidators(strings.NewReader(answer([]string{validatorRow(2), row}))); err == nil || len(all) != 1 {
			t.Errorf("without %s: %d validators, error %v; want the first one and an error", field, len(all), err)
		}
	}
}

func TestBrokenValidatorsAreRefused(t *testing.T) {
	for name, row := range map[string]string{
		"short key":        validatorRow(3, `"pubkey":"0x00`, `"pubkey":"0x`),
		"key without 0x":   validatorRow(3, `"pubkey":"0x`, `"pubkey":"00`),
		"key of no digits": validatorRow(3, `"pubkey":"0x0`, `"pubkey":"0xg`),
		"odd slashed":      validatorRow(3, "false", "maybe"),
		"quoted slashed":   validatorRow(3, "false", `"false"`),
		"negative balance": validatorRow(3, "32038168630", "-1"),
		"field twice":      validatorRow(3, `"status"`, `"balance":"1","status"`),
		"null record":      `{"index":"0","balance":"1","status":"active_ongoing","validator":null}`,
	} {
		if all, err := readValidators(strings.NewReader(answer([]string{row}))); err == nil {
			t.Errorf("%s: read %+v", name, all)
		}
	}
	text := answer([]string{validatorRow(1), validatorRow(2)})
	for n := range text {
		if _, err := readValidators(strings.NewReader(text[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: error %v, want %v", n, len(text), err, io.ErrUnexpectedEOF)
		}
	}
}

func TestReaderStopsWithItsCaller(t *testing.T) {
	enough := errors.New("enough")
	rows := 0
	err := wire.ReadValidators(strings.NewReader(answer([]string{validatorRow(1), validatorRow(2), validatorRow(3)})), func(wire.Validator) error {
		if rows++; rows == 2 {
			return enough
		}
		return nil
	})
	if !errors.Is(err, enough) || rows != 2 {
		t.Errorf("error %v after %d rows, want %v after 2", err, rows, enough)
	}
}

func TestMemoryDoesNotGrowWithValidators(t *testing.T) {
	allocations := func(rows int) float64 {
		text := answer(strings.Split(strings.Repeat(validatorRow(7)+"\n", rows), "\n")[:rows])
		r := strings.NewReader("")
		return testing.AllocsPerRun(5, func() {
			r.Reset(text)
			if err := wire.ReadValidators(r, func(wire.Validator) error { return nil }); err != nil {
				t.Fatal(err)
			}
		})
	}
	if few, many := allocations(10), allocations(2000); many > few {
		t.Errorf("%v allocations for 10 validators, %v for 2000", few, many)
	}
}

func FuzzReadValidators(f *testing.F) {
	recorded(f, "validators/1*.json", func(_ string, _ *duty.Spec, _ uint64, raw []byte) {
		f.Add(append(raw[:bytes.LastIndex(raw[:2000], []byte(`,{"index"`))], "]}"...))
	})
	f.Add([]byte(answer([]string{validatorRow(1), validatorRow(2, "active_ongoing", "new")})))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := readValidators(bytes.NewReader(raw))
		slow, slowErr := readValidators(iotest.OneByteReader(bytes.NewReader(raw)))
		if fmt.Sprint(err) != fmt.Sprint(slowErr) || len(all) != len(slow) {
			t.Fatalf("read at once: %d, %v; byte by byte: %d, %v", len(all), err, len(slow), slowErr)
		}
		if 300*len(all) > len(raw) { // the key and credentials alone take that much
			t.Fatalf("%d validators from %d bytes", len(all), len(raw))
		}
		for i := range all {
			if all[i] != slow[i] {
				t.Fatalf("row %d: %+v, byte by byte %+v", i, all[i], slow[i])
			}
		}
	})
}
