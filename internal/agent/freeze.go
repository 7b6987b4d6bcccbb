package agent

import (
	"context"
	"fmt"
	"strconv"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/script"
	"keepward/internal/source"
)

// holdMost is how long an application is held for the sake of a snapshot: longer than any takes,
// and shorter than those who wait for the application do.
const holdMost = 10 * time.Second

func (a *agent) holdLimit() time.Duration {
	if a.cfg.HoldLimit > 0 {
		return a.cfg.HoldLimit
	}
	return holdMost
}

// state answers the snapshots that an attempt is read from: those that one before has left, or new
// ones, which are taken between the scripts. Nothing is frozen while files are read: it is the
// snapshot that keeps a state, and without one the scripts mark where the reading begins.
func (a *agent) state(ctx context.Context, m *keepwardv1.StartBackupRequest, sel *source.Selection, also *apps, waits *waiting) (*shot, error) {
	if old := a.shots.again(ctx, m); old != nil {
		if len(also.list) == 0 {
			return old, nil
		}
		// It shows an application that nobody had prepared for this attempt.
		old.remove(ctx)
	}
	all := also.reads(*sel)
	p, err := a.shots.plan(ctx, m, &all)
	if err != nil {
		return nil, err
	}
	defer waits.clear()
	var s *shot
	if sc := m.GetScripts(); sc.GetPreFreeze().GetPath() == "" && sc.GetPostThaw().GetPath() == "" && !also.holds() {
		retries := int(m.GetSnapshotRetries())
		s, err = p.take(ctx, retries, func(what string, n int, err error) { a.waitsForSnapshot(m, waits, what, n, err) })
	} else {
		s, err = a.frozen(ctx, m, p, also, waits)
	}
	if err == nil {
		p.tell(s)
	}
	return s, err
}

// waitsForSnapshot shows that a snapshot that failed is tried again.
func (a *agent) waitsForSnapshot(m *keepwardv1.StartBackupRequest, waits *waiting, what string, n int, err error) {
	retries := int(m.GetSnapshotRetries())
	waits.set(job.SnapshotRetry, strconv.Itoa(n), strconv.Itoa(retries))
	a.event(m.GetOrder().GetAttempt(), "warning", "snapshot.retry", fmt.Sprintf("%s tried again, %d of %d: %v", what, n, retries, err), nil)
}

// frozen takes the state between the scripts. A try that fails lets go before it waits for the
// next one, which freezes anew.
func (a *agent) frozen(ctx context.Context, m *keepwardv1.StartBackupRequest, p *plan, also *apps, waits *waiting) (*shot, error) {
	retries := int(m.GetSnapshotRetries())
	for n := 1; ; n++ {
		s, again, err := a.heldTry(ctx, m, p, also)
		switch {
		case err == nil:
			return s, nil
		case ctx.Err() != nil:
			return nil, context.Cause(ctx)
		case !again:
			return nil, err
		case n > retries:
			return nil, fmt.Errorf("%w, tried %d times", err, n)
		}
		a.waitsForSnapshot(m, waits, "what the scripts hold the application for is", n, err)
		if err := p.wait(ctx, n); err != nil {
			return nil, context.Cause(ctx)
		}
	}
}

// heldTry holds the application once: pre-freeze, take, post-thaw. again: another try may help.
func (a *agent) heldTry(ctx context.Context, m *keepwardv1.StartBackupRequest, p *plan, also *apps) (s *shot, again bool, err error) {
	id, task := m.GetOrder().GetAttempt(), m.GetOrder().GetTask()
	k := scriptKey{holdOf(task), job.PreFreeze}
	if err := k.check(); err != nil {
		return nil, false, err
	}
	if err := p.free(); err != nil {
		return nil, true, err
	}
	e := newEntry(k, m.GetScripts().GetPreFreeze(), m.GetScriptVariables())
	if thaw := m.GetScripts().GetPostThaw(); thaw.GetPath() != "" {
		e.Thaw = thaw
	}
	h, err := a.newHold(e, false)
	if err != nil {
		return nil, false, err
	}
	if err = h.freeze(ctx); err == nil {
		s, err = a.heldApps(ctx, h, p, also)
		again = !also.gone()
	}
	h.finish()
	if err == nil {
		// It is the watchdog's clock that counts: this process may have stood still.
		if err = h.verdict(); err != nil && s != nil {
			s.remove(context.WithoutCancel(ctx))
		}
	}
	a.reportLeft(id, task)
	h.report(id)
	if err != nil {
		return nil, again, err
	}
	return s, false, nil
}

// heldApps takes the state while the applications stand still, too.
func (a *agent) heldApps(ctx context.Context, h *hold, p *plan, also *apps) (s *shot, err error) {
	limited, cancel := context.WithTimeoutCause(ctx, a.holdLimit(), a.errHeld())
	defer cancel()
	if err = also.hold(limited); err == nil {
		s, err = a.takeWithin(ctx, h, p)
	}
	free, done := context.WithTimeout(context.WithoutCancel(ctx), a.holdLimit())
	defer done()
	if rerr := also.release(free); err == nil {
		err = rerr
	}
	if err != nil && s != nil {
		s.remove(context.WithoutCancel(ctx))
		s = nil
	}
	return s, err
}

// verdict is why what was taken is not the state that the scripts stood for; nil: it is.
func (h *hold) verdict() error {
	select {
	case <-h.letting:
	default:
		return errWatchdog
	}
	if h.late {
		return h.a.errHeld()
	}
	return nil
}

// ended is why a take ends whose watchdog is gone: it may have let go before, and both are seen at once.
func (h *hold) ended() error {
	select {
	case <-h.letting:
		return h.a.errHeld()
	default:
		return errWatchdog
	}
}

func (a *agent) errHeld() error {
	return errs.New(errs.Unavailable, "snapshot.held", "take the state of the computer: it took more than %s while the application was held, which was let go", a.holdLimit())
}

// takeWithin takes the state while the watchdog holds, and no longer. What is not there then may
// hang in the system: nobody waits for it, and what comes of it late is removed.
func (a *agent) takeWithin(ctx context.Context, h *hold, p *plan) (*shot, error) {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	type taken struct {
		shot *shot
		err  error
	}
	done, gone := make(chan taken), make(chan struct{}) // unbuffered: it is handed over or it is not
	p.begin()
	a.work.Go(func() {
		s, err := p.take(ctx, 0, nil)
		p.back()
		select {
		case done <- taken{s, err}:
		case <-gone:
			if s != nil {
				s.remove(context.WithoutCancel(ctx))
			}
		}
	})
	late := time.NewTimer(a.holdLimit() + watchdogGrace)
	defer late.Stop()
	var err error
	select {
	case r := <-done:
		return r.shot, r.err
	case <-h.letting:
		err = a.errHeld()
	case <-late.C:
		h.dog.kill() // it should have let go
		err = errWatchdog
	case <-h.over:
		err = h.ended()
	case <-ctx.Done():
		err = context.Cause(ctx)
	}
	cancel(err)
	close(gone)
	return nil, err
}

// reportScript writes what a script did into the session's log.
func (a *agent) reportScript(attempt string, p job.Place, s *keepwardv1.Script, end *keepwardv1.ScriptEnd, goesOn bool) {
	for _, line := range script.Lines(p, s, end, goesOn) {
		a.event(attempt, line.Level, line.Code, line.Text, nil)
	}
}
