package repo

import (
	"context"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// What maintenance (compact, merge, sweep) needs beyond what reads and writes need.

// PackName is the name of a pack within the repository.
func PackName(a point.Attempt, c pack.Class, number uint32) string { return packName(a, c, number) }

// SegmentName is the name of an index segment within the repository.
func SegmentName(a point.Attempt, number uint32) string { return segmentName(a, number) }

// IndexSegment is a segment in use. It may be read until the repository is closed, even when
// its object is gone.
type IndexSegment struct {
	Name string
	*segment.Segment
	// Rebuilt: its object is damaged or lost, and this was made of packs in its place.
	Rebuilt bool
}

// Segments are the index segments in use now.
func (r *Repository) Segments() []IndexSegment {
	all := r.snapshot()
	out := make([]IndexSegment, len(all))
	for i, s := range all {
		out[i] = IndexSegment{Name: s.name, Segment: s.seg, Rebuilt: s.rebuilt}
	}
	return out
}

// UseSegment takes a segment that was just published into use, and those that it stands for
// out of use; their objects may go then.
func (r *Repository) UseSegment(ctx context.Context, name string, instead []string) error {
	if err := r.openSegment(ctx, name); err != nil {
		return err
	}
	r.letGo(instead)
	return nil
}

// PublishSegment stores a small segment under the next free number of h's attempt, from
// h.Number on, and takes it into use. It answers the number.
func (r *Repository) PublishSegment(ctx context.Context, h segment.Header, packs []segment.Pack, rows []segment.Row) (uint32, error) {
	h.RepositoryID = r.cfg.ID
	for ; ; h.Number++ {
		name := segmentName(h.Attempt, h.Number)
		err := r.b.Put(ctx, name, segment.Encode(h, packs, rows))
		if errs.KindOf(err) == errs.Exists {
			continue
		}
		if err != nil {
			return h.Number, err
		}
		return h.Number, r.openSegment(ctx, name)
	}
}

// Places answers every place where the index has the chunk, damaged ones too, with what all
// segments together say of it: one Location for each place and owner.
func (r *Repository) Places(ctx context.Context, id seal.ID) []Location {
	return joinRows(r.found(ctx, id))
}

// SamePlace tells whether two locations are one place.
func (l Location) SamePlace(o Location) bool { return l.place() == o.place() }

// DropSegments takes segments out of use of which nothing is left to be told; their objects may
// go then.
func (r *Repository) DropSegments(names []string) { r.letGo(names) }
