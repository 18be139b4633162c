package main

import (
	"context"
	"fmt"
	"io"
	"log/slog"
	"net/http"
	"os"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition"
	"github.com/ethereum-validator-monitor/validator-monitor/collector/watch"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
)

const (
	programName    = "validator-exporter"
	defaultAddress = ":8080"
	// drainTimeout is how long requests in flight may take after a signal to end.
	drainTimeout = 10 * time.Second
)

// exporter is what answers scrapes: a collector and its beacon nodes.
type exporter interface {
	Scrape(ctx context.Context) *exposition.Page
	Gatherer() prometheus.Gatherer
	Ready() (ok bool, why string)
	ServeValidators(w http.ResponseWriter, r *http.Request)
	Close()
}

// builder makes the exporter that the flags ask for, without network I/O.
type builder func(*settings, http.Header, *watch.Watcher, *slog.Logger) (exporter, error)

// run is the program: it returns the exit code 0, 1 when something failed, or 2
// when the flags are wrong. What keeps it from starting is one line on stderr.
func run(args []string, stdout, stderr io.Writer, signals <-chan os.Signal, build builder) int {
	if len(args) > 0 && args[0] == "help" {
		args = append(args[1:len(args):len(args)], "--help")
	}
	var (
		action func() error
		done   bool
		err    error
	)
	if len(args) > 0 && args[0] == "healthcheck" {
		var h program.Healthcheck
		h, done, err = parseHealthcheck(args[1:], stdout)
		action = func() error { return h.Run(stdout) }
	} else {
		var s settings
		s, done, err = parseSettings(args, stdout)
		action = func() error { return export(&s, stdout, stderr, signals, build) }
	}
	switch {
	case done:
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "%s: error: %s; try --help\n", programName, program.OneLine(err))
		return 2
	}
	if err := action(); err != nil {
		fmt.Fprintf(stderr, "%s: error: %s\n", programName, program.OneLine(err))
		return 1
	}
	return 0
}

// export checks everything that can be checked without the network, then serves
// until a signal ends it.
func export(s *settings, stdout, stderr io.Writer, signals <-chan os.Signal, build builder) error {
	logger := s.log.Logger(stderr)
	headers, exposed, err := readHeaders(s.headersFile)
	if err != nil {
		return err
	}
	if err := web.Validate(*s.web.WebConfigFile); err != nil {
		return fmt.Errorf("--web.config.file=%s: %w", *s.web.WebConfigFile, err)
	}
	watcher, err := watch.New(s.watchFile, s.validators, logger, watch.Options{})
	if err != nil {
		return err
	}
	exporter, err := build(s, headers, watcher, logger)
	if err != nil {
		return err
	}
	defer exporter.Close()
	handler, err := newHandler(s, exporter, watcher, logger)
	if err != nil {
		return err
	}
	validators := len(watcher.Current().Entries)
	if s.configCheck {
		fmt.Fprintf(stdout, "the configuration is valid; validators: %d, beacon nodes: %d\n", validators, len(s.beaconURLs))
		return nil
	}
	endpoints, err := program.Listen(s.web, handler, logger)
	if err != nil {
		return err
	}
	logger.Info("Starting "+programName, "version", version.Info(), "build_context", version.BuildContext())
	if exposed {
		logger.Warn("The headers file can be read by every user of this machine; take that right away with chmod o-rwx", "file", s.headersFile)
	}
	if validators == 0 {
		logger.Warn("No validators are watched, so only network and chain families are exposed; name some with --validator or --validators.config")
	}
	// Else a node's address that is wrong would seem right, for the log says nothing of it yet.
	logger.Info("Beacon nodes are asked for the first time when metrics are scraped", "path", s.telemetryPath, "beacon_nodes", len(s.beaconURLs), "validators", validators)
	return program.Serve(endpoints, program.Ending{
		Stopping: func() {},
		Drain:    drainTimeout,
		Hangup:   func() { _ = watcher.Reload() }, // logged there
	}, signals, logger)
}
