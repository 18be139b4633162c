package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/pprof"
	"strconv"
	"time"

	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
)

// timeoutHeader is how Prometheus says, in seconds, when it stops waiting.
const timeoutHeader = "X-Prometheus-Scrape-Timeout-Seconds"

const (
	// maxTimeout bounds what the header may ask for.
	maxTimeout = time.Hour
	// writeGrace is how long a client may take to read an answer.
	writeGrace = 30 * time.Second
)

// newHandler returns everything the exporter serves.
func newHandler(s *settings, exporter exporter, watcher *watch.Watcher, logger *slog.Logger) (http.Handler, error) {
	mux := http.NewServeMux()
	scrape := &scrapeHandler{exporter: exporter, offset: s.timeoutOffset, fallback: s.defaultTimeout, logger: logger}
	mux.Handle(exactly(s.telemetryPath), limited(s.maxRequests, scrape))
	mux.Handle("GET /api/v1/validators", limited(s.maxRequests, brief(exporter.ServeValidators)))
	mux.Handle("GET /health", brief(healthy))
	mux.Handle("GET /-/healthy", brief(healthy))
	mux.Handle("GET /-/ready", brief(func(w http.ResponseWriter, _ *http.Request) {
		ok, why := exporter.Ready()
		if !ok {
			w.WriteHeader(http.StatusServiceUnavailable)
		}
		fmt.Fprintln(w, why)
	}))
	reload := brief(func(w http.ResponseWriter, _ *http.Request) { serveReload(w, s.lifecycle, watcher) })
	mux.Handle("POST /-/reload", reload)
	mux.Handle("PUT /-/reload", reload)
	if s.pprof {
		// Without cmdline: --beacon.url may hold a token.
		mux.HandleFunc("GET /debug/pprof/", pprof.Index)
		mux.HandleFunc("GET /debug/pprof/profile", pprof.Profile)
		mux.HandleFunc("GET /debug/pprof/symbol", pprof.Symbol)
		mux.HandleFunc("GET /debug/pprof/trace", pprof.Trace)
	}
	if s.telemetryPath == "/" {
		return mux, nil
	}
	landing, err := web.NewLandingPage(web.LandingConfig{
		Name:        programName,
		Description: "What the chain says about the watched validators, for Prometheus",
		Version:     version.Info(),
		Profiling:   strconv.FormatBool(s.pprof),
		Links: []web.LandingLinks{
			{Address: s.telemetryPath, Text: "Metrics"},
			{Address: "/api/v1/validators", Text: "Watched validators", Description: "(JSON)"},
			{Address: "/-/ready", Text: "Ready", Description: "whether counters are whole, and if not, how far they are"},
			{Address: "/-/healthy", Text: "Healthy", Description: "whether the exporter is alive"},
		},
	})
	if err != nil {
		return nil, fmt.Errorf("making the landing page: %w", err)
	}
	mux.Handle(exactly("/"), brief(landing.ServeHTTP))
	return mux, nil
}

// exactly is the pattern of GET and HEAD for path and nothing below it.
func exactly(path string) string {
	if path == "/" {
		path = "/{$}"
	}
	return "GET " + path
}

// scrapeHandler answers scrapes within their own deadline.
type scrapeHandler struct {
	exporter         exporter
	offset, fallback time.Duration
	logger           *slog.Logger
}

func (h *scrapeHandler) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	budget := h.budget(r.Header.Get(timeoutHeader))
	limitWrite(w, budget+writeGrace)
	ctx, cancel := context.WithTimeout(r.Context(), budget)
	defer cancel()
	page := h.exporter.Scrape(ctx)
	if err := exposition.Serve(w, r, page, h.exporter.Gatherer()); err != nil && r.Context().Err() == nil {
		h.logger.Warn("A scrape was not answered in full", "err", err)
	}
}

// budget is the time a scrape may take: the timeout that the header gives, or the
// fallback, less the offset, but never less than half of it.
func (h *scrapeHandler) budget(header string) time.Duration {
	timeout := h.fallback
	if seconds, err := strconv.ParseFloat(header, 64); err == nil && seconds > 0 && seconds <= maxTimeout.Seconds() {
		timeout = time.Duration(seconds * float64(time.Second))
	}
	return max(timeout-h.offset, timeout/2, time.Millisecond)
}

func healthy(w http.ResponseWriter, _ *http.Request) { io.WriteString(w, "ok\n") }

func serveReload(w http.ResponseWriter, enabled bool, watcher *watch.Watcher) {
	if !enabled {
		http.Error(w, "reloading over HTTP is off; start with --web.enable-lifecycle, or send SIGHUP", http.StatusForbidden)
		return
	}
	if err := watcher.Reload(); err != nil {
		http.Error(w, "the previous watch list stays in use: "+program.OneLine(err), http.StatusInternalServerError)
		return
	}
	fmt.Fprintf(w, "watch list reloaded: %d validators\n", len(watcher.Current().Entries))
}

// limited lets at most limit requests in at a time (any number when 0), and
// answers the others with 503 rather than let them wait.
func limited(limit int, next http.Handler) http.Handler {
	if limit == 0 {
		return next
	}
	places := make(chan struct{}, limit)
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		select {
		case places <- struct{}{}:
			defer func() { <-places }()
			next.ServeHTTP(w, r)
		default:
			http.Error(w, fmt.Sprintf("too many requests at a time (--web.max-requests=%d); try again", limit), http.StatusServiceUnavailable)
		}
	})
}

// brief is for answers that need no time to come about.
func brief(next http.HandlerFunc) http.Handler {
	return http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		limitWrite(w, writeGrace)
		next(w, r)
	})
}

// limitWrite cuts the connection of a client that has not read the answer after d.
// A writer that knows no deadline, as in tests, goes without.
func limitWrite(w http.ResponseWriter, d time.Duration) {
	_ = http.NewResponseController(w).SetWriteDeadline(time.Now().Add(d))
}
