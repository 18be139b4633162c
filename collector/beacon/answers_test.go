package beacon_test

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

func TestSpecIsReadFromWhatTheNodeServes(t *testing.T) {
	n := newNode(t)
	spec, err := newPool(t, beacon.Config{}, n).Spec(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	want := duty.Spec{
		Network: "devnet", GenesisTime: spec.GenesisTime, GenesisValidatorsRoot: spec.GenesisValidatorsRoot,
		SlotDuration: 2 * time.Second, SlotsPerEpoch: 32, MaxCommitteesPerSlot: 64, SyncCommitteeSize: 512,
		EpochsPerSyncCommitteePeriod: 256, EffectiveBalanceIncrement: 1e9,
		SourceWeight: 14, TargetWeight: 26, HeadWeight: 14,
		FuluForkEpoch: duty.FarFutureEpoch, GloasForkEpoch: duty.FarFutureEpoch,
	}
	if *spec != want {
		t.Errorf("spec %+v, want %+v", *spec, want)
	}
	if spec.GenesisTime.IsZero() || spec.GenesisValidatorsRoot == (duty.Root{}) {
		t.Error("no genesis")
	}
}

func TestSlotDurationUnderEitherName(t *testing.T) {
	for _, c := range []struct {
		name, old, new string
		want           time.Duration
	}{
		{"SLOT_DURATION_MS alone", `"SECONDS_PER_SLOT"`, `"OTHER"`, 2 * time.Second},
		{"SECONDS_PER_SLOT alone", `"SLOT_DURATION_MS"`, `"OTHER"`, 2 * time.Second},
		{"milliseconds are the better known", `"2000"`, `"1500"`, 1500 * time.Millisecond},
		{"number without quotes", `"2000"`, `2500`, 2500 * time.Millisecond},
		{"neither", `SLOT`, `OTHER`, 0},
		{"zero", `"2000"`, `"0"`, 2 * time.Second},
	} {
		n := newNode(t).on("/config/spec", rewrite(func(_ http.Header, body []byte) []byte {
			body = bytes.ReplaceAll(body, []byte(": "), []byte(":"))
			if !bytes.Contains(body, []byte(c.old)) {
				t.Fatalf("%s: no %s", c.name, c.old)
			}
			return bytes.ReplaceAll(body, []byte(c.old), []byte(c.new))
		}))
		spec, err := newPool(t, beacon.Config{}, n).Spec(patience(t))
		switch {
		case c.want == 0 && err == nil:
			t.Errorf("%s: %v and no error", c.name, spec.SlotDuration)
		case c.want != 0 && err != nil:
			t.Errorf("%s: %v", c.name, err)
		case c.want != 0 && spec.SlotDuration != c.want:
			t.Errorf("%s: %v, want %v", c.name, spec.SlotDuration, c.want)
		}
	}
}

func TestSpecWithoutAConstantComesFromTheNextNode(t *testing.T) {
	for _, constant := range []string{"SLOTS_PER_EPOCH", "SYNC_COMMITTEE_SIZE", "EFFECTIVE_BALANCE_INCREMENT", "MAX_COMMITTEES_PER_SLOT"} {
		sick := newNode(t).on("/config/spec", replace(`"`+constant+`"`, `"X"`))
		spec, err := newPool(t, beacon.Config{}, sick, newNode(t)).Spec(patience(t))
		if err != nil || spec.SlotsPerEpoch != 32 || spec.SyncCommitteeSize != 512 {
			t.Errorf("%s: %+v, %v", constant, spec, err)
		}
		if _, err := newPool(t, beacon.Config{}, sick).Spec(patience(t)); err == nil || !strings.Contains(err.Error(), constant) {
			t.Errorf("%s: error %v does not name it", constant, err)
		}
	}
}

func TestVoteWeightsNeedNotBeServed(t *testing.T) {
	n := newNode(t).on("/config/spec", replace(`"TIMELY_`, `"X_`))
	spec, err := newPool(t, beacon.Config{}, n).Spec(patience(t))
	if err != nil || spec.VoteWeights() != 54 {
		t.Errorf("%+v, %v", spec, err)
	}
}

func TestForkThatIsScheduledLaterIsNoticedAfterAnHour(t *testing.T) {
	now := time.Now()
	n := newNode(t)
	pool := newPool(t, beacon.Config{Now: func() time.Time { return now }}, n)
	before, err := pool.Spec(patience(t))
	if err != nil {
		t.Fatal(err)
	}
	n.on("/config/spec", replace(`"ELECTRA_FORK_EPOCH"`, `"GLOAS_FORK_EPOCH":"777","ELECTRA_FORK_EPOCH"`))
	if again, _ := pool.Spec(patience(t)); again != before {
		t.Error("read again at once")
	}
	now = now.Add(61 * time.Minute)
	after, err := pool.Spec(patience(t))
	if err != nil || after.GloasForkEpoch != 777 || before.GloasForkEpoch != duty.FarFutureEpoch {
		t.Errorf("%+v, %v", after, err)
	}
	// A node that fails now, or is older, changes nothing.
	for _, answer := range []func(http.ResponseWriter, *http.Request, http.Handler){status(500), slow(0)} {
		n.on("/config/spec", answer)
		now = now.Add(61 * time.Minute)
		if last, err := pool.Spec(patience(t)); err != nil || last.GloasForkEpoch != 777 {
			t.Errorf("%+v, %v", last, err)
		}
	}
}

func TestCommitteesOfAWrongEpochComeFromTheNextNode(t *testing.T) {
	sick := newNode(t).on("/committees", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		r.URL.RawQuery = "epoch=35"
		real.ServeHTTP(w, r)
	})
	pool := newPool(t, beacon.Config{}, sick, newNode(t))
	committees, err := pool.Committees(patience(t), 36, 36)
	if err != nil || committees.Epoch != 36 {
		t.Errorf("%v, %v", committees, err)
	}
	if got := sample(t, pool, failures(sick, "committees", "decode")); got != "1" {
		t.Errorf("%s decode failures, want 1", got)
	}
	if _, err = newPool(t, beacon.Config{}, sick).Committees(patience(t), 36, 36); err == nil || errors.Is(err, beacon.ErrUnavailable) {
		t.Errorf("error %v: a wrong answer is not an absent one", err)
	}
}

