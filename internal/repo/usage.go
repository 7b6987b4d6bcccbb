package repo

import (
	"context"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/storage"
)

// OwnerUse is what lies in the packs of one computer.
type OwnerUse struct {
	Packs, DataBytes, MetadataBytes int64
}

// AgeUse is what was proved at most so long before the time asked for; the last has no bound
// and the one behind it is what was never proved.
type AgeUse struct {
	Within       time.Duration // 0: no bound
	Never        bool
	Packs, Bytes int64
}

// Usage is whose what is, and how old its proofs are.
type Usage struct {
	Owners       map[[16]byte]OwnerUse // by pseudonym; zero: it cannot be told
	Ages         []AgeUse
	SmallPacks   int64 // under a quarter of a full one
	ParityPacks  int64 // that have parity
	ParityBytes  int64
	Segments     int64
	SegmentBytes int64
	Rows         int64
}

// proofAges are the bounds that Usage sorts proofs by.
func proofAges() []AgeUse {
	const day = 24 * time.Hour
	return []AgeUse{{Within: day}, {Within: 7 * day}, {Within: 30 * day}, {Within: 90 * day}, {}, {Never: true}}
}

// Usage adds up all packs, at most reading the head of each. now is the server's time.
func (r *Repository) Usage(ctx context.Context, now time.Time) (Usage, error) {
	u := Usage{Owners: map[[16]byte]OwnerUse{}, Ages: proofAges()}
	proofs, err := r.Proofs(ctx)
	if err != nil {
		return u, err
	}
	owners := r.ownersOfPacks()
	err = r.b.List(ctx, packsDir, func(i storage.Info) error {
		k, err := ParsePackName(i.Name)
		if err != nil {
			return nil // not ours; a check names it
		}
		owner, ok := owners[k]
		if !ok {
			if owner, err = r.packOwner(ctx, i.Name); err != nil {
				return err
			}
		}
		u.add(k, i.Size, owner, proofs.Proved(k, 0), now)
		return nil
	})
	if err != nil {
		return u, err
	}
	guarded, err := r.parityBelow(ctx, packsDir)
	if err != nil {
		return u, err
	}
	for _, size := range guarded {
		u.ParityPacks++
		u.ParityBytes += size
	}
	for _, s := range r.snapshot() {
		u.Segments++
		u.Rows += s.seg.Rows()
	}
	err = r.b.List(ctx, indexDir, func(i storage.Info) error {
		u.SegmentBytes += i.Size
		return nil
	})
	return u, err
}

func (u *Usage) add(k pack.Key, size int64, owner [16]byte, proved, now time.Time) {
	o := u.Owners[owner]
	o.Packs++
	if k.Class == pack.Meta {
		o.MetadataBytes += size
	} else {
		o.DataBytes += size
	}
	u.Owners[owner] = o
	if size < defaultPackSize/4 {
		u.SmallPacks++
	}
	a := &u.Ages[len(u.Ages)-1]
	if !proved.IsZero() {
		for i := range u.Ages {
			if a = &u.Ages[i]; a.Within == 0 || now.Sub(proved) <= a.Within {
				break
			}
		}
	}
	a.Packs++
	a.Bytes += size
}

// ownersOfPacks are those packs whose computer the index tells without a doubt: rows of others
// in a pack are proofs.
func (r *Repository) ownersOfPacks() map[pack.Key][16]byte {
	owners := map[pack.Key][16]byte{}
	for _, s := range r.snapshot() {
		if s.seg.Owner == ([16]byte{}) {
			continue // merged, or marks of damage
		}
		for _, p := range s.seg.Packs {
			if p.Attempt == s.seg.Attempt {
				owners[pack.Key{Attempt: p.Attempt, Class: p.Class, Number: p.Number}] = s.seg.Owner
			}
		}
	}
	return owners
}

// packOwner reads it from the pack; nobody's if that is damaged or gone.
func (r *Repository) packOwner(ctx context.Context, name string) ([16]byte, error) {
	rd, err := r.b.Open(ctx, name)
	if errs.KindOf(err) == errs.NotFound {
		return [16]byte{}, nil
	}
	if err != nil {
		return [16]byte{}, err
	}
	h, err := pack.ReadHeader(rd)
	if errs.KindOf(err) == errs.Corrupt {
		err = nil
	}
	return h.Owner, joinErr(err, rd.Close())
}
