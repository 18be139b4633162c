package store

import (
	"bufio"
	"context"
	"encoding/csv"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/jackc/pgx/v5"
	"github.com/jackc/pgx/v5/pgconn"
	"github.com/jackc/pgx/v5/pgtype"
)

// ExportOptions say what Export writes.
type ExportOptions struct {
	// View is one of ViewNames.
	View string
	// From and To are the first and the last date, both included; zero for no limit. Of a
	// monthly view they are the months in which the dates lie.
	From, To time.Time
	// Network, Validators, GroupBy and Groups keep only rows with one of these values;
	// empty for all. A view that has no such column refuses them.
	Network    string
	Validators []int64
	GroupBy    string
	Groups     []string
	// Columns to write, in this order. Empty for all, in the view's order.
	Columns []string
	// Format is FormatCSV or FormatJSON.
	Format string
}

// Formats of an export.
const (
	// FormatCSV is RFC 4180 with a header, except that lines end in LF, which spreadsheets
	// read and scripts expect; what is unknown is empty.
	FormatCSV = "csv"
	// FormatJSON is one array with an object on each line; what is unknown is null.
	FormatJSON = "json"
)

// ErrExport is in the error when the options ask for what there is not.
var ErrExport = errors.New("this cannot be exported")

// Export writes the rows of a view, sorted by whom they are about and then by date, as
// they were at one moment. Dates are YYYY-MM-DD, whole numbers are exact, and ratios have
// as many digits as are needed to read them back unchanged. Rows are written as they
// come, so that an export of any size takes little memory.
func (s *Store) Export(ctx context.Context, w io.Writer, o ExportOptions) error {
	statement, arguments, err := o.statement()
	if err != nil {
		return err
	}
	fail := func(err error) error {
		s.lost(ctx, err)
		switch {
		case hasCode(err, "42703"): // undefined column
			return fmt.Errorf("%w: %w", ErrExport, err)
		case errors.Is(err, errOutput):
			return fmt.Errorf("export %s: %w", o.View, err)
		}
		return fmt.Errorf("export %s: %w", o.View, unavailable(err))
	}
	// A standby does for reading.
	readOnly, err := s.takesWrites(ctx)
	if err == nil {
		err = s.recognise(ctx, s.pool)
	}
	if err == nil && readOnly == nil {
		err = s.registerNetworks(ctx)
	}
	if err != nil {
		return fail(err)
	}
	tx, err := s.pool.BeginTx(ctx, pgx.TxOptions{AccessMode: pgx.ReadOnly})
	if err != nil {
		return fail(err)
	}
	defer func() {
		ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), 5*time.Second)
		defer cancel()
		_ = tx.Rollback(ctx) // nothing was written; when it fails the connection is gone
	}()
	// What a user or a database may have set otherwise and a text depends on.
	for _, setting := range []string{`datestyle = 'ISO, YMD'`, `extra_float_digits = 1`, `jit = off`} {
		if _, err := tx.Exec(ctx, `SET LOCAL `+setting); err != nil {
			return fail(err)
		}
	}
	rows, err := tx.Query(ctx, statement, append([]any{pgx.QueryResultFormats{pgx.TextFormatCode}}, arguments...)...)
	if err != nil {
		return fail(err)
	}
	defer rows.Close()
	buffered := bufio.NewWriterSize(w, 64<<10)
	out, err := newEncoder(buffered, o.Format, rows.FieldDescriptions())
	for err == nil && rows.Next() {
		err = out.row(rows.RawValues())
	}
	if err == nil {
		if err := rows.Err(); err != nil {
			return fail(err)
		}
		if err = out.end(); err == nil {
			err = buffered.Flush()
		}
	}
	if err != nil {
		return fail(fmt.Errorf("%w: %w", errOutput, err))
	}
	return nil
}

// errOutput tells errors of the writer from those of the database.
var errOutput = errors.New("write")

