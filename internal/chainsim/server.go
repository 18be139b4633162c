package chainsim

import (
	"bytes"
	"cmp"
	"encoding/binary"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// endpoint is a path of the Beacon API, the operation it is counted as, and its answer.
type endpoint struct {
	pattern, operation string
	answer             func(*view, http.ResponseWriter, *http.Request)
}

func endpoints() []endpoint {
	return []endpoint{
		{"GET /eth/v1/node/syncing", "node", (*view).syncing},
		{"GET /eth/v1/node/version", "node", (*view).version},
		{"GET /eth/v1/node/peer_count", "node", (*view).peerCount},
		{"GET /eth/v1/node/peers", "node", (*view).peers},
		{"GET /eth/v1/node/health", "node", (*view).health},
		{"GET /eth/v1/config/spec", "spec", (*view).spec},
		{"GET /eth/v1/config/fork_schedule", "spec", (*view).forkSchedule},
		{"GET /eth/v1/config/deposit_contract", "spec", (*view).depositContract},
		{"GET /eth/v1/beacon/genesis", "genesis", (*view).genesis},
		{"GET /eth/v1/beacon/headers/{id}", "headers", (*view).header},
		{"GET /eth/v2/beacon/blocks/{id}", "blocks", (*view).block},
		{"GET /eth/v1/beacon/blocks/{id}/root", "headers", (*view).blockRoot},
		{"GET /eth/v1/beacon/states/{id}/fork", "other", (*view).fork},
		{"GET /eth/v1/beacon/states/{id}/finality_checkpoints", "finality", (*view).finality},
		{"GET /eth/v1/beacon/states/{id}/committees", "committees", (*view).committees},
		{"GET /eth/v1/beacon/states/{id}/sync_committees", "sync_committees", (*view).syncCommittees},
		{"GET /eth/v1/beacon/states/{id}/validators", "validators", (*view).validators},
		{"POST /eth/v1/beacon/states/{id}/validators", "validators", (*view).validators},
		{"GET /eth/v1/validator/duties/proposer/{epoch}", "proposer_duties", (*view).proposerDuties},
		{"POST /eth/v1/beacon/rewards/attestations/{epoch}", "attestation_rewards", (*view).attestationRewards},
		{"POST /eth/v1/beacon/rewards/sync_committee/{id}", "sync_rewards", (*view).syncRewards},
		{"/", "other", func(_ *view, w http.ResponseWriter, r *http.Request) {
			refuse(w, http.StatusNotFound, "no endpoint %s %s", r.Method, r.URL.Path)
		}},
	}
}

// refuse answers with an error as the Beacon API has them.
func refuse(w http.ResponseWriter, code int, format string, args ...any) {
	body, _ := json.Marshal(struct {
		Code    int    `json:"code"`
		Message string `json:"message"`
	}{code, fmt.Sprintf(format, args...)})
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(code)
	w.Write(body)
}

func answerJSON(w http.ResponseWriter, body []byte) {
	w.Header().Set("Content-Type", "application/json")
	w.Header().Set("Content-Length", strconv.Itoa(len(body)))
	w.Write(body)
}

// answerData wraps data as most answers are; b is the newest block that it tells of.
func (v *view) answerData(w http.ResponseWriter, b *block, data []byte) {
	var body []byte
	body = append(body, v.preamble(b)...)
	body = append(body, data...)
	answerJSON(w, append(body, '}'))
}

func (v *view) preamble(b *block) string {
	final := b.slot <= v.chain.preset.FirstSlot(v.head.checkpoints.finalized.epoch) && v.canonical(b)
	return fmt.Sprintf(`{"execution_optimistic":%t,"finalized":%t,"data":`, v.Optimistic, final)
}

func (v *view) syncing(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, fmt.Appendf(nil,
		`{"data":{"head_slot":"%d","sync_distance":"%d","is_syncing":%t,"is_optimistic":%t,"el_offline":%t}}`,
		v.head.slot, v.current-v.head.slot, v.Syncing, v.Optimistic, v.ELOffline))
}

