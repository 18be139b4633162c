package alerts

import (
	"fmt"
	"math"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

func hitRateCases(c mixin.Config, a Alert) []Case {
	t := c.Alerts.Cache
	s := scraped(c, t.Range+4*a.For)
	lookups := func(replica string, hits, misses float64) []Series {
		return []Series{
			s.own(replica, "validator_exporter_cache_hits_total", s.rising(0, hits), "cache", "blocks"),
			s.own(replica, "validator_exporter_cache_misses_total", s.rising(0, misses), "cache", "blocks"),
		}
	}
	expected := func(rate float64) Instance {
		return s.plain(fmt.Sprintf("%s of the look-ups in the cache blocks of %s found something in the last %s; at least %s is expected.",
			percent(rate), s.target()["job"], mixin.Duration(t.Range), percent(t.HitRate)), "cache", "blocks")
	}
	// At each step as many as are needed in the whole range, in thousands.
	many := 1000 * math.Ceil(float64(t.MinimumLookups)/1000)
	low, high := (math.Ceil(1000*t.HitRate)-1)/1000, (math.Floor(1000*t.HitRate)+1)/1000
	hits := func(rate float64) float64 { return math.Round(rate * many) }
	oneHits := min(many, 2*hits(low)) // of two exporters that together have twice as many
	// Misses only, so many in the range; counters need not be whole here.
	misses := func(n float64) []Series { return lookups(first, 0, n*float64(s.step)/float64(t.Range)) }
	enough := s.fires("fires when there are just enough look-ups", a, s.after(t.Range), misses(float64(t.MinimumLookups)+0.01), expected(0))
	enough.Silent = enough.Silent[:1]
	return []Case{
		s.fires("fires just below the limit", a, 1, lookups(first, hits(low), many-hits(low)), expected(low)),
		s.fires("fires once, with the rate over both, when there are two exporters", a, 1,
			append(lookups(first, oneHits, many-oneHits), lookups(second, 2*hits(low)-oneHits, many-2*hits(low)+oneHits)...), expected(low)),
		enough,
		s.silent("is silent just above the limit", lookups(first, hits(high), many-hits(high))),
		s.silent("is silent when there are too few look-ups", misses(float64(t.MinimumLookups)-0.01)),
		s.silent("is silent when nothing is looked up", lookups(first, 0, 0)),
		s.silent("is silent when the exporter has been restarted", []Series{
			s.own(first, "validator_exporter_cache_hits_total", s.from(2, 5*many, 0), "cache", "blocks"),
			s.own(first, "validator_exporter_cache_misses_total", s.from(2, 9*many, 0), "cache", "blocks"),
		}),
	}
}

func rejectedCases(c mixin.Config, a Alert) []Case {
	over := c.Alerts.Cache.Range
	s := scraped(c, over+4*a.For)
	rejected := func(replica, values string) Series {
		return s.own(replica, "validator_exporter_cache_rejected_total", values, "cache", "blocks")
	}
	at := s.after(over) + 1
	expected := s.plain(fmt.Sprintf("The cache blocks of %s did not keep %.0f values in the last %s, since each is larger than the whole cache; 0 are expected.",
		s.target()["job"], risen(300, over, s.step), mixin.Duration(over)), "cache", "blocks")
	return []Case{
		s.fires("fires when values are too large", a, at, []Series{rejected(first, s.from(at, 900, 1200))}, expected),
		s.fires("fires once, with the sum, when that is so for two exporters", a, at,
			[]Series{rejected(first, s.from(at, 900, 1000)), rejected(second, s.from(at, 900, 1100))}, expected),
		s.silent("is silent when all values are kept", []Series{rejected(first, s.constant(0))}),
		s.silent("is silent when the exporter has been restarted", []Series{rejected(first, s.from(at, 900, 0))}),
	}
}
