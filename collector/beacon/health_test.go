package beacon_test

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"runtime"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/prometheus/client_golang/prometheus/testutil"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

func gauge(name string, n *node) string {
	return fmt.Sprintf("ethereum_beacon_%s{endpoint=%q}", name, n.URL)
}

func TestProbeTellsWhatTheNodeSays(t *testing.T) {
	n := newNode(t).on("/node/syncing", writeJSON(`{"data":{"head_slot":"1270","sync_distance":"8","is_syncing":true,"is_optimistic":true,"el_offline":true}}`))
	n.on("/node/version", writeJSON(`{"data":{"version":"Lighthouse/v7.1.0-cfb1f73/x86_64-linux"}}`))
	pool := newPool(t, beacon.Config{}, n)
	want := beacon.NodeHealth{
		Endpoint: n.URL, Up: true, Syncing: true, Optimistic: true, ExecutionOffline: true, HeadSlot: 1270, SyncDistance: 8,
		Peers: 77, PeersKnown: true, Client: "lighthouse", Version: "v7.1.0-cfb1f73",
	}
	if got := pool.Probe(patience(t)); len(got) != 1 || got[0] != want {
		t.Errorf("health %+v, want %+v", got, want)
	}
	for name, value := range map[string]string{
		"up": "1", "syncing": "1", "optimistic": "1", "execution_offline": "1", "head_slot": "1270", "sync_distance_slots": "8", "peers": "77",
	} {
		if got := sample(t, pool, gauge(name, n)); got != value {
			t.Errorf("%s is %q, want %s", name, got, value)
		}
	}
	info := fmt.Sprintf(`ethereum_beacon_info{client="lighthouse",endpoint=%q,version="v7.1.0-cfb1f73"}`, n.URL)
	if got := sample(t, pool, info); got != "1" {
		t.Errorf("no %s", info)
	}
}

func TestWhatIsNotKnownIsAbsent(t *testing.T) {
	n := newNode(t).on("/node/syncing", writeJSON(`{"data":{"head_slot":"1270","sync_distance":"0","is_syncing":false}}`))
	n.on("/node/peer_count", status(403))
	pool := newPool(t, beacon.Config{}, n)
	if text := exposition(t, pool); strings.Contains(text, "ethereum_beacon_up") {
		t.Error("up is told before the first probe")
	}
	pool.Probe(patience(t))
	for _, name := range []string{"optimistic", "execution_offline", "peers"} {
		if got := sample(t, pool, gauge(name, n)); got != "" {
			t.Errorf("%s is %s though the node did not tell", name, got)
		}
	}
	n.on("/node/syncing", status(503))
	pool.Probe(patience(t))
	if got := sample(t, pool, gauge("up", n)); got != "0" {
		t.Errorf("up is %q, want 0", got)
	}
	for _, name := range []string{"syncing", "head_slot", "sync_distance_slots"} {
		if got := sample(t, pool, gauge(name, n)); got != "" {
			t.Errorf("%s is %s of a node that is down", name, got)
		}
	}
	if strings.Contains(exposition(t, pool), "ethereum_beacon_info{") {
		t.Error("info of a node that is down")
	}
	if n.count("peer_count") != 1 {
		t.Errorf("asked %d times for peers, which it does not tell", n.count("peer_count"))
	}
}

