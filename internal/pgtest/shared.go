package pgtest

import (
	"fmt"
	"os"
	"sync"
	"testing"
)

// Shared is one server for all tests of a package, started when the first asks:
//
//	var postgres = pgtest.NewShared(pgtest.Fast())
//
//	func TestMain(m *testing.M) { os.Exit(postgres.Main(m)) }
type Shared struct {
	options []Option

	once   sync.Once
	server *Server
	err    error
}

// NewShared describes a server and starts nothing.
func NewShared(options ...Option) *Shared { return &Shared{options: options} }

// Main runs the tests, ends the server if one was started, and returns the exit code.
func (s *Shared) Main(m *testing.M) int {
	return max(m.Run(), s.Close())
}

// Close ends the server if one was started, and returns the exit code: Main of a package
// with more than one server closes the others so.
func (s *Shared) Close() int {
	s.once.Do(func() {}) // no start from here on
	if s.server == nil {
		return 0
	}
	if err := s.server.Close(); err != nil {
		fmt.Fprintln(os.Stderr, err)
		return 1
	}
	return 0
}

// Server is the shared server. A test that stops it stops it for all.
func (s *Shared) Server(t testing.TB) *Server {
	t.Helper()
	s.once.Do(func() { s.server, s.err = New(s.options...) })
	if s.err != nil {
		t.Fatal(s.err)
	}
	return s.server
}

// Database makes an empty database that lasts as long as the test, and returns its URL.
func (s *Shared) Database(t testing.TB) string {
	t.Helper()
	return s.Server(t).Database(t)
}
