package collector

import (
	"bytes"
	"fmt"
	"io"
	"log/slog"
	"maps"
	"net/http"
	"os"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// A list with one validator more on a node that keeps few committees: what is counted
// already stays, for everybody but the new one.
func TestANewValidatorTakesNothingFromTheOthersOnAPrunedNode(t *testing.T) {
	sim := simulate(t, quiet(64))
	sim.node.Set(chainsim.NodeOptions{PrunedCommittees: true})
	path := writeFile(t, "watch.yml", "validators:\n  - indices: \"0-3\"\n    labels: {operator: acme}\n")
	c := sim.collector(testOptions{watchFile: path, window: fourEpochs, completed: 1})
	for slot := duty.Slot(1); slot <= 100; slot++ {
		sim.to(slot)
		samples(t, c)
	}
	const acme = `{network="sim",group_by="operator",group="acme"`
	want := map[string]float64{
		validatorKey("ethereum_validator_attestations_expected_total", 0): 3, // epochs 8 to 10
		"ethereum_group_attestations_expected_total" + acme + "}":         12,
		validatorKey("ethereum_validator_missed_attestation_streak", 0):   0,
	}
	expect(t, samples(t, c), want)
	rewrite(t, path, "validators:\n  - indices: \"0-4\"\n    labels: {operator: acme}\n")
	finished := map[string]float64{
		validatorKey("ethereum_validator_window_attestations_expected", 0, `window="`+windowOf(sim, 4)+`"`): 4,
		"ethereum_group_window_attestations_expected" + acme + `,window="` + windowOf(sim, 4) + `"}`:        16,
		`ethereum_network_window_attestations_expected{network="sim",window="` + windowOf(sim, 4) + `"}`:    256,
		validatorKey("ethereum_validator_window_attestations_expected", 4, `window="`+windowOf(sim, 4)+`"`): absent,
	}
	want[validatorKey("ethereum_validator_attestations_expected_total", 4)] = absent
	want[validatorKey("ethereum_validator_missed_attestation_streak", 4)] = absent
	for slot := duty.Slot(100); slot <= 105; slot++ { // more than a minute
		sim.to(slot)
		got := samples(t, c)
		expect(t, got, want)
		expect(t, got, finished)
		expect(t, selfSamples(t, c), map[string]float64{"validator_exporter_window_complete": 1})
	}
	for slot := duty.Slot(106); slot <= 138; slot++ {
		sim.to(slot)
		samples(t, c)
	}
	expect(t, samples(t, c), map[string]float64{
		validatorKey("ethereum_validator_attestations_expected_total", 0):                                   4, // window 12..15
		validatorKey("ethereum_validator_attestations_expected_total", 4):                                   4,
		"ethereum_group_attestations_expected_total" + acme + "}":                                           20,
		validatorKey("ethereum_validator_window_attestations_expected", 0, `window="`+windowOf(sim, 8)+`"`): 4,
		validatorKey("ethereum_validator_window_attestations_expected", 4, `window="`+windowOf(sim, 8)+`"`): absent,
		"ethereum_group_window_attestations_expected" + acme + `,window="` + windowOf(sim, 8) + `"}`:        3*4 + 5,
	})
}

// windowSamples are the samples of finished windows.
func windowSamples(t testing.TB, c *Collector) map[string]float64 {
	t.Helper()
	got := samples(t, c)
	maps.DeleteFunc(got, func(key string, _ float64) bool { return !strings.Contains(key, `,window="`) })
	return got
}

// What has been said of a finished window stays said: another list changes neither a
// group's totals nor its balance, and a group that was not on the list then has neither.
func TestAFinishedWindowOutlivesAChangedList(t *testing.T) {
	sim := simulate(t, quiet(64))
	path := writeFile(t, "watch.yml", "validators:\n  - indices: \"0-3\"\n    labels: {client: a, operator: acme}\n")
	c := sim.collector(testOptions{watchFile: path, window: fourEpochs, completed: 1})
	sim.to(100)
	before := windowSamples(t, c)
	acme := `ethereum_group_window_balance_gwei{network="sim",group_by="operator",group="acme",window="` + windowOf(sim, 4) + `"}`
	if before[acme] < 4*31e9 || before[acme] > 4*33e9 {
		t.Fatalf("%s is %v, want that of 4 validators", acme, before[acme])
	}
	for name, list := range map[string]string{
		"one more":  "validators:\n  - indices: \"0-4\"\n    labels: {client: a, operator: acme}\n",
		"one less":  "validators:\n  - indices: \"0-2\"\n    labels: {client: a, operator: acme}\n",
		"a renamed": "validators:\n  - indices: \"0-3\"\n    labels: {client: b, operator: acme}\n",
	} {
		rewrite(t, path, list)
		for key, value := range windowSamples(t, c) {
			was, there := before[key]
			switch {
			case there && was != value:
				t.Errorf("%s: %s is %v, was %v", name, key, value, was)
			case !there && !strings.Contains(key, `validator_index="4"`):
				t.Errorf("%s: %s is new with %v", name, key, value)
			}
		}
		if got := windowSamples(t, c)[acme]; got != before[acme] {
			t.Errorf("%s: %s is %v, was %v", name, acme, got, before[acme])
		}
	}
}

// refusing is a node that refuses the validators of one epoch's first state while told so.
func refusing(t *testing.T, sim *simulation, epoch string) (url string, refuse *atomic.Bool) {
	t.Helper()
	refuse = new(atomic.Bool)
	refuse.Store(true)
	return between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
		if !refuse.Load() || !strings.Contains(r.URL.Path, "/states/"+epoch+"/validators") {
			return false
		}
		w.WriteHeader(http.StatusNotFound)
		return true
	}), refuse
}

