package duty

import (
	"encoding/json"
	"os"
	"testing"
)

// flagCase is one case of testdata/flags.json, which was made by running the
// specification's own get_attestation_participation_flag_indices.
type flagCase struct {
	SlotsPerEpoch  uint64 `json:"slots_per_epoch"`
	Delay          uint64 `json:"inclusion_delay"`
	TargetMatches  bool   `json:"target_root_matches"`
	HeadMatches    bool   `json:"head_root_matches"`
	SameSlot       bool   `json:"same_slot"`
	Index          uint64 `json:"data_index"`
	Available      int    `json:"parent_payload_available"`
	SlotHasBlock   bool   `json:"attested_slot_has_block"`
	Flags          []Vote `json:"flags"`
	gloasFromEpoch Epoch
}

func flagCases(t *testing.T) (cases []flagCase) {
	t.Helper()
	raw, err := os.ReadFile("testdata/flags.json")
	if err != nil {
		t.Fatal(err)
	}
	var file struct {
		Flags []flagCase `json:"flags"`
		Gloas []flagCase `json:"gloas_flags"`
	}
	if err := json.Unmarshal(raw, &file); err != nil {
		t.Fatal(err)
	}
	if len(file.Flags) < 100 || len(file.Gloas) < 100 {
		t.Fatalf("%d and %d cases, want hundreds", len(file.Flags), len(file.Gloas))
	}
	for _, c := range file.Flags {
		c.SlotHasBlock, c.gloasFromEpoch = true, FarFutureEpoch
		cases = append(cases, c)
	}
	return append(cases, file.Gloas...)
}

// Each case of the specification goes through a whole tally: committees, a block
// with one attestation of one validator, and the chain it is judged against.
func TestAttestationsEarnTheSpecificationsFlags(t *testing.T) {
	for i, c := range flagCases(t) {
		spec := preset(c.SlotsPerEpoch, 64, 512)
		spec.GloasForkEpoch = c.gloasFromEpoch
		const epoch = 5
		slot := spec.FirstSlot(epoch) + 1

		var empty []Slot
		if !c.SlotHasBlock {
			empty = append(empty, slot)
		}
		chain := chainTo(spec.FirstSlot(epoch+3), empty...)
		chain.full[slot-1] = c.Available == 1
		chain.full[slot] = c.Available == 1

		committees := committeesOf(epoch, 1, make([][]uint32, spec.SlotsPerEpoch)...)
		for n := range committees.Offsets {
			if n >= 2 {
				committees.Offsets[n] = 1
			}
		}
		committees.Members = []uint32{7}

		a := vote(spec, chain, committees, slot, []int{0}, func(ValidatorIndex) bool { return true })
		a.Index = c.Index
		if !c.HeadMatches {
			a.BeaconBlockRoot = orphan
		}
		if !c.TargetMatches {
			a.TargetRoot = orphan
		}
		tally := mustTally(t, spec, committees, NewWatchSet([]ValidatorIndex{7}))
		mustAdd(t, tally, chain, &Block{Slot: slot + Slot(c.Delay), Attestations: []Attestation{a}})
		got := tally.Outcome(OutcomeInput{Chain: chain}).Validators[0]

		want := ValidatorEpoch{Duty: true, Included: true, Delay: uint8(c.Delay)}
		earned := map[Vote]bool{}
		for _, v := range c.Flags {
			earned[v] = true
		}
		if !earned[Source] {
			want.Lost[Source] = Late
		}
		if !earned[Target] {
			want.Lost[Target] = Wrong
		}
		if !earned[Head] {
			payload := c.gloasFromEpoch > 0 || c.SameSlot || c.Index == uint64(c.Available)
			if want.Lost[Head] = Wrong; c.TargetMatches && c.HeadMatches && payload {
				want.Lost[Head] = Late
			}
		}
		if got != want {
			t.Errorf("case %d %+v: got %+v, want %+v", i, c, got, want)
		}
	}
}

func TestFlagsNeedNoTally(t *testing.T) {
	for i, c := range flagCases(t) {
		if c.gloasFromEpoch == 0 {
			continue
		}
		source, target, head := Flags(FlagInput{
			SlotsPerEpoch: c.SlotsPerEpoch, Delay: c.Delay,
			TargetMatches: c.TargetMatches, HeadMatches: c.HeadMatches, PayloadMatches: true,
		})
		var got []Vote
		for vote, earned := range []bool{source, target, head} {
			if earned {
				got = append(got, Vote(vote))
			}
		}
		if len(got) != len(c.Flags) {
			t.Fatalf("case %d %+v: got %v", i, c, got)
		}
		for j := range got {
			if got[j] != c.Flags[j] {
				t.Errorf("case %d %+v: got %v", i, c, got)
			}
		}
	}
}

func TestTimelySourceIsTheSquareRootOfAnEpoch(t *testing.T) {
	for slots, want := range map[uint64]uint64{1: 1, 3: 1, 8: 2, 9: 3, 16: 4, 32: 5, 35: 5, 36: 6, 128: 11} {
		if got := timelySourceSlots(slots); got != want {
			t.Errorf("%d slots: got %d, want %d", slots, got, want)
		}
	}
}
