package pipeline

import (
	"context"
	"time"
)

// lane is how many units of one device are read at once. A disk with heads is fastest with
// one or two readers, a file system on a network with many; which it is shows only when it
// is tried.
type lane struct {
	limit int
	// rate is what the last try achieved, 0: nothing was tried; up tells in which direction.
	rate float64
	up   bool
}

const (
	// maxReaders bounds what is tried, and the memory.
	maxReaders = 16
	// tuneEvery is long enough that one large file does not decide.
	tuneEvery = 500 * time.Millisecond
	// gain is by how much a try must change the rate to count.
	gain = 1.1
	// fileBytes is what a file counts for beside its bytes: to find and open a small one takes
	// a disk as long as to read this much.
	fileBytes = 16 << 10
)

// next tries another number of readers, where the source has held the backup up. More are
// kept when they read more; fewer when they read as much.
func (l lane) next(rate float64, limiting bool) lane {
	if !limiting || rate <= 0 {
		l.rate = 0 // other things decided how much was read
		return l
	}
	switch {
	case l.rate == 0:
		l.up = true
	case l.up && rate < l.rate*gain, !l.up && rate*gain < l.rate:
		l.up = !l.up
	}
	l.rate = rate
	if l.up {
		l.limit = min(2*l.limit, maxReaders)
	} else {
		l.limit = max(l.limit/2, 1)
	}
	return l
}

// lanes are the pool's readers; guarded by its lock.
type lanes struct {
	base   int // goroutines that read and seal
	device uint64
	known  map[uint64]lane
	limit  int // of the device
	busy   int // those of base that read
	extra  int // others that do
}

func newLanes(workers int) lanes {
	return lanes{base: workers, known: map[uint64]lane{}, limit: workers}
}

// turn goes over to the device of a unit that is taken.
func (l *lanes) turn(device uint64) {
	if device == l.device {
		return
	}
	l.device, l.limit = device, l.base
	if k, ok := l.known[device]; ok {
		l.limit = k.limit
	}
}

// takeExtra waits for a unit to read beside the workers; nil when there is none to come, or
// only some that the workers will take.
func (p *pool) takeExtra() *unit {
	p.mu.Lock()
	defer p.mu.Unlock()
	for p.err == nil {
		if p.lanes.extra < p.lanes.limit-p.lanes.base {
			if u := p.nextUnit(); u != nil {
				p.lanes.extra++
				return u
			}
		}
		if p.ended {
			return nil
		}
		p.moreToRead.Wait()
	}
	return nil
}

// wakeExtra tells one of them that there may be something; p.mu is held.
func (p *pool) wakeExtra() {
	if p.lanes.extra < p.lanes.limit-p.lanes.base {
		p.moreToRead.Signal()
	}
}

func (p *pool) doneExtra() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lanes.extra--
}

// doneReading ends what take began.
func (p *pool) doneReading() {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.lanes.busy--
	if p.lanes.limit < p.lanes.base {
		p.changed.Broadcast()
	}
}

// nextUnit takes the first unit if there is memory for it; p.mu is held.
func (p *pool) nextUnit() *unit {
	if len(p.units) == 0 {
		return nil
	}
	u := p.units[0]
	need := int64(bufferSize(u.need))
	if p.free < need {
		return nil
	}
	p.lanes.turn(u.device)
	p.units = append(p.units[:0], p.units[1:]...)
	p.free -= need
	p.changed.Broadcast()
	return u
}

// tune tries how many readers the device in use is fastest with, until ctx is done.
func (r *run) tune(ctx context.Context) {
	tick := time.NewTicker(tuneEvery)
	defer tick.Stop()
	amount := func() int64 { return r.count.readBytes.Load() + r.count.readFiles.Load()*fileBytes }
	read, source, at := amount(), r.count.limitSource.Load(), time.Now()
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			now, read2, source2 := time.Now(), amount(), r.count.limitSource.Load()
			since := now.Sub(at)
			r.pool.tune(float64(read2-read)/since.Seconds(), time.Duration(source2-source) > since/2)
			read, source, at = read2, source2, now
		}
	}
}

func (p *pool) tune(rate float64, limiting bool) {
	p.mu.Lock()
	defer p.mu.Unlock()
	l, ok := p.lanes.known[p.lanes.device]
	if !ok {
		l.limit = p.lanes.limit
	}
	l = l.next(rate, limiting)
	p.lanes.known[p.lanes.device], p.lanes.limit = l, l.limit
	p.changed.Broadcast()
	p.moreToRead.Broadcast()
}
