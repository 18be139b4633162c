//go:build e2e

package devnet

import (
	"bytes"
	"context"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"testing"
	"time"
)

func TestChainRunsStandsFaultsAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), 6*time.Minute)
	defer cancel()
	dir := t.TempDir()
	began := time.Now()
	d, err := Start(ctx, Options{Shape: Short(), WorkDir: dir, Log: testLog(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer d.Stop()
	t.Logf("ready after %.1f s, genesis after %.1f s", time.Since(began).Seconds(), d.GenesisTime().Sub(began).Seconds())
	if d.GenesisTime().Before(time.Now()) {
		t.Errorf("genesis was at %v, before the chain was ready", d.GenesisTime())
	}
	var programs []int
	for _, p := range append([]*process{d.geth, d.beacon}, d.validators...) {
		programs = append(programs, p.cmd.Process.Pid)
	}

	// Whole epochs with blocks.
	wait(t, ctx, d, 2*d.Shape().SlotsPerEpoch)
	if late := time.Since(d.slotStart(2 * d.Shape().SlotsPerEpoch)); late > 2*d.SlotDuration() {
		t.Errorf("slot %d came %v after its time", 2*d.Shape().SlotsPerEpoch, late)
	}
	if blocks := d.blocks(ctx, t, 8, 16); blocks < 6 {
		t.Errorf("epoch 1 has %d blocks of 8, with 112 of 128 proposers running", blocks)
	}
	for _, pid := range programs {
		if open := listeners(t, pid); len(open) > 0 {
			t.Errorf("process %d listens beyond 127.0.0.1: %v", pid, open)
		}
	}

	// A stall of three slots: some of them stay empty, and the chain goes on.
	stalled := d.slotNow() + 1
	if err := d.StallValidators(ctx, 3*d.SlotDuration()); err != nil {
		t.Fatal(err)
	}
	wait(t, ctx, d, stalled+4)
	if blocks := d.blocks(ctx, t, stalled, stalled+3); blocks == 3 {
		t.Errorf("slots %d to %d all have a block, though the validators were stalled", stalled, stalled+2)
	}

	// Killed and started again: nothing in between.
	d.KillValidators()
	killed := d.slotNow() + 1
	time.Sleep(time.Until(d.slotStart(killed + 2)))
	if err := d.StartValidators(0, 60); err != nil {
		t.Fatal(err)
	}
	if err := d.StartValidators(60, 68); err != nil { // the missing keys as well
		t.Fatal(err)
	}
	wait(t, ctx, d, killed+6)
	if blocks := d.blocks(ctx, t, killed, killed+2); blocks != 0 {
		t.Errorf("slots %d and %d have %d blocks, though no validator ran", killed, killed+1, blocks)
	}

	// The beacon node forgets nothing when it restarts.
	before, err := d.HeadSlot(ctx)
	if err != nil {
		t.Fatal(err)
	}
	if err := d.RestartBeacon(ctx); err != nil {
		t.Fatal(err)
	}
	wait(t, ctx, d, before+8)
	if blocks := d.blocks(ctx, t, 8, 16); blocks < 6 {
		t.Errorf("epoch 1 has %d blocks after the restart", blocks)
	}

	slots := d.slotNow()
	for _, p := range append([]*process{d.geth, d.beacon}, d.validators...) {
		t.Logf("%-12s %s", p.name, usage(t, p.cmd.Process.Pid))
	}
	t.Logf("%d slots in %.0f s", slots, time.Since(began).Seconds())

	d.Stop()
	d.Stop() // once more does nothing
	if left := runningIn(t, dir); len(left) > 0 {
		t.Errorf("still running after Stop: %v", left)
	}
	if _, err := os.Stat(dir); !os.IsNotExist(err) {
		t.Errorf("the working directory is still there: %v", err)
	}
}

func TestFailedStartTellsWhyAndLeavesNothingBehind(t *testing.T) {
	t.Parallel()
	shape := Short()
	shape.Config = append(shape.Config, "NO_SUCH_SETTING: [\n"...)
	dir := t.TempDir()
	_, err := Start(t.Context(), Options{Shape: shape, WorkDir: dir})
	if err == nil || !strings.Contains(err.Error(), "start devnet: prysmctl: exit status") {
		t.Errorf("got %v", err)
	}
	if left := runningIn(t, dir); len(left) > 0 {
		t.Errorf("still running: %v", left)
	}
}

func TestPrometheusKeepsSamplesAsScraped(t *testing.T) {
	t.Parallel()
	scrapes := 0
	target := &http.Server{Handler: http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		scrapes++
		w.Header().Set("Content-Type", "text/plain; version=0.0.4")
		fmt.Fprintf(w, "# HELP things_total Things.\n# TYPE things_total counter\nthings_total{kind=\"a\"} %d\n", scrapes)
	})}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	go target.Serve(listener)
	defer target.Close()

	p, err := StartPrometheus(t.Context(), PrometheusOptions{
		Targets:  []Target{{Job: "things", Address: listener.Addr().String()}},
		Interval: 500 * time.Millisecond,
		WorkDir:  t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	var series []Series
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		if series, err = p.Query(t.Context(), "things_total[1h]", time.Time{}); err != nil {
			t.Fatal(err)
		}
		if len(series) == 1 && len(series[0].Samples) >= 4 {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %v", series)
		}
	}
	if labels := series[0].Labels; labels["job"] != "things" || labels["kind"] != "a" {
		t.Errorf("labels are %v", labels)
	}
	for i, sample := range series[0].Samples {
		if sample.Value != float64(i+1) {
			t.Errorf("scrape %d has %v", i+1, sample.Value)
		}
	}
	if _, err := p.Query(t.Context(), "sum(", time.Time{}); err == nil || !strings.Contains(err.Error(), "parse error") {
		t.Errorf("a wrong expression gives %v", err)
	}
}

func TestPrometheusTellsHealthOfRulesAndTextOfAlerts(t *testing.T) {
	t.Parallel()
	rules := filepath.Join(t.TempDir(), "rules.yaml")
	twice := `(label_replace(vector(1), "a", "1", "", "") or label_replace(vector(1), "a", "2", "", ""))`
	text := "groups:\n- name: g\n  rules:\n" +
		"  - {record: level:good:rule, expr: 'vector(2)'}\n" +
		"  - {record: level:bad:rule, expr: 'vector(1) * on () " + twice + "'}\n" +
		"  - {alert: Good, expr: 'level:good:rule > 1', annotations: {description: 'It is {{ $value }}.'}}\n"
	if err := os.WriteFile(rules, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	p, err := StartPrometheus(t.Context(), PrometheusOptions{
		RuleFiles: []string{rules}, Interval: time.Minute, EvaluationInterval: 500 * time.Millisecond, WorkDir: t.TempDir(),
	})
	if err != nil {
		t.Fatal(err)
	}
	defer p.Stop()
	for deadline := time.Now().Add(30 * time.Second); ; time.Sleep(200 * time.Millisecond) {
		groups, err := p.Rules(t.Context())
		if err != nil {
			t.Fatal(err)
		}
		if len(groups) != 1 || len(groups[0].Rules) != 3 {
			t.Fatalf("groups are %+v", groups)
		}
		good, bad, alert := groups[0].Rules[0], groups[0].Rules[1], groups[0].Rules[2]
		if good.Health == "ok" && bad.Health == "err" && strings.Contains(bad.LastError, "duplicate series") &&
			len(alert.Alerts) == 1 && alert.Alerts[0].State == "firing" && alert.Alerts[0].Annotations["description"] == "It is 2." {
			break
		}
		if time.Now().After(deadline) {
			t.Fatalf("after 30 s: %+v", groups)
		}
	}
	if _, notes, err := p.QueryRange(t.Context(), "quantile(2, level:good:rule)", time.Now(), time.Now(), time.Second); err != nil || len(notes) != 1 {
		t.Errorf("a quantile of 2 gives the notes %q (%v)", notes, err)
	}
}

func TestCheckMetricsFindsWhatPromtoolFinds(t *testing.T) {
	t.Parallel()
	good := "# HELP things_total Things.\n# TYPE things_total counter\nthings_total 1\n"
	if err := CheckMetrics(t.Context(), "", []byte(good)); err != nil {
		t.Errorf("good metrics: %v", err)
	}
	bad := "# HELP things Things.\n# TYPE things counter\nthings 1\n"
	if err := CheckMetrics(t.Context(), "", []byte(bad)); err == nil || !strings.Contains(err.Error(), `should have "_total" suffix`) {
		t.Errorf("a counter without _total: %v", err)
	}
}

func wait(t *testing.T, ctx context.Context, d *Devnet, slot uint64) {
	t.Helper()
	if err := d.WaitSlot(ctx, slot); err != nil {
		t.Fatal(err)
	}
}

func (d *Devnet) slotStart(slot uint64) time.Time {
	return d.genesis.Add(time.Duration(slot) * d.shape.SlotDuration)
}

func (d *Devnet) slotNow() uint64 { return uint64(time.Since(d.genesis) / d.shape.SlotDuration) }

// blocks counts the canonical blocks at slots from up to, but not including, to.
func (d *Devnet) blocks(ctx context.Context, t *testing.T, from, to uint64) (count int) {
	t.Helper()
	for slot := from; slot < to; slot++ {
		var header any
		err := getJSON(ctx, fmt.Sprintf("%s/eth/v1/beacon/headers/%d", d.BeaconURL(), slot), &header)
		if err == nil {
			count++
		} else if !strings.Contains(err.Error(), "404") {
			t.Fatal(err)
		}
	}
	return count
}

// runningIn returns the command lines of the processes that name dir.
func runningIn(t *testing.T, dir string) (found []string) {
	t.Helper()
	lines, err := filepath.Glob("/proc/[0-9]*/cmdline")
	if err != nil {
		t.Fatal(err)
	}
	for _, line := range lines {
		if text, err := os.ReadFile(line); err == nil && bytes.Contains(text, []byte(dir)) {
			found = append(found, string(bytes.ReplaceAll(text, []byte{0}, []byte(" "))))
		}
	}
	return found
}

// listeners returns the TCP addresses other than 127.0.0.1 on which a process listens.
func listeners(t *testing.T, pid int) (open []string) {
	t.Helper()
	sockets := map[string]bool{}
	links, err := filepath.Glob(fmt.Sprintf("/proc/%d/fd/*", pid))
	if err != nil {
		t.Fatal(err)
	}
	for _, link := range links {
		if name, err := os.Readlink(link); err == nil {
			sockets[name] = true
		}
	}
	for _, table := range []string{"tcp", "tcp6"} {
		text, err := os.ReadFile(fmt.Sprintf("/proc/%d/net/%s", pid, table))
		if err != nil {
			t.Fatal(err)
		}
		for line := range strings.Lines(string(text)) {
			const listen, loopback = "0A", "0100007F"
			f := strings.Fields(line)
			if len(f) > 9 && f[3] == listen && sockets["socket:["+f[9]+"]"] && !strings.HasPrefix(f[1], loopback) &&
				!strings.HasPrefix(f[1], "0000000000000000FFFF0000"+loopback) {
				open = append(open, f[1])
			}
		}
	}
	return open
}

// usage tells how much processor time and memory a process has used.
func usage(t *testing.T, pid int) string {
	t.Helper()
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		t.Fatal(err)
	}
	f := strings.Fields(string(stat[bytes.LastIndexByte(stat, ')'):])) // f[0] is ")", field 2 of proc(5)
	user, _ := strconv.ParseFloat(f[12], 64)
	system, _ := strconv.ParseFloat(f[13], 64)
	pages, _ := strconv.ParseFloat(f[22], 64)
	return fmt.Sprintf("%.1f s of CPU, %.0f MiB", (user+system)/100, pages*float64(os.Getpagesize())/(1<<20))
}

func testLog(t *testing.T) *slog.Logger {
	return slog.New(slog.NewTextHandler(t.Output(), nil))
}
