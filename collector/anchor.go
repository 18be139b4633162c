package collector

import (
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// noteAnchors keeps what the roster just read is the authority for: the balances at
// a window's first slot, and those of validators in their first epoch.
func (st *state) noteAnchors(c *Collector, exact bool) {
	epoch := st.rosterKey.epoch
	first := c.cfg.Window.Anchor(epoch)
	a := st.anchors[first]
	if a == nil {
		if first != epoch {
			return
		}
		a = newAnchor()
		st.anchors[first] = a
	}
	for i := range st.roster.members {
		r := &st.roster.members[i].record
		if first == epoch {
			if _, have := a.records[r.Index]; !have {
				a.put(st.spec, r, exact)
			}
		} else if r.ActivationEpoch == epoch {
			a.join(st.spec, r, exact)
		}
	}
}

func newAnchor() *anchor { return &anchor{records: map[duty.ValidatorIndex]anchored{}} }

func (a *anchor) put(spec *duty.Spec, r *wire.Validator, exact bool) {
	a.records[r.Index] = anchored{increments: increments(spec, r), balance: r.Balance, known: exact, exact: exact}
}

// join freezes the effective balance of a validator in its first epoch.
func (a *anchor) join(spec *duty.Spec, r *wire.Validator, exact bool) {
	at := a.records[r.Index]
	if at.joined {
		return
	}
	at.increments, at.exact, at.joined = increments(spec, r), exact, true
	a.records[r.Index] = at
}

func increments(spec *duty.Spec, r *wire.Validator) uint64 {
	return uint64(r.EffectiveBalance / spec.EffectiveBalanceIncrement)
}

// exact tells whether every watched validator's frozen balance is the one that any
// replica finds.
func (a *anchor) exact(r *roster, end duty.Epoch) bool {
	for i := range r.members {
		m := &r.members[i].record
		if at := a.records[m.Index]; !at.exact && m.ActivationEpoch < end {
			return false
		}
	}
	return true
}

// balances tells whether the balances at the window's first slot are known.
func (a *anchor) balances(r *roster) bool {
	for i := range r.members {
		if at := a.records[r.members[i].record.Index]; !at.known && !at.absent {
			return false
		}
	}
	return true
}

// ensureAnchor has the frozen balances of the window that begins at first read, for
// every watched validator, and the whole network's where that is wanted.
func (st *state) ensureAnchor(ctx context.Context, c *Collector, first duty.Epoch, active int) (*anchor, error) {
	a := st.anchors[first]
	if a == nil {
		a = newAnchor()
		st.anchors[first] = a
	}
	head := st.headEpoch()
	var atFirst []duty.ValidatorIndex
	later := map[duty.Epoch][]duty.ValidatorIndex{}
	for i := range st.roster.members {
		r := &st.roster.members[i].record
		at, have := a.records[r.Index]
		if !have {
			atFirst = append(atFirst, r.Index)
		}
		if joins := r.ActivationEpoch; joins > first && joins <= head && joins < first+duty.Epoch(c.cfg.Window.Epochs) && !at.joined {
			later[joins] = append(later[joins], r.Index)
		}
	}
	if err := st.readAnchored(ctx, c, first, atFirst, a.put); err != nil {
		return nil, err
	}
	for _, index := range atFirst {
		if _, have := a.records[index]; !have {
			a.records[index] = anchored{absent: true} // not asked for again
		}
	}
	for epoch, indices := range later {
		if err := st.readAnchored(ctx, c, epoch, indices, a.join); err != nil {
			return nil, err
		}
	}
	return a, st.readNetworkStake(ctx, c, first, a, active)
}

// readAnchored reads records in the first state of epoch. Where no node serves that
// state any more, the earliest record that is known stands in, marked as inexact.
func (st *state) readAnchored(ctx context.Context, c *Collector, epoch duty.Epoch, indices []duty.ValidatorIndex, put func(*duty.Spec, *wire.Validator, bool)) error {
	if len(indices) == 0 {
		return nil
	}
	err := c.cfg.Source.Validators(ctx, beacon.StateAt(st.spec.FirstSlot(epoch)), indexIDs(indices), func(v wire.Validator) error {
		put(st.spec, &v, true)
		return nil
	})
	if !errors.Is(err, beacon.ErrUnavailable) {
		if err != nil {
			return fmt.Errorf("reading effective balances at the first slot of epoch %d: %w", epoch, err)
		}
		return nil
	}
	c.cfg.Logger.Warn("No node serves this epoch's first state: the stake counters of its window use later effective balances, and may differ between replicas until the window rolls",
		"epoch", epoch, "validators", len(indices))
	for _, index := range indices {
		if i, ok := st.roster.watch.Ordinal(index); ok {
			put(st.spec, &st.roster.members[i].record, false)
		}
	}
	return nil
}

// readNetworkStake reads every validator's effective balance at the window's first
// slot. A network whose balances are not known has no stake counters; that fails
// nothing else.
func (st *state) readNetworkStake(ctx context.Context, c *Collector, first duty.Epoch, a *anchor, active int) error {
	wanted := c.cfg.NetworkStake == StakeAlways || c.cfg.NetworkStake == StakeAuto && active <= autoStakeLimit
	if !wanted || a.network != nil || a.networkTried {
		return nil
	}
	var network []uint16
	var balance duty.Gwei
	err := c.cfg.Source.ActiveValidators(ctx, beacon.StateAt(st.spec.FirstSlot(first)), func(v wire.Validator) error {
		if v.Index > 1<<26 {
			return fmt.Errorf("validator index %d is beyond any registry", v.Index)
		}
		for uint64(len(network)) <= uint64(v.Index) {
			network = append(network, 0)
		}
		network[v.Index] = uint16(min(increments(st.spec, &v), 1<<16-1))
		if strings.HasPrefix(v.Status, "active") {
			balance += v.Balance
		}
		return nil
	})
	if ctx.Err() != nil {
		return ctx.Err()
	}
	a.networkTried = true
	if err != nil {
		c.cfg.Logger.Warn("Could not read the network's effective balances; the network's stake counters are absent for this window", "epoch", first, "err", err)
		return nil
	}
	if network == nil {
		network = []uint16{}
	}
	a.network, a.networkBalance = network, balance
	return nil
}

func (a *anchor) networkIncrements(index duty.ValidatorIndex) uint64 {
	if uint64(index) >= uint64(len(a.network)) {
		return 0
	}
	return uint64(a.network[index])
}
