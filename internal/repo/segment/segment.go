// Package segment is the format of index segments: sorted, immutable rows that tell where
// chunks lie, with a filter before them. It is docs/formats/repository.md, "Index segments".
//
// A Segment reads bytes that it is given (usually mapped from a file) and may be used by any
// number of goroutines. It does not know where segments are kept.
package segment

import (
	"bytes"
	"encoding/binary"
	"math/bits"
	"runtime/debug"
	"sort"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// Flags of a row. The bits are format.
type Flags uint8

// The flags.
const (
	Proved  Flags = 1 << iota // its content was seen to match its id
	Punched                   // a bundle that lost members: not to be relied on by new points
	Damaged                   // its bytes at this place are not good: as if it were not there
)

// Row tells where a chunk lies.
type Row struct {
	ID             seal.ID
	Pack           uint32 // position in the segment's table of packs
	Offset, Length uint32
	Kind           seal.Kind
	Flags          Flags
}

// Pack is an entry of the table of packs. One pack has an entry for each owner of rows in it.
type Pack struct {
	Attempt point.Attempt
	Class   pack.Class
	Number  uint32
	Length  int64    // 0: not known
	Owner   [16]byte // whose the rows are that name this entry; zero: nobody's
}

// Header is what a segment says of itself.
type Header struct {
	RepositoryID [16]byte
	Attempt      point.Attempt
	Owner        [16]byte // pseudonym of the computer whose rows these are; zero: see Pack.Owner
	Number       uint32
}

// Layout, all little-endian. Sizes are format.
//
//	header, 128 bytes:
//	  0  "KWIX"                  72 number of pages, 4 bytes
//	  4  version, 2 bytes        76 number of filter blocks, 4 bytes
//	  6  1: marks damage, 2 bytes 80 offset of the table of packs, 8 bytes (128)
//	  8  repository id, 16       88 offset of the filter, 8 bytes
//	  24 attempt, 16             96 offset of the fences, 8 bytes
//	  40 owner, 16               104 offset of the pages, 8 bytes
//	  56 number, 4               112 size of the file, 8 bytes
//	  60 number of packs, 4      120 XXH64 of bytes 0 to 119
//	  64 number of rows, 8
//	table of packs, 40 bytes each: attempt (16), class (1), 0 (3), number (4), length (8), 0 (8);
//	  version 2, for rows of several owners, has behind each the owner (16), and none in the header
//	filter: from the next multiple of 64, blocks of 64 bytes
//	fences: per page the first 8 bytes of its first id, read big-endian, 8 bytes
//	zeros, then in the last 8 bytes before the pages XXH64 of all before
//	pages: from the next multiple of 4096, 4096 bytes each:
//	  85 rows of 48 bytes, unused ones zero; 4080 page number (4), 4084 rows in use (2),
//	  4086 0 (2), 4088 XXH64 of bytes 0 to 4087
//	  row: id (32), pack (4), offset (4), length (4), kind (1), flags (1), 0 (2)
const (
	HeaderSize   = 128
	packSize     = 40
	ownedSize    = 56 // of an entry that names its owner
	blockSize    = 64
	PageSize     = 4096
	rowSize      = 48
	rowsPerPage  = 85
	version      = 1  // rows of one owner
	versionOwned = 2  // rows of several
	bitsPerKey   = 10 // about 1.2 bytes with the fences: one miss in 70 reads a page
	probesPerKey = 6
)

// Segment reads a segment.
type Segment struct {
	Header
	Packs []Pack
	// Marks tells that some rows are flagged as damaged: who looks for these can pass over all
	// other segments.
	Marks bool
	rows  int64

	b      []byte
	filter []byte
	fences []byte
	pages  []byte
}

func corrupt(code, format string, args ...any) error {
	return errs.New(errs.Corrupt, "segment."+code, "read index segment: "+format, args...)
}

// Parse reads everything but the pages and checks its checksums. The answer points into b.
func Parse(b []byte) (*Segment, error) {
	if len(b) < HeaderSize || !bytes.Equal(b[:4], []byte("KWIX")) {
		return nil, corrupt("header", "it is none")
	}
	if xxhash.Sum64(b[:120]) != binary.LittleEndian.Uint64(b[120:]) {
		return nil, corrupt("header", "checksum of its header differs")
	}
	v := binary.LittleEndian.Uint16(b[4:])
	if v != version && v != versionOwned {
		return nil, errs.New(errs.Invalid, "segment.version", "read index segment: version %d is newer than this Keepward knows", v).WithHint("update Keepward")
	}
	s := &Segment{b: b}
	s.RepositoryID = [16]byte(b[8:24])
	s.Attempt = point.Attempt(b[24:40])
	s.Owner = [16]byte(b[40:56])
	s.Number = binary.LittleEndian.Uint32(b[56:])
	s.Marks = binary.LittleEndian.Uint16(b[6:])&1 != 0
	s.rows = int64(binary.LittleEndian.Uint64(b[64:]))
	l := layoutOf(v, int(binary.LittleEndian.Uint32(b[60:])), s.rows, int(binary.LittleEndian.Uint32(b[76:])))
	if l == nil || !l.matches(b) {
		return nil, corrupt("layout", "its parts do not fit its %d bytes", len(b))
	}
	head := b[:l.pages-8]
	if xxhash.Sum64(head) != binary.LittleEndian.Uint64(b[l.pages-8:]) {
		return nil, corrupt("head", "checksum of its filter and tables differs")
	}
	s.filter = b[l.filter:l.fences]
	s.fences = b[l.fences : l.fences+8*l.npages]
	s.pages = b[l.pages:]
	return s, s.readPacks(l)
}

func (s *Segment) readPacks(l *layout) error {
	s.Packs = make([]Pack, l.packs)
	for i := range s.Packs {
		e := s.b[HeaderSize+int64(i)*l.entry:]
		s.Packs[i] = Pack{
			Attempt: point.Attempt(e[:16]),
			Class:   pack.Class(e[16]),
			Number:  binary.LittleEndian.Uint32(e[20:]),
			Length:  int64(binary.LittleEndian.Uint64(e[24:])),
			Owner:   s.Owner,
		}
		if l.entry == ownedSize {
			s.Packs[i].Owner = [16]byte(e[packSize:ownedSize])
		}
		if c := s.Packs[i].Class; c != pack.Data && c != pack.Meta {
			return corrupt("packs", "class %d of pack %d is unknown", c, i)
		}
	}
	return nil
}

// layout are the offsets of a segment's parts; they follow from the counts.
type layout struct {
	packs, npages, blocks         int64
	entry                         int64 // bytes of an entry of the table
	filter, fences, pages, length int64
}

func layoutOf(version uint16, packs int, rows int64, blocks int) *layout {
	const limit = 1 << 32 // rows; 200 GiB of index in one file is not a segment
	if rows < 0 || rows > limit || packs < 0 || blocks < 0 {
		return nil
	}
	l := &layout{packs: int64(packs), npages: (rows + rowsPerPage - 1) / rowsPerPage, blocks: int64(blocks), entry: packSize}
	if version == versionOwned {
		l.entry = ownedSize
	}
	l.filter = align(HeaderSize+l.packs*l.entry, blockSize)
	l.fences = l.filter + l.blocks*blockSize
	l.pages = align(l.fences+8*l.npages+8, PageSize)
	l.length = l.pages + l.npages*PageSize
	return l
}

func align(n, to int64) int64 { return (n + to - 1) / to * to }

func (l *layout) matches(b []byte) bool {
	u64 := func(off int) int64 { return int64(binary.LittleEndian.Uint64(b[off:])) }
	return int64(binary.LittleEndian.Uint32(b[72:])) == l.npages && u64(80) == HeaderSize && u64(88) == l.filter &&
		u64(96) == l.fences && u64(104) == l.pages && u64(112) == l.length && int64(len(b)) == l.length &&
		(l.npages == 0 || l.blocks > 0)
}

// MayBeMerged tells from the first HeaderSize bytes of a damaged segment whether Merged may have
// been true of it.
func MayBeMerged(head []byte) bool {
	good := len(head) == HeaderSize && bytes.Equal(head[:4], []byte("KWIX")) && xxhash.Sum64(head[:120]) == binary.LittleEndian.Uint64(head[120:])
	return !good || binary.LittleEndian.Uint16(head[4:]) != version
}

// Merged tells whether the segment's rows may be of several owners and of other attempts'
// packs than its own: it was made by a merge or a compaction.
func (s *Segment) Merged() bool { return binary.LittleEndian.Uint16(s.b[4:]) == versionOwned }

// Rows is the number of rows.
func (s *Segment) Rows() int64 { return s.rows }

// Pages is the number of pages.
func (s *Segment) Pages() int { return len(s.pages) / PageSize }

// Find appends the rows of id to dst. It reads the filter and, as good as always, at most one
// page. An error is errs.Corrupt: the segment is damaged at the page it needed.
func (s *Segment) Find(dst []Row, id seal.ID) (out []Row, err error) {
	defer guard(&err)()
	if !s.mayHave(&id) {
		return dst, nil
	}
	key := binary.BigEndian.Uint64(id[:])
	for p := s.firstPage(key); p < s.Pages() && (s.fence(p) <= key); p++ {
		page, n, err := s.page(p)
		if err != nil {
			return dst, err
		}
		i := search(page, n, &id)
		for ; i < n && bytes.Equal(page[i*rowSize:i*rowSize+32], id[:]); i++ {
			row, err := s.row(page, i)
			if err != nil {
				return dst, err
			}
			dst = append(dst, row)
		}
		if i < n {
			break
		}
	}
	return dst, nil
}

// Position is the number of the first row of id, counted from 0. An error is as that of Find.
func (s *Segment) Position(id seal.ID) (row int64, ok bool, err error) {
	defer guard(&err)()
	if !s.mayHave(&id) {
		return 0, false, nil
	}
	key := binary.BigEndian.Uint64(id[:])
	for p := s.firstPage(key); p < s.Pages() && s.fence(p) <= key; p++ {
		page, n, err := s.page(p)
		if err != nil {
			return 0, false, err
		}
		if i := search(page, n, &id); i < n {
			return int64(p)*rowsPerPage + int64(i), bytes.Equal(page[i*rowSize:i*rowSize+32], id[:]), nil
		}
	}
	return 0, false, nil
}

// search is the first of a page's rows whose id is not below id.
func search(page []byte, n int, id *seal.ID) int {
	return sort.Search(n, func(i int) bool { return bytes.Compare(page[i*rowSize:i*rowSize+32], id[:]) >= 0 })
}

func (s *Segment) fence(p int) uint64 { return binary.LittleEndian.Uint64(s.fences[p*8:]) }

// firstPage is the first page that may hold an id whose first 8 bytes are key. Ids are spread
// evenly, so a guess by proportion lands within a few pages of it.
func (s *Segment) firstPage(key uint64) int {
	n := s.Pages()
	guess, _ := bits.Mul64(key, uint64(n))
	lo, hi, step := int(guess), int(guess), 1
	for lo > 0 && s.fence(lo) >= key {
		hi = lo
		lo = max(0, lo-step)
		step *= 2
	}
	for step = 1; hi < n && s.fence(hi) < key; step *= 2 {
		lo = hi
		hi = min(n, hi+step)
	}
	// fence(lo) < key or lo is 0; fence(hi) >= key or hi is n.
	p := lo + sort.Search(hi-lo, func(i int) bool { return s.fence(lo+i) >= key })
	return max(0, p-1)
}

// page checks page p and answers its rows.
func (s *Segment) page(p int) (rows []byte, n int, err error) {
	b := s.pages[p*PageSize : (p+1)*PageSize]
	if xxhash.Sum64(b[:4088]) != binary.LittleEndian.Uint64(b[4088:]) {
		return nil, 0, corrupt("page", "checksum of page %d differs", p)
	}
	n = int(binary.LittleEndian.Uint16(b[4084:]))
	if int(binary.LittleEndian.Uint32(b[4080:])) != p || n > rowsPerPage {
		return nil, 0, corrupt("page", "page %d says it is another", p)
	}
	return b, n, nil
}

func (s *Segment) row(page []byte, i int) (Row, error) {
	b := page[i*rowSize : (i+1)*rowSize]
	r := Row{
		ID:     seal.ID(b[:32]),
		Pack:   binary.LittleEndian.Uint32(b[32:]),
		Offset: binary.LittleEndian.Uint32(b[36:]),
		Length: binary.LittleEndian.Uint32(b[40:]),
		Kind:   seal.Kind(b[44]),
		Flags:  Flags(b[45]),
	}
	if int(r.Pack) >= len(s.Packs) {
		return r, corrupt("row", "a row names pack %d of %d", r.Pack, len(s.Packs))
	}
	return r, nil
}

// All calls fn for every row, in order; it checks every page.
func (s *Segment) All(fn func(Row) error) (err error) {
	defer guard(&err)()
	var seen int64
	for p := range s.Pages() {
		page, n, err := s.page(p)
		if err != nil {
			return err
		}
		for i := range n {
			row, err := s.row(page, i)
			if err != nil {
				return err
			}
			if err := fn(row); err != nil {
				return err
			}
		}
		seen += int64(n)
	}
	if seen != s.rows {
		return corrupt("rows", "%d rows, its header says %d", seen, s.rows)
	}
	return nil
}

// guard turns the fault of reading mapped memory whose disk fails into an error.
func guard(err *error) func() {
	old := debug.SetPanicOnFault(true)
	return func() {
		debug.SetPanicOnFault(old)
		switch r := recover().(type) {
		case nil:
		case interface{ Addr() uintptr }: // a memory fault, as runtime/debug documents
			*err = corrupt("read", "the disk did not give its bytes")
		default:
			panic(r)
		}
	}
}
