package chainsim

import (
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Intent is what the simulator had an attester do.
type Intent uint8

// Intents. Timely votes were cast right and at once; if one is lost anyway, the
// network lost it.
const (
	Timely Intent = iota
	Silent
	Delayed
	ForWrongHead
	ForWrongTarget
)

// String names the intent.
func (i Intent) String() string {
	return [...]string{"timely", "silent", "delayed", "wrong head", "wrong target"}[i]
}

// ballot is a group of equal votes: same slot, same data, ready at the same time.
type ballot struct {
	slot   duty.Slot
	intent Intent
	// delay is how many slots after its slot a block can include it.
	delay  int
	head   duty.Root
	target duty.Root
	source checkpoint
	// voters has a bit for each member of the slot's cohort.
	voters bitset
}

// behaviour holds the faults of a config, sorted by what they decide.
type behaviour struct {
	dice      dice
	noise     Noise
	votes     []voteFault
	proposals []Offline
	sync      []Offline
	outages   []Outage
	late      []LateBlock
}

type voteFault struct {
	Offline
	intent Intent
	delay  int
	// at is the fault's place in the config, so that two faults roll apart.
	at uint64
}

func newBehaviour(cfg *Config) *behaviour {
	b := &behaviour{dice: dice{cfg.Seed}, noise: *cfg.Noise}
	for i, f := range cfg.Faults {
		at := uint64(i)
		switch f := f.(type) {
		case Offline:
			b.votes = append(b.votes, voteFault{f, Silent, 0, at})
			b.proposals = append(b.proposals, f)
			b.sync = append(b.sync, f)
		case MissAttestation:
			b.votes = append(b.votes, voteFault{Offline(f), Silent, 0, at})
		case Late:
			b.votes = append(b.votes, voteFault{Offline{f.Validators, f.Slots, f.Probability}, Delayed, max(f.Delay, 1), at})
		case WrongHead:
			b.votes = append(b.votes, voteFault{Offline(f), ForWrongHead, 1, at})
		case WrongTarget:
			b.votes = append(b.votes, voteFault{Offline(f), ForWrongTarget, 1, at})
		case NoProposal:
			b.proposals = append(b.proposals, Offline(f))
		case SyncMissing:
			b.sync = append(b.sync, Offline(f))
		case Outage:
			b.outages = append(b.outages, f)
		case LateBlock:
			b.late = append(b.late, f)
		}
	}
	return b
}

func (o *Offline) fits(v uint32, slot duty.Slot) bool {
	return o.Slots.has(slot) && (o.Validators == nil || o.Validators(duty.ValidatorIndex(v)))
}

// attester decides what validator v does at its duty in slot.
func (b *behaviour) attester(v uint32, slot duty.Slot) (Intent, int) {
	for i := range b.votes {
		f := &b.votes[i]
		if f.fits(v, slot) && happens(b.dice.roll(topicVoteFault+topic(f.at)<<8, uint64(slot), uint64(v)), f.Probability) {
			return f.intent, f.delay
		}
	}
	roll := b.dice.roll(topicVote, uint64(slot), uint64(v))
	chance, n := unit(roll), &b.noise
	switch {
	case chance < n.Miss:
		return Silent, 0
	case chance < n.Miss+n.Late:
		return Delayed, [...]int{2, 2, 3, 6}[roll&3]
	case chance < n.Miss+n.Late+n.WrongHead:
		return ForWrongHead, 1
	case chance < n.Miss+n.Late+n.WrongHead+n.WrongTarget:
		return ForWrongTarget, 1
	}
	return Timely, 1
}

// proposes decides whether the proposer of slot makes its block; forced slots know no noise.
func (b *behaviour) proposes(v uint32, slot duty.Slot, forced bool) bool {
	for _, o := range b.outages {
		if o.Slots.has(slot) {
			return false
		}
	}
	if forced {
		return true
	}
	for i := range b.proposals {
		f := &b.proposals[i]
		if f.fits(v, slot) && happens(b.dice.roll(topicProposalFault+topic(i)<<8, uint64(slot), uint64(v)), f.Probability) {
			return false
		}
	}
	return unit(b.dice.roll(topicEmptySlot, uint64(slot), 0)) >= b.noise.EmptySlot
}

// signs decides whether a sync committee seat of validator v signs for the block at slot.
func (b *behaviour) signs(v uint32, seat int, slot duty.Slot) bool {
	for i := range b.sync {
		f := &b.sync[i]
		if f.fits(v, slot) && happens(b.dice.roll(topicSyncFault+topic(i)<<8, uint64(slot), uint64(v)), f.Probability) {
			return false
		}
	}
	return unit(b.dice.roll(topicSync, uint64(slot), uint64(seat))) >= b.noise.SyncMiss
}

func (b *behaviour) arrivesLate(slot duty.Slot) bool {
	for _, l := range b.late {
		if l.Slots.has(slot) {
			return true
		}
	}
	return false
}

// ballots lets the cohort of slot vote, as seen from the head of that moment.
func (c *Chain) ballots(slot duty.Slot) []*ballot {
	epoch := c.preset.epochOf(slot)
	cohort := c.shuffles.committees(epoch).cohort(int(uint64(slot) % c.preset.SlotsPerEpoch))

	seen := c.head
	if seen.slot == slot && seen.parent != nil && c.behaviour.arrivesLate(slot) {
		seen = seen.parent
	}
	target := seen.ancestor(c.preset.FirstSlot(epoch))
	source := c.checkpointsAt(seen, epoch).justified

	type key struct {
		intent Intent
		delay  int
	}
	var list []*ballot
	byKey := map[key]*ballot{}
	var last *ballot
	for place, v := range cohort {
		intent, delay := c.behaviour.attester(v, slot)
		if intent == Silent {
			continue
		}
		if last == nil || last.intent != intent || last.delay != delay {
			last = byKey[key{intent, delay}]
		}
		if last == nil {
			last = &ballot{
				slot: slot, intent: intent, delay: delay,
				head: seen.root, target: target.root, source: source, voters: newBitset(len(cohort)),
			}
			switch intent {
			case ForWrongHead:
				last.head = seen.other()
			case ForWrongTarget:
				last.target = target.other()
			}
			byKey[key{intent, delay}] = last
			list = append(list, last)
		}
		last.voters.set(place)
	}
	return list
}

// other returns a root that is not this block's: its parent's, or none that exists.
func (b *block) other() duty.Root {
	if b.parent != nil {
		return b.parent.root
	}
	return duty.Root{0: 0xff}
}
