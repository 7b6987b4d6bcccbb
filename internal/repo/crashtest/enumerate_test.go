package crashtest

import (
	"context"
	"flag"
	"fmt"
	"os"
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

// totals are printed when all is done.
var totals struct {
	histories, points, crashes, faults, losses, broken atomic.Int64
}

func TestMain(m *testing.M) {
	flag.Parse()
	code := m.Run()
	if totals.points.Load() > 0 {
		fmt.Printf("crash enumeration: %d histories, %d crash points, %d crashes, %d faults, %d losses, %d failed recoveries\n",
			totals.histories.Load(), totals.points.Load(), totals.crashes.Load(), totals.faults.Load(), totals.losses.Load(), totals.broken.Load())
	}
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
	first, states := w.disk.States()
	for i, s := range states {
		e := expect(w.log, first+i-1)
		try(t, fmt.Sprintf("death before call %d of %d", first+i, first+len(states)-1), s.Reopen(), e)
		for k := range seeds() {
			seed := k
			if !*full {
				seed = uint64(i)*seeds() + k // all kinds of loss in turn
			}
			try(t, fmt.Sprintf("loss of power before call %d of %d, seed %d", first+i, first+len(states)-1, seed), s.Restart(seed), e)
		}
	}
	totals.histories.Add(1)
	totals.points.Add(int64(len(states)))
	t.Logf("%d crash points", len(states))
}

// try recovers from one crash.
func try(t *testing.T, what string, disk *memfs.FS, e expectation) {
	t.Helper()
	totals.crashes.Add(1)
	err := newRecovery(disk, e, 1000).run(context.Background())
	if err == nil {
		return
	}
	if isLoss(err) {
		totals.losses.Add(1)
	} else {
		totals.broken.Add(1)
	}
	t.Errorf("%s: %v", what, err)
}