func TestHealthierNodeIsAskedFirst(t *testing.T) {
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"syncing":           writeJSON(`{"data":{"head_slot":"1278","sync_distance":"9","is_syncing":true,"is_optimistic":false,"el_offline":false}}`),
		"optimistic":        writeJSON(`{"data":{"head_slot":"1278","sync_distance":"0","is_syncing":false,"is_optimistic":true,"el_offline":false}}`),
		"execution offline": syncing(recordedHead, `,"el_offline":true`),
		"behind":            syncing(recordedHead-3, `,"el_offline":false`),
		"from the future":   syncing(1<<40, `,"el_offline":false`),
		"failing":           status(503),
	} {
		sick, well := newNode(t).on("/node/syncing", answer), newNode(t).on("/node/syncing", syncing(recordedHead, `,"el_offline":false`))
		pool := newPool(t, beacon.Config{}, sick, well)
		if _, err := pool.Spec(patience(t)); err != nil {
			t.Fatal(err)
		}
		pool.Probe(patience(t))
		if head, err := pool.Head(patience(t)); err != nil || head.Slot != recordedHead {
			t.Errorf("%s: %v, %v", name, head, err)
		}
		if _, _, err := pool.BlockAtSlot(patience(t), 1200); err != nil {
			t.Error(err)
		}
		if sick.count("/headers/")+sick.count("/blocks/") > 0 {
			t.Errorf("%s: the node was asked before the healthy one", name)
		}
	}
}

func TestSmallLagDoesNotChangeTheNode(t *testing.T) {
	first := newNode(t).on("/node/syncing", syncing(recordedHead-2, `,"el_offline":false`))
	second := newNode(t).on("/node/syncing", syncing(recordedHead, `,"el_offline":false`))
	pool := newPool(t, beacon.Config{}, first, second)
	pool.Probe(patience(t))
	if _, _, err := pool.BlockAtSlot(patience(t), 1200); err != nil || second.count("/blocks/") > 0 {
		t.Errorf("%v, or another node for a slot or two", err)
	}
}

func TestHeadThatStandsStillOrGoesBackIsLeftForTheNewest(t *testing.T) {
	for name, stale := range map[string]duty.Slot{"stands still": recordedHead - 2, "goes back": 1100} {
		one, other := newNode(t), newNode(t)
		one.SetHead(recordedHead - 2)
		pool := newPool(t, beacon.Config{}, one, other)
		pool.Probe(patience(t))
		one.SetHead(stale)
		head, err := pool.Head(patience(t))
		if err != nil || head.Slot != recordedHead {
			t.Errorf("%s: head at %d, %v", name, head.Slot, err)
		}
		// When nobody is ahead any more, the chain itself went back.
		one.SetHead(1100)
		other.SetHead(1100)
		if head, err = pool.Head(patience(t)); err != nil || head.Slot != 1100 {
			t.Errorf("%s: head at %d after a reorg on every node, %v", name, head.Slot, err)
		}
	}
}

func TestHeadOfTheNodeThatAnswersWhileTheOneAheadHangs(t *testing.T) {
	behind, ahead := newNode(t), newNode(t)
	behind.SetHead(recordedHead - 2)
	pool := newPool(t, beacon.Config{ProbeTimeout: 500 * time.Millisecond}, behind, ahead)
	pool.Probe(patience(t))
	ahead.on("/headers/", hang)
	start := time.Now()
	head, err := pool.Head(patience(t))
	if err != nil || head.Slot != recordedHead-2 || time.Since(start) > 10*time.Second {
		t.Errorf("head at %d after %v, %v", head.Slot, time.Since(start), err)
	}
}

func TestOptimisticHeaderSaysSo(t *testing.T) {
	n := newNode(t).on("/headers/", rewrite(func(_ http.Header, body []byte) []byte {
		body = bytes.ReplaceAll(body, []byte(`"execution_optimistic": false`), []byte(`"execution_optimistic":false`))
		return bytes.ReplaceAll(body, []byte(`"execution_optimistic":false`), []byte(`"execution_optimistic":true`))
	}))
	if head, err := newPool(t, beacon.Config{}, n).Head(patience(t)); err != nil || !head.Optimistic {
		t.Errorf("%+v, %v", head, err)
	}
}

