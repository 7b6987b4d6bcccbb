package console

import (
	"cmp"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/job"
	"keepward/internal/words"
)

// What is drawn of a time line at most: a session of thousands of tasks, or one that was
// interrupted all night, is left to its log.
const (
	lanesMost = 20
	turnsMost = 200 // of a task
)

// The measures of the drawing.
const (
	laneName  = 180
	laneWidth = 700
	laneStep  = 26
	laneBox   = 18
)

// turns are the changes of status of a session's tasks, in the order of its log.
type turns struct {
	tasks []string // in the order in which they appear
	of    map[string][]*keepwardv1.Event
	left  int // changes that are not drawn
}

func (c *turns) take(events []*keepwardv1.Event) {
	for _, e := range events {
		if e.GetTo() == "" || e.GetTime() == nil {
			continue
		}
		list, known := c.of[e.GetTask()]
		if !known && len(c.tasks) == lanesMost || len(list) == turnsMost {
			c.left++
			continue
		}
		if c.of == nil {
			c.of = map[string][]*keepwardv1.Event{}
		}
		if !known {
			c.tasks = append(c.tasks, e.GetTask())
		}
		c.of[e.GetTask()] = append(list, e)
	}
}

// spell is the time that a task was in one status.
type spell struct {
	x, width    int
	tone, title string
}

// lane is the time line of a task.
type lane struct {
	name   string
	y      int
	spells []spell
}

// timeline is the time line of a session, drawn.
type timeline struct {
	lanes    []lane
	from, to string
	height   int
	left     int
}

// timeline draws the changes. What is not over reaches to now; so does the last change that is
// drawn of a task with too many.
func (v *view) timeline(s *keepwardv1.Session, c *turns) timeline {
	out := timeline{left: c.left}
	if len(c.tasks) == 0 {
		return out
	}
	var first, last time.Time
	for _, id := range c.tasks {
		for _, e := range c.of[id] {
			at := e.GetTime().AsTime()
			if first.IsZero() || at.Before(first) {
				first = at
			}
			if at.After(last) {
				last = at
			}
		}
	}
	if !over(s) && v.now.After(last) {
		last = v.now
	}
	all := max(last.Sub(first), time.Millisecond)
	place := func(t time.Time) int { return int(float64(t.Sub(first)) / float64(all) * laneWidth) }
	names := map[string]string{}
	for _, t := range s.GetTasks() {
		names[t.GetId()] = words.Safe(cmp.Or(t.GetComputer(), "repository "+cmp.Or(t.GetRepository(), s.GetRepository())))
	}
	for i, id := range c.tasks {
		l := lane{name: cmp.Or(names[id], "the session"), y: i * laneStep}
		for n, e := range c.of[id] {
			status := job.Status(e.GetTo())
			begin, end := e.GetTime().AsTime(), last
			if n+1 < len(c.of[id]) {
				end = c.of[id][n+1].GetTime().AsTime()
			}
			if status.Final() {
				end = begin
			}
			end = maxTime(begin, end) // a clock may have been set back
			l.spells = append(l.spells, spell{
				x: laneName + place(begin), width: max(place(end)-place(begin), 2), tone: toneOfSpell(status),
				title: words.Safe(e.GetTo()) + " from " + v.clock(begin) + ", " + words.Span(end.Sub(begin)) + ": " + v.says(e.GetText()),
			})
		}
		out.lanes = append(out.lanes, l)
	}
	out.from, out.to, out.height = v.clock(first), v.clock(last), len(out.lanes)*laneStep
	return out
}

func maxTime(a, b time.Time) time.Time {
	if b.After(a) {
		return b
	}
	return a
}

// toneOfSpell shows an interruption, which is no end, as what it is.
func toneOfSpell(s job.Status) string {
	if c := s.Class(); c == job.Leaving || s == job.Interrupted || s == job.Suspended {
		return "warn"
	}
	return tone(string(s))
}
