package transport

import (
	"errors"
	"os/exec"
	"strconv"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"keepward/internal/mover"
)

// ownSession cuts a mover loose from this process's terminal and group: what ends the
// transport must not end its movers.
func ownSession(cmd *exec.Cmd) { cmd.SysProcAttr = &syscall.SysProcAttr{Setsid: true} }

// alive tells whether the process is still the one that was started. A child that has ended
// is reaped here.
func (p *process) alive() bool {
	if p.child {
		// Only this one is waited for; EINTR and the like are seen again at the next look.
		var ws unix.WaitStatus
		if pid, err := unix.Wait4(p.state.PID, &ws, unix.WNOHANG, nil); err == nil && pid == p.state.PID {
			p.died(ws)
			return false
		}
	}
	boot, started, err := mover.Birth(p.state.PID)
	return err == nil && boot == p.state.Boot && started == p.state.Started
}

// died keeps what a process that said nothing died of.
func (p *process) died(ws unix.WaitStatus) {
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case ws.Signaled():
		p.cause = ": " + ws.Signal().String() + " (signal " + strconv.Itoa(int(ws.Signal())) + ")"
	case ws.Exited():
		p.cause = ": exit status " + strconv.Itoa(ws.ExitStatus())
	}
}

// signal asks the process to end, or ends it. A process that took over its id is spared:
// the descriptor is opened before the identity is checked.
func (p *process) signal(kill bool) {
	sig := unix.SIGTERM
	if kill {
		sig = unix.SIGKILL
	}
	fd, err := unix.PidfdOpen(p.state.PID, 0)
	switch {
	case err == nil:
		defer func() { _ = unix.Close(fd) }()
		if p.alive() {
			_ = unix.PidfdSendSignal(fd, sig, nil, 0) // gone already is fine
		}
	case errors.Is(err, unix.ENOSYS) && p.alive():
		_ = unix.Kill(p.state.PID, sig) // a kernel before 5.3
	}
}

// reap ends a child that did not start as it should and waits until it is gone.
func (p *process) reap() {
	p.signal(true)
	for end := time.Now().Add(killAfter); p.alive() && time.Now().Before(end); {
		time.Sleep(pollEvery / 10)
	}
}
