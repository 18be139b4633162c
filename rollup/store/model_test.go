package store_test

import (
	"cmp"
	"context"
	"fmt"
	"maps"
	"math/big"
	"math/rand/v2"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgtype"

	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// model is what has been written, and says by itself what the views must show: plain
// sums over all of it, in Go.
type model struct {
	genesis map[string]time.Time // of networks whose days do not begin at 00:00 UTC
	samples map[modelKey]int64
}

type modelKey struct {
	who     modelSubject
	measure string
	window  int64
}

type modelSubject struct {
	kind, network, by, group string
	index                    int64
}

func newModel() *model {
	return &model{
		genesis: map[string]time.Time{"mainnet": time.Unix(1606824023, 0), "gnosis": time.Unix(1638993340, 0)},
		samples: map[modelKey]int64{},
	}
}

func (m *model) add(rows ...modelRow) {
	for _, r := range rows {
		m.samples[r.key] = int64(r.row.Value)
	}
}

// dayOf is when the day begins that a window lies in.
func (m *model) dayOf(network string, window int64) time.Time {
	genesis, ok := m.genesis[network]
	if !ok {
		genesis = time.Unix(0, 0)
	}
	return genesis.Add(time.Unix(window, 0).Sub(genesis) / (24 * time.Hour) * (24 * time.Hour)).UTC()
}

// sums are those of one subject's day or month.
type sums struct {
	who     modelSubject
	date    string
	total   map[string]*big.Int // by measure; a month of the network's stake outgrows 64 bits
	windows map[string]int64    // by measure
	balance map[int64]int64     // by window
	day     time.Time
}

// measures by column, of what every view has.
var measures = func() map[string]string {
	of := map[string]string{
		"attestations_expected": "attestations_expected", "attestations_included": "attestations_included",
		"inclusion_delay_slots": "attestation_inclusion_delay_slots",
		"stake_possible_gwei":   "attestation_stake_possible_gwei", "stake_achievable_gwei": "attestation_stake_achievable_gwei",
		"stake_earned_gwei": "attestation_stake_earned_gwei",
		"blocks_expected":   "blocks_expected", "blocks_proposed": "blocks_proposed",
		"sync_expected": "sync_committee_expected", "sync_included": "sync_committee_included",
	}
	for _, vote := range []string{"source", "target", "head"} {
		of[vote+"_votes"] = "attestation_" + vote + "_votes"
		for _, cause := range []string{"missing", "late", "wrong", "network"} {
			of[vote+"_lost_"+cause] = "attestation_votes_lost/" + vote + "/" + cause
		}
	}
	return of
}()

// view is what a view must show: the columns of each row by its key.
func (m *model) view(name string) map[string]map[string]any {
	kind, period := "validator", "day"
	switch name {
	case "group_daily", "group_monthly":
		kind = "group"
	case "network_daily", "network_monthly":
		kind = "network"
	}
	if strings.HasSuffix(name, "_monthly") {
		period = "month"
	}
	keyOf := func(who modelSubject, date string) string { return fmt.Sprintf("%+v %s", who, date) }
	collect := func(format, suffix string) map[string]*sums {
		found := map[string]*sums{}
		for key, value := range m.samples {
			if key.who.kind != kind {
				continue
			}
			day := m.dayOf(key.who.network, key.window)
			date := day.Format(format) + suffix
			s := found[keyOf(key.who, date)]
			if s == nil {
				s = &sums{who: key.who, date: date, total: map[string]*big.Int{}, windows: map[string]int64{}, balance: map[int64]int64{}, day: day}
				found[keyOf(key.who, date)] = s
			}
			if key.measure == "balance_gwei" {
				s.balance[key.window] = value
				continue
			}
			if s.total[key.measure] == nil {
				s.total[key.measure] = new(big.Int)
			}
			s.total[key.measure].Add(s.total[key.measure], big.NewInt(value))
			s.windows[key.measure]++
		}
		return found
	}
	days := collect(time.DateOnly, "")
	shown := days
	if period == "month" {
		shown = collect("2006-01", "-01")
	}
	out := map[string]map[string]any{}
	for key, s := range shown {
		row := map[string]any{period: s.date, "network": s.who.network}
		switch kind {
		case "validator":
			row["validator_index"] = s.who.index
		case "group":
			row["group_by"], row["group_name"] = s.who.by, s.who.group
		}
		for column, measure := range measures {
			row[column] = nil
			switch total := s.total[measure]; {
			case total == nil:
			case strings.HasSuffix(column, "_gwei"):
				row[column] = total.String()
			default:
				row[column] = total.Int64()
			}
		}
		// What cannot be is not exposed, and known to be none.
		for column, with := range map[string]string{"source_lost_wrong": "source_lost_missing", "target_lost_late": "target_lost_missing"} {
			if row[column] == nil && row[with] != nil {
				row[column] = int64(0)
			}
		}
		if kind == "network" {
			for _, slashed := range []string{"proposer", "attester"} {
				row[slashed+"_slashings"] = nil
				if total := s.total["slashings/"+slashed]; total != nil {
					row[slashed+"_slashings"] = total.Int64()
				}
			}
		}
		row["windows"] = m.windows(s, days, period)
		row["effectiveness"], row["own_effectiveness"] = s.ratios()
		row["balance_gwei"], row["balance_change_gwei"] = nil, nil
		if len(s.balance) > 0 {
			balance := s.balance[slices.Max(slices.Collect(maps.Keys(s.balance)))]
			row["balance_gwei"] = fmt.Sprint(balance)
			// The day before the first day that tells a balance.
			first := m.dayOf(s.who.network, slices.Min(slices.Collect(maps.Keys(s.balance))))
			before := days[keyOf(s.who, first.Add(-24*time.Hour).Format(time.DateOnly))]
			if before != nil && len(before.balance) > 0 {
				row["balance_change_gwei"] = fmt.Sprint(balance - before.balance[slices.Max(slices.Collect(maps.Keys(before.balance)))])
			}
		}
		out[key] = row
	}
	return out
}

// windows are the whole ones: of a day the fewest that a count has, of a month the sum
// of its days'.
func (m *model) windows(s *sums, days map[string]*sums, period string) int64 {
	least := func(s *sums) int64 {
		var counts []int64
		for measure, n := range s.windows {
			if !strings.HasPrefix(measure, "attestation_stake_") {
				counts = append(counts, n)
			}
		}
		if len(counts) == 0 {
			return 0
		}
		return slices.Min(counts)
	}
	if period == "day" {
		return least(s)
	}
	var n int64
	for _, day := range days {
		if day.who == s.who && day.date[:7] == s.date[:7] {
			n += least(day)
		}
	}
	return n
}

func (s *sums) ratios() (effectiveness, own any) {
	// weigh adds up totals, each as often as is said; unknown when one of them is.
	type part struct {
		times   int64
		measure string
	}
	weigh := func(parts ...part) *big.Int {
		sum := new(big.Int)
		for _, p := range parts {
			total := s.total[p.measure]
			if total == nil {
				return nil
			}
			sum.Add(sum, new(big.Int).Mul(total, big.NewInt(p.times)))
		}
		return sum
	}
	ratio := func(a, b *big.Int) any {
		if a == nil || b == nil || b.Sign() == 0 {
			return nil
		}
		x, _ := a.Float64()
		y, _ := b.Float64()
		return x / y
	}
	possible, achievable := weigh(part{1, "attestation_stake_possible_gwei"}), weigh(part{1, "attestation_stake_achievable_gwei"})
	earned := weigh(part{1, "attestation_stake_earned_gwei"})
	effectiveness, own = ratio(earned, possible), ratio(earned, achievable)
	if s.who.kind != "network" {
		return effectiveness, own
	}
	votes := weigh(part{14, "attestation_source_votes"}, part{26, "attestation_target_votes"}, part{14, "attestation_head_votes"})
	if possible == nil {
		effectiveness = ratio(votes, weigh(part{54, "attestations_expected"}))
	}
	if achievable == nil {
		const lost = "attestation_votes_lost/"
		own = ratio(votes, weigh(part{54, "attestations_expected"},
			part{-14, lost + "source/network"}, part{-26, lost + "target/network"}, part{-14, lost + "head/network"}))
	}
	return effectiveness, own
}

// compare reports where a view differs from the model.
func (m *model) compare(t testing.TB, url string) {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	defer conn.Close(context.Background())
	for _, name := range store.ViewNames() {
		wanted := m.view(name)
		differences := 0
		differ := func(format string, args ...any) {
			t.Helper()
			if differences++; differences <= 5 {
				t.Errorf(name+": "+format, args...)
			}
		}
		rows, err := conn.Query(t.Context(), "SELECT * FROM "+name, pgx.QueryResultFormats{pgx.TextFormatCode})
		if err != nil {
			t.Fatal(err)
		}
		for rows.Next() {
			got := map[string]any{}
			for i, value := range rows.RawValues() {
				column := rows.FieldDescriptions()[i]
				got[column.Name] = fromText(t, column.DataTypeOID, value)
			}
			index, _ := got["validator_index"].(int64)
			by, _ := got["group_by"].(string)
			group, _ := got["group_name"].(string)
			kind := "validator"
			switch {
			case group != "":
				kind = "group"
			case got["validator_index"] == nil:
				kind = "network"
			}
			who := modelSubject{kind: kind, network: got["network"].(string), by: by, group: group, index: index}
			date, _ := cmp.Or(got["day"], got["month"]).(string)
			key := fmt.Sprintf("%+v %s", who, date)
			row := wanted[key]
			if row == nil {
				differ("row %s is there and should not be, or twice", key)
				continue
			}
			delete(wanted, key)
			if !maps.Equal(got, row) {
				for column := range row {
					if got[column] != row[column] {
						differ("%s: %s is %v, want %v", key, column, got[column], row[column])
					}
				}
				if len(got) != len(row) {
					differ("%s: columns %v, want %v", key, slices.Sorted(maps.Keys(got)), slices.Sorted(maps.Keys(row)))
				}
			}
		}
		if err := rows.Err(); err != nil {
			t.Fatal(err)
		}
		for key := range wanted {
			differ("row %s is missing", key)
		}
	}
}

func fromText(t testing.TB, oid uint32, text []byte) any {
	t.Helper()
	if text == nil {
		return nil
	}
	switch oid {
	case pgtype.Int4OID, pgtype.Int8OID:
		n, err := strconv.ParseInt(string(text), 10, 64)
		if err != nil {
			t.Error(err)
		}
		return n
	case pgtype.Float8OID:
		f, err := strconv.ParseFloat(string(text), 64)
		if err != nil {
			t.Error(err)
		}
		return f
	}
	return string(text)
}

// modelRow is a row and what the model must know of it.
type modelRow struct {
	row store.Row
	key modelKey
}

// outcome is all that the exporter tells of a subject's window. Numbers are made up, and
// differ.
func outcome(random *rand.Rand, who modelSubject, window time.Time) (rows []modelRow) {
	pairs := []string{"network", who.network}
	switch who.kind {
	case "validator":
		pairs = append(pairs, "validator_index", fmt.Sprint(who.index))
	case "group":
		pairs = append(pairs, "group_by", who.by, "group", who.group)
	}
	add := func(name, measure string, value int64, more ...string) {
		exposed := float64(value) // which is all that Prometheus knows
		rows = append(rows, modelRow{
			row: store.Row{
				Labels: labels(append(append([]string{"__name__", "ethereum_" + who.kind + "_window_" + name}, pairs...), more...)...),
				Window: window, Value: exposed,
			},
			key: modelKey{who, measure, window.Unix()},
		})
	}
	scale := map[string]int64{"validator": 1, "group": 2000, "network": 1_000_000}[who.kind]
	number := func(below int64) int64 { return random.Int64N(below*scale + 1) }
	for name, below := range map[string]int64{
		"attestations_expected": 15, "attestations_included": 15, "attestation_source_votes": 15, "attestation_target_votes": 15,
		"attestation_head_votes": 15, "attestation_inclusion_delay_slots": 40, "blocks_expected": 1, "blocks_proposed": 1,
		"sync_committee_expected": 480, "sync_committee_included": 480,
	} {
		add(name, name, number(below))
	}
	for vote, causes := range map[string][]string{
		"source": {"network", "missing", "late"}, "target": {"network", "missing", "wrong"}, "head": {"network", "missing", "late", "wrong"},
	} {
		for _, cause := range causes {
			add("attestation_votes_lost", "attestation_votes_lost/"+vote+"/"+cause, number(3), "vote", vote, "cause", cause)
		}
	}
	if who.kind != "network" || who.network == "mainnet" {
		for _, stake := range []string{"possible", "achievable", "earned"} {
			name := "attestation_stake_" + stake + "_gwei"
			add(name, name, number(480_000_000_000))
		}
		add("balance_gwei", "balance_gwei", 32_000_000_000*scale+number(1_000_000))
	}
	if who.kind == "network" {
		for _, kind := range []string{"proposer", "attester"} {
			add("slashings", "slashings/"+kind, random.Int64N(3), "kind", kind)
		}
	}
	return rows
}
