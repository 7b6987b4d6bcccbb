package wire

import (
	"crypto/rand"
	"crypto/sha256"
	"crypto/subtle"
	"crypto/x509"
	"encoding/base32"
	"strings"

	"keepward/internal/errs"
)

// PairCode is what an agent shows that waits to be paired, and what a person carries to the
// server. It binds both ends: the server knows the agent by the fingerprint of its key, and the
// agent knows the server because nobody else was told the secret.
type PairCode struct {
	Secret [pairPart]byte
	// Key is the beginning of the SHA-256 of the agent's public key (SubjectPublicKeyInfo).
	Key [pairPart]byte
}

// pairPart bytes are 80 bits. To make another key with the same fingerprint takes 2⁸⁰ tries; the
// secret can only be guessed by asking the agent.
const pairPart = 10

// pairCheck is the number of letters that find a slip of the pen.
const pairCheck = 4

var pairLetters = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewPairCode makes a code for the key of a certificate.
func NewPairCode(cert *x509.Certificate) PairCode {
	c := PairCode{Key: keyPrint(cert.RawSubjectPublicKeyInfo)}
	_, _ = rand.Read(c.Secret[:]) // documented never to fail
	return c
}

func keyPrint(public []byte) [pairPart]byte {
	sum := sha256.Sum256(public)
	return [pairPart]byte(sum[:pairPart])
}

// Of tells whether a public key is the one that the code is for.
func (c PairCode) Of(public []byte) bool {
	got := keyPrint(public)
	return subtle.ConstantTimeCompare(got[:], c.Key[:]) == 1
}

// String is the code in groups of four letters and digits.
func (c PairCode) String() string {
	body := pairLetters.EncodeToString(append(c.Secret[:len(c.Secret):len(c.Secret)], c.Key[:]...))
	body += checkLetters(body)
	var groups []string
	for ; body != ""; body = body[4:] {
		groups = append(groups, body[:4])
	}
	return strings.Join(groups, "-")
}

func checkLetters(body string) string {
	sum := sha256.Sum256([]byte("keepward pairing code 1 " + body))
	return pairLetters.EncodeToString(sum[:])[:pairCheck]
}

// ParsePairCode reads a code as a person types it: case, spaces and dashes do not matter.
func ParsePairCode(text string) (PairCode, error) {
	var c PairCode
	bare := strings.ToUpper(strings.NewReplacer("-", "", " ", "", "\t", "").Replace(strings.TrimSpace(text)))
	const letters = 2 * pairPart * 8 / 5
	bad := func(why string) (PairCode, error) {
		return PairCode{}, errs.New(errs.Invalid, "pair.code", "read pairing code: %s", why).
			WithHint("copy it whole as the agent shows it: nine groups of four letters and digits")
	}
	if len(bare) != letters+pairCheck {
		return bad("it has not the length of one")
	}
	body := bare[:letters]
	if checkLetters(body) != bare[letters:] {
		return bad("something in it is mistyped")
	}
	b, err := pairLetters.DecodeString(body)
	if err != nil || len(b) != 2*pairPart {
		return bad("it has characters that do not belong there")
	}
	copy(c.Secret[:], b)
	copy(c.Key[:], b[pairPart:])
	return c, nil
}
