package collector

import (
	"encoding/hex"
	"sort"
	"strconv"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
)

// roster is the watch list as the chain knows it at one epoch: which validators it
// names, their records, and the groups they belong to. Immutable once built.
type roster struct {
	list    *watch.List
	watch   *duty.WatchSet
	members []member // by ordinal of watch
	// unknown are the entries that the chain does not know (yet).
	unknown []watch.Entry
	groups  []group // sorted; the first is group_by="all"
}

// member is one watched validator that is on the chain.
type member struct {
	record wire.Validator
	labels []watch.Label
	groups []int // positions in roster.groups, the "all" group included
	// series is the pre-rendered label set network, validator_index.
	series string
}

type groupKey struct{ by, name string }

// group is one value of one label of the watch list.
type group struct {
	key    groupKey
	series string
	// unknown counts entries of this group that the chain does not know.
	unknown int
}

var everybody = groupKey{"all", "all"}

// newRoster joins the watch list with the records that a node returned for it.
// A validator named twice, by index and by key, is one validator; its labels are
// those of both, the first mention winning.
func newRoster(network string, list *watch.List, records []wire.Validator) *roster {
	r := &roster{list: list}
	byIndex := make(map[duty.ValidatorIndex]int, len(records))
	byKey := make(map[[48]byte]int, len(records))
	for i := range records {
		byIndex[records[i].Index] = i
		byKey[records[i].Pubkey] = i
	}
	labels := make(map[int][]watch.Label, len(records))
	var indices []duty.ValidatorIndex
	for _, e := range list.Entries {
		at, known := 0, false
		if e.HasIndex {
			at, known = byIndex[duty.ValidatorIndex(e.Index)]
		} else {
			at, known = byKey[e.Pubkey]
		}
		if !known {
			r.unknown = append(r.unknown, e)
			continue
		}
		if prior, twice := labels[at]; twice {
			labels[at] = mergeLabels(prior, e.Labels)
			continue
		}
		labels[at] = e.Labels
		indices = append(indices, records[at].Index)
	}
	r.watch = duty.NewWatchSet(indices)
	r.members = make([]member, r.watch.Len())
	r.groups = groupsOf(network, list)
	position := make(map[groupKey]int, len(r.groups))
	for i, g := range r.groups {
		position[g.key] = i
	}
	// Watch lists repeat few label sets over many validators: resolve each once.
	resolved := make(map[string][]int)
	groupsFor := func(ls []watch.Label) []int {
		id := ""
		for _, l := range ls {
			id += strconv.Quote(l.Name) + strconv.Quote(l.Value)
		}
		if at, ok := resolved[id]; ok {
			return at
		}
		at := []int{position[everybody]}
		for _, l := range ls {
			at = append(at, position[groupKey{l.Name, l.Value}])
		}
		resolved[id] = at
		return at
	}
	for i := range r.members {
		at := byIndex[r.watch.At(i)]
		r.members[i] = member{
			record: records[at],
			labels: labels[at],
			groups: groupsFor(labels[at]),
			series: exposition.Labels("network", network, "validator_index", strconv.FormatUint(uint64(records[at].Index), 10)),
		}
	}
	for _, e := range r.unknown {
		for _, at := range groupsFor(e.Labels) {
			r.groups[at].unknown++
		}
	}
	return r
}

// groupsOf lists every value of every label of the watch list, "all" first.
func groupsOf(network string, list *watch.List) []group {
	seen := map[groupKey]bool{}
	var keys []groupKey
	for _, e := range list.Entries {
		for _, l := range e.Labels {
			k := groupKey{l.Name, l.Value}
			if !seen[k] {
				seen[k] = true
				keys = append(keys, k)
			}
		}
	}
	sort.Slice(keys, func(i, j int) bool {
		if keys[i].by != keys[j].by {
			return keys[i].by < keys[j].by
		}
		return keys[i].name < keys[j].name
	})
	groups := make([]group, 0, len(keys)+1)
	for _, k := range append([]groupKey{everybody}, keys...) {
		groups = append(groups, group{key: k, series: exposition.Labels("network", network, "group_by", k.by, "group", k.name)})
	}
	return groups
}

func mergeLabels(first, second []watch.Label) []watch.Label {
	merged := append([]watch.Label(nil), first...)
next:
	for _, l := range second {
		for _, have := range first {
			if have.Name == l.Name {
				continue next
			}
		}
		merged = append(merged, l)
	}
	sort.Slice(merged, func(i, j int) bool { return merged[i].Name < merged[j].Name })
	return merged
}

// sameWatch tells whether both rosters watch the same validators, in the same order.
func (r *roster) sameWatch(o *roster) bool {
	if o == nil || r.watch.Len() != o.watch.Len() {
		return false
	}
	for i := range r.members {
		if r.watch.At(i) != o.watch.At(i) {
			return false
		}
	}
	return true
}

// requestIDs are the ids to ask a node for: an index where one is given or known, else the key.
func requestIDs(list *watch.List, known map[[48]byte]duty.ValidatorIndex) []string {
	ids := make([]string, 0, len(list.Entries))
	for _, e := range list.Entries {
		if index, ok := known[e.Pubkey]; e.HasIndex {
			ids = append(ids, strconv.FormatUint(e.Index, 10))
		} else if ok {
			ids = append(ids, strconv.FormatUint(uint64(index), 10))
		} else {
			ids = append(ids, pubkeyString(e.Pubkey))
		}
	}
	return ids
}

func indexIDs(indices []duty.ValidatorIndex) []string {
	ids := make([]string, len(indices))
	for i, v := range indices {
		ids[i] = strconv.FormatUint(uint64(v), 10)
	}
	return ids
}

func pubkeyString(key [48]byte) string { return "0x" + hex.EncodeToString(key[:]) }

// withdrawalType names the kind of a validator's withdrawal credentials by their
// prefix (spec: *_WITHDRAWAL_PREFIX).
func withdrawalType(credentials [32]byte) string {
	switch credentials[0] {
	case 0x00:
		return "bls"
	case 0x01:
		return "execution"
	case 0x02:
		return "compounding"
	default:
		return "unknown"
	}
}
