package duty

import "time"

// Slot is a beacon chain slot.
type Slot uint64

// Epoch is a beacon chain epoch.
type Epoch uint64

// FarFutureEpoch marks an event that is not scheduled (spec: FAR_FUTURE_EPOCH).
const FarFutureEpoch Epoch = 1<<64 - 1

// ValidatorIndex is a validator's place in the registry.
type ValidatorIndex uint64

// Gwei is an amount of 1e-9 ether (or 1e-9 mGNO on Gnosis).
type Gwei uint64

// Root is a hash tree root.
type Root [32]byte

// Spec holds the constants of a chain, as its node's /eth/v1/config/spec and
// /eth/v1/beacon/genesis name them. Nothing here is ever assumed.
type Spec struct {
	// Network is CONFIG_NAME, the value of the label "network".
	Network               string
	GenesisTime           time.Time
	GenesisValidatorsRoot Root
	// SlotDuration is SLOT_DURATION_MS, or SECONDS_PER_SLOT where only that is served.
	SlotDuration                 time.Duration
	SlotsPerEpoch                uint64
	MaxCommitteesPerSlot         uint64
	SyncCommitteeSize            uint64
	EpochsPerSyncCommitteePeriod uint64
	// EffectiveBalanceIncrement is in gwei.
	EffectiveBalanceIncrement Gwei
	// The weights of the three attestation votes (spec: TIMELY_*_WEIGHT).
	SourceWeight, TargetWeight, HeadWeight uint64
	// Fork epochs; FarFutureEpoch when not scheduled or not known to the node.
	ElectraForkEpoch, FuluForkEpoch, GloasForkEpoch Epoch
}

// VoteWeights is the weight of all three attestation votes: 54 on every known chain.
func (s *Spec) VoteWeights() uint64 { return s.SourceWeight + s.TargetWeight + s.HeadWeight }

// weights returns the weight of each vote.
func (s *Spec) weights() [voteCount]uint64 {
	return [voteCount]uint64{s.SourceWeight, s.TargetWeight, s.HeadWeight}
}

// EpochOf returns the epoch that slot lies in.
func (s *Spec) EpochOf(slot Slot) Epoch { return Epoch(uint64(slot) / s.SlotsPerEpoch) }

// FirstSlot returns the first slot of epoch.
func (s *Spec) FirstSlot(epoch Epoch) Slot { return Slot(uint64(epoch) * s.SlotsPerEpoch) }

// LastSlot returns the last slot of epoch.
func (s *Spec) LastSlot(epoch Epoch) Slot { return s.FirstSlot(epoch+1) - 1 }

// SlotStart returns the time at which slot begins.
func (s *Spec) SlotStart(slot Slot) time.Time {
	return s.GenesisTime.Add(time.Duration(slot) * s.SlotDuration)
}

// SlotAt returns the slot that t lies in; ok is false before genesis.
func (s *Spec) SlotAt(t time.Time) (slot Slot, ok bool) {
	since := t.Sub(s.GenesisTime)
	if since < 0 || s.SlotDuration <= 0 {
		return 0, false
	}
	return Slot(since / s.SlotDuration), true
}

// SyncPeriod returns the sync committee period of epoch.
func (s *Spec) SyncPeriod(epoch Epoch) uint64 {
	return uint64(epoch) / s.EpochsPerSyncCommitteePeriod
}

// Block is what accounting needs of a canonical beacon block. Its root is not
// computed: it is known from the block's child, or from the head's header.
type Block struct {
	Slot       Slot
	Proposer   ValidatorIndex
	ParentRoot Root
	// Attestations are in the order of the block.
	Attestations []Attestation
	// SyncBits is the sync aggregate's bit vector, SYNC_COMMITTEE_SIZE bits, least
	// significant bit first.
	SyncBits []byte
	// ProposerSlashings and AttesterSlashings are the numbers of such operations.
	ProposerSlashings, AttesterSlashings int
	// Bid holds the payload hashes of a Gloas block; nil before Gloas.
	Bid *PayloadBid
}

// PayloadBid names the execution payload that a Gloas (EIP-7732) block commits to.
type PayloadBid struct {
	ParentBlockHash, BlockHash Root
}

// Attestation is an on-chain aggregate in the EIP-7549 format (Electra and later).
type Attestation struct {
	Slot Slot
	// Index is data.index: 0 before Gloas, the payload-status vote (0 or 1) since.
	Index           uint64
	BeaconBlockRoot Root
	TargetEpoch     Epoch
	TargetRoot      Root
	// CommitteeBits selects committees of the slot, least significant bit first.
	CommitteeBits []byte
	// AggregationBits holds one bit for each member of the selected committees, in
	// ascending committee order, without the bitlist's length bit.
	AggregationBits []byte
	// AggregationLen is the number of valid bits in AggregationBits.
	AggregationLen int
}

// Committees are the beacon committees of one epoch, flat: all members of the
// first slot's committee 0, then committee 1, …, then the second slot's.
type Committees struct {
	Epoch Epoch
	// PerSlot is the number of committees in each slot.
	PerSlot int
	// Offsets has SlotsPerEpoch*PerSlot+1 entries; committee i of the epoch's n-th
	// slot is Members[Offsets[n*PerSlot+i]:Offsets[n*PerSlot+i+1]].
	Offsets []uint32
	Members []uint32
}

// SlotMembers returns all members with duty in the epoch's n-th slot, committees
// in ascending order.
func (c *Committees) SlotMembers(n int) []uint32 {
	return c.Members[c.Offsets[n*c.PerSlot]:c.Offsets[(n+1)*c.PerSlot]]
}

// Committee returns committee i of the epoch's n-th slot.
func (c *Committees) Committee(n, i int) []uint32 {
	at := n*c.PerSlot + i
	return c.Members[c.Offsets[at]:c.Offsets[at+1]]
}

// Chain answers questions about the canonical chain, for the slots it covers.
type Chain interface {
	// RootAt returns the root of the newest canonical block at or before slot
	// (spec: get_block_root_at_slot); ok is false where the chain is not known.
	RootAt(slot Slot) (root Root, ok bool)
	// HasBlock tells whether slot holds a canonical block.
	HasBlock(slot Slot) bool
	// FirstBlockFrom returns the slot of the first canonical block at or after slot;
	// ok is false when there is none up to the head.
	FirstBlockFrom(slot Slot) (at Slot, ok bool)
	// Head is the slot of the newest canonical block.
	Head() Slot
	// PayloadFull tells, on Gloas, whether the block at slot turned out to have its
	// payload (spec: execution_payload_availability); known is false where that
	// cannot be told from the chain.
	PayloadFull(slot Slot) (full, known bool)
}
