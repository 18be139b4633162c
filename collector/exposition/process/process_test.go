package process_test

import (
	"math"
	"testing"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	dto "github.com/prometheus/client_model/go"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition/process"
)

func gather(t testing.TB, c prometheus.Collector) map[string]*dto.MetricFamily {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(c)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	byName := map[string]*dto.MetricFamily{}
	for _, f := range families {
		byName[f.GetName()] = f
	}
	return byName
}

func value(f *dto.MetricFamily) float64 {
	m := f.GetMetric()[0]
	return m.GetCounter().GetValue() + m.GetGauge().GetValue()
}

func TestSameMetricsAsClientGolang(t *testing.T) {
	got := gather(t, process.NewCollector())
	want := gather(t, collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}))
	if len(want) < 7 {
		t.Fatalf("client_golang gave only %d families", len(want))
	}
	for name, w := range want {
		g := got[name]
		if g == nil {
			t.Errorf("%s is missing", name)
			continue
		}
		if g.GetHelp() != w.GetHelp() || g.GetType() != w.GetType() {
			t.Errorf("%s: %s %q, want %s %q", name, g.GetType(), g.GetHelp(), w.GetType(), w.GetHelp())
		}
		// Both were read a moment apart, during which memory and traffic move on.
		if difference := math.Abs(value(g) - value(w)); difference > 2+0.2*math.Abs(value(w)) {
			t.Errorf("%s = %v, want %v", name, value(g), value(w))
		}
	}
	if len(got) != len(want) {
		t.Errorf("%d families, want %d", len(got), len(want))
	}
	if start := "process_start_time_seconds"; math.Abs(value(got[start])-value(want[start])) > 0.02 {
		t.Errorf("%s = %v, want %v", start, value(got[start]), value(want[start]))
	}
}

func BenchmarkCollect(b *testing.B) {
	for name, c := range map[string]prometheus.Collector{
		"ours":          process.NewCollector(),
		"client_golang": collectors.NewProcessCollector(collectors.ProcessCollectorOpts{}),
	} {
		b.Run(name, func(b *testing.B) {
			registry := prometheus.NewRegistry()
			registry.MustRegister(c)
			for b.Loop() {
				if _, err := registry.Gather(); err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}
