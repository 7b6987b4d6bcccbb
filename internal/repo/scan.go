package repo

import (
	"context"

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
	var packs []segment.Pack
	var rows []segment.Row
	for _, info := range infos {
		a, class, number, err := parsePackName(info.Name)
		if err != nil || a != attempt {
			continue // not ours; Check names it
		}
		head, entries, err := r.scanPack(ctx, info.Name)
		if ctx.Err() != nil {
			return h, nil, nil, err
		}
		if err != nil { // its chunks count as absent; the rest must stay within reach
			r.addCondition("pack.unreadable", info.Name, err.Error())
			continue
		}
		if head.Attempt == attempt {
			h.Owner = head.Owner
		}
		packs = append(packs, segment.Pack{Attempt: attempt, Class: class, Number: number, Length: info.Size})
		for _, e := range entries {
			rows = append(rows, segment.Row{ID: e.ID, Pack: uint32(len(packs) - 1), Offset: e.Offset, Length: e.Length, Kind: e.Kind})
		}
	}
	return h, packs, rows, nil
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
	return pack.Entry{ID: rec.ID, Offset: uint32(offset), Length: uint32(rec.Len()), Kind: rec.Kind}
}
