package duty

import (
	"slices"
	"testing"
)

// game is one epoch in which everybody does the right thing in time, unless told
// otherwise; the tests spell out what that must lead to.
type game struct {
	spec       *Spec
	epoch      Epoch
	committees *Committees
	empty      []Slot // slots without a canonical block
	// ways has what validators do differently.
	ways map[ValidatorIndex]way
}

type way struct {
	absent bool
	// delay is the inclusion delay; 0 means as early as there is a block.
	delay  Slot
	change func(*Attestation)
}

func (g *game) slot(n int) Slot { return g.spec.FirstSlot(g.epoch) + Slot(n) }

func (g *game) behave(w way, validators ...ValidatorIndex) {
	if g.ways == nil {
		g.ways = map[ValidatorIndex]way{}
	}
	for _, v := range validators {
		g.ways[v] = w
	}
}

// play makes the chain and the blocks, and tallies them.
func (g *game) play(t *testing.T, watch *WatchSet) (*Tally, *testChain) {
	t.Helper()
	chain := chainTo(SettlesAt(g.spec, g.epoch), g.empty...)
	blocks := map[Slot]*Block{}
	include := func(at Slot, a Attestation) {
		carrier, ok := chain.FirstBlockFrom(at)
		if !ok || carrier > g.spec.LastSlot(g.epoch+1) {
			return
		}
		if blocks[carrier] == nil {
			blocks[carrier] = &Block{Slot: carrier}
		}
		blocks[carrier].Attestations = append(blocks[carrier].Attestations, a)
	}
	for n := range int(g.spec.SlotsPerEpoch) {
		chosen := all(g.committees.PerSlot)
		include(g.slot(n)+1, vote(g.spec, chain, g.committees, g.slot(n), chosen,
			func(v ValidatorIndex) bool { _, different := g.ways[v]; return !different }))
		for _, member := range g.committees.SlotMembers(n) {
			w, different := g.ways[ValidatorIndex(member)]
			if !different || w.absent {
				continue
			}
			a := vote(g.spec, chain, g.committees, g.slot(n), chosen,
				func(v ValidatorIndex) bool { return v == ValidatorIndex(member) })
			if w.change != nil {
				w.change(&a)
			}
			include(g.slot(n)+max(w.delay, 1), a)
		}
	}
	tally := mustTally(t, g.spec, g.committees, watch)
	for slot := range chain.head + 1 {
		if b := blocks[slot]; b != nil {
			mustAdd(t, tally, chain, b)
		}
	}
	return tally, chain
}

// outcome plays the epoch for the watched validators alone.
func (g *game) outcome(t *testing.T, watched ...ValidatorIndex) *EpochOutcome {
	t.Helper()
	tally, chain := g.play(t, NewWatchSet(watched))
	return tally.Outcome(OutcomeInput{Chain: chain})
}

func (g *game) expect(t *testing.T, want map[ValidatorIndex]ValidatorEpoch) {
	t.Helper()
	var watched []ValidatorIndex
	for v := range want {
		watched = append(watched, v)
	}
	out := g.outcome(t, watched...)
	for ordinal, got := range out.Validators {
		if v := out.Watch.At(ordinal); got != want[v] {
			t.Errorf("validator %d: got %+v, want %+v", v, got, want[v])
		}
	}
}

func wrongHead(a *Attestation)   { a.BeaconBlockRoot = orphan }
func wrongTarget(a *Attestation) { a.TargetRoot = orphan }

// did returns an included attestation with the given causes of loss.
func did(delay uint8, source, target, head Cause) ValidatorEpoch {
	return ValidatorEpoch{Duty: true, Included: true, Delay: delay, Lost: [voteCount]Cause{source, target, head}}
}

func absent(source, target, head Cause) ValidatorEpoch {
	return ValidatorEpoch{Duty: true, Lost: [voteCount]Cause{source, target, head}}
}

func perfect() ValidatorEpoch { return did(1, NotLost, NotLost, NotLost) }

