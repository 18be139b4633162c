package chainsim

import (
	"compress/gzip"
	"crypto/sha256"
	"maps"
	"math"
	"net/http"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
)

// NodeOptions are what is wrong with a node. The zero value is an honest, healthy one.
type NodeOptions struct {
	// Version is the answer to node/version; "chainsim/v1" when empty.
	Version string

	// Only limits the faults of transport below to these operations (see Node.Requests);
	// empty means all.
	Only []string
	// Delay comes before every answer. Hang never answers.
	Delay time.Duration
	Hang  bool
	// FailStatus answers an error instead; FailRatio of the requests, all of them when 0.
	FailStatus int
	FailRatio  float64
	// Truncate cuts bodies in half, as a proper answer. Abort cuts the connection there.
	Truncate, Abort bool
	// Oversize puts that many spaces before every body.
	Oversize int64
	// Gzip compresses every answer, asked or not.
	Gzip bool

	// Syncing, Optimistic and ELOffline are said by node/syncing.
	Syncing, Optimistic, ELOffline bool
	// HeadStuckAt is the newest slot that the node knows; 0 means it follows the chain.
	HeadStuckAt duty.Slot
	// HeadBehind is how many slots the node lags.
	HeadBehind uint64
	// OtherGenesis makes it a node of another network.
	OtherGenesis bool
	// OtherFork makes it follow a fork of its own: its newest blocks, that many, have
	// the same contents and other roots.
	OtherFork int

	// PrunedCommittees refuses committees but of the head's epoch ±1.
	PrunedCommittees bool
	// WrongEpochCommittees answers with the committees of the epoch before.
	WrongEpochCommittees bool
	// NoOldStates refuses states older than the previous epoch.
	NoOldStates bool
	// NoRewards is the status that rewards requests are refused with: 400, 404, 500.
	NoRewards int
	// DuplicateSyncRows answers sync rewards with a row for every seat, not validator.
	DuplicateSyncRows bool
	// JSONOnlyBlocks ignores the wish for SSZ.
	JSONOnlyBlocks bool
	// NoVersionHeader leaves Eth-Consensus-Version out.
	NoVersionHeader bool
	// Spec replaces keys of config/spec; an empty value removes the key.
	Spec map[string]string
}

// Node is a beacon node of a chain, an http.Handler whose faults can be switched at
// any time.
type Node struct {
	chain    *Chain
	mux      *http.ServeMux
	options  atomic.Pointer[NodeOptions]
	requests requestCounts
	// failures spreads FailRatio evenly.
	failures atomic.Uint64

	mu    sync.Mutex
	forks map[duty.Root][]*block // made by OtherFork, by the true head
}

// OperationCount counts the requests of an operation and the bytes of its answers' bodies.
type OperationCount struct{ Requests, Bytes uint64 }

type requestCounts struct {
	mu    sync.Mutex
	count map[string]OperationCount
}

func (r *requestCounts) add(operation string, bytes uint64) {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil {
		r.count = map[string]OperationCount{}
	}
	n := r.count[operation]
	r.count[operation] = OperationCount{n.Requests + 1, n.Bytes + bytes}
}

func (r *requestCounts) snapshot() map[string]OperationCount {
	r.mu.Lock()
	defer r.mu.Unlock()
	if r.count == nil {
		return map[string]OperationCount{}
	}
	return maps.Clone(r.count)
}

// Handler returns an honest node.
func (c *Chain) Handler() http.Handler { return c.Node(NodeOptions{}) }

// Node returns a node with faults.
func (c *Chain) Node(options NodeOptions) *Node {
	n := &Node{chain: c, mux: http.NewServeMux(), forks: map[duty.Root][]*block{}}
	n.Set(options)
	for _, e := range endpoints() {
		n.mux.HandleFunc(e.pattern, func(w http.ResponseWriter, r *http.Request) { n.serve(w, r, &e) })
	}
	return n
}

// Set replaces the node's faults; requests under way keep the old ones.
func (n *Node) Set(options NodeOptions) { n.options.Store(&options) }

