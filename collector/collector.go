package collector

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/cache"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
)

// NetworkStake tells whether the effective balances of the whole network are read,
// once a window, for ethereum_network's stake counters.
type NetworkStake string

// The choices of --network.stake. Auto reads them on networks of at most
// autoStakeLimit active validators: the answer grows by half a kilobyte for each.
const (
	StakeAuto   NetworkStake = "auto"
	StakeAlways NetworkStake = "always"
	StakeNever  NetworkStake = "never"

	autoStakeLimit = 100_000
)

// Config configures a Collector. Source and Watch are required.
type Config struct {
	Source Source
	Watch  *watch.Watcher
	// Window is the anchored window of the counters.
	Window duty.WindowConfig
	// CompletedWindows is the number of finished windows exposed as gauges.
	CompletedWindows int
	// IndividualLimit is the number of watched validators up to which each has
	// series of its own; OffenderLimit bounds the offender series beyond it.
	IndividualLimit, OffenderLimit int
	// MaxAge withholds the chain families when no node has confirmed the head for so long.
	MaxAge       time.Duration
	NetworkStake NetworkStake
	// NetworkName overrides the label "network"; empty takes the chain's CONFIG_NAME.
	NetworkName string
	Logger      *slog.Logger
	Now         func() time.Time
}

// Collector holds the newest snapshot and advances it when scraped. It is safe for
// concurrent use.
type Collector struct {
	cfg      Config
	flight   flight
	state    state
	snapshot atomic.Pointer[snapshot]
	// blocks outlive the spine's bodies: a changed watch list or a deep reorg has
	// settled epochs accounted again.
	blocks   *cache.Cache[duty.Root, *duty.Block]
	self     *selfMetrics
	gatherer *prometheus.Registry
	// told is the failure that the log was told of last; empty since it ended. Only the
	// flight touches it.
	told string
	// standing, and healths as of the last look, are also of the flight only.
	standing standing
	healths  []beacon.NodeHealth
	stop     context.CancelFunc
	ctx      context.Context
}

