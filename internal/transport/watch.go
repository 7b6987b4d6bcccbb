package transport

import (
	"context"
	"os"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/mover"
	"keepward/internal/wire"
)

// watch relays what a mover says until its process is gone, then reports its end. It leaves
// the mover alone when the service ends.
func (s *Service) watch(p *process) {
	var heard time.Time
	for p.alive() {
		if s.relay(p) {
			heard = time.Now()
		}
		pause := pollEvery
		if time.Since(heard) < endingFor {
			pause = endingEvery
		}
		select {
		case <-s.ctx.Done():
			return
		case <-time.After(pause):
		}
	}
	s.settle(p)
}

// relay hands on progress and events as long as the mover answers; it tells whether the
// mover was heard and has said all it had to say.
func (s *Service) relay(p *process) (heard bool) {
	p.mu.Lock()
	seen := p.seen
	p.mu.Unlock()
	stream, err := mover.Client(p.dir).Status(s.ctx, connect.NewRequest(&keepwardv1.MoverStatusRequest{AfterEvent: seen}))
	if err != nil {
		return false // not listening yet
	}
	defer func() { _ = stream.Close() }()
	for stream.Receive() {
		m := stream.Msg()
		s.handOn(p, m.GetEvents())
		s.reporter.Progress(p.attempt, m.GetProgress())
		if m.GetEnd() != nil {
			p.mu.Lock()
			p.end = m.GetEnd()
			p.mu.Unlock()
		}
		heard = true
	}
	return heard
}

func (s *Service) handOn(p *process, events []*keepwardv1.Event) {
	s.reporter.Events(p.attempt, events...)
	p.mu.Lock()
	defer p.mu.Unlock()
	if n := len(events); n > 0 {
		p.seen = max(p.seen, events[n-1].GetSeq())
	}
}

// settle reports the end of a mover whose process is gone. First the report is durable, then
// the directory goes: a crash between the two reports the same end again.
func (s *Service) settle(p *process) {
	s.handOn(p, mover.ReadEvents(p.dir))
	end := p.ending()
	s.log.Info("a mover ended", "attempt", p.attempt, "mode", p.state.Mode, "outcome", end.GetOutcome(), "reason", end.GetFailure().GetMessage())
	s.report(p.attempt, end)
	if err := os.RemoveAll(p.dir); err != nil {
		s.log.Warn("a mover's directory could not be removed", "directory", p.dir, "error", err)
	}
	s.forget(p)
}

// ending is how a mover whose process is gone ended: by its file, by its last words where the
// disk was too full for a file, or not known.
func (p *process) ending() *keepwardv1.AttemptEnd {
	end, err := mover.ReadEnd(p.dir)
	if err == nil {
		return end
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	switch {
	case p.end != nil:
		return p.end
	case p.stopped:
		return &keepwardv1.AttemptEnd{
			Outcome: mover.OutcomeAborted,
			Failure: wire.ToFailure(errs.New(errs.Cancelled, "mover.killed", "the mover did not end in time and was killed"), "mover"),
		}
	}
	return lost("the mover ended without saying how" + p.cause + p.lastLine())
}

func (s *Service) forget(p *process) {
	s.mu.Lock()
	defer s.mu.Unlock()
	delete(s.running, p.attempt)
}

func (s *Service) report(attempt string, end *keepwardv1.AttemptEnd) {
	if err := s.reporter.End(attempt, s.standingEnded(attempt, end)); err != nil {
		s.log.Error("an end could not be kept; it is lost if this process ends before the server has it", "attempt", attempt, "error", err)
	}
}

func lost(text string) *keepwardv1.AttemptEnd {
	return &keepwardv1.AttemptEnd{
		Outcome: mover.OutcomeFailed,
		Failure: wire.ToFailure(errs.New(errs.Unavailable, "mover.lost", "%s", text), "mover"),
	}
}

// stop asks a mover to end and kills it if it does not. It returns at once.
func (s *Service) stop(p *process, reason string) {
	p.mu.Lock()
	again := p.stopped
	p.stopped = true
	p.mu.Unlock()
	if again {
		return
	}
	s.own.Go(func() {
		select {
		case <-s.ctx.Done():
			return
		case <-p.started:
		}
		if p.failed != nil {
			return
		}
		// The socket carries the reason, which the agent is told; the signal reaches a mover
		// whose socket does not answer.
		ctx, cancel := context.WithTimeout(s.ctx, killAfter/5)
		defer cancel()
		_, err := mover.Client(p.dir).Stop(ctx, connect.NewRequest(&keepwardv1.MoverStopRequest{Reason: reason}))
		if err != nil {
			p.signal(false)
		}
		late := time.NewTimer(killAfter)
		defer late.Stop()
		for p.alive() {
			select {
			case <-s.ctx.Done():
				return
			case <-late.C:
				s.log.Warn("a mover did not end and is killed", "attempt", p.attempt, "pid", p.state.PID)
				p.signal(true)
				return
			case <-time.After(pollEvery):
			}
		}
	})
}
