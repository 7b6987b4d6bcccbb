package ledger

import (
	"encoding/binary"

	"keepward/internal/repo/point"
)

// Open is the marker of an attempt that may still write.
type Open struct {
	Repository [16]byte
	Attempt    point.Attempt
	// Maintenance attempts copy chunks and rely on none: a sweep need not wait for them.
	Maintenance bool
	// Generation is the list of condemned packs that the attempt had read when it began.
	Generation uint64
	Term       uint64 // of the order
}

// MaxOpen bounds an open marker.
const MaxOpen = headSize + 16 + sumSize

const (
	magicOpen          = "KWAT"
	variantWriter      = 1
	variantMaintenance = 2
)

// Encode makes the object.
func (o Open) Encode() []byte {
	v := byte(variantWriter)
	if o.Maintenance {
		v = variantMaintenance
	}
	b := begin(magicOpen, head{v, o.Repository, o.Attempt})
	b = binary.LittleEndian.AppendUint64(b, o.Generation)
	return end(binary.LittleEndian.AppendUint64(b, o.Term))
}

// ParseOpen reads an open marker.
func ParseOpen(b []byte) (Open, error) {
	const what = "open marker of an attempt"
	h, body, err := parse(b, magicOpen, what)
	if err != nil {
		return Open{}, err
	}
	if len(body) != 16 || (h.variant != variantWriter && h.variant != variantMaintenance) {
		return Open{}, corrupt("layout", what, "its parts do not fit")
	}
	return Open{
		Repository: h.repository, Attempt: h.attempt, Maintenance: h.variant == variantMaintenance,
		Generation: binary.LittleEndian.Uint64(body), Term: binary.LittleEndian.Uint64(body[8:]),
	}, nil
}
