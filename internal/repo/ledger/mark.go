package ledger

import (
	"encoding/binary"
	"time"
	"unicode/utf8"

	"keepward/internal/repo/point"
)

// MarkKind says what a marker does to its point. The numbers are format.
type MarkKind uint8

// The kinds.
const (
	Deleted MarkKind = 1 // hidden, and live until it is purged
	Held    MarkKind = 2 // nothing purges it
)

func (k MarkKind) String() string {
	switch k {
	case Deleted:
		return "deleted"
	case Held:
		return "held"
	}
	return "unknown"
}

// Mark is a marker of a point.
type Mark struct {
	Kind       MarkKind
	Repository [16]byte
	Attempt    point.Attempt
	Time       time.Time // the server's
	Reason     string    // at most MaxReason bytes; what is above is cut off
}

const (
	magicMark = "KWMK"
	markHead  = 8 + 2
	// MaxReason bounds a reason.
	MaxReason = 1024
	// MaxMark bounds the object.
	MaxMark = headSize + markHead + MaxReason + sumSize
)

// Encode makes the object: head, time in nanoseconds since 1970 (8), length of the reason (2),
// the reason.
func (m Mark) Encode() []byte {
	reason := m.Reason
	if len(reason) > MaxReason {
		at := MaxReason
		for at > 0 && !utf8.RuneStart(reason[at]) {
			at--
		}
		reason = reason[:at]
	}
	b := begin(magicMark, head{byte(m.Kind), m.Repository, m.Attempt})
	b = binary.LittleEndian.AppendUint64(b, uint64(m.Time.UnixNano()))
	b = binary.LittleEndian.AppendUint16(b, uint16(len(reason)))
	return end(append(b, reason...))
}

// ParseMark reads a marker of the kind.
func ParseMark(b []byte, kind MarkKind) (Mark, error) {
	what := "marker of a point that is " + kind.String()
	h, body, err := parse(b, magicMark, what)
	if err != nil {
		return Mark{}, err
	}
	if len(body) < markHead || h.variant != byte(kind) || int(binary.LittleEndian.Uint16(body[8:])) != len(body)-markHead || len(body)-markHead > MaxReason {
		return Mark{}, corrupt("layout", what, "its parts do not fit")
	}
	return Mark{
		Kind: kind, Repository: h.repository, Attempt: h.attempt,
		Time: time.Unix(0, int64(binary.LittleEndian.Uint64(body))), Reason: string(body[markHead:]),
	}, nil
}
