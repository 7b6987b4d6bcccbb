package wire

import (
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// The versions of the data connection that this build speaks.
const (
	dataVersionMin = 1
	dataVersionMax = 1
)

// hello is the first frame of a connection:
//
//	0  "KWDC"
//	4  lowest, highest version, 2 bytes each
//	8  capabilities, 8 bytes
//	16 task key, 32 bytes
//	48 attempt, 16 bytes
//	64 session nonce, 32 bytes: zero at first, that of welcome to come back
//	96 number of this connection, 2 bytes
//	98 connections that the agent would like, 2 bytes; 0 is 1
//	100 bytes of records the agent can hold, 4 bytes
type hello struct {
	min, max     uint16
	capabilities uint64
	key          seal.Secret
	attempt      point.Attempt
	nonce        seal.Secret
	index        uint16
	wish         uint16
	window       uint32
}

const helloSize = 104

var helloMagic = []byte("KWDC")

func (h *hello) encode() []byte {
	b := make([]byte, 0, helloSize)
	b = append(b, helloMagic...)
	b = binary.LittleEndian.AppendUint16(b, h.min)
	b = binary.LittleEndian.AppendUint16(b, h.max)
	b = binary.LittleEndian.AppendUint64(b, h.capabilities)
	b = append(b, h.key[:]...)
	b = append(b, h.attempt[:]...)
	b = append(b, h.nonce[:]...)
	b = binary.LittleEndian.AppendUint16(b, h.index)
	b = binary.LittleEndian.AppendUint16(b, h.wish)
	return binary.LittleEndian.AppendUint32(b, h.window)
}

func parseHello(b []byte) (hello, error) {
	var h hello
	if len(b) != helloSize || string(b[:4]) != string(helloMagic) {
		return h, protocolError("hello is none")
	}
	h.min, h.max = binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:])
	h.capabilities = binary.LittleEndian.Uint64(b[8:])
	h.key = seal.Secret(b[16:48])
	h.attempt = point.Attempt(b[48:64])
	h.nonce = seal.Secret(b[64:96])
	h.index = binary.LittleEndian.Uint16(b[96:])
	h.wish = binary.LittleEndian.Uint16(b[98:])
	h.window = binary.LittleEndian.Uint32(b[100:])
	if h.min > h.max {
		return h, protocolError("hello with versions %d to %d", h.min, h.max)
	}
	if h.window < 2*seal.MaxRecord {
		return h, protocolError("hello with a window of %d bytes", h.window)
	}
	return h, nil
}

// version picks the highest version both ends speak.
func (h *hello) version() (uint16, error) {
	v := min(h.max, dataVersionMax)
	if v < max(h.min, dataVersionMin) {
		return 0, errs.New(errs.Invalid, "connection.version", "accept data connection: the agent speaks versions %d to %d, this mover %d to %d", h.min, h.max, dataVersionMin, dataVersionMax).
			WithHint("update the older of agent and transport")
	}
	return v, nil
}

// welcome answers hello:
//
//	0  version, 2 bytes; connections that the session may have, 2 bytes
//	4  credit: bytes of puts the mover can hold, 4 bytes
//	8  capabilities, 8 bytes
//	16 puts received so far, 8 bytes: the agent sends those behind again
//	24 session nonce, 32 bytes
type welcome struct {
	version      uint16
	connections  uint16
	credit       uint32
	capabilities uint64
	received     uint64
	nonce        seal.Secret
}

const welcomeSize = 56

// capabilityEmpty: when the session began the repository had no chunk at all, so that the
// agent need not ask for what it has not put itself.
const capabilityEmpty uint64 = 1 << 0

func (w *welcome) encode() []byte {
	b := make([]byte, 0, welcomeSize)
	b = binary.LittleEndian.AppendUint16(b, w.version)
	b = binary.LittleEndian.AppendUint16(b, w.connections)
	b = binary.LittleEndian.AppendUint32(b, w.credit)
	b = binary.LittleEndian.AppendUint64(b, w.capabilities)
	b = binary.LittleEndian.AppendUint64(b, w.received)
	return append(b, w.nonce[:]...)
}

func parseWelcome(b []byte) (welcome, error) {
	var w welcome
	if len(b) != welcomeSize {
		return w, protocolError("welcome has %d bytes", len(b))
	}
	w.version = binary.LittleEndian.Uint16(b)
	w.connections = binary.LittleEndian.Uint16(b[2:])
	w.credit = binary.LittleEndian.Uint32(b[4:])
	w.capabilities = binary.LittleEndian.Uint64(b[8:])
	w.received = binary.LittleEndian.Uint64(b[16:])
	w.nonce = seal.Secret(b[24:])
	if w.version < dataVersionMin || w.version > dataVersionMax {
		return w, protocolError("welcome with version %d", w.version)
	}
	if w.connections < 1 || w.connections > MaxConnections {
		return w, protocolError("welcome with %d connections", w.connections)
	}
	if w.credit < 2*seal.MaxRecord {
		return w, protocolError("welcome with a credit of %d bytes", w.credit)
	}
	return w, nil
}