// A failed look at a window's first state is repeated before anything goes by it.
func TestAFirstStateThatFailsIsAskedForAgain(t *testing.T) {
	for _, served := range []duty.Slot{105, 113} { // epoch 12 settles at slot 114
		t.Run(fmt.Sprint("served at slot ", served), func(t *testing.T) { askedAgain(t, served) })
	}
}

func askedAgain(t *testing.T, served duty.Slot) {
	cfg := quiet(64, chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{9}, Epoch: 13, Increments: 30})
	sim := simulate(t, cfg)
	url, refuse := refusing(t, sim, "96") // of epoch 12
	options := testOptions{urls: []string{url}, validators: allValidators(64), window: fourEpochs, completed: 2}
	c := sim.collector(options)
	for slot := duty.Slot(90); slot <= 180; slot++ {
		if slot == served {
			refuse.Store(false)
		}
		sim.to(slot)
		got := chainTextOf(t, c)
		if slot >= 116 && slot%8 == 4 {
			fresh := sim.collector(options)
			if want := chainTextOf(t, fresh); got != want {
				t.Fatalf("slot %d: differs from a fresh replica:\n%s", slot, firstDifference(got, want))
			}
			expect(t, selfSamples(t, c), map[string]float64{"validator_exporter_window_stake_anchored": 1})
		}
	}
	key := validatorKey("ethereum_validator_window_attestation_stake_possible_gwei", 9, `window="`+windowOf(sim, 12)+`"`)
	expect(t, samples(t, c), map[string]float64{key: 4 * 32e9})
}

// Where it works only later, counters stay with what they began with, for they must not
// fall; the finished window is what every replica says.
func TestAFirstStateThatComesLateMakesTheFinishedWindowExact(t *testing.T) {
	sim := simulate(t, quiet(64, chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{9}, Epoch: 13, Increments: 30}))
	window := duty.WindowConfig{Epochs: 12, ResetSlots: 8}
	url, refuse := refusing(t, sim, "96")
	options := testOptions{urls: []string{url}, validators: allValidators(64), window: window, completed: 1}
	sim.to(13*8 + 20)
	c := sim.collector(options)
	possible := validatorKey("ethereum_validator_attestation_stake_possible_gwei_total", 9)
	last := 0.0
	for slot := duty.Slot(13*8 + 20); slot <= 207; slot++ { // the window's final total stands until 210
		if slot == 140 {
			refuse.Store(false)
		}
		sim.to(slot)
		got := samples(t, c)[possible]
		if got < last {
			t.Fatalf("slot %d: %s fell from %v to %v", slot, possible, last, got)
		}
		last = got
	}
	if last != 12*30e9 {
		t.Errorf("%s is %v, want 12 times 30 ETH", possible, last)
	}
	expect(t, selfSamples(t, c), map[string]float64{"validator_exporter_window_stake_anchored": 0})
	sim.to(27 * 8)
	got := windowSamples(t, c)
	expect(t, got, map[string]float64{
		validatorKey("ethereum_validator_window_attestation_stake_possible_gwei", 9, `window="`+windowOf(sim, 12)+`"`): 12 * 32e9,
	})
	want := windowSamples(t, sim.collector(options))
	maps.DeleteFunc(want, func(key string, _ float64) bool { return strings.HasPrefix(key, "ethereum_network_") })
	if len(want) == 0 {
		t.Fatal("no finished window")
	}
	expect(t, got, want)
}

