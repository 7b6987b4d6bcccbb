package repo

import (
	"context"
	"fmt"
	"runtime"
	"slices"

	"golang.org/x/sync/errgroup"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/segment"
	"keepward/internal/storage"
)

// structure looks at header and directory of every pack, and at its length.
func (c *checker) structure(ctx context.Context) error {
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, p := range c.chosen {
		g.Go(func() error {
			defer c.advance(p.size)
			return c.outline(gctx, p)
		})
	}
	return g.Wait()
}

func (c *checker) outline(ctx context.Context, p chosenPack) error {
	if err := ctx.Err(); err != nil {
		return err
	}
	rd, err := c.r.b.Open(ctx, nameOf(p.key))
	if errs.KindOf(err) == errs.NotFound {
		c.wentAway(p.key)
		return nil
	}
	if err != nil {
		return err
	}
	defer rd.Close() //nolint:errcheck // only read
	entries, _, err := c.directory(ctx, p.key, rd)
	for _, e := range entries {
		c.fits(p.key, e, rd.Size())
	}
	return err
}

// directory reads a pack's header and directory. Where these are damaged, which is reported,
// the index says what is in the pack.
func (c *checker) directory(ctx context.Context, k pack.Key, rd storage.Reader) (entries []pack.Entry, whole bool, err error) {
	head, err := pack.ReadHeader(rd)
	if err == nil && (head.RepositoryID != c.r.cfg.ID || head.Attempt != k.Attempt || head.Class != k.Class || head.Number != k.Number) {
		err = errs.New(errs.Corrupt, "pack.place", "read pack header: it is another pack's")
	}
	entries, derr := pack.ReadDirectory(rd)
	if errs.KindOf(err) == errs.Corrupt && derr == nil && c.displaced(k, entries, err) {
		return entries, false, nil
	}
	goodHead, err := c.part(k, "pack.header", err, "its records are found without it")
	if err != nil {
		return nil, false, err
	}
	err = derr
	goodDirectory, err := c.part(k, "pack.directory", err, "its records are found through the index")
	if err != nil {
		return nil, false, err
	}
	if !goodDirectory {
		entries = c.r.entriesOf(k)
	} else if goodHead {
		c.compare(ctx, k, entries)
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.Chunks += int64(len(entries))
	return entries, goodHead && goodDirectory, nil
}

// part reports a damaged part of a pack without which its chunks can still be read.
func (c *checker) part(k pack.Key, code string, err error, why string) (good bool, _ error) {
	switch errs.KindOf(err) {
	case "":
		return true, nil
	case errs.Corrupt, errs.Unavailable:
		c.find(Finding{Object: "pack", Name: nameOf(k), Code: code, Text: err.Error(), Repaired: "nothing is lost by it: " + why})
		return false, nil
	}
	return false, err
}

// gonePack reports a pack that is not there and that a point needs, once.
func (c *checker) gonePack(l Location) {
	k := l.PackKey()
	if _, there := c.there[k]; there || c.gonePacks[k] {
		return
	}
	c.gonePacks[k] = true
	c.find(Finding{Object: "pack", Name: l.PackName(), Code: "pack.missing", Text: "it is not there, and restore points need chunks that were in it"})
}

// entriesOf is what the index says of a pack.
func (r *Repository) entriesOf(k pack.Key) []pack.Entry {
	at := map[uint32]int{}
	var entries []pack.Entry
	for _, s := range r.snapshot() {
		is := func(p segment.Pack) bool { return pack.Key{Attempt: p.Attempt, Class: p.Class, Number: p.Number} == k }
		if !slices.ContainsFunc(s.seg.Packs, is) {
			continue
		}
		// A segment that turns out damaged here was good a moment ago: what it gave is used.
		_ = s.seg.All(func(row segment.Row) error {
			if !is(s.seg.Packs[row.Pack]) {
				return nil
			}
			i, seen := at[row.Offset]
			if !seen {
				i = len(entries)
				at[row.Offset] = i
				entries = append(entries, pack.Entry{ID: row.ID, Offset: row.Offset, Length: row.Length, Kind: row.Kind})
			}
			entries[i].Punched = entries[i].Punched || row.Flags&segment.Punched != 0
			return nil
		})
	}
	slices.SortFunc(entries, func(a, b pack.Entry) int { return int(a.Offset) - int(b.Offset) })
	return entries
}

// fits tells whether a record lies within its pack; one that does not is reported.
func (c *checker) fits(k pack.Key, e pack.Entry, size int64) bool {
	if int64(e.Offset)+int64(e.Length) <= size && e.Length <= seal.MaxRecord {
		return true
	}
	c.badEntry(k, e, codeDamaged, errs.New(errs.Corrupt, "pack.short", "the pack ends before it"))
	return false
}

// recordOf reads the record that is said to be at a place.
func recordOf(e pack.Entry, b []byte) (seal.Record, error) {
	rec, err := seal.ParseRecord(b)
	if err == nil && (rec.ID != e.ID || rec.Len() != len(b) || rec.Kind != e.Kind || rec.Punched != e.Punched) {
		err = errs.New(errs.Corrupt, "record.place", "there is another record, %s", rec.ID)
	}
	return rec, err
}

// badEntry notes a record that is no good, once; again if now it is one to be marked.
func (c *checker) badEntry(k pack.Key, e pack.Entry, code string, err error) {
	p := place{k.Attempt, k.Class, k.Number, e.Offset}
	c.mu.Lock()
	marked, known := c.bad[p]
	if !known || !marked && marks(code) {
		c.bad[p] = marks(code)
		c.badRows = append(c.badRows, badRow{k, e, marks(code)})
	}
	c.mu.Unlock()
	c.chunk(e.ID, nameOf(k), code, fmt.Sprintf("its %d bytes at %d of the pack are not good: %v", e.Length, e.Offset, err))
}

// lost tells whether a chunk can be read nowhere.
func (c *checker) lost(ctx context.Context, id seal.ID) bool {
	for again := true; ; again = false {
		for _, l := range c.r.Locations(ctx, id) {
			if !c.isBad(l.place()) && c.packThere(ctx, l) {
				return false
			}
		}
		if !again || !c.refresh(ctx) {
			return true
		}
	}
}

// wentAway notes that a pack was removed since it was listed: by a sweep, which has put what is
// needed elsewhere, or not.
func (c *checker) wentAway(k pack.Key) {
	c.mu.Lock()
	defer c.mu.Unlock()
	delete(c.there, k)
	c.left[k] = true
	c.amiss = true
}

// packThere tells whether a pack is there: one that was not when they were listed may have been
// made since.
func (c *checker) packThere(ctx context.Context, l Location) bool {
	c.mu.Lock()
	_, there := c.there[l.PackKey()]
	c.mu.Unlock()
	if there {
		return true
	}
	there, err := storage.Exists(ctx, c.r.b, l.PackName())
	return err == nil && there
}

// readGood hands a chunk's record to use from each place that is not known to be bad, until it
// is satisfied: first from what a computer's own attempts stored or what is proved.
func (c *checker) readGood(ctx context.Context, owner [16]byte, id seal.ID, use func(*seal.Record) error) error {
	err := error(errs.New(errs.NotFound, "chunk.missing", "read chunk %s: the repository does not hold it", id))
	for _, l := range placesFor(owner, c.r.Locations(ctx, id)) {
		if c.isBad(l.place()) {
			continue
		}
		var rec seal.Record
		if rec, err = c.r.ReadRecord(ctx, l, nil); err == nil {
			err = use(&rec)
		}
		if err == nil || ctx.Err() != nil {
			return err
		}
	}
	return err
}
