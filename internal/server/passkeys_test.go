package server

import (
	"strings"
	"testing"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/passkey/passkeytest"
)

const testOrigin = "https://backup.example.com:7480"

func (s *testServer) passkeys(token string) keepwardv1connect.PasskeyServiceClient {
	return keepwardv1connect.NewPasskeyServiceClient(s.client, s.url(), as(token))
}

// withPasskeys is a server that browsers reach by a name.
func withPasskeys(t *testing.T) *testServer {
	s := start(t, t.TempDir())
	must(s.settings().SetSetting(t.Context(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: "console_url", Value: testOrigin})))(t)
	return s
}

// passkey has the user of a login make one, and answers its id too.
func (s *testServer) passkey(token, name string) (*passkeytest.Key, string) {
	s.t.Helper()
	begun := must(s.passkeys(token).BeginPasskey(s.t.Context(), connect.NewRequest(&keepwardv1.BeginPasskeyRequest{Password: goodPassword})))(s.t)
	device, response := passkeytest.Make(s.t, begun.GetOptions(), testOrigin)
	made := must(s.passkeys(token).AddPasskey(s.t.Context(), connect.NewRequest(&keepwardv1.AddPasskeyRequest{Name: name, Response: response})))(s.t)
	return device, made.GetPasskey().GetId()
}

// answered is what a device answers to a new question.
func (s *testServer) answered(device *passkeytest.Key) *keepwardv1.LoginByPasskeyRequest {
	s.t.Helper()
	asked := must(s.passkeys("").GetPasskeyChallenge(s.t.Context(), connect.NewRequest(&keepwardv1.GetPasskeyChallengeRequest{})))(s.t)
	if asked.GetOrigin() != testOrigin {
		s.t.Errorf("asked at %q", asked.GetOrigin())
	}
	return &keepwardv1.LoginByPasskeyRequest{Response: device.Answer(s.t, asked.GetOptions())}
}

func (s *testServer) byPasskey(m *keepwardv1.LoginByPasskeyRequest) (*keepwardv1.LoginResponse, error) {
	res, err := s.passkeys("").LoginByPasskey(s.t.Context(), connect.NewRequest(m))
	if err != nil {
		return nil, err
	}
	return res.Msg, nil
}

func TestAPasskeyLogsItsUserInAndNobodyElse(t *testing.T) {
	s := withPasskeys(t)
	ctx := t.Context()
	ann, ben := s.user("ann", "viewer"), s.user("ben", "operator")
	device, id := s.passkey(ann, "telephone")
	bens, bensID := s.passkey(ben, "key of ben")

	// Codes are asked for with the password, not with a passkey.
	s.enrolled(ann, goodPassword)
	m := s.answered(device)
	in, err := s.byPasskey(m)
	if err != nil || in.GetUser() != "ann" {
		t.Fatalf("%v is in (%v)", in, err)
	}
	if err := s.looks(in.GetToken()); err != nil {
		t.Errorf("the login is of no use: %v", err)
	}
	if _, err := s.byPasskey(m); errs.CodeOf(err) != "access.passkey" {
		t.Errorf("the same answer again: %v", err)
	}
	if in, err := s.byPasskey(s.answered(bens)); err != nil || in.GetUser() != "ben" {
		t.Errorf("%v is in (%v)", in, err)
	}
	copied := *device
	copied.Count = 0
	if _, err := s.byPasskey(s.answered(&copied)); errs.CodeOf(err) != "access.passkey-copied" {
		t.Errorf("a copy: %v", err)
	}
	list := must(s.passkeys(ann).ListPasskeys(ctx, connect.NewRequest(&keepwardv1.ListPasskeysRequest{})))(t)
	if p := list.GetPasskeys(); len(p) != 1 || p[0].GetName() != "telephone" || p[0].GetId() != id || p[0].GetUsed() == nil || p[0].GetSynced() || list.GetUnavailable() != "" {
		t.Errorf("listed: %v", list)
	}

	// Of others only administrators see and remove them.
	for what, err := range map[string]error{
		"list":   second(s.passkeys(ben).ListPasskeys(ctx, connect.NewRequest(&keepwardv1.ListPasskeysRequest{User: "ann"}))),
		"remove": second(s.passkeys(ben).RemovePasskey(ctx, connect.NewRequest(&keepwardv1.RemovePasskeyRequest{User: "ann", Id: id}))),
	} {
		if errs.CodeOf(err) != "user.not-own" {
			t.Errorf("%s those of another: %v", what, err)
		}
	}
	if _, err := s.passkeys(ann).RemovePasskey(ctx, connect.NewRequest(&keepwardv1.RemovePasskeyRequest{Id: bensID})); errs.CodeOf(err) != "passkey.not-found" {
		t.Errorf("one of another by its id: %v", err)
	}
	must(s.passkeys(s.token).RemovePasskey(ctx, connect.NewRequest(&keepwardv1.RemovePasskeyRequest{User: "ann", Id: id})))(t)
	if _, err := s.byPasskey(s.answered(device)); errs.CodeOf(err) != "access.passkey" {
		t.Errorf("one that was removed: %v", err)
	}
	if err := s.looks(in.GetToken()); err != nil {
		t.Errorf("the login that was made with it: %v", err)
	}
	rows := strings.Join(s.audited(""), "\n")
	for _, want := range []string{"ann PasskeyService/LoginByPasskey by=passkey: ok", "LoginByPasskey: access.passkey-copied", "ann PasskeyService/AddPasskey name=telephone", "admin PasskeyService/RemovePasskey user=ann id="} {
		if !strings.Contains(rows, want) {
			t.Errorf("%q is not in the audit log:\n%s", want, rows)
		}
	}
}

