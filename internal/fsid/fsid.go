// Package fsid names file systems by what is written in them, so that one has the same number
// after every start of the computer, wherever it is mounted, and its snapshots can be given the
// number of what they were taken of. The device numbers of a stat are none of that: those of
// btrfs are handed out as subvolumes are met, those of disks as disks are found.
//
// It is not for telling whether two files are one: two copies of a disk have one name. Its
// functions may be called by several goroutines.
package fsid

import (
	"encoding/binary"
	"hash/fnv"
)

// A number has 48 bits, the highest of them set: no device number of a system looks like it, and
// an index holds one for each file.
const (
	mark = 1 << 47
	mask = mark - 1
)

// number makes a name a number.
func number(name []byte) uint64 {
	h := fnv.New64a()
	_, _ = h.Write(name) // never fails
	x := h.Sum64()
	return mark | (x^x>>47)&mask
}

// Salted is another number for a file system whose own is taken by a copy of it.
func Salted(id, device uint64) uint64 {
	var b [16]byte
	binary.LittleEndian.PutUint64(b[:], id)
	binary.LittleEndian.PutUint64(b[8:], device)
	return number(b[:])
}
