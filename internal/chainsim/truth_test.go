package chainsim_test

import (
	"bytes"
	"fmt"
	"testing"

	"github.com/attestantio/go-eth2-client/spec/electra"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// everything orders every fault at once, within ten epochs of n slots.
func everything(p chainsim.Preset) []chainsim.Fault {
	slot := func(epoch duty.Epoch, n duty.Slot) duty.Slot { return p.FirstSlot(epoch) + n }
	return []chainsim.Fault{
		chainsim.Offline{Validators: chainsim.Range(0, 5)},
		chainsim.Offline{Validators: chainsim.Range(5, 15), Probability: 0.5},
		chainsim.MissAttestation{Validators: chainsim.Indices(15)},
		chainsim.Late{Validators: chainsim.Range(20, 30), Delay: 2},
		chainsim.Late{Validators: chainsim.Range(30, 40), Delay: 7, Probability: 0.7},
		chainsim.Late{Validators: chainsim.Indices(40), Delay: int(p.SlotsPerEpoch) * 2},
		chainsim.WrongHead{Validators: chainsim.Range(50, 60), Slots: p.Epochs(2, 6)},
		chainsim.WrongTarget{Validators: chainsim.Range(60, 70)},
		chainsim.NoProposal{Validators: chainsim.Every(10, 1)},
		chainsim.SyncMissing{Validators: chainsim.Every(10, 2)},
		chainsim.LateBlock{Slots: chainsim.Slots{From: slot(2, 3), To: slot(2, 4)}},
		chainsim.Reorg{At: slot(2, 5), Until: slot(2, 6)},
		chainsim.Reorg{At: slot(3, 6), Until: slot(4, 1)},
		chainsim.Outage{Slots: chainsim.Slots{From: slot(5, 1), To: slot(5, 5)}},
		chainsim.Outage{Slots: p.Epochs(7, 8)},
		chainsim.ProposerSlashing{Slot: slot(2, 2), Validator: 80},
		chainsim.AttesterSlashing{Slot: slot(3, 2), Validators: []duty.ValidatorIndex{81, 82}},
		chainsim.Activation{Validators: []duty.ValidatorIndex{90}, Epoch: 4},
		chainsim.Exit{Validators: []duty.ValidatorIndex{91}, Epoch: 6},
		chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{92}, Epoch: 3, Increments: 2048},
		chainsim.Deposit{Count: 3, Epoch: 2, Activation: 5},
	}
}

// vote is an attestation of a decoded block, whoever decoded it.
type vote struct {
	slot, includedAt duty.Slot
	head, target     duty.Root
	committees       []int
	has              func(bit int) bool
}

func votesOfLibrary(t *testing.T, ssz []byte) (parent duty.Root, slot duty.Slot, votes []vote) {
	block := &electra.SignedBeaconBlock{}
	if err := block.UnmarshalSSZ(ssz); err != nil {
		t.Fatal(err)
	}
	m := block.Message
	for _, a := range m.Body.Attestations {
		votes = append(votes, vote{
			duty.Slot(a.Data.Slot), duty.Slot(m.Slot), duty.Root(a.Data.BeaconBlockRoot), duty.Root(a.Data.Target.Root),
			a.CommitteeBits.BitIndices(), func(i int) bool { return a.AggregationBits.BitAt(uint64(i)) },
		})
	}
	return duty.Root(m.ParentRoot), duty.Slot(m.Slot), votes
}

func votesOfWire(t *testing.T, spec *duty.Spec, ssz []byte) (parent duty.Root, slot duty.Slot, votes []vote) {
	block, err := wire.DecodeBlock(spec, ssz)
	if err != nil {
		t.Fatal(err)
	}
	for _, a := range block.Attestations {
		var committees []int
		for i := range len(a.CommitteeBits) * 8 {
			if a.CommitteeBits[i/8]>>(i%8)&1 == 1 {
				committees = append(committees, i)
			}
		}
		votes = append(votes, vote{
			a.Slot, block.Slot, a.BeaconBlockRoot, a.TargetRoot,
			committees, func(i int) bool { return a.AggregationBits[i/8]>>(i%8)&1 == 1 },
		})
	}
	return block.ParentRoot, block.Slot, votes
}

