// Package gate says what keeps a task in the queue although nothing conflicts with it: the server
// is paused, its activity is switched off, it is outside its window, its start lies in the future,
// or an administrator's limit on how many sessions run at once is reached.
//
// It answers a reason, and when time alone may change the answer. It knows no session's life, no
// clock and no catalog: the job manager tells it of tasks and of what was set, asks it before a
// task leaves the queue and again when it gets its resources, and looks anew at those that it
// names in Wakes and Due. Conflicts are the business of the manager's board.
//
// A Gate is not safe for concurrent use.
package gate

import (
	"cmp"
	"reflect"
	"slices"
	"time"

	"keepward/internal/job"
)

// Subject is a task as the rules see it.
type Subject struct {
	Task     string
	Session  int64
	Type     job.Type
	Priority int
	Computer string // empty: none takes part
	// Groups are those that the computer is in, as far as a rule is about them. The gate sets them.
	Groups     []string
	Repository string
	// Scheduled says that nobody asked for it now: a schedule did, or upkeep.
	Scheduled bool
	// Start is when it may start; zero: at once.
	Start time.Time
	// After is a job that has yet to end; empty: none.
	After string
	// LeastCharge is how much of its battery the computer must have left, in percent, where it runs on
	// one; above 100: it must not; 0: it does not matter. Unmetered: its network must not be metered.
	// Both are for what nobody asked for.
	LeastCharge int
	Unmetered   bool
}

// levels are the levels whose switches and windows concern it.
func (s *Subject) levels() []Level {
	list := []Level{Whole}
	for _, g := range s.Groups {
		list = append(list, Level{Group, g})
	}
	if s.Computer != "" {
		list = append(list, Level{Computer, s.Computer})
	}
	return list
}

// limited are the levels whose limits concern it.
func (s *Subject) limited() []Level {
	if s.Repository == "" {
		return s.levels()
	}
	return append(s.levels(), Level{Repository, s.Repository})
}

// Verdict is what the gate says of a task.
type Verdict struct {
	// Reason keeps it in the queue; zero: nothing does.
	Reason job.Reason
	// Again is when time alone may change that; zero: never.
	Again time.Time
	// LetGo says that it must not run on: its window has closed, or its computer is to be spared.
	LetGo bool
}

// Gate keeps the tasks that are not over and the rules that hold.
type Gate struct {
	rules   Rules
	windows []*window
	tasks   map[string]*entry
	limits  map[Level]*limit
	sparing sparing
	looks   looks
	wake    map[string]struct{}
}

// entry is a task that the gate knows.
type entry struct {
	Subject
	counts bool   // it is one of those that limits count
	stuck  *limit // the limit before which it stands; nil: none
	again  time.Time
}

// New makes a gate without rules, through which everybody may go.
func New() *Gate {
	return &Gate{tasks: map[string]*entry{}, limits: map[Level]*limit{}, sparing: newSparing(), wake: map[string]struct{}{}}
}

// Has says whether these are the rules that hold.
func (g *Gate) Has(r Rules) bool { return reflect.DeepEqual(g.rules, r) }

// SetRules changes the rules. All tasks are to be asked about again.
func (g *Gate) SetRules(r Rules) {
	g.rules, g.windows, g.limits = r, nil, map[Level]*limit{}
	for _, w := range r.Windows {
		g.windows = append(g.windows, &window{Window: w})
	}
	for level, most := range r.Limits {
		g.limits[level] = &limit{level: level, most: most, used: map[int64]int{}}
	}
	for _, e := range g.tasks {
		e.stuck, e.Groups = nil, r.Groups[e.Computer]
		if e.counts {
			e.counts = false
			g.count(e)
		}
	}
	clear(g.wake)
}

// Add makes a task known.
func (g *Gate) Add(s Subject) {
	s.Groups = g.rules.Groups[s.Computer]
	g.tasks[s.Task] = &entry{Subject: s}
	g.sparing.add(&s)
}

// Reprioritise moves a task among those that stand before a limit.
func (g *Gate) Reprioritise(task string, priority int) {
	e := g.tasks[task]
	if e == nil || e.Priority == priority {
		return
	}
	before := e.stuck
	g.unstick(e)
	e.Priority = priority
	if before != nil {
		g.wake[task] = struct{}{} // it asks again, and finds its place
	}
}

// Follow changes the job that must end before a task starts; empty: none, or none any more.
func (g *Gate) Follow(task, after string) {
	if e := g.tasks[task]; e != nil && e.After != after {
		e.After = after
		g.wake[task] = struct{}{}
	}
}

// Ask looks at a task at a moment. enter: it wants to leave the queue, or to run; if nothing keeps
// it, the limits count it from now on.
func (g *Gate) Ask(task string, now time.Time, enter bool) Verdict {
	e := g.tasks[task]
	if e == nil {
		return Verdict{}
	}
	now = now.Round(0) // rules go by the wall clock, which may be set
	v := g.judge(&e.Subject, now)
	g.lookAgain(e, v.Again)
	if !enter || !v.Reason.Zero() {
		g.unstick(e)
		return v
	}
	full := g.full(e)
	if full == nil {
		g.count(e)
		g.unstick(e)
		return v
	}
	if full != e.stuck {
		g.unstick(e)
	}
	full.join(e)
	v.Reason = full.reason()
	return v
}

// Counting is how a task stands to the limits, as somebody knows who did not ask the gate.
type Counting int

// The ways to count.
const (
	Idle    Counting = iota // it does not run: no limit counts it
	AsAsked                 // it may run in a moment: it counts if the gate has let it
	Runs                    // it runs, and counts whatever the limits are
)

// Note follows a task: queued says that it is in the queue.
func (g *Gate) Note(task string, queued bool, counts Counting) {
	e := g.tasks[task]
	if e == nil {
		return
	}
	if !queued {
		g.unstick(e)
	}
	switch counts {
	case Idle:
		g.uncount(e)
	case Runs:
		g.count(e)
	}
}

// Remove forgets a task that is over.
func (g *Gate) Remove(task string) {
	e := g.tasks[task]
	if e == nil {
		return
	}
	delete(g.tasks, task)
	g.sparing.remove(&e.Subject)
	g.unstick(e)
	g.uncount(e)
}

// Wakes are the tasks that are to be asked about again, because of what happened since the last
// call, in order.
func (g *Gate) Wakes() []string {
	if len(g.wake) == 0 {
		return nil
	}
	list := make([]string, 0, len(g.wake))
	for task := range g.wake {
		list = append(list, task)
	}
	clear(g.wake)
	slices.SortFunc(list, func(a, b string) int {
		x, y := g.tasks[a], g.tasks[b]
		if x == nil || y == nil {
			return cmp.Compare(a, b)
		}
		return order(x, y)
	})
	return list
}

// order is who goes first among those before a limit.
func order(a, b *entry) int {
	return cmp.Or(cmp.Compare(a.Priority, b.Priority), cmp.Compare(a.Session, b.Session), cmp.Compare(a.Task, b.Task))
}
