package gate

import (
	"container/heap"
	"time"
)

// look is a moment at which a task is to be asked about again.
type look struct {
	at   time.Time
	task string
}

// looks is a heap, the earliest first. What is in it twice, or no longer true, is skipped when it
// comes up.
type looks []look

func (l looks) Len() int           { return len(l) }
func (l looks) Less(i, j int) bool { return l[i].at.Before(l[j].at) }
func (l looks) Swap(i, j int)      { l[i], l[j] = l[j], l[i] }
func (l *looks) Push(x any)        { *l = append(*l, x.(look)) }
func (l *looks) Pop() any {
	old := *l
	last := old[len(old)-1]
	*l = old[:len(old)-1]
	return last
}

func (g *Gate) lookAgain(e *entry, at time.Time) {
	if e.again.Equal(at) {
		return
	}
	e.again = at
	if !at.IsZero() {
		heap.Push(&g.looks, look{at, e.Task})
	}
}

// wanted says whether a look still is.
func (g *Gate) wanted(l look) bool {
	e := g.tasks[l.task]
	return e != nil && e.again.Equal(l.at)
}

// Next is the first moment at which Due has something; zero: none, as things stand.
func (g *Gate) Next() time.Time {
	for len(g.looks) > 0 && !g.wanted(g.looks[0]) {
		heap.Pop(&g.looks)
	}
	if len(g.looks) == 0 {
		return time.Time{}
	}
	return g.looks[0].at
}

// Due are the tasks that are to be asked about again because their moment has come.
func (g *Gate) Due(now time.Time) []string {
	var list []string
	for at := g.Next(); !at.IsZero() && !at.After(now); at = g.Next() {
		l := heap.Pop(&g.looks).(look)
		g.tasks[l.task].again = time.Time{}
		list = append(list, l.task)
	}
	return list
}
