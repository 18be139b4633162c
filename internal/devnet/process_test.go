package devnet

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"
)

// TestMain lets the test binary stand in for a test that is killed: it starts a
// program, says its process id, and waits.
func TestMain(m *testing.M) {
	if dir := os.Getenv("DEVNET_START_AND_WAIT"); dir != "" {
		p, err := startProcess(dir, "sleep", "sleep", "600")
		if err != nil {
			panic(err)
		}
		fmt.Println(p.cmd.Process.Pid)
		select {}
	}
	os.Exit(m.Run())
}

func TestProgramDiesWithTheProcessThatStartedIt(t *testing.T) {
	parent := exec.Command(os.Args[0])
	parent.Env = append(os.Environ(), "DEVNET_START_AND_WAIT="+t.TempDir())
	out, err := parent.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := parent.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	pid, err := strconv.Atoi(strings.TrimSpace(line))
	if err != nil {
		t.Fatal(err)
	}
	if !alive(pid) {
		t.Fatalf("program %d does not run while its parent does", pid)
	}
	if err := parent.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = parent.Wait()
	eventually(t, "the program has ended", func() bool { return !alive(pid) })
}

func TestStopEndsAProgramThatIgnoresBeingAsked(t *testing.T) {
	p, err := startProcess(t.TempDir(), "stubborn", "sh", "-c", "trap '' TERM; echo ready; while :; do sleep 0.1; done")
	if err != nil {
		t.Fatal(err)
	}
	eventually(t, "it runs", func() bool { log, _ := os.ReadFile(p.log); return len(log) > 0 })
	p.stop(50 * time.Millisecond)
	if !p.ended() {
		t.Error("the program still runs")
	}
	p.stop(time.Second) // a second time does nothing
}

func TestFailureCarriesTheEndOfTheLog(t *testing.T) {
	err := runProcess(t.Context(), t.TempDir(), "geth-init", "sh", "-c", "seq 100; echo bad genesis >&2; exit 3")
	if err == nil {
		t.Fatal("no error")
	}
	for _, want := range []string{"geth-init", "exit status 3", "\n\t100\n\tbad genesis"} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("error lacks %q: %v", want, err)
		}
	}
	if strings.Contains(err.Error(), "\t50\n") {
		t.Errorf("error holds more than the end of the log: %v", err)
	}
}

func TestWaitReadyEndsWithTheProgramOrTheContext(t *testing.T) {
	never := func(context.Context) error { return errors.New("connection refused") }
	short, cancel := context.WithTimeout(t.Context(), 50*time.Millisecond)
	defer cancel()
	for _, c := range []struct {
		command string
		ctx     context.Context
		want    string
	}{
		{"exit 1", t.Context(), "ended before it was ready"},
		{"sleep 60", short, "not ready in time: connection refused"},
	} {
		p, err := startProcess(t.TempDir(), "node", "sh", "-c", c.command)
		if err != nil {
			t.Fatal(err)
		}
		if err := p.waitReady(c.ctx, never); err == nil || !strings.Contains(err.Error(), c.want) {
			t.Errorf("%s: got %v, want %q", c.command, err, c.want)
		}
		p.stop(0)
	}
}

func TestFreePortsAreDistinct(t *testing.T) {
	ports, err := freePorts(20)
	if err != nil {
		t.Fatal(err)
	}
	seen := map[int]bool{}
	for _, port := range ports {
		if seen[port] {
			t.Errorf("port %d twice", port)
		}
		seen[port] = true
	}
}

func TestMissingProgramsAreNamedWithWhatToDo(t *testing.T) {
	dir := t.TempDir()
	for _, name := range []string{"beacon-chain", "validator", "prysmctl", "geth"} {
		if err := os.WriteFile(filepath.Join(dir, name), nil, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	_, err := Start(t.Context(), Options{Shape: Short(), BinDir: dir, WorkDir: t.TempDir()})
	want := "start devnet: no prometheus, promtool in " + dir + ": run make tools"
	if err == nil || err.Error() != want {
		t.Errorf("got  %v\nwant %s", err, want)
	}
}

// alive tells whether a process runs; one that nobody has waited for yet does not.
func alive(pid int) bool {
	if syscall.Kill(pid, 0) != nil {
		return false
	}
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	return err != nil || !strings.Contains(string(stat), ") Z ")
}

func eventually(t *testing.T, what string, holds func() bool) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); !holds(); time.Sleep(10 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("not after 5 s: %s", what)
		}
	}
}
