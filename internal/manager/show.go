package manager

import (
	"time"

	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
)

// show publishes the session as it is now.
func (s *session) show() {
	tasks := make([]catalog.Task, len(s.tasks))
	for i, t := range s.tasks {
		tasks[i] = t.row
		if p := mergeProgress(t.progress); p != nil {
			tasks[i].Progress = p
		}
	}
	s.live.Store(describe(s.row, tasks))
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
			Started: stamp(t.Started), Ended: stamp(t.Ended), Repository: t.Repository, Report: t.Report, Priority: int32(t.Priority),
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
