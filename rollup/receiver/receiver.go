package receiver

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"net/http"
	"regexp"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/prometheus/client_golang/prometheus"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// Store is what the receiver needs of a database.
type Store interface {
	// Write returns when what can be stored of rows is committed. An error means that
	// nothing is known to be, and that the sender must repeat them.
	Write(ctx context.Context, rows []store.Row) (store.Result, error)
	// Check fails when the database cannot be written to.
	Check(ctx context.Context) error
	Stats() store.Stats
}

// Options of a Receiver. Zero values mean the defaults.
type Options struct {
	// Series is a regular expression for the whole name of the families that are kept.
	// Default DefaultSeries.
	Series string
	// DropLabels are dropped from every series, besides DefaultDropLabels.
	DropLabels []string
	Limits     Limits
	// WriteTimeout is how long writing one request to the database may take, retries
	// included. It should be shorter than the sender's timeout. Default 20 s.
	WriteTimeout time.Duration
	// TokenFile has the bearer tokens that senders may show, one a line. Default: senders
	// need none.
	TokenFile string
	// Collectors are exposed beside the receiver's own metrics.
	Collectors []prometheus.Collector
	// Logger is told of what an operator should know. Default: none.
	Logger *slog.Logger
	// Now is the clock. Default time.Now.
	Now func() time.Time
}

// DefaultSeries are the exporter's completed windows.
const DefaultSeries = "ethereum_.+_window_.+"

// DefaultDropLabels tell which target, or which of several Prometheus servers, a sample
// comes from. A window's total is the same from all of them.
func DefaultDropLabels() []string {
	return []string{
		"cluster", "container", "endpoint", "instance", "job", "namespace", "node", "pod", "prometheus",
		"prometheus_replica", "__replica__", "replica", "service",
	}
}

// Limits of a request. Zero values mean the defaults.
type Limits struct {
	// Body is the most bytes of a request as it is sent, and Decoded as it is meant: both
	// of the message and of the labels of its series, which count where they stand, also
	// when the message has them once. Defaults 8 MiB and 32 MiB.
	Body, Decoded int
	// Samples is the most samples, and the most series. Default 50,000.
	Samples int
	// Labels is the most labels of a series, and LabelBytes the longest name or value of
	// one that is kept. Defaults 100 and 4096.
	Labels, LabelBytes int
	// Requests is how many requests are decompressed and written at a time. Default 8.
	Requests int
	// Patience is how long one more may wait for its turn, and how long one that got it
	// may wait for the rest of its body. Default 5 s.
	Patience time.Duration
	// Future is how far a sample's time may be ahead of the clock. Default 10 min.
	Future time.Duration
}

func (l Limits) withDefaults() Limits {
	set(&l.Body, 8<<20)
	set(&l.Decoded, 32<<20)
	set(&l.Samples, 50_000)
	set(&l.Labels, 100)
	set(&l.LabelBytes, 4096)
	set(&l.Requests, 8)
	set(&l.Patience, 5*time.Second)
	set(&l.Future, 10*time.Minute)
	return l
}

func set[T comparable](field *T, fallback T) {
	var zero T
	if *field == zero {
		*field = fallback
	}
}

// Receiver takes remote-write requests. Its methods may be called from any goroutine.
type Receiver struct {
	store   Store
	options Options
	log     *slog.Logger
	series  *regexp.Regexp
	drop    map[string]bool
	// The greatest value of each family that views show.
	greatest map[string]float64
	tokens   *tokens // nil: none are asked for
	metrics  *metrics
	places   chan struct{} // one for each request that is worked on
	room     atomic.Int64  // bytes that bodies may still take which have no place yet
	handler  http.Handler

	stopping atomic.Bool
	quiet    atomic.Int64 // Unix nanoseconds until which complaints are not logged
}

// New makes a Receiver that writes to s.
func New(s Store, options Options) (*Receiver, error) {
	set(&options.Series, DefaultSeries)
	set(&options.WriteTimeout, 20*time.Second)
	options.Limits = options.Limits.withDefaults()
	if options.Logger == nil {
		options.Logger = slog.New(slog.DiscardHandler)
	}
	if options.Now == nil {
		options.Now = time.Now
	}
	r := &Receiver{
		store: s, options: options, log: options.Logger,
		drop:     map[string]bool{},
		greatest: greatestValues(),
		metrics:  newMetrics(s),
		places:   make(chan struct{}, options.Limits.Requests),
	}
	r.room.Store(roomFor(options.Limits))
	var err error
	if r.series, err = regexp.Compile("^(?:" + options.Series + ")$"); err != nil {
		return nil, fmt.Errorf("regular expression %q for series: %w", options.Series, err)
	}
	identity := identityLabels()
	for _, label := range slices.Concat(DefaultDropLabels(), options.DropLabels) {
		if identity[label] {
			return nil, fmt.Errorf("label %q cannot be dropped: series of completed windows differ by nothing else", label)
		}
		r.drop[label] = true
	}
	if options.TokenFile != "" {
		if r.tokens, err = readTokens(options.TokenFile); err != nil {
			return nil, err
		}
	}
	if r.handler, err = r.newHandler(); err != nil {
		return nil, err
	}
	return r, nil
}

