package server

import (
	"context"
	"fmt"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/api/keepward/v1/keepwardv1connect"
	"keepward/internal/catalog"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

const goodPassword = "correct horse"

// user makes a user and logs in.
func (s *testServer) user(name, role string) (token string) {
	s.t.Helper()
	must(s.users(s.token).CreateUser(s.t.Context(), connect.NewRequest(&keepwardv1.CreateUserRequest{Name: name, Role: role, Password: goodPassword})))(s.t)
	return s.login(name, goodPassword)
}

func (s *testServer) login(name, password string) (token string) {
	s.t.Helper()
	return must(s.access("").Login(s.t.Context(), connect.NewRequest(&keepwardv1.LoginRequest{User: name, Password: password})))(s.t).GetToken()
}

// looks asks for what every role may see.
func (s *testServer) looks(token string) error {
	_, err := s.access(token).ListTokens(s.t.Context(), connect.NewRequest(&keepwardv1.ListTokensRequest{}))
	return err
}

func (s *testServer) edit(name, role string) error {
	_, err := s.users(s.token).EditUser(s.t.Context(), connect.NewRequest(&keepwardv1.EditUserRequest{Name: name, Role: role}))
	return err
}

func (s *testServer) remove(name string) error {
	_, err := s.users(s.token).RemoveUser(s.t.Context(), connect.NewRequest(&keepwardv1.RemoveUserRequest{Name: name}))
	return err
}

func TestARoleThatChangesCountsAtOnce(t *testing.T) {
	s := start(t, t.TempDir())
	token := s.user("ann", "viewer")
	run := func() error {
		_, err := s.jobsAs(token).RunJob(t.Context(), connect.NewRequest(&keepwardv1.RunJobRequest{Name: "none"}))
		return err
	}
	if err := run(); errs.CodeOf(err) != "access.role" || !strings.Contains(errs.HintOf(err), "operator") {
		t.Errorf("a viewer ran a job: %v", err)
	}
	if err := s.edit("ann", "operator"); err != nil {
		t.Fatal(err)
	}
	if err := run(); errs.CodeOf(err) != "job.unknown" {
		t.Errorf("an operator may not: %v", err)
	}
	if err := s.edit("ann", "viewer"); err != nil {
		t.Fatal(err)
	}
	if err := run(); errs.CodeOf(err) != "access.role" {
		t.Errorf("a viewer ran a job: %v", err)
	}
	if err := s.remove("ann"); err != nil {
		t.Fatal(err)
	}
	if err := s.looks(token); errs.CodeOf(err) != "access.token-unknown" {
		t.Errorf("the token of a user who is gone: %v", err)
	}
	for _, err := range []error{s.edit("ann", "viewer"), s.remove("ann")} {
		if errs.CodeOf(err) != "user.unknown" {
			t.Errorf("a user who is gone: %v", err)
		}
	}
	if err := s.edit("admin", "king"); errs.CodeOf(err) != "user.role" {
		t.Errorf("a role that is not there: %v", err)
	}
}

// watch opens a stream that has no end, and hands over its error once it ends.
func (s *testServer) watch(token string) (ended func() error) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), 20*time.Second)
	s.t.Cleanup(cancel)
	stream, err := s.sessions("").WatchSessions(ctx, shown(&keepwardv1.WatchSessionsRequest{}, token))
	if err != nil {
		s.t.Fatal(err)
	}
	s.t.Cleanup(func() { _ = stream.Close() })
	if !stream.Receive() {
		s.t.Fatal(stream.Err())
	}
	return func() error {
		for stream.Receive() {
		}
		return wire.FromConnect(stream.Err())
	}
}

func TestWhatGoesOnEndsWithTheRightToIt(t *testing.T) {
	s := start(t, t.TempDir())
	for what, end := range map[string]func(name, token string) error{
		"removed": func(name, _ string) error { return s.remove(name) },
		"revoked": func(_, token string) error {
			_, err := s.apiTokens(s.token).RevokeAPIToken(t.Context(), connect.NewRequest(&keepwardv1.RevokeAPITokenRequest{Id: catalog.TokenID(token)}))
			return err
		},
		"password": func(name, _ string) error {
			_, err := s.users(s.token).SetPassword(t.Context(), connect.NewRequest(&keepwardv1.SetPasswordRequest{Name: name, Password: "another horse"}))
			return err
		},
	} {
		token := s.user(what, "viewer")
		ended := s.watch(token)
		if err := end(what, token); err != nil {
			t.Fatal(err)
		}
		if err := ended(); errs.CodeOf(err) != "access.token-unknown" {
			t.Errorf("%s: the stream ended with %v", what, err)
		}
	}
}

