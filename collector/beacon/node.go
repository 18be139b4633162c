package beacon

import (
	"context"
	"fmt"
	"log/slog"
	"net/http"
	"net/url"
	"strings"
	"sync"
	"time"

	"github.com/attestantio/go-eth2-client/api"
	eth2http "github.com/attestantio/go-eth2-client/http"
	"github.com/rs/zerolog"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// identityAge is how long a node's network, version and constants are believed.
const identityAge = time.Hour

// node is one beacon node and what is known of it.
type node struct {
	// endpoint is scheme, host and port: the only form of the address to be shown.
	endpoint  string
	base      *url.URL
	client    *http.Client
	transport *http.Transport
	redact    *strings.Replacer
	series    *nodeSeries
	log       *slog.Logger
	now       func() time.Time
	timeout   time.Duration

	// identifying has room for one: whoever finds out the identity.
	identifying chan struct{}

	mu       sync.Mutex
	identity *identity
	health   health
	flight   *flight
	// refused: on another network. hung: the last probe got no answer in time.
	refused, hung bool
	// down: not to be asked before others until a probe is answered.
	down bool
	// failing: the last answer was no good.
	failing bool
	// head is the newest head slot that the node told; headKnown false before that.
	head      duty.Slot
	headKnown bool
	// told: since the pool was last asked what is canonical, the node has answered something
	// that depends on its canonical chain.
	told bool
	// doubtedUntil: what the node answered did not fit; others are asked first until then.
	doubtedUntil time.Time
	// noPeersUntil saves asking a node that does not serve its number of peers.
	noPeersUntil time.Time
}

// identity is what makes a node the one it is. A restart may change it, so it is
// dropped whenever the node was away.
type identity struct {
	service               *eth2http.Service
	genesisTime           time.Time
	genesisValidatorsRoot duty.Root
	client, version       string
	until                 time.Time
}

// newNode makes a node without asking it anything.
func newNode(base *url.URL, endpoint string, cfg Config, metrics *metrics) *node {
	n := &node{
		endpoint:    endpoint,
		base:        base,
		transport:   newHTTPTransport(),
		redact:      redactor(base, cfg.Headers),
		series:      metrics.node(endpoint),
		log:         cfg.Logger.With("endpoint", endpoint),
		now:         cfg.Now,
		timeout:     cfg.Timeout,
		identifying: make(chan struct{}, 1),
	}
	n.client = &http.Client{
		Transport: &transport{wrapped: n.transport, headers: cfg.Headers.Clone(), series: n.series},
		// A redirect would carry the headers, with their tokens, to another host.
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	return n
}

// identify returns the node's identity, from memory for an hour.
func (n *node) identify(ctx context.Context) (*identity, error) {
	select {
	case n.identifying <- struct{}{}:
		defer func() { <-n.identifying }()
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	n.mu.Lock()
	known := n.identity
	n.mu.Unlock()
	if known != nil && n.now().Before(known.until) {
		return known, nil
	}

	service, err := newService(n.base.String(), n.client, n.timeout)
	if err != nil {
		return nil, err
	}
	// The library asks for the sync state and the version before anything else, and
	// keeps to itself what went wrong with them; asked directly, it tells.
	if _, err := service.NodeSyncing(ctx, &api.NodeSyncingOpts{}); err != nil {
		return nil, err
	}
	version, err := service.NodeVersion(ctx, &api.NodeVersionOpts{})
	if err != nil {
		return nil, err
	}
	genesis, err := service.Genesis(ctx, &api.GenesisOpts{})
	if err != nil {
		return nil, err
	}
	id := &identity{
		service:               service,
		genesisTime:           genesis.Data.GenesisTime,
		genesisValidatorsRoot: duty.Root(genesis.Data.GenesisValidatorsRoot),
		until:                 n.now().Add(identityAge),
	}
	id.client, id.version = splitVersion(version.Data)
	n.mu.Lock()
	n.identity = id
	n.mu.Unlock()
	return id, nil
}

// newService makes the client library's service, silent and without the polling
// that it would do for as long as its context lives: the context has ended. It
// makes its first request when it is first used.
func newService(address string, client *http.Client, timeout time.Duration) (*eth2http.Service, error) {
	ctx, cancel := context.WithCancel(context.Background())
	cancel()
	service, err := eth2http.New(ctx,
		eth2http.WithAddress(address),
		eth2http.WithHTTPClient(client),
		eth2http.WithTimeout(timeout),
		eth2http.WithLogLevel(zerolog.Disabled),
		eth2http.WithEnforceJSON(true),
		eth2http.WithAllowDelayedStart(true),
	)
	if err != nil {
		return nil, err
	}
	typed, ok := service.(*eth2http.Service)
	if !ok {
		return nil, fmt.Errorf("the client library made a %T", service)
	}
	return typed, nil
}

// splitVersion takes "Lighthouse/v7.1.0-cfb1f73/x86_64-linux" or "Prysm/v7.1.2
// (linux amd64)" apart; the client's name is in lower case.
func splitVersion(text string) (client, version string) {
	text = oneLine(text)
	client, version, _ = strings.Cut(text, "/")
	version, _, _ = strings.Cut(version, "/")
	version, _, _ = strings.Cut(version, " ")
	return strings.ToLower(strings.TrimSpace(client)), version
}

// tells sets whether the node has told something, and returns whether it is down and what
// was set before.
func (n *node) tells(now bool) (down, before bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	before, n.told = n.told, now
	return n.down, before
}

func (n *node) sawHead(slot duty.Slot) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.head, n.headKnown = slot, true
}

// clientName is the client's name in lower case, or "".
func (n *node) clientName() string {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.identity == nil {
		return ""
	}
	return n.identity.client
}
