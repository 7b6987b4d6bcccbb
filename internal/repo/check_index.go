package repo

import (
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

// segments reads every page of every segment and rebuilds what is damaged or gone.
func (c *checker) segments(ctx context.Context) error {
	damaged := map[point.Attempt][]string{}
	for _, s := range c.r.snapshot() {
		if err := ctx.Err(); err != nil {
			return err
		}
		c.report.Segments++
		if !s.rebuilt {
			err := s.seg.All(func(segment.Row) error { return nil })
			if err == nil {
				continue
			}
			c.r.replaceDamaged(ctx, s, err)
		}
		damaged[s.seg.Attempt] = append(damaged[s.seg.Attempt], s.name)
	}
	for attempt, names := range damaged {
		done, err := c.repairSegments(ctx, attempt, names)
		if err != nil {
			return err
		}
		for _, name := range names {
			c.find(Finding{Object: "segment", Name: name, Code: "segment.damaged", Text: "its checksums differ", Repaired: done})
		}
	}
	return c.unindexed(ctx)
}

// snapshot is the list of segments as it is now.
func (r *Repository) snapshot() []*openSegment {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.Clone(r.segments)
}

// repairSegments publishes what packs say in their place and removes the damaged segments,
// which hold nothing that the packs do not, but proofs and marks of damage, found again.
func (c *checker) repairSegments(ctx context.Context, attempt point.Attempt, names []string) (string, error) {
	if !c.opts.Repair {
		return "it was rebuilt in memory from its packs", nil
	}
	if err := c.r.republish(ctx, attempt, names); err != nil {
		return "", err
	}
	if d, ok := c.r.b.(storage.Deleter); ok {
		for _, name := range names {
			if err := d.Delete(ctx, name); err != nil && errs.KindOf(err) != errs.NotFound {
				return "", err
			}
			c.r.drop(name)
		}
	}
	return "it was rebuilt from its packs", nil
}

// republish publishes what stands in memory for damaged segments of an attempt. That of a
// merged one tells of packs of other attempts.
func (r *Repository) republish(ctx context.Context, a point.Attempt, names []string) error {
	done := map[segment.Pack]bool{}
	found := false
	for _, s := range r.snapshot() {
		if !s.rebuilt || !slices.Contains(names, s.name) {
			continue
		}
		found = true
		if !slices.ContainsFunc(s.seg.Packs, func(p segment.Pack) bool { return !done[p] }) {
			continue // another one of the attempt says the same
		}
		var rows []segment.Row
		if err := s.seg.All(func(row segment.Row) error { rows = append(rows, row); return ctx.Err() }); err != nil {
			return err
		}
		for _, p := range s.seg.Packs {
			done[p] = true
		}
		if _, err := r.PublishSegment(ctx, segment.Header{Attempt: a, Owner: s.seg.Owner, Number: 1}, s.seg.Packs, rows); err != nil {
			return err
		}
	}
	if found {
		return nil
	}
	return r.reindex(ctx, a) // it could not be rebuilt when it was found
}

// drop takes a segment that is gone out of use.
func (r *Repository) drop(name string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.known, name)
	r.segments = slices.DeleteFunc(slices.Clone(r.segments), func(s *openSegment) bool {
		if s.name != name {
			return false
		}
		r.retired = append(r.retired, s)
		return true
	})
}

// reindex publishes a segment of all packs of an attempt under the next free number.
func (r *Repository) reindex(ctx context.Context, attempt point.Attempt) error {
	header, packs, rows, err := r.scanAttempt(ctx, attempt)
	if err != nil || len(rows) == 0 {
		return err
	}
	for header.Number = 1; ; header.Number++ {
		name := segmentName(attempt, header.Number)
		err := r.b.Put(ctx, name, segment.Encode(header, packs, rows))
		if errs.KindOf(err) == errs.Exists {
			continue
		}
		if err != nil {
			return err
		}
		return r.openSegment(ctx, name)
	}
}

