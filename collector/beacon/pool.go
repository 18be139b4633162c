package beacon

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	eth2http "github.com/attestantio/go-eth2-client/http"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon/wire"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// Config configures a Pool.
type Config struct {
	// URLs of the nodes, at least one, the preferred one first. They may hold user
	// information, a path and a query, which are never shown: hosted nodes put tokens there.
	URLs []string
	// Headers are sent with every request.
	Headers http.Header
	// Timeout of a request; 10 s when 0. Big answers (committees, validators,
	// rewards) get slowFactor times as long.
	Timeout time.Duration
	// ProbeTimeout is how long Probe waits for a node; 2 s when 0.
	ProbeTimeout time.Duration
	// Logger may be nil.
	Logger *slog.Logger
	// Now is the clock; time.Now when nil.
	Now func() time.Time
}

const (
	defaultTimeout      = 10 * time.Second
	defaultProbeTimeout = 2 * time.Second
	slowFactor          = 6
)

// Pool asks beacon nodes. It may be used by several goroutines at once.
//
// Every operation tries the nodes in order of their health, each once, and then
// the best one again if it broke the connection and the retry budget allows. Its
// error matches [ErrUnavailable], [ErrNoNode], the error of its context, or none of these.
type Pool struct {
	cfg     Config
	nodes   []*node
	metrics *metrics
	retries retryBudget

	// ctx ends with Close; probes that hang live until then at most.
	ctx    context.Context
	cancel context.CancelFunc
	probes sync.WaitGroup

	mu sync.Mutex
	// genesis is the network: genesis_validators_root of the first node that answered.
	genesis *duty.Root
	// committeesBy are the nodes that answered with the committees of recent epochs.
	committeesBy map[duty.Epoch]*node

	spec        atomic.Pointer[agedSpec]
	specTurn    chan struct{}
	blockBuffer sync.Pool
	committees  sync.Pool
	members     atomic.Int64 // in the last epoch's committees
}

// New makes a pool. It does no I/O: nodes need not be reachable.
func New(cfg Config) (*Pool, error) {
	if len(cfg.URLs) == 0 {
		return nil, errors.New("no beacon node: give the URL of at least one")
	}
	if cfg.Timeout <= 0 {
		cfg.Timeout = defaultTimeout
	}
	if cfg.ProbeTimeout <= 0 {
		cfg.ProbeTimeout = defaultProbeTimeout
	}
	if cfg.Logger == nil {
		cfg.Logger = slog.New(slog.DiscardHandler)
	}
	if cfg.Now == nil {
		cfg.Now = time.Now
	}
	p := &Pool{cfg: cfg, metrics: newMetrics(), specTurn: make(chan struct{}, 1), committeesBy: map[duty.Epoch]*node{}}
	p.blockBuffer.New = func() any { return new(blockBuffer) }
	p.committees.New = func() any { return new(wire.CommitteeScratch) }
	p.ctx, p.cancel = context.WithCancel(context.Background())
	seen := make(map[string]int)
	for i, raw := range cfg.URLs {
		base, err := parseURL(raw)
		if err != nil {
			return nil, fmt.Errorf("beacon node %d of %d: %w", i+1, len(cfg.URLs), err)
		}
		endpoint := base.Scheme + "://" + base.Host
		if seen[endpoint]++; seen[endpoint] > 1 {
			endpoint = fmt.Sprintf("%s#%d", endpoint, seen[endpoint])
		}
		p.nodes = append(p.nodes, newNode(base, endpoint, cfg, p.metrics))
	}
	return p, nil
}

// parseURL does not repeat the address in its errors.
func parseURL(raw string) (*url.URL, error) {
	if !strings.Contains(raw, "://") {
		raw = "http://" + raw
	}
	base, err := url.Parse(raw)
	if err != nil || base.Host == "" {
		return nil, errors.New("not a URL; write it like http://localhost:5052")
	}
	if base.Scheme != "http" && base.Scheme != "https" {
		return nil, fmt.Errorf("scheme %q is not http or https", base.Scheme)
	}
	base.Path, base.RawPath = strings.TrimRight(base.Path, "/"), strings.TrimRight(base.RawPath, "/")
	base.Fragment = ""
	return base, nil
}

