package manager

import (
	"cmp"
	"context"
	"errors"
	"strconv"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/broker"
	"keepward/internal/errs"
	"keepward/internal/job"
)

// This file shows who holds what and who waits for whom, as the broker has it now.

// brokerTick bounds how late it is noticed that a protection is over.
const brokerTick = 30 * time.Second

// runBroker tells the broker when time alone may have changed something.
func (m *Manager) runBroker(ctx context.Context) error {
	ticker := time.NewTicker(brokerTick)
	defer ticker.Stop()
	for {
		select {
		case <-ctx.Done():
			return ctx.Err()
		case now := <-ticker.C:
			if due := m.broker.Deadline(); !due.IsZero() && !now.Before(due) {
				m.dispatch(m.broker.Tick())
			}
		}
	}
}

// ListResources lists what tasks must hold to run.
func (m *Manager) ListResources(ctx context.Context, req *connect.Request[keepwardv1.ListResourcesRequest]) (*connect.Response[keepwardv1.ListResourcesResponse], error) {
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	kind, name := req.Msg.GetKind(), req.Msg.GetName()
	state := m.broker.Snapshot()
	grants := make(map[string]broker.Grant, len(state.Grants))
	for _, g := range state.Grants {
		grants[g.Task] = g
	}
	waiting := map[broker.ID][]broker.Wait{}
	for _, w := range state.Waiting {
		for _, id := range w.Lacking {
			waiting[id] = append(waiting[id], w)
		}
	}
	out := &keepwardv1.ListResourcesResponse{}
	for _, r := range state.Resources {
		if kind != "" && kind != string(r.Kind) || name != "" && name != r.Name && name != r.Label {
			continue
		}
		one := resourceRow(r.Resource, r.Used)
		for _, task := range r.Holders {
			g := grants[task]
			one.Holders = append(one.Holders, m.showHolder(g.Task, g.Session, g.Granted, g.For != ""))
		}
		for _, w := range waiting[r.ID] {
			one.Waiters = append(one.Waiters, m.showHolder(w.Task, w.Session, w.Since, false))
		}
		out.Resources = append(out.Resources, one)
	}
	if name != "" && len(out.Resources) == 0 {
		return nil, errs.New(errs.NotFound, "resource.unknown", "there is no resource %q", name).WithHint("keepward resource list shows them all")
	}
	return connect.NewResponse(out), nil
}

func resourceRow(r broker.Resource, used int) *keepwardv1.Resource {
	row := &keepwardv1.Resource{
		Kind: string(r.Kind), Name: r.Name, Label: cmp.Or(r.Label, r.Name), Capacity: int32(r.Capacity), Used: int32(used),
	}
	if r.Down != nil {
		row.Down = &keepwardv1.Reason{Code: string(r.Down.Code), Args: r.Down.Args, Text: r.Down.Text()}
	}
	return row
}

// showHolder is a task as it stands now.
func (m *Manager) showHolder(task string, session int64, since time.Time, leaving bool) *keepwardv1.Holder {
	h := &keepwardv1.Holder{Session: session, Task: task, Since: stamp(since), Leaving: leaving}
	live := m.liveSession(session)
	if live == nil {
		return h
	}
	s := live.live.Load()
	h.Job, h.Type, h.Status, h.Priority = s.GetJob(), s.GetType(), s.GetStatus(), s.GetPriority()
	for _, t := range s.GetTasks() {
		if t.GetId() == task || task == "" {
			h.Computer, h.Status, h.Until = t.GetComputer(), t.GetStatus(), stamp(doneAt(t, time.Now()))
			if task != "" {
				break
			}
		}
	}
	if task == "" {
		h.Status = s.GetStatus()
		if len(s.GetTasks()) > 1 {
			h.Computer, h.Until = "", nil
		}
	}
	return h
}

// through is how many bytes have been gone through: those of files that are done, or, where files
// are large and none is for a while, what was read or found unchanged.
func through(n *keepwardv1.Counters) int64 {
	return max(n.GetDoneBytes(), min(n.GetReadBytes()+n.GetReusedBytes(), n.GetTotalBytes()))
}

// doneAt is when a running task will be done if it goes on as it did so far; zero: nobody knows.
func doneAt(t *keepwardv1.Task, now time.Time) time.Time {
	n := t.GetProgress().GetCounters()
	done, total := through(n), n.GetTotalBytes()
	if job.Status(t.GetStatus()) != job.Running || t.GetStarted() == nil || done <= 0 || total <= done {
		return time.Time{}
	}
	took := now.Sub(t.GetStarted().AsTime())
	return now.Add(time.Duration(float64(took) * float64(total-done) / float64(done)))
}

