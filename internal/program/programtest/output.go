// Package programtest helps to test programs that run in the background: it collects
// what they write, and makes the files that they read.
package programtest

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"sync"
	"testing"
	"time"
)

// Output collects what a program writes and lets a test wait for it.
type Output struct {
	mu      sync.Mutex
	text    strings.Builder
	written chan struct{}
}

// NewOutput returns an empty one.
func NewOutput() *Output { return &Output{written: make(chan struct{}, 1)} }

func (o *Output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	select {
	case o.written <- struct{}{}:
	default:
	}
	return o.text.Write(p)
}

func (o *Output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// Await returns the first n matches of pattern; the test ends when they are not written
// within 20 s.
func (o *Output) Await(t *testing.T, pattern *regexp.Regexp, n int) [][]string {
	t.Helper()
	deadline := time.After(20 * time.Second)
	for {
		if found := pattern.FindAllStringSubmatch(o.String(), n); len(found) == n {
			return found
		}
		select {
		case <-o.written:
		case <-deadline:
			t.Fatalf("%s was not written %d times:\n%s", pattern, n, o)
		}
	}
}

// File writes a file that only its owner can read, and returns its path.
func File(t *testing.T, name, text string) string {
	t.Helper()
	path := filepath.Join(t.TempDir(), name)
	if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}
