package console

import (
	"cmp"
	"slices"
	"time"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/words"
)

// trafficOf draws what moved over the network in the last minutes: of all tasks, and under the rules under which most did.
func (v *view) trafficOf(m *keepwardv1.ListTrafficRulesResponse) speedGraph {
	every, all := m.GetRecentEvery().AsDuration(), m.GetRecentBytesPerSecond()
	if every <= 0 || len(all) == 0 {
		return speedGraph{}
	}
	until := m.GetRecentUntil().AsTime()
	g := speedGrid{start: until.Add(-every * time.Duration(len(all))), until: until, every: every, slots: make([]speedSlot, len(all))}
	labels := [speedLines]string{"all tasks"}
	lay := func(line int, rates []int64) {
		for i, n := range rates {
			if at := i + len(g.slots) - len(rates); at >= 0 {
				g.slots[at].bytes[line] = float64(n) * every.Seconds()
			}
		}
	}
	lay(0, all)
	for i := range g.slots {
		g.slots[i].running = true
	}
	sum := func(r *keepwardv1.TrafficRule) (n int64) {
		for _, rate := range r.GetRecentBytesPerSecond() {
			n += rate
		}
		return n
	}
	rules := slices.SortedStableFunc(slices.Values(m.GetRules()), func(a, b *keepwardv1.TrafficRule) int { return cmp.Compare(sum(b), sum(a)) })
	for i, r := range rules[:min(len(rules), speedLines-1)] {
		if sum(r) > 0 {
			labels[i+1] = "rule " + words.Safe(r.GetName())
			lay(i+1, r.GetRecentBytesPerSecond())
		}
	}
	return v.drawRates(g, labels)
}
