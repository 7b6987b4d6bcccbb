package console

import (
	"context"
	"encoding/json"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/timestamppb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
)

const (
	passkeyOrigin   = "https://backup.example.com:7480"
	passkeyOptions  = `{"challenge":"YQ"}`
	passkeyResponse = `{"id":"right"}`
)

func (f *fakeAPI) ListPasskeys(_ context.Context, _ *connect.Request[keepwardv1.ListPasskeysRequest]) (*connect.Response[keepwardv1.ListPasskeysResponse], error) {
	res := &keepwardv1.ListPasskeysResponse{Passkeys: []*keepwardv1.Passkey{{Id: "9c", Name: hostile, Created: timestamppb.Now(), Synced: true}}, Origin: passkeyOrigin}
	if f.noPasskeys {
		res.Origin, res.Unavailable = "", "use passkeys: "+hostile
	}
	return connect.NewResponse(res), nil
}

func (f *fakeAPI) EnrolOneTimeCodes(_ context.Context, req *connect.Request[keepwardv1.EnrolOneTimeCodesRequest]) (*connect.Response[keepwardv1.EnrolOneTimeCodesResponse], error) {
	return connect.NewResponse(&keepwardv1.EnrolOneTimeCodesResponse{Secret: "JBSWY3DP", Url: "otpauth://totp/Keepward:x?secret=JBSWY3DP", Until: timestamppb.Now()}), f.did("enrol %s", req.Msg.GetPassword())
}

func (f *fakeAPI) ConfirmOneTimeCodes(_ context.Context, req *connect.Request[keepwardv1.ConfirmOneTimeCodesRequest]) (*connect.Response[keepwardv1.ConfirmOneTimeCodesResponse], error) {
	return connect.NewResponse(&keepwardv1.ConfirmOneTimeCodesResponse{Codes: []string{"aaaa-bbbb", "eeee-ffff"}, EndedLogins: 2}), f.did("codes confirmed %s", req.Msg.GetCode())
}

func (f *fakeAPI) RenewRecoveryCodes(_ context.Context, req *connect.Request[keepwardv1.RenewRecoveryCodesRequest]) (*connect.Response[keepwardv1.RenewRecoveryCodesResponse], error) {
	return connect.NewResponse(&keepwardv1.RenewRecoveryCodesResponse{Codes: []string{"cccc-dddd"}}), f.did("codes renewed %s", req.Msg.GetCode())
}

func (f *fakeAPI) RemoveOneTimeCodes(_ context.Context, req *connect.Request[keepwardv1.RemoveOneTimeCodesRequest]) (*connect.Response[keepwardv1.RemoveOneTimeCodesResponse], error) {
	return connect.NewResponse(&keepwardv1.RemoveOneTimeCodesResponse{}), f.did("codes removed %q %s", req.Msg.GetUser(), req.Msg.GetCode())
}

func (f *fakeAPI) GetOneTimeCodes(context.Context, *connect.Request[keepwardv1.GetOneTimeCodesRequest]) (*connect.Response[keepwardv1.GetOneTimeCodesResponse], error) {
	return connect.NewResponse(&keepwardv1.GetOneTimeCodesResponse{Since: timestamppb.Now(), RecoveryCodes: 7}), nil
}

func (f *fakeAPI) GetPasskeyChallenge(context.Context, *connect.Request[keepwardv1.GetPasskeyChallengeRequest]) (*connect.Response[keepwardv1.GetPasskeyChallengeResponse], error) {
	if f.noPasskeys {
		return connect.NewResponse(&keepwardv1.GetPasskeyChallengeResponse{}), nil
	}
	return connect.NewResponse(&keepwardv1.GetPasskeyChallengeResponse{Options: []byte(passkeyOptions), Origin: passkeyOrigin}), nil
}

func (f *fakeAPI) LoginByPasskey(_ context.Context, req *connect.Request[keepwardv1.LoginByPasskeyRequest]) (*connect.Response[keepwardv1.LoginResponse], error) {
	if string(req.Msg.GetResponse()) != passkeyResponse {
		return nil, errs.New(errs.Denied, "access.passkey", "log in by a passkey: it was not taken: %s", hostile)
	}
	return connect.NewResponse(&keepwardv1.LoginResponse{Token: goodToken}), nil
}

func (f *fakeAPI) BeginPasskey(_ context.Context, req *connect.Request[keepwardv1.BeginPasskeyRequest]) (*connect.Response[keepwardv1.BeginPasskeyResponse], error) {
	if req.Msg.GetPassword() != password || req.Msg.GetCode() != "123456" {
		return nil, errs.New(errs.Denied, "user.current-password", "add a passkey: the password of %s is wrong", hostile).WithHint("try again")
	}
	return connect.NewResponse(&keepwardv1.BeginPasskeyResponse{Options: []byte(passkeyOptions)}), nil
}

