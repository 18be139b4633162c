package collector

import (
	"context"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Source is what the collector asks of beacon nodes; beacon.Pool is the one in
// production. Every call honours its context and fails over between nodes itself.
// Errors that mean "no node has this" match beacon.ErrUnavailable.
type Source interface {
	// Probe asks every node for its health, which also ranks the nodes.
	Probe(ctx context.Context) []beacon.NodeHealth
	Spec(ctx context.Context) (*duty.Spec, error)
	Head(ctx context.Context) (beacon.Header, error)
	HeaderByRoot(ctx context.Context, root duty.Root) (beacon.Header, error)
	// Canonical tells whether each node that answered by slot or by epoch since the last
	// call counts the block to its canonical chain. ErrUnavailable: one does not know it.
	Canonical(ctx context.Context, root duty.Root) (bool, error)
	// ForgetTellers says that nothing answered so far is to be confirmed by Canonical.
	ForgetTellers()
	BlockByRoot(ctx context.Context, root duty.Root) (*duty.Block, error)
	// BlockAtSlot also tells which node answered; it returns nil without error when the
	// slot is empty.
	BlockAtSlot(ctx context.Context, slot duty.Slot) (block *duty.Block, node string, err error)
	Committees(ctx context.Context, epoch, head duty.Epoch) (*duty.Committees, error)
	// Doubt says that the committees of epoch that were answered do not fit the blocks.
	Doubt(epoch duty.Epoch)
	ProposerDuties(ctx context.Context, epoch duty.Epoch) ([]duty.ValidatorIndex, error)
	SyncCommittee(ctx context.Context, state beacon.StateID, epoch duty.Epoch) ([]duty.ValidatorIndex, error)
	Finality(ctx context.Context, state beacon.StateID) (beacon.Finality, error)
	Validators(ctx context.Context, state beacon.StateID, ids []string, each func(wire.Validator) error) error
	ActiveValidators(ctx context.Context, state beacon.StateID, each func(wire.Validator) error) error
	AttestationRewards(ctx context.Context, epoch duty.Epoch, indices []duty.ValidatorIndex, each func(wire.AttestationReward) error) error
}