func TestAStreamEndsWhenItsTokenExpires(t *testing.T) {
	s := start(t, t.TempDir())
	made := must(s.apiTokens(s.token).CreateAPIToken(t.Context(), connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "short", Ttl: durationpb.New(2 * time.Second)})))(t)
	if err := s.watch(made.GetToken())(); errs.CodeOf(err) != "access.token-expired" {
		t.Errorf("it ended with %v", err)
	}
}

func TestTheLastAdministratorStays(t *testing.T) {
	dir := t.TempDir()
	s := start(t, dir)
	for _, err := range []error{s.edit("admin", "viewer"), s.remove("admin")} {
		if errs.CodeOf(err) != "user.last-admin" || errs.KindOf(err) != errs.Denied {
			t.Errorf("the last one: %v", err)
		}
	}
	if err := s.edit("admin", "admin"); err != nil {
		t.Errorf("as it is already: %v", err)
	}
	other := s.user("ann", "admin")
	if err := s.remove("admin"); err != nil {
		t.Fatal(err)
	}
	if err := s.looks(s.token); errs.KindOf(err) != errs.Denied {
		t.Errorf("the client file of a user who is gone: %v", err)
	}
	if err := s.looks(other); err != nil {
		t.Error(err)
	}
	s.stop()
	// Who has the server's disk is the administrator: the client file is made anew, for another one.
	again := start(t, dir)
	if again.out.Len() != 0 {
		t.Errorf("the start said %q", again.out.String())
	}
	me := must(again.users(again.token).GetCaller(t.Context(), connect.NewRequest(&keepwardv1.GetCallerRequest{})))(t)
	if me.GetUser().GetName() != "ann" || me.GetRole() != "admin" || me.GetToken().GetKind() != catalog.TokenFile {
		t.Errorf("the client file is of %v", me)
	}
}

func TestTwoAdministratorsCannotRemoveEachOtherAtOnce(t *testing.T) {
	s := start(t, t.TempDir())
	for i := range 5 {
		name := fmt.Sprint("ann", i)
		token := s.user(name, "admin")
		errsOf := make(chan error, 2)
		go func() { errsOf <- s.edit(name, "viewer") }()
		go func() {
			_, err := s.users(token).EditUser(context.WithoutCancel(t.Context()), connect.NewRequest(&keepwardv1.EditUserRequest{Name: "admin", Role: "viewer"}))
			errsOf <- err
		}()
		one, two := <-errsOf, <-errsOf
		if (one == nil) == (two == nil) {
			t.Fatalf("both were answered %v and %v", one, two)
		}
		if s.edit("admin", "admin") == nil { // ann was demoted
			continue
		}
		if _, err := s.users(token).EditUser(t.Context(), connect.NewRequest(&keepwardv1.EditUserRequest{Name: "admin", Role: "admin"})); err != nil {
			t.Fatalf("nobody is left who may: %v", err)
		}
		if err := s.edit(name, "viewer"); err != nil {
			t.Fatal(err)
		}
	}
}

