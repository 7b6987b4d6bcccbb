package pki

import (
	"crypto"
	"crypto/rand"
	"crypto/sha256"
	"fmt"
)

// Sign vouches for a statement in the name of the site. It must begin as nothing does that the
// authority signs for another purpose; certificates begin with the byte 0x30.
func (a *Authority) Sign(statement []byte) ([]byte, error) {
	sum := sha256.Sum256(statement)
	signature, err := a.key.Sign(rand.Reader, sum[:], crypto.SHA256)
	if err != nil {
		return nil, fmt.Errorf("sign for the site: %w", err)
	}
	return signature, nil
}
