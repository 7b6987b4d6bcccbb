package changes

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"io"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// spool is a journal's memory on disk: records that are only appended, in files that are
// removed from the oldest on. A position counts the bytes of all records that ever were.
//
// It need not survive the computer: after that the journal has a gap anyway. It survives the
// end of the process at any moment, so nothing is synced, and a torn end is cut off. It
// belongs to its journal's lock, except read.
type spool struct {
	dir           string
	journal, boot id
	limit         int64 // of all files together
	perFile       int64

	files []spoolFile // oldest first
	cur   *os.File    // the last of them, open for writing; nil: a new one is needed
	end   uint64
	// floor is the lowest position from which nothing is missing.
	floor uint64
	why   Reason // of the floor
}

type spoolFile struct{ base, end uint64 }

// A file of the spool: magic, journal, boot, position of its first record, CRC-32C of these;
// then records: length (4), CRC-32C (4), kind (1), bytes. Numbers are big-endian.
const (
	spoolMagic  = "KWSPOOL1"
	spoolHeader = 8 + 16 + 16 + 8 + 4
	recordHead  = 8
	maxRecord   = 4096

	recordFact     = 'f'
	recordMark     = 'm' // a random number, of a token
	recordLost     = 'l' // events are missing here; the reason
	recordHandover = 'h' // the writer ended in order, and nothing was read after it
)

func (s *spool) path(base uint64) string {
	return filepath.Join(s.dir, fmt.Sprintf("%016x.spool", base))
}

// newSpool begins a journal in dir and removes what is left there of others.
func newSpool(dir string, journal, boot id, limit int64) (*spool, error) {
	s := &spool{dir: dir, journal: journal, boot: boot, limit: limit, perFile: max(limit/16, 64<<10)}
	if err := os.MkdirAll(dir, 0o700); err != nil {
		return nil, err
	}
	old, err := spoolFiles(dir)
	if err != nil {
		return nil, err
	}
	for _, base := range old {
		if err := os.Remove(s.path(base)); err != nil {
			return nil, err
		}
	}
	return s, nil
}

func spoolFiles(dir string) ([]uint64, error) {
	list, err := os.ReadDir(dir)
	if err != nil {
		return nil, err
	}
	var bases []uint64
	for _, e := range list {
		var base uint64
		if name, ok := strings.CutSuffix(e.Name(), ".spool"); ok && len(name) == 16 {
			if _, err := fmt.Sscanf(name, "%016x", &base); err == nil {
				bases = append(bases, base)
			}
		}
	}
	slices.Sort(bases)
	return bases, nil
}

var errSpool = errors.New("the spool is damaged")

// recoverSpool opens the spool that an earlier process left in dir, and cuts off what it did
// not finish. whole tells that it ended in order.
func recoverSpool(dir string, boot id, limit int64) (s *spool, whole bool, err error) {
	bases, err := spoolFiles(dir)
	if err != nil {
		return nil, false, err
	}
	s = &spool{dir: dir, boot: boot, limit: limit, perFile: max(limit/16, 64<<10)}
	var last byte
	for i, base := range bases {
		h, size, err := readSpoolHeader(s.path(base))
		if err != nil || h.base != base || h.boot != boot || i > 0 && (h.journal != s.journal || base != s.end) {
			return nil, false, errors.Join(errSpool, err)
		}
		s.journal = h.journal
		f := spoolFile{base: base, end: base + uint64(size-spoolHeader)}
		if i == 0 {
			s.floor, s.why = base, Trimmed
		}
		var good uint64
		good, err = s.scan(f, base, f.end, func(at uint64, kind byte, b []byte) error {
			last = kind
			if kind == recordLost {
				s.floor, s.why = at+recordHead+1+uint64(len(b)), Reason(b)
			}
			return nil
		})
		if err != nil && (!errors.Is(err, errSpool) || i < len(bases)-1) {
			return nil, false, err
		}
		if good < f.end { // the end is torn
			if err := os.Truncate(s.path(base), int64(good-base)+spoolHeader); err != nil {
				return nil, false, err
			}
			f.end, last = good, 0
		}
		s.files, s.end = append(s.files, f), f.end
	}
	return s, last == recordHandover, nil
}

type spoolHead struct {
	journal, boot id
	base          uint64
}

func readSpoolHeader(path string) (h spoolHead, size int64, err error) {
	f, err := os.Open(path)
	if err != nil {
		return h, 0, err
	}
	defer f.Close()
	st, err := f.Stat()
	if err != nil {
		return h, 0, err
	}
	var b [spoolHeader]byte
	if _, err := io.ReadFull(f, b[:]); err != nil {
		return h, 0, fmt.Errorf("%w: %s: %w", errSpool, path, err)
	}
	n := spoolHeader - 4
	if string(b[:8]) != spoolMagic || binary.BigEndian.Uint32(b[n:]) != crc32.Checksum(b[:n], castagnoli) {
		return h, 0, fmt.Errorf("%w: %s: its beginning", errSpool, path)
	}
	copy(h.journal[:], b[8:])
	copy(h.boot[:], b[24:])
	h.base = binary.BigEndian.Uint64(b[40:])
	return h, st.Size(), nil
}

func appendRecord(b []byte, kind byte, data []byte) []byte {
	b = binary.BigEndian.AppendUint32(b, uint32(1+len(data)))
	sum := crc32.Update(crc32.Checksum([]byte{kind}, castagnoli), castagnoli, data)
	b = binary.BigEndian.AppendUint32(b, sum)
	return append(append(b, kind), data...)
}

