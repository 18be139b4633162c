package devnet

import (
	"context"
	"crypto/rand"
	"encoding/hex"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"sync"
	"syscall"
	"time"
)

// Options of a devnet. Only Shape is required.
type Options struct {
	Shape Shape
	// BinDir holds the programs; the module's bin/tools when empty.
	BinDir string
	// WorkDir is for data and logs and is removed by Stop, unless Keep; a new
	// temporary directory when empty.
	WorkDir string
	Keep    bool
	Log     *slog.Logger
}

// Devnet is a running chain: geth, one beacon node and any number of validator clients.
type Devnet struct {
	shape    Shape
	programs Programs
	dir      string
	keep     bool
	log      *slog.Logger
	genesis  time.Time
	ports    ports

	mu         sync.Mutex
	geth       *process
	beacon     *process
	validators []*process
	stopped    bool
}

type ports struct{ engine, rpc, http, p2p int }

const (
	// beforeGenesis is the time that the programs have to start until slot 0 begins.
	// Started later they would still build the chain, with empty slots at its start.
	beforeGenesis = 20 * time.Second
	startTimeout  = 90 * time.Second
	stopGrace     = 10 * time.Second
	feeRecipient  = "0x123463a4b065722e99115d6c222f267d9cabb524" // has the ether of the execution genesis
)

