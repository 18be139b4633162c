package collector

import (
	"cmp"
	"slices"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
)

// offenders: above the individual limit, a few of the validators that fail a duty, in an
// order that depends on nothing but the chain. Of thousands, somebody must learn of the
// one that failed today: so the kinds of offences take turns, and none can fill the list
// with what everybody has known for weeks.
func (s *snapshot) offenders(b *builder, limit int) {
	var grave, slight [offenceKinds][]offence
	for i := range s.validators {
		if s.isFine(i) {
			continue
		}
		o := s.offencesOf(i)
		for kind, amount := range o.amounts {
			if amount <= 0 {
				continue
			}
			into := &slight
			if kind == slashed || kind == blocksMissed || kind == missedStreak && amount >= outageEpochs {
				into = &grave
			}
			into[kind] = append(into[kind], offence{kind: kind, amount: amount, ordinal: i, order: s.order(i, kind, amount)})
		}
	}
	all := slices.Concat(inTurn(grave, limit), inTurn(slight, limit))
	all = all[:min(len(all), limit)]
	series := make([]exposition.Series, 0, len(all))
	for _, o := range all {
		m := &s.roster.members[o.ordinal]
		m.render(s.spec.Network)
		series = append(series, exposition.Series{Labels: m.series + offenceLabels[o.kind], Value: o.amount})
	}
	b.add("ethereum_validator_offender", series)
}

// The kinds of offences, in the order in which they take turns.
const (
	missedStreak = iota
	slashed
	blocksMissed
	overdue
	syncMissed
	offenceKinds
)

var offenceLabels = [offenceKinds]string{
	missedStreak: `,offence="missed_attestation_streak"`,
	slashed:      `,offence="slashed"`,
	blocksMissed: `,offence="blocks_missed"`,
	overdue:      `,offence="attestations_overdue"`,
	syncMissed:   `,offence="sync_missed"`,
}

// outageEpochs is how many missed attestations in a row are no accident. Of many
// validators some miss one or two at any time.
const outageEpochs = 3

// offence is something a validator does that its operator should look at, with a
// number that tells how bad it is.
type offence struct {
	kind    int
	amount  float64
	ordinal int
	order   [2]int64 // among those of its kind: lower is first
}

// offences are what one validator does, by kind, 0 for what it does not; known tells
// which of them can be told.
type offences struct {
	amounts [offenceKinds]float64
	known   [offenceKinds]bool
}

// offencesOf collects a validator's offences. A slashed one has no other: it is to be
// stopped, and once it has exited there is nothing left to do about it.
func (s *snapshot) offencesOf(i int) (o offences) {
	v, settled, r := &s.validators[i], &s.settledBy[i], &s.roster.members[i].record
	o.known = s.offencesKnown(settled.streak >= 0)
	if r.Slashed {
		o.amounts[slashed] = boolValue(r.Status == "active_slashed")
		return o
	}
	o.amounts[blocksMissed] = float64(v.blocksMissed) + float64(settled.totals.BlocksExpected-settled.totals.BlocksProposed)
	o.amounts[missedStreak] = max(0, float64(settled.streak))
	if settled.streak <= 0 {
		// Who has a streak is overdue as well, which would only take up another place.
		o.amounts[overdue] = float64(v.overdue)
	}
	o.amounts[syncMissed] = float64(v.syncMissed)
	return o
}

// offencesKnown tells which kinds of offences can be told of a validator.
func (s *snapshot) offencesKnown(streak bool) [offenceKinds]bool {
	return [offenceKinds]bool{
		missedStreak: streak, slashed: true, blocksMissed: s.live && s.counters, overdue: s.live, syncMissed: s.live,
	}
}

// isFine is true when it is known that a validator has no offence.
func (s *snapshot) isFine(i int) bool {
	v, settled := &s.validators[i], &s.settledBy[i]
	return settled.streak == 0 && v.overdue == 0 && v.syncMissed == 0 && v.blocksMissed == 0 &&
		settled.totals.BlocksExpected == settled.totals.BlocksProposed && !s.roster.members[i].record.Slashed
}

// order puts what has begun last first. A streak is counted up to streakEpochs; of those
// that are as long, the validator with the highest balance has paid the least penalties,
// so it has been away for the shortest time, or has the most to lose.
func (s *snapshot) order(i, kind int, amount float64) [2]int64 {
	v, r := &s.validators[i], &s.roster.members[i].record
	switch kind {
	case missedStreak:
		streak := int64(amount)
		if streak < outageEpochs {
			streak = -streak
		}
		return [2]int64{streak, -int64(r.Balance)}
	case slashed:
		// Who is slashed later can withdraw later.
		return [2]int64{-int64(min(r.WithdrawableEpoch, 1<<62))}
	case blocksMissed:
		return [2]int64{-int64(v.blocksMissed), -int64(amount)}
	}
	return [2]int64{-int64(amount)}
}

// inTurn takes the first of each kind, then the second of each, and so on, up to limit.
func inTurn(kinds [offenceKinds][]offence, limit int) []offence {
	for _, k := range kinds {
		slices.SortFunc(k, func(x, y offence) int {
			return cmp.Or(slices.Compare(x.order[:], y.order[:]), cmp.Compare(x.ordinal, y.ordinal))
		})
	}
	var out []offence
	for n := 0; ; n++ {
		before := len(out)
		for _, k := range kinds {
			if n < len(k) && len(out) < limit {
				out = append(out, k[n])
			}
		}
		if len(out) == before {
			return out
		}
	}
}

// leastStreak is the shortest streak of which groups count their validators apart; one
// missed attestation is counted among the offences.
const leastStreak = 2

// groupOffenders counts each group's offenders, of whom there may be more than are listed.
func (s *snapshot) groupOffenders(b *builder, same bool) {
	const byOffence, byStreak = "ethereum_group_offenders", "ethereum_group_missed_attestation_streaks"
	if b.keep(byOffence, same) && b.keep(byStreak, same) {
		return
	}
	type counts struct {
		offenders [offenceKinds]float64
		known     [offenceKinds]bool
		streaks   [streakEpochs + 1]float64
	}
	groups := make([]counts, len(s.roster.groups))
	known := s.offencesKnown(true)
	for i := range s.validators {
		if s.isFine(i) { // nearly all are, at each head
			for _, g := range s.roster.members[i].groups {
				groups[g].known = known
			}
			continue
		}
		o := s.offencesOf(i)
		for _, g := range s.roster.members[i].groups {
			c := &groups[g]
			for kind, amount := range o.amounts {
				c.known[kind] = c.known[kind] || o.known[kind]
				if amount > 0 {
					c.offenders[kind]++
				}
			}
			for n := leastStreak; n <= int(o.amounts[missedStreak]); n++ {
				c.streaks[n]++
			}
		}
	}
	offenders := make([]exposition.Series, 0, len(groups)*offenceKinds)
	streaks := make([]exposition.Series, 0, len(groups)*(streakEpochs+1-leastStreak))
	for g := range groups {
		c, named := &groups[g], &s.roster.groups[g]
		for kind, n := range c.offenders {
			if c.known[kind] {
				offenders = append(offenders, exposition.Series{Labels: named.offences[kind], Value: n})
			}
		}
		if !c.known[missedStreak] {
			continue
		}
		for n := leastStreak; n <= streakEpochs; n++ {
			streaks = append(streaks, exposition.Series{Labels: named.streaks[n], Value: c.streaks[n]})
		}
	}
	b.add(byOffence, offenders)
	b.add(byStreak, streaks)
}
