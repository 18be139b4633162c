package beacon

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"

	eth2http "github.com/attestantio/go-eth2-client/http"
	"golang.org/x/sync/errgroup"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

const (
	// validatorChunk is the most validators that one request asks for.
	validatorChunk = 5000
	// validatorRequests is how many such requests run at a time.
	validatorRequests = 4
	// maxIndex is beyond any registry; it bounds the memory of once.
	maxIndex = 1 << 28
	// Teku and Lodestar search the list of wanted validators for every validator of
	// the registry when they work out rewards: above this many, ask them for all.
	slowRewardFilter = 1000
)

// Validators calls each for every validator in ids (indices in decimal, or public
// keys with 0x) that the state knows: once for each, in no order, never twice at a
// time, whatever nodes fail on the way. No ids, no request. An error of each ends
// it and is returned.
func (p *Pool) Validators(ctx context.Context, state StateID, ids []string, each func(wire.Validator) error) error {
	delivery := once{}
	group, ctx := errgroup.WithContext(ctx)
	group.SetLimit(validatorRequests)
	for chunk := range slices.Chunk(ids, validatorChunk) {
		group.Go(func() error {
			body, err := json.Marshal(map[string][]string{"ids": chunk})
			if err != nil {
				return err
			}
			wanted := newWanted(chunk)
			what := fmt.Sprintf("%d validators at state %s", len(chunk), state)
			return p.askFrom(ctx, opValidators, state.slot(), what, func(ctx context.Context, n *node, _ *eth2http.Service) (bool, error) {
				return true, n.post(ctx, validatorsPath(state), body, func(resp *http.Response) error {
					return wire.ReadValidators(resp.Body, func(v wire.Validator) error {
						if !wanted.has(&v) {
							return nil // the node, or a proxy before it, ignored what was asked
						}
						return delivery.of(v.Index, func() error { return each(v) })
					})
				})
			})
		})
	}
	return group.Wait()
}

// wanted are the validators that a request names.
type wanted struct {
	indices map[duty.ValidatorIndex]bool
	keys    map[[48]byte]bool
}

func newWanted(ids []string) wanted {
	w := wanted{map[duty.ValidatorIndex]bool{}, map[[48]byte]bool{}}
	for _, id := range ids {
		if index, err := strconv.ParseUint(id, 10, 64); err == nil {
			w.indices[duty.ValidatorIndex(index)] = true
			continue
		}
		var key [48]byte
		if n, err := hex.Decode(key[:], []byte(strings.TrimPrefix(id, "0x"))); err == nil && n == len(key) {
			w.keys[key] = true
		}
	}
	return w
}

func (w wanted) has(v *wire.Validator) bool { return w.indices[v.Index] || w.keys[v.Pubkey] }

// ActiveValidators calls each for every validator of the network that is active or
// pending, which is who has duties now or may soon, once for each, in no order. An
// error of each ends it and is returned.
func (p *Pool) ActiveValidators(ctx context.Context, state StateID, each func(wire.Validator) error) error {
	delivery := once{}
	read := func(resp *http.Response) error {
		return wire.ReadValidators(resp.Body, func(v wire.Validator) error {
			if !strings.HasPrefix(v.Status, "active") && !strings.HasPrefix(v.Status, "pending") {
				return nil // the node ignored what was asked
			}
			return delivery.of(v.Index, func() error { return each(v) })
		})
	}
	return p.askFrom(ctx, opValidators, state.slot(), "the active validators at state "+string(state), func(ctx context.Context, n *node, _ *eth2http.Service) (bool, error) {
		err := n.post(ctx, validatorsPath(state), []byte(`{"statuses":["active","pending"]}`), read)
		var status *statusError
		if errors.As(err, &status) && status.status < http.StatusInternalServerError {
			err = n.get(ctx, validatorsPath(state)+"?status=active,pending", contentJSON, read)
		}
		return true, err
	})
}

func validatorsPath(state StateID) string {
	return "/eth/v1/beacon/states/" + string(state) + "/validators"
}

// AttestationRewards calls each for the rewards of every validator in indices,
// once for each, in no order. No indices, no request. An error of each ends it and
// is returned.
//
// Nodes serve this for about two epochs after the next one, and not all do:
// ErrUnavailable is common.
func (p *Pool) AttestationRewards(ctx context.Context, epoch duty.Epoch, indices []duty.ValidatorIndex, each func(wire.AttestationReward) error) error {
	if len(indices) == 0 {
		return nil
	}
	wanted := make(map[duty.ValidatorIndex]bool, len(indices))
	ids := make([]string, len(indices))
	for i, index := range indices {
		wanted[index] = true
		ids[i] = strconv.FormatUint(uint64(index), 10)
	}
	body, err := json.Marshal(ids)
	if err != nil {
		return err
	}
	delivery := once{}
	path := fmt.Sprintf("/eth/v1/beacon/rewards/attestations/%d", epoch)
	return p.ask(ctx, opRewards, fmt.Sprintf("the attestation rewards of epoch %d", epoch), func(ctx context.Context, n *node, _ *eth2http.Service) (bool, error) {
		request := body
		if name := n.clientName(); len(ids) > slowRewardFilter && (name == "teku" || name == "lodestar") {
			request = []byte("[]")
		}
		return true, n.post(ctx, path, request, func(resp *http.Response) error {
			return wire.ReadAttestationRewards(resp.Body, func(r wire.AttestationReward) error {
				if !wanted[r.Index] {
					return nil
				}
				return delivery.of(r.Index, func() error { return each(r) })
			})
		})
	})
}

// once delivers every validator once, also when a node breaks off in the middle
// and another starts from the beginning.
type once struct {
	mu   sync.Mutex
	seen []uint64
}

func (o *once) of(index duty.ValidatorIndex, deliver func() error) error {
	if index >= maxIndex {
		return fmt.Errorf("validator index %d is beyond any registry", index)
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	word, bit := int(index/64), uint64(1)<<(index%64)
	if word >= len(o.seen) {
		o.seen = append(o.seen, make([]uint64, word+1-len(o.seen))...)
	}
	if o.seen[word]&bit != 0 {
		return nil
	}
	o.seen[word] |= bit
	if err := deliver(); err != nil {
		return &callerError{err}
	}
	return nil
}
