package duty

import (
	"fmt"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
)

// record is what the model below knows of a validator, one at a time and without
// bit sets.
type record struct {
	slot                                      Slot
	cohort                                    []ValidatorIndex
	included, source, target, head, headRight bool
	delay                                     Slot
}

// model is the accounting as one would write it without a thought for speed.
type model struct {
	spec    *Spec
	chain   *testChain
	records map[ValidatorIndex]*record
}

func newModel(spec *Spec, chain *testChain, c *Committees) *model {
	m := &model{spec: spec, chain: chain, records: map[ValidatorIndex]*record{}}
	for n := range int(spec.SlotsPerEpoch) {
		var cohort []ValidatorIndex
		for i := range c.PerSlot {
			for _, member := range c.Committee(n, i) {
				cohort = append(cohort, ValidatorIndex(member))
			}
		}
		for _, v := range cohort {
			m.records[v] = &record{slot: spec.FirstSlot(c.Epoch) + Slot(n), cohort: cohort}
		}
	}
	return m
}

func (m *model) include(v ValidatorIndex, at Slot, a *Attestation) {
	r := m.records[v]
	delay := at - a.Slot
	if !r.included || delay < r.delay {
		r.delay = delay
	}
	r.included = true
	target, _ := m.chain.RootAt(m.spec.FirstSlot(a.TargetEpoch))
	head, _ := m.chain.RootAt(a.Slot)
	if delay*delay <= Slot(m.spec.SlotsPerEpoch) {
		r.source = true
	}
	if a.TargetRoot == target {
		r.target = true
		if a.BeaconBlockRoot == head {
			r.headRight = true
			r.head = r.head || delay == 1
		}
	}
}

func (r *record) earned(vote Vote) bool { return [...]bool{r.source, r.target, r.head}[vote] }

func (m *model) possible(r *record, vote Vote) bool {
	for at := r.slot + 1; at <= m.spec.LastSlot(m.spec.EpochOf(r.slot)+1); at++ {
		delay := at - r.slot
		inTime := [...]bool{delay*delay <= Slot(m.spec.SlotsPerEpoch), true, delay == 1}[vote]
		if inTime && m.chain.HasBlock(at) {
			return true
		}
	}
	return false
}

func (m *model) outcome(v ValidatorIndex) (out ValidatorEpoch) {
	r := m.records[v]
	if r == nil {
		return out
	}
	out = ValidatorEpoch{Duty: true, Included: r.included, Delay: uint8(r.delay)}
	for _, vote := range []Vote{Source, Target, Head} {
		if r.earned(vote) {
			continue
		}
		others, lost := 0, 0
		for _, other := range r.cohort {
			if other != v {
				others++
				if !m.records[other].earned(vote) {
					lost++
				}
			}
		}
		switch {
		case !m.possible(r, vote) || others >= 16 && lost > others-lost:
			out.Lost[vote] = Network
		case !r.included:
			out.Lost[vote] = Missing
		case vote == Source || vote == Head && r.headRight:
			out.Lost[vote] = Late
		default:
			out.Lost[vote] = Wrong
		}
	}
	return out
}

func TestRandomEpochsMatchTheModel(t *testing.T) {
	for _, spec := range []*Spec{minimal(), gnosis(), mainnet()} {
		for seed := range uint64(12) {
			t.Run(fmt.Sprintf("%d slots per epoch, seed %d", spec.SlotsPerEpoch, seed), func(t *testing.T) {
				compareWithModel(t, spec, rand.New(rand.NewPCG(seed, spec.SlotsPerEpoch)))
			})
		}
	}
}

