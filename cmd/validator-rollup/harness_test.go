package main

import (
	"context"
	"crypto/tls"
	"io"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"go.uber.org/goleak"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/program/programtest"
)

var postgres = pgtest.NewShared(pgtest.Fast())

func TestMain(m *testing.M) {
	// Only the server of the tests may be left.
	goleak.VerifyTestMain(testRun(func() int { return postgres.Main(m) }))
}

type testRun func() int

func (run testRun) Run() int { return run() }

// running is a run of the program in the background.
type running struct {
	*testing.T
	url     string
	urls    []string
	client  *http.Client
	stderr  *programtest.Output
	signals chan os.Signal
	ended   chan struct{} // closed when the program has ended with exit code code
	code    int
}

var listening = regexp.MustCompile(`msg="Listening on" address=(\S+)`)

// start serves on a free port, until the test ends.
func start(t *testing.T, args ...string) *running {
	t.Helper()
	if !strings.Contains(strings.Join(args, " "), "--web.listen-address") {
		args = append(args, "--web.listen-address=127.0.0.1:0")
	}
	addresses := strings.Count(strings.Join(args, " "), "--web.listen-address")
	r := &running{T: t, stderr: programtest.NewOutput(), signals: make(chan os.Signal, 1), ended: make(chan struct{})}
	go func() {
		defer close(r.ended)
		r.code = run(args, io.Discard, r.stderr, r.signals)
	}()
	for _, found := range r.stderr.Await(t, listening, addresses) {
		r.urls = append(r.urls, "http://"+found[1])
	}
	r.url = r.urls[0]
	transport := &http.Transport{TLSClientConfig: &tls.Config{InsecureSkipVerify: true}}
	r.client = &http.Client{Transport: transport, Timeout: 20 * time.Second}
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

func (r *running) do(request *http.Request) (int, string) {
	r.Helper()
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

func (r *running) get(path string) (int, string) {
	r.Helper()
	request, err := http.NewRequestWithContext(context.Background(), http.MethodGet, r.url+path, nil)
	if err != nil {
		r.Fatal(err)
	}
	return r.do(request)
}

// awaitReady waits until the database can be written to.
func (r *running) awaitReady() {
	r.Helper()
	deadline := time.Now().Add(20 * time.Second)
	for {
		status, why := r.get("/-/ready")
		if status == http.StatusOK {
			return
		}
		if time.Now().After(deadline) {
			r.Fatalf("not ready: %s\n%s", why, r.stderr)
		}
		time.Sleep(20 * time.Millisecond)
	}
}

// once runs the program to its end.
func once(args ...string) (code int, stdout, stderr string) {
	var out, errs strings.Builder
	code = run(args, &out, &errs, make(chan os.Signal))
	return code, out.String(), errs.String()
}
