package chainsim_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/attestantio/go-eth2-client/api"
	client "github.com/attestantio/go-eth2-client/http"
	"github.com/attestantio/go-eth2-client/spec/phase0"
	"github.com/rs/zerolog"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// serve starts a node and returns its address.
func serve(t *testing.T, handler http.Handler) string {
	t.Helper()
	server := httptest.NewServer(handler)
	t.Cleanup(server.Close)
	return server.URL
}

func fetch(t *testing.T, url string) (*http.Response, []byte, error) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	req, err := http.NewRequestWithContext(ctx, "GET", url, nil)
	if err != nil {
		t.Fatal(err)
	}
	req.Header.Set("Accept", "application/octet-stream, application/json")
	req.Header.Set("Accept-Encoding", "identity")
	resp, err := http.DefaultClient.Do(req)
	if err != nil {
		return nil, nil, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	return resp, body, err
}

func TestTransportFaults(t *testing.T) {
	chain := build(t, quiet(), 3)
	node := chain.Node(chainsim.NodeOptions{})
	url := serve(t, node) + "/eth/v1/beacon/states/head/committees"
	_, honest, err := fetch(t, url)
	if err != nil || !json.Valid(honest) {
		t.Fatalf("honest node: %v", err)
	}

	node.Set(chainsim.NodeOptions{Hang: true})
	if _, _, err := fetch(t, url); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("hang: %v", err)
	}
	node.Set(chainsim.NodeOptions{Delay: 50 * time.Millisecond})
	begin := time.Now()
	if _, body, err := fetch(t, url); err != nil || time.Since(begin) < 50*time.Millisecond || len(body) != len(honest) {
		t.Errorf("delay: %v", err)
	}
	node.Set(chainsim.NodeOptions{FailStatus: 503})
	if resp, body, err := fetch(t, url); err != nil || resp.StatusCode != 503 || !strings.Contains(string(body), `"code":503`) {
		t.Errorf("fail: %v %s", err, body)
	}
	node.Set(chainsim.NodeOptions{FailStatus: 500, FailRatio: 0.25})
	failed := 0
	for range 20 {
		if resp, _, err := fetch(t, url); err != nil {
			t.Fatal(err)
		} else if resp.StatusCode == 500 {
			failed++
		}
	}
	if failed != 5 {
		t.Errorf("fail ratio: %d of 20", failed)
	}
	node.Set(chainsim.NodeOptions{Truncate: true})
	if _, body, err := fetch(t, url); err != nil || len(body) != len(honest)/2 || json.Valid(body) {
		t.Errorf("truncate: %v, %d bytes", err, len(body))
	}
	node.Set(chainsim.NodeOptions{Abort: true})
	if _, body, err := fetch(t, url); !errors.Is(err, io.ErrUnexpectedEOF) || len(body) != len(honest)/2 {
		t.Errorf("abort: %v, %d bytes", err, len(body))
	}
	node.Set(chainsim.NodeOptions{Oversize: 1 << 20})
	if _, body, err := fetch(t, url); err != nil || len(body) != len(honest)+1<<20 || !json.Valid(body) {
		t.Errorf("oversize: %v, %d bytes", err, len(body))
	}
	node.Set(chainsim.NodeOptions{Gzip: true})
	resp, body, err := fetch(t, url)
	if err != nil || resp.Header.Get("Content-Encoding") != "gzip" {
		t.Fatalf("gzip: %v", err)
	}
	unpack, err := gzip.NewReader(bytes.NewReader(body))
	if err != nil {
		t.Fatal(err)
	}
	if plain, err := io.ReadAll(unpack); err != nil || !bytes.Equal(plain, honest) {
		t.Errorf("gzip: %v, %d bytes", err, len(plain))
	}
	node.Set(chainsim.NodeOptions{FailStatus: 500, Only: []string{"blocks"}})
	if resp, _, err := fetch(t, url); err != nil || resp.StatusCode != 200 {
		t.Errorf("fault of another operation: %v", err)
	}
}