func compareWithModel(t *testing.T, spec *Spec, random *rand.Rand) {
	const epoch = 6
	perSlot := 1 + random.IntN(int(min(spec.MaxCommitteesPerSlot, 9)))
	everybody := random.Perm(int(spec.SlotsPerEpoch) * (1 + random.IntN(200)))
	slots := make([][]uint32, spec.SlotsPerEpoch)
	for _, v := range everybody {
		n := random.IntN(len(slots)) // of uneven size, some perhaps empty
		slots[n] = append(slots[n], uint32(3*v))
	}
	committees := committeesOf(epoch, perSlot, slots...)

	emptiness := random.IntN(6)
	blocks := make([]bool, SettlesAt(spec, epoch)+1)
	for slot := range blocks {
		blocks[slot] = random.IntN(10) >= emptiness
	}
	blocks[len(blocks)-1] = true
	chain := chainOf(blocks)

	var watched []ValidatorIndex
	for range 1 + random.IntN(len(everybody)) {
		watched = append(watched, ValidatorIndex(random.IntN(3*len(everybody)+9)))
	}
	for _, watch := range []*WatchSet{NewWatchSet(watched), NewWatchSet(everyoneIn(committees))} {
		m, tally := newModel(spec, chain, committees), mustTally(t, spec, committees, watch)
		random := rand.New(rand.NewPCG(1, uint64(len(everybody))))
		for at := spec.FirstSlot(epoch); at <= chain.head; at++ {
			if !chain.HasBlock(at) {
				continue
			}
			b := &Block{Slot: at}
			for range random.IntN(9) {
				a, voters := randomAttestation(random, spec, chain, committees, at)
				if a == nil {
					continue
				}
				b.Attestations = append(b.Attestations, *a)
				if at <= spec.LastSlot(epoch+1) {
					for _, v := range voters {
						m.include(v, at, a)
					}
				}
			}
			mustAdd(t, tally, chain, b)
		}
		stake := func(v ValidatorIndex) uint64 { return uint64(v%64) + 1 }
		out := tally.Outcome(OutcomeInput{Chain: chain, Increments: stake})
		for ordinal, got := range out.Validators {
			v := watch.At(ordinal)
			if want := m.outcome(v); got != want {
				t.Fatalf("validator %d, duty in slot %d: got %+v, want %+v", v, m.records[v].slot, got, want)
			}
		}
		var sum Totals
		for v := range m.records {
			sum.AddValidator(spec, m.outcome(v), stake(v))
		}
		if out.Network.Totals != sum {
			t.Fatalf("network: got %+v, want the sum of all %+v", out.Network.Totals, sum)
		}
		if sum.StakePossible < sum.StakeAchievable || sum.StakeAchievable < sum.StakeEarned {
			t.Fatalf("stake earned ≤ achievable ≤ possible does not hold: %+v", sum)
		}
	}
}

func everyoneIn(c *Committees) (indices []ValidatorIndex) {
	for _, member := range c.Members {
		indices = append(indices, ValidatorIndex(member))
	}
	return indices
}

// randomAttestation returns an aggregate that a block at slot at could hold, and
// who is in it.
func randomAttestation(random *rand.Rand, spec *Spec, chain Chain, c *Committees, at Slot) (*Attestation, []ValidatorIndex) {
	back := Slot(1 + random.IntN(4))
	if random.IntN(4) == 0 {
		back = Slot(1 + random.IntN(2*int(spec.SlotsPerEpoch)))
	}
	slot := at - back
	if spec.EpochOf(slot) != c.Epoch {
		return nil, nil
	}
	var chosen []int
	for i := range c.PerSlot {
		if random.IntN(4) > 0 {
			chosen = append(chosen, i)
		}
	}
	density := random.IntN(11)
	var voters []ValidatorIndex
	a := vote(spec, chain, c, slot, chosen, func(v ValidatorIndex) bool {
		if random.IntN(10) >= density {
			return false
		}
		voters = append(voters, v)
		return true
	})
	switch random.IntN(5) {
	case 0:
		a.BeaconBlockRoot = orphan
	case 1:
		a.TargetRoot = orphan
	}
	if a.AggregationLen%8 != 0 { // stray bits past the end stand for nobody
		a.AggregationBits[len(a.AggregationBits)-1] |= 0xff << (a.AggregationLen % 8)
	}
	return &a, voters
}

