package update

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"sync"
	"time"

	"keepward/internal/errs"
)

const (
	// TrialVariable tells a process that it is the child of the version before it, and on trial.
	TrialVariable = "KEEPWARD_AGENT_TRIAL"
	// answeredWord is the line by which it says that the server has answered it.
	answeredWord = "keepward: answered"

	// checkLimit is how long a program may take to say what it is.
	checkLimit = 20 * time.Second
	// partLimit is how long a child may take to end that is told to.
	partLimit = 15 * time.Second

	// staysFor catches what falls over its own feet as soon as it is up.
	staysFor = 2 * time.Second

	linesKept = 20
	lineMost  = 500
)

// checkItself has a program say what it is, and tells whether that is what the package says.
func checkItself(ctx context.Context, path string, arguments []string, p Package) error {
	ctx, cancel := context.WithTimeout(ctx, checkLimit)
	defer cancel()
	var out, said tail
	cmd := exec.CommandContext(ctx, path, arguments...)
	cmd.Env, cmd.Stdout, cmd.Stderr, cmd.WaitDelay = withoutOwn(os.Environ()), &out, &said, time.Second
	if err := cmd.Run(); err != nil {
		text := strings.Join(said.lines(), " | ")
		return errs.New(errs.Corrupt, "update.self-check", "have version %s check itself: %w: %s", p.Version, err, text).
			WithHint("the package may be for another platform, or lie on a file system that programs cannot be started from")
	}
	want := fmt.Sprintf("%s %s", p.Version, p.Platform())
	if got := strings.Join(out.lines(), " "); got != want {
		return errs.New(errs.Corrupt, "update.self-check", "have version %s check itself: it says that it is %q, and not %q", p.Version, got, want).
			WithHint("import it again with its right version: keepward agent-package import FILE --version V")
	}
	return nil
}

// SelfCheck is what a program says of itself that checkItself asks.
func SelfCheck(version string) string {
	return fmt.Sprintf("%s %s/%s", version, runtime.GOOS, runtime.GOARCH)
}

// withoutOwn takes out of an environment what is meant for this process alone.
func withoutOwn(env []string) []string {
	var out []string
	for _, v := range env {
		name, _, _ := strings.Cut(v, "=")
		switch name {
		case TrialVariable, "NOTIFY_SOCKET", "WATCHDOG_PID", "WATCHDOG_USEC", "LISTEN_FDS", "LISTEN_PID":
		default:
			out = append(out, v)
		}
	}
	return out
}

// errBroken is a trial that was broken off because the agent is told to end.
var errBroken = errors.New("the agent was told to end")

// trial is how a program is started as this process's child.
type trial struct {
	arguments []string
	errOut    io.Writer
	// stays is how long it must run on after it was answered.
	stays time.Duration
}

// try runs a program as this process's child and returns once it has said that the server answered
// it, has ended, or its time is over. When it returns the child is gone. It also answers what the
// child said last.
func (t trial) try(ctx context.Context, path string, limit time.Duration) ([]string, error) {
	// The kernel ends the child with the thread that has started it, where it can.
	runtime.LockOSThread()
	defer runtime.UnlockOSThread()
	said := &tail{to: t.errOut}
	answers := &answer{yes: make(chan struct{})}
	cmd := exec.Command(path, t.arguments...)
	cmd.Env = append(withoutOwn(os.Environ()), TrialVariable+"=1")
	cmd.Stderr, cmd.Stdout, cmd.WaitDelay = said, answers, time.Second
	tie(cmd)
	life, err := cmd.StdinPipe() // it ends when this is closed, by us or by our death
	if err != nil {
		return nil, err
	}
	if err := cmd.Start(); err != nil {
		return nil, errs.New(errs.Corrupt, "update.start", "start the new version: %w", err)
	}
	gone := make(chan error, 1) // one sender, and it may be left
	go func() { gone <- cmd.Wait() }()
	var out error
	late := time.NewTimer(limit)
	defer late.Stop()
	select {
	case <-answers.yes:
		stays := time.NewTimer(t.stays)
		defer stays.Stop()
		select {
		case <-stays.C:
		case <-ctx.Done():
		case err := <-gone:
			gone <- err
			out = errs.New(errs.Unavailable, "update.ended", "try the new version: it ended by itself right after the server had answered it: %v", endText(err))
		}
	case err := <-gone:
		gone <- err
		out = errs.New(errs.Unavailable, "update.ended", "try the new version: it ended by itself before the server had answered it: %v", endText(err))
	case <-late.C:
		out = errs.New(errs.Unavailable, "update.no-answer", "try the new version: the server had not answered it after %s", limit)
	case <-ctx.Done():
		out = errBroken
	}
	_ = life.Close() // it may have ended
	part := time.NewTimer(partLimit)
	defer part.Stop()
	select {
	case <-gone:
	case <-part.C:
		_ = cmd.Process.Kill()
		<-gone
	}
	return said.lines(), out
}

func endText(err error) string {
	if err == nil {
		return "without an error"
	}
	return err.Error()
}

// OnTrial is for the child: ctx ends when its parent closes the stream or dies, and answered tells
// the parent that the server has answered.
func OnTrial(ctx context.Context, in io.Reader, out io.Writer) (_ context.Context, answered func()) {
	ctx, cancel := context.WithCancel(ctx)
	go func() {
		defer cancel()
		_, _ = io.Copy(io.Discard, in) // whatever ends it
	}()
	return ctx, sync.OnceFunc(func() { _, _ = fmt.Fprintln(out, answeredWord) })
}

// answer waits for a line that says so.
type answer struct {
	part []byte
	yes  chan struct{}
	said bool
}

func (a *answer) Write(b []byte) (int, error) {
	a.part = append(a.part, b...)
	for {
		line, rest, found := bytes.Cut(a.part, []byte("\n"))
		if !found {
			break
		}
		if string(bytes.TrimRight(line, "\r")) == answeredWord && !a.said {
			a.said = true
			close(a.yes)
		}
		a.part = rest
	}
	if len(a.part) > lineMost {
		a.part = nil
	}
	return len(b), nil
}

// tail keeps the last lines of what is written to it, and passes them on.
type tail struct {
	to io.Writer

	mu   sync.Mutex
	kept []string
	part []byte
}

func (t *tail) Write(b []byte) (int, error) {
	if t.to != nil {
		_, _ = t.to.Write(b) // who listens to us is not the child's concern
	}
	t.mu.Lock()
	defer t.mu.Unlock()
	scan := bufio.NewReader(io.MultiReader(bytes.NewReader(t.part), bytes.NewReader(b)))
	t.part = nil
	for {
		line, err := scan.ReadString('\n')
		if err != nil {
			t.part = []byte(line[:min(len(line), lineMost)])
			return len(b), nil
		}
		t.add(strings.TrimRight(line, "\r\n"))
	}
}

func (t *tail) add(line string) {
	if len(line) > lineMost {
		line = strings.ToValidUTF8(line[:lineMost], "") + "…"
	}
	if t.kept = append(t.kept, strings.ToValidUTF8(line, "?")); len(t.kept) > linesKept {
		t.kept = t.kept[1:]
	}
}

func (t *tail) lines() []string {
	t.mu.Lock()
	defer t.mu.Unlock()
	if len(t.part) > 0 {
		t.add(string(t.part))
		t.part = nil
	}
	return t.kept
}