func TestEveryLostVoteHasACause(t *testing.T) {
	for _, tc := range []struct {
		name string
		spec *Spec
		way  way
		want ValidatorEpoch
	}{
		{"in time and right", mainnet(), way{}, perfect()},
		{"never included", mainnet(), way{absent: true}, absent(Missing, Missing, Missing)},
		{"head a slot late", mainnet(), way{delay: 2}, did(2, NotLost, NotLost, Late)},
		{"wrong head in time", mainnet(), way{change: wrongHead}, did(1, NotLost, NotLost, Wrong)},
		{"wrong head late is wrong", mainnet(), way{delay: 2, change: wrongHead}, did(2, NotLost, NotLost, Wrong)},
		{"wrong target keeps the source and loses the head", mainnet(), way{change: wrongTarget}, did(1, NotLost, Wrong, Wrong)},
		{"last timely source on mainnet", mainnet(), way{delay: 5}, did(5, NotLost, NotLost, Late)},
		{"source late on mainnet", mainnet(), way{delay: 6}, did(6, Late, NotLost, Late)},
		{"last timely source on Gnosis", gnosis(), way{delay: 4}, did(4, NotLost, NotLost, Late)},
		{"source late on Gnosis", gnosis(), way{delay: 5}, did(5, Late, NotLost, Late)},
		{"last timely source on minimal", minimal(), way{delay: 2}, did(2, NotLost, NotLost, Late)},
		{"source late on minimal", minimal(), way{delay: 3}, did(3, Late, NotLost, Late)},
		{"target has no deadline within the next epoch", minimal(), way{delay: 14}, did(14, Late, NotLost, Late)},
		{"after the next epoch it counts for nothing", minimal(), way{delay: 15}, absent(Missing, Missing, Missing)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := game{spec: tc.spec, epoch: 10, committees: everyone(tc.spec, 10, 2, 40)}
			g.behave(tc.way, 50) // in slot 1 of the epoch
			g.expect(t, map[ValidatorIndex]ValidatorEpoch{50: tc.want, 51: perfect()})
		})
	}
}

func TestAValidatorOutsideTheCommitteesHasNoDuty(t *testing.T) {
	// Before its activation epoch and from its exit epoch on, no committee has it.
	spec := minimal()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 2, 40)}
	g.expect(t, map[ValidatorIndex]ValidatorEpoch{319: perfect(), 320: {}, 1 << 40: {}})

	var totals Totals
	totals.AddValidator(spec, ValidatorEpoch{}, 32)
	if totals != (Totals{}) {
		t.Errorf("no duty adds %+v", totals)
	}
}

func TestActivationAndExitEpochsBoundTheDuties(t *testing.T) {
	spec := minimal()
	for epoch, inCommittee := range map[Epoch]bool{9: false, 10: true, 11: true, 12: false} { // activation 10, exit 12
		slots := make([][]uint32, spec.SlotsPerEpoch)
		slots[3] = []uint32{4, 5}
		if inCommittee {
			slots[3] = append(slots[3], 6)
		}
		g := game{spec: spec, epoch: epoch, committees: committeesOf(epoch, 1, slots...)}
		want := map[ValidatorIndex]ValidatorEpoch{6: {}}
		if inCommittee {
			want[6] = perfect()
		}
		g.expect(t, want)
	}
}

func TestASlashedValidatorStillHasDutiesUntilItExits(t *testing.T) {
	// Accounting does not know who is slashed: committees hold it, so it counts,
	// though the chain pays it nothing.
	spec := minimal()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 2, 40)}
	g.behave(way{absent: true}, 7)
	out := g.outcome(t, 7, 8)
	if out.Validators[0] != absent(Missing, Missing, Missing) || out.Validators[1] != perfect() {
		t.Errorf("got %+v", out.Validators)
	}
	if got := out.Network.AttestationsExpected; got != 320 {
		t.Errorf("expected %d attestations, want all 320", got)
	}
}

func TestIndexZeroIsAValidator(t *testing.T) {
	spec := minimal()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 2, 40)}
	g.behave(way{delay: 2}, 0)
	g.expect(t, map[ValidatorIndex]ValidatorEpoch{0: did(2, NotLost, NotLost, Late)})
}

