package chainsim_test

import (
	"fmt"
	"slices"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// quiet is a chain on which nothing happens but what is ordered.
func quiet(faults ...chainsim.Fault) chainsim.Config {
	return chainsim.Config{Preset: chainsim.Short(), Validators: 300, Seed: 5, Noise: &chainsim.Noise{}, Faults: faults}
}

func TestQuietChainIsPerfect(t *testing.T) {
	truth := build(t, quiet(), 5).Truth()
	for epoch := range duty.Epoch(4) {
		for _, a := range truth.Attestations(epoch) {
			if !a.Included || a.Delay != 1 || !a.Source || !a.Target || !a.Head || a.Intent != chainsim.Timely {
				t.Fatalf("%+v", a)
			}
		}
		for _, p := range truth.Proposals(epoch) {
			if !p.Made {
				t.Fatalf("%+v", p)
			}
		}
	}
}

func TestVoteFaults(t *testing.T) {
	one := chainsim.Indices(9)
	tests := map[string]struct {
		fault chainsim.Fault
		want  chainsim.Attestation
	}{
		"offline":           {chainsim.Offline{Validators: one}, chainsim.Attestation{Intent: chainsim.Silent}},
		"misses":            {chainsim.MissAttestation{Validators: one}, chainsim.Attestation{Intent: chainsim.Silent}},
		"late for the head": {chainsim.Late{Validators: one, Delay: 2}, chainsim.Attestation{Intent: chainsim.Delayed, Included: true, Delay: 2, Source: true, Target: true}},
		"late for source":   {chainsim.Late{Validators: one, Delay: 3}, chainsim.Attestation{Intent: chainsim.Delayed, Included: true, Delay: 3, Target: true}},
		"too late":          {chainsim.Late{Validators: one, Delay: 16}, chainsim.Attestation{Intent: chainsim.Delayed}},
		"wrong head":        {chainsim.WrongHead{Validators: one}, chainsim.Attestation{Intent: chainsim.ForWrongHead, Included: true, Delay: 1, Source: true, Target: true}},
		"wrong target":      {chainsim.WrongTarget{Validators: one}, chainsim.Attestation{Intent: chainsim.ForWrongTarget, Included: true, Delay: 1, Source: true}},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			truth := build(t, quiet(test.fault), 5).Truth()
			for epoch := range duty.Epoch(4) {
				for _, a := range truth.Attestations(epoch) {
					want := chainsim.Attestation{Included: true, Delay: 1, Source: true, Target: true, Head: true}
					if a.Validator == 9 {
						want = test.want
					}
					want.Validator, want.Slot = a.Validator, a.Slot
					if a != want {
						t.Fatalf("%+v, want %+v", a, want)
					}
				}
			}
		})
	}
}

func TestOutageLosesTheVotesThatNoBlockCouldCarry(t *testing.T) {
	truth := build(t, quiet(chainsim.Outage{Slots: chainsim.Slots{From: 17, To: 22}}), 4).Truth()
	lost := map[duty.Slot][3]bool{} // by slot: is source, target, head lost?
	for _, a := range truth.Attestations(2) {
		lost[a.Slot] = [3]bool{!a.Source, !a.Target, !a.Head}
	}
	for slot := duty.Slot(16); slot < 24; slot++ {
		_, ok := truth.Canonical(slot)
		if ok != (slot < 17 || slot >= 22) {
			t.Errorf("slot %d: block %t", slot, ok)
		}
		// Block 22 carries all: slots 20 and 21 with source, 21 alone with the head.
		want := [3]bool{slot >= 16 && slot < 20, false, slot >= 16 && slot < 21}
		if lost[slot] != want {
			t.Errorf("slot %d: source, target, head lost %v, want %v", slot, lost[slot], want)
		}
	}
}

func TestLateBlockCostsItsSlotTheHead(t *testing.T) {
	truth := build(t, quiet(chainsim.LateBlock{Slots: chainsim.Slots{From: 19, To: 20}}), 4).Truth()
	for _, a := range truth.Attestations(2) {
		if !a.Included || !a.Target || a.Head != (a.Slot != 19) {
			t.Fatalf("%+v", a)
		}
	}
}

