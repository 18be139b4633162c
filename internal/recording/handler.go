package recording

import (
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"net/http"
	"slices"
	"strconv"
	"strings"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Handler serves the recording as the standard Beacon API, with whatever head is
// set when a request comes in. What was not recorded is a 404, as on a pruned node.
//
// Two answers do not follow the head: finality checkpoints are those at the end of
// the recording, and so is the sync committee, which is the same all along.
func (r *Recording) Handler() http.Handler {
	mux := http.NewServeMux()
	handle := func(pattern string, answer func(*http.Request) ([]byte, error)) {
		mux.HandleFunc(pattern, func(w http.ResponseWriter, req *http.Request) { writeJSON(w, req, answer) })
	}
	handle("GET /eth/v1/config/spec", r.file("config/spec.json"))
	handle("GET /eth/v1/beacon/genesis", r.file("beacon/genesis.json"))
	handle("GET /eth/v1/node/version", r.file("node/version.json"))
	handle("GET /eth/v1/node/syncing", r.syncing)
	mux.HandleFunc("GET /eth/v1/node/health", func(http.ResponseWriter, *http.Request) {})
	handle("GET /eth/v1/beacon/headers/{block}", r.header)
	mux.HandleFunc("GET /eth/v2/beacon/blocks/{block}", r.serveBlock)
	handle("GET /eth/v1/beacon/states/{state}/committees", r.committees)
	handle("GET /eth/v1/beacon/states/{state}/validators", r.validators)
	handle("POST /eth/v1/beacon/states/{state}/validators", r.validators)
	handle("GET /eth/v1/beacon/states/{state}/finality_checkpoints", r.stateFile("finality_checkpoints"))
	handle("GET /eth/v1/beacon/states/{state}/sync_committees", r.stateFile("sync_committees"))
	handle("GET /eth/v1/validator/duties/proposer/{epoch}", r.proposers)
	handle("POST /eth/v1/beacon/rewards/attestations/{epoch}", r.attestationRewards)
	handle("POST /eth/v1/beacon/rewards/sync_committee/{block}", r.syncRewards)
	mux.HandleFunc("/", func(w http.ResponseWriter, req *http.Request) {
		writeError(w, notFound("%s is not recorded", req.URL.Path))
	})
	return mux
}

// statusError is an error in the form of the Beacon API.
type statusError struct {
	Code    int    `json:"code"`
	Message string `json:"message"`
}

func (e *statusError) Error() string { return e.Message }

func notFound(format string, args ...any) error {
	return &statusError{http.StatusNotFound, fmt.Sprintf(format, args...)}
}

func badRequest(format string, args ...any) error {
	return &statusError{http.StatusBadRequest, fmt.Sprintf(format, args...)}
}

func writeJSON(w http.ResponseWriter, req *http.Request, answer func(*http.Request) ([]byte, error)) {
	body, err := answer(req)
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.Write(body)
}

func writeError(w http.ResponseWriter, err error) {
	var status *statusError
	if !errors.As(err, &status) {
		status = &statusError{http.StatusInternalServerError, err.Error()}
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status.Code)
	json.NewEncoder(w).Encode(status)
}

func (r *Recording) read(name string) ([]byte, error) {
	raw, err := fs.ReadFile(r.files, name)
	if errors.Is(err, fs.ErrNotExist) {
		return nil, notFound("%s is not recorded", name)
	}
	return raw, err
}

func (r *Recording) file(name string) func(*http.Request) ([]byte, error) {
	return func(*http.Request) ([]byte, error) { return r.read(name) }
}

func (r *Recording) stateFile(name string) func(*http.Request) ([]byte, error) {
	return func(req *http.Request) ([]byte, error) {
		if _, err := r.stateSlot(req.PathValue("state")); err != nil {
			return nil, err
		}
		return r.read("states/head/" + name + ".json")
	}
}

// block resolves a block identifier: head, a slot or a root.
func (r *Recording) block(id string) (*block, error) {
	head := r.newestAt(r.Head())
	switch {
	case head == nil:
		return nil, notFound("no block up to slot %d", r.Head())
	case id == "head":
		return head, nil
	case strings.HasPrefix(id, "0x"):
		for i := range r.blocks {
			if b := &r.blocks[i]; b.slot <= head.slot && hexString(b.root[:]) == id {
				return b, nil
			}
		}
		return nil, notFound("no block %s", id)
	}
	slot, err := strconv.ParseUint(id, 10, 63)
	if err != nil {
		return nil, badRequest("block identifier %q", id)
	}
	b := r.newestAt(duty.Slot(slot))
	if b == nil || b.slot != duty.Slot(slot) || b.slot > head.slot {
		return nil, notFound("no block at slot %d", slot)
	}
	return b, nil
}

// stateSlot resolves a state identifier, head or a slot, to the state's slot.
func (r *Recording) stateSlot(id string) (duty.Slot, error) {
	if id == "head" {
		return r.Head(), nil
	}
	slot, err := strconv.ParseUint(id, 10, 63)
	if err != nil {
		return 0, badRequest("state identifier %q", id)
	}
	if duty.Slot(slot) > r.Head() || duty.Slot(slot) < r.First() {
		return 0, notFound("no state at slot %d", slot)
	}
	return duty.Slot(slot), nil
}

func (r *Recording) syncing(*http.Request) ([]byte, error) {
	raw, err := r.read("node/syncing.json")
	if err != nil {
		return nil, err
	}
	var answer struct {
		Data map[string]any `json:"data"`
	}
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, err
	}
	head, err := r.block("head")
	if err != nil {
		return nil, err
	}
	answer.Data["head_slot"] = strconv.FormatUint(uint64(head.slot), 10)
	answer.Data["sync_distance"] = strconv.FormatUint(uint64(r.Head()-head.slot), 10)
	return json.Marshal(answer)
}

