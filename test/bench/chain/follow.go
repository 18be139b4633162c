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

// epochCost is what one epoch cost the process in CPU time: following it with few
// and with many validators watched, and downloading it.
type epochCost struct {
	Few, Many, Download time.Duration
}

// follow is the child that is measured. Epoch by epoch, two collectors follow the
// chain with a scrape after every slot, turn by turn, then the same blocks and
// committees are downloaded and thrown away. It writes one JSON line an epoch.
func follow(url string, few, many, rounds int) error {
	small, err := newCollector(url, few)
	if err != nil {
		return err
	}
	defer small.Close()
	large, err := newCollector(url, many)
	if err != nil {
		return err
	}
	defer large.Close()
	for range rounds {
		var cost epochCost
		var slot int
		for range slotsPerEpoch {
			if slot, err = advance(url); err != nil {
				return err
			}
			if slot%2 == 0 { // neither always pays for the garbage of the other
				cost.Few += scrape(small)
				cost.Many += scrape(large)
			} else {
				cost.Many += scrape(large)
				cost.Few += scrape(small)
			}
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

// newCollector returns a collector that has read its window back.
func newCollector(url string, watched int) (*collector.Collector, error) {
	pool, err := beacon.New(beacon.Config{URLs: []string{url}})
	if err != nil {
		return nil, err
	}
	list, err := watch.New("", []string{"0-" + strconv.Itoa(watched-1)}, nil, watch.Options{})
	if err != nil {
		return nil, err
	}
	c, err := collector.New(collector.Config{
		Source: pool, Watch: list, Window: duty.WindowConfig{Epochs: 15, ResetSlots: 8},
		IndividualLimit: 1000, OffenderLimit: 50, NetworkStake: collector.StakeAuto,
	})
	if err != nil {
		return nil, err
	}
	c.Scrape(context.Background())
	if ok, why := c.Ready(); !ok {
		c.Close()
		return nil, fmt.Errorf("not ready after the first scrape: %s", why)
	}
	return c, nil
}

// scrape returns the CPU time that a scrape took.
func scrape(c *collector.Collector) time.Duration {
	began := cpu()
	c.Scrape(context.Background())
	return cpu() - began
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
