package main

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

// drainTimeout is how long requests in flight may take after a signal to end.
const drainTimeout = 10 * time.Second

// endpoint is one address the exporter listens on.
type endpoint struct {
	server *http.Server
	serve  func() error
}

// listen opens all addresses that the flags name. Each gets a server of its own:
// the toolkit wraps a server's handler anew for every listener.
func listen(flags *web.FlagConfig, handler http.Handler, logger *slog.Logger) ([]endpoint, error) {
	if *flags.WebSystemdSocket {
		server := newServer(handler, logger)
		return []endpoint{{server, func() error { return web.ListenAndServe(server, flags, logger) }}}, nil
	}
	var endpoints []endpoint
	for _, address := range *flags.WebListenAddresses {
		server := newServer(handler, logger)
		if strings.HasPrefix(address, "vsock://") {
			one := web.FlagConfig{WebListenAddresses: &[]string{address}, WebConfigFile: flags.WebConfigFile}
			endpoints = append(endpoints, endpoint{server, func() error { return web.ListenAndServe(server, &one, logger) }})
			continue
		}
		listener, err := net.Listen("tcp", address)
		if err != nil {
			return nil, fmt.Errorf("--web.listen-address=%s: %w", address, err)
		}
		endpoints = append(endpoints, endpoint{server, func() error { return web.Serve(listener, server, flags, logger) }})
	}
	return endpoints, nil
}

func newServer(handler http.Handler, logger *slog.Logger) *http.Server {
	return &http.Server{
		Handler: handler,
		// Write deadlines depend on the path and are set by the handlers.
		ReadHeaderTimeout: 10 * time.Second,
		ReadTimeout:       30 * time.Second,
		// Longer than usual scrape intervals, so that connections are reused.
		IdleTimeout: 5 * time.Minute,
		ErrorLog:    slog.NewLogLogger(logger.Handler(), slog.LevelWarn),
	}
}

// serve answers requests until a signal ends it, and reloads on SIGHUP. Requests
// in flight are answered before it returns.
func serve(endpoints []endpoint, reload func() error, signals <-chan os.Signal, logger *slog.Logger) error {
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
	for {
		select {
		case err := <-failed:
			drain(endpoints, signals)
			return fmt.Errorf("serving HTTP: %w", err)
		case signal := <-signals:
			if signal == syscall.SIGHUP {
				_ = reload() // logged there
				continue
			}
			logger.Info("Shutting down: answering the requests in flight", "signal", signal)
			drain(endpoints, signals)
			return nil
		}
	}
}

// drain closes the listeners and waits for the requests in flight, until
// drainTimeout or a second signal to end.
func drain(endpoints []endpoint, signals <-chan os.Signal) {
	ctx, cancel := context.WithTimeout(context.Background(), drainTimeout)
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
