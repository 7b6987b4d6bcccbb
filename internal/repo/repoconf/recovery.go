package repoconf

import (
	"bytes"
	"encoding/base32"
	"encoding/hex"
	"strings"

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

func keyWrong(format string, args ...any) error {
	return errs.New(errs.Denied, "recovery.key-wrong", format, args...).
		WithHint("use a recovery key or a passphrase that was made for this repository and was not removed since")
}

// Fits refuses a recovery key that is another repository's.
func (k Recovery) Fits(repositoryID [16]byte) error {
	if [4]byte(repositoryID[:4]) == k.Repository {
		return nil
	}
	return keyWrong("open repository %s with a recovery key: the key is of another repository, %s…", hex.EncodeToString(repositoryID[:]), hex.EncodeToString(k.Repository[:]))
}