func TestCommitteesThatTheHeadStateDoesNotReach(t *testing.T) {
	for _, code := range []int{400, 404, 500} {
		n := newNode(t).on("/states/head/committees", status(code))
		pool := newPool(t, beacon.Config{}, n)
		if committees, err := pool.Committees(patience(t), 36, 39); err != nil || committees.Epoch != 36 {
			t.Errorf("%d: %v, %v", code, committees, err)
		}
		if n.count("/states/1152/committees?epoch=36") != 1 {
			t.Errorf("%d: the state of the first slot was not asked", code)
		}
		if got := sample(t, pool, failures(n, "committees", "status")); got != "0" {
			t.Errorf("%d: counted as %s failures, though the answer came", code, got)
		}
		// The first slot of an epoch to come has no state to ask.
		before := n.count("/committees")
		if _, err := pool.Committees(patience(t), 40, 39); !errors.Is(err, beacon.ErrUnavailable) {
			t.Errorf("%d: error %v", code, err)
		}
		if got := n.count("/committees") - before; got != 1 {
			t.Errorf("%d: %d requests for a coming epoch", code, got)
		}
	}
}

func TestWhatNoNodeHasIsUnavailable(t *testing.T) {
	one, other := newNode(t), newNode(t)
	for _, op := range operations {
		if op.name == "header" || op.name == "block" {
			continue
		}
		for _, code := range []int{400, 404, 500} {
			one.heal()
			other.heal()
			one.on(op.path, status(code))
			other.on(op.path, status(404))
			pool := newPool(t, beacon.Config{}, one, other)
			if err := op.call(patience(t), pool); !errors.Is(err, beacon.ErrUnavailable) || errors.Is(err, beacon.ErrNoNode) {
				t.Errorf("%s %d: error %v", op.name, code, err)
			}
			if got := sample(t, pool, fmt.Sprintf("ethereum_beacon_retries_exhausted_total{operation=%q}", op.name)); got != "0" {
				t.Errorf("%s %d: an answer counted as exhausted", op.name, code)
			}
			other.heal()
			if err := op.call(patience(t), pool); err != nil {
				t.Errorf("%s %d: the other node has it: %v", op.name, code, err)
			}
			// One that fails might have it.
			other.on(op.path, status(503))
			if err := op.call(patience(t), pool); err == nil || errors.Is(err, beacon.ErrUnavailable) {
				t.Errorf("%s %d and 503: error %v", op.name, code, err)
			}
		}
	}
}