// Nor does it hold anything up when a node breaks down over it, right before counters go by
// it: there are records that stand in. The head goes on also without a record, and then the
// window lacks that epoch until one is given.
func TestAFirstStateThatFailsHoldsUpNoHead(t *testing.T) {
	for name, list := range map[string]string{
		"stood in for":       "validators:\n  - indices: \"0-3\"\n",
		"a validator is new": "validators:\n  - indices: \"0-4\"\n",
	} {
		t.Run(name, func(t *testing.T) {
			sim := simulate(t, quiet(64))
			var status atomic.Int64
			status.Store(http.StatusNotFound)
			url := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
				if status.Load() == 0 || !strings.Contains(r.URL.Path, "/states/96/validators") { // of epoch 12
					return false
				}
				w.WriteHeader(int(status.Load()))
				return true
			})
			path := writeFile(t, "watch.yml", "validators:\n  - indices: \"0-3\"\n")
			options := testOptions{urls: []string{url}, watchFile: path, window: fourEpochs, stake: StakeNever}
			c := sim.collector(options)
			for slot := duty.Slot(90); slot <= 126; slot++ { // epoch 12 settles at slot 114
				if slot == 112 {
					rewrite(t, path, list)
				}
				if slot == 105 {
					status.Store(http.StatusServiceUnavailable)
				}
				sim.to(slot)
				expect(t, samples(t, c), map[string]float64{`ethereum_chain_head_slot{network="sim"}`: float64(slot)})
				if why := c.self.lastError(); why != "" {
					t.Fatalf("slot %d: the head is held up: %s", slot, why)
				}
			}
			status.Store(0)
			sim.to(127)
			got := chainTextOf(t, c)
			if name == "stood in for" {
				expect(t, pageSamples(c), map[string]float64{validatorKey("ethereum_validator_attestations_expected_total", 3): 2}) // epochs 12 and 13
				return
			}
			if want := chainTextOf(t, sim.collector(options)); got != want {
				t.Errorf("differs from a replica that was given it at once:\n%s", firstDifference(got, want))
			}
		})
	}
}

// What is learned of a first state is shown also where the epoch then fails for another reason.
func TestWhatIsLearnedOfAFirstStateIsShown(t *testing.T) {
	sim := simulate(t, quiet(64))
	url, refuse := refusing(t, sim, "96")
	c := sim.collector(testOptions{urls: []string{url}, validators: []string{"9"}, window: fourEpochs})
	sim.to(96)
	samples(t, c)
	refuse.Store(false)
	before := c.state.accounted
	if _, err := c.state.ensureAnchor(t.Context(), c, 12, 64); err != nil {
		t.Fatal(err)
	}
	if !c.state.unpublished || c.state.accounted == before {
		t.Error("nothing tells that there is something to show")
	}
}

// The whole network's balances are large: they are asked for until counters go by the window
// without them, and the log tells once.
func TestTheNetworksBalancesAreNotAskedForInVain(t *testing.T) {
	sim := simulate(t, quiet(64))
	var asked, late atomic.Int64
	url := between(t, sim.node, func(w http.ResponseWriter, r *http.Request) bool {
		if !strings.Contains(r.URL.Path, "/states/96/validators") {
			return false
		}
		body, _ := io.ReadAll(r.Body)
		if !strings.Contains(string(body), "statuses") && !strings.Contains(r.URL.RawQuery, "status") {
			r.Body = io.NopCloser(bytes.NewReader(body))
			return false
		}
		asked.Add(1)
		if sim.slot.Load() > 114 { // epoch 12 settles
			late.Add(1)
		}
		w.WriteHeader(http.StatusServiceUnavailable)
		return true
	})
	var log bytes.Buffer
	c := sim.collector(testOptions{urls: []string{url}, validators: []string{"9"}, window: duty.WindowConfig{Epochs: 12, ResetSlots: 8}, logger: slog.New(slog.NewTextHandler(&log, nil))})
	for slot := duty.Slot(90); slot <= 186; slot++ { // the last of them more than an hour later
		sim.to(slot)
		samples(t, c)
	}
	if asked.Load() < 2 || late.Load() > 0 {
		t.Errorf("asked %d times, %d of them in vain", asked.Load(), late.Load())
	}
	if n := strings.Count(log.String(), "Could not read the network's effective balances"); n != 1 {
		t.Errorf("the log tells %d times", n)
	}
}

// Without it to the end, stake is left out, and nothing else.
func TestAFirstStateThatNeverComesTakesOnlyTheStake(t *testing.T) {
	sim := simulate(t, quiet(64))
	url, _ := refusing(t, sim, "96")
	c := sim.collector(testOptions{urls: []string{url}, validators: []string{"9"}, window: fourEpochs, completed: 2})
	for slot := duty.Slot(90); slot <= 186; slot++ {
		sim.to(slot)
		samples(t, c)
	}
	of := func(first duty.Epoch) string { return `window="` + windowOf(sim, first) + `"` }
	expect(t, samples(t, c), map[string]float64{
		validatorKey("ethereum_validator_window_attestation_stake_possible_gwei", 9, of(12)): absent,
		groupSeries("ethereum_group_window_attestation_stake_possible_gwei", ","+of(12)):     absent,
		validatorKey("ethereum_validator_window_attestations_expected", 9, of(12)):           4,
		groupSeries("ethereum_group_window_attestations_expected", ","+of(12)):               4,
		validatorKey("ethereum_validator_window_attestation_stake_possible_gwei", 9, of(16)): 4 * 32e9,
		groupSeries("ethereum_group_window_attestation_stake_possible_gwei", ","+of(16)):     4 * 32e9,
		`ethereum_network_window_attestations_expected{network="sim",` + of(12) + `}`:        256,
	})
}

// rewrite changes a watch list so that the next scrape sees it.
func rewrite(t testing.TB, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	later := time.Now().Add(time.Hour)
	if err := os.Chtimes(path, later, later); err != nil {
		t.Fatal(err)
	}
}
