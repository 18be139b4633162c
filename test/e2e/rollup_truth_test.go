//go:build e2e

package e2e

import (
	"context"
	"encoding/json"
	"fmt"
	"maps"
	"math"
	"slices"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
	"github.com/ethereum-validator-monitor/validator-monitor/test/independent"
)

// watched are validators in groups by watchLabel.
type watched map[uint64]string

// about is whom a total is about: a validator, a group, or the network.
type about struct {
	kind      string // as in the names of families and views
	validator uint64
	by, group string
}

func (w watched) about(validator uint64) []about {
	all := []about{{kind: "network"}}
	if group, ok := w[validator]; ok {
		all = append(all, about{kind: "validator", validator: validator},
			about{kind: "group", by: "all", group: "all"}, about{kind: "group", by: watchLabel, group: group})
	}
	return all
}

// totals are numbers by measure: a family's name behind its prefix, and behind slashes
// the values of the labels that tell its series apart.
type totals map[string]int64

// window is a completed window as it must be stored.
type window struct {
	start  time.Time
	totals map[about]totals
}

// chainWindows says how windows lie on a chain.
type chainWindows struct {
	beaconURL     string
	genesis       time.Time
	slot          time.Duration
	slotsPerEpoch uint64
	epochs        int // of a window
	watched       watched
}

// final returns how many windows are final by what the node says now: the blocks that
// may carry their attestations are before the finalized epoch.
func (c chainWindows) final(ctx context.Context) (int, error) {
	answer, err := get(ctx, c.beaconURL+"/eth/v1/beacon/states/head/finality_checkpoints")
	if err != nil {
		return 0, err
	}
	var finality struct {
		Data struct {
			Finalized struct {
				Epoch int `json:",string"`
			}
		}
	}
	if err := json.Unmarshal(answer, &finality); err != nil {
		return 0, fmt.Errorf("read finality checkpoints: %w", err)
	}
	return max(0, finality.Data.Finalized.Epoch-1) / c.epochs, nil
}

// start is when a window begins.
func (c chainWindows) start(n int) time.Time { return c.genesis.Add(time.Duration(n) * c.length()) }

func (c chainWindows) length() time.Duration {
	return time.Duration(c.epochs) * time.Duration(c.slotsPerEpoch) * c.slot
}

// count counts the first n windows of the chain.
func (c chainWindows) count(ctx context.Context, n int) ([]window, error) {
	counted, err := independent.Count(ctx, c.beaconURL, 0, uint64(n*c.epochs-1))
	if err != nil {
		return nil, err
	}
	opens, err := independent.Balances(ctx, c.beaconURL, 0)
	if err != nil {
		return nil, err
	}
	var all []window
	for i := range n {
		closes, err := independent.Balances(ctx, c.beaconURL, uint64((i+1)*c.epochs)*c.slotsPerEpoch)
		if err != nil {
			return nil, err
		}
		all = append(all, window{c.start(i), c.sum(counted, i*c.epochs, opens, closes)})
		opens = closes
	}
	return all, nil
}