// write appends whole records.
func (s *spool) write(records []byte) error {
	if len(records) == 0 {
		return nil
	}
	if s.cur == nil || s.files[len(s.files)-1].end-s.files[len(s.files)-1].base >= uint64(s.perFile) {
		if err := s.begin(); err != nil {
			return err
		}
	}
	n, err := s.cur.Write(records)
	f := &s.files[len(s.files)-1]
	if err != nil {
		// Without its torn end the file is good up to here.
		if n > 0 {
			if cut := s.cur.Truncate(int64(f.end-f.base) + spoolHeader); cut != nil {
				err = errors.Join(err, cut)
			}
		}
		_ = s.cur.Close() // what it had is written
		s.cur = nil
		return err
	}
	s.end += uint64(n)
	f.end = s.end
	return s.bound()
}

func (s *spool) begin() error {
	if s.cur != nil {
		if err := s.cur.Close(); err != nil {
			return err
		}
		s.cur = nil
	}
	b := append(make([]byte, 0, spoolHeader), spoolMagic...)
	b = append(append(b, s.journal[:]...), s.boot[:]...)
	b = binary.BigEndian.AppendUint64(b, s.end)
	b = binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
	f, err := os.OpenFile(s.path(s.end), os.O_WRONLY|os.O_CREATE|os.O_TRUNC|os.O_APPEND, 0o600)
	if err != nil {
		return err
	}
	if _, err := f.Write(b); err != nil {
		return errors.Join(err, f.Close(), os.Remove(f.Name()))
	}
	if n := len(s.files); n > 0 && s.files[n-1].base == s.end {
		s.files = s.files[:n-1] // it was empty
	}
	s.cur, s.files = f, append(s.files, spoolFile{s.end, s.end})
	return nil
}

// bound removes the oldest files when there is too much.
func (s *spool) bound() error {
	for len(s.files) > 1 && int64(s.end-s.files[0].base) > s.limit {
		if err := s.drop(); err != nil {
			return err
		}
	}
	return nil
}

func (s *spool) drop() error {
	if err := os.Remove(s.path(s.files[0].base)); err != nil && !errors.Is(err, fs.ErrNotExist) {
		return err
	}
	s.raise(s.files[0].end, Trimmed)
	s.files = s.files[1:]
	return nil
}

// trim removes what lies before a position.
func (s *spool) trim(pos uint64) error {
	for len(s.files) > 1 && s.files[0].end <= pos {
		if err := s.drop(); err != nil {
			return err
		}
	}
	return nil
}

func (s *spool) raise(floor uint64, why Reason) {
	if floor > s.floor {
		s.floor, s.why = floor, why
	}
}

// lost notes that events are missing at the end. It holds also when it cannot be written.
func (s *spool) lost(why Reason) {
	if err := s.write(appendRecord(nil, recordLost, []byte(why))); err != nil {
		// No record has this position any more, so no token before it is good.
		s.end++
		if s.cur != nil {
			_ = s.cur.Close() // another file begins at the next position
			s.cur = nil
		}
	}
	s.raise(s.end, why)
}

func (s *spool) close() error {
	if s.cur == nil {
		return nil
	}
	err := s.cur.Close()
	s.cur = nil
	return err
}

// read calls fn for every record between two positions, of which the first begins one, in a
// list of files as it was under the lock.
func (s *spool) read(files []spoolFile, from, to uint64, fn func(at uint64, kind byte, b []byte) error) error {
	at := from
	for _, f := range files {
		if f.end <= at || f.base >= to {
			continue
		}
		if f.base > at {
			return fmt.Errorf("%w: nothing at %d", errSpool, at)
		}
		good, err := s.scan(f, at, min(f.end, to), fn)
		if err != nil {
			return err
		}
		at = good
	}
	if at != to {
		return fmt.Errorf("%w: it ends at %d, not %d", errSpool, at, to)
	}
	return nil
}

// scan reads a file between two positions and answers how far it is good.
func (s *spool) scan(file spoolFile, from, to uint64, fn func(at uint64, kind byte, b []byte) error) (uint64, error) {
	f, err := os.Open(s.path(file.base))
	if err != nil {
		return from, fmt.Errorf("%w: %w", errSpool, err)
	}
	defer f.Close()
	in := bufio.NewReaderSize(io.NewSectionReader(f, int64(from-file.base)+spoolHeader, int64(to-from)), 64<<10)
	var buf [maxRecord]byte
	for at := from; at < to; {
		var h [recordHead]byte
		if _, err := io.ReadFull(in, h[:]); err != nil {
			return at, fmt.Errorf("%w: at %d: %w", errSpool, at, err)
		}
		n := binary.BigEndian.Uint32(h[:])
		if n == 0 || n > maxRecord {
			return at, fmt.Errorf("%w: at %d: a record of %d bytes", errSpool, at, n)
		}
		b := buf[:n]
		if _, err := io.ReadFull(in, b); err != nil {
			return at, fmt.Errorf("%w: at %d: %w", errSpool, at, err)
		}
		if crc32.Checksum(b, castagnoli) != binary.BigEndian.Uint32(h[4:]) {
			return at, fmt.Errorf("%w: at %d: a wrong checksum", errSpool, at)
		}
		if err := fn(at, b[0], b[1:]); err != nil {
			return at, err
		}
		at += recordHead + uint64(n)
	}
	return to, nil
}

// marked tells whether a mark stands at a position.
func (s *spool) marked(files []spoolFile, at uint64, mark id) error {
	const size = recordHead + 1 + 16
	found := false
	err := s.read(files, at, at+size, func(_ uint64, kind byte, b []byte) error {
		found = kind == recordMark && bytes.Equal(b, mark[:])
		return nil
	})
	if err == nil && !found {
		err = fmt.Errorf("%w: another mark at %d", errSpool, at)
	}
	return err
}