func second[T any](_ T, err error) error { return err }

func TestAStolenLoginOrTokenMakesNoPasskey(t *testing.T) {
	s := withPasskeys(t)
	ctx := t.Context()
	ann := s.user("ann", "admin")
	begin := func(token string, m *keepwardv1.BeginPasskeyRequest) error {
		return second(s.passkeys(token).BeginPasskey(ctx, connect.NewRequest(m)))
	}
	api := must(s.apiTokens(ann).CreateAPIToken(ctx, connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "script"})))(t).GetToken()
	for what, token := range map[string]string{"an API token": api, "the client file": s.token} {
		if err := begin(token, &keepwardv1.BeginPasskeyRequest{Password: goodPassword}); errs.CodeOf(err) != "user.by-token" {
			t.Errorf("%s: %v", what, err)
		}
		if err := second(s.passkeys(token).AddPasskey(ctx, connect.NewRequest(&keepwardv1.AddPasskeyRequest{Name: "x"}))); errs.CodeOf(err) != "user.by-token" {
			t.Errorf("%s adds: %v", what, err)
		}
	}
	if err := begin(ann, &keepwardv1.BeginPasskeyRequest{Password: "wrong horse"}); errs.CodeOf(err) != "user.current-password" {
		t.Errorf("without the password: %v", err)
	}
	phone, _ := s.enrolled(ann, goodPassword)
	if err := begin(ann, &keepwardv1.BeginPasskeyRequest{Password: goodPassword}); errs.CodeOf(err) != errCodeNeeded {
		t.Errorf("without a code: %v", err)
	}
	s.forget()
	if err := begin(ann, &keepwardv1.BeginPasskeyRequest{Password: goodPassword, Code: phone.shows()}); err != nil {
		t.Errorf("with both: %v", err)
	}
}

