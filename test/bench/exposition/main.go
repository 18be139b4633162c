// Command exposition measures scrapes of 1,000 validators over HTTP on loopback
// and prints a table of them. It exits with 1 when one costs more than its bound
// allows. Each is compared with another handler in the same run, turn by turn,
// because absolute times say little on a shared machine.
package main

import (
	"bufio"
	"bytes"
	"flag"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"os"
	"slices"
	"strconv"
	"time"

	"github.com/klauspost/compress/gzip"
	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/promhttp"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition/expositiontest"
)

func main() {
	validators := flag.Int("validators", 1000, "number of validators, 40 series each")
	rounds := flag.Int("rounds", 100, "scrapes of each kind")
	flag.Parse()
	ok, err := run(os.Stdout, *validators, *rounds)
	if err != nil {
		fmt.Fprintln(os.Stderr, "bench:", err)
	}
	if err != nil || !ok {
		os.Exit(1)
	}
}

func run(out io.Writer, validators, rounds int) (ok bool, err error) {
	fmt.Fprintf(out, "%d validators, median of %d scrapes over HTTP on loopback\n\n", validators, rounds)
	fmt.Fprintln(out, "| scrape | client reads | bytes | time | from memory | ratio | bound | registry | speed-up | bound |")
	fmt.Fprintln(out, "|---|---|--:|--:|--:|--:|--:|--:|--:|--:|")
	ok = true
	for _, c := range []client{
		{name: "plain", encoding: "identity", bounded: true},
		{name: "gzip", encoding: "gzip", decodes: true, bounded: true},
		{name: "gzip, undecoded", encoding: "gzip"},
	} {
		m, err := measure(validators, rounds, c)
		if err != nil {
			return false, err
		}
		for _, row := range []struct {
			name              string
			took              time.Duration
			maxRatio, minGain float64
		}{{"unchanged", m.unchanged, 1.5, 20}, {"after one slot", m.changed, 3, 1}} {
			ratio := float64(row.took) / float64(m.memory)
			gain := float64(m.registry) / float64(row.took)
			limit := "none"
			if c.bounded {
				limit = fmt.Sprintf("≤ %.1f", row.maxRatio)
				ok = ok && ratio <= row.maxRatio
			}
			ok = ok && gain >= row.minGain
			fmt.Fprintf(out, "| %s | %s | %d | %v | %v | %.2f | %s | %v | %.0f | ≥ %.0f |\n", row.name, c.name, m.bytes,
				row.took.Round(time.Microsecond), m.memory.Round(time.Microsecond), ratio, limit,
				m.registry.Round(time.Millisecond), gain, row.minGain)
		}
	}
	if !ok {
		fmt.Fprintln(out, "\nA bound is broken.")
	}
	return ok, nil
}

// medians are the times of one scrape: of a page that did not change, of one
// after a slot, of the same bytes written from memory, and of the same series
// made anew for a registry behind promhttp.
type medians struct {
	bytes                                int
	unchanged, changed, memory, registry time.Duration
}

func measure(validators, rounds int, c client) (medians, error) {
	fleet := expositiontest.NewFleet(validators, 1)
	self := expositiontest.SelfMetrics()
	serve := func(w http.ResponseWriter, r *http.Request, page *exposition.Page) {
		if err := exposition.Serve(w, r, page, self); err != nil {
			fmt.Fprintln(os.Stderr, "bench:", err)
		}
	}
	page := fleet.Page(nil)

	// All share one connection, since the size of its buffers, which the kernel finds
	// as it goes, matters more than what is compared.
	mux := http.NewServeMux()
	server := httptest.NewServer(mux)
	defer server.Close()
	serving := func(path string, handler http.Handler) *target {
		mux.Handle(path, handler)
		return &target{server: server, path: path, client: c}
	}
	unchanged := serving("/unchanged", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) { serve(w, r, page) }))
	raw := &target{server: server, path: "/unchanged", client: client{encoding: c.encoding}}
	if err := raw.scrape(); err != nil {
		return medians{}, err
	}
	body := bytes.Clone(raw.body.Bytes())
	memory := serving("/memory", http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		w.Header().Set("Content-Type", "text/plain; version=0.0.4; charset=utf-8")
		w.Header().Set("Content-Encoding", c.encoding)
		w.Header().Set("Content-Length", strconv.Itoa(len(body)))
		_, _ = w.Write(body)
	}))
	moving := page
	changed := serving("/changed", http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		moving = fleet.Page(moving)
		serve(w, r, moving)
	}))
	registry := prometheus.NewRegistry()
	registry.MustRegister(fleet)
	ordinary := serving("/registry", promhttp.HandlerFor(prometheus.Gatherers{registry, self}, promhttp.HandlerOpts{}))

	for round := range rounds {
		fleet.NextSlot()
		targets := []*target{memory, unchanged, changed}
		for range round % len(targets) { // none always comes first
			targets = append(targets[1:], targets[0])
		}
		if round%10 == 0 { // slow, and far from its bound
			targets = append(targets, ordinary)
		}
		for _, t := range targets {
			if err := t.time(); err != nil {
				return medians{}, err
			}
		}
	}
	return medians{
		bytes: len(body), unchanged: unchanged.median(), changed: changed.median(),
		memory: memory.median(), registry: ordinary.median(),
	}, nil
}

// client is how a scrape is read. Prometheus asks for gzip and decodes it. One
// that does not decode shows the server's part more sharply; it has no bound,
// since gathering the runtime's metrics alone takes as long as sending a
// compressed page.
type client struct {
	name, encoding string
	// bounded: the times are held against bounds.
	decodes, bounded bool
}

// target is a handler with the times that scrapes of it took.
type target struct {
	client
	server   *httptest.Server
	path     string
	body     bytes.Buffer // kept, as Prometheus keeps its own
	unzipper *gzip.Reader
	took     []time.Duration
}

func (t *target) time() error {
	start := time.Now()
	err := t.scrape()
	t.took = append(t.took, time.Since(start))
	return err
}

func (t *target) scrape() error {
	request, err := http.NewRequest(http.MethodGet, t.server.URL+t.path, nil)
	if err != nil {
		return err
	}
	request.Header.Set("Accept", "text/plain;version=0.0.4")
	request.Header.Set("Accept-Encoding", t.encoding)
	response, err := t.server.Client().Do(request)
	if err != nil {
		return fmt.Errorf("scrape: %w", err)
	}
	defer response.Body.Close()
	var body io.Reader = response.Body
	if t.decodes {
		if t.unzipper == nil {
			t.unzipper = new(gzip.Reader)
		}
		if err := t.unzipper.Reset(bufio.NewReader(body)); err != nil {
			return fmt.Errorf("decode the answer: %w", err)
		}
		body = t.unzipper
	}
	t.body.Reset()
	if _, err := t.body.ReadFrom(body); err != nil {
		return fmt.Errorf("read the answer: %w", err)
	}
	return nil
}

func (t *target) median() time.Duration {
	slices.Sort(t.took)
	return t.took[len(t.took)/2]
}
