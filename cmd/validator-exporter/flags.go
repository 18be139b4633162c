package main

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"
)

// settings are the exporter's flags.
type settings struct {
	beaconURLs    []string
	beaconTimeout time.Duration
	headersFile   string

	validators                     []string
	watchFile                      string
	individualLimit, offenderLimit int

	windowEpochs, resetSlots int
	completedWindows         int

	networkName, networkStake string
	maxAge                    time.Duration

	timeoutOffset, defaultTimeout time.Duration

	web                    *web.FlagConfig
	telemetryPath          string
	maxRequests            int
	lifecycle, pprof       bool
	disableExporterMetrics bool

	logLevel, logFormat string
	configCheck         bool
}

// parse reads a command line. done tells that it was answered already, as --help
// and --version are.
func parse(app *kingpin.Application, args []string, stdout io.Writer) (done bool, err error) {
	app.UsageWriter(stdout).ErrorWriter(stdout)
	app.Terminate(func(int) { done = true })
	app.Version(version.Print(program))
	app.HelpFlag.Short('h')
	_, err = app.Parse(args)
	return done, err
}

func parseSettings(args []string, stdout io.Writer) (s settings, done bool, err error) {
	app := kingpin.New(program, "Exposes to Prometheus what the chain says about Ethereum validators.\n\n"+
		`"`+program+` healthcheck" asks a running exporter whether it is alive.`)
	s.register(app)
	if done, err = parse(app, args, stdout); err == nil && !done {
		err = s.validate()
	}
	return s, done, err
}

func (s *settings) register(app *kingpin.Application) {
	app.Flag("beacon.url", "URL of a beacon node's API. Repeatable: the healthiest node is asked first, the others when it fails.").
		Default("http://localhost:5052").PlaceHolder("URL").StringsVar(&s.beaconURLs)
	durationFlag(app, "beacon.timeout", "Longest wait for one ordinary answer of a beacon node; large answers get a multiple.",
		"10s", aboveZero, &s.beaconTimeout)
	app.Flag("beacon.headers-file", `File with "Name: value" lines, sent as headers with every request to beacon nodes, such as a token.`).
		PlaceHolder("FILE").StringVar(&s.headersFile)

	app.Flag("validator", "Index or public key of a validator to watch. Repeatable; also several separated by commas, and ranges of indices.").
		PlaceHolder("KEY").StringsVar(&s.validators)
	app.Flag("validators.config", "YAML file with the validators to watch and their labels. Read again when it changes and on SIGHUP.").
		PlaceHolder("FILE").StringVar(&s.watchFile)
	intFlag(app, "validators.individual-limit", "Number of watched validators up to which each gets series of its own. Beyond it only offenders do.",
		1000, 0, &s.individualLimit)
	intFlag(app, "validators.offender-limit", "Largest number of offender series, worst first.",
		50, 0, &s.offenderLimit)

	// How many slots an epoch has is only known from the chain, so the collector
	// checks whether the two go together.
	intFlag(app, "counters.window-epochs", "Epochs after which counters start again from 0.",
		15, 2, &s.windowEpochs)
	intFlag(app, "counters.reset-slots", "Slots for which counters read 0 when they start again. The scrape interval must be shorter.",
		8, 1, &s.resetSlots)
	intFlag(app, "counters.completed-windows", "Number of finished windows to expose as gauges, for long-term storage.",
		0, 0, &s.completedWindows)

	app.Flag("network.name", `Value of the label "network", instead of the name that the beacon node gives.`).
		PlaceHolder("NAME").StringVar(&s.networkName)
	choiceFlag(app, "network.stake", "Whether to read every validator's effective balance for the network's stake families: auto (on small networks), always or never.",
		&s.networkStake, "auto", "always", "never")
	durationFlag(app, "chain.max-age", "Time without a head confirmed by a beacon node after which chain families are withheld. 0s: never.",
		"15m", zeroToo, &s.maxAge)

	durationFlag(app, "scrape.timeout-offset", "Time by which to answer before Prometheus' scrape timeout ends.",
		"0.5s", zeroToo, &s.timeoutOffset)
	durationFlag(app, "scrape.default-timeout", "Scrape timeout to assume where the request names none.",
		"10s", aboveZero, &s.defaultTimeout)

	s.web = kingpinflag.AddFlags(app, ":8080")
	app.Flag("web.telemetry-path", "Path under which to expose metrics.").
		Default("/metrics").StringVar(&s.telemetryPath)
	intFlag(app, "web.max-requests", "Largest number of scrapes at a time; more are answered with 503. 0: no limit.",
		40, 0, &s.maxRequests)
	app.Flag("web.disable-exporter-metrics", "Leave out the families go_* and process_*.").
		BoolVar(&s.disableExporterMetrics)
	app.Flag("web.enable-lifecycle", "Reload the watch list on POST or PUT to /-/reload.").
		BoolVar(&s.lifecycle)
	app.Flag("web.enable-pprof", "Serve profiles of the program under /debug/pprof/.").
		BoolVar(&s.pprof)

	choiceFlag(app, "log.level", "Least severity of what is logged: debug, info, warn or error.",
		&s.logLevel, "info", "debug", "warn", "error")
	choiceFlag(app, "log.format", "Format of the log: logfmt or json.",
		&s.logFormat, "logfmt", "json")
	app.Flag("config.check", "Check flags and files, say whether they are valid, and exit.").
		BoolVar(&s.configCheck)
}

