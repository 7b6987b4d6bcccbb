package pipeline

import (
	"context"
	"sync/atomic"
	"time"
)

// effort is how many of sixteen chunks are compressed well rather than quickly where the
// setting is auto. It is a share and no switch, because the bottleneck moves with it: to
// compress all chunks well may make the processors scarce, and none the network.
type effort int

const (
	fullEffort effort = 16
	// effortStep: from one end to the other in four looks.
	effortStep effort = 4
	// effortEvery is how often the processors are looked at.
	effortEvery = 250 * time.Millisecond
)

// Between these shares of idle processors the effort stays, so that it does not swing: zstd
// costs twice the time of S2, so one step changes the load by less than the distance.
const (
	scarceBelow = 0.10
	idleAbove   = 0.30
)

// next is the effort after a look. idle is the share of the processors that nobody used
// since the look before. Idle ones mean that something else is scarce, the source, the
// network or the target, and then to send less costs nothing.
func (e effort) next(idle float64) effort {
	switch {
	case idle < scarceBelow:
		return max(0, e-effortStep)
	case idle > idleAbove:
		return min(fullEffort, e+effortStep)
	}
	return e
}

// controller keeps the effort of a backup. It begins with full effort: what is over before
// anything is known is small, and then size counts for more than time.
type controller struct {
	effort atomic.Int32
	// idle answers the share of idle processors since its last call, false if it cannot tell.
	idle func() (share float64, ok bool)
}

func newController(idle func() (float64, bool)) *controller {
	c := &controller{idle: idle}
	c.effort.Store(int32(fullEffort))
	return c
}

// run looks until ctx is done.
func (c *controller) run(ctx context.Context, every time.Duration) {
	tick := time.NewTicker(every)
	defer tick.Stop()
	c.idle() // what was before is nobody's matter
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
			c.look()
		}
	}
}

func (c *controller) look() {
	if idle, ok := c.idle(); ok {
		c.effort.Store(int32(effort(c.effort.Load()).next(idle)))
	}
}

// dice spreads the effort evenly over the chunks of one worker.
type dice int

// quick tells whether the next chunk is to be compressed quickly.
func (d *dice) quick(e effort) bool {
	*d += dice(e)
	if *d >= dice(fullEffort) {
		*d -= dice(fullEffort)
		return false
	}
	return true
}