func TestReorgChangesTheCanonicalView(t *testing.T) {
	for depth := duty.Slot(1); depth <= 3; depth++ {
		t.Run(fmt.Sprint(depth), func(t *testing.T) {
			chain, err := chainsim.New(quiet(chainsim.Reorg{At: 20, Until: 20 + depth}))
			if err != nil {
				t.Fatal(err)
			}
			r := reader{t, chain.Handler()}
			type header struct {
				Root      string
				Canonical bool
				Header    struct {
					Message struct {
						Slot   duty.Slot `json:",string"`
						Parent string    `json:"parent_root"`
					}
				}
			}
			var base header
			chain.AdvanceTo(19)
			r.data("GET", "/eth/v1/beacon/headers/head", "", &base)
			var orphans []header
			for slot := duty.Slot(20); slot < 20+depth; slot++ {
				chain.AdvanceTo(slot)
				var h header
				r.data("GET", "/eth/v1/beacon/headers/head", "", &h)
				if h.Header.Message.Slot != slot || !h.Canonical {
					t.Fatalf("head before the reorg: %+v", h)
				}
				orphans = append(orphans, h)
			}

			chain.AdvanceTo(20 + depth)
			var head header
			r.data("GET", "/eth/v1/beacon/headers/head", "", &head)
			if head.Header.Message.Parent != base.Root {
				t.Errorf("head after the reorg does not build on slot 19: %+v", head)
			}
			for i, o := range orphans {
				var h header
				r.data("GET", "/eth/v1/beacon/headers/"+o.Root, "", &h)
				if h.Canonical {
					t.Errorf("slot %d is still canonical", o.Header.Message.Slot)
				}
				if code := r.do("GET", fmt.Sprintf("/eth/v2/beacon/blocks/%d", o.Header.Message.Slot), "").Code; code != 404 {
					t.Errorf("block of orphaned slot: %d", code)
				}
				r.block(o.Root) // by root it is still there
				got := chain.Truth().Orphans()
				if len(got) != len(orphans) || fmt.Sprintf("%#x", got[len(got)-1-i].Root) != o.Root || got[i].OrphanedAt != 20+depth {
					t.Errorf("orphans: %+v", got)
				}
			}

			chain.AdvanceTo(40)
			for _, a := range chain.Truth().Attestations(2) {
				if wantHead := a.Slot < 19 || a.Slot >= 20+depth; a.Head != wantHead && a.Slot != 19 {
					t.Errorf("%+v", a)
				}
				if !a.Included || !a.Target {
					t.Errorf("lost votes that could be included again: %+v", a)
				}
			}
		})
	}
}

type record struct {
	Index     duty.ValidatorIndex `json:",string"`
	Status    string
	Validator struct {
		Pubkey      string
		Credentials string    `json:"withdrawal_credentials"`
		Effective   duty.Gwei `json:"effective_balance,string"`
		Slashed     bool
		Activation  duty.Epoch `json:"activation_epoch,string"`
		Exit        duty.Epoch `json:"exit_epoch,string"`
	}
}

func TestLifeOfValidatorsIsVisible(t *testing.T) {
	cfg := quiet(
		chainsim.ProposerSlashing{Slot: 26, Validator: 1},
		chainsim.AttesterSlashing{Slot: 26, Validators: []duty.ValidatorIndex{2, 3}},
		chainsim.Activation{Validators: []duty.ValidatorIndex{4}, Epoch: 10},
		chainsim.Exit{Validators: []duty.ValidatorIndex{5}, Epoch: 10},
		chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{6}, Epoch: 4, Increments: 2048},
		chainsim.Deposit{Count: 2, Epoch: 4, Activation: 11},
	)
	chain := build(t, cfg, 13)
	r := reader{t, chain.Handler()}
	at := func(epoch int, id string) []record {
		var records []record
		r.data("GET", fmt.Sprintf("/eth/v1/beacon/states/%d/validators?id=%s", epoch*8, id), "", &records)
		return records
	}
	for _, want := range []struct {
		validator string
		epoch     int
		status    string
		slashed   bool
	}{
		{"0", 12, "active_ongoing", false},
		{"1", 3, "active_ongoing", false},
		{"1", 4, "active_slashed", true},
		{"1", 8, "exited_slashed", true},
		{"2", 4, "active_slashed", true},
		{"3", 13, "exited_slashed", true},
		{"4", 1, "pending_initialized", false},
		{"4", 3, "pending_queued", false},
		{"4", 10, "active_ongoing", false},
		{"5", 4, "active_ongoing", false},
		{"5", 5, "active_exiting", false},
		{"5", 10, "exited_unslashed", false},
		{"300", 4, "pending_queued", false},
		{"301", 11, "active_ongoing", false},
	} {
		got := at(want.epoch, want.validator)
		if len(got) != 1 || got[0].Status != want.status || got[0].Validator.Slashed != want.slashed {
			t.Errorf("validator %s in epoch %d: %+v, want %s", want.validator, want.epoch, got, want.status)
		}
	}
	key := fmt.Sprintf("%#x", chain.Pubkey(300))
	if got := at(3, key); len(got) != 0 {
		t.Errorf("known before its deposit: %+v", got)
	}
	if got := at(4, key); len(got) != 1 || got[0].Index != 300 || got[0].Validator.Pubkey != key {
		t.Errorf("not found by its key: %+v", got)
	}
	if before, after := at(3, "6")[0], at(4, "6")[0]; before.Validator.Effective == after.Validator.Effective ||
		after.Validator.Effective != 2048e9 || after.Validator.Credentials[:4] != "0x02" {
		t.Errorf("effective balance: %+v then %+v", before, after)
	}

	truth := chain.Truth()
	if proposer, attester := truth.Slashings(3); proposer != 1 || attester != 1 {
		t.Errorf("slashings in epoch 3: %d, %d", proposer, attester)
	}
	body := r.block(26).Message.Body
	if len(body.ProposerSlashings) != 1 || body.ProposerSlashings[0].SignedHeader1.Message.ProposerIndex != 1 ||
		len(body.AttesterSlashings) != 1 || !slices.Equal(body.AttesterSlashings[0].Attestation2.AttestingIndices, []uint64{2, 3}) {
		t.Errorf("slashings in block 26: %v %v", body.ProposerSlashings, body.AttesterSlashings)
	}
	if got := truth.Slashed(); !slices.Equal(got, []duty.ValidatorIndex{1, 2, 3}) {
		t.Errorf("slashed: %v", got)
	}

	// Who is active has a duty, and nobody else.
	for epoch, want := range map[duty.Epoch][]duty.ValidatorIndex{
		2:  {1, 2, 3, 5},
		9:  {5},
		12: {4, 300, 301},
	} {
		var got []duty.ValidatorIndex
		for _, a := range truth.Attestations(epoch) {
			if slices.Contains([]duty.ValidatorIndex{1, 2, 3, 4, 5, 300, 301}, a.Validator) {
				got = append(got, a.Validator)
			}
		}
		slices.Sort(got)
		if !slices.Equal(got, want) {
			t.Errorf("duties in epoch %d: %v, want %v", epoch, got, want)
		}
	}
}

