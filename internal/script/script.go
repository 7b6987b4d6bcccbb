// Package script runs one program that an administrator has written, within bounds: of time, of
// output, and with everything that it starts. A script that hangs is ended with its process group;
// one that prints a gigabyte costs a few kilobytes.
//
// It does not know when a script shall run, nor keeps it from running twice: who calls journals
// the start. All functions may be called from any goroutine.
package script

import (
	"context"
	"errors"
	"io"
	"os"
	"os/exec"
	"runtime"
	"slices"
	"strings"
	"time"

	"keepward/internal/app"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// Command is what to run.
type Command struct {
	Path      string // absolute
	Arguments []string
	// Variables are set beside the environment of this process.
	Variables map[string]string
	// Secret is what it reads from descriptor job.SecretFD, and nowhere else: not in its environment, which
	// all that it starts would have, nor in a file. It is there to be read once.
	Secret app.Secret
	// Limit bounds its time; 0: job.DefaultScriptLimit.
	Limit time.Duration
	// Stdin is what it reads, and closed here once it has it; nil: nothing.
	Stdin *os.File
	// Stdout, where it is set, takes what it prints on standard output, and must not refuse: then
	// Result.Output has standard error alone. It has a file itself.
	Stdout io.Writer
	// All: what it has started and left behind is ended with it: all of its group, and what Left, where
	// it is set, finds beside.
	All  bool
	Left func()
	// Tied: it is ended when the thread of this process ends that calls Run, where the system can do
	// that. Who sets it locks the thread.
	Tied bool
	// Grace is how long it may take to end by itself once it is told to; 0: 5 s.
	Grace time.Duration
}

// Result is what became of it.
type Result struct {
	Started, Ended time.Time
	Exit           int
	// Output are the lines that it printed, on both streams: the beginning, and of much the end.
	Output []string
	// LeftOut is how many bytes are not in Output.
	LeftOut int64
}

// defaultGrace is long enough to remove a lock file, and short enough for who waits for a kill.
const defaultGrace = 5 * time.Second

// Run runs a script to its end. The error says that it did not begin, or did not end well. When
// ctx ends the script is told to end, then ended, with all that it has started.
func Run(ctx context.Context, c Command) (Result, error) {
	if c.Limit <= 0 {
		c.Limit = job.DefaultScriptLimit
	}
	if c.Grace <= 0 {
		c.Grace = defaultGrace
	}
	r := Result{Started: time.Now()}
	r.Ended = r.Started
	if err := Check(c.Path); err != nil {
		return r, err
	}
	limited, cancel := context.WithTimeoutCause(ctx, c.Limit, errLimit)
	defer cancel()
	out := &output{}
	cmd := exec.CommandContext(limited, c.Path, c.Arguments...)
	cmd.Env = environment(os.Environ(), c.Variables)
	cmd.Dir = os.TempDir() // a place that exists, and that no file system has to be kept mounted for
	cmd.Stdout, cmd.Stderr = out, out
	if c.Stdout != nil {
		cmd.Stdout = c.Stdout
	}
	if c.Stdin != nil {
		cmd.Stdin = c.Stdin
	}
	if !c.Secret.Empty() {
		secret, err := secretPipe(c.Secret)
		if err != nil {
			return r, err
		}
		defer secret.Close()
		cmd.ExtraFiles = []*os.File{secret} // the first is job.SecretFD
	}
	rest := func() {}
	if c.All {
		var err error
		if rest, err = apart(cmd, out, c.Stdout == nil, c.Grace); err != nil {
			return r, err
		}
		defer rest()
	}
	g := newGroup(cmd)
	if c.Tied {
		tie(cmd)
	}
	defer g.close()
	var hard *time.Timer
	cmd.Cancel = func() error {
		hard = time.AfterFunc(c.Grace, g.kill)
		return g.terminate()
	}
	// Who left a child behind that holds the output is not waited for.
	cmd.WaitDelay = c.Grace + time.Second
	err := cmd.Start()
	if err != nil && limited.Err() != nil {
		return r, verdict(limited, c, err)
	}
	if err != nil {
		return r, errs.New(kindOfStart(err), "script.start", "start script %s: %w", c.Path, err)
	}
	g.started()
	if c.Stdin != nil {
		_ = c.Stdin.Close() // who writes there learns that nobody reads any more
	}
	err = cmd.Wait()
	if limited.Err() != nil || c.All {
		if hard != nil {
			hard.Stop()
		}
		g.kill() // what the script has started and left behind
	}
	if c.All && c.Left != nil {
		c.Left()
	}
	rest()
	r.Ended = time.Now()
	r.Output, r.LeftOut = out.result()
	r.Exit = cmd.ProcessState.ExitCode()
	return r, verdict(limited, c, err)
}

// secretPipe is a pipe with a secret in it: the room of a pipe is more than a secret can have.
func secretPipe(s app.Secret) (*os.File, error) {
	if runtime.GOOS == "windows" {
		return nil, errs.New(errs.Invalid, "script.secret", "give a script its secret: on this system it has no descriptors").
			WithHint("take the credential out of the command, and let the program find its password in a file that only the agent's user can read")
	}
	r, w, err := os.Pipe()
	if err == nil {
		if _, err = io.WriteString(w, s.Reveal()); err != nil {
			_ = r.Close() // it was not used
		}
		_ = w.Close()
	}
	if err != nil {
		return nil, errs.New(errs.Unavailable, "script.secret", "give a script its secret: %w", err)
	}
	return r, nil
}

var errLimit = errors.New("time limit")

// verdict says in which way a script did not end well; nil: it did.
func verdict(ctx context.Context, c Command, err error) error {
	if errors.Is(err, exec.ErrWaitDelay) && ctx.Err() == nil {
		return nil // it ended well; what it left running goes on
	}
	switch {
	case err == nil:
		return nil // also when its time was over in the same moment
	case errors.Is(context.Cause(ctx), errLimit):
		return errs.New(errs.Invalid, "script.time-limit", "run script %s: it took longer than %s and was ended", c.Path, c.Limit).
			WithHint("set a higher time_limit, or find out what it waits for: it has no terminal and nobody answers it")
	case ctx.Err() != nil:
		return errs.New(errs.Cancelled, "script.stopped", "run script %s: it was ended: %w", c.Path, context.Cause(ctx))
	}
	var exit *exec.ExitError
	if errors.As(err, &exit) {
		return errs.New(errs.Invalid, "script.failed", "run script %s: %s", c.Path, exit.ProcessState)
	}
	return errs.New(errs.Internal, "script.failed", "run script %s: %w", c.Path, err)
}

// kindOfStart is the kind of a failure to start. What another try would not mend is invalid.
func kindOfStart(err error) errs.Kind {
	switch errs.KindOf(err) {
	case errs.NotFound, errs.Denied:
		return errs.Invalid
	}
	return errs.Internal
}

// Check tells whether a file can be run as a script, and whether it is safe to.
func Check(path string) error {
	info, err := os.Stat(path)
	switch {
	case errors.Is(err, os.ErrNotExist):
		return errs.New(errs.Invalid, "script.missing", "run script %s: there is no such file", path)
	case err != nil:
		return errs.New(errs.Invalid, "script.missing", "run script %s: %w", path, err)
	case !info.Mode().IsRegular():
		return errs.New(errs.Invalid, "script.not-executable", "run script %s: it is no file", path)
	}
	return checkMode(path, info)
}

// environment is that of this process, without what Keepward itself is told by it, and with the
// script's own variables.
func environment(own []string, variables map[string]string) []string {
	env := slices.DeleteFunc(slices.Clone(own), func(v string) bool {
		return strings.HasPrefix(strings.ToUpper(v), job.VarPrefix) || strings.HasPrefix(v, "NOTIFY_SOCKET=")
	})
	for name, value := range variables {
		if strings.HasPrefix(name, job.VarPrefix) && !strings.ContainsAny(name, "=\x00") {
			env = append(env, name+"="+strings.ReplaceAll(value, "\x00", ""))
		}
	}
	return env
}
