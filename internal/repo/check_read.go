package repo

import (
	"context"
	"runtime"
	"sync"
	"time"

	"golang.org/x/sync/errgroup"
	"golang.org/x/time/rate"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/proof"
	"keepward/internal/repo/seal"
	"keepward/internal/repo/spill"
	"keepward/internal/storage"
	"keepward/internal/storage/vfs"
)

const (
	// piece is how much is read at once: large enough for the disk to stream.
	piece = 4 << 20
	// sector is what reads past the cache are cut to.
	sector = 4096
	// Packs read at once: while one is hashed the disk fetches another. More than there are
	// processors gain nothing, and many make one disk seek.
	minReaders = 2
	maxReaders = 4
	// rateBurst is what may be read at once where the rate is bound.
	rateBurst = piece + 2*sector
)

// reading is the part of a check that reads packs, in the order in which they were chosen.
type reading struct {
	c     *checker
	past  storage.Past // nil: there is no way past the cache
	limit *rate.Limiter

	mu     sync.Mutex // guards what follows
	next   int
	needs  *spill.Reader
	expiry time.Time // of the budget; zero: none
}

// packWork is one pack to be read, with what points need of it in order of the offsets.
type packWork struct {
	chosenPack
	needs []need
}

// data reads the packs that were chosen.
func (c *checker) data(ctx context.Context) error {
	v := &reading{c: c, limit: rate.NewLimiter(rate.Inf, 0)}
	v.past, _ = c.r.b.(storage.Past)
	if c.opts.Rate > 0 {
		v.limit = rate.NewLimiter(rate.Limit(c.opts.Rate), rateBurst)
	}
	if c.opts.Budget > 0 {
		v.expiry = time.Now().Add(c.opts.Budget)
	}
	var err error
	if v.needs, err = c.needed.Merge(); err != nil {
		return err
	}
	readers := c.opts.Readers
	if readers <= 0 {
		readers = max(minReaders, min(maxReaders, runtime.GOMAXPROCS(0)))
	}
	g, gctx := errgroup.WithContext(ctx)
	for range min(readers, len(c.chosen)) {
		g.Go(func() error { return v.read(gctx) })
	}
	err = g.Wait()
	for _, p := range c.chosen[v.next:] {
		c.report.LeftPacks++
		c.report.LeftBytes += p.size
	}
	if err != nil && ctx.Err() != nil {
		// Stopped: what was proved stays proved. The order to stop must not undo that.
		last, cancel := context.WithTimeout(context.WithoutCancel(ctx), lastPublish)
		defer cancel()
		return joinErr(err, c.publish(last))
	}
	return err
}

// take answers the next pack, unless there is none or the time is over.
func (v *reading) take() (packWork, bool, error) {
	v.mu.Lock()
	defer v.mu.Unlock()
	over := !v.expiry.IsZero() && v.next > 0 && time.Now().After(v.expiry)
	if v.next == len(v.c.chosen) || over {
		return packWork{}, false, nil
	}
	w := packWork{chosenPack: v.c.chosen[v.next]}
	for raw := v.needs.Peek(); raw != nil; raw = v.needs.Peek() {
		n := parseNeed(raw)
		if n.rank != uint32(v.next) {
			break
		}
		w.needs = append(w.needs, n)
		v.needs.Next()
	}
	v.next++
	return w, true, v.needs.Err()
}

// read reads one pack after the other.
func (v *reading) read(ctx context.Context) error {
	p := &packReader{v: v, c: v.c}
	if v.c.opts.keyed() {
		o, err := seal.NewOpener(v.c.opts.Keys)
		if err != nil {
			return err
		}
		defer o.Close()
		p.opener = o
	}
	for {
		w, ok, err := v.take()
		if err == nil {
			err = ctx.Err()
		}
		if err != nil || !ok {
			return err
		}
		if err := p.pack(ctx, w); err != nil {
			return err
		}
		if err := v.c.publishDue(ctx); err != nil {
			return err
		}
	}
}