func TestAVoteThatNoBlockCouldCarryIsLostToTheNetwork(t *testing.T) {
	spec := minimal()
	for _, tc := range []struct {
		name  string
		empty []int // slots of the epoch, beside the duty's slot 1
		want  ValidatorEpoch
		other ValidatorEpoch // who is absent, in the same slot
	}{
		{"slot after the duty empty", []int{2}, did(2, NotLost, NotLost, Network), absent(Missing, Missing, Network)},
		{"both timely source slots empty", []int{2, 3}, did(3, Network, NotLost, Network), absent(Network, Missing, Network)},
		{
			"only the last block of the next epoch left",
			[]int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14},
			did(14, Network, NotLost, Network), absent(Network, Missing, Network),
		},
		{
			"no block to the end of the next epoch",
			[]int{2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15},
			absent(Network, Network, Network), absent(Network, Network, Network),
		},
		{"slot after the next is empty", []int{3}, perfect(), absent(Missing, Missing, Missing)},
	} {
		t.Run(tc.name, func(t *testing.T) {
			g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 2, 10)}
			for _, n := range tc.empty {
				g.empty = append(g.empty, g.slot(n))
			}
			g.behave(way{absent: true}, 13)
			g.expect(t, map[ValidatorIndex]ValidatorEpoch{12: tc.want, 13: tc.other})
		})
	}
}

func TestAnEpochWithoutBlocksIsTheNetworksFault(t *testing.T) {
	spec := minimal()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 2, 4)}
	for n := range 8 {
		g.empty = append(g.empty, g.slot(n))
	}
	tally, chain := g.play(t, NewWatchSet([]ValidatorIndex{0, 28}))
	in := OutcomeInput{
		Chain:         chain,
		Proposers:     []ValidatorIndex{0, 28, 3, 3, 3, 3, 3, 3},
		SyncCommittee: make([]ValidatorIndex, 32), // 32 seats of validator 0
	}
	if err := in.Check(spec, 10); err != nil {
		t.Fatal(err)
	}
	out := tally.Outcome(in)
	// Slot 0 of the epoch is first carried by the first block of the next one, 8 late;
	// the last slot's votes are right and in time.
	first := did(8, Network, NotLost, Network)
	first.BlocksExpected = 1
	last := perfect()
	last.BlocksExpected = 1
	if out.Validators[0] != first || out.Validators[1] != last {
		t.Errorf("got %+v", out.Validators)
	}
	n := out.Network
	if n.BlocksExpected != 8 || n.BlocksProposed != 0 || n.SyncExpected != 0 {
		t.Errorf("got %+v", n)
	}
}

func TestMostOfTheOthersExcuseOnlyWhereTheyAreEnough(t *testing.T) {
	spec := minimal()
	for _, tc := range []struct {
		name         string
		size, absent int // of the cohort
		want         Cause
	}{
		{"16 others, half of them lost", 17, 9, Missing},
		{"16 others, one more than half lost", 17, 10, Network},
		{"17 others, 8 lost", 18, 9, Missing},
		{"17 others, 9 lost", 18, 10, Network},
		{"15 others, all lost", 16, 16, Missing},
		{"16 others, all lost", 17, 17, Network},
		{"alone", 1, 1, Missing},
	} {
		t.Run(tc.name, func(t *testing.T) {
			slots := make([][]uint32, spec.SlotsPerEpoch)
			for v := range tc.size {
				slots[4] = append(slots[4], uint32(v))
			}
			g := game{spec: spec, epoch: 10, committees: committeesOf(10, 1, slots...)}
			for v := range tc.absent {
				g.behave(way{absent: true}, ValidatorIndex(v))
			}
			out := g.outcome(t, 0)
			if want := absent(tc.want, tc.want, tc.want); out.Validators[0] != want {
				t.Errorf("got %+v, want %+v", out.Validators[0], want)
			}
			for vote, lost := range out.Network.Lost {
				if lost[tc.want] != uint64(tc.absent) {
					t.Errorf("network, %v: got %v, want %d lost to %v", Vote(vote), lost, tc.absent, tc.want)
				}
			}
		})
	}
}

func TestEachVoteIsExcusedOnItsOwn(t *testing.T) {
	// Most of a slot votes for a block that is orphaned later: the head is the
	// network's, the source of one that is late is its own.
	spec := mainnet()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 2, 40)}
	for v := range ValidatorIndex(30) {
		g.behave(way{change: wrongHead}, v)
	}
	g.behave(way{delay: 6, change: wrongHead}, 0)
	g.behave(way{delay: 2}, 35)
	g.expect(t, map[ValidatorIndex]ValidatorEpoch{
		0:  did(6, Late, NotLost, Network),
		1:  did(1, NotLost, NotLost, Network),
		35: did(2, NotLost, NotLost, Network),
		36: perfect(),
	})
}

