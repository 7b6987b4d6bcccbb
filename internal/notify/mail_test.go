package notify

import (
	"bufio"
	"context"
	"crypto/tls"
	"encoding/base64"
	"encoding/pem"
	"fmt"
	"mime"
	"net"
	"net/http/httptest"
	netmail "net/mail"
	"strings"
	"sync"
	"testing"
	"time"
)

// mailServer is an SMTP server that knows one user, "keeper" with the password "s3cret", and lets
// nobody in before TLS.
type mailServer struct {
	net.Listener
	t      *testing.T
	cfg    *tls.Config
	ca     string
	sealed bool   // TLS from the first byte on
	plain  bool   // it offers no STARTTLS
	refuse string // answers RCPT with this
	silent bool   // it never says anything
	mails  chan string
	wg     sync.WaitGroup
}

func serveMail(t *testing.T, change func(*mailServer)) *mailServer {
	t.Helper()
	certs := httptest.NewTLSServer(nil) // its certificate is for 127.0.0.1
	t.Cleanup(certs.Close)
	s := &mailServer{
		t: t, cfg: &tls.Config{Certificates: certs.TLS.Certificates}, mails: make(chan string, 100), // more than any test sends
		ca: string(pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certs.Certificate().Raw})),
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

func (s *mailServer) talk(c net.Conn) {
	if s.sealed {
		c = tls.Server(c, s.cfg)
	}
	r := bufio.NewReader(c)
	say := func(text string) { _, _ = fmt.Fprint(c, text+"\r\n") }
	if s.silent {
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
			case s.plain:
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
			case s.refuse != "":
				say(s.refuse)
			case !in && !s.plain:
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
			s.mails <- b.String()
			say("250 taken as 4711")
		case "QUIT":
			say("221 bye")
			return
		default:
			say("250 ok")
		}
	}
}

func (s *mailServer) target() Mail {
	return Mail{
		Host: "127.0.0.1", Port: s.Addr().(*net.TCPAddr).Port, User: "keeper", Password: "s3cret",
		From: "Keepward <keepward@example.org>", To: []string{"ops@example.org", "boss@example.org"}, CA: s.ca,
	}
}

func TestMailArrivesSealedForEachKindOfEvent(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		s := serveMail(t, func(s *mailServer) { s.sealed = sealed })
		m := s.target()
		if sealed {
			m.Security = TLS
		}
		for i, k := range Kinds {
			e := Event{ID: fmt.Sprint("e", i), Kind: k.Kind, Severity: Info, Time: time.Unix(1_800_000_000, 0), Title: "größer\r\nBcc: a@b.c", Text: "line\r\n.\r\nQUIT", Job: "docs"}
			answer, err := m.Send(t.Context(), NewMessage(e, "", "", time.UTC))
			if err != nil || !strings.Contains(answer, "4711") {
				t.Fatalf("%s: %q, %v", k.Kind, answer, err)
			}
			got, err := netmail.ReadMessage(strings.NewReader(<-s.mails))
			if err != nil {
				t.Fatal(err)
			}
			subject, err := new(mime.WordDecoder).DecodeHeader(got.Header.Get("Subject"))
			if err != nil || subject != "[Keepward] größer Bcc: a@b.c" || got.Header.Get("Bcc") != "" {
				t.Errorf("headers: %v (%v)", got.Header, err)
			}
			if got.Header.Get("Message-ID") != fmt.Sprintf("<e%d@example.org>", i) || got.Header.Get("Auto-Submitted") != "auto-generated" || got.Header.Get("Keepward-Kind") != k.Kind {
				t.Errorf("headers: %v", got.Header)
			}
		}
		if len(s.mails) != 0 {
			t.Error("a mail came twice")
		}
	}
}

func TestMailIsNotHandedOverWhereItShouldNotBe(t *testing.T) {
	e := NewMessage(Event{ID: "e", Kind: Test, Severity: Info}, "", "", time.UTC)
	for what, tt := range map[string]struct {
		server func(*mailServer)
		target func(*Mail)
		want   string
	}{
		"no STARTTLS":       {func(s *mailServer) { s.plain = true }, func(*Mail) {}, "STARTTLS"},
		"a stranger":        {func(*mailServer) {}, func(m *Mail) { m.CA = "" }, "certificate"},
		"a wrong password":  {func(*mailServer) {}, func(m *Mail) { m.Password = "guess" }, "535"},
		"an unknown person": {func(s *mailServer) { s.refuse = "550 \x1b[31mnobody" }, func(*Mail) {}, "nobody"},
	} {
		s := serveMail(t, tt.server)
		m := s.target()
		tt.target(&m)
		_, err := m.Send(t.Context(), e)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\x1b") || strings.Contains(err.Error(), "guess") {
			t.Errorf("%s: %v", what, err)
		}
		if len(s.mails) != 0 {
			t.Errorf("%s: a mail came", what)
		}
	}
	open := serveMail(t, func(s *mailServer) { s.plain = true })
	m := open.target()
	m.Security, m.User, m.Password = None, "", ""
	if _, err := m.Send(t.Context(), e); err != nil || len(open.mails) != 1 {
		t.Errorf("without TLS, as was said: %v", err)
	}
}

func TestASilentMailServerIsGivenUp(t *testing.T) {
	s := serveMail(t, func(s *mailServer) { s.silent = true })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := s.target().Send(ctx, NewMessage(Event{ID: "e", Kind: Test}, "", "", time.UTC))
		done <- err
	}()
	select {
	case err := <-done:
		if err == nil {
			t.Error("it counts as sent")
		}
	case <-time.After(sendMost / 2):
		t.Fatal("it hangs")
	}
}