func TestNodeOnAnotherNetworkIsRefused(t *testing.T) {
	const root = "0x83431ec7fcf92cfc44947fc0418e831c25e1d0806590231c439830db7ad54fda"
	foreign := newNode(t).on("/beacon/genesis", replace(root, "0x"+strings.Repeat("11", 32)))
	foreign.on("/node/syncing", syncing(recordedHead+9, ""))
	foreign.SetHead(1200)
	home := newNode(t)
	var log lockedBuffer
	pool := newPool(t, beacon.Config{Logger: slog.New(slog.NewTextHandler(&log, nil))}, home, foreign)
	health := pool.Probe(patience(t))
	if !health[0].Up || health[1].Up {
		t.Errorf("health %+v", health)
	}
	home.on("/headers/", status(503)).on("/blocks/", status(404))
	if head, err := pool.Head(patience(t)); err == nil {
		t.Errorf("head %v of another network", head)
	}
	if foreign.count("/headers/")+foreign.count("/blocks/") > 0 {
		t.Error("a node on another network was asked")
	}
	if got := sample(t, pool, gauge("up", foreign)); got != "0" {
		t.Errorf("up %q", got)
	}
	if got := strings.Count(log.String(), "another network"); got != 1 {
		t.Errorf("%d log lines about it, want 1:\n%s", got, log.String())
	}
	foreign.heal()
	foreign.on("/node/syncing", status(503))
	pool.Probe(patience(t))
	foreign.heal()
	pool.Probe(patience(t))
	home.on("/blocks/", status(503))
	if _, _, err := pool.BlockAtSlot(patience(t), 1150); err == nil {
		t.Error("asked again without a look at its genesis") // identity is believed for an hour
	}
}

func TestOnlyNodesOfOtherNetworksAreNoNodes(t *testing.T) {
	home := newNode(t)
	pool := newPool(t, beacon.Config{}, home)
	pool.Probe(patience(t))
	if _, err := pool.Spec(patience(t)); err != nil {
		t.Fatal(err)
	}
	// The operator puts another node behind the same address.
	home.on("/node/syncing", breakConnection)
	pool.Probe(patience(t))
	home.heal()
	home.on("/beacon/genesis", replace("0x83431ec7", "0x11111111"))
	if _, _, err := pool.BlockAtSlot(patience(t), 1200); !errors.Is(err, beacon.ErrNoNode) {
		t.Errorf("error %v", err)
	}
	home.heal()
	home.on("/node/syncing", breakConnection)
	pool.Probe(patience(t))
	home.heal()
	pool.Probe(patience(t))
	if _, _, err := pool.BlockAtSlot(patience(t), 1200); err != nil {
		t.Errorf("the right node is back: %v", err)
	}
}