// New returns a Collector that has not asked anything yet. Extra collectors, such
// as the node pool's, are exposed beside its own.
func New(cfg Config, extra ...prometheus.Collector) (*Collector, error) {
	if cfg.Source == nil || cfg.Watch == nil {
		return nil, errors.New("collector: source and watch list are required")
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	if cfg.CompletedWindows < 0 || cfg.IndividualLimit < 0 || cfg.OffenderLimit < 0 {
		return nil, errors.New("collector: limits and numbers of windows must not be negative")
	}
	switch cfg.NetworkStake {
	case "":
		cfg.NetworkStake = StakeAuto
	case StakeAuto, StakeAlways, StakeNever:
	default:
		return nil, fmt.Errorf("collector: network stake is %q, must be auto, always or never", cfg.NetworkStake)
	}
	ctx, stop := context.WithCancel(context.Background())
	c := &Collector{cfg: cfg, ctx: ctx, stop: stop, gatherer: prometheus.NewPedanticRegistry()}
	c.state = newState()
	c.blocks = cache.New[duty.Root]("blocks", blockCacheBytes, blockBytes)
	c.self = newSelfMetrics(c)
	for _, collector := range append([]prometheus.Collector{c.self, cache.Collector(c.blocks)}, extra...) {
		if err := c.gatherer.Register(collector); err != nil {
			stop()
			return nil, fmt.Errorf("collector: registering self metrics: %w", err)
		}
	}
	return c, nil
}

// blockCacheBytes holds what accounting needs of half a day's blocks on a small
// network, and of 15 epochs on mainnet.
const blockCacheBytes = 16 << 20

func blockBytes(b *duty.Block) int64 {
	bytes := 256 + len(b.SyncBits)
	for i := range b.Attestations {
		bytes += 160 + len(b.Attestations[i].CommitteeBits) + len(b.Attestations[i].AggregationBits)
	}
	return int64(bytes)
}

// Close stops an advance that is still running and waits for it.
func (c *Collector) Close() {
	c.stop()
	c.flight.wait()
}

// Scrape advances to the chain's head, waiting no longer than ctx, and returns the
// newest whole page: an older one while the advance goes on in the background, an
// empty one when there is none yet or when it is older than MaxAge.
func (c *Collector) Scrape(ctx context.Context) *exposition.Page {
	select {
	case <-c.flight.join(c.run):
	case <-ctx.Done():
	}
	s := c.snapshot.Load()
	if s == nil || c.withheld() {
		return exposition.NewPage(nil, nil)
	}
	return s.page
}

// Gatherer gives the metrics about the exporter itself and about its beacon nodes.
func (c *Collector) Gatherer() prometheus.Gatherer { return c.gatherer }

// Ready tells whether counters are exposed, and if not, how far the exporter is.
func (c *Collector) Ready() (ok bool, why string) {
	s := c.snapshot.Load()
	switch {
	case s == nil:
		if msg := c.self.lastError(); msg != "" {
			return false, "no snapshot yet: " + msg
		}
		return false, "no snapshot yet: waiting for the first scrape to reach a beacon node"
	case c.withheld():
		return false, fmt.Sprintf("no beacon node has confirmed a head for more than %s: %s", c.cfg.MaxAge, c.self.lastError())
	case !s.counters:
		done, want := c.self.progress()
		return false, fmt.Sprintf("reading the window's past epochs: %d of %d", done, want)
	}
	if s.firstEpoch > s.shown.Anchor {
		why := "older epochs were not served in time"
		if s.walled {
			why = "no node serves older epochs"
		}
		return true, fmt.Sprintf("counters start at epoch %d instead of %d: %s", s.firstEpoch, s.shown.Anchor, why)
	}
	return true, "counters are whole"
}

// withheld tells whether the snapshot is too old to be shown.
func (c *Collector) withheld() bool {
	confirmed, ok := c.self.confirmed()
	return !ok || (c.cfg.MaxAge > 0 && c.cfg.Now().Sub(confirmed) > c.cfg.MaxAge)
}

// liveTimeout bounds one attempt to reach the head. Scrapes do not wait for it,
// they wait for their own deadline.
const liveTimeout = 2 * time.Minute

// run is one flight: reach the head, then read back what the window lacks, with
// another look at the head whenever a new scrape has come in meanwhile.
func (c *Collector) run(joined func() bool) {
	fresh := true
	for {
		if fresh {
			if err := c.live(); err != nil {
				return
			}
			joined() // whoever came in during the look shares it
		}
		more, err := c.refill()
		fresh = joined()
		if err != nil || !more && !fresh {
			return
		}
	}
}

// live reaches the head and publishes a snapshot of it.
func (c *Collector) live() error {
	err := c.guarded(c.advance)
	c.report(err)
	return err
}

// refill reads one missing epoch of the window; more tells whether to call again.
func (c *Collector) refill() (more bool, err error) {
	err = c.guarded(func(ctx context.Context) error {
		more, err = c.state.refillStep(ctx, c)
		return err
	})
	if err != nil && !errors.Is(err, context.Canceled) {
		c.cfg.Logger.Warn("Could not read a past epoch; the next scrape tries again", "err", err)
	}
	return more, err
}

// guarded runs one part of a flight. A panic costs what was read so far, which the
// chain gives back, not the process.
func (c *Collector) guarded(run func(ctx context.Context) error) (err error) {
	ctx, cancel := context.WithTimeout(c.ctx, liveTimeout)
	defer cancel()
	defer func() {
		if p := recover(); p != nil {
			observed := c.state.observed
			c.state = newState()
			c.state.observed = observed
			err = fmt.Errorf("a mistake of this program, please report it; starting anew: %v\n%s", p, debug.Stack())
		}
	}()
	return run(ctx)
}

// behindPatience is how long nodes may be behind before the log tells.
const behindPatience = 2 * time.Minute

// report tells the log when advancing begins to fail, fails differently, or works
// again, rather than at every scrape. Nodes that take turns behind one address are not
// worth a line: the next one is ahead.
func (c *Collector) report(err error) {
	c.self.attempted(err)
	var behind *behindError
	text := ""
	switch {
	case errors.Is(err, context.Canceled):
		return
	case errors.As(err, &behind):
		if at, _ := c.self.confirmed(); c.cfg.Now().Sub(at) <= behindPatience {
			return
		}
		text = "behind" // the slots in the error differ each time
	case err != nil:
		text = err.Error()
	}
	if text == c.told {
		return
	}
	c.told = text
	if err == nil {
		c.cfg.Logger.Info("Reached the head of the chain again")
		return
	}
	c.cfg.Logger.Warn("Could not advance to the head of the chain; scrapes show the last whole snapshot", "err", err)
}
