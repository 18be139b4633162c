package devnet

import (
	_ "embed"
	"slices"
	"time"
)

// Shape is the size and rhythm of a chain.
type Shape struct {
	Name string
	// Validators at genesis, of which the first Keys have a validator client. The
	// others are offline for good: the ground truth of many a test.
	Validators, Keys int
	SlotsPerEpoch    uint64
	SlotDuration     time.Duration
	// Config is the consensus configuration: Electra from genesis, mainnet preset.
	Config []byte
}

// Long is the chain with epochs as on mainnet, 32 slots (64 s), and one small
// committee a slot: 64 validators, 56 with keys.
func Long() Shape {
	return Shape{
		Name: "long", Validators: 64, Keys: 56,
		SlotsPerEpoch: 32, SlotDuration: 2 * time.Second,
		Config: chainConfig,
	}
}

// Short is the chain for most tests: epochs of 8 slots (16 s) with 4 committees a
// slot, so that aggregates span several committees: 128 validators, 112 with keys.
func Short() Shape {
	return Shape{
		Name: "short", Validators: 128, Keys: 112,
		SlotsPerEpoch: 8, SlotDuration: 2 * time.Second,
		Config: slices.Concat(chainConfig, []byte("SLOTS_PER_EPOCH: 8\nTARGET_COMMITTEE_SIZE: 4\n")),
	}
}

var (
	//go:embed chain-config.yaml
	chainConfig []byte
	// The execution genesis, with the system contracts that Electra blocks call.
	//go:embed execution-genesis.json
	executionGenesis []byte
)
