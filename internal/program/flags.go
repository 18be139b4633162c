package program

import (
	"errors"
	"fmt"
	"io"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/alecthomas/kingpin/v2"
	"github.com/prometheus/common/model"
	"github.com/prometheus/common/version"
)

// Flags is where flags are declared: an application or one of its commands.
type Flags interface {
	Flag(name, help string) *kingpin.FlagClause
}

// Parse reads a command line and returns the command it names. done tells that it was
// answered already, as --help and --version are. The first word of the application's name
// is that of the program, whose version --version tells.
func Parse(app *kingpin.Application, args []string, stdout io.Writer) (command string, done bool, err error) {
	app.UsageWriter(stdout).ErrorWriter(stdout)
	app.Terminate(func(int) { done = true })
	program, _, _ := strings.Cut(app.Name, " ")
	app.Version(version.Print(program))
	app.HelpFlag.Short('h')
	command, err = app.Parse(args)
	if err != nil {
		err = errors.New(address.ReplaceAllString(err.Error(), "://<hidden>"))
	}
	return command, done, err
}

// address is what of a URL may hold a password or a token. Errors repeat what they do not
// understand, such as a URL that follows another without a flag of its own.
var address = regexp.MustCompile(`://\S+`)

// Checked declares a flag whose errors, unlike kingpin's own, name the flag.
func Checked(flags Flags, name, help string, set func(text string) error) *kingpin.FlagClause {
	clause := flags.Flag(name, help)
	clause.SetValue(&checked{flag: name, set: set})
	return clause
}

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

// CheckedList is Checked for a flag that can be given more than once.
func CheckedList(flags Flags, name, help string, add func(text string) error) *kingpin.FlagClause {
	clause := flags.Flag(name, help)
	clause.SetValue(&checkedList{checked{flag: name, set: add}})
	return clause
}

type checkedList struct{ checked }

// IsCumulative is how kingpin asks.
func (*checkedList) IsCumulative() bool { return true }

// Int declares a flag for a whole number of at least least.
func Int(flags Flags, name, help string, fallback, least int, target *int) {
	Checked(flags, name, help, func(text string) error {
		number, err := strconv.Atoi(text)
		if err != nil || number < least {
			return fmt.Errorf("must be a whole number, at least %d", least)
		}
		*target = number
		return nil
	}).Default(strconv.Itoa(fallback))
}

// Duration declares a flag for a duration of at least least, which may be in days, weeks
// and years.
func Duration(flags Flags, name, help, fallback string, least time.Duration, target *time.Duration) {
	Checked(flags, name, help, func(text string) error {
		d, err := model.ParseDuration(text)
		if err != nil || time.Duration(d) < least {
			return fmt.Errorf("must be a duration of at least %s, such as 1m30s or 5y", model.Duration(least))
		}
		*target = time.Duration(d)
		return nil
	}).Default(fallback)
}

// Range is what a ShortDuration may be.
type Range string

// The ranges.
const (
	AboveZero Range = "above 0"
	FromZero  Range = "from 0 on"
)

// ShortDuration declares a flag for a duration in units from nanoseconds to hours, of
// which there may be fractions, as in 0.5s.
func ShortDuration(flags Flags, name, help, fallback string, within Range, target *time.Duration) {
	Checked(flags, name, help, func(text string) error {
		d, err := time.ParseDuration(text)
		if err != nil || d < 0 || d == 0 && within == AboveZero {
			return fmt.Errorf("must be a duration %s, such as 1m30s", within)
		}
		*target = d
		return nil
	}).Default(fallback)
}

// Choice declares a flag for one of choices, the first of which is its default.
func Choice(flags Flags, name, help string, target *string, choices ...string) {
	Checked(flags, name, help, func(text string) error {
		if !slices.Contains(choices, text) {
			return fmt.Errorf("must be one of %s", strings.Join(choices, ", "))
		}
		*target = text
		return nil
	}).Default(choices[0])
}

var lineBreaks = regexp.MustCompile(`\s*\n\s*`)

// OneLine returns the text of err with its line breaks replaced.
func OneLine(err error) string { return lineBreaks.ReplaceAllString(err.Error(), " ") }
