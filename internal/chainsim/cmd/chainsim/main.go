// Command chainsim serves a simulated beacon chain that grows with the clock, for
// demonstrations. "chainsim healthcheck" asks a running one whether it is alive.
package main

import (
	"context"
	"errors"
	"flag"
	"fmt"
	"io"
	"net"
	"net/http"
	"os"
	"os/signal"
	"syscall"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

func main() {
	ctx, stop := signal.NotifyContext(context.Background(), os.Interrupt, syscall.SIGTERM)
	defer stop()
	if err := run(ctx, os.Args[1:], os.Stdout); err != nil && !errors.Is(err, flag.ErrHelp) {
		fmt.Fprintln(os.Stderr, "chainsim:", err)
		os.Exit(1)
	}
}

func run(ctx context.Context, args []string, out io.Writer) error {
	if len(args) > 0 && args[0] == "healthcheck" {
		return healthcheck(ctx, args[1:], out)
	}
	flags := flag.NewFlagSet("chainsim", flag.ContinueOnError)
	var (
		listen       = flags.String("listen", "127.0.0.1:5052", "address to serve the Beacon API on")
		validators   = flags.Int("validators", 2000, "number of validators")
		preset       = flags.String("preset", "mainnet", "mainnet, minimal, gnosis or short")
		slotDuration = flags.Duration("slot-duration", 2*time.Second, "length of a slot")
		seed         = flags.Uint64("seed", 1, "seed of all chances")
		faults       = flags.String("faults", "demo", "demo or none")
		epochs       = flags.Uint64("epochs", 20, "epochs that exist at the start")
	)
	if err := flags.Parse(args); err != nil {
		return err
	}
	p, err := chainsim.PresetByName(*preset)
	if err != nil {
		return err
	}
	p.SlotDuration = *slotDuration
	past := time.Duration(*epochs*p.SlotsPerEpoch+p.SlotsPerEpoch/2) * p.SlotDuration
	cfg := chainsim.Config{
		Preset: p, Validators: *validators, Seed: *seed, Network: "chainsim", Clock: time.Now,
		GenesisTime: time.Now().Add(-past), KeepEpochs: 256,
	}
	switch *faults {
	case "demo":
		cfg.Faults = demo(&p, *validators, duty.Epoch(*epochs))
	case "none":
	default:
		return fmt.Errorf("no faults %q: use demo or none", *faults)
	}
	chain, err := chainsim.New(cfg)
	if err != nil {
		return err
	}

	listener, err := net.Listen("tcp", *listen)
	if err != nil {
		return fmt.Errorf("serve the Beacon API: %w", err)
	}
	server := &http.Server{Handler: chain.Handler(), ReadHeaderTimeout: 10 * time.Second}
	drained := make(chan struct{})
	context.AfterFunc(ctx, func() {
		defer close(drained)
		patience, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		if server.Shutdown(patience) != nil {
			server.Close()
		}
	})
	fmt.Fprintf(out, "Beacon API of a simulated %s chain at http://%s: %d validators, %s slots, %d epochs so far, faults: %s\n",
		*preset, listener.Addr(), *validators, p.SlotDuration, *epochs, *faults)
	if err := server.Serve(listener); !errors.Is(err, http.ErrServerClosed) {
		return err
	}
	<-drained
	return nil
}

// healthcheck fails when no running chainsim answers, for containers without a shell.
func healthcheck(ctx context.Context, args []string, out io.Writer) error {
	flags := flag.NewFlagSet("chainsim healthcheck", flag.ContinueOnError)
	url := flags.String("url", "http://127.0.0.1:5052/eth/v1/node/health", "what to ask")
	timeout := flags.Duration("timeout", 5*time.Second, "longest wait for the answer")
	if err := flags.Parse(args); err != nil {
		return err
	}
	ctx, cancel := context.WithTimeout(ctx, *timeout)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, *url, nil)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return fmt.Errorf("not healthy: %w", err)
	}
	response.Body.Close()
	if response.StatusCode != http.StatusOK {
		return fmt.Errorf("not healthy: %s answered %s", *url, response.Status)
	}
	fmt.Fprintln(out, "healthy")
	return nil
}

// demo is a network with a bit of everything, most of it soon after the start.
func demo(p *chainsim.Preset, validators int, now duty.Epoch) []chainsim.Fault {
	n := duty.ValidatorIndex(validators)
	slot := func(epochs, slots int) duty.Slot {
		return p.FirstSlot(now+duty.Epoch(epochs)) + duty.Slot(slots)
	}
	faults := []chainsim.Fault{
		chainsim.Offline{Validators: chainsim.Range(n/20, n/20+n/100+1)},
		chainsim.Offline{Validators: chainsim.Range(n/10, n/10+n/100+1), Probability: 0.3},
		chainsim.Offline{Validators: chainsim.Range(0, n/50+1), Slots: chainsim.Slots{From: slot(2, 0), To: slot(4, 0)}},
		chainsim.Late{Validators: chainsim.Range(n/5, n/5+n/100+1), Probability: 0.5, Delay: 3},
		chainsim.WrongHead{Validators: chainsim.Range(n/4, n/4+n/100+1), Probability: 0.4},
		chainsim.WrongTarget{Validators: chainsim.Range(n/3, n/3+n/100+1), Probability: 0.1},
		chainsim.SyncMissing{Validators: chainsim.Every(50, 3)},
		chainsim.NoProposal{Validators: chainsim.Every(40, 1)},
		chainsim.Outage{Slots: chainsim.Slots{From: slot(5, 3), To: slot(5, 7)}},
		chainsim.LateBlock{Slots: chainsim.Slots{From: slot(1, 5), To: slot(1, 6)}},
		chainsim.Deposit{Count: 4, Epoch: now + 2, Activation: now + 10},
	}
	if n > 20 {
		faults = append(faults,
			chainsim.ProposerSlashing{Slot: slot(1, 2), Validator: n / 2},
			chainsim.AttesterSlashing{Slot: slot(3, 1), Validators: []duty.ValidatorIndex{n/2 + 1, n/2 + 2}},
			chainsim.Exit{Validators: []duty.ValidatorIndex{n/2 + 3}, Epoch: now + 8},
			chainsim.EffectiveBalance{Validators: []duty.ValidatorIndex{0, n - 1}, Increments: 2048},
		)
	}
	for at := slot(0, 20); at < slot(2000, 0); at += 150 {
		faults = append(faults, chainsim.Reorg{At: at, Until: at + 1 + at%3})
	}
	return faults
}
