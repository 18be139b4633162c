package chainsim

import (
	"cmp"
	"crypto/sha256"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Chain is a simulated beacon chain. It is safe for concurrent use.
type Chain struct {
	cfg       Config
	preset    Preset
	dice      dice
	registry  *registry
	shuffles  *shuffles
	behaviour *behaviour
	payload   []byte
	answers   answerCache
	rewards   rewardCache
	requests  requestCounts

	mu sync.RWMutex
	// slot is the current slot: every slot up to it has had its chance of a block.
	slot duty.Slot
	head *block
	// canonical holds the head's chain by slot, nil where a slot is empty.
	canonical []*block
	byRoot    map[duty.Root]*block
	byState   map[duty.Root]*block
	orphans   []Orphan
	// waiting holds the votes of the last two epochs.
	waiting map[duty.Slot][]*ballot
	reorgs  []Reorg
	ops     []*slashing
	advance advanced
}

// block is a block of any fork. It does not change once made, except that pruning
// takes carried and ssz away.
type block struct {
	slot            duty.Slot
	proposer        uint32
	parent          *block
	root, stateRoot duty.Root
	graffiti        [32]byte
	carried         []carried
	syncBits        bitset
	// ops are the slashings on this fork up to this block; the last newOps are its own.
	ops    []*slashing
	newOps int
	// checkpoints are those of the block's own state.
	checkpoints checkpoints
	// ssz is the encoding up to the payload's transactions.
	ssz []byte
}

// carried is an attestation in a block: some of a ballot's voters.
type carried struct {
	*ballot
	voters bitset
}

// slashing is an operation that waits for a block.
type slashing struct {
	slot       duty.Slot
	proposer   bool
	validators []duty.ValidatorIndex
}

func (b *block) ownOps() []*slashing { return b.ops[len(b.ops)-b.newOps:] }

// slashed tells whether v is slashed in the block's state.
func (b *block) slashed(v uint32) bool {
	for _, op := range b.ops {
		if slices.Contains(op.validators, duty.ValidatorIndex(v)) {
			return true
		}
	}
	return false
}

// ancestor returns the newest block of the fork at or before slot.
func (b *block) ancestor(slot duty.Slot) *block {
	for b.slot > slot && b.parent != nil {
		b = b.parent
	}
	return b
}

// New returns a chain that has its genesis block only.
func New(cfg Config) (*Chain, error) {
	cfg, err := cfg.withDefaults()
	if err != nil {
		return nil, err
	}
	registry, err := newRegistry(&cfg)
	if err != nil {
		return nil, err
	}
	c := &Chain{
		cfg: cfg, preset: cfg.Preset, dice: dice{cfg.Seed}, registry: registry,
		behaviour: newBehaviour(&cfg),
		byRoot:    map[duty.Root]*block{}, byState: map[duty.Root]*block{},
		waiting: map[duty.Slot][]*ballot{},
	}
	c.shuffles = newShuffles(cfg.Preset, c.dice, registry)
	c.payload = encodePayloadTail(c.dice, cfg.BlockPayloadBytes)
	for _, f := range cfg.Faults {
		switch f := f.(type) {
		case Reorg:
			c.reorgs = append(c.reorgs, f)
		case ProposerSlashing:
			c.ops = append(c.ops, &slashing{f.Slot, true, []duty.ValidatorIndex{f.Validator}})
		case AttesterSlashing:
			c.ops = append(c.ops, &slashing{f.Slot, false, f.Validators})
		}
	}
	slices.SortStableFunc(c.reorgs, func(a, b Reorg) int { return cmp.Compare(a.At, b.At) })
	for i, r := range c.reorgs {
		if r.At == 0 || r.Until <= r.At || i > 0 && r.At < c.reorgs[i-1].Until {
			return nil, fmt.Errorf("reorg of slots %d to %d: give 0 < At < Until, and none that overlap", r.At, r.Until)
		}
	}

	genesis := &block{syncBits: newBitset(int(c.preset.SyncCommitteeSize))}
	c.seal(genesis)
	genesis.checkpoints = checkpoints{previous: checkpoint{root: genesis.root}, justified: checkpoint{root: genesis.root}, finalized: checkpoint{root: genesis.root}}
	c.head, c.canonical = genesis, []*block{genesis}
	c.waiting[0] = c.ballots(0)
	return c, nil
}

// Spec returns the chain's constants as a reader should find them.
func (c *Chain) Spec() *duty.Spec {
	p := &c.preset
	return &duty.Spec{
		Network: c.cfg.Network, GenesisTime: c.cfg.GenesisTime, GenesisValidatorsRoot: c.genesisRoot(false),
		SlotDuration: p.SlotDuration, SlotsPerEpoch: p.SlotsPerEpoch, MaxCommitteesPerSlot: p.MaxCommitteesPerSlot,
		SyncCommitteeSize: p.SyncCommitteeSize, EpochsPerSyncCommitteePeriod: p.EpochsPerSyncCommitteePeriod,
		EffectiveBalanceIncrement: increment, SourceWeight: 14, TargetWeight: 26, HeadWeight: 14,
		ElectraForkEpoch: p.ElectraForkEpoch, FuluForkEpoch: p.FuluForkEpoch, GloasForkEpoch: duty.FarFutureEpoch,
	}
}

// Pubkey returns the key of a validator, also of one whose deposit is still to come.
func (c *Chain) Pubkey(v duty.ValidatorIndex) [48]byte { return c.registry.pubkey(uint32(v)) }

// Slot is the current slot.
func (c *Chain) Slot() duty.Slot {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.slot
}

// Head returns the slot and root of the canonical head.
func (c *Chain) Head() (duty.Slot, duty.Root) {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return c.head.slot, c.head.root
}

// AdvanceTo grows the chain until slot is the current one. It never shrinks.
func (c *Chain) AdvanceTo(slot duty.Slot) {
	for c.Slot() < slot {
		c.mu.Lock()
		if c.slot < slot {
			c.step(c.slot + 1)
		}
		c.mu.Unlock()
	}
}

// tick follows the clock, if the chain has one.
func (c *Chain) tick() {
	if c.cfg.Clock == nil {
		return
	}
	if since := c.cfg.Clock().Sub(c.cfg.GenesisTime); since > 0 {
		c.AdvanceTo(duty.Slot(since / c.preset.SlotDuration))
	}
}

// step gives slot its block, if its proposer makes one, and its votes.
func (c *Chain) step(slot duty.Slot) {
	c.slot = slot
	c.canonical = append(c.canonical, nil)

	parent, forced := c.head, false
	if len(c.reorgs) > 0 {
		next := c.reorgs[0]
		forced = slot == next.At || slot == next.Until
		if slot >= next.Until {
			parent = c.head.ancestor(next.At - 1)
		}
	}
	proposer := c.shuffles.proposer(slot)
	if !parent.slashed(proposer) && c.behaviour.proposes(proposer, slot, forced) {
		if len(c.reorgs) > 0 && slot >= c.reorgs[0].Until {
			c.reorgs = c.reorgs[1:]
		}
		c.adopt(c.propose(slot, proposer, parent))
	}

	c.waiting[slot] = c.ballots(slot)
	if old := 2 * c.preset.SlotsPerEpoch; uint64(slot) >= old {
		delete(c.waiting, slot-duty.Slot(old))
	}
	c.prune()
}

// adopt makes b the head and orphans what its fork leaves behind.
func (c *Chain) adopt(b *block) {
	for left := c.head; left != b.parent; left = left.parent {
		c.canonical[left.slot] = nil
		c.orphans = append(c.orphans, Orphan{
			Slot: left.slot, Root: left.root, Proposer: duty.ValidatorIndex(left.proposer), OrphanedAt: b.slot,
		})
	}
	c.head = b
	c.canonical[b.slot] = b
}

// prune takes the contents from the blocks that nobody may ask for any more.
func (c *Chain) prune() {
	kept := c.cfg.KeepEpochs * c.preset.SlotsPerEpoch
	if kept == 0 || uint64(c.slot) < kept {
		return
	}
	if old := c.canonical[uint64(c.slot)-kept]; old != nil && old.slot > 0 {
		old.carried, old.ssz = nil, nil
	}
}

// propose makes the block of slot on parent.
func (c *Chain) propose(slot duty.Slot, proposer uint32, parent *block) *block {
	b := &block{slot: slot, proposer: proposer, parent: parent, ops: parent.ops}
	b.checkpoints = c.checkpointsAt(parent, c.preset.epochOf(slot))
	c.dice.fill(b.graffiti[8:], topicBlock, uint64(slot))
	b.carried = c.pack(b)

	seats := c.shuffles.syncCommittee(c.shuffles.syncPeriod(slot))
	b.syncBits = newBitset(len(seats))
	for seat, v := range seats {
		if c.behaviour.signs(v, seat, slot) {
			b.syncBits.set(seat)
		}
	}

	// One operation of each kind per block: Electra allows a single attester slashing.
	var hasProposer, hasAttester bool
	for _, op := range c.ops {
		due := op.slot <= slot && !slices.Contains(b.ops, op)
		if !due || op.proposer && hasProposer || !op.proposer && hasAttester {
			continue
		}
		hasProposer, hasAttester = hasProposer || op.proposer, hasAttester || !op.proposer
		b.ops = append(slices.Clip(b.ops), op)
		b.newOps++
	}
	c.seal(b)
	return b
}

// seal encodes b, gives it its root and makes it known.
func (c *Chain) seal(b *block) {
	var seed [16]byte
	binary.LittleEndian.PutUint64(seed[:], c.cfg.Seed)
	binary.LittleEndian.PutUint64(seed[8:], uint64(b.slot))
	h := sha256.New()
	h.Write([]byte("state"))
	h.Write(seed[:])
	if b.parent != nil {
		h.Write(b.parent.root[:])
	}
	h.Sum(b.stateRoot[:0])

	b.ssz = c.encode(b)
	b.root = sha256.Sum256(b.ssz)
	c.byRoot[b.root] = b
	c.byState[b.stateRoot] = b
}

// pack chooses the attestations of b: everything that is ready and not yet on its
// fork, newest first, and sometimes more of what is there already.
func (c *Chain) pack(b *block) []carried {
	epoch := c.preset.epochOf(b.slot)
	oldest := duty.Slot(0)
	if epoch > 0 {
		oldest = c.preset.FirstSlot(epoch - 1)
	}
	onFork := map[*ballot]bool{}
	for at := b.parent; at != nil && at.slot > oldest; at = at.parent {
		for _, a := range at.carried {
			onFork[a.ballot] = true
		}
	}

	var list []carried
	room := func(n int) bool { return len(list)+n <= c.cfg.AggregatesPerBlock }
	luck := c.dice.roll(topicBlock, uint64(b.slot), 1)
	for i := b.slot; i > oldest; i-- {
		slot := i - 1
		source := b.checkpoints.justified
		if c.preset.epochOf(slot) < epoch {
			source = b.checkpoints.previous
		}
		for _, v := range c.waiting[slot] {
			switch {
			case onFork[v] || slot+duty.Slot(v.delay) > b.slot || v.source != source:
			case !room(1):
				return list
			case v.intent == Timely && !c.cfg.FullAggregates && luck%4 == 0 && slot+1 == b.slot && room(4):
				first, second := c.overlap(v)
				list = append(list, carried{v, first}, carried{v, second})
			case v.intent == Delayed && (c.cfg.FullAggregates || luck>>2%2 == 0):
				list = append(list, carried{v, c.withTimely(v)})
			default:
				list = append(list, carried{v, v.voters})
			}
		}
	}
	return c.pad(b, list, luck)
}

// pad repeats votes that are on chain already, or in this block: readers must take
// the earliest inclusion and count nobody twice.
func (c *Chain) pad(b *block, list []carried, luck uint64) []carried {
	if b.slot == 0 {
		return list
	}
	if c.cfg.FullAggregates {
		for _, v := range c.waiting[b.slot-1] {
			for n := uint64(0); v.intent == Timely && len(list) < c.cfg.AggregatesPerBlock && v.source == b.checkpoints.justified; n++ {
				list = append(list, carried{v, c.subset(v, n)})
			}
		}
		return list
	}
	if luck>>4%8 == 0 && len(list) < c.cfg.AggregatesPerBlock && b.parent.parent != nil && len(b.parent.carried) > 0 {
		again := b.parent.carried[0]
		if c.preset.epochOf(again.slot) == c.preset.epochOf(b.slot) && again.source == b.checkpoints.justified {
			list = append(list, again)
		}
	}
	return list
}

// overlap splits a ballot's voters in two parts that share some.
func (c *Chain) overlap(v *ballot) (first, second bitset) {
	first, second = c.subset(v, 100), c.subset(v, 101)
	for i, all := range v.voters {
		second[i] |= all &^ first[i]
	}
	if first.count() == 0 {
		copy(first, v.voters)
	}
	if second.count() == 0 {
		copy(second, v.voters)
	}
	return first, second
}

// subset returns about half of a ballot's voters.
func (c *Chain) subset(v *ballot, n uint64) bitset {
	some := make(bitset, len(v.voters))
	c.dice.fill(some, topicSubset+topic(n)<<8, uint64(v.slot))
	for i := range some {
		some[i] &= v.voters[i]
	}
	return some
}

// withTimely returns a late ballot's voters together with those who were in time
// with the same vote, as an aggregator that heard of all of them would.
func (c *Chain) withTimely(late *ballot) bitset {
	all := slices.Clone(late.voters)
	for _, v := range c.waiting[late.slot] {
		if v.intent == Timely {
			all.or(v.voters)
		}
	}
	return all
}