func TestAnInactivityLeakChangesNothing(t *testing.T) {
	// Two thirds of all are away, nothing is justified: outcomes follow from blocks
	// and committees alone, and whoever attests earns its votes.
	spec := minimal()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 1, 30)}
	for v := range ValidatorIndex(240) {
		if v%3 != 0 {
			g.behave(way{absent: true}, v)
		}
	}
	g.expect(t, map[ValidatorIndex]ValidatorEpoch{30: perfect(), 31: absent(Network, Network, Network)})
}

func TestTheEarliestInclusionAndTheBestFlagsCount(t *testing.T) {
	spec := mainnet()
	chain := chainTo(SettlesAt(spec, 10))
	committees := everyone(spec, 10, 2, 4)
	slot := spec.FirstSlot(10) + 3
	only := func(validators ...ValidatorIndex) func(ValidatorIndex) bool {
		return func(v ValidatorIndex) bool { return slices.Contains(validators, v) }
	}
	right := func(validators ...ValidatorIndex) Attestation {
		return vote(spec, chain, committees, slot, all(2), only(validators...))
	}
	wrong := func(change func(*Attestation), validators ...ValidatorIndex) Attestation {
		a := right(validators...)
		change(&a)
		return a
	}
	tally := mustTally(t, spec, committees, NewWatchSet([]ValidatorIndex{12, 13, 14, 15}))
	mustAdd(t, tally, chain,
		&Block{Slot: slot + 1, Attestations: []Attestation{wrong(wrongTarget, 13), right(14), right(14, 15)}},
		&Block{Slot: slot + 2, Attestations: []Attestation{right(12, 13, 14)}},
		&Block{Slot: slot + 9, Attestations: []Attestation{right(12, 13, 14, 15), wrong(wrongTarget, 12)}},
	)
	out := tally.Outcome(OutcomeInput{Chain: chain})
	for ordinal, want := range []ValidatorEpoch{
		did(2, NotLost, NotLost, Late), // its later copies change nothing
		did(1, NotLost, NotLost, Late), // a wrong target in time, the right one too late for the head
		perfect(),                      // in two aggregates of one block
		perfect(),
	} {
		if got := out.Validators[ordinal]; got != want {
			t.Errorf("validator %d: got %+v, want %+v", out.Watch.At(ordinal), got, want)
		}
	}
	if got := out.Network.InclusionDelay; got != 2+1+1+1 {
		t.Errorf("sum of delays is %d, want 5: each validator once, by its first inclusion", got)
	}
}

func TestCommitteeBitsSelectTheMembersThatBitsStandFor(t *testing.T) {
	// 5 committees of 28 or 27: no border falls on a byte or a word.
	spec := mainnet()
	chain := chainTo(SettlesAt(spec, 10))
	committees := everyone(spec, 10, 5, 138)
	slot := spec.FirstSlot(10) + 2
	tally := mustTally(t, spec, committees, NewWatchSet(nil))
	chosen := []int{1, 2, 4}
	odd := func(v ValidatorIndex) bool { return v%2 == 1 }
	mustAdd(t, tally, chain, &Block{Slot: slot + 1, Attestations: []Attestation{
		vote(spec, chain, committees, slot, chosen, odd),
	}})
	want := map[int]bool{}
	position := 0
	for i := range 5 {
		for _, member := range committees.Committee(2, i) {
			want[position] = slices.Contains(chosen, i) && odd(ValidatorIndex(member))
			position++
		}
	}
	for position, want := range want {
		if got := tally.included(place{slot: 2, position: uint32(position)}); got != want {
			t.Errorf("position %d: included %v, want %v", position, got, want)
		}
	}
}