func TestHungNodeDelaysOneProbeOnly(t *testing.T) {
	t.Parallel()
	sick, well := newNode(t).on("/eth/", hang), newNode(t)
	pool := newPool(t, beacon.Config{ProbeTimeout: time.Second}, sick, well)
	start := time.Now()
	health := pool.Probe(patience(t))
	if took := time.Since(start); took < 900*time.Millisecond || took > 10*time.Second {
		t.Errorf("first probe took %v, want the probe timeout", took)
	}
	if health[0].Up || !health[1].Up {
		t.Errorf("health %+v", health)
	}
	start = time.Now()
	health = pool.Probe(patience(t))
	if took := time.Since(start); took > 700*time.Millisecond {
		t.Errorf("second probe took %v", took)
	}
	if health[0].Up || !health[1].Up {
		t.Errorf("health %+v", health)
	}
	if got := sick.count("/node/syncing"); got != 1 {
		t.Errorf("%d requests are hanging, want 1", got)
	}
	// It comes back: the hanging request fails, and the next probe's answer counts.
	sick.heal()
	sick.CloseClientConnections()
	deadline := time.Now().Add(5 * time.Second)
	for !pool.Probe(patience(t))[0].Up {
		if time.Now().After(deadline) {
			t.Fatal("still not up")
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func TestProbeOfHungNodesOnlyReturnsInTime(t *testing.T) {
	n := newNode(t).on("/eth/", hang)
	pool := newPool(t, beacon.Config{ProbeTimeout: 100 * time.Millisecond}, n)
	for range 3 {
		start := time.Now()
		if health := pool.Probe(patience(t)); health[0].Up || time.Since(start) > 10*time.Second {
			t.Errorf("%+v after %v", health, time.Since(start))
		}
	}
	if got := sample(t, pool, gauge("up", n)); got != "0" {
		t.Errorf("up %q", got)
	}
}

func TestProbeReturnsWhenTheCallerGoes(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	pool.Probe(patience(t))
	n.on("/node/syncing", hang)
	ctx, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	start := time.Now()
	health := pool.Probe(ctx)
	if took := time.Since(start); took > 8*time.Second {
		t.Errorf("took %v", took)
	}
	if !health[0].Up {
		t.Error("a node is down because the caller had no time")
	}
}

func TestProbeAfterCloseIsQuiet(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	pool.Close()
	pool.Probe(patience(t))
	if n.count("") != 0 {
		t.Errorf("%d requests after Close", n.count(""))
	}
}

func TestIdlePoolAsksNothingAndHasNoTimers(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	if n.count("") != 0 {
		t.Error("a request before the first call")
	}
	pool.Probe(patience(t))
	for _, op := range operations {
		if err := op.call(patience(t), pool); err != nil {
			t.Fatal(err)
		}
	}
	before := n.count("")
	// The library's loops would show as goroutines; they end with the context they get.
	var stacks string
	for range 100 {
		buffer := make([]byte, 1<<20)
		stacks = string(buffer[:runtime.Stack(buffer, true)])
		if !strings.Contains(stacks, "go-eth2-client") {
			break
		}
		time.Sleep(10 * time.Millisecond)
	}
	for _, trace := range []string{"go-eth2-client", "beacon.(*Pool)"} {
		if strings.Contains(stacks, trace) {
			t.Errorf("a goroutine of %s is left:\n%s", trace, stacks)
		}
	}
	if got := n.count(""); got != before {
		t.Errorf("%d requests by an idle pool", got-before)
	}
}

func TestVersionIsAskedOnceAnHour(t *testing.T) {
	now := time.Now()
	n := newNode(t)
	pool := newPool(t, beacon.Config{Now: func() time.Time { return now }}, n)
	for range 5 {
		pool.Probe(patience(t))
	}
	if got := n.count("/node/version"); got != 1 {
		t.Errorf("%d requests for the version, want 1", got)
	}
	n.on("/node/version", writeJSON(`{"data":{"version":"Prysm/v9.9.9"}}`))
	now = now.Add(61 * time.Minute)
	if health := pool.Probe(patience(t)); health[0].Version != "v9.9.9" {
		t.Errorf("health %+v", health)
	}
}

func TestLabelsDoNotGrowWithTheChain(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	series := func() int { return strings.Count(exposition(t, pool), "\n") }
	all := func() {
		pool.Probe(patience(t))
		for _, op := range operations {
			if err := op.call(patience(t), pool); err != nil {
				t.Error(err)
			}
		}
	}
	all()
	before := series()
	for i := range 40 {
		at := duty.Slot(1090 + 4*i)
		epoch := duty.Epoch(at / 32)
		// Errors or not, they are other paths.
		_, _, _ = pool.BlockAtSlot(patience(t), at)
		_, _ = pool.ProposerDuties(patience(t), epoch)
		_, _ = pool.Committees(patience(t), epoch, epoch)
		_, _ = pool.Finality(patience(t), beacon.StateAt(at))
		_, _ = pool.HeaderByRoot(patience(t), duty.Root{byte(i)})
		all()
	}
	if after := series(); after != before {
		t.Errorf("%d lines grew to %d", before, after)
	}
}

func TestMetricsPassTheLinter(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	pool.Probe(patience(t))
	problems, err := testutil.CollectAndLint(pool)
	if err != nil {
		t.Fatal(err)
	}
	for _, problem := range problems {
		t.Errorf("%s: %s", problem.Metric, problem.Text)
	}
}

type lockedBuffer struct {
	mu sync.Mutex
	bytes.Buffer
}

func (b *lockedBuffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.Write(p)
}

func (b *lockedBuffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.Buffer.String()
}

// Hosted nodes want a token in the address or in a header. It reaches the node and
// nothing else, whatever goes wrong.
func TestSecretsReachTheNodeOnly(t *testing.T) {
	secrets := []string{"user0name", "pass0word", "path0token", "query0token", "header0token"}
	for name, answer := range map[string]func(http.ResponseWriter, *http.Request, http.Handler){
		"fine": nil, "echo": status(503), "gone": status(404), "broken": breakConnection, "junk": writeJSON("path0token"),
		"echo header": func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Error(w, "no such token "+r.Header.Get("X-Api-Key")+" "+r.Header.Get("Authorization"), http.StatusForbidden)
		},
	} {
		n := newNode(t)
		real := n.Config.Handler
		n.Config.Handler = http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
			user, password, _ := r.BasicAuth()
			if user != "user0name" || password != "pass0word" || !strings.HasPrefix(r.URL.Path, "/path0token/") ||
				r.URL.Query().Get("key") != "query0token" || r.Header.Get("X-Api-Key") != "header0token" {
				t.Errorf("%s: request %s without its credentials", name, r.URL)
			}
			if answer != nil && !strings.Contains(r.URL.Path, "/node/") && !strings.Contains(r.URL.Path, "/genesis") {
				answer(w, r, nil)
				return
			}
			r.URL.Path = strings.TrimPrefix(r.URL.Path, "/path0token")
			real.ServeHTTP(w, r)
		})
		host := strings.TrimPrefix(n.URL, "http://")
		var log lockedBuffer
		pool := newPool(t, beacon.Config{
			URLs:    []string{"http://user0name:pass0word@" + host + "/path0token/?key=query0token"},
			Headers: http.Header{"X-Api-Key": {"header0token"}},
			Logger:  slog.New(slog.NewTextHandler(&log, &slog.HandlerOptions{Level: slog.LevelDebug})),
		})
		output := fmt.Sprint(pool.Probe(patience(t)))
		for _, op := range operations {
			err := op.call(patience(t), pool)
			if (err == nil) != (answer == nil) {
				t.Errorf("%s %s: error %v", name, op.name, err)
			}
			output += fmt.Sprintf("\n%v\n%+v", err, err)
		}
		n.Close() // and now it is not reachable at all
		_, err := pool.Head(patience(t))
		output += fmt.Sprint(err, pool.Probe(patience(t)), exposition(t, pool), log.String())
		for _, secret := range secrets {
			if at := strings.Index(output, secret); at >= 0 {
				t.Errorf("%s: %s shows in …%s", name, secret, output[max(0, at-200):at+len(secret)])
			}
		}
		if !strings.Contains(output, `endpoint="`+n.URL+`"`) {
			t.Errorf("%s: the endpoint is not named", name)
		}
	}
}

func TestBadAddressIsToldWithoutShowingIt(t *testing.T) {
	for _, bad := range []string{"http://user0name:pass0word@", "http://h/\x7fpath0token", "ftp://host/path0token", "://path0token", "http://[::1/path0token"} {
		_, err := beacon.New(beacon.Config{URLs: []string{"http://localhost:5052", bad}})
		if err == nil || !strings.Contains(err.Error(), "2 of 2") || strings.Contains(err.Error(), "0token") || strings.Contains(err.Error(), "0word") {
			t.Errorf("%q: %v", bad, err)
		}
	}
	if _, err := beacon.New(beacon.Config{}); err == nil {
		t.Error("no node and no error")
	}
}

func TestEndpointsAreToldApart(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{URLs: []string{n.URL + "/", n.URL}})
	health := pool.Probe(patience(t))
	if health[0].Endpoint != n.URL || health[1].Endpoint != n.URL+"#2" {
		t.Errorf("health %+v", health)
	}
	exposition(t, pool) // would fail on two samples with the same labels
}