func TestBlockThatOneNodeLacksComesFromAnother(t *testing.T) {
	root, ok := newNode(t).Root(1200)
	if !ok {
		t.Fatal("no block at slot 1200")
	}
	one, other := newNode(t).on("/blocks/", status(404)).on("/headers/0x", status(404)), newNode(t)
	pool := newPool(t, beacon.Config{}, one, other)
	if block, err := pool.BlockByRoot(patience(t), root); err != nil || block.Slot != 1200 {
		t.Errorf("by root: %v, %v", block, err)
	}
	if block, from, err := pool.BlockAtSlot(patience(t), 1200); err != nil || block == nil || block.Slot != 1200 || from != other.URL {
		t.Errorf("by slot: %v from %s, %v", block, from, err)
	}
	if header, err := pool.HeaderByRoot(patience(t), root); err != nil || header.Slot != 1200 || header.Root != root {
		t.Errorf("header: %v, %v", header, err)
	}
	if canonical, err := pool.Canonical(patience(t), root); err != nil || !canonical {
		t.Errorf("canonical: %v, %v", canonical, err)
	}
	if got := sample(t, pool, fmt.Sprintf("ethereum_beacon_failovers_total{endpoint=%q}", one.URL)); got != "0" {
		t.Errorf("%s failovers: not to have a block is no failure", got)
	}
	other.on("/blocks/", status(404)).on("/headers/0x", status(404))
	if _, err := pool.BlockByRoot(patience(t), root); !errors.Is(err, beacon.ErrUnavailable) {
		t.Errorf("by root: %v", err)
	}
	if _, err := pool.Canonical(patience(t), root); !errors.Is(err, beacon.ErrUnavailable) {
		t.Errorf("canonical: %v", err)
	}
}

func TestCanonicalIsTheNodesWord(t *testing.T) {
	n := newNode(t).on("/headers/0x", rewrite(func(_ http.Header, body []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(body, []byte(`"canonical": true`), []byte(`"canonical":true`)), []byte(`"canonical":true`), []byte(`"canonical":false`))
	}))
	root, _ := n.Root(1200)
	if canonical, err := newPool(t, beacon.Config{}, n).Canonical(patience(t), root); err != nil || canonical {
		t.Errorf("canonical %v, %v", canonical, err)
	}
}

const emptySlot = 1272

func TestEmptySlotIsNoBlockAndNoError(t *testing.T) {
	one, other := newNode(t), newNode(t)
	pool := newPool(t, beacon.Config{}, one, other)
	if block, _, err := pool.BlockAtSlot(patience(t), emptySlot); block != nil || err != nil {
		t.Errorf("%v, %v", block, err)
	}
	if one.count("/blocks/1272") != 1 || other.count("/blocks/1272") != 1 {
		t.Error("not every node was asked")
	}
	one.on("/blocks/", status(503)) // gives no answer, so it does not count
	if block, _, err := pool.BlockAtSlot(patience(t), emptySlot); block != nil || err != nil {
		t.Errorf("%v, %v", block, err)
	}
}

// A node says 404 also of slots that it has not come to.
func TestNodeThatIsBehindCannotCallASlotEmpty(t *testing.T) {
	n := newNode(t)
	n.SetHead(1190)
	pool := newPool(t, beacon.Config{}, n)
	if block, _, err := pool.BlockAtSlot(patience(t), 1200); err == nil {
		t.Errorf("block %v and no error", block)
	} else if errors.Is(err, beacon.ErrUnavailable) || !strings.Contains(err.Error(), "1190") {
		t.Errorf("error %v", err)
	}
	ahead := newNode(t).on("/blocks/", status(503))
	if block, _, err := newPool(t, beacon.Config{}, n, ahead).BlockAtSlot(patience(t), 1200); err == nil {
		t.Errorf("block %v and no error", block)
	}
}

