package agent

import (
	"context"
	"path/filepath"
	"sync"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
)

// scripts runs the scripts of tasks on this computer, each once: the journal has the start before
// the script begins. A script does not depend on who asked for it: it goes on when the link is
// lost, and its end is there when the server asks again.
type scripts struct {
	a       *agent
	journal journal

	mu      sync.Mutex
	running map[scriptKey]*runningScript
}

type runningScript struct {
	stop context.CancelCauseFunc
	over chan struct{} // closed when end is set
	end  *keepwardv1.ScriptEnd
}

func newScripts(a *agent) *scripts {
	return &scripts{a: a, journal: journal{dir: filepath.Join(a.cfg.DataDir, "scripts")}, running: map[scriptKey]*runningScript{}}
}

// maxWait bounds how long a call waits for a script's end: the caller asks again.
const maxWait = 25 * time.Second

func (s *service) RunScript(ctx context.Context, req *connect.Request[keepwardv1.RunScriptRequest]) (*connect.Response[keepwardv1.RunScriptResponse], error) {
	m := req.Msg
	if err := s.a.node.CheckTerm(m.GetOrder().GetTerm()); err != nil {
		return nil, err
	}
	k := scriptKey{m.GetOrder().GetTask(), job.Place(m.GetPlace())}
	if err := k.check(); err != nil {
		return nil, err
	}
	r, err := s.a.scripts.once(newEntry(k, m.GetScript(), m.GetVariables()))
	if err != nil {
		return nil, err
	}
	timer := time.NewTimer(min(m.GetWait().AsDuration(), maxWait))
	defer timer.Stop()
	select {
	case <-r.over:
		return connect.NewResponse(&keepwardv1.RunScriptResponse{End: r.end}), nil
	case <-timer.C:
		return connect.NewResponse(&keepwardv1.RunScriptResponse{}), nil
	case <-ctx.Done():
		return nil, ctx.Err()
	}
}

func (s *service) StopScript(_ context.Context, req *connect.Request[keepwardv1.StopScriptRequest]) (*connect.Response[keepwardv1.StopScriptResponse], error) {
	m := req.Msg
	if err := s.a.node.CheckTerm(m.GetOrder().GetTerm()); err != nil {
		return nil, err
	}
	k := scriptKey{m.GetOrder().GetTask(), job.Place(m.GetPlace())}
	if err := k.check(); err != nil {
		return nil, err
	}
	if err := s.a.scripts.stop(k, m.GetReason()); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.StopScriptResponse{}), nil
}

// once is a script that runs, or has run, here. It starts it if it never was.
func (s *scripts) once(e *keepwardv1.ScriptEntry) (*runningScript, error) {
	k := keyOf(e)
	s.mu.Lock()
	defer s.mu.Unlock()
	if r := s.running[k]; r != nil {
		return r, nil
	}
	known, err := s.journal.read(k)
	if err != nil {
		return nil, err
	}
	if known == nil {
		return s.begin(e)
	}
	if known.GetEnd() == nil {
		known.End = script.Lost(e.GetScript().GetPath(), partAgent, "the agent's process ended while it ran")
	}
	r := &runningScript{over: make(chan struct{}), end: known.GetEnd()}
	close(r.over)
	return r, nil
}

// begin journals a script and starts it; s.mu must be held.
func (s *scripts) begin(e *keepwardv1.ScriptEntry) (*runningScript, error) {
	k := keyOf(e)
	if s.a.ctx.Err() != nil || s.a.beginsNothing() { // before its start is written down
		return nil, errs.New(errs.Unavailable, "agent.stopping", "run script %s: the agent is shutting down", e.GetScript().GetPath())
	}
	if err := s.journal.write(k, e); err != nil {
		return nil, err
	}
	ctx, stop := context.WithCancelCause(s.a.ctx)
	r := &runningScript{stop: stop, over: make(chan struct{})}
	begun := s.a.goes(func() {
		defer stop(nil)
		s.a.log.Info("script begins", "task", k.task, "place", k.place, "path", e.GetScript().GetPath())
		s.ended(k, e, r, execute(ctx, e))
	})
	if !begun {
		stop(nil)
		return nil, errs.New(errs.Unavailable, "agent.stopping", "run script %s: the agent is shutting down", e.GetScript().GetPath())
	}
	s.running[k] = r
	return r, nil
}

// ended keeps how a script ended.
func (s *scripts) ended(k scriptKey, e *keepwardv1.ScriptEntry, r *runningScript, end *keepwardv1.ScriptEnd) {
	if why := s.lostBy(end); why != "" {
		lost := script.Lost(e.GetScript().GetPath(), partAgent, why)
		lost.Output, lost.LeftOutBytes = end.GetOutput(), end.GetLeftOutBytes()
		end = lost
	}
	e.End = end
	if err := s.journal.write(k, e); err != nil {
		s.a.log.Error("the end of a script could not be kept", "task", k.task, "place", k.place, "error", err)
	}
	s.a.log.Info("script ended", "task", k.task, "place", k.place, "failure", end.GetFailure().GetMessage())
	s.mu.Lock()
	defer s.mu.Unlock()
	r.end = end
	close(r.over)
	delete(s.running, k)
}

// lostBy is why a script was ended that nobody wanted to end: it may have been in the middle of
// what it does. Empty: it was not.
func (s *scripts) lostBy(end *keepwardv1.ScriptEnd) string {
	if end.GetFailure().GetCode() == "script.stopped" && s.a.ctx.Err() != nil {
		return "the agent was shut down while it ran"
	}
	return ""
}

// stop ends a script if it runs. One that has not begun never will: the order to run it may be on
// its way still.
func (s *scripts) stop(k scriptKey, why string) error {
	s.mu.Lock()
	defer s.mu.Unlock()
	stopped := errs.New(errs.Cancelled, "script.stopped", "stop script: %s", why)
	if r := s.running[k]; r != nil {
		r.stop(stopped)
		return nil
	}
	known, err := s.journal.read(k)
	if known != nil || err != nil {
		return err
	}
	e := newEntry(k, nil, nil)
	e.End = script.Failed(stopped, partAgent)
	return s.journal.write(k, e)
}

func keyOf(e *keepwardv1.ScriptEntry) scriptKey {
	return scriptKey{e.GetTask(), job.Place(e.GetPlace())}
}

// takeUp ends what an earlier process has left: what was frozen is thawed, and what is old is
// forgotten.
func (s *scripts) takeUp() {
	s.journal.forgetOld(time.Now())
	for _, e := range s.journal.entries() {
		if job.Place(e.GetPlace()) == job.PreFreeze && !s.journal.thawed(e) {
			s.a.goes(func() { s.a.thawLeft(e) })
		}
	}
}

// goes runs fn in a goroutine that the agent waits for; false: it is going down.
func (a *agent) goes(fn func()) bool {
	a.mu.Lock()
	defer a.mu.Unlock()
	if a.closed {
		return false
	}
	a.work.Go(fn)
	return true
}
