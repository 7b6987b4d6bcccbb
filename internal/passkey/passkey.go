// Package passkey makes and checks passkeys: WebAuthn credentials that a browser keeps and that prove
// who uses it (https://www.w3.org/TR/webauthn-3/).
//
// Every ceremony begins with a challenge. One that is handed out is kept nowhere, so that who only asks
// for them fills nothing: it carries its own end and a code by which it is known again. What is shown
// with it counts once, whatever comes of it, and only by the process that made it.
package passkey

import (
	"bytes"
	"crypto/hmac"
	"crypto/rand"
	"crypto/sha256"
	"encoding/base64"
	"encoding/binary"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"time"

	"github.com/go-webauthn/webauthn/protocol"
	"github.com/go-webauthn/webauthn/webauthn"

	"keepward/internal/errs"
	"keepward/internal/spent"
)

// Within is how long a challenge counts.
const Within = 5 * time.Minute

// What a challenge is for. A creation's has the user's handle with it.
const (
	creating = "passkey creation"
	asking   = "passkey request"
)

const (
	chanceBytes = 16
	stampBytes  = 8
)

// User is who has passkeys, or is to have one.
type User struct {
	Handle []byte // names the user to authenticators and says nothing: 1 to 64 bytes
	Name   string
	Keys   []Key
}

// Key is a passkey as it is kept.
type Key struct {
	Credential []byte // its id
	Record     []byte // JSON: public key, counter, flags
	Synced     bool   // its maker may have it on several devices
}

// Ceremonies makes passkeys and asks for them. It is safe for concurrent use.
type Ceremonies struct {
	now func() time.Time
	key [sha256.Size]byte
	// shown are the challenges that were.
	shown spent.Set
}

// New makes ceremonies that know the challenges of no others.
func New(now func() time.Time) *Ceremonies {
	c := &Ceremonies{now: now}
	_, _ = rand.Read(c.key[:]) // documented never to fail
	return c
}

// Usable says whether browsers make and use passkeys at an origin, such as https://backup.example.com:7480;
// empty: where they reach the console is not set.
func Usable(origin string) error {
	u, err := url.Parse(origin)
	switch {
	case origin == "" || err != nil:
		return errs.New(errs.Invalid, "passkey.no-origin", "use passkeys: where browsers reach the console is not set").
			WithHint("an administrator sets it: keepward setting set console_url https://HOST:PORT")
	case net.ParseIP(u.Hostname()) != nil:
		return errs.New(errs.Invalid, "passkey.no-origin", "use passkeys: browsers do not at %s, which is an address and not a name", origin).
			WithHint("give the server a name, and set it: keepward setting set console_url https://HOST:PORT")
	}
	return nil
}

// party is what browsers know the server as. Attestations are not asked for: which maker's device it is
// does not matter here.
func party(origin string) (*webauthn.WebAuthn, error) {
	if err := Usable(origin); err != nil {
		return nil, err
	}
	u, err := url.Parse(origin)
	if err != nil {
		return nil, err
	}
	yes := true
	wait := webauthn.TimeoutConfig{Timeout: Within, TimeoutUVD: Within}
	return webauthn.New(&webauthn.Config{
		RPID: u.Hostname(), RPDisplayName: "Keepward", RPOrigins: []string{origin}, AttestationPreference: protocol.PreferNoAttestation,
		AuthenticatorSelection: protocol.AuthenticatorSelection{
			RequireResidentKey: &yes, ResidentKey: protocol.ResidentKeyRequirementRequired, UserVerification: protocol.VerificationRequired,
		},
		Timeouts: webauthn.TimeoutsConfig{Login: wait, Registration: wait},
	})
}

// Creation makes the options by which a browser makes a passkey of u (PublicKeyCredentialCreationOptionsJSON).
func (c *Ceremonies) Creation(origin string, u User) (options []byte, until time.Time, err error) {
	challenge, until := c.challenge(creating, u.Handle)
	made, _, err := creation(origin, u, challenge)
	if err != nil {
		return nil, until, err
	}
	options, err = json.Marshal(made.Response)
	return options, until, err
}