func TestStakeIsWeightedByEffectiveBalance(t *testing.T) {
	spec := minimal()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 2, 40)}
	g.behave(way{change: wrongHead}, 0)  // 2048 ETH, loses 14 of 54 itself
	g.behave(way{absent: true}, 41)      // 32 ETH, loses all
	g.empty = append(g.empty, g.slot(4)) // slot 3 loses its heads to the network
	increments := func(v ValidatorIndex) uint64 {
		if v == 0 {
			return 2048
		}
		return 32
	}
	tally, chain := g.play(t, NewWatchSet([]ValidatorIndex{0, 41, 130}))
	out := tally.Outcome(OutcomeInput{Chain: chain, Increments: increments})

	for ordinal, want := range []struct{ possible, achievable, earned uint64 }{
		{2048e9, 2048e9, 1_517_037_037_037},
		{32e9, 32e9, 0},
		{32e9, 23_703_703_703, 23_703_703_703},
	} {
		var totals Totals
		v := out.Watch.At(ordinal)
		totals.AddValidator(spec, out.Validators[ordinal], increments(v))
		if StakeGwei(spec, totals.StakePossible) != want.possible ||
			StakeGwei(spec, totals.StakeAchievable) != want.achievable ||
			StakeGwei(spec, totals.StakeEarned) != want.earned {
			t.Errorf("validator %d: got %+v, want %+v", v, totals, want)
		}
	}
	stake := uint64(319*32 + 2048)
	lostToNetwork := uint64(40 * 32 * 14)
	lost := lostToNetwork + 2048*14 + 32*54
	n := out.Network
	if !n.StakeKnown || n.StakePossible != stake*54 || n.StakeAchievable != stake*54-lostToNetwork || n.StakeEarned != stake*54-lost {
		t.Errorf("network: got %+v", n)
	}
	if out := tally.Outcome(OutcomeInput{Chain: chain}); out.Network.StakeKnown || out.Network.StakePossible != 0 {
		t.Errorf("without balances: got %+v", out.Network)
	}
}

func TestStakeGweiNeitherRoundsUpNorOverflows(t *testing.T) {
	spec := mainnet()
	for weighted, want := range map[uint64]uint64{
		0:                   0,
		1:                   18_518_518, // 1e9/54 = 18518518.5…
		53:                  981_481_481,
		54:                  1e9,
		36e6 * 54 * 225:     36e6 * 225 * 1e9, // a day of all stake on mainnet; the product needs 69 bits
		1<<64 - 1:           1<<64 - 1,        // more gwei than fit
		54 * 18_446_744_073: 18_446_744_073e9,
	} {
		if got := StakeGwei(spec, weighted); got != want {
			t.Errorf("%d: got %d, want %d", weighted, got, want)
		}
	}
}

func TestAReorgedProposalIsMissed(t *testing.T) {
	spec := minimal()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 1, 2)}
	g.empty = append(g.empty, g.slot(3)) // its block was seen and orphaned: canonically there is none
	tally, chain := g.play(t, NewWatchSet([]ValidatorIndex{2, 3, 4}))
	in := OutcomeInput{
		Chain:         chain,
		Proposers:     []ValidatorIndex{4, 9, 9, 3, 4, 9, 9, 9},
		SyncCommittee: make([]ValidatorIndex, 32),
	}
	for n := range 8 {
		if n != 3 {
			in.Blocks = append(in.Blocks, &Block{Slot: g.slot(n), Proposer: in.Proposers[n], SyncBits: make([]byte, 4)})
		}
	}
	in.Blocks[6].ProposerSlashings, in.Blocks[6].AttesterSlashings = 2, 1
	if err := in.Check(spec, 10); err != nil {
		t.Fatal(err)
	}
	out := tally.Outcome(in)
	for ordinal, want := range [][2]uint8{{0, 0}, {1, 0}, {2, 2}} {
		got := out.Validators[ordinal]
		if got.BlocksExpected != want[0] || got.BlocksProposed != want[1] {
			t.Errorf("validator %d: got %+v, want %v", out.Watch.At(ordinal), got, want)
		}
	}
	n := out.Network
	if n.BlocksExpected != 8 || n.BlocksProposed != 7 || n.ProposerSlashings != 2 || n.AttesterSlashings != 1 {
		t.Errorf("network: got %+v", n)
	}
}

func TestGenesisIsNoProposalAndCarriesNoSyncDuty(t *testing.T) {
	spec := minimal()
	g := game{spec: spec, committees: everyone(spec, 0, 1, 2)}
	tally, chain := g.play(t, NewWatchSet([]ValidatorIndex{1}))
	in := OutcomeInput{
		Chain:         chain,
		Blocks:        []*Block{{Slot: 0, SyncBits: make([]byte, 4)}, {Slot: 1, Proposer: 1, SyncBits: []byte{255, 255, 255, 255}}},
		Proposers:     []ValidatorIndex{1, 1, 2, 2, 2, 2, 2, 2},
		SyncCommittee: slices.Repeat([]ValidatorIndex{1}, 32),
	}
	got := tally.Outcome(in).Validators[0]
	want := perfect()
	want.BlocksExpected, want.BlocksProposed, want.SyncExpected, want.SyncIncluded = 1, 1, 32, 32
	if got != want {
		t.Errorf("got %+v, want %+v", got, want)
	}
}