// waits is why the tasks of a session do not run, with those who are in their way.
func (m *Manager) waits(s *keepwardv1.Session) []*keepwardv1.Wait {
	var list []*keepwardv1.Wait
	for _, t := range s.GetTasks() {
		if w := m.waitOf(t); w != nil {
			list = append(list, w)
		}
	}
	return list
}

func (m *Manager) waitOf(t *keepwardv1.Task) *keepwardv1.Wait {
	if job.Status(t.GetStatus()).Final() {
		return nil
	}
	if w, ok := m.broker.Waits(t.GetId()); ok {
		return m.brokerWait(t, w)
	}
	if heldBy(t.GetReason()) {
		return m.ruleWait(t)
	}
	code, args := job.Code(t.GetReason().GetCode()), t.GetReason().GetArgs()
	if code != job.Conflict || len(args) == 0 {
		return nil
	}
	before, err := strconv.ParseInt(args[0], 10, 64)
	if err != nil {
		return nil
	}
	return &keepwardv1.Wait{
		Task: t.GetId(), Computer: t.GetComputer(), Reason: t.GetReason(), Sessions: []*keepwardv1.Holder{m.showHolder("", before, time.Time{}, false)},
	}
}

// ruleWait is how a task waits for a rule of the queue: for a limit with those that it counts, for
// another job with its session.
func (m *Manager) ruleWait(t *keepwardv1.Task) *keepwardv1.Wait {
	m.mu.Lock()
	sessions := m.gate.InWay(t.GetId())
	if r := t.GetReason(); job.Code(r.GetCode()) == job.AfterJob && len(r.GetArgs()) > 0 {
		if id := m.openBefore(r.GetArgs()[0], t.GetSession()); id != 0 {
			sessions = append(sessions, id)
		}
	}
	m.mu.Unlock()
	out := &keepwardv1.Wait{Task: t.GetId(), Computer: t.GetComputer(), Reason: t.GetReason()}
	for _, id := range sessions {
		out.Sessions = append(out.Sessions, m.showHolder("", id, time.Time{}, false))
	}
	return out
}

// brokerWait is how a task waits for resources.
func (m *Manager) brokerWait(t *keepwardv1.Task, w broker.Wait) *keepwardv1.Wait {
	out := &keepwardv1.Wait{
		Task: t.GetId(), Computer: t.GetComputer(), Since: stamp(w.Since), Claim: w.Claim, Ahead: int32(w.Ahead),
		Reason: &keepwardv1.Reason{Code: string(w.Reason.Code), Args: w.Reason.Args, Text: w.Reason.Text()},
	}
	for _, id := range w.Lacking {
		r, grants, ok := m.broker.Resource(id)
		if !ok {
			continue
		}
		one := resourceRow(r.Resource, r.Used)
		for _, g := range grants {
			one.Holders = append(one.Holders, m.showHolder(g.Task, g.Session, g.Granted, g.For != ""))
		}
		out.Resources = append(out.Resources, one)
	}
	return out
}

// SetSessionPriority changes the priority of a session that is not over: where it stands in the
// queue, and whom it may interrupt or may be interrupted for.
func (m *Manager) SetSessionPriority(ctx context.Context, req *connect.Request[keepwardv1.SetSessionPriorityRequest]) (*connect.Response[keepwardv1.SetSessionPriorityResponse], error) {
	id, priority := req.Msg.GetId(), int(req.Msg.GetPriority())
	if priority < 0 || priority > job.LowestPriority {
		return nil, errs.New(errs.Invalid, "session.priority", "set priority of session %d: %d is not a number from 0 (first) to %d (last)", id, priority, job.LowestPriority)
	}
	if err := m.waitReady(ctx); err != nil {
		return nil, err
	}
	s, err := m.currentSession(ctx, id)
	if err != nil {
		return nil, err
	}
	live := m.liveSession(id)
	over := errs.New(errs.Busy, "session.over", "set priority of session %d: it is over", id)
	if live == nil || job.Status(s.GetStatus()).Final() {
		return nil, over
	}
	switch took, err := live.ask(ctx, "", evPriority{actor: m.user(ctx), priority: priority}); {
	case !took || errors.Is(err, errClosed): // it has ended meanwhile
		return nil, over
	case err != nil:
		return nil, err
	}
	if s, err = m.currentSession(ctx, id); err != nil {
		return nil, err
	}
	return connect.NewResponse(&keepwardv1.SetSessionPriorityResponse{Session: s}), nil
}