// indexed are the packs that segments of their own attempt name.
func (r *Repository) indexed() map[packKey]bool {
	known := map[packKey]bool{}
	for _, s := range r.snapshot() {
		for _, p := range s.seg.Packs {
			known[packKey{p.Attempt, p.Class, p.Number}] = true
		}
	}
	return known
}

// unindexedAttempts are the attempts that have packs no segment names, in order.
func (r *Repository) unindexedAttempts(ctx context.Context) ([]point.Attempt, error) {
	known := r.indexed()
	var out []point.Attempt
	err := r.b.List(ctx, packsDir, func(info storage.Info) error {
		a, class, number, err := parsePackName(info.Name)
		if err == nil && !known[packKey{a, class, number}] && (len(out) == 0 || out[len(out)-1] != a) {
			out = append(out, a)
		}
		return nil
	})
	return out, err
}

// unindexed finds attempts with a point whose packs no segment names: their segment was lost.
func (c *checker) unindexed(ctx context.Context) error {
	attempts, err := c.r.unindexedAttempts(ctx)
	if err != nil {
		return err
	}
	var lost []point.Attempt
	for _, a := range attempts {
		content, err := c.r.Point(ctx, a)
		if errs.KindOf(err) == errs.NotFound {
			continue // open, or garbage
		}
		if err != nil && errs.KindOf(err) != errs.Corrupt {
			return err
		}
		if p, perr := point.Parse(content); perr == nil && p.Type == point.Tombstone {
			continue
		}
		lost = append(lost, a)
	}
	if len(lost) == 0 {
		return nil
	}
	return c.stillUnindexed(ctx, lost)
}

// stillUnindexed looks again: where a point is seen, its segment is there before it, if it is
// there at all; it may have been published since the last look.
func (c *checker) stillUnindexed(ctx context.Context, lost []point.Attempt) error {
	if err := c.r.Refresh(ctx); err != nil {
		return err
	}
	attempts, err := c.r.unindexedAttempts(ctx)
	if err != nil {
		return err
	}
	for _, a := range attempts {
		if !slices.Contains(lost, a) {
			continue
		}
		if err := c.restoreIndex(ctx, a); err != nil {
			return err
		}
	}
	return nil
}

func (c *checker) restoreIndex(ctx context.Context, a point.Attempt) error {
	f := Finding{Object: "segment", Name: segmentName(a, 1), Code: "segment.missing", Text: "packs of the attempt are in no index segment", Repaired: "it was rebuilt in memory from its packs"}
	if c.opts.Repair {
		f.Repaired = "it was rebuilt from its packs"
		if err := c.r.reindex(ctx, a); err != nil {
			return err
		}
	} else if err := c.r.indexInMemory(ctx, a); err != nil {
		return err
	}
	c.find(f)
	return nil
}

// indexInMemory adds what an attempt's packs say to the index of this process.
func (r *Repository) indexInMemory(ctx context.Context, a point.Attempt) error {
	header, packs, rows, err := r.scanAttempt(ctx, a)
	if err != nil {
		return err
	}
	seg, err := segment.Parse(segment.Encode(header, packs, rows))
	if err != nil {
		return err
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.segments = append(r.segments, &openSegment{name: segmentName(a, 0), seg: seg, rebuilt: true})
	return nil
}

// RebuildIndex publishes segments for all packs that no segment names. No key is needed. It
// answers the number of attempts it did so for.
func (r *Repository) RebuildIndex(ctx context.Context) (int, error) {
	if err := r.cfg.Writable(); err != nil {
		return 0, err
	}
	attempts, err := r.unindexedAttempts(ctx)
	if err != nil {
		return 0, err
	}
	for i, a := range attempts {
		if err := r.reindex(ctx, a); err != nil {
			return i, err
		}
	}
	return len(attempts), nil
}
