package signature

import (
	"bytes"
	"slices"
)

// Clone copies a Writer with what it holds open, so that the copy can be finished while the
// original goes on: what both have closed already is shared.
func (w *Writer) Clone() *Writer {
	c := *w
	c.leaf = bytes.Clone(w.leaf)
	c.up = make([]inner, len(w.up))
	for i := range w.up {
		c.up[i] = inner{hs: slices.Clone(w.up[i].hs), closed: w.up[i].closed}
	}
	return &c
}

// Blocks is how many blocks were added.
func (w *Writer) Blocks() int64 { return w.blocks }
