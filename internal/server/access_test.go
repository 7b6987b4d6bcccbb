package server

import (
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"connectrpc.com/connect"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/reflect/protoregistry"
	"google.golang.org/protobuf/types/known/durationpb"

	keepwardv1 "keepward/api/keepward/v1"
	"keepward/internal/errs"
	"keepward/internal/wire"
)

func TestFirstStartMakesAnAdministratorAndLaterOnesKeepIt(t *testing.T) {
	dir := t.TempDir()
	first := start(t, dir)
	password := first.password()
	if password == "" {
		t.Fatalf("no password was told: %q", first.out.String())
	}
	firstToken := first.token
	must(first.access("").Login(t.Context(), connect.NewRequest(&keepwardv1.LoginRequest{User: "admin", Password: password})))(t)
	first.stop()

	second := start(t, dir)
	if second.out.Len() != 0 {
		t.Errorf("the second start said %q", second.out.String())
	}
	if second.token != firstToken {
		t.Error("the token of client.yaml changed")
	}
	res := must(second.access("").Login(t.Context(), connect.NewRequest(&keepwardv1.LoginRequest{User: "admin", Password: password})))(t)
	must(second.access(res.Token).ListTokens(t.Context(), connect.NewRequest(&keepwardv1.ListTokensRequest{})))(t)
	for _, name := range []string{"ca.key", secretFile, clientFile, catalogFile} {
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			t.Fatal(err)
		}
		if info.Mode().Perm() != 0o600 {
			t.Errorf("mode of %s is %o", name, info.Mode().Perm())
		}
	}
	if strings.Contains(first.log.String()+second.log.String(), password) {
		t.Error("the password is in the log")
	}
}

func TestLostClientFileIsMadeAnew(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).stop()
	if err := os.Remove(filepath.Join(dir, clientFile)); err != nil {
		t.Fatal(err)
	}
	s := start(t, dir)
	must(s.access(s.token).ListTokens(t.Context(), connect.NewRequest(&keepwardv1.ListTokensRequest{})))(t)
}

func TestSecondServerOnADataDirectoryRefuses(t *testing.T) {
	s := start(t, t.TempDir())
	err := Run(t.Context(), Config{DataDir: s.dir, Listen: "127.0.0.1:0"})
	if errs.CodeOf(err) != "datadir.locked" {
		t.Errorf("got %v", err)
	}
}

func TestWrongSecretKeyIsRefused(t *testing.T) {
	dir := t.TempDir()
	start(t, dir).stop()
	if err := os.Remove(filepath.Join(dir, secretFile)); err != nil {
		t.Fatal(err)
	}
	err := Run(t.Context(), Config{DataDir: dir, Listen: "127.0.0.1:0"})
	if errs.CodeOf(err) != "secret.wrong" {
		t.Errorf("got %v", err)
	}
}

// Services that nodes serve, not the server.
var servedByNodes = map[protoreflect.Name]bool{
	"AgentService": true, "StandingAgentService": true, "StandingTransportService": true, "StandingDoorService": true, "TransportService": true, "MoverService": true, "InventoryService": true, "NodeTrafficService": true, "MoverTrafficService": true,
	"PairService": true, "ProbeService": true, "AgentUpdateService": true,
}

func TestEveryMethodOfTheSchemaHasItsRow(t *testing.T) {
	rows := map[string]bool{}
	protoregistry.GlobalFiles.RangeFilesByPackage("keepward.v1", func(f protoreflect.FileDescriptor) bool {
		for i := range f.Services().Len() {
			service := f.Services().Get(i)
			if servedByNodes[service.Name()] {
				continue
			}
			for k := range service.Methods().Len() {
				name := "/" + string(service.FullName()) + "/" + string(service.Methods().Get(k).Name())
				rows[name] = true
				if methods[name].may == 0 {
					t.Errorf("%s has no row: nobody may call it", name)
				}
				if a := methods[name].audit; a < silent || a > itself {
					t.Errorf("%s does not say whether it is audited", name)
				}
				if isNode := service.Name() == "NodeService" || service.Name() == "PackageService"; isNode != (methods[name].may == node) {
					t.Errorf("%s: access %d", name, methods[name].may)
				}
			}
		}
		return true
	})
	for name := range methods {
		if !rows[name] {
			t.Errorf("%s is not in the schema", name)
		}
	}
}

