package independent

import (
	"context"
	"fmt"
	"net/http"
	"strings"
)

// Balance is what a validator has in one state, in gwei.
type Balance struct {
	Balance, Effective uint64
	// Active: it has duties in the state's epoch.
	Active bool
}

// Balances asks the node at url for the balances of all validators in the state at slot.
func Balances(ctx context.Context, url string, slot uint64) (map[uint64]Balance, error) {
	var answer []struct {
		Index     number
		Balance   number
		Status    string
		Validator struct {
			Effective number `json:"effective_balance"`
		}
	}
	path := fmt.Sprintf("/eth/v1/beacon/states/%d/validators", slot)
	if err := (node{url}).json(ctx, http.MethodPost, path, "{}", &answer); err != nil {
		return nil, fmt.Errorf("balances at slot %d: %w", slot, err)
	}
	if len(answer) == 0 {
		return nil, fmt.Errorf("balances at slot %d: the answer has no validator", slot)
	}
	balances := map[uint64]Balance{}
	for _, v := range answer {
		balances[uint64(v.Index)] = Balance{uint64(v.Balance), uint64(v.Validator.Effective), strings.HasPrefix(v.Status, "active_")}
	}
	return balances, nil
}
