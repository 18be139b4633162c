//go:build e2e

package e2e

import (
	"context"
	"fmt"
	"maps"
	"math/rand/v2"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/prometheus/client_golang/exp/api/remote"
	"golang.org/x/sync/errgroup"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
)

// Two exporters, two Prometheus servers that scrape both, one with each version of
// remote-write, a receiver for each, and one Postgres. Exporters and receivers are
// killed, Postgres is restarted, connections are cut. Then every window is there, once,
// as it happened.
func TestWindowsAreStoredOnceWhateverIsKilled(t *testing.T) {
	const (
		validators, windowEpochs = 144, 2
		kills                    = 20
		trouble                  = 96 * time.Second // how long it lasts, from genesis
	)
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	seed := rand.Uint64()
	t.Logf("seed %d", seed)
	sim := startSimulated(t, chainsim.Config{
		Validators: validators, Seed: 17,
		Faults: []chainsim.Fault{
			chainsim.Offline{Validators: chainsim.Range(0, 6)},
			chainsim.Reorg{At: 37, Until: 39},
			chainsim.Reorg{At: 111, Until: 114}, // over the end of a window
			chainsim.Outage{Slots: chainsim.Slots{From: 60, To: 66}},
		},
	}, 500*time.Millisecond)
	few := watched{}
	for v := range uint64(32) {
		few[v] = groupOf(v, 32)
	}
	c := sim.windows(windowEpochs, few)
	d := &disturbance{t: t, seed: seed, postgres: pgtest.Start(t), genesis: sim.clock.genesis, lasts: trouble}
	d.pipeline = startPipeline(t, pipelineOptions{
		chain: c, exporters: 2, shown: 4, interval: time.Second, protocols: []string{writeV1, writeV2},
		postgres: d.postgres, daysFrom: c.start(6).Add(-30 * day),
		// Shorter than Postgres is away, so that senders are told to come again.
		receiverFlags: []string{"--rollup.write-timeout=2s"},
		between:       d.between,
	})
	d.cut(true)

	running, runCtx := errgroup.WithContext(ctx)
	running.Go(func() error { return d.kill(runCtx, kills) })
	running.Go(func() error { return d.restartPostgres(runCtx) })
	book := ledger{receivers: d.receiverURLs(), from: sim.clock.genesis.Add(-time.Hour)}
	running.Go(func() error { return book.keep(runCtx, sim.clock.genesis.Add(trouble)) })
	if err := running.Wait(); err != nil {
		t.Fatal(err)
	}
	d.cut(false)
	// The chain goes on for as long as it takes the windows of that time to become final.
	end := sim.clock.now().Sub(sim.clock.genesis)/c.length() + 1
	if err := sim.clock.until(ctx, float64((int(end)*windowEpochs+3)*int(c.slotsPerEpoch)+4)); err != nil {
		t.Fatal(err)
	}
	sim.clock.pause()

	stored := d.finish(ctx)
	if final, err := c.final(ctx); err != nil || stored != final || stored < int(trouble/c.length()) {
		t.Errorf("%d windows are stored, %d are final (%v), and there should be %d", stored, final, err, int(trouble/c.length()))
	}
	truth := d.compare(ctx, stored)
	d.nothingFailed(ctx)
	d.noConflicts(ctx)
	d.tell(ctx)
	d.compareLedger(ctx, &book)
	d.plant(ctx, samples(truth))
	d.stop()
}

// disturbance is a pipeline to which everything happens.
type disturbance struct {
	*pipeline
	t        *testing.T
	seed     uint64
	postgres *pgtest.Server
	genesis  time.Time
	lasts    time.Duration

	cutters   []*cutter
	names     []string // of the cutters
	killed    map[string]int
	restarted []string
	conflicts float64 // that killed receivers had counted
}

// between puts a proxy before an address.
func (d *disturbance) between(name, address string) (string, error) {
	// A full request has some 150 kB, and needs as much of Postgres or, with series that
	// are new, 1 MB.
	least, most := 1e4, 1e7
	c, err := startCutter(d.t, address, rand.New(rand.NewPCG(d.seed, uint64(len(d.cutters)))), least, most)
	if err != nil {
		return "", err
	}
	d.cutters, d.names = append(d.cutters, c), append(d.names, name)
	return c.address(), nil
}

func (d *disturbance) cut(cutting bool) {
	for _, c := range d.cutters {
		c.cutting.Store(cutting)
	}
}

// receiverURLs are where to write to the receivers by way of their proxies.
func (d *disturbance) receiverURLs() (urls []string) {
	for i, c := range d.cutters {
		if d.names[i] != "postgres" {
			urls = append(urls, "http://"+c.address()+"/api/v1/write")
		}
	}
	return urls
}

