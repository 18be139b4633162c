//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"slices"
	"testing"
	"time"
)

// observer is an exporter whose counters never begin again, asked once a second. What
// its counters rise by while one epoch settles is that epoch's outcome.
type observer struct {
	exporter   *exporter
	validators int
	// after holds the last exposition that showed an epoch as the newest settled one.
	after map[int]*exposition
}

func startObserver(t *testing.T, beaconURL string, validators int) *observer {
	t.Helper()
	x, err := startExporter(t, "observer", "--beacon.url="+beaconURL, "--validators.config="+writeWatchList(t, validators), "--network.name="+network,
		"--counters.window-epochs=1000", "--counters.reset-slots=1")
	if err != nil {
		t.Fatal(err)
	}
	return &observer{exporter: x, validators: validators, after: map[int]*exposition{}}
}

// watch asks until ctx is done.
func (o *observer) watch(ctx context.Context) error {
	for ctx.Err() == nil {
		e, err := o.exporter.scrape(ctx)
		if err != nil {
			if ctx.Err() != nil {
				return nil
			}
			return err
		}
		epoch, settled := e.one("ethereum_chain_settled_epoch")
		expected, known := e.one(attestationsExpected)
		switch {
		case !settled || !known || expected == 0: // nothing yet, or the zeros before the first epoch
		case int(expected) != o.validators*(int(epoch)+1):
			return fmt.Errorf("epochs 0 to %v are settled, and %v attestations of %d validators expected", epoch, expected, o.validators)
		default:
			o.after[int(epoch)] = e
		}
		if sleepUntil(ctx, time.Now().Add(700*time.Millisecond)) != nil {
			return nil
		}
	}
	return nil
}

// span is what the counters of all validators rose by over some epochs.
type span struct {
	from, to   int // both included
	validators map[uint64]events
}

// spans returns a span for each epoch up to last, or for several where they settled
// between two looks.
func (o *observer) spans(last int) []span {
	epochs := []int{}
	for epoch := range o.after {
		if epoch <= last {
			epochs = append(epochs, epoch)
		}
	}
	slices.Sort(epochs)
	var all []span
	before, from := map[string]float64{}, 0
	for _, epoch := range epochs {
		now := o.after[epoch].samples
		s := span{from, epoch, map[uint64]events{}}
		for v := range uint64(o.validators) {
			var e events
			same := func(v float64) float64 { return v }
			for _, c := range e.counters() {
				key := fmt.Sprintf(`ethereum_validator_%s_total{network=%q,validator_index="%d"%s}`, c.name, network, v, c.labels)
				after, _ := valueOf(now, key, same)
				until, _ := valueOf(before, key, same)
				*c.value = int(after - until)
			}
			s.validators[v] = e
		}
		all = append(all, s)
		before, from = now, epoch+1
	}
	return all
}
