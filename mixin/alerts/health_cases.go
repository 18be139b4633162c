package alerts

import (
	"fmt"
	"math"
	"slices"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
)

// Ratio alerts are shown counters that rise evenly, so that a ratio is the same over
// any range. due is what they rise by in a step.
const due = 1_000_000

// hair is how far from a threshold the cases look.
const hair = 0.001

// share is a share of due, as a whole number, as counters have it.
func share(x float64) float64 { return math.Round(x * due) }

// hours is a scenario for ratios over the last hour.
func hours(c mixin.Config, lasts time.Duration) scenario {
	return scenarioOf(c, c.Recording.Interval, lasts+c.Alerts.Validators.For)
}

// stake are the stake counters of a level, if it earns a share of the achievable, and
// can achieve a share of the possible.
func (s scenario) stake(l mixin.Level, earned, achievable float64) []Series {
	return []Series{
		s.of(l, "attestation_stake_possible_gwei_total", s.rising(0, due)),
		s.of(l, "attestation_stake_achievable_gwei_total", s.rising(0, share(achievable))),
		s.of(l, "attestation_stake_earned_gwei_total", s.rising(0, share(earned*achievable))),
		s.of(l, "attestations_expected_total", s.rising(0, due)),
	}
}

// few shows a level that owed n attestations in all, and lost them by its own fault.
func (s scenario) few(l mixin.Level, n float64) []Series {
	const stake = 32_000_000_000
	return []Series{
		s.of(l, "attestation_stake_possible_gwei_total", s.from(soon, 0, n*stake)),
		s.of(l, "attestation_stake_achievable_gwei_total", s.from(soon, 0, n*stake)),
		s.of(l, "attestation_stake_earned_gwei_total", s.constant(0)),
		s.of(l, "attestations_expected_total", s.from(soon, 0, n)),
		s.of(l, "attestations_included_total", s.constant(0)),
		s.of(l, "attestation_votes_lost_total", s.from(soon, 0, n), "vote", "target", "cause", "missing"),
	}
}

// soon is the step at which few attestations are lost.
const soon = 2

// tooFew is the highest number of attestations whose loss nobody is told of, fewest the
// lowest that is told.
func tooFew(c mixin.Config) float64 { return math.Ceil(c.Alerts.Validators.LostMinimum) - 1 }
func fewest(c mixin.Config) float64 { return math.Floor(c.Alerts.Validators.LostMinimum) + 1 }

func effectivenessCases(c mixin.Config, a Alert, threshold float64) []Case {
	s := hours(c, 2*time.Hour)
	low := threshold - hair
	told := func(x float64) Instance {
		return s.instance(c.Level, fmt.Sprintf(" earned %s of what the network let it earn with attestations over the last hour (threshold %s).",
			percent(x), percent(threshold)))
	}

	// Both replicas show the same, and are one alert.
	replicas := s.stake(c.Level, low, 1)
	for _, series := range s.stake(c.Level, low, 1) {
		replicas = append(replicas, s.elsewhere(series, "b"))
	}
	// Half of all that was possible was lost to the network.
	network := s.stake(c.Level, 1, 0.5)
	return []Case{
		// From the second sample on there is an increase.
		s.fires("fires just below the threshold", a, 1, s.stake(c.Level, low, 1), told(low)),
		s.fires("fires once for two replicas", a, 1, replicas, told(low)),
		s.fires("fires when few attestations are lost, and just enough", a, soon, s.few(c.Level, fewest(c)), told(0)),
		s.silent("is silent when too few are lost, be it all", s.few(c.Level, tooFew(c))),
		s.silent("is silent just above the threshold", s.stake(c.Level, threshold+hair, 1)),
		s.silent("is silent when the network loses half of the votes", network),
	}
}