// kill kills exporters and receivers at random moments, each as often.
func (d *disturbance) kill(ctx context.Context, times int) error {
	var victims []*service
	for _, x := range d.exporters {
		victims = append(victims, x.service)
	}
	victims = append(victims, d.receivers...)
	random := rand.New(rand.NewPCG(d.seed, 100))
	var moments []time.Duration
	for range times {
		moments = append(moments, time.Duration(random.Float64()*float64(d.lasts)))
	}
	slices.Sort(moments)
	d.killed = map[string]int{}
	for i, j := range random.Perm(times) {
		if err := sleepUntil(ctx, d.genesis.Add(moments[i])); err != nil {
			return err
		}
		victim := victims[j%len(victims)]
		if slices.Contains(d.receivers, victim) {
			conflicts, err := metric(ctx, victim.url(""), "validator_rollup_conflicts_total")
			if err != nil {
				return err
			}
			d.conflicts += conflicts
		}
		killed := time.Now()
		if err := victim.crash(ctx); err != nil {
			return fmt.Errorf("restart %s: %w", victim.name, err)
		}
		d.killed[victim.name]++
		d.t.Logf("%4.1f s: %s was killed; it answered again %d ms later", killed.Sub(d.genesis).Seconds(), victim.name, time.Since(killed).Milliseconds())
	}
	return nil
}

// restartPostgres restarts it in every way, and in the middle of a transaction too.
func (d *disturbance) restartPostgres(ctx context.Context) error {
	stop := func(mode pgtest.StopMode) func() error {
		return func() error { return d.postgres.Stop(mode) }
	}
	ways := []struct {
		name    string
		writing bool // wait until a receiver has inserted samples and not committed them
		stop    func() error
	}{
		{"fast", false, stop(pgtest.StopFast)},
		{"immediate", false, stop(pgtest.StopImmediate)},
		{"killed", false, d.postgres.Kill},
		{"immediate, in a transaction", true, stop(pgtest.StopImmediate)},
		{"killed, in a transaction", true, d.postgres.Kill},
	}
	random := rand.New(rand.NewPCG(d.seed, 101))
	away := []time.Duration{0, 0, 3 * time.Second, 4 * time.Second, 5 * time.Second}
	random.Shuffle(len(away), func(i, j int) { away[i], away[j] = away[j], away[i] })
	share := float64(d.lasts) / float64(len(ways))
	for i, j := range random.Perm(len(ways)) {
		moment := time.Duration(share * (float64(i) + 0.6*random.Float64()))
		if err := sleepUntil(ctx, d.genesis.Add(moment)); err != nil {
			return err
		}
		way := ways[j]
		var release func()
		if way.writing {
			var err error
			if release, err = d.holdTransaction(ctx); err != nil {
				return fmt.Errorf("restart Postgres, %s: %w", way.name, err)
			}
		}
		stopped := time.Now()
		err := way.stop()
		if release != nil {
			release()
		}
		if err == nil {
			if err := sleepUntil(ctx, stopped.Add(away[i])); err != nil {
				return err
			}
			err = d.postgres.Start()
		}
		if err != nil {
			return fmt.Errorf("restart Postgres, %s: %w", way.name, err)
		}
		d.restarted = append(d.restarted, way.name)
		d.t.Logf("%4.1f s: Postgres was stopped (%s); it was there again %d ms later", stopped.Sub(d.genesis).Seconds(), way.name, time.Since(stopped).Milliseconds())
	}
	return nil
}

// holdTransaction holds a lock that writers need at the end of their transaction, and
// returns when one of them waits for it with samples inserted and not committed.
func (d *disturbance) holdTransaction(ctx context.Context) (release func(), err error) {
	holder, err := pgx.Connect(ctx, d.db)
	if err != nil {
		return nil, err
	}
	release = func() { _ = holder.Close(context.Background()) } // broken by the restart
	defer func() {
		if err != nil {
			release()
		}
	}()
	for _, statement := range []string{`BEGIN`, `LOCK TABLE calendar IN ACCESS EXCLUSIVE MODE`} {
		if _, err := holder.Exec(ctx, statement); err != nil {
			return nil, err
		}
	}
	return release, d.wait(ctx, 30*time.Second, "until a receiver is in a transaction", func() (bool, error) {
		var writers int
		err := d.query(ctx, func(conn *pgx.Conn) error {
			return conn.QueryRow(ctx, `
				SELECT count(*) FROM pg_stat_activity
				WHERE application_name = 'validator-rollup' AND wait_event_type = 'Lock' AND backend_xid IS NOT NULL`).Scan(&writers)
		})
		return writers > 0, err
	})
}

