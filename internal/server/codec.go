package server

import (
	"google.golang.org/protobuf/encoding/protowire"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"

	"keepward/internal/errs"
)

// Bounds of the fields in one message, those of messages inside it included. An empty message
// takes two bytes on the wire and a hundred times that in memory, so length alone bounds
// nothing.
const (
	agentFieldsMost     = 1 << 16
	transportFieldsMost = 1 << 22
	// nestedMost is deeper than any message of ours.
	nestedMost = 32
)

// nodeCodec reads messages of nodes, counting before anything is built.
type nodeCodec struct{ most int }

func (nodeCodec) Name() string { return "proto" }

func (nodeCodec) Marshal(v any) ([]byte, error) {
	m, ok := v.(proto.Message)
	if !ok {
		return nil, errs.New(errs.Internal, "", "write message: it is a %T", v)
	}
	return proto.Marshal(m)
}

func (c nodeCodec) Unmarshal(b []byte, v any) error {
	m, ok := v.(proto.Message)
	if !ok {
		return errs.New(errs.Internal, "", "read message: it is a %T", v)
	}
	left := c.most
	if !countFields(b, m.ProtoReflect().Descriptor(), &left, nestedMost) {
		return errs.New(errs.Invalid, "call.fields", "read message: it has more than %d fields", c.most)
	}
	return proto.Unmarshal(b, m)
}

// countFields takes the fields of a message from left; false: there are too many. What is no
// message is left to who reads it.
func countFields(b []byte, d protoreflect.MessageDescriptor, left *int, depth int) bool {
	if depth == 0 {
		return false
	}
	for len(b) > 0 {
		number, form, n := protowire.ConsumeTag(b)
		if n < 0 {
			return true
		}
		b = b[n:]
		if *left--; *left < 0 {
			return false
		}
		if n = protowire.ConsumeFieldValue(number, form, b); n < 0 {
			return true
		}
		if f := d.Fields().ByNumber(number); form == protowire.BytesType && f != nil && f.Message() != nil {
			inner, _ := protowire.ConsumeBytes(b[:n])
			if !countFields(inner, f.Message(), left, depth-1) {
				return false
			}
		}
		b = b[n:]
	}
	return true
}

// noCodec refuses an encoding that nodes do not use.
type noCodec string

func (c noCodec) Name() string { return string(c) }

func (c noCodec) Marshal(any) ([]byte, error) { return nil, c.refused() }

func (c noCodec) Unmarshal([]byte, any) error { return c.refused() }

func (c noCodec) refused() error {
	return errs.New(errs.Invalid, "call.encoding", "read message: nodes do not speak %s", string(c))
}
