package repo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
)

// ProveOptions are what a proof at arrival needs beyond the writer's own.
type ProveOptions struct {
	// Time is the proofs': the server's. Zero: none are recorded.
	Time time.Time
	// Scratch is a folder for what memory does not hold.
	Scratch string
}

// Prove opens all that the attempt has stored and that a point of this root needs, from where it
// rests, and compares it with its hashes. If something is not what was said, it is marked as
// damaged, and the error is errs.Corrupt with code arrival.mismatch: nothing may be committed
// then. Otherwise its packs count as proved, and other computers may rely on them.
//
// What lies below nodes that were there before is not opened: it was, when it came. Memory does
// not grow with what was stored.
func (w *Writer) Prove(ctx context.Context, root seal.H, o ProveOptions) (Report, error) {
	if err := w.Flush(ctx); err != nil {
		return Report{}, err
	}
	c := w.r.newChecker(CheckOptions{
		ReadData: true, Repair: true, arrival: true, Attempt: w.opts.Attempt, Term: w.opts.Term,
		Keys: w.opts.Keys, Time: o.Time, Scratch: o.Scratch,
	})
	defer c.needed.Close()
	var err error
	if c.there, err = w.r.packsBelow(ctx, attemptDir(w.opts.Attempt)); err != nil {
		return c.report, err
	}
	c.choose()
	err = c.arrived(ctx, root)
	if err == nil {
		err = c.publish(ctx)
	}
	c.sum()
	if err == nil && len(c.report.Findings) > 0 {
		err = c.mismatch()
	}
	if err != nil {
		w.mu.Lock()
		defer w.mu.Unlock()
		return c.report, w.poison(err)
	}
	return c.report, nil
}

// arrived walks the new part of a tree and reads the packs.
func (c *checker) arrived(ctx context.Context, root seal.H) error {
	v, err := c.newWalk()
	defer v.close()
	if err == nil {
		err = v.want(ctx, seal.KindRoot, root)
	}
	if err == nil {
		err = v.nodes(ctx)
	}
	if err != nil {
		return err
	}
	return c.data(ctx)
}

// arrived tells whether a chunk lies in one of the packs that are proved.
func (v *treeWalk) arrived(ctx context.Context, id seal.ID) bool {
	return slices.ContainsFunc(v.c.r.Locations(ctx, id), func(l Location) bool {
		_, chosen := v.rank[l.PackKey()]
		return chosen
	})
}

func (c *checker) mismatch() error {
	f := c.report.Findings[0]
	what := f.Object + " " + f.Name
	if f.Chunk != "" {
		what = fmt.Sprintf("chunk %s in %s", f.Chunk, f.Name)
	}
	return errs.New(errs.Corrupt, "arrival.mismatch", "prove what was stored: %d chunks or packs are not what they were said to be, the first is %s: %s", len(c.report.Findings), what, f.Text)
}

// packsBelow are the packs below a folder, with their sizes.
func (r *Repository) packsBelow(ctx context.Context, dir string) (map[pack.Key]int64, error) {
	infos, err := r.list(ctx, dir)
	there := make(map[pack.Key]int64, len(infos))
	for _, i := range infos {
		if k, err := ParsePackName(i.Name); err == nil {
			there[k] = i.Size
		}
	}
	return there, err
}
