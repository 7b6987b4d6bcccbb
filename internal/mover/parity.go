package mover

import (
	"context"
	"fmt"
	"sync"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
)

// guard makes the parity of a backup's packs while they are still in the system's memory. What
// it does not get done is made by the next maintenance.
type guard struct {
	t       *task
	percent int
	packs   chan pack.Key // a few: what does not fit is found at the end
	working sync.WaitGroup
}

// guarding begins to make parity, if there is to be some. End it with end.
func (t *task) guarding(ctx context.Context) *guard {
	g := &guard{t: t, percent: int(t.order.GetStart().GetParity()), packs: make(chan pack.Key, 64)}
	if g.percent == 0 {
		return g
	}
	g.working.Go(func() {
		for k := range g.packs {
			// What fails is tried again at the end, which says why.
			_, _ = t.repo.PutParity(ctx, k, g.percent)
		}
	})
	return g
}

// durable is told of each pack that is on the disk.
func (g *guard) durable(k pack.Key) {
	if g.percent == 0 {
		return
	}
	select {
	case g.packs <- k:
	default:
	}
}

// end waits for what is under way; no pack comes any more. After a commit it makes what is left.
func (g *guard) end(ctx context.Context, committed bool) {
	close(g.packs)
	g.working.Wait()
	if g.percent > 0 && committed {
		g.t.keepParity(ctx, repo.ParityOptions{Attempt: g.t.order.attempt})
	}
}

// keepParity makes the parity that packs lack. It is no failure of a task that has done its work
// if it cannot: the next maintenance tries again.
func (t *task) keepParity(ctx context.Context, o repo.ParityOptions) {
	o.Percent = int(t.order.GetStart().GetParity())
	if o.Percent == 0 && !o.Tidy {
		return
	}
	t.enter("parity")
	report, err := t.repo.KeepParity(ctx, o)
	for i, k := range report.Damaged {
		if i < maxEvents/8 {
			t.events.add("warning", "parity.damaged-pack", fmt.Sprintf("pack %s gets no parity: it is damaged; a check names the files", repo.PackName(k.Attempt, k.Class, k.Number)))
		}
	}
	if report.Made > 0 || report.Removed > 0 {
		t.events.add("info", "parity.made", fmt.Sprintf("made parity of %d packs, %d bytes; removed that of %d packs that are gone", report.Made, report.Bytes, report.Removed))
	}
	if err != nil && ctx.Err() == nil {
		t.events.add("warning", errs.CodeOf(err), fmt.Sprintf("not all packs have parity, the next maintenance makes it: %v", err))
	}
}