func creation(origin string, u User, challenge []byte) (*protocol.CredentialCreation, *webauthn.SessionData, error) {
	p, err := party(origin)
	if err != nil {
		return nil, nil, err
	}
	who, err := userOf(u)
	if err != nil {
		return nil, nil, err
	}
	return p.BeginRegistration(who, webauthn.WithExclusions(webauthn.Credentials(who.keys).CredentialDescriptors()),
		func(o *protocol.PublicKeyCredentialCreationOptions) error {
			o.Challenge = challenge
			return nil
		})
}

// Created takes what the browser answered (RegistrationResponseJSON). It is errs.Denied with code
// access.passkey where that is not what Creation asked for.
func (c *Ceremonies) Created(origin string, u User, response []byte) (Key, error) {
	p, err := party(origin)
	if err != nil {
		return Key{}, err
	}
	parsed, err := protocol.ParseCredentialCreationResponseBytes(response)
	if err != nil {
		return Key{}, refused("add a passkey", err)
	}
	challenge, err := c.take(creating, u.Handle, parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return Key{}, refused("add a passkey", err)
	}
	_, session, err := creation(origin, u, challenge)
	if err != nil {
		return Key{}, err
	}
	who, err := userOf(u)
	if err != nil {
		return Key{}, err
	}
	made, err := p.CreateCredential(who, *session, parsed)
	if err != nil {
		return Key{}, refused("add a passkey", err)
	}
	return keyOf(made)
}

// Request makes the options by which a browser asks for a passkey, whosever (PublicKeyCredentialRequestOptionsJSON).
func (c *Ceremonies) Request(origin string) ([]byte, error) {
	challenge, _ := c.challenge(asking, nil)
	p, err := party(origin)
	if err != nil {
		return nil, err
	}
	asked, _, err := p.BeginDiscoverableLogin(webauthn.WithChallenge(challenge))
	if err != nil {
		return nil, err
	}
	return json.Marshal(asked.Response)
}

// Answer is what a browser answered to Request. Its challenge counts no more.
type Answer struct {
	party   *webauthn.WebAuthn
	session webauthn.SessionData
	parsed  *protocol.ParsedCredentialAssertionData
}

// Answered takes what the browser answered (AuthenticationResponseJSON). It is errs.Denied with code
// access.passkey where that is no answer to a challenge of these ceremonies, or not the first one.
func (c *Ceremonies) Answered(origin string, response []byte) (*Answer, error) {
	p, err := party(origin)
	if err != nil {
		return nil, err
	}
	parsed, err := protocol.ParseCredentialRequestResponseBytes(response)
	if err != nil {
		return nil, refused("log in", err)
	}
	challenge, err := c.take(asking, nil, parsed.Response.CollectedClientData.Challenge)
	if err != nil {
		return nil, refused("log in", err)
	}
	_, session, err := p.BeginDiscoverableLogin(webauthn.WithChallenge(challenge))
	if err != nil {
		return nil, err
	}
	return &Answer{p, *session, parsed}, nil
}

// Check answers the key that answered, as it is from now on. find answers the user who has a credential,
// with that key. It is errs.Denied with code access.passkey where the key did not answer, and
// access.passkey-copied where it counts as if there were two of it. It may be asked again.
func (a *Answer) Check(find func(credential []byte) (User, error)) (Key, error) {
	var lookup error
	_, used, err := a.party.ValidatePasskeyLogin(func(credential, _ []byte) (webauthn.User, error) {
		u, err := find(credential)
		if err != nil {
			lookup = err
			return nil, err
		}
		who, err := userOf(u)
		lookup = err
		return who, err
	}, a.session, a.parsed)
	switch {
	case lookup != nil:
		return Key{}, lookup
	case err != nil:
		return Key{}, refused("log in", err)
	case used.Authenticator.CloneWarning:
		return Key{}, errs.New(errs.Denied, "access.passkey-copied", "log in by a passkey: it has counted backwards, so there may be two of it").
			WithHint("log in with the password and remove the passkey: somebody may have copied it")
	}
	return keyOf(used)
}

