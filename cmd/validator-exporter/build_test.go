package main

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/expfmt"
	"github.com/prometheus/common/model"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program/programtest"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/recording"
)

// The whole program over HTTP, in front of a real node's recorded answers.
func TestExporterShowsTheChainOfItsNode(t *testing.T) {
	chain, err := recording.Open("devnet-electra")
	if err != nil {
		t.Fatal(err)
	}
	node := httptest.NewServer(chain.Handler())
	defer node.Close()
	list := programtest.File(t, "watch.yaml", "validators:\n  - {indices: 0-3, labels: {operator: acme}}\n")
	// The recording has no day of epochs: with a longer window counters would wait a minute
	// before they start without the older ones.
	r := start(t, buildCollector, "--beacon.url="+node.URL, "--validators.config="+list, "--validator=7", "--web.disable-exporter-metrics",
		"--counters.window-epochs=2")

	r.expect("GET", "/-/ready", 503, "no snapshot yet: waiting for the first scrape to reach a beacon node\n")
	page := scrapeUntilWhole(r)
	for _, series := range []string{
		`ethereum_beacon_up{endpoint="` + node.URL + `"} 1`,
		`validator_exporter_config_reload_success 1`,
		`validator_exporter_watched_validators 5`,
		`validator_exporter_build_info{`,
		`ethereum_validator_info{`,
		`operator="acme"`,
		`ethereum_validator_attestations_expected_total{`,
	} {
		if !strings.Contains(page, series) {
			t.Errorf("no %s in\n%s", series, page)
		}
	}
	if strings.Contains(page, "\ngo_") || strings.Contains(page, "\nprocess_") {
		t.Error("--web.disable-exporter-metrics left go_* or process_*")
	}
	parser := expfmt.NewTextParser(model.UTF8Validation)
	if _, err := parser.TextToMetricFamilies(strings.NewReader(page)); err != nil {
		t.Error(err)
	}
	if status, _ := r.ask("GET", "/-/ready"); status != 200 {
		t.Errorf("not ready: %d", status)
	}
	if status, body := r.ask("GET", "/api/v1/validators"); status != 200 || !strings.Contains(body, `"7"`) && !strings.Contains(body, ":7") {
		t.Errorf("API: %d %s", status, body)
	}

	// The next scrape sees a changed watch list; a validator that has left it has no series.
	if err := os.WriteFile(list+".new", []byte("validators: [{index: 1}]"), 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(list+".new", list); err != nil {
		t.Fatal(err)
	}
	page = scrapeUntilWhole(r)
	if !strings.Contains(page, `validator_index="1"`) || strings.Contains(page, `validator_index="0"`) || !strings.Contains(page, "validator_exporter_watched_validators 2") {
		t.Errorf("after the change:\n%s", page)
	}
}

func TestNodeThatIsDownAtStartIsShownDown(t *testing.T) {
	node := httptest.NewServer(http.NotFoundHandler())
	url := strings.Replace(node.URL, "http://", "http://user:secret@", 1)
	node.Close()
	r := start(t, buildCollector, "--beacon.url="+url, "--validator=0")
	status, page := r.ask("GET", "/metrics", timeoutHeader, "3")
	for _, series := range []string{
		`ethereum_beacon_up{endpoint="` + node.URL + `"} 0`,
		"go_goroutines ",
		"process_start_time_seconds ",
	} {
		if status != 200 || !strings.Contains(page, series) {
			t.Errorf("%d, no %s in\n%s", status, series, page)
		}
	}
	_, ready := r.ask("GET", "/-/ready")
	if strings.Contains(page+ready+r.stderr.String(), "secret") {
		t.Error("the password of the node is shown")
	}
	const todo = "connection refused; check the address in --beacon.url, and that the node runs and serves its HTTP API there"
	if !strings.Contains(ready, node.URL+" is not reachable: ") || !strings.Contains(ready, todo) || lines(ready) != 1 {
		t.Errorf("ready: %s", ready)
	}
	if log := r.stderr.String(); !strings.Contains(log, todo) || !strings.Contains(log, "asked for the first time when metrics are scraped") {
		t.Errorf("log\n%s", log)
	}
}

func TestBadNodeAddressIsOneLineWithoutSecrets(t *testing.T) {
	for _, url := range []string{"ftp://user:secret@node", "http://user:secret@:x", "http://", "", "http://user:secret@no de/"} {
		code, _, stderr := once(buildCollector, "--beacon.url="+url)
		if code != 1 || lines(stderr) != 1 || !strings.HasPrefix(stderr, "validator-exporter: error: --beacon.url: beacon node 1 of 1: ") || strings.Contains(stderr, "secret") {
			t.Errorf("%q: code %d, stderr %q", url, code, stderr)
		}
	}
}

// Hosted nodes want a token in their address. Whoever may read metrics, profiles or the
// log must not learn it.
func TestNothingThatIsServedOrLoggedShowsTheNodesAddressWhole(t *testing.T) {
	node := httptest.NewServer(http.NotFoundHandler())
	defer node.Close()
	address := strings.Replace(node.URL, "http://", "http://user0name:pass0word@", 1) + "/path0token/?key=query0token"
	args := []string{"--beacon.url=" + address, "--validator=0", "--web.enable-pprof", "--web.enable-lifecycle", "--log.level=debug"}
	// What runs is the test, so the program's arguments are put where it would find them.
	defer func(before []string) { os.Args = before }(os.Args)
	os.Args = append([]string{"validator-exporter"}, args...)
	r := start(t, buildCollector, args...)

	answers := ""
	for _, path := range []string{
		"/metrics", "/", "/health", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/validators", "/nowhere",
		"/debug/pprof/", "/debug/pprof/cmdline", "/debug/pprof/symbol", "/debug/pprof/goroutine?debug=2", "/debug/pprof/heap?debug=1", "/debug/pprof/allocs?debug=1",
	} {
		status, body := r.ask("GET", path, timeoutHeader, "3")
		answers += fmt.Sprintf("%s: %d %s\n", path, status, body)
	}
	if status, body := r.ask("POST", "/-/reload"); status != 200 {
		t.Errorf("reload: %d %s", status, body)
	}
	r.stop()
	answers += r.stderr.String()
	for _, secret := range []string{"user0name", "pass0word", "path0token", "query0token"} {
		if at := strings.Index(answers, secret); at >= 0 {
			t.Errorf("%s shows in …%s", secret, answers[max(0, at-200):at+len(secret)])
		}
	}
	if !strings.Contains(answers, `endpoint="`+node.URL+`"`) {
		t.Error("the node is not named at all")
	}
}

func TestURLWhereNoArgumentBelongsIsNotRepeated(t *testing.T) {
	for _, args := range [][]string{
		{"--beacon.url", "http://a", "http://user:secret@b"},
		{"--beacon.timeout=http://user:secret@b"},
	} {
		code, _, stderr := once(buildCollector, args...)
		if code != 2 || lines(stderr) != 1 || strings.Contains(stderr, "secret") || !strings.Contains(stderr, "http://<hidden>") {
			t.Errorf("%q: code %d, stderr %q", args, code, stderr)
		}
	}
}

// scrapeUntilWhole scrapes like Prometheus until the counters are there.
func scrapeUntilWhole(r *running) string {
	r.Helper()
	deadline := time.Now().Add(10 * time.Second)
	for {
		status, page := r.ask("GET", "/metrics", timeoutHeader, "5")
		if status != 200 {
			r.Fatalf("%d %s", status, page)
		}
		if ready, why := r.ask("GET", "/-/ready"); ready == 200 {
			return page
		} else if time.Now().After(deadline) {
			r.Fatalf("%s\n%s", why, page)
		}
	}
}