func TestSyncDutiesCountBySeat(t *testing.T) {
	spec := minimal()
	watch := NewWatchSet([]ValidatorIndex{5, 6, 7})
	in := OutcomeInput{Chain: chainTo(spec.FirstSlot(13)), Proposers: make([]ValidatorIndex, 8)}
	// Validator 5 has seats 0, 1 and 31, validator 6 seat 8.
	in.SyncCommittee = slices.Repeat([]ValidatorIndex{99}, 32)
	in.SyncCommittee[0], in.SyncCommittee[1], in.SyncCommittee[31], in.SyncCommittee[8] = 5, 5, 5, 6
	first := spec.FirstSlot(10)
	in.Blocks = []*Block{
		{Slot: first + 1, SyncBits: []byte{0b01, 0b1, 0, 0x80}}, // seats 0, 8, 31
		{Slot: first + 5, SyncBits: []byte{0b11, 0, 0, 0}},      // seats 0, 1
	}
	if err := in.Check(spec, 10); err != nil {
		t.Fatal(err)
	}
	tally := mustTally(t, spec, everyone(spec, 10, 1, 0), watch)
	out := tally.Outcome(in)
	for ordinal, want := range []ValidatorEpoch{
		{SyncExpected: 6, SyncIncluded: 4}, // three seats in two blocks; empty slots ask nothing
		{SyncExpected: 2, SyncIncluded: 1},
		{},
	} {
		if got := out.Validators[ordinal]; got != want {
			t.Errorf("validator %d: got %+v, want %+v", watch.At(ordinal), got, want)
		}
	}
	if n := out.Network; n.SyncExpected != 64 || n.SyncIncluded != 5 {
		t.Errorf("network: got %+v", n)
	}
}

func TestTheLiveViewEndsAtTheHead(t *testing.T) {
	spec := minimal()
	watch := NewWatchSet([]ValidatorIndex{1, 2})
	first := spec.FirstSlot(10)
	whole := chainTo(first+20, first+1, first+2, first+6)
	in := OutcomeInput{
		Proposers:     []ValidatorIndex{9, 1, 1, 9, 2, 9, 2, 1},
		SyncCommittee: slices.Repeat([]ValidatorIndex{2}, 32),
	}
	for _, slot := range []Slot{0, 3, 4, 5, 7} {
		in.Blocks = append(in.Blocks, &Block{Slot: first + slot, Proposer: in.Proposers[slot], SyncBits: []byte{255, 255, 255, 127}})
	}
	for _, tc := range []struct {
		head Slot
		want []Live
	}{
		{first - 1, []Live{{}, {}}},
		{first, []Live{{}, {SyncMissed: 1}}},
		{first + 2, []Live{{}, {SyncMissed: 1}}}, // slots after the head may yet hold blocks
		{first + 3, []Live{{BlocksMissed: 2}, {SyncMissed: 2}}},
		{first + 6, []Live{{BlocksMissed: 2}, {SyncMissed: 4}}},
		{first + 7, []Live{{BlocksMissed: 2}, {BlocksMissed: 1, SyncMissed: 5}}},
		{first + 20, []Live{{BlocksMissed: 2}, {BlocksMissed: 1, SyncMissed: 5}}},
	} {
		in.Chain = whole.at(tc.head)
		if got := LiveEpoch(spec, 10, watch, in); !slices.Equal(got, tc.want) {
			t.Errorf("head %d: got %+v, want %+v", tc.head, got, tc.want)
		}
	}
}