// sum adds up the window that begins with an epoch. Opens are the balances at its
// beginning, which weigh its votes, and closes those at its end.
func (c chainWindows) sum(counted *independent.Result, first int, opens, closes map[uint64]independent.Balance) map[about]totals {
	sums := map[about]totals{}
	add := func(validator uint64, measure string, n int64) {
		for _, a := range c.watched.about(validator) {
			if sums[a] == nil {
				sums[a] = totals{}
			}
			sums[a][measure] += n
		}
	}
	// What nothing happened to has zeros.
	for v := range opens {
		for _, measure := range measures() {
			add(v, measure, 0)
		}
	}
	for epoch := uint64(first); epoch < uint64(first+c.epochs); epoch++ {
		duties := map[uint64]attested{}
		for v, o := range counted.Epochs[epoch] {
			if o.Duty {
				duties[v] = attested{o.DutySlot, o.Included, [3]bool{o.Source, o.Target, o.Head}}
			}
		}
		lost := lostVotes(counted.SlotsPerEpoch, epoch, duties, func(slot uint64) bool { return counted.Blocks[slot] })
		for v, o := range counted.Epochs[epoch] {
			add(v, "attestations_expected", int64(number(o.Duty)))
			add(v, "attestations_included", int64(number(o.Included)))
			add(v, "attestation_inclusion_delay_slots", int64(o.Delay))
			add(v, "blocks_expected", int64(o.BlocksExpected))
			add(v, "blocks_proposed", int64(o.BlocksProposed))
			add(v, "sync_committee_expected", int64(o.SyncExpected))
			add(v, "sync_committee_included", int64(o.SyncIncluded))
			ether := int64(opens[v].Effective / 1e9)
			for i, vote := range []string{"source", "target", "head"} {
				weight := ether * []int64{14, 26, 14}[i]
				earned := int64(number([]bool{o.Source, o.Target, o.Head}[i]))
				add(v, "attestation_"+vote+"_votes", earned)
				add(v, stakePossible, int64(number(o.Duty))*weight)
				add(v, stakeAchievable, int64(number(o.Duty)-lost[v][i][0])*weight)
				add(v, stakeEarned, earned*weight)
				own := map[string]string{"source": "late", "target": "wrong", "head": "wrong"}[vote]
				if vote == "head" && o.HeadRight {
					own = "late"
				}
				for cause, name := range []string{"network", "missing", own} {
					add(v, "attestation_votes_lost/"+vote+"/"+name, int64(lost[v][i][cause]))
				}
			}
		}
		slashed := counted.Slashings[epoch]
		network := sums[about{kind: "network"}]
		network["slashings/proposer"] += int64(slashed.Proposer)
		network["slashings/attester"] += int64(slashed.Attester)
	}
	for _, sum := range sums {
		for _, measure := range []string{stakePossible, stakeAchievable, stakeEarned} {
			sum[measure] = int64(uint64(sum[measure]) * 1e9 / 54)
		}
	}
	for v, b := range closes {
		for _, a := range c.watched.about(v) {
			if sums[a] != nil && (a.kind != "network" || b.Active) {
				sums[a]["balance_gwei"] += int64(b.Balance)
			}
		}
	}
	return sums
}

const (
	stakePossible   = "attestation_stake_possible_gwei"
	stakeAchievable = "attestation_stake_achievable_gwei"
	stakeEarned     = "attestation_stake_earned_gwei"
)

// measures are those that every subject has in every window. The balance is not always
// known, and slashings are the network's alone.
func measures() []string {
	return []string{
		"attestations_expected", "attestations_included", "attestation_inclusion_delay_slots",
		"attestation_source_votes", "attestation_target_votes", "attestation_head_votes",
		"attestation_votes_lost/source/network", "attestation_votes_lost/source/missing", "attestation_votes_lost/source/late",
		"attestation_votes_lost/target/network", "attestation_votes_lost/target/missing", "attestation_votes_lost/target/wrong",
		"attestation_votes_lost/head/network", "attestation_votes_lost/head/missing", "attestation_votes_lost/head/late", "attestation_votes_lost/head/wrong",
		stakePossible, stakeAchievable, stakeEarned,
		"blocks_expected", "blocks_proposed", "sync_committee_expected", "sync_committee_included",
	}
}

// sampleKey is what a sample is stored under.
type sampleKey struct {
	series string // name{label="value",…}, labels sorted by name
	window int64  // Unix seconds
}

// samples are the windows as they must be stored.
func samples(windows []window) map[sampleKey]float64 {
	all := map[sampleKey]float64{}
	for _, w := range windows {
		for a, sum := range w.totals {
			for measure, value := range sum {
				name, labels := a.series(measure)
				all[sampleKey{sortedSeries(name, labels), w.start.Unix()}] = float64(value)
			}
		}
	}
	return all
}