func TestNodesThatLagOrLie(t *testing.T) {
	chain := build(t, quiet(), 3)
	honest := reader{t, chain.Handler()}
	type syncing struct {
		Head       duty.Slot `json:"head_slot,string"`
		Distance   uint64    `json:"sync_distance,string"`
		Syncing    bool      `json:"is_syncing"`
		Optimistic bool      `json:"is_optimistic"`
		Offline    bool      `json:"el_offline"`
	}
	said := func(o chainsim.NodeOptions) (s syncing) {
		reader{t, chain.Node(o)}.data("GET", "/eth/v1/node/syncing", "", &s)
		return s
	}
	for _, test := range []struct {
		options chainsim.NodeOptions
		want    syncing
	}{
		{chainsim.NodeOptions{}, syncing{Head: 31}},
		{chainsim.NodeOptions{Syncing: true, HeadBehind: 11}, syncing{Head: 20, Distance: 11, Syncing: true}},
		{chainsim.NodeOptions{HeadStuckAt: 9}, syncing{Head: 9, Distance: 22}},
		{chainsim.NodeOptions{Optimistic: true, ELOffline: true}, syncing{Head: 31, Optimistic: true, Offline: true}},
	} {
		if got := said(test.options); got != test.want {
			t.Errorf("%+v: %+v", test.options, got)
		}
	}

	stuck := reader{t, chain.Node(chainsim.NodeOptions{HeadStuckAt: 9})}
	if code := stuck.do("GET", "/eth/v1/beacon/headers/10", "").Code; code != 404 {
		t.Errorf("a block past the stuck head: %d", code)
	}
	other := reader{t, chain.Node(chainsim.NodeOptions{OtherGenesis: true})}
	if bytes.Equal(other.get("/eth/v1/beacon/genesis"), honest.get("/eth/v1/beacon/genesis")) {
		t.Error("other genesis is the same")
	}

	forked := reader{t, chain.Node(chainsim.NodeOptions{OtherFork: 3})}
	for slot := 27; slot <= 31; slot++ {
		path := fmt.Sprintf("/eth/v1/beacon/headers/%d", slot)
		if same := bytes.Equal(forked.get(path), honest.get(path)); same != (slot <= 28) {
			t.Errorf("slot %d: same header %t", slot, same)
		}
	}
	head, parent := forked.block("head").Message, forked.block("30").Message
	var header struct{ Root string }
	forked.data("GET", "/eth/v1/beacon/headers/30", "", &header)
	if fmt.Sprintf("%#x", head.ParentRoot) != header.Root || forked.block(header.Root).Message.Slot != parent.Slot {
		t.Error("the other fork is not linked")
	}
	if code := honest.do("GET", "/eth/v1/beacon/headers/"+header.Root, "").Code; code != 404 {
		t.Errorf("the honest node knows the other fork: %d", code)
	}
}

func TestNodesThatCannotDoEverything(t *testing.T) {
	chain := build(t, quiet(), 9)
	status := func(o chainsim.NodeOptions, method, path string) int {
		return reader{t, chain.Node(o)}.do(method, path, "").Code
	}
	for _, test := range []struct {
		options      chainsim.NodeOptions
		method, path string
		want         int
	}{
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/states/head/committees?epoch=10", 200},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/states/head/committees?epoch=11", 400},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/states/head/committees?epoch=2", 200},
		{chainsim.NodeOptions{PrunedCommittees: true}, "GET", "/eth/v1/beacon/states/head/committees?epoch=7", 400},
		{chainsim.NodeOptions{PrunedCommittees: true}, "GET", "/eth/v1/beacon/states/head/committees?epoch=8", 200},
		{chainsim.NodeOptions{NoOldStates: true}, "GET", "/eth/v1/beacon/states/56/validators?id=1", 404},
		{chainsim.NodeOptions{NoOldStates: true}, "GET", "/eth/v1/beacon/states/64/validators?id=1", 200},
		{chainsim.NodeOptions{}, "POST", "/eth/v1/beacon/rewards/attestations/8", 404},
		{chainsim.NodeOptions{}, "POST", "/eth/v1/beacon/rewards/attestations/7", 200},
		{chainsim.NodeOptions{NoRewards: 500}, "POST", "/eth/v1/beacon/rewards/attestations/7", 500},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/validator/duties/proposer/11", 400},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/headers/80", 404},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/headers/abc", 400},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/states/80/validators", 404},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/states/head/sync_committees?epoch=512", 400},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/states/head/sync_committees?epoch=256", 200},
		{chainsim.NodeOptions{}, "GET", "/eth/v1/beacon/nonsense", 404},
	} {
		if got := status(test.options, test.method, test.path); got != test.want {
			t.Errorf("%+v: %s %s: %d, want %d", test.options, test.method, test.path, got, test.want)
		}
	}

	_, err := wire.ReadCommittees(bytes.NewReader(reader{t, chain.Node(chainsim.NodeOptions{WrongEpochCommittees: true})}.
		get("/eth/v1/beacon/states/head/committees?epoch=9")), chain.Spec(), 9, nil)
	if !errors.Is(err, wire.ErrWrongEpoch) {
		t.Errorf("wrong epoch: %v", err)
	}
	rec := reader{t, chain.Node(chainsim.NodeOptions{JSONOnlyBlocks: true})}.do("GET", "/eth/v2/beacon/blocks/head", "")
	if got := rec.Header().Get("Content-Type"); got != "application/json" {
		t.Errorf("JSON only: %s", got)
	}
	rec = reader{t, chain.Node(chainsim.NodeOptions{NoVersionHeader: true})}.do("GET", "/eth/v2/beacon/blocks/head", "")
	if got := rec.Header().Get("Eth-Consensus-Version"); got != "" {
		t.Errorf("version header: %s", got)
	}
	var spec map[string]string
	reader{t, chain.Node(chainsim.NodeOptions{Spec: map[string]string{"SECONDS_PER_SLOT": "", "X": "1"}})}.
		data("GET", "/eth/v1/config/spec", "", &spec)
	if _, ok := spec["SECONDS_PER_SLOT"]; ok || spec["X"] != "1" || spec["SLOT_DURATION_MS"] != "12000" {
		t.Errorf("spec: %v", spec)
	}
	duplicates := reader{t, chain.Node(chainsim.NodeOptions{DuplicateSyncRows: true})}
	var rows []struct {
		Reward int64 `json:",string"`
	}
	duplicates.data("POST", "/eth/v1/beacon/rewards/sync_committee/70", "[]", &rows)
	if len(rows) != 512 {
		t.Errorf("duplicate rows: %d", len(rows))
	}
}

