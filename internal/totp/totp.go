// Package totp makes and checks one-time codes of a secret and the time (RFC 6238), as the apps of
// telephones show them: SHA-1, six digits, 30 seconds. Apps are known to ignore other parameters.
//
// It keeps nothing and knows no users: who has used which code, the caller remembers. All of it is
// safe for concurrent use.
package totp

import (
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha1"
	"crypto/subtle"
	"encoding/base32"
	"encoding/binary"
	"fmt"
	"net/url"
	"time"
)

const (
	// Digits is how long a code is.
	Digits  = 6
	modulus = 1_000_000
	// Step is how long a code is shown.
	Step = 30 * time.Second
	// secretLen is what RFC 4226 recommends: as long as the hash.
	secretLen = 20
	// stepsOff is how many codes before and behind the one of now are taken: clocks differ, and a code
	// may change while it is typed.
	stepsOff = 1
)

// text has no padding: many apps refuse it.
var text = base32.StdEncoding.WithPadding(base32.NoPadding)

// NewSecret makes a secret.
func NewSecret() []byte {
	secret := make([]byte, secretLen)
	_, _ = rand.Read(secret) // documented never to fail
	return secret
}

// Text is a secret as it is typed into an app.
func Text(secret []byte) string { return text.EncodeToString(secret) }

// URI is a secret as apps read it, most often from a picture of it.
func URI(issuer, account string, secret []byte) string {
	q := url.Values{"secret": {Text(secret)}, "issuer": {issuer}}
	return (&url.URL{Scheme: "otpauth", Host: "totp", Path: "/" + issuer + ":" + account, RawQuery: q.Encode()}).String()
}

// StepAt is the number of the step of a time.
func StepAt(now time.Time) int64 { return now.Unix() / int64(Step/time.Second) }

// Code is the code of a step.
func Code(secret []byte, step int64) string {
	mac := hmac.New(sha1.New, secret)
	_ = binary.Write(mac, binary.BigEndian, step) // a hash takes everything
	sum := mac.Sum(nil)
	at := sum[len(sum)-1] & 0xf
	return fmt.Sprintf("%0*d", Digits, (binary.BigEndian.Uint32(sum[at:])&0x7fffffff)%modulus)
}

// Check finds the step whose code this is, of those that count now. Steps up to last are used up.
func Check(secret []byte, code string, now time.Time, last int64) (step int64, ok bool) {
	at := StepAt(now)
	for s := at - stepsOff; s <= at+stepsOff; s++ {
		// All are looked at, so that the time it takes says nothing.
		if subtle.ConstantTimeCompare([]byte(Code(secret, s)), []byte(code)) == 1 && s > last {
			step, ok = s, true
		}
	}
	return step, ok
}
