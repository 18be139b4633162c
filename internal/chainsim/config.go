package chainsim

import (
	"errors"
	"fmt"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Config describes a chain completely: equal configs give equal bytes.
type Config struct {
	// Preset holds the constants; the zero value is Mainnet().
	Preset Preset
	// Validators is the number of validators at genesis, all of them active.
	Validators int
	// Seed selects committees, proposers, keys and every chance.
	Seed uint64
	// GenesisTime is cut to whole seconds; the zero value is 2020-12-01 12:00:23 UTC.
	GenesisTime time.Time
	// Network is CONFIG_NAME; "chainsim" when empty.
	Network string
	// Clock makes the chain follow the time at every request. Without it the chain
	// grows by AdvanceTo only.
	Clock func() time.Time
	// Noise are the chances of ordinary life; nil is RealisticNoise(), &Noise{} is none.
	Noise *Noise
	// Faults are what goes wrong to order. The first that fits a duty decides it.
	Faults []Fault
	// BlockPayloadBytes is the size of the transactions in every block.
	BlockPayloadBytes int
	// AggregatesPerBlock caps the attestations of a block; 8 when 0 (the limit since Electra).
	AggregatesPerBlock int
	// FullAggregates fills every block up to AggregatesPerBlock with overlapping
	// aggregates over all committees, as blocks on mainnet are.
	FullAggregates bool
	// KeepEpochs is how many epochs of blocks behind the head are served; 0 keeps all.
	KeepEpochs uint64
}

// Preset holds a network's constants, under their names in the specification.
type Preset struct {
	// Name is PRESET_BASE.
	Name                         string
	SlotsPerEpoch                uint64
	MaxCommitteesPerSlot         uint64
	TargetCommitteeSize          uint64
	SyncCommitteeSize            uint64
	EpochsPerSyncCommitteePeriod uint64
	BaseRewardFactor             uint64
	SlotDuration                 time.Duration
	// Fork epochs decide the fork's name in answers. Blocks have the Electra layout in both.
	ElectraForkEpoch, FuluForkEpoch duty.Epoch
	// ForkName replaces the fork's name in answers, if set.
	ForkName string
}

// Mainnet is the preset of mainnet, Hoodi and Sepolia.
func Mainnet() Preset {
	return Preset{
		Name: "mainnet", SlotsPerEpoch: 32, MaxCommitteesPerSlot: 64, TargetCommitteeSize: 128,
		SyncCommitteeSize: 512, EpochsPerSyncCommitteePeriod: 256, BaseRewardFactor: 64,
		SlotDuration: 12 * time.Second, FuluForkEpoch: duty.FarFutureEpoch,
	}
}

// Minimal is the preset of small test networks.
func Minimal() Preset {
	p := Mainnet()
	p.Name, p.SlotsPerEpoch, p.MaxCommitteesPerSlot, p.TargetCommitteeSize = "minimal", 8, 4, 4
	p.SyncCommitteeSize, p.EpochsPerSyncCommitteePeriod, p.SlotDuration = 32, 8, 6*time.Second
	return p
}

// Gnosis is the preset of Gnosis chain.
func Gnosis() Preset {
	p := Mainnet()
	p.Name, p.SlotsPerEpoch, p.EpochsPerSyncCommitteePeriod = "gnosis", 16, 512
	p.BaseRewardFactor, p.SlotDuration = 25, 5*time.Second
	return p
}

// Short is mainnet with epochs of 8 slots and committees of 4 at least, so that
// tests see many epochs and several committees with few validators.
func Short() Preset {
	p := Mainnet()
	p.SlotsPerEpoch, p.TargetCommitteeSize = 8, 4
	return p
}

// PresetByName returns the preset called mainnet, minimal, gnosis or short.
func PresetByName(name string) (Preset, error) {
	switch name {
	case "mainnet":
		return Mainnet(), nil
	case "minimal":
		return Minimal(), nil
	case "gnosis":
		return Gnosis(), nil
	case "short":
		return Short(), nil
	}
	return Preset{}, fmt.Errorf("no preset %q: use mainnet, minimal, gnosis or short", name)
}

// Epochs returns the slots of the epochs from..to, to not included.
func (p *Preset) Epochs(from, to duty.Epoch) Slots {
	return Slots{From: duty.Slot(uint64(from) * p.SlotsPerEpoch), To: duty.Slot(uint64(to) * p.SlotsPerEpoch)}
}

// FirstSlot returns the first slot of epoch.
func (p *Preset) FirstSlot(epoch duty.Epoch) duty.Slot {
	return duty.Slot(uint64(epoch) * p.SlotsPerEpoch)
}

func (p *Preset) epochOf(slot duty.Slot) duty.Epoch {
	return duty.Epoch(uint64(slot) / p.SlotsPerEpoch)
}

// forkName returns the fork's name as the version header gives it.
func (p *Preset) forkName(epoch duty.Epoch) string {
	switch {
	case p.ForkName != "":
		return p.ForkName
	case epoch >= p.FuluForkEpoch:
		return "fulu"
	default:
		return "electra"
	}
}

// Noise holds chances from 0 to 1.
type Noise struct {
	// Per attestation duty. Late ones are included 2, 3 or 6 slots after their slot.
	Miss, Late, WrongHead, WrongTarget float64
	// EmptySlot is the chance of a proposer to fail, SyncMiss that of a sync committee seat.
	EmptySlot, SyncMiss float64
}

// RealisticNoise are the chances of a healthy network.
func RealisticNoise() *Noise {
	return &Noise{Miss: 0.005, Late: 0.004, WrongHead: 0.008, WrongTarget: 0.001, EmptySlot: 0.01, SyncMiss: 0.01}
}

// withDefaults fills what was left out and refuses what cannot be simulated.
func (c Config) withDefaults() (Config, error) {
	if c.Preset.Name == "" {
		c.Preset = Mainnet()
	}
	if c.Network == "" {
		c.Network = "chainsim"
	}
	if c.Noise == nil {
		c.Noise = RealisticNoise()
	}
	if c.AggregatesPerBlock == 0 {
		c.AggregatesPerBlock = 8
	}
	if c.GenesisTime.IsZero() {
		c.GenesisTime = time.Unix(1606824023, 0)
	}
	c.GenesisTime = c.GenesisTime.Truncate(time.Second)

	p := &c.Preset
	switch {
	case c.Validators < 1 || c.Validators > 8<<20:
		return c, fmt.Errorf("simulate %d validators: give 1 to %d", c.Validators, 8<<20)
	case p.SlotsPerEpoch < 2 || p.SlotDuration < time.Millisecond:
		return c, errors.New("simulate preset: SlotsPerEpoch must be at least 2, SlotDuration at least 1ms")
	case p.MaxCommitteesPerSlot < 1 || p.MaxCommitteesPerSlot > 64 || p.TargetCommitteeSize < 1:
		return c, errors.New("simulate preset: give MaxCommitteesPerSlot 1 to 64 and a TargetCommitteeSize")
	case p.SyncCommitteeSize < 8 || p.SyncCommitteeSize%8 != 0 || p.EpochsPerSyncCommitteePeriod < 1:
		return c, errors.New("simulate preset: SyncCommitteeSize must be a multiple of 8, EpochsPerSyncCommitteePeriod at least 1")
	case c.AggregatesPerBlock < 1 || c.AggregatesPerBlock > 128:
		return c, fmt.Errorf("simulate %d aggregates per block: give 1 to 128", c.AggregatesPerBlock)
	}
	return c, nil
}
