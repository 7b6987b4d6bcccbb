package gate

import (
	"slices"
	"time"

	"keepward/internal/job"
	"keepward/internal/schedule"
)

// Window says when tasks may run: in Open, or always if that is empty, and never in Closed.
type Window struct {
	Name string
	// Levels are whom it concerns; empty: everybody.
	Levels []Level
	// Activities are what it concerns; empty: everything.
	Activities []Activity
	Open       schedule.Hours
	Closed     schedule.Hours
	// DoNotSubmit: what a schedule would start while it is closed is not put into the queue.
	DoNotSubmit bool
	// Finish: what runs when it closes may run on.
	Finish bool
}

// horizon is how far windows look ahead: they are the same each week, but for the clocks that
// change.
const horizon = 8 * 24 * time.Hour

// never stands where a window does not open again by itself.
const never = "it is changed"

// IsOpen says whether the window is open at a moment.
func (w Window) IsOpen(at time.Time) bool {
	return (w.Open.Empty() || w.Open.In(at)) && !w.Closed.In(at)
}

// Change is when it opens or closes next; zero: never.
func (w Window) Change(after time.Time) time.Time {
	is := w.IsOpen(after)
	return firstEdge([]Window{w}, after, func(at time.Time) bool { return w.IsOpen(at) != is })
}

// NeverTogether says that at no moment of the time to come all of the windows are open.
func NeverTogether(windows []Window, now time.Time) bool {
	all := func(at time.Time) bool {
		return !slices.ContainsFunc(windows, func(w Window) bool { return !w.IsOpen(at) })
	}
	return !all(now) && firstEdge(windows, now, all).IsZero()
}

// firstEdge is the first edge of the windows that is as wanted; zero: none is.
func firstEdge(windows []Window, after time.Time, wanted func(time.Time) bool) time.Time {
	var edges []time.Time
	for _, w := range windows {
		edges = append(edges, w.Open.Edges(after, after.Add(horizon))...)
		edges = append(edges, w.Closed.Edges(after, after.Add(horizon))...)
	}
	slices.SortFunc(edges, time.Time.Compare)
	for _, e := range edges {
		if wanted(e) {
			return e
		}
	}
	return time.Time{}
}

// Concerns says whether a level and an activity are among those of the window.
func (w Window) Concerns(l Level, a Activity) bool {
	return (len(w.Levels) == 0 || slices.Contains(w.Levels, l)) && (len(w.Activities) == 0 || slices.Contains(w.Activities, a))
}

// Minds says whether the window concerns a task.
func (w Window) Minds(s Subject) bool { return w.concerns(&s) }

// Refuses says whether the window keeps a task from being put into the queue that a schedule would
// start at a moment.
func (w Window) Refuses(s Subject, at time.Time) bool {
	return w.DoNotSubmit && s.Scheduled && w.concerns(&s) && !w.IsOpen(at)
}

// window is a Window with what was found out about it last, since thousands of tasks ask for the
// same moment.
type window struct {
	Window
	from, until time.Time // how long the rest holds
	open        bool
	change      time.Time
}

// concerns says whether the window is one of those that a task has to mind.
func (w *Window) concerns(s *Subject) bool {
	if len(w.Levels) > 0 && !slices.ContainsFunc(s.levels(), func(l Level) bool { return slices.Contains(w.Levels, l) }) {
		return false
	}
	return len(w.Activities) == 0 || slices.ContainsFunc(s.activities(), func(a Activity) bool { return slices.Contains(w.Activities, a) })
}

// at is whether it is open, and when that changes; zero: never.
func (w *window) at(now time.Time) (open bool, change time.Time) {
	if w.until.IsZero() || now.Before(w.from) || !now.Before(w.until) {
		w.from, w.open, w.change = now, w.IsOpen(now), w.Change(now)
		if w.until = w.change; w.until.IsZero() {
			w.until = now.Add(horizon)
		}
	}
	return w.open, w.change
}

// reason is why a task waits for the window; it opens at a time, or never by itself.
func (w *window) reason(opens time.Time) job.Reason {
	until := never
	if !opens.IsZero() {
		until = opens.UTC().Format(time.RFC3339)
	}
	return job.Because(job.OutsideWindow, w.Name, until)
}

// windowsOf is what the windows say of a task.
func (g *Gate) windowsOf(s *Subject, now time.Time) Verdict {
	var v Verdict
	for _, w := range g.windows {
		if !w.concerns(s) {
			continue
		}
		open, change := w.at(now)
		v.Again = earliest(v.Again, change)
		if open {
			continue
		}
		v.LetGo = v.LetGo || !w.Finish
		if v.Reason.Zero() {
			v.Reason = w.reason(change)
		}
	}
	return v
}