// checked is a flag's value whose errors, unlike kingpin's own, name the flag.
type checked struct {
	flag, text string
	set        func(text string) error
}

func (c *checked) String() string { return c.text }

func (c *checked) Set(text string) error {
	if err := c.set(text); err != nil {
		return fmt.Errorf("--%s=%s: %w", c.flag, text, err)
	}
	c.text = text
	return nil
}

func intFlag(app *kingpin.Application, name, help string, fallback, least int, target *int) {
	app.Flag(name, help).Default(strconv.Itoa(fallback)).SetValue(&checked{flag: name, set: func(text string) error {
		number, err := strconv.Atoi(text)
		if err != nil || number < least {
			return fmt.Errorf("must be a whole number, at least %d", least)
		}
		*target = number
		return nil
	}})
}

// What a duration may be.
const (
	aboveZero = "above 0"
	zeroToo   = "from 0 on"
)

func durationFlag(app *kingpin.Application, name, help, fallback, which string, target *time.Duration) {
	app.Flag(name, help).Default(fallback).SetValue(&checked{flag: name, set: func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d == 0 && which == aboveZero {
			return fmt.Errorf("must be a duration %s, such as 1m30s", which)
		}
		*target = d
		return nil
	}})
}

// choiceFlag is a flag for one of choices, the first of which is its default.
func choiceFlag(app *kingpin.Application, name, help string, target *string, choices ...string) {
	app.Flag(name, help).Default(choices[0]).SetValue(&checked{flag: name, set: func(text string) error {
		if !slices.Contains(choices, text) {
			return fmt.Errorf("must be one of %s", strings.Join(choices, ", "))
		}
		*target = text
		return nil
	}})
}

// ownPaths are served beside --web.telemetry-path.
var ownPaths = []string{"/health", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/validators"}

var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._~-]*$`)

// validate checks what no flag's type can.
func (s *settings) validate() error {
	switch {
	case !plainPath.MatchString(s.telemetryPath) || path.Clean(s.telemetryPath) != s.telemetryPath:
		return fmt.Errorf("--web.telemetry-path=%s: must be a plain path such as /metrics", s.telemetryPath)
	case slices.Contains(ownPaths, s.telemetryPath) || strings.HasPrefix(s.telemetryPath, "/debug/pprof"):
		return fmt.Errorf("--web.telemetry-path=%s: this path is taken; choose another", s.telemetryPath)
	}
	return nil
}
