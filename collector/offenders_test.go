package collector

import (
	"fmt"
	"math"
	"strings"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

func offender(index duty.ValidatorIndex, offence string) string {
	return validatorKey("ethereum_validator_offender", index, fmt.Sprintf("offence=%q", offence))
}

func groupOffenders(offence string) string {
	return groupSeries("ethereum_group_offenders", fmt.Sprintf(",offence=%q", offence))
}

func streaksOf(atLeast int) string {
	return groupSeries("ethereum_group_missed_attestation_streaks", fmt.Sprintf(`,at_least="%d"`, atLeast))
}

// Fifteen have been down since genesis, five of them were slashed, and the list has
// room for four: who goes down now must be on it, whatever its place in the watch list.
func TestANewOutageIsListedHoweverManyAreOld(t *testing.T) {
	const fails = 60
	cfg := quiet(96,
		chainsim.Offline{Validators: chainsim.Range(0, 20)},
		chainsim.AttesterSlashing{Slot: 20, Validators: []duty.ValidatorIndex{15, 16, 17, 18, 19}},
		chainsim.Offline{Validators: chainsim.Indices(fails), Slots: chainsim.Slots{From: 96}}, // epoch 12
		// The one that is down for as long as can be counted has lost less than the others.
		chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{fails}, Epoch: 0, Increments: 40},
	)
	sim := simulate(t, cfg)
	c := sim.collector(testOptions{validators: allValidators(96), individual: 1, offenders: 4, window: fourEpochs})
	const streak = "missed_attestation_streak"
	for _, e := range []duty.Epoch{14, 18, 25} {
		sim.to(duty.Slot(8*(e+2) + 2)) // it settles
		want := min(8, float64(e-11))
		got := samples(t, c)
		expect(t, got, map[string]float64{
			offender(fails, streak): want,
			groupOffenders(streak):  16,
			streaksOf(2):            16,
			streaksOf(int(want)):    16,
			offender(15, streak):    absent,
		})
		listed := 0
		for key := range got {
			if strings.HasPrefix(key, "ethereum_validator_offender{") {
				listed++
			}
		}
		if listed != 4 {
			t.Errorf("epoch %d: %d offenders are listed, want 4", e, listed)
		}
	}
}

// A slashed validator is told until it has exited, and nothing else is told of it: it is
// to be stopped.
func TestASlashedValidatorIsAnOffenderUntilItHasExited(t *testing.T) {
	sim := simulate(t, quiet(64,
		chainsim.Offline{Validators: chainsim.Indices(0, 1)},
		chainsim.ProposerSlashing{Slot: 66, Validator: 0})) // in epoch 8; it exits five epochs later
	c := sim.collector(testOptions{validators: allValidators(64), individual: 1, window: fourEpochs})
	sim.to(98)
	got := samples(t, c)
	const overdueOfGroup = `ethereum_group_attestations_overdue{network="sim",group_by="all",group="all"}`
	expect(t, got, map[string]float64{
		offender(0, "slashed"):                   1,
		offender(0, "missed_attestation_streak"): absent,
		offender(1, "missed_attestation_streak"): 8,
		groupOffenders("slashed"):                1,
		streaksOf(8):                             1,
	})
	if n := got[overdueOfGroup]; n > 2 {
		t.Errorf("the group has %v attestations overdue, want those of validator 1 alone", n)
	}
	for e := duty.Epoch(13); e < 16; e++ {
		sim.to(duty.Slot(8 * e))
		samples(t, c)
	}
	expect(t, samples(t, c), map[string]float64{
		offender(0, "slashed"):                                                    absent,
		groupOffenders("slashed"):                                                 0,
		groupSeries("ethereum_group_slashed", ""):                                 1,
		groupSeries("ethereum_group_validators", `,status="exited_slashed"`):      1,
		groupSeries("ethereum_group_missed_attestation_streak", ""):               8,
		groupSeries("ethereum_group_missed_attestation_streaks", `,at_least="8"`): 1,
	})
}

