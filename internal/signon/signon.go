// Package signon has somebody prove at a provider of OpenID Connect who they are: the authorization code
// flow with PKCE (OpenID Connect Core 1.0; RFC 6749, 7636, 9207).
//
// What has to be known when the browser comes back is in a ticket that the browser keeps: sealed, so that it
// cannot be read or made, and good once, for ten minutes, by the process that made it. Nothing is kept for
// those who set out and do not come back.
package signon

import (
	"context"
	"crypto/rand"
	"crypto/subtle"
	"crypto/tls"
	"crypto/x509"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"slices"
	"sync"
	"time"

	"github.com/coreos/go-oidc/v3/oidc"
	"golang.org/x/oauth2"

	"keepward/internal/errs"
	"keepward/internal/repo/seal"
	"keepward/internal/spent"
)

const (
	// Within is how long somebody may take at the provider.
	Within = 10 * time.Minute
	// answerWithin bounds each call to the provider, and answerMost what it may answer, in bytes.
	answerWithin = 10 * time.Second
	answerMost   = 1 << 20
	// skew is how much the provider's clock may be ahead.
	skew = time.Minute
	// askedEvery is how long what a provider says of itself is taken for true.
	askedEvery = 5 * time.Minute
	// subjectMost bounds what a provider calls somebody, as the standard does; labels are cut there too.
	subjectMost = 255
)

// Provider is where people prove who they are.
type Provider struct {
	Issuer   string // https://...; as the provider writes it
	ClientID string
	Secret   string
	CA       string // PEM, in place of the system's authorities; empty: those
}

// Check looks at a provider's settings without asking it.
func (p Provider) Check() error {
	u, err := url.Parse(p.Issuer)
	bad := errs.New(errs.Invalid, "sign-on.provider", "set up single sign-on: %q is not the issuer of a provider", p.Issuer).
		WithHint("it is an address such as https://id.example.com/realms/main, without a query; the provider's page .well-known/openid-configuration has it")
	switch {
	case err != nil || u.Scheme != "https" || u.Host == "" || u.User != nil || u.RawQuery != "" || u.Fragment != "":
		return bad
	case p.ClientID == "":
		return errs.New(errs.Invalid, "sign-on.provider", "set up single sign-on: the client id is missing")
	}
	_, err = p.client()
	return err
}

// Ticket is what has to be known when the browser comes back.
type Ticket struct {
	Issuer, State, Nonce, Verifier string
	Ends                           time.Time
	// User is whose account is to be connected, and Login by which login that was asked for; 0: somebody
	// logs in.
	User  int64
	Login string
	// Next is where to go then.
	Next string
}

// Person is who came back, as the provider has it.
type Person struct {
	Issuer, Subject string
	Label           string // what people call it there; empty: it did not say
}

// Desk sends people to providers and takes them back. It is safe for concurrent use.
type Desk struct {
	now  func() time.Time
	key  seal.Secret
	seen spent.Set

	mu    sync.Mutex
	known *asked // of the provider that was asked last
}

// New makes a desk that takes the tickets of no others.
func New(now func() time.Time) *Desk {
	d := &Desk{now: now}
	_, _ = rand.Read(d.key[:]) // documented never to fail
	return d
}

const ticketFor = "single sign-on"

// client asks a provider. It follows no redirect: who asks for a token must not be sent elsewhere with the
// secret.
func (p Provider) client() (*http.Client, error) {
	config := &tls.Config{MinVersion: tls.VersionTLS12}
	if p.CA != "" {
		config.RootCAs = x509.NewCertPool()
		if !config.RootCAs.AppendCertsFromPEM([]byte(p.CA)) {
			return nil, errs.New(errs.Invalid, "sign-on.provider", "set up single sign-on: the authority's certificate is not PEM")
		}
	}
	return &http.Client{
		Timeout:       answerWithin,
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
		Transport:     bounded{&http.Transport{TLSClientConfig: config, Proxy: http.ProxyFromEnvironment, ForceAttemptHTTP2: true, DisableKeepAlives: true}},
	}, nil
}