func TestBlockOfAnotherSlotIsRefused(t *testing.T) {
	sick := newNode(t).on("/blocks/1200", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		r.URL.Path = "/eth/v2/beacon/blocks/1201"
		real.ServeHTTP(w, r)
	})
	pool := newPool(t, beacon.Config{}, sick, newNode(t))
	if block, _, err := pool.BlockAtSlot(patience(t), 1200); err != nil || block.Slot != 1200 {
		t.Errorf("%v, %v", block, err)
	}
}

func TestBlockInJSONComesFromTheNextNode(t *testing.T) {
	sick := newNode(t).on("/blocks/", writeJSON(`{"version":"electra","data":{"message":{}}}`))
	pool := newPool(t, beacon.Config{}, sick, newNode(t))
	if block, _, err := pool.BlockAtSlot(patience(t), 1200); err != nil || block.Slot != 1200 {
		t.Errorf("%v, %v", block, err)
	}
}

func TestOddProposerDutiesComeFromTheNextNode(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"missing": replace(`"slot":"1155"`, `"slot":"1156"`),
		"another epoch": func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			r.URL.Path = strings.Replace(r.URL.Path, "/36", "/35", 1)
			real.ServeHTTP(w, r)
		},
		"none": writeJSON(`{"dependent_root":"0x0000000000000000000000000000000000000000000000000000000000000000","data":[]}`),
	} {
		sick := newNode(t).on("/duties/proposer/", answer)
		proposers, err := newPool(t, beacon.Config{}, sick, newNode(t)).ProposerDuties(patience(t), 36)
		if err != nil || len(proposers) != 32 || proposers[3] != 48 {
			t.Errorf("%s: %v, %v", name, proposers, err)
		}
	}
}

func TestGenesisSlotHasNoProposer(t *testing.T) {
	var duties []string
	for slot := 1; slot < 32; slot++ {
		duties = append(duties, fmt.Sprintf(`{"pubkey":"0x%096x","validator_index":"%d","slot":"%d"}`, slot, 100+slot, slot))
	}
	n := newNode(t).on("/duties/proposer/0", writeJSON(`{"data":[`+strings.Join(duties, ",")+`]}`))
	proposers, err := newPool(t, beacon.Config{}, n).ProposerDuties(patience(t), 0)
	if err != nil || len(proposers) != 32 || proposers[0] != beacon.NoProposer || proposers[1] != 101 || proposers[31] != 131 {
		t.Errorf("%v, %v", proposers, err)
	}
}

func TestSyncCommitteeOfAWrongSizeComesFromTheNextNode(t *testing.T) {
	sick := newNode(t).on("/sync_committees", writeJSON(`{"data":{"validators":["1","2"],"validator_aggregates":[["1","2"]]}}`))
	seats, err := newPool(t, beacon.Config{}, sick, newNode(t)).SyncCommittee(patience(t), "head", 36)
	if err != nil || len(seats) != 512 {
		t.Errorf("%d seats, %v", len(seats), err)
	}
}

// The client library refuses a whole answer for one negative number, which is what
// an inactivity leak brings.
func TestNegativeInactivityIsRead(t *testing.T) {
	n := newNode(t).on("/rewards/", writeJSON(`{"data":{"ideal_rewards":[],"total_rewards":[
		{"validator_index":"7","head":"0","target":"-4768","source":"-2500","inclusion_delay":null,"inactivity":"-1907"}]}}`))
	var got wire.AttestationReward
	err := newPool(t, beacon.Config{}, n).AttestationRewards(patience(t), 36, []duty.ValidatorIndex{7}, func(r wire.AttestationReward) error {
		got = r
		return nil
	})
	if want := (wire.AttestationReward{Index: 7, Target: -4768, Source: -2500, Inactivity: -1907}); err != nil || got != want {
		t.Errorf("%+v, %v", got, err)
	}
}