func (v *view) version(w http.ResponseWriter, _ *http.Request) {
	body, _ := json.Marshal(map[string]any{"data": map[string]string{"version": cmp.Or(v.Version, "chainsim/v1")}})
	answerJSON(w, body)
}

func (v *view) peerCount(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, []byte(`{"data":{"disconnected":"12","connecting":"1","connected":"64","disconnecting":"0"}}`))
}

func (v *view) peers(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, []byte(`{"data":[],"meta":{"count":0}}`))
}

func (v *view) health(w http.ResponseWriter, _ *http.Request) {
	if v.Syncing {
		w.WriteHeader(http.StatusPartialContent)
	}
}

func (v *view) spec(w http.ResponseWriter, _ *http.Request) {
	p := &v.chain.preset
	number := func(n uint64) string { return strconv.FormatUint(n, 10) }
	spec := map[string]string{
		"CONFIG_NAME": v.chain.cfg.Network, "PRESET_BASE": p.Name,
		"SLOT_DURATION_MS": number(uint64(p.SlotDuration.Milliseconds())),
		"SLOTS_PER_EPOCH":  number(p.SlotsPerEpoch), "MAX_COMMITTEES_PER_SLOT": number(p.MaxCommitteesPerSlot),
		"TARGET_COMMITTEE_SIZE": number(p.TargetCommitteeSize), "SYNC_COMMITTEE_SIZE": number(p.SyncCommitteeSize),
		"EPOCHS_PER_SYNC_COMMITTEE_PERIOD": number(p.EpochsPerSyncCommitteePeriod),
		"BASE_REWARD_FACTOR":               number(p.BaseRewardFactor), "EFFECTIVE_BALANCE_INCREMENT": number(increment),
		"MAX_EFFECTIVE_BALANCE": "32000000000", "MAX_EFFECTIVE_BALANCE_ELECTRA": "2048000000000",
		"MAX_ATTESTATIONS_ELECTRA": number(uint64(v.chain.cfg.AggregatesPerBlock)), "MAX_VALIDATORS_PER_COMMITTEE": "2048",
		"TIMELY_SOURCE_WEIGHT": "14", "TIMELY_TARGET_WEIGHT": "26", "TIMELY_HEAD_WEIGHT": "14",
		"SYNC_REWARD_WEIGHT": "2", "PROPOSER_WEIGHT": "8", "WEIGHT_DENOMINATOR": "64",
		"TIMELY_SOURCE_FLAG_INDEX": "0x00", "TIMELY_TARGET_FLAG_INDEX": "0x01", "TIMELY_HEAD_FLAG_INDEX": "0x02",
		"MIN_ATTESTATION_INCLUSION_DELAY": "1", "MIN_EPOCHS_TO_INACTIVITY_PENALTY": "4", "MIN_SEED_LOOKAHEAD": "1",
		"MAX_SEED_LOOKAHEAD": "4", "MIN_VALIDATOR_WITHDRAWABILITY_DELAY": number(withdrawabilityDelay),
		"EPOCHS_PER_SLASHINGS_VECTOR": number(slashingsVector), "SLOTS_PER_HISTORICAL_ROOT": "8192",
		"INACTIVITY_SCORE_BIAS": "4", "INACTIVITY_PENALTY_QUOTIENT_BELLATRIX": "16777216",
		"GENESIS_FORK_VERSION": "0x00000064", "ALTAIR_FORK_VERSION": "0x01000064", "ALTAIR_FORK_EPOCH": "0",
		"BELLATRIX_FORK_VERSION": "0x02000064", "BELLATRIX_FORK_EPOCH": "0", "CAPELLA_FORK_VERSION": "0x03000064",
		"CAPELLA_FORK_EPOCH": "0", "DENEB_FORK_VERSION": "0x04000064", "DENEB_FORK_EPOCH": "0",
		"ELECTRA_FORK_VERSION": "0x05000064", "ELECTRA_FORK_EPOCH": number(uint64(p.ElectraForkEpoch)),
		"FULU_FORK_VERSION": "0x06000064", "FULU_FORK_EPOCH": number(uint64(p.FuluForkEpoch)),
		"DEPOSIT_CHAIN_ID": "1", "DEPOSIT_NETWORK_ID": "1",
		"DEPOSIT_CONTRACT_ADDRESS": "0x00000000219ab540356cbb839cbe05303d7705fa",
	}
	if p.SlotDuration%time.Second == 0 {
		spec["SECONDS_PER_SLOT"] = number(uint64(p.SlotDuration / time.Second))
	}
	for key, value := range v.Spec {
		spec[key] = value
		if value == "" {
			delete(spec, key)
		}
	}
	body, _ := json.Marshal(map[string]any{"data": spec})
	answerJSON(w, body)
}

