package compact

import (
	"context"
	"math/bits"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// members are those of a bundle that points need.
type members struct {
	h    seal.H   // zero: no node that was walked names it
	need []uint64 // one bit for each
	live int64    // bytes of these
}

func (m *members) add(number uint32, size int64) {
	if number >= seal.MaxMembers {
		return // it cannot be there
	}
	if more := int(number/64) + 1 - len(m.need); more > 0 {
		m.need = append(m.need, make([]uint64, more)...)
	}
	bit := uint64(1) << (number % 64)
	if m.need[number/64]&bit == 0 {
		m.need[number/64] |= bit
		m.live += size
	}
}

func (m *members) needs(i int) bool { return i/64 < len(m.need) && m.need[i/64]>>(i%64)&1 != 0 }

// least is the least that a bundle can be made of: it may have had members behind the last one
// that is needed.
func (m *members) least() int64 {
	n := len(m.need) * 64
	if n > 0 {
		n -= bits.LeadingZeros64(m.need[len(m.need)-1])
	}
	return int64(seal.BundleHeaderLen(n)) + m.live
}

// in tells whether a bundle holds all that is needed.
func (m *members) in(b *seal.Bundle) bool {
	for i := range len(m.need) * 64 {
		if m.needs(i) && (i >= b.Len() || !b.Holds(i)) {
			return false
		}
	}
	return true
}

// look has the next walk find out which members of a bundle are needed.
func (w *hashes) look(id seal.ID) {
	if w.bundles[id] == nil {
		w.bundles[id] = &members{}
	}
}

// need notes a member that a file needs.
func (w *hashes) need(x fileindex.Member) {
	if x.Bundle != w.last.h { // neighbours share bundles
		w.last = lastBundle{x.Bundle, w.bundles[x.Bundle.ID()]}
	}
	if m := w.last.members; m != nil {
		m.h = x.Bundle
		m.add(x.Number, x.Len)
	}
}

type lastBundle struct {
	h       seal.H
	members *members
}

// Sufficient answers for which bundles the copies without some of their members will do when no
// whole one is left: a reader takes the copy with the most bytes, so each copy from there down to
// the first that stays must hold all that any point or checkpoint needs now. Every copy is read
// and opened for that. If it cannot be told what is needed, none will do.
//
// wait, if set, is called with the bytes that are read next.
func Sufficient(ctx context.Context, r *repo.Repository, keys *Recompression, wait func(context.Context, int64) error, all []repo.Remnant) (map[seal.ID]bool, error) {
	w, err := newHashes(r, keys)
	if err != nil {
		return nil, err
	}
	defer w.close()
	for i := range all[:min(len(all), maxWanted)] {
		w.look(all[i].ID)
	}
	if err := w.find(ctx); err != nil || w.gap != nil {
		return nil, err
	}
	j := &judge{hashes: w, wait: wait}
	will := map[seal.ID]bool{}
	for i := range all {
		m := w.bundles[all[i].ID]
		if m == nil || m.h == (seal.H{}) {
			continue
		}
		if will[all[i].ID], err = j.sufficient(ctx, &all[i], m); err != nil {
			return nil, err
		}
	}
	return will, nil
}

type judge struct {
	*hashes
	wait           func(context.Context, int64) error
	record, buffer []byte
}

// readBack is a copy that was read back.
type readBack struct {
	size         int
	holds, stays bool
}

func (j *judge) sufficient(ctx context.Context, x *repo.Remnant, m *members) (bool, error) {
	var all []readBack
	for _, p := range x.Places {
		if j.wait != nil {
			if err := j.wait(ctx, int64(p.Length)); err != nil {
				return false, err
			}
		}
		c, err := j.read(ctx, p, m)
		if errs.KindOf(err) == errs.Cancelled {
			return false, err
		}
		if err != nil { // nobody can say what a reader finds there
			return false, nil
		}
		all = append(all, c)
	}
	slices.SortStableFunc(all, func(a, b readBack) int { return b.size - a.size })
	stays := false
	for i, c := range all {
		if !c.holds {
			return false, nil
		}
		stays = stays || c.stays
		if stays && (i+1 == len(all) || all[i+1].size < c.size) {
			return true, nil
		}
	}
	return false, nil
}

func (j *judge) read(ctx context.Context, p repo.RemnantPlace, m *members) (readBack, error) {
	rec, err := j.r.ReadRecord(ctx, p.Location, j.record)
	if err != nil {
		return readBack{}, err
	}
	j.record = rec.Bytes()
	content, err := j.opener.Open(j.buffer, &rec, m.h)
	if err != nil {
		return readBack{}, err
	}
	j.buffer = content
	b, err := seal.ParseBundle(content)
	return readBack{rec.RawLen, err == nil && m.in(&b), p.Stays}, err
}
