package server

import (
	"net/http"
	"net/url"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/signon/signontest"
)

func (s *testServer) signOns(token string) keepwardv1connect.SignOnServiceClient {
	return keepwardv1connect.NewSignOnServiceClient(s.client, s.url(), as(token))
}

func providerOf(p *signontest.Provider) *keepwardv1.SetSignOnProviderRequest {
	return &keepwardv1.SetSignOnProviderRequest{Provider: &keepwardv1.SignOnProvider{Issuer: p.URL, ClientId: p.ClientID, Name: "Example", Ca: p.CA()}, Secret: p.Secret}
}

// withProvider is a server with a provider that is set up.
func withProvider(t *testing.T) (*testServer, *signontest.Provider) {
	s, p := withPasskeys(t), signontest.New(t)
	set := must(s.signOns(s.token).SetSignOnProvider(t.Context(), connect.NewRequest(providerOf(p))))(t)
	if set.GetRedirectUrl() != testOrigin+"/login/sign-on/back" {
		t.Errorf("the provider is to send to %s", set.GetRedirectUrl())
	}
	return s, p
}

// visits is a browser that goes where it is sent, and comes back.
func (s *testServer) visits(p *signontest.Provider, m *keepwardv1.GetSignOnURLResponse) *keepwardv1.FinishSignOnRequest {
	s.t.Helper()
	client := *p.Client()
	client.CheckRedirect = func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse }
	res, err := client.Get(m.GetUrl())
	if err != nil {
		s.t.Fatal(err)
	}
	_ = res.Body.Close()
	u, err := url.Parse(res.Header.Get("Location"))
	if err != nil || !strings.HasPrefix(u.String(), testOrigin+"/login/sign-on/back?") {
		s.t.Fatalf("it is sent to %v (%v)", u, err)
	}
	return &keepwardv1.FinishSignOnRequest{Ticket: m.GetTicket(), Query: u.RawQuery}
}

