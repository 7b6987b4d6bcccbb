package gate

import (
	"time"

	"keepward/internal/job"
)

// Rules are what administrators have set.
type Rules struct {
	// Paused: nothing leaves the queue.
	Paused bool
	// Off are the switches that are off, and until when; the zero time: until somebody switches
	// them on.
	Off map[Switch]time.Time
	// Windows must all be open of those that concern a task.
	Windows []Window
	// Limits are how many sessions may run at once.
	Limits map[Level]int
	// Groups are those that a computer is in, by its name, as far as a rule is about them.
	Groups map[string][]string
}

// Switch is that of one activity on one level. Off on any level is off.
type Switch struct {
	Level    Level
	Activity Activity
}

// judge is what the rules say of a task, limits apart. Of several reasons the one is told that an
// administrator would have to lift first.
func (g *Gate) judge(s *Subject, now time.Time) Verdict {
	v := g.windowsOf(s, now)
	spare := g.sparing.of(s)
	v.LetGo = v.LetGo || !spare.Zero()
	if why, again := g.off(s, now); !why.Zero() {
		v.Reason, v.Again = why, earliest(v.Again, again)
	}
	if g.rules.Paused {
		v.Reason = job.Because(job.ServerPaused)
	}
	if !v.Reason.Zero() {
		return v
	}
	switch {
	case s.Start.After(now):
		v.Reason, v.Again = job.Because(job.StartTime, s.Start.UTC().Format(time.RFC3339)), earliest(v.Again, s.Start)
	case s.After != "":
		v.Reason = job.Because(job.AfterJob, s.After)
	case !spare.Zero():
		v.Reason = spare
	}
	return v
}

// off is the first switch that is off for a task, and until when.
func (g *Gate) off(s *Subject, now time.Time) (job.Reason, time.Time) {
	for _, level := range s.levels() {
		for _, a := range s.activities() {
			until, is := g.rules.Off[Switch{level, a}]
			if is && (until.IsZero() || until.After(now)) {
				return job.Because(job.ActivityDisabled, level.Title()+" ("+string(a)+")"), until
			}
		}
	}
	return job.Reason{}, time.Time{}
}

// NotSubmitted says why a task that a schedule would start now is not even put into the queue: it
// would be held by a window that wants it so. Zero: it is put there.
func (g *Gate) NotSubmitted(s Subject, now time.Time) job.Reason {
	now, s.Groups = now.Round(0), g.rules.Groups[s.Computer]
	for _, w := range g.windows {
		if w.DoNotSubmit && s.Scheduled && w.concerns(&s) {
			if open, change := w.at(now); !open {
				return w.reason(change)
			}
		}
	}
	return job.Reason{}
}

// earliest is the first of the moments that are not zero.
func earliest(a, b time.Time) time.Time {
	if a.IsZero() || !b.IsZero() && b.Before(a) {
		return b
	}
	return a
}
