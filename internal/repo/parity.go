package repo

import (
	"bufio"
	"context"
	"io"
	"maps"
	"slices"
	"strings"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/parity"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

const parityDir = "parity"

// parityName is where the parity of a pack lies: an object of its own, so that a pack is read as
// if there were none, and gets it later.
func parityName(k pack.Key) string {
	return parityDir + strings.TrimPrefix(nameOf(k), packsDir)
}

func parseParityName(name string) (pack.Key, error) {
	k, err := ParsePackName(packsDir + strings.TrimPrefix(name, parityDir))
	if err == nil && parityName(k) != name {
		err = badName(name)
	}
	return k, err
}

// ParityOptions say which packs get parity.
type ParityOptions struct {
	Percent int
	// Attempt, if set, is the only one whose packs get it.
	Attempt point.Attempt
	// Tidy removes the parity of packs that are gone, by orders of a server of this term.
	Tidy bool
	Term uint64
	// Wait, if set, is asked before so many bytes are read.
	Wait     func(ctx context.Context, n int64) error
	Progress func(done, total int64)
}

// ParityReport is what KeepParity did.
type ParityReport struct {
	Made, Bytes int64 // objects, and their bytes
	Removed     int64
	// Damaged are packs that get none: parity would only keep their damage.
	Damaged []pack.Key
}

// KeepParity makes the parity of packs that have none, unless they are condemned. It may be ended
// at any time, and any number may run at once, beside anything else: parity is an object of its
// own, made of a pack that is durable and whose checksums are good, and nothing relies on it.
func (r *Repository) KeepParity(ctx context.Context, o ParityOptions) (ParityReport, error) {
	var report ParityReport
	if err := r.cfg.Writable(); err != nil {
		return report, err
	}
	// In this order: parity is made of a pack that is there.
	packs := packsDir
	if o.Attempt != (point.Attempt{}) {
		packs = attemptDir(o.Attempt)
	}
	have, err := r.parityBelow(ctx, packs)
	if err != nil || len(have) == 0 && o.Percent == 0 {
		return report, err
	}
	there, err := r.packsBelow(ctx, packs)
	if err != nil {
		return report, err
	}
	if o.Tidy {
		if report.Removed, err = r.tidyParity(ctx, have, there, o.Term); err != nil {
			return report, err
		}
	}
	if o.Percent == 0 {
		return report, nil
	}
	g, err := r.Generation(ctx)
	if err != nil {
		return report, err
	}
	maps.DeleteFunc(there, func(k pack.Key, size int64) bool {
		_, has := have[k]
		return has || g.Condemns(k) || size > parity.MaxPack
	})
	return report, r.makeParity(ctx, o, there, &report)
}

func (r *Repository) makeParity(ctx context.Context, o ParityOptions, packs map[pack.Key]int64, report *ParityReport) error {
	var done, total int64
	for _, size := range packs {
		total += size
	}
	for _, k := range slices.SortedFunc(maps.Keys(packs), pack.Key.Compare) {
		if o.Wait != nil {
			if err := o.Wait(ctx, packs[k]); err != nil {
				return err
			}
		}
		n, err := r.PutParity(ctx, k, o.Percent)
		switch {
		case ctx.Err() != nil:
			return ctx.Err()
		case errs.KindOf(err) == errs.Corrupt:
			report.Damaged = append(report.Damaged, k)
		case err != nil:
			return err
		case n > 0:
			report.Made++
			report.Bytes += n
		}
		if done += packs[k]; o.Progress != nil {
			o.Progress(done, total)
		}
	}
	return nil
}

// PutParity makes the parity of one pack and answers its size; 0: it was not needed, because the
// pack has some or is gone. A pack that is damaged gets none: errs.Corrupt.
func (r *Repository) PutParity(ctx context.Context, k pack.Key, percent int) (size int64, err error) {
	object, err := r.encodeParity(ctx, k, percent)
	if err == nil {
		err = r.b.Put(ctx, parityName(k), object)
	}
	switch errs.KindOf(err) {
	case "":
	case errs.NotFound, errs.Exists:
		return 0, nil
	default:
		return 0, err
	}
	// A sweep takes the pack first and then its parity: one of the two sees the other.
	there, err := storage.Exists(ctx, r.b, nameOf(k))
	if err != nil || there {
		return int64(len(object)), err
	}
	return 0, r.remove(ctx, parityName(k))
}

func (r *Repository) encodeParity(ctx context.Context, k pack.Key, percent int) ([]byte, error) {
	rd, err := r.b.Open(ctx, nameOf(k))
	if err != nil {
		return nil, err
	}
	defer rd.Close() //nolint:errcheck // only read
	if err := r.wholePack(ctx, k, rd); err != nil {
		return nil, err
	}
	return parity.Encode(
		parity.Header{RepositoryID: r.cfg.ID, Pack: k, Percent: percent, Size: rd.Size()},
		io.NewSectionReader(rd, 0, rd.Size()))
}

// wholePack compares all checksums of a pack.
func (r *Repository) wholePack(ctx context.Context, k pack.Key, rd storage.Reader) error {
	head, err := pack.ReadHeader(rd)
	if err != nil {
		return err
	}
	if head.RepositoryID != r.cfg.ID || head.Attempt != k.Attempt || head.Class != k.Class || head.Number != k.Number {
		return errs.New(errs.Corrupt, "pack.place", "read %s: it is another pack's", nameOf(k))
	}
	entries, err := pack.ReadDirectory(rd)
	if err != nil {
		return err
	}
	from := bufio.NewReaderSize(io.NewSectionReader(rd, pack.HeaderSize, rd.Size()-pack.HeaderSize), packBuffer)
	var buf []byte
	for _, e := range entries {
		if e.Length > seal.MaxRecord {
			return errs.New(errs.Corrupt, "record.length", "read %s: a record of %d bytes", nameOf(k), e.Length)
		}
		buf = slices.Grow(buf[:0], int(e.Length))[:e.Length]
		if _, err = io.ReadFull(from, buf); err == nil {
			_, err = recordOf(e, buf)
		}
		if err != nil {
			return err
		}
		if err := ctx.Err(); err != nil {
			return err
		}
	}
	return nil
}

// parityBelow are the packs of a folder that have parity, with its size.
func (r *Repository) parityBelow(ctx context.Context, packs string) (map[pack.Key]int64, error) {
	have := map[pack.Key]int64{}
	err := r.b.List(ctx, parityDir+strings.TrimPrefix(packs, packsDir), func(i storage.Info) error {
		if k, err := parseParityName(i.Name); err == nil { // else it is not ours; a check names it
			have[k] = i.Size
		}
		return nil
	})
	return have, err
}

// tidyParity removes the parity of packs that are gone.
func (r *Repository) tidyParity(ctx context.Context, have, there map[pack.Key]int64, term uint64) (removed int64, err error) {
	for k := range have {
		if _, ok := there[k]; ok {
			continue
		}
		if err := r.CheckTerm(ctx, term); err != nil {
			return removed, err
		}
		// A name is used once, so a pack that is gone stays gone.
		if exists, err := storage.Exists(ctx, r.b, nameOf(k)); err != nil || exists {
			return removed, err
		}
		if err := r.remove(ctx, parityName(k)); err != nil {
			return removed, err
		}
		removed++
	}
	return removed, nil
}

// mender reads a pack as it was, wherever its parity suffices.
type mender struct {
	*parity.Mender
	pack, parity storage.Reader
}

func (m *mender) close() {
	_ = m.pack.Close() // only read
	_ = m.parity.Close()
}

// mender opens a pack and its parity. One of them that is not there is errs.NotFound, and parity
// that is not this pack's errs.Corrupt.
func (r *Repository) mender(ctx context.Context, k pack.Key) (*mender, error) {
	m := &mender{}
	var err error
	if m.parity, err = r.b.Open(ctx, parityName(k)); err != nil {
		return nil, err
	}
	if m.pack, err = r.b.Open(ctx, nameOf(k)); err != nil {
		return nil, joinErr(err, m.parity.Close())
	}
	o, err := r.openParity(k, m.parity)
	if err != nil {
		m.close()
		return nil, err
	}
	m.Mender = o.Mender(m.pack)
	return m, nil
}

func (r *Repository) openParity(k pack.Key, rd storage.Reader) (*parity.Object, error) {
	o, err := parity.Open(rd)
	if err == nil && (o.RepositoryID != r.cfg.ID || o.Pack != k) {
		err = errs.New(errs.Corrupt, "parity.place", "it is another pack's, or another repository's")
	}
	if err != nil {
		return nil, errs.New(errs.KindOf(err), errs.CodeOf(err), "read %s: %w", parityName(k), err)
	}
	return o, nil
}

// record is the record of a place as it was. It is an error also if nothing had to be made anew:
// then parity has nothing better to give.
func (m *mender) record(e pack.Entry) (seal.Record, error) {
	if e.Length > seal.MaxRecord {
		return seal.Record{}, errs.New(errs.Corrupt, "record.length", "%d bytes are too many", e.Length)
	}
	raw, buf := make([]byte, e.Length), make([]byte, e.Length)
	if n, err := m.ReadAt(buf, int64(e.Offset)); n < len(buf) {
		if err == nil || err == io.EOF {
			err = errs.New(errs.Corrupt, "pack.short", "the pack ends within it")
		}
		return seal.Record{}, err
	}
	if n, _ := m.pack.ReadAt(raw, int64(e.Offset)); n == len(raw) && string(raw) == string(buf) {
		return seal.Record{}, errs.New(errs.Corrupt, "parity.same", "it was stored like this")
	}
	return recordOf(e, buf)
}

// readMended reads a chunk that is good nowhere from where parity makes it good, in memory.
func (r *Repository) readMended(ctx context.Context, places []Location, good func(*seal.Record) error) (seal.Record, bool) {
	for _, l := range places {
		m, err := r.mender(ctx, l.PackKey())
		if err != nil {
			continue
		}
		rec, err := m.record(entryAt(l))
		m.close()
		if err == nil && good != nil {
			err = good(&rec)
		}
		if err == nil {
			r.addCondition("chunk.mended", l.PackName(), "it is damaged, and parity made good what was read; a check of the repository with its data mends it for good")
			return rec, true
		}
		if ctx.Err() != nil {
			break
		}
	}
	return seal.Record{}, false
}
