package main

import (
	"fmt"
	"io"
	"path"
	"regexp"
	"slices"
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

	windowEpochs, resetSlots uint64
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
	app.Flag("beacon.timeout", "Longest wait for one ordinary answer of a beacon node; large answers get a multiple.").
		Default("10s").DurationVar(&s.beaconTimeout)
	app.Flag("beacon.headers-file", `File with "Name: value" lines, sent as headers with every request to beacon nodes, such as a token.`).
		PlaceHolder("FILE").StringVar(&s.headersFile)

	app.Flag("validator", "Index or public key of a validator to watch. Repeatable; also several separated by commas, and ranges of indices.").
		PlaceHolder("KEY").StringsVar(&s.validators)
	app.Flag("validators.config", "YAML file with the validators to watch and their labels. Read again when it changes and on SIGHUP.").
		PlaceHolder("FILE").StringVar(&s.watchFile)
	app.Flag("validators.individual-limit", "Number of watched validators up to which each gets series of its own. Beyond it only offenders do.").
		Default("1000").IntVar(&s.individualLimit)
	app.Flag("validators.offender-limit", "Largest number of offender series, worst first.").
		Default("50").IntVar(&s.offenderLimit)

	app.Flag("counters.window-epochs", "Epochs after which counters start again from 0.").
		Default("15").Uint64Var(&s.windowEpochs)
	app.Flag("counters.reset-slots", "Slots for which counters read 0 when they start again. The scrape interval must be shorter.").
		Default("8").Uint64Var(&s.resetSlots)
	app.Flag("counters.completed-windows", "Number of finished windows to expose as gauges, for long-term storage.").
		Default("0").IntVar(&s.completedWindows)

	app.Flag("network.name", `Value of the label "network", instead of the name that the beacon node gives.`).
		PlaceHolder("NAME").StringVar(&s.networkName)
	app.Flag("network.stake", "Whether to read every validator's effective balance for the network's stake families. auto: on small networks.").
		Default("auto").EnumVar(&s.networkStake, "auto", "always", "never")
	app.Flag("chain.max-age", "Time without a head confirmed by a beacon node after which chain families are withheld. 0: never.").
		Default("15m").DurationVar(&s.maxAge)

	app.Flag("scrape.timeout-offset", "Time by which to answer before Prometheus' scrape timeout ends.").
		Default("0.5s").DurationVar(&s.timeoutOffset)
	app.Flag("scrape.default-timeout", "Scrape timeout to assume where the request names none.").
		Default("10s").DurationVar(&s.defaultTimeout)

	s.web = kingpinflag.AddFlags(app, ":8080")
	app.Flag("web.telemetry-path", "Path under which to expose metrics.").
		Default("/metrics").StringVar(&s.telemetryPath)
	app.Flag("web.max-requests", "Largest number of scrapes at a time; more are answered with 503. 0: no limit.").
		Default("40").IntVar(&s.maxRequests)
	app.Flag("web.disable-exporter-metrics", "Leave out the families go_* and process_*.").
		BoolVar(&s.disableExporterMetrics)
	app.Flag("web.enable-lifecycle", "Reload the watch list on POST or PUT to /-/reload.").
		BoolVar(&s.lifecycle)
	app.Flag("web.enable-pprof", "Serve profiles of the program under /debug/pprof/.").
		BoolVar(&s.pprof)

	app.Flag("log.level", "Least severity of what is logged: debug, info, warn or error.").
		Default("info").EnumVar(&s.logLevel, "debug", "info", "warn", "error")
	app.Flag("log.format", "Format of the log: logfmt or json.").
		Default("logfmt").EnumVar(&s.logFormat, "logfmt", "json")
	app.Flag("config.check", "Check flags and files, say whether they are valid, and exit.").
		BoolVar(&s.configCheck)
}

// ownPaths are served beside --web.telemetry-path.
var ownPaths = []string{"/health", "/-/healthy", "/-/ready", "/-/reload", "/api/v1/validators"}

var plainPath = regexp.MustCompile(`^/[A-Za-z0-9/._~-]*$`)

// validate checks what no flag's type can.
func (s *settings) validate() error {
	atLeast := func(flag string, value, least int) error {
		if value < least {
			return fmt.Errorf("--%s=%d: must be at least %d", flag, value, least)
		}
		return nil
	}
	positive := func(flag string, value time.Duration) error {
		if value <= 0 {
			return fmt.Errorf("--%s=%s: must be more than 0", flag, value)
		}
		return nil
	}
	errs := []error{
		positive("beacon.timeout", s.beaconTimeout),
		atLeast("validators.individual-limit", s.individualLimit, 0),
		atLeast("validators.offender-limit", s.offenderLimit, 0),
		// How many slots an epoch has is only known from the chain, so the collector
		// checks the rest.
		atLeast("counters.window-epochs", int(min(s.windowEpochs, 2)), 2),
		atLeast("counters.reset-slots", int(min(s.resetSlots, 1)), 1),
		atLeast("counters.completed-windows", s.completedWindows, 0),
		positive("scrape.default-timeout", s.defaultTimeout),
		atLeast("web.max-requests", s.maxRequests, 0),
	}
	if s.maxAge < 0 {
		errs = append(errs, fmt.Errorf("--chain.max-age=%s: must not be negative", s.maxAge))
	}
	if s.timeoutOffset < 0 {
		errs = append(errs, fmt.Errorf("--scrape.timeout-offset=%s: must not be negative", s.timeoutOffset))
	}
	switch {
	case !plainPath.MatchString(s.telemetryPath) || path.Clean(s.telemetryPath) != s.telemetryPath:
		errs = append(errs, fmt.Errorf("--web.telemetry-path=%s: must be a plain path such as /metrics", s.telemetryPath))
	case slices.Contains(ownPaths, s.telemetryPath) || strings.HasPrefix(s.telemetryPath, "/debug/pprof"):
		errs = append(errs, fmt.Errorf("--web.telemetry-path=%s: this path is taken; choose another", s.telemetryPath))
	}
	for _, err := range errs {
		if err != nil {
			return err
		}
	}
	return nil
}
