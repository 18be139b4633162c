package chainsim

import (
	"math/rand/v2"
	"sync"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// shuffles gives committees, proposers and sync committees. They depend on the seed
// and the active set only, and are made again when they fell out of the cache.
type shuffles struct {
	preset   Preset
	dice     dice
	registry *registry

	mu    sync.Mutex
	kept  int
	cache map[duty.Epoch]*committees
	order []duty.Epoch
	sync  map[uint64][]uint32
}

// committees are one epoch's, members flat in the order of slot and committee.
type committees struct {
	epoch   duty.Epoch
	perSlot int
	members []uint32
	// bounds has an entry for each committee's start, and the end.
	bounds []uint32
}

func newShuffles(preset Preset, d dice, r *registry) *shuffles {
	// At a million validators 24 epochs are 100 MB; what is asked for again is nearly
	// always among the newest.
	return &shuffles{
		preset: preset, dice: d, registry: r, kept: 24,
		cache: map[duty.Epoch]*committees{}, sync: map[uint64][]uint32{},
	}
}

// cohort returns all members of the epoch's n-th slot.
func (c *committees) cohort(n int) []uint32 {
	return c.members[c.bounds[n*c.perSlot]:c.bounds[(n+1)*c.perSlot]]
}

// within returns the starts of the n-th slot's committees within its cohort, and the end.
func (c *committees) within(n int) []uint32 {
	bounds := make([]uint32, c.perSlot+1)
	for i := range bounds {
		bounds[i] = c.bounds[n*c.perSlot+i] - c.bounds[n*c.perSlot]
	}
	return bounds
}

func (s *shuffles) committees(epoch duty.Epoch) *committees {
	s.mu.Lock()
	defer s.mu.Unlock()
	if c, ok := s.cache[epoch]; ok {
		return c
	}
	c := s.shuffle(epoch)
	s.cache[epoch] = c
	s.order = append(s.order, epoch)
	if len(s.order) > s.kept {
		delete(s.cache, s.order[0])
		s.order = s.order[1:]
	}
	return c
}

func (s *shuffles) shuffle(epoch duty.Epoch) *committees {
	members := s.registry.activeSet(epoch)
	pcg := rand.NewPCG(s.dice.roll(topicShuffle, uint64(epoch), 0), s.dice.roll(topicShuffle, uint64(epoch), 1))
	rand.New(pcg).Shuffle(len(members), func(i, j int) { members[i], members[j] = members[j], members[i] })

	p := &s.preset
	perSlot := max(1, min(p.MaxCommitteesPerSlot, uint64(len(members))/p.SlotsPerEpoch/p.TargetCommitteeSize))
	count := perSlot * p.SlotsPerEpoch
	c := &committees{epoch: epoch, perSlot: int(perSlot), members: members, bounds: make([]uint32, count+1)}
	for i := range c.bounds {
		c.bounds[i] = uint32(uint64(len(members)) * uint64(i) / count)
	}
	return c
}

// proposer returns the validator whose turn it is at slot.
func (s *shuffles) proposer(slot duty.Slot) uint32 {
	active := s.committees(s.preset.epochOf(slot)).members
	if len(active) == 0 {
		return 0
	}
	return active[s.dice.roll(topicProposer, uint64(slot), 0)%uint64(len(active))]
}

// syncCommittee returns the seats of a sync committee period; a validator may have several.
func (s *shuffles) syncCommittee(period uint64) []uint32 {
	s.mu.Lock()
	defer s.mu.Unlock()
	if seats, ok := s.sync[period]; ok {
		return seats
	}
	active := s.registry.activeSet(duty.Epoch(period * s.preset.EpochsPerSyncCommitteePeriod))
	seats := make([]uint32, s.preset.SyncCommitteeSize)
	for i := range seats {
		if len(active) > 0 {
			seats[i] = active[s.dice.roll(topicSyncSeat, period, uint64(i))%uint64(len(active))]
		}
	}
	s.sync[period] = seats
	return seats
}

func (s *shuffles) syncPeriod(slot duty.Slot) uint64 {
	return uint64(s.preset.epochOf(slot)) / s.preset.EpochsPerSyncCommitteePeriod
}
