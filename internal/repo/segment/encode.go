package segment

import (
	"bytes"
	"encoding/binary"
	"slices"

	"github.com/cespare/xxhash/v2"
)

// Encode makes a segment of rows, which it sorts. Rows may share an id.
func Encode(h Header, packs []Pack, rows []Row) []byte {
	slices.SortFunc(rows, func(a, b Row) int { return bytes.Compare(a.ID[:], b.ID[:]) })
	blocks := (len(rows)*bitsPerKey + blockSize*8 - 1) / (blockSize * 8)
	l := layoutOf(len(packs), int64(len(rows)), blocks)
	b := make([]byte, l.length)
	marks := slices.ContainsFunc(rows, func(r Row) bool { return r.Flags&Damaged != 0 })
	encodeHeader(b, h, l, len(rows), marks)
	for i, p := range packs {
		e := b[headerSize+i*packSize:]
		copy(e, p.Attempt[:])
		e[16] = byte(p.Class)
		binary.LittleEndian.PutUint32(e[20:], p.Number)
		binary.LittleEndian.PutUint64(e[24:], uint64(p.Length))
	}
	filter, fences := b[l.filter:l.fences], b[l.fences:]
	for i := range rows {
		at, set := probe(&rows[i].ID, uint64(blocks))
		block := filter[at*blockSize : at*blockSize+blockSize]
		for range probesPerKey {
			bit := set & 511
			block[bit>>3] |= 1 << (bit & 7)
			set >>= 9
		}
	}
	for p := range int(l.npages) {
		part := rows[p*rowsPerPage : min((p+1)*rowsPerPage, len(rows))]
		binary.LittleEndian.PutUint64(fences[p*8:], binary.BigEndian.Uint64(part[0].ID[:]))
		encodePage(b[l.pages+int64(p)*PageSize:][:PageSize], p, part)
	}
	binary.LittleEndian.PutUint64(b[l.pages-8:], xxhash.Sum64(b[:l.pages-8]))
	return b
}

func encodeHeader(b []byte, h Header, l *layout, rows int, marks bool) {
	copy(b, "KWIX")
	binary.LittleEndian.PutUint16(b[4:], version)
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
	for i, v := range []int64{headerSize, l.filter, l.fences, l.pages, l.length} {
		binary.LittleEndian.PutUint64(b[80+8*i:], uint64(v))
	}
	binary.LittleEndian.PutUint64(b[120:], xxhash.Sum64(b[:120]))
}

func encodePage(b []byte, number int, rows []Row) {
	for i := range rows {
		r, e := &rows[i], b[i*rowSize:]
		copy(e, r.ID[:])
		binary.LittleEndian.PutUint32(e[32:], r.Pack)
		binary.LittleEndian.PutUint32(e[36:], r.Offset)
		binary.LittleEndian.PutUint32(e[40:], r.Length)
		e[44], e[45] = byte(r.Kind), byte(r.Flags)
	}
	binary.LittleEndian.PutUint32(b[4080:], uint32(number))
	binary.LittleEndian.PutUint16(b[4084:], uint16(len(rows)))
	binary.LittleEndian.PutUint64(b[4088:], xxhash.Sum64(b[:4088]))
}
