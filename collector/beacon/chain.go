package beacon

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"maps"
	"mime"
	"net/http"
	"slices"
	"strconv"
	"time"

	"github.com/attestantio/go-eth2-client/api"
	eth2http "github.com/attestantio/go-eth2-client/http"
	"github.com/attestantio/go-eth2-client/spec/phase0"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// StateID names a state: "head", or a slot in decimal.
type StateID string

// StateHead is the newest state.
const StateHead StateID = "head"

// StateAt names the state at slot.
func StateAt(slot duty.Slot) StateID { return StateID(strconv.FormatUint(uint64(slot), 10)) }

// slot is 0 for the head.
func (s StateID) slot() duty.Slot {
	slot, _ := strconv.ParseUint(string(s), 10, 64)
	return duty.Slot(slot)
}

// NoProposer stands in ProposerDuties for a slot without a proposer: genesis.
const NoProposer duty.ValidatorIndex = 1<<64 - 1

// Header is what a block's header says, as far as it is needed.
type Header struct {
	Slot             duty.Slot
	Root, ParentRoot duty.Root
	// Optimistic: the node's execution client has not verified the block.
	Optimistic bool
}

// Finality holds the checkpoints of a state: current_justified and finalized.
type Finality struct {
	Justified, Finalized duty.Epoch
}

// Head returns the head of the best node. Where that is behind what another
// healthy node has told, the others are asked too, and the newest head is returned.
func (p *Pool) Head(ctx context.Context) (Header, error) {
	var newest Header
	found := false
	goal := p.newestHead()
	err := p.ask(ctx, opHeader, "the head's header", func(ctx context.Context, n *node, service *eth2http.Service) (bool, error) {
		header, _, err := readHeader(ctx, service, "head")
		if err != nil {
			return false, err
		}
		n.sawHead(header.Slot)
		plausible := p.plausible(header.Slot)
		if !found || plausible && (header.Slot > newest.Slot || !p.plausible(newest.Slot)) {
			newest, found = header, true
		}
		return plausible && header.Slot >= goal, nil
	})
	if found {
		return newest, nil
	}
	return newest, err
}

// HeaderByRoot returns the header of the block with this root.
func (p *Pool) HeaderByRoot(ctx context.Context, root duty.Root) (Header, error) {
	header, _, err := p.headerByRoot(ctx, p.ranked(), root)
	return header, err
}

// Canonical tells whether every node that, since this was last asked or ForgetTellers was
// called, answered something that depends on its canonical chain counts the block to that
// chain: each may follow another fork, so none can speak for the others. When none
// answered anything such, the best node that knows the block tells. A node that does not
// know the block gives ErrUnavailable. After any other error the same nodes, but for those
// that have agreed, are asked the next time. One that follows another fork is asked after
// the others for a while.
func (p *Pool) Canonical(ctx context.Context, root duty.Root) (bool, error) {
	tellers := p.tellers()
	if len(tellers) == 0 {
		_, canonical, err := p.headerByRoot(ctx, p.ranked(), root)
		return canonical, err
	}
	for i, teller := range tellers {
		_, canonical, err := p.headerByRoot(ctx, []candidate{teller}, root)
		switch {
		case err != nil && !errors.Is(err, ErrUnavailable):
			for _, left := range tellers[i:] {
				left.tells(true)
			}
			return false, err
		case err != nil:
			return false, err
		case !canonical:
			if p.doubt(teller.node) {
				teller.log.Info("Beacon node follows another fork than the one that is shown; other nodes are asked first for a while")
			}
			return false, nil
		}
	}
	return true, nil
}

// ForgetTellers has Canonical ask only nodes that answer from now on: nothing that was
// answered so far is to be confirmed.
func (p *Pool) ForgetTellers() { p.tellers() }

// tellers returns the nodes that answered something that depends on their canonical chain
// since this was last called.
func (p *Pool) tellers() (tellers []candidate) {
	for _, n := range p.nodes {
		if down, told := n.tells(false); told {
			tellers = append(tellers, candidate{node: n, down: down})
		}
	}
	return tellers
}

