package receiver_test

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"sync"
	"testing"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/klauspost/compress/snappy"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/pgtest"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/receiver"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

func impatient(o *receiver.Options) { o.WriteTimeout = time.Second }

func TestPostgresAwayMeansComeAgain(t *testing.T) {
	server := breakable.Server(t)
	for _, v := range []version{v1, v2} {
		for name, away := range map[string]func() error{
			"stopped": func() error { return server.Stop(pgtest.StopFast) },
			"killed":  server.Kill,
		} {
			t.Run(fmt.Sprintf("%s, remote-write %d", name, v), func(t *testing.T) {
				f := setUp(t, server.Database(t), impatient)
				f.send(v, expected(1, 15)).expect(t, 204)
				if err := away(); err != nil {
					t.Fatal(err)
				}
				f.send(v, expected(1, 15), expected(2, 15)).expect(t, 503, "not stored, send it again", "database unavailable").written(t, v, 0)
				f.get("/-/ready").expectPage(t, 503, "database unavailable")
				f.get("/-/healthy").expectPage(t, 200, "ok")
				// What needs no database is answered without it.
				f.send(v, one(1, "__name__", "up")).expect(t, 204)
				f.post([]byte("x"), "Content-Type", v.contentType()).expect(t, 400)

				if err := server.Start(); err != nil {
					t.Fatal(err)
				}
				f.send(v, expected(1, 15), expected(2, 15)).expect(t, 204).written(t, v, 2)
				f.get("/-/ready").expectPage(t, 200, "ready")
				f.expectStored(map[string]float64{row(1): 15, row(2): 15})
				f.expectMetric(1, "write_failures_total")
				f.expectMetric(2, "samples_written_total")
				f.expectMetric(3, "write_duration_seconds")
			})
		}
	}
}

func TestSchemaThatIsMissingMeansComeAgain(t *testing.T) {
	s, err := store.Open(t.Context(), store.Options{URL: postgres.Database(t)})
	if err != nil {
		t.Fatal(err)
	}
	defer s.Close()
	f := serve(t, s, impatient)
	f.get("/-/ready").expectPage(t, 503, "run validator-rollup migrate")
	recent := one(15, "__name__", "ethereum_network_window_x", "window", fmt.Sprint(time.Now().Add(-2*time.Hour).Unix()))
	recent.samples[0].at = time.Now()
	f.send(v1, recent).expect(t, 503, "run validator-rollup migrate")
	if err := s.Migrate(t.Context()); err != nil {
		t.Fatal(err)
	}
	f.send(v1, recent).expect(t, 204)
	f.get("/-/ready").expectPage(t, 200, "ready")
}

// Somebody holds a lock in the database: requests wait, and when their time is over they
// are told to come again, and nothing is left half done.
func TestLockedDatabaseMeansComeAgain(t *testing.T) {
	bothVersions(t, func(f *fixture, v version) {
		f.send(v, expected(1, 15)).expect(f.T, 204)
		conn, err := pgx.Connect(f.Context(), f.db)
		if err != nil {
			f.Fatal(err)
		}
		defer conn.Close(f.Context())
		tx, err := conn.Begin(f.Context())
		if err != nil {
			f.Fatal(err)
		}
		if _, err := tx.Exec(f.Context(), `LOCK TABLE series, samples IN ACCESS EXCLUSIVE MODE`); err != nil {
			f.Fatal(err)
		}
		// More than the pool has connections, and more than are worked on at a time.
		var sending sync.WaitGroup
		for i := range 12 {
			sending.Go(func() { f.send(v, expected(10+i, 15)).expect(f.T, 503) })
		}
		sending.Wait()
		if err := tx.Rollback(f.Context()); err != nil {
			f.Fatal(err)
		}
		want := map[string]float64{row(1): 15}
		for i := range 12 {
			f.send(v, expected(10+i, 15)).expect(f.T, 204)
			want[row(10+i)] = 15
		}
		f.expectStored(want)
	}, impatient, func(o *receiver.Options) { o.Limits.Patience = 200 * time.Millisecond })
}

