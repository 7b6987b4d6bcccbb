package notify

import (
	"bytes"
	"context"
	"crypto/tls"
	"fmt"
	"maps"
	"net"
	netmail "net/mail"
	"slices"
	"strings"
	"unicode"

	"github.com/wneessen/go-mail"

	"keepward/internal/errs"
)

// How mail is handed in.
const (
	StartTLS = "starttls" // in plain words first; nothing is said before the connection is sealed
	TLS      = "tls"      // from the first byte on
	None     = "none"
)

// Mail hands messages to a mail server.
type Mail struct {
	Host     string
	Port     int    // 0: that of Security
	Security string // empty: StartTLS
	User     string // empty: nobody logs in
	Password string
	From     string
	To       []string
	CA       string
}

// recipientsMost bounds whom one mail goes to; more is a list that a mail server should keep.
const recipientsMost = 50

// Check refuses what mail could not be sent with.
func (m Mail) Check() error {
	bad := func(format string, args ...any) *errs.Error {
		return errs.New(errs.Invalid, "notify.mail", "read the mail target: "+format, args...)
	}
	if m.Host == "" || strings.ContainsFunc(m.Host, func(r rune) bool {
		return unicode.IsSpace(r) || unicode.IsControl(r) || r == '/' || r > unicode.MaxASCII
	}) {
		return bad("%q is no host", m.Host)
	}
	if m.Port < 0 || m.Port > 65535 {
		return bad("%d is no port", m.Port)
	}
	switch m.Security {
	case "", StartTLS, TLS:
	case None:
		if m.User != "" {
			return bad("without TLS the password could be read by everybody on the way").WithHint("use starttls or tls, or no user")
		}
	default:
		return bad("there is no security %q", m.Security).WithHint("there is %s, %s and %s", StartTLS, TLS, None)
	}
	if len(m.User) > 256 || strings.ContainsFunc(m.User, unicode.IsControl) {
		return bad("its user cannot be one")
	}
	if len(m.To) == 0 || len(m.To) > recipientsMost {
		return bad("it goes to %d addresses, it must be 1 to %d", len(m.To), recipientsMost)
	}
	for _, a := range append([]string{m.From}, m.To...) {
		if _, err := netmail.ParseAddress(a); err != nil || strings.ContainsFunc(a, unicode.IsControl) {
			return bad("%q is no address such as backup@example.org", a)
		}
	}
	_, err := Roots(m.CA)
	return err
}

// Send hands over one message for all recipients.
func (m Mail) Send(ctx context.Context, out Message) (string, error) {
	ctx, cancel := context.WithTimeout(ctx, sendMost)
	defer cancel()
	msg, err := m.compose(out)
	if err != nil {
		return "", fmt.Errorf("write the mail: %s", shown(err.Error()))
	}
	stops := make(chan func() bool, 1) // of the one connection that a mail takes
	client, err := m.client(ctx, stops)
	if err != nil {
		return "", fmt.Errorf("send mail over %s: %s", m.Host, shown(err.Error()))
	}
	err = client.DialAndSendWithContext(ctx, msg)
	select {
	case stop := <-stops:
		stop()
	default:
	}
	if err != nil {
		return "", fmt.Errorf("send mail over %s: %s", m.Host, shown(err.Error()))
	}
	return shown(msg.ServerResponse()), nil
}

// client is how m is reached. Where it is dialled here its connection is cut when ctx ends; the library
// only bounds each answer.
func (m Mail) client(ctx context.Context, stops chan<- func() bool) (*mail.Client, error) {
	roots, err := Roots(m.CA)
	if err != nil {
		return nil, err
	}
	cfg := &tls.Config{MinVersion: tls.VersionTLS12, ServerName: m.Host, RootCAs: roots}
	opts := []mail.Option{mail.WithTimeout(sendMost), mail.WithTLSConfig(cfg)}
	if m.Security != TLS { // the library trusts only its own dialler to seal from the first byte on
		opts = append(opts, mail.WithDialContextFunc(func(_ context.Context, network, address string) (net.Conn, error) {
			c, err := new(net.Dialer).DialContext(ctx, network, address)
			if err == nil {
				select {
				case stops <- context.AfterFunc(ctx, func() { _ = c.Close() }):
				default:
				}
			}
			return c, err
		}))
	}
	port := 587
	switch m.Security {
	case TLS:
		port = 465
		opts = append(opts, mail.WithSSL())
	case None:
		port = 25
		opts = append(opts, mail.WithTLSPolicy(mail.NoTLS))
	default:
		opts = append(opts, mail.WithTLSPolicy(mail.TLSMandatory))
	}
	if m.Port != 0 {
		port = m.Port
	}
	if m.User != "" {
		opts = append(opts, mail.WithSMTPAuth(mail.SMTPAuthAutoDiscover), mail.WithUsername(m.User), mail.WithPassword(m.Password))
	}
	return mail.NewClient(m.Host, append(opts, mail.WithPort(port))...)
}

// compose makes the mail. What comes from elsewhere is in the subject, which is one line and encoded,
// and in the parts; no other header has a word of it.
func (m Mail) compose(out Message) (*mail.Msg, error) {
	msg := mail.NewMsg(mail.WithNoDefaultUserAgent())
	if err := msg.From(m.From); err != nil {
		return nil, err
	}
	if err := msg.To(m.To...); err != nil {
		return nil, err
	}
	msg.Subject(out.Subject)
	msg.SetDateWithValue(out.Event.Time)
	msg.SetMessageIDWithValue(out.Event.ID + "@" + m.domain()) // the same at every try: mailboxes drop repeats by it
	msg.SetGenHeader("Auto-Submitted", "auto-generated")
	msg.SetGenHeader("Keepward-Event", out.Event.ID)
	msg.SetGenHeader("Keepward-Kind", out.Event.Kind)
	msg.SetBodyString(mail.TypeTextPlain, out.Body)
	if out.HTML != "" {
		msg.AddAlternativeString(mail.TypeTextHTML, out.HTML)
	}
	for _, name := range slices.Sorted(maps.Keys(out.Pictures)) {
		err := msg.EmbedReader(name+".png", bytes.NewReader(out.Pictures[name]), mail.WithFileContentID(name), mail.WithFileContentType("image/png"))
		if err != nil {
			return nil, err
		}
	}
	return msg, nil
}

func (m Mail) domain() string {
	if a, err := netmail.ParseAddress(m.From); err == nil {
		if i := strings.LastIndexByte(a.Address, '@'); i >= 0 {
			return a.Address[i+1:]
		}
	}
	return "keepward"
}