// Close ends what is left of probes and closes idle connections.
func (p *Pool) Close() {
	p.mu.Lock() // no probe starts after this
	p.cancel()
	p.mu.Unlock()
	p.probes.Wait()
	for _, n := range p.nodes {
		n.transport.CloseIdleConnections()
	}
}

// candidate is a node and its standing at the start of an operation.
type candidate struct {
	*node
	down  bool
	score int
}

// ranked returns the nodes in the order in which to ask them. Nodes on another
// network are left out.
func (p *Pool) ranked() []candidate {
	newest := p.newestHead()
	candidates := make([]candidate, 0, len(p.nodes))
	for _, n := range p.nodes {
		n.mu.Lock()
		if !n.refused {
			candidates = append(candidates, candidate{n, n.down, p.score(n, newest)})
		}
		n.mu.Unlock()
	}
	slices.SortStableFunc(candidates, func(a, b candidate) int { return a.score - b.score })
	return candidates
}

// lagSlots is how far a node may be behind the newest head before it is passed
// over. Below it, the order of the configuration decides, so that the answers do
// not come from one node now and from another in the next slot.
const lagSlots = 2

// score is 0 for a healthy node; of several faults the worst one decides first.
// The caller holds n.mu.
func (p *Pool) score(n *node, newest duty.Slot) int {
	score := 0
	for _, fault := range []bool{
		n.down,
		n.health.Syncing,
		n.health.optimistic != nil && *n.health.optimistic,
		n.headKnown && (n.head+lagSlots < newest || !p.plausible(n.head)),
		n.health.executionOffline != nil && *n.health.executionOffline,
		p.cfg.Now().Before(n.doubtedUntil),
		n.failing,
	} {
		score <<= 1
		if fault {
			score |= 1
		}
	}
	return score
}

// newestHead is the highest head slot of a node that is to be believed; 0 when there is none.
func (p *Pool) newestHead() (newest duty.Slot) {
	for _, n := range p.nodes {
		n.mu.Lock()
		optimistic := n.health.optimistic != nil && *n.health.optimistic
		if n.headKnown && !n.refused && !n.down && !n.health.Syncing && !optimistic && p.plausible(n.head) {
			newest = max(newest, n.head)
		}
		n.mu.Unlock()
	}
	return newest
}

// plausible tells whether a head slot may exist by now, clocks being what they are.
func (p *Pool) plausible(head duty.Slot) bool {
	spec := p.spec.Load()
	if spec == nil {
		return true
	}
	current, _ := spec.SlotAt(p.cfg.Now())
	return head <= current+duty.Slot(spec.SlotsPerEpoch)
}

// asking is one node's turn in an operation. done tells that no other node needs
// to be asked.
type asking func(ctx context.Context, n *node, service *eth2http.Service) (done bool, err error)

// ask does an operation on the nodes in turn until one is done. It returns nil
// also when a node answered and none was done.
func (p *Pool) ask(ctx context.Context, op operation, what string, try asking) error {
	return p.askAmong(ctx, p.ranked(), op, 0, what, try)
}

// askFrom is ask without the nodes whose head is before slot. They lack blocks that the
// answer depends on, and some make one up from what they have.
func (p *Pool) askFrom(ctx context.Context, op operation, slot duty.Slot, what string, try asking) error {
	return p.askAmong(ctx, p.ranked(), op, slot, what, try)
}

