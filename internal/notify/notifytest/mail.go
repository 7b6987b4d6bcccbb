// Package notifytest has the other side of notifications, for tests.
package notifytest

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"net"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"
)

// MailServer is an SMTP server that knows one user, "keeper" with the password "s3cret", and lets
// nobody in before TLS.
type MailServer struct {
	net.Listener
	t      *testing.T
	cfg    *tls.Config
	CA     string      // PEM
	Sealed bool        // TLS from the first byte on
	Plain  bool        // it offers no STARTTLS
	Refuse string      // answers RCPT with this
	Silent bool        // it never says anything
	Mails  chan string // as they were handed over
	wg     sync.WaitGroup
}

// ServeMail runs one until the test ends, after change has set what is different about it.
func ServeMail(t *testing.T, change func(*MailServer)) *MailServer {
	t.Helper()
	certs := httptest.NewTLSServer(nil) // its certificate is for 127.0.0.1
	t.Cleanup(certs.Close)
	s := &MailServer{
		t: t, cfg: &tls.Config{Certificates: certs.TLS.Certificates}, Mails: make(chan string, 100), // more than any test sends
		CA: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certs.Certificate().Raw})),
	}
	change(s)
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	s.Listener = l
	ctx, cancel := context.WithCancel(context.Background())
	s.wg.Go(func() {
		for {
			c, err := l.Accept()
			if err != nil {
				return
			}
			s.wg.Go(func() {
				stop := context.AfterFunc(ctx, func() { _ = c.Close() })
				defer stop()
				defer func() { _ = c.Close() }()
				s.talk(c)
			})
		}
	})
	t.Cleanup(func() { cancel(); _ = l.Close(); s.wg.Wait() })
	return s
}

func (s *MailServer) talk(c net.Conn) {
	if s.Sealed {
		c = tls.Server(c, s.cfg)
	}
	r := bufio.NewReader(c)
	say := func(text string) { _, _ = fmt.Fprint(c, text+"\r\n") }
	if s.Silent {
		_, _ = r.ReadString('\n')
		return
	}
	_, isTLS := c.(*tls.Conn)
	in := false
	say("220 test")
	for {
		line, err := r.ReadString('\n')
		if err != nil {
			return
		}
		verb, rest, _ := strings.Cut(strings.TrimRight(line, "\r\n"), " ")
		switch strings.ToUpper(verb) {
		case "EHLO":
			switch {
			case isTLS:
				say("250-test\r\n250 AUTH PLAIN")
			case s.Plain:
				say("250 test")
			default:
				say("250-test\r\n250 STARTTLS")
			}
		case "STARTTLS":
			say("220 go on")
			c, isTLS = tls.Server(c, s.cfg), true
			r = bufio.NewReader(c)
		case "AUTH":
			_, code, _ := strings.Cut(rest, " ")
			b, _ := base64.StdEncoding.DecodeString(code)
			if !isTLS || string(b) != "\x00keeper\x00s3cret" {
				say("535 no")
				continue
			}
			in = true
			say("235 welcome")
		case "RCPT":
			switch {
			case s.Refuse != "":
				say(s.Refuse)
			case !in && !s.Plain:
				say("530 log in first")
			default:
				say("250 ok")
			}
		case "DATA":
			say("354 go on")
			var b strings.Builder
			for {
				line, err := r.ReadString('\n')
				if err != nil {
					return
				}
				if line == ".\r\n" {
					break
				}
				b.WriteString(line)
			}
			s.Mails <- b.String()
			say("250 taken as 4711")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

// Port is where it listens, on 127.0.0.1.
func (s *MailServer) Port() int { return s.Addr().(*net.TCPAddr).Port }
