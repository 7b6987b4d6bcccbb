package wire

import (
	"encoding/binary"
	"fmt"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// dataALPN is the protocol name of a data connection; the version is negotiated in hello.
const dataALPN = "keepward-data"

// kind is what a frame is. The numbers are format: docs/formats/wire.md.
type kind uint8

const (
	kindHello      kind = 1  // agent: who, which task
	kindWelcome    kind = 2  // mover: taken on
	kindHave       kind = 3  // agent: h, 32 bytes each
	kindPut        kind = 4  // agent: one record; the request number counts puts
	kindTaken      kind = 5  // mover: puts taken, puts durable
	kindGet        kind = 6  // agent: ids, 32 bytes each
	kindRecord     kind = 7  // mover: index (4 bytes), one record
	kindPoint      kind = 8  // agent: name of a point
	kindCheckpoint kind = 9  // agent: a draft
	kindCommit     kind = 10 // agent: a draft
	kindAnswer     kind = 11 // mover: the answer to a request
	kindFailure    kind = 12 // mover: a Failure; request 0: the whole session
	kindCredit     kind = 13 // agent: bytes of records consumed
	kindPing       kind = 14 // either
	kindPong       kind = 15 // either
	kindAbort      kind = 16 // agent: give up, with the reason
	kindBye        kind = 17 // agent: no more; mover: seen
	kindLocate     kind = 18 // agent: ids, 32 bytes each
	kindCall       kind = 19 // mover that dialled: for which task
	kindLanes      kind = 20 // agent: which connections of several count, 2 bytes each
)

const (
	headerSize = 16
	idSize     = 32
	// recordPrefix is the index before a record.
	recordPrefix = 4

	// MaxHave bounds the hashes of one have, maxGet the ids of one get, so that no request
	// holds up those behind it for long.
	MaxHave = 4096
	maxGet  = 1024
	// maxRequests bounds the requests of one connection that wait for an answer.
	maxRequests = 256
	maxText     = 64 << 10
)

// frames are the names of the kinds and their longest payloads; a kind without a row is
// unknown. docs/formats/wire.md has the same table, and a test compares the two.
var frames = map[kind]struct {
	name  string
	limit int
}{
	kindHello:      {"hello", helloSize},
	kindWelcome:    {"welcome", welcomeSize},
	kindHave:       {"have", MaxHave * idSize},
	kindPut:        {"put", seal.MaxRecord},
	kindTaken:      {"taken", 16},
	kindGet:        {"get", maxGet * idSize},
	kindRecord:     {"record", recordPrefix + seal.MaxRecord},
	kindPoint:      {"point", 32},
	kindCheckpoint: {"checkpoint", point.MaxSize},
	kindCommit:     {"commit", point.MaxSize},
	kindAnswer:     {"answer", point.MaxSize},
	kindFailure:    {"failure", maxText},
	kindCredit:     {"credit", 8},
	kindPing:       {"ping", 0},
	kindPong:       {"pong", 0},
	kindAbort:      {"abort", maxText},
	kindBye:        {"bye", 0},
	kindLocate:     {"locate", maxGet * idSize},
	kindCall:       {"call", callSize},
	kindLanes:      {"lanes", 2 * MaxConnections},
}

func (k kind) String() string {
	if f, known := frames[k]; known {
		return f.name
	}
	return fmt.Sprintf("frame %d", uint8(k))
}

// header is what stands before every payload, little-endian:
//
//	0  kind, flags (0)
//	2  channel (0)
//	4  length of the payload
//	8  request number
type header struct {
	kind    kind
	length  int
	request uint64
}

func (h header) put(b []byte) {
	b[0], b[1] = byte(h.kind), 0
	binary.LittleEndian.PutUint16(b[2:], 0)
	binary.LittleEndian.PutUint32(b[4:], uint32(h.length))
	binary.LittleEndian.PutUint64(b[8:], h.request)
}

// parseHeader reads a header and holds it to the bounds of its kind. Flags and channels
// that this version does not know change the meaning of a frame, so they are refused.
func parseHeader(b []byte) (header, error) {
	h := header{kind: kind(b[0]), request: binary.LittleEndian.Uint64(b[8:])}
	frame, known := frames[h.kind]
	length := binary.LittleEndian.Uint32(b[4:])
	switch {
	case !known:
		return h, protocolError("frame of unknown kind %d", b[0])
	case b[1] != 0 || b[2] != 0 || b[3] != 0:
		return h, protocolError("%s with unknown flags or channel", h.kind)
	case uint64(length) > uint64(frame.limit):
		return h, protocolError("%s of %d bytes, %d are allowed", h.kind, length, frame.limit)
	}
	h.length = int(length)
	return h, nil
}

func protocolError(format string, args ...any) error {
	return errs.New(errs.Invalid, "connection.protocol", "read data connection: "+format, args...)
}

// parseIDs splits a payload of 32-byte values.
func parseIDs[T ~[32]byte](b []byte) ([]T, error) {
	if len(b)%idSize != 0 {
		return nil, protocolError("%d bytes are no list of ids", len(b))
	}
	out := make([]T, len(b)/idSize)
	for i := range out {
		out[i] = T(b[i*idSize : (i+1)*idSize])
	}
	return out, nil
}

func appendIDs[T ~[32]byte](b []byte, ids []T) []byte {
	for i := range ids {
		b = append(b, ids[i][:]...)
	}
	return b
}

// A draft on the wire: type (1 byte), 3 zero bytes, number of ids (4 bytes), root id,
// ids, body.
const draftFixed = 8 + idSize

func appendDraft(b []byte, d *point.Draft) []byte {
	b = append(b, byte(d.Type), 0, 0, 0)
	b = binary.LittleEndian.AppendUint32(b, uint32(len(d.Refs)))
	b = append(b, d.RootID[:]...)
	b = appendIDs(b, d.Refs)
	return append(b, d.Body...)
}

func parseDraft(b []byte) (point.Draft, error) {
	if len(b) < draftFixed {
		return point.Draft{}, protocolError("%d bytes are no draft of a point", len(b))
	}
	d := point.Draft{Type: point.Type(b[0]), RootID: seal.ID(b[8:draftFixed])}
	n := uint64(binary.LittleEndian.Uint32(b[4:]))
	rest := b[draftFixed:]
	if n*idSize > uint64(len(rest)) {
		return point.Draft{}, protocolError("draft of a point with %d ids in %d bytes", n, len(b))
	}
	switch d.Type {
	case point.Complete, point.Partial, point.Checkpoint:
	default:
		return point.Draft{}, protocolError("draft of a point of type %d", b[0])
	}
	var err error
	if d.Refs, err = parseIDs[seal.ID](rest[:n*idSize]); err != nil {
		return point.Draft{}, err
	}
	d.Body = append([]byte(nil), rest[n*idSize:]...)
	return d, nil
}