func belowNetworkCases(c mixin.Config, a Alert) []Case {
	threshold := c.Alerts.Validators.BelowNetwork
	s := hours(c, 2*time.Hour)
	const network = 0.95
	with := func(own float64) []Series {
		return append(s.stake(c.Level, own, 1), s.stake(mixin.Network, network, 1)...)
	}
	below := threshold + hair
	return []Case{
		s.fires("fires just beyond the threshold", a, 1, with(network-below),
			s.instance(c.Level, fmt.Sprintf(" earned %s less of what it could have earned with attestations over the last day than the network as a whole (threshold %s).",
				percent(below), percent(threshold)))),
		s.silent("is silent just within the threshold", with(network-threshold+hair)),
		s.silent("is silent when too few attestations are lost, be it all", append(s.few(c.Level, tooFew(c)), s.stake(mixin.Network, 1, 1)...)),
		s.silent("is silent when the network is as bad", append(s.stake(c.Level, 0.5, 1), s.stake(mixin.Network, 0.5, 1)...)),
	}
}

func participationLowCases(c mixin.Config, a Alert) []Case {
	threshold := c.Alerts.Validators.ParticipationLow
	s := hours(c, 2*time.Hour)
	missed := func(ownFault, network float64) []Series {
		return []Series{
			s.of(c.Level, "attestations_expected_total", s.rising(0, due)),
			s.of(c.Level, "attestations_included_total", s.rising(0, share(1-ownFault-network))),
			s.of(c.Level, "attestation_votes_lost_total", s.rising(0, share(ownFault)), "vote", "target", "cause", "missing"),
			s.of(c.Level, "attestation_votes_lost_total", s.rising(0, share(network)), "vote", "target", "cause", "network"),
		}
	}
	return []Case{
		s.fires("fires just below the threshold", a, 1, missed(1-threshold+hair, 0),
			s.instance(c.Level, fmt.Sprintf(" made %s of its attestations over the last hour, not counting those that the network lost (threshold %s).",
				percent(threshold-hair), percent(threshold)))),
		s.silent("is silent just above the threshold", missed(1-threshold-hair, 0)),
		s.silent("is silent when too few are missed, be it all", s.few(c.Level, tooFew(c))),
		s.silent("is silent when the network loses half of the attestations", missed(0, 0.5)),
	}
}

// misses tells the story of a validator that attests until some epoch, and then misses
// epoch after epoch.
type misses struct {
	scenario
	// from is the epoch with the first miss; settled lags behind, but for an alert only
	// the distance counts.
	from int
}

func missesOf(c mixin.Config) misses {
	// The scenario lasts for three epochs longer than it takes to reach the threshold.
	const from = 2
	return misses{scenarioOf(c, coarse(c), time.Duration(from+c.Alerts.Validators.MissedStreak+3)*c.Chain.Epoch()), from}
}

// epoch is how many epochs have settled at a step.
func (m misses) epoch(step int) int { return int(m.at(step) / m.c.Chain.Epoch()) }

// count is how many were missed at a step.
func (m misses) count(step int) int { return max(0, m.epoch(step)-m.from+1) }

// reaches is the first step with n missed.
func (m misses) reaches(n int) int { return m.after(time.Duration(m.from+n-1) * m.c.Chain.Epoch()) }

// streak shows the streak, up to n in a row and then attested once.
func (m misses) streak(replica string, n int) Series {
	return m.on(replica, "ethereum_validator_missed_attestation_streak", m.values(func(step int) (float64, bool) {
		return float64(min(8, m.count(step)%(n+1))), true
	}), m.names(mixin.Validator)...)
}

// lost shows the counter of lost target votes by cause; the missed ones that take counts.
func (m misses) lost(cause string, take func(missed int) int) Series {
	return m.of(mixin.Validator, "attestation_votes_lost_total", m.values(func(step int) (float64, bool) {
		return float64(take(m.count(step))), true
	}), "vote", "target", "cause", cause)
}

const never = 1 << 20 // misses in a row