// scripted is a store whose answers a test decides.
type scripted struct {
	write func(ctx context.Context, rows []store.Row) (store.Result, error)
	check error
	stats store.Stats
}

func (s *scripted) Write(ctx context.Context, rows []store.Row) (store.Result, error) {
	return s.write(ctx, rows)
}
func (s *scripted) Check(context.Context) error { return s.check }
func (s *scripted) Stats() store.Stats          { return s.stats }

func TestRequestsBeyondTheLimitWaitAndThenComeAgain(t *testing.T) {
	entered, leave := make(chan struct{}, 10), make(chan struct{})
	s := &scripted{write: func(_ context.Context, rows []store.Row) (store.Result, error) {
		entered <- struct{}{}
		<-leave
		return store.Result{Written: len(rows)}, nil
	}}
	f := serve(t, s, func(o *receiver.Options) {
		o.Limits.Requests, o.Limits.Patience = 2, 300*time.Millisecond
		o.Now = func() time.Time { return now }
	})
	var sending sync.WaitGroup
	for range 2 {
		sending.Go(func() { f.send(v2, expected(1, 15)).expect(t, 204) })
	}
	<-entered
	<-entered
	f.send(v2, expected(2, 15)).expect(t, 503, "2 other requests are being stored; send it again")
	// One that waits gets the place that becomes free.
	waiting := make(chan response, 1)
	go func() { waiting <- f.send(v2, expected(3, 15)) }()
	time.Sleep(50 * time.Millisecond)
	close(leave)
	(<-waiting).expect(t, 204)
	sending.Wait()
	f.expectMetric(1, "requests_total", "code", "503")
	f.expectMetric(0, "write_failures_total")
}

// Whatever the error, a store that fails is never a success, nor is it the sender's fault.
func TestErrorOfTheStoreIsNeverASuccess(t *testing.T) {
	s := &scripted{write: func(context.Context, []store.Row) (store.Result, error) {
		return store.Result{Written: 1}, errors.New("out of order")
	}}
	f := serve(t, s, func(o *receiver.Options) { o.Now = func() time.Time { return now } })
	for _, v := range []version{v1, v2} {
		f.send(v, expected(1, 15)).expect(t, 503, "out of order").written(t, v, 0)
	}
	f.expectMetric(2, "write_failures_total")
	f.expectMetric(0, "samples_total")
}

func TestWriteHasADeadline(t *testing.T) {
	left := make(chan time.Duration, 1)
	s := &scripted{write: func(ctx context.Context, rows []store.Row) (store.Result, error) {
		deadline, _ := ctx.Deadline()
		left <- time.Until(deadline)
		return store.Result{Written: len(rows)}, nil
	}}
	f := serve(t, s, func(o *receiver.Options) { o.WriteTimeout = 7 * time.Second; o.Now = func() time.Time { return now } })
	f.send(v1, expected(1, 15)).expect(t, 204)
	if d := <-left; d > 7*time.Second || d < 5*time.Second {
		t.Errorf("%s for a write, want 7 s", d)
	}
}

// A sender that gives up takes its request with it.
func TestSenderThatGivesUpCancelsItsWrite(t *testing.T) {
	entered, cancelled := make(chan struct{}), make(chan struct{})
	s := &scripted{write: func(ctx context.Context, _ []store.Row) (store.Result, error) {
		close(entered)
		<-ctx.Done()
		close(cancelled)
		return store.Result{}, ctx.Err()
	}}
	f := serve(t, s, func(o *receiver.Options) { o.Now = func() time.Time { return now } })
	ctx, cancel := context.WithCancel(t.Context())
	go func() {
		<-entered
		cancel()
	}()
	_, err := http.DefaultClient.Do(f.request(ctx, v1, snappy.Encode(nil, message(v1, expected(1, 15)))))
	if !errors.Is(err, context.Canceled) {
		t.Errorf("error %v", err)
	}
	<-cancelled
}
