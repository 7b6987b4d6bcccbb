package update

import (
	"crypto/ecdsa"
	"crypto/sha256"
	"crypto/x509"
	"encoding/hex"
	"fmt"
	"regexp"
	"strings"

	"keepward/internal/errs"
)

// SizeMost bounds a package: several times the largest that was ever built.
const SizeMost = 1 << 30

// Package is a program for one platform.
type Package struct {
	OS, Arch string
	Version  string
	Size     int64
	SHA256   string // in hex
}

// Platform is for whom the package is, such as linux/amd64.
func (p Package) Platform() string { return p.OS + "/" + p.Arch }

var (
	versionForm  = regexp.MustCompile(`^[0-9A-Za-z][0-9A-Za-z.+_-]{0,63}$`)
	platformForm = regexp.MustCompile(`^[a-z0-9]{1,20}$`)
)

// Check tells whether the package says all that it must, in the form that its statement has.
func (p Package) Check() error {
	switch sum, err := hex.DecodeString(p.SHA256); {
	case !platformForm.MatchString(p.OS) || !platformForm.MatchString(p.Arch):
		return errs.New(errs.Invalid, "package.platform", "check package: %q is no platform", p.Platform())
	case !versionForm.MatchString(p.Version):
		return errs.New(errs.Invalid, "package.version", "check package: %q is no version", p.Version).
			WithHint("letters, digits and . + _ -, at most 64 of them, such as v1.2.3")
	case err != nil || len(sum) != sha256.Size || p.SHA256 != strings.ToLower(p.SHA256):
		return errs.New(errs.Invalid, "package.digest", "check package: %q is no SHA-256", p.SHA256)
	case p.Size <= 0 || p.Size > SizeMost:
		return errs.New(errs.Invalid, "package.size", "check package: a size of %d bytes is none that a program has", p.Size)
	}
	return nil
}

// Statement is what the site's authority signs of a package. It begins as nothing does that the
// authority signs elsewhere: certificates are DER.
func (p Package) Statement() []byte {
	return fmt.Appendf(nil, "keepward agent package 1\nos %s\narch %s\nversion %s\nsize %d\nsha256 %s\n", p.OS, p.Arch, p.Version, p.Size, p.SHA256)
}

// Verify tells whether the authority vouches for the package.
func (p Package) Verify(authority *x509.Certificate, signature []byte) error {
	if err := p.Check(); err != nil {
		return err
	}
	sum := sha256.Sum256(p.Statement())
	key, ok := authority.PublicKey.(*ecdsa.PublicKey)
	if !ok || !ecdsa.VerifyASN1(key, sum[:], signature) {
		return errs.New(errs.Denied, "package.signature", "verify package %s for %s: it is not signed by the authority of this site", p.Version, p.Platform()).
			WithHint("import it on the server with: keepward agent-package import FILE; an agent takes nothing that its server has not vouched for")
	}
	return nil
}