// bounded cuts long answers off.
type bounded struct{ next http.RoundTripper }

func (b bounded) RoundTrip(r *http.Request) (*http.Response, error) {
	res, err := b.next.RoundTrip(r)
	if err == nil {
		body := res.Body
		res.Body = struct {
			io.Reader
			io.Closer
		}{io.LimitReader(body, answerMost), body}
	}
	return res, err
}

// asked is a provider that has said where its pages are.
type asked struct {
	*oidc.Provider
	of     Provider
	client *http.Client
	when   time.Time
	// namesItself: its answers carry iss (RFC 9207).
	namesItself bool
}

// ask answers what a provider says of itself, which it is asked every few minutes at most: anybody may
// set out for it. Others wait meanwhile.
func (d *Desk) ask(ctx context.Context, p Provider) (*asked, error) {
	d.mu.Lock()
	defer d.mu.Unlock()
	now := d.now()
	if k := d.known; k != nil && k.of == p && now.Sub(k.when) < askedEvery {
		return k, nil
	}
	found, err := p.ask(ctx, now)
	if err == nil {
		d.known = found
	}
	return found, err
}

func (p Provider) ask(ctx context.Context, now time.Time) (*asked, error) {
	if err := p.Check(); err != nil {
		return nil, err
	}
	client, err := p.client()
	if err != nil {
		return nil, err
	}
	found, err := oidc.NewProvider(oidc.ClientContext(ctx, client), p.Issuer)
	if err != nil {
		return nil, away(p, err)
	}
	var more struct {
		Names bool   `json:"authorization_response_iss_parameter_supported"`
		Keys  string `json:"jwks_uri"`
	}
	if err := found.Claims(&more); err != nil {
		return nil, away(p, err)
	}
	for _, at := range []string{found.Endpoint().AuthURL, found.Endpoint().TokenURL, more.Keys} {
		if u, err := url.Parse(at); err != nil || u.Scheme != "https" || u.Host == "" {
			return nil, away(p, fmt.Errorf("it says that a page of it is %q, which is not https", at))
		}
	}
	return &asked{found, p, client, now, more.Names}, nil
}

func away(p Provider, err error) error {
	return errs.New(errs.Unavailable, "sign-on.away", "ask %s who somebody is: %w", p.Issuer, err).
		WithHint("log in with the password meanwhile; an administrator looks with: keepward sign-on test")
}

// Test asks a provider what it says of itself.
func (p Provider) Test(ctx context.Context) error {
	_, err := p.ask(ctx, time.Time{})
	return err
}

func (p Provider) flow(found *asked, back string) *oauth2.Config {
	return &oauth2.Config{ClientID: p.ClientID, ClientSecret: p.Secret, Endpoint: found.Endpoint(), RedirectURL: back, Scopes: []string{oidc.ScopeOpenID, "profile", "email"}}
}

// Send makes the address to which a browser is sent, and the ticket that it keeps meanwhile, of what is
// wanted: its User, Login and Next. back is where the provider sends it then.
func (d *Desk) Send(ctx context.Context, p Provider, back string, t Ticket) (to string, ticket []byte, err error) {
	found, err := d.ask(ctx, p)
	if err != nil {
		return "", nil, err
	}
	t.Issuer, t.State, t.Nonce, t.Verifier, t.Ends = p.Issuer, rand.Text(), rand.Text(), oauth2.GenerateVerifier(), d.now().Add(Within)
	data, err := json.Marshal(t)
	if err != nil {
		return "", nil, err
	}
	if ticket, err = seal.SealBytes(d.key, data, []byte(ticketFor)); err != nil {
		return "", nil, err
	}
	return p.flow(found, back).AuthCodeURL(t.State, oidc.Nonce(t.Nonce), oauth2.S256ChallengeOption(t.Verifier)), ticket, nil
}