func (r *Recording) header(req *http.Request) ([]byte, error) {
	b, err := r.block(req.PathValue("block"))
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"execution_optimistic":false,"finalized":false,"data":{"root":"%s","canonical":true,"header":{"message":`+
		`{"slot":"%d","proposer_index":"%d","parent_root":"%s","state_root":"%s","body_root":"%s"},"signature":"%s"}}}`,
		hexString(b.root[:]), b.slot, b.proposer, hexString(b.parentRoot[:]), hexString(b.stateRoot[:]), hexString(b.bodyRoot[:]),
		hexString(b.signature[:])), nil
}

func (r *Recording) serveBlock(w http.ResponseWriter, req *http.Request) {
	b, err := r.block(req.PathValue("block"))
	if accept := req.Header.Get("Accept"); err == nil && accept != "" &&
		!strings.Contains(accept, "application/octet-stream") && !strings.Contains(accept, "*/*") {
		err = &statusError{http.StatusNotAcceptable, "blocks are recorded as application/octet-stream"}
	}
	if err != nil {
		writeError(w, err)
		return
	}
	w.Header().Set("Content-Type", "application/octet-stream")
	w.Header().Set("Eth-Consensus-Version", "electra")
	w.Write(b.ssz)
}

func (r *Recording) committees(req *http.Request) ([]byte, error) {
	slot, err := r.stateSlot(req.PathValue("state"))
	if err != nil {
		return nil, err
	}
	epoch := r.epochOf(slot)
	if asked := req.URL.Query().Get("epoch"); asked != "" {
		if epoch, err = strconv.ParseUint(asked, 10, 63); err != nil {
			return nil, badRequest("epoch %q", asked)
		}
	}
	if epoch > r.epochOf(slot)+1 {
		return nil, badRequest("epoch %d is more than one ahead of the state's", epoch)
	}
	return r.read(fmt.Sprintf("committees/%d.json", epoch))
}

func (r *Recording) proposers(req *http.Request) ([]byte, error) {
	epoch, err := strconv.ParseUint(req.PathValue("epoch"), 10, 63)
	if err != nil {
		return nil, badRequest("epoch %q", req.PathValue("epoch"))
	}
	if epoch > r.epochOf(r.Head())+1 {
		return nil, badRequest("epoch %d is more than one ahead", epoch)
	}
	return r.read(fmt.Sprintf("duties/proposer/%d.json", epoch))
}

// validators answers with the newest records at or before the state's slot.
func (r *Recording) validators(req *http.Request) ([]byte, error) {
	slot, err := r.stateSlot(req.PathValue("state"))
	if err != nil {
		return nil, err
	}
	ids, statuses, err := validatorFilter(req)
	if err != nil {
		return nil, err
	}
	for ; slot >= r.First(); slot-- {
		raw, err := fs.ReadFile(r.files, fmt.Sprintf("validators/%d.json", slot))
		if errors.Is(err, fs.ErrNotExist) {
			continue
		}
		if err != nil {
			return nil, err
		}
		return filterRows(raw, "data", func(row validatorRow) bool { return row.matches(ids, statuses) })
	}
	return nil, notFound("no validators at or before this slot")
}

// validatorFilter reads the filter of a request: from the body when it is posted,
// else from the query, where values may also be separated by commas.
func validatorFilter(req *http.Request) (ids, statuses []string, err error) {
	if req.Method == http.MethodPost {
		var body struct{ IDs, Statuses []string }
		if err := json.NewDecoder(req.Body).Decode(&body); err != nil && !errors.Is(err, io.EOF) {
			return nil, nil, badRequest("body: %v", err)
		}
		return body.IDs, body.Statuses, nil
	}
	query := req.URL.Query()
	for _, v := range query["id"] {
		ids = append(ids, strings.Split(v, ",")...)
	}
	for _, v := range query["status"] {
		statuses = append(statuses, strings.Split(v, ",")...)
	}
	return ids, statuses, nil
}

type validatorRow struct {
	Index, Status string
	Validator     struct{ Pubkey string }
}

// matches follows the API: a status is asked for whole, or by its first word.
func (v validatorRow) matches(ids, statuses []string) bool {
	family, _, _ := strings.Cut(v.Status, "_")
	return (len(ids) == 0 || slices.Contains(ids, v.Index) || slices.Contains(ids, v.Validator.Pubkey)) &&
		(len(statuses) == 0 || slices.Contains(statuses, v.Status) || slices.Contains(statuses, family))
}

// attestationRewards are there once the epoch after the epoch is over, as on a node.
func (r *Recording) attestationRewards(req *http.Request) ([]byte, error) {
	epoch, err := strconv.ParseUint(req.PathValue("epoch"), 10, 63)
	if err != nil {
		return nil, badRequest("epoch %q", req.PathValue("epoch"))
	}
	if r.epochOf(r.Head()) < epoch+2 {
		return nil, notFound("rewards of epoch %d are available after two epoch transitions", epoch)
	}
	raw, err := r.read(fmt.Sprintf("rewards/attestations/%d.json", epoch))
	if err != nil {
		return nil, err
	}
	var answer struct{ Data json.RawMessage }
	if err := json.Unmarshal(raw, &answer); err != nil {
		return nil, err
	}
	filtered, err := filterRewards(req, answer.Data, "total_rewards")
	if err != nil {
		return nil, err
	}
	return fmt.Appendf(nil, `{"execution_optimistic":false,"finalized":false,"data":%s}`, filtered), nil
}

func (r *Recording) syncRewards(req *http.Request) ([]byte, error) {
	b, err := r.block(req.PathValue("block"))
	if err != nil {
		return nil, err
	}
	raw, err := r.read(fmt.Sprintf("rewards/sync_committee/%d.json", b.slot))
	if err != nil {
		return nil, err
	}
	return filterRewards(req, raw, "data")
}

// filterRewards keeps the rows of the validators listed in the request's body;
// none listed means all.
func filterRewards(req *http.Request, raw []byte, key string) ([]byte, error) {
	var ids []string
	if err := json.NewDecoder(req.Body).Decode(&ids); err != nil && !errors.Is(err, io.EOF) {
		return nil, badRequest("body: %v", err)
	}
	type rewardRow struct {
		Index string `json:"validator_index"`
	}
	return filterRows(raw, key, func(row rewardRow) bool { return len(ids) == 0 || slices.Contains(ids, row.Index) })
}

// filterRows drops rows from the array under key of the object raw, and leaves all
// else as it was recorded.
func filterRows[Row any](raw []byte, key string, keep func(Row) bool) ([]byte, error) {
	var object map[string]json.RawMessage
	if err := json.Unmarshal(raw, &object); err != nil {
		return nil, err
	}
	var all []json.RawMessage
	if err := json.Unmarshal(object[key], &all); err != nil {
		return nil, err
	}
	kept := make([]json.RawMessage, 0, len(all))
	for _, text := range all {
		var row Row
		if err := json.Unmarshal(text, &row); err != nil {
			return nil, err
		}
		if keep(row) {
			kept = append(kept, text)
		}
	}
	var err error
	if object[key], err = json.Marshal(kept); err != nil {
		return nil, err
	}
	return json.Marshal(object)
}

func hexString(b []byte) string { return fmt.Sprintf("%#x", b) }
