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
	f := newFlusher(func() error { flushed <- struct{}{}; return broken })
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