func TestAnAttestationIsOverdueThreeSlotsAfterItsDuty(t *testing.T) {
	spec := minimal()
	g := game{spec: spec, epoch: 10, committees: everyone(spec, 10, 1, 2)}
	g.behave(way{absent: true}, 4) // in slot 2
	tally, _ := g.play(t, NewWatchSet([]ValidatorIndex{4, 5, 77}))
	if slot, ok := tally.DutySlot(0); slot != g.slot(2) || !ok {
		t.Errorf("duty slot is %d, %v", slot, ok)
	}
	if _, ok := tally.DutySlot(2); ok {
		t.Error("validator 77 has no duty")
	}
	for _, tc := range []struct {
		head    Slot
		ordinal int
		want    bool
	}{
		{g.slot(4), 0, false}, {g.slot(5), 0, true}, {g.slot(15), 0, true}, {g.slot(5), 1, false}, {g.slot(15), 2, false},
	} {
		if got := slices.Contains(slices.Collect(tally.Overdue(tc.head)), tc.ordinal); got != tc.want {
			t.Errorf("head %d, ordinal %d: got %v", tc.head, tc.ordinal, got)
		}
	}
	// Validator 4 alone is absent.
	for _, tc := range []struct {
		head Slot
		want int
	}{{g.slot(2), 0}, {g.slot(4), 0}, {g.slot(5), 1}, {g.slot(15), 1}} {
		if got := tally.NetworkOverdue(tc.head); got != tc.want {
			t.Errorf("head %d: %d overdue in the network, want %d", tc.head, got, tc.want)
		}
	}
	if got, want := tally.Members(), len(g.committees.Members); got != want {
		t.Errorf("%d members, want %d", got, want)
	}
	if tally.Epoch() != 10 || tally.LastSlot() != g.slot(8) {
		t.Errorf("epoch %d, last slot %d", tally.Epoch(), tally.LastSlot())
	}
}

func TestThePayloadVote(t *testing.T) {
	spec := minimal()
	spec.GloasForkEpoch = 10
	first := spec.FirstSlot(10)
	gap := []Slot{first - 1, first, first + 3, first + 4}
	for _, tc := range []struct {
		name  string
		slot  Slot
		index uint64
		full  map[Slot]bool
		want  Cause
	}{
		{"its own slot's block, no claim", first + 1, 0, nil, NotLost},
		{"its own slot's block cannot have a payload yet", first + 1, 1, map[Slot]bool{first + 1: true}, Wrong},
		{"two slots back, full", first + 4, 1, map[Slot]bool{first + 2: true}, NotLost},
		{"two slots back, full, denied", first + 4, 0, map[Slot]bool{first + 2: true}, Wrong},
		{"two slots back, empty", first + 4, 0, map[Slot]bool{first + 2: false}, NotLost},
		{"two slots back, empty, claimed full", first + 4, 1, map[Slot]bool{first + 2: false}, Wrong},
		{"two slots back, not known: no proof of a loss", first + 4, 1, nil, NotLost},
		{"the block before the fork counts as full", first, 1, nil, NotLost},
		{"the block before the fork, denied", first, 0, nil, Wrong},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chain := chainTo(first+30, gap...)
			chain.full = tc.full
			committees := everyone(spec, 10, 1, 3)
			a := vote(spec, chain, committees, tc.slot, all(1), func(ValidatorIndex) bool { return true })
			a.Index = tc.index
			member := ValidatorIndex(committees.SlotMembers(int(tc.slot - first))[0])
			tally := mustTally(t, spec, committees, NewWatchSet([]ValidatorIndex{member}))
			mustAdd(t, tally, chain, &Block{Slot: tc.slot + 1, Attestations: []Attestation{a}})
			if got := tally.Outcome(OutcomeInput{Chain: chain}).Validators[0].Lost[Head]; got != tc.want {
				t.Errorf("lost to %q, want %q", got, tc.want)
			}
		})
	}
}

func TestImpossibleInputIsRefused(t *testing.T) {
	spec := minimal()
	valid := func() OutcomeInput {
		return OutcomeInput{
			Proposers:     make([]ValidatorIndex, 8),
			SyncCommittee: make([]ValidatorIndex, 32),
			Blocks:        []*Block{{Slot: 80, SyncBits: make([]byte, 4)}, {Slot: 82, SyncBits: make([]byte, 4)}},
		}
	}
	in := valid()
	if err := in.Check(spec, 10); err != nil {
		t.Fatal(err)
	}
	for name, spoil := range map[string]func(*OutcomeInput){
		"a proposer too few": func(in *OutcomeInput) { in.Proposers = in.Proposers[1:] },
		"no sync committee":  func(in *OutcomeInput) { in.SyncCommittee = nil },
		"a foreign block":    func(in *OutcomeInput) { in.Blocks[1].Slot = 88 },
		"descending blocks":  func(in *OutcomeInput) { in.Blocks[1].Slot = 80 },
		"short sync bits":    func(in *OutcomeInput) { in.Blocks[0].SyncBits = make([]byte, 3) },
	} {
		in := valid()
		spoil(&in)
		if err := in.Check(spec, 10); err == nil {
			t.Errorf("%s: accepted", name)
		}
	}
}
