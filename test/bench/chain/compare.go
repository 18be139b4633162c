package main

import (
	"bufio"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"time"
)

// Bounds, as promised in docs/performance.md.
const (
	maxCPURatio   = 6.0
	maxWatchRatio = 1.2
	maxRSS1000    = 150 << 20
	maxRSS100000  = 400 << 20
)

func compare(out io.Writer, validators, rounds int, exporter string) (ok bool, err error) {
	self, err := os.Executable()
	if err != nil {
		return false, err
	}
	server := exec.Command(self, "-role=serve", "-validators="+strconv.Itoa(validators))
	server.Stderr = os.Stderr
	hold, err := server.StdinPipe() // the child ends when this end closes
	if err != nil {
		return false, err
	}
	defer hold.Close()
	stdout, err := server.StdoutPipe()
	if err != nil {
		return false, err
	}
	if err := server.Start(); err != nil {
		return false, err
	}
	defer func() { _ = server.Process.Kill(); _ = server.Wait() }()
	line, err := bufio.NewReader(stdout).ReadString('\n')
	if err != nil {
		return false, fmt.Errorf("starting the simulated network: %w", err)
	}
	url := strings.TrimSpace(line)

	fmt.Fprintf(out, "%d active validators, 32 blocks an epoch with 8 full aggregates and 120 KiB of payload each; median of %d epochs\n\n", validators, rounds)
	fmt.Fprintln(out, "| watched | CPU of an epoch | of downloading it | ratio | bound |")
	fmt.Fprintln(out, "|--:|--:|--:|--:|--:|")
	const few, many, most = 10, 1000, 100_000
	costs, err := runFollow(self, url, few, many, rounds)
	if err != nil {
		return false, err
	}
	downloaded := median(costs, func(c epochCost) time.Duration { return c.Download })
	ok = true
	row := func(watched int, followed, downloaded time.Duration, bound string) (ratio float64) {
		ratio = float64(followed) / float64(downloaded)
		fmt.Fprintf(out, "| %d | %v | %v | %.2f | %s |\n", watched, followed.Round(time.Millisecond), downloaded.Round(time.Millisecond), ratio, bound)
		return ratio
	}
	followedFew := median(costs, func(c epochCost) time.Duration { return c.Few })
	followedMany := median(costs, func(c epochCost) time.Duration { return c.Many })
	bound := fmt.Sprintf("≤ %.1f", maxCPURatio)
	ok = row(few, followedFew, downloaded, bound) <= maxCPURatio && ok
	ok = row(many, followedMany, downloaded, bound) <= maxCPURatio && ok
	// In a run of its own, since its garbage would be the others' burden. Without a bound:
	// what grows is the look through all watched validators at each new block, which the
	// download has nothing like.
	if costs, err = runFollow(self, url, few, most, max(rounds/3, 1)); err != nil {
		return false, err
	}
	row(most, median(costs, func(c epochCost) time.Duration { return c.Many }), median(costs, func(c epochCost) time.Duration { return c.Download }), "none")
	growth := float64(followedMany) / float64(followedFew)
	ok = ok && growth <= maxWatchRatio
	fmt.Fprintf(out, "\nFrom %d to %d watched validators the CPU of an epoch grows by a factor of %.2f (bound %.1f).\n", few, many, growth, maxWatchRatio)

	if exporter != "" {
		fit, err := measureExporter(out, exporter, url)
		if err != nil {
			return false, err
		}
		ok = ok && fit
	}
	if !ok {
		fmt.Fprintln(out, "\nA bound is broken.")
	}
	return ok, nil
}

func runFollow(self, url string, few, many, rounds int) ([]epochCost, error) {
	child := exec.Command(self, "-role=follow", "-url="+url, "-few="+strconv.Itoa(few), "-many="+strconv.Itoa(many), "-rounds="+strconv.Itoa(rounds))
	child.Stderr = os.Stderr
	stdout, err := child.Output()
	if err != nil {
		return nil, fmt.Errorf("following: %w", err)
	}
	var costs []epochCost
	for decoder := json.NewDecoder(strings.NewReader(string(stdout))); decoder.More(); {
		var c epochCost
		if err := decoder.Decode(&c); err != nil {
			return nil, err
		}
		costs = append(costs, c)
	}
	if len(costs) == 0 {
		return nil, errors.New("following: nothing measured")
	}
	return costs, nil
}

func median(costs []epochCost, of func(epochCost) time.Duration) time.Duration {
	var all []time.Duration
	for _, c := range costs {
		all = append(all, of(c))
	}
	slices.Sort(all)
	return all[len(all)/2]
}

