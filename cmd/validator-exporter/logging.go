package main

import (
	"io"
	"log/slog"

	"github.com/go-kit/log"
	sloggokit "github.com/tjhop/slog-gokit"
)

// newLogger writes lines of the named format ("json", else logfmt) and at least
// the named level to w.
func newLogger(w io.Writer, level, format string) *slog.Logger {
	lines := log.NewLogfmtLogger(log.NewSyncWriter(w))
	if format == "json" {
		lines = log.NewJSONLogger(log.NewSyncWriter(w))
	}
	var least slog.Level
	if err := least.UnmarshalText([]byte(level)); err != nil {
		least = slog.LevelInfo
	}
	return slog.New(sloggokit.NewGoKitHandler(lines, least))
}