// recount works duties out of what the API serves, along the parents of the head.
type recount struct {
	spec   *duty.Spec
	roots  map[duty.Slot]duty.Root
	blocks map[duty.Slot][]vote
}

func recountFrom(t *testing.T, chain *chainsim.Chain, root duty.Root) *recount {
	c := &recount{chain.Spec(), map[duty.Slot]duty.Root{}, map[duty.Slot][]vote{}}
	r := reader{t, chain.Handler()}
	for {
		ssz := r.get(fmt.Sprintf("/eth/v2/beacon/blocks/%#x", root))
		parent, slot, votes := votesOfWire(t, c.spec, ssz)
		if c.spec.MaxCommitteesPerSlot == 64 { // the library's types are those of mainnet
			parent, slot, votes = votesOfLibrary(t, ssz)
		}
		c.roots[slot], c.blocks[slot] = root, votes
		if slot == 0 {
			return c
		}
		root = parent
	}
}

func (c *recount) rootAt(slot duty.Slot) duty.Root {
	for {
		if root, ok := c.roots[slot]; ok {
			return root
		}
		slot--
	}
}

func (c *recount) epoch(t *testing.T, chain *chainsim.Chain, epoch duty.Epoch) map[duty.ValidatorIndex]chainsim.Attestation {
	body := reader{t, chain.Handler()}.get(fmt.Sprintf("/eth/v1/beacon/states/head/committees?epoch=%d", epoch))
	committees, err := wire.ReadCommittees(bytes.NewReader(body), c.spec, epoch, nil)
	if err != nil {
		t.Fatal(err)
	}
	duties := map[duty.ValidatorIndex]chainsim.Attestation{}
	for n := range int(c.spec.SlotsPerEpoch) {
		for _, v := range committees.SlotMembers(n) {
			duties[duty.ValidatorIndex(v)] = chainsim.Attestation{
				Validator: duty.ValidatorIndex(v), Slot: c.spec.FirstSlot(epoch) + duty.Slot(n),
			}
		}
	}
	for slot := c.spec.FirstSlot(epoch); slot <= c.spec.LastSlot(epoch+1); slot++ {
		for _, a := range c.blocks[slot] {
			if c.spec.EpochOf(a.slot) != epoch {
				continue
			}
			bit := 0
			for _, i := range a.committees {
				for _, v := range committees.Committee(int(a.slot-c.spec.FirstSlot(epoch)), i) {
					if d := duties[duty.ValidatorIndex(v)]; a.has(bit) {
						delay := uint64(a.includedAt - a.slot)
						if !d.Included || delay < d.Delay {
							d.Included, d.Delay = true, delay
						}
						target := a.target == c.rootAt(c.spec.FirstSlot(epoch))
						d.Source = d.Source || delay <= isqrt(c.spec.SlotsPerEpoch)
						d.Target = d.Target || target
						d.Head = d.Head || target && delay == 1 && a.head == c.rootAt(a.slot)
						duties[d.Validator] = d
					}
					bit++
				}
			}
		}
	}
	return duties
}

func isqrt(n uint64) uint64 {
	root := uint64(0)
	for (root+1)*(root+1) <= n {
		root++
	}
	return root
}