// measureExporter runs the real binary on the network through a whole refill and
// two more epochs and reads its peak memory, and what it asked in the last of them.
func measureExporter(out io.Writer, binary, url string) (ok bool, err error) {
	fmt.Fprintln(out, "\n| watched | peak RSS | bound | requests an epoch | bytes an epoch |")
	fmt.Fprintln(out, "|--:|--:|--:|--:|--:|")
	ok = true
	var detail map[string]operation
	for _, m := range []struct{ watched, bound int }{{1000, maxRSS1000}, {100_000, maxRSS100000}} {
		rss, asked, err := runExporter(binary, url, m.watched)
		if err != nil {
			return false, fmt.Errorf("running the exporter with %d watched validators: %w", m.watched, err)
		}
		var requests, bytes uint64
		for _, o := range asked {
			requests, bytes = requests+o.Requests, bytes+o.Bytes
		}
		if detail == nil {
			detail = asked
		}
		ok = ok && rss <= m.bound
		fmt.Fprintf(out, "| %d | %.0f MiB | ≤ %d MiB | %d | %.1f MB |\n", m.watched, float64(rss)/(1<<20), m.bound>>20, requests, float64(bytes)/1e6)
	}
	fmt.Fprintln(out, "\nRequests of one epoch with 1,000 watched validators and a scrape after every slot:")
	fmt.Fprintln(out, "\n| operation | requests | bytes |")
	fmt.Fprintln(out, "|---|--:|--:|")
	names := make([]string, 0, len(detail))
	for name := range detail {
		names = append(names, name)
	}
	slices.Sort(names)
	for _, name := range names {
		if detail[name].Requests > 0 {
			fmt.Fprintf(out, "| %s | %d | %d |\n", name, detail[name].Requests, detail[name].Bytes)
		}
	}
	return ok, nil
}

type operation struct{ Requests, Bytes uint64 }

func runExporter(binary, url string, watched int) (rss int, asked map[string]operation, err error) {
	dir, err := os.MkdirTemp("", "bench")
	if err != nil {
		return 0, nil, err
	}
	defer os.RemoveAll(dir)
	list := filepath.Join(dir, "watch.yml")
	text := fmt.Sprintf("validators:\n  - indices: \"0-%d\"\n    labels: {operator: acme}\n", watched-1)
	if err := os.WriteFile(list, []byte(text), 0o600); err != nil {
		return 0, nil, err
	}
	const address = "127.0.0.1:18479"
	child := exec.Command(binary, "--beacon.url="+url, "--validators.config="+list, "--web.listen-address="+address, "--log.level=error", "--chain.max-age=1000000h")
	child.Stderr = os.Stderr
	if err := child.Start(); err != nil {
		return 0, nil, err
	}
	defer func() { _ = child.Process.Kill(); _ = child.Wait() }()

	scrape := func(path string) (int, error) {
		req, err := http.NewRequest(http.MethodGet, "http://"+address+path, nil)
		if err != nil {
			return 0, err
		}
		req.Header.Set("X-Prometheus-Scrape-Timeout-Seconds", "60")
		resp, err := http.DefaultClient.Do(req)
		if err != nil {
			return 0, err
		}
		defer resp.Body.Close()
		_, err = io.Copy(io.Discard, resp.Body)
		return resp.StatusCode, err
	}
	deadline := time.Now().Add(5 * time.Minute)
	for {
		_, _ = scrape("/metrics")
		if status, err := scrape("/-/ready"); err == nil && status == http.StatusOK {
			break
		}
		if time.Now().After(deadline) {
			return 0, nil, fmt.Errorf("not ready after 5 minutes")
		}
		time.Sleep(100 * time.Millisecond)
	}
	var before map[string]operation
	for range 2 {
		if before, err = requests(url); err != nil {
			return 0, nil, err
		}
		for range slotsPerEpoch {
			if _, err := advance(url); err != nil {
				return 0, nil, err
			}
			if _, err := scrape("/metrics"); err != nil {
				return 0, nil, err
			}
		}
	}
	after, err := requests(url)
	if err != nil {
		return 0, nil, err
	}
	for name, n := range before {
		after[name] = operation{after[name].Requests - n.Requests, after[name].Bytes - n.Bytes}
	}
	rss, err = peakRSS(child.Process.Pid)
	return rss, after, err
}

func requests(url string) (map[string]operation, error) {
	resp, err := http.Get(url + "/control/requests")
	if err != nil {
		return nil, err
	}
	defer resp.Body.Close()
	var counts map[string]operation
	return counts, json.NewDecoder(resp.Body).Decode(&counts)
}

// peakRSS reads the largest resident set a process has had, in bytes.
func peakRSS(pid int) (int, error) {
	status, err := os.ReadFile(fmt.Sprintf("/proc/%d/status", pid))
	if err != nil {
		return 0, err
	}
	for line := range strings.Lines(string(status)) {
		if value, ok := strings.CutPrefix(line, "VmHWM:"); ok {
			kib, err := strconv.Atoi(strings.TrimSuffix(strings.TrimSpace(value), " kB"))
			return kib << 10, err
		}
	}
	return 0, fmt.Errorf("no VmHWM in /proc/%d/status", pid)
}