func (p *Pool) askAmong(ctx context.Context, candidates []candidate, op operation, slot duty.Slot, what string, try asking) error {
	failed := &operationError{what: what}
	var behind []*failure
	answered := false
	for i, c := range candidates {
		if c.down && (answered || failed.unavailable() > 0) {
			break // there is an answer, and this one may take long to add nothing
		}
		allowance := p.allowance(ctx, op, candidates[i:])
		if answered {
			allowance = min(allowance, p.cfg.ProbeTimeout)
		}
		slow, err := p.behind(ctx, c.node, slot, allowance)
		switch {
		case err != nil:
			return p.abandon(failed, op, err)
		case slow != nil && slow.reason != uncounted:
			failed.failures = append(failed.failures, slow)
			continue
		case slow != nil:
			behind = append(behind, slow)
			continue
		}
		done, fault, err := p.attempt(ctx, c.node, op, allowance, try)
		if fault != nil {
			failed.failures = append(failed.failures, fault)
		}
		switch {
		case err != nil:
			return p.abandon(failed, op, err)
		case done:
			return nil
		case fault == nil:
			answered = true
		default:
			if !fault.unavailable && i+1 < len(candidates) {
				c.series.failovers.Inc()
				p.cfg.Logger.Debug("Beacon node failed, trying another", "endpoint", c.endpoint, "operation", op, "error", fault.detail)
			}
		}
	}
	if answered {
		return nil
	}
	if len(failed.failures) == 0 && len(behind) > 0 {
		failed.failures = behind
		return failed
	}
	if failed.broken(candidates) && p.retries.take() {
		_, fault, err := p.attempt(ctx, candidates[0].node, op, p.allowance(ctx, op, candidates[:1]), try)
		if fault != nil {
			failed.failures = append(failed.failures, fault)
		}
		switch {
		case err != nil:
			return p.abandon(failed, op, err)
		case fault == nil:
			return nil
		}
	}
	if failed.unavailable() == 0 {
		p.metrics.exhausted.WithLabelValues(op.String()).Inc()
	}
	return failed
}

// behind tells why n cannot know yet what is decided at slot; nil where it can, or where
// nothing says that it cannot.
func (p *Pool) behind(ctx context.Context, n *node, slot duty.Slot, allowance time.Duration) (*failure, error) {
	n.mu.Lock()
	suspect := n.headKnown && n.head < slot
	n.mu.Unlock()
	if !suspect {
		return nil, nil
	}
	_, fault, err := p.attempt(ctx, n, opHeader, allowance, func(ctx context.Context, n *node, service *eth2http.Service) (bool, error) {
		return true, reached(ctx, n, service, slot)
	})
	return fault, err
}

// broken tells whether the best node broke the connection: worth a second attempt.
func (e *operationError) broken(candidates []candidate) bool {
	if len(e.failures) == 0 || e.unavailable() > 0 || e.failures[0].endpoint != candidates[0].endpoint {
		return false
	}
	return e.failures[0].reason == reasonConnect || e.failures[0].reason == reasonBody
}

// abandon makes the error of an operation that ended before its time.
func (p *Pool) abandon(failed *operationError, op operation, err error) error {
	var own *callerError
	if errors.As(err, &own) {
		return own.error
	}
	if errors.Is(err, context.DeadlineExceeded) {
		p.metrics.exhausted.WithLabelValues(op.String()).Inc()
	}
	failed.cause = err
	return failed
}

// timeoutOf is the timeout of one request.
func (p *Pool) timeoutOf(op operation) time.Duration {
	if op.big() {
		return slowFactor * p.cfg.Timeout
	}
	return p.cfg.Timeout
}

// allowance is how long the first of rest may take, so that each of the healthy
// ones behind it still has its share of what the caller has left.
func (p *Pool) allowance(ctx context.Context, op operation, rest []candidate) time.Duration {
	timeout := p.timeoutOf(op)
	deadline, ok := ctx.Deadline()
	if !ok {
		return timeout
	}
	shares := 1
	for _, c := range rest[1:] {
		if !c.down || rest[0].down {
			shares++
		}
	}
	return min(timeout, time.Until(deadline)/time.Duration(shares))
}

