package segment

import (
	"bytes"
	"encoding/binary"
	"io"
	"slices"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Encode makes a segment of rows, which it sorts. Rows may share an id. If a pack names an
// owner that is not the header's, the segment is one of several owners, as of a merge.
func Encode(h Header, packs []Pack, rows []Row) []byte {
	slices.SortFunc(rows, func(a, b Row) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	b := NewBuilder(int64(len(rows)))
	for i := range rows {
		b.Count(&rows[i])
	}
	var out bytes.Buffer
	w, err := b.Begin(&out, h, packs)
	for i := range rows {
		if err == nil {
			err = w.Add(&rows[i])
		}
	}
	if err == nil {
		err = w.Finish()
	}
	if err != nil { // a buffer takes everything, and the rows are those that were counted
		panic(err)
	}
	return out.Bytes()
}

// Builder makes a segment in two passes over its rows, so that they need not fit into memory:
// Count for each, Begin, then Add for each again. What it keeps is the filter and the fences,
// less than two bytes a row. It belongs to one goroutine.
type Builder struct {
	rows   int64
	filter []byte
	fences []byte
	marks  bool
}

// NewBuilder begins a segment of at most atMost rows; the closer, the smaller its filter.
func NewBuilder(atMost int64) *Builder {
	blocks := (atMost*bitsPerKey + blockSize*8 - 1) / (blockSize * 8)
	return &Builder{filter: make([]byte, blocks*blockSize), fences: make([]byte, 0, (atMost+rowsPerPage-1)/rowsPerPage*8)}
}

// Count takes the next row of the first pass, in the order of their ids.
func (b *Builder) Count(r *Row) {
	at, set := probe(&r.ID, uint64(len(b.filter)/blockSize))
	block := b.filter[at*blockSize : at*blockSize+blockSize]
	for range probesPerKey {
		bit := set & 511
		block[bit>>3] |= 1 << (bit & 7)
		set >>= 9
	}
	if b.rows%rowsPerPage == 0 {
		b.fences = binary.LittleEndian.AppendUint64(b.fences, binary.BigEndian.Uint64(r.ID[:]))
	}
	b.marks = b.marks || r.Flags&Damaged != 0
	b.rows++
}

// Rows is how many were counted.
func (b *Builder) Rows() int64 { return b.rows }

// Begin writes everything up to the pages. The rows of the second pass name packs by their
// position in packs.
func (b *Builder) Begin(out io.Writer, h Header, packs []Pack) (*Writer, error) {
	v := uint16(version)
	if slices.ContainsFunc(packs, func(p Pack) bool { return p.Owner != [16]byte{} && p.Owner != h.Owner }) {
		v, h.Owner = versionOwned, [16]byte{}
	}
	if b.rows == 0 {
		b.filter = nil
	}
	l := layoutOf(v, len(packs), b.rows, len(b.filter)/blockSize)
	head := make([]byte, l.pages)
	binary.LittleEndian.PutUint16(head[4:], v)
	encodeHeader(head, h, l, b.rows, b.marks)
	for i, p := range packs {
		e := head[HeaderSize+int64(i)*l.entry:]
		copy(e, p.Attempt[:])
		e[16] = byte(p.Class)
		binary.LittleEndian.PutUint32(e[20:], p.Number)
		binary.LittleEndian.PutUint64(e[24:], uint64(p.Length))
		if v == versionOwned {
			copy(e[packSize:], p.Owner[:])
		}
	}
	copy(head[l.filter:], b.filter)
	copy(head[l.fences:], b.fences)
	binary.LittleEndian.PutUint64(head[l.pages-8:], xxhash.Sum64(head[:l.pages-8]))
	_, err := out.Write(head)
	return &Writer{out: out, rows: b.rows, page: make([]byte, PageSize)}, err
}

func encodeHeader(b []byte, h Header, l *layout, rows int64, marks bool) {
	copy(b, "KWIX")
	if marks {
		b[6] = 1
	}
	copy(b[8:], h.RepositoryID[:])
	copy(b[24:], h.Attempt[:])
	copy(b[40:], h.Owner[:])
	binary.LittleEndian.PutUint32(b[56:], h.Number)
	binary.LittleEndian.PutUint32(b[60:], uint32(l.packs))
	binary.LittleEndian.PutUint64(b[64:], uint64(rows))
	binary.LittleEndian.PutUint32(b[72:], uint32(l.npages))
	binary.LittleEndian.PutUint32(b[76:], uint32(l.blocks))
	for i, v := range []int64{HeaderSize, l.filter, l.fences, l.pages, l.length} {
		binary.LittleEndian.PutUint64(b[80+8*i:], uint64(v))
	}
	binary.LittleEndian.PutUint64(b[120:], xxhash.Sum64(b[:120]))
}

// Writer takes the second pass.
type Writer struct {
	out    io.Writer
	rows   int64 // still to come
	page   []byte
	inPage int
	number uint32
	last   seal.ID
}

// Add takes the next row, in the same order as Count.
func (w *Writer) Add(r *Row) error {
	if w.rows == 0 || bytes.Compare(r.ID[:], w.last[:]) < 0 {
		return errs.New(errs.Internal, "", "write index segment: row %s is not one of those that were counted", r.ID)
	}
	w.last = r.ID
	w.rows--
	e := w.page[w.inPage*rowSize:]
	copy(e, r.ID[:])
	binary.LittleEndian.PutUint32(e[32:], r.Pack)
	binary.LittleEndian.PutUint32(e[36:], r.Offset)
	binary.LittleEndian.PutUint32(e[40:], r.Length)
	e[44], e[45] = byte(r.Kind), byte(r.Flags)
	if w.inPage++; w.inPage < rowsPerPage {
		return nil
	}
	return w.flush()
}

func (w *Writer) flush() error {
	binary.LittleEndian.PutUint32(w.page[4080:], w.number)
	binary.LittleEndian.PutUint16(w.page[4084:], uint16(w.inPage))
	binary.LittleEndian.PutUint64(w.page[4088:], xxhash.Sum64(w.page[:4088]))
	_, err := w.out.Write(w.page)
	clear(w.page)
	w.inPage = 0
	w.number++
	return err
}

// Finish writes the last page. Fewer rows than were counted are an error.
func (w *Writer) Finish() error {
	if w.rows != 0 {
		return errs.New(errs.Internal, "", "write index segment: %d rows that were counted did not come", w.rows)
	}
	if w.inPage == 0 {
		return nil
	}
	return w.flush()
}
