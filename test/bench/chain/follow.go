package main

import (
	"context"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"os"
	"strconv"
	"syscall"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/collector"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/beacon"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/duty"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
)

const slotsPerEpoch = 32

// epochCost is what one epoch cost the process in CPU time.
type epochCost struct {
	Follow, Download time.Duration
}

// follow is the child that is measured: epoch by epoch it follows the chain with a
// scrape after every slot, then downloads the same blocks and committees and throws
// them away. It writes one JSON line an epoch.
func follow(url string, watched, rounds int) error {
	pool, err := beacon.New(beacon.Config{URLs: []string{url}})
	if err != nil {
		return err
	}
	defer pool.Close()
	list, err := watch.New("", []string{"0-" + strconv.Itoa(watched-1)}, nil, watch.Options{})
	if err != nil {
		return err
	}
	c, err := collector.New(collector.Config{
		Source: pool, Watch: list, Window: duty.WindowConfig{Epochs: 15, ResetSlots: 8},
		IndividualLimit: 1000, OffenderLimit: 50, NetworkStake: collector.StakeNever,
	})
	if err != nil {
		return err
	}
	defer c.Close()
	c.Scrape(context.Background())
	if ok, why := c.Ready(); !ok {
		return fmt.Errorf("not ready after the first scrape: %s", why)
	}
	for range rounds {
		var cost epochCost
		var slot int
		for range slotsPerEpoch {
			if slot, err = advance(url); err != nil {
				return err
			}
			began := cpu()
			c.Scrape(context.Background())
			cost.Follow += cpu() - began
		}
		began := cpu()
		if err := download(url, slot-slotsPerEpoch+1, slot); err != nil {
			return err
		}
		cost.Download = cpu() - began
		if err := json.NewEncoder(os.Stdout).Encode(cost); err != nil {
			return err
		}
	}
	return nil
}

// advance moves the chain by a slot and returns it.
func advance(url string) (slot int, err error) {
	resp, err := http.Post(url+"/control/advance", "", nil)
	if err != nil {
		return 0, err
	}
	defer resp.Body.Close()
	body, err := io.ReadAll(resp.Body)
	if err != nil {
		return 0, err
	}
	return strconv.Atoi(string(body))
}

// download reads an epoch's blocks and the committees of the next one, as following
// it does.
func download(url string, first, last int) error {
	client := &http.Client{Transport: &http.Transport{DisableCompression: true}}
	defer client.CloseIdleConnections()
	get := func(path string) error {
		req, err := http.NewRequest(http.MethodGet, url+path, nil)
		if err != nil {
			return err
		}
		req.Header.Set("Accept", "application/octet-stream, application/json;q=0.9")
		resp, err := client.Do(req)
		if err != nil {
			return err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return err
	}
	for slot := first; slot <= last; slot++ {
		if err := get("/eth/v2/beacon/blocks/" + strconv.Itoa(slot)); err != nil {
			return err
		}
	}
	return get("/eth/v1/beacon/states/head/committees?epoch=" + strconv.Itoa(last/slotsPerEpoch+1))
}

// cpu is the CPU time that this process has used, in user and system mode.
func cpu() time.Duration {
	var usage syscall.Rusage
	if err := syscall.Getrusage(syscall.RUSAGE_SELF, &usage); err != nil {
		return 0
	}
	return time.Duration(usage.Utime.Nano() + usage.Stime.Nano())
}
