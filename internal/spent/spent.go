// Package spent remembers what was shown, for as long as it would count if it were shown again.
package spent

import (
	"maps"
	"sync"
	"time"
)

// sweepEvery is how often what has ended is forgotten.
const sweepEvery = 5 * time.Minute

// Set is what was shown. It keeps nothing over a restart, so that what it guards must not outlive the
// process either. The zero Set is empty; it is safe for concurrent use.
type Set struct {
	mu    sync.Mutex
	ends  map[string]time.Time
	swept time.Time
}

// Spend answers whether a thing that counts until a moment is shown for the first time, and remembers it.
func (s *Set) Spend(thing string, now, until time.Time) bool {
	s.mu.Lock()
	defer s.mu.Unlock()
	if now.Sub(s.swept) > sweepEvery {
		maps.DeleteFunc(s.ends, func(_ string, ends time.Time) bool { return !now.Before(ends) })
		s.swept = now
	}
	if _, before := s.ends[thing]; before {
		return false
	}
	if s.ends == nil {
		s.ends = map[string]time.Time{}
	}
	s.ends[thing] = until
	return true
}

// Len is how many things are remembered.
func (s *Set) Len() int {
	s.mu.Lock()
	defer s.mu.Unlock()
	return len(s.ends)
}
