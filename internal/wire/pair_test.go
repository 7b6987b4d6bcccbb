package wire

import (
	"bytes"
	"context"
	"crypto/ecdsa"
	"crypto/elliptic"
	"crypto/rand"
	"crypto/tls"
	"io"
	"net"
	"net/http"
	"net/netip"
	"strings"
	"sync"
	"testing"
	"testing/synctest"
	"time"

	"github.com/google/go-cmp/cmp"

	"keepward/internal/errs"
)

func pairingKey(t testing.TB) (tls.Certificate, PairCode) {
	t.Helper()
	key, err := ecdsa.GenerateKey(elliptic.P256(), rand.Reader)
	if err != nil {
		t.Fatal(err)
	}
	cert, err := PairingCertificate(key)
	if err != nil {
		t.Fatal(err)
	}
	return cert, NewPairCode(cert.Leaf)
}

func TestACodeIsReadAsPeopleTypeIt(t *testing.T) {
	_, code := pairingKey(t)
	text := code.String()
	for _, typed := range []string{text, strings.ToLower(text), strings.ReplaceAll(text, "-", ""), " " + strings.ReplaceAll(text, "-", " ") + "\n"} {
		if got, err := ParsePairCode(typed); err != nil || got != code {
			t.Errorf("%q: %v (%v)", typed, got, err)
		}
	}
	for at := range text {
		if text[at] == '-' {
			continue
		}
		b := []byte(text)
		if b[at]++; b[at] == '8' || b[at] == 'Z'+1 {
			b[at] = 'A'
		}
		if got, err := ParsePairCode(string(b)); err == nil && got == code {
			t.Errorf("%q passes for %q", b, text)
		}
	}
	for _, bad := range []string{"", "kw1.a.b", text[1:], text + "A", strings.Repeat("0", len(text))} {
		if _, err := ParsePairCode(bad); errs.CodeOf(err) != "pair.code" || errs.HintOf(err) == "" {
			t.Errorf("%q: %v", bad, err)
		}
	}
}

func FuzzPairCode(f *testing.F) {
	_, code := pairingKey(f)
	f.Add(code.String())
	f.Add("AAAA-")
	f.Fuzz(func(t *testing.T, text string) {
		c, err := ParsePairCode(text)
		if err != nil {
			return
		}
		if again, err := ParsePairCode(c.String()); err != nil || again != c {
			t.Errorf("%q came back as %v (%v)", text, again, err)
		}
	})
}

func FuzzCall(f *testing.F) {
	f.Add((&call{attempt: [16]byte{1}, proof: [32]byte{2}}).encode())
	f.Add([]byte("KWMC"))
	f.Fuzz(func(t *testing.T, b []byte) {
		if c, err := parseCall(b); err == nil && !bytes.Equal(c.encode(), b) {
			t.Error("call came back differently")
		}
	})
}

// between is somebody in the middle: he has a key of his own, and takes the server's connection and
// makes one of his to the agent.
func TestNobodyInTheMiddlePairs(t *testing.T) {
	own, code := pairingKey(t)
	middle, _ := pairingKey(t)
	ca := newTestCA(t)
	// The server does not talk to another key than that of the code.
	l, err := tls.Listen("tcp", "127.0.0.1:0", pairServerTLS(middle))
	if err != nil {
		t.Fatal(err)
	}
	var served sync.WaitGroup
	served.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			_ = c.(*tls.Conn).Handshake()
			_ = c.Close()
		}
	})
	if _, err := DialPair(t.Context(), []string{l.Addr().String()}, code); errs.CodeOf(err) != "pair.key" {
		t.Errorf("it pairs with another key: %v", err)
	}
	_ = l.Close()
	served.Wait()
	// A proof for one connection does not hold on another, nor for another authority or name.
	a, b := pairConns(t, own, code)
	c, d := pairConns(t, own, code)
	proof := func(conn *tls.Conn, ca []byte, name string) string {
		p, err := PairProof(code, conn, ca, name)
		if err != nil {
			t.Fatal(err)
		}
		return string(p)
	}
	right := proof(a, ca.cert.Raw, "web1")
	if right != proof(b, ca.cert.Raw, "web1") {
		t.Error("the two ends do not agree")
	}
	if right == proof(c, ca.cert.Raw, "web1") || right == proof(d, ca.cert.Raw, "web1") {
		t.Error("the proof holds on another connection")
	}
	if right == proof(b, newTestCA(t).cert.Raw, "web1") || right == proof(b, ca.cert.Raw, "web2") {
		t.Error("the proof holds for another authority or name")
	}
	_, other := pairingKey(t)
	other.Key = code.Key
	if p, err := PairProof(other, b, ca.cert.Raw, "web1"); err != nil || string(p) == right {
		t.Errorf("another secret makes the same proof (%v)", err)
	}
}

