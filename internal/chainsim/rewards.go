package chainsim

import (
	"cmp"
	"math/bits"
	"slices"
	"sync"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// reward is a row of the attestation rewards endpoint, in gwei.
type reward struct {
	validator                        uint32
	head, target, source, inactivity int64
}

// rewardCache keeps the rewards of the last epochs asked for.
type rewardCache struct {
	mu      sync.Mutex
	entries []cachedRewards
}

type cachedRewards struct {
	// payer is the last block that can matter to the epoch.
	payer *block
	epoch duty.Epoch
	rows  []reward
}

func (r *rewardCache) get(c *Chain, head *block, epoch duty.Epoch) []reward {
	r.mu.Lock()
	defer r.mu.Unlock()
	payer := c.ancestor(head, c.preset.FirstSlot(epoch+2)-1)
	for _, e := range r.entries {
		if e.payer == payer && e.epoch == epoch {
			return e.rows
		}
	}
	rows := c.attestationRewards(head, epoch)
	r.entries = append(r.entries, cachedRewards{payer, epoch, rows})
	if len(r.entries) > 3 {
		r.entries = r.entries[1:]
	}
	return rows
}

// attestationRewards computes what the duties of epoch were worth (spec: altair
// get_flag_index_deltas), from the truth, by validator. The inactivity penalty is a plain
// approximation: the score is taken as 4 for each epoch of the leak.
func (c *Chain) attestationRewards(head *block, epoch duty.Epoch) []reward {
	truth := (&Truth{c, head}).Attestations(epoch)
	paying := c.ancestor(head, c.preset.FirstSlot(epoch+2)-1)
	finalized := c.finality(paying, epoch+2).finalized.epoch
	leak := epoch > finalized && epoch-finalized > 4

	_, total := c.registry.totals(epoch + 1)
	perIncrement := increment * c.preset.BaseRewardFactor / isqrt(total*increment)

	// Flags of slashed validators count for nothing.
	var earned [3]uint64 // source, target, head: increments
	for i := range truth {
		a := &truth[i]
		if paying.slashed(uint32(a.Validator)) {
			a.Source, a.Target, a.Head = false, false, false
		}
		for f, has := range [3]bool{a.Source, a.Target, a.Head} {
			if has {
				earned[f] += c.registry.effective(uint32(a.Validator), epoch+1)
			}
		}
	}

	rows := make([]reward, len(truth))
	for i, a := range truth {
		effective := c.registry.effective(uint32(a.Validator), epoch+1)
		base := effective * perIncrement
		pay := func(flag int, weight uint64, has bool) int64 {
			switch {
			case has && leak:
				return 0
			case has:
				hi, lo := bits.Mul64(base*weight, earned[flag])
				gwei, _ := bits.Div64(hi, lo, total*64)
				return int64(gwei)
			default:
				return -int64(base * weight / 64)
			}
		}
		row := reward{validator: uint32(a.Validator)}
		row.source, row.target = pay(0, 14, a.Source), pay(1, 26, a.Target)
		row.head = max(0, pay(2, 14, a.Head))
		if leak && !a.Target {
			row.inactivity = -int64(effective * increment * uint64(epoch-finalized) / 16777216)
		}
		rows[i] = row
	}
	slices.SortFunc(rows, func(a, b reward) int { return cmp.Compare(a.validator, b.validator) })
	return rows
}

// syncRewards returns what each seat of the canonical block b earned or lost, in gwei.
func (c *Chain) syncRewards(b *block) (validators []uint32, gwei []int64) {
	_, total := c.registry.totals(c.preset.epochOf(b.slot))
	perIncrement := increment * c.preset.BaseRewardFactor / isqrt(total*increment)
	seat := int64(perIncrement * total * 2 / 64 / c.preset.SlotsPerEpoch / c.preset.SyncCommitteeSize)
	validators = c.shuffles.syncCommittee(c.shuffles.syncPeriod(b.slot))
	gwei = make([]int64, len(validators))
	for i := range validators {
		gwei[i] = seat
		if !b.syncBits.has(i) {
			gwei[i] = -seat
		}
	}
	return validators, gwei
}

func isqrt(n uint64) uint64 {
	if n == 0 {
		return 1 // an empty chain: keeps divisions defined
	}
	x := n
	for y := (x + 1) / 2; y < x; y = (x + n/x) / 2 {
		x = y
	}
	return x
}
