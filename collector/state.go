package collector

import (
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// state is what the advance has read so far. Only the one flight in the air touches
// it. All of it can be read again from the chain.
type state struct {
	// spec is the chain's, as served, under the name that is shown.
	spec, served *duty.Spec
	spine        spine
	// duties of the epochs that are not settled yet, and of the next one.
	duties map[duty.Epoch]*epochDuties
	// seats of the sync committees by period.
	seats map[uint64][]duty.ValidatorIndex
	// settled holds the accounted epochs of the windows that are shown.
	settled map[duty.Epoch]*settledEpoch
	// anchors by the first epoch of a window.
	anchors map[duty.Epoch]*anchor
	// old are answers for slots of the epoch that is being read back.
	old oldBlocks
	// limitedAt is when a node last limited how often it may be asked; past epochs are
	// left alone until leaveUntil.
	limitedAt, leaveUntil time.Time
	// wall is the newest epoch that no node could give, asked for last at wallAt.
	wall      *duty.Epoch
	wallAt    time.Time
	refusals  refusals
	uncovered uncovered
	counted   counted
	// unconfirmed: something was read by slot or by epoch that is not known to belong to
	// the spine's chain. unanswered: the nodes were asked about that last time, and one
	// gave no answer.
	unconfirmed, unanswered bool
	// misfit is the unsettled epoch that the log was told of last: it did not fit together.
	misfit duty.Epoch
	// unpublished: something was read that the snapshot of this head does not show yet.
	unpublished bool
	// accounted counts what changed the settled families: they are rebuilt when it moves.
	accounted uint64

	// nextSeatsAsked is the epoch in which the next sync committee was last asked for.
	nextSeatsAsked duty.Epoch

	roster    *roster
	rosterKey rosterKey
	finality  finality
	rewards   rewards
	observed  observed
}

// rosterKey names the state that the roster's records were read from.
type rosterKey struct {
	epoch      duty.Epoch
	root       duty.Root // canonical root at the epoch's first slot
	generation uint64    // of the watch list
}

// epochDuties are an epoch's duties, on the chain that is canonical now.
type epochDuties struct {
	committees *duty.Committees
	proposers  []duty.ValidatorIndex
	tally      *duty.Tally
	tallied    duty.Root // root of the newest block in the tally
}

// settledEpoch is an accounted epoch. It holds for as long as until is the
// canonical root at the last slot that could include its attestations.
type settledEpoch struct {
	outcome *duty.EpochOutcome
	until   duty.Root
	// groups are the sums of those who were members when the epoch settled: counted.
	groups  map[groupKey]duty.Totals
	counted *crew
	// inexact are the groups whose stake in it is of an effective balance that other
	// replicas need not find; proven has the sums of those whose members' are known, as
	// of that version of the window's anchor; -1 before they are asked for.
	inexact map[groupKey]bool
	proven  map[groupKey]duty.Totals
	version int
	// covering is the crew that was last found to be covered.
	covering *crew
}

// anchor holds what is frozen for a window: effective balances in its first state.
type anchor struct {
	records map[duty.ValidatorIndex]anchored
	// network has every validator's effective balance in increments; nil when not read.
	network []uint16
	// networkBalance is the sum of the active ones' balances, in gwei.
	networkBalance duty.Gwei
	// askedAt and networkAskedAt are when what is missing was last asked for.
	askedAt, networkAskedAt time.Time
	// networkSlow: the network's balances failed only after a while.
	networkSlow bool
	// used: an epoch of the window is accounted, its counters go by records.
	used bool
	// version counts what was learned since the first reading.
	version int
}

type anchored struct {
	// increments is the effective balance, in increments, that the window's counters go
	// by: it stays once they do, or they would fall.
	increments uint64
	// proven is the one that any replica finds, where exact: in the window's first state,
	// or in the first state of a validator that joined later. joined: the latter was asked for.
	proven        uint64
	exact, joined bool
	// balance at the window's first slot, where known; absent: the chain did not know
	// the validator then.
	balance       duty.Gwei
	known, absent bool
}

type finality struct {
	key   rosterKey
	known bool
	beacon.Finality
}

type rewards struct {
	epoch duty.Epoch
	until duty.Root
	tries int
	asked *duty.WatchSet
	// byIndex is nil when no node could give them.
	byIndex map[duty.ValidatorIndex]reward
}

type reward struct{ head, target, source, inactivity int64 }

// observed are this process's own observations, no chain history.
type observed struct {
	reorgs     uint64
	reorgDepth uint64
	orphaned   map[duty.ValidatorIndex]uint64
	network    uint64
}

func newState() state {
	return state{
		duties:   map[duty.Epoch]*epochDuties{},
		seats:    map[uint64][]duty.ValidatorIndex{},
		settled:  map[duty.Epoch]*settledEpoch{},
		anchors:  map[duty.Epoch]*anchor{},
		observed: observed{orphaned: map[duty.ValidatorIndex]uint64{}},
	}
}

// unsettled returns the oldest epoch that is not settled yet.
func (st *state) unsettled() duty.Epoch {
	if e, ok := duty.SettledEpoch(st.spec, st.spine.Head()); ok {
		return e + 1
	}
	return 0
}

// headEpoch returns the epoch of the head.
func (st *state) headEpoch() duty.Epoch { return st.spec.EpochOf(st.spine.Head()) }

// valid tells whether epoch is accounted, on the chain that is canonical now.
func (st *state) valid(epoch duty.Epoch) (*settledEpoch, bool) {
	s, ok := st.settled[epoch]
	if !ok {
		return nil, false
	}
	root, known := st.spine.RootAt(st.spec.LastSlot(epoch + 1))
	return s, known && root == s.until
}

// covers tells whether the outcome says what validator did: it was watched when
// the epoch was accounted, or not yet active in it.
func (s *settledEpoch) covers(m *member) bool {
	if _, ok := s.outcome.Watch.Ordinal(m.record.Index); ok {
		return true
	}
	return m.record.ActivationEpoch > s.outcome.Epoch
}

// coversAll tells whether the outcome covers every watched validator.
func (s *settledEpoch) coversAll(r *roster) bool {
	if s.covering == r.crew {
		return true
	}
	for i := range r.members {
		if !s.covers(&r.members[i]) {
			return false
		}
	}
	s.covering = r.crew
	return true
}
