package collector

import (
	"slices"
	"strconv"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
)

// built are a snapshot's families by how often they change, each set with the key
// of what it was built from: a set whose key is the same as before is not built
// again, and keeps its bytes.
type built struct {
	settled   []*exposition.Family // of snapshot.sums
	recordKey recordKey
	records   []*exposition.Family
	live      []*exposition.Family
}

type recordKey struct {
	roster   *roster
	finality finality
	paid     duty.Epoch // of the rewards
	rewarded bool
}

// build makes the snapshot's page.
func (s *snapshot) build(c *Collector, st *state, previous *snapshot) {
	var before built
	var page *exposition.Page
	if previous != nil {
		before, page = previous.built, previous.page
	}
	b := &builder{network: exposition.Labels("network", s.spec.Network), individual: s.roster.watch.Len() <= c.cfg.IndividualLimit}

	if b.individual {
		for i := range s.roster.members {
			s.roster.members[i].render(s.spec.Network)
		}
	}
	if previous != nil && s.sums == previous.sums {
		s.built.settled = before.settled
	} else {
		s.built.settled = b.with(before.settled, func() {
			s.validatorCounters(b)
			s.groupCounters(b)
			s.networkCounters(b)
			s.completedWindows(b, c, st)
		})
	}
	s.built.recordKey = recordKey{s.roster, s.finality, s.rewards.epoch, s.rewards.byIndex != nil}
	if previous != nil && s.built.recordKey == before.recordKey {
		s.built.records = before.records
	} else {
		s.built.records = b.with(before.records, func() {
			s.validatorRecords(b)
			s.groupRecords(b)
			s.networkRecords(b)
		})
	}
	s.built.live = b.with(before.live, func() {
		changed := s.changedSince(previous)
		s.validatorLive(b, st, changed)
		s.groupLive(b, st, changed)
		s.groupOffenders(b, previous != nil && previous.sums == s.sums && !changed.records &&
			!changed.overdue && !changed.blocksMissed && !changed.syncMissed)
		s.chainLive(b, st)
		if !b.individual {
			s.offenders(b, c.cfg.OffenderLimit)
		}
	})
	s.page = exposition.NewPage(slices.Concat(s.built.settled, s.built.records, s.built.live), page)
}

// builder collects families; a family whose samples are those of before keeps its bytes.
type builder struct {
	network    string // pre-rendered label
	individual bool   // each validator has series of its own
	before     map[string]*exposition.Family
	families   []*exposition.Family
}

func (b *builder) with(before []*exposition.Family, build func()) []*exposition.Family {
	b.before, b.families = make(map[string]*exposition.Family, len(before)), nil
	for _, f := range before {
		b.before[f.Desc().Name] = f
	}
	build()
	return b.families
}

// keep adds the family called name as it was before, if same; it tells whether it did.
// A family that had no series before has none now.
func (b *builder) keep(name string, same bool) bool {
	if f := b.before[name]; same && f != nil {
		b.families = append(b.families, f)
	}
	return same
}

// add adds the family called name, unless it has no series: unknown is absent.
func (b *builder) add(name string, series []exposition.Series) {
	if len(series) > 0 {
		b.families = append(b.families, exposition.NewFamily(catalog.MustGet(name), series, b.before[name]))
	}
}

// addEach adds the family called name with the series that next knows, for 0 to n-1.
// Most families stay as they are from one head to the next: no memory is taken
// before a series differs.
func (b *builder) addEach(name string, n int, next func(i int) (exposition.Series, bool)) {
	before := b.before[name]
	var same []exposition.Series // of before, as far as it is the same
	if before != nil {
		same = before.Series()
	}
	var series []exposition.Series
	at := 0
	for i := range n {
		s, known := next(i)
		if !known {
			continue
		}
		if series == nil {
			if at < len(same) && same[at] == s {
				at++
				continue
			}
			series = append(make([]exposition.Series, 0, n), same[:at]...)
		}
		series = append(series, s)
	}
	switch {
	case series != nil:
		b.add(name, series)
	case at == len(same) && before != nil:
		b.families = append(b.families, before)
	default:
		b.add(name, same[:at])
	}
}

// one adds a family of the network or the chain: one series without further labels.
func (b *builder) one(name string, value float64) {
	b.add(name, []exposition.Series{{Labels: b.network, Value: value}})
}

// counter is one anchored counter: its name behind the subject's prefix, without
// _total, and its value.
type counter struct {
	name  string
	value func(spec *duty.Spec, t *duty.Totals) float64
}

func plain(value func(t *duty.Totals) uint64) func(*duty.Spec, *duty.Totals) float64 {
	return func(_ *duty.Spec, t *duty.Totals) float64 { return float64(value(t)) }
}

