package server

import (
	"encoding/base32"
	"strings"
	"sync"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/errs"
	"keepward/internal/totp"
)

func (s *testServer) codes(token string) keepwardv1connect.OneTimeCodeServiceClient {
	return keepwardv1connect.NewOneTimeCodeServiceClient(s.client, s.url(), as(token))
}

const errCodeNeeded = "access.code-needed"

// telephone shows the codes of a secret.
type telephone struct{ secret []byte }

func telephoneOf(t *testing.T, text string) telephone {
	t.Helper()
	secret, err := base32.StdEncoding.WithPadding(base32.NoPadding).DecodeString(text)
	if err != nil {
		t.Fatal(err)
	}
	return telephone{secret}
}

// shows is the code of now, which counts for half a minute at least.
func (p telephone) shows() string { return totp.Code(p.secret, totp.StepAt(time.Now())) }

// forget lets codes count again that were used: the next one comes in half a minute only.
func (s *testServer) forget() { s.meddle("UPDATE one_time_codes SET step = 0") }

// enrolled sets up codes for a user, by a login.
func (s *testServer) enrolled(token, password string) (telephone, []string) {
	s.t.Helper()
	m := must(s.codes(token).EnrolOneTimeCodes(s.t.Context(), connect.NewRequest(&keepwardv1.EnrolOneTimeCodesRequest{Password: password})))(s.t)
	p := telephoneOf(s.t, m.GetSecret())
	if !strings.HasPrefix(m.GetUrl(), "otpauth://totp/Keepward:") || !strings.Contains(m.GetUrl(), "secret="+m.GetSecret()) {
		s.t.Errorf("the app is told %s", m.GetUrl())
	}
	return p, must(s.codes(token).ConfirmOneTimeCodes(s.t.Context(), connect.NewRequest(&keepwardv1.ConfirmOneTimeCodesRequest{Code: p.shows()})))(s.t).GetCodes()
}

func (s *testServer) tryLogin(name, password, code string) error {
	_, err := s.access("").Login(s.t.Context(), connect.NewRequest(&keepwardv1.LoginRequest{User: name, Password: password, Code: code}))
	return err
}

func (s *testServer) wantLogin(what, code, want string) {
	s.t.Helper()
	if err := s.tryLogin("ann", goodPassword, code); errs.CodeOf(err) != want {
		s.t.Errorf("%s: %v, want %q", what, err, want)
	}
}

func TestALoginNeedsACodeOnceAnAppHasShownOne(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := t.Context()
	ann, other := s.user("ann", "viewer"), ""
	other = s.login("ann", goodPassword)
	enrol := func() *keepwardv1.EnrolOneTimeCodesResponse {
		return must(s.codes(ann).EnrolOneTimeCodes(ctx, connect.NewRequest(&keepwardv1.EnrolOneTimeCodesRequest{Password: goodPassword})))(t)
	}
	lost := telephoneOf(t, enrol().GetSecret())
	s.wantLogin("nothing is confirmed", "", "")
	phone := telephoneOf(t, enrol().GetSecret())
	confirm := func(code string) error {
		_, err := s.codes(ann).ConfirmOneTimeCodes(ctx, connect.NewRequest(&keepwardv1.ConfirmOneTimeCodesRequest{Code: code}))
		return err
	}
	for what, tt := range map[string][2]string{"no code": {"", errCodeNeeded}, "that of a secret before": {lost.shows(), "access.code"}} {
		if err := confirm(tt[0]); errs.CodeOf(err) != tt[1] {
			t.Errorf("%s confirms: %v", what, err)
		}
	}
	s.wantLogin("nothing is confirmed yet", "", "")
	code := phone.shows()
	if err := confirm(code[:3] + " " + code[3:]); err != nil {
		t.Fatal(err)
	}
	if err := s.looks(other); errs.CodeOf(err) != "access.token-unknown" {
		t.Errorf("a login by the password alone goes on: %v", err)
	}
	if err := s.looks(ann); err != nil {
		t.Errorf("the own login has ended: %v", err)
	}
	s.wantLogin("no code", "", errCodeNeeded)
	s.wantLogin("the code that confirmed", code, "access.code")
	s.forget()
	s.wantLogin("a code", phone.shows(), "")
	s.wantLogin("the same again", phone.shows(), "access.code")
	s.forget()
	if err := s.tryLogin("ann", "wrong horse", phone.shows()); errs.CodeOf(err) != "access.login" {
		t.Errorf("a code with the wrong password: %v", err)
	}
	s.wantLogin("a code that came with a wrong password", phone.shows(), "")
	if err := confirm(phone.shows()); errs.CodeOf(err) != "code.enrolled" {
		t.Errorf("confirmed again: %v", err)
	}
	if _, err := s.codes(ann).EnrolOneTimeCodes(ctx, connect.NewRequest(&keepwardv1.EnrolOneTimeCodesRequest{Password: goodPassword})); errs.CodeOf(err) != "code.enrolled" {
		t.Errorf("a stolen login puts another telephone in: %v", err)
	}
	if u := must(s.users(s.token).ListUsers(ctx, connect.NewRequest(&keepwardv1.ListUsersRequest{})))(t).GetUsers(); u[0].GetOneTimeCodes() || !u[1].GetOneTimeCodes() {
		t.Errorf("listed as %v", u)
	}
	rows := strings.Join(s.audited("Login"), "\n")
	for _, want := range []string{": " + errCodeNeeded, ": access.code", "by=one-time-code: ok"} {
		if !strings.Contains(rows, want) {
			t.Errorf("%q is not in the audit log:\n%s", want, rows)
		}
	}
	for _, secret := range []string{code, totp.Text(phone.secret)} {
		if strings.Contains(s.log.String()+strings.Join(s.audited(""), "\n"), secret) {
			t.Errorf("%s is in a log", secret)
		}
	}
	if strings.Contains(string(read(t, s.dir, catalogFile))+string(read(t, s.dir, catalogFile+"-wal")), string(phone.secret)) {
		t.Error("the secret is in the catalog")
	}
}

