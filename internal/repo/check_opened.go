package repo

import (
	"context"
	"slices"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
)

// chunkSet is a set of chunks of the index, of one bit for every row: a chunk is in it if the
// bit of the first row that names it is set. A segment that is replaced takes its bits along,
// and its chunks are looked at again.
type chunkSet map[*segment.Segment][]uint64

// add puts a chunk into the set and answers whether it is in the index and was not in the set.
func (s chunkSet) add(r *Repository, id seal.ID) bool {
	seg, row, ok := r.firstRow(id)
	if !ok {
		return false
	}
	bits := s[seg]
	if bits == nil {
		bits = make([]uint64, seg.Rows()/64+1)
		s[seg] = bits
	}
	mask := uint64(1) << (row % 64)
	was := bits[row/64]&mask != 0
	bits[row/64] |= mask
	return !was
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

// unread are the records of a pack that the content walk has not read, and how many bytes
// it has. No segment was opened since, so a place that the index knows now it knew then.
func (c *checker) unread(ctx context.Context, k packKey, entries []pack.Entry) (rest []pack.Entry, read int64) {
	if len(c.opened) == 0 {
		return entries, 0
	}
	for _, e := range entries {
		here := place{k.attempt, k.class, k.number, e.Offset}
		if c.opened.has(c.r, e.ID) && slices.ContainsFunc(c.r.Locations(ctx, e.ID), func(l Location) bool { return l.place() == here && openable(l) }) {
			read += int64(e.Length)
			continue
		}
		rest = append(rest, e)
	}
	return rest, read
}
