package collector

import (
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
)

// completedWindow is a finished window: every epoch of it accounted, and final. What of
// it is shown is the same on every replica with the same list; what is not known of a
// validator or a group is left out, and keeps back nobody else's.
type completedWindow struct {
	first  duty.Epoch
	epochs []*settledEpoch
	opens  *anchor // frozen balances of the window
	closes *anchor // balances at its end: the first slot of the next window
}

// completed returns the newest finished windows, oldest first. A window that was not
// read whole, or whose blocks are not final, is not among them.
func (st *state) completed(c *Collector, s *snapshot) []completedWindow {
	if c.cfg.CompletedWindows == 0 || !s.isSettled || !s.finality.known {
		return nil
	}
	length := duty.Epoch(c.cfg.Window.Epochs)
	newest := c.cfg.Window.Anchor(s.settled)
	var windows []completedWindow
	for n := c.cfg.CompletedWindows; n > 0; n-- {
		if newest < length*duty.Epoch(n) {
			continue
		}
		first := newest - length*duty.Epoch(n)
		if w, ok := st.completedWindow(first, length, s.finality.Finalized); ok {
			windows = append(windows, w)
		}
	}
	return windows
}

func (st *state) completedWindow(first, length, finalized duty.Epoch) (w completedWindow, ok bool) {
	// Its last attestations may lie in the first epoch of the next window; a finalized
	// checkpoint makes the blocks before its epoch final.
	if finalized < first+length+1 {
		return w, false
	}
	w = completedWindow{first: first, opens: st.anchors[first], closes: st.anchors[first+length]}
	if w.opens == nil || w.closes == nil {
		return w, false
	}
	for e := first; e < first+length; e++ {
		settled, valid := st.valid(e)
		if !valid {
			return w, false
		}
		w.epochs = append(w.epochs, settled)
	}
	return w, true
}

// recount sums up the groups whose stake was inexact when the epoch was accounted, as
// far as all of their members' effective balances have become known since.
func (e *settledEpoch) recount(spec *duty.Spec, a *anchor) {
	if len(e.inexact) == 0 || e.version == a.version {
		return
	}
	e.version, e.proven = a.version, map[groupKey]duty.Totals{}
	sums := make([]duty.Totals, len(e.counted.groups))
	unknown := make([]bool, len(sums))
	for i, groups := range e.counted.groupsOf {
		index := e.counted.watch.At(i)
		// Who has left the list since, and whom the epoch was accounted without after that.
		ordinal, watched := e.outcome.Watch.Ordinal(index)
		var v duty.ValidatorEpoch
		if watched {
			v = e.outcome.Validators[ordinal]
		}
		at := a.records[index]
		for _, g := range groups {
			unknown[g] = unknown[g] || !watched || v.Duty && !at.exact
			sums[g].AddValidator(spec, v, at.proven)
		}
	}
	for i, g := range e.counted.groups {
		if !unknown[i] {
			e.proven[g.key] = sums[i]
		}
	}
}

// group sums up a group with the members that it had in each epoch; whole is false when
// the watch list had no such group in one of them, and stake when an effective balance
// is not known that any replica would find.
func (w *completedWindow) group(key groupKey) (sum duty.Totals, stake, whole bool) {
	stake = true
	for _, e := range w.epochs {
		t, named := e.groups[key]
		if !named {
			return sum, false, false
		}
		if e.inexact[key] {
			proven, known := e.proven[key]
			if known {
				t = proven
			}
			stake = stake && known
		}
		sum.Add(&t)
	}
	return sum, stake, true
}

// groupBalances are the balances, at the window's end, of those who were members in its
// last epoch. A group of whose members one's is not known is not among them.
func (w *completedWindow) groupBalances() map[groupKey]float64 {
	crew := w.epochs[len(w.epochs)-1].counted
	sums := make([]float64, len(crew.groups))
	unknown := make([]bool, len(sums))
	for i, groups := range crew.groupsOf {
		at := w.closes.records[crew.watch.At(i)]
		for _, g := range groups {
			sums[g] += float64(at.balance)
			unknown[g] = unknown[g] || !at.known && !at.absent
		}
	}
	balances := make(map[groupKey]float64, len(sums))
	for i, g := range crew.groups {
		if !unknown[i] {
			balances[g.key] = sums[i]
		}
	}
	return balances
}

// completedWindows adds the families of finished windows, which go to long-term storage.
func (s *snapshot) completedWindows(b *builder, c *Collector, st *state) {
	var validators, groups, network []row
	var balances, groupBalances, networkBalances, slashings []exposition.Series
	for _, w := range st.completed(c, s) {
		label := windowLabel(s.spec, w.first)
		sum := sumNetwork(w.epochs, false)
		network = append(network, row{labels: b.network, window: label, totals: &sum.Totals, stake: sum.StakeKnown})
		slashings = append(slashings,
			exposition.Series{Labels: b.network + `,kind="attester"` + label, Value: float64(sum.AttesterSlashings)},
			exposition.Series{Labels: b.network + `,kind="proposer"` + label, Value: float64(sum.ProposerSlashings)})

		if w.closes.network != nil {
			networkBalances = append(networkBalances, exposition.Series{Labels: b.network + label, Value: float64(w.closes.networkBalance)})
		}

		for i := range s.roster.members {
			if !b.individual {
				break
			}
			m := &s.roster.members[i]
			opens, closes := w.opens.records[m.record.Index], w.closes.records[m.record.Index]
			t, whole := st.sumValidator(w.epochs, opens.proven, m, false)
			if !whole {
				continue
			}
			stake := opens.exact || m.record.ActivationEpoch >= w.first+duty.Epoch(len(w.epochs))
			validators = append(validators, row{labels: m.series, window: label, totals: &t, stake: stake, lost: m.lost})
			if closes.known {
				balances = append(balances, exposition.Series{Labels: m.series + label, Value: float64(closes.balance)})
			}
		}

		for _, e := range w.epochs {
			e.recount(s.spec, w.opens)
		}
		held := w.groupBalances()
		for _, g := range s.roster.groups {
			t, stake, whole := w.group(g.key)
			if !whole {
				continue
			}
			groups = append(groups, row{labels: g.series, window: label, totals: &t, stake: stake})
			if balance, known := held[g.key]; known {
				groupBalances = append(groupBalances, exposition.Series{Labels: g.series + label, Value: balance})
			}
		}
	}
	b.totals(s.spec, validators, window("ethereum_validator"))
	b.totals(s.spec, groups, window("ethereum_group"))
	b.totals(s.spec, network, window("ethereum_network"))
	b.add("ethereum_validator_window_balance_gwei", balances)
	b.add("ethereum_group_window_balance_gwei", groupBalances)
	b.add("ethereum_network_window_balance_gwei", networkBalances)
	b.add("ethereum_network_window_slashings", slashings)
}
