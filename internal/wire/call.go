package wire

import (
	"crypto/hmac"
	"crypto/sha256"
	"crypto/tls"
	"encoding/binary"

	"keepward/internal/errs"
	"keepward/internal/repo/point"
	"keepward/internal/repo/seal"
)

// call is the first frame of a connection that a mover dialled: which of the agent's tasks it is
// for, and a proof that the caller has that task's key. The agent's hello follows, as on a
// connection that the agent dialled.
//
//	0  "KWMC"
//	4  attempt, 16 bytes
//	20 proof, 32 bytes
//	52 number of this connection, 2 bytes
type call struct {
	attempt point.Attempt
	proof   [sha256.Size]byte
	index   uint16
}

const callSize = 54

var callMagic = []byte("KWMC")

func (c *call) encode() []byte {
	b := make([]byte, 0, callSize)
	b = append(b, callMagic...)
	b = append(b, c.attempt[:]...)
	b = append(b, c.proof[:]...)
	return binary.LittleEndian.AppendUint16(b, c.index)
}

func parseCall(b []byte) (call, error) {
	var c call
	if len(b) != callSize || string(b[:4]) != string(callMagic) {
		return c, protocolError("call is none")
	}
	c.attempt = point.Attempt(b[4:20])
	c.proof = [sha256.Size]byte(b[20:52])
	c.index = binary.LittleEndian.Uint16(b[52:])
	return c, nil
}

// callProof binds a call to its connection: who has seen the proof of one cannot use it on another.
func callProof(key seal.Secret, attempt point.Attempt, index uint16, conn *tls.Conn) ([sha256.Size]byte, error) {
	state := conn.ConnectionState()
	bound, err := state.ExportKeyingMaterial("EXPORTER-keepward-call", nil, sha256.Size)
	if err != nil {
		return [sha256.Size]byte{}, errs.New(errs.Internal, "", "prove a call: %w", err)
	}
	m := hmac.New(sha256.New, key[:])
	m.Write(callMagic)
	m.Write(attempt[:])
	m.Write(bound)
	m.Write(binary.LittleEndian.AppendUint16(nil, index))
	return [sha256.Size]byte(m.Sum(nil)), nil
}
