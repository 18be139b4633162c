package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"strconv"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// firstEpoch is where measuring begins: late enough for a whole window to be read
// back before it.
const firstEpoch = 40

// serve is the child that holds the network, so that its cost counts for nobody.
// Besides the Beacon API it answers POST /control/advance?slot= and GET
// /control/requests. It prints its URL and ends with its standard input.
func serve(validators int) error {
	chain, err := chainsim.New(chainsim.Config{
		Validators: validators, Seed: 1, Network: "bench", GenesisTime: time.Unix(1_600_000_000, 0),
		BlockPayloadBytes: 120 << 10, FullAggregates: true, KeepEpochs: 40,
	})
	if err != nil {
		return err
	}
	node := chain.Node(chainsim.NodeOptions{})
	chain.AdvanceTo(chain.Spec().FirstSlot(firstEpoch))
	mux := http.NewServeMux()
	mux.Handle("/eth/", node)
	mux.HandleFunc("POST /control/advance", func(_ http.ResponseWriter, r *http.Request) {
		if slot, err := strconv.ParseUint(r.FormValue("slot"), 10, 64); err == nil {
			chain.AdvanceTo(duty.Slot(slot))
		}
	})
	mux.HandleFunc("GET /control/requests", func(w http.ResponseWriter, _ *http.Request) {
		_ = json.NewEncoder(w).Encode(node.Requests())
	})
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	fmt.Println("http://" + listener.Addr().String())
	go func() {
		_, _ = os.Stdin.Read(make([]byte, 1))
		os.Exit(0)
	}()
	return http.Serve(listener, mux)
}
