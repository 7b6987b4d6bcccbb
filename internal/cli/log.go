package cli

import (
	"io"
	"log/slog"
	"strings"
)

// logger is where a role logs: text for people at a terminal, JSON for everything else.
func (a *app) logger(level string) (*slog.Logger, error) {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return nil, usage("--log-level %s is none of debug, info, warn, error", level)
	}
	_, tty := terminal(a.errOut)
	return slog.New(logHandler(a.errOut, l, tty)), nil
}

func logHandler(w io.Writer, level slog.Level, people bool) slog.Handler {
	if !people {
		return slog.NewJSONHandler(w, &slog.HandlerOptions{Level: level})
	}
	return slog.NewTextHandler(w, &slog.HandlerOptions{Level: level, ReplaceAttr: func(groups []string, at slog.Attr) slog.Attr {
		if len(groups) == 0 && at.Key == slog.TimeKey {
			at.Value = slog.StringValue(at.Value.Time().Format("15:04:05.000"))
		}
		if len(groups) == 0 && at.Key == slog.LevelKey {
			at.Value = slog.StringValue(strings.ToLower(at.Value.String()))
		}
		return at
	}})
}