func TestPasswords(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := t.Context()
	set := func(token string, m *keepwardv1.SetPasswordRequest) error {
		_, err := s.users(token).SetPassword(ctx, connect.NewRequest(m))
		return err
	}
	for _, bad := range []string{"", "short", strings.Repeat("x", passwordMost+1)} {
		if _, err := s.users(s.token).CreateUser(ctx, connect.NewRequest(&keepwardv1.CreateUserRequest{Name: "ann", Role: "viewer", Password: bad})); errs.CodeOf(err) != "user.password" {
			t.Errorf("password of %d bytes: %v", len(bad), err)
		}
	}
	ann, other := s.user("ann", "viewer"), ""
	other = s.login("ann", goodPassword)
	ben, boss := s.user("ben", "operator"), s.user("boss", "admin")
	byBoss := must(s.apiTokens(boss).CreateAPIToken(ctx, connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "ci"})))(t).GetToken()
	byToken := must(s.apiTokens(ann).CreateAPIToken(ctx, connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: "ci"})))(t).GetToken()
	for what, tt := range map[string]struct {
		token string
		m     *keepwardv1.SetPasswordRequest
		code  string
	}{
		"of another user":                          {ann, &keepwardv1.SetPasswordRequest{Name: "ben", Password: goodPassword, CurrentPassword: goodPassword}, "user.not-own"},
		"of an administrator":                      {ben, &keepwardv1.SetPasswordRequest{Name: "admin", Password: goodPassword}, "user.not-own"},
		"without the current":                      {ann, &keepwardv1.SetPasswordRequest{Password: "another horse"}, "user.current-password"},
		"by an API token":                          {byToken, &keepwardv1.SetPasswordRequest{Password: "another horse", CurrentPassword: goodPassword}, "user.by-token"},
		"an administrator's own, by a login alone": {boss, &keepwardv1.SetPasswordRequest{Name: "boss", Password: "another horse"}, "user.current-password"},
		"an administrator's own, by an API token":  {byBoss, &keepwardv1.SetPasswordRequest{Password: "another horse", CurrentPassword: goodPassword}, "user.by-token"},
		"too short":                                {ann, &keepwardv1.SetPasswordRequest{Password: "x", CurrentPassword: goodPassword}, "user.password"},
		"of nobody, as admin":                      {s.token, &keepwardv1.SetPasswordRequest{Name: "nobody", Password: goodPassword}, "user.unknown"},
		"without the right one":                    {ann, &keepwardv1.SetPasswordRequest{Password: "another horse", CurrentPassword: "wrong"}, "user.current-password"},
	} {
		if err := set(tt.token, tt.m); errs.CodeOf(err) != tt.code {
			t.Errorf("%s: %v, want %s", what, err, tt.code)
		}
	}
	res := must(s.users(ann).SetPassword(ctx, connect.NewRequest(&keepwardv1.SetPasswordRequest{Password: "another horse", CurrentPassword: goodPassword})))(t)
	if res.GetName() != "ann" || res.GetEndedLogins() != 1 {
		t.Errorf("answered %v", res)
	}
	if err := s.looks(other); errs.CodeOf(err) != "access.token-unknown" {
		t.Errorf("the other login goes on: %v", err)
	}
	for what, token := range map[string]string{"the own login": ann, "an API token": byToken, "another user's": ben} {
		if err := s.looks(token); err != nil {
			t.Errorf("%s: %v", what, err)
		}
	}
	if _, err := s.access("").Login(ctx, connect.NewRequest(&keepwardv1.LoginRequest{User: "ann", Password: goodPassword})); errs.CodeOf(err) != "access.login" {
		t.Errorf("the old password: %v", err)
	}
	s.login("ann", "another horse")
	if log := s.log.String() + strings.Join(s.audited(""), "\n"); strings.Contains(log, "horse") {
		t.Error("a password is in a log")
	}
}

// TestTheCurrentPasswordCannotBeGuessedByAStolenLogin: tries count as those of logins do.
func TestTheCurrentPasswordCannotBeGuessedByAStolenLogin(t *testing.T) {
	s := start(t, t.TempDir())
	ann := s.user("ann", "viewer")
	var err error
	for range freeTriesOfUser + 1 {
		_, err = s.users(ann).SetPassword(t.Context(), connect.NewRequest(&keepwardv1.SetPasswordRequest{Password: "another horse", CurrentPassword: "guess"}))
	}
	if errs.CodeOf(err) != "access.throttled" {
		t.Errorf("try %d: %v", freeTriesOfUser+1, err)
	}
	if _, err := s.access("").Login(t.Context(), connect.NewRequest(&keepwardv1.LoginRequest{User: "ann", Password: goodPassword})); errs.CodeOf(err) != "access.throttled" {
		t.Errorf("a login meanwhile: %v", err)
	}
}

