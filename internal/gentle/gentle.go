// Package gentle lets other processes of a host go first, at its processors and at its disks, while
// work is done that can wait.
//
// On a host with nothing else to do gentle work is as fast as any. Only who says how many processors
// a piece of work may take is held to that.
package gentle

import (
	"runtime"
	"sync"
	"time"
)

// Nice is how far gentle work steps back: far enough that others hardly notice, and not so far that
// it stands still on a host that is never idle. At the disk it has the lowest rank of the class that
// every process is in.
const Nice = 10

// Always has this process step back for good. New threads inherit it.
func Always() error { return setAll(behind) }

// Last has it step back behind what steps back, for good: nobody waits for the work at all.
func Last() error { return setAll(last) }

// Work is a piece of work.
type Work struct {
	// Waits: it lets others go first.
	Waits bool
	// Processors is how many it may keep busy at once; 0: all.
	Processors int
}

// Pace has a process step back while all that it does can wait, and run on no more processors than
// all that it does together may take. The zero value is ready; its methods may be called by several
// goroutines.
type Pace struct {
	// Failed is told once if the process cannot step back, or not forward again; nil: not wanted.
	Failed func(error)

	mu           sync.Mutex
	back, front  int // pieces of work under way
	free, bound  int // those that may take all processors; how many the others may take
	all          int // how many there are, once some have a bound
	stepped      bool
	known, stuck bool
	base         level
}

// level is a rank at the processors and at the disk, and of the session of processes among others.
type level struct {
	nice, io, session int
	slice             time.Duration // how long it runs when it has its turn; 0: as all do
}

// longSlice is more than any other process has, so that who wakes up need not wait for the end of
// ours: Linux 6.12 and newer let who has the shorter slice interrupt the one who has the longer.
const longSlice = 20 * time.Millisecond

var (
	// behind is where gentle work is.
	behind = level{nice: Nice, io: lowestIO, session: Nice, slice: longSlice}
	// last is behind that, but not so far that it never comes to its end.
	last = level{nice: Nice + 5, io: lowestIO, session: Nice + 5, slice: longSlice}
)

// Begin begins a piece of work, and answers what ends it.
func (p *Pace) Begin(w Work) (end func()) {
	p.change(w, 1)
	return sync.OnceFunc(func() { p.change(w, -1) })
}

func (p *Pace) change(w Work, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.spread(w.Processors, by)
	if w.Waits {
		p.back += by
	} else {
		p.front += by
	}
	if p.stuck {
		return
	}
	if want := p.back > 0 && p.front == 0; want != p.stepped {
		if err := p.step(want); err != nil {
			p.stuck = true
			if p.Failed != nil {
				p.Failed(err)
			}
		}
	}
}

// step goes back, or forward to where the process was.
func (p *Pace) step(back bool) error {
	if !p.known {
		base, err := now()
		if err != nil {
			return err
		}
		p.base, p.known = base, true
	}
	p.stepped = back
	if p.base.nice >= Nice {
		return nil // somebody has set it lower
	}
	if back {
		return setAll(behind)
	}
	return setAll(p.base)
}

// spread has Go run on as many processors as the work under way may take.
func (p *Pace) spread(most, by int) {
	if most <= 0 {
		p.free += by
	} else {
		p.bound += by * most
	}
	if p.all == 0 {
		if p.bound == 0 {
			return // nobody has ever asked
		}
		p.all = runtime.GOMAXPROCS(0)
	}
	want := p.all
	if p.free == 0 && p.bound > 0 {
		want = min(p.bound, p.all)
	}
	if want != runtime.GOMAXPROCS(0) {
		runtime.GOMAXPROCS(want) // the world stops for it: some microseconds
	}
}