func (v *view) forkSchedule(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, fmt.Appendf(nil, `{"data":[{"previous_version":"0x04000064","current_version":"0x05000064","epoch":"%d"}]}`,
		v.chain.preset.ElectraForkEpoch))
}

func (v *view) depositContract(w http.ResponseWriter, _ *http.Request) {
	answerJSON(w, []byte(`{"data":{"chain_id":"1","address":"0x00000000219ab540356cbb839cbe05303d7705fa"}}`))
}

func (v *view) fork(w http.ResponseWriter, r *http.Request) {
	if b, _, ok := v.state(w, r); ok {
		v.answerData(w, b, []byte(`{"previous_version":"0x04000064","current_version":"0x05000064","epoch":"0"}`))
	}
}

func (v *view) genesis(w http.ResponseWriter, _ *http.Request) {
	root := v.chain.genesisRoot(v.OtherGenesis)
	answerJSON(w, fmt.Appendf(nil, `{"data":{"genesis_time":"%d","genesis_validators_root":"0x%x","genesis_fork_version":"0x00000064"}}`,
		v.chain.cfg.GenesisTime.Unix(), root))
}

func (c *Chain) genesisRoot(other bool) (root duty.Root) {
	binary.LittleEndian.PutUint64(root[:], c.dice.seed)
	binary.LittleEndian.PutUint64(root[8:], uint64(c.cfg.Validators))
	copy(root[16:], "genesis")
	if other {
		root[31] = 1
	}
	return root
}

// find resolves a block id: head, genesis, finalized, justified, a slot or a root.
// A slot without a block has none; exact=false then takes the newest before it.
func (v *view) find(id string, exact bool) (*block, error) {
	switch id {
	case "head":
		return v.head, nil
	case "genesis":
		return v.at(0), nil
	case "finalized":
		return v.at(v.chain.preset.FirstSlot(v.head.checkpoints.finalized.epoch)), nil
	case "justified":
		return v.at(v.chain.preset.FirstSlot(v.head.checkpoints.justified.epoch)), nil
	}
	if digits, ok := strings.CutPrefix(id, "0x"); ok {
		var root duty.Root
		if n, err := hex.Decode(root[:], []byte(digits)); err != nil || n != 32 || len(digits) != 64 {
			return nil, errInvalidID
		}
		return v.byRoot(root), nil
	}
	slot, err := strconv.ParseUint(id, 10, 64)
	if err != nil {
		return nil, errInvalidID
	}
	if slot > uint64(v.head.slot) {
		return nil, nil
	}
	if b := v.at(duty.Slot(slot)); !exact || b.slot == duty.Slot(slot) {
		return b, nil
	}
	return nil, nil
}

var errInvalidID = errors.New("invalid id")

// named finds the block that a request is about, or refuses it.
func (v *view) named(w http.ResponseWriter, r *http.Request) *block {
	b, err := v.find(r.PathValue("id"), true)
	if err != nil {
		refuse(w, http.StatusBadRequest, "Invalid block ID: %s", r.PathValue("id"))
		return nil
	}
	if b == nil || v.chain.encoded(b) == nil {
		refuse(w, http.StatusNotFound, "NOT_FOUND: beacon block with id %s", r.PathValue("id"))
		return nil
	}
	return b
}

