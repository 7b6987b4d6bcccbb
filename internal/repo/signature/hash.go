// Package signature is what a restore point keeps of the blocks of a large file, so that the
// next backup can tell which of them have changed: a keyed hash of 64 bits for each 16 KiB,
// in a tree of records. Its format is docs/formats/repository.md, "Signatures"; why these
// hashes are enough is docs/decisions/signatures.md.
//
// It neither stores nor fetches, and it does not decide what is compared with what. A Hasher,
// a Writer and a Reader belong to one goroutine each.
package signature

import (
	"bytes"
	"crypto/aes"
	"crypto/cipher"
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"

	"keepward/internal/repo/seal"
)

// Block is how much of a file one hash stands for. It is format.
const Block = 16 << 10

// MinFile is the size from which on files have a signature. A writer may choose differently.
const MinFile = 16 << 20

const ctxKeys = "keepward 2026-11 signature block keys from signature key"

// Hasher hashes blocks under a domain's signature key. AES-GCM's authenticator is a universal
// hash of 128 bits that runs as fast as memory can be read; what it says is encrypted under a
// second key, because only so may it be cut to 64 bits.
type Hasher struct {
	universal cipher.AEAD
	outer     cipher.Block
	nonce     [12]byte
	tag       [16]byte
}

// NewHasher makes a Hasher.
func NewHasher(key seal.Secret) *Hasher {
	d := blake3.NewDeriveKey(ctxKeys)
	_, _ = d.Write(key[:]) // never fails
	var keys [64]byte
	_, _ = d.Digest().Read(keys[:]) // never fails
	h := &Hasher{outer: newAES(keys[32:])}
	var err error
	if h.universal, err = cipher.NewGCM(newAES(keys[:32])); err != nil {
		panic(fmt.Sprintf("signature hash: %v", err)) // AES has the block that GCM wants
	}
	return h
}

func newAES(key []byte) cipher.Block {
	b, err := aes.NewCipher(key)
	if err != nil {
		panic(fmt.Sprintf("signature key: %v", err)) // the length is in the type
	}
	return b
}

// Sum is the hash of a block. Zeros of any length have 0, and nothing else has.
func (h *Hasher) Sum(block []byte) uint64 {
	if isZero(block) {
		return 0
	}
	// The nonce is always the same: nobody sees the tags, and all that is asked of them is
	// that different blocks have different ones.
	tag := h.universal.Seal(h.tag[:0], h.nonce[:], nil, block)
	h.outer.Encrypt(tag, tag)
	return max(binary.LittleEndian.Uint64(tag), 1)
}

var zeros [1024]byte

// isZero mostly answers after a look at the first bytes.
func isZero(b []byte) bool {
	for len(b) > len(zeros) {
		if b[0] != 0 || !bytes.Equal(b[:len(zeros)], zeros[:]) {
			return false
		}
		b = b[len(zeros):]
	}
	return bytes.Equal(b, zeros[:len(b)])
}
