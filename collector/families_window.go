package collector

import (
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
)

// completedWindow is a finished window: whole, final, and the same on every replica.
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
	if w.opens == nil || w.closes == nil || !w.opens.exact(st.roster, first+length) || !w.closes.balances(st.roster) {
		return w, false
	}
	for e := first; e < first+length; e++ {
		settled, valid := st.valid(e)
		if !valid || !settled.coversAll(st.roster) {
			return w, false
		}
		w.epochs = append(w.epochs, settled)
	}
	return w, true
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

		sums := sumGroups(w.epochs, false)
		held := make([]float64, len(s.roster.groups))
		for i := range s.roster.members {
			m := &s.roster.members[i]
			at := w.closes.records[m.record.Index]
			for _, g := range m.groups {
				held[g] += float64(at.balance)
			}
			if !b.individual {
				continue
			}
			t, _ := st.sumValidator(w.epochs, w.opens, m, false)
			validators = append(validators, row{labels: m.series, window: label, totals: &t, stake: true, lost: m.lost})
			if at.known {
				balances = append(balances, exposition.Series{Labels: m.series + label, Value: float64(at.balance)})
			}
		}
		for g := range s.roster.groups {
			t := sums[s.roster.groups[g].key]
			groups = append(groups, row{labels: s.roster.groups[g].series, window: label, totals: &t, stake: true})
			groupBalances = append(groupBalances, exposition.Series{Labels: s.roster.groups[g].series + label, Value: held[g]})
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