// series is the series of a measure, without the label window.
func (a about) series(measure string) (name string, labels map[string]string) {
	parts := strings.Split(measure, "/")
	name, labels = "ethereum_"+a.kind+"_window_"+parts[0], map[string]string{"network": network}
	switch a.kind {
	case "validator":
		labels["validator_index"] = fmt.Sprint(a.validator)
	case "group":
		labels["group_by"], labels["group"] = a.by, a.group
	}
	switch parts[0] {
	case "attestation_votes_lost":
		labels["vote"], labels["cause"] = parts[1], parts[2]
	case "slashings":
		labels["kind"] = parts[1]
	}
	return name, labels
}

func sortedSeries(name string, labels map[string]string) string {
	var texts []string
	for _, label := range slices.Sorted(maps.Keys(labels)) {
		texts = append(texts, fmt.Sprintf("%s=%q", label, labels[label]))
	}
	return name + "{" + strings.Join(texts, ",") + "}"
}

// period is a row's day or month.
type period struct {
	about
	date string // its first
}

// column is how the views call a measure.
func column(measure string) string {
	parts := strings.Split(measure, "/")
	switch parts[0] {
	case "attestation_votes_lost":
		return parts[1] + "_lost_" + parts[2]
	case "slashings":
		return parts[1] + "_slashings"
	case "attestations_expected", "attestations_included":
		return measure
	}
	return strings.Replace(strings.TrimPrefix(measure, "attestation_"), "sync_committee_", "sync_", 1)
}

// rows are the rows of the daily or monthly views as they must be. Days begin whole days
// after a moment.
func rows(windows []window, daysFrom time.Time, monthly bool) map[period]map[string]any {
	all := map[period]map[string]any{}
	newest := map[about]map[int64]int64{} // balances by the number of the day
	for _, w := range windows {
		day := int64(math.Floor(w.start.Sub(daysFrom).Hours() / 24))
		begins := daysFrom.Add(time.Duration(day) * 24 * time.Hour).UTC()
		date := begins.Format(time.DateOnly)
		if monthly {
			date = begins.Format("2006-01") + "-01"
		}
		for a, sum := range w.totals {
			key := period{a, date}
			row := all[key]
			if row == nil {
				row = map[string]any{"windows": int64(0), "source_lost_wrong": int64(0), "target_lost_late": int64(0), "balance_gwei": nil, "balance_change_gwei": nil}
				all[key] = row
			}
			row["windows"] = row["windows"].(int64) + 1
			for measure, value := range sum {
				if measure == "balance_gwei" {
					continue
				}
				before, _ := row[column(measure)].(int64)
				row[column(measure)] = before + value
			}
			balance, known := sum["balance_gwei"]
			if !known {
				continue
			}
			if newest[a] == nil {
				newest[a] = map[int64]int64{}
			}
			newest[a][day] = balance
			if row["balance_gwei"] == nil { // the first day of the period that has one
				if before, ok := newest[a][day-1]; ok {
					row["before"] = before
				}
			}
			row["balance_gwei"] = balance
			if before, ok := row["before"]; ok {
				row["balance_change_gwei"] = balance - before.(int64)
			}
		}
	}
	for _, row := range all {
		delete(row, "before")
		row["effectiveness"] = ratio(row["stake_earned_gwei"], row["stake_possible_gwei"])
		row["own_effectiveness"] = ratio(row["stake_earned_gwei"], row["stake_achievable_gwei"])
	}
	return all
}

func ratio(part, whole any) any {
	if whole.(int64) == 0 {
		return nil
	}
	return float64(part.(int64)) / float64(whole.(int64))
}

// devnetWindows says how windows lie on a devnet's chain.
func devnetWindows(d *devnet.Devnet, epochs int, w watched) chainWindows {
	return chainWindows{
		beaconURL: d.BeaconURL(), genesis: d.GenesisTime(), slot: d.SlotDuration(),
		slotsPerEpoch: d.Shape().SlotsPerEpoch, epochs: epochs, watched: w,
	}
}
