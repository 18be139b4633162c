package wire_test

import (
	"bytes"
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"reflect"
	"strconv"
	"strings"
	"testing"

	"github.com/attestantio/go-eth2-client/spec/electra"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/test/recordings"
)

// recordedSpecs are the recordings with their specs.
func recordedSpecs() map[string]*duty.Spec {
	return map[string]*duty.Spec{"devnet-electra": mainnet(), "devnet-leak": preset(8, 64, 512)}
}

// recorded calls each for every recorded file of a pattern, with the number that names it.
func recorded(t testing.TB, pattern string, each func(name string, spec *duty.Spec, number uint64, raw []byte)) {
	t.Helper()
	for name, spec := range recordedSpecs() {
		files := must[[]string](t)(fs.Glob(recordings.Files, name+"/"+pattern))
		if len(files) == 0 {
			t.Fatalf("nothing recorded as %s/%s", name, pattern)
		}
		for _, file := range files {
			number := must[uint64](t)(strconv.ParseUint(strings.TrimSuffix(path.Base(file), path.Ext(file)), 10, 64))
			each(file, spec, number, must[[]byte](t)(fs.ReadFile(recordings.Files, file)))
		}
	}
}

// recordedBlocks returns a few recorded blocks.
func recordedBlocks(t testing.TB, most int) (blocks [][]byte) {
	recorded(t, "blocks/1*.ssz", func(_ string, _ *duty.Spec, number uint64, raw []byte) {
		if number%41 == 0 && len(blocks) < most {
			blocks = append(blocks, raw)
		}
	})
	return blocks
}

func TestRecordedBlocksReadAsByTheReferenceLibrary(t *testing.T) {
	recorded(t, "blocks/*.ssz", func(name string, spec *duty.Spec, number uint64, raw []byte) {
		var signed electra.SignedBeaconBlock
		if err := signed.UnmarshalSSZ(raw); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		m := signed.Message
		want := &duty.Block{
			Slot: duty.Slot(m.Slot), Proposer: duty.ValidatorIndex(m.ProposerIndex), ParentRoot: duty.Root(m.ParentRoot),
			SyncBits:          m.Body.SyncAggregate.SyncCommitteeBits,
			ProposerSlashings: len(m.Body.ProposerSlashings), AttesterSlashings: len(m.Body.AttesterSlashings),
		}
		for _, a := range m.Body.Attestations {
			bits := make([]byte, (a.AggregationBits.Len()+7)/8)
			for _, i := range a.AggregationBits.BitIndices() {
				bits[i/8] |= 1 << (i % 8)
			}
			want.Attestations = append(want.Attestations, duty.Attestation{
				Slot: duty.Slot(a.Data.Slot), Index: uint64(a.Data.Index), BeaconBlockRoot: duty.Root(a.Data.BeaconBlockRoot),
				TargetEpoch: duty.Epoch(a.Data.Target.Epoch), TargetRoot: duty.Root(a.Data.Target.Root),
				CommitteeBits: a.CommitteeBits, AggregationBits: bits, AggregationLen: int(a.AggregationBits.Len()),
			})
		}
		got := must[*duty.Block](t)(wire.DecodeBlock(spec, raw))
		if uint64(got.Slot) != number {
			t.Errorf("%s holds slot %d", name, got.Slot)
		}
		if !reflect.DeepEqual(got, want) {
			t.Errorf("%s:\ngot  %+v\nwant %+v", name, got, want)
		}
	})
}