func downCases(c mixin.Config, a Alert) []Case {
	m := missesOf(c)
	n := c.Alerts.Validators.MissedStreak
	every := func(missed int) int { return missed }
	none := func(int) int { return 0 }
	told := func(missed int) Instance {
		return m.instance(mixin.Validator, fmt.Sprintf(" missed its last %d attestations, not because of the network (threshold %d).", missed, n))
	}
	at := m.reaches(n)
	missed := m.count(at + m.after(a.For))

	// The window ends as the streak is reached: counters rest at 0 for half an epoch, and
	// start again with the new window's events.
	rest := m.after(c.Chain.Epoch() / 2)
	window := m.of(mixin.Validator, "attestation_votes_lost_total", m.values(func(step int) (float64, bool) {
		switch {
		case step < at:
			return float64(20 + m.count(step)), true
		case step < at+rest:
			return 0, true
		}
		return float64(m.count(step) - n + 1), true
	}), "vote", "target", "cause", "missing")

	// A second replica hangs at an old head, where the streak was long.
	hung := []Series{
		m.on("b", "ethereum_chain_head_slot", m.constant(900)),
		m.on("b", "ethereum_validator_missed_attestation_streak", m.constant(8), m.names(mixin.Validator)...),
	}
	// Above the individual limit the list has one validator that has been down for long, and
	// the group of all counts it, too.
	const one = " missed its last 8 attestations, not because of the network (threshold %d)."
	old := append(m.network(0), m.head(), m.offender("missed_attestation_streak", m.constant(8)))
	was := m.instance(mixin.Validator, fmt.Sprintf(one, n))
	down := func(values string) Series {
		return m.series("ethereum_group_missed_attestation_streaks", values, append(all(), "at_least", fmt.Sprint(n))...)
	}
	more := func(name, streaks string, beside []Series, expected ...Instance) Case {
		return Case{
			Name: name, Step: m.step, Input: slices.Concat(old, []Series{down(streaks)}, beside),
			Firing: []Firing{
				{At: m.at(at - 1), Instances: []Instance{was}},
				{At: m.at(at + m.after(a.For)), Instances: append([]Instance{was}, expected...)},
			},
		}
	}
	fresh := m.on(first, "ethereum_validator_offender", m.values(func(step int) (float64, bool) {
		return float64(min(8, m.count(step))), m.count(step) > 0
	}), "validator_index", "5", "offence", "missed_attestation_streak")
	return []Case{
		m.fires("fires when the last ones are missed, as many as the threshold", a, at,
			[]Series{m.head(), m.streak(first, never), m.lost("missing", every), m.lost("network", none)}, told(missed)),
		m.fires("fires once for two replicas", a, at,
			[]Series{
				m.head(), m.elsewhere(m.head(), "b"), m.streak(first, never), m.streak("b", never),
				m.lost("missing", every), m.elsewhere(m.lost("missing", every), "b"),
				m.lost("network", none), m.elsewhere(m.lost("network", none), "b"),
			}, told(missed)),
		m.fires("fires at the end of a window", a, at, []Series{m.head(), m.streak(first, never), window, m.lost("network", none)}, told(missed)),
		m.fires("fires for an offender above the individual limit", a, at,
			append(m.network(0), m.head(), m.offender("missed_attestation_streak", m.values(func(step int) (float64, bool) {
				return float64(min(8, m.count(step))), m.count(step) > 0
			}))), told(missed)),
		more("tells a new one on the list apart, beside one that has been down for long", m.scenario.from(at, 1, 2), []Series{fresh},
			m.labelled(fmt.Sprintf("Validator 5 on mainnet missed its last %d attestations, not because of the network (threshold %d).", missed, n), "validator_index", "5")),
		more("tells how many are down beyond the list", m.scenario.from(at, 1, 4), nil,
			m.labelled(fmt.Sprintf("Group all=all on mainnet has 3 down beyond those that have an alert of their own: they missed their last %d attestations or more, not because of the network (threshold %d).", n, n), all()...)),
		m.fires("tells how many are down where none is listed", a, at, append(m.network(0), m.head(), down(m.scenario.from(at, 0, 1))),
			m.labelled(fmt.Sprintf("Group all=all on mainnet has 1 down beyond those that have an alert of their own: they missed their last %d attestations or more, not because of the network (threshold %d).", n, n), all()...)),
		m.silent("is silent about numbers where validators have series of their own",
			append(m.network(0), m.head(), down(m.constant(5)), m.of(mixin.Validator, "status", m.constant(1), "status", "active_ongoing"))),
		m.silent("is silent about numbers when the network misses more than the threshold",
			append(m.network(c.Alerts.Validators.NetworkTrouble+hair), m.head(), down(m.constant(5)))),
		m.silent("is silent when one less than the threshold is missed in a row, again and again",
			[]Series{m.head(), m.streak(first, n-1), m.lost("missing", every), m.lost("network", none)}),
		m.silent("is silent when the network lost them all",
			[]Series{m.head(), m.streak(first, never), m.lost("missing", none), m.lost("network", every)}),
		m.silent("is silent when the network lost as many as the validator itself",
			[]Series{
				m.head(), m.streak(first, never),
				m.lost("missing", func(missed int) int { return missed / 2 }), m.lost("network", func(missed int) int { return (missed + 1) / 2 }),
			}),
		m.silent("is silent about offenders when the network misses more than the threshold",
			append(m.network(c.Alerts.Validators.NetworkTrouble+hair), m.head(), m.offender("missed_attestation_streak", m.constant(8)))),
		m.silent("is silent about what only a hanging replica still shows",
			append(hung, m.head(), m.series("ethereum_validator_missed_attestation_streak", m.constant(0), m.names(mixin.Validator)...),
				m.lost("missing", every), m.lost("network", none))),
	}
}

