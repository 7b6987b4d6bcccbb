package agent

import (
	"context"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
	"keepward/internal/wire"
)

// holdLimit is how long an application is held for the sake of a snapshot: longer than any takes,
// and shorter than those who wait for the application do.
const holdLimit = 10 * time.Second

// freeze takes the state of the computer between its scripts: pre-freeze, take, post-thaw. Nothing
// is frozen while files are read: it is the snapshot that keeps a state, and without one the
// scripts mark where the reading begins.
func (a *agent) freeze(ctx context.Context, m *keepwardv1.StartBackupRequest, take func(context.Context) error) error {
	pre, thaw := m.GetScripts().GetPreFreeze(), m.GetScripts().GetPostThaw()
	if pre.GetPath() == "" && thaw.GetPath() == "" {
		return take(ctx)
	}
	k := scriptKey{m.GetOrder().GetTask(), job.PreFreeze}
	if err := k.check(); err != nil {
		return err
	}
	id := m.GetOrder().GetAttempt()
	e := newEntry(k, pre, m.GetScriptVariables())
	if thaw.GetPath() != "" {
		e.Thaw = thaw
	}
	failure := a.preFreeze(ctx, id, e)
	var err error
	if failure == nil {
		err = held(ctx, take)
	}
	if e.GetThaw() != nil {
		// Whatever became of it, and of the attempt: nothing stays frozen.
		if end := a.scripts.thaw(context.WithoutCancel(ctx), e); end != nil {
			a.reportScript(id, job.PostThaw, thaw, end, true)
		}
	}
	if failure != nil {
		return wire.FromFailure(failure)
	}
	return err
}

// held calls take while an application waits, which it does not for long.
func held(ctx context.Context, take func(context.Context) error) error {
	long := errs.New(errs.Unavailable, "snapshot.held", "take the state of the computer: it took more than %s while the application was held; that goes on, and the attempt ends", holdLimit)
	ctx, cancel := context.WithTimeoutCause(ctx, holdLimit, long)
	defer cancel()
	return take(ctx)
}

// preFreeze runs the script, unless an earlier attempt has, and answers why the attempt must not
// go on.
func (a *agent) preFreeze(ctx context.Context, attempt string, e *keepwardv1.ScriptEntry) *keepwardv1.Failure {
	s := e.GetScript()
	if s.GetPath() == "" {
		return nil
	}
	r, err := a.scripts.once(e)
	if err != nil {
		return wire.ToFailure(err, partAgent)
	}
	select {
	case <-r.over:
	case <-ctx.Done():
		if r.stop != nil { // else it was over before
			r.stop(context.Cause(ctx))
		}
		<-r.over
	}
	end := r.end
	goesOn := s.GetGoOn() || end.GetLost()
	if r.stop != nil || end.GetLost() { // else an earlier attempt has told of it
		a.reportScript(attempt, job.PreFreeze, s, end, goesOn)
	}
	if goesOn {
		return nil
	}
	return end.GetFailure()
}

// thawRest is how long a thaw may take while the agent goes down: who shuts a computer down does
// not wait for long.
const thawRest = 20 * time.Second

// thaw runs the post-thaw of a pre-freeze until it was seen to end once: to thaw twice does no
// harm, not to thaw does. nil: it has ended before.
func (s *scripts) thaw(ctx context.Context, freeze *keepwardv1.ScriptEntry) *keepwardv1.ScriptEnd {
	k := scriptKey{freeze.GetTask(), job.PostThaw}
	known, err := s.journal.read(k)
	if err == nil && known.GetEnd() != nil {
		return nil
	}
	e := newEntry(k, freeze.GetThaw(), s.variables(freeze))
	if err := s.journal.write(k, e); err != nil {
		s.a.log.Error("a script is not journalled", "task", k.task, "place", k.place, "error", err)
	}
	ctx, cancel := context.WithCancel(context.WithoutCancel(ctx))
	defer cancel()
	release := context.AfterFunc(s.a.ctx, func() { time.AfterFunc(thawRest, cancel) })
	defer release()
	end := s.execute(ctx, e)
	if ctx.Err() != nil {
		return end // the next process of the agent does it again
	}
	e.End = end
	if err := s.journal.write(k, e); err != nil {
		s.a.log.Error("the end of a script could not be kept", "task", k.task, "place", k.place, "error", err)
	}
	return end
}

// variables are those of a pre-freeze, for its post-thaw.
func (s *scripts) variables(freeze *keepwardv1.ScriptEntry) map[string]string {
	v := map[string]string{}
	for name, value := range freeze.GetVariables() {
		v[name] = value
	}
	v[job.VarPlace] = string(job.PostThaw)
	return v
}

// reportScript writes what a script did into the session's log.
func (a *agent) reportScript(attempt string, p job.Place, s *keepwardv1.Script, end *keepwardv1.ScriptEnd, goesOn bool) {
	for _, line := range script.Lines(p, s, end, goesOn) {
		a.event(attempt, line.Level, line.Code, line.Text, nil)
	}
}
