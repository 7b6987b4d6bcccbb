package agent

import (
	"bytes"
	"context"
	"encoding/binary"
	"encoding/json"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"sync"
	"time"

	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

// This file is the agent's end of a command whose output it reads, or whose input it writes. The
// command is the child of a process of its own, the keeper (command_keep.go), which ends it with all
// that it has started when the agent says so, when the time is over, and when the agent is no more,
// whatever it died of. The orders go to the keeper's standard input, what the command prints comes
// straight from it through the keeper's standard output, and the report comes last, on its standard
// error.

// commandOrder is what a keeper is told, in one line.
type commandOrder struct {
	Path      string
	Arguments []string
	Variables map[string]string
	// Secret is what it reads from a descriptor of its own. The order goes through a pipe, and is shown
	// and kept nowhere.
	Secret string
	Limit  time.Duration
	// Input: frames follow, which are the command's input. A frame is its length in four bytes, the
	// highest first, and so many bytes; the one without any ends the input. Where they end without
	// it the input is not whole, and the command is ended before it sees an end of it.
	Input bool
}

// commandReport is what a keeper says, in one line.
type commandReport struct {
	End json.RawMessage // a ScriptEnd
	// Short: the command took no more before its input was at its end.
	Short bool
}

const (
	// keeperGrace is how long a keeper may take to end a command: the command's own grace, and the
	// time for what it has left behind.
	keeperGrace = 20 * time.Second
	// reportMost bounds a report: that of a script's output, as it may be escaped.
	reportMost = 1 << 20
)

// command is one that runs.
type command struct {
	what string // in messages
	in   *os.File
	data *os.File // nil: it has input
	// kill ends the keeper at once.
	kill func()
	// over is closed when report is set and the keeper is gone.
	over   chan struct{}
	report []byte

	told  sync.Once
	eof   bool
	unctx func() bool
}

// startCommand starts a command. It is ended with ctx.
func (a *agent) startCommand(ctx context.Context, what string, o commandOrder) (*command, error) {
	line, err := json.Marshal(o)
	if err != nil {
		return nil, errs.New(errs.Internal, "", "order command %s: %w", what, err)
	}
	itsIn, in, err := os.Pipe()
	if err != nil {
		return nil, errs.New(errs.Unavailable, "command-source.start", "start %s: %w", what, err)
	}
	reports, itsReports, err := os.Pipe()
	if err != nil {
		_, _ = itsIn.Close(), in.Close()
		return nil, errs.New(errs.Unavailable, "command-source.start", "start %s: %w", what, err)
	}
	c := &command{what: what, in: in, over: make(chan struct{})}
	var itsData *os.File
	if !o.Input {
		if c.data, itsData, err = os.Pipe(); err != nil {
			_, _, _, _ = itsIn.Close(), in.Close(), reports.Close(), itsReports.Close()
			return nil, errs.New(errs.Unavailable, "command-source.start", "start %s: %w", what, err)
		}
	}
	gone, err := a.startKeeper(c, itsIn, itsData, itsReports)
	if err != nil {
		for _, f := range []*os.File{itsIn, in, reports, itsReports, itsData, c.data} {
			if f != nil {
				_ = f.Close()
			}
		}
		return nil, errs.New(errs.Unavailable, "command-source.start", "start the process that keeps %s: %w", what, err)
	}
	a.work.Go(func() {
		defer close(c.over)
		c.report, _ = io.ReadAll(io.LimitReader(reports, reportMost)) // what is not whole is no report
		_ = reports.Close()
		c.told.Do(func() { _ = in.Close() }) // there is nothing more to say
		gone()
	})
	c.unctx = context.AfterFunc(ctx, c.stop)
	_ = in.SetWriteDeadline(time.Now().Add(watchdogGrace)) // where there are such
	_, err = in.Write(append(line, '\n'))
	_ = in.SetWriteDeadline(time.Time{})
	if err != nil {
		c.stop()
		<-c.over
		c.release()
		return nil, errs.New(errs.Unavailable, "command-source.start", "order the process that keeps %s: %w", what, err)
	}
	return c, nil
}

// startKeeper starts the process with its ends of the pipes, which are its own then. gone waits for
// its end.
func (a *agent) startKeeper(c *command, in, data, reports *os.File) (gone func(), err error) {
	if len(a.cfg.Keeper) == 0 {
		ctx, cancel := context.WithCancel(context.WithoutCancel(a.ctx))
		served := make(chan struct{})
		a.work.Go(func() {
			defer close(served)
			defer cancel()
			if err := serveCommand(ctx, in, data, reports, false); err != nil {
				a.log.Error("a command was not kept", "error", err)
			}
			_ = in.Close()
		})
		c.kill = cancel
		return func() { <-served }, nil
	}
	self, err := os.Executable()
	if err != nil {
		return nil, err
	}
	cmd := exec.Command(self, a.cfg.Keeper...)
	if runtime.GOOS == "linux" {
		cmd.Path = "/proc/self/exe" // even where another program has taken its place on disk
	}
	ownSession(cmd)
	cmd.Stdin, cmd.Stderr = in, reports
	if data != nil {
		cmd.Stdout = data
	}
	if err := cmd.Start(); err != nil {
		return nil, err
	}
	_, _ = in.Close(), reports.Close()
	if data != nil {
		_ = data.Close()
	}
	c.kill = func() { _ = cmd.Process.Kill() } // who is gone is gone
	return func() { _ = cmd.Wait() }, nil
}

// stop has the keeper end the command. One that does not is ended itself.
func (c *command) stop() {
	c.told.Do(func() {
		_ = c.in.Close()
		time.AfterFunc(keeperGrace, func() {
			select {
			case <-c.over:
			default:
				c.kill()
				if c.data != nil {
					_ = c.data.SetReadDeadline(time.Now())
				}
			}
		})
	})
}

// release gives back what belongs to the agent.
func (c *command) release() {
	c.unctx()
	c.told.Do(func() { _ = c.in.Close() })
	if c.data != nil {
		_ = c.data.Close()
	}
}

// Read reads what the command prints. Its end means that the command is gone, however that came.
func (c *command) Read(p []byte) (int, error) {
	n, err := c.data.Read(p)
	if errors.Is(err, io.EOF) {
		c.eof = true
	}
	return n, err
}

// Write writes what the command reads. It fails when the command is gone.
func (c *command) Write(p []byte) (int, error) {
	if len(p) == 0 {
		return 0, nil // that would be the end
	}
	if _, err := c.in.Write(binary.BigEndian.AppendUint32(nil, uint32(len(p)))); err != nil {
		return 0, err
	}
	return c.in.Write(p)
}

// closeInput tells the command that it has got all.
func (c *command) closeInput() error {
	_, err := c.in.Write(make([]byte, 4))
	return err
}

// ended waits for the end of the command. whole: it is not to be ended before its time.
func (c *command) ended(whole bool) (*keepwardv1.ScriptEnd, bool, error) {
	if !whole {
		c.stop()
	}
	<-c.over
	c.release()
	var r commandReport
	end := &keepwardv1.ScriptEnd{}
	line := bytes.TrimSpace(c.report)
	if i := bytes.LastIndexByte(line, '\n'); i >= 0 {
		line = line[i+1:]
	}
	if json.Unmarshal(line, &r) != nil || (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal(r.End, end) != nil {
		return nil, false, errs.New(errs.Unavailable, "command-source.lost", "run %s: the process that keeps it has ended, and how the command did is not known", c.what)
	}
	return end, r.Short, nil
}

// failure is why a command did not end well, under a code of its own; nil: it did.
func commandFailure(area, what string, end *keepwardv1.ScriptEnd) error {
	f := end.GetFailure()
	if f == nil {
		return nil
	}
	kind, code := errs.KindOf(wire.FromFailure(f)), ".failed"
	switch f.GetCode() {
	case "script.time-limit":
		code = ".time-limit"
	case "script.stopped":
		code = ".stopped"
	}
	text := f.GetMessage()
	if n := len(end.GetOutput()); n > 0 && f.GetCode() == "script.failed" {
		text += ": " + end.GetOutput()[n-1]
	}
	err := errs.New(kind, area+code, "%s: %s", what, text)
	if f.GetHint() != "" {
		return err.WithHint("%s", f.GetHint())
	}
	return err
}

// reportCommand tells the session's log what a command printed, and how it ended.
func (a *agent) reportCommand(attempt string, area string, path []byte, end *keepwardv1.ScriptEnd, done string) {
	level := "info"
	if end.GetFailure() != nil {
		level = "warning"
	}
	for _, line := range end.GetOutput() {
		a.event(attempt, level, area+".output", line, path)
	}
	if end.GetFailure() == nil {
		took := end.GetEnded().AsTime().Sub(end.GetStarted().AsTime()).Round(time.Millisecond)
		a.event(attempt, "info", area+".done", "it ended with exit status 0 after "+took.String()+done, path)
	}
}
