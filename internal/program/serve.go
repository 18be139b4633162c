package program

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"net"
	"net/http"
	"os"
	"strings"
	"sync"
	"syscall"
	"time"

	"github.com/prometheus/exporter-toolkit/web"
)

// Endpoint is one address that a program listens on.
type Endpoint struct {
	server *http.Server
	serve  func() error
}

// Listen opens all addresses that the flags name. Each gets a server of its own: the
// toolkit wraps a server's handler anew for every listener.
func Listen(flags *web.FlagConfig, handler http.Handler, logger *slog.Logger) (endpoints []Endpoint, err error) {
	if *flags.WebSystemdSocket {
		server := newServer(handler, logger)
		return []Endpoint{{server, func() error { return web.ListenAndServe(server, flags, logger) }}}, nil
	}
	var listeners []net.Listener
	defer func() {
		if err != nil {
			for _, listener := range listeners {
				listener.Close()
			}
		}
	}()
	for _, address := range *flags.WebListenAddresses {
		server := newServer(handler, logger)
		if strings.HasPrefix(address, "vsock://") {
			one := web.FlagConfig{WebListenAddresses: &[]string{address}, WebConfigFile: flags.WebConfigFile}
			endpoints = append(endpoints, Endpoint{server, func() error { return web.ListenAndServe(server, &one, logger) }})
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("--web.listen-address=%s: %w", address, err)
		}
		listeners = append(listeners, listener)
		endpoints = append(endpoints, Endpoint{server, func() error { return web.Serve(listener, server, flags, logger) }})
	}
	return endpoints, nil
}

func newServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler,
		// Write deadlines depend on the path and are set by the handlers.
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		// Longer than usual intervals between requests, so that connections are reused.
		IdleTimeout: 5 * time.Minute,
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// Ending is how a server ends.
type Ending struct {
	// Stopping is called when the end begins, before the last requests are answered.
	Stopping func()
	// Drain is how long requests in flight may take.
	Drain time.Duration
	// Hangup is called on SIGHUP, once at a time. Nothing waits for it, also not the end.
	Hangup func()
}

// Serve answers requests until a signal ends it. Requests in flight are answered before
// it returns, unless they take too long or a second signal comes.
func Serve(endpoints []Endpoint, ending Ending, signals <-chan os.Signal, logger *slog.Logger) error {
	var running sync.WaitGroup
	failed := make(chan error, len(endpoints))
	for _, e := range endpoints {
		running.Go(func() {
			if err := e.serve(); !errors.Is(err, http.ErrServerClosed) {
				failed <- err
			}
		})
	}
	defer running.Wait()
	// What a hangup does may take for ever, as reading a file does whose server is gone. The
	// signals that end the program must be heard all the same.
	hangups := make(chan struct{}, 1)
	defer close(hangups)
	go func() {
		for range hangups {
			ending.Hangup()
		}
	}()
	for {
		select {
		case err := <-failed:
			ending.Stopping()
			drain(endpoints, ending.Drain, signals)
			return fmt.Errorf("serving HTTP: %w", err)
		case signal := <-signals:
			if signal == syscall.SIGHUP {
				select {
				case hangups <- struct{}{}:
				default: // one that has not begun yet will see whatever this one would
				}
				continue
			}
			logger.Info("Shutting down: answering the requests in flight", "signal", signal)
			ending.Stopping()
			drain(endpoints, ending.Drain, signals)
			return nil
		}
	}
}

// drain closes the listeners and waits for the requests in flight, until the time is over
// or a second signal to end comes.
func drain(endpoints []Endpoint, timeout time.Duration, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), timeout)
	defer cancel()
	go func() {
		for {
			select {
			case signal := <-signals:
				if signal != syscall.SIGHUP {
					cancel()
				}
			case <-ctx.Done():
				return
			}
		}
	}()
	var draining sync.WaitGroup
	for _, e := range endpoints {
		draining.Go(func() {
			if e.server.Shutdown(ctx) != nil {
				e.server.Close()
			}
		})
	}
	draining.Wait()
}
