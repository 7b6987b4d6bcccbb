package fileindex

import (
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// encodeExtents appends extents: uvarint kind; InChunk: table position, offset, length;
// InBundle: table position, member, length; Hole and Zeros: length.
func encodeExtents(b []byte, list []Extent, t *table) []byte {
	for i := range list {
		x := &list[i]
		b = binary.AppendUvarint(b, uint64(x.Kind))
		switch x.Kind {
		case InChunk:
			b = binary.AppendUvarint(b, uint64(t.position(x.H)))
			b = binary.AppendUvarint(b, uint64(x.Offset))
		case InBundle:
			b = binary.AppendUvarint(b, uint64(t.position(x.H)))
			b = binary.AppendUvarint(b, uint64(x.Member))
		}
		b = binary.AppendUvarint(b, uint64(x.Len))
	}
	return b
}

// numbers reads uvarints from b until an error, which sticks.
type numbers struct {
	b   []byte
	bad bool
}

func (n *numbers) next() uint64 {
	v, k := binary.Uvarint(n.b)
	if k <= 0 {
		n.bad, n.b = true, nil
		return 0
	}
	n.b = n.b[k:]
	return v
}

func (n *numbers) bytes(length uint64) []byte {
	if length > uint64(len(n.b)) {
		n.bad, n.b = true, nil
		return nil
	}
	v := n.b[:length:length]
	n.b = n.b[length:]
	return v
}

func decodeExtents(list []Extent, b []byte, t tableView) ([]Extent, error) {
	n := numbers{b: b}
	for len(n.b) > 0 {
		x := Extent{Kind: ExtentKind(n.next())}
		switch x.Kind {
		case InChunk, InBundle:
			h, err := t.at(n.next())
			if err != nil {
				return list, err
			}
			x.H = h
			v := n.next()
			if v > seal.MaxRaw {
				return list, errs.New(errs.Corrupt, "entry.extent", "decode extent: offset %d is out of bounds", v)
			}
			if x.Kind == InChunk {
				x.Offset = uint32(v)
			} else {
				x.Member = uint32(v)
			}
		case Hole, Zeros:
		default:
			return list, errs.New(errs.Corrupt, "entry.extent", "decode extent: kind %d is unknown", x.Kind)
		}
		x.Len = int64(n.next())
		if n.bad || x.Len < 0 {
			return list, errs.New(errs.Corrupt, "entry.extent", "decode extent: the list is cut short")
		}
		list = append(list, x)
	}
	return list, nil
}

func decodeMap(b []byte, t tableView) (Tree, error) {
	n := numbers{b: b}
	h, err := t.at(n.next())
	if err != nil {
		return Tree{}, err
	}
	tr := Tree{H: h, Level: uint8(n.next()), Entries: int64(n.next()), Bytes: int64(n.next())}
	if n.bad {
		return Tree{}, errs.New(errs.Corrupt, "entry.map", "decode content map: cut short")
	}
	return tr, nil
}

func decodeStream(b []byte, t tableView) (Stream, error) {
	n := numbers{b: b}
	s := Stream{Name: n.bytes(n.next()), Size: int64(n.next())}
	if n.bad {
		return s, errs.New(errs.Corrupt, "entry.stream", "decode named stream: cut short")
	}
	var err error
	s.Extents, err = decodeExtents(nil, n.b, t)
	return s, err
}
