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
	*crew
	members []member // by ordinal of watch
}

// crew is what stays the same from epoch to epoch: who is watched, under which
// labels. Rosters of the same list share it as long as the chain knows the same
// validators.
type crew struct {
	list  *watch.List
	watch *duty.WatchSet
	// unknown are the entries that the chain does not know (yet).
	unknown []watch.Entry
	groups  []group // the first is group_by="all"
	// groupsOf are each member's positions in groups, by ordinal.
	groupsOf [][]int
}

// member is one watched validator that is on the chain.
type member struct {
	record wire.Validator
	*identity
}

// identity is what a member is called.
type identity struct {
	labels []watch.Label
	groups []int // positions in crew.groups, the "all" group included
	// Pre-rendered label sets: network and validator_index; those with pubkey,
	// withdrawal_type and the watch list's labels; those with vote and cause, in the
	// order of lostVotes; those with component, in the order of rewardComponents.
	series, info string
	lost, paid   []string
	withdrawal   string
}

type groupKey struct{ by, name string }

// group is one value of one label of the watch list.
type group struct {
	key    groupKey
	series string
	// offences and streaks are series, with the label of each kind and length, since they
	// are counted at each head.
	offences [offenceKinds]string
	streaks  [streakEpochs + 1]string
	// unknown counts entries of this group that the chain does not know.
	unknown int
}

var everybody = groupKey{"all", "all"}

// newRoster joins the watch list with the records that a node returned for it.
// A validator named twice, by index and by key, is one validator; its labels are
// those of both, the first mention winning.
func newRoster(network string, list *watch.List, records []wire.Validator, previous *roster) *roster {
	if r := previous.with(list, records); r != nil {
		return r
	}
	c := &crew{list: list}
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
			c.unknown = append(c.unknown, e)
			continue
		}
		if prior, twice := labels[at]; twice {
			labels[at] = mergeLabels(prior, e.Labels)
			continue
		}
		labels[at] = e.Labels
		indices = append(indices, records[at].Index)
	}
	c.watch, c.groups = duty.NewWatchSet(indices), groupsOf(network, list)
	groups := newGrouping(c.groups)
	r := &roster{crew: c, members: make([]member, c.watch.Len())}
	for i := range r.members {
		at := byIndex[c.watch.At(i)]
		r.members[i] = member{records[at], &identity{
			labels:     labels[at],
			groups:     groups.of(labels[at]),
			withdrawal: withdrawalType(records[at].Credentials),
		}}
		c.groupsOf = append(c.groupsOf, r.members[i].groups)
	}
	for _, e := range c.unknown {
		for _, at := range groups.of(e.Labels) {
			c.groups[at].unknown++
		}
	}
	return r
}

// with returns a roster of the same crew with new records; nil when the records are
// not those of the same validators.
func (r *roster) with(list *watch.List, records []wire.Validator) *roster {
	if r == nil || r.list != list || len(records) != len(r.members) {
		return nil
	}
	next := &roster{crew: r.crew, members: make([]member, len(r.members))}
	for i := range records {
		at, known := r.watch.Ordinal(records[i].Index)
		if !known || next.members[at].identity != nil {
			return nil
		}
		m := &r.members[at]
		if m.record.Pubkey != records[i].Pubkey || m.withdrawal != withdrawalType(records[i].Credentials) {
			return nil
		}
		next.members[at] = member{records[i], m.identity}
	}
	return next
}

// render makes a member's label sets, which only validators with series of their own
// need.
func (m *member) render(network string) {
	if m.series != "" {
		return
	}
	m.series = exposition.Labels("network", network, "validator_index", strconv.FormatUint(uint64(m.record.Index), 10))
	pairs := []string{"pubkey", pubkeyString(m.record.Pubkey), "withdrawal_type", m.withdrawal}
	for _, l := range m.labels {
		pairs = append(pairs, l.Name, l.Value)
	}
	m.info = m.series + "," + exposition.Labels(pairs...)
	m.lost = lostLabels(m.series)
	for _, c := range rewardComponents {
		m.paid = append(m.paid, m.series+`,component="`+c.label+`"`)
	}
}

// grouping finds the groups of a label set. Watch lists repeat few label sets over
// many validators: each is looked up once.
type grouping struct {
	position map[groupKey]int
	resolved map[string][]int
}

func newGrouping(groups []group) *grouping {
	g := &grouping{position: make(map[groupKey]int, len(groups)), resolved: map[string][]int{}}
	for i := range groups {
		g.position[groups[i].key] = i
	}
	return g
}

func (g *grouping) of(labels []watch.Label) []int {
	id := ""
	for _, l := range labels {
		id += strconv.Quote(l.Name) + strconv.Quote(l.Value)
	}
	if at, ok := g.resolved[id]; ok {
		return at
	}
	at := []int{g.position[everybody]}
	for _, l := range labels {
		at = append(at, g.position[groupKey{l.Name, l.Value}])
	}
	g.resolved[id] = at
	return at
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
		g := group{key: k, series: exposition.Labels("network", network, "group_by", k.by, "group", k.name)}
		for kind, label := range offenceLabels {
			g.offences[kind] = g.series + label
		}
		for n := leastStreak; n <= streakEpochs; n++ {
			g.streaks[n] = g.series + `,at_least="` + strconv.Itoa(n) + `"`
		}
		groups = append(groups, g)
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
	if r.crew == o.crew {
		return true
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
