// Package rate holds a stream of bytes to a rate that may change at any time, and measures how far
// that held it up. It decides no rate: the backup server does.
//
// A Limit may be used from any number of goroutines; the zero Limit has no bound.
package rate

import (
	"sync"
	"sync/atomic"
	"time"
)

// Least is the lowest bound there is, in bytes a second: below it the ends of a connection would
// take each other for dead. A share is never rounded down to 0, which is none.
const Least = 1 << 10

const (
	// burst is what may move at once after a pause: so little that two readings half a second
	// apart show the rate.
	burst = 50 * time.Millisecond
	// A slice is what moves between two looks at the bound.
	sliceTime  = time.Second / 16
	sliceLeast = 1 << 10
	sliceMost  = 256 << 10
)

// Limit is a token bucket with a debt: what is asked for goes through when the bucket is not
// empty, and the next one waits until the debt is paid.
type Limit struct {
	bound atomic.Int64 // bytes a second; 0: none
	bytes atomic.Int64
	held  atomic.Int64 // nanoseconds

	mu      sync.Mutex
	tokens  float64
	filled  time.Time
	changed chan struct{} // closed when the bound changes; nil: nobody waits
}

// Set changes the bound in bytes a second; 0 or less: none. Who waits goes by it at once.
func (l *Limit) Set(bytes int64) {
	if bytes > 0 {
		bytes = max(bytes, Least)
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	if old := l.bound.Load(); old == max(bytes, 0) {
		return
	} else if old > 0 {
		l.fill(time.Now(), old)
	}
	if old := l.bound.Load(); l.tokens < 0 && bytes > 0 && bytes < old {
		// What was let through at the old rate is paid for in the time that it would have taken then. At the
		// new one a slice could hold a connection up until the other end takes it for dead.
		l.tokens *= float64(bytes) / float64(old)
	}
	l.bound.Store(max(bytes, 0))
	l.filled = time.Now()
	l.tokens = min(l.tokens, room(bytes))
	if bytes <= 0 {
		l.tokens = 0
	}
	if l.changed != nil {
		close(l.changed)
		l.changed = nil
	}
}

// Bound is the bound in bytes a second; 0: none.
func (l *Limit) Bound() int64 { return l.bound.Load() }

// Moved is how many bytes went through, and how long they were held up in all.
func (l *Limit) Moved() (bytes int64, held time.Duration) {
	return l.bytes.Load(), time.Duration(l.held.Load())
}

// Slice is how many of n bytes are best moved at once.
func (l *Limit) Slice(n int) int {
	bound := l.bound.Load()
	if bound == 0 {
		return n
	}
	return min(n, max(sliceLeast, min(sliceMost, int(float64(bound)*sliceTime.Seconds()))))
}

// Wait returns when n bytes may move, or done is closed; false: it was closed first. They count as
// moved.
func (l *Limit) Wait(done <-chan struct{}, n int) bool {
	l.bytes.Add(int64(n))
	if l.bound.Load() == 0 {
		return true
	}
	began := time.Time{}
	defer func() {
		if !began.IsZero() {
			l.held.Add(int64(time.Since(began)))
		}
	}()
	for {
		wait, changed := l.take(n)
		if wait == 0 {
			return true
		}
		if began.IsZero() {
			began = time.Now()
		}
		timer := time.NewTimer(wait)
		select {
		case <-timer.C:
		case <-changed:
		case <-done:
			timer.Stop()
			return false
		}
		timer.Stop()
	}
}

// take takes n tokens if there is one, or answers when there may be, and what tells of a new bound.
func (l *Limit) take(n int) (time.Duration, <-chan struct{}) {
	l.mu.Lock()
	defer l.mu.Unlock()
	bound := l.bound.Load()
	if bound == 0 {
		return 0, nil
	}
	l.fill(time.Now(), bound)
	if l.tokens >= 0 {
		l.tokens -= float64(n)
		return 0, nil
	}
	if l.changed == nil {
		l.changed = make(chan struct{})
	}
	return max(time.Duration(-l.tokens/float64(bound)*float64(time.Second)), time.Microsecond), l.changed
}

// fill adds what has come since the last time; mu must be held.
func (l *Limit) fill(now time.Time, bound int64) {
	l.tokens = min(l.tokens+now.Sub(l.filled).Seconds()*float64(bound), room(bound))
	l.filled = now
}

// room is how many tokens a bucket holds.
func room(bound int64) float64 { return float64(bound) * burst.Seconds() }
