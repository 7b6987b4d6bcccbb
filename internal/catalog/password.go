package catalog

import (
	"crypto/rand"
	"crypto/subtle"
	"encoding/base64"
	"fmt"

	"golang.org/x/crypto/argon2"

	"keepward/internal/errs"
)

// The cost of a password check: what RFC 9106 recommends where memory is short, about
// 50 ms of one core. It is written into every hash, so it can be raised later.
const (
	argonTime    = 3
	argonMemory  = 64 << 10 // KiB
	argonThreads = 2
	argonKey     = 32
	argonSalt    = 16
)

// Bounds of what a stored hash may ask for, so that a damaged row cannot exhaust memory.
const (
	argonTimeMost   = 64
	argonMemoryMost = 1 << 20
)

var b64 = base64.RawStdEncoding

// HashPassword makes what is kept of a password, in the usual PHC text form.
func HashPassword(password string) string {
	salt := make([]byte, argonSalt)
	_, _ = rand.Read(salt) // documented never to fail
	key := argon2.IDKey([]byte(password), salt, argonTime, argonMemory, argonThreads, argonKey)
	return fmt.Sprintf("$argon2id$v=%d$m=%d,t=%d,p=%d$%s$%s", argon2.Version, argonMemory, argonTime, argonThreads,
		b64.EncodeToString(salt), b64.EncodeToString(key))
}

// CheckPassword tells whether password is the one that hash was made of.
func CheckPassword(hash, password string) (bool, error) {
	var version, memory, time, threads uint32
	var rest string
	n, _ := fmt.Sscanf(hash, "$argon2id$v=%d$m=%d,t=%d,p=%d$%s", &version, &memory, &time, &threads, &rest)
	bad := errs.New(errs.Corrupt, "user.password-hash", "check password: the stored hash cannot be read")
	if n != 5 || version != argon2.Version || memory > argonMemoryMost || time == 0 || time > argonTimeMost || threads == 0 || threads > 255 {
		return false, bad
	}
	salt, key, ok := cutHash(rest)
	if !ok {
		return false, bad
	}
	got := argon2.IDKey([]byte(password), salt, time, memory, uint8(threads), uint32(len(key)))
	return subtle.ConstantTimeCompare(got, key) == 1, nil
}

func cutHash(s string) (salt, key []byte, ok bool) {
	for i := range len(s) {
		if s[i] != '$' {
			continue
		}
		salt, errSalt := b64.DecodeString(s[:i])
		key, errKey := b64.DecodeString(s[i+1:])
		return salt, key, errSalt == nil && errKey == nil && len(key) >= argonKey
	}
	return nil, nil, false
}
