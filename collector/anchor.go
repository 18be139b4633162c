package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"math"
	"slices"
	"strings"
	"time"

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
	version := a.version
	defer func() { st.learned(a, version) }()
	for i := range st.roster.members {
		r := &st.roster.members[i].record
		if first == epoch {
			if at, have := a.records[r.Index]; !have || exact && !(at.exact && at.known) {
				a.put(st.spec, r, exact)
			}
		} else if r.ActivationEpoch == epoch {
			a.join(st.spec, r, exact)
		}
	}
}

// learned has what depends on a shown anew when something was learned of it since version:
// also where what comes next fails, as no later look would tell.
func (st *state) learned(a *anchor, version int) {
	if a.version != version {
		st.unpublished = true
		st.accounted++
	}
}

func newAnchor() *anchor { return &anchor{records: map[duty.ValidatorIndex]anchored{}} }

// put keeps a record of the window's first state, or of a later one that stands in for
// it (not exact).
func (a *anchor) put(spec *duty.Spec, r *wire.Validator, exact bool) {
	at, have := a.records[r.Index]
	if exact && !at.known {
		at.balance, at.known = r.Balance, true
		a.version++
	}
	if !at.joined {
		a.freeze(&at, increments(spec, r), exact, !have)
	}
	a.records[r.Index] = at
}

// join freezes the effective balance of a validator in its first epoch.
func (a *anchor) join(spec *duty.Spec, r *wire.Validator, exact bool) {
	at := a.records[r.Index]
	fresh := !at.joined
	if fresh {
		at.joined, at.exact = true, false
	}
	a.freeze(&at, increments(spec, r), exact, fresh)
	a.records[r.Index] = at
}

func (a *anchor) freeze(at *anchored, n uint64, exact, fresh bool) {
	if fresh || exact && !a.used {
		at.increments = n
	}
	if exact && !at.exact {
		at.proven, at.exact = n, true
		a.version++
	}
}

// settled tells whether counters go by the effective balance that any replica finds.
func (at anchored) settled() bool { return at.exact && at.proven == at.increments }

// increments returns the effective balance that counters go by, in increments.
func (a *anchor) increments(m *member) uint64 {
	if a == nil {
		return 0
	}
	return a.records[m.record.Index].increments
}

func increments(spec *duty.Spec, r *wire.Validator) uint64 {
	return uint64(r.EffectiveBalance / spec.EffectiveBalanceIncrement)
}

// exact tells whether every watched validator's frozen balance is the one that any
// replica finds.
func (a *anchor) exact(r *roster, end duty.Epoch) bool {
	for i := range r.members {
		m := &r.members[i].record
		if at := a.records[m.Index]; !at.settled() && m.ActivationEpoch < end {
			return false
		}
	}
	return true
}

// due tells whether to ask again for what was missing at askedAt: always before the
// first counter goes by it.
func (a *anchor) due(c *Collector, askedAt time.Time) bool {
	return !a.used || c.cfg.Now().Sub(askedAt) >= wallRetry
}

// completeAnchors asks again for what no node gave of a window's first state: before
// counters go by it, or for the finished window's families where those are shown.
func (st *state) completeAnchors(ctx context.Context, c *Collector) {
	oldest := duty.Epoch(0)
	if _, shown, _ := st.lowest(c); shown != nil && c.cfg.CompletedWindows == 0 {
		oldest = shown.Anchor
	}
	active := math.MaxInt // not known
	if d := st.duties[st.headEpoch()]; d != nil {
		active = len(d.committees.Members)
	}
	for first, a := range st.anchors {
		// From an epoch before counters go by it: a younger state may be reorged away.
		young := st.spine.Head()+duty.Slot(st.spec.SlotsPerEpoch) < duty.SettlesAt(st.spec, first)
		if first < oldest || young || !a.due(c, a.askedAt) || c.cfg.Now().Sub(a.askedAt) < anchorRetry {
			continue
		}
		if _, err := st.ensureAnchor(ctx, c, first, active); err != nil {
			c.cfg.Logger.Debug("Could not complete what is known of a window's first state", "epoch", first, "err", err)
		}
	}
}