func TestAMalformedAttestationSpoilsItsBlockAlone(t *testing.T) {
	spec := minimal()
	committees := everyone(spec, 10, 2, 21)
	chain := chainTo(SettlesAt(spec, 10))
	slot := spec.FirstSlot(10) + 2
	honest := func() Attestation {
		return vote(spec, chain, committees, slot, all(2), func(ValidatorIndex) bool { return true })
	}
	for _, tc := range []struct {
		name  string
		spoil func(*Attestation)
		want  string
	}{
		{"a bit too many", func(a *Attestation) { a.AggregationLen++ }, "22 aggregation bits in 3 bytes for 21 committee members of slot 82"},
		{"a byte too few", func(a *Attestation) { a.AggregationBits = a.AggregationBits[1:] }, "21 aggregation bits in 2 bytes for 21"},
		{"a byte too many", func(a *Attestation) { a.AggregationBits = append(a.AggregationBits, 0) }, "in 4 bytes"},
		{"bits of both committees for one", func(a *Attestation) { a.CommitteeBits = []byte{1} }, "for 11 committee members"},
		{"a committee that does not exist", func(a *Attestation) { a.CommitteeBits = []byte{7} }, "committee 2 of slot 82, which has 2"},
		{"a committee far beyond", func(a *Attestation) { a.CommitteeBits = append(make([]byte, 40), 1) }, "committee 320 of slot 82"},
		{"another target epoch", func(a *Attestation) { a.TargetEpoch = 9 }, "target epoch 9 does not hold slot 82"},
		{"a slot of another epoch", func(a *Attestation) { a.Slot = 79 }, "target epoch 10 does not hold slot 79"},
		{"a slot that is not past", func(a *Attestation) { a.Slot = 83 }, "slot 83 is not before the block"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			tally := mustTally(t, spec, committees, NewWatchSet(everyoneIn(committees)))
			bad := honest()
			tc.spoil(&bad)
			err := tally.Add(&Block{Slot: slot + 1, Attestations: []Attestation{honest(), bad}}, chain)
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "block at slot 83, attestation 1: ") {
				t.Fatalf("got error %v, want %q", err, tc.want)
			}
			if out := tally.Outcome(OutcomeInput{Chain: chain}); out.Network.AttestationsIncluded != 0 || tally.LastSlot() != 0 {
				t.Errorf("half a block was counted: %+v, last slot %d", out.Network, tally.LastSlot())
			}
			mustAdd(t, tally, chain, &Block{Slot: slot + 1, Attestations: []Attestation{honest()}})
			if out := tally.Outcome(OutcomeInput{Chain: chain}); out.Network.HeadVotes != 21 {
				t.Errorf("the right block after it: %d heads, want 21", out.Network.HeadVotes)
			}
		})
	}
}

func TestOnlyBlocksAndAttestationsOfTheEpochCount(t *testing.T) {
	spec := minimal()
	committees := everyone(spec, 10, 1, 5)
	chain := chainTo(SettlesAt(spec, 11))
	tally := mustTally(t, spec, committees, NewWatchSet(nil))
	other := Attestation{Slot: 79, TargetEpoch: 9, CommitteeBits: []byte{0xff}} // malformed, but not ours to judge
	a := vote(spec, chain, committees, 80, all(1), func(ValidatorIndex) bool { return true })

	mustAdd(t, tally, chain, &Block{Slot: 80, Attestations: []Attestation{other}})
	if tally.LastSlot() != 0 {
		t.Error("the epoch's first block cannot hold its attestations")
	}
	mustAdd(t, tally, chain, &Block{Slot: 81, Attestations: []Attestation{other}}, &Block{Slot: 95}, &Block{Slot: 96, Attestations: []Attestation{a}})
	if out := tally.Outcome(OutcomeInput{Chain: chain}); tally.LastSlot() != 95 || out.Network.AttestationsIncluded != 0 {
		t.Errorf("last slot %d, got %+v", tally.LastSlot(), out.Network)
	}
	if err := tally.Add(&Block{Slot: 95}, chain); err == nil {
		t.Error("a block was counted twice")
	}
}

// unknown is a chain that does not reach back to a slot.
type unknown struct {
	*testChain
	from Slot
}

func (c unknown) RootAt(slot Slot) (Root, bool) {
	if slot < c.from {
		return Root{}, false
	}
	return c.testChain.RootAt(slot)
}

