package console

import (
	"cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// limitedTasks bounds the tasks whose shares are drawn.
const limitedTasks = 20

// limitedShare is what a part held a backup up.
type limitedShare struct {
	class, name string
	percent, at int // at: what lies before it
}

// limitedBy is what held a backup up, drawn as a bar.
type limitedBy struct {
	of     string // a task; empty: the session
	says   string // the most first
	shares []limitedShare
}

func limitedBar(of string, l *keepwardv1.Limits) (limitedBy, bool) {
	out := limitedBy{of: of, says: words.LimitedBy(l)}
	at := 0
	for _, one := range []struct {
		class, name string
		percent     int32
	}{{"source", "source", l.GetSource()}, {"cpu", "CPU", l.GetCpu()}, {"network", "network", l.GetNetwork()}, {"target", "target", l.GetTarget()}} {
		percent := min(max(int(one.percent), 0), 100-at)
		if percent == 0 {
			continue
		}
		out.shares = append(out.shares, limitedShare{class: one.class, name: one.name, percent: percent, at: at})
		at += percent
	}
	return out, len(out.shares) > 0
}

// limitedOf is what limited a session; behind it each task of several that was measured.
func limitedOf(s *keepwardv1.Session) (out []limitedBy) {
	if bar, ok := limitedBar("", s.GetLimits()); ok {
		out = append(out, bar)
	}
	if len(s.GetTasks()) < 2 {
		return out
	}
	for _, t := range s.GetTasks() {
		bar, ok := limitedBar(words.Safe(cmp.Or(t.GetComputer(), t.GetRepository())), t.GetLimits())
		if ok && len(out) <= limitedTasks {
			out = append(out, bar)
		}
	}
	return out
}