// network shows how many attestations of the network are included.
func (s scenario) network(missing float64) []Series {
	return []Series{
		s.of(mixin.Network, "attestations_expected_total", s.rising(0, due)),
		s.of(mixin.Network, "attestations_included_total", s.rising(0, share(1-missing))),
	}
}

func (s scenario) offender(offence, values string) Series {
	return s.of(mixin.Validator, "offender", values, "offence", offence)
}

func groupDownCases(c mixin.Config, a Alert) []Case {
	t := c.Alerts.Validators
	s := scenarioOf(c, c.Chain.ScrapeInterval, a.For+2*c.Chain.Epoch())
	const (
		members = 10_000
		others  = 1_000_000
		usual   = 0.01 // of the network is overdue at any time
		epoch   = 1000 // of the head, of which half has passed: duties of an epoch and a half may be overdue
	)
	from := 2
	half := c.Chain.SlotsPerEpoch / 2
	duties := 1 + float64(half)/float64(c.Chain.SlotsPerEpoch)
	with := func(size, before, then, network float64) []Series {
		return []Series{
			s.series("ethereum_chain_head_slot", s.constant(float64(epoch*c.Chain.SlotsPerEpoch+half+2))),
			s.series("ethereum_chain_settled_epoch", s.constant(epoch-2)),
			s.of(mixin.Group, "attestations_overdue", s.from(from, before, then)),
			s.of(mixin.Group, "validators", s.constant(size-1), "status", "active_ongoing"),
			s.of(mixin.Group, "validators", s.constant(1), "status", "active_exiting"),
			s.of(mixin.Group, "validators", s.constant(size), "status", "pending_queued"),
			s.of(mixin.Group, "validators", s.constant(size), "status", "active_slashed"),
			s.of(mixin.Network, "attestations_overdue", s.from(from, others*usual*duties, others*network*duties)),
			s.of(mixin.Network, "active_validators", s.constant(others)),
		}
	}
	told := func(x float64) Instance {
		return s.instance(mixin.Group, fmt.Sprintf(" has %s of its attestations overdue, over and above the network's share (threshold %s).",
			percent(x), percent(t.GroupDownShare)))
	}
	just := math.Round(members * duties * (t.GroupDownShare + usual + hair))
	least := float64(t.GroupDownMinimum)
	small := func(overdue float64) float64 { return max(1, math.Floor(overdue/duties)) } // a group that is down
	// What the whole group had overdue would be too much for those that are left.
	left := math.Floor(members * usual / (2 * (t.GroupDownShare + usual)))
	exited := with(members, 0, 0, usual)
	exited[2] = s.of(mixin.Group, "attestations_overdue", s.between(0, from+s.after(c.Chain.Epoch()+c.Chain.Slots(5)), 0, members*usual*duties))
	exited[3] = s.of(mixin.Group, "validators", s.from(from, members-1, left), "status", "active_ongoing")
	return []Case{
		s.fires("fires just above the share", a, from, with(members, 0, just, usual), told(just/members/duties-usual)),
		s.fires("fires at the least number of attestations", a, from, with(small(least), 0, least, usual), told(least/small(least)/duties-usual)),
		s.silent("is silent just below the share", with(members, 0, math.Round(members*duties*(t.GroupDownShare+usual-hair)), usual)),
		s.silent("is silent below the least number of attestations", with(small(least-1), 0, least-1, 0)),
		s.silent("is silent when the network has empty slots and everybody is overdue",
			with(members, 0, members, t.NetworkTrouble+hair)),
		s.silent("is silent when the network is unknown", with(members, 0, members, usual)[:7]),
		s.silent("is silent when most of the group has exited, and what was usual before has not settled", exited),
	}
}

