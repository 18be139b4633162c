package pgtest_test

import (
	"bufio"
	"context"
	"fmt"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
)

var postgres = pgtest.NewShared(pgtest.Fast())

func TestMain(m *testing.M) {
	if os.Getenv(orphanEnv) != "" {
		orphan()
	}
	os.Exit(postgres.Main(m))
}

// orphanEnv makes the test binary start a server, print its URL, and wait to be killed.
const orphanEnv = "PGTEST_ORPHAN"

func orphan() {
	s, err := pgtest.New(pgtest.Fast())
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(s.URL())
	select {}
}

func connect(t *testing.T, url string) *pgx.Conn {
	t.Helper()
	conn, err := pgx.Connect(t.Context(), url)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { conn.Close(context.Background()) })
	return conn
}

func query[T any](t *testing.T, conn *pgx.Conn, sql string) T {
	t.Helper()
	var v T
	if err := conn.QueryRow(t.Context(), sql).Scan(&v); err != nil {
		t.Fatalf("%s: %v", sql, err)
	}
	return v
}

func TestServerAnswersByTCPAndSocket(t *testing.T) {
	s := postgres.Server(t)
	for _, url := range []string{s.URL(), s.SocketURL()} {
		if got := query[int](t, connect(t, url), "SELECT 1"); got != 1 {
			t.Errorf("%s: got %d", url, got)
		}
	}
}

func TestWrongPasswordIsRefused(t *testing.T) {
	s := postgres.Server(t)
	url := fmt.Sprintf("postgres://postgres:wrong@127.0.0.1:%d/postgres?sslmode=disable", s.Port())
	conn, err := pgx.Connect(t.Context(), url)
	if err == nil {
		conn.Close(t.Context())
		t.Fatal("connected with a wrong password")
	}
}

func TestEachTestHasADatabaseOfItsOwn(t *testing.T) {
	one, other := connect(t, postgres.Database(t)), connect(t, postgres.Database(t))
	if _, err := one.Exec(t.Context(), "CREATE TABLE mine ()"); err != nil {
		t.Fatal(err)
	}
	if query[bool](t, other, "SELECT to_regclass('mine') IS NOT NULL") {
		t.Error("a table of one database is in the other")
	}
}

func TestSettingsReachTheServer(t *testing.T) {
	s := pgtest.Start(t, pgtest.Fast(), pgtest.Setting("timezone", "Pacific/Chatham"))
	conn := connect(t, s.URL())
	if got := query[string](t, conn, "SHOW timezone"); got != "Pacific/Chatham" {
		t.Errorf("timezone is %s", got)
	}
	if got := query[string](t, conn, "SHOW fsync"); got != "off" {
		t.Errorf("fsync is %s", got)
	}
}

// What is committed survives every way of ending, what is not does not.
func TestCommittedRowsSurvive(t *testing.T) {
	s := pgtest.Start(t)
	url := s.Database(t)
	if got := query[string](t, connect(t, url), "SHOW fsync"); got != "on" {
		t.Fatalf("fsync is %s", got)
	}
	if _, err := connect(t, url).Exec(t.Context(), "CREATE TABLE kept (n int)"); err != nil {
		t.Fatal(err)
	}
	ways := []struct {
		name string
		end  func() error
	}{
		{"fast", func() error { return s.Restart(pgtest.StopFast) }},
		{"immediate", func() error { return s.Restart(pgtest.StopImmediate) }},
		{"kill", func() error {
			if err := s.Kill(); err != nil {
				return err
			}
			if s.Running() {
				t.Error("runs after Kill")
			}
			return s.Start()
		}},
	}
	for i, way := range ways {
		t.Run(way.name, func(t *testing.T) {
			conn := connect(t, url)
			if _, err := conn.Exec(t.Context(), "INSERT INTO kept VALUES ($1)", i); err != nil {
				t.Fatal(err)
			}
			tx, err := conn.Begin(t.Context())
			if err != nil {
				t.Fatal(err)
			}
			if _, err := tx.Exec(t.Context(), "INSERT INTO kept VALUES (1000)"); err != nil {
				t.Fatal(err)
			}
			if err := way.end(); err != nil {
				t.Fatal(err)
			}
			if got := query[int](t, connect(t, url), "SELECT count(*) FROM kept"); got != i+1 {
				t.Errorf("%d rows, want %d", got, i+1)
			}
		})
	}
}

func TestServerEndsWithTheProcessThatStartedIt(t *testing.T) {
	cmd := exec.Command(os.Args[0])
	cmd.Env = append(os.Environ(), orphanEnv+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	url, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	url = strings.TrimSpace(url)
	conn := connect(t, url)
	data := query[string](t, conn, "SHOW data_directory")
	t.Cleanup(func() { os.RemoveAll(filepath.Dir(data)) })

	if err := cmd.Process.Kill(); err != nil {
		t.Fatal(err)
	}
	_ = cmd.Wait() // killed
	deadline := time.Now().Add(10 * time.Second)
	for {
		late, err := pgx.Connect(t.Context(), url)
		if err != nil {
			break
		}
		late.Close(t.Context())
		if time.Now().After(deadline) {
			t.Fatal("answers 10 s after the process that started it was killed")
		}
		time.Sleep(20 * time.Millisecond)
	}
}
