package repo

import (
	"context"
	"slices"

	"keepward/internal/repo/seal"
)

// prefer sorts the places of a chunk into the order in which owner's points try them: what may
// be relied on for owner first.
func (r *Repository) prefer(ctx context.Context, owner [16]byte, all []Location) {
	slices.SortStableFunc(all, func(a, b Location) int { return doubt(&a, owner) - doubt(&b, owner) })
	r.fullestFirst(ctx, all)
}

// fullestFirst has those of the places that lost members change among themselves, so that the one
// that holds most comes first: it holds all that is needed of the bundle, says
// docs/decisions/compaction.md.
func (r *Repository) fullestFirst(ctx context.Context, all []Location) {
	var at []int
	for i := range all {
		if all[i].Punched() {
			at = append(at, i)
		}
	}
	if len(at) < 2 {
		return
	}
	type sized struct {
		l Location
		n int
	}
	some := make([]sized, len(at))
	for i, n := range at {
		some[i] = sized{all[n], r.contentLength(ctx, all[n])}
	}
	slices.SortStableFunc(some, func(a, b sized) int { return b.n - a.n })
	for i, n := range at {
		all[n] = some[i].l
	}
}

// contentLength is the length of a record's content, as its header says; 0 if that cannot be
// read.
func (r *Repository) contentLength(ctx context.Context, l Location) int {
	head, err := r.RecordHead(ctx, l)
	if err != nil {
		return 0
	}
	return seal.RawLength(head[:])
}

// RecordHead reads the header of the record at a place. Two records with the same are the same.
func (r *Repository) RecordHead(ctx context.Context, l Location) (head [seal.HeaderSize]byte, err error) {
	p, err := r.packs.acquire(ctx, l.PackName())
	if err != nil {
		return head, err
	}
	defer r.packs.release(p)
	if n, err := p.reader.ReadAt(head[:], int64(l.Offset)); n < len(head) {
		return head, damaged(l, err)
	}
	if _, err := seal.HeaderLen(head[:]); err != nil {
		return head, damaged(l, err)
	}
	return head, nil
}

// Remnant is a bundle of which no whole copy may be left that serves everybody.
type Remnant struct {
	ID     seal.ID
	Places []RemnantPlace // where it lies without some of its members
}

// RemnantPlace is one of them.
type RemnantPlace struct {
	Location
	Stays bool // else its pack may be deleted
}
