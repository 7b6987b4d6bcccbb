package agent

import (
	"bufio"
	"context"
	"encoding/binary"
	"encoding/json"
	"io"
	"os"
	"os/signal"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"

	"google.golang.org/protobuf/encoding/protojson"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/app"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
)

// Keep is the process of a keeper: it runs one command and lives as long as that. It is deaf to all
// that asks it to end, for it ends by itself, and the command before it.
func Keep(ctx context.Context, in io.Reader, data *os.File, reports io.WriteCloser) error {
	deaf := make(chan os.Signal, 1) // nobody listens
	signal.Notify(deaf, os.Interrupt, syscall.SIGTERM, syscall.SIGHUP, syscall.SIGPIPE)
	defer signal.Stop(deaf)
	// The command ends with the thread that starts it.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	return serveCommand(context.WithoutCancel(ctx), in, data, reports, true)
}

// serveCommand reads an order, runs the command, and reports how it ended. own: this process has no
// children but what the command starts. It closes data, where the command prints to, before it
// reports, and reports behind the report.
func serveCommand(ctx context.Context, in io.Reader, data *os.File, reports io.WriteCloser, own bool) error {
	defer reports.Close()
	orders := bufio.NewReader(in)
	line, err := orders.ReadBytes('\n')
	var o commandOrder
	if err == nil {
		err = json.Unmarshal(line, &o)
	}
	if err != nil {
		if data != nil {
			_ = data.Close()
		}
		return errs.New(errs.Invalid, "command-source.lost", "read the order of a command: %w", err)
	}
	running, stop := context.WithCancelCause(ctx)
	defer stop(nil)
	c := script.Command{Path: o.Path, Arguments: o.Arguments, Variables: o.Variables, Secret: app.NewSecret(o.Secret), Limit: o.Limit, All: true, Tied: own}
	if own {
		adoptOrphans()
		c.Left = endOrphans
	}
	var feed *feeding
	if o.Input {
		itsIn, w, err := os.Pipe()
		if err != nil {
			return err
		}
		defer itsIn.Close()
		c.Stdin, feed = itsIn, &feeding{from: orders, to: w}
	} else {
		c.Stdout = data
	}
	// Whoever gave the order is there as long as its end of the pipe is open.
	var listens sync.WaitGroup
	listens.Go(func() {
		if feed != nil {
			feed.run()
		}
		_, _ = io.Copy(io.Discard, orders)
		stop(errAgentGone)
	})
	end := runKept(running, c)
	feed.close()
	if data != nil {
		_ = data.Close()
	}
	text, err := protojson.Marshal(end)
	if err == nil {
		err = json.NewEncoder(reports).Encode(commandReport{End: text, Short: feed.short()})
	}
	_ = reports.Close() // the agent's turn to end in
	listens.Wait()
	return err
}

// runKept runs a command of this computer.
func runKept(ctx context.Context, c script.Command) *keepwardv1.ScriptEnd {
	if !job.Absolute(c.Path) {
		return script.Failed(errs.New(errs.Invalid, "script.missing", "run script %q: the path is not absolute", c.Path), partAgent)
	}
	return script.End(ctx, c, partAgent)
}

// feeding gives a command its input.
type feeding struct {
	from  *bufio.Reader
	to    *os.File
	whole atomic.Bool // all of it was taken
}

// run passes frames on. The input is closed behind the last one alone: a command that sees the end of
// its input takes that for all.
func (f *feeding) run() {
	for {
		var head [4]byte
		if _, err := io.ReadFull(f.from, head[:]); err != nil {
			return
		}
		n := int64(binary.BigEndian.Uint32(head[:]))
		if n == 0 {
			f.whole.Store(true)
			_ = f.to.Close()
			return
		}
		if _, err := io.CopyN(f.to, f.from, n); err != nil {
			return // the agent is gone, or the command takes no more
		}
	}
}

// short tells whether the command has ended before it had all of its input.
func (f *feeding) short() bool { return f != nil && !f.whole.Load() }

// close closes the input of a command that is gone.
func (f *feeding) close() {
	if f != nil {
		_ = f.to.Close()
	}
}
