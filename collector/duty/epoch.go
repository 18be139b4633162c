package duty

import (
	"fmt"
	"iter"
	"math/bits"
)

// OutcomeInput is what an epoch's outcome needs besides its attestations.
type OutcomeInput struct {
	Chain Chain
	// Blocks are the canonical blocks with a slot in the epoch, ascending.
	Blocks []*Block
	// Proposers has the expected proposer of each slot of the epoch. Slot 0 of the
	// chain is never expected.
	Proposers []ValidatorIndex
	// SyncCommittee has the validator of each seat in the epoch's period.
	SyncCommittee []ValidatorIndex
	// Increments returns a validator's effective balance in increments; nil when
	// balances are not known, then the network's stake is not known either.
	Increments func(ValidatorIndex) uint64
}

// Check tells whether the lengths and the order of the input are possible, which
// Outcome and LiveEpoch rely on.
func (in *OutcomeInput) Check(spec *Spec, epoch Epoch) error {
	if uint64(len(in.Proposers)) != spec.SlotsPerEpoch {
		return fmt.Errorf("epoch %d: %d proposers, want %d", epoch, len(in.Proposers), spec.SlotsPerEpoch)
	}
	if uint64(len(in.SyncCommittee)) != spec.SyncCommitteeSize {
		return fmt.Errorf("epoch %d: %d sync committee seats, want %d", epoch, len(in.SyncCommittee), spec.SyncCommitteeSize)
	}
	for i, b := range in.Blocks {
		switch {
		case spec.EpochOf(b.Slot) != epoch:
			return fmt.Errorf("epoch %d: a block at slot %d is none of its blocks", epoch, b.Slot)
		case i > 0 && b.Slot <= in.Blocks[i-1].Slot:
			return fmt.Errorf("epoch %d: block at slot %d after that at slot %d", epoch, b.Slot, in.Blocks[i-1].Slot)
		case len(b.SyncBits) != (len(in.SyncCommittee)+7)/8:
			return fmt.Errorf("epoch %d: block at slot %d has %d bytes of sync bits for %d seats", epoch, b.Slot, len(b.SyncBits), len(in.SyncCommittee))
		}
	}
	return nil
}

// EpochOutcome is what the watched validators, and all together, did in an epoch.
type EpochOutcome struct {
	Epoch Epoch
	Watch *WatchSet
	// Validators is indexed by ordinal.
	Validators []ValidatorEpoch
	Network    NetworkEpoch
}

// Outcome returns the epoch's outcome. It is final once the epoch is settled and
// all its blocks were added. Before that it is the view as of in.Chain.Head(),
// where a duty that has no block after it yet counts as lost to the network.
func (t *Tally) Outcome(in OutcomeInput) *EpochOutcome {
	out := &EpochOutcome{
		Epoch:      t.epoch,
		Watch:      t.watch,
		Validators: make([]ValidatorEpoch, t.watch.Len()),
	}
	judged := make([]verdict, len(t.cohorts))
	for n := range t.cohorts {
		judged[n] = t.judgeCohort(n, in.Chain)
		judged[n].addTo(&out.Network.Totals)
	}
	if in.Increments != nil {
		out.Network.StakeKnown = true
		for n := range t.cohorts {
			t.addStake(&out.Network.Totals, n, judged[n].network, in.Increments)
		}
	}
	for ordinal, p := range t.places {
		if p.duty {
			out.Validators[ordinal] = t.cohorts[p.slot].member(p.position, judged[p.slot].network)
		}
	}
	in.account(t.spec, t.epoch, t.watch, out.Validators, &out.Network)
	return out
}

// verdict is what a cohort did, and which votes it lost to the network.
type verdict struct {
	size, included int
	earned         [voteCount]int
	headLate       int
	delaySum       uint64
	network        [voteCount]bool
}

// networkQuorum is the least number of others in a cohort whose losses can excuse
// a validator's own: on a tiny chain a dead neighbour is no network fault.
const networkQuorum = 16

func (t *Tally) judgeCohort(n int, chain Chain) verdict {
	c := &t.cohorts[n]
	v := verdict{size: c.size, delaySum: c.delaySum}
	headRight := 0
	for i := range c.words {
		w := &c.words[i]
		v.included += bits.OnesCount64(w.included)
		v.earned[Source] += bits.OnesCount64(w.source)
		v.earned[Target] += bits.OnesCount64(w.target)
		v.earned[Head] += bits.OnesCount64(w.head)
		headRight += bits.OnesCount64(w.headRight)
	}
	v.headLate = headRight - v.earned[Head]

	// Every loser sees the same numbers, so the rule holds for all of them or none.
	others := c.size - 1
	for vote, earned := range v.earned {
		lostOthers := c.size - earned - 1
		v.network[vote] = others >= networkQuorum && 2*lostOthers > others
	}
	// A vote that no block could have carried in time was lost by everybody.
	slot := t.spec.FirstSlot(t.epoch) + Slot(n)
	carrier, ok := chain.FirstBlockFrom(slot + 1)
	v.network[Head] = v.network[Head] || !ok || carrier > slot+1
	v.network[Source] = v.network[Source] || !ok || carrier > slot+Slot(timelySourceSlots(t.spec.SlotsPerEpoch))
	v.network[Target] = v.network[Target] || !ok || carrier > t.spec.LastSlot(t.epoch+1)
	return v
}