// What groups count is what the chain did, however few are listed, and the same for a
// replica that has just started.
func TestGroupsCountEveryOffender(t *testing.T) {
	cfg := short(96)
	cfg.Noise = &chainsim.Noise{Miss: 0.3, EmptySlot: 0.1, SyncMiss: 0.2}
	sim := simulate(t, cfg)
	steady := sim.collector(testOptions{validators: allValidators(96), individual: 1, offenders: 2, window: fourEpochs})
	for slot := duty.Slot(60); slot <= 140; slot += 5 {
		sim.to(slot)
		got := samples(t, steady)
		s := steady.snapshot.Load()
		truth, spec := sim.chain.Truth(), sim.chain.Spec()
		streaks := make(map[duty.ValidatorIndex]int)
		broken := make(map[duty.ValidatorIndex]bool)
		for n := range duty.Epoch(8) {
			for _, a := range truth.Attestations(s.settled - min(n, s.settled)) {
				if n > s.settled {
					continue
				}
				broken[a.Validator] = broken[a.Validator] || a.Included
				if !broken[a.Validator] {
					streaks[a.Validator]++
				}
			}
		}
		want := map[string]float64{}
		for n := 2; n <= 8; n++ {
			want[streaksOf(n)] = 0
		}
		want[groupOffenders("missed_attestation_streak")] = float64(len(streaks))
		for _, streak := range streaks {
			for n := 2; n <= streak; n++ {
				want[streaksOf(n)]++
			}
		}
		missed := map[duty.ValidatorIndex]bool{}
		for slot := spec.FirstSlot(s.shown.Anchor); slot <= s.slot; slot++ {
			settled := spec.EpochOf(slot) <= s.settled
			if settled && (s.shown.Zero || spec.EpochOf(slot) > s.shown.Last) {
				continue
			}
			p := truth.Proposals(spec.EpochOf(slot))[slot-spec.FirstSlot(spec.EpochOf(slot))]
			missed[p.Proposer] = missed[p.Proposer] || !p.Made
		}
		blocks := 0.0
		for _, m := range missed {
			blocks += boolValue(m)
		}
		want[groupOffenders("blocks_missed")] = blocks
		expect(t, got, want)

		fresh := sim.collector(testOptions{validators: allValidators(96), individual: 1, offenders: 2, window: fourEpochs})
		samples(t, fresh)
		if got, want := chainText(fresh), chainText(steady); got != want {
			t.Fatalf("slot %d: a fresh replica differs:\n%s", slot, firstDifference(got, want))
		}
		fresh.Close()
	}
}

// A streak that is not known is counted as no streak at all: the count is absent.
func TestOffendersAreNotCountedBeforeTheyAreKnown(t *testing.T) {
	sim := simulate(t, quiet(64, chainsim.Offline{Validators: chainsim.Indices(1)}))
	c := sim.collector(testOptions{validators: allValidators(64), individual: 1, window: fourEpochs})
	sim.to(5) // nothing has settled
	expect(t, samples(t, c), map[string]float64{
		groupOffenders("missed_attestation_streak"): math.NaN(),
		groupOffenders("blocks_missed"):             math.NaN(),
		groupOffenders("slashed"):                   0,
		streaksOf(3):                                math.NaN(),
	})
}

// No kind of offence fills the list while another has somebody on it, and what is worse
// comes first.
func TestKindsOfOffencesTakeTurns(t *testing.T) {
	some := func(kind, n int) (out []offence) {
		for i := range n {
			out = append(out, offence{kind: kind, amount: 1, ordinal: i, order: [2]int64{int64(n - i)}})
		}
		return out
	}
	var kinds [offenceKinds][]offence
	kinds[missedStreak], kinds[slashed], kinds[blocksMissed] = some(missedStreak, 100), some(slashed, 100), some(blocksMissed, 1)
	var got []string
	for _, o := range inTurn(kinds, 7) {
		got = append(got, fmt.Sprintf("%d/%d", o.kind, o.ordinal))
	}
	want := fmt.Sprintf("%[1]d/99 %[2]d/99 %[3]d/0 %[1]d/98 %[2]d/98 %[1]d/97 %[2]d/97", missedStreak, slashed, blocksMissed)
	if strings.Join(got, " ") != want {
		t.Errorf("got %s, want %s", strings.Join(got, " "), want)
	}
}