// Requests returns what this node was asked, by operation: node, spec, genesis,
// headers, blocks, committees, validators, finality, sync_committees,
// proposer_duties, attestation_rewards, sync_rewards, other.
func (n *Node) Requests() map[string]OperationCount { return n.requests.snapshot() }

// Requests returns what all nodes of the chain were asked, by operation.
func (c *Chain) Requests() map[string]OperationCount { return c.requests.snapshot() }

// ServeHTTP implements http.Handler.
func (n *Node) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	n.chain.tick()
	n.mux.ServeHTTP(w, r)
}

// serve answers with the node's faults of transport around the endpoint's answer.
func (n *Node) serve(w http.ResponseWriter, r *http.Request, e *endpoint) {
	o := *n.options.Load()
	counted := &countingWriter{ResponseWriter: w}
	w = counted
	defer func() {
		n.requests.add(e.operation, counted.bytes)
		n.chain.requests.add(e.operation, counted.bytes)
	}()

	faulty := len(o.Only) == 0 || slices.Contains(o.Only, e.operation)
	if faulty {
		if o.Hang {
			<-r.Context().Done()
			panic(http.ErrAbortHandler)
		}
		if o.Delay > 0 {
			select {
			case <-time.After(o.Delay):
			case <-r.Context().Done():
				return
			}
		}
		if o.FailStatus != 0 && n.fails(o.FailRatio) {
			refuse(w, o.FailStatus, "ordered to fail")
			return
		}
		if o.Gzip {
			w.Header().Set("Content-Encoding", "gzip")
			packed := &gzipWriter{ResponseWriter: w, gzip: gzip.NewWriter(w)}
			defer packed.gzip.Close()
			w = packed
		}
		if o.Oversize > 0 {
			w = &paddingWriter{ResponseWriter: w, left: o.Oversize}
		}
		if o.Truncate || o.Abort {
			cut := &cuttingWriter{ResponseWriter: w}
			defer cut.finish(o.Abort)
			w = cut
		}
	}
	e.answer(n.view(o), w, r)
}

func (n *Node) fails(ratio float64) bool {
	if ratio == 0 {
		return true
	}
	i := float64(n.failures.Add(1))
	return math.Floor(i*ratio) > math.Floor((i-1)*ratio)
}

type countingWriter struct {
	http.ResponseWriter
	bytes uint64
}

func (w *countingWriter) Write(b []byte) (int, error) {
	n, err := w.ResponseWriter.Write(b)
	w.bytes += uint64(n)
	return n, err
}

type gzipWriter struct {
	http.ResponseWriter
	gzip *gzip.Writer
}

