package main

import (
	"bufio"
	"context"
	"io"
	"net/http"
	"regexp"
	"testing"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/chainsim"
)

func TestServesUntilStopped(t *testing.T) {
	ctx, stop := context.WithCancel(t.Context())
	read, write := io.Pipe()
	result := make(chan error, 1)
	go func() {
		result <- run(ctx, []string{"--listen", "127.0.0.1:0", "--validators", "100", "--preset", "short"}, write)
	}()
	line, err := bufio.NewReader(read).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url := regexp.MustCompile(`http://[0-9.:]*[0-9]`).FindString(line)
	resp, err := http.Get(url + "/eth/v1/beacon/headers/finalized")
	if err != nil {
		t.Fatalf("%s: %v", line, err)
	}
	resp.Body.Close()
	if resp.StatusCode != http.StatusOK {
		t.Errorf("finalized header: %s", resp.Status)
	}
	check := []string{"healthcheck", "--url=" + url + "/eth/v1/node/health"}
	if err := run(t.Context(), check, io.Discard); err != nil {
		t.Errorf("while it serves: %v", err)
	}
	stop()
	if err := <-result; err != nil {
		t.Errorf("stopped with %v", err)
	}
	if err := run(t.Context(), check, io.Discard); err == nil {
		t.Error("healthy after it has stopped")
	}
}

func TestDemoFitsEveryPresetAndSize(t *testing.T) {
	for _, name := range []string{"mainnet", "minimal", "gnosis", "short"} {
		for _, validators := range []int{1, 20, 21, 500} {
			p, err := chainsim.PresetByName(name)
			if err != nil {
				t.Fatal(err)
			}
			chain, err := chainsim.New(chainsim.Config{Preset: p, Validators: validators, Faults: demo(&p, validators, 2)})
			if err != nil {
				t.Fatalf("%s, %d validators: %v", name, validators, err)
			}
			chain.AdvanceTo(p.FirstSlot(13))
			if slot, _ := chain.Head(); validators == 500 && (slot < p.FirstSlot(12) || len(chain.Truth().Orphans()) == 0) {
				t.Errorf("%s: head at %d, %d orphans", name, slot, len(chain.Truth().Orphans()))
			}
		}
	}
}
