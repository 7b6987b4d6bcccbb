package pipeline

import "keepward/internal/source"

// layout tells where a file has holes. It is asked for offsets that do not go back, and asks
// the system only where it must.
type layout struct {
	f          source.File
	size       int64
	start, end int64 // the run of data that was found last
	dense      bool  // there are no holes
}

func newLayout(f source.File, st *source.Stat) *layout {
	return &layout{f: f, size: st.Size, dense: !sparse(st)}
}

// at tells whether a hole is at off, and where it, or the data that is there, ends.
func (l *layout) at(off int64) (hole bool, end int64) {
	if l.dense {
		return false, l.size
	}
	if off >= l.end {
		var err error
		if l.start, l.end, err = l.f.NextData(off, l.size); err != nil {
			l.start, l.end = l.size, l.size
		}
	}
	if off < l.start {
		return true, l.start
	}
	return false, l.end
}

// gap answers the first hole from off on that is some whole blocks: where they begin, not
// behind limit, and where they end. off is where a block begins. A hole at the end of the file
// takes the last block with it.
func (l *layout) gap(off, limit, block int64) (from, to int64) {
	for at := off; at < limit; {
		hole, end := l.at(at)
		if hole {
			from, to = (at+block-1)/block*block, end/block*block
			if end == l.size {
				to = end
			}
			if from < to {
				return min(from, limit), to
			}
		}
		at = end
	}
	return limit, limit
}