func TestOfTwoWhoShowTheSameCodeOneIsLetIn(t *testing.T) {
	s := start(t, t.TempDir())
	phone, recovery := s.enrolled(s.user("ann", "viewer"), goodPassword)
	s.forget()
	for i, code := range []string{phone.shows(), recovery[0]} {
		var all sync.WaitGroup
		results := make([]error, 4) // fewer than the throttle lets try
		for i := range results {
			all.Go(func() { results[i] = s.tryLogin("ann", goodPassword, code) })
		}
		all.Wait()
		in := 0
		for _, err := range results {
			if err == nil {
				in++
			} else if c := errs.CodeOf(err); c != "access.code" {
				t.Errorf("refused with %v", err)
			}
		}
		if in != 1 {
			t.Errorf("%d were let in", in)
		}
		if err := s.tryLogin("ann", goodPassword, recovery[1+i]); err != nil { // the throttle begins anew
			t.Fatal(err)
		}
	}
}

// renewed makes new recovery codes.
func (s *testServer) renewed(token string, p telephone) []string {
	s.t.Helper()
	s.forget()
	return must(s.codes(token).RenewRecoveryCodes(s.t.Context(), connect.NewRequest(&keepwardv1.RenewRecoveryCodesRequest{Code: p.shows()})))(s.t).GetCodes()
}

func TestARecoveryCodeLetsInOnce(t *testing.T) {
	s := start(t, t.TempDir())
	ann := s.user("ann", "viewer")
	phone, codes := s.enrolled(ann, goodPassword)
	if len(codes) != recoveryCodes {
		t.Fatalf("codes: %q", codes)
	}
	s.wantLogin("a recovery code", codes[0], "")
	s.wantLogin("the same again", codes[0], "access.code")
	s.wantLogin("one as people write it", " "+strings.ToUpper(strings.ReplaceAll(codes[1], "-", " "))+"\n", "")
	left := func() int32 {
		return must(s.codes(ann).GetOneTimeCodes(t.Context(), connect.NewRequest(&keepwardv1.GetOneTimeCodesRequest{})))(t).GetRecoveryCodes()
	}
	if n := left(); n != recoveryCodes-2 {
		t.Errorf("%d are left", n)
	}
	made := s.renewed(ann, phone)
	s.wantLogin("one of before", codes[2], "access.code")
	s.wantLogin("a new one", made[2], "")
	for what, code := range map[string]string{"too long": strings.Repeat("a", 10_000), "nothing to it": "----", "not UTF-8 as text": "\u202e\x00"} {
		if err := s.tryLogin("ann", goodPassword, code); errs.KindOf(err) != errs.Denied {
			t.Errorf("%s: %v", what, err)
		}
	}
	if log := s.log.String() + strings.Join(s.audited(""), "\n"); strings.Contains(log, codes[0]) || strings.Contains(log, made[0]) {
		t.Error("a recovery code is in a log")
	}
}

func TestCodesCannotBeGuessed(t *testing.T) {
	s := start(t, t.TempDir())
	phone, _ := s.enrolled(s.user("ann", "viewer"), goodPassword)
	s.forget()
	var err error
	for range freeTriesOfUser + 1 {
		// Who knows the password cannot begin anew by it, as often as he likes.
		if err = s.tryLogin("ann", goodPassword, "000000"); errs.CodeOf(err) == "access.code" {
			err = s.tryLogin("ann", goodPassword, "")
		}
	}
	if errs.CodeOf(err) != "access.throttled" {
		t.Errorf("try %d: %v", freeTriesOfUser+1, err)
	}
	s.wantLogin("the right one meanwhile", phone.shows(), "access.throttled")
}

// TestWhoAsksForTheCodeOnlyAfterThePasswordIsNotMadeToWait: each such login is two tries.
func TestWhoAsksForTheCodeOnlyAfterThePasswordIsNotMadeToWait(t *testing.T) {
	s := start(t, t.TempDir())
	s.enrolled(s.user("ann", "viewer"), goodPassword)
	for range freeTriesOfAddress + 1 {
		s.wantLogin("without a code", "", errCodeNeeded)
	}
}