func (f *fakeAPI) AddPasskey(_ context.Context, req *connect.Request[keepwardv1.AddPasskeyRequest]) (*connect.Response[keepwardv1.AddPasskeyResponse], error) {
	if string(req.Msg.GetResponse()) != passkeyResponse {
		return nil, errs.New(errs.Denied, "access.passkey", "add a passkey: it was not taken: %s", hostile)
	}
	return connect.NewResponse(&keepwardv1.AddPasskeyResponse{}), f.did("add passkey %s", req.Msg.GetName())
}

func (f *fakeAPI) RemovePasskey(_ context.Context, req *connect.Request[keepwardv1.RemovePasskeyRequest]) (*connect.Response[keepwardv1.RemovePasskeyResponse], error) {
	return connect.NewResponse(&keepwardv1.RemovePasskeyResponse{}), f.did("remove passkey %s %s", req.Msg.GetUser(), req.Msg.GetId())
}

func TestALoginByAPasskeyLeadsToWhereItCameFrom(t *testing.T) {
	b := newBrowser(t)
	page := text(t, b.get("/login?next=/jobs"))
	for _, want := range []string{`data-origin="` + passkeyOrigin + `"`, `action="/login/passkey"`, `src="/assets/passkeys.js"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the login page lacks %s", want)
		}
	}
	if res := b.post("/login/passkey/begin", nil); text(t, res) != passkeyOptions || res.Header.Get("Content-Type") != "application/json" {
		t.Errorf("the script is answered with %s", res.Status)
	}
	res := b.post("/login/passkey", url.Values{"response": {"{}"}, "next": {"/jobs"}})
	if page := text(t, res); res.StatusCode != http.StatusUnauthorized || len(res.Cookies()) != 0 || !strings.Contains(page, "it was not taken") || !strings.Contains(page, `value="/jobs"`) {
		t.Errorf("a wrong one: %s, cookies %v\n%s", res.Status, res.Cookies(), page)
	}
	res = b.post("/login/passkey", url.Values{"response": {passkeyResponse}, "next": {"/jobs"}})
	if res.StatusCode != http.StatusSeeOther || res.Header.Get("Location") != "/jobs" || len(res.Cookies()) != 1 || res.Cookies()[0].Value != goodToken {
		t.Errorf("the right one: %s to %q, cookies %v", res.Status, res.Header.Get("Location"), res.Cookies())
	}
	if res := b.post("/login/passkey", url.Values{"response": {passkeyResponse}, "next": {"//example.org"}}); res.Header.Get("Location") != "/" {
		t.Errorf("it leads to %q", res.Header.Get("Location"))
	}
}

func TestAPasskeyIsMadeOnTheAccountPage(t *testing.T) {
	b := loggedIn(t)
	begin := func(fill url.Values) (*http.Response, string) {
		res := b.post("/account/passkeys/begin", fill)
		return res, text(t, res)
	}
	res, answer := begin(url.Values{"password": {"wrong"}, "code": {"123456"}})
	var said scriptProblem
	if err := json.Unmarshal([]byte(answer), &said); err != nil || res.StatusCode != http.StatusForbidden || !strings.Contains(said.Text, "is wrong") || said.Hint != "try again" || strings.Contains(said.Text, "\x1b") {
		t.Errorf("a wrong password: %s %s (%v)", res.Status, answer, err)
	}
	if res, answer := begin(url.Values{"password": {password}, "code": {"123456"}}); res.StatusCode != http.StatusOK || answer != passkeyOptions {
		t.Errorf("the right one: %s %s", res.Status, answer)
	}
	if res := b.post("/account/passkeys", url.Values{"name": {"telephone"}, "response": {"{}"}}); res.StatusCode != http.StatusForbidden || !strings.Contains(text(t, res), "it was not taken") {
		t.Errorf("a wrong response: %s", res.Status)
	}
	if res := b.post("/account/passkeys", url.Values{"name": {" telephone "}, "response": {passkeyResponse}}); res.Header.Get("Location") != "/account" || len(b.api.asked) != 1 || b.api.asked[0] != "add passkey telephone" {
		t.Errorf("the right one: %s, %q", res.Status, b.api.asked)
	}
	page := text(t, b.get("/account"))
	for _, want := range []string{"may be on several devices", "7 recovery codes left", `action="/account/passkeys"`, `name="code"`} {
		if !strings.Contains(page, want) {
			t.Errorf("the page lacks %s", want)
		}
	}
}

func TestWithoutPasskeysNoneAreOffered(t *testing.T) {
	b := loggedIn(t)
	b.api.noPasskeys = true
	for _, path := range []string{"/login", "/account"} {
		page := text(t, b.get(path))
		if strings.Contains(page, "data-passkey") || strings.Contains(page, "passkeys.js") {
			t.Errorf("%s offers them:\n%s", path, page)
		}
		if path == "/account" && !strings.Contains(page, "They cannot be made now: use passkeys") {
			t.Errorf("%s does not say why:\n%s", path, page)
		}
	}
	if res := b.post("/login/passkey/begin", nil); res.StatusCode != http.StatusNotFound {
		t.Errorf("the script is answered with %s", res.Status)
	}
}
