package repo

import (
	"context"
	"slices"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

// scanAttempt makes the rows of an attempt's packs, from their directories, or from the
// records themselves where a directory is not good. No key is needed.
func (r *Repository) scanAttempt(ctx context.Context, attempt point.Attempt) (segment.Header, []segment.Pack, []segment.Row, error) {
	h := segment.Header{RepositoryID: r.cfg.ID, Attempt: attempt}
	infos, err := r.list(ctx, attemptDir(attempt))
	if err != nil {
		return h, nil, nil, err
	}
	packs, rows, err := r.scanPacks(ctx, infos)
	h.Owner = ownerOf(packs)
	return h, packs, rows, err
}

// ownerOf is the owner of all packs, or zero if they have several, as those of a compaction.
// One whose header is not good might be anybody's among several, so it counts as another.
func ownerOf(packs []segment.Pack) [16]byte {
	for _, p := range packs {
		if p.Owner != packs[0].Owner {
			return [16]byte{}
		}
	}
	if len(packs) == 0 {
		return [16]byte{}
	}
	return packs[0].Owner
}

// scanPacks makes the rows of packs, each of the owner that its header names.
func (r *Repository) scanPacks(ctx context.Context, infos []storage.Info) (packs []segment.Pack, rows []segment.Row, err error) {
	for _, info := range infos {
		a, class, number, err := parsePackName(info.Name)
		if err != nil {
			continue // not ours; Check names it
		}
		head, entries, err := r.scanPack(ctx, info.Name)
		if ctx.Err() != nil {
			return nil, nil, err
		}
		if errs.KindOf(err) == errs.NotFound {
			continue // deleted since it was listed
		}
		if err != nil { // its chunks count as absent; the rest must stay within reach
			r.addCondition("pack.unreadable", info.Name, err.Error())
			continue
		}
		p := segment.Pack{Attempt: a, Class: class, Number: number, Length: info.Size}
		if head.Attempt == a {
			p.Owner = head.Owner
		}
		packs = append(packs, p)
		for _, e := range entries {
			row := segment.Row{ID: e.ID, Pack: uint32(len(packs) - 1), Offset: e.Offset, Length: e.Length, Kind: e.Kind}
			if e.Punched {
				row.Flags = segment.Punched
			}
			rows = append(rows, row)
		}
	}
	return packs, rows, nil
}

// scanUnnamed adds to what stands for a damaged segment the packs that no other one names, if
// it may have been a merged one: then it told of packs of many attempts.
func (r *Repository) scanUnnamed(ctx context.Context, name string, h segment.Header, packs []segment.Pack, rows []segment.Row) (segment.Header, []segment.Pack, []segment.Row, error) {
	if head, err := r.segmentHead(ctx, name); err != nil || !segment.MayBeMerged(head) {
		return h, packs, rows, err
	}
	named := r.indexedBut(name)
	for _, p := range packs {
		named[packKey{p.Attempt, p.Class, p.Number}] = true
	}
	infos, err := r.list(ctx, packsDir)
	if err != nil {
		return h, nil, nil, err
	}
	infos = slices.DeleteFunc(infos, func(info storage.Info) bool {
		a, class, number, err := parsePackName(info.Name)
		return err != nil || named[packKey{a, class, number}]
	})
	others, more, err := r.scanPacks(ctx, infos)
	for i := range more {
		more[i].Pack += uint32(len(packs))
	}
	packs, rows = append(packs, others...), append(rows, more...)
	h.Owner = ownerOf(packs)
	return h, packs, rows, err
}

// segmentHead is the start of a segment's object, or nothing if it cannot be read.
func (r *Repository) segmentHead(ctx context.Context, name string) ([]byte, error) {
	rd, err := r.b.Open(ctx, name)
	if err != nil {
		return nil, err
	}
	defer rd.Close() //nolint:errcheck // only read
	head := make([]byte, min(segment.HeaderSize, rd.Size()))
	if n, _ := rd.ReadAt(head, 0); n < len(head) {
		return nil, ctx.Err()
	}
	return head, nil
}

// indexedBut are the packs that segments other than name tell of.
func (r *Repository) indexedBut(name string) map[packKey]bool {
	named := map[packKey]bool{}
	for _, s := range r.snapshot() {
		if s.name == name {
			continue
		}
		for _, p := range s.seg.Packs {
			named[packKey{p.Attempt, p.Class, p.Number}] = true
		}
	}
	return named
}

// scanPack lists a pack's records. A damaged header answers as a zero one.
func (r *Repository) scanPack(ctx context.Context, name string) (pack.Header, []pack.Entry, error) {
	rd, err := r.b.Open(ctx, name)
	if err != nil {
		return pack.Header{}, nil, err
	}
	defer rd.Close() //nolint:errcheck // only read
	head, err := pack.ReadHeader(rd)
	if err != nil && errs.KindOf(err) != errs.Corrupt {
		return head, nil, err
	}
	if head.RepositoryID != r.cfg.ID {
		head = pack.Header{}
	}
	entries, err := pack.ReadDirectory(rd)
	if errs.KindOf(err) == errs.Corrupt {
		entries, err = scanRecords(rd)
	}
	return head, entries, err
}

func scanRecords(rd storage.Reader) ([]pack.Entry, error) {
	var entries []pack.Entry
	err := pack.Scan(rd, rd.Size(), func(f pack.Found) error {
		if f.Err == nil {
			entries = append(entries, entryOf(f.Record, f.Offset))
		}
		return nil
	})
	return entries, err
}

func entryOf(rec seal.Record, offset int64) pack.Entry {
	return pack.Entry{ID: rec.ID, Offset: uint32(offset), Length: uint32(rec.Len()), Kind: rec.Kind, Punched: rec.Punched}
}
