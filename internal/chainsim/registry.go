package chainsim

import (
	"cmp"
	"encoding/binary"
	"fmt"
	"slices"
	"sync"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

const (
	increment = 1_000_000_000 // EFFECTIVE_BALANCE_INCREMENT, gwei
	// lookahead is how many epochs ahead of an activation or exit the record names it.
	lookahead            = 5
	withdrawabilityDelay = 256
	slashingsVector      = 8192
)

// registry is the list of validators over time. It is fixed by the config: what
// happens to a validator does not depend on the fork of the chain, except whether
// it is slashed.
type registry struct {
	dice    dice
	genesis int
	// joined holds the epoch of each validator added after genesis.
	joined []duty.Epoch
	// lives holds only the validators that something was ordered for.
	lives map[uint32]*life
	// increments is each validator's effective balance at its start.
	increments []uint16

	mu     sync.Mutex
	active []epochActive
}

// life is a validator's course where it is not just active from genesis.
type life struct {
	activation, exit duty.Epoch
	slashed          bool
	balances         []balanceChange
}

type balanceChange struct {
	from       duty.Epoch
	increments uint64
}

// epochActive remembers what belongs to an epoch's active set.
type epochActive struct {
	epoch      duty.Epoch
	count      int
	increments uint64
}

func newRegistry(cfg *Config) (*registry, error) {
	r := &registry{dice: dice{cfg.Seed}, genesis: cfg.Validators, lives: map[uint32]*life{}}
	var deposits []Deposit
	for _, f := range cfg.Faults {
		if d, ok := f.(Deposit); ok {
			deposits = append(deposits, d)
		}
	}
	slices.SortStableFunc(deposits, func(a, b Deposit) int { return cmp.Compare(a.Epoch, b.Epoch) })
	for _, d := range deposits {
		for range d.Count {
			r.lives[uint32(r.genesis+len(r.joined))] = &life{
				activation: max(d.Activation, d.Epoch+1), exit: duty.FarFutureEpoch,
			}
			r.joined = append(r.joined, d.Epoch)
		}
	}
	r.increments = make([]uint16, r.genesis+len(r.joined))
	for v := range r.increments {
		r.increments[v] = r.startIncrements(uint64(v))
	}

	for _, f := range cfg.Faults {
		var err error
		switch f := f.(type) {
		case Activation:
			err = r.each(f.Validators, func(l *life) { l.activation = f.Epoch })
		case Exit:
			err = r.each(f.Validators, func(l *life) { l.exit = min(l.exit, f.Epoch) })
		case EffectiveBalance:
			if f.Increments > 2048 {
				return nil, fmt.Errorf("effective balance of %d increments: give 0 to 2048", f.Increments)
			}
			err = r.each(f.Validators, func(l *life) {
				l.balances = append(l.balances, balanceChange{f.Epoch, f.Increments})
				slices.SortStableFunc(l.balances, func(a, b balanceChange) int { return cmp.Compare(a.from, b.from) })
			})
		case ProposerSlashing:
			err = r.slash(cfg, f.Slot, f.Validator)
		case AttesterSlashing:
			err = r.slash(cfg, f.Slot, f.Validators...)
		}
		if err != nil {
			return nil, err
		}
	}
	return r, nil
}

func (r *registry) slash(cfg *Config, slot duty.Slot, validators ...duty.ValidatorIndex) error {
	return r.each(validators, func(l *life) {
		l.slashed = true
		l.exit = min(l.exit, cfg.Preset.epochOf(slot)+lookahead)
	})
}

func (r *registry) each(validators []duty.ValidatorIndex, change func(*life)) error {
	for _, v := range validators {
		if int(v) >= len(r.increments) {
			return fmt.Errorf("fault for validator %d: there are only %d", v, len(r.increments))
		}
		l := r.lives[uint32(v)]
		if l == nil {
			l = &life{exit: duty.FarFutureEpoch}
			r.lives[uint32(v)] = l
		}
		change(l)
	}
	return nil
}

// size is the number of validators that the chain knows in epoch.
func (r *registry) size(epoch duty.Epoch) int {
	n := r.genesis
	for n-r.genesis < len(r.joined) && r.joined[n-r.genesis] <= epoch {
		n++
	}
	return n
}

func (r *registry) isActive(v uint32, epoch duty.Epoch) bool {
	l := r.lives[v]
	if l == nil {
		return true
	}
	return l.activation <= epoch && epoch < l.exit
}

// activeSet returns the active validators of epoch, ascending.
func (r *registry) activeSet(epoch duty.Epoch) []uint32 {
	set := make([]uint32, 0, len(r.increments))
	if len(r.lives) == 0 {
		for v := range r.increments {
			set = append(set, uint32(v))
		}
		return set
	}
	for v := range r.increments {
		if r.isActive(uint32(v), epoch) {
			set = append(set, uint32(v))
		}
	}
	return set
}

// effective returns the effective balance in increments.
func (r *registry) effective(v uint32, epoch duty.Epoch) uint64 {
	now := uint64(r.increments[v])
	if l := r.lives[v]; l != nil {
		for _, change := range l.balances {
			if change.from <= epoch {
				now = change.increments
			}
		}
	}
	return now
}

// totals returns the number of active validators in epoch and the sum of their
// effective balances in increments.
func (r *registry) totals(epoch duty.Epoch) (count int, increments uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	for _, t := range r.active {
		if t.epoch == epoch {
			return t.count, t.increments
		}
	}
	for _, v := range r.activeSet(epoch) {
		count++
		increments += r.effective(v, epoch)
	}
	r.active = append(r.active, epochActive{epoch, count, increments})
	if len(r.active) > 64 {
		r.active = r.active[1:]
	}
	return count, increments
}

// compounding tells whether the validator has 0x02 credentials.
func (r *registry) compounding(v uint32) bool {
	if l := r.lives[v]; l != nil {
		for _, change := range l.balances {
			if change.increments > 32 {
				return true
			}
		}
	}
	return r.dice.roll(topicCredentials, uint64(v), 0)%50 == 0
}

// startIncrements gives one in fifty (the compounding ones) up to 256 ETH, the others 32.
func (r *registry) startIncrements(v uint64) uint16 {
	if r.dice.roll(topicCredentials, v, 0)%50 != 0 {
		return 32
	}
	return 32 + uint16(r.dice.roll(topicEffectiveBalance, v, 0)%225)
}

// credentials returns the withdrawal credentials: one in ten 0x00, few 0x02, the rest 0x01.
func (r *registry) credentials(v uint32) (c [32]byte) {
	r.dice.fill(c[12:], topicCredentials, uint64(v)+1)
	switch {
	case r.compounding(v):
		c[0] = 2
	case v%10 == 7:
		r.dice.fill(c[1:], topicCredentials, uint64(v)+1)
	default:
		c[0] = 1
	}
	return c
}

// pubkey returns the validator's key. Eight of its bytes are the index, enciphered,
// so that a key can be looked up without a table.
func (r *registry) pubkey(v uint32) (key [48]byte) {
	r.dice.fill(key[:], topicPubkey, uint64(v))
	key[0] = 0x80 | key[0]&0x3f
	binary.LittleEndian.PutUint64(key[8:], mix(uint64(v)^r.dice.seed))
	return key
}

func (r *registry) byPubkey(key [48]byte) (v uint32, ok bool) {
	at := unmix(binary.LittleEndian.Uint64(key[8:])) ^ r.dice.seed
	if at >= uint64(len(r.increments)) || r.pubkey(uint32(at)) != key {
		return 0, false
	}
	return uint32(at), true
}

// record is a validator as a state shows it.
type record struct {
	index                                       uint32
	balance, effective                          uint64
	slashed                                     bool
	eligibility, activation, exit, withdrawable duty.Epoch
	status                                      string
}

// record shows validator v in epoch, on a fork where it is slashed or not.
func (r *registry) record(v uint32, epoch duty.Epoch, slashed bool) record {
	rec := record{
		index: v, slashed: slashed, effective: r.effective(v, epoch) * increment,
		exit: duty.FarFutureEpoch, withdrawable: duty.FarFutureEpoch, status: "active_ongoing",
	}
	rec.balance = rec.effective + r.dice.roll(topicBalance, uint64(v), uint64(epoch))%50_000_000
	l := r.lives[v]
	if l == nil {
		return rec
	}
	if l.activation > 0 {
		rec.eligibility = max(l.activation, 8) - 8
		rec.activation = l.activation
		if epoch < rec.eligibility {
			rec.eligibility = duty.FarFutureEpoch
		}
		if epoch+lookahead < rec.activation {
			rec.activation = duty.FarFutureEpoch
		}
	}
	if l.exit != duty.FarFutureEpoch && (slashed || !l.slashed && epoch+lookahead >= l.exit || epoch >= l.exit) {
		rec.exit, rec.withdrawable = l.exit, l.exit+withdrawabilityDelay
		if slashed {
			rec.withdrawable = l.exit - lookahead + slashingsVector
		}
	}
	if epoch > rec.withdrawable {
		rec.balance, rec.effective = 0, 0
	}
	rec.status = rec.statusIn(epoch)
	return rec
}

// statusIn names the status as the Beacon API defines it.
func (r *record) statusIn(epoch duty.Epoch) string {
	switch {
	case epoch < r.activation && r.eligibility == duty.FarFutureEpoch:
		return "pending_initialized"
	case epoch < r.activation:
		return "pending_queued"
	case epoch < r.exit && r.exit == duty.FarFutureEpoch:
		return "active_ongoing"
	case epoch < r.exit && r.slashed:
		return "active_slashed"
	case epoch < r.exit:
		return "active_exiting"
	case epoch < r.withdrawable && r.slashed:
		return "exited_slashed"
	case epoch < r.withdrawable:
		return "exited_unslashed"
	case r.balance > 0:
		return "withdrawal_possible"
	default:
		return "withdrawal_done"
	}
}
