package independent_test

import (
	"maps"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/recording"
	"github.com/ethereum-validator-monitor/validator-monitor/test/independent"
)

func TestCountAgreesWithTheRewardsOfRealChains(t *testing.T) {
	for _, c := range []struct {
		recording string
		from, to  uint64
		leaks     []uint64
		// Figures of the recordings, so that an empty comparison cannot pass.
		votes, undecided, syncBlocks int
	}{
		{"devnet-electra", 34, 37, nil, 4 * 64 * 3, 0, 13},
		{"devnet-leak", 4, 22, []uint64{14, 15, 16}, 19*128*3 - 3*128, 3 * 128, 122},
	} {
		t.Run(c.recording, func(t *testing.T) {
			url := serve(t, c.recording)
			result, err := independent.Count(t.Context(), url, c.from, c.to)
			if err != nil {
				t.Fatal(err)
			}
			var leaks []uint64
			var votes independent.Comparison
			for epoch := c.from; epoch <= c.to; epoch++ {
				rewards, err := independent.Rewards(t.Context(), url, epoch)
				if err != nil {
					t.Fatal(err)
				}
				if rewards.Leak {
					leaks = append(leaks, epoch)
				}
				add(&votes, result.CompareVotes(rewards))
			}
			report(t, votes)
			if votes.Compared != c.votes || votes.Undecided != c.undecided {
				t.Errorf("%d votes compared and %d undecided, want %d and %d", votes.Compared, votes.Undecided, c.votes, c.undecided)
			}
			if len(leaks) != len(c.leaks) || len(leaks) > 0 && (leaks[0] != c.leaks[0] || leaks[len(leaks)-1] != c.leaks[len(leaks)-1]) {
				t.Errorf("leak in epochs %v, want %v", leaks, c.leaks)
			}

			var sync independent.Comparison
			blocks := 0
			for slot := range result.Sync {
				rewards, err := independent.SyncRewards(t.Context(), url, slot)
				if err != nil {
					if strings.Contains(err.Error(), "is not recorded") {
						continue
					}
					t.Fatal(err)
				}
				blocks++
				add(&sync, result.CompareSync(slot, rewards))
			}
			report(t, sync)
			if blocks != c.syncBlocks {
				t.Errorf("sync rewards of %d blocks compared, want %d", blocks, c.syncBlocks)
			}
		})
	}
}

func TestCountKnowsWhoWasOffline(t *testing.T) {
	const offline = 56 // the first of the last 8, which have no keys
	result, err := independent.Count(t.Context(), serve(t, "devnet-electra"), 34, 37)
	if err != nil {
		t.Fatal(err)
	}
	expected, proposed := 0, 0
	for epoch, outcomes := range result.Epochs {
		for v, o := range outcomes {
			if !o.Duty || o.DutySlot/32 != epoch {
				t.Errorf("epoch %d, validator %d: duty %t at slot %d", epoch, v, o.Duty, o.DutySlot)
			}
			if v >= offline && (o.Included || o.Source || o.Target || o.Head || o.SyncIncluded > 0 || o.BlocksProposed > 0) {
				t.Errorf("epoch %d, validator %d has no keys: %+v", epoch, v, *o)
			}
			if v < offline && (!o.Included || !o.Target || o.Delay == 0) {
				t.Errorf("epoch %d, validator %d was online: %+v", epoch, v, *o)
			}
			expected += o.BlocksExpected
			proposed += o.BlocksProposed
		}
	}
	if expected != 4*32 || proposed != len(result.Sync) {
		t.Errorf("%d proposals expected and %d made, want %d and %d", expected, proposed, 4*32, len(result.Sync))
	}
}

func TestHeadVotesThatAreLostAreRightOrWrong(t *testing.T) {
	result, err := independent.Count(t.Context(), serve(t, "devnet-leak"), 4, 22)
	if err != nil {
		t.Fatal(err)
	}
	late, wrong := 0, 0
	for epoch, outcomes := range result.Epochs {
		for v, o := range outcomes {
			if o.Head && !o.HeadRight || o.HeadRight && !(o.Included && o.Target) || o.HeadRight && !o.Head && o.Delay == 1 {
				t.Errorf("epoch %d, validator %d: %+v", epoch, v, *o)
			}
			switch {
			case o.HeadRight && !o.Head:
				late++
			case o.Included && !o.HeadRight:
				wrong++
			}
		}
	}
	if late == 0 || wrong == 0 {
		t.Errorf("%d head votes were late and %d wrong, though the chain stalled", late, wrong)
	}
}

