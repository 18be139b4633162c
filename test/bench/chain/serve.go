package main

import (
	"encoding/json"
	"fmt"
	"net"
	"net/http"
	"os"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

// firstEpoch is where measuring begins: late enough for a whole window to be read
// back before it.
const firstEpoch = 40

// serve is the child that holds the network, so that its cost counts for nobody.
// Besides the Beacon API it answers POST /control/advance, which moves the chain by
// a slot and tells which, and GET /control/requests. It prints its URL and ends with its standard input.
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
	mux.HandleFunc("POST /control/advance", func(w http.ResponseWriter, _ *http.Request) {
		slot := chain.Slot() + 1
		chain.AdvanceTo(slot)
		fmt.Fprint(w, slot)
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
