package collector

import (
	"fmt"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

var fourEpochs = duty.WindowConfig{Epochs: 4, ResetSlots: 8}

func quiet(validators int, faults ...chainsim.Fault) chainsim.Config {
	cfg := short(validators)
	cfg.Noise, cfg.Faults = &chainsim.Noise{}, faults
	return cfg
}

// expect checks samples by name{labels}; an expected NaN means absent.
func expect(t *testing.T, got map[string]float64, want map[string]float64) {
	t.Helper()
	for key, value := range want {
		have, ok := got[key]
		switch {
		case value != value && ok:
			t.Errorf("%s is %v, want it absent", key, have)
		case value == value && !ok:
			t.Errorf("%s is absent, want %v", key, value)
		case value == value && have != value:
			t.Errorf("%s is %v, want %v", key, have, value)
		}
	}
}

var absent = func() float64 { var zero float64; return zero / zero }()

func groupSeries(name, rest string) string {
	return fmt.Sprintf(`%s{network="sim",group_by="all",group="all"%s}`, name, rest)
}

// A block that is reorged out was never proposed, as far as the chain goes. That this
// process saw it is told apart from chain history.
func TestAReorgedProposalIsAMissAndAnObservation(t *testing.T) {
	sim := simulate(t, quiet(64, chainsim.Reorg{At: 65, Until: 66}))
	c := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
	var proposer duty.ValidatorIndex
	for slot := duty.Slot(60); slot <= 100; slot++ {
		sim.to(slot)
		if slot == 65 {
			proposer = sim.chain.Truth().Proposals(8)[1].Proposer
			got := samples(t, c)
			expect(t, got, map[string]float64{
				validatorKey("ethereum_validator_blocks_missed_unsettled", proposer): 0,
				`ethereum_chain_reorgs_observed_total{network="sim"}`:                0,
			})
		}
		samples(t, c)
	}
	got := samples(t, c) // epochs 8..10 are settled, of window 8..11
	expect(t, got, map[string]float64{
		`ethereum_chain_reorgs_observed_total{network="sim"}`:                       1,
		`ethereum_chain_reorg_depth_observed_slots{network="sim"}`:                  1,
		validatorKey("ethereum_validator_blocks_orphaned_observed_total", proposer): 1,
		groupSeries("ethereum_group_blocks_orphaned_observed_total", ""):            1,
		`ethereum_network_blocks_orphaned_observed_total{network="sim"}`:            1,
		`ethereum_network_blocks_expected_total{network="sim"}`:                     24,
		`ethereum_network_blocks_proposed_total{network="sim"}`:                     23,
	})
	if made := got[validatorKey("ethereum_validator_blocks_expected_total", proposer)] - got[validatorKey("ethereum_validator_blocks_proposed_total", proposer)]; made != 1 {
		t.Errorf("proposer %d missed %v proposals, want 1", proposer, made)
	}
}

// A balance that changed under a running sum could make a counter fall: it is frozen
// for the window.
func TestAnEffectiveBalanceChangeWaitsForTheNextWindow(t *testing.T) {
	sim := simulate(t, quiet(64, chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{9}, Epoch: 9, Increments: 30}))
	c := sim.collector(testOptions{validators: []string{"9"}, window: fourEpochs})
	possible := validatorKey("ethereum_validator_attestation_stake_possible_gwei_total", 9)
	sim.to(106) // epochs 8..11 are settled: S(11) = 13·8+2
	expect(t, samples(t, c), map[string]float64{possible: 4 * 32e9, validatorKey("ethereum_validator_effective_balance_gwei", 9): 30e9})
	sim.to(138) // epochs 12..15
	expect(t, samples(t, c), map[string]float64{possible: 4 * 30e9})
}

// A validator that joins within a window counts with the balance of its first epoch,
// also on a replica that starts later.
func TestAJoinerBringsTheBalanceOfItsFirstEpoch(t *testing.T) {
	sim := simulate(t, quiet(64,
		chainsim.Activation{Validators: []duty.ValidatorIndex{9}, Epoch: 10},
		chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{9}, Epoch: 10, Increments: 48},
		chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{9}, Epoch: 11, Increments: 64}))
	c := sim.collector(testOptions{validators: []string{"9"}, window: fourEpochs})
	for slot := duty.Slot(64); slot <= 106; slot++ {
		sim.to(slot)
		samples(t, c)
	}
	want := map[string]float64{
		validatorKey("ethereum_validator_attestations_expected_total", 9):                                      2, // epochs 10 and 11
		validatorKey("ethereum_validator_attestation_stake_possible_gwei_total", 9):                            2 * 48e9,
		validatorKey("ethereum_validator_activation_epoch", 9):                                                 10,
		validatorKey("ethereum_validator_exit_epoch", 9):                                                       absent,
		validatorKey("ethereum_validator_attestation_votes_lost_total", 9, `vote="target"`, `cause="missing"`): 0,
	}
	expect(t, samples(t, c), want)
	expect(t, samples(t, sim.collector(testOptions{validators: []string{"9"}, window: fourEpochs})), want)
}

