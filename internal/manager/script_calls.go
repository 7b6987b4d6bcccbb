package manager

import (
	"context"
	"errors"
	"maps"
	"strconv"
	"strings"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
)

// carryOutScript runs a script, or has one ended. The start of it is in the catalog by now.
func (s *session) carryOutScript(ctx context.Context, o order) {
	if o.place.Row().OnServer {
		s.serverScript(ctx, o)
		return
	}
	c := scriptCall{
		m: s.m, computer: o.task.row.Computer, place: o.place, script: scriptOf(o.task.scripts.scripts, o.place),
		variables: s.scriptVariables(o.task, o.place), reason: o.reason,
		order: &keepwardv1.Order{Task: o.task.row.ID, Session: s.row.ID, Term: s.m.deps.Term(), Owner: s.m.deps.Owner},
	}
	id := o.task.row.ID
	if o.do == doStopScript {
		s.beside(ctx, c.stop)
		return
	}
	s.beside(ctx, func(ctx context.Context) { s.post(id, c.run(ctx)) })
}

// serverScript runs a script of the server in this process's care. All tasks of the session hear
// of its end.
func (s *session) serverScript(ctx context.Context, o order) {
	shared := o.task.scripts.shared
	if o.do == doStopScript {
		if stop := shared.stops[o.place]; stop != nil {
			stop(errs.New(errs.Cancelled, "script.stopped", "stop script: %s", o.reason))
		}
		return
	}
	one, variables := scriptOf(o.task.scripts.scripts, o.place), s.scriptVariables(o.task, o.place)
	run, stop := context.WithCancelCause(ctx)
	shared.stops[o.place] = stop
	s.beside(ctx, func(context.Context) {
		defer stop(nil)
		end := s.m.runScript(run, one, variables)
		if ctx.Err() == nil { // else the server goes down and has ended it: the next one finds it lost
			s.post("", evScript{place: o.place, end: end})
		}
	})
}

func (m *Manager) runScript(ctx context.Context, s *keepwardv1.Script, variables map[string]string) *keepwardv1.ScriptEnd {
	if m.deps.RunScript == nil {
		return script.Failed(errs.New(errs.Invalid, "script.not-allowed", "run script %s: this server allows none", s.GetPath()), string(partServer))
	}
	return m.deps.RunScript(ctx, s, variables)
}

// scriptCall is a script at an agent, with copies of all that the call needs.
type scriptCall struct {
	m         *Manager
	computer  string
	place     job.Place
	script    *keepwardv1.Script
	variables map[string]string
	reason    string
	order     *keepwardv1.Order
}

// askPause is how long an agent is left alone that answers at once that a script still runs.
const askPause = time.Second

// run asks the agent to run the script until it says how it ended, or cannot be reached. The agent
// runs it once, however often it is asked.
func (c *scriptCall) run(ctx context.Context) evScript {
	for {
		began := time.Now()
		end, err := c.ask(ctx)
		switch {
		case end != nil:
			return evScript{place: c.place, end: end}
		case err != nil && away(err):
			return evScript{place: c.place, away: err.Error()}
		case err != nil:
			return evScript{place: c.place, end: script.Failed(err, string(partAgent))}
		case time.Since(began) < askPause:
			if err := sleep(ctx, askPause); err != nil {
				return evScript{place: c.place, away: err.Error()}
			}
		}
	}
}

// away tells whether an agent could not be asked, so that nobody knows what became of the script.
func away(err error) bool {
	switch errs.KindOf(err) {
	case errs.Unavailable, errs.Cancelled, errs.Busy:
		return true
	}
	return errors.Is(err, context.Canceled) || errors.Is(err, context.DeadlineExceeded)
}

func (c *scriptCall) ask(ctx context.Context) (*keepwardv1.ScriptEnd, error) {
	ctx, cancel := context.WithTimeout(ctx, c.m.set.Order)
	defer cancel()
	a, err := c.m.agent(c.computer)
	if err != nil {
		return nil, err
	}
	res, err := a.RunScript(ctx, connect.NewRequest(&keepwardv1.RunScriptRequest{
		Order: c.order, Place: string(c.place), Script: c.script, Variables: c.variables,
		Wait: durationpb.New(c.m.set.Order / 2), // the answer must not come too late
	}))
	if err != nil {
		return nil, err
	}
	return res.Msg.GetEnd(), nil
}

// stop has the script ended. Whether it was is told by who waits for it.
func (c *scriptCall) stop(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, c.m.set.Order)
	defer cancel()
	a, err := c.m.agent(c.computer)
	if err == nil {
		_, err = a.StopScript(ctx, connect.NewRequest(&keepwardv1.StopScriptRequest{Order: c.order, Place: string(c.place), Reason: c.reason}))
	}
	if err != nil && ctx.Err() == nil {
		c.m.log.Warn("a script was not stopped", "computer", c.computer, "place", c.place, "error", err)
	}
}

// freezeScripts are those of a job that its agent runs within an attempt.
func freezeScripts(s *keepwardv1.Scripts) *keepwardv1.Scripts {
	if scriptOf(s, job.PreFreeze) == nil && scriptOf(s, job.PostThaw) == nil {
		return nil
	}
	return &keepwardv1.Scripts{PreFreeze: s.GetPreFreeze(), PostThaw: s.GetPostThaw()}
}

// sessionVariables are the environment variables of every script of a session.
func sessionVariables(row catalog.Session, p job.Place) map[string]string {
	full := "0"
	if row.Full {
		full = "1"
	}
	return map[string]string{
		job.VarPlace: string(p), job.VarJob: row.Job, job.VarSession: strconv.FormatInt(row.ID, 10),
		job.VarRepository: row.Repository, job.VarFull: full, job.VarStartedBy: row.StartedBy,
	}
}

// taskVariables are those of a script that runs on a computer.
func taskVariables(session catalog.Session, row catalog.Task, p job.Place) map[string]string {
	v := sessionVariables(session, p)
	v[job.VarComputer], v[job.VarTask] = row.Computer, row.ID
	return v
}

// commandVariables are those of commands whose output is stored, or that get a file.
func commandVariables(session catalog.Session, row catalog.Task) map[string]string {
	v := taskVariables(session, row, "")
	delete(v, job.VarPlace)
	return v
}

// scriptVariables are those of a script that the manager orders.
func (s *session) scriptVariables(t *task, p job.Place) map[string]string {
	if !p.Row().OnServer {
		v := taskVariables(s.row, t.row, p)
		if verdict := t.scripts.verdict; verdict != nil {
			maps.Copy(v, outcome(t.withWarnings(verdict.Status), t.row.Failure))
			v[job.VarPoint] = t.row.Point
		}
		return v
	}
	v := sessionVariables(s.row, p)
	var computers []string
	statuses := make([]job.Status, len(s.tasks))
	for i, one := range s.tasks {
		computers = append(computers, one.row.Computer)
		statuses[i] = one.row.Status
		if verdict := one.scripts.verdict; verdict != nil && !one.row.Status.Final() {
			statuses[i] = one.withWarnings(verdict.Status)
		}
	}
	v[job.VarComputers] = strings.Join(computers, " ")
	if p == job.ServerAfter {
		maps.Copy(v, outcome(job.SessionStatus(statuses), s.row.Failure))
	}
	return v
}

// outcome says to a script after the job how that ended.
func outcome(status job.Status, f *keepwardv1.Failure) map[string]string {
	return map[string]string{
		job.VarStatus: string(status), job.VarResult: string(status.Result()), job.VarFailure: f.GetMessage(),
	}
}
