// Package passkeytest is an authenticator for tests: it makes passkeys and answers for them as a browser
// with a device would, and lies where a test has it lie.
package passkeytest

import (
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"testing"
)

// Key is a passkey of one credential, on P-256 (COSE ES256).
type Key struct {
	ID     []byte
	Handle []byte // of its user
	Count  uint32 // of the last answer
	// What is said with each answer.
	Origin  string
	RPID    string
	Unsaid  bool // the user was not verified
	private *ecdsa.PrivateKey
}

type creation struct {
	RP struct {
		ID string `json:"id"`
	} `json:"rp"`
	User struct {
		ID string `json:"id"`
	} `json:"user"`
	Challenge string `json:"challenge"`
}

type request struct {
	RPID      string `json:"rpId"`
	Challenge string `json:"challenge"`
}

const (
	present  = 0x01
	verified = 0x04
	attested = 0x40
)

func encode(b []byte) string { return base64.RawURLEncoding.EncodeToString(b) }

// Make makes a passkey by PublicKeyCredentialCreationOptionsJSON at an origin, and answers it with
// RegistrationResponseJSON.
func Make(t testing.TB, options []byte, origin string) (*Key, []byte) {
	t.Helper()
	var o creation
	if err := json.Unmarshal(options, &o); err != nil {
		t.Fatal(err)
	}
	handle, err := base64.RawURLEncoding.DecodeString(o.User.ID)
	if err != nil {
		t.Fatal(err)
	}
	private, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	k := &Key{ID: make([]byte, 32), Handle: handle, Origin: origin, RPID: o.RP.ID, private: private}
	_, _ = rand.Read(k.ID)
	data := k.data(present|verified|attested, 0)
	data = append(data, make([]byte, 16)...) // AAGUID
	data = binary.BigEndian.AppendUint16(data, uint16(len(k.ID)))
	data = append(append(data, k.ID...), k.public(t)...)
	object := []byte{0xa3} // CBOR: a map of three
	object = append(object, "\x63fmt\x64none"...)
	object = append(object, "\x67attStmt\xa0"...)
	object = append(object, "\x68authData\x59"...)
	object = append(binary.BigEndian.AppendUint16(object, uint16(len(data))), data...)
	return k, k.message(t, map[string]any{"clientDataJSON": encode(k.client(t, "webauthn.create", o.Challenge)), "attestationObject": encode(object)})
}

// Answer answers PublicKeyCredentialRequestOptionsJSON with AuthenticationResponseJSON.
func (k *Key) Answer(t testing.TB, options []byte) []byte {
	t.Helper()
	var o request
	if err := json.Unmarshal(options, &o); err != nil {
		t.Fatal(err)
	}
	k.Count++
	flags := byte(present | verified)
	if k.Unsaid {
		flags = present
	}
	data, client := k.data(flags, k.Count), k.client(t, "webauthn.get", o.Challenge)
	said := sha256.Sum256(client)
	digest := sha256.Sum256(append(data, said[:]...))
	signature, err := ecdsa.SignASN1(rand.Reader, k.private, digest[:])
	if err != nil {
		t.Fatal(err)
	}
	return k.message(t, map[string]any{
		"clientDataJSON": encode(client), "authenticatorData": encode(data), "signature": encode(signature), "userHandle": encode(k.Handle),
	})
}

func (k *Key) data(flags byte, count uint32) []byte {
	sum := sha256.Sum256([]byte(k.RPID))
	return binary.BigEndian.AppendUint32(append(sum[:], flags), count)
}

func (k *Key) client(t testing.TB, what, challenge string) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{"type": what, "challenge": challenge, "origin": k.Origin, "crossOrigin": false})
	if err != nil {
		t.Fatal(err)
	}
	return b
}

// public is the key in COSE: a map of 1: 2 (EC2), 3: -7 (ES256), -1: 1 (P-256), -2: x, -3: y.
func (k *Key) public(t testing.TB) []byte {
	t.Helper()
	point, err := k.private.PublicKey.Bytes() // 4, x, y
	if err != nil {
		t.Fatal(err)
	}
	out := append([]byte{0xa5, 0x01, 0x02, 0x03, 0x26, 0x20, 0x01, 0x21, 0x58, 32}, point[1:33]...)
	return append(append(out, 0x22, 0x58, 32), point[33:]...)
}

func (k *Key) message(t testing.TB, response map[string]any) []byte {
	t.Helper()
	b, err := json.Marshal(map[string]any{
		"id": encode(k.ID), "rawId": encode(k.ID), "type": "public-key", "response": response, "clientExtensionResults": map[string]any{},
	})
	if err != nil {
		t.Fatal(err)
	}
	return b
}
