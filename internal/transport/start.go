package transport

import (
	"context"
	"crypto/rand"
	"net"
	"os"
	"path/filepath"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/proto"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/repo/point"
)

// StartMover starts one mover for one attempt; asked again, it answers the same mover.
func (s *Service) StartMover(ctx context.Context, req *connect.Request[keepwardv1.StartMoverRequest]) (*connect.Response[keepwardv1.StartMoverResponse], error) {
	o := req.Msg.GetOrder()
	if err := s.node.CheckTerm(o.GetTerm()); err != nil {
		return nil, err
	}
	if _, err := point.ParseAttempt(o.GetAttempt()); err != nil {
		return nil, err
	}
	if err := absolute(req.Msg.GetRepositoryPath()); err != nil {
		return nil, err
	}
	p, first := s.claim(o)
	if first {
		p.failed = s.begin(p, req.Msg)
		if p.failed != nil {
			s.forget(p)
		}
		close(p.started)
	}
	select {
	case <-p.started:
	case <-ctx.Done():
		return nil, ctx.Err()
	}
	if p.failed != nil {
		return nil, p.failed
	}
	endpoint, err := s.endpoint(ctx, p)
	if err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.StartMoverResponse{Mover: endpoint}), nil
}

// claim answers the attempt's process, and whether it is the caller's to start.
func (s *Service) claim(o *keepwardv1.Order) (p *process, first bool) {
	s.mu.Lock()
	defer s.mu.Unlock()
	if p := s.running[o.GetAttempt()]; p != nil {
		return p, false
	}
	p = &process{attempt: o.GetAttempt(), task: o.GetTask(), dir: filepath.Join(s.movers, o.GetAttempt()), started: make(chan struct{})}
	s.running[o.GetAttempt()] = p
	return p, true
}

// begin starts the mover. The caller's context does not end it: a server that asks again
// finds what was begun.
func (s *Service) begin(p *process, start *keepwardv1.StartMoverRequest) error {
	if s.reporter.Ended(p.attempt) {
		return errs.New(errs.Exists, "attempt.ended", "start mover: attempt %s has ended", p.attempt)
	}
	key := make([]byte, 32)
	_, _ = rand.Read(key) // documented never to fail
	order, err := mover.NewOrder(proto.CloneOf(start), key, s.node.Credentials(), p.dir, s.cfg.Listen)
	if err != nil {
		return err
	}
	p.key = key
	p.state.Mode = start.GetMode()
	if err := p.launch(s.cfg.MoverCommand, order); err != nil {
		s.cleanUp(p)
		return err
	}
	if err := s.reporter.Begin(p.attempt, p.task); err != nil {
		p.signal(true)
		s.cleanUp(p)
		return err
	}
	s.log.Info("started a mover", "attempt", p.attempt, "mode", p.state.Mode, "session", start.GetOrder().GetSession(), "pid", p.state.PID, "address", p.state.Address)
	s.own.Go(func() { s.watch(p) })
	return nil
}

// cleanUp removes what is left of a mover that did not start.
func (s *Service) cleanUp(p *process) {
	if p.child {
		p.reap()
	}
	if err := os.RemoveAll(p.dir); err != nil {
		s.log.Warn("a mover's directory could not be removed", "directory", p.dir, "error", err)
	}
}

func (s *Service) endpoint(ctx context.Context, p *process) (*keepwardv1.MoverEndpoint, error) {
	key, err := p.taskKey(ctx)
	if err != nil {
		return nil, err
	}
	fp := s.node.Credentials().Fingerprint()
	e := &keepwardv1.MoverEndpoint{CertificateSha256: fp[:], TaskKey: key, Socket: p.state.Socket}
	if _, port, err := net.SplitHostPort(p.state.Address); err == nil {
		e.Addresses = s.dataAddresses(port)
		e.Address = e.Addresses[0]
	}
	return e, nil
}

// StopMover asks a mover to end; its end comes as a report. To stop one that is not there is
// no fault.
func (s *Service) StopMover(_ context.Context, req *connect.Request[keepwardv1.StopMoverRequest]) (*connect.Response[keepwardv1.StopMoverResponse], error) {
	if err := s.node.CheckTerm(req.Msg.GetOrder().GetTerm()); err != nil {
		return nil, err
	}
	if p := s.find(req.Msg.GetOrder().GetAttempt()); p != nil {
		s.stop(p, req.Msg.GetReason())
	}
	return connect.NewResponse(&keepwardv1.StopMoverResponse{}), nil
}