func TestRecordedCommitteesReadAsByEncodingJSON(t *testing.T) {
	var scratch wire.CommitteeScratch
	recorded(t, "committees/*.json", func(name string, spec *duty.Spec, epoch uint64, raw []byte) {
		var want struct {
			Data []struct {
				Index, Slot string
				Validators  []string
			}
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		got := must[*duty.Committees](t)(wire.ReadCommittees(bytes.NewReader(raw), spec, duty.Epoch(epoch), &scratch))
		if uint64(got.Epoch) != epoch || got.PerSlot*int(spec.SlotsPerEpoch) != len(want.Data) || len(got.Offsets) != len(want.Data)+1 {
			t.Fatalf("%s: epoch %d, %d committees a slot, %d offsets; want %d entries", name, got.Epoch, got.PerSlot, len(got.Offsets), len(want.Data))
		}
		members := 0
		for _, c := range want.Data {
			slot := must[uint64](t)(strconv.ParseUint(c.Slot, 10, 64))
			index := must[int](t)(strconv.Atoi(c.Index))
			if texts := decimal(got.Committee(int(slot%spec.SlotsPerEpoch), index)); !reflect.DeepEqual(texts, c.Validators) {
				t.Fatalf("%s: slot %d, committee %d: %v, want %v", name, slot, index, texts, c.Validators)
			}
			members += len(c.Validators)
		}
		if len(got.Members) != members {
			t.Errorf("%s: %d members, want %d", name, len(got.Members), members)
		}
	})
}

func decimal(numbers []uint32) []string {
	texts := make([]string, len(numbers))
	for i, n := range numbers {
		texts[i] = fmt.Sprint(n)
	}
	return texts
}

func TestRecordedValidatorsReadAsByEncodingJSON(t *testing.T) {
	recorded(t, "validators/*.json", func(name string, _ *duty.Spec, _ uint64, raw []byte) {
		var want struct {
			Data []struct {
				Index, Balance, Status string
				Validator              map[string]any
			}
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		i := 0
		err := wire.ReadValidators(bytes.NewReader(raw), func(v wire.Validator) error {
			w := want.Data[i]
			i++
			got := fmt.Sprintln(v.Index, v.Balance, v.Status, fmt.Sprintf("%#x %#x", v.Pubkey[:], v.Credentials[:]),
				v.EffectiveBalance, v.Slashed, v.ActivationEpoch, v.ExitEpoch, v.WithdrawableEpoch)
			expected := fmt.Sprintln(w.Index, w.Balance, w.Status, w.Validator["pubkey"], w.Validator["withdrawal_credentials"],
				w.Validator["effective_balance"], w.Validator["slashed"], w.Validator["activation_epoch"],
				w.Validator["exit_epoch"], w.Validator["withdrawable_epoch"])
			if got != expected {
				t.Errorf("%s:\ngot  %swant %s", name, got, expected)
			}
			return nil
		})
		if err != nil || i != len(want.Data) || i == 0 {
			t.Errorf("%s: %d of %d validators, error %v", name, i, len(want.Data), err)
		}
	})
}

func TestRecordedRewardsReadAsByEncodingJSON(t *testing.T) {
	negative := 0
	recorded(t, "rewards/attestations/*.json", func(name string, _ *duty.Spec, _ uint64, raw []byte) {
		var want struct {
			Data struct {
				Rows []map[string]string `json:"total_rewards"`
			}
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		i := 0
		err := wire.ReadAttestationRewards(bytes.NewReader(raw), func(r wire.AttestationReward) error {
			w := want.Data.Rows[i]
			i++
			got := fmt.Sprint([]any{r.Index, r.Head, r.Target, r.Source, r.Inactivity})
			if expected := fmt.Sprint([]any{w["validator_index"], w["head"], w["target"], w["source"], w["inactivity"]}); got != expected {
				t.Errorf("%s: got %s, want %s", name, got, expected)
			}
			if r.Inactivity < 0 {
				negative++
			}
			return nil
		})
		if err != nil || i != len(want.Data.Rows) || i == 0 {
			t.Errorf("%s: %d of %d rows, error %v", name, i, len(want.Data.Rows), err)
		}
	})
	if negative == 0 {
		t.Error("the recorded leak has no negative inactivity rewards")
	}
	recorded(t, "rewards/sync_committee/*.json", func(name string, _ *duty.Spec, _ uint64, raw []byte) {
		var want struct {
			Data []struct {
				Index  string `json:"validator_index"`
				Reward string
			}
		}
		if err := json.Unmarshal(raw, &want); err != nil {
			t.Fatalf("%s: %v", name, err)
		}
		sum := int64(0)
		for _, row := range want.Data {
			sum += must[int64](t)(strconv.ParseInt(row.Reward, 10, 64))
		}
		got := must[map[duty.ValidatorIndex]int64](t)(wire.SumSyncRewards(bytes.NewReader(raw)))
		for _, reward := range got {
			sum -= reward
		}
		if sum != 0 || len(got) == 0 {
			t.Errorf("%s: %d validators, sum off by %d", name, len(got), -sum)
		}
	})
}
