package wire

import (
	"context"
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Locator is a DataHandler that says where records lie, for estimates.
type Locator interface {
	// Locate answers for each id the bytes of its record, 0 if it is not there, and a number
	// of the pack that it lies in.
	Locate(ctx context.Context, ids []seal.ID) (sizes, packs []uint32, err error)
}

// placeSize is a record's length and the number of its pack, 4 bytes each.
const placeSize = 8

func (d *dataConn) locate(b []byte) ([]byte, error) {
	ids, err := parseIDs[seal.ID](b)
	if err != nil {
		return nil, err
	}
	l, ok := d.s.handler.(Locator)
	if !ok {
		return nil, errs.New(errs.Denied, "request.mode", "locate: this task does not read")
	}
	sizes, packs, err := l.Locate(d.ctx, ids)
	if err != nil {
		return nil, err
	}
	out := make([]byte, 0, placeSize*len(ids))
	for i := range sizes {
		out = binary.LittleEndian.AppendUint32(out, sizes[i])
		out = binary.LittleEndian.AppendUint32(out, packs[i])
	}
	return out, nil
}

// Locate answers for each id the bytes of its record, 0 if it is not there, and a number that
// it shares with what lies in the same pack.
func (c *DataClient) Locate(ctx context.Context, ids []seal.ID) (sizes, packs []uint32, err error) {
	for from := 0; from < len(ids); from += maxGet {
		part := ids[from:min(from+maxGet, len(ids))]
		b, err := c.call(ctx, kindLocate, appendIDs(make([]byte, 0, len(part)*idSize), part))
		if err != nil {
			return nil, nil, err
		}
		if len(b) != placeSize*len(part) {
			return nil, nil, protocolError("%d bytes answer %d ids", len(b), len(part))
		}
		for i := range part {
			sizes = append(sizes, binary.LittleEndian.Uint32(b[placeSize*i:]))
			packs = append(packs, binary.LittleEndian.Uint32(b[placeSize*i+4:]))
		}
	}
	return sizes, packs, nil
}
