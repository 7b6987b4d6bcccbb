package site

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"sync"
	"syscall"
	"time"
)

// readyWithin bounds the start of a role. A start takes well under a second; the
// rest is for a machine that runs other things.
const readyWithin = 60 * time.Second

// Proc is one role: a process, its data directory and its log. It may be killed and
// started again; the log goes on.
type Proc struct {
	Name    string
	DataDir string

	via   []string // goes before the command
	bin   string
	args  []string
	once  []string // only for the first start
	env   []string
	log   string
	ran   bool
	mu    sync.Mutex
	cmd   *exec.Cmd
	ended chan struct{} // closed when cmd has been waited for
	err   error
	wait  sync.WaitGroup
}

// Start starts the process and returns when it says that it is ready, the way it
// tells systemd.
func (p *Proc) Start() error {
	sock, path, err := notifySocket()
	if err != nil {
		return err
	}
	defer os.RemoveAll(filepath.Dir(path))
	defer sock.Close()
	if err := p.launch("NOTIFY_SOCKET=" + path); err != nil {
		return err
	}
	ready := make(chan error, 1) // one answer, and nobody may be left to read it
	p.wait.Go(func() { ready <- waitReady(sock) })
	select {
	case err := <-ready:
		if err != nil {
			return fmt.Errorf("start %s: %w\n%s", p.Name, err, p.Tail(20))
		}
		return nil
	case <-p.ended:
		return fmt.Errorf("start %s: ended before it was ready: %w\n%s", p.Name, p.exitErr(), p.Tail(20))
	}
}

// StartWith is Start with flags for this one start.
func (p *Proc) StartWith(args ...string) error {
	p.once, p.ran = args, false
	return p.Start()
}

func (p *Proc) launch(env ...string) error {
	if p.Alive() {
		return fmt.Errorf("start %s: runs already", p.Name)
	}
	log, err := os.OpenFile(p.log, os.O_CREATE|os.O_APPEND|os.O_WRONLY, 0o644)
	if err != nil {
		return err
	}
	defer log.Close()
	args := p.args
	if !p.ran {
		args = append(append([]string{}, args...), p.once...)
	}
	line := append(append(append([]string{}, p.via...), p.bin), args...)
	cmd := exec.Command(line[0], line[1:]...)
	cmd.Env = append(append(os.Environ(), p.env...), env...)
	cmd.Stdout, cmd.Stderr = log, log
	fmt.Fprintf(log, "--- start %s\n", strings.Join(args, " "))
	if err := cmd.Start(); err != nil {
		return err
	}
	p.ran = true
	ended := make(chan struct{})
	p.mu.Lock()
	p.cmd, p.ended, p.err = cmd, ended, errors.New("no exit status")
	p.mu.Unlock()
	p.wait.Go(func() {
		err := cmd.Wait()
		p.mu.Lock()
		p.err = err
		p.mu.Unlock()
		close(ended)
	})
	return nil
}

// StartRefused starts the process and returns what it says when it ends by itself;
// an error if it does not.
func (p *Proc) StartRefused() (string, error) {
	if err := p.launch(); err != nil {
		return "", err
	}
	select {
	case <-p.ended:
	case <-time.After(readyWithin):
		p.Kill()
		return "", fmt.Errorf("%s was not refused", p.Name)
	}
	if p.exitErr() == nil {
		return "", fmt.Errorf("%s ended with exit status 0", p.Name)
	}
	return p.Tail(20), nil
}

// Kill is kill -9, and waits until the process is gone.
func (p *Proc) Kill() { p.signal(syscall.SIGKILL, readyWithin) }

// Stop is a SIGTERM, and waits for a clean end.
func (p *Proc) Stop() error {
	if !p.Alive() {
		return nil
	}
	if !p.signal(syscall.SIGTERM, readyWithin) {
		p.Kill()
		return fmt.Errorf("%s did not end within %s of SIGTERM", p.Name, readyWithin)
	}
	if err := p.exitErr(); err != nil {
		return fmt.Errorf("%s after SIGTERM: %w\n%s", p.Name, err, p.Tail(20))
	}
	return nil
}

// Restart is Start for a process that may have been killed.
func (p *Proc) Restart() error {
	p.Kill()
	return p.Start()
}

func (p *Proc) signal(sig syscall.Signal, within time.Duration) bool {
	p.mu.Lock()
	cmd, ended := p.cmd, p.ended
	p.mu.Unlock()
	if cmd == nil {
		return true
	}
	_ = cmd.Process.Signal(sig) // it may have ended: the wait below says so
	select {
	case <-ended:
		return true
	case <-time.After(within):
		return false
	}
}

// Alive says whether the process runs.
func (p *Proc) Alive() bool {
	p.mu.Lock()
	defer p.mu.Unlock()
	if p.cmd == nil {
		return false
	}
	select {
	case <-p.ended:
		return false
	default:
		return true
	}
}

// Pid of the process last started.
func (p *Proc) Pid() int {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.cmd.Process.Pid
}

// Log is all that the process has said.
func (p *Proc) Log() string {
	b, _ := os.ReadFile(p.log) // no log yet is an empty log
	return string(b)
}

// Tail is the last n lines of the log.
func (p *Proc) Tail(n int) string {
	lines := bytes.Split([]byte(strings.TrimRight(p.Log(), "\n")), []byte("\n"))
	return string(bytes.Join(lines[max(0, len(lines)-n):], []byte("\n")))
}

func (p *Proc) exitErr() error {
	p.mu.Lock()
	defer p.mu.Unlock()
	return p.err
}

// notifySocket is the socket that systemd would give. Its path is short: a unix
// socket's is limited to 107 bytes.
func notifySocket() (*net.UnixConn, string, error) {
	dir, err := os.MkdirTemp("", "kwn")
	if err != nil {
		return nil, "", err
	}
	path := filepath.Join(dir, "n")
	c, err := net.ListenUnixgram("unixgram", &net.UnixAddr{Name: path, Net: "unixgram"})
	if err != nil {
		return nil, "", errors.Join(err, os.RemoveAll(dir))
	}
	return c, path, nil
}

func waitReady(c *net.UnixConn) error {
	if err := c.SetReadDeadline(time.Now().Add(readyWithin)); err != nil {
		return err
	}
	buf := make([]byte, 4096)
	for {
		n, err := c.Read(buf)
		if err != nil {
			return fmt.Errorf("no READY=1: %w", err)
		}
		if bytes.Contains(buf[:n], []byte("READY=1")) {
			return nil
		}
	}
}
