package repo

import (
	"bytes"
	"context"
	"slices"
	"time"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/proof"
	"keepward/internal/repo/segment"
)

const (
	// publishEvery is how often proofs are recorded while packs are read: so much work is lost
	// by a crash.
	publishEvery = time.Minute
	// lastPublish bounds the recording after an order to stop.
	lastPublish = 10 * time.Second
)

// publishDue publishes if it is time.
func (c *checker) publishDue(ctx context.Context) error {
	c.mu.Lock()
	due := !time.Now().Before(c.due)
	if due {
		c.due = time.Now().Add(c.opts.publishEvery)
	}
	c.mu.Unlock()
	if !due {
		return nil
	}
	return c.publish(ctx)
}

// publish makes known what was found: first the marks of damage, since a proof says that all
// else in its pack is good.
func (c *checker) publish(ctx context.Context) error {
	c.publishing.Lock()
	defer c.publishing.Unlock()
	c.mu.Lock()
	rows, proofs := slices.Clone(c.badRows[c.marked:]), c.proofs
	c.marked, c.proofs = len(c.badRows), nil
	c.mu.Unlock()
	if !c.opts.Repair {
		return nil
	}
	if err := c.mark(ctx, rows); err != nil {
		return err
	}
	if c.opts.Time.IsZero() {
		return nil
	}
	fresh := proof.Set{} // a pack may have been seen and proved since the last time
	fresh.Add(proofs...)
	var err error
	c.numbers.proof, err = c.r.putProofs(ctx, c.opts.Attempt, max(c.numbers.proof, 1), fresh.Entries())
	return err
}

// mark publishes the marks that make damaged places absent, so that the next backup stores these
// chunks again. Nothing else is done to them: a place is never removed for being damaged.
func (c *checker) mark(ctx context.Context, bad []badRow) error {
	var packs []segment.Pack
	var rows []segment.Row
	at := map[pack.Key]uint32{}
	for _, b := range bad {
		if !b.mark || !c.r.trusts(ctx, b) {
			continue // no use, marked before, or in no segment
		}
		if _, ok := at[b.pack]; !ok {
			at[b.pack] = uint32(len(packs))
			packs = append(packs, segment.Pack{Attempt: b.pack.Attempt, Class: b.pack.Class, Number: b.pack.Number})
		}
		rows = append(rows, segment.Row{ID: b.entry.ID, Pack: at[b.pack], Offset: b.entry.Offset, Length: b.entry.Length, Kind: b.entry.Kind, Flags: segment.Damaged})
	}
	if len(rows) == 0 {
		return nil
	}
	n, err := c.r.PublishSegment(ctx, segment.Header{Attempt: c.opts.Attempt, Number: c.numbers.segment + 1}, packs, rows)
	c.numbers.segment = n
	return err
}

// trusts tells whether the index still sends readers to a place.
func (r *Repository) trusts(ctx context.Context, b badRow) bool {
	return slices.ContainsFunc(r.Locations(ctx, b.entry.ID), func(l Location) bool {
		return l.place() == place{b.pack.Attempt, b.pack.Class, b.pack.Number, b.entry.Offset}
	})
}

// copies says of every damaged chunk whether another copy is good.
func (c *checker) copies(ctx context.Context) error {
	slices.SortFunc(c.badRows, func(a, b badRow) int { return bytes.Compare(a.entry.ID[:], b.entry.ID[:]) })
	for _, b := range c.badRows {
		if c.lost(ctx, b.entry.ID) {
			c.setAmiss()
			continue
		}
		i := c.chunks[b.entry.ID]
		switch {
		case i < 0:
		case c.mended[b.entry.ID]:
			c.report.Findings[i].Repaired = mended
		default:
			c.report.Findings[i].Repaired = "nothing is lost: another copy of the chunk is good"
		}
	}
	return ctx.Err()
}
