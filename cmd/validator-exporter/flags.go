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
	"github.com/prometheus/exporter-toolkit/web"
	"github.com/prometheus/exporter-toolkit/web/kingpinflag"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
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

	log         program.Log
	configCheck bool
}

func parseSettings(args []string, stdout io.Writer) (s settings, done bool, err error) {
	app := kingpin.New(programName, "Exposes to Prometheus what the chain says about Ethereum validators.\n\n"+
		`"`+programName+` healthcheck" asks a running exporter whether it is alive.`)
	s.register(app)
	if _, done, err = program.Parse(app, args, stdout); err == nil && !done {
		err = s.validate()
	}
	return s, done, err
}

func parseHealthcheck(args []string, stdout io.Writer) (h program.Healthcheck, done bool, err error) {
	app := kingpin.New(programName+" healthcheck", "Asks a running exporter whether it is alive: the exit code is 0 when it is, else 1.")
	h.ShortTimeout = true
	h.Register(app, defaultAddress)
	_, done, err = program.Parse(app, args, stdout)
	return h, done, err
}

func (s *settings) register(app *kingpin.Application) {
	app.Flag("beacon.url", "URL of a beacon node's API. Repeatable: the healthiest node is asked first, the others when it fails.").
		Default("http://localhost:5052").PlaceHolder("URL").StringsVar(&s.beaconURLs)
	program.ShortDuration(app, "beacon.timeout", "Longest wait for one ordinary answer of a beacon node; large answers get a multiple.",
		"10s", program.AboveZero, &s.beaconTimeout)
	app.Flag("beacon.headers-file", `File with "Name: value" lines, sent as headers with every request to beacon nodes, such as a token.`).
		PlaceHolder("FILE").StringVar(&s.headersFile)

	app.Flag("validator", "Index or public key of a validator to watch. Repeatable; also several separated by commas, and ranges of indices.").
		PlaceHolder("KEY").StringsVar(&s.validators)
	app.Flag("validators.config", "YAML file with the validators to watch and their labels. Read again when it changes and on SIGHUP.").
		PlaceHolder("FILE").StringVar(&s.watchFile)
	program.Int(app, "validators.individual-limit", "Number of watched validators up to which each gets series of its own. Beyond it only offenders do.",
		1000, 0, &s.individualLimit)
	program.Int(app, "validators.offender-limit", "Largest number of offender series. Each kind of offence gets its share, the newest of each first.",
		50, 0, &s.offenderLimit)

	// How many slots an epoch has is only known from the chain, so the collector
	// checks whether the two go together.
	program.Int(app, "counters.window-epochs", "Epochs after which counters start again from 0.",
		15, 2, &s.windowEpochs)
	program.Int(app, "counters.reset-slots", "Slots for which counters read 0 when they start again. The scrape interval must be shorter.",
		8, 1, &s.resetSlots)
	program.Int(app, "counters.completed-windows", "Number of finished windows to expose as gauges, for long-term storage.",
		0, 0, &s.completedWindows)

	app.Flag("network.name", `Value of the label "network", instead of the name that the beacon node gives.`).
		PlaceHolder("NAME").StringVar(&s.networkName)
	program.Choice(app, "network.stake", "Whether to read every validator's effective balance for the network's stake families: auto (on small networks), always or never.",
		&s.networkStake, "auto", "always", "never")
	program.ShortDuration(app, "chain.max-age", "Time without a head confirmed by a beacon node after which chain families are withheld. 0s: never.",
		"15m", program.FromZero, &s.maxAge)

	program.ShortDuration(app, "scrape.timeout-offset", "Time by which to answer before Prometheus' scrape timeout ends.",
		"0.5s", program.FromZero, &s.timeoutOffset)
	program.ShortDuration(app, "scrape.default-timeout", "Scrape timeout to assume where the request names none.",
		"10s", program.AboveZero, &s.defaultTimeout)

	s.web = kingpinflag.AddFlags(app, defaultAddress)
	app.Flag("web.telemetry-path", "Path under which to expose metrics.").
		Default("/metrics").StringVar(&s.telemetryPath)
	program.Int(app, "web.max-requests", "Largest number of scrapes at a time; more are answered with 503. 0: no limit.",
		40, 0, &s.maxRequests)
	app.Flag("web.disable-exporter-metrics", "Leave out the families go_* and process_*.").
		BoolVar(&s.disableExporterMetrics)
	app.Flag("web.enable-lifecycle", "Reload the watch list on POST or PUT to /-/reload.").
		BoolVar(&s.lifecycle)
	app.Flag("web.enable-pprof", "Serve profiles of the program under /debug/pprof/.").
		BoolVar(&s.pprof)

	s.log.Register(app)
	app.Flag("config.check", "Check flags and files, say whether they are valid, and exit.").
		BoolVar(&s.configCheck)
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
