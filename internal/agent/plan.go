package agent

import (
	"context"
	"fmt"
	"path/filepath"
	"strings"
	"sync/atomic"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/job"
	"keepward/internal/snapshot"
	"keepward/internal/source"
	"keepward/internal/track"
)

// plan is which snapshots an attempt needs: all that can be found out before an application is
// held for them.
type plan struct {
	of      *shots // nil: this agent takes none
	attempt string
	// use is what the snapshots are for, over several sessions.
	use    string
	volume *snapshot.Plan
	// shot is what all tries have in common.
	shot shot
}

// plan makes the plan of an attempt.
func (s *shots) plan(ctx context.Context, m *keepwardv1.StartBackupRequest, sel *source.Selection) (*plan, error) {
	p := &plan{of: s, attempt: m.GetOrder().GetAttempt(), use: m.GetJob()}
	if p.use == "" {
		p.use = m.GetOrder().GetTask()
	}
	if s == nil {
		return p, nil
	}
	p.shot = shot{of: s, task: m.GetOrder().GetTask(), set: &snapshot.Set{}, job: m.GetJob()}
	out := &p.shot
	if s.trackers != nil && !m.GetFiles().GetNoTracking() {
		out.kept, out.every = m.GetTrackingKept().AsDuration(), int(m.GetCompareEvery())
	}
	if out.kept <= 0 {
		if err := s.formers.drop(func(f former) bool { return f.Job == out.job }); err != nil {
			s.failed(err)
		}
	}
	s.sweep(ctx)
	var err error
	if out.hidden, err = s.hidden(); err != nil {
		return nil, err
	}
	reach, err := sel.Reach()
	if err != nil {
		return nil, err
	}
	wanted := reach.Comes
	if sel.OneFileSystem {
		wanted = reach.Above
	}
	p.volume, err = s.taker.Plan(snapshot.Request{Include: reach.Include, Wanted: wanted, Live: m.GetFiles().GetLive()})
	if err != nil {
		return nil, err
	}
	if out.kept > 0 {
		out.moment = s.trackers.Begin(ctx, track.Request{Key: jobKey(out.job), Include: reach.Include, Mounts: p.volume.Mounts, Needed: p.volume.Needed, Kept: out.kept})
	}
	return p, nil
}

// take takes the snapshots. Nothing is written to a disk by it.
func (p *plan) take(ctx context.Context, retries int, retry func(what string, n int, err error)) (*shot, error) {
	s := p.of
	if s == nil {
		return nil, nil
	}
	out := p.shot
	out.name = snapshot.Name{Owner: s.owner, ID: snapshot.NewID()}
	v := *p.volume
	v.Name, v.Retries = out.name, retries
	v.Retry = func(v snapshot.Volume, n int, err error) { retry("the snapshot of "+volumeText(v)+" is", n, err) }
	s.know(out.name, true)
	var err error
	if out.set, err = s.taker.Take(ctx, &v); err != nil {
		s.know(out.name, false)
		return nil, err
	}
	return &out, nil
}

// tell says in the session's log what is read how.
func (p *plan) tell(o *shot) {
	switch {
	case o == nil:
	case p.volume.Live:
		p.of.a.event(p.attempt, "info", "snapshot.live", "the files are read as they are at their turn: the job takes no snapshot", nil)
	default:
		for _, c := range o.set.Choices {
			code, text := choiceText(c)
			p.of.a.event(p.attempt, "info", code, text, nil)
		}
	}
}

// wait waits before try again number n.
func (p *plan) wait(ctx context.Context, n int) error {
	if p.of == nil {
		return ctx.Err()
	}
	return p.of.taker.WaitForTry(ctx, n)
}

// begin and back stand around a call for snapshots that nobody may wait for.
func (p *plan) begin() { p.hangs(1) }
func (p *plan) back()  { p.hangs(-1) }

func (p *plan) hangs(n int) {
	if p.of == nil {
		return
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.of.hanging[p.use] += n; p.of.hanging[p.use] == 0 {
		delete(p.of.hanging, p.use)
	}
}

// free answers why no snapshot can be taken now: an earlier call hangs in the system, and there
// the next one would as well.
func (p *plan) free() error {
	if p.of == nil {
		return nil
	}
	p.of.mu.Lock()
	defer p.of.mu.Unlock()
	if p.of.hanging[p.use] > 0 {
		return errs.New(errs.Busy, "snapshot.hangs", "take snapshot: an earlier try has not come back from the system yet")
	}
	return nil
}

// volumeText names a volume.
func volumeText(v snapshot.Volume) string {
	return fmt.Sprintf("%s (%s, %s)", v.Mount, v.Type, v.Source)
}

// choiceText says how a volume is read, and why not better.
func choiceText(c snapshot.Choice) (code, text string) {
	why := ""
	if len(c.Why) > 0 {
		why = ": " + strings.Join(c.Why, "; ")
	}
	if c.Kind == snapshot.None {
		return "snapshot.none", volumeText(c.Volume) + " is read as it is, without a snapshot" + why
	}
	parts := ""
	if c.Parts > 1 {
		parts = fmt.Sprintf(" of %d parts", c.Parts)
	}
	return "snapshot.taken", fmt.Sprintf("%s is read from a %s snapshot%s, taken in %s%s", volumeText(c.Volume), c.Kind, parts, c.Duration.Round(time.Millisecond), why)
}

// hidden are the directories with our own snapshots.
func (s *shots) hidden() ([]string, error) {
	dirs, err := s.taker.Own()
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "snapshot.volumes", "find the mounted volumes: %w", err)
	}
	real, err := filepath.Abs(s.dir)
	if err == nil {
		real, err = filepath.EvalSymlinks(real)
	}
	if err != nil {
		return nil, errs.New(errs.KindOf(err), "snapshot.owner", "find the agent's own directory: %w", err)
	}
	return append(dirs, filepath.Join(real, "mounts")), nil
}

// waiting is what a backup waits for at this computer, for those who watch it.
type waiting struct {
	now atomic.Pointer[keepwardv1.Reason]
}

func (w *waiting) set(code job.Code, args ...string) {
	w.now.Store(&keepwardv1.Reason{Code: string(code), Args: args})
}

func (w *waiting) clear() { w.now.Store(nil) }

func (w *waiting) reason() *keepwardv1.Reason { return w.now.Load() }
