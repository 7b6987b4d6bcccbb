package console

import (
	"context"
	"encoding/base64"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

const atProvider = "https://id.example.com/authorize?state=x"

func (f *fakeAPI) GetSignOn(context.Context, *connect.Request[keepwardv1.GetSignOnRequest]) (*connect.Response[keepwardv1.GetSignOnResponse], error) {
	if f.noPasskeys {
		return connect.NewResponse(&keepwardv1.GetSignOnResponse{}), nil
	}
	return connect.NewResponse(&keepwardv1.GetSignOnResponse{Name: hostile}), nil
}

func (f *fakeAPI) GetSignOnURL(_ context.Context, req *connect.Request[keepwardv1.GetSignOnURLRequest]) (*connect.Response[keepwardv1.GetSignOnURLResponse], error) {
	if f.noPasskeys {
		return nil, errs.New(errs.Unavailable, "sign-on.away", "ask %s who somebody is: no", hostile)
	}
	return connect.NewResponse(&keepwardv1.GetSignOnURLResponse{Url: atProvider, Ticket: []byte("ticket to " + req.Msg.GetNext()), Name: hostile}), nil
}

func (f *fakeAPI) FinishSignOn(_ context.Context, req *connect.Request[keepwardv1.FinishSignOnRequest]) (*connect.Response[keepwardv1.FinishSignOnResponse], error) {
	next, ours := strings.CutPrefix(string(req.Msg.GetTicket()), "ticket to ")
	if !ours || req.Msg.GetQuery() != "code=right&state=x" {
		return nil, errs.New(errs.Denied, "access.sign-on", "log in by single sign-on: it was not taken: %s", hostile)
	}
	res := &keepwardv1.FinishSignOnResponse{Next: next}
	if next != "/account" {
		res.Login = &keepwardv1.LoginResponse{Token: goodToken}
	}
	return connect.NewResponse(res), nil
}

func (f *fakeAPI) ListSignOns(context.Context, *connect.Request[keepwardv1.ListSignOnsRequest]) (*connect.Response[keepwardv1.ListSignOnsResponse], error) {
	res := &keepwardv1.ListSignOnsResponse{SignOns: []*keepwardv1.SignOn{{Id: "9d", Issuer: hostile, Label: hostile, Created: timestamppb.Now()}}, Provider: hostile}
	if f.noPasskeys {
		res.Provider = ""
	}
	return connect.NewResponse(res), nil
}

func (f *fakeAPI) ConnectSignOn(_ context.Context, req *connect.Request[keepwardv1.ConnectSignOnRequest]) (*connect.Response[keepwardv1.GetSignOnURLResponse], error) {
	if req.Msg.GetPassword() != password || req.Msg.GetCode() != "123456" {
		return nil, errs.New(errs.Denied, "user.current-password", "connect the account: the current password is wrong")
	}
	return connect.NewResponse(&keepwardv1.GetSignOnURLResponse{Url: atProvider, Ticket: []byte("ticket to " + req.Msg.GetNext()), Name: hostile}), nil
}

func (f *fakeAPI) DisconnectSignOn(_ context.Context, req *connect.Request[keepwardv1.DisconnectSignOnRequest]) (*connect.Response[keepwardv1.DisconnectSignOnResponse], error) {
	return connect.NewResponse(&keepwardv1.DisconnectSignOnResponse{}), f.did("disconnect %s", req.Msg.GetId())
}

func (f *fakeAPI) GetSignOnProvider(context.Context, *connect.Request[keepwardv1.GetSignOnProviderRequest]) (*connect.Response[keepwardv1.GetSignOnProviderResponse], error) {
	return connect.NewResponse(&keepwardv1.GetSignOnProviderResponse{Provider: &keepwardv1.SignOnProvider{Issuer: "https://id.example.com", ClientId: "x", Name: hostile}, RedirectUrl: hostile}), nil
}

func (f *fakeAPI) SetSignOnProvider(_ context.Context, req *connect.Request[keepwardv1.SetSignOnProviderRequest]) (*connect.Response[keepwardv1.SetSignOnProviderResponse], error) {
	p := req.Msg.GetProvider()
	return connect.NewResponse(&keepwardv1.SetSignOnProviderResponse{}), f.did("sign-on %s %s %s", p.GetIssuer(), p.GetClientId(), req.Msg.GetSecret())
}

func (f *fakeAPI) TestSignOnProvider(context.Context, *connect.Request[keepwardv1.TestSignOnProviderRequest]) (*connect.Response[keepwardv1.TestSignOnProviderResponse], error) {
	return connect.NewResponse(&keepwardv1.TestSignOnProviderResponse{}), f.did("test sign-on")
}

func (f *fakeAPI) RemoveSignOnProvider(context.Context, *connect.Request[keepwardv1.RemoveSignOnProviderRequest]) (*connect.Response[keepwardv1.RemoveSignOnProviderResponse], error) {
	return connect.NewResponse(&keepwardv1.RemoveSignOnProviderResponse{}), f.did("remove sign-on")
}

func cookieOf(res *http.Response, name string) *http.Cookie {
	for _, c := range res.Cookies() {
		if c.Name == name {
			return c
		}
	}
	return nil
}

func TestABrowserGoesToTheProviderAndComesBackLoggedIn(t *testing.T) {
	b := newBrowser(t)
	if page := text(t, b.get("/login?next=/jobs")); !strings.Contains(page, `href="/login/sign-on?next=%2Fjobs"`) {
		t.Errorf("the login page does not lead there:\n%s", page)
	}
	res := b.get("/login/sign-on?next=/jobs")
	ticket := cookieOf(res, ticketCookie)
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != atProvider || ticket == nil || ticket.SameSite != http.SameSiteLaxMode || !ticket.HttpOnly || !ticket.Secure {
		t.Fatalf("answered with %s to %q, ticket %v", res.Status, res.Header.Get("Location"), ticket)
	}
	res = b.get("/login/sign-on/back?code=right&state=x", "Cookie", ticket.Name+"="+ticket.Value)
	page := text(t, res)
	// No redirect: it would count as a way from the provider's page.
	if token := cookieOf(res, tokenCookie); res.StatusCode != http.StatusOK || token == nil || token.Value != goodToken || !strings.Contains(page, `http-equiv="refresh" content="0; url=/jobs"`) {
		t.Errorf("back: %s, cookies %v\n%s", res.Status, res.Cookies(), page)
	}
	if gone := cookieOf(res, ticketCookie); gone == nil || gone.MaxAge >= 0 {
		t.Errorf("the ticket stays: %v", gone)
	}
	for what, header := range map[string][]string{"without a ticket": nil, "with another one": {"Cookie", ticketCookie + "=" + "AAAA"}} {
		res := b.get("/login/sign-on/back?code=right&state=x", header...)
		if page := text(t, res); res.StatusCode != http.StatusUnauthorized || cookieOf(res, tokenCookie) != nil || !strings.Contains(page, "it was not taken") {
			t.Errorf("%s: %s, cookies %v", what, res.Status, res.Cookies())
		}
	}
	if res := b.get("/login/sign-on?next=//example.org"); !strings.HasSuffix(string(must(base64.RawURLEncoding.DecodeString(cookieOf(res, ticketCookie).Value))(t)), " to /") {
		t.Error("it leads elsewhere")
	}
	if page := text(t, b.get("/login/sign-on/back?code=right&state=x", "Cookie", ticketCookie+"="+base64.RawURLEncoding.EncodeToString([]byte("ticket to //example.org")))); !strings.Contains(page, `content="0; url=/"`) {
		t.Errorf("the way back leads elsewhere:\n%s", page)
	}
	b.api.noPasskeys = true
	if res := b.get("/login/sign-on"); res.StatusCode != http.StatusServiceUnavailable || !strings.Contains(text(t, res), "Code: sign-on.away") {
		t.Errorf("the provider is away: %s", res.Status)
	}
}

func TestAnAccountIsConnectedWithThePassword(t *testing.T) {
	b := loggedIn(t)
	if res := b.post("/account/sign-on", url.Values{"password": {"wrong"}, "code": {"123456"}}); res.StatusCode != http.StatusForbidden || cookieOf(res, ticketCookie) != nil || !strings.Contains(text(t, res), "password is wrong") {
		t.Errorf("a wrong password: %s", res.Status)
	}
	res := b.post("/account/sign-on", url.Values{"password": {password}, "code": {"123456"}})
	ticket := cookieOf(res, ticketCookie)
	if page := text(t, res); res.StatusCode != http.StatusOK || ticket == nil || !strings.Contains(page, `content="0; url=`+atProvider) {
		t.Fatalf("answered with %s, ticket %v\n%s", res.Status, ticket, page)
	}
	res = newBrowser(t).get("/login/sign-on/back?code=right&state=x", "Cookie", ticket.Name+"="+ticket.Value)
	if page := text(t, res); res.StatusCode != http.StatusOK || cookieOf(res, tokenCookie) != nil || !strings.Contains(page, "url=/account") {
		t.Errorf("back: %s, cookies %v\n%s", res.Status, res.Cookies(), page)
	}
}