func TestOnlyALoginChangesHowOneLogsIn(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := t.Context()
	ann, ben := s.user("ann", "viewer"), s.user("ben", "operator")
	boss := s.user("boss", "admin")
	byToken := func(token string) string {
		return must(s.apiTokens(token).CreateAPIToken(ctx, connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "ci"})))(t).GetToken()
	}
	ofAnn, ofBoss := byToken(ann), byToken(boss)
	enrol := func(token string, m *keepwardv1.EnrolOneTimeCodesRequest) error {
		_, err := s.codes(token).EnrolOneTimeCodes(ctx, connect.NewRequest(m))
		return err
	}
	for what, tt := range map[string]struct {
		token string
		m     *keepwardv1.EnrolOneTimeCodesRequest
		code  string
	}{
		"by an API token":         {ofAnn, &keepwardv1.EnrolOneTimeCodesRequest{Password: goodPassword}, "code.by-token"},
		"of somebody else":        {ann, &keepwardv1.EnrolOneTimeCodesRequest{User: "ben", Password: goodPassword}, "code.not-own"},
		"of others, as admin":     {boss, &keepwardv1.EnrolOneTimeCodesRequest{User: "ben", Password: goodPassword}, "code.not-own"},
		"without the password":    {ann, &keepwardv1.EnrolOneTimeCodesRequest{}, "user.current-password"},
		"with a password of ours": {ann, &keepwardv1.EnrolOneTimeCodesRequest{Password: s.password()}, "user.current-password"},
	} {
		if err := enrol(tt.token, tt.m); errs.CodeOf(err) != tt.code {
			t.Errorf("enrolled %s: %v, want %s", what, err, tt.code)
		}
	}
	phone, _ := s.enrolled(ann, goodPassword)
	s.forget()
	remove := func(token, user, code string) error {
		_, err := s.codes(token).RemoveOneTimeCodes(ctx, connect.NewRequest(&keepwardv1.RemoveOneTimeCodesRequest{User: user, Code: code}))
		return err
	}
	for what, tt := range map[string]struct{ token, user, code, want string }{
		"by an API token":                         {ofAnn, "", phone.shows(), "code.by-token"},
		"by an administrator's API token":         {ofBoss, "ann", "", "code.by-token"},
		"by another user":                         {ben, "ann", phone.shows(), "code.not-own"},
		"without a code":                          {ann, "", "", errCodeNeeded},
		"of nobody":                               {boss, "nobody", "", "user.unknown"},
		"of a user without":                       {boss, "ben", "", "code.none"},
		"that are not there, with a code":         {ben, "", phone.shows(), "code.none"},
		"by a password instead of a code, stolen": {ann, "", goodPassword, "access.code"},
	} {
		if err := remove(tt.token, tt.user, tt.code); errs.CodeOf(err) != tt.want {
			t.Errorf("removed %s: %v, want %s", what, err, tt.want)
		}
	}
	if err := remove(boss, "ann", ""); err != nil {
		t.Fatal(err)
	}
	s.wantLogin("after a reset", "", "")

	// Of oneself an administrator needs a code too, but for whoever has the server's disk.
	s.enrolled(boss, goodPassword)
	if err := remove(boss, "boss", ""); errs.CodeOf(err) != errCodeNeeded {
		t.Errorf("an administrator's own: %v", err)
	}
	s.enrolled(s.token, s.password())
	if err := remove(s.token, "", ""); err != nil {
		t.Errorf("by the client file: %v", err)
	}
	if rows := strings.Join(s.audited("RemoveOneTimeCodes"), "\n"); !strings.Contains(rows, "boss OneTimeCodeService/RemoveOneTimeCodes user=ann: ok") {
		t.Errorf("the reset is not in the audit log:\n%s", rows)
	}
}

func TestASecretThatIsNotConfirmedInTimeIsGone(t *testing.T) {
	s := start(t, t.TempDir())
	ann := s.user("ann", "viewer")
	m := must(s.codes(ann).EnrolOneTimeCodes(t.Context(), connect.NewRequest(&keepwardv1.EnrolOneTimeCodesRequest{Password: goodPassword})))(t)
	s.meddle("UPDATE one_time_codes SET created = created - 901000000000")
	_, err := s.codes(ann).ConfirmOneTimeCodes(t.Context(), connect.NewRequest(&keepwardv1.ConfirmOneTimeCodesRequest{Code: telephoneOf(t, m.GetSecret()).shows()}))
	if errs.CodeOf(err) != "code.none" {
		t.Errorf("confirmed: %v", err)
	}
}

// TestCodesOfAnotherUserAreNotOnesOwn: who can write the database, but has not the server's key, cannot
// put the secret of a user that he knows into the row of another.
func TestCodesOfAnotherUserAreNotOnesOwn(t *testing.T) {
	s := start(t, t.TempDir())
	s.enrolled(s.user("ann", "viewer"), goodPassword)
	phone, _ := s.enrolled(s.user("ben", "viewer"), goodPassword)
	s.meddle("UPDATE one_time_codes SET step = 0, secret = (SELECT secret FROM one_time_codes ORDER BY user_id DESC LIMIT 1)")
	s.wantLogin("the code of another", phone.shows(), "code.sealed")
}
