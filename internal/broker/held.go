package broker

import (
	"slices"

	"keepward/internal/job"
)

// Held is what a task holds now, and whether it holds a set.
func (b *Broker) Held(task string) ([]Hold, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	g := b.grants[task]
	if g == nil {
		return nil, false
	}
	return slices.Clone(g.Holds), true
}

// notLetGo is the reason of who lacks what interrupted tasks have yet to release. A drive or a
// medium is free only when its transport says so, which may take long: that is told apart.
func notLetGo(kind Kind, victims []*Grant) job.Reason {
	switch kind {
	case Drive:
		return job.Because(job.VictimHoldsDrive)
	case Medium:
		return job.Because(job.VictimHoldsMedia)
	}
	return job.Because(job.VictimsHoldResources, sessionsOf(victims))
}
