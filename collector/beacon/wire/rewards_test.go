package wire_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"maps"
	"math"
	"slices"
	"strings"
	"testing"
	"testing/iotest"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

func readRewards(r io.Reader) (all []wire.AttestationReward, err error) {
	err = wire.ReadAttestationRewards(r, func(row wire.AttestationReward) error {
		all = append(all, row)
		return nil
	})
	return all, err
}

// rewards is an answer with these rows.
func rewards(rows ...string) string {
	return `{"execution_optimistic":false,"finalized":true,"data":{"ideal_rewards":[{"effective_balance":"32000000000","head":"1",` +
		`"target":"2","source":"3","inclusion_delay":null,"inactivity":"0"}],"total_rewards":[` + strings.Join(rows, ",") + `]}}`
}

func TestNegativeInactivityIsRead(t *testing.T) {
	text := rewards(
		`{"validator_index":"7","head":"0","target":"-508701","source":"-273916","inactivity":"-4768"}`,
		`{"validator_index":"8","head":"205437","target":"508701","source":"273916","inactivity":"0"}`,
	)
	all := must[[]wire.AttestationReward](t)(readRewards(strings.NewReader(text)))
	want := []wire.AttestationReward{
		{Index: 7, Target: -508701, Source: -273916, Inactivity: -4768},
		{Index: 8, Head: 205437, Target: 508701, Source: 273916},
	}
	if !slices.Equal(all, want) {
		t.Errorf("got %+v, want %+v", all, want)
	}
}

func TestRewardsOfEveryNodeAreRead(t *testing.T) {
	for name, fields := range map[string]string{
		"inclusion delay absent": `"inactivity":"-1"`,
		"inclusion delay null":   `"inclusion_delay":null,"inactivity":"-1"`,
		"inclusion delay 0":      `"inclusion_delay":"0","inactivity":"-1"`,
		"bare number":            `"inactivity":-1`,
	} {
		text := rewards(`{"validator_index":"7","head":"1","target":"2","source":"3",` + fields + `}`)
		all := must[[]wire.AttestationReward](t)(readRewards(strings.NewReader(text)))
		if want := (wire.AttestationReward{Index: 7, Head: 1, Target: 2, Source: 3, Inactivity: -1}); len(all) != 1 || all[0] != want {
			t.Errorf("%s: got %+v, want %+v", name, all, want)
		}
	}
	// Total rewards first, and no ideal rewards.
	text := `{"data":{"total_rewards":[{"validator_index":7,"head":-9223372036854775808,"target":9223372036854775807,"source":-0,"inactivity":0}]}}`
	all := must[[]wire.AttestationReward](t)(readRewards(strings.NewReader(text)))
	if want := (wire.AttestationReward{Index: 7, Head: math.MinInt64, Target: math.MaxInt64}); len(all) != 1 || all[0] != want {
		t.Errorf("got %+v, want %+v", all, want)
	}
}

func TestBrokenRewardsAreRefused(t *testing.T) {
	for name, text := range map[string]string{
		"missing field":   rewards(`{"validator_index":"7","head":"1","target":"2","source":"3"}`),
		"fraction":        rewards(`{"validator_index":"7","head":"12.0","target":"2","source":"3","inactivity":"0"}`),
		"bare fraction":   rewards(`{"validator_index":"7","head":12.0,"target":"2","source":"3","inactivity":"0"}`),
		"exponent":        rewards(`{"validator_index":"7","head":1E2,"target":"2","source":"3","inactivity":"0"}`),
		"negative index":  rewards(`{"validator_index":"-7","head":"1","target":"2","source":"3","inactivity":"0"}`),
		"too small":       rewards(`{"validator_index":"7","head":"-9223372036854775809","target":"2","source":"3","inactivity":"0"}`),
		"too large":       rewards(`{"validator_index":"7","head":"9223372036854775808","target":"2","source":"3","inactivity":"0"}`),
		"plus":            rewards(`{"validator_index":"7","head":"+1","target":"2","source":"3","inactivity":"0"}`),
		"empty number":    rewards(`{"validator_index":"7","head":"","target":"2","source":"3","inactivity":"0"}`),
		"no totals":       `{"data":{"ideal_rewards":[]}}`,
		"data of a kind":  `{"data":[]}`,
		"error of a node": `{"code":404,"message":"not available"}`,
	} {
		if all, err := readRewards(strings.NewReader(text)); err == nil {
			t.Errorf("%s: read %+v", name, all)
		}
	}
	text := rewards(`{"validator_index":"7","head":"1","target":"2","source":"3","inactivity":"0"}`)
	for n := range text {
		if _, err := readRewards(strings.NewReader(text[:n])); !errors.Is(err, io.ErrUnexpectedEOF) {
			t.Fatalf("%d of %d bytes: error %v, want %v", n, len(text), err, io.ErrUnexpectedEOF)
		}
	}
}

func TestDuplicateSyncRowsAreSummed(t *testing.T) {
	text := `{"data":[{"validator_index":"5","reward":"174"},{"validator_index":"6","reward":"-174"},{"validator_index":"5","reward":"174"}]}`
	got := must[map[duty.ValidatorIndex]int64](t)(wire.SumSyncRewards(strings.NewReader(text)))
	if want := map[duty.ValidatorIndex]int64{5: 348, 6: -174}; !maps.Equal(got, want) {
		t.Errorf("got %v, want %v", got, want)
	}
	if got, err := wire.SumSyncRewards(strings.NewReader(`{"data":[{"validator_index":"5"}]}`)); err == nil {
		t.Errorf("a row without reward reads %v", got)
	}
}

func FuzzReadAttestationRewards(f *testing.F) {
	recorded(f, "rewards/attestations/*4.json", func(_ string, _ *duty.Spec, _ uint64, raw []byte) { f.Add(raw) })
	f.Add([]byte(rewards(`{"validator_index":"7","head":"1","target":"-2","source":3,"inclusion_delay":null,"inactivity":"-4768"}`)))
	f.Fuzz(func(t *testing.T, raw []byte) {
		all, err := readRewards(bytes.NewReader(raw))
		slow, slowErr := readRewards(iotest.OneByteReader(bytes.NewReader(raw)))
		if fmt.Sprint(err) != fmt.Sprint(slowErr) || !slices.Equal(all, slow) {
			t.Fatalf("read at once: %v, %v; byte by byte: %v, %v", all, err, slow, slowErr)
		}
		if 60*len(all) > len(raw) {
			t.Fatalf("%d rows from %d bytes", len(all), len(raw))
		}
	})
}
