package independent

import (
	"context"
	"fmt"
	"maps"
	"net/http"
	"slices"
	"strconv"
)

// Reward is what one validator's attestation of an epoch earned or cost, in gwei.
type Reward struct{ Source, Target, Head, Inactivity int64 }

// AttestationRewards are the rewards of all validators for one epoch.
type AttestationRewards struct {
	Epoch uint64
	// Leak: the chain was in an inactivity leak, in which a good vote earns nothing. It is
	// told from the rewards themselves: nobody earned any.
	Leak       bool
	Validators map[uint64]Reward
}

// Verdict is what a reward tells about a vote.
type Verdict uint8

// Undecided is a head vote in a leak: earned and lost are both 0.
const (
	Undecided Verdict = iota
	Earned
	Lost
)

// Rewards asks the node at url for the attestation rewards of an epoch. They are served
// from two epochs later on.
func Rewards(ctx context.Context, url string, epoch uint64) (*AttestationRewards, error) {
	var answer struct {
		Total []struct {
			Index      number `json:"validator_index"`
			Source     gwei
			Target     gwei
			Head       gwei
			Inactivity gwei
		} `json:"total_rewards"`
	}
	path := fmt.Sprintf("/eth/v1/beacon/rewards/attestations/%d", epoch)
	if err := (node{url}).json(ctx, http.MethodPost, path, "[]", &answer); err != nil {
		return nil, fmt.Errorf("rewards of epoch %d: %w", epoch, err)
	}
	if len(answer.Total) == 0 {
		return nil, fmt.Errorf("rewards of epoch %d: the answer has no validator", epoch)
	}
	r := &AttestationRewards{Epoch: epoch, Leak: true, Validators: map[uint64]Reward{}}
	for _, row := range answer.Total {
		r.Validators[uint64(row.Index)] = Reward{int64(row.Source), int64(row.Target), int64(row.Head), int64(row.Inactivity)}
		if row.Source > 0 || row.Target > 0 || row.Head > 0 {
			r.Leak = false
		}
	}
	return r, nil
}

// Votes tells which votes a validator with duty earned; ok is false for a validator that
// the answer does not have.
func (r *AttestationRewards) Votes(validator uint64) (source, target, head Verdict, ok bool) {
	reward, ok := r.Validators[validator]
	if !ok {
		return Undecided, Undecided, Undecided, false
	}
	penalised := func(amount int64) Verdict {
		// A lost source or target vote always costs something.
		if amount < 0 {
			return Lost
		}
		return Earned
	}
	head = Undecided // a lost head vote costs nothing, and in a leak a good one earns nothing
	switch {
	case reward.Head > 0:
		head = Earned
	case !r.Leak:
		head = Lost
	}
	return penalised(reward.Source), penalised(reward.Target), head, true
}

// Comparison is how a count and a node's rewards agree.
type Comparison struct {
	// Compared votes (three for each duty) or sync rows; Undecided ones are not among them.
	Compared, Undecided int
	// Differences, a line each.
	Differences []string
}

func (c *Comparison) differ(format string, args ...any) {
	c.Differences = append(c.Differences, fmt.Sprintf(format, args...))
}

// CompareVotes compares the votes of an epoch, validator by validator and flag by flag.
func (r *Result) CompareVotes(rewards *AttestationRewards) Comparison {
	var c Comparison
	outcomes := r.Epochs[rewards.Epoch]
	for _, v := range slices.Sorted(maps.Keys(outcomes)) {
		o := outcomes[v]
		if !o.Duty {
			continue
		}
		source, target, head, ok := rewards.Votes(v)
		if !ok {
			c.differ("epoch %d, validator %d: it had a duty, and has no reward", rewards.Epoch, v)
			continue
		}
		for _, vote := range []struct {
			name    string
			counted bool
			paid    Verdict
		}{{"source", o.Source, source}, {"target", o.Target, target}, {"head", o.Head, head}} {
			if vote.paid == Undecided {
				c.Undecided++
				continue
			}
			c.Compared++
			if vote.counted != (vote.paid == Earned) {
				c.differ("epoch %d, validator %d: %s vote counted as earned is %t, its reward says %t (%+v)",
					rewards.Epoch, v, vote.name, vote.counted, vote.paid == Earned, rewards.Validators[v])
			}
		}
	}
	for _, v := range slices.Sorted(maps.Keys(rewards.Validators)) {
		if o := outcomes[v]; rewards.Validators[v] != (Reward{}) && (o == nil || !o.Duty) {
			c.differ("epoch %d, validator %d: it had no duty, and has the reward %+v", rewards.Epoch, v, rewards.Validators[v])
		}
	}
	return c
}

// SyncRewards asks the node at url for the sync committee rewards of the block at slot:
// gwei by validator, over all its seats, without what the proposer gets for including.
func SyncRewards(ctx context.Context, url string, slot uint64) (map[uint64]int64, error) {
	var answer []struct {
		Index  number `json:"validator_index"`
		Reward gwei
	}
	path := fmt.Sprintf("/eth/v1/beacon/rewards/sync_committee/%d", slot)
	if err := (node{url}).json(ctx, http.MethodPost, path, "[]", &answer); err != nil {
		return nil, fmt.Errorf("sync rewards of slot %d: %w", slot, err)
	}
	rewards := map[uint64]int64{}
	for _, row := range answer {
		rewards[uint64(row.Index)] += int64(row.Reward)
	}
	return rewards, nil
}

// CompareSync compares the seats of a block with its sync rewards: a seat gains or loses
// the same amount, so each validator's reward is that amount × (included - missed).
func (r *Result) CompareSync(slot uint64, rewards map[uint64]int64) Comparison {
	var c Comparison
	seats := r.Sync[slot]
	var amount int64
	for v, s := range seats {
		if net := int64(s.Included - s.Missed); net != 0 && rewards[v] != 0 {
			amount = max(amount, rewards[v]/net)
		}
	}
	if amount == 0 {
		c.differ("slot %d: no reward agrees with the counted seats", slot)
		return c
	}
	for _, v := range slices.Sorted(maps.Keys(seats)) {
		c.Compared++
		s := seats[v]
		if want := amount * int64(s.Included-s.Missed); rewards[v] != want {
			c.differ("slot %d, validator %d: %d seats counted as included and %d as missed make %d gwei, the reward is %d",
				slot, v, s.Included, s.Missed, want, rewards[v])
		}
	}
	for _, v := range slices.Sorted(maps.Keys(rewards)) {
		if _, seated := seats[v]; !seated {
			c.differ("slot %d, validator %d: it has no seat, and the reward %d", slot, v, rewards[v])
		}
	}
	return c
}

// gwei is a signed amount that the Beacon API writes as a string.
type gwei int64

func (g *gwei) UnmarshalJSON(text []byte) error {
	unquoted, err := strconv.Unquote(string(text))
	if err != nil {
		return err
	}
	value, err := strconv.ParseInt(unquoted, 10, 64)
	*g = gwei(value)
	return err
}
