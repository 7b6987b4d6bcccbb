package pipeline

import (
	"cmp"
	"encoding/binary"
	"maps"
	"slices"

	"keepward/internal/repo/fileindex"
	"keepward/internal/repo/seal"
)

// A bundle is thin for a point that uses little of it: all of it is fetched for that little.
// Each run counts what its point uses, and notes in the root which bundles the next run
// dissolves: what that still needs of them is read and bundled anew, though it did not change.
// docs/decisions/locality.md says why, and what it gains.

const (
	// wellUsed is from how many bytes in use on a bundle stays: it was about so large that
	// closed because it was full, and less than half as large that has more than twice of it.
	wellUsed = seal.BundleMin
	// tiny is under how many bytes in use a bundle goes though all of it is in use: to fetch
	// it takes a read of its own.
	tiny = wellUsed / 4
	// changedPerAnew bytes have to change for each that is bundled anew without.
	changedPerAnew = 2
	// maxCredit bounds what one run bundles anew; keptCredit, what is left of it to the next.
	maxCredit  = 1 << 30
	keptCredit = 16 << 20
	// maxCounted bundles are counted at once: 5 MiB. One that finds no room is taken for well
	// used.
	maxCounted = 1 << 17
	// maxNoted bounds the note in the root: 128 KiB.
	maxNoted = 1 << 14
)

// bundleName stands for a bundle where a mistake costs no more than a file read in vain.
type bundleName uint64

// bundled calls fn for each member of a bundle that a small file uses. Blocks of large files
// have a rule of their own: parentFile.
func bundled(e *fileindex.Entry, fn func(name bundleName, x *fileindex.Extent)) {
	if e.Type != fileindex.File || e.Size >= seal.SmallFile {
		return
	}
	for i := range e.Extents {
		if x := &e.Extents[i]; x.Kind == fileindex.InBundle {
			fn(bundleName(binary.LittleEndian.Uint64(x.H[:])), x)
		}
	}
}

// renewal decides which files are bundled anew though they did not change. It belongs to the
// sequencer.
type renewal struct {
	parent   bool // there is one
	dissolve map[bundleName]struct{}
	credit   int64 // bytes that may be bundled anew
	// changed are the bytes of small files that are new or changed, anew those of the others
	// that were bundled anew.
	changed, anew int64
}

// wants tells whether a file that did not change is to be bundled anew. None is before the
// first that did change: where nothing changed, nothing is read.
func (r *renewal) wants(e *fileindex.Entry) bool {
	if r.changed == 0 || len(r.dissolve) == 0 || r.anew+e.Size > r.credit {
		return false
	}
	found := false
	bundled(e, func(name bundleName, _ *fileindex.Extent) {
		_, ok := r.dissolve[name]
		found = found || ok
	})
	if found {
		r.anew += e.Size
	}
	return found
}

// sees takes note of a file that is new or changed.
func (r *renewal) sees(e *fileindex.Entry) {
	if r.parent && e.Type == fileindex.File && e.Size < seal.SmallFile {
		r.changed += e.Size
	}
}

// left is the credit of the next run.
func (r *renewal) left() int64 {
	return min(maxCredit, min(keptCredit, r.credit-r.anew)+r.changed/changedPerAnew)
}

// carried is the note of a run that has not seen all its point uses: what the parent noted, and
// the credit without the bound that is for runs which had a use for it.
func (r *renewal) carried() []byte {
	names := slices.Sorted(maps.Keys(r.dissolve))
	return note(min(maxCredit, r.credit-r.anew+r.changed/changedPerAnew), names)
}

// note is what the next run is told of bundles.
func (r *run) note() []byte {
	if r.narrow != nil {
		return r.renewal.carried()
	}
	credit := r.renewal.left()
	return note(credit, r.uses.choose(credit))
}

// parse reads the parent's note; one that cannot be read is as if there was none.
func (r *renewal) parse(b []byte) {
	r.parent = true
	credit, n := binary.Uvarint(b)
	if n <= 0 || len(b[n:])%8 != 0 || len(b[n:]) > 8*maxNoted {
		return
	}
	r.credit = int64(min(credit, maxCredit))
	r.dissolve = make(map[bundleName]struct{}, len(b[n:])/8)
	for b = b[n:]; len(b) > 0; b = b[8:] {
		r.dissolve[bundleName(binary.LittleEndian.Uint64(b))] = struct{}{}
	}
}

// note is what parse reads.
func note(credit int64, dissolve []bundleName) []byte {
	if credit <= 0 {
		return nil
	}
	b := binary.AppendUvarint(nil, uint64(credit))
	for _, name := range dissolve {
		b = binary.LittleEndian.AppendUint64(b, uint64(name))
	}
	return b
}

// uses counts what the point uses of each bundle. Its memory is bounded: of a bundle that is
// well used no more than a bit is kept, and since bundles hold neighbours, most are counted one
// after the other. It belongs to the orderer.
type uses struct {
	few map[bundleName]bundleUse
	// well has a bit for each name, by a part of it: that one is well used, or another one of
	// the same bit.
	well []uint64
}

type bundleUse struct {
	bytes, members uint32
	last           uint32 // the highest number of a member in use
}

// thin tells whether it pays to dissolve a bundle. How large it is nobody knows here; its
// members are numbered, so the last in use says how many there are at least.
func (b *bundleUse) thin() bool { return b.bytes < tiny || 2*b.members < b.last+1 }

// wellBits are a MiB: the bundles of a TiB of small files set a fifth of them.
const wellBits = 1 << 23

func (u *uses) add(e *fileindex.Entry) { bundled(e, u.count) }

func (u *uses) count(name bundleName, x *fileindex.Extent) {
	if u.well == nil {
		u.few, u.well = make(map[bundleName]bundleUse), make([]uint64, wellBits/64)
	}
	bit := name % wellBits
	word, mask := &u.well[bit/64], uint64(1)<<(bit%64)
	if *word&mask != 0 {
		return
	}
	use, known := u.few[name]
	use.bytes += uint32(min(x.Len, wellUsed))
	use.members++
	use.last = max(use.last, x.Member)
	switch {
	case use.bytes >= wellUsed:
		*word |= mask
		delete(u.few, name)
	case !known && len(u.few) >= maxCounted:
		*word |= mask
	default:
		u.few[name] = use
	}
}

// choose answers the thinnest bundles of which the point uses no more than credit together:
// there each byte that is read again saves the most.
func (u *uses) choose(credit int64) []bundleName {
	type choice struct {
		name bundleName
		use  bundleUse
	}
	var thin []choice
	for name, use := range u.few {
		if use.thin() {
			thin = append(thin, choice{name, use})
		}
	}
	slices.SortFunc(thin, func(a, b choice) int {
		return cmp.Or(cmp.Compare(a.use.bytes, b.use.bytes), cmp.Compare(a.name, b.name))
	})
	var names []bundleName
	for _, c := range thin {
		if credit -= int64(c.use.bytes); credit < 0 || len(names) == maxNoted {
			break
		}
		names = append(names, c.name)
	}
	slices.Sort(names)
	return names
}
