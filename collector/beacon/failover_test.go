package beacon_test

import (
	"bytes"
	"compress/gzip"
	"context"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// operations are all that read from the chain, each with its label value, a part
// of its path, and a call that checks the answer.
var operations = []struct {
	name, path string
	call       func(ctx context.Context, p *beacon.Pool) error
}{
	{"header", "/headers/", func(ctx context.Context, p *beacon.Pool) error {
		head, err := p.Head(ctx)
		if err == nil && head.Slot != recordedHead {
			err = fmt.Errorf("head at slot %d", head.Slot)
		}
		return err
	}},
	{"block", "/blocks/", func(ctx context.Context, p *beacon.Pool) error {
		block, _, err := p.BlockAtSlot(ctx, 1200)
		if err == nil && (block == nil || block.Slot != 1200) {
			err = errors.New("no block")
		}
		return err
	}},
	{"committees", "/committees", func(ctx context.Context, p *beacon.Pool) error {
		committees, err := p.Committees(ctx, 36, 39)
		if err == nil && len(committees.Members) != 64 {
			err = fmt.Errorf("%d members", len(committees.Members))
		}
		return err
	}},
	{"proposer_duties", "/duties/proposer/", func(ctx context.Context, p *beacon.Pool) error {
		proposers, err := p.ProposerDuties(ctx, 36)
		if err == nil && (len(proposers) != 32 || proposers[0] != 39 || proposers[31] != 18) {
			err = fmt.Errorf("proposers %v", proposers)
		}
		return err
	}},
	{"sync_committee", "/sync_committees", func(ctx context.Context, p *beacon.Pool) error {
		seats, err := p.SyncCommittee(ctx, beacon.StateHead, 36)
		if err == nil && len(seats) != 512 {
			err = fmt.Errorf("%d seats", len(seats))
		}
		return err
	}},
	{"finality", "/finality_checkpoints", func(ctx context.Context, p *beacon.Pool) error {
		finality, err := p.Finality(ctx, beacon.StateHead)
		if err == nil && finality != (beacon.Finality{Justified: 39, Finalized: 38}) {
			err = fmt.Errorf("finality %v", finality)
		}
		return err
	}},
	{"validators", "/validators", func(ctx context.Context, p *beacon.Pool) error {
		var seen []duty.ValidatorIndex
		err := p.Validators(ctx, beacon.StateAt(1152), []string{"7", "9"}, func(v wire.Validator) error {
			seen = append(seen, v.Index)
			return nil
		})
		if err == nil && fmt.Sprint(seen) != "[7 9]" {
			err = fmt.Errorf("validators %v", seen)
		}
		return err
	}},
	{"attestation_rewards", "/rewards/", func(ctx context.Context, p *beacon.Pool) error {
		var seen []duty.ValidatorIndex
		err := p.AttestationRewards(ctx, 36, []duty.ValidatorIndex{7, 9}, func(r wire.AttestationReward) error {
			seen = append(seen, r.Index)
			return nil
		})
		if err == nil && fmt.Sprint(seen) != "[7 9]" {
			err = fmt.Errorf("rewards of %v", seen)
		}
		return err
	}},
}

const recordedHead = 1278

func TestEveryOperationReadsARealNodesAnswer(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	for _, op := range operations {
		if err := op.call(patience(t), pool); err != nil {
			t.Errorf("%s: %v", op.name, err)
		}
		if n.count(op.path) == 0 {
			t.Errorf("%s: no request to %s", op.name, op.path)
		}
	}
}

func TestEveryOperationMovesOnFromABadNode(t *testing.T) {
	for _, bad := range []struct {
		name, reason string
		answer       func(http.ResponseWriter, *http.Request, http.Handler)
	}{
		{"service unavailable", "status", status(503)},
		{"too many requests", "status", status(429)},
		{"token refused", "status", status(401)},
		{"redirect", "status", func(w http.ResponseWriter, r *http.Request, _ http.Handler) {
			http.Redirect(w, r, "https://elsewhere.invalid/", http.StatusFound)
		}},
		{"broken connection", "connect", breakConnection},
		{"truncated", "body", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			w.Header().Set("Content-Length", "100000")
			real.ServeHTTP(w, r)
		}},
		{"empty", "decode", writeJSON("")},
		{"HTML", "decode", writeJSON("<html>Sorry</html>")},
		{"unknown encoding", "body", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			w.Header().Set("Content-Encoding", "br")
			real.ServeHTTP(w, r)
		}},
		{"bad gzip", "body", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			w.Header().Set("Content-Encoding", "gzip")
			real.ServeHTTP(w, r)
		}},
		{"announced too large", "too_large", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			w.Header().Set("Content-Length", "9000000000")
			real.ServeHTTP(w, r)
		}},
	} {
		t.Run(bad.name, func(t *testing.T) {
			t.Parallel()
			sick, well := newNode(t), newNode(t)
			for _, op := range operations {
				sick.heal()
				sick.on(op.path, bad.answer)
				pool := newPool(t, beacon.Config{}, sick, well)
				if err := op.call(patience(t), pool); err != nil {
					t.Errorf("%s: %v", op.name, err)
				}
				if got := sample(t, pool, failures(sick, op.name, bad.reason)); got != "1" {
					t.Errorf("%s: %s failures with reason %s, want 1", op.name, got, bad.reason)
				}
				if got := sample(t, pool, fmt.Sprintf("ethereum_beacon_failovers_total{endpoint=%q}", sick.URL)); got != "1" {
					t.Errorf("%s: %s failovers, want 1", op.name, got)
				}
			}
		})
	}
}

