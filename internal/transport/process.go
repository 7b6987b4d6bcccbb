package transport

import (
	"bufio"
	"context"
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"sync"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/encoding/protodelim"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/wire"
)

const (
	// readyTimeout bounds the start of a mover, the opening of a large index included.
	readyTimeout = 60 * time.Second
	// killAfter is how long a mover has to end once it was told to.
	killAfter = 10 * time.Second
	// pollEvery is how often a mover is looked at that does not answer.
	pollEvery = 200 * time.Millisecond
	// endingEvery is how often one is looked at that has just said its last, for endingFor:
	// the end of a task should not wait for a clock.
	endingEvery = 5 * time.Millisecond
	endingFor   = time.Second
)

// process is one mover. Once started is closed, its fields do not change, except those
// under mu.
type process struct {
	attempt string
	task    string
	dir     string
	state   mover.State
	child   bool // ours to reap
	started chan struct{}
	failed  error // why it did not start

	mu      sync.Mutex
	key     []byte                 // the task key, until the process is gone
	stopped bool                   // told to end
	seen    int64                  // events handed on
	end     *keepwardv1.AttemptEnd // its last words
	cause   string                 // what it died of, where that is known
}

// launch starts the process and waits until it listens.
func (p *process) launch(command []string, o *keepwardv1.MoverOrder) error {
	if err := os.MkdirAll(p.dir, 0o700); err != nil {
		return errs.New(errs.KindOf(err), "mover.start", "start mover: %w", err)
	}
	logFile, err := os.OpenFile(filepath.Join(p.dir, mover.FileLog), os.O_WRONLY|os.O_CREATE|os.O_APPEND, 0o600)
	if err != nil {
		return errs.New(errs.KindOf(err), "mover.start", "start mover: %w", err)
	}
	defer func() { _ = logFile.Close() }()
	childIn, in, err := os.Pipe()
	if err != nil {
		return errs.New(errs.KindOf(err), "mover.start", "start mover: %w", err)
	}
	defer func() { _ = in.Close() }()
	out, childOut, err := os.Pipe()
	if err != nil {
		_ = childIn.Close()
		return errs.New(errs.KindOf(err), "mover.start", "start mover: %w", err)
	}
	defer func() { _ = out.Close() }()
	cmd := exec.Command(command[0], command[1:]...)
	cmd.Stdin, cmd.Stdout, cmd.Stderr = childIn, childOut, logFile
	cmd.Dir, cmd.Env = p.dir, environment()
	ownSession(cmd)
	err = cmd.Start()
	_ = childIn.Close()
	_ = childOut.Close()
	if err != nil {
		return errs.New(errs.Internal, "mover.start", "start mover: %w", err)
	}
	p.child = true
	p.state.PID = cmd.Process.Pid
	if p.state.Boot, p.state.Started, err = mover.Birth(p.state.PID); err != nil {
		return p.gone(err)
	}
	_ = cmd.Process.Release() // it is reaped by its id, see alive
	return p.handshake(in, out, o)
}

// handshake gives the order and hears that the mover listens.
func (p *process) handshake(in, out *os.File, o *keepwardv1.MoverOrder) error {
	deadline := time.Now().Add(readyTimeout)
	_ = in.SetWriteDeadline(deadline)
	_ = out.SetReadDeadline(deadline)
	_, err := protodelim.MarshalTo(in, o)
	if err == nil {
		err = in.Close()
	}
	ready := &keepwardv1.MoverReady{}
	if err == nil {
		err = protodelim.UnmarshalFrom(bufio.NewReader(out), ready)
	}
	if err != nil {
		return p.gone(err)
	}
	if f := ready.GetFailure(); f != nil {
		return wire.FromFailure(f)
	}
	p.state.Address, p.state.Socket = ready.GetAddress(), ready.GetSocket()
	return nil
}

// gone is why a mover did not come up; its own last words matter more than the pipe's.
func (p *process) gone(err error) error {
	p.signal(true)
	return errs.New(errs.Unavailable, "mover.start", "start mover: it did not come up: %w%s", err, p.lastLine())
}

// lastLine is what the mover last said on its standard error.
func (p *process) lastLine() string {
	b, err := os.ReadFile(filepath.Join(p.dir, mover.FileLog))
	if err != nil {
		return ""
	}
	const longest = 500
	lines := strings.Split(strings.TrimSpace(string(b)), "\n")
	// A crash begins with its reason and ends with stacks.
	line := lines[len(lines)-1]
	if i := slices.IndexFunc(lines, func(l string) bool { return strings.HasPrefix(l, "panic:") || strings.HasPrefix(l, "fatal error:") }); i >= 0 {
		line = lines[i]
	}
	if line == "" {
		return ""
	}
	return " (it said: " + strings.ToValidUTF8(line[:min(len(line), longest)], "?") + ")"
}

// environment is this process's without settings of our own, which may be secrets.
func environment() []string {
	return slices.DeleteFunc(os.Environ(), func(v string) bool { return strings.HasPrefix(v, "KEEPWARD_") })
}

// taskKey is the key of the task; a transport that was restarted asks the mover.
func (p *process) taskKey(ctx context.Context) ([]byte, error) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.key == nil {
		res, err := mover.Client(p.dir).Secret(ctx, connect.NewRequest(&keepwardv1.MoverSecretRequest{}))
		if err != nil {
			return nil, err
		}
		p.key = res.Msg.GetTaskKey()
	}
	return p.key, nil
}