func (v *view) header(w http.ResponseWriter, r *http.Request) {
	b := v.named(w, r)
	if b == nil {
		return
	}
	var parent duty.Root
	if b.parent != nil {
		parent = b.parent.root
	}
	signature := make([]byte, 96)
	v.answerData(w, b, fmt.Appendf(nil, `{"root":"0x%x","canonical":%t,"header":{"message":{"slot":"%d","proposer_index":"%d",`+
		`"parent_root":"0x%x","state_root":"0x%x","body_root":"0x%x"},"signature":"0x%x"}}`,
		b.root, v.canonical(b), b.slot, b.proposer, parent, b.stateRoot, b.root, signature))
}

func (v *view) blockRoot(w http.ResponseWriter, r *http.Request) {
	if b := v.named(w, r); b != nil {
		v.answerData(w, b, fmt.Appendf(nil, `{"root":"0x%x"}`, b.root))
	}
}

func (v *view) block(w http.ResponseWriter, r *http.Request) {
	b := v.named(w, r)
	if b == nil {
		return
	}
	fork := v.chain.preset.forkName(v.chain.preset.epochOf(b.slot))
	if !v.NoVersionHeader {
		w.Header().Set("Eth-Consensus-Version", fork)
	}
	if v.JSONOnlyBlocks {
		answerJSON(w, fmt.Appendf(nil, `{"version":%q,"execution_optimistic":false,"finalized":false,"data":{"message":{"slot":"%d"}}}`, fork, b.slot))
		return
	}
	if !strings.Contains(r.Header.Get("Accept"), "application/octet-stream") {
		refuse(w, http.StatusNotAcceptable, "blocks are served as application/octet-stream only")
		return
	}
	head := v.chain.encoded(b)
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Content-Length", strconv.Itoa(len(head)+len(v.chain.payload)))
	w.Write(head)
	w.Write(v.chain.payload)
}

// state finds the state that a request is about: the newest block in it and its epoch.
func (v *view) state(w http.ResponseWriter, r *http.Request) (b *block, epoch duty.Epoch, ok bool) {
	id, p := r.PathValue("id"), &v.chain.preset
	b, err := v.find(id, false)
	if err != nil {
		refuse(w, http.StatusBadRequest, "Invalid state ID: %s", id)
		return nil, 0, false
	}
	if b == nil {
		refuse(w, http.StatusNotFound, "NOT_FOUND: beacon state with id %s", id)
		return nil, 0, false
	}
	epoch = p.epochOf(b.slot)
	if slot, err := strconv.ParseUint(id, 10, 64); err == nil {
		epoch = p.epochOf(duty.Slot(slot))
	}
	if v.NoOldStates && epoch+1 < p.epochOf(v.head.slot) {
		refuse(w, http.StatusNotFound, "NOT_FOUND: state %s was pruned", id)
		return nil, 0, false
	}
	return b, epoch, true
}

func (v *view) finality(w http.ResponseWriter, r *http.Request) {
	b, epoch, ok := v.state(w, r)
	if !ok {
		return
	}
	at := v.chain.finality(b, epoch)
	data := append([]byte(nil), '{')
	data = append(appendCheckpoint(data, "previous_justified", at.previous), ',')
	data = append(appendCheckpoint(data, "current_justified", at.justified), ',')
	v.answerData(w, b, append(appendCheckpoint(data, "finalized", at.finalized), '}'))
}

// number reads a number from a request's path or query; absent gives the default.
func number(w http.ResponseWriter, what, text string, absent uint64) (uint64, bool) {
	if text == "" {
		return absent, true
	}
	n, err := strconv.ParseUint(text, 10, 64)
	if err != nil {
		refuse(w, http.StatusBadRequest, "Invalid %s: %s", what, text)
	}
	return n, err == nil
}

