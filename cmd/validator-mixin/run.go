package main

import (
	"errors"
	"fmt"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/version"

	"github.com/ethereum-validator-monitor/validator-monitor/mixin"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/alerts"
	"github.com/ethereum-validator-monitor/validator-monitor/mixin/output"
)

const program = "validator-mixin"

// run is the program: it returns the exit code 0, 1 when something failed or differs,
// or 2 when the flags are wrong.
func run(args []string, stdout, stderr io.Writer) int {
	s, done, err := parse(args, stdout)
	switch {
	case done:
		return 0
	case err != nil:
		fmt.Fprintf(stderr, "%s: error: %s; try --help\n", program, err)
		return 2
	}
	if err := s.action(stdout); err != nil {
		// Several problems are a line each.
		fmt.Fprintf(stderr, "%s: error: %s\n", program, strings.ReplaceAll(err.Error(), "\n", "\n  "))
		return 1
	}
	return 0
}

// settings are the flags of all commands.
type settings struct {
	check               bool
	generated, runbooks string
	preset              string
	config, dir         string
	action              func(stdout io.Writer) error
}

// parse reads a command line. done tells that it was answered already, as --help and
// --version are.
func parse(args []string, stdout io.Writer) (s *settings, done bool, err error) {
	s = &settings{}
	app := kingpin.New(program, "Renders the dashboards, rules, alerts and runbooks of the Ethereum Validator Monitor.")
	app.UsageWriter(stdout).ErrorWriter(stdout)
	app.Terminate(func(int) {
		done = true
		// Parsing goes on, and would show the usage because no command is there.
		app.UsageWriter(io.Discard).ErrorWriter(io.Discard)
	})
	app.Version(version.Print(program) + "\n  mixin:            " + mixin.Version())
	app.HelpFlag.Short('h')

	render := app.Command("render", "Render a preset, with knobs of your own on top, into a directory.")
	s.presetFlag(render)
	render.Flag("config", "YAML file with the knobs that differ from the preset.").PlaceHolder("FILE").StringVar(&s.config)
	render.Flag("output", "Directory to write: a new or empty one, or one of an earlier rendering, which then holds nothing else. Required.").
		PlaceHolder("DIR").Required().StringVar(&s.dir)

	knobs := app.Command("knobs", "Print all knobs of a preset as YAML, with what they mean.")
	s.presetFlag(knobs)

	generate := app.Command("generate", "Render what this project commits: every preset, and the runbooks.")
	generate.Flag("check", "Write nothing; list what differs, and exit with 1 if anything does.").BoolVar(&s.check)
	generate.Flag("generated", "Directory of the presets' renderings.").Default("mixin/generated").StringVar(&s.generated)
	generate.Flag("runbooks", "Directory of the runbooks.").Default("docs/runbooks").StringVar(&s.runbooks)

	command, err := app.Parse(args)
	s.action = map[string]func(io.Writer) error{
		render.FullCommand(): s.render, knobs.FullCommand(): s.knobs, generate.FullCommand(): s.generate,
	}[command]
	return s, done, err
}

func (s *settings) presetFlag(command *kingpin.CmdClause) {
	var names []string
	for _, c := range mixin.Presets() {
		names = append(names, c.Preset)
	}
	command.Flag("preset", "Set of knobs to start from: "+strings.Join(names, " or ")+". Required.").
		PlaceHolder("NAME").Required().EnumVar(&s.preset, names...)
}

// knobsOf is the named preset.
func knobsOf(preset string) mixin.Config {
	for _, c := range mixin.Presets() {
		if c.Preset == preset {
			return c
		}
	}
	panic("the flag's values are those of mixin.Presets")
}

func (s *settings) knobs(stdout io.Writer) error {
	document, err := knobsOf(s.preset).Knobs()
	if err != nil {
		return err
	}
	_, err = stdout.Write(document)
	return err
}

func (s *settings) render(stdout io.Writer) error {
	c := knobsOf(s.preset)
	if s.config != "" {
		document, err := os.ReadFile(s.config)
		if err != nil {
			return fmt.Errorf("--config: %w", err)
		}
		if c, err = c.Overlay(document); err != nil {
			return fmt.Errorf("%s: %w", s.config, err)
		}
	}
	files, err := output.Files(c)
	if err != nil {
		return err
	}
	if err := mayClearUp(s.dir); err != nil {
		return fmt.Errorf("--output: %w", err)
	}
	return write(stdout, s.dir, files)
}

// mayClearUp refuses a directory with files that an earlier rendering did not make.
func mayClearUp(dir string) error {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, fs.ErrNotExist) || err == nil && len(entries) == 0 {
		return nil
	}
	if err != nil {
		return err
	}
	ours, err := output.IsRendering(dir)
	if err == nil && !ours {
		err = fmt.Errorf("%s holds other files; name a new directory", dir)
	}
	return err
}

func (s *settings) generate(stdout io.Writer) error {
	presets := mixin.Presets()
	generated, err := output.Generated(presets)
	if err != nil {
		return err
	}
	runbooks, err := alerts.Pages(presets)
	if err != nil {
		return fmt.Errorf("runbooks: %w", err)
	}
	if !s.check {
		return errors.Join(write(stdout, s.generated, generated), write(stdout, s.runbooks, runbooks))
	}
	inGenerated, err := output.Compare(s.generated, generated)
	if err != nil {
		return err
	}
	inRunbooks, err := output.Compare(s.runbooks, runbooks)
	if err != nil {
		return err
	}
	for _, d := range inGenerated {
		fmt.Fprintln(stdout, d.Kind, filepath.Join(s.generated, d.Path))
	}
	for _, d := range inRunbooks {
		fmt.Fprintln(stdout, d.Kind, filepath.Join(s.runbooks, d.Path))
	}
	if n := len(inGenerated) + len(inRunbooks); n > 0 {
		return fmt.Errorf("files that differ from what is generated: %d; run make generate", n)
	}
	return nil
}

// write makes dir hold files, and prints what that changes.
func write(stdout io.Writer, dir string, files map[string][]byte) error {
	before, err := output.Compare(dir, files)
	if err != nil {
		return err
	}
	if err := output.Write(dir, files); err != nil {
		return err
	}
	after, err := output.Compare(dir, files)
	done := map[output.Kind]string{output.Missing: "new", output.Changed: "changed", output.Stray: "deleted"}
	for _, d := range before {
		what := done[d.Kind]
		if slices.Contains(after, d) {
			what = "left alone"
		}
		fmt.Fprintln(stdout, what, filepath.Join(dir, d.Path))
	}
	return err
}
