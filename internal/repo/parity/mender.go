package parity

import (
	"encoding/binary"
	"hash/crc32"
	"io"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
)

// Source is an object that can be read.
type Source interface {
	io.ReaderAt
	Size() int64
}

// Object is an open parity object. Its header and a whole table were found; single blocks may
// be damaged.
type Object struct {
	Header
	l     layout
	table []byte // checksums, without that of the table
	src   Source
	whole bool // as far as was looked: both tables, the header behind and the size
}

// Open reads header and table of a parity object, at its beginning or, where these are damaged,
// at its end.
func Open(src Source) (*Object, error) {
	h, front, err := openHeader(src)
	if err != nil {
		return nil, err
	}
	o := &Object{Header: h, l: layoutOf(h), src: src}
	o.whole = front == nil && src.Size() == o.l.size()
	first, ferr := o.readTable(headerSize)
	second, berr := o.readTable(o.l.backTable())
	o.whole = o.whole && ferr == nil && berr == nil && o.headerBehind()
	switch {
	case ferr == nil:
		o.table = first
	case berr == nil:
		o.table = second
	default:
		return nil, ferr
	}
	return o, nil
}

// openHeader answers the header; front is what is wrong with the one at the beginning, if that at
// the end was taken.
func openHeader(src Source) (h Header, front, err error) {
	h, front = headerAt(src, 0)
	if front == nil || errs.KindOf(front) == errs.Invalid {
		return h, nil, front
	}
	if h, err = headerAt(src, src.Size()-headerSize); err != nil {
		return h, front, front
	}
	return h, front, nil
}

func headerAt(src Source, at int64) (Header, error) {
	b := make([]byte, headerSize)
	if err := readFull(src, b, at); err != nil {
		return Header{}, err
	}
	return parseHeader(b)
}

func (o *Object) headerBehind() bool {
	h, err := headerAt(o.src, o.l.size()-headerSize)
	return err == nil && h == o.Header
}

func (o *Object) readTable(at int64) ([]byte, error) {
	b := make([]byte, o.l.tableSize())
	if err := readFull(o.src, b, at); err != nil {
		return nil, err
	}
	table := b[:len(b)-8]
	sum := xxhash.New()
	_, _ = sum.Write(o.encode()) // documented never to fail
	_, _ = sum.Write(table)
	if sum.Sum64() != binary.LittleEndian.Uint64(b[len(table):]) {
		return nil, corrupt("table", "checksum of its table differs")
	}
	return table, nil
}

func readFull(src io.ReaderAt, b []byte, at int64) error {
	if at < 0 {
		return corrupt("short", "it is too short")
	}
	n, err := src.ReadAt(b, at)
	switch {
	case n == len(b):
		return nil
	case err == nil || err == io.EOF:
		return corrupt("short", "it ends within %d bytes at %d", len(b), at)
	}
	return err
}

// good tells whether a block is as it was; n counts those of the pack and then those of parity.
func (o *Object) good(n int, block []byte) bool {
	return crc32.Checksum(block, castagnoli) == binary.LittleEndian.Uint32(o.table[4*n:])
}

// Verify reads the whole object: errs.Corrupt if any of it is not as it was written.
func (o *Object) Verify() error {
	if !o.whole {
		return corrupt("damaged", "its size, a header or a table is not good")
	}
	b := make([]byte, Block)
	for i := range o.l.parity * o.l.rows {
		if err := readFull(o.src, b, o.l.parityAt(0, i)); err != nil {
			return err
		}
		if !o.good(o.l.blocks+i, b) {
			return corrupt("damaged", "checksum of block %d differs", i)
		}
	}
	return nil
}

// Mender reads a damaged pack as it was. It holds in memory what it made anew, which is at most
// as much as there is parity.
type Mender struct {
	o    *Object
	pack io.ReaderAt
	made map[int][]byte // blocks of the pack
	row  [][]byte       // scratch: the blocks of one row
}

// Mender mends a pack of which o is the parity; it may be shorter than it was.
func (o *Object) Mender(pack io.ReaderAt) *Mender {
	m := &Mender{o: o, pack: pack, made: map[int][]byte{}, row: make([][]byte, o.l.data+o.l.parity)}
	return m
}

// Made is how many blocks were made anew so far.
func (m *Mender) Made() int { return len(m.made) }

// ReadAt reads what the pack held when its parity was made. errs.Corrupt: more is damaged than
// the parity can make good.
func (m *Mender) ReadAt(b []byte, off int64) (n int, err error) {
	scratch := make([]byte, Block)
	for n < len(b) {
		at := off + int64(n)
		if at < 0 || at >= m.o.Size {
			return n, io.EOF
		}
		i := int(at / Block)
		block := scratch
		if !m.read(i, scratch) {
			if block, err = m.mend(i); err != nil {
				return n, err
			}
		}
		end := min(Block, m.o.Size-int64(i)*Block)
		n += copy(b[n:], block[at%Block:end])
	}
	return n, nil
}

// read reads a block of the pack as it is, and tells whether it is good. One that the disk does
// not give is not.
func (m *Mender) read(i int, b []byte) bool {
	clear(b)
	at := int64(i) * Block
	n, _ := m.pack.ReadAt(b[:min(Block, m.o.Size-at)], at)
	clear(b[n:])
	return m.o.good(i, b)
}

// mend makes a block of the pack anew, with all others of its row that are damaged.
func (m *Mender) mend(i int) ([]byte, error) {
	if b, ok := m.made[i]; ok {
		return b, nil
	}
	l, row := &m.o.l, i%m.o.l.rows
	missing := m.readRow(row)
	if len(missing) > l.parity {
		return nil, corrupt("exceeded", "of the %d blocks that were coded together %d are damaged, and parity makes good %d", len(m.row), len(missing), l.parity)
	}
	coder, err := l.coder()
	if err != nil {
		return nil, err
	}
	for _, p := range missing {
		m.row[p] = m.row[p][:0]
	}
	if err := coder.ReconstructData(m.row); err != nil {
		return nil, corrupt("exceeded", "blocks cannot be made anew: %v", err)
	}
	for _, p := range missing {
		if p >= l.data {
			continue
		}
		n := p*l.rows + row
		if n >= l.blocks {
			continue
		}
		if len(m.row[p]) != Block || !m.o.good(n, m.row[p]) {
			return nil, corrupt("untrue", "a block that was made anew is not what its checksum says")
		}
		m.made[n], m.row[p] = m.row[p], nil // its memory is given away
	}
	return m.made[i], nil
}

// readRow reads the blocks of a row and answers the pieces whose block is not good.
func (m *Mender) readRow(row int) (missing []int) {
	l := &m.o.l
	for p := range m.row {
		if cap(m.row[p]) < Block {
			m.row[p] = make([]byte, Block)
		}
		b := m.row[p][:Block]
		m.row[p] = b
		good := true
		switch n := p*l.rows + row; {
		case p >= l.data:
			n = l.blocks + (p-l.data)*l.rows + row
			good = readFull(m.o.src, b, l.parityAt(p-l.data, row)) == nil && m.o.good(n, b)
		case n < l.blocks:
			good = m.read(n, b)
		default:
			clear(b)
		}
		if !good {
			missing = append(missing, p)
		}
	}
	return missing
}
