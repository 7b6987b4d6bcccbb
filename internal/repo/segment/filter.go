package segment

import (
	"encoding/binary"
	"math/bits"

	"keepward/internal/repo/seal"
)

// probe finds the filter block of an id, and its bits in it. Ids are hashes, so their own
// bytes serve; the first 8 do not, since the rows are sorted by them.
func probe(id *seal.ID, blocks uint64) (block uint64, set uint64) {
	block, _ = bits.Mul64(binary.LittleEndian.Uint64(id[8:]), blocks)
	return block, binary.LittleEndian.Uint64(id[16:])
}

// mayHave asks the filter.
func (s *Segment) mayHave(id *seal.ID) bool {
	if len(s.filter) == 0 {
		return false
	}
	at, set := probe(id, uint64(len(s.filter)/blockSize))
	block := s.filter[at*blockSize : at*blockSize+blockSize]
	for range probesPerKey {
		bit := set & 511
		if block[bit>>3]&(1<<(bit&7)) == 0 {
			return false
		}
		set >>= 9
	}
	return true
}

// Passing appends to dst the numbers of those of n segments whose filter lets id pass: for the
// others a Find would answer nothing. To ask thousands of filters at once costs half of what it
// costs one by one. If the disk does not give a filter, all from there on pass, and Find tells.
func Passing(dst []int, n int, at func(int) *Segment, id seal.ID) (out []int) {
	i := 0
	out = dst
	var fault error
	defer func() {
		for ; fault != nil && i < n; i++ {
			out = append(out, i)
		}
	}()
	defer guard(&fault)()
	for ; i < n; i++ {
		if at(i).mayHave(&id) {
			out = append(out, i)
		}
	}
	return out
}
