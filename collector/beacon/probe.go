package beacon

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// NodeHealth is what a node says about itself.
type NodeHealth struct {
	// Endpoint is the node's scheme, host and port.
	Endpoint string
	// Up: it answered the last probe and is on the network of the others. Where false,
	// nothing below is known.
	Up bool
	// Optimistic: its execution client has not verified the head. ExecutionOffline:
	// it cannot reach its execution client. Neither is healthy. False when not told.
	Syncing, Optimistic, ExecutionOffline bool
	HeadSlot                              duty.Slot
	// SyncDistance is in slots.
	SyncDistance uint64
	Peers        uint64
	PeersKnown   bool
	// Since is when it came up; zero where it was up when it was first asked.
	Since time.Time
	// Client in lower case and Version; empty when not known.
	Client, Version string
}

// health keeps apart what is false and what was not told.
type health struct {
	NodeHealth
	probed                       bool
	optimistic, executionOffline *bool
}

// peersAge is how long a node that does not tell its number of peers is left alone.
const peersAge = 10 * time.Minute

// flight is a probe on its way; done closes when it has ended. reported tells,
// under the node's lock, that its outcome is known.
type flight struct {
	done     chan struct{}
	reported bool
}

// Probe asks every node for its health, all at once, and ranks them by it. It
// returns when every node has answered, at the latest after the probe timeout or
// when ctx ends. A node that hung in the last probe is not waited for longer than
// for the others; what it says when it answers at last counts from then on.
func (p *Pool) Probe(ctx context.Context) []NodeHealth {
	patience, cancel := context.WithTimeout(ctx, p.cfg.ProbeTimeout)
	defer cancel()
	flights := make([]*flight, len(p.nodes))
	for i, n := range p.nodes {
		flights[i] = p.launch(n)
	}
	waited := false
	for i, n := range p.nodes {
		if !n.isHung() {
			waited = true
			flights[i].wait(patience)
		}
	}
	for i, n := range p.nodes {
		if n.isHung() && !waited {
			flights[i].wait(patience)
		}
	}
	// An answer that is late because the caller has no time is nobody's fault.
	overdue := ctx.Err() == nil
	healths := make([]NodeHealth, len(p.nodes))
	for i, n := range p.nodes {
		if overdue && !flights[i].landed() {
			n.missedProbe()
		}
		n.mu.Lock()
		id := n.identity
		n.mu.Unlock()
		if id != nil {
			_ = p.admit(n, id) // in the configured order, so that the first one tells the network
		}
		h, _ := n.lastHealth()
		healths[i] = h.NodeHealth
	}
	return healths
}

func (f *flight) wait(ctx context.Context) {
	select {
	case <-f.done:
	case <-ctx.Done():
	}
}

func (f *flight) landed() bool {
	select {
	case <-f.done:
		return true
	default:
		return false
	}
}

// launch starts a probe of n, unless one is still on its way.
func (p *Pool) launch(n *node) *flight {
	p.mu.Lock()
	defer p.mu.Unlock()
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.flight != nil && !n.flight.landed() {
		return n.flight
	}
	n.flight = &flight{done: make(chan struct{})}
	landing := n.flight.done
	if p.ctx.Err() != nil {
		close(landing)
		return n.flight
	}
	p.probes.Go(func() {
		defer close(landing)
		ctx, cancel := context.WithTimeout(p.ctx, max(p.cfg.Timeout, p.cfg.ProbeTimeout))
		defer cancel()
		p.probe(ctx, n)
	})
	return n.flight
}

// probe asks n how it is.
func (p *Pool) probe(ctx context.Context, n *node) {
	peers := make(chan *uint64, 1)
	go func() { peers <- p.peers(ctx, n) }()

	h := health{probed: true}
	err := n.readSyncing(ctx, &h)
	if err == nil {
		var id *identity
		if id, err = n.identify(ctx); err == nil {
			h.Client, h.Version = id.client, id.version
		}
	}
	if count := <-peers; count != nil {
		h.Peers, h.PeersKnown = *count, true
	}
	if err != nil && errors.Is(ctx.Err(), context.Canceled) {
		return // closed
	}
	if err != nil {
		fault := newFailure(n, opSyncing, err)
		p.blame(n, opSyncing, fault, p.cfg.Timeout)
		n.setHealth(health{probed: true}, fault)
		return
	}
	h.Up = true
	n.setHealth(h, nil)
}

