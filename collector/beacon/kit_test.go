package beacon_test

import (
	"bytes"
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/expfmt"
	"go.uber.org/goleak"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/recording"
)

// No test may leave a goroutine behind, neither ours nor the client library's.
func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// node is a beacon node: a recording of a real one, with faults to order.
type node struct {
	*recording.Recording
	*httptest.Server

	mu     sync.Mutex
	asked  []string
	faults []fault
}

// fault answers requests whose path holds part; it may hand on to the real answer.
type fault struct {
	part   string
	answer func(w http.ResponseWriter, r *http.Request, real http.Handler)
}

func newNode(t *testing.T) *node {
	t.Helper()
	recorded, err := recording.Open("devnet-electra")
	if err != nil {
		t.Fatal(err)
	}
	n := &node{Recording: recorded}
	real := recorded.Handler()
	n.Server = httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		n.mu.Lock()
		n.asked = append(n.asked, r.Method+" "+r.URL.RequestURI())
		var found *fault
		for i := range n.faults {
			if strings.Contains(r.URL.RequestURI(), n.faults[i].part) {
				found = &n.faults[i]
			}
		}
		n.mu.Unlock()
		if found != nil {
			found.answer(w, r, real)
			return
		}
		if r.URL.Path == "/eth/v1/node/peer_count" {
			writeJSON(`{"data":{"connected":"77","disconnected":"3","connecting":"0","disconnecting":"0"}}`)(w, r, real)
			return
		}
		real.ServeHTTP(w, r)
	}))
	t.Cleanup(n.Close)
	return n
}

// Close lets go of requests that hang.
func (n *node) Close() {
	n.CloseClientConnections()
	n.Server.Close()
}

// on makes requests whose path and query hold part fail; the newest fault counts.
func (n *node) on(part string, answer func(http.ResponseWriter, *http.Request, http.Handler)) *node {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = append(n.faults, fault{part, answer})
	return n
}

func (n *node) heal() {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.faults = nil
}

// count is the number of requests so far whose method, path and query hold part.
func (n *node) count(part string) (count int) {
	n.mu.Lock()
	defer n.mu.Unlock()
	for _, request := range n.asked {
		if strings.Contains(request, part) {
			count++
		}
	}
	return count
}

func status(code int) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		fmt.Fprintf(w, `{"code":%d,"message":"to order, at %s"}`, code, r.URL)
	}
}

func writeJSON(text string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
		w.Header().Set("Content-Type", "application/json")
		io.WriteString(w, text)
	}
}

func hang(_ http.ResponseWriter, r *http.Request, _ http.Handler) {
	io.Copy(io.Discard, r.Body) // else the server does not notice that the client has gone
	<-r.Context().Done()
}

func breakConnection(http.ResponseWriter, *http.Request, http.Handler) { panic(http.ErrAbortHandler) }

func slow(delay time.Duration) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		time.Sleep(delay)
		real.ServeHTTP(w, r)
	}
}

// rewrite changes the real answer.
func rewrite(change func(header http.Header, body []byte) []byte) func(http.ResponseWriter, *http.Request, http.Handler) {
	return func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		recorder := httptest.NewRecorder()
		real.ServeHTTP(recorder, r)
		for name, values := range recorder.Header() {
			w.Header()[name] = values
		}
		body := change(w.Header(), recorder.Body.Bytes())
		w.WriteHeader(recorder.Code)
		w.Write(body)
	}
}

func replace(old, new string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return rewrite(func(_ http.Header, body []byte) []byte {
		if !bytes.Contains(body, []byte(old)) {
			panic("the answer has no " + old)
		}
		return bytes.ReplaceAll(body, []byte(old), []byte(new))
	})
}

func syncing(headSlot uint64, more string) func(http.ResponseWriter, *http.Request, http.Handler) {
	return writeJSON(fmt.Sprintf(`{"data":{"head_slot":"%d","sync_distance":"0","is_syncing":false,"is_optimistic":false%s}}`, headSlot, more))
}

// newPool makes a pool of nodes. Its timeouts are long, so that a busy machine fails
// no test; tests of timeouts set their own.
func newPool(t *testing.T, cfg beacon.Config, nodes ...*node) *beacon.Pool {
	t.Helper()
	for _, n := range nodes {
		cfg.URLs = append(cfg.URLs, n.URL)
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.NewTextHandler(testWriter{t}, nil))
	}
	if cfg.Timeout == 0 {
		cfg.Timeout = 30 * time.Second
	}
	if cfg.ProbeTimeout == 0 {
		cfg.ProbeTimeout = 10 * time.Second
	}
	pool, err := beacon.New(cfg)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(pool.Close)
	return pool
}

type testWriter struct{ t *testing.T }

func (w testWriter) Write(line []byte) (int, error) {
	if os.Getenv("BEACON_TEST_LOG") != "" {
		os.Stderr.Write(line)
	}
	return len(line), nil
}

func patience(t *testing.T) context.Context {
	ctx, cancel := context.WithTimeout(t.Context(), time.Minute)
	t.Cleanup(cancel)
	return ctx
}

// exposition is the text of all metrics of the pool.
func exposition(t *testing.T, pool *beacon.Pool) string {
	t.Helper()
	registry := prometheus.NewPedanticRegistry()
	registry.MustRegister(pool)
	families, err := registry.Gather()
	if err != nil {
		t.Fatal(err)
	}
	var text strings.Builder
	for _, family := range families {
		if _, err := expfmt.MetricFamilyToText(&text, family); err != nil {
			t.Fatal(err)
		}
	}
	return text.String()
}

// sample returns the value of the one sample whose line starts like this, or ""
// when there is none.
func sample(t *testing.T, pool *beacon.Pool, series string) string {
	t.Helper()
	for line := range strings.Lines(exposition(t, pool)) {
		if value, found := strings.CutPrefix(strings.TrimSpace(line), series+" "); found {
			return value
		}
	}
	return ""
}

func failures(n *node, operation, reason string) string {
	return fmt.Sprintf("ethereum_beacon_request_failures_total{endpoint=%q,operation=%q,reason=%q}", n.URL, operation, reason)
}
