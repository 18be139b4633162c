package chainsim_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"runtime"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

func TestFullBlocksCarryEightAggregates(t *testing.T) {
	chain := build(t, chainsim.Config{
		Validators: 40_000, FullAggregates: true, BlockPayloadBytes: 120 << 10,
	}, 1)
	r := reader{t, chain.Handler()}
	var blocks, full, all int
	for slot := 40; slot < 60; slot++ {
		if r.do("GET", fmt.Sprintf("/eth/v1/beacon/headers/%d", slot), "").Code != 200 {
			continue
		}
		blocks++
		list := r.block(slot).Message.Body.Attestations
		all += len(list)
		for _, a := range list {
			if a.CommitteeBits.Count() == 9 { // 40,000 of 32 slots, at least 128 each
				full++
			}
		}
	}
	if blocks < 15 || all != 8*blocks || full < 5*blocks {
		t.Errorf("%d blocks with %d aggregates, %d of them full", blocks, all, full)
	}
}

// million is a chain of mainnet's size.
func million() chainsim.Config {
	return chainsim.Config{Validators: 1_000_000, BlockPayloadBytes: 120 << 10, FullAggregates: true, KeepEpochs: 30}
}

func BenchmarkGrowMillionOneEpoch(b *testing.B) {
	chain, err := chainsim.New(million())
	if err != nil {
		b.Fatal(err)
	}
	for b.Loop() {
		chain.AdvanceTo(chain.Slot() + 32)
	}
	var memory runtime.MemStats
	runtime.GC()
	runtime.ReadMemStats(&memory)
	b.ReportMetric(float64(memory.HeapAlloc>>20), "heap-MB")
	runtime.KeepAlive(chain)
}

func BenchmarkServeMillion(b *testing.B) {
	chain := build(b, million(), 7)
	for name, request := range map[string][2]string{
		"block":      {"GET", "/eth/v2/beacon/blocks/head"},
		"committees": {"GET", "/eth/v1/beacon/states/head/committees"},
		"validators": {"GET", "/eth/v1/beacon/states/head/validators"},
		"rewards":    {"POST", "/eth/v1/beacon/rewards/attestations/5"},
	} {
		b.Run(name, func(b *testing.B) {
			handler := chain.Handler()
			for b.Loop() {
				req := httptest.NewRequest(request[0], request[1], nil)
				req.Header.Set("Accept", "application/octet-stream")
				w := &discard{header: http.Header{}}
				handler.ServeHTTP(w, req)
				b.SetBytes(w.bytes)
			}
		})
	}
}

type discard struct {
	header http.Header
	bytes  int64
}

func (d *discard) Header() http.Header { return d.header }
func (d *discard) WriteHeader(int)     {}
func (d *discard) Write(b []byte) (int, error) {
	d.bytes += int64(len(b))
	return len(b), nil
}
