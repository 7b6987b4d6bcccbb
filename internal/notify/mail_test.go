package notify

import (
	"context"
	"fmt"
	"mime"
	netmail "net/mail"
	"strings"
	"testing"
	"time"

	"keepward/internal/notify/notifytest"
)

func targetOf(s *notifytest.MailServer) Mail {
	return Mail{
		Host: "127.0.0.1", Port: s.Port(), User: "keeper", Password: "s3cret",
		From: "Keepward <keepward@example.org>", To: []string{"ops@example.org", "boss@example.org"}, CA: s.CA,
	}
}

func TestMailArrivesSealedForEachKindOfEvent(t *testing.T) {
	for _, sealed := range []bool{false, true} {
		s := notifytest.ServeMail(t, func(s *notifytest.MailServer) { s.Sealed = sealed })
		m := targetOf(s)
		if sealed {
			m.Security = TLS
		}
		for i, k := range Kinds {
			e := Event{ID: fmt.Sprint("e", i), Kind: k.Kind, Severity: Info, Time: time.Unix(1_800_000_000, 0), Title: "größer\r\nBcc: a@b.c", Text: "line\r\n.\r\nQUIT", Job: "docs"}
			answer, err := m.Send(t.Context(), NewMessage(e, "", "", time.UTC))
			if err != nil || !strings.Contains(answer, "4711") {
				t.Fatalf("%s: %q, %v", k.Kind, answer, err)
			}
			got, err := netmail.ReadMessage(strings.NewReader(<-s.Mails))
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
		if len(s.Mails) != 0 {
			t.Error("a mail came twice")
		}
	}
}

func TestMailIsNotHandedOverWhereItShouldNotBe(t *testing.T) {
	e := NewMessage(Event{ID: "e", Kind: Test, Severity: Info}, "", "", time.UTC)
	for what, tt := range map[string]struct {
		server func(*notifytest.MailServer)
		target func(*Mail)
		want   string
	}{
		"no STARTTLS":       {func(s *notifytest.MailServer) { s.Plain = true }, func(*Mail) {}, "STARTTLS"},
		"a stranger":        {func(*notifytest.MailServer) {}, func(m *Mail) { m.CA = "" }, "certificate"},
		"a wrong password":  {func(*notifytest.MailServer) {}, func(m *Mail) { m.Password = "guess" }, "535"},
		"an unknown person": {func(s *notifytest.MailServer) { s.Refuse = "550 \x1b[31mnobody" }, func(*Mail) {}, "nobody"},
	} {
		s := notifytest.ServeMail(t, tt.server)
		m := targetOf(s)
		tt.target(&m)
		_, err := m.Send(t.Context(), e)
		if err == nil || !strings.Contains(err.Error(), tt.want) || strings.ContainsAny(err.Error(), "\x1b") || strings.Contains(err.Error(), "guess") {
			t.Errorf("%s: %v", what, err)
		}
		if len(s.Mails) != 0 {
			t.Errorf("%s: a mail came", what)
		}
	}
	open := notifytest.ServeMail(t, func(s *notifytest.MailServer) { s.Plain = true })
	m := targetOf(open)
	m.Security, m.User, m.Password = None, "", ""
	if _, err := m.Send(t.Context(), e); err != nil || len(open.Mails) != 1 {
		t.Errorf("without TLS, as was said: %v", err)
	}
}

func TestASilentMailServerIsGivenUp(t *testing.T) {
	s := notifytest.ServeMail(t, func(s *notifytest.MailServer) { s.Silent = true })
	ctx, cancel := context.WithTimeout(t.Context(), 300*time.Millisecond)
	defer cancel()
	done := make(chan error, 1)
	go func() {
		_, err := targetOf(s).Send(ctx, NewMessage(Event{ID: "e", Kind: Test}, "", "", time.UTC))
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
