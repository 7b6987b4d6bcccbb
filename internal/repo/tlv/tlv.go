// Package tlv is the tagged encoding of entries, nodes' fields, restore points and roots:
// fields in ascending order of their number, each a number or bytes, so that equal things
// encode to equal bytes and an unknown field can be carried along.
//
// A field is uvarint(number<<1 | form) and then, form 0: uvarint(value); form 1:
// uvarint(length) and that many bytes. Signed numbers are zigzag. A number that is zero and
// bytes that are empty are not written. docs/formats/repository.md, "Tagged fields".
//
// Functions only; nothing here is shared.
package tlv

import (
	"encoding/binary"

	"keepward/internal/errs"
)

// Uint appends a number, unless it is zero.
func Uint(b []byte, field int, v uint64) []byte {
	if v == 0 {
		return b
	}
	b = binary.AppendUvarint(b, uint64(field)<<1)
	return binary.AppendUvarint(b, v)
}

// Int appends a signed number in zigzag form, unless it is zero.
func Int(b []byte, field int, v int64) []byte {
	return Uint(b, field, uint64(v<<1)^uint64(v>>63))
}

// Bool appends a 1, if v.
func Bool(b []byte, field int, v bool) []byte {
	if !v {
		return b
	}
	return Uint(b, field, 1)
}

// Bytes appends bytes, unless they are empty.
func Bytes[T ~[]byte | ~string](b []byte, field int, v T) []byte {
	if len(v) == 0 {
		return b
	}
	return Empty(b, field, v)
}

// Empty appends bytes, even empty ones: for elements of a list.
func Empty[T ~[]byte | ~string](b []byte, field int, v T) []byte {
	b = binary.AppendUvarint(b, uint64(field)<<1|1)
	b = binary.AppendUvarint(b, uint64(len(v)))
	return append(b, v...)
}

// Field is one decoded field; Data points into what was decoded.
type Field struct {
	Number int
	// IsBytes tells the form: Data is set, else Value.
	IsBytes bool
	Value   uint64
	Data    []byte
	// Raw is the whole field as it stood, to be carried along.
	Raw []byte
}

// Int is the field's value as a signed number.
func (f *Field) Int() int64 { return int64(f.Value>>1) ^ -int64(f.Value&1) }

// Next decodes the field at the start of b and answers the rest. last is the number of the
// field before it (0 at first): numbers must not go down.
func Next(b []byte, last int) (f Field, rest []byte, err error) {
	tag, n := binary.Uvarint(b)
	if n <= 0 || tag>>1 == 0 || tag>>1 > 1<<16 {
		return f, nil, errs.New(errs.Corrupt, "tlv.tag", "decode field after %d: bad tag", last)
	}
	f.Number, f.IsBytes = int(tag>>1), tag&1 == 1
	if f.Number < last {
		return f, nil, errs.New(errs.Corrupt, "tlv.order", "decode field %d: it stands after field %d", f.Number, last)
	}
	v, m := binary.Uvarint(b[n:])
	if m <= 0 {
		return f, nil, errs.New(errs.Corrupt, "tlv.value", "decode field %d: bad number", f.Number)
	}
	end := n + m
	if f.IsBytes {
		if v > uint64(len(b)-end) {
			return f, nil, errs.New(errs.Corrupt, "tlv.length", "decode field %d: %d bytes are said, %d are there", f.Number, v, len(b)-end)
		}
		f.Data = b[end : end+int(v) : end+int(v)]
		end += int(v)
	} else {
		f.Value = v
	}
	f.Raw = b[:end:end]
	return f, b[end:], nil
}