func TestRewardsOfManyAreAskedWholeWhereFilteringIsSlow(t *testing.T) {
	for version, want := range map[string]string{
		"teku/v25.1.0/linux-x86_64/-eclipseadoptium": "[]",
		"Lodestar/v1.30.0/abcdef":                    "[]",
		"Lighthouse/v7.1.0-cfb1f73/x86_64-linux":     "",
	} {
		var asked string
		n := newNode(t).on("/node/version", writeJSON(`{"data":{"version":"`+version+`"}}`))
		n.on("/rewards/", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			body, _ := io.ReadAll(r.Body)
			asked = string(body)
			r.Body = io.NopCloser(bytes.NewReader(body))
			real.ServeHTTP(w, r)
		})
		indices := []duty.ValidatorIndex{3, 5}
		for i := range duty.ValidatorIndex(1000) {
			indices = append(indices, 1000+i)
		}
		var got []duty.ValidatorIndex
		err := newPool(t, beacon.Config{}, n).AttestationRewards(patience(t), 36, indices, func(r wire.AttestationReward) error {
			got = append(got, r.Index)
			return nil
		})
		if err != nil || fmt.Sprint(got) != "[3 5]" {
			t.Errorf("%s: %v, %v", version, got, err)
		}
		if (asked == "[]") != (want == "[]") {
			t.Errorf("%s: asked for %.40s", version, asked)
		}
	}
}

func TestNothingWantedNothingAsked(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	err := errors.Join(
		pool.Validators(patience(t), "head", nil, func(wire.Validator) error { return nil }),
		pool.AttestationRewards(patience(t), 36, nil, func(wire.AttestationReward) error { return nil }),
	)
	if err != nil || n.count("") != 0 {
		t.Errorf("%d requests, %v", n.count(""), err)
	}
}

func TestManyValidatorsAreAskedInChunks(t *testing.T) {
	var ids []string
	for i := range 12_001 {
		ids = append(ids, strconv.Itoa(i))
	}
	var sizes []int
	n := newNode(t)
	n.on("/validators", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		body, _ := io.ReadAll(r.Body)
		n.mu.Lock()
		sizes = append(sizes, bytes.Count(body, []byte(`","`))+1)
		n.mu.Unlock()
		r.Body = io.NopCloser(bytes.NewReader(body))
		real.ServeHTTP(w, r)
	})
	count := 0
	err := newPool(t, beacon.Config{}, n).Validators(patience(t), beacon.StateAt(1152), ids, func(wire.Validator) error {
		count++
		return nil
	})
	slices.Sort(sizes)
	if err != nil || count != 64 || !slices.Equal(sizes, []int{2001, 5000, 5000}) {
		t.Errorf("%d validators by requests for %v, %v", count, sizes, err)
	}
}

// A node that breaks off in the middle has delivered some already.
func TestValidatorsAreDeliveredOnceAcrossAFailover(t *testing.T) {
	cut := rewrite(func(header http.Header, body []byte) []byte {
		header.Del("Content-Length")
		return body[:len(body)*2/3]
	})
	sick := newNode(t).on("/validators", cut).on("/rewards/", cut)
	pool := newPool(t, beacon.Config{}, sick, newNode(t))
	seen := make(map[duty.ValidatorIndex]int)
	tally := func(index duty.ValidatorIndex) error { seen[index]++; return nil }
	var ids []string
	var indices []duty.ValidatorIndex
	for i := range 64 {
		ids, indices = append(ids, strconv.Itoa(i)), append(indices, duty.ValidatorIndex(i))
	}
	for name, call := range map[string]func() error{
		"some": func() error {
			return pool.Validators(patience(t), beacon.StateAt(1152), ids, func(v wire.Validator) error { return tally(v.Index) })
		},
		"active": func() error {
			return pool.ActiveValidators(patience(t), beacon.StateAt(1152), func(v wire.Validator) error { return tally(v.Index) })
		},
		"rewards": func() error {
			return pool.AttestationRewards(patience(t), 36, indices, func(r wire.AttestationReward) error { return tally(r.Index) })
		},
	} {
		clear(seen)
		if err := call(); err != nil || len(seen) != 64 {
			t.Errorf("%s: %d validators, %v", name, len(seen), err)
		}
		for index, times := range seen {
			if times != 1 {
				t.Errorf("%s: validator %d delivered %d times", name, index, times)
			}
		}
	}
}

