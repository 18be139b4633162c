package duty

import (
	"math/rand/v2"
	"testing"
)

func TestAnEpochSettlesTwoSlotsIntoTheOneAfterNext(t *testing.T) {
	spec := mainnet()
	for _, tc := range []struct {
		head Slot
		want Epoch
		ok   bool
	}{
		{0, 0, false}, {65, 0, false}, {66, 0, true}, {97, 0, true}, {98, 1, true}, {129, 1, true}, {130, 2, true},
	} {
		if got, ok := SettledEpoch(spec, tc.head); got != tc.want || ok != tc.ok {
			t.Errorf("head %d: got %d, %v, want %d, %v", tc.head, got, ok, tc.want, tc.ok)
		}
	}
	for epoch := range Epoch(100) {
		at := SettlesAt(spec, epoch)
		if got, ok := SettledEpoch(spec, at); got != epoch || !ok {
			t.Errorf("epoch %d settles at %d, where %d is the newest settled one", epoch, at, got)
		}
	}
}

func TestWindowsMustHaveTimeForTheirReset(t *testing.T) {
	for _, tc := range []struct {
		window WindowConfig
		spec   *Spec
		ok     bool
	}{
		{WindowConfig{15, 8}, mainnet(), true},
		{WindowConfig{15, 8}, minimal(), true},
		{WindowConfig{4, 8}, minimal(), true},
		{WindowConfig{3, 8}, minimal(), false},
		{WindowConfig{2, 8}, gnosis(), true},
		{WindowConfig{1, 8}, mainnet(), false},
		{WindowConfig{0, 8}, mainnet(), false},
		{WindowConfig{15, 0}, mainnet(), false},
		{WindowConfig{15, 120}, mainnet(), true},
		{WindowConfig{15, 121}, mainnet(), false},
		{WindowConfig{15, 1<<64 - 1}, mainnet(), false},
		{WindowConfig{1<<64 - 1, 8}, mainnet(), false},
	} {
		if err := tc.window.Validate(tc.spec); (err == nil) != tc.ok {
			t.Errorf("%+v with %d slots per epoch: got %v", tc.window, tc.spec.SlotsPerEpoch, err)
		}
	}
}

// A window of 4 epochs of 8 slots and 8 reset slots: S(e) = 8e+18, so window 4..7
// begins to settle at slot 50, and the one before is final from slot 42 on.
func TestCountersFollowTheWindow(t *testing.T) {
	window, spec := WindowConfig{Epochs: 4, ResetSlots: 8}, minimal()
	through := func(from, to Slot) (slots []Slot) {
		for ; from <= to; from++ {
			slots = append(slots, from)
		}
		return slots
	}
	for _, tc := range []struct {
		name  string
		empty []Slot
		want  map[Slot]Shown // by head
	}{
		{"the first window has none before it", nil, map[Slot]Shown{
			18: {0, 0, true}, 25: {0, 0, true}, 26: {0, 1, false}, 41: {0, 2, false}, 42: {0, 3, false}, 49: {0, 3, false},
		}},
		{"zeros while the window's first epoch is new", nil, map[Slot]Shown{
			49: {0, 3, false}, 50: {4, 4, true}, 57: {4, 4, true}, 58: {4, 5, false}, 65: {4, 5, false}, 81: {4, 7, false}, 82: {8, 8, true},
		}},
		{"the first block of the chain's first window is late", through(18, 30), map[Slot]Shown{
			31: {0, 1, true}, 38: {0, 2, true}, 39: {0, 2, false},
		}},
		{"zeros last from a block on", []Slot{50, 51, 52}, map[Slot]Shown{
			49: {0, 3, false}, 53: {4, 4, true}, 60: {4, 5, true}, 61: {4, 5, false},
		}},
		{"a final total that came late is held", through(40, 48), map[Slot]Shown{
			39: {0, 2, false}, 49: {0, 3, false}, 50: {0, 3, false}, 56: {0, 3, false}, 57: {4, 4, true}, 64: {4, 5, true}, 65: {4, 5, false},
		}},
		{"a skipped border shows the total before it drops", through(40, 54), map[Slot]Shown{
			39: {0, 2, false}, 55: {0, 3, false}, 62: {0, 3, false}, 63: {4, 5, true}, 70: {4, 6, true}, 71: {4, 6, false},
		}},
		{"a hold that ends in a gap lasts to the next block", append(through(40, 54), 62, 63, 64), map[Slot]Shown{
			55: {0, 3, false}, 61: {0, 3, false}, 65: {4, 5, true}, 72: {4, 6, true}, 73: {4, 6, false},
		}},
	} {
		t.Run(tc.name, func(t *testing.T) {
			chain := chainTo(100, tc.empty...)
			if _, ok := window.Shown(spec, chain.at(17)); ok {
				t.Error("counters before the first epoch settles")
			}
			for head, want := range tc.want {
				if got, ok := window.Shown(spec, chain.at(head)); got != want || !ok {
					t.Errorf("head %d: got %+v, %v, want %+v", head, got, ok, want)
				}
			}
		})
	}
}