// An exited validator is expected no more, and a slashed one still is as long as it is
// active.
func TestExitedAndSlashedValidators(t *testing.T) {
	sim := simulate(t, quiet(64,
		chainsim.Exit{Validators: []duty.ValidatorIndex{9}, Epoch: 10},
		chainsim.ProposerSlashing{Slot: 66, Validator: 0}))
	c := sim.collector(testOptions{validators: []string{"0,9"}, window: fourEpochs})
	sim.to(98) // epochs 8..10; index 0 is slashed in epoch 8 and exits five epochs later
	expect(t, samples(t, c), map[string]float64{
		validatorKey("ethereum_validator_attestations_expected_total", 0):       3,
		validatorKey("ethereum_validator_attestations_included_total", 0):       3,
		validatorKey("ethereum_validator_slashed", 0):                           1,
		validatorKey("ethereum_validator_status", 0, `status="active_slashed"`): 1,
		`ethereum_network_slashings_total{network="sim",kind="proposer"}`:       1,
		validatorKey("ethereum_validator_attestations_expected_total", 9):       2, // epochs 8 and 9
		validatorKey("ethereum_validator_exit_epoch", 9):                        10,
		validatorKey("ethereum_validator_attestations_overdue", 9):              0,
		validatorKey("ethereum_validator_missed_attestation_streak", 9):         0,
	})
}

// A key that the chain does not know has no series but its own, and gets them when it
// becomes known.
func TestAnUnknownKeyBecomesKnown(t *testing.T) {
	sim := simulate(t, quiet(64, chainsim.Deposit{Count: 1, Epoch: 6, Activation: 12}))
	key := pubkeyString(sim.chain.Pubkey(64))
	c := sim.collector(testOptions{validators: []string{key}, window: fourEpochs})
	sim.to(40)
	unknown := groupSeries("ethereum_group_validators", `,status="unknown"`)
	expect(t, samples(t, c), map[string]float64{
		unknown: 1,
		`ethereum_validator_info{network="sim",validator_index="",pubkey="` + key + `",withdrawal_type="unknown"}`: 1,
		validatorKey("ethereum_validator_balance_gwei", 64):                                                        absent,
	})
	sim.to(60)
	expect(t, samples(t, c), map[string]float64{
		unknown: absent,
		validatorKey("ethereum_validator_activation_epoch", 64):     12,
		validatorKey("ethereum_validator_attestations_overdue", 64): 0,
	})
	for slot := duty.Slot(60); slot <= 138; slot++ {
		sim.to(slot)
		samples(t, c)
	}
	expect(t, samples(t, c), map[string]float64{
		validatorKey("ethereum_validator_attestations_expected_total", 64): 4, // epochs 12..15
		validatorKey("ethereum_validator_attestations_included_total", 64): 4,
	})
}

// Streaks count back over the border of a window, and no further than eight epochs.
func TestAStreakCrossesTheWindowsBorder(t *testing.T) {
	sim := simulate(t, quiet(64,
		chainsim.MissAttestation{Validators: chainsim.Indices(5)},
		chainsim.MissAttestation{Validators: chainsim.Indices(6), Slots: chainsim.Slots{From: 7 * 8, To: 10 * 8}}))
	sim.to(98) // newest settled epoch: 10
	c := sim.collector(testOptions{validators: []string{"5,6,7"}, window: fourEpochs})
	expect(t, samples(t, c), map[string]float64{
		validatorKey("ethereum_validator_missed_attestation_streak", 5): 8,
		validatorKey("ethereum_validator_missed_attestation_streak", 6): 0, // attested in epoch 10 again
		validatorKey("ethereum_validator_missed_attestation_streak", 7): 0,
	})
	sim2 := simulate(t, quiet(64, chainsim.MissAttestation{Validators: chainsim.Indices(6), Slots: chainsim.Slots{From: 7 * 8}}))
	sim2.to(98)
	expect(t, samples(t, sim2.collector(testOptions{validators: []string{"6"}, window: fourEpochs})), map[string]float64{
		validatorKey("ethereum_validator_missed_attestation_streak", 6): 4, // epochs 7 to 10; window from 8
	})
}