// identityLabels are the labels that the exporter gives to completed windows.
func identityLabels() map[string]bool {
	labels := map[string]bool{nameLabel: true}
	for _, family := range catalog.All() {
		if isWindowed(family) {
			for _, label := range family.Labels {
				labels[label] = true
			}
		}
	}
	return labels
}

// isWindowed tells whether a family shows completed windows.
func isWindowed(family catalog.Family) bool {
	return strings.Contains(family.Name, "_window_") && slices.Contains(family.Labels, windowLabel)
}

// Stop makes Ready fail, so that no more requests are sent here. Those that come are
// still served.
func (r *Receiver) Stop() { r.stopping.Store(true) }

// Ready fails when the receiver is stopping or the database cannot be written to.
func (r *Receiver) Ready(ctx context.Context) error {
	if r.stopping.Load() {
		return errors.New("shutting down")
	}
	return r.store.Check(ctx)
}

// answer is what the sender is told.
type answer struct {
	status int
	text   string // of an error
	// accepted samples are those that need not be sent again: stored, there already, or
	// not to be stored.
	accepted int
}

// take stores the series of a request.
func (r *Receiver) take(ctx context.Context, message []byte, version2 bool) answer {
	b := r.newBatch()
	d := decoder{limits: r.options.Limits, visit: func(s *wireSeries) error {
		if ctx.Err() != nil {
			return errNobodyWaits
		}
		return b.add(s)
	}}
	if err := d.decode(message, version2); err != nil {
		refused := &refusal{status: http.StatusInternalServerError, text: err.Error()}
		errors.As(err, &refused)
		return answer{status: refused.status, text: refused.text}
	}
	var result store.Result
	if len(b.rows) > 0 {
		ctx, cancel := context.WithTimeout(ctx, r.options.WriteTimeout)
		defer cancel()
		begun := time.Now()
		var err error
		result, err = r.store.Write(ctx, b.rows)
		r.metrics.writeDuration.Observe(time.Since(begun).Seconds())
		if err != nil {
			// The samples are not counted: they will come again.
			r.metrics.writeFailures.Inc()
			r.complain("The database did not take a request; the sender will repeat it", "err", err)
			return answer{status: http.StatusServiceUnavailable, text: "not stored, send it again: " + err.Error()}
		}
	}
	for _, rejected := range result.Rejected {
		row := b.rows[rejected.Row]
		b.refused.add(b.places[rejected.Row], 1, rejected.Reason, rejected.Err, func() string { return describeRow(row) })
	}
	for _, i := range result.Conflicts {
		row := b.rows[i]
		err := fmt.Errorf("value %v differs from what is stored, which stays", row.Value)
		b.refused.add(b.places[i], 1, "", err, func() string { return describeRow(row) })
	}
	r.metrics.count(b, result)

	a := answer{status: http.StatusNoContent, accepted: b.dropped + result.Written + result.Duplicates}
	if n := b.refused.count; n > 0 {
		a.status = http.StatusBadRequest
		a.text = fmt.Sprintf("%d of %d samples cannot be stored", n, b.received)
		if conflicts := len(result.Conflicts); conflicts > 0 {
			a.text += fmt.Sprintf(" (%d in conflict with what is stored)", conflicts)
		}
		a.text += "; the first: " + b.refused.first
		r.complain("Samples were refused", "samples", n, "conflicts", len(result.Conflicts), "of", b.received,
			"reasons", strings.Join(slices.Sorted(maps.Keys(b.refused.reasons)), ","), "first", b.refused.first)
	}
	return a
}

func describeRow(row store.Row) string {
	return describe(row.Labels) + " window " + row.Window.UTC().Format(time.RFC3339)
}

// complain logs a warning, but not more than one in ten seconds: senders repeat what they
// do wrong with every scrape.
func (r *Receiver) complain(message string, args ...any) {
	const interval = 10 * time.Second
	now, quiet := time.Now(), r.quiet.Load()
	if now.UnixNano() >= quiet && r.quiet.CompareAndSwap(quiet, now.Add(interval).UnixNano()) {
		r.log.Warn(message, args...)
	}
}
