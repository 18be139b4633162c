package exposition

import (
	"math"
	"math/rand/v2"
	"strconv"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
)

var (
	gauge   = catalog.Family{Name: "test_value", Type: catalog.Gauge, Help: `A "quoted" help with a \ and no end.`}
	counter = catalog.Family{Name: "test_events_total", Type: catalog.Counter, Help: "Events."}
)

func TestLabels(t *testing.T) {
	for _, test := range []struct {
		pairs []string
		want  string
	}{
		{nil, ``},
		{[]string{"network", "mainnet"}, `network="mainnet"`},
		{[]string{"network", "mainnet", "validator_index", "0"}, `network="mainnet",validator_index="0"`},
		{[]string{"a", ""}, `a=""`},
		{[]string{"a", "one\"two\\three\nfour"}, `a="one\"two\\three\nfour"`},
		{[]string{"a", "Zürich, 東京 {}"}, `a="Zürich, 東京 {}"`},
		{[]string{"a", "bad\xffbyte"}, `a="bad` + "\uFFFD" + `byte"`},
	} {
		if got := Labels(test.pairs...); got != test.want {
			t.Errorf("Labels(%q) = %s, want %s", test.pairs, got, test.want)
		}
	}
}

func TestValues(t *testing.T) {
	for _, test := range []struct {
		value float64
		want  string
	}{
		{0, "0"},
		{1, "1"},
		{-3, "-3"},
		{0.5, "0.5"},
		{32_000_000_000, "32000000000"},
		{1_763_850_000, "1763850000"},
		{1<<53 - 1, "9007199254740991"},
		{1 << 53, "9.007199254740992e+15"},
		{1e300, "1e+300"},
		{1_763_850_000.25, "1.76385000025e+09"},
		{math.Inf(1), "+Inf"},
		{math.Inf(-1), "-Inf"},
		{math.NaN(), "NaN"},
	} {
		got := string(appendValue(nil, test.value))
		if got != test.want {
			t.Errorf("%v is written %s, want %s", test.value, got, test.want)
		}
		back, err := strconv.ParseFloat(got, 64)
		if err != nil || back != test.value && !math.IsNaN(test.value) {
			t.Errorf("%s reads back as %v, %v", got, back, err)
		}
	}
}

func TestEqualSeriesKeepTheFamily(t *testing.T) {
	series := func() []Series { return []Series{{Labels("a", "1"), 1}, {Labels("a", "2"), math.NaN()}} }
	first := NewFamily(gauge, series(), nil)
	if again := NewFamily(gauge, series(), first); again != first {
		t.Error("equal series made a new family")
	}
	changed := series()
	changed[0].Value = 2
	if again := NewFamily(gauge, changed, first); again == first {
		t.Error("a changed value kept the old family")
	}
	if other := NewFamily(counter, series(), first); other == first || string(other.samples()[:len(counter.Name)]) != counter.Name {
		t.Error("a family of another name was taken over")
	}
}

// TestCopiedLinesEqualEncodedOnes changes families at random, and compares each
// with one that is encoded from nothing.
func TestCopiedLinesEqualEncodedOnes(t *testing.T) {
	random := rand.New(rand.NewPCG(1, 2))
	var series []Series
	var family *Family
	for step := range 2000 {
		series = append([]Series(nil), series...)
		switch random.IntN(4) {
		case 0: // a series comes
			at := random.IntN(len(series) + 1)
			series = append(series[:at], append([]Series{{Labels("n", strconv.Itoa(step)), 1}}, series[at:]...)...)
		case 1: // a series goes
			if len(series) > 0 {
				at := random.IntN(len(series))
				series = append(series[:at], series[at+1:]...)
			}
		default: // some values change
			for range random.IntN(5) {
				if len(series) > 0 {
					series[random.IntN(len(series))].Value = float64(random.IntN(3)) * math.Pow10(random.IntN(18))
				}
			}
		}
		family = NewFamily(gauge, series, family)
		fresh := NewFamily(gauge, append([]Series(nil), series...), nil)
		if string(family.samples()) != string(fresh.samples()) {
			t.Fatalf("step %d: copied\n%s\nencoded\n%s", step, family.samples(), fresh.samples())
		}
		if family.Len() != len(series) {
			t.Fatalf("step %d: %d series, want %d", step, family.Len(), len(series))
		}
	}
}

func TestHistogramsAreRefused(t *testing.T) {
	defer func() {
		if recover() == nil {
			t.Error("a histogram was taken for samples")
		}
	}()
	NewFamily(catalog.Family{Name: "test_seconds", Type: catalog.Histogram}, nil, nil)
}
