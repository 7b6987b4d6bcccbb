// Package site runs a whole backup site on this machine: server, transports and
// agents as separate processes with separate data directories on free loopback
// ports, joined by token, driven through the command line.
//
// It is for the end to end tests, the demo and the benchmark; they all see what a
// user sees. It is not for tests of one package: those need no process. A Site
// belongs to one goroutine; only a Proc may be asked from others.
package site

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"os/exec"
	"path/filepath"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
)

// Site is a server and what has joined it.
type Site struct {
	Dir    string
	Bin    string
	Addr   string // of the server
	Server *Proc
	procs  []*Proc
	config string
	// Env is given to every role started after it is set.
	Env []string
	// AgentArgs are given to every agent that joins after they are set.
	AgentArgs []string
	// TransportArgs are given to every transport that joins after they are set.
	TransportArgs []string
	// Services gives what joins after it is set a session of its own, as a service manager does.
	Services bool
	network  *Network // nil: the loopback
}

// Start starts a server with its data below dir. bin is the keepward binary.
func Start(bin, dir string) (*Site, error) { return start(bin, dir, "server", &Site{}) }

// StartDev starts server, transport and agent in one process.
func StartDev(bin, dir string) (*Site, error) { return start(bin, dir, "dev", &Site{}) }

// StartDevWith is StartDev with more arguments.
func StartDevWith(bin, dir string, args ...string) (*Site, error) {
	return start(bin, dir, "dev", &Site{}, args...)
}

// FreeAddr is an address of the loopback on which nobody listens.
func FreeAddr() (string, error) { return freeAddr() }

// start starts a server at the site's address, or at any.
func start(bin, dir, role string, s *Site, args ...string) (*Site, error) {
	bin, err := filepath.Abs(bin)
	if err != nil {
		return nil, err
	}
	if s.Addr == "" {
		if s.Addr, err = freeAddr(); err != nil {
			return nil, err
		}
	}
	s.Dir, s.Bin, s.config = dir, bin, filepath.Join(dir, "server", "client.yaml")
	if err := os.MkdirAll(filepath.Join(dir, "log"), 0o755); err != nil {
		return nil, err
	}
	s.Server = s.proc("server", role, append([]string{"--listen", s.Addr}, args...)...)
	if role == "dev" {
		s.config = filepath.Join(s.Server.DataDir, "server", "client.yaml")
	}
	if err := s.Server.Start(); err != nil {
		return nil, errors.Join(err, s.Close())
	}
	return s, nil
}

// AddTransport joins a transport service and starts it.
func (s *Site) AddTransport(name string) (*Proc, error) {
	return s.join("transport", name, s.TransportArgs...)
}

// AddAgent joins an agent and starts it.
func (s *Site) AddAgent(name string) (*Proc, error) { return s.join("agent", name, s.AgentArgs...) }

func (s *Site) join(role, name string, args ...string) (*Proc, error) {
	return s.joinAs(role, name, name, args...)
}

// joinAs joins a computer under a name.
func (s *Site) joinAs(role, name, host string, args ...string) (*Proc, error) {
	token, err := s.Token(role, name)
	if err != nil {
		return nil, err
	}
	if s.network != nil {
		if err := s.network.Add(host); err != nil {
			return nil, err
		}
	}
	p := s.proc(host, role, append([]string{"--server", s.Addr, "--name", name}, args...)...)
	p.Name = name
	p.once = []string{"--join", token}
	if err := p.Start(); err != nil {
		return p, err
	}
	return p, s.WaitOnline(p)
}

// WaitOnline waits until the server sees a transport or agent: a role is ready before
// it is linked, since its server may be down.
func (s *Site) WaitOnline(p *Proc) error {
	return Until(readyWithin, p.Name+" online", func() (bool, error) {
		var m keepwardv1.GetStatusResponse
		err := s.Message(&m, "status")
		for _, t := range m.Transports {
			if t.Name == p.Name && t.Status == "online" {
				return true, nil
			}
		}
		for _, c := range m.Computers {
			if c.Name == p.Name && c.Status == "online" {
				return true, nil
			}
		}
		return false, err
	})
}

// Token makes a join token.
func (s *Site) Token(role, name string) (string, error) {
	var made struct{ Token string }
	err := s.JSON(&made, "token", "create", "--role", role, "--name", name)
	return made.Token, err
}

// Role is a process that is not started yet, for tests of starts that go wrong.
// args follow the role's name and data directory.
func (s *Site) Role(name, role string, args ...string) *Proc { return s.proc(name, role, args...) }

func (s *Site) proc(name, role string, args ...string) *Proc {
	dir := filepath.Join(s.Dir, name)
	p := &Proc{
		Name: name, DataDir: dir, via: s.via(name), bin: s.Bin, env: s.Env,
		args: append([]string{role, "--data-dir", dir}, args...),
		log:  filepath.Join(s.Dir, "log", name+".log"),
	}
	s.procs = append(s.procs, p)
	return p
}

// Procs are all roles, in the order of their making.
func (s *Site) Procs() []*Proc { return s.procs }

// ClientConfig is the file that makes a command line an administrator's.
func (s *Site) ClientConfig() string { return s.config }

// Command is a keepward command line as the administrator.
func (s *Site) Command(ctx context.Context, args ...string) *exec.Cmd {
	line := append(append(s.via("server"), s.Bin), args...)
	cmd := exec.CommandContext(ctx, line[0], line[1:]...)
	cmd.Env = append(os.Environ(), "KEEPWARD_CONFIG="+s.ClientConfig(), "NO_COLOR=1")
	return cmd
}

// Close stops everything, agents first; movers that are left are killed.
func (s *Site) Close() error {
	var errs []error
	for i := len(s.procs) - 1; i >= 0; i-- {
		errs = append(errs, s.procs[i].Stop())
		s.procs[i].wait.Wait()
	}
	for _, p := range s.procs {
		for _, m := range Movers(p) {
			m.Kill()
		}
	}
	return errors.Join(errs...)
}

// freeAddr is a loopback address that was free a moment ago.
func freeAddr() (string, error) {
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return "", err
	}
	defer l.Close()
	return l.Addr().String(), nil
}

// Until asks again and again until ok, and gives up with what after the time.
func Until(within time.Duration, what string, ok func() (bool, error)) error {
	deadline := time.Now().Add(within)
	for {
		done, err := ok()
		if done {
			return nil
		}
		if time.Now().After(deadline) {
			return errors.Join(fmt.Errorf("no %s within %s", what, within), err)
		}
		time.Sleep(pollEvery)
	}
}

// pollEvery is short beside what is waited for (a session), long beside a look at a file.
const pollEvery = 20 * time.Millisecond
