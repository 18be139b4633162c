package main

import (
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/x509"
	"encoding/pem"
	"fmt"
	"math/big"
	"net/http"
	"os"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/crypto/bcrypt"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program/programtest"
)

func TestScrapeIsAnsweredBeforePrometheusStopsWaiting(t *testing.T) {
	left := make(chan time.Duration, 1)
	e := &scripted{scrape: func(ctx context.Context) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		<-ctx.Done()
	}}
	r := start(t, e.build, "--scrape.timeout-offset=0.3s")
	status, body := r.ask("GET", "/metrics", timeoutHeader, "0.5")
	if left := <-left; left <= 0 || left > 250*time.Millisecond {
		t.Errorf("the scrape may take %s", left)
	}
	if status != 200 || !strings.Contains(body, `ethereum_chain_head_slot{network="devnet"} 42`) {
		t.Errorf("%d %s", status, body)
	}
}

func TestBudgetOfAScrape(t *testing.T) {
	h := scrapeHandler{offset: 500 * time.Millisecond, fallback: 10 * time.Second}
	for header, want := range map[string]time.Duration{
		"15":                      14500 * time.Millisecond,
		"1.5":                     time.Second,
		"":                        9500 * time.Millisecond,
		"soon":                    9500 * time.Millisecond,
		"NaN":                     9500 * time.Millisecond,
		"Inf":                     9500 * time.Millisecond,
		"1e300":                   9500 * time.Millisecond,
		"0":                       9500 * time.Millisecond,
		"-3":                      9500 * time.Millisecond,
		"0.6":                     300 * time.Millisecond,
		"0.2":                     100 * time.Millisecond,
		"0.000000000000000000001": time.Millisecond,
	} {
		if got := h.budget(header); got != want {
			t.Errorf("%q: %s, want %s", header, got, want)
		}
	}
}

func TestScrapesBeyondTheLimitAreRefused(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	e := &scripted{scrape: func(context.Context) { entered <- struct{}{}; <-leave }}
	r := start(t, e.build, "--web.max-requests=1")
	answered := make(chan int)
	go func() {
		status, _ := r.ask("GET", "/metrics")
		answered <- status
	}()
	<-entered
	r.expect("GET", "/metrics", 503, "too many requests at a time (--web.max-requests=1); try again\n")
	r.expect("GET", "/-/healthy", 200, "ok\n")
	r.expect("GET", "/api/v1/validators", 200, `{"validators":[]}`)
	close(leave)
	if status := <-answered; status != 200 {
		t.Errorf("the first scrape: %d", status)
	}
	go func() { <-entered }()
	if status, _ := r.ask("GET", "/metrics"); status != 200 {
		t.Errorf("a scrape after it: %d", status)
	}
}

func TestReadyOnceCountersAreWhole(t *testing.T) {
	whole := make(chan struct{})
	e := &scripted{ready: func() (bool, string) {
		select {
		case <-whole:
			return true, "counters are whole"
		default:
			return false, "reading the window's past epochs: 3 of 15"
		}
	}}
	r := start(t, e.build)
	r.expect("GET", "/-/ready", 503, "reading the window's past epochs: 3 of 15\n")
	r.expect("GET", "/-/healthy", 200, "ok\n")
	r.expect("GET", "/health", 200, "ok\n")
	close(whole)
	r.expect("GET", "/-/ready", 200, "counters are whole\n")
}

func TestReloadOverHTTPNeedsItsFlag(t *testing.T) {
	e := &scripted{}
	off := start(t, e.build)
	off.expect("POST", "/-/reload", 403, "reloading over HTTP is off; start with --web.enable-lifecycle, or send SIGHUP\n")

	list := programtest.File(t, "watch.yaml", "validators: [{index: 1}]")
	on := start(t, e.build, "--web.enable-lifecycle", "--validators.config="+list)
	on.expect("GET", "/-/reload", 405, "Method Not Allowed\n")
	write(t, list, "validators: [{indices: 1-3}]")
	on.expect("POST", "/-/reload", 200, "watch list reloaded: 3 validators\n")
	on.expect("PUT", "/-/reload", 200, "watch list reloaded: 3 validators\n")
	write(t, list, "validators: [1]")
	on.expect("POST", "/-/reload", 500, "the previous watch list stays in use: "+list+":1:14: an entry must be a mapping with index, indices, pubkey, pubkeys_file or labels\n")
}

