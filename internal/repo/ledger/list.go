package ledger

import (
	"encoding/binary"
	"slices"

	"keepward/internal/repo/pack"
	"keepward/internal/repo/point"
)

// ListKind says what a list of packs is. The numbers are format.
type ListKind uint8

// The kinds, in the order in which a generation gets them.
const (
	Condemned ListKind = 1 // to be deleted, once all who may rely on them are settled
	Spared    ListKind = 2 // those of the condemned that must stay: the others may be deleted
	Swept     ListKind = 3 // empty: the generation is over
)

func (k ListKind) String() string {
	switch k {
	case Condemned:
		return "list of condemned packs"
	case Spared:
		return "list of spared packs"
	case Swept:
		return "end of a generation"
	}
	return "unknown list"
}

// List is a list of packs of one generation.
type List struct {
	Kind       ListKind
	Repository [16]byte
	By         point.Attempt // the sweep that made it
	Generation uint64
	Term       uint64 // of its order
	Packs      []pack.Key
}

const (
	magicList = "KWPL"
	listHead  = 8 + 8 + 4
	keySize   = 24
	// MaxPacks bounds a list: with packs of 64 MiB it gives 64 TiB back. What is above waits
	// for the next generation.
	MaxPacks = 1 << 20
	// MaxList bounds the object.
	MaxList = headSize + listHead + MaxPacks*keySize + sumSize
)

// Encode makes the object; it sorts the packs.
//
//	head, generation (8), term (8), number of packs (4), packs: attempt (16), class (1), 0 (3), number (4)
func (l List) Encode() []byte {
	slices.SortFunc(l.Packs, pack.Key.Compare)
	b := begin(magicList, head{byte(l.Kind), l.Repository, l.By})
	b = binary.LittleEndian.AppendUint64(b, l.Generation)
	b = binary.LittleEndian.AppendUint64(b, l.Term)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(l.Packs)))
	for _, k := range l.Packs {
		b = append(b, k.Attempt[:]...)
		b = append(b, byte(k.Class), 0, 0, 0)
		b = binary.LittleEndian.AppendUint32(b, k.Number)
	}
	return end(b)
}

// ParseList reads a list of the kind. Its packs are sorted, each once.
func ParseList(b []byte, kind ListKind) (List, error) {
	h, body, err := parse(b, magicList, kind.String())
	if err != nil {
		return List{}, err
	}
	if len(body) < listHead || h.variant != byte(kind) {
		return List{}, corrupt("layout", kind.String(), "its parts do not fit")
	}
	l := List{
		Kind: kind, Repository: h.repository, By: h.attempt,
		Generation: binary.LittleEndian.Uint64(body), Term: binary.LittleEndian.Uint64(body[8:]),
	}
	n := int64(binary.LittleEndian.Uint32(body[16:]))
	if body = body[listHead:]; n > MaxPacks || int64(len(body)) != n*keySize {
		return List{}, corrupt("layout", kind.String(), "its parts do not fit")
	}
	l.Packs = make([]pack.Key, n)
	for i := range l.Packs {
		e := body[i*keySize:]
		k := pack.Key{Attempt: point.Attempt(e[:16]), Class: pack.Class(e[16]), Number: binary.LittleEndian.Uint32(e[20:])}
		if (k.Class != pack.Data && k.Class != pack.Meta) || (i > 0 && l.Packs[i-1].Compare(k) >= 0) {
			return List{}, corrupt("packs", kind.String(), "its packs are not in order")
		}
		l.Packs[i] = k
	}
	return l, nil
}
