package main

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"os"
	"strings"
	"sync"
	"time"

	"github.com/prometheus/client_golang/prometheus"
	"github.com/prometheus/client_golang/prometheus/collectors"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
	"go.yaml.in/yaml/v3"

	"github.com/ethereum-validator-monitor/validator-monitor/collector/exposition/process"
	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/receiver"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// service is the receiver as a process.
type service struct {
	autoMigrate bool
	interval    time.Duration // of maintenance
	receiver    receiver.Options
	web         *web.FlagConfig
}

func (s *service) register(flags program.Flags) {
	flags.Flag("db.auto-migrate", "Bring the schema to the version that this program needs before storing anything.").
		BoolVar(&s.autoMigrate)
	program.Duration(flags, "maintenance.interval", "How often partitions are made ahead and old ones dropped, and days closed that are over.", "1h", time.Second, &s.interval)

	r := &s.receiver
	flags.Flag("rollup.series", "Regular expression for the whole names of the families to store. Others are acknowledged and dropped.").
		Default(receiver.DefaultSeries).StringVar(&r.Series)
	flags.Flag("rollup.drop-label", "A label to strip from every series, besides "+strings.Join(receiver.DefaultDropLabels(), ", ")+". Repeatable.").
		PlaceHolder("NAME").StringsVar(&r.DropLabels)
	program.Duration(flags, "rollup.write-timeout", "Longest time to store one request, retries included. Keep it below the sender's remote_timeout.", "20s", time.Second, &r.WriteTimeout)

	limits := &r.Limits
	program.Int(flags, "receive.max-requests", "Most requests to work on at a time; others wait a few seconds.", 8, 1, &limits.Requests)
	program.Int(flags, "receive.max-body-bytes", "Largest request as it is sent.", 8<<20, 1, &limits.Body)
	program.Int(flags, "receive.max-decoded-bytes", "Largest request when it is decompressed, and most memory for its labels.", 32<<20, 1, &limits.Decoded)
	program.Int(flags, "receive.max-samples", "Most samples, and most series, of a request.", 50_000, 1, &limits.Samples)
	program.Int(flags, "receive.max-labels", "Most labels of a series.", 100, 1, &limits.Labels)
	program.Int(flags, "receive.max-label-bytes", "Longest name and longest value of a label.", 4096, 1, &limits.LabelBytes)

	flags.Flag("web.bearer-token-file", "File with the bearer tokens that senders may show, one a line. Read again when it changes. Without it senders need none.").
		PlaceHolder("FILE").StringVar(&r.TokenFile)
	s.web = kingpinflag.AddFlags(flags, defaultAddress)
}

// run serves until a signal ends it. The database may be away, now and later: senders
// are told to come again until it is there.
func (s *service) run(db *database, signals <-chan os.Signal, logger *slog.Logger) error {
	if err := web.Validate(*s.web.WebConfigFile); err != nil {
		return fmt.Errorf("--web.config.file=%s: %w", *s.web.WebConfigFile, err)
	}
	if err := s.oneAuthentication(); err != nil {
		return err
	}
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	storage, err := db.open(ctx, logger)
	if err != nil {
		return err
	}
	defer storage.Close()
	s.receiver.Logger = logger.With("component", "receiver")
	s.receiver.Collectors = []prometheus.Collector{collectors.NewGoCollector(), process.NewCollector()}
	handler, err := receiver.New(storage, s.receiver)
	if err != nil {
		return err
	}
	endpoints, err := program.Listen(s.web, handler, logger)
	if err != nil {
		return err
	}
	logger.Info("Starting "+programName, "version", version.Info(), "build_context", version.BuildContext())

	var maintaining sync.WaitGroup
	maintaining.Go(func() { s.maintain(ctx, storage, logger) })
	defer maintaining.Wait()
	defer cancel()
	return program.Serve(endpoints, program.Ending{
		Stopping: handler.Stop,
		Drain:    s.receiver.WriteTimeout + 5*time.Second,
		Hangup:   func() { logger.Info("Nothing is reloaded on SIGHUP: files are read again when they change") },
	}, signals, logger)
}

// oneAuthentication fails when senders would need a password and a token: a request has
// room for one of them.
func (s *service) oneAuthentication() error {
	if s.receiver.TokenFile == "" || *s.web.WebConfigFile == "" {
		return nil
	}
	text, err := os.ReadFile(*s.web.WebConfigFile)
	if err != nil {
		return fmt.Errorf("--web.config.file: %w", err)
	}
	var config struct {
		Users map[string]any `yaml:"basic_auth_users"`
	}
	if err := yaml.Unmarshal(text, &config); err != nil {
		return fmt.Errorf("--web.config.file=%s: %w", *s.web.WebConfigFile, err)
	}
	if len(config.Users) > 0 {
		return errors.New("--web.bearer-token-file and basic_auth_users of --web.config.file cannot both be used: a request can show one of them")
	}
	return nil
}

// maintained is what maintain needs of a store.
type maintained interface {
	Migrate(ctx context.Context) error
	Maintain(ctx context.Context) error
}

// maintain keeps the database fit until ctx is done: soon again after a failure, and
// otherwise every interval.
func (s *service) maintain(ctx context.Context, db maintained, logger *slog.Logger) {
	const soonest, latest = time.Second, time.Minute
	migrate := s.autoMigrate
	for failures := 0; ctx.Err() == nil; {
		var err error
		if migrate {
			err = db.Migrate(ctx)
			migrate = err != nil
		}
		if err == nil {
			err = db.Maintain(ctx)
		}
		wait := s.interval
		switch {
		case err == nil && failures > 0:
			logger.Info("The database is maintained again")
			failures = 0
		case err != nil && ctx.Err() == nil:
			if wait = min(wait, latest, soonest<<min(failures, 10)); errors.Is(err, store.ErrMismatch) {
				logger.Error("The database cannot be used", "err", err)
			} else {
				logger.Warn("The database could not be maintained; trying again", "in", wait, "err", err)
			}
			failures++
		}
		select {
		case <-time.After(wait):
		case <-ctx.Done():
		}
	}
}