func TestNothingIsGuessedOfAnUnknownChain(t *testing.T) {
	spec := minimal()
	committees := everyone(spec, 10, 1, 5)
	chain := chainTo(SettlesAt(spec, 10))
	a := vote(spec, chain, committees, 82, all(1), func(ValidatorIndex) bool { return true })
	b := &Block{Slot: 83, Attestations: []Attestation{a}}
	for from, wantErr := range map[Slot]bool{80: false, 81: true, 83: true} {
		tally := mustTally(t, spec, committees, NewWatchSet(nil))
		if err := tally.Add(b, unknown{chain, from}); (err != nil) != wantErr {
			t.Errorf("chain known from slot %d: got error %v", from, err)
		}
	}
}

func TestImpossibleCommitteesAreRefused(t *testing.T) {
	spec := minimal()
	for _, tc := range []struct {
		name  string
		spoil func(*Committees)
		want  string
	}{
		{"none", func(c *Committees) { c.PerSlot = 0 }, "0 committees in a slot, want 1 to 4"},
		{"too many", func(c *Committees) { c.PerSlot = 5 }, "5 committees in a slot, want 1 to 4"},
		{"an offset short", func(c *Committees) { c.Offsets = c.Offsets[1:] }, "16 offsets, want 17"},
		{"not from 0", func(c *Committees) { c.Offsets[0] = 1 }, "offset 0 is 1, want"},
		{"descending", func(c *Committees) { c.Offsets[3] = 5 }, "offset 3 is 5, want at least 6"},
		{"a member short", func(c *Committees) { c.Members = c.Members[1:] }, "47 members, the offsets say 48"},
		{"a watched member twice", func(c *Committees) { c.Members[5] = 6 }, "validator 6 is in two"},
	} {
		t.Run(tc.name, func(t *testing.T) {
			c := everyone(spec, 10, 2, 6)
			tc.spoil(c)
			_, err := NewTally(spec, c, NewWatchSet([]ValidatorIndex{6}))
			if err == nil || !strings.Contains(err.Error(), tc.want) || !strings.HasPrefix(err.Error(), "committees of epoch 10: ") {
				t.Errorf("got %v, want %q", err, tc.want)
			}
		})
	}
	for _, slots := range []uint64{0, 129} {
		c := everyone(spec, 10, 2, 6)
		if _, err := NewTally(preset(slots, 4, 32), c, NewWatchSet(nil)); err == nil {
			t.Errorf("%d slots per epoch: accepted", slots)
		}
	}
}

func TestTheWatchSetIsSortedAndUnique(t *testing.T) {
	w := NewWatchSet([]ValidatorIndex{70000, 3, 1 << 50, 0, 3, 63, 64, 65535, 65536, 1<<32 - 1, 1 << 32})
	want := []ValidatorIndex{0, 3, 63, 64, 65535, 65536, 70000, 1<<32 - 1, 1 << 32, 1 << 50}
	if !slices.Equal(w.Indices(), want) || w.Len() != len(want) {
		t.Fatalf("got %v, want %v", w.Indices(), want)
	}
	for i, v := range want {
		if ordinal, ok := w.Ordinal(v); !ok || ordinal != i || w.At(i) != v {
			t.Errorf("validator %d: ordinal %d, %v, want %d", v, ordinal, ok, i)
		}
	}
	for _, v := range []ValidatorIndex{1, 2, 4, 62, 65, 65537, 1 << 20, 1<<32 - 2, 1<<32 + 1, 1<<64 - 1} {
		if ordinal, ok := w.Ordinal(v); ok {
			t.Errorf("validator %d is not watched, but has ordinal %d", v, ordinal)
		}
	}
	if _, ok := NewWatchSet(nil).Ordinal(0); ok {
		t.Error("the empty set has validator 0")
	}
}

