package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/catalog"
	"keepward/internal/errs"
)

// confirmed sets when a login was confirmed last.
func (s *testServer) confirmed(token string, at time.Time) {
	s.t.Helper()
	nanos := int64(0)
	if !at.IsZero() {
		nanos = at.UnixNano()
	}
	s.meddle(fmt.Sprintf("UPDATE api_tokens SET confirmed = %d WHERE lower(hex(substr(hash, 1, 6))) = '%s'", nanos, catalog.TokenID(token)))
}

func (s *testServer) confirm(token, password, code string) (time.Time, error) {
	res, err := s.access(token).ConfirmLogin(s.t.Context(), connect.NewRequest(&keepwardv1.ConfirmLoginRequest{Password: password, Code: code}))
	if err != nil {
		return time.Time{}, err
	}
	return res.Msg.GetUntil().AsTime(), nil
}

// makes has a new user made by a token.
func (s *testServer) makes(token, name, key string) error {
	req := connect.NewRequest(&keepwardv1.CreateUserRequest{Name: name, Role: "viewer", Password: goodPassword})
	if key != "" {
		req.Header().Set("Idempotency-Key", key)
	}
	_, err := s.users(token).CreateUser(s.t.Context(), req)
	return err
}

const unconfirmed = "access.unconfirmed"

func TestAnOldLoginIsNotEnoughForWhatIsHarmful(t *testing.T) {
	s := start(t, t.TempDir())
	boss := s.user("boss", "admin")
	if err := s.makes(boss, "one", ""); err != nil {
		t.Fatalf("right after the login: %v", err)
	}
	phone, recovery := s.enrolled(boss, goodPassword)
	for what, at := range map[string]time.Time{
		"for two hours":        time.Now().Add(-2 * time.Hour),
		"ever":                 {},
		"but in times to come": time.Now().Add(2 * time.Hour),
	} {
		s.confirmed(boss, at)
		if err := s.makes(boss, "two", ""); errs.CodeOf(err) != unconfirmed {
			t.Errorf("not confirmed %s: %v", what, err)
		}
	}
	if err := s.makes(boss, "two", "key-1"); errs.CodeOf(err) != unconfirmed || !strings.Contains(errs.HintOf(err), "keepward login confirm") || !strings.Contains(err.Error(), "1h") {
		t.Errorf("a user was made: %v", err)
	}
	if err := s.looks(boss); err != nil {
		t.Errorf("to look is refused: %v", err)
	}
	if _, err := s.users(boss).SetPassword(t.Context(), connect.NewRequest(&keepwardv1.SetPasswordRequest{Name: "one", Password: "another horse"})); errs.CodeOf(err) != unconfirmed {
		t.Errorf("the password of another: %v", err)
	}
	if _, err := s.codes(boss).RemoveOneTimeCodes(t.Context(), connect.NewRequest(&keepwardv1.RemoveOneTimeCodesRequest{User: "one"})); errs.CodeOf(err) != unconfirmed {
		t.Errorf("the codes of another: %v", err)
	}
	// The refusal is in the audit log, with who it was.
	if rows := strings.Join(s.audited("CreateUser"), "\n"); !strings.Contains(rows, "boss") || !strings.Contains(rows, unconfirmed) {
		t.Errorf("the audit log has %s", rows)
	}

	for what, tt := range map[string]struct{ password, code, want string }{
		"a wrong password": {"wrong", phone.shows(), "user.current-password"},
		"no password":      {"", phone.shows(), "user.current-password"},
		"no code":          {goodPassword, "", errCodeNeeded},
	} {
		if _, err := s.confirm(boss, tt.password, tt.code); errs.CodeOf(err) != tt.want {
			t.Errorf("confirmed by %s: %v, want %s", what, err, tt.want)
		}
	}
	if err := s.makes(boss, "two", ""); errs.CodeOf(err) != unconfirmed {
		t.Errorf("wrong proofs confirmed it: %v", err)
	}
	before := time.Now()
	until, err := s.confirm(boss, goodPassword, recovery[0])
	if err != nil || until.Before(before.Add(time.Hour-time.Second)) || until.After(time.Now().Add(time.Hour)) {
		t.Fatalf("confirmed until %v (%v)", until, err)
	}
	// What was refused was not kept as the answer of its key.
	if err := s.makes(boss, "two", "key-1"); err != nil {
		t.Errorf("after the confirmation: %v", err)
	}
}

func TestALoginIsConfirmedForItselfAlone(t *testing.T) {
	s := start(t, t.TempDir())
	one := s.user("boss", "admin")
	two := s.login("boss", goodPassword)
	ann := s.user("ann", "viewer")
	made := must(s.apiTokens(one).CreateAPIToken(t.Context(), connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "ci", Role: "admin"})))(t)
	long := time.Now().Add(-2 * time.Hour)
	s.confirmed(one, long)
	s.confirmed(two, long)
	if _, err := s.confirm(two, goodPassword, ""); err != nil {
		t.Fatal(err)
	}
	if err := s.makes(one, "x", ""); errs.CodeOf(err) != unconfirmed {
		t.Errorf("another login of the same user: %v", err)
	}
	if err := s.makes(two, "x", ""); err != nil {
		t.Errorf("the one that was confirmed: %v", err)
	}
	// A program cannot be asked, and has nothing to confirm.
	if err := s.makes(made.GetToken(), "y", ""); err != nil {
		t.Errorf("an API token: %v", err)
	}
	if _, err := s.confirm(made.GetToken(), goodPassword, ""); errs.CodeOf(err) != "user.by-token" {
		t.Errorf("an API token was confirmed: %v", err)
	}
	// A viewer's token would outlast the login.
	s.confirmed(ann, long)
	if _, err := s.apiTokens(ann).CreateAPIToken(t.Context(), connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "mine"})); errs.CodeOf(err) != unconfirmed {
		t.Errorf("a viewer's token: %v", err)
	}
	// Whoever may not is not asked first.
	if err := s.makes(ann, "z", ""); errs.CodeOf(err) != "access.role" {
		t.Errorf("a viewer made a user: %v", err)
	}
}

func TestTheTimeOfAConfirmationIsASetting(t *testing.T) {
	s := start(t, t.TempDir())
	boss := s.user("boss", "admin")
	must(s.settings().SetSetting(t.Context(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: "confirm_logins", Value: "10m"})))(t)
	s.confirmed(boss, time.Now().Add(-11*time.Minute))
	if err := s.makes(boss, "x", ""); errs.CodeOf(err) != unconfirmed || !strings.Contains(err.Error(), "10m") {
		t.Errorf("after 11 of 10 minutes: %v", err)
	}
	s.confirmed(boss, time.Now().Add(-9*time.Minute))
	if err := s.makes(boss, "x", ""); err != nil {
		t.Errorf("after 9 of 10 minutes: %v", err)
	}
	if _, err := s.settings().SetSetting(context.Background(), connect.NewRequest(&keepwardv1.SetSettingRequest{Name: "confirm_logins", Value: "0s"})); errs.KindOf(err) != errs.Invalid {
		t.Errorf("never is a time: %v", err)
	}
}
