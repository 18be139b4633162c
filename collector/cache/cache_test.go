package cache_test

import (
	"strings"
	"sync"
	"testing"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/cache"
)

func newTexts(maxBytes int64) *cache.Cache[int, string] {
	return cache.New[int]("texts", maxBytes, func(s string) int64 { return int64(len(s)) })
}

func TestGetReturnsWhatWasPut(t *testing.T) {
	c := newTexts(10)
	c.Put(1, "one")
	if got, ok := c.Get(1); !ok || got != "one" {
		t.Errorf("Get(1) = %q, %v", got, ok)
	}
	if got, ok := c.Get(2); ok || got != "" {
		t.Errorf("Get(2) = %q, %v, want a miss", got, ok)
	}
}

func TestLeastRecentlyUsedGoesFirst(t *testing.T) {
	c := newTexts(9)
	c.Put(1, "one")
	c.Put(2, "two")
	c.Put(3, "thr")
	c.Get(1)
	c.Put(4, "four") // needs the room of two

	for key, kept := range map[int]bool{1: true, 2: false, 3: false, 4: true} {
		if _, ok := c.Get(key); ok != kept {
			t.Errorf("key %d: kept %v, want %v", key, ok, kept)
		}
	}
	if c.Len() != 2 || c.Bytes() != 7 {
		t.Errorf("%d entries of %d bytes, want 2 of 7", c.Len(), c.Bytes())
	}
}

func TestPutAgainReplaces(t *testing.T) {
	c := newTexts(10)
	c.Put(1, "one")
	c.Put(1, "eleven")
	if got, _ := c.Get(1); got != "eleven" || c.Len() != 1 || c.Bytes() != 6 {
		t.Errorf("%q, %d entries of %d bytes", got, c.Len(), c.Bytes())
	}
	if evictions := c.Stats().Evictions; evictions != 0 {
		t.Errorf("%d evictions, want 0: replacing is none", evictions)
	}
}

func TestPeekIsNotCountedAndDropForgets(t *testing.T) {
	c := cache.New[int]("blocks", 100, func(string) int64 { return 10 })
	c.Put(1, "one")
	if v, ok := c.Peek(1); !ok || v != "one" {
		t.Errorf("peek: %q, %v", v, ok)
	}
	c.Drop(1)
	c.Drop(2)
	if _, ok := c.Peek(1); ok {
		t.Error("what was dropped is still there")
	}
	if s := c.Stats(); s.Hits != 0 || s.Misses != 0 || s.Entries != 0 || s.Bytes != 0 || s.Evictions != 0 {
		t.Errorf("stats %+v", s)
	}
}

func TestTooLargeIsNotStored(t *testing.T) {
	c := newTexts(4)
	c.Put(1, "one")
	c.Put(2, "too large")
	if _, ok := c.Get(2); ok {
		t.Error("a value above the bound was stored")
	}
	if _, ok := c.Get(1); !ok {
		t.Error("a value above the bound pushed another out")
	}
	c.Put(1, "one as well") // must not leave the old value behind either
	if _, ok := c.Get(1); ok || c.Bytes() != 0 {
		t.Errorf("stale value kept, %d bytes", c.Bytes())
	}
	if s := c.Stats(); s.Rejected != 2 {
		t.Errorf("%d values counted as rejected, want 2", s.Rejected)
	}
}

func TestConcurrentUseKeepsTheBound(t *testing.T) {
	c := newTexts(100)
	var wg sync.WaitGroup
	for worker := range 4 {
		wg.Go(func() {
			for i := range 1000 {
				c.Put(i%50, "ten bytes!")
				c.Get((i + worker) % 50)
				if bytes := c.Bytes(); bytes > 100 {
					t.Errorf("%d bytes, bound is 100", bytes)
				}
			}
		})
	}
	wg.Wait()
	s := c.Stats()
	if s.Hits+s.Misses != 4000 || s.Entries != 10 || s.Bytes != 100 {
		t.Errorf("%+v", s)
	}
}

func TestCollectorExposesEachCache(t *testing.T) {
	full, empty := newTexts(3), cache.New[string]("empty", 1, func([]byte) int64 { return 0 })
	full.Put(1, "one")
	full.Put(2, "two")
	full.Put(3, "three")
	full.Get(2)
	full.Get(2)
	full.Get(1)
	want := `
# HELP validator_exporter_cache_bytes Estimated size in bytes of the entries in the cache.
# TYPE validator_exporter_cache_bytes gauge
validator_exporter_cache_bytes{cache="empty"} 0
validator_exporter_cache_bytes{cache="texts"} 3
# HELP validator_exporter_cache_entries Entries in the cache.
# TYPE validator_exporter_cache_entries gauge
validator_exporter_cache_entries{cache="empty"} 0
validator_exporter_cache_entries{cache="texts"} 1
# HELP validator_exporter_cache_evictions_total Entries dropped to keep the cache within its bound, by cache.
# TYPE validator_exporter_cache_evictions_total counter
validator_exporter_cache_evictions_total{cache="empty"} 0
validator_exporter_cache_evictions_total{cache="texts"} 1
# HELP validator_exporter_cache_hits_total Cache look-ups that found their key, by cache.
# TYPE validator_exporter_cache_hits_total counter
validator_exporter_cache_hits_total{cache="empty"} 0
validator_exporter_cache_hits_total{cache="texts"} 2
# HELP validator_exporter_cache_misses_total Cache look-ups that did not find their key, by cache.
# TYPE validator_exporter_cache_misses_total counter
validator_exporter_cache_misses_total{cache="empty"} 0
validator_exporter_cache_misses_total{cache="texts"} 1
# HELP validator_exporter_cache_rejected_total Values too large for the whole cache, which were not kept, by cache.
# TYPE validator_exporter_cache_rejected_total counter
validator_exporter_cache_rejected_total{cache="empty"} 0
validator_exporter_cache_rejected_total{cache="texts"} 1
`
	if err := testutil.CollectAndCompare(cache.Collector(full, empty), strings.NewReader(want)); err != nil {
		t.Error(err)
	}
}