func TestHungNodeTakesNoMoreThanItsShare(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			sick, well := newNode(t).on(op.path, hang), newNode(t)
			pool := newPool(t, beacon.Config{Timeout: time.Minute, ProbeTimeout: 100 * time.Millisecond}, sick, well)
			ctx, cancel := context.WithTimeout(t.Context(), 3*time.Second)
			defer cancel()
			if err := op.call(ctx, pool); err != nil {
				t.Errorf("one of two nodes hangs: %v", err)
			}
			if got := sample(t, pool, failures(sick, op.name, "timeout")); got != "1" {
				t.Errorf("%s failures by timeout, want 1", got)
			}
			before := sick.count(op.path)
			if err := op.call(patience(t), pool); err != nil {
				t.Error(err)
			}
			if sick.count(op.path) != before {
				t.Error("the node that hung was asked first again")
			}
		})
	}
}

func TestUnreachableAtStartThenComesUp(t *testing.T) {
	n := newNode(t)
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	listener.Close()
	pool := newPool(t, beacon.Config{URLs: []string{address}})
	_, err = pool.Head(patience(t))
	if !errors.Is(err, beacon.ErrNoNode) || errors.Is(err, beacon.ErrUnavailable) {
		t.Errorf("error %v, want ErrNoNode", err)
	}
	if health := pool.Probe(patience(t)); health[0].Up {
		t.Errorf("health %+v", health)
	}
	if listener, err = net.Listen("tcp", address); err != nil {
		t.Fatal(err)
	}
	server := &http.Server{Handler: n.Config.Handler}
	go server.Serve(listener)
	defer server.Close()
	if _, err := pool.Head(patience(t)); err != nil {
		t.Error(err)
	}
	if health := pool.Probe(patience(t)); !health[0].Up || health[0].Client != "prysm" || !health[0].PeersKnown {
		t.Errorf("health %+v", health)
	}
}

func TestManyCallsAtOnceOnAFreshPool(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	var group sync.WaitGroup
	for i := range 32 {
		group.Go(func() {
			op := operations[i%len(operations)]
			if err := op.call(patience(t), pool); err != nil {
				t.Errorf("%s: %v", op.name, err)
			}
		})
	}
	group.Wait()
	if n.count("/genesis") != 1 || n.count("/config/spec") > 2 {
		t.Errorf("%d requests for genesis, %d for the spec", n.count("/genesis"), n.count("/config/spec"))
	}
}

func TestBrokenConnectionIsTriedOnceMoreOnTheOnlyNode(t *testing.T) {
	var once sync.Once
	n := newNode(t).on("/headers/", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		once.Do(func() { panic(http.ErrAbortHandler) })
		real.ServeHTTP(w, r)
	})
	if _, err := newPool(t, beacon.Config{}, n).Head(patience(t)); err != nil {
		t.Error(err)
	}
}