func TestWithoutAGoodTokenNothingIsAnswered(t *testing.T) {
	s := start(t, t.TempDir())
	for what, token := range map[string]string{"none": "", "wrong": "kwt1.x", "joined to another": s.token + "x"} {
		_, err := s.access(token).ListTokens(t.Context(), connect.NewRequest(&keepwardv1.ListTokensRequest{}))
		if errs.KindOf(err) != errs.Denied {
			t.Errorf("token %s: %v", what, err)
		}
	}
	for _, login := range []*keepwardv1.LoginRequest{{User: "admin", Password: "x"}, {User: "nobody", Password: s.password()}, {}} {
		if _, err := s.access("").Login(t.Context(), connect.NewRequest(login)); errs.KindOf(err) != errs.Denied {
			t.Errorf("login as %q: %v", login.User, err)
		}
	}
	log := s.log.String()
	if !strings.Contains(log, "call refused") || !strings.Contains(log, "login refused") || !strings.Contains(log, "peer=127.0.0.1:") {
		t.Errorf("the log does not tell of it:\n%s", log)
	}
}

func TestStreamsNeedATokenToo(t *testing.T) {
	s := start(t, t.TempDir())
	stream, err := s.sessions("").WatchSession(t.Context(), connect.NewRequest(&keepwardv1.WatchSessionRequest{Id: 1}))
	if err != nil {
		t.Fatal(err)
	}
	for stream.Receive() {
		t.Error("an answer came")
	}
	if err := wire.FromConnect(stream.Err()); errs.KindOf(err) != errs.Denied {
		t.Errorf("got %v", err)
	}
	_ = stream.Close()
}

func TestJoinTokens(t *testing.T) {
	s := start(t, t.TempDir())
	good := s.joinToken(wire.RoleAgent, "web1")
	for _, tt := range []struct {
		what, token, name string
		role              wire.Role
	}{
		{"another name", good, "web2", wire.RoleAgent},
		{"another role", good, "web1", wire.RoleTransport},
		{"the server's role", good, "web1", wire.RoleServer},
		{"a bad name", good, "../web1", wire.RoleAgent},
		{"garbage", "garbage", "web1", wire.RoleAgent},
		{"another server's", good[:len(good)-1] + map[bool]string{true: "0", false: "1"}[good[len(good)-1] != '0'], "web1", wire.RoleAgent},
	} {
		if _, err := s.enrol(tt.token, tt.role, tt.name); err == nil {
			t.Errorf("%s: joined", tt.what)
		}
	}
	if _, err := s.enrol(good, wire.RoleAgent, "web1"); err != nil {
		t.Fatal(err)
	}
	if _, err := s.enrol(good, wire.RoleAgent, "web1"); errs.CodeOf(err) != "join.refused" {
		t.Errorf("second use: %v", err)
	}
	if n := strings.Count(s.log.String(), "join refused"); n != 7 {
		t.Errorf("%d refusals are in the log:\n%s", n, s.log.String())
	}
	list := must(s.access(s.token).ListTokens(t.Context(), connect.NewRequest(&keepwardv1.ListTokensRequest{})))(t).Tokens
	if len(list) != 1 || list[0].Used == nil || list[0].Name != "web1" {
		t.Errorf("tokens: %v", list)
	}
}

func TestRevokedAndUnreasonableJoinTokens(t *testing.T) {
	s := start(t, t.TempDir())
	ctx, a := t.Context(), s.access(s.token)
	for _, req := range []*keepwardv1.CreateTokenRequest{
		{Role: "server", Name: "x"},
		{Role: "agent", Name: ""},
		{Role: "agent", Name: "a/b"},
		{Role: "agent", Name: "x", Ttl: durationpb.New(-time.Second)},
		{Role: "agent", Name: "x", Ttl: durationpb.New(1000 * time.Hour)},
	} {
		if _, err := a.CreateToken(ctx, connect.NewRequest(req)); errs.KindOf(err) != errs.Invalid {
			t.Errorf("%v: %v", req, err)
		}
	}
	token := must(a.CreateToken(ctx, connect.NewRequest(&keepwardv1.CreateTokenRequest{Role: "agent", Name: "x"})))(t)
	must(a.RevokeToken(ctx, connect.NewRequest(&keepwardv1.RevokeTokenRequest{Id: token.Info.Id})))(t)
	if _, err := s.enrol(token.Token, wire.RoleAgent, "x"); errs.KindOf(err) != errs.Denied {
		t.Errorf("revoked token: %v", err)
	}
	if _, err := a.RevokeToken(ctx, connect.NewRequest(&keepwardv1.RevokeTokenRequest{Id: "none"})); errs.KindOf(err) != errs.NotFound {
		t.Errorf("revoke an unknown token: %v", err)
	}
}
