package pipeline

import (
	"context"
	"sync/atomic"

	"keepward/internal/source"
)

// early is how a backup is ended before its time: it takes in no more, lets go of the large files
// that it has not read to their end, and makes a partial point of the rest. It may be used from any
// goroutine.
type early struct {
	wish <-chan struct{} // closed when the end is wished for; nil: it never is
	// reading ends with the wish: large files are read under it.
	reading context.Context
	cut     atomic.Bool // something that was asked for is not in the point
}

// wished tells whether the backup shall take in no more.
func (e *early) wished() bool {
	select {
	case <-e.wish:
		return true
	default:
		return false
	}
}

// leaveOut notes that something that was asked for is not in the point.
func (e *early) leaveOut() { e.cut.Store(true) }

// watch has end called as soon as the wish comes, unless ctx ends first.
func (e *early) watch(ctx context.Context, end func()) {
	select {
	case <-e.wish:
		end()
	case <-ctx.Done():
	}
}

// leaveOut has an entry left out since the backup is ended early. One that need not have been read
// stays as it was.
func (w *worker) leaveOut(it *work) {
	if it.right != nil {
		it.right.Path = it.e.Path // which lives as long as the group
		*it.e = *it.right
		return
	}
	w.early.leaveOut()
	it.e.Type = 0
}

// partial reports that the point does not hold all that was asked for.
func (r *run) partial() {
	r.reports.event(Event{Level: source.Warning, Code: "backup.partial", Text: "the backup was ended early: the restore point is partial, it holds what was complete by then"})
}
