package repo

import (
	"bufio"
	"context"
	"fmt"
	"maps"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// markedKind is set in the kind of a need at a place that is marked as damaged: it may have been
// put back since. It is no finding if it is still damaged, since that is known.
const markedKind = 0x80

// markedPlaces are those of a chunk that the index marks as damaged.
func markedPlaces(all []Location) (marked []Location) {
	for _, l := range all {
		if l.Flags&segment.Damaged != 0 {
			marked = append(marked, l)
		}
	}
	return marked
}

// places are those of a chunk that are to be opened: all that readers are sent to, and those that
// are marked, which may be good again.
func (v *treeWalk) places(ctx context.Context, id seal.ID) []Location {
	all := v.c.r.Locations(ctx, id)
	if v.marks {
		all = append(all, markedPlaces(v.c.r.Places(ctx, id))...)
	}
	return all
}

// good notes that a place that is marked as damaged holds what it should: it was opened, and its
// content is what its hash says. A right checksum is not enough, since a mark may tell of content
// that was wrong before it was sealed.
func (c *checker) good(k pack.Key, e pack.Entry) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.lifted[place{k.Attempt, k.Class, k.Number, e.Offset}] = true
}

// lift takes back the marks of places that are good again, so that backups rely on them as
// before. It puts segments without these marks in the place of those that have them; stopped in
// between, or beside a merge, a mark stays until the next check.
func (c *checker) lift(ctx context.Context) error {
	if len(c.lifted) == 0 || !c.opts.Repair {
		return nil
	}
	again := map[pack.Key]int{}
	for _, s := range c.r.snapshot() {
		if s.rebuilt || !s.seg.Marks {
			continue
		}
		hits, err := c.unmark(ctx, s)
		if err != nil {
			return err
		}
		for p := range hits {
			again[pack.Key{Attempt: p.attempt, Class: p.class, Number: p.number}]++
		}
	}
	for _, k := range slices.SortedFunc(maps.Keys(again), pack.Key.Compare) {
		c.find(Finding{
			Object: "pack", Name: nameOf(k), Code: "pack.good-again",
			Text:     fmt.Sprintf("%d chunks in it that were marked as damaged were opened and are what they should be", again[k]),
			Repaired: "their marks were taken back: backups rely on them again",
		})
	}
	return nil
}

// unmark replaces a segment that marks places which are good again; it answers these.
func (c *checker) unmark(ctx context.Context, s *openSegment) (map[place]bool, error) {
	hits := map[place]bool{}
	rows := func(each func(*segment.Row) error) error {
		return s.seg.All(func(row segment.Row) error {
			if row.Flags&segment.Damaged != 0 {
				if p := locate(s.seg, row).place(); c.lifted[p] {
					hits[p] = true
					if s.seg.Packs[row.Pack].Length == 0 {
						return ctx.Err() // nothing but a mark: others tell of the chunk
					}
					// It stands for all who relied on the place. They may do so again: it was opened.
					row.Flags = row.Flags&^segment.Damaged | segment.Proved
				}
			}
			return each(&row)
		})
	}
	b := segment.NewBuilder(s.seg.Rows())
	if err := rows(func(row *segment.Row) error { b.Count(row); return ctx.Err() }); err != nil {
		if errs.KindOf(err) == errs.Corrupt {
			return nil, nil // it was good a moment ago; the next check rebuilds it
		}
		return nil, err
	}
	if len(hits) == 0 {
		return nil, nil
	}
	if b.Rows() > 0 {
		if err := c.replaceSegment(ctx, s, b, rows); err != nil {
			return nil, err
		}
	} else {
		c.r.letGo([]string{s.name})
	}
	return hits, c.r.remove(ctx, s.name)
}

// replaceSegment publishes what rows gives under the next free number of the segment's attempt.
func (c *checker) replaceSegment(ctx context.Context, s *openSegment, b *segment.Builder, rows func(func(*segment.Row) error) error) error {
	h := s.seg.Header
	for {
		h.Number++
		name := segmentName(h.Attempt, h.Number)
		out, err := c.r.b.Create(ctx, name)
		if errs.KindOf(err) == errs.Exists {
			continue
		}
		if err != nil {
			return err
		}
		buf := bufio.NewWriterSize(out, packBuffer)
		w, err := b.Begin(buf, h, s.seg.Packs)
		if err == nil {
			err = rows(w.Add)
		}
		if err == nil {
			err = w.Finish()
		}
		if err == nil {
			err = buf.Flush()
		}
		if err == nil {
			err = out.Commit(ctx)
		}
		switch {
		case err == nil:
			return c.r.UseSegment(ctx, name, []string{s.name})
		case errs.KindOf(err) != errs.Exists:
			out.Abort()
			return err
		}
		out.Abort()
	}
}