// noConflicts checks that the receivers counted none. What one counted in the moment
// before it was killed is known from Prometheus, which would have been answered 400, at
// the latest when it sent the same again: see nothingFailed.
func (d *disturbance) noConflicts(ctx context.Context) {
	d.t.Helper()
	now, err := d.countConflicts(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	if now+d.conflicts > 0 {
		d.t.Errorf("%v conflicts were counted", now+d.conflicts)
	}
}

// countConflicts sums up what the receivers say now.
func (d *disturbance) countConflicts(ctx context.Context) (sum float64, err error) {
	for _, receiver := range d.receivers {
		conflicts, err := metric(ctx, receiver.url(""), "validator_rollup_conflicts_total")
		if err != nil {
			return 0, err
		}
		sum += conflicts
	}
	return sum, nil
}

// tell prints what was done, and checks that it was.
func (d *disturbance) tell(ctx context.Context) {
	d.t.Helper()
	total := 0
	var parts []string
	for _, name := range slices.Sorted(maps.Keys(d.killed)) {
		total += d.killed[name]
		parts = append(parts, fmt.Sprintf("%s %d times", name, d.killed[name]))
	}
	d.t.Logf("killed: %s", strings.Join(parts, ", "))
	d.t.Logf("Postgres restarted: %s", strings.Join(d.restarted, "; "))
	for i, c := range d.cutters {
		d.t.Logf("proxy of %s: %d of %d connections cut", d.names[i], c.cuts.Load(), c.accepted.Load())
		if c.cuts.Load() == 0 {
			d.t.Errorf("no connection to %s was cut", d.names[i])
		}
	}
	if total != 20 || len(d.restarted) != 5 {
		d.t.Errorf("%d kills and %d restarts of Postgres, want 20 and 5", total, len(d.restarted))
	}
	var samples, series, subjects int
	err := d.query(ctx, func(conn *pgx.Conn) error {
		return conn.QueryRow(ctx, `SELECT (SELECT count(*) FROM samples), (SELECT count(*) FROM series), (SELECT count(*) FROM subjects)`).
			Scan(&samples, &series, &subjects)
	})
	if err != nil {
		d.t.Fatal(err)
	}
	d.t.Logf("stored: %d samples of %d series of %d subjects", samples, series, subjects)
}

// compareLedger compares what was acknowledged with what is stored. (A request that was
// stored, and whose acknowledgement was lost, was sent again until there was one.)
func (d *disturbance) compareLedger(ctx context.Context, book *ledger) {
	d.t.Helper()
	stored, err := d.read(ctx, "= '"+ledgerFamily+"'")
	if err != nil {
		d.t.Fatal(err)
	}
	if book.repeated == 0 {
		d.t.Error("no request of the ledger was sent twice")
	}
	if !maps.Equal(stored, book.acknowledged) {
		lost := 0
		for key := range book.acknowledged {
			if _, ok := stored[key]; !ok {
				lost++
			}
		}
		d.t.Errorf("ledger: %d entries were acknowledged, of which %d are not stored; %d are stored", len(book.acknowledged), lost, len(stored))
		return
	}
	d.t.Logf("ledger: %d entries sent until they were acknowledged, and never again; %d requests were without an answer; all are stored, each once",
		len(book.acknowledged), book.repeated)
}

// plant sends a value that another exporter might have computed wrongly. It must be
// refused and counted, and what is stored must stay; the right value is welcome again.
func (d *disturbance) plant(ctx context.Context, truth map[sampleKey]float64) {
	d.t.Helper()
	newest := slices.MaxFunc(slices.Collect(maps.Keys(truth)), func(a, b sampleKey) int { return int(a.window - b.window) })
	victim := about{kind: "validator", validator: 3}
	name, labels := victim.series("attestations_expected")
	key := sampleKey{sortedSeries(name, labels), newest.window}
	right, ok := truth[key]
	if !ok {
		d.t.Fatalf("no %s in the window %d", key.series, key.window)
	}
	labels["__name__"], labels["window"], labels["instance"] = name, fmt.Sprint(key.window), "another:8080"

	expected := 0.0
	for i, receiver := range d.receivers {
		api, err := remote.NewAPI(receiver.url(""), remote.WithAPIPath("api/v1/write"))
		if err != nil {
			d.t.Fatal(err)
		}
		for _, protocol := range []string{writeV1, writeV2} {
			write := func(value float64) error {
				_, err := api.Write(ctx, remote.WriteMessageType(protocol), encoded(message(protocol, entry{labels, value})))
				return err
			}
			before, err := metric(ctx, receiver.url(""), "validator_rollup_conflicts_total")
			if err != nil {
				d.t.Fatal(err)
			}
			if err := write(right); err != nil {
				d.t.Errorf("receiver %d, %s: the right value again: %v", i, protocol, err)
			}
			err = write(right + 1)
			if err == nil || !strings.Contains(err.Error(), "400 Bad Request") || !strings.Contains(err.Error(), "conflict") {
				d.t.Errorf("receiver %d, %s: a wrong value: %v", i, protocol, err)
			}
			after, err := metric(ctx, receiver.url(""), "validator_rollup_conflicts_total")
			if err != nil || after != before+1 {
				d.t.Errorf("receiver %d, %s: %v conflicts before a wrong value and %v after it (%v)", i, protocol, before, after, err)
			}
			expected++
		}
	}
	if sum, err := d.countConflicts(ctx); err != nil || sum != expected {
		d.t.Errorf("%v conflicts are counted, %v values were wrong (%v)", sum, expected, err)
	}
	stored, err := d.stored(ctx)
	if err != nil {
		d.t.Fatal(err)
	}
	d.compareSamples(stored, truth)
	d.t.Logf("planted: %v wrong values for %s were refused and counted", expected, key.series)
}
