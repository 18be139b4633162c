package cache

import (
	"container/list"
	"sync"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

// Cache maps keys to values, least recently used first out. It is safe for
// concurrent use; values are shared, so they must not be changed.
type Cache[K comparable, V any] struct {
	maxBytes int64
	size     func(V) int64

	mu      sync.Mutex
	entries map[K]*list.Element
	recent  *list.List // of *entry, most recently used first
	stats   Stats
}

type entry[K comparable, V any] struct {
	key   K
	value V
	bytes int64
}

// New makes a cache that holds at most maxBytes, by what size says of each value.
// name is the value of the label "cache".
func New[K comparable, V any](name string, maxBytes int64, size func(V) int64) *Cache[K, V] {
	return &Cache[K, V]{
		maxBytes: maxBytes, size: size,
		entries: map[K]*list.Element{}, recent: list.New(), stats: Stats{Name: name},
	}
}

// Get returns the value under key and marks it as used.
func (c *Cache[K, V]) Get(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[key]
	if !ok {
		c.stats.Misses++
		return value, false
	}
	c.stats.Hits++
	c.recent.MoveToFront(element)
	return element.Value.(*entry[K, V]).value, true
}

// Peek is Get, but counts neither as a hit nor as a miss: for who does not expect to find.
func (c *Cache[K, V]) Peek(key K) (value V, ok bool) {
	c.mu.Lock()
	defer c.mu.Unlock()
	element, ok := c.entries[key]
	if !ok {
		return value, false
	}
	c.recent.MoveToFront(element)
	return element.Value.(*entry[K, V]).value, true
}

// Drop forgets the value under key.
func (c *Cache[K, V]) Drop(key K) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[key]; ok {
		c.remove(element)
	}
}

// Put stores value under key, and drops the least recently used entries until the
// bound holds again. A value larger than the whole bound is not stored.
func (c *Cache[K, V]) Put(key K, value V) {
	added := &entry[K, V]{key: key, value: value, bytes: c.size(value)}
	c.mu.Lock()
	defer c.mu.Unlock()
	if element, ok := c.entries[key]; ok {
		c.remove(element)
	}
	if added.bytes > c.maxBytes {
		c.stats.Rejected++
		return
	}
	c.entries[key] = c.recent.PushFront(added)
	c.stats.Bytes += added.bytes
	for c.stats.Bytes > c.maxBytes {
		c.remove(c.recent.Back())
		c.stats.Evictions++
	}
}

func (c *Cache[K, V]) remove(element *list.Element) {
	gone := c.recent.Remove(element).(*entry[K, V])
	delete(c.entries, gone.key)
	c.stats.Bytes -= gone.bytes
}

// Len returns the number of entries.
func (c *Cache[K, V]) Len() int { return int(c.Stats().Entries) }

// Bytes returns the size of all entries.
func (c *Cache[K, V]) Bytes() int64 { return c.Stats().Bytes }

// Stats are the numbers of a cache since it was made.
type Stats struct {
	Name                    string
	Hits, Misses, Evictions uint64
	Rejected                uint64 // values larger than the whole bound
	Entries, Bytes          int64
}

// Stats returns the cache's numbers, all of the same moment.
func (c *Cache[K, V]) Stats() Stats {
	c.mu.Lock()
	defer c.mu.Unlock()
	s := c.stats
	s.Entries = int64(len(c.entries))
	return s
}

// Stater is any cache.
type Stater interface{ Stats() Stats }

// Collector exposes the numbers of caches as validator_exporter_cache_*.
func Collector(caches ...Stater) prometheus.Collector {
	desc := func(name string) *prometheus.Desc {
		f := catalog.MustGet("validator_exporter_cache_" + name)
		return prometheus.NewDesc(f.Name, f.Help, f.Labels, nil)
	}
	return &collector{
		caches: caches,
		hits:   desc("hits_total"), misses: desc("misses_total"), evictions: desc("evictions_total"), rejected: desc("rejected_total"),
		entries: desc("entries"), bytes: desc("bytes"),
	}
}

type collector struct {
	caches                            []Stater
	hits, misses, evictions, rejected *prometheus.Desc
	entries, bytes                    *prometheus.Desc
}

func (c *collector) Describe(ch chan<- *prometheus.Desc) {
	for _, d := range []*prometheus.Desc{c.hits, c.misses, c.evictions, c.rejected, c.entries, c.bytes} {
		ch <- d
	}
}

func (c *collector) Collect(ch chan<- prometheus.Metric) {
	for _, cache := range c.caches {
		s := cache.Stats()
		for desc, n := range map[*prometheus.Desc]uint64{c.hits: s.Hits, c.misses: s.Misses, c.evictions: s.Evictions, c.rejected: s.Rejected} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.CounterValue, float64(n), s.Name)
		}
		for desc, n := range map[*prometheus.Desc]int64{c.entries: s.Entries, c.bytes: s.Bytes} {
			ch <- prometheus.MustNewConstMetric(desc, prometheus.GaugeValue, float64(n), s.Name)
		}
	}
}
