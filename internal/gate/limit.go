package gate

import (
	"fmt"
	"slices"

	"keepward/internal/job"
)

// limit is how many sessions of a level may run at once, who does, and who stands before it. A
// session counts once, however many tasks it has there.
type limit struct {
	level Level
	most  int
	used  map[int64]int // tasks that count, by session
	queue []*entry      // in order
}

func (l *limit) reason() job.Reason {
	return job.Because(job.Throttle, fmt.Sprintf("%d of %s", l.most, l.level.Title()))
}

func (l *limit) free() int { return l.most - len(l.used) }

// admits says whether there is room for a task's session, those before it in the queue counted in.
func (l *limit) admits(e *entry) bool {
	if l.used[e.Session] > 0 {
		return true
	}
	free, last := l.free(), int64(0)
	for _, other := range l.queue {
		if free <= 0 || order(other, e) >= 0 {
			break
		}
		// Tasks of one session and one priority stand together.
		if other.Session != last && other.Session != e.Session && l.used[other.Session] == 0 {
			free, last = free-1, other.Session
		}
	}
	return free > 0
}

func (l *limit) join(e *entry) {
	if e.stuck == l {
		return
	}
	i, _ := slices.BinarySearchFunc(l.queue, e, order)
	l.queue = slices.Insert(l.queue, i, e)
	e.stuck = l
}

// next are the tasks that there is room for.
func (l *limit) next(found func(*entry)) {
	free, last := l.free(), int64(0)
	for _, e := range l.queue {
		if e.Session != last && l.used[e.Session] == 0 {
			if free--; free < 0 {
				return
			}
			last = e.Session
		}
		found(e)
	}
}

// full is the first limit that has no room for a task; nil: none.
func (g *Gate) full(e *entry) *limit {
	if e.counts {
		return nil
	}
	for _, level := range e.limited() {
		if l := g.limits[level]; l != nil && !l.admits(e) {
			return l
		}
	}
	return nil
}

// count makes the limits of a task count it.
func (g *Gate) count(e *entry) {
	if e.counts {
		return
	}
	e.counts = true
	for _, level := range e.limited() {
		if l := g.limits[level]; l != nil {
			l.used[e.Session]++
		}
	}
}

func (g *Gate) uncount(e *entry) {
	if !e.counts {
		return
	}
	e.counts = false
	for _, level := range e.limited() {
		l := g.limits[level]
		if l == nil {
			continue
		}
		if l.used[e.Session]--; l.used[e.Session] <= 0 {
			delete(l.used, e.Session)
			g.wakeNext(l)
		}
	}
}

// unstick takes a task out of the queue of the limit before which it stands.
func (g *Gate) unstick(e *entry) {
	l := e.stuck
	if l == nil {
		return
	}
	e.stuck = nil
	if i, found := slices.BinarySearchFunc(l.queue, e, order); found {
		l.queue = slices.Delete(l.queue, i, i+1)
	}
	if !e.counts {
		g.wakeNext(l) // it may have stood in the way of others
	}
}

func (g *Gate) wakeNext(l *limit) {
	l.next(func(e *entry) { g.wake[e.Task] = struct{}{} })
}

// InWay are the sessions that a task waits for before a limit, in order.
func (g *Gate) InWay(task string) []int64 {
	e := g.tasks[task]
	if e == nil || e.stuck == nil {
		return nil
	}
	var list []int64
	for session := range e.stuck.used {
		list = append(list, session)
	}
	slices.Sort(list)
	return list
}