// ensureAnchor has the frozen balances of the window that begins at first read, for
// every watched validator, and the whole network's where that is wanted. Where there is a
// record for everybody already, one that stands in, nothing fails: to ask again may only
// make it better, and the head waits.
func (st *state) ensureAnchor(ctx context.Context, c *Collector, first duty.Epoch, active int) (*anchor, error) {
	a := st.anchors[first]
	if a == nil {
		a = newAnchor()
		st.anchors[first] = a
	}
	version := a.version
	defer func() { st.learned(a, version) }()
	head := st.headEpoch()
	again := a.due(c, a.askedAt)
	var atFirst []duty.ValidatorIndex
	later := map[duty.Epoch][]duty.ValidatorIndex{}
	for i := range st.roster.members {
		r := &st.roster.members[i].record
		at, have := a.records[r.Index]
		joins := r.ActivationEpoch
		late := joins > first && joins <= head && joins < first+duty.Epoch(c.cfg.Window.Epochs)
		if !have || again && !at.absent && (!at.known || !late && !at.exact) {
			atFirst = append(atFirst, r.Index)
		}
		if late && (!at.joined || again && !at.exact) {
			later[joins] = append(later[joins], r.Index)
		}
	}
	if again || len(atFirst)+len(later) > 0 {
		a.askedAt = c.cfg.Now()
	}
	complete := !slices.ContainsFunc(atFirst, func(index duty.ValidatorIndex) bool { _, have := a.records[index]; return !have })
	served, err := st.readAnchored(ctx, c, first, atFirst, complete, a.put)
	if err != nil {
		return nil, err
	}
	for _, index := range atFirst {
		at, have := a.records[index]
		if served && !at.known {
			at.absent = true // not asked for again
			a.records[index] = at
		} else if !have {
			st.standIn(index, a.put)
		}
	}
	for epoch, indices := range later {
		complete := !slices.ContainsFunc(indices, func(index duty.ValidatorIndex) bool { return !a.records[index].joined })
		served, err := st.readAnchored(ctx, c, epoch, indices, complete, a.join)
		if err != nil {
			return nil, err
		}
		for _, index := range indices {
			if !served && !a.records[index].joined {
				st.standIn(index, a.join)
			}
		}
	}
	return a, st.readNetworkStake(ctx, c, first, a, active)
}

// standIn puts the earliest record that is known, marked as inexact, in the place of one
// that no node serves.
func (st *state) standIn(index duty.ValidatorIndex, put func(*duty.Spec, *wire.Validator, bool)) {
	if i, ok := st.roster.watch.Ordinal(index); ok {
		put(st.spec, &st.roster.members[i].record, false)
	}
}

// readAnchored reads records in the first state of epoch; served is false where no node
// serves that state. complete: there is a record of each to go on with, so that this may
// not take long, and does not fail as long as ctx lasts.
func (st *state) readAnchored(ctx context.Context, c *Collector, epoch duty.Epoch, indices []duty.ValidatorIndex, complete bool, put func(*duty.Spec, *wire.Validator, bool)) (served bool, err error) {
	if len(indices) == 0 {
		return true, nil
	}
	asking := ctx
	if complete {
		var cancel context.CancelFunc
		asking, cancel = context.WithTimeout(ctx, againPatience)
		defer cancel()
	}
	err = c.cfg.Source.Validators(asking, beacon.StateAt(st.spec.FirstSlot(epoch)), indexIDs(indices), func(v wire.Validator) error {
		put(st.spec, &v, true)
		return nil
	})
	switch {
	case errors.Is(err, beacon.ErrUnavailable):
		c.cfg.Logger.Warn("No node serves this epoch's first state: the stake counters of its window use later effective balances, and may differ between replicas until the window rolls",
			"epoch", epoch, "validators", len(indices))
		return false, nil
	case err != nil && complete && ctx.Err() == nil:
		c.cfg.Logger.Warn("This epoch's first state could not be read again: the stake counters of its window use later effective balances, and may differ between replicas until the window rolls",
			"epoch", epoch, "validators", len(indices), "err", err)
		return false, nil
	case err != nil:
		return false, fmt.Errorf("reading effective balances at the first slot of epoch %d: %w", epoch, err)
	}
	return true, nil
}

// readNetworkStake reads every validator's effective balance at the window's first
// slot. A network whose balances are not known has no stake counters; that fails
// nothing else. Once an epoch is accounted without them the window's stake is lost, and
// they are not asked for any more.
func (st *state) readNetworkStake(ctx context.Context, c *Collector, first duty.Epoch, a *anchor, active int) error {
	wanted := c.cfg.NetworkStake == StakeAlways || c.cfg.NetworkStake == StakeAuto && active <= autoStakeLimit
	again := !a.networkAskedAt.IsZero()
	if !wanted || a.network != nil || a.used || again && a.networkSlow && c.cfg.Now().Sub(a.networkAskedAt) < anchorRetry {
		return nil
	}
	a.networkAskedAt = c.cfg.Now()
	began := time.Now()
	asking, cancel := context.WithTimeout(ctx, networkPatience)
	defer cancel()
	var network []uint16
	var balance duty.Gwei
	err := c.cfg.Source.ActiveValidators(asking, beacon.StateAt(st.spec.FirstSlot(first)), func(v wire.Validator) error {
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
	if err != nil {
		a.networkSlow = time.Since(began) > networkQuick
		level := slog.LevelWarn
		if again {
			level = slog.LevelDebug
		}
		c.cfg.Logger.Log(ctx, level, "Could not read the network's effective balances; without them the network's stake counters are absent for this window", "epoch", first, "err", err)
		return nil
	}
	if network == nil {
		network = []uint16{}
	}
	a.network, a.networkBalance = network, balance
	a.version++
	return nil
}

func (a *anchor) networkIncrements(index duty.ValidatorIndex) uint64 {
	if uint64(index) >= uint64(len(a.network)) {
		return 0
	}
	return uint64(a.network[index])
}