// A group takes a new member's events from the next settled epoch on and keeps those
// of a member that left; a validator's own series need nothing.
func TestAChangedWatchListLetsNoGroupFall(t *testing.T) {
	sim := simulate(t, quiet(64))
	path := writeFile(t, "watch.yml", "validators:\n  - indices: \"0-3\"\n    labels: {operator: acme}\n")
	c := sim.collector(testOptions{watchFile: path, window: fourEpochs})
	acme := `ethereum_group_attestations_expected_total{network="sim",group_by="operator",group="acme"}`
	sim.to(100) // epochs 8..10 settled: S(10) = 98
	expect(t, samples(t, c), map[string]float64{acme: 3 * 4})

	later := time.Now().Add(time.Hour)
	if err := os.WriteFile(path, []byte("validators:\n  - indices: \"2-9\"\n    labels: {operator: acme}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	before := sim.node.Requests()["blocks"].Requests
	expect(t, samples(t, c), map[string]float64{
		acme: 3 * 4, // what has settled stands
		validatorKey("ethereum_validator_attestations_expected_total", 0): absent,
		validatorKey("ethereum_validator_attestations_expected_total", 2): 3,
		validatorKey("ethereum_validator_attestations_expected_total", 9): 3, // read back
	})
	if after := sim.node.Requests()["blocks"].Requests; after != before {
		t.Errorf("%d blocks were read again, want them from the cache", after-before)
	}
	if hits := selfSamples(t, c)["validator_exporter_cache_hits_total{blocks}"]; hits == 0 {
		t.Error("no hit in the cache of blocks")
	}
	sim.to(106) // epoch 11 settles with eight members
	expect(t, samples(t, c), map[string]float64{acme: 3*4 + 8})
	sim.to(138) // window 12..15: the new list from the start
	expect(t, samples(t, c), map[string]float64{acme: 4 * 8})
}

// A bad file keeps the old list and says so.
func TestABadWatchFileKeepsTheOldList(t *testing.T) {
	sim := simulate(t, quiet(64))
	path := writeFile(t, "watch.yml", "validators:\n  - index: 3\n")
	c := sim.collector(testOptions{watchFile: path, window: fourEpochs})
	sim.to(100)
	samples(t, c)
	later := time.Now().Add(time.Hour)
	if err := os.WriteFile(path, []byte("validators:\n  - index: three\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
	expect(t, samples(t, c), map[string]float64{validatorKey("ethereum_validator_attestations_expected_total", 3): 3})
	expect(t, selfSamples(t, c), map[string]float64{"validator_exporter_config_reload_success": 0})
}

// selfSamples are the exporter's own metrics by name, label values in braces.
func selfSamples(t *testing.T, c *Collector) map[string]float64 {
	t.Helper()
	families, err := c.Gatherer().Gather()
	if err != nil {
		t.Fatal(err)
	}
	out := map[string]float64{}
	for _, f := range families {
		for _, m := range f.GetMetric() {
			key := f.GetName()
			var values []string
			for _, l := range m.GetLabel() {
				values = append(values, l.GetValue())
			}
			if len(values) > 0 {
				key += "{" + strings.Join(values, ",") + "}"
			}
			out[key] = m.GetGauge().GetValue() + m.GetCounter().GetValue()
		}
	}
	return out
}

// An optimistic head is shown, and it is said that it is one.
func TestAnOptimisticHeadIsShownAndSaid(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.node.Set(chainsim.NodeOptions{Optimistic: true, ELOffline: true})
	c := sim.collector(testOptions{validators: []string{"3"}})
	sim.to(50)
	expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 50})
	expect(t, selfSamples(t, c), map[string]float64{
		"ethereum_beacon_up{" + sim.url + "}":                1,
		"ethereum_beacon_optimistic{" + sim.url + "}":        1,
		"ethereum_beacon_execution_offline{" + sim.url + "}": 1,
	})
}

// A scrape of an unchanged head costs a look at the node and its head; and nothing
// runs when nobody scrapes.
func TestAnUnchangedHeadCostsALook(t *testing.T) {
	sim := simulate(t, quiet(64))
	c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
	sim.to(100)
	samples(t, c)
	before := sim.node.Requests()
	samples(t, c)
	for operation, n := range sim.node.Requests() {
		asked := n.Requests - before[operation].Requests
		if limit := map[string]uint64{"node": 2, "headers": 1}[operation]; asked > limit {
			t.Errorf("%d requests for %s at an unchanged head, want at most %d", asked, operation, limit)
		}
	}
	before = sim.node.Requests()
	time.Sleep(300 * time.Millisecond)
	if after := sim.node.Requests(); fmt.Sprint(after) != fmt.Sprint(before) {
		t.Errorf("requests went on without a scrape: %v, then %v", before, after)
	}
}

// Broken answers change nothing that is shown; the next good answer does.
func TestBrokenAnswersKeepTheLastSnapshot(t *testing.T) {
	for name, fault := range map[string]chainsim.NodeOptions{
		"truncated":        {Truncate: true},
		"aborted":          {Abort: true},
		"wrong committees": {WrongEpochCommittees: true},
		"blocks as JSON":   {JSONOnlyBlocks: true},
		"failing":          {FailStatus: 500},
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulate(t, quiet(64))
			c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs, timeout: time.Second})
			sim.to(100)
			want := chainTextOf(t, c)
			sim.node.Set(fault)
			sim.to(125) // two epochs on: nothing of it is known yet
			if got := chainTextOf(t, c); got != want {
				t.Errorf("the snapshot changed:\n%s", firstDifference(got, want))
			}
			sim.node.Set(chainsim.NodeOptions{})
			expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: 125})
		})
	}
}

