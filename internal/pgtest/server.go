package pgtest

import (
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"maps"
	"net/url"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
)

// Server is a Postgres server. Its methods may be called from any goroutine.
type Server struct {
	bin      string // folder of the programs
	dir      string // the server's folder: data, socket, log
	port     int
	password string
	as       *account
	settings map[string]string

	names atomic.Int64 // databases made

	mu      sync.Mutex // held while the server starts or stops
	process *process   // nil when it is stopped
}

// Option changes how a server runs.
type Option func(settings map[string]string)

// Setting sets name of postgresql.conf to value.
func Setting(name, value string) Option {
	return func(settings map[string]string) { settings[name] = value }
}

// Fast does without fsync: twice as fast where a test commits a lot. Killing the
// server loses nothing even so, only the machine's own crash would.
func Fast() Option {
	return func(settings map[string]string) {
		settings["fsync"], settings["full_page_writes"] = "off", "off"
	}
}

// StopMode is how the server is asked to stop.
type StopMode int

const (
	// StopFast ends connections, rolls their transactions back and shuts down clean.
	StopFast StopMode = iota
	// StopImmediate shuts down without cleaning up: the next start recovers from the log.
	StopImmediate
)

// Start starts a server that lasts as long as the test.
func Start(t testing.TB, options ...Option) *Server {
	t.Helper()
	s, err := New(options...)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if t.Failed() {
			t.Logf("end of the log of Postgres:\n\t%s", s.logTail(20))
		}
		if err := s.Close(); err != nil {
			t.Error(err)
		}
	})
	return s
}

// New starts a server. It ends with Close, or with the process that called.
func New(options ...Option) (_ *Server, err error) {
	bin, err := programs()
	if err != nil {
		return nil, err
	}
	as, err := unprivileged()
	if err != nil {
		return nil, err
	}
	// Not the test's own temporary folder: that one lies below a folder that only its
	// owner may enter, and has too long a name for a socket.
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		return nil, fmt.Errorf("make a folder for Postgres: %w", err)
	}
	s := &Server{
		bin: bin, dir: dir, as: as, password: rand.Text(),
		settings: map[string]string{
			"listen_addresses":        "127.0.0.1",
			"unix_socket_directories": dir,
			"max_connections":         "100",
			"timezone":                "UTC",
			"logging_collector":       "off", "log_destination": "stderr",
		},
	}
	for _, option := range options {
		option(s.settings)
	}
	defer func() {
		if err != nil {
			err = errors.Join(err, s.Close())
		}
	}()
	if err := s.initialise(); err != nil {
		return nil, err
	}
	// A port that is free now may be taken before Postgres listens.
	for tries := 3; ; tries-- {
		if s.port, err = freePort(); err != nil {
			return nil, err
		}
		if err = s.Start(); err == nil {
			return s, nil
		}
		if tries == 0 || !strings.Contains(err.Error(), "could not bind") {
			return nil, err
		}
	}
}

// Standby starts a server that lasts as long as the test, has what this one has, and
// follows it.
func (s *Server) Standby(t testing.TB) *Server {
	t.Helper()
	dir, err := os.MkdirTemp("", "pgtest-")
	if err != nil {
		t.Fatal(err)
	}
	standby := &Server{bin: s.bin, dir: dir, as: s.as, password: s.password, settings: maps.Clone(s.settings)}
	standby.settings["unix_socket_directories"] = dir
	t.Cleanup(func() {
		if err := standby.Close(); err != nil {
			t.Error(err)
		}
	})
	if s.as != nil {
		if err := os.Chown(dir, s.as.uid, s.as.gid); err != nil {
			t.Fatal(err)
		}
	}
	p, err := standby.run("pg_basebackup", "--dbname", s.URL(), "--pgdata", standby.data(), "--write-recovery-conf", "--checkpoint", "fast", "--no-sync")
	if err != nil {
		t.Fatal(err)
	}
	<-p.done
	if p.err != nil {
		t.Fatalf("pg_basebackup: %v; its log:\n\t%s", p.err, standby.logTail(20))
	}
	if standby.port, err = freePort(); err == nil {
		err = standby.Start()
	}
	if err != nil {
		t.Fatal(err)
	}
	return standby
}

// Close kills the server and removes its folder.
func (s *Server) Close() error {
	err := s.Kill()
	if rmErr := os.RemoveAll(s.dir); rmErr != nil {
		err = errors.Join(err, fmt.Errorf("remove the folder of Postgres: %w", rmErr))
	}
	return err
}

// URL is where the superuser connects, by TCP, to the database postgres.
func (s *Server) URL() string { return s.url("postgres") }

// Port is the port on 127.0.0.1. It stays the same when the server starts again.
func (s *Server) Port() int { return s.port }

// SocketURL is URL by the Unix socket.
func (s *Server) SocketURL() string {
	return fmt.Sprintf("postgres://postgres:%s@/postgres?host=%s&port=%d", s.password, url.QueryEscape(s.dir), s.port)
}

// Program is the path of another program of the same installation, such as pg_dump.
func (s *Server) Program(name string) string { return filepath.Join(s.bin, name) }