func TestDecidedFromIsPastTheWindowsFirstEpoch(t *testing.T) {
	window, spec := WindowConfig{Epochs: 4, ResetSlots: 8}, minimal()
	for head, want := range map[Slot]Slot{10: 10, 18: 18, 49: 18, 50: 42, 81: 42, 82: 74} {
		if got := window.DecidedFrom(spec, head); got != want {
			t.Errorf("head %d: got %d, want %d", head, got, want)
		}
	}
}

func TestLowestReachesBackForWindowsAndStreaks(t *testing.T) {
	window := WindowConfig{Epochs: 15, ResetSlots: 8}
	for _, tc := range []struct {
		shown     Shown
		completed int
		streak    uint64
		want      Epoch
	}{
		{Shown{Anchor: 30, Last: 40}, 0, 0, 30},
		{Shown{Anchor: 30, Last: 40}, 0, 8, 30},
		{Shown{Anchor: 30, Last: 30, Zero: true}, 0, 8, 23},
		{Shown{Anchor: 30, Last: 37}, 0, 8, 30},
		{Shown{Anchor: 30, Last: 36}, 0, 8, 29},
		{Shown{Anchor: 30, Last: 40}, 1, 8, 15},
		{Shown{Anchor: 30, Last: 40}, 2, 8, 0},
		{Shown{Anchor: 30, Last: 40}, 3, 8, 0},
		{Shown{Anchor: 0, Last: 3}, 1, 8, 0},
	} {
		if got := window.Lowest(tc.shown, tc.completed, tc.streak); got != tc.want {
			t.Errorf("%+v, %d windows, streak %d: got %d, want %d", tc.shown, tc.completed, tc.streak, got, tc.want)
		}
	}
}

// scraper is Prometheus: it samples a counter at some times, and adds up increases
// as increase() does.
type scraper struct {
	window WindowConfig
	spec   *Spec
	chain  *testChain
	// sums has the events of all epochs before each epoch.
	sums []uint64

	seen            bool
	value, increase uint64
}

// scrape samples the counter at a slot, and returns the events of all epochs that
// it has shown by then.
func (s *scraper) scrape(at Slot) (events uint64, ok bool) {
	shown, ok := s.window.Shown(s.spec, s.chain.at(at))
	if !ok {
		return 0, false
	}
	events = s.sums[shown.Last+1]
	value := events - s.sums[shown.Anchor]
	if shown.Zero {
		value, events = 0, s.sums[shown.Anchor]
	}
	switch {
	case !s.seen:
	case value < s.value:
		s.increase += value
	default:
		s.increase += value - s.value
	}
	s.seen, s.value = true, value
	return events, true
}

