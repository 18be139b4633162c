package chainsim

import "github.com/ethereum-validator-monitor/validator-monitor/collector/duty"

// Fault is something that goes wrong, or changes, to order: one of the types below.
type Fault interface{ fault() }

// Selector selects validators; nil selects all of them.
type Selector func(duty.ValidatorIndex) bool

// Range selects the validators from..to, to not included.
func Range(from, to duty.ValidatorIndex) Selector {
	return func(v duty.ValidatorIndex) bool { return v >= from && v < to }
}

// Indices selects the validators named.
func Indices(indices ...duty.ValidatorIndex) Selector {
	set := make(map[duty.ValidatorIndex]struct{}, len(indices))
	for _, v := range indices {
		set[v] = struct{}{}
	}
	return func(v duty.ValidatorIndex) bool { _, ok := set[v]; return ok }
}

// Every selects each n-th validator, beginning with offset.
func Every(n, offset duty.ValidatorIndex) Selector {
	return func(v duty.ValidatorIndex) bool { return v%n == offset }
}

// Slots are the slots From..To, To not included; a zero To has no end.
type Slots struct{ From, To duty.Slot }

func (s Slots) has(slot duty.Slot) bool { return slot >= s.From && (s.To == 0 || slot < s.To) }

// Offline validators do nothing: no attestation, no block, no sync message.
type Offline struct {
	Validators Selector
	Slots      Slots
	// Probability is the chance per duty; 0 means always.
	Probability float64
}

// MissAttestation makes validators not attest, though they do the rest.
type MissAttestation Offline

// Late votes are included Delay slots after their slot at the earliest.
type Late struct {
	Validators  Selector
	Slots       Slots
	Probability float64
	Delay       int
}

// WrongHead votes are for the parent of the head.
type WrongHead Offline

// WrongTarget votes are for another target than the epoch's first block, with the right head.
type WrongTarget Offline

// NoProposal makes proposers fail: the slot stays empty.
type NoProposal Offline

// SyncMissing clears the bits of sync committee seats.
type SyncMissing Offline

// Outage leaves all its slots without blocks. Votes are cast and wait for the next block.
type Outage struct{ Slots Slots }

// LateBlock makes the blocks of its slots arrive after the slot's votes, which are
// then for the parent.
type LateBlock struct{ Slots Slots }

// Reorg orphans the blocks of the slots At..Until, Until not included: the first
// block from Until on builds on the newest block before At. Both slots get a block
// whatever the noise says. Reorgs must not overlap.
type Reorg struct{ At, Until duty.Slot }

// ProposerSlashing puts a slashing of Validator into the first block at or after
// Slot. It is slashed from there on, proposes no more, and exits five epochs later.
type ProposerSlashing struct {
	Slot      duty.Slot
	Validator duty.ValidatorIndex
}

// AttesterSlashing is like ProposerSlashing for several validators in one operation.
type AttesterSlashing struct {
	Slot       duty.Slot
	Validators []duty.ValidatorIndex
}

// Activation makes validators of the genesis wait until Epoch.
type Activation struct {
	Validators []duty.ValidatorIndex
	Epoch      duty.Epoch
}

// Exit makes validators leave at Epoch. Their record says so five epochs earlier.
type Exit struct {
	Validators []duty.ValidatorIndex
	Epoch      duty.Epoch
}

// Deposit adds Count validators to the registry at the first slot of Epoch; the
// chain does not know their keys before. They get the next free indices, by epoch
// and then by place in the config, and are active from Activation on.
type Deposit struct {
	Count             int
	Epoch, Activation duty.Epoch
}

// EffectiveBalance changes validators' effective balance from Epoch on. Above 32
// increments they get compounding credentials.
type EffectiveBalance struct {
	Validators []duty.ValidatorIndex
	Epoch      duty.Epoch
	// Increments is the balance in whole ether, 0 to 2048.
	Increments uint64
}

func (Offline) fault()          {}
func (MissAttestation) fault()  {}
func (Late) fault()             {}
func (WrongHead) fault()        {}
func (WrongTarget) fault()      {}
func (NoProposal) fault()       {}
func (SyncMissing) fault()      {}
func (Outage) fault()           {}
func (LateBlock) fault()        {}
func (Reorg) fault()            {}
func (ProposerSlashing) fault() {}
func (AttesterSlashing) fault() {}
func (Activation) fault()       {}
func (Exit) fault()             {}
func (Deposit) fault()          {}
func (EffectiveBalance) fault() {}