func TestTheWatchSetRanksEveryMember(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	for range 5 {
		var indices []ValidatorIndex
		for range random.IntN(200_000) {
			indices = append(indices, ValidatorIndex(random.Uint64N(300_000)))
		}
		w := NewWatchSet(indices)
		next := 0
		for v := range ValidatorIndex(300_000) {
			ordinal, ok := w.Ordinal(v)
			if ok && ordinal != next || ok != (next < w.Len() && w.At(next) == v) {
				t.Fatalf("validator %d: ordinal %d, %v, want %d", v, ordinal, ok, next)
			}
			if ok {
				next++
			}
		}
	}
}

func TestTotalsAddEveryField(t *testing.T) {
	v := perfect()
	v.BlocksExpected, v.BlocksProposed, v.SyncExpected, v.SyncIncluded = 2, 1, 30, 29
	u := did(6, Late, Network, Wrong)
	var one, sum Totals
	one.AddValidator(mainnet(), v, 32)
	one.AddValidator(mainnet(), u, 2048)
	one.AddValidator(mainnet(), absent(Missing, Missing, Missing), 16)
	want := Totals{
		AttestationsExpected: 3, AttestationsIncluded: 2, SourceVotes: 1, TargetVotes: 1, HeadVotes: 1, InclusionDelay: 7,
		Lost: [voteCount][causeCount]uint64{
			Source: {Late: 1, Missing: 1}, Target: {Network: 1, Missing: 1}, Head: {Wrong: 1, Missing: 1},
		},
		StakePossible: (32 + 2048 + 16) * 54, StakeAchievable: 32*54 + 2048*28 + 16*54, StakeEarned: 32 * 54,
		BlocksExpected: 2, BlocksProposed: 1, SyncExpected: 30, SyncIncluded: 29,
	}
	if one != want {
		t.Fatalf("got %+v, want %+v", one, want)
	}
	sum.Add(&one)
	sum.Add(&one)
	if sum.SyncIncluded != 58 || sum.Lost[Head][Wrong] != 2 || sum.StakeAchievable != 2*want.StakeAchievable {
		t.Errorf("got %+v", sum)
	}
	var twice Totals
	for range 2 {
		twice.AddValidator(mainnet(), v, 32)
		twice.AddValidator(mainnet(), u, 2048)
		twice.AddValidator(mainnet(), absent(Missing, Missing, Missing), 16)
	}
	if sum != twice {
		t.Errorf("got %+v, want %+v", sum, twice)
	}
}

func TestCausesAndVotesHaveTheirLabels(t *testing.T) {
	for got, want := range map[string]string{
		Source.String(): "source", Target.String(): "target", Head.String(): "head",
		Network.String(): "network", Missing.String(): "missing", Late.String(): "late", Wrong.String(): "wrong",
	} {
		if got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// Add never panics, and leaves everything as it was when it fails.
func FuzzAdd(f *testing.F) {
	spec := minimal()
	committees := everyone(spec, 10, 3, 50)
	chain := chainTo(SettlesAt(spec, 10))
	f.Add(uint64(83), uint64(82), uint64(10), []byte{7}, slices.Repeat([]byte{0xa5}, 7), 50)
	f.Add(uint64(83), uint64(82), uint64(10), []byte{5}, slices.Repeat([]byte{0xff}, 5), 33)
	f.Add(uint64(95), uint64(87), uint64(10), []byte{0xff}, []byte{}, -1)
	f.Add(uint64(0), uint64(1<<64-1), uint64(1<<64-1), []byte{}, []byte{}, 0)
	f.Fuzz(func(t *testing.T, at, slot, target uint64, committeeBits, aggregationBits []byte, length int) {
		tally := mustTally(t, spec, committees, NewWatchSet(everyoneIn(committees)))
		b := &Block{Slot: Slot(at), Attestations: []Attestation{{
			Slot: Slot(slot), TargetEpoch: Epoch(target),
			CommitteeBits: committeeBits, AggregationBits: aggregationBits, AggregationLen: length,
		}}}
		err := tally.Add(b, chain)
		n := tally.Outcome(OutcomeInput{Chain: chain}).Network
		if err != nil && n.AttestationsIncluded != 0 || n.AttestationsIncluded > uint64(max(length, 0)) {
			t.Errorf("error %v, %d included of %d bits", err, n.AttestationsIncluded, length)
		}
	})
}
