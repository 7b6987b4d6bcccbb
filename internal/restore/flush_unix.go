//go:build unix

package restore

import (
	"sync"
	"sync/atomic"
)

// flushEvery is how much is written between two flushes while a restore runs: enough that
// each has much to put in order. Towards the end they come closer, down to flushLeast, so
// that the last one, which everybody waits for, has little left.
const (
	flushEvery = 256 << 20
	flushLeast = 32 << 20
)

// flusher writes to disk what was restored so far, beside the restore: without it the system
// would keep all of it in memory up to the flush at the end.
type flusher struct {
	sync    func() error
	total   func() int64  // that will be written in all; negative: not known yet
	all     atomic.Int64  // written so far
	written atomic.Int64  // in blocks, since the last flush began
	wake    chan struct{} // capacity 1: a pending wake-up says it all
	wait    sync.WaitGroup
	err     error // the first; the system tells of an error once only
}

// newFlusher starts a flusher; stop ends it.
func newFlusher(flush func() error, total func() int64) *flusher {
	f := &flusher{sync: flush, total: total, wake: make(chan struct{}, 1)}
	f.wait.Go(func() {
		for range f.wake {
			if err := f.sync(); f.err == nil {
				f.err = err
			}
		}
	})
	return f
}

// wrote counts what was written; nil: nothing is flushed.
func (f *flusher) wrote(n int64) {
	if f == nil {
		return
	}
	const block = 4 << 10 // what a small file takes at least
	step := f.step(f.all.Add(n))
	if f.written.Add((n+block-1)/block*block) < step || f.written.Swap(0) < step {
		return
	}
	select {
	case f.wake <- struct{}{}:
	default:
	}
}

// step is how much may be written until the next flush: half of what is left.
func (f *flusher) step(all int64) int64 {
	total := f.total()
	if total < 0 {
		return flushEvery
	}
	return min(max((total-all)/2, flushLeast), flushEvery)
}

// stop waits for the flush in hand and answers what went wrong so far; nothing is written any
// more.
func (f *flusher) stop() error {
	if f == nil {
		return nil
	}
	close(f.wake)
	f.wait.Wait()
	return f.err
}