func TestRepeatedRequestsKeepToTheBudget(t *testing.T) {
	n := newNode(t)
	pool := newPool(t, beacon.Config{}, n)
	if _, err := pool.Spec(patience(t)); err != nil {
		t.Fatal(err)
	}
	n.on("/blocks/", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
		w.Header().Set("Content-Length", "100000") // broken off
		real.ServeHTTP(w, r)
	})
	const calls = 200
	for range calls {
		if _, _, err := pool.BlockAtSlot(patience(t), 1200); err == nil {
			t.Fatal("no error")
		}
	}
	// A tenth more, and the ten of a full budget.
	if got := n.count("/blocks/"); got <= calls || got > calls+calls/10+13 {
		t.Errorf("%d requests for %d calls", got, calls)
	}
	if got := sample(t, pool, `ethereum_beacon_retries_exhausted_total{operation="block"}`); got != fmt.Sprint(calls) {
		t.Errorf("%s exhausted, want %d", got, calls)
	}
}

func TestCallerWhoGoesAwayIsAnsweredAtOnceAndBlamesNobody(t *testing.T) {
	for _, op := range operations {
		n := newNode(t)
		pool := newPool(t, beacon.Config{}, n)
		if _, err := pool.Spec(patience(t)); err != nil {
			t.Fatal(err)
		}
		arrived := make(chan struct{})
		n.on(op.path, func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			close(arrived)
			hang(w, r, real)
		})
		ctx, cancel := context.WithCancel(t.Context())
		go func() { <-arrived; cancel() }()
		start := time.Now()
		if err := op.call(ctx, pool); !errors.Is(err, context.Canceled) || errors.Is(err, beacon.ErrUnavailable) {
			t.Errorf("%s: error %v", op.name, err)
		}
		if took := time.Since(start); took > 10*time.Second {
			t.Errorf("%s: took %v", op.name, took)
		}
		for line := range strings.Lines(exposition(t, pool)) {
			if strings.Contains(line, "_failures_total{") && !strings.HasSuffix(line, " 0\n") {
				t.Errorf("%s: %s", op.name, line)
			}
		}
	}
}

func TestDeadlineOfTheCallerIsItsError(t *testing.T) {
	n := newNode(t).on("/headers/", hang)
	pool := newPool(t, beacon.Config{ProbeTimeout: 50 * time.Millisecond}, n)
	ctx, cancel := context.WithTimeout(t.Context(), 200*time.Millisecond)
	defer cancel()
	if _, err := pool.Head(ctx); !errors.Is(err, context.DeadlineExceeded) {
		t.Errorf("error %v", err)
	}
	if got := sample(t, pool, failures(n, "header", "timeout")); got != "1" {
		t.Errorf("%s timeouts, want 1: the node had its time", got)
	}
}

// The client library's own default would cut every answer after 2 s.
func TestSlowAnswerIsNotCutAtTheLibrarysDefault(t *testing.T) {
	t.Parallel()
	n := newNode(t).on("/headers/", slow(2300*time.Millisecond))
	if _, err := newPool(t, beacon.Config{}, n).Head(patience(t)); err != nil {
		t.Error(err)
	}
}

func TestTimeoutCutsEveryOperation(t *testing.T) {
	for _, op := range operations {
		t.Run(op.name, func(t *testing.T) {
			t.Parallel()
			n := newNode(t).on(op.path, hang)
			pool := newPool(t, beacon.Config{Timeout: 200 * time.Millisecond, ProbeTimeout: 20 * time.Millisecond}, n)
			for _, err := pool.Spec(patience(t)); err != nil; _, err = pool.Spec(patience(t)) {
			}
			start := time.Now()
			if err := op.call(patience(t), pool); err == nil || errors.Is(err, beacon.ErrUnavailable) {
				t.Errorf("error %v", err)
			}
			if took := time.Since(start); took > 10*time.Second {
				t.Errorf("took %v", took)
			}
			if got := sample(t, pool, failures(n, op.name, "timeout")); got != "1" {
				t.Errorf("%s timeouts, want 1", got)
			}
		})
	}
}

func TestGzipAnswersAreRead(t *testing.T) {
	for _, op := range operations {
		packed := 0
		n := newNode(t).on("/eth/", rewrite(func(header http.Header, body []byte) []byte {
			packed++
			header.Set("Content-Encoding", "gzip")
			var to bytes.Buffer
			w := gzip.NewWriter(&to)
			w.Write(body)
			w.Close()
			return to.Bytes()
		}))
		if err := op.call(patience(t), newPool(t, beacon.Config{}, n)); err != nil || packed == 0 {
			t.Errorf("%s: %v", op.name, err)
		}
	}
}