func (v *verdict) addTo(o *Totals) {
	o.AttestationsExpected += uint64(v.size)
	o.AttestationsIncluded += uint64(v.included)
	o.SourceVotes += uint64(v.earned[Source])
	o.TargetVotes += uint64(v.earned[Target])
	o.HeadVotes += uint64(v.earned[Head])
	o.InclusionDelay += v.delaySum

	late := [voteCount]int{Source: v.included - v.earned[Source], Head: v.headLate}
	for vote, earned := range v.earned {
		lost := &o.Lost[vote]
		if v.network[vote] {
			lost[Network] += uint64(v.size - earned)
			continue
		}
		lost[Missing] += uint64(v.size - v.included)
		lost[Late] += uint64(late[vote])
		lost[Wrong] += uint64(v.included - earned - late[vote])
	}
}

// addStake adds the stake sums of a cohort.
func (t *Tally) addStake(o *Totals, n int, network [voteCount]bool, increments func(ValidatorIndex) uint64) {
	c, weights := &t.cohorts[n], t.spec.weights()
	for position, member := range t.committees.SlotMembers(n) {
		w, bit := &c.words[position/64], position%64
		earned := [voteCount]bool{w.source>>bit&1 != 0, w.target>>bit&1 != 0, w.head>>bit&1 != 0}
		stake := increments(ValidatorIndex(member))
		for vote, weight := range weights {
			o.StakePossible += stake * weight
			if earned[vote] {
				o.StakeEarned += stake * weight
			}
			if earned[vote] || !network[vote] {
				o.StakeAchievable += stake * weight
			}
		}
	}
}

// member returns the attestation outcome of the cohort's member at position.
func (c *cohort) member(position uint32, network [voteCount]bool) ValidatorEpoch {
	w, bit := &c.words[position/64], position%64
	has := func(set uint64) bool { return set>>bit&1 != 0 }

	v := ValidatorEpoch{Duty: true, Included: has(w.included), Delay: c.delays[position]}
	earned := [voteCount]bool{has(w.source), has(w.target), has(w.head)}
	late := [voteCount]bool{Source: true, Head: has(w.headRight)} // if it was included at all
	for vote := range v.Lost {
		switch {
		case earned[vote]:
		case network[vote]:
			v.Lost[vote] = Network
		case !v.Included:
			v.Lost[vote] = Missing
		case late[vote]:
			v.Lost[vote] = Late
		default:
			v.Lost[vote] = Wrong
		}
	}
	return v
}

// account adds proposals, sync committee duties and slashings up to the head.
func (in *OutcomeInput) account(spec *Spec, epoch Epoch, watch *WatchSet, validators []ValidatorEpoch, network *NetworkEpoch) {
	for proposer, made := range in.proposals(spec, epoch) {
		network.BlocksExpected++
		network.BlocksProposed += count(made)
		if ordinal, ok := watch.Ordinal(proposer); ok {
			validators[ordinal].BlocksExpected++
			validators[ordinal].BlocksProposed += uint8(count(made))
		}
	}
	signed := in.signedBlocks()
	for _, b := range signed {
		network.SyncExpected += uint64(len(in.SyncCommittee))
		for _, set := range b.SyncBits {
			network.SyncIncluded += uint64(bits.OnesCount8(set))
		}
	}
	for seat, validator := range in.SyncCommittee {
		ordinal, ok := watch.Ordinal(validator)
		if !ok {
			continue
		}
		v := &validators[ordinal]
		v.SyncExpected += uint16(len(signed))
		for _, b := range signed {
			v.SyncIncluded += uint16(b.SyncBits[seat/8] >> (seat % 8) & 1)
		}
	}
	for _, b := range in.Blocks {
		network.ProposerSlashings += uint64(b.ProposerSlashings)
		network.AttesterSlashings += uint64(b.AttesterSlashings)
	}
}

// signedBlocks are the blocks up to the head that carry a sync aggregate: all but
// genesis.
func (in *OutcomeInput) signedBlocks() []*Block {
	blocks := in.Blocks
	for len(blocks) > 0 && blocks[len(blocks)-1].Slot > in.Chain.Head() {
		blocks = blocks[:len(blocks)-1]
	}
	if len(blocks) > 0 && blocks[0].Slot == 0 {
		blocks = blocks[1:]
	}
	return blocks
}

// proposals yields the proposer of each slot up to the head, and whether its block
// is canonical. Where there is a block, the block itself names its proposer.
func (in *OutcomeInput) proposals(spec *Spec, epoch Epoch) iter.Seq2[ValidatorIndex, bool] {
	return func(yield func(ValidatorIndex, bool) bool) {
		blocks, first := in.Blocks, spec.FirstSlot(epoch)
		for i, proposer := range in.Proposers {
			slot := first + Slot(i)
			if slot > in.Chain.Head() {
				return
			}
			made := len(blocks) > 0 && blocks[0].Slot == slot
			if made {
				proposer, blocks = blocks[0].Proposer, blocks[1:]
			}
			if slot > 0 && !yield(proposer, made) {
				return
			}
		}
	}
}

func count(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// Live is what a validator has missed so far of an epoch that is not settled.
type Live struct {
	BlocksMissed uint8
	SyncMissed   uint16
}

// LiveEpoch returns, by ordinal, what the chain up to in.Chain.Head() shows of an
// epoch's proposals and sync committee. The attestations are Tally.Overdue's.
func LiveEpoch(spec *Spec, epoch Epoch, watch *WatchSet, in OutcomeInput) []Live {
	validators := make([]ValidatorEpoch, watch.Len())
	in.account(spec, epoch, watch, validators, new(NetworkEpoch))
	live := make([]Live, len(validators))
	for i, v := range validators {
		live[i] = Live{BlocksMissed: v.BlocksExpected - v.BlocksProposed, SyncMissed: v.SyncExpected - v.SyncIncluded}
	}
	return live
}
