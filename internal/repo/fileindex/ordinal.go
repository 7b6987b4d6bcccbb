package fileindex

import (
	"context"

	"keepward/internal/errs"
)

// The entries of a tree have numbers: how many come before each. A tree never changes, so with it
// a number names an entry, in eight bytes, and can be found as fast as a path.

// Ordinal is the number of the entry that the last Next answered.
func (c *Cursor) Ordinal() int64 { return c.w.ordinal() - 1 }

// At answers the entry of a number; an error of kind NotFound if there are not so many.
func (c *Cursor) At(ctx context.Context, ordinal int64) (*Entry, error) {
	if err := c.w.seekOrdinal(ctx, ordinal); err != nil {
		return nil, err
	}
	if c.w.done {
		return nil, errs.New(errs.NotFound, "path.not-found", "entry %d is not in the restore point", ordinal)
	}
	return c.Next(ctx)
}

// ordinal is how many items come before the next one.
func (w *walker) ordinal() int64 {
	n := int64(w.frames[0].node.count - w.left)
	for l := 1; l < len(w.frames); l++ {
		for i := range w.frames[l].node.childs[:w.frames[l].pos] {
			n += w.frames[l].node.childs[i].entries
		}
	}
	return n
}

// seekOrdinal goes to the item of a number; behind the last there is none.
func (w *walker) seekOrdinal(ctx context.Context, ordinal int64) error {
	left := ordinal
	err := w.open(ctx, func(fr *frame) {
		fr.pos = 0
		for fr.pos+1 < fr.node.count && left >= fr.node.childs[fr.pos].entries {
			left -= fr.node.childs[fr.pos].entries
			fr.pos++
		}
	})
	if err != nil || w.done {
		return err
	}
	if left < 0 || left >= int64(w.left) {
		w.done = true
		return nil
	}
	for ; left > 0; left-- {
		if _, _, _, err := w.take(ctx); err != nil {
			return err
		}
	}
	return nil
}