// packReader reads whole packs. It belongs to one goroutine.
type packReader struct {
	v       *reading
	c       *checker
	opener  *seal.Opener // nil: there are no keys
	buf     []byte       // aligned
	content []byte
}

// packFaults are what is wrong with a pack while it is read.
type packFaults struct {
	good       int  // records
	opened     int  // records whose content was compared
	damaged    bool // the pack or a record
	unopened   bool // a record that is needed did not open with these keys
	unreadable []pack.Entry
	cause      error // of the first that was unreadable
}

// open opens a pack past the cache where that is possible.
func (v *reading) open(ctx context.Context, name string) (storage.Reader, error) {
	if v.past != nil {
		return v.past.OpenPast(ctx, name)
	}
	return v.c.r.b.Open(ctx, name)
}

// pack reads one pack and notes what that proves.
func (p *packReader) pack(ctx context.Context, w packWork) error {
	rd, err := p.v.open(ctx, nameOf(w.key))
	if errs.KindOf(err) == errs.NotFound {
		p.c.advance(w.size)
		p.c.wentAway(w.key)
		return nil
	}
	if err != nil {
		return err
	}
	defer rd.Close() //nolint:errcheck // only read
	var f packFaults
	entries, whole, err := p.c.directory(ctx, w.key, rd)
	if err != nil {
		return err
	}
	f.damaged = !whole
	read, err := p.records(ctx, w, rd, entries, &f)
	if err != nil {
		return err
	}
	p.c.advance(w.size - read)
	p.c.unreadable(w.key, &f)
	p.c.proved(w.key, len(entries), &f)
	if f.damaged || len(f.unreadable) > 0 {
		return nil
	}
	return p.c.parity(ctx, w.key)
}

// records reads a pack's records in large pieces and answers how many bytes that were.
func (p *packReader) records(ctx context.Context, w packWork, rd storage.Reader, entries []pack.Entry, f *packFaults) (read int64, err error) {
	entries = p.within(w, entries, rd.Size(), f)
	needs := w.needs
	for len(entries) > 0 {
		n := runLength(entries)
		from := int64(entries[0].Offset)
		to := int64(entries[n-1].Offset) + int64(entries[n-1].Length)
		if err := p.v.wait(ctx, to-from); err != nil {
			return read, err
		}
		b, rerr := p.fill(rd, from, to)
		if k := errs.KindOf(rerr); k == errs.Cancelled {
			return read, rerr
		}
		for _, e := range entries[:n] {
			at := int64(e.Offset) - from
			end := at + int64(e.Length)
			rec := b[min(at, int64(len(b))):min(end, int64(len(b)))]
			if int64(len(rec)) < int64(e.Length) {
				rec = p.again(rd, e, f)
			}
			var here []need
			here, needs = p.c.needsAt(w.key, e, needs, f)
			good := rec != nil && p.record(w.key, e, rec, here, f)
			if !good && len(here) > 0 {
				p.c.noteHash(here[0].h)
			}
		}
		p.c.advance(to - from)
		read += to - from
		entries = entries[n:]
	}
	p.c.misplaced(w.key, needs, f)
	return read, nil
}

// runLength is how many records are read at once.
func runLength(entries []pack.Entry) int {
	n := 1
	for n < len(entries) && entries[n-1].Offset+entries[n-1].Length == entries[n].Offset &&
		int64(entries[n].Offset)+int64(entries[n].Length)-int64(entries[0].Offset) <= piece {
		n++
	}
	return n
}

// within drops entries that reach beyond the pack, which are reported.
func (p *packReader) within(w packWork, entries []pack.Entry, size int64, f *packFaults) []pack.Entry {
	out := entries[:0:0]
	for _, e := range entries {
		if p.c.fits(w.key, e, size) {
			out = append(out, e)
		} else {
			f.damaged = true
		}
	}
	return out
}

