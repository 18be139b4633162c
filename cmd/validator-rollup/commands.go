package main

import (
	"bufio"
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"strconv"
	"strings"
	"time"

	"github.com/ethereum-validator-monitor/validator-monitor/internal/program"
	"github.com/ethereum-validator-monitor/validator-monitor/rollup/store"
)

// migration is the command migrate.
type migration struct{ downTo int }

func (m *migration) register(flags program.Flags) {
	program.Int(flags, "down-to", "Take back all migrations above this version instead, and what they hold: 0 deletes everything. -1: do not.",
		-1, -1, &m.downTo)
}

func (m *migration) run(ctx context.Context, db *database, stdout io.Writer, logger *slog.Logger) error {
	s, err := db.open(ctx, logger)
	if err != nil {
		return err
	}
	defer s.Close()
	if m.downTo >= 0 {
		err = s.MigrateDown(ctx, int64(m.downTo))
	} else {
		err = s.Migrate(ctx)
	}
	if err != nil {
		return err
	}
	have, need, err := s.SchemaVersion(ctx)
	if err != nil {
		return err
	}
	if have == need {
		fmt.Fprintf(stdout, "the schema has version %d, which this program needs\n", have)
	} else {
		fmt.Fprintf(stdout, "the schema has version %d; this program needs %d\n", have, need)
	}
	return nil
}

// exporting is the command export.
type exporting struct{ options store.ExportOptions }

func (e *exporting) register(flags program.Flags) {
	o := &e.options
	program.Choice(flags, "view", "What to export: "+strings.Join(viewChoices(), ", ")+".", &o.View, viewChoices()...)
	date := func(name, help string, target *time.Time) {
		program.Checked(flags, name, help, func(text string) (err error) {
			if *target, err = time.Parse(time.DateOnly, text); err != nil {
				return errors.New("must be a date such as 2026-01-31")
			}
			return nil
		}).PlaceHolder("YYYY-MM-DD")
	}
	date("from", "First day. Without it: all from the beginning.", &o.From)
	date("to", "Last day, included. Without it: all to the end.", &o.To)
	program.Choice(flags, "format", "csv or json.", &o.Format, store.FormatCSV, store.FormatJSON)
	flags.Flag("network", "Only this network.").PlaceHolder("NAME").StringVar(&o.Network)
	program.CheckedList(flags, "validator", "Only the validator with this index. Repeatable.", func(text string) error {
		index, err := strconv.ParseInt(text, 10, 64)
		if err != nil || index < 0 {
			return errors.New("must be a validator's index")
		}
		o.Validators = append(o.Validators, index)
		return nil
	}).PlaceHolder("INDEX")
	flags.Flag("group-by", "Only groups by this label.").PlaceHolder("LABEL").StringVar(&o.GroupBy)
	flags.Flag("group", "Only this group. Repeatable.").PlaceHolder("NAME").StringsVar(&o.Groups)
	flags.Flag("column", "Only this column. Repeatable, in the order wanted.").PlaceHolder("NAME").StringsVar(&o.Columns)
}

// viewChoices lists the views, the one that is asked for most first.
func viewChoices() []string {
	const first = "validator_daily"
	views := []string{first}
	for _, view := range store.ViewNames() {
		if view != first {
			views = append(views, view)
		}
	}
	return views
}

func (e *exporting) run(ctx context.Context, db *database, stdout io.Writer, logger *slog.Logger) error {
	s, err := db.open(ctx, logger)
	if err != nil {
		return err
	}
	defer s.Close()
	out := bufio.NewWriter(stdout)
	if err := s.Export(ctx, out, e.options); err != nil {
		return err
	}
	if err := out.Flush(); err != nil {
		return fmt.Errorf("write the export: %w", err)
	}
	return nil
}
