package chainsim_test

import (
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

	"github.com/attestantio/go-eth2-client/spec/electra"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// build makes a chain and lets it grow to the last slot of an epoch.
func build(t testing.TB, cfg chainsim.Config, epochs duty.Epoch) *chainsim.Chain {
	t.Helper()
	chain, err := chainsim.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	chain.AdvanceTo(chain.Spec().LastSlot(epochs))
	return chain
}

// reader asks a handler as a client would.
type reader struct {
	t       testing.TB
	handler http.Handler
}

func (r reader) do(method, path, body string) *httptest.ResponseRecorder {
	req := httptest.NewRequest(method, path, strings.NewReader(body))
	req.Header.Set("Accept", "application/octet-stream, application/json;q=0.9")
	rec := httptest.NewRecorder()
	r.handler.ServeHTTP(rec, req)
	return rec
}

func (r reader) get(path string) []byte {
	r.t.Helper()
	rec := r.do("GET", path, "")
	if rec.Code != 200 {
		r.t.Fatalf("GET %s: %d %s", path, rec.Code, rec.Body)
	}
	body, _ := io.ReadAll(rec.Body)
	return body
}

// data decodes the data of an answer.
func (r reader) data(method, path, body string, into any) {
	r.t.Helper()
	rec := r.do(method, path, body)
	if rec.Code != 200 {
		r.t.Fatalf("%s %s: %d %s", method, path, rec.Code, rec.Body)
	}
	answer := struct{ Data any }{into}
	if err := json.Unmarshal(rec.Body.Bytes(), &answer); err != nil {
		r.t.Fatalf("%s %s: %v", method, path, err)
	}
}

func (r reader) block(id any) *electra.SignedBeaconBlock {
	r.t.Helper()
	block := &electra.SignedBeaconBlock{}
	if err := block.UnmarshalSSZ(r.get(fmt.Sprintf("/eth/v2/beacon/blocks/%v", id))); err != nil {
		r.t.Fatalf("block %v: %v", id, err)
	}
	return block
}

func TestSameSeedGivesSameBytes(t *testing.T) {
	cfg := chainsim.Config{Preset: chainsim.Short(), Validators: 200, Seed: 7}
	one, two := build(t, cfg, 3), build(t, cfg, 3)
	cfg.Seed = 8
	other := build(t, cfg, 3)
	for _, path := range []string{
		"/eth/v2/beacon/blocks/head", "/eth/v1/beacon/headers/head", "/eth/v1/beacon/states/head/committees",
		"/eth/v1/beacon/states/head/validators", "/eth/v1/validator/duties/proposer/3", "/eth/v1/beacon/states/head/sync_committees",
	} {
		a, b := reader{t, one.Handler()}.get(path), reader{t, two.Handler()}.get(path)
		if string(a) != string(b) {
			t.Errorf("%s: same seed, other bytes", path)
		}
		if c := (reader{t, other.Handler()}).get(path); string(a) == string(c) {
			t.Errorf("%s: other seed, same bytes", path)
		}
	}
}

func TestBlocksDecodeAndLinkToGenesis(t *testing.T) {
	for _, preset := range []chainsim.Preset{chainsim.Mainnet(), chainsim.Short()} {
		chain := build(t, chainsim.Config{Preset: preset, Validators: 300, BlockPayloadBytes: 10_000}, 2)
		r := reader{t, chain.Handler()}
		slot, root := chain.Head()
		for blocks := 0; ; blocks++ {
			block := r.block(fmt.Sprintf("%#x", root)).Message
			if duty.Slot(block.Slot) != slot {
				t.Fatalf("block %#x: slot %d, want %d", root, block.Slot, slot)
			}
			var size int
			for _, tx := range block.Body.ExecutionPayload.Transactions {
				size += len(tx)
			}
			if size != 9900 {
				t.Fatalf("slot %d: %d bytes of transactions", slot, size)
			}
			if slot == 0 {
				if blocks < int(preset.SlotsPerEpoch) {
					t.Fatalf("only %d blocks", blocks)
				}
				break
			}
			root = duty.Root(block.ParentRoot)
			var header struct {
				Header struct {
					Message struct {
						Slot duty.Slot `json:",string"`
					}
				}
			}
			r.data("GET", fmt.Sprintf("/eth/v1/beacon/headers/%#x", root), "", &header)
			slot = header.Header.Message.Slot
		}
	}
}