func (v *view) committees(w http.ResponseWriter, r *http.Request) {
	b, at, ok := v.state(w, r)
	if !ok {
		return
	}
	p, query := &v.chain.preset, r.URL.Query()
	asked, ok := number(w, "epoch", query.Get("epoch"), uint64(at))
	if !ok {
		return
	}
	epoch, head := duty.Epoch(asked), p.epochOf(v.head.slot)
	if epoch > at+1 || v.PrunedCommittees && epoch+1 < head {
		refuse(w, http.StatusBadRequest, "Epoch %d is out of range of the state's epoch %d", epoch, at)
		return
	}
	if v.WrongEpochCommittees && epoch > 0 {
		epoch--
	}
	if query.Get("slot") != "" || query.Get("index") != "" {
		v.someCommittees(w, r, b, epoch)
		return
	}
	body := v.chain.answers.get("committees "+strconv.FormatUint(uint64(epoch), 10), func() []byte {
		shuffled := v.chain.shuffles.committees(epoch)
		data := make([]byte, 0, 64*len(shuffled.bounds)+10*len(shuffled.members))
		for i := range len(shuffled.bounds) - 1 {
			data = appendCommittee(data, p, shuffled, i)
		}
		data[0] = '['
		return append(data, "]}"...)
	})
	w.Header().Set("Content-Type", "application/json")
	preamble := v.preamble(b)
	w.Header().Set("Content-Length", strconv.Itoa(len(preamble)+len(body)))
	io.WriteString(w, preamble)
	w.Write(body)
}

// someCommittees answers for one slot or one index.
func (v *view) someCommittees(w http.ResponseWriter, r *http.Request, b *block, epoch duty.Epoch) {
	query, p := r.URL.Query(), &v.chain.preset
	slot, ok := number(w, "slot", query.Get("slot"), 0)
	index, okIndex := number(w, "index", query.Get("index"), 0)
	if !ok || !okIndex {
		return
	}
	if query.Get("slot") != "" && p.epochOf(duty.Slot(slot)) != epoch {
		refuse(w, http.StatusBadRequest, "Slot %d does not belong in epoch %d", slot, epoch)
		return
	}
	shuffled := v.chain.shuffles.committees(epoch)
	data := []byte{}
	for i := range len(shuffled.bounds) - 1 {
		if query.Get("slot") != "" && uint64(p.FirstSlot(epoch))+uint64(i/shuffled.perSlot) != slot ||
			query.Get("index") != "" && uint64(i%shuffled.perSlot) != index {
			continue
		}
		data = appendCommittee(data, p, shuffled, i)
	}
	if len(data) == 0 {
		data = []byte{','}
	}
	data[0] = '['
	v.answerData(w, b, append(data, ']'))
}

// appendCommittee appends a comma and the epoch's i-th committee.
func appendCommittee(data []byte, p *Preset, c *committees, i int) []byte {
	data = append(data, `,{"index":`...)
	data = appendNumber(data, i%c.perSlot)
	data = append(data, `,"slot":`...)
	data = appendNumber(data, p.FirstSlot(c.epoch)+duty.Slot(i/c.perSlot))
	data = append(data, `,"validators":`...)
	return append(appendIndices(data, c.members[c.bounds[i]:c.bounds[i+1]]), '}')
}

func appendIndices(data []byte, indices []uint32) []byte {
	data = append(data, '[')
	for i, v := range indices {
		if i > 0 {
			data = append(data, ',')
		}
		data = appendNumber(data, v)
	}
	return append(data, ']')
}

func (v *view) syncCommittees(w http.ResponseWriter, r *http.Request) {
	b, at, ok := v.state(w, r)
	if !ok {
		return
	}
	epoch, ok := number(w, "epoch", r.URL.Query().Get("epoch"), uint64(at))
	if !ok {
		return
	}
	length := v.chain.preset.EpochsPerSyncCommitteePeriod
	now, period := uint64(at)/length, epoch/length
	if period != now && period != now+1 {
		refuse(w, http.StatusBadRequest, "Epoch %d is not in the sync committee period of the state's epoch %d or the next", epoch, at)
		return
	}
	seats := v.chain.shuffles.syncCommittee(period)
	data := appendIndices([]byte(`{"validators":`), seats)
	data = append(data, `,"validator_aggregates":[`...)
	for i := range 4 { // SYNC_COMMITTEE_SUBNET_COUNT
		if i > 0 {
			data = append(data, ',')
		}
		data = appendIndices(data, seats[i*len(seats)/4:(i+1)*len(seats)/4])
	}
	v.answerData(w, b, append(data, "]}"...))
}