func TestErrorOfTheCallerEndsTheReading(t *testing.T) {
	one, other := newNode(t), newNode(t)
	pool := newPool(t, beacon.Config{}, one, other)
	enough := errors.New("enough")
	calls := 0
	err := pool.Validators(patience(t), beacon.StateAt(1152), []string{"1", "2", "3"}, func(wire.Validator) error {
		calls++
		return enough
	})
	if err != enough || calls != 1 || other.count("") != 0 {
		t.Errorf("%v after %d calls and %d requests to the other node", err, calls, other.count(""))
	}
}

func TestActiveValidatorsWherePostIsNotServed(t *testing.T) {
	for _, code := range []int{400, 404, 405, 415} {
		n := newNode(t).on("/validators", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			if r.Method == http.MethodPost {
				status(code)(w, r, real)
				return
			}
			real.ServeHTTP(w, r)
		})
		count := 0
		err := newPool(t, beacon.Config{}, n).ActiveValidators(patience(t), beacon.StateAt(1152), func(wire.Validator) error {
			count++
			return nil
		})
		if err != nil || count != 64 || n.count("GET /eth/v1/beacon/states/1152/validators?status=active") != 1 {
			t.Errorf("%d: %d validators, %v", code, count, err)
		}
	}
}

func TestValidatorsThatAreNotActiveAreLeftOutWhateverTheNodeSends(t *testing.T) {
	n := newNode(t).on("/validators", replace("active_ongoing", "exited_unslashed"))
	err := newPool(t, beacon.Config{}, n).ActiveValidators(patience(t), beacon.StateAt(1152), func(v wire.Validator) error {
		return fmt.Errorf("validator %d is %s", v.Index, v.Status)
	})
	if err != nil {
		t.Error(err)
	}
}

// Some proxies drop a POST's body: the node then answers with its whole registry.
func TestValidatorsThatNobodyAskedForAreLeftOut(t *testing.T) {
	n := newNode(t)
	var key string
	pool := newPool(t, beacon.Config{}, n)
	err := pool.Validators(patience(t), beacon.StateAt(1152), []string{"9"}, func(v wire.Validator) error {
		key = fmt.Sprintf("%#x", v.Pubkey)
		return nil
	})
	if err != nil || key == "" {
		t.Fatalf("key %q, %v", key, err)
	}
	sent := 0
	n.on("/validators", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		r.Body = io.NopCloser(strings.NewReader("{}"))
		rewrite(func(_ http.Header, body []byte) []byte {
			sent = bytes.Count(body, []byte(`"pubkey"`))
			return body
		})(w, r, real)
	})
	var got []duty.ValidatorIndex
	err = pool.Validators(patience(t), beacon.StateAt(1152), []string{"3", key}, func(v wire.Validator) error {
		got = append(got, v.Index)
		return nil
	})
	slices.Sort(got)
	if sent != 64 || err != nil || !slices.Equal(got, []duty.ValidatorIndex{3, 9}) {
		t.Errorf("of %d validators, %v were delivered, %v", sent, got, err)
	}
}

func TestNodeThatLimitsRequestsSaysForHowLong(t *testing.T) {
	for name, c := range map[string]struct {
		code    int
		header  string
		after   time.Duration
		limited bool
	}{
		"seconds":       {429, "7", 7 * time.Second, true},
		"not said":      {429, "", 0, true},
		"a date":        {429, "Wed, 21 Oct 2026 07:28:00 GMT", 0, true},
		"another error": {503, "7", 0, false},
	} {
		n := newNode(t).on("/blocks/", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			w.Header().Set("Retry-After", c.header)
			status(c.code)(w, r, real)
		})
		pool := newPool(t, beacon.Config{}, n)
		_, _, err := pool.BlockAtSlot(patience(t), 1200)
		if after, limited := beacon.Limited(err); after != c.after || limited != c.limited {
			t.Errorf("%s: %s, %v; want %s, %v (%v)", name, after, limited, c.after, c.limited, err)
		}
		// Another node helps at once.
		if _, _, err := newPool(t, beacon.Config{}, n, newNode(t)).BlockAtSlot(patience(t), 1200); err != nil {
			t.Errorf("%s: %v", name, err)
		}
	}
}