// Start starts a chain and its validators and returns when the beacon node answers,
// a few seconds before genesis. ctx bounds the start only; Stop ends the chain, and
// so does the end of this process.
func Start(ctx context.Context, options Options) (*Devnet, error) {
	programs, err := Binaries(options.BinDir)
	if err != nil {
		return nil, fmt.Errorf("start devnet: %w", err)
	}
	dir := options.WorkDir
	if dir == "" {
		if dir, err = os.MkdirTemp("", "devnet-"); err != nil {
			return nil, fmt.Errorf("start devnet: %w", err)
		}
	} else if dir, err = filepath.Abs(dir); err != nil {
		return nil, fmt.Errorf("start devnet: %w", err)
	}
	free, err := freePorts(4)
	if err != nil {
		return nil, fmt.Errorf("start devnet: %w", err)
	}
	d := &Devnet{
		shape: options.Shape, programs: programs, dir: dir, keep: options.Keep, log: options.Log,
		ports: ports{engine: free[0], rpc: free[1], http: free[2], p2p: free[3]},
	}
	if d.log == nil {
		d.log = slog.New(slog.DiscardHandler)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	if err := d.start(ctx); err != nil {
		d.Stop()
		return nil, fmt.Errorf("start devnet: %w", err)
	}
	d.log.Info("devnet runs", "shape", d.shape.Name, "beacon", d.BeaconURL(), "genesis", d.genesis, "dir", d.dir)
	return d, nil
}

func (d *Devnet) start(ctx context.Context) error {
	if err := d.writeGenesis(ctx); err != nil {
		return err
	}
	if err := d.startGeth(ctx); err != nil {
		return err
	}
	if err := d.startBeacon(ctx); err != nil {
		return err
	}
	return d.StartValidators(0, d.shape.Keys)
}

func (d *Devnet) writeGenesis(ctx context.Context) error {
	secret := make([]byte, 32)
	rand.Read(secret) // never fails
	for name, content := range map[string][]byte{
		"chain-config.yaml":      d.shape.Config,
		"execution-genesis.json": executionGenesis,
		"jwt.hex":                []byte(hex.EncodeToString(secret)),
		// No flag of geth keeps it from listening for peers on every interface.
		"geth.toml": []byte("[Node.P2P]\nListenAddr = \"\"\nNoDiscovery = true\nMaxPeers = 0\n"),
	} {
		if err := os.WriteFile(d.path(name), content, 0o600); err != nil {
			return fmt.Errorf("write genesis: %w", err)
		}
	}
	d.genesis = time.Now().Add(beforeGenesis).Truncate(time.Second)
	return runProcess(ctx, d.dir, "prysmctl", d.programs.Prysmctl, "testnet", "generate-genesis",
		"--fork", "electra",
		"--num-validators", strconv.Itoa(d.shape.Validators),
		"--genesis-time", strconv.FormatInt(d.genesis.Unix(), 10),
		"--chain-config-file", d.path("chain-config.yaml"),
		"--geth-genesis-json-in", d.path("execution-genesis.json"),
		"--geth-genesis-json-out", d.path("genesis.json"),
		"--output-ssz", d.path("genesis.ssz"))
}

func (d *Devnet) startGeth(ctx context.Context) error {
	data := d.path("geth")
	if err := runProcess(ctx, d.dir, "geth-init", d.programs.Geth, "--datadir", data, "init", d.path("genesis.json")); err != nil {
		return err
	}
	p, err := startProcess(d.dir, "geth", d.programs.Geth,
		"--config", d.path("geth.toml"),
		"--datadir", data,
		"--networkid", "32382", "--syncmode", "full", "--ipcdisable",
		"--cache", "64",
		"--authrpc.addr", "127.0.0.1", "--authrpc.port", strconv.Itoa(d.ports.engine),
		"--authrpc.jwtsecret", d.path("jwt.hex"))
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.geth = p
	d.mu.Unlock()
	return nil
}

// startBeacon starts the beacon node on what its data directory holds.
func (d *Devnet) startBeacon(ctx context.Context, more ...string) error {
	const local = "127.0.0.1"
	arguments := []string{
		"--datadir", d.path("beacon"), "--accept-terms-of-use",
		"--genesis-state", d.path("genesis.ssz"), "--chain-config-file", d.path("chain-config.yaml"),
		"--contract-deployment-block", "0", "--chain-id", "32382", "--interop-eth1data-votes",
		"--execution-endpoint", fmt.Sprintf("http://%s:%d", local, d.ports.engine), "--jwt-secret", d.path("jwt.hex"),
		"--suggested-fee-recipient", feeRecipient,
		"--min-sync-peers", "0", "--minimum-peers-per-subnet", "0", "--no-discovery", "--bootstrap-node=", "--disable-quic",
		"--p2p-local-ip", local, "--p2p-host-ip", local,
		"--p2p-tcp-port", strconv.Itoa(d.ports.p2p), "--p2p-udp-port", strconv.Itoa(d.ports.p2p),
		"--http-host", local, "--http-port", strconv.Itoa(d.ports.http),
		"--rpc-host", local, "--rpc-port", strconv.Itoa(d.ports.rpc),
		"--disable-monitoring",
	}
	p, err := startProcess(d.dir, "beacon-chain", d.programs.BeaconChain, append(arguments, more...)...)
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.beacon = p
	d.mu.Unlock()
	return p.waitReady(ctx, func(ctx context.Context) error {
		_, err := d.HeadSlot(ctx)
		return err
	})
}

// StartValidators starts a validator client with n keys, the first of them that of
// the validator with index from. One that ran before with the same first key finds its
// slashing protection again.
func (d *Devnet) StartValidators(from, n int) error {
	name := fmt.Sprintf("validator-%d", from)
	p, err := startProcess(d.dir, name, d.programs.Validator,
		"--datadir", d.path(name), "--accept-terms-of-use",
		"--interop-start-index", strconv.Itoa(from), "--interop-num-validators", strconv.Itoa(n),
		"--chain-config-file", d.path("chain-config.yaml"),
		"--beacon-rpc-provider", fmt.Sprintf("127.0.0.1:%d", d.ports.rpc),
		"--disable-monitoring")
	if err != nil {
		return err
	}
	d.mu.Lock()
	d.validators = append(d.validators, p)
	d.mu.Unlock()
	d.log.Info("validators started", "first", from, "keys", n)
	return nil
}

// StopValidators ends all validator clients as an operator would.
func (d *Devnet) StopValidators() { d.endValidators(stopGrace) }

// KillValidators ends all validator clients at once.
func (d *Devnet) KillValidators() { d.endValidators(0) }

func (d *Devnet) endValidators(grace time.Duration) {
	d.mu.Lock()
	running := d.validators
	d.validators = nil
	d.mu.Unlock()
	var all sync.WaitGroup
	for _, p := range running {
		all.Go(func() { p.stop(grace) })
	}
	all.Wait()
	d.log.Info("validators ended", "clients", len(running))
}

// StallValidators freezes all validator clients for a while: empty slots, late and
// wrong votes. They run again when it returns.
func (d *Devnet) StallValidators(ctx context.Context, duration time.Duration) error {
	d.mu.Lock()
	frozen := d.validators
	d.mu.Unlock()
	for _, p := range frozen {
		p.signal(syscall.SIGSTOP)
		defer p.signal(syscall.SIGCONT)
	}
	select {
	case <-time.After(duration):
		return nil
	case <-ctx.Done():
		return ctx.Err()
	}
}

// RestartBeacon ends the beacon node and starts it again on the same data. It returns
// when the node answers.
func (d *Devnet) RestartBeacon(ctx context.Context) error {
	d.mu.Lock()
	p := d.beacon
	d.beacon = nil // so that nobody who waits for a slot takes it for dead
	d.mu.Unlock()
	if p != nil {
		p.stop(stopGrace)
	}
	ctx, cancel := context.WithTimeout(ctx, startTimeout)
	defer cancel()
	// Otherwise Prysm goes back to the justified checkpoint and waits for peers to tell
	// it the rest, while geth refuses to build on a block that is not its newest.
	if err := d.startBeacon(ctx, "--sync-from", "head"); err != nil {
		return fmt.Errorf("restart beacon node: %w", err)
	}
	d.log.Info("beacon node restarted")
	return nil
}

// Stop ends everything and removes the working directory unless it is to be kept. It
// may be called more than once.
func (d *Devnet) Stop() {
	d.mu.Lock()
	defer d.mu.Unlock()
	if d.stopped {
		return
	}
	d.stopped = true
	for _, p := range append(d.validators, d.beacon, d.geth) {
		if p != nil {
			p.stop(0)
		}
	}
	if d.keep {
		d.log.Info("devnet stopped; data and logs are kept", "dir", d.dir)
		return
	}
	if err := os.RemoveAll(d.dir); err != nil {
		d.log.Warn("devnet stopped; its directory cannot be removed", "err", err)
	}
}

// BeaconURL is the root of the Beacon API.
func (d *Devnet) BeaconURL() string { return fmt.Sprintf("http://127.0.0.1:%d", d.ports.http) }

// GenesisTime is the time at which slot 0 begins.
func (d *Devnet) GenesisTime() time.Time { return d.genesis }

// SlotDuration is the length of a slot.
func (d *Devnet) SlotDuration() time.Duration { return d.shape.SlotDuration }

// Shape is what the chain was started as.
func (d *Devnet) Shape() Shape { return d.shape }

// HeadSlot asks the beacon node for the slot of its head.
func (d *Devnet) HeadSlot(ctx context.Context) (uint64, error) {
	var answer struct {
		Data struct {
			Header struct {
				Message struct {
					Slot uint64 `json:"slot,string"`
				} `json:"message"`
			} `json:"header"`
		} `json:"data"`
	}
	if err := getJSON(ctx, d.BeaconURL()+"/eth/v1/beacon/headers/head", &answer); err != nil {
		return 0, err
	}
	return answer.Data.Header.Message.Slot, nil
}

// WaitEpoch waits until the head lies in epoch or later.
func (d *Devnet) WaitEpoch(ctx context.Context, epoch uint64) error {
	return d.WaitSlot(ctx, epoch*d.shape.SlotsPerEpoch)
}

// WaitSlot waits until the head is at slot or later. It fails when a program of the
// chain has died.
func (d *Devnet) WaitSlot(ctx context.Context, slot uint64) error {
	for {
		head, err := d.HeadSlot(ctx)
		if err == nil && head >= slot {
			return nil
		}
		if dead := d.dead(); dead != nil {
			return fmt.Errorf("wait for slot %d: %w", slot, dead.failure(errors.New("ended")))
		}
		select {
		case <-time.After(d.shape.SlotDuration / 10):
		case <-ctx.Done():
			return fmt.Errorf("wait for slot %d: head is at %d: %w", slot, head, errors.Join(ctx.Err(), err))
		}
	}
}

// dead returns a program that ended though nobody asked it to.
func (d *Devnet) dead() *process {
	d.mu.Lock()
	defer d.mu.Unlock()
	for _, p := range append([]*process{d.geth, d.beacon}, d.validators...) {
		if p != nil && p.ended() {
			return p
		}
	}
	return nil
}

func (d *Devnet) path(name string) string { return filepath.Join(d.dir, name) }

// getJSON decodes the answer of url, which has to come within five seconds.
func getJSON(ctx context.Context, url string, into any) error {
	ctx, cancel := context.WithTimeout(ctx, 5*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, nil)
	if err != nil {
		return err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return err
	}
	defer response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("GET %s: %s", url, response.Status)
	}
	if err := json.NewDecoder(response.Body).Decode(into); err != nil {
		return fmt.Errorf("GET %s: %w", url, err)
	}
	return nil
}
