package gate

import (
	"cmp"
	"slices"
	"time"
)

// LimitState is a limit and how it stands, for people.
type LimitState struct {
	Level Level
	Most  int
	// Running are the sessions that it counts, Waiting those that stand before it.
	Running, Waiting int
}

// Limits are all limits, by level.
func (g *Gate) Limits() []LimitState {
	var list []LimitState
	for level, l := range g.limits {
		waiting := map[int64]bool{}
		for _, e := range l.queue {
			waiting[e.Session] = true
		}
		list = append(list, LimitState{level, l.most, len(l.used), len(waiting)})
	}
	slices.SortFunc(list, func(a, b LimitState) int { return cmp.Compare(a.Level.String(), b.Level.String()) })
	return list
}

// OffForServer are the activities that are switched off for the whole server.
func (g *Gate) OffForServer(now time.Time) []Activity {
	var list []Activity
	for _, r := range Activities {
		until, is := g.rules.Off[Switch{Whole, r.Activity}]
		if is && (until.IsZero() || until.After(now)) {
			list = append(list, r.Activity)
		}
	}
	return list
}

// NeverOpen are the names of the windows that do not open any more by themselves.
func (g *Gate) NeverOpen(now time.Time) []string {
	var list []string
	for _, w := range g.windows {
		if open, change := w.at(now.Round(0)); !open && change.IsZero() {
			list = append(list, w.Name)
		}
	}
	return list
}
