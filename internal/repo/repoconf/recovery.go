package repoconf

import (
	"bytes"
	"encoding/base32"
	"encoding/binary"
	"encoding/hex"
	"strings"

	"github.com/cespare/xxhash/v2"
	"github.com/zeebo/blake3"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
)

// Recovery is the secret that opens a repository without its server.
type Recovery struct {
	Repository [4]byte // the first bytes of the repository's id
	Secret     seal.Secret
}

// NewRecovery makes a recovery key for a repository.
func NewRecovery(repositoryID [16]byte) Recovery {
	return Recovery{Repository: [4]byte(repositoryID[:4]), Secret: seal.NewSecret()}
}

// Printed form: 40 bytes in base32, in groups of eight: version (1), the first bytes of the
// repository's id (4), the secret (32), the first bytes of BLAKE3 of all before (3). It is
// meant for paper: case, spaces and hyphens do not count, 0, 1 and 8 are read as O, I and B.
const (
	recoveryVersion = 1
	recoveryBody    = 1 + 4 + 32
	recoveryLen     = recoveryBody + 3
)

// Text is the printed form: eight groups in two lines.
func (k Recovery) Text() string {
	b := make([]byte, 0, recoveryLen)
	b = append(b, recoveryVersion)
	b = append(b, k.Repository[:]...)
	b = append(b, k.Secret[:]...)
	sum := blake3.Sum256(b)
	s := base32.StdEncoding.EncodeToString(append(b, sum[:3]...))
	var out strings.Builder
	for i := 0; i < len(s); i += 8 {
		out.WriteString(s[i : i+8])
		switch i {
		case 24, 56:
			out.WriteByte('\n')
		default:
			out.WriteByte('-')
		}
	}
	return out.String()
}

// String does not print the key: Text does.
func (Recovery) String() string { return "(secret)" }

// GoString does not print the key: Text does.
func (Recovery) GoString() string { return "(secret)" }

// ParseRecovery reads the printed form. Lines that begin with # are comments.
func ParseRecovery(text string) (Recovery, error) {
	var k Recovery
	var s strings.Builder
	for line := range strings.Lines(text) {
		if !strings.HasPrefix(strings.TrimSpace(line), "#") {
			s.WriteString(line)
		}
	}
	clean := strings.NewReplacer(" ", "", "-", "", "\t", "", "\r", "", "\n", "", "0", "O", "1", "I", "8", "B").Replace(strings.ToUpper(s.String()))
	b, err := base32.StdEncoding.DecodeString(clean)
	if err != nil || len(b) != recoveryLen {
		return k, errs.New(errs.Invalid, "recovery.text", "read recovery key: it must be 64 letters and digits, there are %d", len(clean)).
			WithHint("type all eight groups, as they were printed")
	}
	if sum := blake3.Sum256(b[:recoveryBody]); !bytes.Equal(sum[:3], b[recoveryBody:]) {
		return k, errs.New(errs.Invalid, "recovery.typo", "read recovery key: its check letters do not fit: a letter is mistyped").
			WithHint("compare it with the printed one, group by group")
	}
	if b[0] != recoveryVersion {
		return k, errs.New(errs.Invalid, "recovery.version", "read recovery key: version %d is newer than this Keepward knows", b[0]).WithHint("update Keepward")
	}
	k.Repository = [4]byte(b[1:5])
	k.Secret = seal.Secret(b[5:recoveryBody])
	return k, nil
}

// KeyObject is a master, sealed. It lies in the repository under its name and may be replaced.
type KeyObject struct {
	Name    string // "1", "2", …: the last part of the object's name
	Content []byte
}

// Key object layout:
//
//	0  "KWKY"                        24 sealed: 12 bytes nonce, 38 sealed, 16 tag
//	4  version, 2 bytes              90 XXH64 of bytes 0 to 89
//	6  how it is sealed, 2 bytes
//	8  repository id, 16 bytes
//
// Sealed under seal.WrapKey of the recovery secret with bytes 0 to 23 bound: domain (4),
// epoch (2), secret (32).
const (
	keyVersion    = 1
	keyRecovery   = 1
	keyHead       = 24
	keyPlain      = 4 + 2 + 32
	KeyObjectSize = keyHead + 12 + keyPlain + 16 + 8
)

// WrapMaster seals a master under a recovery key.
func WrapMaster(repositoryID [16]byte, k Recovery, m seal.Master) (KeyObject, error) {
	b := append([]byte("KWKY"), keyVersion, 0, keyRecovery, 0)
	b = append(b, repositoryID[:]...)
	plain := binary.LittleEndian.AppendUint32(nil, m.Domain)
	plain = binary.LittleEndian.AppendUint16(plain, m.Epoch)
	plain = append(plain, m.Secret[:]...)
	sealed, err := seal.SealBytes(seal.WrapKey(k.Secret), plain, b)
	if err != nil {
		return KeyObject{}, err
	}
	b = append(b, sealed...)
	return KeyObject{Name: "1", Content: binary.LittleEndian.AppendUint64(b, xxhash.Sum64(b))}, nil
}

// CheckKeyObject is what can be said of a key object without opening it.
func CheckKeyObject(b []byte) (repositoryID [16]byte, err error) {
	if len(b) != KeyObjectSize || !bytes.Equal(b[:4], []byte("KWKY")) {
		return repositoryID, errs.New(errs.Corrupt, "key.magic", "read key object: it is none")
	}
	if xxhash.Sum64(b[:KeyObjectSize-8]) != binary.LittleEndian.Uint64(b[KeyObjectSize-8:]) {
		return repositoryID, errs.New(errs.Corrupt, "key.checksum", "read key object: checksum differs")
	}
	if v, how := binary.LittleEndian.Uint16(b[4:]), binary.LittleEndian.Uint16(b[6:]); v != keyVersion || how != keyRecovery {
		return repositoryID, errs.New(errs.Invalid, "key.version", "read key object: version %d, sealed by %d: newer than this Keepward knows", v, how).WithHint("update Keepward")
	}
	return [16]byte(b[8:24]), nil
}

func keyWrong(format string, args ...any) error {
	return errs.New(errs.Denied, "recovery.key-wrong", format, args...).
		WithHint("use the recovery key that was written when this repository was created")
}

// OpenKeyObject opens what WrapMaster made.
func OpenKeyObject(content []byte, k Recovery) (seal.Master, error) {
	id, err := CheckKeyObject(content)
	if err != nil {
		return seal.Master{}, err
	}
	if err := k.Fits(id); err != nil {
		return seal.Master{}, err
	}
	plain, err := seal.OpenBytes(seal.WrapKey(k.Secret), content[keyHead:KeyObjectSize-8], content[:keyHead])
	if err != nil || len(plain) != keyPlain {
		return seal.Master{}, keyWrong("open repository %s with a recovery key: the key does not open it", hex.EncodeToString(id[:]))
	}
	return seal.Master{
		Domain: binary.LittleEndian.Uint32(plain),
		Epoch:  binary.LittleEndian.Uint16(plain[4:]),
		Secret: seal.Secret(plain[6:]),
	}, nil
}

// Fits refuses a recovery key that is another repository's.
func (k Recovery) Fits(repositoryID [16]byte) error {
	if [4]byte(repositoryID[:4]) == k.Repository {
		return nil
	}
	return keyWrong("open repository %s with a recovery key: the key is of another repository, %s…", hex.EncodeToString(repositoryID[:]), hex.EncodeToString(k.Repository[:]))
}