// attempt asks one node once. It returns whether try was done, or the node's
// fault, or (perhaps with a fault) an error that ends the operation.
func (p *Pool) attempt(ctx context.Context, n *node, op operation, allowance time.Duration, try asking) (bool, *failure, error) {
	if err := ctx.Err(); err != nil {
		return false, nil, err
	}
	p.retries.earn()
	attemptCtx, cancel := context.WithTimeout(ctx, allowance)
	defer cancel()
	var done bool
	id, err := n.identify(attemptCtx)
	if err == nil {
		err = p.admit(n, id)
	}
	if err == nil {
		done, err = try(attemptCtx, n, id.service)
	}
	if err == nil {
		n.mu.Lock()
		n.failing, n.down = false, false
		n.told = n.told || dependsOnChain(op)
		n.mu.Unlock()
		return done, nil, nil
	}
	var own *callerError
	if errors.As(err, &own) {
		return false, nil, own
	}
	if errors.Is(ctx.Err(), context.Canceled) {
		return false, nil, ctx.Err()
	}
	fault := newFailure(n, op, err)
	p.blame(n, op, fault, allowance)
	return false, fault, ctx.Err()
}

// dependsOnChain tells whether an answer is one of the node's canonical chain. Blocks and
// headers prove by their root where they belong.
func dependsOnChain(op operation) bool {
	switch op {
	case opCommittees, opProposerDuties, opSyncCommittee, opFinality, opValidators:
		return true
	}
	return false
}

// blame keeps the books about a failed request that had this long.
func (p *Pool) blame(n *node, op operation, fault *failure, allowance time.Duration) {
	if fault.reason == uncounted || fault.unavailable {
		return
	}
	away := fault.reason == reasonConnect
	if fault.reason == reasonTimeout {
		// A node is not to blame for the little time that the caller had left.
		enough := p.cfg.ProbeTimeout
		if allowance < min(enough, p.timeoutOf(op)) {
			return
		}
		if op.big() {
			enough *= slowFactor
		}
		away = allowance >= min(enough, p.timeoutOf(op))
	}
	n.series.of(op).failures[fault.reason].Inc()
	n.mu.Lock()
	defer n.mu.Unlock()
	n.failing = true
	if away {
		// With the identity goes a service of the client library that holds itself inactive.
		n.down, n.identity = true, nil
	}
}

// admit lets a node answer if it is on the network of the others.
func (p *Pool) admit(n *node, id *identity) error {
	p.mu.Lock()
	if p.genesis == nil {
		p.genesis = &id.genesisValidatorsRoot
	}
	refused := *p.genesis != id.genesisValidatorsRoot
	p.mu.Unlock()

	n.mu.Lock()
	changed := n.refused != refused
	n.refused = refused
	n.mu.Unlock()
	if changed && refused {
		n.log.Error("Beacon node is not used: it "+errOtherNetwork.Error(), "genesis_validators_root", fmt.Sprintf("%#x", id.genesisValidatorsRoot[:]))
	} else if changed {
		n.log.Info("Beacon node is on the right network now and is used again")
	}
	if refused {
		return errOtherNetwork
	}
	return nil
}

// retryBudget allows one repeated request for every ten, so that repeating does
// not add to the load of nodes that fail because of load.
type retryBudget struct{ spent atomic.Int64 }

const (
	retryCost = 10
	retryMost = 10 * retryCost
)

// earn pays back for a request, take spends on a repeated one.
func (b *retryBudget) earn() {
	for spent := b.spent.Load(); spent > 0 && !b.spent.CompareAndSwap(spent, spent-1); spent = b.spent.Load() {
	}
}

func (b *retryBudget) take() bool {
	for {
		spent := b.spent.Load()
		if spent+retryCost > retryMost {
			return false
		}
		if b.spent.CompareAndSwap(spent, spent+retryCost) {
			return true
		}
	}
}