// statement is the query and its arguments.
func (o ExportOptions) statement() (sql string, arguments []any, err error) {
	refuse := func(format string, args ...any) (string, []any, error) {
		return "", nil, fmt.Errorf("%w: %w", ErrExport, fmt.Errorf(format, args...))
	}
	i := slices.IndexFunc(views(), func(v view) bool { return v.name == o.View })
	switch {
	case i < 0:
		return refuse("there is no view %q, only %s", o.View, strings.Join(ViewNames(), ", "))
	case o.Format != FormatCSV && o.Format != FormatJSON:
		return refuse("there is no format %q, only %s and %s", o.Format, FormatCSV, FormatJSON)
	case !o.From.IsZero() && !o.To.IsZero() && o.To.Before(o.From):
		return refuse("%s is before %s", o.To.Format(time.DateOnly), o.From.Format(time.DateOnly))
	}
	v := views()[i]

	var conditions []string
	where := func(column, operator string, value any) {
		arguments = append(arguments, value)
		conditions = append(conditions, fmt.Sprintf("%s %s", column, strings.ReplaceAll(operator, "?", fmt.Sprintf("$%d", len(arguments)))))
	}
	for _, limit := range []struct {
		operator string
		date     time.Time
	}{{">= ?::date", o.From}, {"<= ?::date", o.To}} {
		if limit.date.IsZero() {
			continue
		}
		date := limit.date.Format(time.DateOnly)
		if v.period == "month" {
			date = limit.date.Format("2006-01") + "-01"
		}
		where(v.period, limit.operator, date)
	}
	for _, only := range []struct {
		column, operator string
		value            any
		given            bool
	}{
		{"network", "= ?", o.Network, o.Network != ""},
		{"validator_index", "= ANY(?)", o.Validators, len(o.Validators) > 0},
		{"group_by", "= ?", o.GroupBy, o.GroupBy != ""},
		{"group_name", "= ANY(?)", o.Groups, len(o.Groups) > 0},
	} {
		switch {
		case !only.given:
		case !slices.Contains(v.key, only.column):
			return refuse("%s has no column %s", v.name, only.column)
		default:
			where(only.column, only.operator, only.value)
		}
	}

	columns := "*"
	if len(o.Columns) > 0 {
		var quoted []string
		for _, column := range o.Columns {
			quoted = append(quoted, pgx.Identifier{column}.Sanitize())
		}
		columns = strings.Join(quoted, ", ")
	}
	var order []string
	for _, column := range v.key {
		if column != "validator_index" {
			column += ` COLLATE "C"` // the same wherever the database was made
		}
		order = append(order, column)
	}
	sql = "SELECT " + columns + " FROM " + v.name
	if len(conditions) > 0 {
		sql += " WHERE " + strings.Join(conditions, " AND ")
	}
	return sql + " ORDER BY " + strings.Join(append(order, v.period), ", "), arguments, nil
}

// encoder writes rows of values in Postgres's text format, nil for null.
type encoder interface {
	row(values [][]byte) error
	end() error
}

func newEncoder(w *bufio.Writer, format string, columns []pgconn.FieldDescription) (encoder, error) {
	if format == FormatJSON {
		e := &jsonEncoder{w: w}
		for _, column := range columns {
			name, err := json.Marshal(column.Name)
			if err != nil {
				return nil, err
			}
			quoted := true
			switch column.DataTypeOID {
			case pgtype.Int4OID, pgtype.Int8OID, pgtype.NumericOID, pgtype.Float8OID:
				quoted = false // their texts are JSON's, for none is infinite
			}
			e.names, e.quoted = append(e.names, string(name)+":"), append(e.quoted, quoted)
		}
		return e, nil
	}
	e := &csvEncoder{out: w, w: csv.NewWriter(w), record: make([]string, len(columns))}
	for i, column := range columns {
		e.record[i] = column.Name
	}
	return e, e.w.Write(e.record)
}

type csvEncoder struct {
	out    *bufio.Writer
	w      *csv.Writer // into out
	record []string
}

func (e *csvEncoder) row(values [][]byte) error {
	if len(values) == 1 && len(values[0]) == 0 {
		// Unquoted it would be an empty line, which is no row to those who read it.
		e.w.Flush()
		_, err := e.out.WriteString("\"\"\n")
		return err
	}
	for i, value := range values {
		e.record[i] = string(value)
	}
	return e.w.Write(e.record)
}

func (e *csvEncoder) end() error {
	e.w.Flush()
	return e.w.Error()
}

type jsonEncoder struct {
	w      *bufio.Writer
	names  []string // as JSON, with the colon
	quoted []bool   // its values are strings
	begun  bool
	buffer []byte
}

func (e *jsonEncoder) row(values [][]byte) error {
	e.buffer = append(e.buffer[:0], ",\n{"...)
	if !e.begun {
		e.buffer[0], e.begun = '[', true
	}
	for i, value := range values {
		if i > 0 {
			e.buffer = append(e.buffer, ',')
		}
		e.buffer = append(e.buffer, e.names[i]...)
		switch {
		case value == nil:
			e.buffer = append(e.buffer, "null"...)
		case e.quoted[i]:
			text, err := json.Marshal(string(value))
			if err != nil {
				return err
			}
			e.buffer = append(e.buffer, text...)
		default:
			e.buffer = append(e.buffer, value...)
		}
	}
	_, err := e.w.Write(append(e.buffer, '}'))
	return err
}

func (e *jsonEncoder) end() error {
	text := "\n]\n"
	if !e.begun {
		text = "[]\n"
	}
	_, err := e.w.WriteString(text)
	return err
}