// wait keeps to the rate.
func (v *reading) wait(ctx context.Context, n int64) error {
	for n > 0 && v.c.opts.Rate > 0 {
		part := min(n, rateBurst)
		if err := v.limit.WaitN(ctx, int(part)); err != nil {
			return err
		}
		n -= part
	}
	return ctx.Err()
}

// fill reads a piece, in whole sectors where it goes past the cache. Fewer bytes come where the
// disk does not give them.
func (p *packReader) fill(rd storage.Reader, from, to int64) ([]byte, error) {
	start, end := from, to
	if p.v.past != nil {
		start, end = from&^(sector-1), (to+sector-1)&^(sector-1)
	}
	if int64(cap(p.buf)) < end-start {
		p.buf = vfs.Aligned(int(end - start))
	}
	n, err := rd.ReadAt(p.buf[:end-start], start)
	got := min(max(int64(n)-(from-start), 0), to-from)
	p.c.read.Add(got)
	return p.buf[from-start : from-start+got], err
}

// again reads one record alone: of a piece that the disk does not give, most may be good. It
// answers nil if it is not to be had.
func (p *packReader) again(rd storage.Reader, e pack.Entry, f *packFaults) []byte {
	b := make([]byte, e.Length)
	n, err := rd.ReadAt(b, int64(e.Offset))
	if n == len(b) {
		return b
	}
	if f.cause == nil {
		f.cause = err
	}
	f.unreadable = append(f.unreadable, e)
	return nil
}

// record looks at one record: opened, if a point needs it, else by its checksum. It answers
// whether its checksum is good.
func (p *packReader) record(k pack.Key, e pack.Entry, b []byte, needs []need, f *packFaults) bool {
	rec, err := recordOf(e, b)
	if err != nil {
		f.damaged = true
		p.c.badEntry(k, e, codeDamaged, err)
		return false
	}
	f.good++
	for _, n := range needs {
		code, err := p.open(&rec, n.h)
		if n.marked {
			if err == nil {
				f.opened++
				p.c.good(k, e)
			}
			continue
		}
		if err != nil {
			f.damaged = f.damaged || marks(code)
			f.unopened = f.unopened || code == codeKeys
			e.ID = n.h.ID()
			p.c.badEntry(k, e, code, err)
			continue
		}
		f.opened++
	}
	return true
}

// open compares a record's content with its hash.
func (p *packReader) open(rec *seal.Record, h seal.H) (code string, err error) {
	content, err := p.opener.Open(p.content, rec, h)
	if err != nil {
		return openCode(err), err
	}
	p.content = content
	p.c.provedChunks.Add(1)
	p.c.provedBytes.Add(int64(len(content)))
	if rec.Kind.Meta() {
		_, code, err = checkRefs(rec, content)
	}
	return code, err
}

// unreadable reports records that the disk does not give. They are marked only if it gave others
// of the pack: a disk that is gone is not a damaged one.
func (c *checker) unreadable(k pack.Key, f *packFaults) {
	code := codeDamaged
	if f.good == 0 {
		code = codeUnreadable
	}
	for _, e := range f.unreadable {
		f.damaged = true
		c.badEntry(k, e, code, f.cause)
	}
}

// proved notes the proof of a pack.
func (c *checker) proved(k pack.Key, entries int, f *packFaults) {
	e := proof.Entry{Pack: k, Level: c.level(), Time: c.opts.Time}
	switch {
	case len(f.unreadable) > 0 && f.good == 0:
		return
	case f.unopened:
		e.Level = proof.Sums
	case e.Level == proof.Content && f.opened == entries && !f.damaged:
		e.Flags |= proof.Whole
	}
	if f.damaged {
		e.Flags |= proof.Damaged
	}
	c.mu.Lock()
	defer c.mu.Unlock()
	c.report.ProvedPacks++
	c.proofs = append(c.proofs, e)
}