func chainTextOf(t *testing.T, c *Collector) string {
	t.Helper()
	samples(t, c)
	return chainText(c)
}

// Two nodes that follow different forks: what is shown is always of one of them.
func TestNodesOnDifferentForksAreNotMixed(t *testing.T) {
	sim := simulate(t, quiet(64))
	second := sim.chain.Node(chainsim.NodeOptions{OtherFork: 3})
	server := httptest.NewServer(second)
	t.Cleanup(server.Close)
	c := sim.collector(testOptions{urls: []string{sim.url, server.URL}, validators: allValidators(64), window: fourEpochs})
	for slot := duty.Slot(60); slot <= 130; slot++ {
		sim.to(slot)
		samples(t, c)
	}
	second.Set(chainsim.NodeOptions{})
	sums := samples(t, c)
	s := c.snapshot.Load()
	if s.slot != 130 {
		t.Fatalf("the snapshot stands at slot %d of 130", s.slot)
	}
	fresh := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
	expect(t, sums, samples(t, fresh))
}

// A reorg that reaches back over settled epochs has them accounted again: what the
// abandoned fork said is never shown of the new head.
func TestADeepReorgAccountsSettledEpochsAgain(t *testing.T) {
	sim := simulate(t, quiet(64, chainsim.Reorg{At: 90, Until: 116}))
	c := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
	for slot := duty.Slot(80); slot <= 150; slot++ {
		sim.to(slot)
		got := chainTextOf(t, c)
		if slot < 116 || slot%3 != 0 {
			continue
		}
		fresh := sim.collector(testOptions{validators: allValidators(64), window: fourEpochs})
		if want := chainTextOf(t, fresh); got != want {
			t.Fatalf("slot %d: differs from a replica that never saw the abandoned fork:\n%s", slot, firstDifference(got, want))
		}
	}
	if n := selfReorgs(c); n != 1 {
		t.Errorf("%v reorgs observed, want 1", n)
	}
}

func selfReorgs(c *Collector) float64 {
	return pageSamples(c)[`ethereum_chain_reorgs_observed_total{network="sim"}`]
}

// Until when proposers are known is said, so that nobody takes silence for a promise: to
// the end of the head's epoch, and from Fulu on of the next.
func TestItIsSaidUntilWhenProposersAreKnown(t *testing.T) {
	for name, epochs := range map[string]duty.Slot{"before Fulu": 1, "from Fulu on": 2} {
		t.Run(name, func(t *testing.T) {
			cfg := quiet(64)
			cfg.Preset.FuluForkEpoch = duty.FarFutureEpoch
			if epochs == 2 {
				cfg.Preset.FuluForkEpoch = 0
			}
			sim := simulate(t, cfg)
			c := sim.collector(testOptions{validators: []string{"3"}, window: fourEpochs})
			sim.to(100) // in epoch 12
			const until = `ethereum_chain_proposers_known_until_timestamp_seconds{network="sim"}`
			expect(t, samples(t, c), map[string]float64{until: float64(sim.chain.Spec().SlotStart((12 + epochs) * 8).Unix())})
		})
	}
}