func balanceDecreasingCases(c mixin.Config, a Alert) []Case {
	t := c.Alerts.Validators
	s := hours(c, t.BalanceRange+time.Hour)
	from := s.after(t.BalanceRange)
	const (
		full    = 32_000_000_000
		penalty = 10_000 // gwei in a step
		limit   = 40.0 / 94
	)
	falling := s.of(c.Level, "balance_gwei", s.rising(full, -penalty))
	with := func(balance Series, more ...[]Series) []Series {
		out := []Series{balance}
		for _, m := range more {
			out = append(out, m...)
		}
		return out
	}
	told := s.instance(c.Level, fmt.Sprintf(" has %.6f ETH less than %s ago, withdrawals included, and lost more by its own fault than it earned over the last hour (threshold 0 ETH).",
		float64(from)*penalty/1e9, mixin.Duration(t.BalanceRange)))
	withdrawal := s.of(c.Level, "balance_gwei", s.from(from, 2*full, full))
	cases := []Case{
		s.fires("fires when penalties are just higher than rewards", a, from, with(falling, s.stake(c.Level, limit-hair, 1)), told),
		s.silent("is silent when rewards are just higher than penalties", with(falling, s.stake(c.Level, limit+hair, 1))),
		s.silent("is silent when half of it is withdrawn", with(withdrawal, s.stake(c.Level, 1, 1))),
		s.silent("is silent when all of it is withdrawn after the exit",
			with(s.of(c.Level, "balance_gwei", s.from(from, full, 0)), s.idle(c.Level))),
		s.silent("is silent when it does not fall", with(s.of(c.Level, "balance_gwei", s.constant(full)), s.stake(c.Level, 0, 1))),
		s.silent("is silent when the network loses the votes and all are penalised", with(falling, s.stake(c.Level, 1, 0.1))),
	}
	if c.Level != mixin.Validator {
		return cases
	}
	return append(cases,
		s.fires("fires when more than half of the sync committee votes are missed", a, from,
			with(falling, s.stake(c.Level, 1, 1), s.sync(c.Level, 0.5-hair), s.sync(mixin.Network, 0.97)), told),
		s.silent("is silent when the network misses the sync committee votes too",
			with(falling, s.stake(c.Level, 1, 1), s.sync(c.Level, 0.5-hair), s.sync(mixin.Network, 1-t.NetworkTrouble-hair))))
}

// idle are the stake counters of a level without duties.
func (s scenario) idle(l mixin.Level) []Series {
	return []Series{
		s.of(l, "attestation_stake_possible_gwei_total", s.constant(0)),
		s.of(l, "attestation_stake_achievable_gwei_total", s.constant(0)),
		s.of(l, "attestation_stake_earned_gwei_total", s.constant(0)),
		s.of(l, "attestations_expected_total", s.constant(0)),
	}
}

// sync are the counters of sync committee votes, a share of which is included.
func (s scenario) sync(l mixin.Level, included float64) []Series {
	return []Series{
		s.of(l, "sync_committee_expected_total", s.rising(0, due)),
		s.of(l, "sync_committee_included_total", s.rising(0, share(included))),
	}
}

// record shows one value of the registry about the validator.
func (s scenario) record(name, values string, pairs ...string) Series {
	return s.of(mixin.Validator, name, values, pairs...)
}

// states is a scenario for alerts on what the registry says.
func states(c mixin.Config, a Alert) scenario {
	return scenarioOf(c, c.Chain.ScrapeInterval, 2*a.For+10*c.Chain.ScrapeInterval)
}

