package sweep

import (
	"context"
	"slices"

	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/proof"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

// packSet are the packs that are there.
type packSet struct {
	uses []PackUse // sorted by key
	// any counts the bytes of live chunks without asking whether they lie elsewhere too.
	any   []int64
	named []bool // a segment tells of it
	open  []bool // of an attempt that may still write, or of this run
	whole []bool // strangers rely on all that is in it
	// suspect packs were seen damaged by a check. The marks of what is damaged in them may be lost.
	suspect []bool
}

func listPacks(ctx context.Context, r *repo.Repository) (*packSet, error) {
	p := &packSet{}
	err := r.Backend().List(ctx, repo.PacksDir, func(i storage.Info) error {
		if k, err := repo.ParsePackName(i.Name); err == nil { // else it is not ours
			p.uses = append(p.uses, PackUse{Pack: k, Size: i.Size})
		}
		return nil
	})
	slices.SortFunc(p.uses, func(a, b PackUse) int { return a.Pack.Compare(b.Pack) })
	n := len(p.uses)
	p.any, p.named, p.open = make([]int64, n), make([]bool, n), make([]bool, n)
	p.whole, p.suspect = make([]bool, n), make([]bool, n)
	return p, err
}

// index is the position of a pack; -1: it is not there.
func (p *packSet) index(k pack.Key) int32 {
	i, ok := slices.BinarySearchFunc(p.uses, k, func(u PackUse, k pack.Key) int { return u.Pack.Compare(k) })
	if !ok {
		return -1
	}
	return int32(i)
}

// resolve answers for each segment the positions of the packs of its table.
func (p *packSet) resolve(segs []repo.IndexSegment) [][]int32 {
	out := make([][]int32, len(segs))
	for i, s := range segs {
		out[i] = make([]int32, len(s.Packs))
		for j, sp := range s.Packs {
			at := p.index(keyOf(&sp))
			out[i][j] = at
			if at >= 0 {
				p.named[at] = true
			}
		}
	}
	return out
}

func keyOf(p *segment.Pack) pack.Key {
	return pack.Key{Attempt: p.Attempt, Class: p.Class, Number: p.Number}
}

// setProofs notes which packs are proved as a whole, and which were seen damaged.
func (p *packSet) setProofs(known proof.Set) {
	for i := range p.uses {
		e := known[p.uses[i].Pack]
		p.whole[i], p.suspect[i] = e.IsWhole(), e.Has(proof.Damaged)
	}
}

// setOpen notes which packs are of attempts that may still write.
func (p *packSet) setOpen(is func(point.Attempt) bool) {
	for i := range p.uses {
		p.open[i] = is(p.uses[i].Pack.Attempt)
	}
}

// place is where a live chunk lies, with all that segments say of it.
type place struct {
	pack           int32
	offset, length uint32
	flags          segment.Flags
	suspect        bool // as its pack is
	owners         [][16]byte
	// head is the record's header, of punched bundles of which there are several: equal ones hold
	// the same members. Zero: not read.
	head [seal.HeaderSize]byte
}

func (p *place) is(f segment.Flags) bool { return p.flags&f != 0 }

// covers tells whether whoever relies on a chunk at o finds it at p as well. A bundle that lost
// members may lack one that o has, unless somebody has looked that it will do.
func (p *place) covers(o *place, willDo bool) bool {
	switch {
	case p.is(segment.Damaged), p.suspect && !o.suspect, p.is(segment.Punched) && !willDo && !p.sameRecord(o):
		return false
	case p.is(segment.Proved):
		return true
	case o.is(segment.Proved) && !o.is(segment.Damaged): // strangers rely on it
		return false
	}
	return !slices.ContainsFunc(o.owners, func(x [16]byte) bool { return !slices.Contains(p.owners, x) })
}

func (p *place) sameRecord(o *place) bool {
	return p.head != [seal.HeaderSize]byte{} && p.head == o.head
}

// places joins the rows of one id to the places that are there. dst is reused.
func (p *packSet) places(dst []place, segs []repo.IndexSegment, packs [][]int32, rows []found) []place {
	dst = dst[:0]
	for i := range rows {
		f := &rows[i]
		at := packs[f.seg][f.Row.Pack]
		if at < 0 {
			continue
		}
		j := slices.IndexFunc(dst, func(o place) bool { return o.pack == at && o.offset == f.Offset })
		if j < 0 {
			j = len(dst)
			if j < cap(dst) {
				dst = dst[:j+1]
				dst[j] = place{pack: at, suspect: p.suspect[at], offset: f.Offset, length: f.Length, owners: dst[j].owners[:0]}
			} else {
				dst = append(dst, place{pack: at, suspect: p.suspect[at], offset: f.Offset, length: f.Length})
			}
		}
		x := &dst[j]
		x.flags |= f.Flags
		if p.whole[at] {
			x.flags |= segment.Proved
		}
		if owner := segs[f.seg].Packs[f.Row.Pack].Owner; f.Flags&segment.Damaged == 0 && !slices.Contains(x.owners, owner) {
			x.owners = append(x.owners, owner)
		}
	}
	return dst
}