// pairConns are the two ends of a connection to an agent that waits.
func pairConns(t *testing.T, cert tls.Certificate, code PairCode) (server, agent *tls.Conn) {
	t.Helper()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()
	accepted := make(chan *tls.Conn, 1)
	var own sync.WaitGroup
	own.Go(func() {
		raw, err := l.Accept()
		if err != nil {
			close(accepted)
			return
		}
		c := tls.Server(raw, pairServerTLS(cert))
		_ = c.HandshakeContext(context.Background())
		accepted <- c
	})
	defer own.Wait()
	if server, err = DialPair(t.Context(), []string{l.Addr().String()}, code); err != nil {
		t.Fatal(err)
	}
	agent = <-accepted
	t.Cleanup(func() { _ = server.Close(); _ = agent.Close() })
	return server, agent
}

// A stranger at a door that waits to be paired keeps his place for the time that one has, whatever he
// does not say: with all places taken the server would not get in.
func TestAConnectionIsServedForItsTimeAtMost(t *testing.T) {
	for name, sent := range map[string]string{
		"nothing": "", "half a head": "POST / HTTP/1.1\r\nHost: ", "a head": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 9\r\n\r\n",
		"a request and no other": "POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\n\r\nx",
	} {
		t.Run(name, func(t *testing.T) {
			synctest.Test(t, func(t *testing.T) {
				here, there := net.Pipe()
				defer func() { _ = there.Close() }()
				began, done := time.Now(), make(chan time.Duration, 1)
				go func() {
					ServeOne(context.Background(), here, http.HandlerFunc(func(_ http.ResponseWriter, r *http.Request) {
						_, _ = io.Copy(io.Discard, r.Body)
					}), 30*time.Second)
					done <- time.Since(began)
				}()
				go func() { _, _ = io.Copy(io.Discard, there) }()
				if sent != "" {
					if _, err := there.Write([]byte(sent)); err != nil {
						t.Error(err)
					}
				}
				select {
				case took := <-done:
					if took < 30*time.Second || took > 31*time.Second {
						t.Errorf("it was served for %s", took)
					}
				case <-time.After(time.Hour):
					t.Error("it is served still")
					_ = here.Close()
				}
			})
		})
	}
}

func TestPreferredNetworksComeFirst(t *testing.T) {
	list := []string{"backup.example:1", "192.168.1.5:1", "[fd00::5]:1", "10.1.2.3:1", "10.9.9.9:1"}
	nets := []netip.Prefix{netip.MustParsePrefix("10.0.0.0/8"), netip.MustParsePrefix("fd00::/8")}
	want := []string{"10.1.2.3:1", "10.9.9.9:1", "[fd00::5]:1", "backup.example:1", "192.168.1.5:1"}
	if diff := cmp.Diff(want, Preferred(list, nets)); diff != "" {
		t.Error(diff)
	}
	if diff := cmp.Diff(list, Preferred(list, nil)); diff != "" {
		t.Error(diff)
	}
}

func TestAddressesAreHostAndPort(t *testing.T) {
	for address, good := range map[string]bool{
		"web1:7482": true, "[fd00::1]:7482": true, "10.0.0.1:1": true,
		"web1": false, ":7482": false, "fd00::1": false, "web 1:7482": false, "web1:0": false, "web1:port!": false, "": false, "web1:99999": false,
	} {
		if err := CheckAddress(address); (err == nil) != good {
			t.Errorf("%q: %v", address, err)
		}
	}
}
