package main

import (
	"context"
	"fmt"
	"io"
	"os"

	"github.com/alecthomas/kingpin/v2"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
)

const (
	programName = "validator-rollup"
	// defaultAddress collides with nothing else on a validator's machine: 8080 is the
	// exporter, 9090 Prometheus, 9100 node_exporter.
	defaultAddress = ":8090"
)

// run is the program: it returns the exit code 0, 1 when something failed, or 2 when the
// flags are wrong. What keeps it from starting is one line on stderr.
func run(args []string, stdout, stderr io.Writer, signals <-chan os.Signal) int {
	app := kingpin.New(programName, "Keeps completed windows of Ethereum validators in Postgres.\n\n"+
		`Without a command it serves; "`+programName+` serve --help" tells its flags.`)
	var log program.Log
	log.Register(app)
	var db database
	db.register(app)

	var serve service
	serveCommand := app.Command("serve", "Receive windows by remote-write and store them.").Default()
	serve.register(serveCommand)

	var migrate migration
	migrateCommand := app.Command("migrate", "Bring the database's schema to the version that this program needs.")
	migrate.register(migrateCommand)

	var export exporting
	exportCommand := app.Command("export", "Write days or months of a view to standard output.")
	export.register(exportCommand)

	var health program.Healthcheck
	healthCommand := app.Command("healthcheck", "Ask a running receiver whether it is alive: the exit code is 0 when it is, else 1.")
	health.Register(healthCommand, defaultAddress)

	command, done, err := program.Parse(app, args, stdout)
	switch {
	case done:
		return 0
	case err == nil:
		err = db.validate()
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: error: %s; try --help\n", programName, program.OneLine(err))
		return 2
	}

	logger := log.Logger(stderr)
	switch command {
	case serveCommand.FullCommand():
		err = serve.run(&db, signals, logger)
	case migrateCommand.FullCommand():
		err = untilSignal(signals, func(ctx context.Context) error { return migrate.run(ctx, &db, stdout, logger) })
	case exportCommand.FullCommand():
		err = untilSignal(signals, func(ctx context.Context) error { return export.run(ctx, &db, stdout, logger) })
	case healthCommand.FullCommand():
		err = health.Run(stdout)
	}
	if err != nil {
		fmt.Fprintf(stderr, "%s: error: %s\n", programName, program.OneLine(err))
		return 1
	}
	return 0
}

// untilSignal runs work and cancels it when a signal comes.
func untilSignal(signals <-chan os.Signal, work func(context.Context) error) error {
	ctx, cancel := context.WithCancel(context.Background())
	defer cancel()
	go func() {
		select {
		case <-signals:
			cancel()
		case <-ctx.Done():
		}
	}()
	return work(ctx)
}
