//go:build e2e

package independent_test

import (
	"context"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/test/independent"
)

func TestCountAgreesWithAFaultyChainFromGenesisOn(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 8*time.Minute)
	defer cancel()
	chain, err := devnet.Start(ctx, devnet.Options{Shape: devnet.Short(), WorkDir: t.TempDir()})
	if err != nil {
		t.Fatal(err)
	}
	defer chain.Stop()
	waitEpoch := func(epoch uint64) {
		t.Helper()
		if err := chain.WaitEpoch(ctx, epoch); err != nil {
			t.Fatal(err)
		}
	}

	const last = 9
	waitEpoch(2)
	for range 4 { // late and wrong votes, empty slots
		if err := chain.StallValidators(ctx, 2600*time.Millisecond); err != nil {
			t.Fatal(err)
		}
		time.Sleep(5 * time.Second)
	}
	waitEpoch(5)
	chain.KillValidators() // an epoch and more with hardly a block
	time.Sleep(22 * time.Second)
	if err := chain.StartValidators(0, chain.Shape().Keys); err != nil {
		t.Fatal(err)
	}
	waitEpoch(last + 2)

	result, err := independent.Count(ctx, chain.BeaconURL(), 0, last)
	if err != nil {
		t.Fatal(err)
	}
	var votes, sync independent.Comparison
	for epoch := uint64(0); epoch <= last; epoch++ {
		rewards, err := independent.Rewards(ctx, chain.BeaconURL(), epoch)
		if err != nil {
			t.Fatal(err)
		}
		t.Logf("epoch %d, leak %t", epoch, rewards.Leak)
		add(&votes, result.CompareVotes(rewards))
	}
	for slot := range result.Sync {
		rewards, err := independent.SyncRewards(ctx, chain.BeaconURL(), slot)
		if err != nil {
			t.Fatal(err)
		}
		add(&sync, result.CompareSync(slot, rewards))
	}
	report(t, votes)
	report(t, sync)
	if all := (last + 1) * chain.Shape().Validators * 3; votes.Compared+votes.Undecided != all {
		t.Errorf("%d votes compared and %d undecided, want %d together", votes.Compared, votes.Undecided, all)
	}
	if empty := (last+1)*8 - len(result.Sync); empty < 10 {
		t.Errorf("only %d slots are empty: the faults did not happen", empty)
	}
	t.Logf("%d votes compared, %d undecided; %d sync rewards of %d blocks", votes.Compared, votes.Undecided, sync.Compared, len(result.Sync))
}
