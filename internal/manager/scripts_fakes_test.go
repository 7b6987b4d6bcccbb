package manager

import (
	"context"
	"maps"
	"slices"
	"testing/synctest"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/config"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
)

// fakeScripts are the scripts of a world: those of the server and of all agents.
type fakeScripts struct {
	ran   []string                         // in the order of their starts: the place, and of which computer
	vars  map[string]map[string]string     // by the same
	ends  map[string]*keepwardv1.ScriptEnd // of those that have ended at an agent
	holds map[job.Place]bool               // these run until they are told to end
	fails map[job.Place]*keepwardv1.ScriptEnd
	stops []string
	wake  []func() // of scripts that are held
}

// scripted gives the job scripts at places, each called after its place.
func (w *world) scripted(places ...job.Place) *keepwardv1.Job {
	j := theJobOf("web1")
	j.Scripts = &keepwardv1.Scripts{}
	for _, p := range places {
		putScript(j.Scripts, p)
	}
	return j
}

// putScript puts a script at a place that is called after it.
func putScript(s *keepwardv1.Scripts, p job.Place) {
	*config.ScriptAt(s, p) = &keepwardv1.Script{Path: "/" + string(p)}
}

var aroundPlaces = []job.Place{job.ServerBefore, job.AgentBefore, job.AgentAfter, job.ServerAfter}

// begin notes the start of a script; nil: it has ended at once. w.mu must be held.
func (f *fakeScripts) begin(name string, p job.Place, v map[string]string) *keepwardv1.ScriptEnd {
	if f.vars == nil {
		f.vars, f.ends = map[string]map[string]string{}, map[string]*keepwardv1.ScriptEnd{}
	}
	f.ran = append(f.ran, name)
	f.vars[name] = maps.Clone(v)
	if f.holds[p] {
		return nil
	}
	return f.end(p)
}

func (f *fakeScripts) end(p job.Place) *keepwardv1.ScriptEnd {
	if end := f.fails[p]; end != nil {
		return end
	}
	return &keepwardv1.ScriptEnd{Output: []string{"said by " + string(p)}}
}

// runScript is the server's own.
func (w *world) runScript(ctx context.Context, s *keepwardv1.Script, v map[string]string) *keepwardv1.ScriptEnd {
	p := job.Place(v[job.VarPlace])
	w.mu.Lock()
	end := w.scripts.begin(string(p), p, v)
	released := make(chan struct{})
	w.scripts.wake = append(w.scripts.wake, func() { close(released) })
	w.mu.Unlock()
	if end != nil {
		return end
	}
	select {
	case <-released:
		w.mu.Lock()
		defer w.mu.Unlock()
		return w.scripts.end(p)
	case <-ctx.Done():
		w.mu.Lock()
		defer w.mu.Unlock()
		w.scripts.stops = append(w.scripts.stops, string(p))
		return script.Failed(errs.New(errs.Cancelled, "script.stopped", "run script %s: %w", s.GetPath(), context.Cause(ctx)), "server")
	}
}

func (a *fakeAgent) RunScript(ctx context.Context, req *connect.Request[keepwardv1.RunScriptRequest]) (*connect.Response[keepwardv1.RunScriptResponse], error) {
	if err := a.reachable(ctx); err != nil {
		return nil, err
	}
	m, w := req.Msg, a.w
	name := m.GetPlace() + " " + a.name
	w.mu.Lock()
	if !slices.Contains(w.scripts.ran, name) {
		if end := w.scripts.begin(name, job.Place(m.GetPlace()), m.GetVariables()); end != nil {
			w.scripts.ends[name] = end
		}
	}
	end := w.scripts.ends[name]
	w.mu.Unlock()
	if end != nil {
		return connect.NewResponse(&keepwardv1.RunScriptResponse{End: end}), nil
	}
	timer := time.NewTimer(m.GetWait().AsDuration())
	defer timer.Stop()
	select {
	case <-ctx.Done():
		return nil, ctx.Err()
	case <-timer.C:
	}
	if err := a.reachable(ctx); err != nil {
		return nil, err
	}
	w.mu.Lock()
	defer w.mu.Unlock()
	return connect.NewResponse(&keepwardv1.RunScriptResponse{End: w.scripts.ends[name]}), nil
}

func (a *fakeAgent) StopScript(ctx context.Context, req *connect.Request[keepwardv1.StopScriptRequest]) (*connect.Response[keepwardv1.StopScriptResponse], error) {
	if err := a.reachable(ctx); err != nil {
		return nil, err
	}
	name := req.Msg.GetPlace() + " " + a.name
	a.w.mu.Lock()
	defer a.w.mu.Unlock()
	a.w.scripts.stops = append(a.w.scripts.stops, name)
	if slices.Contains(a.w.scripts.ran, name) && a.w.scripts.ends[name] == nil {
		a.w.scripts.ends[name] = script.Failed(errs.New(errs.Cancelled, "script.stopped", "stopped: %s", req.Msg.GetReason()), "agent")
	}
	return connect.NewResponse(&keepwardv1.StopScriptResponse{}), nil
}

// hold makes the scripts of a place run until they are told to end.
func (w *world) hold(p job.Place) {
	w.mu.Lock()
	defer w.mu.Unlock()
	w.scripts.holds = map[job.Place]bool{p: true}
}

// release ends the scripts that run, and lets those at agents be asked for.
func (w *world) release() {
	w.t.Helper()
	w.mu.Lock()
	held := w.scripts.holds
	w.scripts.holds = nil
	for _, name := range w.scripts.ran {
		for p := range held {
			if len(name) > len(p) && name[:len(p)+1] == string(p)+" " && w.scripts.ends[name] == nil {
				w.scripts.ends[name] = w.scripts.end(p)
			}
		}
	}
	for _, wake := range w.scripts.wake {
		wake()
	}
	w.scripts.wake = nil
	w.mu.Unlock()
	time.Sleep(w.m.set.Order) // agents are asked again
	synctest.Wait()
}

// failAt makes the scripts of a place fail.
func (w *world) failAt(p job.Place, code string) {
	w.mu.Lock()
	defer w.mu.Unlock()
	end := script.Failed(errs.New(errs.Invalid, code, "run script: exit status 3"), "agent")
	end.Lost = code == "script.lost"
	w.scripts.fails = map[job.Place]*keepwardv1.ScriptEnd{p: end}
}

func (w *world) ran() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.scripts.ran)
}

func (w *world) stoppedScripts() []string {
	w.mu.Lock()
	defer w.mu.Unlock()
	return slices.Clone(w.scripts.stops)
}

// is checks the status and the phase of a session, and that what only runs scripts holds nothing.
func (w *world) is(id int64, status job.Status, phase string) {
	w.t.Helper()
	synctest.Wait()
	s := w.session(id)
	if job.Status(s.GetStatus()) != status || s.GetPhase() != phase {
		w.t.Fatalf("session %d is %q in phase %q, want %q in %q\n%s", id, s.GetStatus(), s.GetPhase(), status, phase, w.log(id))
	}
	w.holdsOnlyWhatItMay()
}

func (a *fakeAgent) DryRun(context.Context, *connect.Request[keepwardv1.AgentDryRunRequest]) (*connect.ServerStreamForClient[keepwardv1.AgentDryRunResponse], error) {
	return nil, connect.NewError(connect.CodeUnimplemented, nil) // as an agent of an earlier version
}
