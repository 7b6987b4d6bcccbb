// Package proof is the format of proof objects: which packs were read when, and what that
// showed. It is docs/formats/repository-layout.md, "Proofs".
//
// It encodes, parses and joins values; it knows neither keys nor where proofs are kept, and it
// decides nothing of what is read next. All are values; a Set belongs to one goroutine at a time
// until nothing more is added.
package proof

import (
	"cmp"
	"encoding/binary"
	"slices"
	"time"

	"github.com/cespare/xxhash/v2"

	"keepward/internal/errs"
	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

// Level is what a reading showed of all records of a pack that are not marked as damaged. The
// numbers are format.
type Level uint8

// The levels.
const (
	// Seen: the pack was there. Its age counts from then, until it is proved.
	Seen Level = 0
	// Sums: every byte was read, and every checksum is right.
	Sums Level = 1
	// Content: besides, every record that a restore point needed was opened, and its content is
	// what its hash says.
	Content Level = 2
)

// Flags of an entry. The bits are format.
type Flags uint8

// The flags.
const (
	// Whole: every record was opened, needed or not, and matches its hash. Only this lets other
	// computers rely on the pack: a record that nobody needed may hold anything.
	Whole Flags = 1 << iota
	// Damaged: it holds records that are marked as damaged, or is damaged itself.
	Damaged
)

// Entry is the proof of one pack.
type Entry struct {
	Pack  pack.Key
	Level Level
	Flags Flags
	Time  time.Time // the server's, of the order to read it
}

// Has tells whether f is set.
func (e Entry) Has(f Flags) bool { return e.Flags&f != 0 }

// IsWhole tells whether strangers may rely on all that is in the pack.
func (e Entry) IsWhole() bool { return e.Level >= Content && e.Has(Whole) && !e.Has(Damaged) }

// Join is what two entries of one pack say together: the newer one counts. That a pack is whole
// stays, for packs are never changed, unless it was seen damaged since.
func Join(a, b Entry) Entry {
	if newer(a, b) {
		a, b = b, a
	}
	if a.Has(Whole) && !b.Has(Damaged) {
		b.Flags |= Whole
	}
	return b
}

// newer tells whether a is newer than b. Of the same time the higher level is.
func newer(a, b Entry) bool {
	if a.Level == Seen || b.Level == Seen {
		if a.Level == b.Level { // the first sight counts
			return a.Time.Before(b.Time)
		}
		return b.Level == Seen
	}
	if c := a.Time.Compare(b.Time); c != 0 {
		return c > 0
	}
	return cmp.Or(cmp.Compare(a.Level, b.Level), cmp.Compare(a.Flags&Damaged, b.Flags&Damaged)) > 0
}

// Header is what a proof object says of itself.
type Header struct {
	RepositoryID [16]byte
	Attempt      point.Attempt // of the check or sweep that wrote it
	Number       uint32
}

// Layout, all little-endian. Sizes are format.
//
//	0  "KWPV"                  24 attempt, 16
//	4  version, 2 bytes        40 number, 4
//	6  0, 2                    44 number of entries, 4
//	8  repository id, 16       48 entries, 32 bytes each, sorted by name, each pack once:
//	                              attempt (16), class (1), level (1), flags (1), 0 (1),
//	                              number (4), time in nanoseconds since 1970 (8)
//	XXH64 of all before
const (
	headerSize = 48
	entrySize  = 32
	sumSize    = 8
	version    = 1
	// MaxEntries bounds one object: 64 TiB of full packs.
	MaxEntries = 1 << 20
	// MaxSize is that in bytes.
	MaxSize = headerSize + MaxEntries*entrySize + sumSize
)

// Encode makes an object of entries, which it sorts; each pack may stand once, and there may be
// no more than MaxEntries.
func Encode(h Header, entries []Entry) []byte {
	slices.SortFunc(entries, func(a, b Entry) int { return a.Pack.Compare(b.Pack) })
	out := make([]byte, headerSize, headerSize+len(entries)*entrySize+sumSize)
	copy(out, "KWPV")
	binary.LittleEndian.PutUint16(out[4:], version)
	copy(out[8:], h.RepositoryID[:])
	copy(out[24:], h.Attempt[:])
	binary.LittleEndian.PutUint32(out[40:], h.Number)
	binary.LittleEndian.PutUint32(out[44:], uint32(len(entries)))
	for i := range entries {
		e := &entries[i]
		out = append(out, e.Pack.Attempt[:]...)
		out = append(out, byte(e.Pack.Class), byte(e.Level), byte(e.Flags), 0)
		out = binary.LittleEndian.AppendUint32(out, e.Pack.Number)
		out = binary.LittleEndian.AppendUint64(out, uint64(e.Time.UnixNano()))
	}
	return binary.LittleEndian.AppendUint64(out, xxhash.Sum64(out))
}

// Parse reads an object. Levels and flags of later versions are kept as they are: who does not
// know a level takes it for the highest he knows.
func Parse(b []byte) (Header, []Entry, error) {
	var h Header
	bad := func(what string) (Header, []Entry, error) {
		return h, nil, errs.New(errs.Corrupt, "proof.damaged", "read proofs: %s", what)
	}
	if len(b) < headerSize+sumSize || string(b[:4]) != "KWPV" {
		return bad("it is no proof object")
	}
	if xxhash.Sum64(b[:len(b)-sumSize]) != binary.LittleEndian.Uint64(b[len(b)-sumSize:]) {
		return bad("checksum differs")
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v != version {
		return h, nil, errs.New(errs.Invalid, "proof.version", "read proofs: version %d is newer than this Keepward knows", v).WithHint("update Keepward")
	}
	n := int64(binary.LittleEndian.Uint32(b[44:]))
	if n > MaxEntries || headerSize+n*entrySize+sumSize != int64(len(b)) {
		return bad("its length does not fit its count")
	}
	h = Header{RepositoryID: [16]byte(b[8:24]), Attempt: point.Attempt(b[24:40]), Number: binary.LittleEndian.Uint32(b[40:])}
	entries := make([]Entry, n)
	for i := range entries {
		r := b[headerSize+i*entrySize:]
		entries[i] = Entry{
			Pack:  pack.Key{Attempt: point.Attempt(r[:16]), Class: pack.Class(r[16]), Number: binary.LittleEndian.Uint32(r[20:])},
			Level: Level(r[17]), Flags: Flags(r[18]), Time: time.Unix(0, int64(binary.LittleEndian.Uint64(r[24:]))).UTC(),
		}
		if c := entries[i].Pack.Class; c != pack.Data && c != pack.Meta {
			return bad("a class is unknown")
		}
		if i > 0 && entries[i-1].Pack.Compare(entries[i].Pack) >= 0 {
			return bad("its packs are not in order")
		}
	}
	return h, entries, nil
}
