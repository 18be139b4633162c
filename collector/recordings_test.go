package collector

import (
	"context"
	"encoding/json"
	"fmt"
	"io/fs"
	"net/http/httptest"
	"strconv"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/recording"
)

// The recordings are answers of real nodes. What is accounted from their blocks and
// committees must be what the node itself paid: its rewards endpoint says, for every
// validator, which votes earned something.
func TestOutcomesAreWhatTheNodePaid(t *testing.T) {
	for _, tc := range []struct {
		name       string
		validators int
		epochs     int // with rewards and settled
	}{
		{"devnet-electra", 64, 4},
		{"devnet-leak", 128, 18},
	} {
		for _, mode := range []string{"followed live", "read back"} {
			t.Run(tc.name+" "+mode, func(t *testing.T) {
				rec, err := recording.Open(tc.name)
				if err != nil {
					t.Fatal(err)
				}
				server := httptest.NewServer(rec.Handler())
				defer server.Close()
				c := newTestCollector(t, testOptions{urls: []string{server.URL}, validators: allValidators(tc.validators), window: duty.WindowConfig{Epochs: 1000, ResetSlots: 1}})
				if mode == "followed live" {
					for _, slot := range rec.Slots() {
						rec.SetHead(slot)
						c.Scrape(context.Background())
					}
				} else {
					c.Scrape(context.Background())
				}
				if why := c.self.lastError(); why != "" {
					t.Fatalf("last advance failed: %s", why)
				}
				compared := 0
				for epoch, settled := range c.state.settled {
					compareRewards(t, rec.Files(), settled.outcome)
					compareProposals(t, rec, c.state.spec, settled.outcome)
					compareSync(t, rec, c.state.spec, settled.outcome)
					_ = epoch
					compared++
				}
				if compared < tc.epochs {
					t.Errorf("compared %d epochs, want at least %d", compared, tc.epochs)
				}
			})
		}
	}
}

// compareRewards checks every validator's votes against what the node paid. In a
// leak nothing is paid: a lost source or target vote is still fined, and whether the
// head vote was right cannot be told.
func compareRewards(t *testing.T, files fs.FS, outcome *duty.EpochOutcome) {
	t.Helper()
	raw, err := fs.ReadFile(files, fmt.Sprintf("rewards/attestations/%d.json", outcome.Epoch))
	if err != nil {
		return // not recorded
	}
	leak := true
	var rows []wire.AttestationReward
	if err := wire.ReadAttestationRewards(strings.NewReader(string(raw)), func(r wire.AttestationReward) error {
		leak = leak && r.Source <= 0 && r.Target <= 0
		rows = append(rows, r)
		return nil
	}); err != nil {
		t.Fatal(err)
	}
	for _, r := range rows {
		ordinal, ok := outcome.Watch.Ordinal(r.Index)
		if !ok {
			t.Errorf("epoch %d: validator %d was paid but is not accounted", outcome.Epoch, r.Index)
			continue
		}
		v := outcome.Validators[ordinal]
		earned := func(vote duty.Vote) bool { return v.Duty && v.Lost[vote] == duty.NotLost }
		check := func(vote duty.Vote, paid bool) {
			if earned(vote) != paid {
				t.Errorf("epoch %d validator %d: %s earned is %v, the node says %v (%+v)", outcome.Epoch, r.Index, vote, earned(vote), paid, v)
			}
		}
		check(duty.Source, r.Source > 0 || leak && r.Source == 0)
		check(duty.Target, r.Target > 0 || leak && r.Target == 0)
		if !leak {
			check(duty.Head, r.Head > 0)
		}
	}
}

func compareProposals(t *testing.T, rec *recording.Recording, spec *duty.Spec, outcome *duty.EpochOutcome) {
	t.Helper()
	raw, err := fs.ReadFile(rec.Files(), fmt.Sprintf("duties/proposer/%d.json", outcome.Epoch))
	if err != nil {
		t.Fatal(err)
	}
	var duties struct {
		Data []struct {
			Index string `json:"validator_index"`
			Slot  string `json:"slot"`
		} `json:"data"`
	}
	if err := json.Unmarshal(raw, &duties); err != nil {
		t.Fatal(err)
	}
	expected, proposed := map[string]int{}, map[string]int{}
	for _, d := range duties.Data {
		slot, _ := strconv.ParseUint(d.Slot, 10, 64)
		expected[d.Index]++
		if _, ok := rec.Root(duty.Slot(slot)); ok {
			proposed[d.Index]++
		}
	}
	for i, v := range outcome.Validators {
		index := strconv.FormatUint(uint64(outcome.Watch.At(i)), 10)
		if int(v.BlocksExpected) != expected[index] || int(v.BlocksProposed) != proposed[index] {
			t.Errorf("epoch %d validator %s: %d of %d proposals, the chain has %d of %d", outcome.Epoch, index, v.BlocksProposed, v.BlocksExpected, proposed[index], expected[index])
		}
	}
}

// compareSync checks seats against the sync rewards, which are (bits set − bits
// unset) × the reward of one seat.
func compareSync(t *testing.T, rec *recording.Recording, spec *duty.Spec, outcome *duty.EpochOutcome) {
	t.Helper()
	balance := map[duty.ValidatorIndex]int64{}
	var seat int64
	for slot := spec.FirstSlot(outcome.Epoch); slot <= spec.LastSlot(outcome.Epoch); slot++ {
		if _, ok := rec.Root(slot); !ok {
			continue
		}
		raw, err := fs.ReadFile(rec.Files(), fmt.Sprintf("rewards/sync_committee/%d.json", slot))
		if err != nil {
			return // not recorded for every block of this epoch
		}
		rows, err := wire.SumSyncRewards(strings.NewReader(string(raw)))
		if err != nil {
			t.Fatal(err)
		}
		for index, reward := range rows {
			balance[index] += reward
			seat = gcd(seat, reward)
		}
	}
	for i, v := range outcome.Validators {
		index := outcome.Watch.At(i)
		if got := 2*int64(v.SyncIncluded) - int64(v.SyncExpected); got*seat != balance[index] {
			t.Errorf("epoch %d validator %d: %d of %d sync votes, the node paid %d gwei at %d a seat", outcome.Epoch, index, v.SyncIncluded, v.SyncExpected, balance[index], seat)
		}
	}
}

func gcd(a, b int64) int64 {
	for b != 0 {
		a, b = b, a%b
	}
	return max(a, -a)
}
