package independent

import (
	"context"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// node asks a beacon node, which in a test is near and quick.
type node struct{ url string }

var errNotFound = errors.New("not found")

// number is a number that the Beacon API writes as a string.
type number uint64

func (n *number) UnmarshalJSON(text []byte) error {
	value, err := strconv.ParseUint(strings.Trim(string(text), `"`), 10, 64)
	*n = number(value)
	return err
}

type header struct {
	slot uint64
	root root
}

func (n node) header(ctx context.Context, id string) (header, error) {
	var answer struct {
		Root   string
		Header struct{ Message struct{ Slot number } }
	}
	if err := n.json(ctx, http.MethodGet, "/eth/v1/beacon/headers/"+id, "", &answer); err != nil {
		return header{}, err
	}
	bytes, err := hex.DecodeString(strings.TrimPrefix(answer.Root, "0x"))
	if err != nil || len(bytes) != len(root{}) {
		return header{}, fmt.Errorf("header %s has the root %q", id, answer.Root)
	}
	return header{uint64(answer.Header.Message.Slot), root(bytes)}, nil
}

func (n node) slotsPerEpoch(ctx context.Context) (uint64, error) {
	// A spec has values of all sorts, lists too.
	var answer map[string]any
	if err := n.json(ctx, http.MethodGet, "/eth/v1/config/spec", "", &answer); err != nil {
		return 0, err
	}
	return strconv.ParseUint(fmt.Sprint(answer["SLOTS_PER_EPOCH"]), 10, 64)
}

// place of a committee.
type place struct{ slot, index uint64 }

func (n node) committees(ctx context.Context, epoch uint64) (map[place][]uint64, error) {
	var answer []struct {
		Slot, Index number
		Validators  []number
	}
	path := fmt.Sprintf("/eth/v1/beacon/states/head/committees?epoch=%d", epoch)
	if err := n.json(ctx, http.MethodGet, path, "", &answer); err != nil {
		return nil, err
	}
	committees := map[place][]uint64{}
	for _, c := range answer {
		committees[place{uint64(c.Slot), uint64(c.Index)}] = indices(c.Validators)
	}
	return committees, nil
}

// proposers of an epoch, by slot.
func (n node) proposers(ctx context.Context, epoch uint64) (map[uint64]uint64, error) {
	var answer []struct {
		Slot  number
		Index number `json:"validator_index"`
	}
	if err := n.json(ctx, http.MethodGet, fmt.Sprintf("/eth/v1/validator/duties/proposer/%d", epoch), "", &answer); err != nil {
		return nil, err
	}
	proposers := map[uint64]uint64{}
	for _, p := range answer {
		proposers[uint64(p.Slot)] = uint64(p.Index)
	}
	return proposers, nil
}

// syncSeats are the validators of the sync committee, seat by seat.
func (n node) syncSeats(ctx context.Context, epoch uint64) ([]uint64, error) {
	var answer struct{ Validators []number }
	path := fmt.Sprintf("/eth/v1/beacon/states/head/sync_committees?epoch=%d", epoch)
	if err := n.json(ctx, http.MethodGet, path, "", &answer); err != nil {
		return nil, err
	}
	return indices(answer.Validators), nil
}

func indices(numbers []number) []uint64 {
	list := make([]uint64, len(numbers))
	for i, n := range numbers {
		list[i] = uint64(n)
	}
	return list
}

// json decodes what stands under "data".
func (n node) json(ctx context.Context, method, path, body string, data any) error {
	answer, err := n.do(ctx, method, path, body, "application/json")
	if err != nil {
		return err
	}
	envelope := struct{ Data any }{data}
	if err := json.Unmarshal(answer, &envelope); err != nil {
		return fmt.Errorf("%s %s: %w", method, path, err)
	}
	return nil
}

func (n node) ssz(ctx context.Context, path string, into interface{ UnmarshalSSZ([]byte) error }) error {
	answer, err := n.do(ctx, http.MethodGet, path, "", "application/octet-stream")
	if err != nil {
		return err
	}
	if err := into.UnmarshalSSZ(answer); err != nil {
		return fmt.Errorf("GET %s: %w", path, err)
	}
	return nil
}

func (n node) do(ctx context.Context, method, path, body, accept string) ([]byte, error) {
	ctx, cancel := context.WithTimeout(ctx, 30*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, method, n.url+path, strings.NewReader(body))
	if err != nil {
		return nil, err
	}
	request.Header.Set("Accept", accept)
	if body != "" {
		request.Header.Set("Content-Type", "application/json")
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return nil, err
	}
	defer response.Body.Close()
	answer, err := io.ReadAll(response.Body)
	switch {
	case err != nil:
		return nil, fmt.Errorf("%s %s: %w", method, path, err)
	case response.StatusCode == http.StatusNotFound:
		return nil, fmt.Errorf("%s %s: %w: %s", method, path, errNotFound, answer)
	case response.StatusCode != http.StatusOK:
		return nil, fmt.Errorf("%s %s: %s: %s", method, path, response.Status, answer)
	}
	return answer, nil
}