func TestHangupReloads(t *testing.T) {
	list := programtest.File(t, "watch.yaml", "validators: [{index: 1}]")
	e := &scripted{}
	r := start(t, e.build, "--validators.config="+list)
	write(t, list, "validators: [{indices: 1-3}]")
	r.signals <- syscall.SIGHUP
	r.stderr.Await(t, regexp.MustCompile(`msg="Watch list reloaded" validators=3 changed=true`), 1)
	r.expect("GET", "/-/healthy", 200, "ok\n")
}

func TestTerminationDrains(t *testing.T) {
	entered, leave := make(chan struct{}), make(chan struct{})
	e := &scripted{scrape: func(context.Context) { close(entered); <-leave }}
	r := start(t, e.build)
	answered := make(chan string)
	go func() {
		_, body := r.ask("GET", "/metrics")
		answered <- body
	}()
	<-entered
	go func() {
		r.stderr.Await(t, regexp.MustCompile(`msg="Shutting down`), 1)
		for {
			response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Get(r.url + "/health")
			if err != nil { // nobody new is let in
				break
			}
			response.Body.Close()
		}
		close(leave)
	}()
	code := make(chan int)
	go func() { code <- r.stop() }()
	if body := <-answered; !strings.Contains(body, "ethereum_chain_head_slot") {
		t.Errorf("the scrape in flight got %q", body)
	}
	if code := <-code; code != 0 {
		t.Errorf("exit code %d", code)
	}
	if !e.closed {
		t.Error("the exporter was not closed")
	}
}

func TestPathsServed(t *testing.T) {
	e := &scripted{}
	r := start(t, e.build, "--web.telemetry-path=/probe")
	if status, body := r.ask("GET", "/"); status != 200 || !strings.Contains(body, `href="/probe"`) || strings.Contains(body, "debug/pprof") {
		t.Errorf("landing page: %d %s", status, body)
	}
	for path, want := range map[string]int{"/probe": 200, "/metrics": 404, "/nowhere": 404, "/debug/pprof/": 404} {
		if status, _ := r.ask("GET", path); status != want {
			t.Errorf("%s: %d, want %d", path, status, want)
		}
	}
	if status, _ := r.ask("POST", "/probe"); status != 405 {
		t.Errorf("POST to the metrics: %d", status)
	}
	if status, _ := r.ask("HEAD", "/probe"); status != 200 {
		t.Errorf("HEAD of the metrics: %d", status)
	}
	profiled := start(t, e.build, "--web.telemetry-path=/", "--web.enable-pprof")
	if status, _ := profiled.ask("GET", "/debug/pprof/goroutine"); status != 200 {
		t.Errorf("pprof: %d", status)
	}
	if _, body := profiled.ask("GET", "/"); !strings.Contains(body, "ethereum_chain_head_slot") {
		t.Errorf("metrics at the root: %s", body)
	}
}

func TestNobodyWatchedIsAWarning(t *testing.T) {
	e := &scripted{}
	r := start(t, e.build)
	if log := r.stderr.String(); strings.Count(log, "level=warn") != 1 || !strings.Contains(log, "No validators are watched") {
		t.Errorf("log\n%s", log)
	}
	some := start(t, e.build, "--validator=0")
	if log := some.stderr.String(); strings.Contains(log, "level=warn") {
		t.Errorf("log\n%s", log)
	}
}