func TestSlashingsAreCounted(t *testing.T) {
	preset := chainsim.Short()
	chain, err := chainsim.New(chainsim.Config{
		Preset: preset, Validators: 128, Noise: &chainsim.Noise{},
		Faults: []chainsim.Fault{
			chainsim.ProposerSlashing{Slot: 9, Validator: 1},
			chainsim.ProposerSlashing{Slot: 12, Validator: 2},
			chainsim.AttesterSlashing{Slot: 12, Validators: []duty.ValidatorIndex{3, 4, 5}},
		},
	})
	if err != nil {
		t.Fatal(err)
	}
	chain.AdvanceTo(40)
	server := httptest.NewServer(chain.Handler())
	defer server.Close()
	result, err := independent.Count(t.Context(), server.URL, 0, 2)
	if err != nil {
		t.Fatal(err)
	}
	want := map[uint64]independent.Slashings{0: {}, 1: {Proposer: 2, Attester: 1}, 2: {}}
	if !maps.Equal(result.Slashings, want) {
		t.Errorf("got %v, want %v", result.Slashings, want)
	}
}

func TestBalancesAreThoseOfTheState(t *testing.T) {
	url := serve(t, "devnet-leak")
	before, err := independent.Balances(t.Context(), url, 32)
	if err != nil {
		t.Fatal(err)
	}
	after, err := independent.Balances(t.Context(), url, 192)
	if err != nil {
		t.Fatal(err)
	}
	if len(before) != 128 || len(after) != 128 {
		t.Fatalf("%d and %d validators, want 128", len(before), len(after))
	}
	const online, offline = 0, 120
	for v, b := range after {
		if !b.Active || b.Effective != 32e9 || b.Balance < 31e9 || b.Balance > 33e9 {
			t.Errorf("validator %d: %+v", v, b)
		}
	}
	if after[offline].Balance >= before[offline].Balance || after[online].Balance <= after[offline].Balance {
		t.Errorf("validator %d, without keys, went from %d to %d gwei; validator %d has %d",
			offline, before[offline].Balance, after[offline].Balance, online, after[online].Balance)
	}
	if _, err := independent.Balances(t.Context(), url+"/elsewhere", 32); err == nil || !strings.Contains(err.Error(), "balances at slot 32") {
		t.Errorf("a node that does not answer: %v", err)
	}
}

func TestCountRefusesAnEpochThatIsNotSettled(t *testing.T) {
	_, err := independent.Count(t.Context(), serve(t, "devnet-leak"), 4, 40)
	if err == nil || !strings.Contains(err.Error(), "still to come") {
		t.Errorf("got %v", err)
	}
}

func TestComparisonFindsEveryKindOfDifference(t *testing.T) {
	const epoch, seat = 14, 3
	url := serve(t, "devnet-leak")
	count := func() *independent.Result {
		result, err := independent.Count(t.Context(), url, epoch-2, epoch)
		if err != nil {
			t.Fatal(err)
		}
		return result
	}
	rewards, err := independent.Rewards(t.Context(), url, epoch-2)
	if err != nil {
		t.Fatal(err)
	}
	for what, spoil := range map[string]func(*independent.Outcome){
		"source": func(o *independent.Outcome) { o.Source = !o.Source },
		"target": func(o *independent.Outcome) { o.Target = !o.Target },
		"head":   func(o *independent.Outcome) { o.Head = !o.Head },
		"duty":   func(o *independent.Outcome) { o.Duty = false },
	} {
		result := count()
		spoil(result.Epochs[epoch-2][seat])
		if c := result.CompareVotes(rewards); len(c.Differences) != 1 || !strings.Contains(c.Differences[0], what) {
			t.Errorf("%s: %q", what, c.Differences)
		}
	}

	result := count()
	for slot, seats := range result.Sync {
		sync, err := independent.SyncRewards(t.Context(), url, slot)
		if err != nil {
			t.Fatal(err)
		}
		for v, s := range seats {
			seats[v] = independent.Seats{Included: s.Missed, Missed: s.Included}
			if c := result.CompareSync(slot, sync); s.Included != s.Missed && len(c.Differences) != 1 {
				t.Errorf("slot %d, validator %d turned round: %q", slot, v, c.Differences)
			}
			seats[v] = s
		}
	}
}

func serve(t *testing.T, name string) string {
	t.Helper()
	r, err := recording.Open(name)
	if err != nil {
		t.Fatal(err)
	}
	server := httptest.NewServer(r.Handler())
	t.Cleanup(server.Close)
	return server.URL
}

func add(sum *independent.Comparison, c independent.Comparison) {
	sum.Compared += c.Compared
	sum.Undecided += c.Undecided
	sum.Differences = append(sum.Differences, c.Differences...)
}

func report(t *testing.T, c independent.Comparison) {
	t.Helper()
	for _, difference := range c.Differences[:min(len(c.Differences), 20)] {
		t.Error(difference)
	}
	if more := len(c.Differences) - 20; more > 0 {
		t.Errorf("and %d more differences", more)
	}
}
