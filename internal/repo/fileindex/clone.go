package fileindex

import "bytes"

// Clone copies a Builder with what it holds open, so that the copy can be finished while the
// original goes on: what both have closed already is shared.
func (b *Builder) Clone() *Builder {
	c := &Builder{
		kind: b.kind, hasher: b.hasher, saver: b.saver, last: bytes.Clone(b.last), started: b.started,
		floor: bytes.Clone(b.floor), sealed: b.sealed,
	}
	for _, l := range b.levels {
		k := *l
		k.items, k.first, k.lastKey = bytes.Clone(l.items), bytes.Clone(l.first), bytes.Clone(l.lastKey)
		k.table = l.table.clone()
		c.levels = append(c.levels, &k)
	}
	return c
}

func (t *table) clone() table {
	var c table
	for _, h := range t.hs {
		c.position(h)
	}
	return c
}
