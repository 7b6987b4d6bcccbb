package repo

import (
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

// A segment can be whole by its checksums and still not tell where records lie. So the index is
// compared with the directory of every pack that is looked at.

// listNamed notes which packs the index tells of: those of attempts that are just publishing
// theirs are left alone.
func (c *checker) listNamed(context.Context) error {
	c.named = c.r.indexed()
	return nil
}

// compare notes the records of a pack of which the index does not tell at their place.
func (c *checker) compare(ctx context.Context, k pack.Key, entries []pack.Entry) {
	if !c.named[packKey{k.Attempt, k.Class, k.Number}] {
		return
	}
	for _, e := range entries {
		if !c.r.tells(ctx, k, e) {
			c.mu.Lock()
			c.untold[k] = append(c.untold[k], e)
			c.mu.Unlock()
		}
	}
}

// tells answers whether the index has a record at its place, be it marked as damaged.
func (r *Repository) tells(ctx context.Context, k pack.Key, e pack.Entry) bool {
	at := place{k.Attempt, k.Class, k.Number, e.Offset}
	return slices.ContainsFunc(r.found(ctx, e.ID), func(l Location) bool {
		return l.place() == at && l.Length == e.Length && (!e.Punched || l.Punched())
	})
}

// truth takes segments that leave out records of the packs they name as damaged ones: what the
// packs say counts.
func (c *checker) truth(ctx context.Context) error {
	if len(c.untold) == 0 {
		return nil
	}
	if err := c.r.Refresh(ctx); err != nil { // it may have been told meanwhile
		return err
	}
	lies := map[*openSegment]int{}
	for k, entries := range c.untold {
		entries = slices.DeleteFunc(entries, func(e pack.Entry) bool { return c.r.tells(ctx, k, e) })
		committed, err := c.r.committed(ctx, k.Attempt)
		switch errs.KindOf(err) {
		case "":
		case errs.NotFound: // its attempt may still be about to tell
		case errs.Corrupt:
			committed = true
		default:
			return err
		}
		if len(entries) == 0 || !committed {
			continue
		}
		for _, s := range c.r.snapshot() {
			if !s.rebuilt && !s.seg.Marks && (s.seg.Attempt == k.Attempt || s.seg.Merged()) && s.names(k) {
				lies[s] += len(entries)
			}
		}
	}
	byAttempt := map[point.Attempt][]string{}
	for s, n := range lies {
		byAttempt[s.seg.Attempt] = append(byAttempt[s.seg.Attempt], s.name)
		c.r.replaceDamaged(ctx, s, errs.New(errs.Corrupt, "segment.untrue", "it does not tell where %d records of its packs lie", n))
	}
	for a, names := range byAttempt {
		done, err := c.repairSegments(ctx, a, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			c.find(Finding{Object: "segment", Name: name, Code: "segment.untrue", Text: "its checksums are right, and it does not tell where records of its packs lie", Repaired: done})
		}
	}
	return nil
}

// names tells whether rows of the segment may lie in a pack.
func (s *openSegment) names(k pack.Key) bool {
	for i := range s.seg.Packs {
		if p := &s.seg.Packs[i]; p.Attempt == k.Attempt && p.Class == k.Class && p.Number == k.Number {
			return true
		}
	}
	return false
}

// displaced tells whether a pack is another one than the index knows: records are not where they
// are said to be. It is reported then, with each of them.
func (c *checker) displaced(k pack.Key, entries []pack.Entry, why error) bool {
	there := make(map[pack.Entry]bool, len(entries))
	for _, e := range entries {
		there[e] = true
	}
	missing := slices.DeleteFunc(c.r.entriesOf(k), func(e pack.Entry) bool { return there[e] })
	if len(missing) == 0 {
		return false
	}
	c.find(Finding{Object: "pack", Name: nameOf(k), Code: "pack.header", Text: why.Error() + "; what belongs there is not in it"})
	for _, e := range missing {
		c.badEntry(k, e, codeDamaged, errs.New(errs.Corrupt, "record.place", "the pack in its place is another one"))
	}
	return true
}
