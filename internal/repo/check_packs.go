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

// packs looks at every pack that is there, and for those that segments name and are not.
func (c *checker) packs(ctx context.Context) error {
	infos, err := c.r.list(ctx, packsDir)
	if err != nil {
		return err
	}
	missing := c.r.indexed()
	c.expect(infos)
	g, gctx := errgroup.WithContext(ctx)
	g.SetLimit(runtime.GOMAXPROCS(0))
	for _, info := range infos {
		a, class, number, err := parsePackName(info.Name)
		if err != nil {
			c.find(Finding{Object: "pack", Name: info.Name, Code: "pack.name", Text: err.Error(), Repaired: "nothing refers to it"})
			continue
		}
		k := packKey{a, class, number}
		delete(missing, k)
		c.report.Packs++
		g.Go(func() error {
			read, err := c.pack(gctx, k, info)
			c.advance(info.Size - read)
			return err
		})
	}
	if err := g.Wait(); err != nil {
		return err
	}
	for k := range missing {
		if err := c.lostPack(ctx, k); err != nil {
			return err
		}
	}
	return nil
}

func (k packKey) name() string { return packName(k.attempt, k.class, k.number) }

// lostPack counts all chunks of a pack that is not there as damaged.
func (c *checker) lostPack(ctx context.Context, k packKey) error {
	entries := c.r.entriesOf(k)
	c.find(Finding{Object: "pack", Name: k.name(), Code: "pack.missing", Text: fmt.Sprintf("it is not there; %d chunks were in it", len(entries))})
	for _, e := range entries {
		c.badEntry(k, e, "chunk.damaged", errs.New(errs.NotFound, "pack.missing", "its pack is not there"))
	}
	return ctx.Err()
}

// entriesOf is what the index says of a pack.
func (r *Repository) entriesOf(k packKey) []pack.Entry {
	seen := map[uint32]bool{}
	var entries []pack.Entry
	for _, s := range r.snapshot() {
		at := slices.IndexFunc(s.seg.Packs, func(p segment.Pack) bool {
			return packKey{p.Attempt, p.Class, p.Number} == k
		})
		if at < 0 {
			continue
		}
		// A segment that turns out damaged here was good a moment ago: what it gave is used.
		_ = s.seg.All(func(row segment.Row) error {
			if row.Pack == uint32(at) && !seen[row.Offset] {
				seen[row.Offset] = true
				entries = append(entries, pack.Entry{ID: row.ID, Offset: row.Offset, Length: row.Length, Kind: row.Kind})
			}
			return nil
		})
	}
	slices.SortFunc(entries, func(a, b pack.Entry) int { return int(a.Offset) - int(b.Offset) })
	return entries
}

// pack checks one pack: header, directory, and with ReadData every record. It answers how
// many bytes of it the content walk had read.
func (c *checker) pack(ctx context.Context, k packKey, info storage.Info) (read int64, err error) {
	rd, err := c.r.b.Open(ctx, info.Name)
	if errs.KindOf(err) == errs.NotFound {
		return 0, nil // removed since it was listed
	}
	if err != nil {
		return 0, err
	}
	defer rd.Close() //nolint:errcheck // only read
	head, err := pack.ReadHeader(rd)
	if err == nil && (head.RepositoryID != c.r.cfg.ID || head.Attempt != k.attempt || head.Class != k.class || head.Number != k.number) {
		err = errs.New(errs.Corrupt, "pack.place", "read pack header: it is another pack's")
	}
	if err := c.part(info.Name, "pack.header", err, "its records are found without it"); err != nil {
		return 0, err
	}
	entries, err := pack.ReadDirectory(rd)
	whole := err == nil
	if err := c.part(info.Name, "pack.directory", err, "its records are found through the index"); err != nil {
		return 0, err
	}
	if !whole {
		entries = c.r.entriesOf(k)
	}
	c.mu.Lock()
	c.report.Chunks += int64(len(entries))
	c.mu.Unlock()
	rest, read := c.unread(ctx, k, entries)
	return read, c.records(ctx, k, rd, rest)
}

// part reports a damaged part of a pack without which its chunks can still be read.
func (c *checker) part(name, code string, err error, why string) error {
	if err != nil && errs.KindOf(err) != errs.Corrupt {
		return err
	}
	if err != nil {
		c.find(Finding{Object: "pack", Name: name, Code: code, Text: err.Error(), Repaired: "nothing is lost by it: " + why})
	}
	return nil
}

// records reads the records of a pack in large pieces; without ReadData it only looks whether
// the pack is long enough.
func (c *checker) records(ctx context.Context, k packKey, rd storage.Reader, entries []pack.Entry) error {
	var buf []byte
	start := int64(0)
	for i, e := range entries {
		if err := ctx.Err(); err != nil {
			return err
		}
		if !c.fits(k, e, rd.Size()) || !c.opts.ReadData {
			continue
		}
		from, to := int64(e.Offset), int64(e.Offset)+int64(e.Length)
		if from < start || to > start+int64(len(buf)) {
			end := to
			for j := i + 1; j < len(entries) && joins(e, entries[j-1], entries[j]) && int64(entries[j].Offset)+int64(entries[j].Length) <= rd.Size(); j++ {
				end = int64(entries[j].Offset) + int64(entries[j].Length)
			}
			var err error
			if buf, err = c.fill(rd, buf, from, end); err != nil {
				return err
			}
			start = from
		}
		if _, err := recordOf(e, buf[from-start:to-start]); err != nil {
			c.badEntry(k, e, "chunk.damaged", err)
		}
	}
	return nil
}

