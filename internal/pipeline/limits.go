package pipeline

import (
	"context"
	"sync/atomic"
	"time"
)

// place is what a goroutine of the pipeline is at.
type place uint32

const (
	atRest   place = iota // it waits for another one of the pipeline
	atSource              // it lists, opens, stats or reads
	atCPU                 // it compares, cuts, hashes, compresses or seals
	atStore               // it waits until the mover takes or answers something
)

// seat says what one goroutine is at. Its owner writes it, the gauge reads it.
type seat struct {
	at atomic.Uint32
	_  [60]byte // a cache line of its own: it is written for every file
}

func (s *seat) be(p place) { s.at.Store(uint32(p)) }

// during is at p until the function it answers is called.
func (s *seat) during(p place) func() {
	before := s.at.Swap(uint32(p))
	return func() { s.at.Store(before) }
}

// gaugeEvery is how often the gauge looks: often enough that a backup of a second has a
// meaningful share, so rarely that it costs nothing.
const gaugeEvery = 10 * time.Millisecond

// gauge looks at all seats again and again and adds up what held the backup up. That is
// cheaper and fairer than each goroutine's own clock: what one waits for says nothing
// while others have enough to do.
type gauge struct {
	seats []*seat
	procs int
	// asking tells whether the mover owes an answer.
	asking func() bool
	// local: the mover is on this host, so waiting for it is no matter of the network.
	local bool
	count *Counters
}

func (g *gauge) seat() *seat {
	s := &seat{}
	g.seats = append(g.seats, s)
	return s
}

// run looks until ctx is done.
func (g *gauge) run(ctx context.Context) {
	tick := time.NewTicker(gaugeEvery)
	defer tick.Stop()
	places := make([]place, len(g.seats))
	for last := time.Now(); ; {
		select {
		case <-ctx.Done():
			g.look(places, time.Since(last))
			return
		case now := <-tick.C:
			g.look(places, now.Sub(last))
			last = now
		}
	}
}

func (g *gauge) look(places []place, since time.Duration) {
	for i, s := range g.seats {
		places[i] = place(s.at.Load())
	}
	held := limiting(places, g.procs, g.asking())
	g.count.limitSource.Add(int64(held.source * float64(since)))
	g.count.limitCPU.Add(int64(held.cpu * float64(since)))
	if g.local {
		g.count.limitTarget.Add(int64(held.store * float64(since)))
	} else {
		g.count.limitSend.Add(int64(held.store * float64(since)))
	}
}

// heldUp are the shares of a moment; together they are 1.
type heldUp struct{ source, cpu, store float64 }

// limiting says what holds a backup up at a moment. When as many goroutines compute as there
// are processors, these are what is scarce. Else those that rest do not count, since they
// wait for the others; when all rest, the mover owes an answer or the walk has to go on.
func limiting(places []place, procs int, asking bool) heldUp {
	var n [atStore + 1]int
	for _, p := range places {
		n[p]++
	}
	busy := float64(n[atSource] + n[atCPU] + n[atStore])
	switch {
	case n[atCPU] >= procs:
		return heldUp{cpu: 1}
	case busy > 0:
		return heldUp{float64(n[atSource]) / busy, float64(n[atCPU]) / busy, float64(n[atStore]) / busy}
	case asking:
		return heldUp{store: 1}
	}
	return heldUp{source: 1}
}
