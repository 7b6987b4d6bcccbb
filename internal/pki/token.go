package pki

import (
	"crypto/rand"
	"encoding/base32"
	"strings"

	"keepward/internal/errs"
)

// Token is what a node joins with. Its text is "kw1.<secret>.<authority>": 26 letters and
// digits of base32 (128 bits), then the authority's Fingerprint, by which the node knows
// that it talks to the server that made the token.
type Token struct {
	Secret    string
	Authority string
}

const (
	tokenVersion  = "kw1"
	secretLen     = 26
	fingerprintHx = 16
)

var tokenEncoding = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewToken makes a token of an authority.
func (a *Authority) NewToken() Token {
	return Token{Secret: NewSecret(), Authority: a.Fingerprint()}
}

// NewSecret is 128 random bits as 26 lower-case letters and digits.
func NewSecret() string {
	var b [16]byte
	_, _ = rand.Read(b[:]) // documented never to fail
	return strings.ToLower(tokenEncoding.EncodeToString(b[:]))
}

// Text is the token as it is handed over. It is a secret.
func (t Token) Text() string { return tokenVersion + "." + t.Secret + "." + t.Authority }

// String does not print the secret.
func (t Token) String() string { return tokenVersion + ".(secret)." + t.Authority }

// GoString does not print the secret.
func (t Token) GoString() string { return t.String() }

// ParseToken reads a token's text; case and surrounding white space do not matter, for
// tokens are copied by hand.
func ParseToken(text string) (Token, error) {
	bad := func(why string) (Token, error) {
		return Token{}, errs.New(errs.Invalid, "join.token", "read join token: %s", why).
			WithHint("it looks like kw1.<26 letters and digits>.<16 digits>; make one with: keepward token create")
	}
	parts := strings.Split(strings.ToLower(strings.TrimSpace(text)), ".")
	if len(parts) != 3 {
		return bad("it is not three parts joined by dots")
	}
	if parts[0] != tokenVersion {
		return bad("it does not begin with " + tokenVersion)
	}
	t := Token{Secret: parts[1], Authority: parts[2]}
	if len(t.Secret) != secretLen || strings.Trim(t.Secret, "abcdefghijklmnopqrstuvwxyz234567") != "" {
		return bad("its second part is not a secret")
	}
	if len(t.Authority) != fingerprintHx || strings.Trim(t.Authority, "0123456789abcdef") != "" {
		return bad("its third part is not a fingerprint")
	}
	return t, nil
}