// Return takes a browser back, with the query that it brings. It is errs.Denied with code access.sign-on
// where that is no answer to what it was sent with.
func (d *Desk) Return(ctx context.Context, p Provider, back string, ticket []byte, query url.Values) (Ticket, Person, error) {
	t, err := d.take(ticket)
	if err != nil {
		return t, Person{}, refused(err)
	}
	if t.Issuer != p.Issuer {
		return t, Person{}, refused(errors.New("the provider was changed meanwhile"))
	}
	if subtle.ConstantTimeCompare([]byte(t.State), []byte(query.Get("state"))) != 1 {
		return t, Person{}, refused(errors.New("it answers another question"))
	}
	found, err := d.ask(ctx, p)
	if err != nil {
		return t, Person{}, err
	}
	ctx = oidc.ClientContext(ctx, found.client)
	if said := query.Get("iss"); said != p.Issuer && (said != "" || found.namesItself) {
		return t, Person{}, refused(fmt.Errorf("the answer is of %q", said))
	}
	if code := query.Get("error"); code != "" {
		return t, Person{}, refused(fmt.Errorf("the provider says %q: %q", code, query.Get("error_description")))
	}
	tokens, err := p.flow(found, back).Exchange(ctx, query.Get("code"), oauth2.VerifierOption(t.Verifier))
	if err != nil {
		if _, answered := errors.AsType[*oauth2.RetrieveError](err); answered {
			return t, Person{}, refused(err)
		}
		return t, Person{}, away(p, err)
	}
	raw, ok := tokens.Extra("id_token").(string)
	if !ok {
		return t, Person{}, refused(errors.New("there is no id token in the answer"))
	}
	who, err := d.person(ctx, p, found, t, raw)
	if err != nil {
		return t, Person{}, refused(err)
	}
	return t, who, nil
}

// person is who a token is about, if it is for us, now, and for this question. The library takes signatures
// of public keys only, whatever the provider says that it signs with.
func (d *Desk) person(ctx context.Context, p Provider, found *asked, t Ticket, raw string) (Person, error) {
	token, err := found.VerifierContext(ctx, &oidc.Config{ClientID: p.ClientID, Now: d.now}).Verify(ctx, raw)
	if err != nil {
		return Person{}, err
	}
	var more struct {
		Party string `json:"azp"`
		Name  string `json:"preferred_username"`
		Mail  string `json:"email"`
	}
	if err := token.Claims(&more); err != nil {
		return Person{}, err
	}
	switch {
	case subtle.ConstantTimeCompare([]byte(token.Nonce), []byte(t.Nonce)) != 1:
		return Person{}, errors.New("the token answers another question")
	case more.Party != "" && more.Party != p.ClientID, more.Party == "" && len(token.Audience) > 1:
		return Person{}, errors.New("the token was made for another program")
	case token.IssuedAt.After(d.now().Add(skew)) || d.now().Sub(token.IssuedAt) > Within+skew:
		return Person{}, fmt.Errorf("the token was made %s", token.IssuedAt.UTC().Format(time.RFC3339))
	case token.Subject == "" || len(token.Subject) > subjectMost:
		return Person{}, errors.New("the token does not say about whom it is")
	}
	who := Person{Issuer: p.Issuer, Subject: token.Subject}
	if i := slices.IndexFunc([]string{more.Name, more.Mail}, func(s string) bool { return s != "" }); i >= 0 {
		who.Label = []string{more.Name, more.Mail}[i]
		who.Label = who.Label[:min(len(who.Label), subjectMost)]
	}
	return who, nil
}

// take opens a ticket, which counts no more afterwards.
func (d *Desk) take(ticket []byte) (t Ticket, err error) {
	data, err := seal.OpenBytes(d.key, ticket, []byte(ticketFor))
	if err != nil {
		return t, errors.New("this browser was not sent there by this server, or the server has been started again since")
	}
	if err := json.Unmarshal(data, &t); err != nil {
		return t, err
	}
	now := d.now()
	if !now.Before(t.Ends) {
		return t, errors.New("it took too long")
	}
	if !d.seen.Spend(t.State, now, t.Ends) {
		return t, errors.New("it was answered before")
	}
	return t, nil
}

func refused(err error) error {
	return errs.New(errs.Denied, "access.sign-on", "log in by single sign-on: it was not taken: %w", err).WithHint("begin anew on the login page")
}