func TestCompressionIsNotAskedFor(t *testing.T) {
	for _, op := range operations {
		n := newNode(t).on("/eth/", func(w http.ResponseWriter, r *http.Request, real http.Handler) {
			if got := r.Header.Get("Accept-Encoding"); got != "identity" {
				t.Errorf("%s: Accept-Encoding %q at %s", op.name, got, r.URL)
			}
			real.ServeHTTP(w, r)
		})
		if err := op.call(patience(t), newPool(t, beacon.Config{}, n)); err != nil {
			t.Error(err)
		}
	}
}

func TestEndlessAndBlownUpAnswersAreCutAtTheLimit(t *testing.T) {
	padding := bytes.Repeat([]byte(" "), 1<<20)
	endless := func(w io.Writer) {
		for {
			if _, err := w.Write(padding); err != nil {
				return
			}
		}
	}
	for name, c := range map[string]struct {
		op     int
		answer func(http.ResponseWriter, *http.Request, http.Handler)
	}{
		"read by us":          {1, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { endless(w) }},
		"read by the library": {0, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) { endless(w) }},
		"packed": {0, func(w http.ResponseWriter, _ *http.Request, _ http.Handler) {
			w.Header().Set("Content-Encoding", "gzip")
			endless(gzip.NewWriter(w))
		}},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			op := operations[c.op]
			sick, well := newNode(t).on(op.path, c.answer), newNode(t)
			pool := newPool(t, beacon.Config{}, sick, well)
			if err := op.call(patience(t), pool); err != nil {
				t.Error(err)
			}
			if got := sample(t, pool, failures(sick, op.name, "too_large")); got != "1" {
				t.Errorf("%s too large, want 1", got)
			}
		})
	}
}

// A node that is upgraded names a fork that this program and its library have never
// heard of; another one leaves the header out.
func TestForkNameDoesNotMatter(t *testing.T) {
	for _, name := range []string{"heze", ""} {
		for _, op := range operations {
			n := newNode(t).on("/eth/", rewrite(func(header http.Header, body []byte) []byte {
				header.Del("Eth-Consensus-Version")
				if name != "" {
					header.Set("Eth-Consensus-Version", name)
					if bytes.HasPrefix(body, []byte("{")) {
						body = append([]byte(`{"version":"`+name+`",`), body[1:]...)
					}
				}
				return body
			}))
			if err := op.call(patience(t), newPool(t, beacon.Config{}, n)); err != nil {
				t.Errorf("%s with fork %q: %v", op.name, name, err)
			}
		}
	}
}

// A node that has not reached a slot makes up what it says of it, so it is passed over, and
// asked again once it is there.
func TestANodeThatIsBeforeASlotIsNotAskedAboutIt(t *testing.T) {
	asks := map[string]func(ctx context.Context, p *beacon.Pool) error{
		"/finality_checkpoints": func(ctx context.Context, p *beacon.Pool) error {
			_, err := p.Finality(ctx, beacon.StateAt(1248))
			return err
		},
		"/validators": func(ctx context.Context, p *beacon.Pool) error {
			return p.Validators(ctx, beacon.StateAt(1248), []string{"3"}, func(wire.Validator) error { return nil })
		},
		"/duties/proposer": func(ctx context.Context, p *beacon.Pool) error {
			_, err := p.ProposerDuties(ctx, 39)
			return err
		},
	}
	for part, ask := range asks {
		t.Run(part, func(t *testing.T) {
			one, other := newNode(t).on(part, status(503)), newNode(t)
			other.SetHead(1239)
			pool := newPool(t, beacon.Config{}, one, other)
			pool.Probe(patience(t))
			if err := ask(patience(t), pool); err == nil || errors.Is(err, beacon.ErrUnavailable) {
				t.Errorf("answered with %v", err)
			}
			if n := other.count(part); n != 0 {
				t.Errorf("the node that is behind was asked %d times", n)
			}
			other.SetHead(1300)
			if err := ask(patience(t), pool); err != nil && strings.Contains(err.Error(), "is only at slot") {
				t.Error(err)
			}
			if n := other.count(part); n == 0 {
				t.Error("the node that has caught up was not asked")
			}
		})
	}
	// When all are behind, that is no word on whether it exists.
	only := newNode(t)
	only.SetHead(1239)
	pool := newPool(t, beacon.Config{}, only)
	pool.Probe(patience(t))
	if _, err := pool.Finality(patience(t), beacon.StateAt(1248)); err == nil || errors.Is(err, beacon.ErrUnavailable) || !strings.Contains(err.Error(), "is only at slot 1239") {
		t.Errorf("answered with %v", err)
	}
}

