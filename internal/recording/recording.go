package recording

import (
	"encoding/json"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strconv"
	"strings"
	"sync/atomic"

	"github.com/attestantio/go-eth2-client/spec/electra"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/test/recordings"
)

// Recording is a recorded chain, up to its current head. Its methods may be called
// from several goroutines.
type Recording struct {
	files         fs.FS
	slotsPerEpoch uint64
	blocks        []block // by slot, ascending
	head          atomic.Uint64
}

// block is a recorded block with what its header holds.
type block struct {
	slot                                  duty.Slot
	proposer                              duty.ValidatorIndex
	root, parentRoot, stateRoot, bodyRoot duty.Root
	signature                             [96]byte
	ssz                                   []byte
}

// Open reads the recording of that name: "devnet-electra" or "devnet-leak". Its
// head is at the last block.
func Open(name string) (*Recording, error) {
	r := new(Recording)
	var err error
	if r.files, err = fs.Sub(recordings.Files, name); err != nil {
		return nil, fmt.Errorf("opening recording %q: %w", name, err)
	}
	if err := r.readSpec(); err != nil {
		return nil, fmt.Errorf("opening recording %q: %w", name, err)
	}
	if err := r.readBlocks(); err != nil {
		return nil, fmt.Errorf("opening recording %q: %w", name, err)
	}
	r.SetHead(r.Last())
	return r, nil
}

// Files are the recorded files themselves, as laid out in test/recordings/README.md.
func (r *Recording) Files() fs.FS { return r.files }

// First is the slot of the first recorded block.
func (r *Recording) First() duty.Slot { return r.blocks[0].slot }

// Last is the slot of the last recorded block.
func (r *Recording) Last() duty.Slot { return r.blocks[len(r.blocks)-1].slot }

// Head is the slot the chain has reached.
func (r *Recording) Head() duty.Slot { return duty.Slot(r.head.Load()) }

// SetHead sets the slot that the chain has reached: the head is the newest block at
// or before it, and what came later is not there yet.
func (r *Recording) SetHead(slot duty.Slot) { r.head.Store(uint64(slot)) }

// Slots are the slots of all recorded blocks, ascending.
func (r *Recording) Slots() []duty.Slot {
	slots := make([]duty.Slot, len(r.blocks))
	for i, b := range r.blocks {
		slots[i] = b.slot
	}
	return slots
}

// Root returns the root of the block at slot; ok is false where the slot is empty.
func (r *Recording) Root(slot duty.Slot) (root duty.Root, ok bool) {
	b := r.newestAt(slot)
	if b == nil || b.slot != slot {
		return duty.Root{}, false
	}
	return b.root, true
}

// newestAt returns the newest block at or before slot, or nil.
func (r *Recording) newestAt(slot duty.Slot) *block {
	i, found := slices.BinarySearchFunc(r.blocks, slot, func(b block, slot duty.Slot) int {
		return int(int64(b.slot) - int64(slot))
	})
	if !found {
		i--
	}
	if i < 0 {
		return nil
	}
	return &r.blocks[i]
}

func (r *Recording) epochOf(slot duty.Slot) uint64 { return uint64(slot) / r.slotsPerEpoch }

func (r *Recording) readSpec() error {
	raw, err := fs.ReadFile(r.files, "config/spec.json")
	if err != nil {
		return err
	}
	var spec struct{ Data map[string]json.RawMessage }
	if err := json.Unmarshal(raw, &spec); err != nil {
		return fmt.Errorf("config/spec.json: %w", err)
	}
	value := strings.Trim(string(spec.Data["SLOTS_PER_EPOCH"]), `"`)
	if r.slotsPerEpoch, err = strconv.ParseUint(value, 10, 32); err != nil || r.slotsPerEpoch == 0 {
		return fmt.Errorf("config/spec.json: SLOTS_PER_EPOCH %q", value)
	}
	return nil
}

func (r *Recording) readBlocks() error {
	names, err := fs.Glob(r.files, "blocks/*.ssz")
	if err != nil || len(names) == 0 {
		return fmt.Errorf("no blocks: %w", err)
	}
	for _, name := range names {
		b, err := r.readBlock(name)
		if err != nil {
			return fmt.Errorf("%s: %w", name, err)
		}
		r.blocks = append(r.blocks, b)
	}
	slices.SortFunc(r.blocks, func(a, b block) int { return int(int64(a.slot) - int64(b.slot)) })
	return nil
}

// readBlock decodes a block wholly, to hash it: roots are computed, not believed.
func (r *Recording) readBlock(name string) (block, error) {
	ssz, err := fs.ReadFile(r.files, name)
	if err != nil {
		return block{}, err
	}
	var signed electra.SignedBeaconBlock
	if err := signed.UnmarshalSSZ(ssz); err != nil {
		return block{}, err
	}
	message := signed.Message
	if want := path.Base(name); want != fmt.Sprintf("%d.ssz", message.Slot) {
		return block{}, fmt.Errorf("holds slot %d", message.Slot)
	}
	root, err := message.HashTreeRoot()
	if err != nil {
		return block{}, err
	}
	bodyRoot, err := message.Body.HashTreeRoot()
	if err != nil {
		return block{}, err
	}
	return block{
		slot:       duty.Slot(message.Slot),
		proposer:   duty.ValidatorIndex(message.ProposerIndex),
		root:       root,
		parentRoot: duty.Root(message.ParentRoot),
		stateRoot:  duty.Root(message.StateRoot),
		bodyRoot:   bodyRoot,
		signature:  signed.Signature,
		ssz:        ssz,
	}, nil
}