func TestOldBlocksArePruned(t *testing.T) {
	cfg := quiet()
	cfg.KeepEpochs = 4
	chain := build(t, cfg, 9)
	r := reader{t, chain.Handler()}
	for slot, want := range map[int]int{40: 404, 46: 404, 48: 200, 79: 200} {
		if code := r.do("GET", fmt.Sprintf("/eth/v2/beacon/blocks/%d", slot), "").Code; code != want {
			t.Errorf("slot %d: %d, want %d", slot, code, want)
		}
	}
}

func TestChainFollowsItsClock(t *testing.T) {
	cfg := quiet()
	cfg.GenesisTime = time.Unix(1_700_000_000, 0)
	var now atomic.Int64
	cfg.Clock = func() time.Time { return time.Unix(now.Load(), 0) }
	chain, err := chainsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	r := reader{t, chain.Handler()}
	for _, test := range []struct {
		after int64
		want  string
	}{
		{-100, `"head_slot":"0"`},
		{11, `"head_slot":"0"`},
		{12, `"head_slot":"1"`},
		{121, `"head_slot":"10"`},
		{60, `"head_slot":"10"`}, // a chain never shrinks
	} {
		now.Store(1_700_000_000 + test.after)
		if got := string(r.get("/eth/v1/node/syncing")); !strings.Contains(got, test.want) {
			t.Errorf("%d s after genesis: %s", test.after, got)
		}
	}
}

func TestRequestsAreCounted(t *testing.T) {
	chain := build(t, quiet(), 2)
	one, two := chain.Node(chainsim.NodeOptions{}), chain.Node(chainsim.NodeOptions{})
	body := reader{t, one}.get("/eth/v2/beacon/blocks/head")
	reader{t, two}.get("/eth/v2/beacon/blocks/head")
	reader{t, two}.do("GET", "/eth/v1/beacon/headers/77", "")
	size := uint64(len(body))
	if got := one.Requests()["blocks"]; got != (chainsim.OperationCount{Requests: 1, Bytes: size}) {
		t.Errorf("one node: %+v", got)
	}
	if got := chain.Requests(); got["blocks"] != (chainsim.OperationCount{Requests: 2, Bytes: 2 * size}) || got["headers"].Requests != 1 {
		t.Errorf("chain: %+v", got)
	}
}

