package main

import (
	"context"
	"crypto/tls"
	"io"
	"log/slog"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"go.uber.org/goleak"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/catalog"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/program/programtest"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// scripted is an exporter whose answers a test decides.
type scripted struct {
	// scrape is called for each scrape, when set.
	scrape func(context.Context)
	ready  func() (bool, string)
	closed bool
}

func (e *scripted) Scrape(ctx context.Context) *exposition.Page {
	if e.scrape != nil {
		e.scrape(ctx)
	}
	slot := catalog.MustGet("ethereum_chain_head_slot")
	return exposition.NewPage([]*exposition.Family{
		exposition.NewFamily(slot, []exposition.Series{{Labels: exposition.Labels("network", "devnet"), Value: 42}}, nil),
	}, nil)
}

func (e *scripted) Gatherer() prometheus.Gatherer { return prometheus.NewRegistry() }

func (e *scripted) Ready() (bool, string) {
	if e.ready != nil {
		return e.ready()
	}
	return true, "counters are whole"
}

func (e *scripted) ServeValidators(w http.ResponseWriter, _ *http.Request) {
	io.WriteString(w, `{"validators":[]}`)
}

func (e *scripted) Close() { e.closed = true }

func (e *scripted) build(*settings, http.Header, *watch.Watcher, *slog.Logger) (exporter, error) {
	return e, nil
}

// running is a run of the exporter in the background.
type running struct {
	*testing.T
	url     string
	urls    []string
	client  *http.Client
	stderr  *programtest.Output
	signals chan os.Signal
	// ended is closed when the program has ended with exit code code.
	ended chan struct{}
	code  int
}

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// start runs the program on a free port, until the test ends.
func start(t *testing.T, build builder, args ...string) *running {
	t.Helper()
	if !strings.Contains(strings.Join(args, " "), "--web.listen-address") {
		args = append(args, "--web.listen-address=127.0.0.1:0")
	}
	addresses := strings.Count(strings.Join(args, " "), "--web.listen-address")
	r := &running{T: t, stderr: programtest.NewOutput(), signals: make(chan os.Signal, 1), ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.code = run(args, io.Discard, r.stderr, r.signals, build)
	}()
	for _, found := range r.stderr.Await(t, listening, addresses) {
		r.urls = append(r.urls, "http://"+found[1])
	}
	r.url = r.urls[0]
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	r.client = &http.Client{Transport: transport, Timeout: 10 * time.Second}
	t.Cleanup(func() {
		transport.CloseIdleConnections()
		r.stop()
	})
	return r
}

// stop ends the program with a signal, unless it has ended, and returns its exit code.
func (r *running) stop() int {
	select {
	case r.signals <- syscall.SIGTERM:
	case <-r.ended:
	}
	<-r.ended
	return r.code
}

// ask sends a request and returns status and body.
func (r *running) ask(method, path string, headers ...string) (int, string) {
	r.Helper()
	request, err := http.NewRequest(method, r.url+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	for i := 0; i < len(headers); i += 2 {
		request.Header.Set(headers[i], headers[i+1])
	}
	response, err := r.client.Do(request)
	if err != nil {
		r.Fatal(err)
	}
	defer response.Body.Close()
	body, err := io.ReadAll(response.Body)
	if err != nil {
		r.Fatal(err)
	}
	return response.StatusCode, string(body)
}

func (r *running) expect(method, path string, status int, body string) {
	r.Helper()
	if gotStatus, gotBody := r.ask(method, path); gotStatus != status || gotBody != body {
		r.Errorf("%s %s: %d %q, want %d %q", method, path, gotStatus, gotBody, status, body)
	}
}

// once runs the program to its end, which for an exporter that starts is at once.
func once(build builder, args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	signals := make(chan os.Signal, 1)
	signals <- syscall.SIGTERM
	code = run(args, &out, &errs, signals, build)
	return code, out.String(), errs.String()
}

func lines(text string) int { return strings.Count(text, "\n") }
