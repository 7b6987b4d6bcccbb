package pki

import (
	"crypto/ecdsa"
	"crypto/rand"
	"crypto/x509"
	"crypto/x509/pkix"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
	"keepward/internal/wire"
)

func TestAuthorityIsMadeOnceAndFoundAgain(t *testing.T) {
	dir := t.TempDir()
	first, err := Open(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	second, err := Open(dir, time.Now())
	if err != nil {
		t.Fatal(err)
	}
	if !first.Certificate.Equal(second.Certificate) {
		t.Error("the second start made another authority")
	}
	info, err := os.Stat(filepath.Join(dir, KeyFile))
	if err != nil {
		t.Fatal(err)
	}
	if got := info.Mode().Perm(); got != 0o600 {
		t.Errorf("mode of the key is %o", got)
	}
}

func TestAuthorityWithoutItsKeyIsNotReplaced(t *testing.T) {
	dir := t.TempDir()
	if _, err := Open(dir, time.Now()); err != nil {
		t.Fatal(err)
	}
	for name, damage := range map[string]func(string) error{
		"gone":    os.Remove,
		"garbage": func(p string) error { return os.WriteFile(p, []byte("garbage"), 0o600) },
		"another": func(p string) error {
			k, err := NewKey()
			if err != nil {
				return err
			}
			text, err := encodeKey(k)
			if err != nil {
				return err
			}
			return os.WriteFile(p, text, 0o600)
		},
	} {
		if err := damage(filepath.Join(dir, KeyFile)); err != nil {
			t.Fatal(err)
		}
		if _, err := Open(dir, time.Now()); errs.KindOf(err) != errs.Corrupt {
			t.Errorf("key %s: %v, want corrupt", name, err)
		}
	}
}

func newRequest(t *testing.T, key *ecdsa.PrivateKey, role wire.Role, name string) []byte {
	t.Helper()
	der, err := x509.CreateCertificateRequest(rand.Reader, &x509.CertificateRequest{
		Subject: pkix.Name{CommonName: name, OrganizationalUnit: []string{string(role)}},
	}, key)
	if err != nil {
		t.Fatal(err)
	}
	return der
}

func TestIssuedCertificateProvesRoleAndName(t *testing.T) {
	now := time.Now()
	a, err := Open(t.TempDir(), now)
	if err != nil {
		t.Fatal(err)
	}
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr := newRequest(t, key, wire.RoleTransport, "somebody-else")
	public, err := ParseRequest(csr)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := a.Issue(wire.RoleAgent, "web1", public, Names{DNS: []string{"localhost"}, IPs: []net.IP{net.IPv6loopback}}, now)
	if err != nil {
		t.Fatal(err)
	}
	id, err := wire.IdentityOf(cert)
	if err != nil {
		t.Fatal(err)
	}
	if diff := cmp.Diff("agent web1", id.String()); diff != "" {
		t.Error(diff)
	}
	if !key.PublicKey.Equal(cert.PublicKey) {
		t.Error("the certificate is for another key")
	}
	pool := x509.NewCertPool()
	pool.AddCert(a.Certificate)
	behind := now.Add(-24 * time.Hour) // a node whose clock is a day behind
	for _, usage := range []x509.ExtKeyUsage{x509.ExtKeyUsageClientAuth, x509.ExtKeyUsageServerAuth} {
		if _, err := cert.Verify(x509.VerifyOptions{Roots: pool, CurrentTime: behind, KeyUsages: []x509.ExtKeyUsage{usage}}); err != nil {
			t.Error(err)
		}
	}
}

func TestRequestMustBeSignedByItsKey(t *testing.T) {
	key, err := NewKey()
	if err != nil {
		t.Fatal(err)
	}
	csr := newRequest(t, key, wire.RoleAgent, "web1")
	csr[len(csr)-1] ^= 1
	if _, err := ParseRequest(csr); errs.KindOf(err) != errs.Invalid {
		t.Errorf("altered request: %v, want invalid", err)
	}
}

func TestTokenText(t *testing.T) {
	a, err := Open(t.TempDir(), time.Now())
	if err != nil {
		t.Fatal(err)
	}
	token := a.NewToken()
	got, err := ParseToken("  " + strings.ToUpper(token.Text()) + "\n")
	if err != nil {
		t.Fatal(err)
	}
	if got != token {
		t.Errorf("read %q, wrote %q", got.Text(), token.Text())
	}
	if strings.Contains(token.String()+token.GoString(), token.Secret) {
		t.Error("the token prints its secret")
	}
	for _, bad := range []string{
		"", "kw1", "kw1..", "kw2" + token.Text()[3:], token.Text() + ".x", token.Text() + "0",
		"kw1." + token.Secret + "." + strings.Repeat("g", 16), "kw1." + strings.Repeat("1", 26) + "." + token.Authority,
	} {
		if _, err := ParseToken(bad); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v, want invalid", bad, err)
		}
	}
}

func TestNames(t *testing.T) {
	for _, good := range []string{"web1", "A", "9.b_c-d", strings.Repeat("x", 63)} {
		if err := CheckName("computer", good); err != nil {
			t.Error(err)
		}
	}
	for _, bad := range []string{"", ".", "..", "-x", "a/b", "a b", "a\n", "ä", "a\x00", strings.Repeat("x", 64)} {
		if err := CheckName("computer", bad); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%q: %v, want invalid", bad, err)
		}
	}
}

func TestANameIsRefusedInGoodEnglish(t *testing.T) {
	for thing, want := range map[string]string{"agent": "an agent", "job": "a job"} {
		if err := CheckName(thing, "a b"); !strings.Contains(err.Error(), "the name of "+want) {
			t.Error(err)
		}
	}
}

func FuzzParseToken(f *testing.F) {
	f.Add("kw1.abcdefghijklmnopqrstuvwxyz.0123456789abcdef")
	f.Add("kw1..")
	f.Fuzz(func(t *testing.T, text string) {
		token, err := ParseToken(text)
		if err != nil {
			return
		}
		again, err := ParseToken(token.Text())
		if err != nil || again != token {
			t.Errorf("%q reads as %q, which reads as %q: %v", text, token.Text(), again.Text(), err)
		}
	})
}
