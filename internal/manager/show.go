package manager

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

// fewTasks is up to how many tasks a session is shown whenever one of them has had its turn. It is made
// anew each time, so what has thousands is shown now and then, or showing it would be all that the
// server does.
const fewTasks = 64

// showing is how far what is shown of a session is behind it. It is for its worker.
type showing struct {
	stale bool // it differs in something
	news  bool // that is more than progress
	at    time.Time
	timer *time.Timer // has it shown that was put off; nil: nothing was
}

// evShow: a session is to be shown as it is now.
type evShow struct{}

// noteNews notes what a turn has changed for those who look.
func (s *session) noteNews(x *turn, ev any) {
	switch ev.(type) {
	case evProgress:
		s.seen.stale = true
	case evHeartbeat, evLease, evTick:
		if !x.dirty && !x.heard && len(x.events) == 0 {
			return // they come all the time, and mostly nothing is new
		}
	}
	if _, progress := ev.(evProgress); !progress || x.dirty {
		s.seen.stale, s.seen.news = true, true
	}
}

// publish shows what is new, unless that can wait. now: somebody is about to look.
func (s *session) publish(now bool) {
	wait := watchEvery - time.Since(s.seen.at)
	switch {
	case !s.seen.stale:
	case now && s.seen.news, wait <= 0, len(s.tasks) <= fewTasks:
		s.show()
	case s.seen.timer == nil:
		s.seen.timer = time.AfterFunc(wait, func() { s.post("", evShow{}) })
	}
}

// show publishes the session as it is now.
func (s *session) show() {
	s.seen.stale, s.seen.news, s.seen.at = false, false, time.Now()
	tasks := make([]catalog.Task, len(s.tasks))
	for i, t := range s.tasks {
		tasks[i] = t.row
		if p := mergeProgress(t.progress); p != nil {
			tasks[i].Progress = p
		}
	}
	out := describe(s.row, tasks)
	for _, t := range out.GetTasks() {
		t.Rate = s.m.movement.rate(t.GetId())
	}
	s.live.Store(out)
	s.m.hub.changed(s.row.ID)
}

// describe is a session as clients see it.
func describe(s catalog.Session, tasks []catalog.Task) *keepwardv1.Session {
	out := &keepwardv1.Session{
		Id: s.ID, Job: s.Job, Type: string(s.Type), Status: string(s.Status), Result: string(s.Status.Result()),
		Phase: s.Phase, Reason: s.Reason, Priority: int32(s.Priority), Created: stamp(s.Created), Started: stamp(s.Started),
		Ended: stamp(s.Ended), Failure: s.Failure, User: s.StartedBy, Repository: s.Repository, Full: s.Full,
		Origin: s.Origin, Retry: int32(s.Retry), RetryAt: stamp(s.RetryAt),
	}
	for _, t := range tasks {
		out.Tasks = append(out.Tasks, &keepwardv1.Task{
			Id: t.ID, Session: t.Session, Computer: t.Computer, Status: string(t.Status), Phase: t.Phase, Attempt: int32(t.Attempts),
			Reason: t.Reason, Progress: t.Progress, Failure: t.Failure, Point: t.Point, Result: string(t.Status.Result()),
			Started: stamp(t.Started), Ended: stamp(t.Ended), Repository: t.Repository, Report: t.Report, Priority: int32(t.Priority), Limits: limits(t.Progress.GetCounters()),
		})
		if t.Report != nil {
			out.Report = t.Report // such sessions have one task
		}
		out.Progress = sumProgress(out.Progress, t.Progress)
	}
	out.Limits = limits(out.GetProgress().GetCounters())
	out.DoneAbout = doneAbout(out, time.Now())
	return out
}

func sumProgress(sum, p *keepwardv1.Progress) *keepwardv1.Progress {
	if p == nil {
		return sum
	}
	if sum == nil {
		sum = &keepwardv1.Progress{}
	}
	sum.Counters = addCounters(sum.Counters, p.GetCounters())
	sum.Phase, sum.Current = p.GetPhase(), p.GetCurrent()
	return sum
}

// stamp is a moment on the wire; the zero time is none.
func stamp(t time.Time) *timestamppb.Timestamp {
	if t.IsZero() {
		return nil
	}
	return timestamppb.New(t)
}