// fits tells whether a record lies within its pack; one that does not is reported.
func (c *checker) fits(k packKey, e pack.Entry, size int64) bool {
	if int64(e.Offset)+int64(e.Length) <= size && e.Length <= seal.MaxRecord {
		return true
	}
	c.badEntry(k, e, "chunk.damaged", errs.New(errs.Corrupt, "pack.short", "the pack ends before it"))
	return false
}

// fill reads a piece; where the disk does not give it, it stays zero and its records show as
// damaged.
func (c *checker) fill(rd storage.Reader, buf []byte, from, to int64) ([]byte, error) {
	if int64(cap(buf)) < to-from {
		buf = make([]byte, to-from)
	}
	buf = buf[:to-from]
	n, err := rd.ReadAt(buf, from)
	c.read.Add(int64(n))
	if n < len(buf) {
		clear(buf[n:])
		if errs.KindOf(err) == errs.Cancelled {
			return buf, err
		}
	}
	return buf, nil
}

// recordOf reads the record that is said to be at a place.
func recordOf(e pack.Entry, b []byte) (seal.Record, error) {
	rec, err := seal.ParseRecord(b)
	if err == nil && (rec.ID != e.ID || rec.Len() != len(b) || rec.Kind != e.Kind) {
		err = errs.New(errs.Corrupt, "record.place", "there is another record, %s", rec.ID)
	}
	return rec, err
}

// badEntry notes a damaged record. One that these keys do not open, or whose content is what
// its hash says and no good nevertheless, is not marked: to store it again would not help.
func (c *checker) badEntry(k packKey, e pack.Entry, code string, err error) {
	c.mu.Lock()
	c.bad[place{k.attempt, k.class, k.number, e.Offset}] = true
	c.badRows = append(c.badRows, badRow{k, e, code != "chunk.keys" && code != "chunk.form"})
	c.mu.Unlock()
	c.chunk(e.ID, k.name(), code, fmt.Sprintf("its %d bytes at %d of the pack are not good: %v", e.Length, e.Offset, err))
}

// lost tells whether a chunk can be read nowhere.
func (c *checker) lost(ctx context.Context, id seal.ID) bool {
	for _, l := range c.r.Locations(ctx, id) {
		if !c.bad[l.place()] {
			return false
		}
	}
	return true
}

// readGood hands a chunk's record to use from each place that is not known to be bad, until
// it is satisfied.
func (c *checker) readGood(ctx context.Context, id seal.ID, use func(*seal.Record) error) error {
	err := error(errs.New(errs.NotFound, "chunk.missing", "read chunk %s: the repository does not hold it", id))
	for _, l := range c.r.Locations(ctx, id) {
		if c.bad[l.place()] {
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

// mark says of every damaged chunk whether another copy is good, and publishes the marks that
// make damaged places absent, so that the next backup stores these chunks again.
func (c *checker) mark(ctx context.Context) error {
	slices.SortFunc(c.badRows, func(a, b badRow) int { return slices.Compare(a.entry.ID[:], b.entry.ID[:]) })
	header := segment.Header{RepositoryID: c.r.cfg.ID, Attempt: c.opts.Attempt}
	var packs []segment.Pack
	var rows []segment.Row
	at := map[packKey]uint32{}
	for _, b := range c.badRows {
		if !c.lost(ctx, b.entry.ID) {
			c.report.Findings[c.chunks[b.entry.ID]].Repaired = "nothing is lost: another copy of the chunk is good"
		}
		if !b.mark || !c.r.trusts(ctx, b) {
			continue // no use, marked before, or in no segment
		}
		if _, ok := at[b.pack]; !ok {
			at[b.pack] = uint32(len(packs))
			packs = append(packs, segment.Pack{Attempt: b.pack.attempt, Class: b.pack.class, Number: b.pack.number})
		}
		rows = append(rows, segment.Row{ID: b.entry.ID, Pack: at[b.pack], Offset: b.entry.Offset, Length: b.entry.Length, Kind: b.entry.Kind, Flags: segment.Damaged})
	}
	if !c.opts.Repair || len(rows) == 0 {
		return nil
	}
	header.Number = 1
	name := segmentName(header.Attempt, header.Number)
	if err := c.r.b.Put(ctx, name, segment.Encode(header, packs, rows)); err != nil {
		return err
	}
	return c.r.openSegment(ctx, name)
}

// trusts tells whether the index still sends readers to a place.
func (r *Repository) trusts(ctx context.Context, b badRow) bool {
	return slices.ContainsFunc(r.Locations(ctx, b.entry.ID), func(l Location) bool {
		return l.place() == place{b.pack.attempt, b.pack.class, b.pack.number, b.entry.Offset}
	})
}
