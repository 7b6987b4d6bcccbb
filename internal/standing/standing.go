// Package standing is what server, agent and transport service share about attempts that are issued
// beforehand: how the two ends keep each other's secrets.
//
// An agent that works while its server is away has to keep the keys of its repository, and a
// transport service the order for the mover, with keys too. Neither keeps them so that it could
// use them alone: what one keeps is sealed with a random half that only the other has. They meet
// when the agent opens the attempt, and are then in memory as with any other attempt. An agent that
// nobody opens an attempt for any more holds nothing but noise.
//
// All is pure and may be called from any goroutine.
package standing

import (
	"crypto/aes"
	"crypto/cipher"
	"crypto/rand"

	"google.golang.org/protobuf/proto"

	"keepward/internal/errs"
)

// HalfSize is the length of a half: a key of AES-256.
const HalfSize = 32

// What is sealed. The word is bound to the content, with the attempt.
const (
	// Start is the order for the mover, which the transport keeps and the agent's half opens.
	Start = "start"
	// Keys are those of the repository, which the agent keeps and the transport's half opens.
	Keys = "keys"
)

// NewHalf makes a half.
func NewHalf() []byte {
	b := make([]byte, HalfSize)
	_, _ = rand.Read(b) // documented never to fail
	return b
}

// Seal seals a message with a half, for one attempt.
func Seal(half []byte, what, attempt string, m proto.Message) ([]byte, error) {
	plain, err := proto.Marshal(m)
	if err != nil {
		return nil, errs.New(errs.Internal, "", "seal %s of attempt %s: %w", what, attempt, err)
	}
	aead, err := aeadOf(half)
	if err != nil {
		return nil, err
	}
	nonce := make([]byte, aead.NonceSize())
	_, _ = rand.Read(nonce)
	return aead.Seal(nonce, nonce, plain, bound(what, attempt)), nil
}

// Open opens what Seal has sealed.
func Open(half, sealed []byte, what, attempt string, into proto.Message) error {
	aead, err := aeadOf(half)
	if err != nil {
		return err
	}
	refused := errs.New(errs.Denied, "standing.sealed", "open %s of attempt %s: the other half does not fit", what, attempt)
	if len(sealed) < aead.NonceSize() {
		return refused
	}
	nonce, text := sealed[:aead.NonceSize()], sealed[aead.NonceSize():]
	plain, err := aead.Open(nil, nonce, text, bound(what, attempt))
	if err != nil || proto.Unmarshal(plain, into) != nil {
		return refused
	}
	return nil
}

func bound(what, attempt string) []byte { return []byte("keepward standing " + what + " " + attempt) }

func aeadOf(half []byte) (cipher.AEAD, error) {
	if len(half) != HalfSize {
		return nil, errs.New(errs.Denied, "standing.half", "a half has %d bytes, not %d", len(half), HalfSize)
	}
	block, err := aes.NewCipher(half)
	if err != nil {
		return nil, errs.New(errs.Internal, "", "make a cipher: %w", err)
	}
	aead, err := cipher.NewGCM(block)
	if err != nil {
		return nil, errs.New(errs.Internal, "", "make a cipher: %w", err)
	}
	return aead, nil
}