func TestOfflineAlsoMissesProposalsAndSyncSeats(t *testing.T) {
	truth := build(t, quiet(chainsim.Offline{Validators: chainsim.Every(4, 0)}), 6).Truth()
	var missedProposals, missedSeats int
	for epoch := range duty.Epoch(6) {
		for _, p := range truth.Proposals(epoch) {
			if p.Slot > 0 && p.Made == (p.Proposer%4 == 0) {
				t.Fatalf("%+v", p)
			}
			if !p.Made {
				missedProposals++
				continue
			}
			for _, seat := range truth.Sync(p.Slot) {
				if p.Slot > 0 && seat.Included == (seat.Validator%4 == 0) {
					t.Fatalf("slot %d: %+v", p.Slot, seat)
				}
				if !seat.Included {
					missedSeats++
				}
			}
		}
	}
	if missedProposals == 0 || missedSeats == 0 {
		t.Errorf("missed %d proposals, %d seats", missedProposals, missedSeats)
	}
}

func TestFinalityStallsWithoutTwoThirdsAndRecovers(t *testing.T) {
	preset := chainsim.Short()
	chain := build(t, quiet(chainsim.Offline{Validators: chainsim.Every(5, 0), Slots: preset.Epochs(6, 16)},
		chainsim.Offline{Validators: chainsim.Every(5, 1), Slots: preset.Epochs(6, 16)}), 22)
	truth, r := chain.Truth(), reader{t, chain.Handler()}
	for epoch, want := range map[duty.Epoch][2]duty.Epoch{
		3: {2, 0}, 4: {3, 2}, 6: {5, 4}, 7: {5, 4}, 12: {5, 4}, 16: {5, 4}, 17: {16, 4}, 18: {17, 16}, 20: {19, 18},
	} {
		if justified, finalized := truth.Finality(epoch); justified != want[0] || finalized != want[1] {
			t.Errorf("epoch %d: justified %d, finalized %d, want %v", epoch, justified, finalized, want)
		}
		var served struct {
			Justified struct {
				Epoch duty.Epoch `json:",string"`
			} `json:"current_justified"`
			Finalized struct {
				Epoch duty.Epoch `json:",string"`
			}
		}
		r.data("GET", fmt.Sprintf("/eth/v1/beacon/states/%d/finality_checkpoints", epoch*8), "", &served)
		if served.Justified.Epoch != want[0] || served.Finalized.Epoch != want[1] {
			t.Errorf("epoch %d: served %+v, want %v", epoch, served, want)
		}
	}

	// In the leak a right vote earns nothing, a missed one costs.
	var rewards struct {
		Total []struct {
			Validator                        duty.ValidatorIndex `json:"validator_index,string"`
			Head, Target, Source, Inactivity int64               `json:",string"`
		} `json:"total_rewards"`
	}
	r.data("POST", "/eth/v1/beacon/rewards/attestations/12", `["0","2"]`, &rewards)
	if len(rewards.Total) != 2 {
		t.Fatalf("%+v", rewards)
	}
	if off, on := rewards.Total[0], rewards.Total[1]; off.Source >= 0 || off.Target >= 0 || off.Head != 0 || off.Inactivity >= 0 ||
		on.Source != 0 || on.Target != 0 || on.Head != 0 || on.Inactivity != 0 {
		t.Errorf("leak rewards: %+v", rewards)
	}
}
