package repoconf

import (
	"bytes"
	"crypto/rand"
	"encoding/binary"
	"encoding/hex"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/cespare/xxhash/v2"
	"golang.org/x/crypto/argon2"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// KeyForm is what opens a key object. The numbers are format.
type KeyForm uint16

// The forms of key objects.
const (
	FormRecovery   KeyForm = 1 // a recovery key
	FormPassphrase KeyForm = 2 // a passphrase, through Argon2id
)

func (f KeyForm) String() string {
	switch f {
	case FormRecovery:
		return "recovery key"
	case FormPassphrase:
		return "passphrase"
	}
	return "unknown"
}

// KeyObject is a master, sealed. It lies in the repository under its name; there may be many,
// and each can be added and removed by itself.
type KeyObject struct {
	Name    string // "1", "2", …: the last part of the object's name
	Content []byte
}

// KeyInfo is what can be said of a key object without opening it.
type KeyInfo struct {
	Repository [16]byte
	Form       KeyForm
	Created    time.Time
	Label      string // for people; in clear
	argon      argonCost
}

// argonCost is what Argon2id (RFC 9106) is asked for.
type argonCost struct {
	salt    [16]byte
	time    uint32
	memory  uint32 // KiB
	threads uint8
}

// usualCost takes about a second of one core and 256 MiB: a passphrase is tried rarely by its
// owner, and often by who guesses.
var usualCost = argonCost{time: 4, memory: 256 << 10, threads: 2}

// Bounds of what a key object may ask for: a damaged one must not exhaust the memory.
const (
	argonTimeMost   = 64
	argonMemoryMost = 2 << 20
)

// Key object layout:
//
//	0  "KWKY"                            56 Argon2id: threads (1 byte)
//	4  version, 2 bytes                  57 length of the label (1 byte), 0 (6)
//	6  form, 2 bytes                     64 label, 64 bytes, filled up with 0
//	8  repository id, 16 bytes           128 sealed: 12 bytes nonce, 38 sealed, 16 tag
//	24 created, ns since 1970, 8 bytes   194 XXH64 of bytes 0 to 193
//	32 Argon2id: salt (16 bytes),
//	   time, memory in KiB (4 bytes each)
//
// Sealed under seal.WrapKey of the recovery secret, or of what Argon2id makes of the
// passphrase, with bytes 0 to 127 bound: domain (4), epoch (2), secret (32).
const (
	keyVersion    = 2
	keyHead       = 128
	keyLabel      = 64
	MaxLabel      = 64
	keyPlain      = 4 + 2 + 32
	KeyObjectSize = keyHead + 12 + keyPlain + 16 + 8
)

// Wrapping says how a master is sealed: under a recovery key, or under a passphrase if that
// is set.
type Wrapping struct {
	Recovery   Recovery
	Passphrase string
	Label      string
	Created    time.Time
}

// MinPassphrase is how many characters a passphrase has at least. The repository is on a disk
// that may be stolen: nobody limits how often that thief guesses.
const MinPassphrase = 14

// Wrap seals a master.
func Wrap(repositoryID [16]byte, m seal.Master, w Wrapping) (KeyObject, error) {
	if len(w.Label) > MaxLabel || !utf8.ValidString(w.Label) || strings.ContainsFunc(w.Label, func(r rune) bool { return r < ' ' }) {
		return KeyObject{}, errs.New(errs.Invalid, "key.label", "label %q: at most %d bytes of text in one line", w.Label, MaxLabel)
	}
	info := KeyInfo{Repository: repositoryID, Form: FormRecovery, Created: w.Created, Label: w.Label}
	if w.Passphrase != "" {
		if n := utf8.RuneCountInString(w.Passphrase); n < MinPassphrase {
			return KeyObject{}, errs.New(errs.Invalid, "key.passphrase", "passphrase: it has %d characters, at least %d are needed", n, MinPassphrase).
				WithHint("take five or more words that do not belong together")
		}
		info.Form, info.argon = FormPassphrase, usualCost
		_, _ = rand.Read(info.argon.salt[:]) // documented never to fail
	}
	head := info.encode()
	plain := binary.LittleEndian.AppendUint32(nil, m.Domain)
	plain = binary.LittleEndian.AppendUint16(plain, m.Epoch)
	plain = append(plain, m.Secret[:]...)
	sealed, err := seal.SealBytes(info.wrapKey(w.Recovery, w.Passphrase), plain, head)
	if err != nil {
		return KeyObject{}, err
	}
	b := append(head, sealed...)
	return KeyObject{Name: "1", Content: binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))}, nil
}

// WrapMaster seals a master under a recovery key.
func WrapMaster(repositoryID [16]byte, k Recovery, m seal.Master) (KeyObject, error) {
	return Wrap(repositoryID, m, Wrapping{Recovery: k})
}

func (i *KeyInfo) wrapKey(k Recovery, passphrase string) seal.Secret {
	if i.Form == FormRecovery {
		return seal.WrapKey(k.Secret)
	}
	return seal.WrapKey(seal.Secret(argon2.IDKey([]byte(passphrase), i.argon.salt[:], i.argon.time, i.argon.memory, i.argon.threads, 32)))
}