func slashedCases(c mixin.Config, a Alert) []Case {
	s := states(c, a)
	kept := slashableEpochs + health{queries{c}}.keptEpochs()
	const epoch, from = 100_000, 2
	with := func(slashed string, exit int) []Series {
		return []Series{
			s.record("slashed", slashed), s.record("exit_epoch", s.constant(float64(exit))),
			s.record("status", s.constant(1), "status", "active_slashed"),
			s.series("ethereum_chain_epoch", s.constant(epoch)),
			s.series("ethereum_group_validators", s.constant(1), append(all(), "status", "active_slashed")...),
		}
	}
	told := s.instance(mixin.Validator, " has been slashed (threshold 1).")
	two := with(s.from(from, 0, 1), epoch+50)
	for _, series := range with(s.from(from, 0, 1), epoch+50) {
		two = append(two, s.elsewhere(series, "b"))
	}
	// What an exporter without series of single validators shows from a step on.
	group := func(replica string, from int, slashed, watched string) []Series {
		late := func(values string) string {
			if from == 0 {
				return values
			}
			return fmt.Sprintf("_x%d %s", from, values)
		}
		return []Series{
			s.on(replica, "ethereum_group_validators", late(s.constant(0)), append(all(), "status", "active_slashed")...),
			s.on(replica, "ethereum_group_slashed", late(slashed), all()...),
			s.own(replica, "validator_exporter_watched_validators", late(watched)),
		}
	}
	return []Case{
		s.fires("fires for a validator that is slashed", a, from, with(s.from(from, 0, 1), epoch+50), told),
		s.fires("fires for a validator that is slashed just before it can be withdrawn", a, from,
			with(s.from(from, 0, 1), epoch-slashableEpochs+1), told),
		s.fires("fires until a day after it could last have been slashed", a, from, with(s.from(from, 0, 1), epoch-kept+1), told),
		s.fires("fires once for two replicas", a, from, two, told),
		s.fires("fires for the group of all above the individual limit", a, from,
			[]Series{
				s.series("ethereum_group_validators", s.from(from, 0, 2), append(all(), "status", "active_slashed")...),
				s.series("ethereum_group_validators", s.from(from, 0, 2), "group_by", "operator", "group", "acme", "status", "active_slashed"),
			},
			s.labelled("Group all=all on mainnet has 2 validators that are slashed and have not exited yet, or were slashed within the last hour (threshold 1).", all()...)),
		s.fires("fires for the group of all above the individual limit when one that has exited is slashed", a, from,
			append(group(first, 0, s.from(from, 3, 4), s.constant(10)), group(second, 0, s.from(from, 3, 4), s.constant(10))...),
			s.labelled("Group all=all on mainnet has 1 validators that are slashed and have not exited yet, or were slashed within the last hour (threshold 1).", all()...)),
		s.silent("is silent about a group of which some were slashed long ago", group(first, 0, s.constant(3), s.constant(10))),
		s.silent("is silent when the watch list gets keys that were slashed long ago", group(first, 0, s.from(from, 3, 5), s.from(from, 10, 12))),
		s.silent("is silent when another exporter begins with such a watch list", append(
			group(first, 0, s.constant(3), s.constant(10)), group(second, from, s.constant(5), s.constant(12))...)),
		s.silent("is silent about one that was slashed long ago", with(s.constant(1), epoch-kept)),
		s.silent("is silent when others of the network are slashed", append(with(s.constant(0), epoch+50),
			s.series("ethereum_network_slashings_total", s.rising(0, 1), "kind", "attester"))),
	}
}

