package console

import (
	"cmp"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// limitedTasks bounds the tasks whose shares are drawn.
const limitedTasks = 20

func limitedBar(of string, l *keepwardv1.Limits) (shareBar, bool) {
	out := shareBar{of: of, says: "Limited by: " + words.LimitedBy(l)}
	for _, one := range []struct {
		class, name string
		percent     int32
	}{{"source", "source", l.GetSource()}, {"cpu", "CPU", l.GetCpu()}, {"network", "network", l.GetNetwork()}, {"target", "target", l.GetTarget()}} {
		out.add(one.class, one.name, int(one.percent))
	}
	return out, len(out.shares) > 0
}

// limitedOf is what limited a session; behind it each task of several that was measured.
func limitedOf(s *keepwardv1.Session) (out []shareBar) {
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
