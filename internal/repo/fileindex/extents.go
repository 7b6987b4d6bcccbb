package fileindex

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"io"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Extents reads the extents of a file in order, from its entry or from its content map. It
// belongs to one goroutine.
type Extents struct {
	list   []Extent
	next   int
	offset int64   // where list[next] begins in the file
	w      *walker // nil: the entry has them all
}

// NewExtents makes an Extents that stands before the first extent of e, whose list it reads
// on from where that lies. Close it.
func NewExtents(f Fetcher, e *Entry) *Extents {
	if e.Map.Empty() {
		return &Extents{list: e.Extents}
	}
	return &Extents{w: newWalker(f, seal.KindMap, e.Map)}
}

// Close waits for what is being fetched ahead.
func (x *Extents) Close() {
	if x.w != nil {
		x.w.close()
	}
}

// Next answers the next extent and where it begins in the file; io.EOF behind the last.
func (x *Extents) Next(ctx context.Context) (int64, Extent, error) {
	for x.next == len(x.list) {
		if x.w == nil {
			return 0, Extent{}, io.EOF
		}
		if err := x.read(ctx); err != nil {
			return 0, Extent{}, err
		}
	}
	e, at := x.list[x.next], x.offset
	x.next++
	x.offset += e.Len
	return at, e, nil
}

// Seek has Next answer the extent that offset lies in; behind the last extent, io.EOF.
func (x *Extents) Seek(ctx context.Context, offset int64) error {
	if x.w == nil {
		x.next, x.offset = 0, 0
	} else if err := x.seekMap(ctx, offset); err != nil {
		return err
	}
	for x.next < len(x.list) && x.offset+x.list[x.next].Len <= offset {
		x.offset += x.list[x.next].Len
		x.next++
	}
	return nil
}

// seekMap takes the last item of the content map that does not begin behind offset.
func (x *Extents) seekMap(ctx context.Context, offset int64) error {
	key := binary.BigEndian.AppendUint64(nil, uint64(offset))
	x.list, x.next = x.list[:0], 0
	if err := x.w.descendBy(ctx, key); err != nil {
		return err
	}
	for {
		k, ok, err := x.w.peek(ctx)
		if err != nil || !ok || bytes.Compare(k, key) > 0 {
			return err
		}
		if err := x.read(ctx); err != nil {
			return err
		}
	}
}

// read takes the next item of the content map.
func (x *Extents) read(ctx context.Context) error {
	key, value, tv, err := x.w.take(ctx)
	if err != nil {
		return err
	}
	if len(key) != 8 {
		return errs.New(errs.Corrupt, "entry.map", "read content map: a key has %d bytes", len(key))
	}
	x.offset, x.next = int64(binary.BigEndian.Uint64(key)), 0
	x.list, err = decodeExtents(x.list[:0], value, tv)
	return err
}

// ForEachExtent calls fn for the extents of a file in order with the offset each begins at,
// from the entry itself or from its content map.
func ForEachExtent(ctx context.Context, f Fetcher, e *Entry, fn func(offset int64, x Extent) error) error {
	list := NewExtents(f, e)
	defer list.Close()
	for {
		at, x, err := list.Next(ctx)
		if errors.Is(err, io.EOF) {
			return nil
		}
		if err != nil {
			return err
		}
		if err := fn(at, x); err != nil {
			return err
		}
	}
}

// Part is length bytes of an extent from offset from on; false: a member of a bundle can only
// be named whole.
func (x Extent) Part(from, length int64) (Extent, bool) {
	if from == 0 && length == x.Len {
		return x, true
	}
	if x.Kind == InBundle || from < 0 || length <= 0 || from+length > x.Len {
		return Extent{}, false
	}
	if x.Kind == InChunk {
		x.Offset += uint32(from)
	}
	x.Len = length
	return x, true
}

// Append adds y, which follows x in the file, to x if one extent can name both.
func (x *Extent) Append(y *Extent) bool {
	if x.Kind != y.Kind {
		return false
	}
	switch x.Kind {
	case Hole, Zeros:
	case InChunk:
		if int64(x.Offset)+x.Len != int64(y.Offset) || x.H != y.H {
			return false
		}
	default:
		return false
	}
	x.Len += y.Len
	return true
}
