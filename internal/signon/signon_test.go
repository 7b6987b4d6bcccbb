package signon

import (
	"context"
	"net/http"
	"net/http/httptest"
	"net/url"
	"strings"
	"testing"
	"time"

	"keepward/internal/errs"
	"keepward/internal/signon/signontest"
)

const back = "https://backup.example.com:7480/login/sign-on/back"

// visit is a desk with a provider, and a clock that can be set.
type visit struct {
	*Desk
	t     *testing.T
	at    *signontest.Provider
	p     Provider
	ahead time.Duration
}

func newVisit(t *testing.T) *visit {
	v := &visit{t: t, at: signontest.New(t)}
	v.Desk = New(func() time.Time { return time.Now().Add(v.ahead) })
	v.p = Provider{Issuer: v.at.URL, ClientID: v.at.ClientID, Secret: v.at.Secret, CA: v.at.CA()}
	return v
}

// goes is a browser that goes where it is sent, and answers the query with which it is sent back.
func (v *visit) goes(to string) url.Values {
	v.t.Helper()
	client := *v.at.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(to)
	if err != nil {
		v.t.Fatal(err)
	}
	_ = res.Body.Close()
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(u.String(), back+"?") {
		v.t.Fatalf("the provider answers %s and sends to %s (%v)", res.Status, u, err)
	}
	return u.Query()
}

func (v *visit) send() (query url.Values, ticket []byte) {
	v.t.Helper()
	to, ticket, err := v.Send(context.Background(), v.p, back, Ticket{User: 7, Login: "4f", Next: "/jobs"})
	if err != nil {
		v.t.Fatal(err)
	}
	return v.goes(to), ticket
}

func (v *visit) comes(query url.Values, ticket []byte) (Ticket, Person, error) {
	return v.Return(context.Background(), v.p, back, ticket, query)
}

func TestWhoComesBackIsWhoTheProviderSays(t *testing.T) {
	v := newVisit(t)
	query, ticket := v.send()
	about, who, err := v.comes(query, ticket)
	if err != nil {
		t.Fatal(err)
	}
	if who != (Person{v.at.URL, "4711", "ann@example.com"}) || about.User != 7 || about.Login != "4f" || about.Next != "/jobs" {
		t.Errorf("%v for %v", who, about)
	}
	if strings.Contains(string(ticket), about.Verifier) || strings.Contains(string(ticket), "/jobs") {
		t.Error("the ticket can be read")
	}
	if _, _, err := v.comes(query, ticket); errs.CodeOf(err) != "access.sign-on" {
		t.Errorf("the same again: %v", err)
	}
	for range 3 {
		v.send()
	}
	if v.at.Fetched != 1 {
		t.Errorf("the provider was asked %d times what it is", v.at.Fetched)
	}
	v.ahead = askedEvery
	v.send()
	if v.at.Fetched != 2 {
		t.Errorf("it was asked %d times, and that is long ago", v.at.Fetched)
	}
}

func TestWhatIsNoAnswerIsRefused(t *testing.T) {
	claim := func(name string, value any) func(v *visit) {
		return func(v *visit) {
			v.at.Tell(func(p *signontest.Provider) {
				p.Lie.Claims = func(c map[string]any) {
					if value == nil {
						delete(c, name)
					} else {
						c[name] = value
					}
				}
			})
		}
	}
	signed := func(by string) func(v *visit) {
		return func(v *visit) { v.at.Tell(func(p *signontest.Provider) { p.Lie.Algorithm = by }) }
	}
	answer := func(name, value string) func(v *visit) {
		return func(v *visit) {
			v.at.Tell(func(p *signontest.Provider) { p.Lie.Answer = func(q url.Values) { q.Set(name, value) } })
		}
	}
	now := time.Now().Unix()
	for name, lie := range map[string]func(v *visit){
		"a token without a signature":             signed("none"),
		"a token signed by the secret":            signed("HS256"),
		"a token signed by another key":           signed("other"),
		"a token of another issuer":               claim("iss", "https://id.example.org"),
		"a token for another program":             claim("aud", "wiki"),
		"a token for two programs":                claim("aud", []string{"keepward", "wiki"}),
		"a token that another program asked for":  claim("azp", "wiki"),
		"a token that has ended":                  claim("exp", now-1),
		"a token of tomorrow":                     claim("iat", now+3600),
		"a token of yesterday":                    claim("iat", now-86400),
		"a token to another question":             claim("nonce", "another"),
		"a token to no question":                  claim("nonce", nil),
		"a token about nobody":                    claim("sub", nil),
		"a token about somebody with a long name": claim("sub", strings.Repeat("x", 256)),
		"an answer of another issuer":             answer("iss", "https://id.example.org"),
		"an answer of no issuer":                  answer("iss", ""),
		"an answer to another question":           answer("state", "another"),
		"an answer with another code":             answer("code", "another"),
		"a refusal":                               answer("error", "access_denied"),
		"no token": func(v *visit) {
			v.at.Tell(func(p *signontest.Provider) {
				p.Lie.Token = func(w http.ResponseWriter) {
					w.Header().Set("Content-Type", "application/json")
					_, _ = w.Write([]byte(`{"access_token":"x","token_type":"Bearer"}`))
				}
			})
		},
	} {
		t.Run(name, func(t *testing.T) {
			v := newVisit(t)
			lie(v)
			query, ticket := v.send()
			if _, who, err := v.comes(query, ticket); errs.CodeOf(err) != "access.sign-on" || who != (Person{}) {
				t.Errorf("%v came: %v", who, err)
			}
		})
	}
}

