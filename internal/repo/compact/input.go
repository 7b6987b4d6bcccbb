package compact

import (
	"context"
	"io"

	"keepward/internal/errs"
	"keepward/internal/repo"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/seal"
	"keepward/internal/storage"
)

// input is an old pack that is read from its beginning to its end.
type input struct {
	key     pack.Key
	owner   [16]byte
	domain  uint32
	rd      storage.Reader
	entries []pack.Entry

	buf []byte // what lies at, of the pack
	at  int64
}

const (
	// piece is how much is read at once.
	piece = 4 << 20
	// gap: over so many bytes that are not needed it is cheaper to read on than to begin anew.
	gap = 256 << 10
)

// header reads the header of a pack, which must be the pack's own.
func header(ctx context.Context, r *repo.Repository, k pack.Key) (pack.Header, error) {
	rd, err := r.Backend().Open(ctx, repo.PackName(k.Attempt, k.Class, k.Number))
	if err != nil {
		return pack.Header{}, err
	}
	defer rd.Close() //nolint:errcheck // only read
	return headerOf(r, k, rd)
}

func headerOf(r *repo.Repository, k pack.Key, rd storage.Reader) (pack.Header, error) {
	h, err := pack.ReadHeader(rd)
	if err == nil && (h.RepositoryID != r.Config().ID || h.Attempt != k.Attempt || h.Class != k.Class || h.Number != k.Number) {
		err = errs.New(errs.Corrupt, "pack.place", "read pack header: it is another pack's")
	}
	return h, err
}

// openInput opens a pack whose header and directory are good. One that is damaged is not for
// us: what can be had of it is a check's business.
func openInput(ctx context.Context, r *repo.Repository, p candidate) (*input, error) {
	rd, err := r.Backend().Open(ctx, repo.PackName(p.Attempt, p.Class, p.Number))
	if err != nil {
		return nil, err
	}
	in := &input{key: p.Key, owner: p.owner, rd: rd, domain: r.Config().Domain}
	if _, err = headerOf(r, p.Key, rd); err == nil {
		in.entries, err = pack.ReadDirectory(rd)
	}
	if err != nil {
		in.close()
		return nil, err
	}
	return in, nil
}

func (in *input) close() { _ = in.rd.Close() } // only read

// record reads the i-th of items. What is not good is read once more from the disk before it
// is called damaged: errs.Corrupt. The record is valid until the next call.
func (in *input) record(items []item, i int) (seal.Record, error) {
	e := items[i].entry
	from, to := int64(e.Offset), int64(e.Offset)+int64(e.Length)
	if e.Length > seal.MaxRecord {
		return seal.Record{}, errs.New(errs.Corrupt, "record.length", "%d bytes are too many", e.Length)
	}
	if from < in.at || to > in.at+int64(len(in.buf)) {
		if err := in.fill(from, reach(items, i)); err != nil {
			return seal.Record{}, err
		}
	}
	rec, err := in.parse(e, in.buf[from-in.at:to-in.at])
	if errs.KindOf(err) != errs.Corrupt {
		return rec, err
	}
	if err := in.fill(from, to); err != nil {
		return seal.Record{}, err
	}
	return in.parse(e, in.buf)
}

// reach is how far to read from the i-th of items: up to a piece, while there is no large gap.
func reach(items []item, i int) int64 {
	from := int64(items[i].entry.Offset)
	end := from + int64(items[i].entry.Length)
	for _, next := range items[i+1:] {
		start, stop := int64(next.entry.Offset), int64(next.entry.Offset)+int64(next.entry.Length)
		if start-end > gap || stop-from > piece {
			break
		}
		end = stop
	}
	return end
}

func (in *input) fill(from, to int64) error {
	if int64(cap(in.buf)) < to-from {
		in.buf = make([]byte, max(to-from, piece))
	}
	in.buf, in.at = in.buf[:to-from], from
	n, err := in.rd.ReadAt(in.buf, from)
	if n == len(in.buf) {
		return nil
	}
	in.buf = in.buf[:0]
	if err == nil || err == io.EOF {
		err = errs.New(errs.Corrupt, "pack.short", "the pack ends within it")
	}
	return err
}

func (in *input) parse(e pack.Entry, b []byte) (seal.Record, error) {
	rec, err := seal.ParseRecord(b)
	if err == nil && (rec.ID != e.ID || rec.Len() != len(b) || rec.Kind != e.Kind || rec.Punched != e.Punched || pack.ClassOf(rec.Kind) != in.key.Class || rec.Domain != in.domain) {
		err = errs.New(errs.Corrupt, "record.place", "there is another record, %s", rec.ID)
	}
	return rec, err
}