// What is canonical, each node that answered by slot or by epoch is asked, once.
func TestEachNodeThatToldSomethingIsAskedWhatIsCanonical(t *testing.T) {
	orphan := rewrite(func(_ http.Header, body []byte) []byte {
		return bytes.ReplaceAll(bytes.ReplaceAll(body, []byte(`"canonical": true`), []byte(`"canonical":true`)), []byte(`"canonical":true`), []byte(`"canonical":false`))
	})
	one, other := newNode(t).on("/committees", status(503)), newNode(t).on("/headers/0x", orphan)
	root, _ := one.Root(1200)
	pool := newPool(t, beacon.Config{}, one, other)
	if _, err := pool.ProposerDuties(patience(t), 36); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Committees(patience(t), 36, 36); err != nil {
		t.Fatal(err)
	}
	if canonical, err := pool.Canonical(patience(t), root); err != nil || canonical {
		t.Errorf("canonical %v, %v: the second node told the committees, and says no", canonical, err)
	}
	if a, b := one.count("/headers/0x"), other.count("/headers/0x"); a != 1 || b != 1 {
		t.Errorf("%d and %d requests, want one of each", a, b)
	}
	// Nothing was told since: the best node speaks.
	pool.Probe(patience(t))
	if canonical, err := pool.Canonical(patience(t), root); err != nil || !canonical {
		t.Errorf("canonical %v, %v", canonical, err)
	}
	// A node that does not know the block cannot confirm what it told.
	other.on("/headers/0x", status(404))
	if _, err := pool.Committees(patience(t), 36, 36); err != nil {
		t.Fatal(err)
	}
	if _, err := pool.Canonical(patience(t), root); !errors.Is(err, beacon.ErrUnavailable) {
		t.Errorf("canonical: %v", err)
	}
	// One whose caller had no time is still to be asked.
	if _, err := pool.Committees(patience(t), 36, 36); err != nil {
		t.Fatal(err)
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if _, err := pool.Canonical(ended, root); err == nil {
		t.Error("confirmed without time")
	}
	if _, err := pool.Canonical(patience(t), root); !errors.Is(err, beacon.ErrUnavailable) {
		t.Errorf("canonical: %v", err)
	}
}

// One that gave no answer is asked again the next time, and one that follows another fork is
// asked for anything else after the others. ForgetTellers has nobody asked.
func TestANodeThatDoesNotConfirmIsAskedAgainAndOneThatDeniesLast(t *testing.T) {
	one, other := newNode(t).on("/headers/0x", status(503)), newNode(t)
	root, _ := one.Root(1200)
	pool := newPool(t, beacon.Config{}, one, other)
	committees := func() {
		t.Helper()
		if _, err := pool.Committees(patience(t), 36, 36); err != nil {
			t.Fatal(err)
		}
	}
	committees()
	for range 2 {
		if _, err := pool.Canonical(patience(t), root); err == nil || errors.Is(err, beacon.ErrUnavailable) {
			t.Errorf("canonical: %v", err)
		}
	}
	if n := one.count("/headers/0x"); n != 2 || other.count("/headers/0x") != 0 {
		t.Errorf("asked %d times, and the other %d times", n, other.count("/headers/0x"))
	}
	one.heal()
	one.on("/headers/0x", rewrite(func(_ http.Header, body []byte) []byte {
		return regexp.MustCompile(`"canonical": ?true`).ReplaceAll(body, []byte(`"canonical":false`))
	}))
	pool.Probe(patience(t))
	if canonical, err := pool.Canonical(patience(t), root); err != nil || canonical {
		t.Fatalf("canonical %v, %v", canonical, err)
	}
	if other.count("/committees") != 0 {
		t.Fatal("the other node was asked for committees")
	}
	committees()
	if other.count("/committees") != 1 {
		t.Error("the node that follows another fork is still asked first")
	}
	pool.ForgetTellers()
	one.on("/headers/0x", status(404))
	if canonical, err := pool.Canonical(patience(t), root); err != nil || !canonical {
		t.Errorf("canonical %v, %v: the best node speaks, as nobody told anything", canonical, err)
	}
}
