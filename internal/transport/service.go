package transport

import (
	"context"
	"log/slog"
	"os"
	"path/filepath"
	"sync"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/node"
)

// Service is a keepwardv1connect.TransportServiceHandler.
type Service struct {
	cfg      Config
	log      *slog.Logger
	node     *node.Node
	reporter *node.Reporter
	movers   string // directory

	ctx    context.Context // over when the service ends
	cancel context.CancelFunc
	own    sync.WaitGroup

	mu      sync.Mutex
	running map[string]*process // by attempt

	standing *standings
	agents   *agentDoor // nil: there is none
}

func newService(cfg Config, n *node.Node) *Service {
	s := &Service{
		cfg: cfg, log: cfg.Logger, node: n, reporter: n.Reporter(),
		movers: filepath.Join(n.DataDir(), "movers"), running: map[string]*process{},
	}
	s.ctx, s.cancel = context.WithCancel(context.Background())
	return s
}

// wait ends the watching. The movers go on, except those that only answer calls that came
// through here.
func (s *Service) wait() {
	s.cancel()
	s.own.Wait()
	s.mu.Lock()
	defer s.mu.Unlock()
	for _, p := range s.running {
		select {
		case <-p.started:
			if p.failed == nil && p.state.Mode == mover.ModeBrowse {
				p.signal(false)
			}
		default: // not yet begun; nobody will call it, and it ends by itself
		}
	}
}

// adopt finds what an earlier transport left: movers that run, movers that ended while
// nobody watched, and attempts that never got so far.
func (s *Service) adopt() error {
	if err := os.MkdirAll(s.movers, 0o700); err != nil {
		return errs.New(errs.KindOf(err), "datadir.create", "create movers directory: %w", err)
	}
	entries, err := os.ReadDir(s.movers)
	if err != nil {
		return errs.New(errs.KindOf(err), "datadir.read", "read movers: %w", err)
	}
	for _, e := range entries {
		dir := filepath.Join(s.movers, e.Name())
		state, err := mover.ReadState(dir)
		if err != nil {
			s.log.Warn("what is left of a mover says nothing and is removed", "directory", dir, "error", err)
			_ = os.RemoveAll(dir)
			continue
		}
		if err := s.reporter.Begin(state.Attempt, state.Task); err != nil {
			return err
		}
		p := &process{attempt: state.Attempt, task: state.Task, dir: dir, state: state, started: make(chan struct{})}
		close(p.started)
		s.running[state.Attempt] = p
		s.log.Info("found a mover", "attempt", state.Attempt, "mode", state.Mode, "pid", state.PID, "alive", p.alive())
		s.own.Go(func() { s.watch(p) })
	}
	for _, a := range s.reporter.Unfinished() {
		if s.running[a.GetAttempt()] == nil {
			s.report(a.GetAttempt(), lost("the transport was restarted before its mover began"))
		}
	}
	return nil
}

func (s *Service) attempts() []*keepwardv1.AttemptState {
	s.mu.Lock()
	defer s.mu.Unlock()
	var out []*keepwardv1.AttemptState
	for _, p := range s.running {
		out = append(out, &keepwardv1.AttemptState{Attempt: p.attempt, Task: p.task})
	}
	return out
}

// drop ends a mover that the server does not want.
func (s *Service) drop(attempt string) {
	if p := s.find(attempt); p != nil {
		s.stop(p, "the server does not know this attempt any more")
	}
}

func (s *Service) find(attempt string) *process {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.running[attempt]
}
