package store

import (
	"sync"
	"sync/atomic"
)

// memory is what is believed of the database, all of it committed. It saves asking
// again for what Prometheus repeats at every scrape.
type memory struct {
	checked atomic.Bool // the schema fits

	mu      sync.Mutex
	series  recent[hash, int64]
	samples recent[key, uint64] // bits of the value
	months  map[month]bool      // partitions that exist
}

// key of a sample.
type key struct {
	series int64
	window int64 // Unix seconds
}

func newMemory(limit int) *memory {
	return &memory{
		series:  recent[hash, int64]{limit: limit},
		samples: recent[key, uint64]{limit: limit},
		months:  map[month]bool{},
	}
}

func (m *memory) setMonths(months []month) {
	m.mu.Lock()
	defer m.mu.Unlock()
	clear(m.months)
	for _, month := range months {
		m.months[month] = true
	}
}

// recent is a bounded map of what was used last. Its zero value with a limit is ready.
type recent[K comparable, V any] struct {
	limit      int
	young, old map[K]V // at most half of the limit each; young ones become old together
}

func (r *recent[K, V]) get(k K) (v V, ok bool) {
	if v, ok = r.young[k]; ok {
		return v, true
	}
	if v, ok = r.old[k]; ok {
		r.put(k, v)
	}
	return v, ok
}

func (r *recent[K, V]) put(k K, v V) {
	if r.limit < 2 {
		return
	}
	if r.young == nil || len(r.young) >= r.limit/2 {
		r.young, r.old = map[K]V{}, r.young
	}
	r.young[k] = v
}