func TestConcurrentReadersWhileTheChainGrows(t *testing.T) {
	preset := chainsim.Short()
	cfg := chainsim.Config{Preset: preset, Validators: 300, Faults: everything(preset), KeepEpochs: 4}
	chain, err := chainsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(t.Context())
	var readers sync.WaitGroup
	for _, options := range []chainsim.NodeOptions{{}, {OtherFork: 2}, {HeadBehind: 5}} {
		node := chain.Node(options)
		readers.Go(func() {
			for ctx.Err() == nil {
				for _, path := range []string{
					"/eth/v2/beacon/blocks/head", "/eth/v1/beacon/headers/finalized", "/eth/v1/beacon/states/head/validators?id=1,80",
					"/eth/v1/beacon/states/head/committees", "/eth/v1/beacon/states/head/finality_checkpoints",
				} {
					reader{t, node}.do("GET", path, "")
				}
				chain.Truth().Attestations(2)
			}
		})
	}
	for slot := range duty.Slot(120) {
		chain.AdvanceTo(slot)
	}
	cancel()
	readers.Wait()
}

// TestClientLibraryReadsTheAPI reads the chain with a client that is not ours.
func TestClientLibraryReadsTheAPI(t *testing.T) {
	cfg := quiet()
	cfg.Preset = chainsim.Mainnet()
	chain := build(t, cfg, 3)
	ctx, cancel := context.WithCancel(t.Context())
	defer cancel()
	service, err := client.New(ctx, client.WithAddress(serve(t, chain.Handler())), client.WithLogLevel(zerolog.Disabled), client.WithTimeout(5*time.Second))
	if err != nil {
		t.Fatal(err)
	}
	node := service.(*client.Service)

	genesis, err := node.Genesis(ctx, &api.GenesisOpts{})
	if err != nil || !genesis.Data.GenesisTime.Equal(chain.Spec().GenesisTime) || duty.Root(genesis.Data.GenesisValidatorsRoot) != chain.Spec().GenesisValidatorsRoot {
		t.Errorf("genesis: %v", err)
	}
	spec, err := node.Spec(ctx, &api.SpecOpts{})
	if err != nil || spec.Data["SLOTS_PER_EPOCH"] != uint64(32) || spec.Data["SECONDS_PER_SLOT"] != 12*time.Second {
		t.Errorf("spec: %v", err)
	}
	slot, root := chain.Head()
	header, err := node.BeaconBlockHeader(ctx, &api.BeaconBlockHeaderOpts{Block: "head"})
	if err != nil || duty.Root(header.Data.Root) != root || duty.Slot(header.Data.Header.Message.Slot) != slot {
		t.Errorf("header: %v", err)
	}
	block, err := node.SignedBeaconBlock(ctx, &api.SignedBeaconBlockOpts{Block: "head"})
	if err != nil || block.Data.Electra == nil || duty.Slot(block.Data.Electra.Message.Slot) != slot {
		t.Errorf("block: %v", err)
	}
	finality, err := node.Finality(ctx, &api.FinalityOpts{State: "head"})
	if err != nil || finality.Data.Justified.Epoch != 2 {
		t.Errorf("finality: %v %v", finality, err)
	}
	duties, err := node.ProposerDuties(ctx, &api.ProposerDutiesOpts{Epoch: 3})
	if err != nil || len(duties.Data) != 32 {
		t.Errorf("proposer duties: %v", err)
	}
	committee, err := node.SyncCommittee(ctx, &api.SyncCommitteeOpts{State: "head"})
	if err != nil || len(committee.Data.Validators) != 512 {
		t.Errorf("sync committee: %v", err)
	}
	epoch := phase0.Epoch(4)
	committees, err := node.BeaconCommittees(ctx, &api.BeaconCommitteesOpts{State: "head", Epoch: &epoch})
	if err != nil || len(committees.Data) != 32 || committees.Data[0].Slot != 128 {
		t.Errorf("committees: %v", err)
	}
	validators, err := node.Validators(ctx, &api.ValidatorsOpts{State: "head", Indices: []phase0.ValidatorIndex{0, 299, 300}})
	if err != nil || len(validators.Data) != 2 || [48]byte(validators.Data[299].Validator.PublicKey) != chain.Pubkey(299) {
		t.Errorf("validators: %v", err)
	}
	rewards, err := node.AttestationRewards(ctx, &api.AttestationRewardsOpts{Epoch: 1, Indices: []phase0.ValidatorIndex{7}})
	if err != nil || len(rewards.Data.TotalRewards) != 1 || rewards.Data.TotalRewards[0].Head == 0 {
		t.Errorf("rewards: %v", err)
	}
}