func TestATicketIsGoodOnceForItsBrowserAndNotForLong(t *testing.T) {
	v := newVisit(t)
	query, ticket := v.send()
	_, others := v.send()
	for what, try := range map[string][]byte{"none": nil, "that of another browser": others, "a changed one": append([]byte{ticket[0] ^ 1}, ticket[1:]...)} {
		if _, _, err := v.comes(query, try); errs.CodeOf(err) != "access.sign-on" {
			t.Errorf("%s: %v", what, err)
		}
	}
	other := New(time.Now)
	if _, _, err := other.Return(t.Context(), v.p, back, ticket, query); errs.CodeOf(err) != "access.sign-on" {
		t.Errorf("at another server: %v", err)
	}
	changed := v.p
	changed.Issuer = "https://id.example.org"
	if _, _, err := v.Return(t.Context(), changed, back, ticket, query); errs.CodeOf(err) != "access.sign-on" {
		t.Errorf("with another provider: %v", err)
	}
	// The provider lets in twice who asks twice.
	to, ticket, err := v.Send(t.Context(), v.p, back, Ticket{})
	if err != nil {
		t.Fatal(err)
	}
	once, twice := v.goes(to), v.goes(to)
	if _, _, err := v.comes(once, ticket); err != nil {
		t.Fatal(err)
	}
	if _, _, err := v.comes(twice, ticket); errs.CodeOf(err) != "access.sign-on" || !strings.Contains(err.Error(), "answered before") {
		t.Errorf("a ticket again, with another code: %v", err)
	}
	query, ticket = v.send()
	v.ahead = Within
	if _, _, err := v.comes(query, ticket); errs.CodeOf(err) != "access.sign-on" || !strings.Contains(err.Error(), "too long") {
		t.Errorf("too late: %v", err)
	}
}

func TestAProviderThatIsNoneIsSaidToBeAway(t *testing.T) {
	for name, lie := range map[string]func(p *signontest.Provider){
		"it says it is another":        func(p *signontest.Provider) { p.Lie.Issuer = "https://id.example.org" },
		"its tokens come in the clear": func(p *signontest.Provider) { p.Lie.TokenURL = "http://127.0.0.1:1/token" },
		"it is gone":                   func(p *signontest.Provider) { p.Close() },
	} {
		v := newVisit(t)
		if name == "it is gone" {
			lie(v.at)
		} else {
			v.at.Tell(lie)
		}
		if _, _, err := v.Send(t.Context(), v.p, back, Ticket{}); errs.CodeOf(err) != "sign-on.away" {
			t.Errorf("%s: %v", name, err)
		}
		if err := v.p.Test(t.Context()); errs.CodeOf(err) != "sign-on.away" {
			t.Errorf("%s, tested: %v", name, err)
		}
	}
	// It does not send what asks for a token elsewhere, with the secret.
	elsewhere := httptest.NewTLSServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { t.Error("it was sent elsewhere") }))
	defer elsewhere.Close()
	v := newVisit(t)
	v.at.Tell(func(p *signontest.Provider) {
		p.Lie.Token = func(w http.ResponseWriter) {
			w.Header().Set("Location", elsewhere.URL)
			w.WriteHeader(http.StatusTemporaryRedirect)
		}
	})
	query, ticket := v.send()
	if _, _, err := v.comes(query, ticket); errs.CodeOf(err) != "access.sign-on" {
		t.Errorf("sent elsewhere: %v", err)
	}
	// An answer without an end is cut off, long before the time is over.
	v = newVisit(t)
	v.at.Tell(func(p *signontest.Provider) { p.Lie.Endless = true })
	if _, _, err := v.Send(t.Context(), v.p, back, Ticket{}); errs.CodeOf(err) != "sign-on.away" {
		t.Errorf("an answer without an end: %v", err)
	}
	v.at.Close() // behind its last byte
	if n := v.at.Written.Load(); n > 64*answerMost {
		t.Errorf("%d bytes of an answer without an end were taken", n)
	}
}

func TestOnlyAnAddressOverTLSIsAProvider(t *testing.T) {
	for _, issuer := range []string{"", "id.example.com", "http://id.example.com", "https://", "https://a:b@id.example.com", "https://id.example.com?x=1", "https://id.example.com#x", "\x7f"} {
		if err := (Provider{Issuer: issuer, ClientID: "x"}).Check(); errs.CodeOf(err) != "sign-on.provider" {
			t.Errorf("%q: %v", issuer, err)
		}
	}
	if err := (Provider{Issuer: "https://id.example.com"}).Check(); errs.CodeOf(err) != "sign-on.provider" {
		t.Errorf("without a client: %v", err)
	}
	if err := (Provider{Issuer: "https://id.example.com", ClientID: "x", CA: "no PEM"}).Check(); errs.CodeOf(err) != "sign-on.provider" {
		t.Errorf("with a wrong authority: %v", err)
	}
}