func TestAnAccountThatIsTakenBackHasNoPasskeys(t *testing.T) {
	s := withPasskeys(t)
	ctx := t.Context()
	ann := s.user("ann", "viewer")
	device, _ := s.passkey(ann, "telephone")
	must(s.users(ann).SetPassword(ctx, connect.NewRequest(&keepwardv1.SetPasswordRequest{Password: goodPassword + "1", CurrentPassword: goodPassword})))(t)
	if _, err := s.byPasskey(s.answered(device)); err != nil {
		t.Errorf("the own new password took it away: %v", err)
	}
	must(s.users(s.token).SetPassword(ctx, connect.NewRequest(&keepwardv1.SetPasswordRequest{Name: "ann", Password: goodPassword + "2"})))(t)
	if _, err := s.byPasskey(s.answered(device)); errs.CodeOf(err) != "access.passkey" {
		t.Errorf("behind a password that an administrator set: %v", err)
	}
	must(s.users(s.token).SetPassword(ctx, connect.NewRequest(&keepwardv1.SetPasswordRequest{Name: "ann", Password: goodPassword})))(t)
	device, _ = s.passkey(s.login("ann", goodPassword), "telephone")
	must(s.users(s.token).RemoveUser(ctx, connect.NewRequest(&keepwardv1.RemoveUserRequest{Name: "ann"})))(t)
	if _, err := s.byPasskey(s.answered(device)); errs.CodeOf(err) != "access.passkey" {
		t.Errorf("of a user who is gone: %v", err)
	}
}

func TestWherePasskeysCannotBeUsedItIsSaid(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := t.Context()
	ann := s.user("ann", "viewer")
	if m := must(s.passkeys("").GetPasskeyChallenge(ctx, connect.NewRequest(&keepwardv1.GetPasskeyChallengeRequest{})))(t); len(m.GetOptions()) != 0 {
		t.Errorf("asked: %s", m.GetOptions())
	}
	if m := must(s.passkeys(ann).ListPasskeys(ctx, connect.NewRequest(&keepwardv1.ListPasskeysRequest{})))(t); !strings.Contains(m.GetUnavailable(), "keepward setting set console_url") {
		t.Errorf("said: %q", m.GetUnavailable())
	}
	if err := second(s.passkeys(ann).BeginPasskey(ctx, connect.NewRequest(&keepwardv1.BeginPasskeyRequest{Password: goodPassword}))); errs.CodeOf(err) != "passkey.no-origin" {
		t.Errorf("begun: %v", err)
	}
	if _, err := s.byPasskey(&keepwardv1.LoginByPasskeyRequest{Response: []byte("{}")}); errs.CodeOf(err) != "passkey.no-origin" {
		t.Errorf("logged in: %v", err)
	}
}

func TestPasskeysAreNamedAndNotTooMany(t *testing.T) {
	s := withPasskeys(t)
	ann := s.user("ann", "viewer")
	for _, name := range []string{"", "  ", "a\nb", strings.Repeat("x", passkeyNameMost+1)} {
		err := second(s.passkeys(ann).AddPasskey(t.Context(), connect.NewRequest(&keepwardv1.AddPasskeyRequest{Name: name})))
		if errs.CodeOf(err) != "passkey.name" {
			t.Errorf("%q: %v", name, err)
		}
	}
	for range passkeysMost {
		s.passkey(ann, "one")
	}
	begun := must(s.passkeys(ann).BeginPasskey(t.Context(), connect.NewRequest(&keepwardv1.BeginPasskeyRequest{Password: goodPassword})))(t)
	_, response := passkeytest.Make(t, begun.GetOptions(), testOrigin)
	if err := second(s.passkeys(ann).AddPasskey(t.Context(), connect.NewRequest(&keepwardv1.AddPasskeyRequest{Name: "more", Response: response}))); errs.CodeOf(err) != "passkey.many" {
		t.Errorf("one more: %v", err)
	}
}

func TestWhoShowsWrongPasskeysWaits(t *testing.T) {
	s := withPasskeys(t)
	wrong := func() error {
		_, err := s.byPasskey(&keepwardv1.LoginByPasskeyRequest{Response: []byte("{}")})
		return err
	}
	for i := range freeTriesOfAddress {
		if err := wrong(); errs.CodeOf(err) != "access.passkey" {
			t.Fatalf("try %d: %v", i, err)
		}
	}
	if err := wrong(); errs.CodeOf(err) != "access.throttled" {
		t.Errorf("one more: %v", err)
	}
}