func TestExposedHeadersFileIsAWarning(t *testing.T) {
	headers := programtest.File(t, "headers", "Authorization: secret")
	if err := os.Chmod(headers, 0o644); err != nil {
		t.Fatal(err)
	}
	e := &scripted{}
	r := start(t, e.build, "--validator=0", "--beacon.headers-file="+headers)
	if log := r.stderr.String(); !strings.Contains(log, "chmod o-rwx") || strings.Contains(log, "secret") {
		t.Errorf("log\n%s", log)
	}
}

func TestTLSAndPasswordsOnEveryAddress(t *testing.T) {
	certificate, key := selfSigned(t)
	hash, err := bcrypt.GenerateFromPassword([]byte("pass"), bcrypt.MinCost)
	if err != nil {
		t.Fatal(err)
	}
	config := programtest.File(t, "web.yaml", fmt.Sprintf("tls_server_config:\n  cert_file: %s\n  key_file: %s\nbasic_auth_users:\n  prometheus: %s\n", certificate, key, hash))
	e := &scripted{}
	r := start(t, e.build, "--web.config.file="+config, "--web.listen-address=127.0.0.1:0", "--web.listen-address=127.0.0.1:0")
	for _, url := range r.urls {
		url = strings.Replace(url, "http:", "https:", 1)
		for password, want := range map[string]int{"pass": 200, "guess": 401} {
			request, err := http.NewRequest("GET", url+"/metrics", nil)
			if err != nil {
				t.Fatal(err)
			}
			request.SetBasicAuth("prometheus", password)
			response, err := r.client.Do(request)
			if err != nil {
				t.Fatal(err)
			}
			response.Body.Close()
			if response.StatusCode != want {
				t.Errorf("password %q: %s", password, response.Status)
			}
		}
		// It is alive, though it does not answer everybody.
		if code, stdout, stderr := once(nil, "healthcheck", "--insecure", "--url="+url+"/-/healthy"); code != 0 || stdout != "healthy\n" || stderr != "" {
			t.Errorf("healthcheck: code %d, stdout %q, stderr %q", code, stdout, stderr)
		}
	}
}

func TestHealthcheck(t *testing.T) {
	e := &scripted{}
	r := start(t, e.build)
	if code, stdout, stderr := once(nil, "healthcheck", "--url="+r.url+"/-/healthy"); code != 0 || stdout != "healthy\n" || stderr != "" {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
	url := r.url
	r.stop()
	code, stdout, stderr := once(nil, "healthcheck", "--url="+url+"/-/healthy")
	if code != 1 || stdout != "" || lines(stderr) != 1 || !strings.HasPrefix(stderr, "validator-exporter: error: not healthy: ") {
		t.Errorf("code %d, stdout %q, stderr %q", code, stdout, stderr)
	}
}

func TestLogIsAsTheFlagsSay(t *testing.T) {
	e := &scripted{}
	code, _, stderr := once(e.build, "--web.listen-address=127.0.0.1:0", "--log.format=json", "--log.level=warn")
	if code != 0 || lines(stderr) != 1 || !strings.HasPrefix(stderr, "{") || !strings.Contains(stderr, `"level":"warn","msg":"No validators are watched`) {
		t.Errorf("code %d, stderr %q", code, stderr)
	}
}

func write(t *testing.T, path, text string) {
	t.Helper()
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
}

// selfSigned writes a certificate for 127.0.0.1 and its key.
func selfSigned(t *testing.T) (certificate, key string) {
	t.Helper()
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	template := &x509.Certificate{SerialNumber: big.NewInt(1), NotAfter: time.Now().Add(time.Hour)}
	signed, err := x509.CreateCertificate(rand.Reader, template, template, &private.PublicKey, private)
	if err != nil {
		t.Fatal(err)
	}
	encoded, err := x509.MarshalPKCS8PrivateKey(private)
	if err != nil {
		t.Fatal(err)
	}
	block := func(kind string, der []byte) string {
		return string(pem.EncodeToMemory(&pem.Block{Type: kind, Bytes: der}))
	}
	return programtest.File(t, "cert.pem", block("CERTIFICATE", signed)), programtest.File(t, "key.pem", block("PRIVATE KEY", encoded))
}
