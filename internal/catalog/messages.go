package catalog

import (
	"google.golang.org/protobuf/encoding/protojson"
	"google.golang.org/protobuf/proto"

	"keepward/internal/errs"
)

// toJSON is how messages are kept: a nil message is the empty string.
func toJSON(m proto.Message) (string, error) {
	if m == nil || !m.ProtoReflect().IsValid() {
		return "", nil
	}
	b, err := protojson.Marshal(m)
	if err != nil {
		return "", errs.New(errs.Internal, "", "write %s to the catalog: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return string(b), nil
}

// fromJSON reads what toJSON wrote into m, a new message; it answers nil for the empty
// string. Fields of a newer server are ignored.
func fromJSON[M proto.Message](s string, m M) (M, error) {
	var none M
	if s == "" {
		return none, nil
	}
	if err := (protojson.UnmarshalOptions{DiscardUnknown: true}).Unmarshal([]byte(s), m); err != nil {
		return none, errs.New(errs.Corrupt, "catalog.message", "read %s from the catalog: %w", m.ProtoReflect().Descriptor().Name(), err)
	}
	return m, nil
}

// jsonOf collects the JSON of several messages, and the first error.
type jsonOf struct{ err error }

func (j *jsonOf) of(m proto.Message) string {
	s, err := toJSON(m)
	if j.err == nil {
		j.err = err
	}
	return s
}
