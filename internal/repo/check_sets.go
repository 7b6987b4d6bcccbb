package repo

import (
	"context"
	"slices"
	"time"

	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// chunkSet is a set of chunks of the index, of one bit for every row: a chunk is in it if the
// bit of the first row that names it is set. A segment that is replaced takes its bits along,
// and its chunks are looked at again.
type chunkSet map[*segment.Segment][]uint64

// add puts a chunk into the set. It answers whether it was not in it before, and whether the
// index has it at all; one that it has not is never in.
func (s chunkSet) add(r *Repository, id seal.ID) (fresh, there bool) {
	seg, row, ok := r.firstRow(id)
	if !ok {
		return false, false
	}
	bits := s[seg]
	if bits == nil {
		bits = make([]uint64, seg.Rows()/64+1)
		s[seg] = bits
	}
	mask := uint64(1) << (row % 64)
	was := bits[row/64]&mask != 0
	bits[row/64] |= mask
	return !was, true
}

func (s chunkSet) has(r *Repository, id seal.ID) bool {
	seg, row, ok := r.firstRow(id)
	bits := s[seg]
	return ok && bits != nil && bits[row/64]&(1<<(row%64)) != 0
}

// firstRow is the first row of the index that names a chunk. A segment that cannot be read is
// passed over: whoever asks for the places of the chunk replaces it.
func (r *Repository) firstRow(id seal.ID) (*segment.Segment, int64, bool) {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, s := range r.segments {
		if row, ok, err := s.seg.Position(id); err == nil && ok {
			return s.seg, row, true
		}
	}
	return nil, 0, false
}

// contested is a chunk as one computer sees it: another may have stored something else under
// its id.
type contested struct {
	owner [16]byte
	id    seal.ID
}

// enter notes that a metadata chunk is followed for a computer's point, and answers whether it
// was before. Where the answer depends on who asks, it is kept for each.
func (c *checker) enter(ctx context.Context, owner [16]byte, id seal.ID) (fresh bool) {
	if !disputed(c.r.Locations(ctx, id)) {
		fresh, _ = c.seen.add(c.r, id)
		return fresh
	}
	key := contested{owner, id}
	fresh = !c.contested[key]
	c.contested[key] = true
	return fresh
}

// clean tells whether metadata was followed and nothing below it is lost.
func (c *checker) clean(id seal.ID) bool { return c.seen.has(c.r, id) && !c.lostIDs[id] }

// placesFor sorts places for a computer's points: those that it may rely on come first.
func placesFor(owner [16]byte, all []Location) []Location {
	slices.SortStableFunc(all, func(a, b Location) int { return doubt(&a, owner) - doubt(&b, owner) })
	return all
}

// lookupFor is Lookup as one computer sees it: what another stored may be of another kind even.
func (r *Repository) lookupFor(ctx context.Context, owner [16]byte, id seal.ID) (Location, bool) {
	all := placesFor(owner, r.Locations(ctx, id))
	if len(all) == 0 {
		return Location{}, false
	}
	return all[0], true
}

// disputed tells whether several computers stored a chunk and none of it is proved.
func disputed(all []Location) bool {
	return len(all) > 1 && slices.ContainsFunc(all, func(l Location) bool { return l.Owner != all[0].Owner }) &&
		!slices.ContainsFunc(all, Location.Proved)
}

// refreshEvery is how often a check looks for what a sweep may have moved.
const refreshEvery = time.Second

// refresh reads the index anew, unless that was done a moment ago.
func (c *checker) refresh(ctx context.Context) bool {
	c.mu.Lock()
	due := time.Since(c.refreshed) > refreshEvery
	if due {
		c.refreshed = time.Now()
	}
	c.mu.Unlock()
	return due && c.r.Refresh(ctx) == nil
}

func (c *checker) isBad(p place) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	_, bad := c.bad[p]
	return bad
}