// readSyncing is our own reader, since the client library's leaves el_offline out.
func (n *node) readSyncing(ctx context.Context, h *health) error {
	var answer struct {
		Data struct {
			HeadSlot         string `json:"head_slot"`
			SyncDistance     string `json:"sync_distance"`
			Syncing          *bool  `json:"is_syncing"`
			Optimistic       *bool  `json:"is_optimistic"`
			ExecutionOffline *bool  `json:"el_offline"`
		} `json:"data"`
	}
	if err := n.getJSON(ctx, "/eth/v1/node/syncing", &answer); err != nil {
		return err
	}
	data := answer.Data
	head, err := strconv.ParseUint(data.HeadSlot, 10, 64)
	if err != nil {
		return err
	}
	if h.SyncDistance, err = strconv.ParseUint(data.SyncDistance, 10, 64); err != nil {
		return err
	}
	if data.Syncing == nil {
		return errors.New("is_syncing is missing")
	}
	h.HeadSlot, h.Syncing = duty.Slot(head), *data.Syncing
	h.optimistic, h.executionOffline = data.Optimistic, data.ExecutionOffline
	h.Optimistic = data.Optimistic != nil && *data.Optimistic
	h.ExecutionOffline = data.ExecutionOffline != nil && *data.ExecutionOffline
	return nil
}

// peers returns nil where the node does not tell: hosted nodes do not.
func (p *Pool) peers(ctx context.Context, n *node) *uint64 {
	n.mu.Lock()
	silent := n.now().Before(n.noPeersUntil)
	n.mu.Unlock()
	if silent {
		return nil
	}
	ctx, cancel := context.WithTimeout(ctx, p.cfg.ProbeTimeout/2)
	defer cancel()
	var answer struct {
		Data struct {
			Connected string `json:"connected"`
		} `json:"data"`
	}
	err := n.getJSON(ctx, "/eth/v1/node/peer_count", &answer)
	if err == nil {
		var count uint64
		if count, err = strconv.ParseUint(answer.Data.Connected, 10, 64); err == nil {
			return &count
		}
	}
	if newFailure(n, opPeers, err).reason != reasonConnect {
		n.mu.Lock()
		defer n.mu.Unlock()
		n.noPeersUntil = n.now().Add(peersAge)
	}
	return nil
}

// setHealth notes the outcome of a probe; fault is nil when the node is up.
func (n *node) setHealth(h health, fault *failure) {
	n.mu.Lock()
	defer n.mu.Unlock()
	n.flight.reported = true
	n.down, n.failing = !h.Up, false
	n.hung = fault != nil && fault.reason == reasonTimeout
	if h.Up {
		n.head, n.headKnown = h.HeadSlot, true
		if n.health.probed && !n.health.Up && !h.PeersKnown {
			n.noPeersUntil = time.Time{} // it may have been away only just now
		}
		n.replaceHealth(h, "")
		return
	}
	n.replaceHealth(h, fault.detail)
}

// missedProbe notes that the probe has not been answered yet.
func (n *node) missedProbe() {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.flight.reported {
		return // just now
	}
	n.down, n.hung, n.identity = true, true, nil
	n.replaceHealth(health{probed: true}, "did not answer in time")
}

// replaceHealth also logs a change. The caller holds n.mu.
func (n *node) replaceHealth(h health, problem string) {
	before := n.health
	switch {
	case h.Up && before.Up:
		h.Since = before.Since
	case h.Up && before.probed:
		h.Since = n.now()
	}
	n.health = h
	switch {
	case h.Up && before.probed && !before.Up:
		n.log.Info("Beacon node is back")
	case !h.Up && (!before.probed || before.Up):
		n.log.Warn("Beacon node is down", "error", problem)
	}
}

func (n *node) isHung() bool {
	n.mu.Lock()
	defer n.mu.Unlock()
	return n.hung
}

// lastHealth is that of the last probe; probed is false before the first. A node
// on another network is as good as down.
func (n *node) lastHealth() (h health, probed bool) {
	n.mu.Lock()
	defer n.mu.Unlock()
	h = n.health
	if n.refused {
		h.NodeHealth = NodeHealth{}
	}
	h.Endpoint = n.endpoint
	return h, h.probed
}
