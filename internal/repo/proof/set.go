package proof

import (
	"maps"
	"slices"
	"time"

	"keepward/internal/repo/pack"
)

// Set is what all proof objects say together: the newest entry of each pack.
type Set map[pack.Key]Entry

// Add joins entries into the set.
func (s Set) Add(entries ...Entry) {
	for _, e := range entries {
		if old, ok := s[e.Pack]; ok {
			e = Join(old, e)
		}
		s[e.Pack] = e
	}
}

// Keep drops the packs that there answers false for.
func (s Set) Keep(there func(pack.Key) bool) {
	maps.DeleteFunc(s, func(p pack.Key, _ Entry) bool { return !there(p) })
}

// Entries are all entries, in order.
func (s Set) Entries() []Entry {
	return slices.SortedFunc(maps.Values(s), func(a, b Entry) int { return a.Pack.Compare(b.Pack) })
}

// Proved is the time of a pack's newest proof if it is of a level or a higher one, else zero.
func (s Set) Proved(p pack.Key, level Level) time.Time {
	if e, ok := s[p]; ok && e.Level >= max(level, Sums) {
		return e.Time
	}
	return time.Time{}
}

// Due tells whether the content of a pack has not been proved since a time at which it was known
// already. One that nobody has seen yet is not due.
func (s Set) Due(p pack.Key, since time.Time) bool {
	e, ok := s[p]
	return ok && (e.Level == Sums || e.Time.Before(since))
}