func TestTruthAgreesWithARecountOfTheBlocks(t *testing.T) {
	for _, preset := range []chainsim.Preset{chainsim.Short(), chainsim.Mainnet(), chainsim.Gnosis(), chainsim.Minimal()} {
		for _, full := range []bool{false, true} {
			t.Run(fmt.Sprintf("%s-%d-full=%t", preset.Name, preset.SlotsPerEpoch, full), func(t *testing.T) {
				noise := chainsim.RealisticNoise()
				noise.EmptySlot = 0.1
				chain := build(t, chainsim.Config{
					Preset: preset, Validators: 400, Seed: 11, Noise: noise, Faults: everything(preset), FullAggregates: full,
				}, 11)
				truth := chain.Truth()
				_, head := truth.Head()
				count := recountFrom(t, chain, head)
				seen := map[string]int{}
				for epoch := range duty.Epoch(10) {
					counted := count.epoch(t, chain, epoch)
					duties := truth.Attestations(epoch)
					if len(duties) != len(counted) || len(duties) < 390 {
						t.Fatalf("epoch %d: %d duties, %d in committees", epoch, len(duties), len(counted))
					}
					for _, want := range duties {
						got := counted[want.Validator]
						got.Intent = want.Intent
						if got != want {
							t.Fatalf("epoch %d: blocks say\n%+v, truth is\n%+v", epoch, got, want)
						}
						note(seen, want)
					}
					for _, p := range truth.Proposals(epoch) {
						if root, ok := count.roots[p.Slot]; ok != p.Made || root != p.Root {
							t.Fatalf("slot %d: block %t %x, truth %+v", p.Slot, ok, root, p)
						}
					}
				}
				// The comparison proves nothing about what never happens.
				for _, what := range []string{
					"timely earned", "timely lost head", "timely lost target", "timely lost source", "silent lost source",
					"delayed lost head", "delayed lost source", "wrong head lost head", "wrong target lost target", "not included",
				} {
					if seen[what] == 0 {
						t.Errorf("no case of %q among %v", what, seen)
					}
				}
			})
		}
	}
}

func note(seen map[string]int, a chainsim.Attestation) {
	for vote, earned := range map[string]bool{"source": a.Source, "target": a.Target, "head": a.Head} {
		if !earned {
			seen[a.Intent.String()+" lost "+vote]++
		}
	}
	if a.Source && a.Target && a.Head {
		seen[a.Intent.String()+" earned"]++
	}
	if !a.Included {
		seen["not included"]++
	}
}

func TestRewardsAgreeWithTruth(t *testing.T) {
	chain := build(t, chainsim.Config{Preset: chainsim.Short(), Validators: 300, Seed: 3, Faults: []chainsim.Fault{
		chainsim.Offline{Validators: chainsim.Range(0, 30), Probability: 0.5},
		chainsim.ProposerSlashing{Slot: 20, Validator: 50},
	}}, 8)
	truth := chain.Truth()
	r := reader{t, chain.Handler()}
	for epoch := range duty.Epoch(7) {
		rewards := map[duty.ValidatorIndex]wire.AttestationReward{}
		body := r.do("POST", fmt.Sprintf("/eth/v1/beacon/rewards/attestations/%d", epoch), "[]").Body
		if err := wire.ReadAttestationRewards(body, func(row wire.AttestationReward) error {
			rewards[row.Index] = row
			return nil
		}); err != nil {
			t.Fatal(err)
		}
		for _, a := range truth.Attestations(epoch) {
			row, ok := rewards[a.Validator]
			slashed := a.Validator == 50 && epoch >= 1 // in block 20, before epoch 1 was paid
			if !ok || row.Source > 0 != (a.Source && !slashed) || row.Target > 0 != (a.Target && !slashed) ||
				row.Head > 0 != (a.Head && !slashed) || row.Source == 0 || row.Target == 0 || row.Head < 0 {
				t.Fatalf("epoch %d: rewards %+v, truth %+v", epoch, row, a)
			}
		}
	}
	for slot := duty.Slot(1); slot < 60; slot++ {
		seats := truth.Sync(slot)
		rec := r.do("POST", fmt.Sprintf("/eth/v1/beacon/rewards/sync_committee/%d", slot), "[]")
		if seats == nil {
			if rec.Code != 404 {
				t.Fatalf("slot %d is empty: got %d", slot, rec.Code)
			}
			continue
		}
		want := map[duty.ValidatorIndex]int64{}
		for _, seat := range seats {
			want[seat.Validator]--
			if seat.Included {
				want[seat.Validator] += 2
			}
		}
		got, err := wire.SumSyncRewards(rec.Body)
		if err != nil {
			t.Fatal(err)
		}
		if len(got) != len(want) {
			t.Fatalf("slot %d: %d rows, want %d", slot, len(got), len(want))
		}
		var unit int64
		for v, seats := range want {
			if seats != 0 {
				unit = got[v] / seats
			}
		}
		for v, seats := range want {
			if unit <= 0 || got[v] != seats*unit {
				t.Fatalf("slot %d, validator %d: %d gwei for %d seats of %d", slot, v, got[v], seats, unit)
			}
		}
	}
}
