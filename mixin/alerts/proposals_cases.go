package alerts

import (
	"fmt"
	"math"
	"time"

	"github.com/prometheus/common/helpers/templates"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// proposing is a scenario in which a validator proposes.
type proposing struct{ scenario }

// clock and heads show the present slot, and a head that lags behind by some slots.
func (p proposing) clock() Series { return p.series("ethereum_chain_slot", p.rising(1000, p.slots())) }

func (p proposing) heads(lag func(step int) float64) Series {
	return p.series("ethereum_chain_head_slot", p.values(func(step int) (float64, bool) {
		return 1000 + float64(step)*p.slots() - lag(step), true
	}))
}

// chain shows a head that always lags by the same.
func (p proposing) chain(lag float64) []Series {
	return []Series{p.clock(), p.heads(func(int) float64 { return lag })}
}

// stalls shows a head that stands still for some steps before another.
func (p proposing) stalls(steps, until int) []Series {
	return []Series{p.clock(), p.heads(func(step int) float64 {
		if step < until-steps || step >= until {
			return 0
		}
		return float64(step-(until-steps)+1) * p.slots()
	})}
}

// unsettled shows misses, and blocks that were reorged out, from a step on.
func (p proposing) unsettled(l mixin.Level, from int, missed, orphaned float64, names ...string) []Series {
	metric := "ethereum_" + string(l) + "_"
	return []Series{
		p.series(metric+"blocks_missed_unsettled", p.from(from, 0, missed), names...),
		p.series(metric+"blocks_orphaned_observed_total", p.from(from, 0, orphaned), names...),
	}
}

// settled shows one proposal that settles at a step, missed or not.
func (p proposing) settled(l mixin.Level, from int, proposed, orphaned float64, names ...string) []Series {
	metric := "ethereum_" + string(l) + "_"
	return []Series{
		p.series(metric+"blocks_expected_total", p.from(from, 0, 1), names...),
		p.series(metric+"blocks_proposed_total", p.from(from, 0, proposed), names...),
		p.series(metric+"blocks_orphaned_observed_total", p.from(from-1, 0, orphaned), names...),
	}
}

// others shows the network's proposals, of which some are missed in a row, from a step on.
func (p proposing) others(from int, missed float64) []Series {
	return []Series{
		p.of(mixin.Network, "blocks_expected_total", p.rising(0, p.slots())),
		p.of(mixin.Network, "blocks_proposed_total", p.values(func(step int) (float64, bool) {
			return max(float64(step)*p.slots()-missed, float64(min(step, from-1))*p.slots()), true
		})),
	}
}

// status shows that validators have series of their own.
func (s scenario) status() Series {
	return s.of(mixin.Validator, "status", s.constant(1), "status", "active_ongoing")
}

func joined(parts ...[]Series) []Series {
	var out []Series
	for _, p := range parts {
		out = append(out, p...)
	}
	return out
}

func proposalMissedCases(c mixin.Config, a Alert) []Case {
	told := func(s scenario) Instance {
		return s.instance(mixin.Validator, " missed 1 block proposals (threshold 1).")
	}
	toldAll := func(s scenario) Instance {
		return s.labelled("Group all=all on mainnet missed 1 block proposals (threshold 1).", all()...)
	}
	index := []string{"validator_index", "0"}

	live := proposing{scenarioOf(c, c.Chain.ScrapeInterval, 20*c.Chain.ScrapeInterval+a.For)}
	const from = 6
	own := append(live.unsettled(mixin.Validator, from, 1, 0, index...), live.status())
	two := joined(live.chain(0), own)
	for _, s := range two {
		two = append(two, live.elsewhere(s, "b"))
	}
	hung := []Series{
		live.on("b", "ethereum_chain_slot", live.rising(1000, live.slots())), live.on("b", "ethereum_chain_head_slot", live.constant(900)),
		live.on("b", "ethereum_validator_blocks_missed_unsettled", live.constant(1), index...),
		live.on("b", "ethereum_validator_blocks_orphaned_observed_total", live.constant(0), index...),
	}
	// As many steps as the head must stand still to be seen to lag.
	run := int(emptyRun/live.slots()) + 1

	settled := proposing{scenarioOf(c, c.Recording.Interval, 3*toldFor+a.For+a.KeepFiringFor)}
	at := settled.after(toldFor) + 2
	const steps = 1
	empty := steps * settled.slots()
	lost := append(settled.settled(mixin.Validator, at, 0, 0, index...), settled.status())
	told1h := settled.fires("fires for an hour by the counters", a, at,
		joined(settled.chain(1), settled.others(at, 3), lost), told(settled.scenario))
	network := func(missing float64) []Series {
		return joined(settled.chain(0), settled.others(1, 0)[:1], lost, []Series{
			settled.of(mixin.Network, "blocks_proposed_total", settled.rising(0, settled.slots()*(1-missing))),
		})
	}
	told1h.Silent = append(told1h.Silent, settled.at(at+settled.after(toldFor)+settled.after(a.KeepFiringFor)+2))

	return []Case{
		live.fires("fires for one that is not settled", a, from, joined(live.chain(1), own), told(live.scenario)),
		live.fires("fires when the head lags as far as is usual", a, from, joined(live.chain(emptyRun), own), told(live.scenario)),
		live.fires("fires once for two replicas", a, from, two, told(live.scenario)),
		live.fires("fires for the group of all above the individual limit", a, from,
			joined(live.chain(1), live.unsettled(mixin.Group, from, 1, 0, all()...),
				live.unsettled(mixin.Group, from, 1, 0, "group_by", "operator", "group", "acme")), toldAll(live.scenario)),
		told1h,
		settled.fires("fires by the counters when only the exporter's own nodes stood still", a, at,
			joined(settled.stalls(steps, at-1), settled.others(at, 3), lost), told(settled.scenario)),
		live.silent("is silent when nothing is missed",
			joined(live.chain(1), live.unsettled(mixin.Validator, from, 0, 0, index...), live.settled(mixin.Validator, from, 1, 0, index...)[:2], []Series{live.status()})),
		live.silent("is silent when the block was seen and reorged out",
			joined(live.chain(1), live.unsettled(mixin.Validator, from, 1, 1, index...), []Series{live.status()})),
		settled.silent("is silent when a block that was reorged out settles",
			joined(settled.chain(1), settled.others(at, 3), settled.settled(mixin.Validator, at, 0, 1, index...), []Series{settled.status()})),
		live.silent("is silent when the network has a run of empty slots", joined(live.stalls(run, from), own)),
		settled.silent("is silent when a run of empty slots of the network settles",
			joined(settled.stalls(steps, at-1), settled.others(at, empty), lost)),
		settled.fires("fires when the network misses just less than the threshold", a, at,
			network(c.Alerts.Validators.NetworkTrouble-hair), told(settled.scenario)),
		settled.silent("is silent when the network misses more than the threshold, seen or not",
			network(c.Alerts.Validators.NetworkTrouble+hair)),
		live.silent("is silent about what only a hanging replica still shows",
			joined(hung, live.chain(1), live.unsettled(mixin.Validator, from, 0, 0, index...), []Series{live.status()})),
	}
}

func proposalOrphanedCases(c mixin.Config, a Alert) []Case {
	s := scenarioOf(c, c.Recording.Interval, 2*toldFor)
	const from = 2
	blocks := func(l mixin.Level, values string, names ...string) Series {
		return s.series("ethereum_"+string(l)+"_blocks_orphaned_observed_total", values, names...)
	}
	index := []string{"validator_index", "0"}
	own := []Series{blocks(mixin.Validator, s.from(from, 0, 1), index...), s.status()}
	seen := s.fires("fires for an hour", a, from, own, s.instance(mixin.Validator, " lost 1 proposed blocks to a reorg within the last hour (threshold 1)."))
	seen.Silent = append(seen.Silent, s.at(from+s.after(toldFor)+1), s.at(s.steps))
	return []Case{
		seen,
		s.fires("fires when only one of two replicas saw it", a, from,
			append(own, s.on("b", "ethereum_validator_blocks_orphaned_observed_total", s.constant(0), index...)),
			s.instance(mixin.Validator, " lost 1 proposed blocks to a reorg within the last hour (threshold 1).")),
		s.fires("fires for the group of all above the individual limit", a, from,
			[]Series{blocks(mixin.Group, s.from(from, 3, 4), all()...), blocks(mixin.Group, s.from(from, 3, 4), "group_by", "operator", "group", "acme")},
			s.labelled("Group all=all on mainnet lost 1 proposed blocks to a reorg within the last hour (threshold 1).", all()...)),
		s.silent("is silent when the exporter starts again", []Series{blocks(mixin.Validator, s.from(from, 2, 0), index...), s.status()}),
	}
}

func proposalUpcomingCases(c mixin.Config, a Alert) []Case {
	within := c.Alerts.Proposals.Upcoming
	s := scenarioOf(c, c.Chain.ScrapeInterval, within+a.For+10*c.Chain.ScrapeInterval)
	const from = 4
	due := s.at(from) + within - time.Second
	left := templateDuration(due - s.at(from+s.after(a.For)))
	next := func(l mixin.Level, at time.Duration, names ...string) Series {
		return s.series("ethereum_"+string(l)+"_next_proposal_timestamp_seconds", s.constant(at.Seconds()), names...)
	}
	group := func(expected string) []Series {
		return []Series{
			next(mixin.Group, due, all()...), next(mixin.Group, due, "group_by", "operator", "group", "acme"),
			s.series("ethereum_group_blocks_expected_total", expected, all()...),
		}
	}
	index := []string{"validator_index", "0"}
	own := next(mixin.Validator, due, index...)
	alone := s.fires("fires as soon as it is near enough, until it is due", a, from, []Series{own, s.status()},
		s.instance(mixin.Validator, fmt.Sprintf(" proposes a block in %s (threshold %s).", left, mixin.Duration(within))))
	alone.Silent = append(alone.Silent, s.at(s.after(due)+1))
	return []Case{
		alone,
		s.fires("fires once for two replicas", a, from, []Series{own, s.elsewhere(own, "b"), s.status()},
			s.instance(mixin.Validator, fmt.Sprintf(" proposes a block in %s (threshold %s).", left, mixin.Duration(within)))),
		s.fires("fires for the group of all above the individual limit", a, from,
			group(s.from(1, 0, 1)),
			s.labelled(fmt.Sprintf("Group all=all on mainnet proposes a block in %s (threshold %s).", left, mixin.Duration(within)), all()...)),
		s.silent("is silent for a group of all that always proposes soon", group(s.rising(0, 10))),
		s.silent("is silent while it is far away", []Series{next(mixin.Validator, s.at(s.steps)+within, index...), s.status()}),
		s.silent("is silent about one that is over", []Series{next(mixin.Validator, 0, index...), s.status()}),
	}
}

// templateDuration writes a duration as humanizeDuration does in templates.
func templateDuration(d time.Duration) string {
	text, err := templates.HumanizeDuration(d.Seconds())
	if err != nil {
		return d.String() // a number of seconds always is one
	}
	return text
}

func syncParticipationLowCases(c mixin.Config, a Alert) []Case {
	threshold := c.Alerts.Proposals.SyncParticipationLow
	s := hours(c, 2*time.Hour)
	const usual = 0.97
	with := func(own, network float64) []Series {
		return joined(s.sync(c.Level, own), s.sync(mixin.Network, network))
	}
	low := threshold*usual - hair
	troubled := 1 - c.Alerts.Validators.NetworkTrouble - hair
	return []Case{
		s.fires("fires just below the threshold", a, 1, with(low, usual),
			s.instance(c.Level, fmt.Sprintf(" got %s of its sync committee votes included over the last hour (threshold %s of the network's share).",
				percent(share(low)/due), percent(threshold)))),
		s.silent("is silent just above the threshold", with(threshold*usual+hair, usual)),
		s.silent("is silent when the network loses as many", with(1-c.Alerts.Validators.NetworkTrouble+hair, 1-c.Alerts.Validators.NetworkTrouble+hair)),
		s.silent("is silent when the network is in trouble", with(0, troubled)),
		s.silent("is silent without a seat", joined(s.sync(mixin.Network, usual), []Series{
			s.of(c.Level, "sync_committee_expected_total", s.constant(0)), s.of(c.Level, "sync_committee_included_total", s.constant(0)),
		})),
	}
}

func syncMissingCases(c mixin.Config, a Alert) []Case {
	epoch := c.Chain.Epoch()
	s := scenarioOf(c, coarse(c), 8*epoch+a.For)
	n := c.Chain.SlotsPerEpoch
	const settled = 100
	slots := n + n/2 // since the newest settled epoch
	head := s.series("ethereum_chain_head_slot", s.constant(float64(n*(settled+1)+slots-1)))
	// Counters move once an epoch.
	stepped := func(by func(epoch int) float64) string {
		return s.values(func(step int) (float64, bool) {
			sum := 0.0
			for e := 1; e <= int(s.at(step)/epoch); e++ {
				sum += by(e)
			}
			return sum, true
		})
	}
	per := func(x float64) func(int) float64 { return func(int) float64 { return x } }
	// Missed are votes from the start of one epoch until another one.
	const from, until = 4, 7
	begin := s.after(from * epoch)
	with := func(seats, missed int, network func(epoch int) float64) []Series {
		return []Series{
			head, s.series("ethereum_chain_settled_epoch", s.constant(settled)),
			s.of(c.Level, "sync_missed_unsettled", s.values(func(step int) (float64, bool) {
				if step < begin || step >= s.after(until*epoch) {
					return 0, true
				}
				return float64(missed), true
			})),
			s.of(c.Level, "sync_committee_expected_total", stepped(per(float64(n*seats)))),
			s.of(mixin.Network, "blocks_proposed_total", stepped(per(float64(n)))),
			s.of(mixin.Network, "sync_committee_expected_total", stepped(per(float64(512*n)))),
			s.of(mixin.Network, "sync_committee_included_total", stepped(func(e int) float64 { return math.Floor(512 * float64(n) * network(e)) })),
		}
	}
	least := func(seats int) int { return int(math.Ceil(c.Alerts.Proposals.SyncMissing * float64(seats*slots))) }
	told := func(seats int) Instance {
		return s.instance(c.Level, fmt.Sprintf(" lacks %s of its sync committee votes since the newest settled epoch (threshold %s).",
			percent(float64(least(seats))/float64(seats*slots)), percent(c.Alerts.Proposals.SyncMissing)))
	}
	one := with(1, least(1), per(0.97))
	two := one
	for _, series := range one {
		two = append(two, s.elsewhere(series, "b"))
	}
	return []Case{
		s.fires("fires when as many votes are missing as the threshold", a, begin, one, told(1)),
		s.fires("fires for one with three seats", a, begin, with(3, least(3), per(0.97)), told(3)),
		s.fires("fires once for two replicas", a, begin, two, told(1)),
		s.silent("is silent when one vote less is missing", with(1, least(1)-1, per(0.97))),
		s.silent("is silent when three seats miss one third of that", with(3, least(1), per(0.97))),
		s.silent("is silent when it turns out that the network lost them as well", with(1, slots, func(e int) float64 {
			if e == from+2 {
				return 1 - c.Alerts.Validators.NetworkTrouble - hair
			}
			return 0.97
		})),
	}
}

func syncUpcomingCases(c mixin.Config, a Alert) []Case {
	s := states(c, a)
	const from = 2
	seat := s.values(func(step int) (float64, bool) { return 1, step >= from })
	seats := func(n float64, names ...string) Series {
		return s.series("ethereum_group_sync_committee_members", s.from(from, 0, n), append(names, "period", "next")...)
	}
	return []Case{
		s.fires("fires when a validator is in the next committee", a, from,
			[]Series{s.of(mixin.Validator, "sync_committee_member", seat, "period", "next"), s.status(), seats(1, all()...)},
			s.instance(mixin.Validator, " is in the next sync committee (threshold 1).")),
		s.fires("fires for the group of all above the individual limit", a, from,
			[]Series{seats(2, all()...), seats(2, "group_by", "operator", "group", "acme")},
			s.labelled("Group all=all on mainnet has 2 validators in the next sync committee (threshold 1).", all()...)),
		s.silent("is silent about the present committee",
			[]Series{s.of(mixin.Validator, "sync_committee_member", seat, "period", "current"), s.status(), seats(0, all()...)}),
	}
}