// refused is what anybody is told. What was wrong in particular is for the server's log.
func refused(doing string, err error) error {
	detail := err
	if e, ok := errors.AsType[*protocol.Error](err); ok {
		detail = fmt.Errorf("%s (%s)", e.Details, e.DevInfo)
	}
	return errs.New(errs.Denied, "access.passkey", "%s by a passkey: it was not taken: %w", doing, detail).
		WithHint("try again; the page may have been open for too long, or the passkey was removed")
}

// challenge makes one: chance, when it ends, and a code over both and what it is for.
func (c *Ceremonies) challenge(what string, of []byte) ([]byte, time.Time) {
	until := c.now().Add(Within)
	b := make([]byte, chanceBytes, chanceBytes+stampBytes+sha256.Size)
	_, _ = rand.Read(b) // documented never to fail
	b = binary.BigEndian.AppendUint64(b, uint64(until.UnixNano()))
	return append(b, c.code(what, of, b)...), until
}

func (c *Ceremonies) code(what string, of, head []byte) []byte {
	h := hmac.New(sha256.New, c.key[:])
	for _, part := range [][]byte{[]byte(what), of, head} {
		_, _ = h.Write(binary.BigEndian.AppendUint32(nil, uint32(len(part)))) // never fails
		_, _ = h.Write(part)
	}
	return h.Sum(nil)
}

// take looks at a challenge that is shown, which counts no more afterwards.
func (c *Ceremonies) take(what string, of []byte, shown string) ([]byte, error) {
	b, err := base64.RawURLEncoding.DecodeString(shown)
	if err != nil || len(b) != chanceBytes+stampBytes+sha256.Size {
		return nil, errors.New("the challenge is none of this server")
	}
	head := b[:chanceBytes+stampBytes]
	if !hmac.Equal(b[len(head):], c.code(what, of, head)) {
		return nil, errors.New("the challenge is none of this server, or for something else")
	}
	now, until := c.now(), time.Unix(0, int64(binary.BigEndian.Uint64(head[chanceBytes:])))
	if !now.Before(until) {
		return nil, errors.New("the challenge is too old")
	}
	if !c.shown.Spend(string(b), now, until) {
		return nil, errors.New("the challenge was used before")
	}
	return b, nil
}

// user is a User as the library wants it.
type user struct {
	User
	keys []webauthn.Credential
}

func userOf(u User) (*user, error) {
	out := &user{User: u}
	for _, k := range u.Keys {
		var one webauthn.Credential
		if err := json.Unmarshal(k.Record, &one); err != nil || !bytes.Equal(one.ID, k.Credential) {
			return nil, errs.New(errs.Corrupt, "passkey.record", "read a passkey of %s: its record is damaged: %w", u.Name, err)
		}
		out.keys = append(out.keys, one)
	}
	return out, nil
}

func (u *user) WebAuthnID() []byte                         { return u.Handle }
func (u *user) WebAuthnName() string                       { return u.Name }
func (u *user) WebAuthnDisplayName() string                { return u.Name }
func (u *user) WebAuthnCredentials() []webauthn.Credential { return u.keys }

// keyOf leaves out what nobody reads again.
func keyOf(one *webauthn.Credential) (Key, error) {
	kept := *one
	kept.Attestation = webauthn.CredentialAttestation{}
	record, err := json.Marshal(kept)
	return Key{Credential: kept.ID, Record: record, Synced: kept.Flags.BackupEligible}, err
}

// Synced reads that from a record.
func Synced(record []byte) bool {
	var one webauthn.Credential
	return json.Unmarshal(record, &one) == nil && one.Flags.BackupEligible
}
