//go:build unix

package restore

import (
	"testing"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

<<<<<<< HEAD
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
=======
// sent plans jobs and answers how often each chunk was asked for, and how many jobs waited at
// most.
func sent(jobs []job) (times map[seal.H]int, most int) {
	times = map[seal.H]int{}
	w := newWindow(func(b batch) {
		for _, g := range b {
			times[g.h]++
		}
	})
	for _, j := range jobs {
		w.add(j)
		waiting := 0
		for _, g := range w.order {
			waiting += len(g.jobs)
		}
		most = max(most, waiting)
	}
	w.flush()
	return times, most
}

func piece(b *big, chunk int) job {
	return job{big: b, x: fileindex.Extent{Kind: fileindex.InBundle, H: seal.H{byte(chunk), byte(chunk >> 8)}, Len: 16 << 10}}
}

// The blocks of a file that was rewritten in place day after day lie in the bundles of as many
// days, one beside the other.
func TestBundlesOfManyDaysAreFetchedOnce(t *testing.T) {
	const days, blocks = 100, 63
	var jobs []job
	for stretch := range 5 {
		for range blocks {
			for day := range days {
				jobs = append(jobs, piece(&big{}, stretch*days+day))
			}
		}
	}
	times, most := sent(jobs)
	for h, n := range times {
		if n != 1 {
			t.Errorf("a bundle was fetched %d times: %v", n, h)
		}
	}
	if len(times) != 5*days || most > maxOpenJobs {
		t.Errorf("%d bundles, and %d jobs that waited", len(times), most)
	}
}

func TestWaitingJobsAreBounded(t *testing.T) {
	var jobs []job
	for i := range 4 * maxOpenJobs {
		jobs = append(jobs, piece(&big{}, i/500))
	}
	if _, most := sent(jobs); most > maxOpenJobs+maxGroupJobs {
		t.Errorf("%d jobs waited", most)
>>>>>>> origin/main
	}
}
