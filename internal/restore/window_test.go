//go:build unix

package restore

import (
	"testing"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// A chunk that is needed again far behind is fetched once while the workers are busy; where
// they wait for work they get it, and in the order of first use; and memory has a bound.
func TestWindowWaitsForWorkersAndNotTheyForIt(t *testing.T) {
	for _, c := range []struct {
		name         string
		idle         bool
		chunks, uses int
		twice        bool // some chunk may be fetched again
	}{
		{"busy", false, 5000, 3, false},
		{"idle", true, 5000, 3, true},
		{"neighbours, idle", true, 60, 100, false},
		{"more than fits", false, 2 * maxJobs, 1, false},
	} {
		sent := map[seal.H]int{}
		jobs, first, most := 0, -1, 0
		take := func(b batch) {
			for _, g := range b {
				sent[g.h]++
				jobs += len(g.jobs)
				if n := int(g.h[0]) | int(g.h[1])<<8 | int(g.h[2])<<16; sent[g.h] == 1 && !c.idle {
					if n <= first {
						t.Fatalf("%s: chunk %d comes after %d", c.name, n, first)
					}
					first = n
				}
			}
		}
		w := newWindow(sender{send: take, try: func(b batch) bool {
			if c.idle {
				take(b)
			}
			return c.idle
		}})
		for range c.uses {
			for n := range c.chunks {
				w.add(job{x: fileindex.Extent{Kind: fileindex.InChunk, H: seal.H{byte(n), byte(n >> 8), byte(n >> 16)}, Len: 1}})
				most = max(most, w.jobs)
			}
		}
		w.flush()
		if jobs != c.chunks*c.uses || w.jobs != 0 || len(w.open) != 0 {
			t.Errorf("%s: %d jobs sent, %d left", c.name, jobs, w.jobs)
		}
		if most > maxJobs+maxGroupJobs {
			t.Errorf("%s: %d jobs waited", c.name, most)
		}
		again := 0
		for _, n := range sent {
			if n > 1 {
				again++
			}
		}
		if len(sent) != c.chunks || !c.twice && again > 0 {
			t.Errorf("%s: %d of %d chunks fetched more than once", c.name, again, len(sent))
		}
	}
}

// The blocks of a file that was rewritten in place day after day lie in the bundles of as many
// days, one beside the other.
func TestBundlesOfManyDaysAreFetchedOnce(t *testing.T) {
	const days, blocks, stretches = 100, 63, 5
	times := map[seal.H]int{}
	busy := sender{try: func(batch) bool { return false }, send: func(b batch) {
		for _, g := range b {
			times[g.h]++
		}
	}}
	w := newWindow(busy)
	for stretch := range stretches {
		for range blocks {
			for day := range days {
				w.add(job{big: &big{}, x: fileindex.Extent{Kind: fileindex.InBundle, H: seal.H{byte(stretch), byte(day)}, Len: 16 << 10}})
			}
		}
	}
	w.flush()
	for h, n := range times {
		if n != 1 {
			t.Errorf("a bundle was fetched %d times: %v", n, h)
		}
	}
	if len(times) != stretches*days {
		t.Errorf("%d bundles", len(times))
	}
}