// Database makes an empty database that lasts as long as the test, and returns its URL.
func (s *Server) Database(t testing.TB) string {
	t.Helper()
	name := fmt.Sprintf("test_%d", s.names.Add(1))
	if err := s.Exec(context.Background(), "CREATE DATABASE "+name); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() {
		if !s.Running() {
			return // it goes with the server
		}
		if err := s.Exec(context.Background(), "DROP DATABASE IF EXISTS "+name+" WITH (FORCE)"); err != nil {
			t.Error(err)
		}
	})
	return s.url(name)
}

// Exec runs SQL as the superuser in the database postgres.
func (s *Server) Exec(ctx context.Context, sql string) error {
	conn, err := pgx.Connect(ctx, s.URL())
	if err != nil {
		return fmt.Errorf("test server: %w", err)
	}
	defer conn.Close(ctx)
	if _, err := conn.Exec(ctx, sql); err != nil {
		return fmt.Errorf("test server: %s: %w", sql, err)
	}
	return nil
}

func (s *Server) url(database string) string {
	return fmt.Sprintf("postgres://postgres:%s@127.0.0.1:%d/%s?sslmode=disable", s.password, s.port, database)
}

// Running tells whether the server has been started and has not ended since.
func (s *Server) Running() bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.process != nil && !s.process.ended()
}

// Start starts the server again after Stop or Kill, and returns when it takes
// connections, which is when recovery is over.
func (s *Server) Start() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil && !s.process.ended() {
		return nil
	}
	args := []string{"-D", s.data(), "-p", strconv.Itoa(s.port)}
	for _, name := range slices.Sorted(maps.Keys(s.settings)) {
		args = append(args, "-c", name+"="+s.settings[name])
	}
	const patience = 60 * time.Second
	deadline := time.Now().Add(patience)
	for {
		from := s.logSize()
		p, err := s.run("postgres", args...)
		if err != nil {
			return err
		}
		s.process = p
		err = s.waitReady(deadline)
		if err == nil {
			return nil
		}
		p.kill()
		log := s.logFrom(from)
		// After a kill the old server's children need a moment to notice and to let go.
		if time.Now().After(deadline) || !strings.Contains(log, "is still in use") && !strings.Contains(log, "lock file") {
			return fmt.Errorf("start Postgres: %w; its log:\n%s", err, log)
		}
		time.Sleep(50 * time.Millisecond)
	}
}

// Stop stops the server and returns when it has ended.
func (s *Server) Stop(mode StopMode) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process == nil {
		return nil
	}
	if err := s.process.stop(mode, 60*time.Second); err != nil {
		return fmt.Errorf("stop Postgres: %w; end of its log:\n\t%s", err, s.logTail(20))
	}
	s.process = nil
	return nil
}

// Restart stops the server and starts it again on the same port.
func (s *Server) Restart(mode StopMode) error {
	if err := s.Stop(mode); err != nil {
		return err
	}
	return s.Start()
}

// Kill kills the server and all its backends at once, as a power cut would.
func (s *Server) Kill() error {
	s.mu.Lock()
	defer s.mu.Unlock()
	if s.process != nil {
		s.process.kill()
		s.process = nil
	}
	return nil
}

func (s *Server) data() string { return filepath.Join(s.dir, "data") }

// initialise makes the data folder.
func (s *Server) initialise() error {
	passwordFile := filepath.Join(s.dir, "password")
	if err := os.WriteFile(passwordFile, []byte(s.password), 0o600); err != nil {
		return fmt.Errorf("write the password for Postgres: %w", err)
	}
	if s.as != nil {
		for _, path := range []string{s.dir, passwordFile} {
			if err := os.Chown(path, s.as.uid, s.as.gid); err != nil {
				return fmt.Errorf("give the folder of Postgres to user %s: %w", s.as.name, err)
			}
		}
	}
	p, err := s.run("initdb", "-D", s.data(), "-U", "postgres", "--pwfile", passwordFile, "-A", "scram-sha-256",
		"--encoding", "UTF8", "--locale", "C", "--no-sync")
	if err != nil {
		return err
	}
	<-p.done
	if p.err != nil {
		return fmt.Errorf("initdb: %w; its log:\n\t%s", p.err, s.logTail(20))
	}
	return nil
}

func (s *Server) waitReady(deadline time.Time) error {
	ctx, cancel := context.WithDeadline(context.Background(), deadline)
	defer cancel()
	for {
		conn, err := pgx.Connect(ctx, s.URL())
		if err == nil {
			return conn.Close(ctx)
		}
		select {
		case <-time.After(20 * time.Millisecond):
		case <-s.process.done:
			return errors.New("ended before it took connections")
		case <-ctx.Done():
			return err
		}
	}
}

func (s *Server) logFile() string { return filepath.Join(s.dir, "log") }

func (s *Server) logSize() int64 {
	info, err := os.Stat(s.logFile())
	if err != nil {
		return 0
	}
	return info.Size()
}

func (s *Server) logFrom(offset int64) string {
	log, err := os.ReadFile(s.logFile())
	if err != nil || int64(len(log)) < offset {
		return fmt.Sprintf("cannot be read: %v", err)
	}
	return string(log[offset:])
}

func (s *Server) logTail(lines int) string {
	split := strings.Split(strings.TrimSpace(s.logFrom(0)), "\n")
	return strings.Join(split[max(0, len(split)-lines):], "\n\t")
}
