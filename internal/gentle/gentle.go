// Package gentle lets other processes of a host go first, at its processors and at its disks, while
// work is done that can wait.
//
// It is not for limits: on a host with nothing else to do gentle work is as fast as any.
package gentle

import "sync"

// Nice is how far gentle work steps back: far enough that others hardly notice, and not so far that
// it stands still on a host that is never idle. At the disk it has the lowest rank of the class that
// every process is in.
const Nice = 10

// Always has this process step back for good. New threads inherit it.
func Always() error { return setAll(level{nice: Nice, io: lowestIO}) }

// Pace has a process step back while all that it does can wait. The zero value is ready; its methods
// may be called by several goroutines.
type Pace struct {
	// Failed is told once if the process cannot step back, or not forward again; nil: not wanted.
	Failed func(error)

	mu           sync.Mutex
	back, front  int // pieces of work under way
	stepped      bool
	known, stuck bool
	base         level
}

// level is a rank at the processors and at the disk.
type level struct{ nice, io int }

// Begin begins a piece of work, and answers what ends it. waits: it lets others go first.
func (p *Pace) Begin(waits bool) (end func()) {
	p.change(waits, 1)
	return sync.OnceFunc(func() { p.change(waits, -1) })
}

func (p *Pace) change(waits bool, by int) {
	p.mu.Lock()
	defer p.mu.Unlock()
	if waits {
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
		return setAll(level{nice: Nice, io: lowestIO})
	}
	return setAll(p.base)
}
