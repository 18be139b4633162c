//go:build unix

package main

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"syscall"
	"testing"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program/programtest"
)

func TestWatchListThatDoesNotAnswerKeepsNeitherScrapesNorTheEndWaiting(t *testing.T) {
	list := programtest.File(t, "watch.yaml", "validators: [{index: 1}]")
	r := start(t, buildCollector, "--validators.config="+list, "--beacon.url=http://127.0.0.1:1")

	// A pipe that nobody writes to is like a file on a mount whose server is gone: to open
	// it does not return.
	pipe := filepath.Join(t.TempDir(), "pipe")
	if err := syscall.Mkfifo(pipe, 0o600); err != nil {
		t.Fatal(err)
	}
	if err := os.Rename(pipe, list); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { // let go whoever waits, and whoever comes after
		if err := os.Rename(list, pipe); err != nil {
			t.Fatal(err)
		}
		write(t, list, "validators: []")
		w, err := os.OpenFile(pipe, os.O_RDWR, 0)
		if err != nil {
			t.Fatal(err)
		}
		w.Close()
	})
	r.signals <- syscall.SIGHUP
	for range 3 {
		began := time.Now()
		status, body := r.ask("GET", "/metrics", timeoutHeader, "1")
		if took := time.Since(began); status != 200 || took > 2*time.Second || !strings.Contains(body, "validator_exporter_watched_validators 1\n") {
			t.Errorf("a scrape took %s: %d %s", took, status, body)
		}
	}
	r.signals <- syscall.SIGHUP
	r.signals <- syscall.SIGTERM
	r.stderr.Await(t, regexp.MustCompile(`msg="Shutting down`), 1)
	select {
	case <-r.ended:
	case <-time.After(8 * time.Second): // a first scrape may be waiting for the file
		t.Fatal("the program does not end")
	}
}
