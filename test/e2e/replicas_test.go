//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
)

// replicas are two exporters that watch the same chain with the same flags, scraped by
// a Prometheus as the jobs a and b. b gets killed.
type replicas struct {
	t          *testing.T
	a, b       *exporter
	prometheus *devnet.Prometheus
	interval   time.Duration
	flags      []string

	validators, slotsPerEpoch, windowEpochs, resetSlots int
	group                                               func(uint64) string
	kills                                               int
}

// replicaOptions of two exporters.
type replicaOptions struct {
	beaconURL                                           string
	validators, slotsPerEpoch, windowEpochs, resetSlots int
	interval                                            time.Duration
}

func startReplicas(t *testing.T, o replicaOptions) *replicas {
	t.Helper()
	r := &replicas{
		t: t, interval: o.interval,
		validators: o.validators, slotsPerEpoch: o.slotsPerEpoch, windowEpochs: o.windowEpochs, resetSlots: o.resetSlots,
	}
	yaml, group := watchList(o.validators)
	r.group = group
	list := filepath.Join(t.TempDir(), "validators.yaml")
	if err := os.WriteFile(list, []byte(yaml), 0o600); err != nil {
		t.Fatal(err)
	}
	r.flags = []string{
		"--beacon.url=" + o.beaconURL, "--validators.config=" + list, "--network.name=" + network,
		fmt.Sprintf("--counters.window-epochs=%d", o.windowEpochs), fmt.Sprintf("--counters.reset-slots=%d", o.resetSlots),
		"--counters.completed-windows=2",
	}
	r.a = startExporter(t, "a", r.flags...)
	r.b = startExporter(t, "b", r.flags...)
	var err error
	r.prometheus, err = devnet.StartPrometheus(t.Context(), devnet.PrometheusOptions{
		Targets:  []devnet.Target{{Job: "a", Address: r.a.address}, {Job: "b", Address: r.b.address}},
		Interval: o.interval,
		WorkDir:  t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(r.prometheus.Stop)
	return r
}

// killB kills and restarts replica b at the given slots.
func (r *replicas) killB(ctx context.Context, slots []int, start func(slot int) time.Time, random *rand.Rand) error {
	for _, slot := range slots {
		within := time.Duration(random.Int64N(int64(start(slot + 1).Sub(start(slot)))))
		if err := sleepUntil(ctx, start(slot).Add(within)); err != nil {
			return err
		}
		began := time.Now()
		if err := r.b.crash(ctx); err != nil {
			return fmt.Errorf("restart b at slot %d: %w", slot, err)
		}
		r.kills++
		r.t.Logf("slot %d: b was killed; it answered again %d ms later", slot, time.Since(began).Milliseconds())
	}
	return nil
}

// settled returns the newest settled epoch, when the counters show it: they may still
// show the window before it, or the zeros between the two.
func (r *replicas) settled(e *exposition) (epoch int, shown bool) {
	settled, ok := e.one("ethereum_chain_settled_epoch")
	expected, known := e.one("ethereum_network_attestations_expected_total")
	if !ok || !known {
		return 0, false
	}
	epoch = int(settled)
	return epoch, int(expected) == r.validators*(epoch%r.windowEpochs+1)
}

// waitShown waits until both replicas show the same settled epoch, which is least or
// later, and Prometheus has scraped both since. It returns the epoch and the time.
func (r *replicas) waitShown(ctx context.Context, least int) (epoch int, at time.Time, err error) {
	for {
		a, errA := r.a.scrape(ctx)
		b, errB := r.b.scrape(ctx)
		if errA == nil && errB == nil {
			epochA, shownA := r.settled(a)
			epochB, shownB := r.settled(b)
			if shownA && shownB && epochA == epochB && epochA >= least {
				if err := sleepUntil(ctx, time.Now().Add(2*r.interval+r.interval/2)); err != nil {
					return 0, at, err
				}
				at = time.Now()
				same, err := r.scraped(ctx, at, epochA)
				if err != nil || same {
					return epochA, at, err
				}
			}
		}
		if err := sleepUntil(ctx, time.Now().Add(r.interval)); err != nil {
			return 0, at, fmt.Errorf("wait until both replicas show epoch %d: %w", least, err)
		}
	}
}

// scraped tells whether Prometheus' newest samples show epoch on both replicas.
func (r *replicas) scraped(ctx context.Context, at time.Time, epoch int) (bool, error) {
	series, err := r.prometheus.Query(ctx, "ethereum_chain_settled_epoch", at)
	if err != nil {
		return false, err
	}
	if len(series) != 2 {
		return false, nil
	}
	return int(series[0].Samples[0].Value) == epoch && int(series[1].Samples[0].Value) == epoch, nil
}

// compareBytes checks that all replicas, also one that is started now, write the same
// bytes in every chain family for the same head.
func (r *replicas) compareBytes(ctx context.Context) {
	r.t.Helper()
	fresh := startExporter(r.t, "fresh", r.flags...)
	if err := fresh.waitReady(ctx); err != nil {
		r.t.Error(err)
		return
	}
	if err := r.b.waitReady(ctx); err != nil {
		r.t.Error(err)
		return
	}
	defer fresh.stop(r.t)
	for try := 0; ; try++ {
		if err := ctx.Err(); err != nil {
			r.t.Errorf("bytes of the replicas: no two scrapes of the same head in %d tries: %v", try, err)
			return
		}
		// Framed by two scrapes of a that agree, so that all three saw one head.
		var pages [4]map[string]string
		var err error
		for i, x := range []*exporter{r.a, r.b, fresh, r.a} {
			var e *exposition
			if e, err = x.scrape(ctx); err != nil {
				break
			}
			pages[i] = e.chain()
		}
		head := pages[0]["ethereum_chain_head_slot"]
		if err != nil || head == "" || !equal(pages[0], pages[3]) || pages[1]["ethereum_chain_head_slot"] != head || pages[2]["ethereum_chain_head_slot"] != head {
			continue
		}
		r.compareFamilies("b", pages[0], pages[1])
		r.compareFamilies("a fresh replica", pages[0], pages[2])
		text := 0
		for _, family := range pages[0] {
			text += len(family)
		}
		if len(pages[0]) < 60 {
			r.t.Errorf("bytes of the replicas: only %d chain families are exposed", len(pages[0]))
		}
		r.t.Logf("bytes of the replicas: a, b (%d kills) and a fresh one agree on %d chain families, %d bytes, at %s",
			r.kills, len(pages[0]), text, lastLine(head))
		return
	}
}

func (r *replicas) compareFamilies(who string, want, got map[string]string) {
	r.t.Helper()
	for name, text := range want {
		if other, ok := got[name]; !ok {
			r.t.Errorf("bytes of the replicas: %s lacks %s", who, name)
		} else if other != text {
			r.t.Errorf("bytes of the replicas: %s differs from a:\n%s", who, firstDifference(text, other))
		}
	}
	for name := range got {
		if _, ok := want[name]; !ok {
			r.t.Errorf("bytes of the replicas: %s has %s, a has not", who, name)
		}
	}
}

// end checks what a long run leaves behind: an exposition that promtool accepts, no
// goroutine, and exporters that end with code 0.
func (r *replicas) end(ctx context.Context) {
	r.t.Helper()
	e, err := r.a.scrape(ctx)
	if err != nil {
		r.t.Fatal(err)
	}
	if err := devnet.CheckMetrics(ctx, "", e.text); err != nil {
		r.t.Error(err)
	} else {
		r.t.Logf("promtool check metrics: clean, %d families, %d series", len(e.families), len(e.samples))
	}
	r.prometheus.Stop()
	fresh := startExporter(r.t, "idle", r.flags...)
	if err := fresh.waitReady(ctx); err != nil {
		r.t.Error(err)
		return
	}
	const slack = 3 // of idle connections and of the runtime
	for deadline := time.Now().Add(20 * time.Second); ; time.Sleep(500 * time.Millisecond) {
		old, errOld := r.a.scrape(ctx)
		new, errNew := fresh.scrape(ctx)
		if errOld == nil && errNew == nil && old.samples["go_goroutines"] <= new.samples["go_goroutines"]+slack {
			r.t.Logf("goroutines: %v after the run, %v in a fresh exporter", old.samples["go_goroutines"], new.samples["go_goroutines"])
			break
		}
		if time.Now().After(deadline) {
			r.t.Errorf("goroutines: %v after the run, %v in a fresh exporter (%v, %v)", old.samples["go_goroutines"], new.samples["go_goroutines"], errOld, errNew)
			break
		}
	}
	for _, x := range []*exporter{r.a, r.b, fresh} {
		x.stop(r.t)
	}
}

func equal(a, b map[string]string) bool {
	if len(a) != len(b) {
		return false
	}
	for name, text := range a {
		if b[name] != text {
			return false
		}
	}
	return true
}

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "\ta\t" + w[i] + "\n\tit\t" + g[i]
		}
	}
	return fmt.Sprintf("\ta has %d lines, it has %d", len(w), len(g))
}

func lastLine(text string) string {
	lines := strings.Split(strings.TrimSpace(text), "\n")
	return lines[len(lines)-1]
}

func sleepUntil(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
