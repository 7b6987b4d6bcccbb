package crashtest

import (
	"context"
	"flag"
	"fmt"
	"math/rand/v2"
	"os"
	"runtime/debug"
	"slices"
	"sync/atomic"
	"testing"

	"go.uber.org/goleak"

	"keepward/internal/storage/vfs/memfs"
)

var full = flag.Bool("full", false, "try every kind of loss at every crash point, and every fault at every call")

// seeds are how many losses of power are tried at each crash point.
func seeds() uint64 {
	if *full {
		return 4 * memfs.Losses
	}
	return 2
}

// again is how many second crashes are tried during each recovery from the death of all
// processes.
func again() int {
	if *full {
		return 16
	}
	return 2
}

// totals are printed when all is done.
var totals struct {
	histories, points, crashes, faults, random, steps, losses, broken atomic.Int64
}

func TestMain(m *testing.M) {
	flag.Parse()
	debug.SetGCPercent(400) // many small disks
	code := m.Run()
	fmt.Printf("crash enumeration: %d histories, %d crash points, %d crashes, %d faults; %d random histories of %d steps; %d losses, %d failed recoveries\n",
		totals.histories.Load(), totals.points.Load(), totals.crashes.Load(), totals.faults.Load(), totals.random.Load(), totals.steps.Load(), totals.losses.Load(), totals.broken.Load())
	if err := goleak.Find(); err != nil && code == 0 {
		fmt.Println(err)
		code = 1
	}
	os.Exit(code)
}

// Whenever all processes die, and whatever the power takes along, what was acknowledged
// restores bit for bit, nothing shows that was not begun, and the repository goes on.
func TestACrashAtAnyCallLosesNothing(t *testing.T) {
	for _, h := range histories {
		t.Run(h.name, func(t *testing.T) {
			t.Parallel()
			enumerate(t, h)
		})
	}
}

func enumerate(t *testing.T, h history) {
	ctx := context.Background()
	w := newWorld(memfs.New())
	if err := w.run(ctx, h.before); err != nil {
		t.Fatalf("before: %v", err)
	}
	w.disk.Record()
	if err := w.run(ctx, h.acts); err != nil {
		t.Fatalf("without a crash: %v", err)
	}
	w.end()
	states := w.disk.States()
	var c crash
	for i, s := range states {
		c = crash{s, w.log, fmt.Sprintf("before call %d of %d", s.Call, states[len(states)-1].Call-1), c.failed}
		// A crash that leaves the same as the next one is that one.
		quiet := i+1 < len(states) && !c.noted(states[i+1])
		// Of those that show the same, the first has the least on the disk.
		if i == 0 || !states[i-1].Shows(s) || (&crash{state: states[i-1], log: w.log}).noted(s) {
			c.twice(t, uint64(i))
		}
		if quiet && s.Same(states[i+1]) {
			continue
		}
		for k := range seeds() {
			seed := k
			if !*full {
				seed = uint64(i)*seeds() + k // all kinds of loss in turn
			}
			c.powerLoss(t, seed)
		}
	}
	totals.histories.Add(1)
	totals.points.Add(int64(len(states)))
	t.Logf("%d crash points", len(states))
}

// crash is a moment of a history.
type crash struct {
	state *memfs.State
	log   []event
	what  string
	// failed counts what went wrong so far.
	failed int
}

// noted tells whether anything was begun or acknowledged between c and a later state.
func (c *crash) noted(later *memfs.State) bool {
	return slices.ContainsFunc(c.log, func(e event) bool { return e.calls >= c.state.Call && e.calls < later.Call })
}

// try recovers from the crash, on what it left.
func (c *crash) try(t *testing.T, how string, disk *memfs.FS) *recovery {
	t.Helper()
	totals.crashes.Add(1)
	r := newRecovery(disk, expect(c.log, c.state.Call-1))
	err := r.run(context.Background())
	if err == nil {
		return r
	}
	if isLoss(err) {
		totals.losses.Add(1)
	} else {
		totals.broken.Add(1)
	}
	t.Errorf("%s %s: %v", how, c.what, err)
	if c.failed++; c.failed >= enough {
		t.Fatal("and so on")
	}
	return nil
}

// enough failures of one history say what is wrong.
const enough = 5

func (c *crash) powerLoss(t *testing.T, seed uint64) {
	t.Helper()
	c.try(t, fmt.Sprintf("loss of power, seed %d,", seed), c.state.Restart(seed))
}

// twice lets all processes die, and while the repository recovers from that, the power go.
func (c *crash) twice(t *testing.T, seed uint64) {
	t.Helper()
	disk := c.state.Reopen()
	disk.Record()
	r := c.try(t, "death", disk)
	if r == nil {
		return
	}
	states := disk.States()
	told := justTold(states, r.log)
	rng := rand.New(rand.NewPCG(seed, 7))
	for i := range again() {
		s, loss := states[rng.IntN(len(states))], rng.Uint64N(1<<16)
		switch {
		case len(told) == 0:
		case i == 0:
			// What recovery found first lies as the death left it: a name that was only seen goes.
			s, loss = told[0], memfs.NoNames(loss)
		case i%2 == 1:
			s, loss = told[rng.IntN(len(told))], memfs.NoNames(loss)
		}
		second := crash{s, r.log, fmt.Sprintf("before call %d of %d of the recovery from death %s", s.Call, len(states), c.what), c.failed}
		second.powerLoss(t, loss)
	}
}

// justTold are the states right behind something that was found or acknowledged: what was told
// must be durable by then.
func justTold(states []*memfs.State, log []event) []*memfs.State {
	var out []*memfs.State
	for _, s := range states {
		if slices.ContainsFunc(log, func(e event) bool { return e.calls == s.Call-1 }) {
			out = append(out, s)
		}
	}
	return out
}
