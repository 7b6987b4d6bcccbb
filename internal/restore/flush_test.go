//go:build linux

package restore

import (
	"errors"
	"testing"
)

// The system tells of a failed flush once only, so what a flush in between said must not be
// lost.
func TestFlushInBetweenIsNotForgotten(t *testing.T) {
	broken := errors.New("input/output error")
	flushed := make(chan struct{}, 1)
	f := newFlusher(func() error { flushed <- struct{}{}; return broken }, func() int64 { return -1 })
	f.wrote(flushEvery - 1)
	f.wrote(1)
	<-flushed
	if err := f.stop(); !errors.Is(err, broken) {
		t.Errorf("the flush failed, stop says %v", err)
	}
	var none *flusher
	none.wrote(flushEvery)
	if err := none.stop(); err != nil {
		t.Error(err)
	}
}

func TestFlushesComeCloserTowardsTheEnd(t *testing.T) {
	total := int64(4 * flushEvery)
	f := &flusher{total: func() int64 { return total }}
	for _, c := range []struct{ all, want int64 }{
		{0, flushEvery},
		{2 * flushEvery, flushEvery},
		{3 * flushEvery, flushEvery / 2},
		{4*flushEvery - 3*flushLeast, 3 * flushLeast / 2},
		{4 * flushEvery, flushLeast},
		{5 * flushEvery, flushLeast}, // what was skipped, written none the less
	} {
		if got := f.step(c.all); got != c.want {
			t.Errorf("after %d of %d bytes: the next flush after %d more, want %d", c.all, total, got, c.want)
		}
	}
	if total = -1; f.step(1<<40) != flushEvery {
		t.Error("how much is left is not known, and the flushes come closer")
	}
}

// A flush between is in blocks: many files of a few bytes make as much work as fewer that are larger.
func TestTinyFilesAreFlushedOnTheWay(t *testing.T) {
	flushed := make(chan struct{}, 1)
	f := newFlusher(func() error {
		select {
		case flushed <- struct{}{}:
		default:
		}
		return nil
	}, func() int64 { return 0 })
	for range flushLeast / (4 << 10) {
		f.wrote(1)
	}
	<-flushed
	if err := f.stop(); err != nil {
		t.Error(err)
	}
}
