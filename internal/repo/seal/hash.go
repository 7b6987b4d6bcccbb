package seal

import (
	"encoding/binary"
	"fmt"

	"github.com/zeebo/blake3"
)

// Hasher computes the keyed hashes of a domain. It reuses its state, so it belongs to one
// goroutine at a time.
type Hasher struct {
	content *blake3.Hasher
	border  *blake3.Hasher
	prefix  [1]byte
}

// NewHasher makes a Hasher of these keys.
func (k *Keys) NewHasher() *Hasher {
	return &Hasher{content: keyed(k.IDKey), border: keyed(k.BorderKey)}
}

func keyed(key Secret) *blake3.Hasher {
	h, err := blake3.NewKeyed(key[:])
	if err != nil {
		panic(fmt.Sprintf("blake3 key: %v", err)) // the length is in the type
	}
	return h
}

// Hash is keyed BLAKE3 of the kind byte and the content, in as many pieces as it comes in.
func (s *Hasher) Hash(kind Kind, content ...[]byte) H {
	s.content.Reset()
	s.prefix[0] = byte(kind)
	_, _ = s.content.Write(s.prefix[:]) // never fails
	for _, c := range content {
		_, _ = s.content.Write(c)
	}
	var h H
	s.content.Sum(h[:0])
	return h
}

// Border is a keyed 64-bit hash of an entry's key, from which nodes and bundles take
// their borders.
func (s *Hasher) Border(key []byte) uint64 {
	s.border.Reset()
	_, _ = s.border.Write(key)
	var b [32]byte
	s.border.Sum(b[:0])
	return binary.LittleEndian.Uint64(b[:8])
}
