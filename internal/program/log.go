package program

import (
	"io"
	"log/slog"

	"github.com/go-kit/log"
	sloggokit "github.com/tjhop/slog-gokit"
)

// Log is how to log.
type Log struct{ Level, Format string }

// Register declares the flags.
func (l *Log) Register(flags Flags) {
	Choice(flags, "log.level", "Least severity of what is logged: debug, info, warn or error.",
		&l.Level, "info", "debug", "warn", "error")
	Choice(flags, "log.format", "Format of the log: logfmt or json.",
		&l.Format, "logfmt", "json")
}

// Logger writes lines to w.
func (l *Log) Logger(w io.Writer) *slog.Logger {
	lines := log.NewLogfmtLogger(log.NewSyncWriter(w))
	if l.Format == "json" {
		lines = log.NewJSONLogger(log.NewSyncWriter(w))
	}
	var least slog.Level
	if err := least.UnmarshalText([]byte(l.Level)); err != nil {
		least = slog.LevelInfo
	}
	return slog.New(sloggokit.NewGoKitHandler(lines, least))
}
