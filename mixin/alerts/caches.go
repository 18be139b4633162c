package alerts

import (
	"fmt"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// caches is about the exporter's bounded caches. Replicas have caches of their own but
// the same work, so their look-ups are added up.
func caches(c mixin.Config) Section {
	return Section{
		Name: "cache", Title: "Cache", About: "The exporter's bounded caches.",
		Alerts: []Alert{cacheHitRateLow(c), cacheOperationFailures(c)},
	}
}

func cacheHitRateLow(c mixin.Config) Alert {
	q, t := queries{c}, c.Alerts.Cache
	rose := func(counter string) string {
		return q.total(fmt.Sprintf("increase(%s[%s])", q.series(counter), mixin.Duration(t.Range)))
	}
	hits, misses := rose("validator_exporter_cache_hits_total"), rose("validator_exporter_cache_misses_total")
	a := Alert{
		Name: "CacheHitRateLow", Severity: mixin.Info,
		Expr: fmt.Sprintf("%s / (%s + %s >= %d) < %s", hits, hits, misses, t.MinimumLookups, number(t.HitRate)),
		For:  q.wait(), Dashboard: mixin.BeaconDashboard,
		Summary: "A cache of the exporter is too small for its work.",
		Description: fmt.Sprintf("{{ $value | humanizePercentage }} of the look-ups in the cache {{ $labels.cache }} of {{ $labels.job }} found something in the last %s; at least %s is expected.",
			mixin.Duration(t.Range), percent(t.HitRate)),
		Action: "Nothing at once. Look whether evictions go with it and whether the beacon nodes suffer from the repeated requests.",
		Runbook: Runbook{
			Meaning: `
Of the look-ups in a cache, too few found what they looked for. Below a minimum of look-ups nothing is said: «blocks» is looked
up only when epochs are accounted again, after a reorg that reaches back or a changed watch list, so it often rests for days.`,
			Impact: `
Blocks are read again from beacon nodes: more requests, and longer until counters are whole again. Figures are the same.`,
			Diagnosis: `
	increase(validator_exporter_cache_hits_total[1h])
	increase(validator_exporter_cache_misses_total[1h])
	increase(validator_exporter_cache_evictions_total[1h])
	validator_exporter_cache_bytes
	sum by (operation) (rate(ethereum_beacon_requests_total[1h]))

Misses without evictions are a cache that is still cold, as after a start. Misses with evictions mean that a window's blocks do
not fit. What made it look: «changes(validator_exporter_config_reload_timestamp_seconds[1h])» and
«increase(ethereum_chain_reorgs_observed_total[1h])».`,
			Mitigation: `
- After a start or a new watch list: wait.
- A watch list that is rewritten all the time: write it only when it changes.
- Evictions all the time: a shorter window («--counters.window-epochs») needs fewer blocks. The bound itself is not a flag;
  report it with the figures above.`,
		},
	}
	a.Cases = hitRateCases(c, a)
	return a
}

func cacheOperationFailures(c mixin.Config) Alert {
	q, t := queries{c}, c.Alerts.Cache
	a := Alert{
		Name: "CacheOperationFailures", Severity: mixin.Warning,
		Expr: q.total(fmt.Sprintf("increase(%s[%s])", q.series("validator_exporter_cache_rejected_total"), mixin.Duration(t.Range))) + " > 0",
		For:  q.wait(), Dashboard: mixin.BeaconDashboard,
		Summary: "A cache of the exporter cannot keep what it is given.",
		Description: fmt.Sprintf(`The cache {{ $labels.cache }} of {{ $labels.job }} did not keep {{ printf "%%.0f" $value }} values in the last %s, since each is larger than the whole cache; 0 are expected.`,
			mixin.Duration(t.Range)),
		Action: "Report it with the size of the chain's blocks: the cache's bound does not fit this chain.",
		Runbook: Runbook{
			Meaning: `
A value was larger than the bound of the whole cache, so it was not kept. This is the only operation of a cache that can fail.`,
			Impact: `
The value is read again whenever it is needed. Figures are the same.`,
			Diagnosis: `
	increase(validator_exporter_cache_rejected_total[1h])
	validator_exporter_cache_entries
	validator_exporter_cache_bytes
	rate(ethereum_beacon_response_bytes_total{operation="block"}[1h]) / (rate(ethereum_beacon_requests_total{operation="block"}[1h]) > 0)`,
			Mitigation: `
- No block of a healthy chain is that large: find out whether the beacon node answers nonsense, by comparing with another.
- A private network with very large blocks: report it; the bound is not a flag.`,
		},
	}
	a.Cases = rejectedCases(c, a)
	return a
}
