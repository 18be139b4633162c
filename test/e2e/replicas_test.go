//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"golang.org/x/sync/errgroup"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/devnet"
)

// replicas are two exporters that watch the same chain with the same flags, scraped by
// a Prometheus as the jobs a and b. b gets killed.
type replicas struct {
	replicaOptions
	t          *testing.T
	a, b       *exporter
	prometheus *devnet.Prometheus
	flags      []string
	kills      atomic.Int32
}

// replicaOptions of two exporters that watch all of a chain's validators.
type replicaOptions struct {
	beaconURL                            string
	validators, windowEpochs, resetSlots int
	interval                             time.Duration // of Prometheus
}

func startReplicas(t *testing.T, o replicaOptions) *replicas {
	t.Helper()
	r := &replicas{replicaOptions: o, t: t}
	r.flags = []string{
		"--beacon.url=" + o.beaconURL, "--validators.config=" + writeWatchList(t, o.validators), "--network.name=" + network,
		fmt.Sprintf("--counters.window-epochs=%d", o.windowEpochs), fmt.Sprintf("--counters.reset-slots=%d", o.resetSlots),
		"--counters.completed-windows=2",
	}
	var err error
	if r.a, err = startExporter(t, "a", r.flags...); err != nil {
		t.Fatal(err)
	}
	if r.b, err = startExporter(t, "b", r.flags...); err != nil {
		t.Fatal(err)
	}
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

// killB kills and restarts replica b at a random moment of each of the given slots.
func (r *replicas) killB(ctx context.Context, clock slotClock, slots []int, random *rand.Rand) error {
	for _, slot := range slots {
		if err := clock.until(ctx, float64(slot)+random.Float64()); err != nil {
			return err
		}
		began := time.Now()
		if err := r.b.crash(ctx); err != nil {
			return fmt.Errorf("restart b in slot %d: %w", slot, err)
		}
		r.kills.Add(1)
		r.t.Logf("slot %d: b was killed; it answered again %d ms later", slot, time.Since(began).Milliseconds())
	}
	return nil
}

// compareBytesAt compares the bytes of the replicas at the given slots, or soon after.
func (r *replicas) compareBytesAt(ctx context.Context, clock slotClock, slots []int) error {
	for _, slot := range slots {
		if err := clock.until(ctx, float64(slot)); err != nil {
			return err
		}
		clock.pause()
		r.compareBytes(ctx)
		clock.resume()
	}
	return nil
}

// slotClock is the time of a chain.
type slotClock interface {
	// until waits for a moment of the chain, in slots since genesis.
	until(ctx context.Context, slot float64) error
	// pause stops the time, where that is possible.
	pause()
	resume()
}

// attestationsExpected tells by its value what the counters show.
const attestationsExpected = "ethereum_network_attestations_expected_total"

// shows tells whether attestationsExpected is that of the epochs of a window up to epoch,
// and not of the window before or of the zeros between the two.
func (r *replicas) shows(epoch int, expected float64) bool {
	return int(expected) == r.validators*(epoch%r.windowEpochs+1)
}

// settled returns the newest settled epoch, when the counters show it.
func (r *replicas) settled(e *exposition) (epoch int, shown bool) {
	settled, ok := e.one("ethereum_chain_settled_epoch")
	expected, known := e.one(attestationsExpected)
	return int(settled), ok && known && r.shows(int(settled), expected)
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
	series, err := r.prometheus.Query(ctx, attestationsExpected, at)
	if err != nil {
		return false, err
	}
	shown := 0
	for _, s := range series {
		shown += number(r.shows(epoch, s.Samples[0].Value))
	}
	return shown == 2, nil
}

// compareBytes checks that all replicas, also one that is started now, write the same
// bytes in every chain family for the same head.
func (r *replicas) compareBytes(ctx context.Context) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(ctx, time.Minute)
	defer cancel()
	fresh, err := startExporter(r.t, "fresh", r.flags...)
	for _, x := range []*exporter{fresh, r.b} {
		if err == nil {
			err = x.waitReady(ctx)
		}
	}
	if err != nil {
		r.t.Errorf("bytes of the replicas: %v", err)
		return
	}
	defer fresh.stop(r.t)
	for {
		pages, head, err := r.sameHead(ctx, fresh)
		if err == nil {
			r.compareFamilies("b", pages[0].chain(), pages[1].chain())
			r.compareFamilies("a fresh replica", pages[0].chain(), pages[2].chain())
			expected, _ := pages[0].one(attestationsExpected)
			r.t.Logf("bytes of the replicas: a, b (%d kills) and a fresh one compared in %d chain families at the head %v, where %v attestations were expected",
				r.kills.Load(), len(pages[0].chain()), head, expected)
			if len(pages[0].chain()) < 60 {
				r.t.Errorf("bytes of the replicas: only %d chain families are exposed", len(pages[0].chain()))
			}
			return
		}
		if sleepUntil(ctx, time.Now().Add(r.interval/5)) != nil {
			r.t.Errorf("bytes of the replicas: %v", err)
			return
		}
	}
}

// sameHead scrapes a, b and a fresh replica at once, and fails unless all of them
// answer for the same head, which is still that of a when it is asked again.
func (r *replicas) sameHead(ctx context.Context, fresh *exporter) (pages [3]*exposition, head float64, err error) {
	var all errgroup.Group
	for i, x := range []*exporter{r.a, r.b, fresh} {
		all.Go(func() (err error) {
			pages[i], err = x.scrape(ctx)
			return err
		})
	}
	if err := all.Wait(); err != nil {
		return pages, 0, err
	}
	again, err := r.a.scrape(ctx)
	if err != nil {
		return pages, 0, err
	}
	const family = "ethereum_chain_head_slot"
	head, ok := again.one(family)
	for _, page := range pages {
		if slot, known := page.one(family); !ok || !known || slot != head {
			return pages, 0, fmt.Errorf("the head moved on from %v to %v between scrapes", slot, head)
		}
	}
	if !maps.Equal(pages[0].chain(), again.chain()) {
		return pages, 0, fmt.Errorf("what a shows changed at the head %v", head)
	}
	return pages, head, nil
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
	fresh, err := startExporter(r.t, "idle", r.flags...)
	if err == nil {
		err = fresh.waitReady(ctx)
	}
	if err != nil {
		r.t.Fatal(err)
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

func firstDifference(want, got string) string {
	w, g := strings.Split(want, "\n"), strings.Split(got, "\n")
	for i := range min(len(w), len(g)) {
		if w[i] != g[i] {
			return "\ta\t" + w[i] + "\n\tit\t" + g[i]
		}
	}
	return fmt.Sprintf("\ta has %d lines, it has %d", len(w), len(g))
}

func sleepUntil(ctx context.Context, at time.Time) error {
	select {
	case <-time.After(time.Until(at)):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}