func (w *gzipWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func (w *gzipWriter) Write(b []byte) (int, error) {
	w.Header().Del("Content-Length")
	return w.gzip.Write(b)
}

type paddingWriter struct {
	http.ResponseWriter
	left int64
}

func (w *paddingWriter) WriteHeader(status int) {
	w.Header().Del("Content-Length")
	w.ResponseWriter.WriteHeader(status)
}

func (w *paddingWriter) Write(b []byte) (int, error) {
	w.Header().Del("Content-Length")
	for spaces := slices.Repeat([]byte{' '}, 1<<16); w.left > 0; {
		n, err := w.ResponseWriter.Write(spaces[:min(w.left, int64(len(spaces)))])
		w.left -= int64(n)
		if err != nil {
			return 0, err
		}
	}
	return w.ResponseWriter.Write(b)
}

// cuttingWriter holds the whole answer back and lets half of it go.
type cuttingWriter struct {
	http.ResponseWriter
	status int
	body   []byte
}

func (w *cuttingWriter) WriteHeader(status int) { w.status = status }

func (w *cuttingWriter) Write(b []byte) (int, error) {
	w.body = append(w.body, b...)
	return len(b), nil
}

func (w *cuttingWriter) finish(abort bool) {
	w.Header().Del("Content-Length")
	if w.status != 0 {
		w.ResponseWriter.WriteHeader(w.status)
	}
	w.ResponseWriter.Write(w.body[:len(w.body)/2])
	if abort {
		http.NewResponseController(w.ResponseWriter).Flush()
		panic(http.ErrAbortHandler)
	}
}

// Unwrap lets the response controller find what it needs.
func (w *countingWriter) Unwrap() http.ResponseWriter { return w.ResponseWriter }
func (w *gzipWriter) Unwrap() http.ResponseWriter     { return w.ResponseWriter }
func (w *paddingWriter) Unwrap() http.ResponseWriter  { return w.ResponseWriter }

// view is the chain as a node sees it while it answers one request.
type view struct {
	chain *Chain
	NodeOptions
	head *block
	// current is the slot of the clock.
	current duty.Slot
	// own are the blocks of the node's own fork, oldest first.
	own []*block
}

func (n *Node) view(o NodeOptions) *view {
	c := n.chain
	c.mu.RLock()
	v := &view{chain: c, NodeOptions: o, head: c.head, current: c.slot}
	c.mu.RUnlock()
	if o.HeadStuckAt > 0 && v.head.slot > o.HeadStuckAt {
		v.head = c.ancestor(v.head, o.HeadStuckAt)
	}
	if o.HeadBehind > 0 {
		v.head = c.ancestor(v.head, v.current-min(v.current, duty.Slot(o.HeadBehind)))
	}
	if o.OtherFork > 0 {
		v.own = n.fork(v.head, o.OtherFork)
		if len(v.own) > 0 {
			v.head = v.own[len(v.own)-1]
		}
	}
	return v
}

// fork makes other versions of head and its ancestors, length of them.
func (n *Node) fork(head *block, length int) []*block {
	n.mu.Lock()
	defer n.mu.Unlock()
	if blocks, ok := n.forks[head.root]; ok && len(blocks) == length {
		return blocks
	}
	var originals []*block
	for b := head; b.parent != nil && len(originals) < length; b = b.parent {
		originals = append(originals, b)
	}
	slices.Reverse(originals)
	var own []*block
	for i, b := range originals {
		lie := n.chain.copyOf(b)
		if len(lie.ssz) == 0 {
			continue // pruned
		}
		if i > 0 {
			lie.parent = own[i-1]
		}
		copy(lie.ssz[parentRootAt:], lie.parent.root[:])
		copy(lie.ssz[graffitiAt:], "other fork")
		lie.root = sha256.Sum256(lie.ssz)
		lie.stateRoot = sha256.Sum256(lie.root[:])
		own = append(own, lie)
	}
	if len(n.forks) > 16 {
		clear(n.forks)
	}
	n.forks[head.root] = own
	return own
}

// encoded returns b's encoding up to the transactions; nil when it was pruned.
func (c *Chain) encoded(b *block) []byte {
	c.mu.RLock()
	defer c.mu.RUnlock()
	return b.ssz
}

// copyOf returns a copy of b with an encoding of its own.
func (c *Chain) copyOf(b *block) *block {
	c.mu.RLock()
	defer c.mu.RUnlock()
	other := *b
	other.ssz = slices.Clone(b.ssz)
	return &other
}

// at returns the newest block at or before slot as the node sees it.
func (v *view) at(slot duty.Slot) *block { return v.chain.ancestor(v.head, slot) }

func (v *view) byRoot(root duty.Root) *block {
	for _, b := range v.own {
		if b.root == root || b.stateRoot == root {
			return b
		}
	}
	v.chain.mu.RLock()
	defer v.chain.mu.RUnlock()
	b := v.chain.byRoot[root]
	if b == nil {
		b = v.chain.byState[root]
	}
	if b == nil || b.slot > v.head.slot && v.lags() {
		return nil
	}
	return b
}

func (v *view) lags() bool { return v.HeadStuckAt > 0 || v.HeadBehind > 0 }

// canonical tells whether b is on the node's own chain.
func (v *view) canonical(b *block) bool { return b.slot <= v.head.slot && v.at(b.slot) == b }
