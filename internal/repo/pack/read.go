package pack

import (
	"bytes"
	"io"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Source is a pack that can be read.
type Source interface {
	io.ReaderAt
	Size() int64
}

func readAt(s Source, off, n int64) ([]byte, error) {
	b := make([]byte, n)
	got, err := s.ReadAt(b, off)
	if got == len(b) {
		return b, nil
	}
	if err == io.EOF || err == nil {
		err = errs.New(errs.Corrupt, "pack.short", "read pack: it ends at %d, within %d bytes at %d", off+int64(got), n, off)
	}
	return nil, err
}

// ReadHeader reads a pack's header.
func ReadHeader(s Source) (Header, error) {
	if s.Size() < HeaderSize {
		return Header{}, errs.New(errs.Corrupt, "pack.short", "read pack: %d bytes are too few", s.Size())
	}
	b, err := readAt(s, 0, HeaderSize)
	if err != nil {
		return Header{}, err
	}
	return ParseHeader(b)
}

// ReadDirectory reads a pack's directory from its end.
func ReadDirectory(s Source) ([]Entry, error) {
	size := s.Size()
	if size < HeaderSize+dirHeader+FooterSize {
		return nil, errs.New(errs.Corrupt, "pack.short", "read pack: %d bytes are too few", size)
	}
	b, err := readAt(s, size-FooterSize, FooterSize)
	if err != nil {
		return nil, err
	}
	f, err := ParseFooter(b, size)
	if err != nil {
		return nil, err
	}
	if b, err = readAt(s, f.DirOffset, int64(f.DirLength)); err != nil {
		return nil, err
	}
	return f.ParseDirectory(b)
}

// Found is what a scan came across: a record, or bytes that are none.
type Found struct {
	Offset, Length int64
	Record         seal.Record // valid until the next call of fn
	Err            error       // why the bytes are no good record; Record is then not set
}

// scanBuffer is how much a scan reads at once: large enough that most records need no second
// read.
const scanBuffer = 4 << 20

// Scan reads a pack's records one after the other without trusting its directory, up to the
// offset end. Where bytes are no record it goes on at the next record's magic.
func Scan(s Source, end int64, fn func(Found) error) error {
	w := window{s: s, end: end}
	for off := int64(HeaderSize); off < end; {
		rec, length, err := w.record(off)
		if errs.KindOf(err) != errs.Corrupt && err != nil {
			return err
		}
		if err == nil {
			if err := fn(Found{Offset: off, Length: length, Record: rec}); err != nil {
				return err
			}
			off += length
			continue
		}
		next, nerr := w.resync(off, length)
		if nerr != nil {
			return nerr
		}
		if err := fn(Found{Offset: off, Length: next - off, Err: err}); err != nil {
			return err
		}
		off = next
	}
	return nil
}

// window is the part of a pack that is in memory.
type window struct {
	s   Source
	end int64
	buf []byte
	at  int64
}

// bytes are up to n bytes at off; fewer only at the end.
func (w *window) bytes(off, n int64) ([]byte, error) {
	n = min(n, w.end-off)
	if off < w.at || off+n > w.at+int64(len(w.buf)) {
		size := min(max(n, scanBuffer), w.end-off)
		if int64(cap(w.buf)) < size {
			w.buf = make([]byte, size)
		}
		w.buf, w.at = w.buf[:size], off
		got, err := w.s.ReadAt(w.buf, off)
		if got < len(w.buf) {
			w.buf = w.buf[:0]
			if err == io.EOF || err == nil {
				err = io.ErrUnexpectedEOF
			}
			return nil, err
		}
	}
	return w.buf[off-w.at : off-w.at+n], nil
}

// record reads the record at off. If it is damaged, length is what its header says, or 0.
func (w *window) record(off int64) (seal.Record, int64, error) {
	b, err := w.bytes(off, seal.HeaderSize)
	if err != nil {
		return seal.Record{}, 0, err
	}
	n, err := seal.HeaderLen(b)
	if err != nil {
		return seal.Record{}, 0, err
	}
	if b, err = w.bytes(off, int64(n)); err != nil {
		return seal.Record{}, 0, err
	}
	rec, err := seal.ParseRecord(b)
	return rec, int64(n), err
}

// resync finds the next record behind the damage at off. skip is how long the damaged record
// says it is: if there is a record behind it, nothing within is taken for one.
func (w *window) resync(off, skip int64) (int64, error) {
	if skip > 0 && off+skip <= w.end {
		b, err := w.bytes(off+skip, seal.HeaderSize)
		if err != nil {
			return 0, err
		}
		if _, err := seal.HeaderLen(b); err == nil || len(b) == 0 {
			return off + skip, nil
		}
	}
	for at := off + 1; at < w.end; {
		b, err := w.bytes(at, scanBuffer)
		if err != nil {
			return 0, err
		}
		i := bytes.Index(b, []byte("KWR1"))
		if i < 0 {
			at += max(int64(len(b))-3, 1) // the magic may lie across the border
			continue
		}
		at += int64(i)
		if b, err = w.bytes(at, seal.HeaderSize); err != nil {
			return 0, err
		}
		if _, err := seal.HeaderLen(b); err == nil {
			return at, nil
		}
		at++
	}
	return w.end, nil
}
