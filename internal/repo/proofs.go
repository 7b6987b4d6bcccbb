package repo

import (
	"context"
	"fmt"
	"slices"
	"time"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/proof"
)

const proofsDir = "proofs"

// maxProofs proof objects are left as they are: so many are read in no time.
const maxProofs = 8

func proofName(a point.Attempt, number uint32) string {
	return fmt.Sprintf("%s/%s-%08d", proofsDir, a, number)
}

func nameOf(k pack.Key) string { return packName(k.Attempt, k.Class, k.Number) }

// Proofs are what is known of when packs were proved. An object that cannot be read is passed
// over: what it told is proved again.
func (r *Repository) Proofs(ctx context.Context) (proof.Set, error) {
	s := proof.Set{}
	_, err := r.addProofs(ctx, s)
	return s, err
}

// addProofs joins all proof objects into s and answers their names, damaged ones too.
func (r *Repository) addProofs(ctx context.Context, s proof.Set) (names []string, err error) {
	infos, err := r.list(ctx, proofsDir)
	if err != nil {
		return nil, err
	}
	for _, info := range infos {
		entries, err := r.readProof(ctx, info.Name)
		switch errs.KindOf(err) {
		case "", errs.Corrupt:
			s.Add(entries...)
			names = append(names, info.Name)
		case errs.NotFound: // folded since it was listed, into one that may not have been
			return r.addProofs(ctx, s)
		case errs.Invalid:
			r.addCondition("proof.unreadable", info.Name, err.Error())
		default:
			return nil, err
		}
	}
	return names, nil
}

func (r *Repository) readProof(ctx context.Context, name string) ([]proof.Entry, error) {
	content, err := r.b.Get(ctx, name, proof.MaxSize)
	if err != nil {
		return nil, err
	}
	h, entries, err := proof.Parse(content)
	if err == nil && (h.RepositoryID != r.cfg.ID || proofName(h.Attempt, h.Number) != name) {
		err = errs.New(errs.Corrupt, "proof.place", "read %s: it is another object, or another repository's", name)
	}
	if errs.KindOf(err) == errs.Corrupt {
		r.addCondition("proof.damaged", name, err.Error()+"; what it told is proved again")
	}
	if err != nil {
		return nil, err
	}
	return entries, nil
}

// putProofs publishes entries under free numbers of an attempt, from number on; it answers the
// next one.
func (r *Repository) putProofs(ctx context.Context, a point.Attempt, number uint32, entries []proof.Entry) (uint32, error) {
	for part := range slices.Chunk(entries, proof.MaxEntries) {
		for {
			content := proof.Encode(proof.Header{RepositoryID: r.cfg.ID, Attempt: a, Number: number}, part)
			err := r.b.Put(ctx, proofName(a, number), content)
			number++
			if err == nil {
				break
			}
			if errs.KindOf(err) != errs.Exists {
				return number, err
			}
		}
	}
	return number, nil
}

// FoldProofs joins proof objects into one of attempt a, without the packs that are gone, and
// deletes what was joined, unless there are only a few. It is for maintenance that was ordered.
// Any number may run at once, and beside checks: nothing is deleted before what it said is in
// another object.
func (r *Repository) FoldProofs(ctx context.Context, a point.Attempt) error {
	all := proof.Set{}
	names, err := r.addProofs(ctx, all)
	if err != nil || len(names) <= maxProofs {
		return err
	}
	there, err := r.packList(ctx)
	if err != nil {
		return err
	}
	all.Keep(func(k pack.Key) bool { _, ok := there[k]; return ok })
	if _, err := r.putProofs(ctx, a, 1, all.Entries()); err != nil {
		return err
	}
	for _, name := range names {
		if err := r.remove(ctx, name); err != nil {
			return err
		}
	}
	return nil
}

// packList are all packs that are there, with their sizes.
func (r *Repository) packList(ctx context.Context) (map[pack.Key]int64, error) {
	return r.packsBelow(ctx, packsDir)
}

// ProofState is how well the packs of a repository are proved.
type ProofState struct {
	Packs, Bytes             int64
	ProvedPacks, ProvedBytes int64 // their content, at any time
	DuePacks, DueBytes       int64
	DamagedPacks             int64
	LostChunks               int64     // marked as damaged, and nowhere else; -1: not counted
	Oldest                   time.Time // proof of a pack that has one
}

// ProofState counts; due is what was known and not proved since a time.
func (r *Repository) ProofState(ctx context.Context, since time.Time) (ProofState, error) {
	var st ProofState
	known, err := r.Proofs(ctx)
	if err != nil {
		return st, err
	}
	if st.LostChunks, err = r.lostChunks(ctx); err != nil {
		return st, err
	}
	there, err := r.packList(ctx)
	if err != nil {
		return st, err
	}
	for k, size := range there {
		st.Packs++
		st.Bytes += size
		if known.Due(k, since) {
			st.DuePacks++
			st.DueBytes += size
		}
		if known[k].Has(proof.Damaged) {
			st.DamagedPacks++
		}
		at := known.Proved(k, proof.Content)
		if at.IsZero() {
			continue
		}
		st.ProvedPacks++
		st.ProvedBytes += size
		if st.Oldest.IsZero() || at.Before(st.Oldest) {
			st.Oldest = at
		}
	}
	return st, nil
}

// maxMarkedRows are read to count what is lost: a few seconds' worth. Marks that were merged into
// a larger segment are not looked for at every glance.
const maxMarkedRows = 1 << 23

// lostChunks counts the chunks that are marked as damaged and lie nowhere else.
func (r *Repository) lostChunks(ctx context.Context) (int64, error) {
	var rows int64
	for _, s := range r.snapshot() {
		if s.seg.Marks {
			rows += s.seg.Rows()
		}
	}
	if rows > maxMarkedRows {
		return -1, nil
	}
	lost, err := r.unhealed(ctx)
	return int64(len(lost)), err
}
