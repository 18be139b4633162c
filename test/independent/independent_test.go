package independent_test

import (
	"net/http/httptest"
	"strings"
	"testing"

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
