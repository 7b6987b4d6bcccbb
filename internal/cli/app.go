package cli

import (
	"io"
	"os"
	"time"

	"golang.org/x/term"
)

// app is one run of the command line: its surroundings and the flags that all
// commands share.
type app struct {
	in      io.Reader
	out     io.Writer
	errOut  io.Writer
	env     func(string) string
	version string
	now     func() time.Time
	local   *time.Location

	config  string
	format  format
	quiet   bool
	noColor bool
	key     string // of --idempotency-key
}

func newApp(p Process) *app {
	a := &app{
		in: p.Stdin, out: p.Stdout, errOut: p.Stderr, env: p.Env, version: p.Version,
		now: p.Now, local: p.Local, format: formatTable,
	}
	if a.now == nil {
		a.now = time.Now
	}
	if a.local == nil {
		a.local = time.Local
	}
	return a
}

// terminal answers the file behind a stream, if it is a terminal.
func terminal(stream any) (*os.File, bool) {
	f, ok := stream.(*os.File)
	return f, ok && term.IsTerminal(int(f.Fd()))
}

// colors says whether tables may have colours.
func (a *app) colors() bool {
	_, tty := terminal(a.out)
	return tty && !a.noColor && a.env("NO_COLOR") == "" && a.env("TERM") != "dumb"
}