// The point of the window rules: whatever slots are empty and whenever Prometheus
// scrapes, the increase of a counter is the number of events.
func TestIncreaseIsTheSumOfEvents(t *testing.T) {
	for _, tc := range []struct {
		spec   *Spec
		window WindowConfig
	}{
		{minimal(), WindowConfig{4, 8}},
		{minimal(), WindowConfig{15, 8}},
		{minimal(), WindowConfig{2, 4}},
		{minimal(), WindowConfig{3, 1}},
		{gnosis(), WindowConfig{2, 8}},
		{gnosis(), WindowConfig{15, 8}},
		{mainnet(), WindowConfig{15, 8}},
		{mainnet(), WindowConfig{15, 120}},
		{mainnet(), WindowConfig{2, 3}},
	} {
		if err := tc.window.Validate(tc.spec); err != nil {
			t.Fatal(err)
		}
		slots := tc.window.Epochs * tc.spec.SlotsPerEpoch
		exactUpTo := int(slots/2 - tc.window.ResetSlots)
		for seed := range uint64(100) {
			random := rand.New(rand.NewPCG(seed, slots))
			simulate(t, random, tc.spec, tc.window, exactUpTo, true)
			// However long the outage, nothing is counted that did not happen.
			simulate(t, random, tc.spec, tc.window, 3*int(slots), false)
		}
	}
}

// simulate scrapes a random chain with runs of up to longest empty slots, most of
// them near the borders of windows.
func simulate(t *testing.T, random *rand.Rand, spec *Spec, window WindowConfig, longest int, exact bool) {
	t.Helper()
	const windows = 12
	s := scraper{window: window, spec: spec, sums: []uint64{0}}
	for range windows * window.Epochs {
		events := uint64(0)
		if random.IntN(3) > 0 {
			events = random.Uint64N(5)
		}
		s.sums = append(s.sums, s.sums[len(s.sums)-1]+events)
	}

	blocks := make([]bool, spec.FirstSlot(Epoch(windows*window.Epochs)))
	sparse := random.IntN(3)
	run, outage := 0, 0 // slots empty so far, and to be
	for slot := range blocks {
		border := uint64(slot)%(window.Epochs*spec.SlotsPerEpoch) < 4*spec.SlotsPerEpoch
		if outage == 0 && (random.IntN(40) == 0 || border && random.IntN(6) == 0) {
			if outage = longest; random.IntN(2) == 0 {
				outage = 1 + random.IntN(longest)
			}
		}
		blocks[slot] = slot == 0 || run >= longest || outage == 0 && random.IntN(4) >= sparse
		run, outage = run+1, max(outage-1, 0)
		if blocks[slot] {
			run, outage = 0, 0
		}
	}
	s.chain = chainOf(blocks)

	slow := random.IntN(2) == 0 // as slow as is allowed, all the time
	for at := Slot(random.Uint64N(window.ResetSlots)); int(at) < len(blocks); {
		if events, ok := s.scrape(at); ok && (s.increase > events || exact && s.increase != events) {
			t.Fatalf("%d slots per epoch, %+v, runs up to %d: increase %d at slot %d, events %d",
				spec.SlotsPerEpoch, window, longest, s.increase, at, events)
		}
		if at += Slot(window.ResetSlots); !slow {
			at -= Slot(random.Uint64N(window.ResetSlots))
		}
	}
}

// All pairs of outages around a border, for the tightest window there is.
func TestIncreaseIsExactForEveryPairOfOutages(t *testing.T) {
	spec, window := minimal(), WindowConfig{Epochs: 4, ResetSlots: 8}
	const longest = 4*8/2 - 8
	start, border := SettlesAt(spec, 4), SettlesAt(spec, 8)
	length := SettlesAt(spec, 13)
	var sums []uint64
	for e := range spec.EpochOf(length) {
		sums = append(sums, uint64(e)) // equal windows hide a reset best
	}
	for first := border - 8 - longest; first <= border+8; first++ {
		for firstLength := range Slot(longest + 1) {
			for second := first + firstLength + 1; second <= first+firstLength+24; second++ {
				for _, secondLength := range []Slot{1, 5, longest} {
					blocks := make([]bool, length)
					for slot := range length {
						blocks[slot] = slot-first >= firstLength && slot-second >= secondLength
					}
					s := scraper{window: window, spec: spec, chain: chainOf(blocks), sums: sums}
					for phase := range Slot(8) {
						s.seen, s.increase = false, 0
						before := uint64(0)
						for at := start + phase; at < length; at += 8 {
							events, _ := s.scrape(at)
							if at < start+8 {
								before = events
							}
							if s.increase != events-before {
								t.Fatalf("empty from %d for %d and from %d for %d, scraped at %d: increase %d, events %d",
									first, firstLength, second, secondLength, at, s.increase, events-before)
							}
						}
					}
				}
			}
		}
	}
}