func (p *Pool) headerByRoot(ctx context.Context, candidates []candidate, root duty.Root) (header Header, canonical bool, err error) {
	id := fmt.Sprintf("%#x", root[:])
	err = p.askAmong(ctx, candidates, opHeader, 0, "the header of block "+id, func(ctx context.Context, _ *node, service *eth2http.Service) (bool, error) {
		var err error
		header, canonical, err = readHeader(ctx, service, id)
		if err == nil && header.Root != root {
			err = fmt.Errorf("header of block %#x instead of %s", header.Root[:], id)
		}
		return true, err
	})
	return header, canonical, err
}

func readHeader(ctx context.Context, service *eth2http.Service, id string) (header Header, canonical bool, err error) {
	answer, err := service.BeaconBlockHeader(ctx, &api.BeaconBlockHeaderOpts{Block: id})
	if err != nil {
		return Header{}, false, err
	}
	optimistic, _ := answer.Metadata["execution_optimistic"].(bool)
	return Header{
		Slot:       duty.Slot(answer.Data.Header.Message.Slot),
		Root:       duty.Root(answer.Data.Root),
		ParentRoot: duty.Root(answer.Data.Header.Message.ParentRoot),
		Optimistic: optimistic,
	}, answer.Data.Canonical, nil
}

// BlockByRoot returns the block with this root. That the content hashes to the
// root is not checked.
func (p *Pool) BlockByRoot(ctx context.Context, root duty.Root) (*duty.Block, error) {
	id := fmt.Sprintf("%#x", root[:])
	spec, err := p.Spec(ctx)
	if err != nil {
		return nil, err
	}
	var block *duty.Block
	err = p.ask(ctx, opBlock, "block "+id, func(ctx context.Context, n *node, _ *eth2http.Service) (bool, error) {
		var err error
		block, err = p.readBlock(ctx, n, spec, id)
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return block, nil
}

// BlockAtSlot returns the block at slot in the canonical chain of the best node that
// has one, and that node's endpoint; and nil without an error when the slot is empty:
// every node that answers says there is none, and its head is at or past the slot. A
// node that has dropped old blocks, or has not filled them in yet, says the same, and
// then another one answers, which may be stuck on a fork. So check with the next
// block's parent. Where a node limits how often it may be asked, that is its error, also
// when another one says that there is none: then [Lacked] tells so.
func (p *Pool) BlockAtSlot(ctx context.Context, slot duty.Slot) (block *duty.Block, endpoint string, err error) {
	spec, err := p.Spec(ctx)
	if err != nil {
		return nil, "", err
	}
	err = p.ask(ctx, opBlock, fmt.Sprintf("the block at slot %d", slot), func(ctx context.Context, n *node, service *eth2http.Service) (bool, error) {
		read, err := p.readBlock(ctx, n, spec, string(StateAt(slot)))
		var status *statusError
		if errors.As(err, &status) && status.status == http.StatusNotFound {
			if ahead := reached(ctx, n, service, slot); ahead != nil {
				err = ahead
			}
			return false, err
		}
		if err == nil && read.Slot != slot {
			err = fmt.Errorf("block of slot %d instead of %d", read.Slot, slot)
		}
		block, endpoint = read, n.endpoint
		return true, err
	})
	var failed *operationError
	if _, limited := Limited(err); !limited && errors.As(err, &failed) && failed.cause == nil && failed.unavailable() > 0 {
		return nil, "", nil
	}
	if err != nil {
		return nil, "", err
	}
	return block, endpoint, nil
}

// reached returns an error when the node's head is before slot: it cannot tell
// then whether the slot is empty.
func reached(ctx context.Context, n *node, service *eth2http.Service, slot duty.Slot) error {
	n.mu.Lock()
	known := n.headKnown && n.head >= slot
	n.mu.Unlock()
	if known {
		return nil
	}
	header, _, err := readHeader(ctx, service, "head")
	if err != nil {
		return err
	}
	n.sawHead(header.Slot)
	if header.Slot < slot {
		return &behindError{fmt.Sprintf("is only at slot %d", header.Slot)}
	}
	return nil
}

// blockBuffer holds an encoded block while it is decoded. Ones that a freak answer
// has blown up are not kept.
type blockBuffer struct{ bytes.Buffer }

const keptBuffer = 2 * mebibyte

func (p *Pool) readBlock(ctx context.Context, n *node, spec *duty.Spec, id string) (block *duty.Block, err error) {
	err = n.get(ctx, "/eth/v2/beacon/blocks/"+id, contentSSZ, func(resp *http.Response) error {
		if kind, _, _ := mime.ParseMediaType(resp.Header.Get("Content-Type")); kind == contentJSON {
			return errors.New("a block in JSON where SSZ was asked for")
		}
		buffer := p.blockBuffer.Get().(*blockBuffer)
		defer func() {
			if buffer.Cap() <= keptBuffer {
				p.blockBuffer.Put(buffer)
			}
		}()
		buffer.Reset()
		if _, err := buffer.ReadFrom(resp.Body); err != nil {
			return err
		}
		block, err = wire.DecodeBlock(spec, buffer.Bytes())
		return err
	})
	return block, err
}

// Committees returns the committees of epoch; head is the epoch of the head. Every
// node is asked for them by its head state, which is cheap; where it refuses, by
// the state of the epoch's first slot.
func (p *Pool) Committees(ctx context.Context, epoch, head duty.Epoch) (*duty.Committees, error) {
	spec, err := p.Spec(ctx)
	if err != nil {
		return nil, err
	}
	var committees *duty.Committees
	// They are decided two epochs before.
	decided := duty.Slot(0)
	if epoch >= 2 {
		decided = spec.LastSlot(epoch - 2)
	}
	err = p.askFrom(ctx, opCommittees, decided, fmt.Sprintf("the committees of epoch %d", epoch), func(ctx context.Context, n *node, _ *eth2http.Service) (bool, error) {
		var err error
		defer func() { p.gaveCommittees(n, epoch, err) }()
		committees, err = p.readCommittees(ctx, n, spec, StateHead, epoch)
		if err != nil && epoch <= head {
			if refusal := newFailure(n, opCommittees, err); refusal.unavailable || refusal.reason == reasonDecode {
				committees, err = p.readCommittees(ctx, n, spec, StateAt(spec.FirstSlot(epoch)), epoch)
			}
		}
		return true, err
	})
	if err != nil {
		return nil, err
	}
	return committees, nil
}

// gaveCommittees notes who answered, for Doubt.
func (p *Pool) gaveCommittees(n *node, epoch duty.Epoch, err error) {
	const kept = 8 // more than there are epochs that are not settled
	if err != nil {
		return
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	delete(p.committeesBy, epoch)
	for len(p.committeesBy) >= kept {
		delete(p.committeesBy, slices.Min(slices.Collect(maps.Keys(p.committeesBy))))
	}
	p.committeesBy[epoch] = n
}

// doubtAge is how long a node that was doubted is asked after the others.
const doubtAge = 10 * time.Minute

// Doubt says that the committees of epoch do not fit the blocks. Whoever answered with
// them is asked after the other nodes for a while.
func (p *Pool) Doubt(epoch duty.Epoch) {
	p.mu.Lock()
	n := p.committeesBy[epoch]
	delete(p.committeesBy, epoch)
	p.mu.Unlock()
	if n != nil && p.doubt(n) {
		n.log.Warn("Beacon node answered with committees, or with a block, that do not fit together; other nodes are asked first for a while", "epoch", epoch)
	}
}

// doubt has n asked after the other nodes for a while; fresh tells whether it was not yet.
func (p *Pool) doubt(n *node) (fresh bool) {
	now := p.cfg.Now()
	n.mu.Lock()
	defer n.mu.Unlock()
	fresh = !now.Before(n.doubtedUntil)
	n.doubtedUntil = now.Add(doubtAge)
	return fresh
}

func (p *Pool) readCommittees(ctx context.Context, n *node, spec *duty.Spec, state StateID, epoch duty.Epoch) (committees *duty.Committees, err error) {
	path := fmt.Sprintf("/eth/v1/beacon/states/%s/committees?epoch=%d", state, epoch)
	err = n.get(ctx, path, contentJSON, func(resp *http.Response) error {
		scratch := p.committees.Get().(*wire.CommitteeScratch)
		defer p.committees.Put(scratch)
		scratch.Expect = int(p.members.Load())
		committees, err = wire.ReadCommittees(resp.Body, spec, epoch, scratch)
		if err == nil {
			p.members.Store(int64(len(committees.Members)))
		}
		return err
	})
	return committees, err
}

// ProposerDuties returns the proposers of epoch in the order of its slots, exactly
// SLOTS_PER_EPOCH of them. Slot 0 has NoProposer where the node names none.
func (p *Pool) ProposerDuties(ctx context.Context, epoch duty.Epoch) ([]duty.ValidatorIndex, error) {
	spec, err := p.Spec(ctx)
	if err != nil {
		return nil, err
	}
	var proposers []duty.ValidatorIndex
	// They are decided an epoch before, and since EIP-7917 two.
	lookahead, decided := duty.Epoch(1), duty.Slot(0)
	if epoch > spec.FuluForkEpoch {
		lookahead = 2
	}
	if epoch >= lookahead {
		decided = spec.LastSlot(epoch - lookahead)
	}
	err = p.askFrom(ctx, opProposerDuties, decided, fmt.Sprintf("the proposer duties of epoch %d", epoch), func(ctx context.Context, _ *node, service *eth2http.Service) (bool, error) {
		answer, err := service.ProposerDuties(ctx, &api.ProposerDutiesOpts{Epoch: phase0.Epoch(epoch)})
		if err != nil {
			return false, err
		}
		proposers = make([]duty.ValidatorIndex, spec.SlotsPerEpoch)
		for i := range proposers {
			proposers[i] = NoProposer
		}
		first := spec.FirstSlot(epoch)
		for _, d := range answer.Data {
			at := uint64(d.Slot) - uint64(first)
			if at >= spec.SlotsPerEpoch || proposers[at] != NoProposer {
				return false, fmt.Errorf("proposer duty of slot %d twice or in epoch %d", d.Slot, epoch)
			}
			proposers[at] = duty.ValidatorIndex(d.ValidatorIndex)
		}
		for i, proposer := range proposers {
			if slot := first + duty.Slot(i); proposer == NoProposer && slot != 0 {
				return false, fmt.Errorf("no proposer duty for slot %d", slot)
			}
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return proposers, nil
}

// SyncCommittee returns the sync committee of epoch by the seats' order, as the
// state knows it: SYNC_COMMITTEE_SIZE entries, with a validator once for each seat.
func (p *Pool) SyncCommittee(ctx context.Context, state StateID, epoch duty.Epoch) ([]duty.ValidatorIndex, error) {
	spec, err := p.Spec(ctx)
	if err != nil {
		return nil, err
	}
	var seats []duty.ValidatorIndex
	err = p.askFrom(ctx, opSyncCommittee, state.slot(), fmt.Sprintf("the sync committee of epoch %d", epoch), func(ctx context.Context, _ *node, service *eth2http.Service) (bool, error) {
		at := phase0.Epoch(epoch)
		answer, err := service.SyncCommittee(ctx, &api.SyncCommitteeOpts{State: string(state), Epoch: &at})
		if err != nil {
			return false, err
		}
		if got := uint64(len(answer.Data.Validators)); got != spec.SyncCommitteeSize {
			return false, fmt.Errorf("sync committee of %d seats instead of %d", got, spec.SyncCommitteeSize)
		}
		seats = make([]duty.ValidatorIndex, len(answer.Data.Validators))
		for i, index := range answer.Data.Validators {
			seats[i] = duty.ValidatorIndex(index)
		}
		return true, nil
	})
	if err != nil {
		return nil, err
	}
	return seats, nil
}

// Finality returns the checkpoints of a state.
func (p *Pool) Finality(ctx context.Context, state StateID) (Finality, error) {
	var finality Finality
	err := p.askFrom(ctx, opFinality, state.slot(), "finality at state "+string(state), func(ctx context.Context, _ *node, service *eth2http.Service) (bool, error) {
		answer, err := service.Finality(ctx, &api.FinalityOpts{State: string(state)})
		if err != nil {
			return false, err
		}
		finality = Finality{
			Justified: duty.Epoch(answer.Data.Justified.Epoch),
			Finalized: duty.Epoch(answer.Data.Finalized.Epoch),
		}
		return true, nil
	})
	return finality, err
}