// counters are what every subject has. Lost votes and stake are apart: the first
// have labels, the second may be unknown for the network.
func counters() []counter {
	return []counter{
		{"attestations_expected", plain(func(t *duty.Totals) uint64 { return t.AttestationsExpected })},
		{"attestations_included", plain(func(t *duty.Totals) uint64 { return t.AttestationsIncluded })},
		{"attestation_source_votes", plain(func(t *duty.Totals) uint64 { return t.SourceVotes })},
		{"attestation_target_votes", plain(func(t *duty.Totals) uint64 { return t.TargetVotes })},
		{"attestation_head_votes", plain(func(t *duty.Totals) uint64 { return t.HeadVotes })},
		{"attestation_inclusion_delay_slots", plain(func(t *duty.Totals) uint64 { return t.InclusionDelay })},
		{"blocks_expected", plain(func(t *duty.Totals) uint64 { return t.BlocksExpected })},
		{"blocks_proposed", plain(func(t *duty.Totals) uint64 { return t.BlocksProposed })},
		{"sync_committee_expected", plain(func(t *duty.Totals) uint64 { return t.SyncExpected })},
		{"sync_committee_included", plain(func(t *duty.Totals) uint64 { return t.SyncIncluded })},
	}
}

func stakeCounters() []counter {
	stake := func(value func(t *duty.Totals) uint64) func(*duty.Spec, *duty.Totals) float64 {
		return func(spec *duty.Spec, t *duty.Totals) float64 { return float64(duty.StakeGwei(spec, value(t))) }
	}
	return []counter{
		{"attestation_stake_possible_gwei", stake(func(t *duty.Totals) uint64 { return t.StakePossible })},
		{"attestation_stake_achievable_gwei", stake(func(t *duty.Totals) uint64 { return t.StakeAchievable })},
		{"attestation_stake_earned_gwei", stake(func(t *duty.Totals) uint64 { return t.StakeEarned })},
	}
}

// lostVotes are the ways in which a vote can be lost: a source vote is never wrong
// (the chain would not include it), and a target vote never late (EIP-7045).
var lostVotes = []struct {
	vote  duty.Vote
	cause duty.Cause
}{
	{duty.Source, duty.Network},
	{duty.Source, duty.Missing},
	{duty.Source, duty.Late},
	{duty.Target, duty.Network},
	{duty.Target, duty.Missing},
	{duty.Target, duty.Wrong},
	{duty.Head, duty.Network},
	{duty.Head, duty.Missing},
	{duty.Head, duty.Late},
	{duty.Head, duty.Wrong},
}

// row is one subject's totals under its labels.
type row struct {
	labels string
	window string // of a completed window: the label window, which comes last
	totals *duty.Totals
	stake  bool     // the stake sums are known
	lost   []string // labels with vote and cause, if there are any rendered
}

func lostLabels(labels string) []string {
	out := make([]string, len(lostVotes))
	for i, l := range lostVotes {
		out[i] = labels + `,vote="` + l.vote.String() + `",cause="` + l.cause.String() + `"`
	}
	return out
}

// totals adds every anchored counter of the rows, under names made by name.
func (b *builder) totals(spec *duty.Spec, rows []row, name func(counter string) string) {
	for _, c := range counters() {
		series := make([]exposition.Series, 0, len(rows))
		for _, r := range rows {
			series = append(series, exposition.Series{Labels: r.labels + r.window, Value: c.value(spec, r.totals)})
		}
		b.add(name(c.name), series)
	}
	for _, c := range stakeCounters() {
		var series []exposition.Series
		for _, r := range rows {
			if r.stake {
				series = append(series, exposition.Series{Labels: r.labels + r.window, Value: c.value(spec, r.totals)})
			}
		}
		b.add(name(c.name), series)
	}
	series := make([]exposition.Series, 0, len(rows)*len(lostVotes))
	for _, r := range rows {
		if r.lost == nil {
			r.lost = lostLabels(r.labels)
		}
		for i, l := range lostVotes {
			series = append(series, exposition.Series{Labels: r.lost[i] + r.window, Value: float64(r.totals.Lost[l.vote][l.cause])})
		}
	}
	b.add(name("attestation_votes_lost"), series)
}

func total(prefix string) func(string) string {
	return func(counter string) string { return prefix + "_" + counter + "_total" }
}

func window(prefix string) func(string) string {
	return func(counter string) string { return prefix + "_window_" + counter }
}

func boolValue(b bool) float64 {
	if b {
		return 1
	}
	return 0
}

// start is the Unix time in seconds at which slot begins. Slots may begin within a
// second where SLOT_DURATION_MS says so.
func start(spec *duty.Spec, slot duty.Slot) float64 {
	return float64(spec.SlotStart(slot).UnixMilli()) / 1000
}

func windowLabel(spec *duty.Spec, first duty.Epoch) string {
	return `,window="` + strconv.FormatInt(spec.SlotStart(spec.FirstSlot(first)).Unix(), 10) + `"`
}