func TestAPITokensMayNoMoreThanWhoMadeThem(t *testing.T) {
	s := start(t, t.TempDir())
	ctx := t.Context()
	create := func(token, name, role string, ttl time.Duration) (string, error) {
		res, err := s.apiTokens(token).CreateAPIToken(ctx, connect.NewRequest(&keepwardv1.CreateAPITokenRequest{Name: name, Role: role, Ttl: durationpb.New(ttl)}))
		if err != nil {
			return "", err
		}
		return res.Msg.GetToken(), nil
	}
	refused := func(what string, err error, code string) {
		t.Helper()
		if errs.CodeOf(err) != code {
			t.Errorf("%s: %v, want %s", what, err, code)
		}
	}
	ann := s.user("ann", "operator")
	for _, role := range []string{"admin", "restore-operator"} {
		_, err := create(ann, "up", role, time.Hour)
		refused("a token of "+role+" by an operator", err, "api-token.role")
	}
	_, err := create(ann, "x", "king", time.Hour)
	refused("a role that is not there", err, "user.role")
	_, err = create(ann, "a b", "", time.Hour)
	refused("a bad name", err, "name.characters")
	for _, life := range []time.Duration{-time.Second, apiTokenLifeMost + time.Second} {
		_, err = create(ann, "x", "", life)
		refused(life.String(), err, "api-token.life")
	}
	ci, err := create(ann, "ci", "operator", time.Hour)
	if err != nil {
		t.Fatal(err)
	}
	_, err = create(ann, "ci", "viewer", time.Hour)
	refused("a second one of the name", err, "api-token.exists")
	_, err = create(ci, "longer", "viewer", 2*time.Hour)
	refused("one that outlives its maker", err, "api-token.outlives")
	look, err := create(ci, "look", "viewer", time.Minute)
	if err != nil {
		t.Fatal(err)
	}
	_, err = create(look, "up", "operator", time.Second)
	refused("an operator's by a viewer's", err, "api-token.role")

	run := func(token string) error {
		_, err := s.jobsAs(token).RunJob(ctx, connect.NewRequest(&keepwardv1.RunJobRequest{Name: "none"}))
		return err
	}
	refused("the token", run(ci), "job.unknown")
	refused("the lesser token", run(look), "access.role")
	if err := s.edit("ann", "restore-operator"); err != nil {
		t.Fatal(err)
	}
	refused("the token of a user who is no operator any more", run(ci), "access.role")
	_, err = create(ci, "sideways", "restore-operator", time.Second)
	refused("a role that the token never had", err, "api-token.role")
	if me := must(s.users(ci).GetCaller(ctx, connect.NewRequest(&keepwardv1.GetCallerRequest{})))(t); me.GetRole() != "viewer" {
		t.Errorf("it acts as %s", me.GetRole())
	}

	list := must(s.apiTokens(ann).ListAPITokens(ctx, connect.NewRequest(&keepwardv1.ListAPITokensRequest{Kind: catalog.TokenAPI})))(t).GetTokens()
	if len(list) != 2 || list[0].GetName() != "ci" || list[0].GetRole() != "operator" || list[0].GetUsed() == nil || list[0].GetCurrent() {
		t.Errorf("listed %v", list)
	}
	_, err = s.apiTokens(ann).ListAPITokens(ctx, connect.NewRequest(&keepwardv1.ListAPITokensRequest{All: true}))
	refused("those of all users", err, "api-token.all")
	all := must(s.apiTokens(s.token).ListAPITokens(ctx, connect.NewRequest(&keepwardv1.ListAPITokensRequest{All: true})))(t).GetTokens()
	if len(all) != 4 || all[0].GetKind() != catalog.TokenFile || !all[0].GetCurrent() || all[1].GetKind() != catalog.TokenLogin || all[1].GetAddress() != "127.0.0.1" {
		t.Errorf("all are %v", all)
	}
	_, err = s.apiTokens(ann).RevokeAPIToken(ctx, connect.NewRequest(&keepwardv1.RevokeAPITokenRequest{Id: all[0].GetId()}))
	refused("that of another user", err, "api-token.unknown")
	must(s.apiTokens(ann).RevokeAPIToken(ctx, connect.NewRequest(&keepwardv1.RevokeAPITokenRequest{Id: catalog.TokenID(ci)})))(t)
	refused("a token that was ended", run(ci), "access.token-unknown")
	s.stop()
	if text := s.log.String() + string(read(t, s.dir, catalogFile)) + string(read(t, s.dir, catalogFile+"-wal")); strings.Contains(text, ci) || strings.Contains(text, look) {
		t.Error("a token is kept in clear, or is in the log")
	}
}

func (s *testServer) jobsAs(token string) keepwardv1connect.JobServiceClient {
	return keepwardv1connect.NewJobServiceClient(s.client, s.url(), as(token))
}