func (v *view) proposerDuties(w http.ResponseWriter, r *http.Request) {
	asked, ok := number(w, "epoch", r.PathValue("epoch"), 0)
	if !ok {
		return
	}
	p, epoch := &v.chain.preset, duty.Epoch(asked)
	if epoch > p.epochOf(v.current)+1 {
		refuse(w, http.StatusBadRequest, "Epoch %d is more than one ahead of the current epoch %d", epoch, p.epochOf(v.current))
		return
	}
	dependent := v.at(p.FirstSlot(max(epoch, 1)) - 1).root
	data := fmt.Appendf(nil, `{"dependent_root":"0x%x","execution_optimistic":%t,"data":[`, dependent, v.Optimistic)
	for slot := p.FirstSlot(epoch); slot < p.FirstSlot(epoch+1); slot++ {
		proposer := v.chain.shuffles.proposer(slot)
		key := v.chain.registry.pubkey(proposer)
		data = fmt.Appendf(data, `{"pubkey":"0x%x","validator_index":"%d","slot":"%d"},`, key, proposer, slot)
	}
	answerJSON(w, append(data[:len(data)-1], "]}"...))
}

// validators answers GET with id and status, and POST with ids and statuses.
func (v *view) validators(w http.ResponseWriter, r *http.Request) {
	b, epoch, ok := v.state(w, r)
	if !ok {
		return
	}
	var filter struct{ IDs, Statuses []string }
	if r.Method == http.MethodPost {
		if err := json.NewDecoder(r.Body).Decode(&filter); err != nil && !errors.Is(err, io.EOF) {
			refuse(w, http.StatusBadRequest, "Invalid body: %v", err)
			return
		}
	} else {
		for _, value := range r.URL.Query()["id"] {
			filter.IDs = append(filter.IDs, strings.Split(value, ",")...)
		}
		for _, value := range r.URL.Query()["status"] {
			filter.Statuses = append(filter.Statuses, strings.Split(value, ",")...)
		}
	}
	size := v.chain.registry.size(epoch)
	indices, err := v.indices(filter.IDs, size)
	if err != nil {
		refuse(w, http.StatusBadRequest, "%v", err)
		return
	}

	w.Header().Set("Content-Type", "application/json")
	out := append(make([]byte, 0, 66<<10), v.preamble(b)...)
	out = append(out, '[')
	first := true
	send := func(index uint32) bool {
		rec := v.chain.registry.record(index, epoch, b.slashed(index))
		if !hasStatus(filter.Statuses, rec.status) {
			return true
		}
		if !first {
			out = append(out, ',')
		}
		first = false
		out = appendRecord(out, v.chain.registry, &rec)
		if len(out) < 64<<10 {
			return true
		}
		_, err := w.Write(out)
		out = out[:0]
		return err == nil
	}
	if len(filter.IDs) == 0 {
		for index := 0; index < size && send(uint32(index)); index++ {
		}
	} else {
		for _, index := range indices {
			if !send(index) {
				return
			}
		}
	}
	w.Write(append(out, "]}"...))
}

// indices resolves indices and keys; those that the chain does not know are left out.
func (v *view) indices(ids []string, size int) ([]uint32, error) {
	indices := make([]uint32, 0, len(ids))
	for _, id := range ids {
		if digits, ok := strings.CutPrefix(id, "0x"); ok {
			var key [48]byte
			if n, err := hex.Decode(key[:], []byte(digits[:min(len(digits), 96)])); err != nil || n != 48 || len(digits) != 96 {
				return nil, fmt.Errorf("invalid validator key: %s", id)
			}
			if index, ok := v.chain.registry.byPubkey(key); ok && int(index) < size {
				indices = append(indices, index)
			}
			continue
		}
		index, err := strconv.ParseUint(id, 10, 64)
		if err != nil {
			return nil, fmt.Errorf("invalid validator index: %s", id)
		}
		if index < uint64(size) {
			indices = append(indices, uint32(index))
		}
	}
	slices.Sort(indices)
	return slices.Compact(indices), nil
}