func exitingCases(c mixin.Config, a Alert) []Case {
	s := states(c, a)
	kept := health{queries{c}}.keptEpochs()
	const epoch, from = 100_000, 2
	with := func(status string, exit string) []Series {
		return []Series{
			s.record("exit_epoch", exit), s.record("status", s.constant(1), "status", status),
			s.series("ethereum_chain_epoch", s.constant(epoch)),
		}
	}
	scheduled := s.values(func(step int) (float64, bool) { return epoch + 50, step >= from })
	return []Case{
		s.fires("fires when an exit is scheduled", a, from, with("active_exiting", scheduled),
			s.instance(mixin.Validator, fmt.Sprintf(" exits at epoch %d (threshold 1).", epoch+50))),
		s.fires("fires until a day after the exit", a, 0, with("exited_unslashed", s.constant(float64(epoch-kept+1))),
			s.instance(mixin.Validator, fmt.Sprintf(" exits at epoch %d (threshold 1).", epoch-kept+1))),
		s.fires("fires for the group of all above the individual limit", a, from,
			[]Series{s.series("ethereum_group_validators", s.from(from, 0, 3), append(all(), "status", "active_exiting")...)},
			s.labelled("Group all=all on mainnet has 3 validators that are exiting (threshold 1).", all()...)),
		s.silent("is silent about one that left long ago", with("exited_unslashed", s.constant(float64(epoch-kept)))),
		s.silent("is silent about one that was slashed, which has an alert of its own", with("active_slashed", scheduled)),
		s.silent("is silent about one without an exit", []Series{
			s.record("status", s.constant(1), "status", "active_ongoing"), s.series("ethereum_chain_epoch", s.constant(epoch)),
		}),
	}
}

func unknownCases(c mixin.Config, a Alert) []Case {
	s := scenarioOf(c, c.Recording.Interval, 2*a.For)
	const from = 2
	keys := func(values string) []Series {
		return []Series{
			s.series("ethereum_group_validators", values, append(all(), "status", "unknown")...),
			s.series("ethereum_group_validators", values, "group_by", "operator", "group", "acme", "status", "unknown"),
			s.series("ethereum_group_validators", s.constant(5), append(all(), "status", "active_ongoing")...),
		}
	}
	return []Case{
		s.fires("fires when keys stay unknown, once for all groups", a, from,
			keys(s.values(func(step int) (float64, bool) { return 2, step >= from })),
			s.labelled("Group all=all on mainnet has 2 keys that the chain does not know (threshold 1). Nothing is watched of them.", all()...)),
		s.silent("is silent when the chain gets to know the key just in time",
			keys(s.values(func(step int) (float64, bool) { return 1, step >= from && step < from+s.after(a.For) }))),
	}
}

func credentialsChangedCases(c mixin.Config, a Alert) []Case {
	s := scenarioOf(c, c.Recording.Interval, 3*changedFor)
	from := s.after(changedFor) + 5
	shown := func(withdrawal string, first, last int) string {
		return s.values(func(step int) (float64, bool) { return 1, step >= first && step < last })
	}
	info := func(replica, withdrawal string, first, last int) Series {
		return s.on(replica, "ethereum_validator_info", shown(withdrawal, first, last),
			"validator_index", "0", "pubkey", "0xab", "withdrawal_type", withdrawal, "operator", "acme")
	}
	told := s.instance(mixin.Validator, " has withdrawal credentials of the type execution; an hour ago they were of another one (threshold: any change).",
		"pubkey", "0xab", "withdrawal_type", "execution")
	changes := s.fires("fires for an hour after the change", a, from,
		[]Series{info(first, "bls", 0, from), info(first, "execution", from, s.steps+1)}, told)
	changes.Silent = append(changes.Silent, s.at(from+s.after(changedFor)+s.after(a.For)+1), s.at(s.steps))
	return []Case{
		changes,
		s.fires("fires once for two replicas, one of which sees it later", a, from,
			[]Series{
				info(first, "bls", 0, from), info(first, "execution", from, s.steps+1),
				info("b", "bls", 0, from+1), info("b", "execution", from+1, s.steps+1),
			}, told),
		s.silent("is silent about a key that is new in the watch list", []Series{info(first, "execution", from, s.steps+1)}),
		s.silent("is silent about a key that the chain gets to know", []Series{
			s.series("ethereum_validator_info", shown("unknown", 0, from), "pubkey", "0xab", "withdrawal_type", "unknown"),
			info(first, "execution", from, s.steps+1),
		}),
		s.silent("is silent when the exporter starts again", []Series{
			s.series("ethereum_validator_info", s.values(func(step int) (float64, bool) { return 1, step < from || step > from+4 }),
				"validator_index", "0", "pubkey", "0xab", "withdrawal_type", "execution", "operator", "acme"),
		}),
	}
}
