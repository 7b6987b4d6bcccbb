//go:build unix

package restore

import (
	"testing"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

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
	}
}