// hasStatus tells whether a status is asked for, by its name or by its group.
func hasStatus(asked []string, status string) bool {
	group, _, _ := strings.Cut(status, "_")
	return len(asked) == 0 || slices.Contains(asked, status) || slices.Contains(asked, group)
}

// rewardIDs reads the body of a rewards request; nil asks for everybody.
func (v *view) rewardIDs(w http.ResponseWriter, r *http.Request) ([]uint32, bool) {
	body, err := io.ReadAll(r.Body)
	var ids []string
	if err == nil && len(bytes.TrimSpace(body)) > 0 {
		err = json.Unmarshal(body, &ids)
	}
	indices, idErr := v.indices(ids, len(v.chain.registry.increments))
	if err = cmp.Or(err, idErr); err != nil {
		refuse(w, http.StatusBadRequest, "Invalid body: %v", err)
		return nil, false
	}
	if len(ids) == 0 {
		return nil, true
	}
	return indices, true
}

func (v *view) attestationRewards(w http.ResponseWriter, r *http.Request) {
	asked, ok := number(w, "epoch", r.PathValue("epoch"), 0)
	if !ok {
		return
	}
	p, epoch := &v.chain.preset, duty.Epoch(asked)
	if v.NoRewards != 0 {
		refuse(w, v.NoRewards, "attestation rewards are not supported")
		return
	}
	if now := p.epochOf(v.current); epoch+2 > now || epoch > now || v.NoOldStates && epoch+4 < now {
		refuse(w, http.StatusNotFound, "Attestation rewards are available after two epoch transitions to ensure all attestations have a chance of inclusion")
		return
	}
	ids, ok := v.rewardIDs(w, r)
	if !ok {
		return
	}
	rows := v.chain.rewards.get(v.chain, v.head, epoch)
	w.Header().Set("Content-Type", "application/json")
	out := append(make([]byte, 0, 66<<10), v.preamble(v.at(p.FirstSlot(epoch+2)-1))...)
	out = append(out, `{"ideal_rewards":[],"total_rewards":[`...)
	first := true
	send := func(row *reward) {
		if !first {
			out = append(out, ',')
		}
		first = false
		out = append(out, `{"validator_index":`...)
		out = appendNumber(out, row.validator)
		for _, part := range []struct {
			name string
			gwei int64
		}{{"head", row.head}, {"target", row.target}, {"source", row.source}, {"inactivity", row.inactivity}} {
			out = append(out, `,"`...)
			out = append(out, part.name...)
			out = append(out, `":`...)
			out = appendNumber(out, part.gwei)
		}
		out = append(out, '}')
		if len(out) > 64<<10 {
			w.Write(out)
			out = out[:0]
		}
	}
	if ids == nil {
		for i := range rows {
			send(&rows[i])
		}
	}
	for _, id := range ids {
		at, found := slices.BinarySearchFunc(rows, id, func(row reward, id uint32) int { return cmp.Compare(row.validator, id) })
		if found {
			send(&rows[at])
		}
	}
	w.Write(append(out, "]}}"...))
}

func (v *view) syncRewards(w http.ResponseWriter, r *http.Request) {
	if v.NoRewards != 0 {
		refuse(w, v.NoRewards, "sync committee rewards are not supported")
		return
	}
	b := v.named(w, r)
	if b == nil {
		return
	}
	ids, ok := v.rewardIDs(w, r)
	if !ok {
		return
	}
	validators, gwei := v.chain.syncRewards(b)
	data := []byte{}
	for i, index := range validators {
		if ids != nil && !slices.Contains(ids, index) {
			continue
		}
		sum := gwei[i]
		if !v.DuplicateSyncRows {
			if slices.Contains(validators[:i], index) {
				continue // summed where it came first
			}
			for j := i + 1; j < len(validators); j++ {
				if validators[j] == index {
					sum += gwei[j]
				}
			}
		}
		data = append(data, `,{"validator_index":`...)
		data = appendNumber(data, index)
		data = append(data, `,"reward":`...)
		data = append(appendNumber(data, sum), '}')
	}
	if len(data) == 0 {
		data = []byte{','}
	}
	data[0] = '['
	v.answerData(w, b, append(data, ']'))
}