func (i *KeyInfo) encode() []byte {
	b := make([]byte, keyHead)
	copy(b, "KWKY")
	binary.LittleEndian.PutUint16(b[4:], keyVersion)
	binary.LittleEndian.PutUint16(b[6:], uint16(i.Form))
	copy(b[8:], i.Repository[:])
	if !i.Created.IsZero() {
		binary.LittleEndian.PutUint64(b[24:], uint64(i.Created.UnixNano()))
	}
	copy(b[32:], i.argon.salt[:])
	binary.LittleEndian.PutUint32(b[48:], i.argon.time)
	binary.LittleEndian.PutUint32(b[52:], i.argon.memory)
	b[56] = i.argon.threads
	b[57] = byte(len(i.Label))
	copy(b[64:], i.Label)
	return b
}

// ParseKeyObject reads what stands in clear in a key object.
func ParseKeyObject(b []byte) (KeyInfo, error) {
	var i KeyInfo
	if len(b) < 8 || !bytes.Equal(b[:4], []byte("KWKY")) {
		return i, errs.New(errs.Corrupt, "key.magic", "read key object: it is none")
	}
	if v := binary.LittleEndian.Uint16(b[4:]); v > keyVersion {
		return i, errs.New(errs.Invalid, "key.version", "read key object: version %d is newer than this Keepward knows", v).WithHint("update Keepward")
	}
	if len(b) != KeyObjectSize || xxhash.Sum64(b[:KeyObjectSize-8]) != binary.LittleEndian.Uint64(b[KeyObjectSize-8:]) {
		return i, errs.New(errs.Corrupt, "key.checksum", "read key object: its length or checksum differs")
	}
	i.Form = KeyForm(binary.LittleEndian.Uint16(b[6:]))
	i.Repository = [16]byte(b[8:24])
	if at := binary.LittleEndian.Uint64(b[24:]); at != 0 {
		i.Created = time.Unix(0, int64(at))
	}
	i.argon = argonCost{
		salt: [16]byte(b[32:48]), time: binary.LittleEndian.Uint32(b[48:]), memory: binary.LittleEndian.Uint32(b[52:]), threads: b[56],
	}
	if i.Form != FormRecovery && i.Form != FormPassphrase {
		return i, errs.New(errs.Invalid, "key.version", "read key object: its form %d is newer than this Keepward knows", i.Form).WithHint("update Keepward")
	}
	cost := i.argon
	if i.Form == FormPassphrase && (cost.time == 0 || cost.time > argonTimeMost || cost.memory == 0 || cost.memory > argonMemoryMost || cost.threads == 0) || b[57] > keyLabel {
		return i, errs.New(errs.Corrupt, "key.bounds", "read key object: its numbers are out of bounds")
	}
	i.Label = string(b[64 : 64+int(b[57])])
	return i, nil
}

// OpenKeyObject opens a key object with a recovery key.
func OpenKeyObject(content []byte, k Recovery) (seal.Master, error) {
	i, err := ParseKeyObject(content)
	if err != nil {
		return seal.Master{}, err
	}
	if err := k.Fits(i.Repository); err != nil {
		return seal.Master{}, err
	}
	if i.Form != FormRecovery {
		return seal.Master{}, keyWrong("open repository %s with a recovery key: the key object is of a %s", hex.EncodeToString(i.Repository[:]), i.Form)
	}
	return i.open(content, k, "")
}

// OpenWithPassphrase opens a key object with a passphrase; it takes about a second.
func OpenWithPassphrase(content []byte, passphrase string) (seal.Master, error) {
	i, err := ParseKeyObject(content)
	if err != nil {
		return seal.Master{}, err
	}
	if i.Form != FormPassphrase {
		return seal.Master{}, keyWrong("open repository %s with a passphrase: the key object is of a %s", hex.EncodeToString(i.Repository[:]), i.Form)
	}
	return i.open(content, Recovery{}, passphrase)
}

func (i *KeyInfo) open(content []byte, k Recovery, passphrase string) (seal.Master, error) {
	plain, err := seal.OpenBytes(i.wrapKey(k, passphrase), content[keyHead:KeyObjectSize-8], content[:keyHead])
	if err != nil || len(plain) != keyPlain {
		return seal.Master{}, keyWrong("open repository %s with a %s: it does not open it", hex.EncodeToString(i.Repository[:]), i.Form)
	}
	return seal.Master{
		Domain: binary.LittleEndian.Uint32(plain),
		Epoch:  binary.LittleEndian.Uint16(plain[4:]),
		Secret: seal.Secret(plain[6:]),
	}, nil
}

// Unlock is what a user has to open a repository with: a recovery key in its printed form, or
// a passphrase if that is set.
type Unlock struct {
	RecoveryKey string
	Passphrase  string
}

// Open opens the first of the key objects that the secret opens, and checks that the master
// in it is the repository's. Which is wrong, the secret or the object, is in the error.
func (u Unlock) Open(c Config, keys []KeyObject) (m seal.Master, k Recovery, err error) {
	if u.Passphrase == "" {
		if k, err = ParseRecovery(u.RecoveryKey); err != nil {
			return m, k, err
		}
		if err = k.Fits(c.ID); err != nil {
			return m, k, err
		}
	}
	err = errs.New(errs.NotFound, "key.missing", "open repository %s: it holds no key object for that", hex.EncodeToString(c.ID[:]))
	for _, o := range keys {
		info, perr := ParseKeyObject(o.Content)
		if perr != nil {
			err = perr
			continue
		}
		if (info.Form == FormPassphrase) != (u.Passphrase != "") {
			continue
		}
		master, oerr := info.open(o.Content, k, u.Passphrase)
		if oerr == nil && !c.ChecksMaster(master) {
			oerr = errs.New(errs.Corrupt, "key.master", "open key object %s: the master in it is not this repository's", o.Name)
		}
		if oerr == nil {
			return master, k, nil
		}
		err = oerr
	}
	return m, k, err
}
