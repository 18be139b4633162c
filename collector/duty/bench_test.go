package duty

import (
	"math/rand/v2"
	"testing"
)

// million is a mainnet epoch of 2^20 validators: 64 committees in a slot, and
// blocks with 8 aggregates, one of all committees in time and older, partial ones.
func million() (spec *Spec, chain *testChain, committees *Committees, blocks []*Block) {
	const epoch, validators = 3, 1 << 20
	spec = mainnet()
	chain = chainTo(SettlesAt(spec, epoch))
	random := rand.New(rand.NewPCG(1, 1))
	members := make([]uint32, validators)
	for i, v := range random.Perm(validators) {
		members[i] = uint32(v)
	}
	slots := make([][]uint32, spec.SlotsPerEpoch)
	for n := range slots {
		slots[n] = members[n*validators/32 : (n+1)*validators/32-n] // some borders off the words'
	}
	committees = committeesOf(epoch, 64, slots...)
	for at := spec.FirstSlot(epoch) + 1; at <= spec.LastSlot(epoch+1); at++ {
		b := &Block{Slot: at}
		for i := range Slot(8) {
			slot := at - 1 - i/2
			if spec.EpochOf(slot) != epoch {
				continue
			}
			chosen := all(64)
			if i > 0 {
				chosen = random.Perm(64)[:40]
			}
			b.Attestations = append(b.Attestations, vote(spec, chain, committees, slot, chosen,
				func(ValidatorIndex) bool { return random.IntN(100) > 0 }))
		}
		blocks = append(blocks, b)
	}
	return spec, chain, committees, blocks
}

func watchEvery(step int) *WatchSet {
	var indices []ValidatorIndex
	for v := 0; v < 1<<20; v += step {
		indices = append(indices, ValidatorIndex(v))
	}
	return NewWatchSet(indices)
}

func BenchmarkNewTallyMillion(b *testing.B) {
	spec, _, committees, _ := million()
	for name, watch := range map[string]*WatchSet{
		"watched=8": watchEvery(1 << 17), "watched=16k": watchEvery(64), "watched=1M": watchEvery(1),
	} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				mustTally(b, spec, committees, watch)
			}
		})
	}
}

// One epoch's blocks, 8 aggregates each.
func BenchmarkTallyEpochMillion(b *testing.B) {
	spec, chain, committees, blocks := million()
	for name, watch := range map[string]*WatchSet{"watched=8": watchEvery(1 << 17), "watched=1M": watchEvery(1)} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				tally := mustTally(b, spec, committees, watch)
				mustAdd(b, tally, chain, blocks...)
			}
		})
	}
}

// One block's 8 aggregates, of which nothing is new.
func BenchmarkAddMillion(b *testing.B) {
	spec, chain, committees, blocks := million()
	tally := mustTally(b, spec, committees, watchEvery(64))
	mustAdd(b, tally, chain, blocks[:20]...)
	b.ReportAllocs()
	for b.Loop() {
		tally.last = 0
		mustAdd(b, tally, chain, blocks[19])
	}
}

func BenchmarkOutcomeMillion(b *testing.B) {
	spec, chain, committees, blocks := million()
	increments := make([]uint64, 1<<20)
	for i := range increments {
		increments[i] = 32
	}
	in := OutcomeInput{Chain: chain, Increments: func(v ValidatorIndex) uint64 { return increments[v] }}
	for name, watch := range map[string]*WatchSet{"watched=8": watchEvery(1 << 17), "watched=1M": watchEvery(1)} {
		b.Run(name, func(b *testing.B) {
			tally := mustTally(b, spec, committees, watch)
			mustAdd(b, tally, chain, blocks...)
			b.ReportAllocs()
			for b.Loop() {
				tally.Outcome(in)
			}
		})
	}
}