func (s *testServer) finish(m *keepwardv1.FinishSignOnRequest) (*keepwardv1.FinishSignOnResponse, error) {
	res, err := s.signOns("").FinishSignOn(s.t.Context(), connect.NewRequest(m))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func (s *testServer) signIn(p *signontest.Provider) (*keepwardv1.FinishSignOnResponse, error) {
	s.t.Helper()
	return s.finish(s.visits(p, must(s.signOns("").GetSignOnURL(s.t.Context(), connect.NewRequest(&keepwardv1.GetSignOnURLRequest{Next: "/jobs"})))(s.t)))
}

func (s *testServer) connectSignOn(p *signontest.Provider, token string) error {
	s.t.Helper()
	m := must(s.signOns(token).ConnectSignOn(s.t.Context(), connect.NewRequest(&keepwardv1.ConnectSignOnRequest{Password: goodPassword, Next: "/account"})))(s.t)
	res, err := s.finish(s.visits(p, m))
	if err == nil && (res.GetLogin() != nil || res.GetNext() != "/account") {
		s.t.Errorf("connecting answers %v", res)
	}
	return err
}

func TestWhoIsConnectedLogsInThroughTheProvider(t *testing.T) {
	s, p := withProvider(t)
	ctx := t.Context()
	ann, ben := s.user("ann", "operator"), s.user("ben", "viewer")
	if name := must(s.signOns("").GetSignOn(ctx, connect.NewRequest(&keepwardv1.GetSignOnRequest{})))(t).GetName(); name != "Example" {
		t.Errorf("the login page names it %q", name)
	}
	// Whatever the provider calls somebody, it makes nobody a user.
	p.Tell(func(p *signontest.Provider) { p.Subject, p.Name = "ann", "ann" })
	if _, err := s.signIn(p); errs.CodeOf(err) != "access.sign-on-unknown" {
		t.Errorf("somebody who is called as a user is: %v", err)
	}
	p.Tell(func(p *signontest.Provider) { p.Subject, p.Name = "4711", "Ann \x1b[31m" })
	if err := s.connectSignOn(p, ann); err != nil {
		t.Fatal(err)
	}
	if err := s.connectSignOn(p, ben); errs.CodeOf(err) != "sign-on.exists" {
		t.Errorf("another account is connected with the same person: %v", err)
	}
	in, err := s.signIn(p)
	if err != nil || in.GetLogin().GetUser() != "ann" || in.GetNext() != "/jobs" {
		t.Fatalf("%v is in (%v)", in, err)
	}
	if left := time.Until(in.GetLogin().GetExpires().AsTime()); left > signOnLife || left < signOnLife-time.Minute {
		t.Errorf("the login lasts %s", left)
	}
	if err := s.looks(in.GetLogin().GetToken()); err != nil {
		t.Errorf("the login is of no use: %v", err)
	}
	p.Tell(func(p *signontest.Provider) { p.Subject = "4712" })
	if _, err := s.signIn(p); errs.CodeOf(err) != "access.sign-on-unknown" {
		t.Errorf("another person: %v", err)
	}
	p.Tell(func(p *signontest.Provider) { p.Subject = "4711" })

	list := must(s.signOns(ann).ListSignOns(ctx, connect.NewRequest(&keepwardv1.ListSignOnsRequest{})))(t)
	if o := list.GetSignOns(); len(o) != 1 || o[0].GetIssuer() != p.URL || o[0].GetUsed() == nil || list.GetProvider() != "Example" {
		t.Fatalf("listed: %v", list)
	}
	id := list.GetSignOns()[0].GetId()
	for what, err := range map[string]error{
		"list":       second(s.signOns(ben).ListSignOns(ctx, connect.NewRequest(&keepwardv1.ListSignOnsRequest{User: "ann"}))),
		"disconnect": second(s.signOns(ben).DisconnectSignOn(ctx, connect.NewRequest(&keepwardv1.DisconnectSignOnRequest{User: "ann", Id: id}))),
	} {
		if errs.CodeOf(err) != "user.not-own" {
			t.Errorf("%s that of another: %v", what, err)
		}
	}
	must(s.signOns(s.token).DisconnectSignOn(ctx, connect.NewRequest(&keepwardv1.DisconnectSignOnRequest{User: "ann", Id: id})))(t)
	if _, err := s.signIn(p); errs.CodeOf(err) != "access.sign-on-unknown" {
		t.Errorf("one that was disconnected: %v", err)
	}
	rows := strings.Join(s.audited(""), "\n")
	for _, want := range []string{"ann SignOnService/FinishSignOn by=sign-on: ok", "ann SignOnService/FinishSignOn connects=" + id + ": ok", "SignOnService/FinishSignOn: access.sign-on-unknown", "admin SignOnService/DisconnectSignOn"} {
		if !strings.Contains(rows, want) {
			t.Errorf("%q is not in the audit log:\n%s", want, rows)
		}
	}
	for _, secret := range []string{p.Secret, "4711"} {
		if strings.Contains(s.log.String()+rows, secret) {
			t.Errorf("%s is in a log", secret)
		}
	}
	if strings.Contains(string(read(t, s.dir, catalogFile))+string(read(t, s.dir, catalogFile+"-wal")), p.Secret) {
		t.Error("the secret is in the catalog")
	}
}

func TestAnAnswerOfTheProviderCountsOnceAndForItsBrowser(t *testing.T) {
	s, p := withProvider(t)
	if err := s.connectSignOn(p, s.user("ann", "viewer")); err != nil {
		t.Fatal(err)
	}
	url := func() *keepwardv1.GetSignOnURLResponse {
		return must(s.signOns("").GetSignOnURL(t.Context(), connect.NewRequest(&keepwardv1.GetSignOnURLRequest{})))(t)
	}
	mine, others := s.visits(p, url()), s.visits(p, url())
	if _, err := s.finish(&keepwardv1.FinishSignOnRequest{Ticket: mine.GetTicket(), Query: others.GetQuery()}); errs.CodeOf(err) != "access.sign-on" {
		t.Errorf("the answer to another browser: %v", err)
	}
	if _, err := s.finish(others); err != nil {
		t.Fatal(err)
	}
	for what, m := range map[string]*keepwardv1.FinishSignOnRequest{"again": others, "without a ticket": {Query: s.visits(p, url()).GetQuery()}, "nothing": {}} {
		if _, err := s.finish(m); errs.CodeOf(err) != "access.sign-on" {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.finish(&keepwardv1.FinishSignOnRequest{Query: "%zz"}); errs.CodeOf(err) != "access.sign-on" {
		t.Errorf("what cannot be read: %v", err)
	}
}

func TestAStolenLoginConnectsNothing(t *testing.T) {
	s, _ := withProvider(t)
	ctx := t.Context()
	ann := s.user("ann", "viewer")
	begin := func(token, password string) error {
		return second(s.signOns(token).ConnectSignOn(ctx, connect.NewRequest(&keepwardv1.ConnectSignOnRequest{Password: password})))
	}
	if err := begin(ann, "wrong horse"); errs.CodeOf(err) != "user.current-password" {
		t.Errorf("without the password: %v", err)
	}
	if err := begin(s.token, goodPassword); errs.CodeOf(err) != "user.by-token" {
		t.Errorf("by the client file: %v", err)
	}
	s.enrolled(ann, goodPassword)
	if err := begin(ann, goodPassword); errs.CodeOf(err) != errCodeNeeded {
		t.Errorf("without a code: %v", err)
	}
}

func TestAnAccountThatIsTakenBackIsDisconnected(t *testing.T) {
	s, p := withProvider(t)
	if err := s.connectSignOn(p, s.user("ann", "viewer")); err != nil {
		t.Fatal(err)
	}
	must(s.users(s.token).SetPassword(t.Context(), connect.NewRequest(&keepwardv1.SetPasswordRequest{Name: "ann", Password: goodPassword})))(t)
	if _, err := s.signIn(p); errs.CodeOf(err) != "access.sign-on-unknown" {
		t.Errorf("who had it is in: %v", err)
	}
}

func TestWhoseLoginHasEndedOnTheWayConnectsNothing(t *testing.T) {
	s, p := withProvider(t)
	ann := s.user("ann", "viewer")
	m := must(s.signOns(ann).ConnectSignOn(t.Context(), connect.NewRequest(&keepwardv1.ConnectSignOnRequest{Password: goodPassword})))(t)
	back := s.visits(p, m)
	must(s.users(s.token).SetPassword(t.Context(), connect.NewRequest(&keepwardv1.SetPasswordRequest{Name: "ann", Password: goodPassword})))(t)
	if _, err := s.finish(back); errs.CodeOf(err) != "access.sign-on" || !strings.Contains(err.Error(), "has ended") {
		t.Errorf("the account was taken back meanwhile: %v", err)
	}
	if _, err := s.signIn(p); errs.CodeOf(err) != "access.sign-on-unknown" {
		t.Errorf("who had it is in: %v", err)
	}
}

func TestASecretGoesToNobodyElse(t *testing.T) {
	s, p := withProvider(t)
	ctx := t.Context()
	set := func(m *keepwardv1.SetSignOnProviderRequest) error {
		return second(s.signOns(s.token).SetSignOnProvider(ctx, connect.NewRequest(m)))
	}
	same := providerOf(p)
	same.Secret, same.Provider.Name = "", "Example Ltd"
	if err := set(same); err != nil {
		t.Errorf("another name, and the same secret: %v", err)
	}
	if err := s.connectSignOn(p, s.user("ann", "viewer")); err != nil {
		t.Errorf("with the secret that was kept: %v", err)
	}
	other := providerOf(signontest.New(t))
	other.Secret = ""
	if err := set(other); errs.CodeOf(err) != "sign-on.provider" {
		t.Errorf("another issuer is given the secret: %v", err)
	}
	for _, name := range []string{"", "a\nb", strings.Repeat("x", signOnNameMost+1)} {
		bad := providerOf(p)
		bad.Provider.Name = name
		if err := set(bad); errs.CodeOf(err) != "sign-on.provider" {
			t.Errorf("named %q: %v", name, err)
		}
	}
	gone := signontest.New(t)
	gone.Close()
	if err := set(providerOf(gone)); errs.CodeOf(err) != "sign-on.away" {
		t.Errorf("a provider that does not answer: %v", err)
	}
	if m := must(s.signOns(s.token).GetSignOnProvider(ctx, connect.NewRequest(&keepwardv1.GetSignOnProviderRequest{})))(t); m.GetProvider().GetIssuer() != p.URL || m.GetProvider().GetName() != "Example Ltd" {
		t.Errorf("what was refused is kept: %v", m)
	}
	must(s.signOns(s.token).TestSignOnProvider(ctx, connect.NewRequest(&keepwardv1.TestSignOnProviderRequest{})))(t)
	must(s.signOns(s.token).RemoveSignOnProvider(ctx, connect.NewRequest(&keepwardv1.RemoveSignOnProviderRequest{})))(t)
	if _, err := s.signOns("").GetSignOnURL(ctx, connect.NewRequest(&keepwardv1.GetSignOnURLRequest{})); errs.CodeOf(err) != "sign-on.none" {
		t.Errorf("it is removed: %v", err)
	}
	if name := must(s.signOns("").GetSignOn(ctx, connect.NewRequest(&keepwardv1.GetSignOnRequest{})))(t).GetName(); name != "" {
		t.Errorf("the login page names it %q", name)
	}
}
