package pipeline

import (
	"time"

	"keepward/internal/repo/fileindex"
	"keepward/internal/source"
)

const (
	// clockGrain is how coarse a system's file times are at most where they have nanoseconds:
	// the timer tick, 10 ms at the slowest, and as much again.
	clockGrain = 20 * time.Millisecond
	// coarseGrain is for file systems that keep whole seconds; FAT keeps two.
	coarseGrain = 2 * time.Second
)

// racy answers fileindex.Racy for a file that changed so near to seen, the moment before it
// was statted or its snapshot was taken, that another change could leave its times as they are. Every change moves the
// ctime; the mtime, which anybody may set, counts only where there is no ctime.
func racy(st *source.Stat, seen time.Time) fileindex.State {
	changed := st.CTime
	if changed == (fileindex.Time{}) {
		changed = st.MTime
	}
	grain := clockGrain
	if changed.Nsec == 0 {
		grain = coarseGrain
	}
	limit := seen.Add(-grain)
	if !before(changed, fileindex.Time{Sec: limit.Unix(), Nsec: uint32(limit.Nanosecond())}) {
		return fileindex.Racy
	}
	return 0
}

func before(a, b fileindex.Time) bool {
	return a.Sec < b.Sec || a.Sec == b.Sec && a.Nsec < b.Nsec
}

// sparse tells whether a file may have holes.
func sparse(st *source.Stat) bool { return st.Blocks >= 0 && st.Blocks*512 < st.Size }
